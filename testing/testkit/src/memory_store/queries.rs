//! What can be asked of a store in memory about groups, what a person chose, the outbox and repairs.
//!
//! Owns nothing: it reads what [`State`](super::State) holds.

use std::ops::Range;

use halcyon_client::ports::store::{
    Delivery, DeliveryState, GroupQueries, GroupRecord, Heard, HeldMessage, KnownHandleRecord, MessageKind,
    MessageRecord, Origin, OutboxHead, OutboxJob, OutboxQueries, OwnQueries, OwnRecord, ReceiptRecord, RepairQueries,
    RepairRecord, ScheduledRecord, SentEnd, SentEnvelope, StoreError, StreamPlace, TargetState, UnopenedHead,
    UnopenedRecord, UnsealedTarget,
};
use halcyon_types::{AccountId, ConversationId, DeviceId, EnvelopeId, GroupId, Handle, MessageId, Timestamp};

use super::{MemoryStore, is_in_history};

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

fn head(record: &UnopenedRecord) -> UnopenedHead {
    UnopenedHead { id: record.id, device: record.device, cause: record.cause.clone(), at: record.at, gone: record.gone }
}
