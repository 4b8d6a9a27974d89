//! What a commit does to a store in memory.
//!
//! Owns each change's effect. All or nothing is [`MemoryStore`](super::MemoryStore)'s: it applies to a copy.

use std::collections::BTreeSet;

use halcyon_client::ports::store::{
    Change, Delivery, EARLY_READ, MessageKind, MessageRecord, NewMessage, Origin, OwnRecord, PendingReceipt, SentEnd,
    SentEnvelope, UnopenedRecord, deletion, early_read,
};
use halcyon_types::{ConversationId, DeviceId, MessageId, Timestamp};

use super::{State, is_in_history};

impl State {
    /// Where a message stands in its conversation (REP-15).
    pub(super) fn order(&self, record: &MessageRecord) -> (u64, u64, u64) {
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

    pub(super) fn conversation_of(&self, message: MessageId) -> Option<ConversationId> {
        let own = |record: &&MessageRecord| record.message.id == message && record.message.origin != Origin::Peer;
        self.messages.iter().find(own).map(|record| record.message.conversation)
    }

    pub(super) fn in_stream(&self, end: &SentEnd) -> Vec<Delivery> {
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

    pub(super) fn apply(&mut self, change: Change) {
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
