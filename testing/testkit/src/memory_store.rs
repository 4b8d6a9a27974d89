//! A client store in memory, for tests and simulations. Port: `halcyon_client::ports::store`.
//!
//! Owns a [`MemoryDisk`], which outlives the stores opened on it as a file outlives a process.
//!
//! - A commit applies to a copy, which then replaces the original: all or nothing, as on a real disk.

mod apply;
mod queries;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use halcyon_client::ports::store::{
    AddressesRecord, AlertRecord, Commit, Conversation, Delivery, GroupQueries, GroupRecord, Heard, HeldMessage,
    KnownAccountRecord, KnownHandleRecord, LinkRecord, MessageKind, MessageRecord, NewMessage, Origin, OutboxEnvelope,
    OutboxJob, OutboxQueries, OwnQueries, OwnRecord, PendingReceipt, Profile, ReceiptRecord, RepairQueries,
    RepairRecord, ScheduledRecord, SeenMark, SentEnvelope, Store, StoreError, UnopenedRecord, WordIndex,
};
use halcyon_crypto::SecretBytes;
use halcyon_types::{AccountId, ConversationId, DeviceId, EnvelopeId, Handle, HoldId, MessageId, Timestamp};

/// What one profile's disk holds. Cloning shares it.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    disk: Arc<Mutex<Disk>>,
}

/// A store on a [`MemoryDisk`].
pub struct MemoryStore {
    disk: MemoryDisk,
}

#[derive(Default)]
struct Disk {
    state: State,
    commits: u64,
    fails: Option<StoreError>,
}

#[derive(Clone, Default)]
struct State {
    profile: Option<Profile>,
    link: Option<LinkRecord>,
    own_handles: Vec<Handle>,
    settings: BTreeMap<String, String>,
    accounts: BTreeMap<AccountId, KnownAccountRecord>,
    handles: BTreeMap<Handle, KnownHandleRecord>,
    addresses: BTreeMap<AccountId, AddressesRecord>,
    conversations: Vec<Conversation>,
    groups: Vec<GroupRecord>,
    held: Vec<HeldMessage>,
    words: Vec<(u64, String)>,
    indexed: u64,
    messages: Vec<MessageRecord>,
    deliveries: Vec<Delivery>,
    jobs: Vec<OutboxJob>,
    envelopes: Vec<OutboxEnvelope>,
    receipts: Vec<PendingReceipt>,
    sessions: BTreeMap<DeviceId, SecretBytes>,
    seen: BTreeMap<SeenMark, Timestamp>,
    unopened: Vec<UnopenedRecord>,
    alerts: Vec<AlertRecord>,
    sent_ends: BTreeMap<(DeviceId, ConversationId, u64), u64>,
    heard: BTreeMap<(DeviceId, ConversationId, u64), Heard>,
    epochs_seen: BTreeMap<DeviceId, u64>,
    repairs: BTreeMap<DeviceId, RepairRecord>,
    sent_envelopes: Vec<SentEnvelope>,
    sent_had: BTreeSet<EnvelopeId>,
    counters: BTreeMap<String, u64>,
    own_entries: BTreeMap<String, OwnRecord>,
    scheduled: BTreeMap<(Timestamp, HoldId), ScheduledRecord>,
    seen_receipts: Vec<ReceiptRecord>,
    /// Messages that came late: before which number they stand, and in which order there.
    late: BTreeMap<u64, (u64, u64)>,
}

impl MemoryDisk {
    /// Returns an empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the profile on this disk.
    #[must_use]
    pub fn open(&self) -> MemoryStore {
        MemoryStore { disk: self.clone() }
    }

    /// Makes every commit from now on fail, or none.
    pub fn fail_commits(&self, with: Option<StoreError>) {
        self.lock().fails = with;
    }

