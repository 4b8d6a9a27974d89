//! Events, messages and deliveries as lines: JSON for scripts, words for people.
//!
//! Owns the JSON fields, which are part of the interface: fields are added, never renamed or removed.
//! Does not know when something is printed.
//!
//! - Ids are lower-case hex, times are milliseconds since 1970 in UTC (`…_ms`), handles are URIs.
//! - In words, whatever a peer or server chose is sanitized (CON-3); in JSON it is as it was sent.

pub mod group;
pub mod message;
pub mod part;
mod words;

pub use group::{GroupChangeLine, GroupLine, GroupNameLine};
pub use message::{ActLine, MessageLine, ReceiptLine};
pub use part::NamedLine;
pub(crate) use words::{address as address_words, short as short_id, time as time_words, whose};

use halcyon_client::event::{ConnectionState, DeliveryState, Event, Notice, ShownAlert, ShownDelivery, ShownMessage};
use halcyon_client::{RepairStep, ShownGap, ShownRepair};
use halcyon_directory::alert::AlertEvent;
use halcyon_directory::resolver::Change;
use serde::Serialize;

/// One line of `halcyon listen --output json`, also used wherever else the same thing is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Line {
    /// A message: one that arrived, or was written on an own device.
    Message(Box<MessageLine>),
    /// Something that was done to a message: one that arrived, or was done on an own device.
    Act(ActLine),
    /// A change of a group: one that arrived, or was made on an own device.
    GroupChange(GroupChangeLine),
    /// A message's way to one device.
    Delivery(DeliveryLine),
    /// Somebody said what they want to be called, or takes that back.
    Named(NamedLine),
    /// Somebody read or played a message.
    Receipt {
        /// The message.
        message: String,
        /// Who did what, when.
        #[serde(flatten)]
        receipt: ReceiptLine,
    },
    /// Somebody types, or stopped.
    Typing {
        /// In which conversation.
        conversation: String,
        /// Who.
        by: String,
        /// Whether something is to come.
        typing: bool,
    },
    /// Another device of this account told what its person chose or read: what `halcyon conversations` lists may look different.
    Chosen {
        /// How many choices.
        choices: usize,
        /// How many messages were read.
        read: usize,
    },
    /// Something arrived that does not open.
    Unopened {
        /// The device that it claims to be from.
        device: Option<String>,
        /// Why, in one word. `no-key`: it is being asked for again.
        cause: String,
    },
    /// What did not come or did not open is asked for, is here, or takes long.
    Repair(RepairLine),
    /// Messages are missing at this place of a conversation, or cannot be recovered.
    Gap(GapLine),
    /// Somebody's devices changed, as that person signed it.
    DevicesChanged {
        /// The person.
        handle: String,
        /// What changed.
        changes: Vec<ChangeLine>,
    },
    /// An alert of the server, or an alarm of this client.
    Alert(AlertLine),
    /// The connection is in another state.
    Connection(ConnectionLine),
    /// So many events were not printed, because they were not read in time. They are in the profile.
    Missed {
        /// How many.
        count: u64,
    },
}

/// What is being repaired with one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RepairLine {
    /// `asked`, `done` or `stuck`.
    pub step: &'static str,
    /// The device that is asked.
    pub device: String,
    /// Its name, if known.
    pub device_name: Option<String>,
    /// Its handle.
    pub handle: String,
    /// Messages that came and did not open.
    pub unopened: usize,
    /// Messages that did not come.
    pub missing: u64,
    /// Messages of the device that cannot be recovered, all that there ever were.
    pub lost: u64,
    /// Since when.
    pub since_ms: u64,
    /// How often the device was asked.
    pub asked: u32,
    /// When it is asked next, if it has to be.
    pub next_ms: u64,
    /// Why it takes longer than an hour, and what to do.
    pub advice: Option<String>,
}

/// A gap, where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GapLine {
    /// In which conversation.
    pub conversation: String,
    /// The message that comes directly behind it; null at the end.
    pub before: Option<String>,
    /// The device that sent what is missing.
    pub device: String,
    /// Its name, if known.
    pub device_name: Option<String>,
    /// Its handle.
    pub handle: String,
    /// Messages that are asked for.
    pub missing: u64,
    /// Messages that cannot be recovered.
    pub lost: u64,
}

/// A message's way to one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeliveryLine {
    /// The message.
    pub message: String,
    /// The device's account.
    pub account: String,
    /// The device.
    pub device: String,
    /// Its name, if known.
    pub device_name: Option<String>,
    /// Whether it is an own device; those do not send receipts.
    pub own: bool,
    /// The suite that it was sealed with.
    pub suite: Option<String>,
    /// `waiting`, `accepted`, `delivered` or `failed`.
    pub state: &'static str,
    /// When it was accepted or delivered.
    pub at_ms: Option<u64>,
    /// Why it failed.
    pub reason: Option<String>,
}

