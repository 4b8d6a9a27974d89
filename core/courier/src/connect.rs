//! How a device proves itself to the courier. Spec: 30-courier.md §2 (COU-10 to COU-14).
//!
//! Owns hello and connect, what is signed, and the order of the server's checks. Does not know which devices there are:
//! the caller looks the claimed one up between [`Handshake::connect`] and [`Claim::verify`].
//!
//! - [`Authenticated`] comes out of [`Claim::verify`] alone.
//! - Each server nonce is good for one connect, since [`Handshake::connect`] consumes it.

use std::sync::Arc;

use halcyon_crypto::{Label, Rng, Signature, SigningKey, VerifyingKey};
use halcyon_types::{DeviceId, Timestamp};

use crate::{
    frame::{ClientFrame, Close, ServerFrame},
    grant::Grant,
    limits::{CLOCK_SKEW_MAX, Limits, PROTOCOL_VERSION},
    topics::Topics,
    wire::CloseCode,
};

/// Bytes of the server's nonce (COU-10).
pub const NONCE_BYTES: usize = 32;
/// Label under which both ends export the channel binding from TLS (RFC 8446 §7.5), without context (COU-11).
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-halcyon-courier";

/// The server's first frame (COU-10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Fresh for each connection.
    pub nonce: [u8; NONCE_BYTES],
    /// The server's clock.
    pub server_time: Timestamp,
}

/// What a device says of itself when it connects (COU-11).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// Who it is.
    pub device: DeviceId,
    /// How often it sealed anything, as its last commit has it (COU-17); 0 does not tell.
    pub epoch: u64,
    /// What it wants to be delivered.
    pub topics: Topics,
}

/// The device's answer (COU-11). Nothing of it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    pub(crate) device: DeviceId,
    pub(crate) time: Timestamp,
    pub(crate) audience: String,
    pub(crate) signature: Signature,
    pub(crate) topics: Topics,
    pub(crate) epoch: u64,
    pub(crate) grant: Option<Box<Grant>>,
}

/// What ties a connect to the connection that it is made on (COU-11).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Native binding: 32 bytes of the TLS exporter under [`EXPORTER_LABEL`]. A connect that is relayed over another TLS
    /// connection does not verify.
    Exporter([u8; 32]),
    /// WebSocket binding: a browser's script cannot see the exporter.
    None,
}

impl Connect {
    /// Signs a connect as a device (COU-11). `audience` is the host name that it dialed, in lower case.
    #[must_use]
    pub fn sign(
        introduction: Introduction,
        device_key: &SigningKey,
        audience: &str,
        hello: &Hello,
        binding: &ChannelBinding,
        now: Timestamp,
    ) -> Self {
        let Introduction { device, epoch, topics } = introduction;
        let numbers = Numbers::of(now, epoch);
        let parts = parts(&device, &numbers, audience, &hello.nonce, binding);
        let signature = device_key.sign(Label::CourierConnect, &parts);
        Self { device, time: now, audience: audience.to_owned(), signature, topics, epoch, grant: None }
    }

    /// Signs a connect that receives, and does nothing else, with a key that the device granted that (COU-20). It tells no epoch.
    #[must_use]
    pub fn sign_granted(
        (device, topics): (DeviceId, Topics),
        (grant, key): (Grant, &SigningKey),
        audience: &str,
        hello: &Hello,
        binding: &ChannelBinding,
        now: Timestamp,
    ) -> Self {
        let introduction = Introduction { device, epoch: 0, topics };
        Self { grant: Some(Box::new(grant)), ..Self::sign(introduction, key, audience, hello, binding, now) }
    }
}

/// A server's connection before it is connected.
pub struct Handshake {
    audience: Arc<str>,
    nonce: [u8; NONCE_BYTES],
    binding: ChannelBinding,
    deadline: Timestamp,
}

/// A connect whose form, audience and time are right. Whether the device is who it claims to be is open.
pub struct Claim {
    connect: Connect,
    nonce: [u8; NONCE_BYTES],
    binding: ChannelBinding,
}

/// Evidence that a device proved itself on this connection (COU-12).
#[derive(Clone, Debug)]
pub struct Authenticated {
    device: DeviceId,
    topics: Topics,
    epoch: u64,
    may_send: bool,
}

/// How a handshake ends without a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandshakeEnd {
    /// Send this and hang up.
    Refuse(Close),
    /// The device hung up first.
    Left(Close),
}

impl Handshake {
    /// Begins with a fresh nonce, and returns the hello to send (COU-10). `audience` is this server's name.
    #[must_use]
    pub fn begin(
        audience: Arc<str>,
        binding: ChannelBinding,
        limits: &Limits,
        now: Timestamp,
        rng: &mut dyn Rng,
    ) -> (Self, ServerFrame) {
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        // COU-14
        let handshake = Self { audience, nonce, binding, deadline: now.plus(limits.handshake_timeout) };
        (handshake, ServerFrame::Hello(Hello { nonce, server_time: now }))
    }

