//! Messages that are sent at a time. Spec: 60-client.md §4 (SCD-1 to SCD-7), 30-courier.md §6, 52-own-devices.md §4.
//!
//! Owns what waits for its time: what a person may ask for, and what they are shown. Does not know when it is sealed, held and sent:
//! [`tend`] does, while online.
//!
//! - What waits is in no history, and leaves only by its time, or because somebody took it back.
//! - Nothing is taken back here before the server said that it does not make it.

mod appear;
mod tend;

use std::collections::{HashSet, VecDeque};

use halcyon_content::{Kind, OWN_VALUE_BYTES_MAX, OwnEntry, OwnKey, OwnValue, Part};
use halcyon_courier::{
    HeldAnswer, HoldQuestion, HoldState, UncheckedHold,
    limits::{HOLD_MAX, HOLDS_MAX},
};
use halcyon_types::{DeviceId, GroupId, Handle, HoldId, Timestamp};
use tokio::sync::oneshot;

use crate::{
    client::{Client, Inner},
    error::{ProfileError, SendError},
    own::Choices,
    ports::{Change, Commit, store::ScheduledRecord},
    send::Draft,
    state::State,
};

pub(crate) use appear::appear_as_made;

/// A message that waits for its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledMessage {
    /// Names it, on all devices of the account.
    pub hold: HoldId,
    /// When it is sent.
    pub due: Timestamp,
    /// For whom, as far as this device knows: another one tells only so many. Nobody in a group.
    pub recipients: Vec<Handle>,
    /// In which group.
    pub group: Option<GroupId>,
    /// What it says, or on another device how it begins.
    pub text: String,
    /// The device that wrote it.
    pub device: DeviceId,
    /// Whether that is this one.
    pub here: bool,
    /// How far it came.
    pub state: ScheduledState,
}

/// How far a message came that waits for its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScheduledState {
    /// The server does not have it yet; it is given to it when this device is online.
    Here,
    /// The server holds it, and sends it whether this device is online or not.
    Held,
    /// It cannot be held, and why.
    Failed(String),
}

/// What came of taking one back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It is not sent.
    TakenBack,
    /// It was sent already; nothing was lost.
    SentAlready,
    /// The server cannot say now.
    Unanswered,
    /// Nothing waits by this name, here or at the server.
    NotKnown,
}

/// What the server is to be asked, in order; and what is being taken back meanwhile.
#[derive(Default)]
pub(crate) struct Holds {
    to_ask: VecDeque<ToAsk>,
    cancelling: HashSet<HoldId>,
    /// What was looked up anew before it is due, in this process.
    looked_up: HashSet<HoldId>,
}

/// Something to be asked, and who waits for the answer.
pub(crate) struct ToAsk {
    pub(crate) what: Asked,
    pub(crate) answer: oneshot::Sender<HeldAnswer>,
}

/// What the server is asked.
pub(crate) enum Asked {
    Hold(Box<UncheckedHold>),
    Question(HoldQuestion),
}

impl Holds {
    fn ask(&mut self, what: Asked) -> oneshot::Receiver<HeldAnswer> {
        let (answer, answered) = oneshot::channel();
        self.to_ask.push_back(ToAsk { what, answer });
        answered
    }

    /// Returns what is to be asked next, if anybody still waits for it.
    pub(crate) fn next(&mut self) -> Option<ToAsk> {
        while let Some(next) = self.to_ask.pop_front() {
            if !next.answer.is_closed() {
                return Some(next);
            }
        }
        None
    }
}

impl Client {
    /// Commits a message that is to be sent at a time (SCD-1). Once this returned, it is given to the server as soon as this client is
    /// online, in this process or a later one.
    ///
    /// # Errors
    /// [`SendError`]; nothing was committed.
    pub async fn schedule(&self, draft: Draft, due: Timestamp) -> Result<ScheduledMessage, SendError> {
        let inner = &*self.inner;
        let now = inner.server_now();
        // SCD-2
        if due <= now {
            return Err(SendError::TimeIsOver);
        }
        if due > now.plus(HOLD_MAX) {
            return Err(SendError::TooFarAhead);
        }
        let mut content = inner.content(&draft)?;
        content.sent = due;
        let encoded = halcyon_content::encode(&content)?;
        // In a group, who cannot be found does not keep the others from being written to.
        if content.members.group().is_none() {
            inner.resolve_members(&content.members, &draft.recipients).await?;
        }
        let record = ScheduledRecord {
            hold: HoldId::from_bytes(inner.rng().array()),
            message: content.message_id,
            due,
            content: encoded.into(),
            held: false,
            epoch: 0,
            copies: Vec::new(),
            attempts: 0,
            not_before: Timestamp::default(),
            failure: String::new(),
        };
        let mut state = inner.state();
        if state.store().own().scheduled()?.len() >= HOLDS_MAX {
            return Err(SendError::TooManyScheduled);
        }
        state
            .commit(&Commit::new().with(Change::PutScheduled(Box::new(record.clone()))))
            .map_err(ProfileError::from)?;
        let shown = shown(&record, state.own()?.device);
        drop(state);
        inner.scheduled.notify_one();
        inner.note_scheduled();
        Ok(shown)
    }