/// A change of somebody's devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangeLine {
    /// `first-met`, `device-added`, `device-removed`, `device-renamed` or `other`.
    pub change: &'static str,
    /// The device; null for `first-met`.
    pub device: Option<String>,
    /// Its name.
    pub name: Option<String>,
}

/// An alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AlertLine {
    /// Names it.
    pub id: String,
    /// When it was stored here.
    pub at_ms: u64,
    /// Whether it was shown by `halcyon alerts` before.
    pub seen: bool,
    /// `device-added`, `device-removed`, `handle-added`, `handle-removed`, `link-requested`, `refused`, `link-tampered`,
    /// `device-copied`, `profile-restored`, `server-went-back`, `removed` or `unknown`.
    pub notice: &'static str,
    /// Which device, where it is about one.
    pub device: Option<String>,
    /// What the device is called.
    pub device_name: Option<String>,
    /// Which handle, where it is about one.
    pub handle: Option<String>,
    /// Why an answer was refused.
    pub reason: Option<String>,
}

/// How it stands with the connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectionLine {
    /// `offline`, `connecting`, `online`, `waiting` or `refused`.
    pub state: &'static str,
    /// Why there is none.
    pub cause: Option<String>,
    /// When it is tried again.
    pub until_ms: Option<u64>,
}

impl Line {
    /// Returns the line of a message, or of an act.
    #[must_use]
    pub fn of_message(message: &ShownMessage) -> Self {
        match (&message.act, GroupChangeLine::new(message)) {
            (Some(act), _) => Self::Act(ActLine::new(message, act)),
            (None, Some(change)) => Self::GroupChange(change),
            (None, None) => Self::Message(Box::new(message.into())),
        }
    }

    /// Returns the line of an event; nothing for an event that this version of the command line does not know.
    #[must_use]
    pub fn of_event(event: &Event) -> Option<Self> {
        Some(match event {
            Event::Message(message) | Event::Acted { act: message, .. } => Self::of_message(message),
            Event::Delivery { message, delivery } => Self::Delivery(DeliveryLine::new(&message.to_hex(), delivery)),
            Event::Named { handle, naming } => Self::Named(NamedLine::new(handle, naming)),
            Event::Receipt { message, receipt } => Self::Receipt { message: message.to_hex(), receipt: receipt.into() },
            Event::Typing { conversation, by, typing } => Self::Typing {
                conversation: conversation.to_hex(),
                by: by.to_string(),
                typing: *typing == halcyon_client::Typing::Started,
            },
            Event::Chosen { entries, read } => Self::Chosen { choices: *entries, read: *read },
            Event::Unopened { device, cause } => {
                Self::Unopened { device: device.map(|device| device.to_hex()), cause: cause.clone() }
            }
            Event::Repair { step, repair } => Self::Repair(RepairLine::new(*step, repair)),
            Event::DevicesChanged { handle, changes } => Self::DevicesChanged {
                handle: handle.to_string(),
                changes: changes.iter().map(ChangeLine::from).collect(),
            },
            Event::Alert(alert) => Self::Alert(alert.into()),
            Event::Connection(state) => Self::Connection(state.into()),
            Event::Missed(count) => Self::Missed { count: *count },
            _ => return None,
        })
    }
}

impl RepairLine {
    /// Returns the line of a repair that came so far.
    #[must_use]
    pub fn new(step: RepairStep, repair: &ShownRepair) -> Self {
        Self {
            step: match step {
                RepairStep::Asked => "asked",
                RepairStep::Done => "done",
                RepairStep::Stuck => "stuck",
            },
            device: repair.device.to_hex(),
            device_name: repair.device_name.clone(),
            handle: repair.handle.to_string(),
            unopened: repair.unopened,
            missing: repair.missing,
            lost: repair.lost,
            since_ms: repair.since.as_millis(),
            asked: repair.asked,
            next_ms: repair.next.as_millis(),
            advice: repair.stuck.clone(),
        }
    }
}

impl GapLine {
    /// Returns the gap directly before a message, if there is one.
    #[must_use]
    pub fn before(message: &ShownMessage) -> Option<Self> {
        (message.missing_before > 0 || message.lost_before > 0).then(|| Self {
            conversation: message.conversation.to_hex(),
            before: Some(message.id.to_hex()),
            device: message.sender_device.to_hex(),
            device_name: message.sender_device_name.clone(),
            handle: message.sender.to_string(),
            missing: message.missing_before,
            lost: message.lost_before,
        })
    }
}

