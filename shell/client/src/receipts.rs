//! Receipts: those that this device owes, and those that it waits for. Spec: 60-client.md §2 (RCV-5, RCV-7), 50-content.md (CON-4,
//! CON-20 to CON-23).
//!
//! Owns the batching of receipts for one person into one sealed message, and the effect of a receipt on a message.
//! Receipts are never answered.

use std::collections::BTreeMap;

use halcyon_content::{Content, ConversationMembers, Kind, RECEIPT_IDS_MAX, Receipt, ReceiptKind};
use halcyon_types::{AccountId, ConversationId, DeviceId, Handle, MessageId, Timestamp};

use crate::{
    client::{Client, Inner},
    error::ProfileError,
    event::{Event, ShownDelivery, ShownReceipt},
    outbox,
    ports::{
        Change, Commit,
        store::{Delivery, DeliveryState, OutboxJob, OutboxTarget, PendingReceipt, ReceiptRecord, TargetState},
    },
    scheduled,
    state::State,
};

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The server has it, or gave it up, for every device.
    Accepted,
    /// Every device of other people said so in a receipt, or it was given up.
    Delivered,
}

impl Until {
    fn is_reached(self, delivery: &ShownDelivery) -> bool {
        match (&delivery.state, self) {
            (DeliveryState::Waiting, _) => false,
            // RCV-6: own devices do not answer.
            (DeliveryState::Accepted(_), Self::Delivered) => delivery.own,
            (DeliveryState::Accepted(_), Self::Accepted)
            | (DeliveryState::Delivered(_) | DeliveryState::Failed(_), _) => true,
        }
    }
}

impl Client {
    /// Waits until a message came so far for every device. Waits for ever if a device stays offline: set a timeout around it.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub async fn wait_delivered(&self, message: MessageId, until: Until) -> Result<Vec<ShownDelivery>, ProfileError> {
        // Subscribed before the first look, so that nothing is missed in between.
        let mut events = self.subscribe();
        loop {
            let deliveries = self.deliveries(message)?;
            // Devices that cannot be sealed for are shown as such, and tried for weeks (SND-4).
            let job = self.inner.state().store().outbox_job(message)?;
            let waits = |target: &OutboxTarget| target.state == TargetState::ToSeal && target.only.is_none();
            let in_outbox = match &job {
                Some(job) => {
                    job.targets.iter().any(waits) || !self.inner.state().store().outbox_envelopes(message)?.is_empty()
                }
                None => false,
            };
            let settled = match until {
                Until::Accepted => !in_outbox,
                Until::Delivered => true,
            };
            if settled && deliveries.iter().all(|delivery| until.is_reached(delivery)) {
                return Ok(deliveries);
            }
            let about_it = |event: &Event| match event {
                Event::Delivery { message: of, .. } => *of == message,
                Event::Missed(_) => true,
                _ => false,
            };
            while let Some(event) = events.next().await {
                if about_it(&event) {
                    break;
                }
            }
        }
    }
}

impl Inner {
    /// Makes jobs of the receipts that wait: those for one person, from one own handle, in one (RCV-5).
    pub(crate) fn gather_receipts(&self) -> Result<(), ProfileError> {
        let mut state = self.state();
        let pending = state.store().pending_receipts()?;
        let mut by_person: BTreeMap<(Handle, Handle, ReceiptKind, Timestamp), Vec<PendingReceipt>> = BTreeMap::new();
        for receipt in pending {
            let key = (receipt.to.clone(), receipt.from.clone(), receipt.kind, receipt.at);
            by_person.entry(key).or_default().push(receipt);
        }
        for ((to, from, kind, at), receipts) in by_person {
            for batch in receipts.chunks(RECEIPT_IDS_MAX) {
                self.commit_receipts(&mut state, (&to, &from), (kind, at), batch)?;
            }
        }
        Ok(())
    }

    fn commit_receipts(
        &self,
        state: &mut State,
        between: (&Handle, &Handle),
        what: (ReceiptKind, Timestamp),
        batch: &[PendingReceipt],
    ) -> Result<(), ProfileError> {
        let mut commit = Commit::new();
        for receipt in batch {
            commit.push(Change::RemovePendingReceipt(receipt.clone()));
        }
        if let Some(job) = self.receipt_job(between, what, batch) {
            commit.push(Change::PutOutboxJob(job));
        }
        state.commit(&commit)?;
        halcyon_failpoint::hit(halcyon_failpoint::Point::ClientReceipt);
        Ok(())
    }