    /// Returns what waits for its time, on this device and the others of the account, what is due first at first.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn scheduled(&self) -> Result<Vec<ScheduledMessage>, ProfileError> {
        let now = self.inner.server_now();
        let state = self.inner.state();
        let device = state.own()?.device;
        let mut all = Vec::new();
        for record in state.store().own().scheduled()? {
            if !is_taken_back(&state, record.hold)? {
                all.push(shown(&record, device));
            }
        }
        let told = state.all_chosen("scheduled/")?;
        let others = told.iter().filter(|entry| entry.device != device).filter_map(of_entry);
        all.extend(others.filter(|message| message.due > now));
        all.sort_by_key(|message| (message.due, message.hold));
        Ok(all)
    }

    /// Waits until the server holds a message of this device, or it failed or is gone. Waits for ever while offline: set a timeout
    /// around it.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub async fn wait_held(&self, hold: HoldId) -> Result<Option<ScheduledMessage>, ProfileError> {
        let mut changes = self.inner.scheduled_changes.subscribe();
        loop {
            let found = self.scheduled()?.into_iter().find(|message| message.hold == hold);
            match &found {
                Some(message) if message.state == ScheduledState::Here => {}
                _ => return Ok(found),
            }
            // The sender is a part of this client.
            let _ = changes.changed().await;
        }
    }

    /// Takes a message back that waits for its time, on whichever device it was written (SCD-7). Waits for the server: be online, and
    /// set a timeout around it.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub async fn cancel_scheduled(&self, hold: HoldId) -> Result<Cancelled, ProfileError> {
        let inner = &*self.inner;
        let is_known = self.scheduled()?.iter().any(|message| message.hold == hold);
        let _cancelling = Cancelling::begin(inner, hold);
        let asked = {
            let question = HoldQuestion { id: 0, hold, cancel: true };
            inner.state().holds.ask(Asked::Question(question))
        };
        inner.outbox.notify_one();
        match asked.await.map(|answer| answer.state) {
            Ok(HoldState::NotKnown) if !is_known => Ok(Cancelled::NotKnown),
            Ok(HoldState::Cancelled | HoldState::NotKnown) => {
                inner.forget_scheduled(hold)?;
                Ok(Cancelled::TakenBack)
            }
            Ok(HoldState::Released) => {
                inner.scheduled.notify_one();
                Ok(Cancelled::SentAlready)
            }
            Ok(_) | Err(_) => Ok(Cancelled::Unanswered),
        }
    }
}

/// Keeps what is being taken back from being held anew, as long as it lives.
struct Cancelling<'a>(&'a Inner, HoldId);

impl<'a> Cancelling<'a> {
    fn begin(inner: &'a Inner, hold: HoldId) -> Self {
        inner.state().holds.cancelling.insert(hold);
        Self(inner, hold)
    }
}

impl Drop for Cancelling<'_> {
    fn drop(&mut self) {
        self.0.state().holds.cancelling.remove(&self.1);
    }
}

impl Inner {
    /// Removes what is not sent, here and on the other devices (OWN-30).
    fn forget_scheduled(&self, hold: HoldId) -> Result<(), ProfileError> {
        let mut state = self.state();
        let mut choices = Choices::default();
        choices.choose(self, &state, OwnKey::Scheduled(hold), OwnValue::default())?;
        let commit = Commit::new().with(Change::RemoveScheduled(hold));
        self.commit_choices(&mut state, choices, commit)?;
        drop(state);
        self.note_scheduled();
        Ok(())
    }

    fn note_scheduled(&self) {
        self.scheduled_changes.send_modify(|changes| *changes = changes.wrapping_add(1));
    }
}

