//! Warnings that a server puts into every mailbox of an account. Spec: 11-directory.md §5 (DIR-40).
//!
//! Owns what an alert says and its encoding. Does not know how it travels.
//! An alert is the server's word: clients show it, and decide nothing by it.

use bytes::Bytes;
use halcyon_types::{DeviceId, Handle, LinkId, Timestamp};
use prost::Message;

use crate::{entry::check_name, lookup::parse_normal, wire};

/// No valid alert is larger: a handle of 261 bytes, ids and a time. Checked before decoding.
pub const ALERT_BYTES_MAX: usize = 1024;

/// One warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// When it happened, by the server's clock.
    pub time: Timestamp,
    /// What happened.
    pub event: AlertEvent,
}

/// What happened to an account (DIR-40).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AlertEvent {
    /// A device was added.
    DeviceAdded(DeviceNotice),
    /// A device was removed.
    DeviceRemoved(DeviceNotice),
    /// A handle was verified for this account.
    HandleAdded(Handle),
    /// A handle was removed from this account.
    HandleRemoved(Handle),
    /// A device asks to be linked, and waits for approval.
    LinkRequested {
        /// The request.
        link: LinkId,
        /// What the device calls itself.
        name: String,
    },
    /// Something that this version does not know. It is shown as such rather than dropped.
    Unknown,
}

/// Which device, and in which list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceNotice {
    /// The device.
    pub device: DeviceId,
    /// Its name in the list.
    pub name: String,
    /// The list's version.
    pub list_version: u64,
}

/// The bytes are no alert: the server is at fault, or is newer in a way that it should not be.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the server sent a malformed alert")]
pub struct AlertError;

impl Alert {
    /// Returns the encoding, which is the payload of a notification on topic `halcyon.alert`.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        use wire::alert::Event;
        let event = match &self.event {
            AlertEvent::DeviceAdded(notice) => Some(Event::DeviceAdded(notice.to_wire())),
            AlertEvent::DeviceRemoved(notice) => Some(Event::DeviceRemoved(notice.to_wire())),
            AlertEvent::HandleAdded(handle) => Some(Event::HandleAdded(handle_alert(handle))),
            AlertEvent::HandleRemoved(handle) => Some(Event::HandleRemoved(handle_alert(handle))),
            AlertEvent::LinkRequested { link, name } => Some(Event::LinkRequested(wire::LinkAlert {
                link_id: Bytes::copy_from_slice(link.as_bytes()),
                name: name.clone(),
            })),
            AlertEvent::Unknown => None,
        };
        wire::Alert { time_ms: self.time.as_millis(), event }.encode_to_vec().into()
    }

    /// Reads an alert.
    ///
    /// # Errors
    /// [`AlertError`].
    pub fn decode(bytes: Bytes) -> Result<Self, AlertError> {
        use wire::alert::Event;
        if bytes.len() > ALERT_BYTES_MAX {
            return Err(AlertError);
        }
        let wire = wire::Alert::decode(bytes).map_err(|_| AlertError)?;
        let event = match wire.event {
            Some(Event::DeviceAdded(notice)) => AlertEvent::DeviceAdded(DeviceNotice::from_wire(notice)?),
            Some(Event::DeviceRemoved(notice)) => AlertEvent::DeviceRemoved(DeviceNotice::from_wire(notice)?),
            Some(Event::HandleAdded(alert)) => AlertEvent::HandleAdded(parse_normal(&alert.handle).ok_or(AlertError)?),
            Some(Event::HandleRemoved(alert)) => {
                AlertEvent::HandleRemoved(parse_normal(&alert.handle).ok_or(AlertError)?)
            }
            Some(Event::LinkRequested(alert)) => AlertEvent::LinkRequested {
                link: LinkId::try_from(&alert.link_id[..]).map_err(|_| AlertError)?,
                name: checked_name(alert.name)?,
            },
            None => AlertEvent::Unknown,
        };
        Ok(Self { time: Timestamp::from_millis(wire.time_ms), event })
    }
}

impl DeviceNotice {
    fn to_wire(&self) -> wire::DeviceAlert {
        wire::DeviceAlert {
            device_id: Bytes::copy_from_slice(self.device.as_bytes()),
            name: self.name.clone(),
            list_version: self.list_version,
        }
    }

    fn from_wire(wire: wire::DeviceAlert) -> Result<Self, AlertError> {
        Ok(Self {
            device: DeviceId::try_from(&wire.device_id[..]).map_err(|_| AlertError)?,
            name: checked_name(wire.name)?,
            list_version: wire.list_version,
        })
    }
}

fn handle_alert(handle: &Handle) -> wire::HandleAlert {
    wire::HandleAlert { handle: handle.as_uri().to_owned() }
}

/// An alert's name is printed like a list's, so the same rule holds (DIR-1).
fn checked_name(name: String) -> Result<String, AlertError> {
    check_name(&name).map_err(|_| AlertError)?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::padded;

    fn notice() -> DeviceNotice {
        DeviceNotice { device: DeviceId::from_bytes([2; 16]), name: "tablet".into(), list_version: 7 }
    }

    /// DIR-40: each kind of alert arrives as it was sent.
    #[test]
    fn every_kind_round_trips() {
        let handle = Handle::parse("alice@example.org").unwrap();
        let events = [
            AlertEvent::DeviceAdded(notice()),
            AlertEvent::DeviceRemoved(notice()),
            AlertEvent::HandleAdded(handle.clone()),
            AlertEvent::HandleRemoved(handle),
            AlertEvent::LinkRequested { link: LinkId::from_bytes([3; 16]), name: "laptop".into() },
            AlertEvent::Unknown,
        ];
        for event in events {
            let alert = Alert { time: Timestamp::from_millis(5), event };
            assert_eq!(Alert::decode(alert.encode()), Ok(alert));
        }
    }

    /// DIR-40, DIR-1: a name with an escape sequence does not reach a terminal.
    #[test]
    fn a_hostile_name_is_refused() {
        let event = AlertEvent::DeviceAdded(DeviceNotice { name: "\u{1b}[2J".into(), ..notice() });
        let alert = Alert { time: Timestamp::default(), event };
        assert_eq!(Alert::decode(alert.encode()), Err(AlertError));
    }

    /// DIR-40: the limit itself is allowed, one byte more is not.
    #[test]
    fn the_limit_is_exact() {
        let alert = Alert { time: Timestamp::from_millis(5), event: AlertEvent::DeviceAdded(notice()) };
        let encoded = alert.encode();
        assert_eq!(Alert::decode(padded(&encoded, ALERT_BYTES_MAX)), Ok(alert));
        assert_eq!(Alert::decode(padded(&encoded, ALERT_BYTES_MAX + 1)), Err(AlertError));
    }

    /// DIR-40: the bytes are pinned.
    #[test]
    fn the_bytes_are_pinned() {
        let alert = Alert { time: Timestamp::from_millis(5), event: AlertEvent::DeviceAdded(notice()) };
        assert_eq!(hex::encode(alert.encode()), "0805121c0a100202020202020202020202020202020212067461626c65741807");
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_fail(bytes: Vec<u8>) {
            let _ = Alert::decode(bytes.into());
        }
    }
}