    /// Returns when the handshake must be over (COU-14).
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// Returns what to say to a device that took too long (COU-14).
    #[must_use]
    pub fn timed_out() -> Close {
        Close::new(CloseCode::HandshakeTimeout, "the connect did not come in time; check the network and try again")
    }

    /// Takes the device's first frame and checks version, audience and time, in this order (COU-12).
    ///
    /// The version was checked when the frame was read ([`FrameError::Version`](crate::FrameError::Version)).
    ///
    /// # Errors
    /// [`HandshakeEnd`]
    pub fn connect(self, frame: ClientFrame, now: Timestamp) -> Result<Claim, HandshakeEnd> {
        let refuse = |close| Err(HandshakeEnd::Refuse(close));
        let connect = match frame {
            ClientFrame::Connect(connect) => connect,
            ClientFrame::Close(close) => return Err(HandshakeEnd::Left(close)),
            // COU-3
            _ => return refuse(Close::new(CloseCode::MalformedFrame, "the first frame of a device is a connect")),
        };
        // COU-12
        if connect.audience != *self.audience {
            return refuse(Close::new(
                CloseCode::WrongAudience,
                "the device meant to reach another server; check its address",
            ));
        }
        if connect.time.distance(now) > CLOCK_SKEW_MAX {
            let close =
                Close::new(CloseCode::ClockSkew, "the device's clock is more than 5 minutes off; set it and try again");
            return refuse(close.at(now));
        }
        if connect.grant.as_ref().is_some_and(|grant| !grant.is_current(now)) {
            return refuse(unproven()); // COU-21
        }
        Ok(Claim { connect, nonce: self.nonce, binding: self.binding })
    }
}

impl Claim {
    /// Returns which device claims to connect, so that its key can be looked up.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.connect.device
    }

    /// Checks the signature with the claimed device's key, or nothing if the device is unknown (COU-12).
    ///
    /// # Errors
    /// The frame to send: `UNAUTHENTICATED`, the same for both cases.
    pub fn verify(self, key: Option<&VerifyingKey>) -> Result<Authenticated, Close> {
        let Connect { device, time, audience, signature, topics, epoch, grant } = self.connect;
        let numbers = Numbers::of(time, epoch);
        let parts = parts(&device, &numbers, &audience, &self.nonce, &self.binding);
        let may_send = grant.is_none();
        // COU-20: by the key that the device granted it, or by the device's own.
        let signer = match &grant {
            Some(grant) => key.and_then(|key| grant.verify(device, key)),
            None => key.cloned(),
        };
        match signer.map(|key| key.verify(Label::CourierConnect, &parts, &signature)) {
            Some(Ok(())) => Ok(Authenticated { device, topics, epoch, may_send }),
            Some(Err(_)) | None => Err(unproven()),
        }
    }
}

fn unproven() -> Close {
    Close::new(
        CloseCode::Unauthenticated,
        "this server knows no such device, or the device did not prove itself; it may have been removed from its account",
    )
}

impl Authenticated {
    /// Returns the device.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// Returns the topics that it wants.
    #[must_use]
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// Returns the epoch that it showed, 0 if it told none (COU-17).
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Says whether it may send: it proved itself with its own key (COU-22).
    #[must_use]
    pub fn may_send(&self) -> bool {
        self.may_send
    }
}

/// A channel binding prints nothing of itself: it is a secret of the TLS connection.
impl std::fmt::Debug for ChannelBinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Exporter(_) => "Exporter(32 bytes)",
            Self::None => "None",
        })
    }
}

/// The numbers of what is signed, as they are signed.
struct Numbers {
    time: [u8; 8],
    epoch: [u8; 8],
}

impl Numbers {
    fn of(time: Timestamp, epoch: u64) -> Self {
        Self { time: time.as_millis().to_be_bytes(), epoch: epoch.to_be_bytes() }
    }
}

/// COU-11: what is signed.
fn parts<'a>(
    device: &'a DeviceId,
    numbers: &'a Numbers,
    audience: &'a str,
    nonce: &'a [u8; NONCE_BYTES],
    binding: &'a ChannelBinding,
) -> [&'a [u8]; 6] {
    let binding: &[u8] = match binding {
        ChannelBinding::Exporter(exported) => exported,
        ChannelBinding::None => &[],
    };
    [device.as_bytes(), &numbers.time, audience.as_bytes(), nonce, binding, &numbers.epoch]
}

const _: () = assert!(PROTOCOL_VERSION == 1, "the label of the signature names version 1");

#[cfg(test)]
mod tests;
