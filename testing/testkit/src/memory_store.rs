//! A client store in memory, for tests and simulations. Port: `halcyon_client::ports::store`.
//!
//! Owns a [`MemoryDisk`], which outlives the stores opened on it as a file outlives a process.
//!
//! - A commit applies to a copy, which then replaces the original: all or nothing, as on a real disk.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use halcyon_client::ports::store::{
    AddressesRecord, AlertRecord, Change, Commit, Conversation, Delivery, DeliveryState, EARLY_READ, GroupQueries,
    GroupRecord, Heard, HeldMessage, KnownAccountRecord, KnownHandleRecord, LinkRecord, MessageKind, MessageRecord,
    NewMessage, Origin, OutboxEnvelope, OutboxHead, OutboxJob, OutboxQueries, OwnQueries, OwnRecord, PendingReceipt,
    Profile, ReceiptRecord, RepairQueries, RepairRecord, ScheduledRecord, SeenMark, SentEnd, SentEnvelope, Store,
    StoreError, StreamPlace, TargetState, UnopenedHead, UnopenedRecord, UnsealedTarget, WordIndex, deletion,
    early_read,
};
use halcyon_crypto::SecretBytes;
use halcyon_types::{AccountId, ConversationId, DeviceId, EnvelopeId, GroupId, Handle, HoldId, MessageId, Timestamp};

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

impl GroupQueries for MemoryStore {
    fn groups(&self) -> Result<Vec<GroupRecord>, StoreError> {
        self.read(|state| state.groups.clone())
    }

    fn group(&self, group: GroupId) -> Result<Option<GroupRecord>, StoreError> {
        self.read(|state| state.groups.iter().find(|record| record.group == group).cloned())
    }

    fn group_in(&self, conversation: ConversationId) -> Result<Option<GroupId>, StoreError> {
        let found = |record: &&GroupRecord| record.conversation == conversation;
        self.read(|state| state.groups.iter().find(found).map(|record| record.group))
    }

