//! Reading requests: who sent them, from where, and what the body says. Spec: 20-accounts.md §1 (ACC-1, ACC-2).
//!
//! Owns the extractors. Does not know what is asked.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use halcyon_directory::request::{RequestTarget, SignedRequest};
use halcyon_server::accounts::request::{AuthError, Effect, Member};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use super::{Api, BODY_BYTES_MAX};

/// A whole request as it was signed: parts and body.
pub struct Received {
    parts: Parts,
    body: Bytes,
}

impl<S: Send + Sync> FromRequest<S> for Received {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        // Refused by what it says of itself, before any of it is waited for.
        if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
            return Err(too_large());
        }
        let whole = Request::from_parts(parts.clone(), body);
        let read = tokio::time::timeout(BODY_TIMEOUT, Bytes::from_request(whole, state)).await;
        let read = read.map_err(|_| {
            let detail = "The body did not come in time. This is the client's or its network's fault.";
            Problem::new(StatusCode::REQUEST_TIMEOUT, "slow_body", detail)
        })?;
        let body = read.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large(),
            _ => Problem::malformed("the body ended early"),
        })?;
        Ok(Self { parts, body })
    }
}

/// The part of the path that a route leaves open, decoded. One that is no text becomes a character that stands in no name, so that
/// it is refused where every other wrong name is: after the question who asks (ACC-3).
pub struct Segment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let found = Path::<String>::from_request_parts(parts, state).await;
        Ok(found.map_or_else(|_| Self(char::REPLACEMENT_CHARACTER.to_string()), |Path(text)| Self(text)))
    }
}

impl Received {
    /// Returns the body.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Reads the body as JSON.
    ///
    /// # Errors
    /// `400 malformed_request`, naming the place but not the value.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Problem::malformed(&format!(
                "the body is not the JSON expected (line {}, column {})",
                error.line(),
                error.column()
            ))
        })
    }

    /// Returns the five headers.
    ///
    /// # Errors
    /// `401 unauthenticated`
    pub fn signed(&self) -> Result<SignedRequest, Problem> {
        let header = |name: &str| self.parts.headers.get(name).and_then(|value| value.to_str().ok());
        SignedRequest::from_headers(header).map_err(|refused| AuthError::Refused(refused).into())
    }

    /// Returns what the signature is over, besides time, nonce and audience.
    #[must_use]
    pub fn target(&self) -> RequestTarget<'_> {
        RequestTarget {
            method: self.parts.method.as_str(),
            path_and_query: self.parts.uri.path_and_query().map_or("/", |path| path.as_str()),
            body: &self.body,
        }
    }

    /// Accepts the request if a device of an account made it (ACC-2).
    ///
    /// # Errors
    /// `401`, see [`AuthError`].
    pub async fn member(&self, api: &Api, effect: Effect) -> Result<Member, Problem> {
        let signed = self.signed()?;
        let member = api.services.auth.member(&signed, self.target(), effect).await;
        member.map_err(|error| Problem::from(error).with_time(api.clock.now()))
    }

    /// Checks that the body is said to be protobuf.
    ///
    /// # Errors
    /// `415 wrong_media_type`
    pub fn is_protobuf(&self) -> Result<(), Problem> {
        let said = self.parts.headers.get(header::CONTENT_TYPE);
        if said.is_some_and(|said| said.as_bytes() == PROTOBUF.as_bytes()) {
            return Ok(());
        }
        let detail = "This endpoint takes application/x-protobuf. This is the client's fault.";
        Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong_media_type", detail))
    }
}

/// From the end of a request's head to the end of its body: 64 KiB at 3 KiB a second, which any network does (ACC-6).
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

fn too_large() -> Problem {
    let detail = "The body has more than 64 KiB. This is the client's fault.";
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
}

/// Media type of machine endpoints.
pub const PROTOBUF: &str = "application/x-protobuf";

/// The address that a connection came from.
#[derive(Clone, Copy, Debug)]
pub struct Source(pub IpAddr);

impl<S: Send + Sync> FromRequestParts<S> for Source {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        peer.map(|peer| Self(peer.0.ip())).ok_or_else(|| Problem::malformed("the connection has no source address"))
    }
}

/// Bytes that JSON carries in base64 with padding.
#[derive(Clone, Debug)]
pub struct Base64(pub Vec<u8>);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map(Self).map_err(|_| serde::de::Error::custom("not base64"))
    }
}

impl Base64 {
    /// Returns exactly so many bytes.
    ///
    /// # Errors
    /// `400 malformed_request`, naming the member.
    pub fn exactly<const N: usize>(&self, member: &str) -> Result<[u8; N], Problem> {
        let wrong = || Problem::malformed(&format!("`{member}` has {N} bytes in base64"));
        self.0.as_slice().try_into().map_err(|_| wrong())
    }
}

/// Returns the base64 form of bytes.
#[must_use]
pub fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads an id of `N` bytes in lower-case hexadecimal.
///
/// # Errors
/// `400 malformed_request`, naming the member.
pub fn from_hex<const N: usize>(text: &str, member: &str) -> Result<[u8; N], Problem> {
    let wrong = || Problem::malformed(&format!("`{member}` has {N} bytes in lower-case hexadecimal"));
    let mut bytes = [0; N];
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(wrong());
    }
    hex::decode_to_slice(text, &mut bytes).map_err(|_| wrong())?;
    Ok(bytes)
}

/// A prekey as JSON carries it (ACC-32, LNK-1).
#[derive(Deserialize)]
pub struct PrekeyJson {
    suite: u32,
    record: Base64,
}

impl PrekeyJson {
    /// Returns the prekey, unchecked.
    #[must_use]
    pub fn into_prekey(self) -> halcyon_directory::prekeys::Prekey {
        halcyon_directory::prekeys::Prekey {
            suite: halcyon_types::SuiteId::from_u32(self.suite),
            record: self.record.0.into(),
        }
    }
}
