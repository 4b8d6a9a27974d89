//! What the person of this account chose, and how it gets to the other devices. Spec: 52-own-devices.md (OWN-1 to OWN-6).
//!
//! Owns the entries: which one counts, what of them the store shows at once, and the sealed messages that take them to own devices.
//! Does not know what a value means: `preferences`, `people` and `trash` do.
//!
//! - What is chosen here, what it changes, and the message that tells it are one commit (OWN-4).
//! - Only own devices are told, and only own devices are believed (OWN-1).

use bytes::Bytes;
use halcyon_content::{
    Content, ConversationMembers, Kind, OWN_ENTRIES_MAX, OWN_READ_MAX, Own, OwnEntry, OwnKey, OwnValue, SealedMessage,
};
use halcyon_types::{DeviceId, Duration, Handle, MessageId, Timestamp};

use crate::{
    client::Inner,
    error::ProfileError,
    event::Event,
    handles,
    ports::{
        Change, Commit,
        store::{EARLY_READ, MessageKind, NewMessage, Origin, OutboxJob, OutboxTarget, OwnRecord},
    },
    repair::Peer,
    state::State,
    trash,
};

/// The setting that says that this device knows nothing of what was chosen, and is to ask for it (OWN-5).
const WANTED: &str = "own.wanted";
/// Bytes of entries in one content: what is left of a plaintext when its ids and handles are taken off.
const ENTRIES_BYTES_MAX: usize = 12_000;
/// Bytes that an entry takes besides key and value.
const ENTRY_BYTES: usize = 64;
/// OWN-5: what was read before is on no device that could ask.
const READ_TOLD_FOR: Duration = Duration::from_days(30);
/// OWN-5: messages that a device is told were read: 16 contents.
const READ_TOLD_MAX: usize = 16 * OWN_READ_MAX;
/// Stands for everything that was chosen among what was sent again (OWN-5).
const EVERYTHING: MessageId = MessageId::from_bytes([1; MessageId::LEN]);

/// What is to be told, while a commit is made.
#[derive(Default)]
pub(crate) struct Choices {
    entries: Vec<OwnEntry>,
    read: Vec<SealedMessage>,
}

impl Choices {
    /// Chooses a value for a key; an empty one takes back what was chosen. Nothing is told if that is so already.
    pub(crate) fn choose(
        &mut self,
        inner: &Inner,
        state: &State,
        key: OwnKey,
        value: OwnValue,
    ) -> Result<(), ProfileError> {
        let kept = state.own_entry(&key)?;
        if kept.as_ref().map_or_else(|| value.is_empty(), |kept| kept.value == value) {
            return Ok(());
        }
        // OWN-4: later than what it takes the place of, whatever the clock says.
        let after = kept.map(|kept| Timestamp::from_millis(kept.chosen.as_millis().saturating_add(1)));
        let chosen = after.map_or(inner.now(), |after| after.max(inner.now()));
        self.entries.push(OwnEntry { key, value, chosen, device: state.own()?.device });
        Ok(())
    }

    /// Says that a message was read.
    pub(crate) fn read(&mut self, message: SealedMessage) {
        self.read.push(message);
    }

    /// Adds to a commit what was chosen, what follows from it here, and what takes it to the other devices (OWN-4).
    pub(crate) fn commit(self, inner: &Inner, state: &State, commit: &mut Commit) -> Result<(), ProfileError> {
        let now = inner.now();
        for entry in &self.entries {
            keep(state, entry, commit)?;
        }
        for SealedMessage { device, message } in &self.read {
            commit.push(Change::MarkRead { device: *device, message: *message, at: now });
        }
        for own in contents(self.entries, &self.read, now) {
            tell(inner, state, own, None, now, commit)?;
        }
        Ok(())
    }
}

/// Cuts what is to be told into contents that are small enough (OWN-2).
fn contents(entries: Vec<OwnEntry>, read: &[SealedMessage], read_at: Timestamp) -> Vec<Own> {
    let mut told: Vec<Own> = Vec::new();
    let mut bytes = 0;
    for entry in entries {
        let entry_bytes = ENTRY_BYTES + entry.key.to_string().len() + entry.value.as_str().len();
        bytes += entry_bytes;
        match told.last_mut() {
            Some(own) if own.entries.len() < OWN_ENTRIES_MAX && bytes <= ENTRIES_BYTES_MAX => own.entries.push(entry),
            _ => {
                bytes = entry_bytes;
                told.push(Own { entries: vec![entry], ..Own::default() });
            }
        }
    }
    told.extend(read.chunks(OWN_READ_MAX).map(|read| Own { read: read.to_vec(), read_at, ..Own::default() }));
    told
}