impl From<&ShownGap> for GapLine {
    /// At the end of a conversation.
    fn from(gap: &ShownGap) -> Self {
        Self {
            conversation: gap.conversation.to_hex(),
            before: None,
            device: gap.device.to_hex(),
            device_name: gap.device_name.clone(),
            handle: gap.handle.to_string(),
            missing: gap.missing_count(),
            lost: gap.lost_count(),
        }
    }
}

impl DeliveryLine {
    /// Returns the line of a delivery of the message with this id in hex.
    #[must_use]
    pub fn new(message: &str, delivery: &ShownDelivery) -> Self {
        let (state, at, reason) = match &delivery.state {
            DeliveryState::Waiting => ("waiting", None, None),
            DeliveryState::Accepted(at) => ("accepted", Some(*at), None),
            DeliveryState::Delivered(at) => ("delivered", Some(*at), None),
            DeliveryState::Failed(reason) => ("failed", None, Some(reason.clone())),
            _ => ("unknown", None, None),
        };
        Self {
            message: message.to_owned(),
            account: delivery.account.to_hex(),
            device: delivery.device.to_hex(),
            device_name: delivery.device_name.clone(),
            own: delivery.own,
            suite: delivery.suite.map(|suite| suite.to_string()),
            state,
            at_ms: at.map(halcyon_types::Timestamp::as_millis),
            reason,
        }
    }
}

impl From<&Change> for ChangeLine {
    fn from(change: &Change) -> Self {
        let line = |change, device: &halcyon_types::DeviceId, name: &str| Self {
            change,
            device: Some(device.to_hex()),
            name: Some(name.to_owned()),
        };
        match change {
            Change::FirstMet { .. } => Self { change: "first-met", device: None, name: None },
            Change::DeviceAdded { device, name } => line("device-added", device, name),
            Change::DeviceRemoved { device, name } => line("device-removed", device, name),
            Change::DeviceRenamed { device, now, .. } => line("device-renamed", device, now),
            _ => Self { change: "other", device: None, name: None },
        }
    }
}

impl From<&ShownAlert> for AlertLine {
    fn from(alert: &ShownAlert) -> Self {
        let mut line = Self {
            id: alert.id.to_hex(),
            at_ms: alert.at.as_millis(),
            seen: alert.seen,
            notice: "unknown",
            device: None,
            device_name: None,
            handle: None,
            reason: None,
        };
        match &alert.notice {
            Notice::Server(AlertEvent::DeviceAdded(device)) => {
                line.notice = "device-added";
                line.device = Some(device.device.to_hex());
                line.device_name = Some(device.name.clone());
            }
            Notice::Server(AlertEvent::DeviceRemoved(device)) => {
                line.notice = "device-removed";
                line.device = Some(device.device.to_hex());
                line.device_name = Some(device.name.clone());
            }
            Notice::Server(AlertEvent::HandleAdded(handle)) => {
                line.notice = "handle-added";
                line.handle = Some(handle.to_string());
            }
            Notice::Server(AlertEvent::HandleRemoved(handle)) => {
                line.notice = "handle-removed";
                line.handle = Some(handle.to_string());
            }
            Notice::Server(AlertEvent::LinkRequested { name, .. }) => {
                line.notice = "link-requested";
                line.device_name = Some(name.clone());
            }
            Notice::Refused { handle, reason } => {
                line.notice = "refused";
                line.handle = Some(handle.to_string());
                line.reason = Some(reason.clone());
            }
            Notice::LinkTampered { name } => {
                line.notice = "link-tampered";
                line.device_name = Some(name.clone());
            }
            Notice::DeviceCopied { handle, name } => {
                line.notice = "device-copied";
                line.handle = Some(handle.to_string());
                line.device_name = Some(name.clone());
            }
            Notice::ProfileRestored => line.notice = "profile-restored",
            Notice::ServerWentBack => line.notice = "server-went-back",
            Notice::Removed => line.notice = "removed",
            _ => {}
        }
        line
    }
}

impl From<&ConnectionState> for ConnectionLine {
    fn from(state: &ConnectionState) -> Self {
        let line = |state| Self { state, cause: None, until_ms: None };
        match state {
            ConnectionState::Offline => line("offline"),
            ConnectionState::Connecting => line("connecting"),
            ConnectionState::Online { .. } => line("online"),
            ConnectionState::Waiting { cause, until } => {
                Self { state: "waiting", cause: Some(cause.clone()), until_ms: Some(until.as_millis()) }
            }
            ConnectionState::Refused { cause } => Self { state: "refused", cause: Some(cause.clone()), until_ms: None },
            _ => line("unknown"),
        }
    }
}

#[cfg(test)]
mod tests;