    /// None if the receipt could not be written, which cannot happen for handles that were accepted.
    fn receipt_job(
        &self,
        (to, from): (&Handle, &Handle),
        (kind, at): (ReceiptKind, Timestamp),
        batch: &[PendingReceipt],
    ) -> Option<OutboxJob> {
        let at = (kind != ReceiptKind::Delivered).then_some(at);
        let message_ids = batch.iter().map(|receipt| receipt.message).collect();
        let content = Content {
            message_id: MessageId::from_bytes(self.rng().array()),
            sent: self.now(),
            members: ConversationMembers::new(from.clone(), [to.clone()]).ok()?,
            kind: Kind::Receipt(Receipt { kind, message_ids, at }),
            place: None,
        };
        Some(OutboxJob {
            message: content.message_id,
            silent: true,
            sender: from.clone(),
            content: halcyon_content::encode(&content).ok()?.into(),
            forced_suite: None,
            targets: vec![OutboxTarget::new(to.clone())],
            created: self.now(),
        })
    }
}

/// Adds the effect of a receipt to a commit: it counts for messages of this account to the account that sealed it (RCV-7).
pub(crate) fn take_receipt(
    state: &mut State,
    receipt: &Receipt,
    from: (&Handle, AccountId, DeviceId),
    now: Timestamp,
    commit: &mut Commit,
) -> Result<Vec<Event>, ProfileError> {
    let (handle, account, device) = from;
    let mut events = Vec::new();
    for id in &receipt.message_ids {
        if state.store().own_message(*id)?.is_none() {
            events.extend(scheduled::appear_as_made(state, *id, now)?); // SCD-6
        }
        let Some(message) = state.store().own_message(*id)? else { continue };
        let before = state.store().repairs().delivery(*id, device)?;
        // RCV-7: it was sent to everybody in the conversation, and to whoever was in the group then.
        let addressed = before.is_some() || state.is_in(message.message.conversation, account, handle)?;
        if !addressed || *handle == message.message.sender {
            continue;
        }
        if let Some(at) = receipt.at {
            // CON-23: what the reader says, but nobody reads tomorrow.
            let record =
                ReceiptRecord { message: *id, account, handle: handle.clone(), kind: receipt.kind, at: at.min(now) };
            events.extend(first_receipt(state, record, commit)?);
        }
        if before.as_ref().is_some_and(|delivery| matches!(delivery.state, DeliveryState::Delivered(_))) {
            continue;
        }
        let suite = before.as_ref().and_then(|delivery| delivery.suite);
        let place = before.and_then(|delivery| delivery.place);
        let delivery = Delivery { message: *id, account, device, suite, place, state: DeliveryState::Delivered(now) };
        events.push(delivered(state, delivery, commit)?);
    }
    Ok(events)
}

impl State {
    /// Says whether somebody is in a conversation now: in a group as an account, by the handle by which it is a member (GRP-13).
    fn is_in(&self, conversation: ConversationId, account: AccountId, handle: &Handle) -> Result<bool, ProfileError> {
        if let Some(group) = self.group_in(conversation)? {
            return Ok(group.has(account, handle));
        }
        let conversation = self.store().conversation(conversation)?;
        Ok(conversation.is_some_and(|conversation| conversation.members.contains(handle)))
    }
}

/// Adds to a commit that somebody read or played a message, if that is new, and returns what is to be told (CON-23).
fn first_receipt(state: &State, record: ReceiptRecord, commit: &mut Commit) -> Result<Option<Event>, ProfileError> {
    let known = state.store().own().receipts(record.message)?;
    if known.iter().any(|one| (one.account, one.kind) == (record.account, record.kind)) {
        return Ok(None);
    }
    let receipt = ShownReceipt { by: record.handle.clone(), kind: record.kind, at: record.at };
    let message = record.message;
    commit.push(Change::PutReceipt(record));
    Ok(Some(Event::Receipt { message, receipt }))
}

/// Adds to a commit that a device has a message, and returns what is to be told.
pub(crate) fn delivered(state: &mut State, delivery: Delivery, commit: &mut Commit) -> Result<Event, ProfileError> {
    let (message, device) = (delivery.message, delivery.device);
    let event = Event::Delivery { message, delivery: outbox::shown_delivery(state, &delivery)? };
    commit.push(Change::PutDelivery(delivery));
    commit.push(Change::MarkSentEnvelopesHad { message, device }); // REP-12
    Ok(event)
}