    fn held(&self, group: Option<GroupId>) -> Result<Vec<HeldMessage>, StoreError> {
        let is_asked = |held: &&HeldMessage| group.is_none_or(|group| held.group == group);
        self.read(|state| state.held.iter().filter(is_asked).cloned().collect())
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

impl OwnQueries for MemoryStore {
    fn scheduled(&self) -> Result<Vec<ScheduledRecord>, StoreError> {
        self.read(|state| state.scheduled.values().cloned().collect())
    }

    fn own_entry(&self, key: &str) -> Result<Option<OwnRecord>, StoreError> {
        self.read(|state| state.own_entries.get(key).cloned())
    }

    fn own_entries(&self, prefix: &str) -> Result<Vec<OwnRecord>, StoreError> {
        let has = |entry: &&OwnRecord| entry.key.starts_with(prefix);
        self.read(|state| state.own_entries.values().filter(has).cloned().collect())
    }

    fn unread(&self, conversation: ConversationId) -> Result<u64, StoreError> {
        Ok(self.unread_messages(conversation, u64::MAX, usize::MAX)?.len() as u64)
    }

    fn unread_messages(
        &self,
        conversation: ConversationId,
        up_to: u64,
        limit: usize,
    ) -> Result<Vec<MessageRecord>, StoreError> {
        let is_one = |record: &&MessageRecord| {
            let message = &record.message;
            (message.conversation, message.origin) == (conversation, Origin::Peer)
                && is_in_history(record)
                && message.kind != MessageKind::Change
                && (record.read, record.deleted) == (None, None)
                && record.number <= up_to
        };
        self.read(|state| state.messages.iter().filter(is_one).take(limit).cloned().collect())
    }

    fn deleted(&self) -> Result<Vec<MessageRecord>, StoreError> {
        let is_one = |record: &&MessageRecord| record.deleted.is_some() && is_in_history(record);
        self.read(|state| state.messages.iter().filter(is_one).cloned().collect())
    }

    fn read_since(&self, time: Timestamp, limit: usize) -> Result<Vec<(DeviceId, MessageId)>, StoreError> {
        self.read(|state| {
            let mut read: Vec<&MessageRecord> =
                state.messages.iter().filter(|record| record.read.is_some_and(|read| read >= time)).collect();
            read.sort_by_key(|record| std::cmp::Reverse(record.read));
            read.into_iter().take(limit).map(|record| (record.message.sender_device, record.message.id)).collect()
        })
    }

    fn receipts(&self, message: MessageId) -> Result<Vec<ReceiptRecord>, StoreError> {
        self.read(|state| state.seen_receipts.iter().filter(|one| one.message == message).cloned().collect())
    }

    fn has_written(&self, conversation: ConversationId) -> Result<bool, StoreError> {
        let wrote = |record: &MessageRecord| {
            record.message.conversation == conversation
                && record.message.origin != Origin::Peer
                && is_in_history(record)
        };
        self.read(|state| state.messages.iter().any(wrote))
    }

    fn handles_of(&self, account: AccountId) -> Result<Vec<Handle>, StoreError> {
        let of = |known: &&KnownHandleRecord| known.account == account;
        self.read(|state| state.handles.values().filter(of).map(|known| known.handle.clone()).collect())
    }
}

fn is_in_history(record: &MessageRecord) -> bool {
    matches!(record.message.kind, MessageKind::Message | MessageKind::Unsupported | MessageKind::Change)
}

impl OutboxQueries for MemoryStore {
    fn heads(&self) -> Result<Vec<OutboxHead>, StoreError> {
        self.read(|state| {
            let mut heads: Vec<OutboxHead> = Vec::new();
            for (place, job) in (1_u64..).zip(&state.jobs) {
                for envelope in state.envelopes.iter().filter(|envelope| envelope.message == job.message) {
                    match heads.iter_mut().find(|head| head.device == envelope.device) {
                        Some(head) => head.last_place = place,
                        None => heads.push(OutboxHead {
                            place,
                            last_place: place,
                            envelope: envelope.id,
                            message: envelope.message,
                            account: envelope.account,
                            device: envelope.device,
                            handle: envelope.handle.clone(),
                            not_before: envelope.not_before,
                        }),
                    }
                }
            }
            heads
        })
    }

    fn unsealed(&self) -> Result<Vec<UnsealedTarget>, StoreError> {
        self.read(|state| {
            let mut unsealed = Vec::new();
            for (place, job) in (1_u64..).zip(&state.jobs) {
                for target in job.targets.iter().filter(|target| target.state == TargetState::ToSeal) {
                    unsealed.push(UnsealedTarget { place, message: job.message, target: target.clone() });
                }
            }
            unsealed
        })
    }

    fn created_before(&self, time: Timestamp) -> Result<Vec<OutboxJob>, StoreError> {
        self.read(|state| state.jobs.iter().filter(|job| job.created < time).cloned().collect())
    }

    fn count(&self) -> Result<u64, StoreError> {
        self.read(|state| state.jobs.len() as u64)
    }
}

impl RepairQueries for MemoryStore {
    fn sent_end(&self, device: DeviceId, conversation: ConversationId, stream: u64) -> Result<u64, StoreError> {
        self.read(|state| state.sent_ends.get(&(device, conversation, stream)).copied().unwrap_or(0))
    }

    fn sent_ends(&self, of: DeviceId) -> Result<Vec<SentEnd>, StoreError> {
        self.read(|state| {
            let ends = state.sent_ends.iter().filter(|((device, ..), _)| *device == of);
            ends.map(|(&(device, conversation, stream), &last)| SentEnd { device, conversation, stream, last })
                .collect()
        })
    }

    fn delivery(&self, message: MessageId, device: DeviceId) -> Result<Option<Delivery>, StoreError> {
        let is_it = |delivery: &&Delivery| (delivery.message, delivery.device) == (message, device);
        self.read(|state| state.deliveries.iter().find(is_it).cloned())
    }

    fn delivery_at(
        &self,
        device: DeviceId,
        conversation: ConversationId,
        place: StreamPlace,
    ) -> Result<Option<Delivery>, StoreError> {
        self.read(|state| {
            let is_it = |delivery: &&Delivery| {
                delivery.device == device
                    && delivery.place == Some(place)
                    && state.conversation_of(delivery.message) == Some(conversation)
            };
            state.deliveries.iter().find(is_it).cloned()
        })
    }

    fn unconfirmed(&self, device: DeviceId, when: Range<Timestamp>) -> Result<Vec<SentEnd>, StoreError> {
        self.read(|state| {
            let waiting = |end: &SentEnd| {
                let accepted =
                    |delivery: &Delivery| matches!(delivery.state, DeliveryState::Accepted(at) if when.contains(&at));
                state.in_stream(end).iter().any(accepted)
            };
            let ends = state.sent_ends.iter().filter(|((of, ..), _)| *of == device);
            ends.map(|(&(device, conversation, stream), &last)| SentEnd { device, conversation, stream, last })
                .filter(waiting)
                .collect()
        })
    }

    fn oldest_unconfirmed(&self, device: DeviceId, since: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.read(|state| {
            let accepted = |delivery: &Delivery| match delivery.state {
                DeliveryState::Accepted(at) if delivery.device == device && delivery.place.is_some() && at >= since => {
                    Some(at)
                }
                _ => None,
            };
            state.deliveries.iter().filter_map(accepted).min()
        })
    }

    fn unconfirmed_up_to(&self, end: &SentEnd) -> Result<Vec<Delivery>, StoreError> {
        self.read(|state| {
            let mut found = state.in_stream(end);
            found.retain(|delivery| matches!(delivery.state, DeliveryState::Accepted(_)));
            found
        })
    }

    fn sent_envelope(&self, id: EnvelopeId) -> Result<Option<SentEnvelope>, StoreError> {
        self.read(|state| state.sent_envelopes.iter().find(|sent| sent.id == id).cloned())
    }

    fn heard(&self, device: DeviceId) -> Result<Vec<Heard>, StoreError> {
        self.read(|state| state.heard.values().filter(|heard| heard.device == device).cloned().collect())
    }

    fn heard_in(
        &self,
        device: DeviceId,
        conversation: ConversationId,
        stream: u64,
    ) -> Result<Option<Heard>, StoreError> {
        self.read(|state| state.heard.get(&(device, conversation, stream)).cloned())
    }

    fn gaps(&self) -> Result<Vec<Heard>, StoreError> {
        let has_gaps = |heard: &&Heard| !heard.missing.is_empty() || !heard.lost.is_empty();
        self.read(|state| state.heard.values().filter(has_gaps).cloned().collect())
    }

    fn epoch_seen(&self, device: DeviceId) -> Result<u64, StoreError> {
        self.read(|state| state.epochs_seen.get(&device).copied().unwrap_or(0))
    }

    fn unopened_of(&self, device: DeviceId) -> Result<Vec<UnopenedHead>, StoreError> {
        let of = |record: &&UnopenedRecord| record.device == Some(device);
        self.read(|state| state.unopened.iter().filter(of).map(head).collect())
    }

    fn unopened_head(&self, envelope: EnvelopeId) -> Result<Option<UnopenedHead>, StoreError> {
        self.read(|state| state.unopened.iter().find(|record| record.id == envelope).map(head))
    }

    fn repairs(&self) -> Result<Vec<RepairRecord>, StoreError> {
        self.read(|state| {
            let mut repairs: Vec<RepairRecord> = state.repairs.values().cloned().collect();
            repairs.sort_by_key(|repair| (repair.due, repair.device));
            repairs
        })
    }

    fn repair(&self, device: DeviceId) -> Result<Option<RepairRecord>, StoreError> {
        self.read(|state| state.repairs.get(&device).cloned())
    }

    fn session_devices(&self) -> Result<Vec<DeviceId>, StoreError> {
        self.read(|state| state.sessions.keys().copied().collect())
    }

    fn stored_since(&self, time: Timestamp, after: u64, limit: usize) -> Result<Vec<MessageRecord>, StoreError> {
        let wanted = |record: &&MessageRecord| record.message.stored >= time && record.number > after;
        self.read(|state| state.messages.iter().filter(wanted).take(limit).cloned().collect())
    }

    fn number_of(&self, sender_device: DeviceId, message: MessageId) -> Result<u64, StoreError> {
        let same =
            |record: &&MessageRecord| (record.message.sender_device, record.message.id) == (sender_device, message);
        self.read(|state| state.messages.iter().find(same).map_or(0, |record| record.number))
    }

    fn newest_received(&self) -> Result<Option<Timestamp>, StoreError> {
        let received = |record: &&MessageRecord| record.message.origin != Origin::Here;
        self.read(|state| state.messages.iter().filter(received).map(|record| record.message.stored).max())
    }

    fn counters(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.read(|state| state.counters.iter().map(|(name, count)| (name.clone(), *count)).collect())
    }
}

impl State {
    /// Where a message stands in its conversation (REP-15).
    fn order(&self, record: &MessageRecord) -> (u64, u64, u64) {
        let (anchor, rank) = self.late.get(&record.number).copied().unwrap_or((record.number, u64::MAX));
        (anchor, rank, record.number)
    }

    fn next_in_stream(&self, message: &NewMessage) -> Option<&MessageRecord> {
        let place = message.place?;
        let follows = |record: &&MessageRecord| {
            let other = &record.message;
            other.sender_device == message.sender_device
                && other.conversation == message.conversation
                && other.place.is_some_and(|other| other.stream == place.stream && other.number > place.number)
        };
        self.messages.iter().filter(follows).min_by_key(|record| record.message.place.map(|place| place.number))
    }

    fn conversation_of(&self, message: MessageId) -> Option<ConversationId> {
        let own = |record: &&MessageRecord| record.message.id == message && record.message.origin != Origin::Peer;
        self.messages.iter().find(own).map(|record| record.message.conversation)
    }

    fn in_stream(&self, end: &SentEnd) -> Vec<Delivery> {
        let inside = |delivery: &&Delivery| {
            delivery.device == end.device
                && delivery.place.is_some_and(|place| place.stream == end.stream && place.number <= end.last)
                && self.conversation_of(delivery.message) == Some(end.conversation)
        };
        self.deliveries.iter().filter(inside).cloned().collect()
    }

    fn message_mut(&mut self, device: DeviceId, id: MessageId) -> Option<&mut MessageRecord> {
        self.messages.iter_mut().find(|record| (record.message.sender_device, record.message.id) == (device, id))
    }

    fn forget_deleted(&mut self, time: Timestamp) {
        let is_old = |record: &MessageRecord| record.deleted.is_some_and(|at| at < time) && is_in_history(record);
        let of = |record: &MessageRecord| (record.message.id, record.message.conversation);
        let old: BTreeSet<_> = self.messages.iter().filter(|record| is_old(record)).map(of).collect();
        let kept: BTreeSet<_> =
            self.messages.iter().filter(|record| is_in_history(record) && !is_old(record)).map(of).collect();
        for record in &mut self.messages {
            let target = record.message.target.map(|target| (target, record.message.conversation));
            let goes_along = target.is_some_and(|target| old.contains(&target) && !kept.contains(&target));
            if is_old(record) || (goes_along && record.message.kind == MessageKind::Act) {
                record.message.content = bytes::Bytes::new();
                record.message.kind = MessageKind::Gone;
            }
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::PutProfile(profile) => self.profile = Some(profile),
            Change::Wipe => *self = Self::default(),
            Change::PutLink(link) => self.link = Some(link),
            Change::RemoveLink => self.link = None,
            Change::AddOwnHandle(handle) => add(&mut self.own_handles, handle, |a, b| a == b),
            Change::RemoveOwnHandle(handle) => self.own_handles.retain(|kept| *kept != handle),
            Change::PutSetting { name, value } => drop(self.settings.insert(name, value)),
            Change::IndexWords { entries, up_to } => {
                self.words.extend(entries);
                self.words.sort_by_key(|(number, _)| *number);
                self.indexed = up_to;
            }
            Change::RemoveSetting(name) => drop(self.settings.remove(&name)),
            Change::PutKnownAccount(known) => drop(self.accounts.insert(known.account, known)),
            Change::PutKnownHandle(known) => drop(self.handles.insert(known.handle.clone(), known)),
            Change::PutAddresses(record) => drop(self.addresses.insert(record.account, record)),
            Change::RemoveAddresses(account) => drop(self.addresses.remove(&account)),
            Change::AddConversation(conversation) => add(&mut self.conversations, conversation, |a, b| a.id == b.id),
            Change::PutConversation(conversation) => put(&mut self.conversations, conversation, |a, b| a.id == b.id),
            Change::PutGroup(group) => put(&mut self.groups, group, |a, b| a.group == b.group),
            Change::AddHeld { held, of_device, in_all } => {
                let device = held.device;
                add(&mut self.held, held, |a, b| (a.device, a.id) == (b.device, b.id));
                leave_newest(&mut self.held, of_device, |held| held.device == device);
                leave_newest(&mut self.held, in_all, |_| true);
            }
            Change::RemoveHeld(device, id) => self.held.retain(|held| (held.device, held.id) != (device, id)),
            Change::ForgetHeldBefore(time) => self.held.retain(|held| held.at >= time),
            Change::AddMessage(message) => {
                let number = self.messages.last().map_or(1, |record| record.number + 1);
                let same = |a: &MessageRecord, b: &MessageRecord| {
                    (a.message.sender_device, a.message.id) == (b.message.sender_device, b.message.id)
                };
                let key = (message.sender_device, message.id);
                let chosen =
                    |entry: Option<&OwnRecord>| entry.filter(|one| !one.value.is_empty()).map(|one| one.chosen);
                let deleted = chosen(self.own_entries.get(&deletion(key.0, key.1)));
                let read = chosen(self.own_entries.get(&early_read(key.0, key.1)));
                let record = MessageRecord { number, message, read, deleted };
                self.own_entries.remove(&early_read(key.0, key.1));
                let late = self.next_in_stream(&record.message).map(|next| self.order(next).0);
                if let (Some(anchor), Some(place)) = (late, record.message.place) {
                    self.late.insert(number, (anchor, place.number));
                }
                add(&mut self.messages, record, same);
            }
            Change::PutScheduled(record) => {
                self.scheduled.retain(|(_, hold), _| *hold != record.hold);
                self.scheduled.insert((record.due, record.hold), *record);
            }
            Change::RemoveScheduled(gone) => self.scheduled.retain(|(_, hold), _| *hold != gone),
            Change::PutOwnEntry(entry) => drop(self.own_entries.insert(entry.key.clone(), entry)),
            Change::MarkRead { device, message, at } => match self.message_mut(device, message) {
                Some(record) => record.read = record.read.or(Some(at)),
                None => {
                    let key = early_read(device, message);
                    let mark = OwnRecord { key: key.clone(), value: "read".to_owned(), chosen: at, device };
                    self.own_entries.entry(key).or_insert(mark);
                }
            },
            Change::MarkDeleted { device, message, at } => {
                let Some(record) = self.message_mut(device, message).filter(|record| is_in_history(record)) else {
                    return;
                };
                record.deleted = at;
                let (number, conversation) = (record.number, record.message.conversation);
                if at.is_some() {
                    let acts = self.messages.iter().filter(|record| {
                        (record.message.target, record.message.conversation) == (Some(message), conversation)
                    });
                    let gone: BTreeSet<u64> = acts.map(|record| record.number).chain([number]).collect();
                    self.words.retain(|(number, _)| !gone.contains(number));
                }
            }
            Change::ForgetDeletedBefore(time) => self.forget_deleted(time),
            Change::ForgetOwnBefore(time) => {
                let is_old =
                    |record: &MessageRecord| record.message.kind == MessageKind::Own && record.message.stored < time;
                let old: BTreeSet<MessageId> =
                    self.messages.iter().filter(|record| is_old(record)).map(|record| record.message.id).collect();
                self.deliveries.retain(|delivery| !old.contains(&delivery.message));
                self.messages.retain(|record| !is_old(record));
                self.own_entries.retain(|key, entry| !key.starts_with(EARLY_READ) || entry.chosen >= time);
            }
            Change::PutReceipt(receipt) => add(&mut self.seen_receipts, receipt, |a, b| {
                (a.message, a.account, a.kind) == (b.message, b.account, b.kind)
            }),
            Change::PutDelivery(delivery) => {
                put(&mut self.deliveries, delivery, |a, b| (a.message, a.device) == (b.message, b.device))
            }
            Change::PutOutboxJob(job) => put(&mut self.jobs, job, |a, b| a.message == b.message),
            Change::PutOutboxJobLast(job) => {
                self.jobs.retain(|kept| kept.message != job.message);
                self.jobs.push(job);
            }
            Change::RemoveOutboxJob(message) => {
                self.jobs.retain(|job| job.message != message);
                self.envelopes.retain(|envelope| envelope.message != message);
            }
            Change::PutOutboxEnvelope(envelope) => put(&mut self.envelopes, envelope, |a, b| a.id == b.id),
            Change::RemoveOutboxEnvelope(id) => self.envelopes.retain(|envelope| envelope.id != id),
            Change::AddPendingReceipt(receipt) => add(&mut self.receipts, receipt, is_same_receipt),
            Change::RemovePendingReceipt(receipt) => self.receipts.retain(|kept| !is_same_receipt(kept, &receipt)),
            Change::PutSession { device, session } => drop(self.sessions.insert(device, session)),
            Change::RemoveSession(device) => drop(self.sessions.remove(&device)),
            Change::MarkSeen { mark, at } => drop(self.seen.entry(mark).or_insert(at)),
            Change::ForgetSeenBefore(time) => self.seen.retain(|_, at| *at >= time),
            Change::AddUnopened(record) => add(&mut self.unopened, record, |a, b| a.id == b.id),
            Change::RemoveUnopened(id) => self.unopened.retain(|record| record.id != id),
            Change::ForgetUnopenedBefore(time) => self.unopened.retain(|record| record.at >= time),
            Change::BoundUnopened { device, of_device, in_all, asked } => {
                bound(&mut self.unopened, |record| record.device == device, of_device, &asked);
                bound(&mut self.unopened, |_| true, in_all, &asked);
            }
            Change::MarkUnopenedGone(id) => {
                self.unopened.iter_mut().filter(|record| record.id == id).for_each(|record| record.gone = true)
            }
            Change::PutSentEnd(end) => {
                self.sent_ends.insert((end.device, end.conversation, end.stream), end.last);
            }
            Change::PutHeard(heard) => drop(self.heard.insert((heard.device, heard.conversation, heard.stream), heard)),
            Change::RaiseEpochSeen { device, epoch } => {
                let seen = self.epochs_seen.entry(device).or_default();
                *seen = epoch.max(*seen);
            }
            Change::PutRepair(repair) => drop(self.repairs.insert(repair.device, repair)),
            Change::RemoveRepair(device) => drop(self.repairs.remove(&device)),
            Change::PutSentEnvelope(sent) => put(&mut self.sent_envelopes, sent, |a, b| a.id == b.id),
            Change::MarkSentEnvelopesHad { message, device } => {
                let of = |sent: &&SentEnvelope| (sent.message, sent.device) == (message, device);
                self.sent_had.extend(self.sent_envelopes.iter().filter(of).map(|sent| sent.id));
            }
            Change::ForgetSentEnvelopes { before, keep } => {
                self.sent_envelopes.retain(|sent| sent.at >= before);
                let mut by_worth: Vec<_> = self.sent_envelopes.iter().map(|sent| sent.id).rev().collect();
                by_worth.sort_by_key(|id| self.sent_had.contains(id));
                let kept: BTreeSet<_> =
                    by_worth.into_iter().take(usize::try_from(keep).unwrap_or(usize::MAX)).collect();
                self.sent_envelopes.retain(|sent| kept.contains(&sent.id));
            }
            Change::CountUp(name) => *self.counters.entry(name).or_default() += 1,
            Change::AddAlert(alert) => add(&mut self.alerts, alert, |a, b| a.id == b.id),
            Change::MarkAlertSeen(id) => {
                self.alerts.iter_mut().filter(|alert| alert.id == id).for_each(|alert| alert.seen = true)
            }
        }
    }
}

fn leave_newest<T>(list: &mut Vec<T>, keep: u64, counts: impl Fn(&T) -> bool) {
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    let mut excess = list.iter().filter(|one| counts(one)).count().saturating_sub(keep);
    list.retain(|one| {
        let goes = excess > 0 && counts(one);
        excess -= usize::from(goes);
        !goes
    });
}

fn is_same_receipt(a: &PendingReceipt, b: &PendingReceipt) -> bool {
    (&a.to, &a.from, a.message, a.kind) == (&b.to, &b.from, b.message, b.kind)
}

fn head(record: &UnopenedRecord) -> UnopenedHead {
    UnopenedHead { id: record.id, device: record.device, cause: record.cause.clone(), at: record.at, gone: record.gone }
}

/// Removes those beyond so many: first those that nobody is asked for, then the oldest.
fn bound(list: &mut Vec<UnopenedRecord>, counts: impl Fn(&UnopenedRecord) -> bool, keep: u64, asked: &[String]) {
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    for is_asked in [false, true] {
        let mut excess = list.iter().filter(|record| counts(record)).count().saturating_sub(keep);
        list.retain(|record| {
            let goes = excess > 0 && counts(record) && asked.contains(&record.cause) == is_asked;
            excess -= usize::from(goes);
            !goes
        });
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