    /// Returns how many commits happened.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.lock().commits
    }

    /// Returns another disk that holds the same: what a thief of a backup has.
    #[must_use]
    pub fn copy(&self) -> Self {
        let copy = Self::new();
        copy.lock().state = self.lock().state.clone();
        copy
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryStore {
    fn read<T>(&self, query: impl FnOnce(&State) -> T) -> Result<T, StoreError> {
        Ok(query(&self.disk.lock().state))
    }
}

impl Store for MemoryStore {
    fn commit(&mut self, commit: &Commit) -> Result<(), StoreError> {
        let mut disk = self.disk.lock();
        if let Some(error) = &disk.fails {
            return Err(error.clone());
        }
        let mut next = disk.state.clone();
        for change in commit.changes() {
            next.apply(change.clone());
        }
        disk.state = next;
        disk.commits += 1;
        Ok(())
    }

    fn profile(&self) -> Result<Option<Profile>, StoreError> {
        self.read(|state| state.profile.clone())
    }

    fn link(&self) -> Result<Option<LinkRecord>, StoreError> {
        self.read(|state| state.link.clone())
    }

    fn own_handles(&self) -> Result<Vec<Handle>, StoreError> {
        self.read(|state| state.own_handles.clone())
    }

    fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.read(|state| state.settings.get(name).cloned())
    }

    fn known_account(&self, account: AccountId) -> Result<Option<KnownAccountRecord>, StoreError> {
        self.read(|state| state.accounts.get(&account).cloned())
    }

    fn known_handle(&self, handle: &Handle) -> Result<Option<KnownHandleRecord>, StoreError> {
        self.read(|state| state.handles.get(handle).cloned())
    }

    fn addresses(&self, account: AccountId) -> Result<Option<AddressesRecord>, StoreError> {
        self.read(|state| state.addresses.get(&account).cloned())
    }

    fn conversations(&self) -> Result<Vec<Conversation>, StoreError> {
        self.read(|state| {
            let newest = |conversation: &Conversation| {
                state
                    .messages
                    .iter()
                    .filter(|record| record.message.conversation == conversation.id)
                    .map(|record| state.order(record).0)
                    .max()
            };
            let mut conversations = state.conversations.clone();
            conversations.sort_by_key(|conversation| std::cmp::Reverse(newest(conversation)));
            conversations
        })
    }

    fn conversation(&self, id: ConversationId) -> Result<Option<Conversation>, StoreError> {
        self.read(|state| state.conversations.iter().find(|conversation| conversation.id == id).cloned())
    }

    fn history(
        &self,
        conversation: ConversationId,
        before: u64,
        limit: usize,
    ) -> Result<Vec<MessageRecord>, StoreError> {
        self.read(|state| {
            let is_inside = |record: &&MessageRecord| {
                record.message.conversation == conversation && is_in_history(record) && record.deleted.is_none()
            };
            let inside = state.messages.iter().filter(is_inside);
            let mut shown: Vec<MessageRecord> = inside.cloned().collect();
            shown.sort_by_key(|record| state.order(record));
            let end = shown.iter().position(|record| record.number == before);
            let end = end.unwrap_or_else(|| shown.partition_point(|record| state.order(record) < (before, 0, 0)));
            shown.truncate(end);
            shown.split_off(end.saturating_sub(limit))
        })
    }

    fn messages_with(&self, id: MessageId) -> Result<Vec<MessageRecord>, StoreError> {
        let is_it = |record: &&MessageRecord| record.message.id == id;
        self.read(|state| state.messages.iter().filter(is_it).cloned().collect())
    }

    fn acts_on(&self, id: MessageId) -> Result<Vec<MessageRecord>, StoreError> {
        let is_one = |record: &&MessageRecord| record.message.target == Some(id);
        self.read(|state| state.messages.iter().filter(is_one).cloned().collect())
    }

    fn own_message(&self, id: MessageId) -> Result<Option<MessageRecord>, StoreError> {
        self.read(|state| {
            state
                .messages
                .iter()
                .find(|record| record.message.id == id && record.message.origin != Origin::Peer)
                .cloned()
        })
    }

    fn has_message(&self, sender_device: DeviceId, id: MessageId) -> Result<bool, StoreError> {
        let same = |message: &NewMessage| (message.sender_device, message.id) == (sender_device, id);
        self.read(|state| state.messages.iter().any(|record| same(&record.message)))
    }

    fn newest_number(&self) -> Result<u64, StoreError> {
        self.read(|state| state.messages.iter().map(|record| record.number).max().unwrap_or(0))
    }

    fn deliveries(&self, message: MessageId) -> Result<Vec<Delivery>, StoreError> {
        self.read(|state| state.deliveries.iter().filter(|delivery| delivery.message == message).cloned().collect())
    }

    fn outbox(&self) -> &dyn OutboxQueries {
        self
    }

    fn outbox_jobs(&self) -> Result<Vec<OutboxJob>, StoreError> {
        self.read(|state| state.jobs.clone())
    }

    fn outbox_job(&self, message: MessageId) -> Result<Option<OutboxJob>, StoreError> {
        self.read(|state| state.jobs.iter().find(|job| job.message == message).cloned())
    }

    fn outbox_envelopes(&self, message: MessageId) -> Result<Vec<OutboxEnvelope>, StoreError> {
        self.read(|state| state.envelopes.iter().filter(|envelope| envelope.message == message).cloned().collect())
    }

    fn outbox_envelope(&self, id: EnvelopeId) -> Result<Option<OutboxEnvelope>, StoreError> {
        self.read(|state| state.envelopes.iter().find(|envelope| envelope.id == id).cloned())
    }

    fn pending_receipts(&self) -> Result<Vec<PendingReceipt>, StoreError> {
        self.read(|state| state.receipts.clone())
    }

    fn repairs(&self) -> &dyn RepairQueries {
        self
    }

    fn groups(&self) -> &dyn GroupQueries {
        self
    }

    fn own(&self) -> &dyn OwnQueries {
        self
    }

    fn words(&self) -> &dyn WordIndex {
        self
    }

    fn session(&self, device: DeviceId) -> Result<Option<SecretBytes>, StoreError> {
        self.read(|state| state.sessions.get(&device).cloned())
    }

    fn has_seen(&self, mark: &SeenMark) -> Result<bool, StoreError> {
        self.read(|state| state.seen.contains_key(mark))
    }

    fn unopened(&self) -> Result<Vec<UnopenedRecord>, StoreError> {
        self.read(|state| state.unopened.clone())
    }

    fn alerts(&self) -> Result<Vec<AlertRecord>, StoreError> {
        self.read(|state| state.alerts.clone())
    }

    fn seen_before(&self, time: Timestamp) -> Result<u64, StoreError> {
        self.read(|state| state.seen.values().filter(|at| **at < time).count() as u64)
    }
}

