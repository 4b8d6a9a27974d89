//! What clients commit, and what of it cannot be true.
//!
//! Owns what follows for [`State`] from each commit of a client, and from what a client finds on its disk. Does not know when a client
//! commits, nor what the server did with it.

use std::collections::BTreeSet;

use halcyon_client::ports::store::{Change, Commit, Delivery, DeliveryState, MessageKind, Origin, OutboxEnvelope};
use halcyon_crypto::hash::sha256;
use halcyon_types::{AccountId, DeviceId, MessageId};
use tokio::time::Instant;

use super::{ClientTruth, Found, GIVEN_UP_MIN, RESENT_FOR, Sealed, Sent, State};
use crate::trouble::Kept;

impl State {
    pub(super) fn before_commit(&mut self, client: usize, commit: &Commit) {
        let members = commit.changes().iter().find_map(|change| match change {
            Change::AddConversation(conversation) => Some(conversation.members.clone()),
            _ => None,
        });
        for change in commit.changes() {
            if let Change::AddMessage(message) = change
                && message.kind != MessageKind::Own
                && message.origin == Origin::Here
                && !self.sends.contains_key(&message.id)
            {
                let people: BTreeSet<usize> =
                    members.iter().flatten().filter_map(|handle| self.handles.get(handle).copied()).collect();
                let mut entitled: BTreeSet<DeviceId> =
                    people.into_iter().flat_map(|person| self.devices_of(person).collect::<Vec<_>>()).collect();
                entitled.remove(&message.sender_device);
                let sent = Sent { from: client, at: Instant::now(), entitled };
                self.attempts.insert(message.id, sent);
            }
        }
    }

    pub(super) fn after_commit(&mut self, client: usize, commit: &Commit) {
        let mut truth = self.clients.remove(&client).unwrap_or_default();
        for change in commit.changes() {
            match change {
                // It is nobody's message, and is forgotten some day.
                Change::AddMessage(message) if message.kind == MessageKind::Own => {
                    self.told.insert(message.id);
                }
                Change::AddMessage(message) if truth.messages.insert(message.id) => {
                    self.trouble.had.insert((client, message.id));
                    match message.origin {
                        Origin::Here => self.promote(message.id),
                        Origin::OwnDevice | Origin::Peer => self.totals.opened += 1,
                    }
                }
                Change::AddUnopened(unopened) => {
                    truth.unopened.entry(unopened.id).or_insert_with(|| Kept::of(unopened));
                    self.totals.unopened += 1;
                }
                Change::RemoveUnopened(id) => drop(truth.unopened.remove(id)),
                Change::ForgetUnopenedBefore(time) => {
                    let aged = truth.unopened.extract_if(.., |_, kept| kept.at < *time);
                    let messages =
                        aged.filter_map(|(id, _)| self.sealed.get(&id)).map(|sealed| (sealed.message, client));
                    self.trouble.forgotten.extend(messages);
                }
                Change::MarkUnopenedGone(id) => {
                    let is_aged = self.sealed.get(id).is_some_and(|sealed| sealed.at.elapsed() >= RESENT_FOR);
                    if let Some(kept) = truth.unopened.get_mut(id) {
                        kept.gone = true;
                        kept.is_aged = is_aged;
                    }
                }
                Change::CountUp(name) if name.starts_with("repairs_total") && name.contains("\"repaired\"") => {
                    self.totals.repaired += 1;
                }
                Change::AddAlert(alert) => drop(truth.alerts.insert(alert.id)),
                Change::PutOutboxEnvelope(envelope) => self.sealed(envelope),
                Change::PutKnownAccount(known) => self.accepted_list(&mut truth, known.account, known.version),
                Change::PutDelivery(delivery) => self.delivery(client, delivery),
                _ => {}
            }
        }
        self.clients.insert(client, truth);
    }

