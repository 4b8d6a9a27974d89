//! What a server stores and delivers. Spec: 30-courier.md §4 (COU-43).
//!
//! Owns the envelope's encoding and the checks on reading it. Does not know what the payload means, or who is trusted:
//! to a device, everything in an envelope but the payload's own signature is the server's word.

use bytes::Bytes;
use halcyon_types::{AccountId, DeviceId, EnvelopeId, Handle, SuiteId, Timestamp, Topic};
use prost::Message;

use crate::{limits::ENVELOPE_BYTES_MAX, wire};

/// One notification on its way to one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Drawn by the sender (IDN-8), or by the server for an alert.
    pub id: EnvelopeId,
    /// What it is about.
    pub topic: Topic,
    /// Who sent it, as the server authenticated it.
    pub origin: Origin,
    /// Sealed by a suite, or an encoded alert.
    pub payload: Bytes,
    /// When the server took it.
    pub accepted: Timestamp,
    /// When it is deleted undelivered; the epoch for "now or never".
    pub expires: Timestamp,
}

/// Who a notification is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The server itself, on topic `halcyon.alert`.
    Server,
    /// A device.
    Device(Sender),
}

/// A device that sent something (COU-43).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Its account.
    pub account: AccountId,
    /// The device.
    pub device: DeviceId,
    /// The handle that it sent from, one of the account's.
    pub handle: Handle,
    /// The version of its own list that it named.
    pub list_version: u64,
    /// The suite that sealed the payload.
    pub suite: SuiteId,
}

/// The bytes are no envelope. A device that gets this from its server acknowledges it and moves on.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the server delivered a malformed envelope")]
pub struct EnvelopeError;

impl Envelope {
    /// Returns the encoding, in one allocation.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let sender = match &self.origin {
            Origin::Server => None,
            Origin::Device(sender) => Some(sender),
        };
        let copy = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
        let wire = wire::Envelope {
            envelope_id: copy(self.id.as_bytes()),
            topic: self.topic.as_str().to_owned(),
            sender_account: sender.map_or_else(Bytes::new, |sender| copy(sender.account.as_bytes())),
            sender_device: sender.map_or_else(Bytes::new, |sender| copy(sender.device.as_bytes())),
            sender_handle: sender.map_or_else(String::new, |sender| sender.handle.as_uri().to_owned()),
            sender_list_version: sender.map_or(0, |sender| sender.list_version),
            suite: sender.map_or(0, |sender| sender.suite.as_u32()),
            payload: self.payload.clone(),
            accepted_ms: self.accepted.as_millis(),
            expires_ms: self.expires.as_millis(),
        };
        wire.encode_to_vec().into()
    }

    /// Reads an envelope; the payload shares memory with `bytes`.
    ///
    /// # Errors
    /// [`EnvelopeError`]
    pub fn decode(bytes: Bytes) -> Result<Self, EnvelopeError> {
        if bytes.len() > ENVELOPE_BYTES_MAX {
            return Err(EnvelopeError);
        }
        let wire = wire::Envelope::decode(bytes).map_err(|_| EnvelopeError)?;
        Self::from_wire(wire).ok_or(EnvelopeError)
    }

    fn from_wire(wire: wire::Envelope) -> Option<Self> {
        let topic = Topic::parse(&wire.topic).ok()?;
        // COU-33, COU-43: alerts are from the server and everything else is from a device, so neither passes for the other.
        let origin = if topic.is_for_clients() {
            Origin::Device(Sender {
                account: AccountId::try_from(&wire.sender_account[..]).ok()?,
                device: DeviceId::try_from(&wire.sender_device[..]).ok()?,
                handle: parse_normal(&wire.sender_handle)?,
                list_version: wire.sender_list_version,
                suite: SuiteId::from_u32(wire.suite),
            })
        } else if wire.sender_account.is_empty() && wire.sender_device.is_empty() && wire.sender_handle.is_empty() {
            Origin::Server
        } else {
            return None;
        };
        Some(Self {
            id: EnvelopeId::try_from(&wire.envelope_id[..]).ok()?,
            topic,
            origin,
            payload: wire.payload,
            accepted: Timestamp::from_millis(wire.accepted_ms),
            expires: Timestamp::from_millis(wire.expires_ms),
        })
    }
}

/// IDN-1: on the wire a handle is in normal form already.
pub(crate) fn parse_normal(uri: &str) -> Option<Handle> {
    Handle::parse(uri).ok().filter(|handle| handle.as_uri() == uri)
}

#[cfg(test)]
mod tests;
