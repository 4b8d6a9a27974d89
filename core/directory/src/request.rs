//! Requests that prove possession of a device key. Spec: 20-accounts.md §1 (ACC-1, ACC-2).
//!
//! Owns the five headers, what is signed, and every check but one: whether a nonce was used before is the server's to
//! remember. Does not know HTTP: methods, paths and header values are texts.
//!
//! - An [`AuthenticRequest`] comes out of [`SignedRequest::verify`] alone.

use base64::{Engine, engine::general_purpose::STANDARD};
use halcyon_crypto::{Label, Rng, Signature, SigningKey, VerifyingKey, hash::sha256};
use halcyon_types::{DeviceId, Duration, Timestamp};

/// Header with the device id in hexadecimal.
pub const HEADER_DEVICE: &str = "Halcyon-Device";
/// Header with the time in milliseconds, decimal.
pub const HEADER_TIME: &str = "Halcyon-Time";
/// Header with the nonce in hexadecimal.
pub const HEADER_NONCE: &str = "Halcyon-Nonce";
/// Header with the host name of the server.
pub const HEADER_AUDIENCE: &str = "Halcyon-Audience";
/// Header with the signature in base64.
pub const HEADER_SIGNATURE: &str = "Halcyon-Signature";

/// Clocks of phones without network time are off by minutes, not more (ACC-2).
pub const CLOCK_SKEW_MAX: Duration = Duration::from_mins(5);
/// A request is good for twice the skew, so nonces are remembered as long (ACC-2).
pub const NONCE_MEMORY: Duration = Duration::from_mins(10);
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 16;
/// A host name has at most 253 bytes (RFC 1035 §2.3.4).
const AUDIENCE_BYTES_MAX: usize = 253;

/// What a request is about.
#[derive(Clone, Copy, Debug)]
pub struct RequestTarget<'a> {
    /// `GET`, `POST` and so on, in upper case.
    pub method: &'a str,
    /// Path with query, exactly as sent.
    pub path_and_query: &'a str,
    /// The body as sent, empty if there is none.
    pub body: &'a [u8],
}

/// The five headers of a request. Nothing of it is verified until [`verify`](Self::verify).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRequest {
    device: DeviceId,
    time: Timestamp,
    nonce: [u8; NONCE_BYTES],
    audience: String,
    signature: Signature,
}

/// Evidence that a device made a request for this server, not long ago. Whether it made it once is still to be checked
/// with [`nonce`](Self::nonce) (ACC-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthenticRequest {
    device: DeviceId,
    nonce: [u8; NONCE_BYTES],
}

/// Why a request is not authentic. All of them are `401`; the code is [`code`](Self::code).
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// Headers are missing or malformed, the device is unknown, or the signature is wrong: one answer for all.
    #[error("the request is not signed by a device that this server knows")]
    Unauthenticated,
    /// The device's clock is off; the answer says the server's time, so that the device can correct itself.
    #[error("the device's clock is more than 5 minutes off")]
    ClockSkew,
    /// The request was meant for another server.
    #[error("the request was made for another server")]
    WrongAudience,
    /// The nonce was used before. Given by the server, which remembers them.
    #[error("the request was sent before")]
    Replayed,
}

impl RequestError {
    /// Returns the code of the problem document (ACC-3).
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::ClockSkew => "clock_skew",
            Self::WrongAudience => "wrong_audience",
            Self::Replayed => "replayed",
        }
    }
}

impl SignedRequest {
    /// Signs a request as a device (ACC-1). `audience` is the server's host name, in lower case and without port.
    #[must_use]
    pub fn sign(
        device: DeviceId,
        device_key: &SigningKey,
        audience: &str,
        target: RequestTarget<'_>,
        now: Timestamp,
        rng: &mut dyn Rng,
    ) -> Self {
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let parts = Parts::of(audience, target, now, nonce);
        let signature = device_key.sign(Label::Request, &parts.as_slices());
        Self { device, time: now, nonce, audience: audience.to_owned(), signature }
    }