    /// I3: what a sender is told of a device is so.
    fn delivery(&mut self, client: usize, delivery: &Delivery) {
        let key = (delivery.message, delivery.device);
        let Some(member) = self.devices.get(&delivery.device).cloned() else { return };
        self.trouble.delivery(delivery);
        // SND-4: what could not be sealed for it was, in the end.
        self.given_up.remove(&key);
        match &delivery.state {
            DeliveryState::Accepted(_) if !self.accepted.contains_key(&key) => {
                self.violated("I3, I10", "a message is shown as accepted that the server did not accept");
            }
            DeliveryState::Delivered(_) if self.told.contains(&delivery.message) => {}
            DeliveryState::Delivered(_) if !self.trouble.had.contains(&(member.client, delivery.message)) => {
                self.violated(
                    "I3",
                    &format!("a message is shown as delivered to {}, which does not have it", member.name),
                );
            }
            DeliveryState::Failed(reason) => {
                self.totals.given_up += 1;
                self.given_up.insert(key, reason.clone());
                self.say(&format!("a message of device {client} is given up for {}: {reason}", member.name));
                let age = self.sends.get(&delivery.message).map(|sent| sent.at.elapsed()).unwrap_or_default();
                let by_age = reason.contains("30 days") || reason.contains("time was over");
                if by_age && age < GIVEN_UP_MIN {
                    self.violated("I3", "a message is given up as too old that is not");
                }
                if reason.contains("does not belong to the account")
                    && member.joined.is_some()
                    && member.removed.is_none()
                {
                    self.violated(
                        "I3",
                        &format!("a message is given up for {} as if it had been removed", member.name),
                    );
                }
            }
            _ => {}
        }
    }

    fn promote(&mut self, message: MessageId) {
        if let Some(sent) = self.attempts.remove(&message) {
            self.totals.messages += 1;
            self.sends.insert(message, sent);
        }
    }

    /// I6: whoever is sealed for is a device that its person added.
    fn sealed(&mut self, envelope: &OutboxEnvelope) {
        if !self.devices.contains_key(&envelope.device) {
            self.violated("I6", "a message is sealed for a device that nobody added");
        }
        let at = self.sealed.get(&envelope.id).map_or_else(Instant::now, |before| before.at);
        let payload = sha256(&[&envelope.payload]);
        let sealed = Sealed { message: envelope.message, device: envelope.device, payload, at };
        let changed = self.sealed.get(&envelope.id).is_some_and(|before| before.payload != sealed.payload);
        if changed {
            self.violated("I1", "the bytes of an envelope changed");
        }
        self.sealed.insert(envelope.id, sealed);
    }

    /// I8
    fn accepted_list(&mut self, truth: &mut ClientTruth, account: AccountId, version: u64) {
        let before = truth.lists.insert(account, version);
        if before.is_some_and(|before| version < before) {
            self.violated("I8", "a device list is accepted that is older than one accepted before");
        }
    }

    pub(super) fn reopened(&mut self, client: usize, found: &Found) {
        let Found { truth: found, outbox, own, deliveries } = found;
        let before = self.clients.remove(&client).unwrap_or_default();
        self.trouble.had.extend(found.messages.iter().map(|message| (client, *message)));
        let of_client = |message: &MessageId| self.sends.get(message).is_some_and(|sent| sent.from == client);
        self.trouble.unconfirmed.retain(|(message, _)| !of_client(message));
        deliveries.iter().for_each(|delivery| self.trouble.delivery(delivery));
        if self.trouble.restoring.remove(&client) {
            let lost = before.messages.difference(&found.messages).copied();
            self.trouble.lost_at_source.extend(lost.filter(of_client));
            self.clients.insert(client, found.clone());
            return;
        }
        if !before.messages.is_subset(&found.messages) {
            self.violated("I2", "messages that were committed are gone after a crash");
        }
        if !before.alerts.is_subset(&found.alerts) {
            self.violated("I2", "alerts that were committed are gone after a crash");
        }
        let newer =
            |(account, version): (&AccountId, &u64)| found.lists.get(account).is_some_and(|found| found >= version);
        if !before.lists.iter().all(newer) {
            self.violated("I8", "a device list that was accepted is gone after a crash");
        }
        for envelope in outbox {
            self.sealed(envelope);
        }
        for message in own {
            self.promote(*message);
        }
        self.clients.insert(client, found.clone());
    }
}