/// Whether another device said that it took it back.
fn is_taken_back(state: &State, hold: HoldId) -> Result<bool, ProfileError> {
    Ok(state.own_entry(&OwnKey::Scheduled(hold))?.is_some_and(|entry| entry.value.is_empty()))
}

fn shown(record: &ScheduledRecord, device: DeviceId) -> ScheduledMessage {
    let content = halcyon_content::decode(&record.content).ok();
    let (recipients, group, text) = content.map_or_else(Default::default, |content| {
        let group = content.members.group().map(|group| group.id);
        (content.members.recipients().to_vec(), group, text_of(&content.kind).to_owned())
    });
    let state = match (record.failure.as_str(), record.held) {
        ("", true) => ScheduledState::Held,
        ("", false) => ScheduledState::Here,
        (failure, _) => ScheduledState::Failed(failure.to_owned()),
    };
    ScheduledMessage { hold: record.hold, due: record.due, recipients, group, text, device, here: true, state }
}

fn text_of(kind: &Kind) -> &str {
    let Kind::Message(message) = kind else { return "" };
    let text = message.parts.iter().find_map(|part| match part {
        Part::Text(text) => Some(text.text.as_str()),
        _ => None,
    });
    text.unwrap_or_default()
}

/// OWN-30: bytes of the recipients in what the other devices are told.
const RECIPIENTS_BYTES_MAX: usize = 256;
/// OWN-30: stands before the id of a group, in the place of recipients.
const GROUP: &str = "group:";

/// Returns what the other devices are told of a message (OWN-30).
fn entry_value(message: &ScheduledMessage) -> OwnValue {
    let mut value = format!("{}\n", message.due.as_millis());
    let begin = value.len();
    if let Some(group) = message.group {
        value.push_str(GROUP);
        value.push_str(&group.to_hex());
    }
    for handle in &message.recipients {
        let uri = handle.as_uri();
        if value.len() - begin + uri.len() + 1 > RECIPIENTS_BYTES_MAX {
            break;
        }
        if value.len() > begin {
            value.push(' ');
        }
        value.push_str(uri);
    }
    value.push('\n');
    let room = OWN_VALUE_BYTES_MAX - value.len();
    let end = (0..=room.min(message.text.len())).rev().find(|at| message.text.is_char_boundary(*at)).unwrap_or(0);
    value.push_str(&message.text[..end]);
    OwnValue::new(value).unwrap_or_default()
}

/// Reads what another device told; none if it is of another form.
fn of_entry(entry: &OwnEntry) -> Option<ScheduledMessage> {
    let OwnKey::Scheduled(hold) = entry.key else { return None };
    let (due, rest) = entry.value.as_str().split_once('\n')?;
    let (handles, text) = rest.split_once('\n')?;
    Some(ScheduledMessage {
        hold,
        due: Timestamp::from_millis(due.parse().ok()?),
        recipients: handles.split(' ').filter_map(|uri| Handle::parse(uri).ok()).collect(),
        group: handles.strip_prefix(GROUP).and_then(|id| id.parse().ok()),
        text: text.to_owned(),
        device: entry.device,
        here: false,
        state: ScheduledState::Held,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// OWN-30: whatever is scheduled, what is told of it fits, and is read as it was told.
    #[test]
    fn what_is_told_fits_and_is_read() {
        let handle = |n: u64| Handle::parse(&format!("{n:0>40}@example.org")).unwrap();
        let hold = HoldId::from_bytes([3; 16]);
        let device = DeviceId::from_bytes([4; 16]);
        for (people, text) in [(1, "hi\nthere".to_owned()), (32, "é".repeat(8_000)), (0, String::new())] {
            let message = ScheduledMessage {
                hold,
                due: Timestamp::from_millis(1_800_000_000_000),
                recipients: (0..people).map(handle).collect(),
                group: (people == 0).then_some(GroupId::from_bytes([5; 16])),
                text,
                device,
                here: false,
                state: ScheduledState::Held,
            };
            let value = entry_value(&message);
            assert!(!value.is_empty());
            let entry = OwnEntry { key: OwnKey::Scheduled(hold), value, chosen: message.due, device };
            let read = of_entry(&entry).unwrap();
            assert!(message.text.starts_with(&read.text) && message.recipients.starts_with(&read.recipients));
            assert_eq!((read.due, read.recipients.is_empty()), (message.due, people == 0));
            assert_eq!(read.group, message.group);
        }
    }
}
