//! A client store in memory, for tests and simulations. Port: `halcyon_client::ports::store`.
//!
//! Owns a [`MemoryDisk`], which outlives the stores opened on it as a file outlives a process.
//!
//! - A commit applies to a copy, which then replaces the original: all or nothing, as on a real disk.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use halcyon_client::ports::store::{
    AddressesRecord, AlertRecord, Change, Commit, Conversation, Delivery, KnownAccountRecord, KnownHandleRecord,
    MessageRecord, NewMessage, Origin, OutboxEnvelope, OutboxJob, PendingReceipt, Profile, SeenMark, Store, StoreError,
    UnopenedRecord,
};
use halcyon_crypto::SecretBytes;
use halcyon_types::{AccountId, ConversationId, DeviceId, EnvelopeId, Handle, MessageId, Timestamp};

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
    own_handles: Vec<Handle>,
    settings: BTreeMap<String, String>,
    accounts: BTreeMap<AccountId, KnownAccountRecord>,
    handles: BTreeMap<Handle, KnownHandleRecord>,
    addresses: BTreeMap<AccountId, AddressesRecord>,
    conversations: Vec<Conversation>,
    messages: Vec<MessageRecord>,
    deliveries: Vec<Delivery>,
    jobs: Vec<OutboxJob>,
    envelopes: Vec<OutboxEnvelope>,
    receipts: Vec<PendingReceipt>,
    sessions: BTreeMap<DeviceId, SecretBytes>,
    seen: BTreeMap<SeenMark, Timestamp>,
    unopened: Vec<UnopenedRecord>,
    alerts: Vec<AlertRecord>,
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
                    .map(|record| record.number)
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
            let wanted =
                |record: &&MessageRecord| record.message.conversation == conversation && record.number < before;
            let mut newest: Vec<_> = state.messages.iter().filter(wanted).rev().take(limit).cloned().collect();
            newest.reverse();
            newest
        })
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

    fn deliveries(&self, message: MessageId) -> Result<Vec<Delivery>, StoreError> {
        self.read(|state| state.deliveries.iter().filter(|delivery| delivery.message == message).cloned().collect())
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

impl State {
    fn apply(&mut self, change: Change) {
        match change {
            Change::PutProfile(profile) => self.profile = Some(profile),
            Change::Wipe => *self = Self::default(),
            Change::AddOwnHandle(handle) => add(&mut self.own_handles, handle, |a, b| a == b),
            Change::RemoveOwnHandle(handle) => self.own_handles.retain(|kept| *kept != handle),
            Change::PutSetting { name, value } => drop(self.settings.insert(name, value)),
            Change::RemoveSetting(name) => drop(self.settings.remove(&name)),
            Change::PutKnownAccount(known) => drop(self.accounts.insert(known.account, known)),
            Change::PutKnownHandle(known) => drop(self.handles.insert(known.handle.clone(), known)),
            Change::PutAddresses(record) => drop(self.addresses.insert(record.account, record)),
            Change::RemoveAddresses(account) => drop(self.addresses.remove(&account)),
            Change::AddConversation(conversation) => add(&mut self.conversations, conversation, |a, b| a.id == b.id),
            Change::AddMessage(message) => {
                let number = self.messages.last().map_or(1, |record| record.number + 1);
                let same = |a: &MessageRecord, b: &MessageRecord| {
                    (a.message.sender_device, a.message.id) == (b.message.sender_device, b.message.id)
                };
                add(&mut self.messages, MessageRecord { number, message }, same);
            }
            Change::PutDelivery(delivery) => {
                put(&mut self.deliveries, delivery, |a, b| (a.message, a.device) == (b.message, b.device))
            }
            Change::PutOutboxJob(job) => put(&mut self.jobs, job, |a, b| a.message == b.message),
            Change::RemoveOutboxJob(message) => {
                self.jobs.retain(|job| job.message != message);
                self.envelopes.retain(|envelope| envelope.message != message);
            }
            Change::PutOutboxEnvelope(envelope) => put(&mut self.envelopes, envelope, |a, b| a.id == b.id),
            Change::RemoveOutboxEnvelope(id) => self.envelopes.retain(|envelope| envelope.id != id),
            Change::AddPendingReceipt(receipt) => add(&mut self.receipts, receipt, |a, b| a == b),
            Change::RemovePendingReceipt(receipt) => self.receipts.retain(|kept| *kept != receipt),
            Change::PutSession { device, session } => drop(self.sessions.insert(device, session)),
            Change::RemoveSession(device) => drop(self.sessions.remove(&device)),
            Change::MarkSeen { mark, at } => drop(self.seen.entry(mark).or_insert(at)),
            Change::ForgetSeenBefore(time) => self.seen.retain(|_, at| *at >= time),
            Change::AddUnopened(record) => add(&mut self.unopened, record, |a, b| a.id == b.id),
            Change::RemoveUnopened(id) => self.unopened.retain(|record| record.id != id),
            Change::ForgetUnopenedBefore(time) => self.unopened.retain(|record| record.at >= time),
            Change::AddAlert(alert) => add(&mut self.alerts, alert, |a, b| a.id == b.id),
            Change::MarkAlertSeen(id) => {
                self.alerts.iter_mut().filter(|alert| alert.id == id).for_each(|alert| alert.seen = true)
            }
        }
    }
}

fn add<T>(list: &mut Vec<T>, item: T, same: impl Fn(&T, &T) -> bool) {
    if !list.iter().any(|kept| same(kept, &item)) {
        list.push(item);
    }
}

fn put<T>(list: &mut Vec<T>, item: T, same: impl Fn(&T, &T) -> bool) {
    match list.iter_mut().find(|kept| same(kept, &item)) {
        Some(kept) => *kept = item,
        None => list.push(item),
    }
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