    /// Returns the headers to send.
    #[must_use]
    pub fn headers(&self) -> [(&'static str, String); 5] {
        [
            (HEADER_DEVICE, self.device.to_hex()),
            (HEADER_TIME, self.time.as_millis().to_string()),
            (HEADER_NONCE, self.nonce.iter().map(|byte| format!("{byte:02x}")).collect()),
            (HEADER_AUDIENCE, self.audience.clone()),
            (HEADER_SIGNATURE, STANDARD.encode(self.signature.as_bytes())),
        ]
    }

    /// Reads the headers of a request; `header` returns the value of a name, or nothing.
    ///
    /// # Errors
    /// [`RequestError::Unauthenticated`] if one is missing or malformed.
    pub fn from_headers<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Result<Self, RequestError> {
        Self::read(header).ok_or(RequestError::Unauthenticated)
    }

    fn read<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let device = header(HEADER_DEVICE)?.parse().ok()?;
        let time = header(HEADER_TIME)?;
        let plain = time.bytes().all(|byte| byte.is_ascii_digit());
        let time = Timestamp::from_millis(time.parse().ok().filter(|_| plain)?);
        // A nonce has the size and form of a device id, so its reader will do.
        let nonce = *header(HEADER_NONCE)?.parse::<DeviceId>().ok()?.as_bytes();
        let audience = header(HEADER_AUDIENCE).filter(|name| name.len() <= AUDIENCE_BYTES_MAX)?.to_owned();
        let signature = STANDARD.decode(header(HEADER_SIGNATURE)?).ok()?;
        Some(Self { device, time, nonce, audience, signature: Signature::try_from(&signature[..]).ok()? })
    }

    /// Returns which device claims to have made the request, so that its key can be looked up.
    #[must_use]
    pub fn claimed_device(&self) -> DeviceId {
        self.device
    }

    /// Checks everything but the nonce's novelty (ACC-2). `key` is the claimed device's, or nothing if it is unknown.
    ///
    /// The cheap checks come first. They tell nobody more than the server says openly, its name and its time.
    ///
    /// # Errors
    /// [`RequestError`]; the caller answers `401` with its code.
    pub fn verify(
        &self,
        key: Option<&VerifyingKey>,
        own_name: &str,
        target: RequestTarget<'_>,
        now: Timestamp,
    ) -> Result<AuthenticRequest, RequestError> {
        if self.audience != own_name {
            return Err(RequestError::WrongAudience);
        }
        if self.time.distance(now) > CLOCK_SKEW_MAX {
            return Err(RequestError::ClockSkew);
        }
        let key = key.ok_or(RequestError::Unauthenticated)?;
        let parts = Parts::of(&self.audience, target, self.time, self.nonce);
        key.verify(Label::Request, &parts.as_slices(), &self.signature).map_err(|_| RequestError::Unauthenticated)?;
        Ok(AuthenticRequest { device: self.device, nonce: self.nonce })
    }
}

impl AuthenticRequest {
    /// Returns the device that made the request.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// Returns the nonce, to be remembered for [`NONCE_MEMORY`] together with the device.
    #[must_use]
    pub fn nonce(&self) -> [u8; NONCE_BYTES] {
        self.nonce
    }
}

/// What is signed (ACC-1).
struct Parts<'a> {
    audience: &'a str,
    method: &'a str,
    path_and_query: &'a str,
    time: [u8; 8],
    nonce: [u8; NONCE_BYTES],
    body: [u8; 32],
}

impl<'a> Parts<'a> {
    fn of(audience: &'a str, target: RequestTarget<'a>, time: Timestamp, nonce: [u8; NONCE_BYTES]) -> Self {
        Self {
            audience,
            method: target.method,
            path_and_query: target.path_and_query,
            time: time.as_millis().to_be_bytes(),
            nonce,
            body: sha256(&[target.body]),
        }
    }

    fn as_slices(&self) -> [&[u8]; 6] {
        [
            self.audience.as_bytes(),
            self.method.as_bytes(),
            self.path_and_query.as_bytes(),
            &self.time,
            &self.nonce,
            &self.body,
        ]
    }
}

#[cfg(test)]
mod tests;