/// Adds to a commit a message to all other own devices, or to one. It is kept as what was sent here, so that it is numbered, confirmed,
/// and sent again like any other (OWN-6); an account without a handle tells nobody.
fn tell(
    inner: &Inner,
    state: &State,
    own: Own,
    to: Option<DeviceId>,
    now: Timestamp,
    commit: &mut Commit,
) -> Result<(), ProfileError> {
    let Some(from) = handles::own_handles(state.store())?.into_iter().next() else { return Ok(()) };
    let content = Content {
        message_id: MessageId::from_bytes(inner.rng().array()),
        sent: now,
        members: ConversationMembers::own(from.clone()),
        kind: Kind::Own(own),
        place: None,
    };
    let Ok(encoded) = halcyon_content::encode(&content) else {
        return Err(ProfileError::Damaged("what was chosen"));
    };
    let (account, encoded) = (state.own()?, Bytes::from(encoded));
    commit.push(Change::AddMessage(NewMessage {
        id: content.message_id,
        conversation: content.members.id(),
        origin: Origin::Here,
        kind: MessageKind::Own,
        sender: from.clone(),
        sender_account: account.account,
        sender_device: account.device,
        suite: None,
        sent: now,
        stored: now,
        content: encoded.clone(),
        place: None,
        target: None,
    }));
    let target = match to {
        None => OutboxTarget::new(from.clone()),
        Some(device) => OutboxTarget::only(from.clone(), device),
    };
    let job = OutboxJob::again(content.message_id, from, encoded, now);
    commit.push(Change::PutOutboxJob(OutboxJob { targets: vec![target], ..job }));
    Ok(())
}

/// Adds an entry that counts to a commit, with what it changes in the store at once.
fn keep(state: &State, entry: &OwnEntry, commit: &mut Commit) -> Result<(), ProfileError> {
    commit.push(Change::PutOwnEntry(record(entry)));
    match &entry.key {
        OwnKey::Deleted(message) => trash::apply(state, *message, entry, commit),
        _ => Ok(()),
    }
}

/// Adds to a commit what another device of this account tells. Anybody else's word counts for nothing (OWN-1).
pub(crate) fn take(
    inner: &Inner,
    state: &mut State,
    own: &Own,
    from: &Peer,
    commit: &mut Commit,
) -> Result<Vec<Event>, ProfileError> {
    if state.own()?.account != from.account {
        return Ok(Vec::new());
    }
    let mut counted = 0;
    for (at, entry) in own.entries.iter().enumerate() {
        // The later of two in one content counts, too (OWN-3).
        let beaten = own.entries[at + 1..].iter().any(|other| other.key == entry.key && other.beats(entry));
        let before = own.entries[..at].iter().any(|other| other.key == entry.key && !entry.beats(other));
        let kept = state.own_entry(&entry.key)?;
        if !beaten && !before && kept.is_none_or(|kept| entry.beats(&kept)) {
            keep(state, entry, commit)?;
            counted += 1;
        }
    }
    for SealedMessage { device, message } in &own.read {
        commit.push(Change::MarkRead { device: *device, message: *message, at: own.read_at });
    }
    if own.wanted {
        tell_everything(inner, state, from, commit)?;
    }
    let read = own.read.len();
    Ok(if counted + read > 0 { vec![Event::Chosen { entries: counted, read }] } else { Vec::new() })
}

/// OWN-5: to the device that asked, at most once a minute.
fn tell_everything(inner: &Inner, state: &mut State, to: &Peer, commit: &mut Commit) -> Result<(), ProfileError> {
    let now = inner.now();
    if !state.resent.may(EVERYTHING, to.device, now) {
        return Ok(());
    }
    let entries: Vec<OwnEntry> = state.store().own().own_entries("")?.iter().filter_map(entry).collect();
    let read = state.store().own().read_since(now.minus(READ_TOLD_FOR), READ_TOLD_MAX)?;
    let read: Vec<SealedMessage> =
        read.into_iter().map(|(device, message)| SealedMessage { device, message }).collect();
    for own in contents(entries, &read, now) {
        tell(inner, state, own, Some(to.device), now, commit)?;
    }
    Ok(())
}

/// Says in a commit that this device is to ask the others for what was chosen (OWN-5).
pub(crate) fn want(commit: &mut Commit) {
    commit.push(Change::PutSetting { name: WANTED.to_owned(), value: "on".to_owned() });
}