impl WordIndex for MemoryStore {
    fn indexed(&self) -> Result<u64, StoreError> {
        self.read(|state| state.indexed)
    }

    fn having(&self, words: &[String], before: u64, limit: usize) -> Result<Vec<u64>, StoreError> {
        let Some((last, rest)) = words.split_last() else { return Ok(Vec::new()) };
        let (last, rest) = (last.to_lowercase(), rest.iter().map(|word| word.to_lowercase()).collect::<Vec<_>>());
        let fits = |(number, text): &&(u64, String)| {
            let text = text.to_lowercase();
            let said: Vec<&str> = text.split(|one: char| !one.is_alphanumeric()).collect();
            *number < before
                && rest.iter().all(|word| said.contains(&word.as_str()))
                && said.iter().any(|word| word.starts_with(&last))
        };
        self.read(|state| state.words.iter().rev().filter(fits).map(|(number, _)| *number).take(limit).collect())
    }
}

/// Whether a message stands among those that a person sees.
fn is_in_history(record: &MessageRecord) -> bool {
    matches!(record.message.kind, MessageKind::Message | MessageKind::Unsupported | MessageKind::Change)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World(MemoryDisk);

    impl crate::conformance::store::World for World {
        fn open(&mut self) -> Box<dyn Store> {
            Box::new(self.0.open())
        }
    }

    #[test]
    fn the_store_in_memory_is_a_store() {
        crate::conformance::store::run(|| World(MemoryDisk::new()));
    }
}