impl Inner {
    /// OWN-5: asks the other devices, if this one is to and there are any.
    pub(crate) fn ask_for_choices(&self) -> Result<(), ProfileError> {
        let mut state = self.state();
        if state.store().setting(WANTED)?.is_none() {
            return Ok(());
        }
        let account = state.own()?.account;
        let devices = state.known(account)?.map_or(0, |known| known.list().devices().len());
        let mut commit = Commit::new();
        if devices > 1 {
            let own = Own { wanted: true, ..Own::default() };
            tell(self, &state, own, None, self.now(), &mut commit)?;
        }
        commit.push(Change::RemoveSetting(WANTED.to_owned()));
        Ok(state.commit(&commit)?)
    }

    /// Commits choices, and has them sent.
    pub(crate) fn commit_choices(
        &self,
        state: &mut State,
        choices: Choices,
        mut commit: Commit,
    ) -> Result<(), ProfileError> {
        choices.commit(self, state, &mut commit)?;
        state.commit(&commit)?;
        self.outbox.notify_one();
        Ok(())
    }
}

impl State {
    /// Returns what was chosen for a key, or taken back.
    pub(crate) fn own_entry(&self, key: &OwnKey) -> Result<Option<OwnEntry>, ProfileError> {
        Ok(self.store().own().own_entry(&key.to_string())?.as_ref().and_then(entry))
    }

    /// Returns the value that was chosen for a key; none if none was, or it was taken back.
    pub(crate) fn chosen(&self, key: &OwnKey) -> Result<Option<OwnValue>, ProfileError> {
        Ok(self.own_entry(key)?.map(|entry| entry.value).filter(|value| !value.is_empty()))
    }

    /// Returns all that was chosen for keys that begin so.
    pub(crate) fn all_chosen(&self, prefix: &str) -> Result<Vec<OwnEntry>, ProfileError> {
        let records = self.store().own().own_entries(prefix)?;
        Ok(records.iter().filter_map(entry).filter(|entry| !entry.value.is_empty()).collect())
    }
}

fn record(entry: &OwnEntry) -> OwnRecord {
    let OwnEntry { key, value, chosen, device } = entry;
    OwnRecord { key: key.to_string(), value: value.as_str().to_owned(), chosen: *chosen, device: *device }
}

/// None for a mark that waits for its message.
fn entry(record: &OwnRecord) -> Option<OwnEntry> {
    if record.key.starts_with(EARLY_READ) {
        return None;
    }
    let (key, value) = (record.key.parse().ok()?, OwnValue::new(record.value.clone())?);
    Some(OwnEntry { key, value, chosen: record.chosen, device: record.device })
}

/// Returns what names several people together, whoever writes to them: as if they were a conversation of their own (OWN-7).
pub(crate) fn people_id(people: &[Handle]) -> Option<halcyon_types::ConversationId> {
    let (first, others) = people.split_first()?;
    let members = ConversationMembers::new(first.clone(), others.iter().cloned());
    Some(members.unwrap_or_else(|_| ConversationMembers::own(first.clone())).id())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// OWN-2: however much was chosen, every content is small enough to be written.
    #[test]
    fn what_is_told_fits() {
        let handle = |n: u64| Handle::parse(&format!("{n:0>60}@{}.example.org", "b".repeat(60))).unwrap();
        let entry = |n: u64| OwnEntry {
            key: OwnKey::Contact(handle(n)),
            value: OwnValue::new("é".repeat(256)).unwrap(),
            chosen: Timestamp::from_millis(u64::MAX),
            device: DeviceId::from_bytes([7; 16]),
        };
        let entries: Vec<OwnEntry> = (0..200).map(entry).collect();
        let sealed = SealedMessage { device: DeviceId::from_bytes([7; 16]), message: MessageId::from_bytes([8; 16]) };
        let told = contents(entries.clone(), &[sealed; 600], Timestamp::from_millis(5));
        for own in &told {
            let members = ConversationMembers::own(handle(1));
            let (message_id, sent) = (MessageId::from_bytes([1; 16]), Timestamp::from_millis(1));
            let content = Content { message_id, sent, members, kind: Kind::Own(own.clone()), place: None };
            assert!(halcyon_content::encode(&content).is_ok());
        }
        let back: Vec<OwnEntry> = told.iter().flat_map(|own| own.entries.clone()).collect();
        assert_eq!(back, entries);
        assert_eq!(told.iter().map(|own| own.read.len()).collect::<Vec<_>>()[told.len() - 3..], [256, 256, 88]);
    }
}
