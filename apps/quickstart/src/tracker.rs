//! What was sent, and where it still has to arrive.
//!
//! Owns the expectation: every message at every other device, and a receipt from every device of the other person.
//! Does not send, receive, or wait.
//!
//! - A device that is offline is not waited for; what it misses is remembered, and waited for once it is online again.
//! - What was sent by a device that is now offline may still lie in its outbox, so nothing of it is waited for.

use std::collections::{BTreeMap, BTreeSet};

use halcyon_types::MessageId;

use crate::cast::Device;

/// Messages on their way, of this run.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    sent: BTreeMap<u64, Sent>,
    by_id: BTreeMap<MessageId, u64>,
    next: u64,
    offline: BTreeSet<Device>,
}

#[derive(Debug)]
struct Sent {
    id: MessageId,
    text: String,
    from: Device,
    arrivals_missing: BTreeSet<Device>,
    receipts_missing: BTreeSet<Device>,
}

/// Something that did not happen yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) device: Device,
    pub(crate) what: What,
    pub(crate) text: String,
}

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The message at the device.
    Arrival,
    /// The device's receipt at the sender.
    Receipt,
}

impl Tracker {
    /// Notes a message that was committed for sending.
    pub(crate) fn sent(&mut self, id: MessageId, from: Device, text: &str) {
        let others = Device::ALL.into_iter().filter(|device| *device != from);
        let sent = Sent {
            id,
            text: text.to_owned(),
            from,
            arrivals_missing: others.collect(),
            receipts_missing: from.owner().other().devices().into(),
        };
        self.by_id.insert(id, self.next);
        self.sent.insert(self.next, sent);
        self.next += 1;
    }

    /// Notes that a message arrived at a device.
    pub(crate) fn arrived(&mut self, id: MessageId, at: Device) {
        self.note(id, |sent| sent.arrivals_missing.remove(&at));
    }

    /// Notes that the sender got a device's receipt. Returns the text if `at` is the device that sent the message in this run: every
    /// device of the sender gets the receipt, and one of them tells.
    pub(crate) fn delivered(&mut self, id: MessageId, to: Device, at: Device) -> Option<String> {
        let text = self.sent_by(id, at).map(|sent| sent.text.clone())?;
        self.note(id, |sent| sent.receipts_missing.remove(&to));
        Some(text)
    }

    /// Notes that the sender gave a device up, so that it is not waited for. Returns whether `at` is the device that sent the message
    /// in this run.
    pub(crate) fn failed(&mut self, id: MessageId, to: Device, at: Device) -> bool {
        if self.sent_by(id, at).is_none() {
            return false;
        }
        self.note(id, |sent| sent.receipts_missing.remove(&to) | sent.arrivals_missing.remove(&to));
        true
    }

    fn sent_by(&self, id: MessageId, device: Device) -> Option<&Sent> {
        self.by_id.get(&id).and_then(|number| self.sent.get(number)).filter(|sent| sent.from == device)
    }

    fn note(&mut self, id: MessageId, note: impl FnOnce(&mut Sent) -> bool) {
        let Some(number) = self.by_id.get(&id).copied() else { return };
        let Some(sent) = self.sent.get_mut(&number) else { return };
        note(sent);
        if sent.arrivals_missing.is_empty() && sent.receipts_missing.is_empty() {
            self.by_id.remove(&sent.id);
            self.sent.remove(&number);
        }
    }

    pub(crate) fn set_offline(&mut self, device: Device) {
        self.offline.insert(device);
    }

    pub(crate) fn set_online(&mut self, device: Device) {
        self.offline.remove(&device);
    }

    pub(crate) fn is_online(&self, device: Device) -> bool {
        !self.offline.contains(&device)
    }

    /// Returns what should happen without anybody's doing: everything that is missing between devices that are online.
    pub(crate) fn expected(&self) -> Vec<Missing> {
        self.missing(|sent, device| self.is_online(sent.from) && self.is_online(device))
    }

    /// Returns what waits for a device to come online.
    pub(crate) fn waiting(&self) -> Vec<Missing> {
        self.missing(|sent, device| !(self.is_online(sent.from) && self.is_online(device)))
    }

    /// Returns how many messages are on their way to somewhere that is waited for.
    pub(crate) fn messages_expected(&self) -> usize {
        let open = |sent: &&Sent| {
            let devices = sent.arrivals_missing.iter().chain(&sent.receipts_missing);
            self.is_online(sent.from) && devices.into_iter().any(|device| self.is_online(*device))
        };
        self.sent.values().filter(open).count()
    }

    fn missing(&self, counts: impl Fn(&Sent, Device) -> bool) -> Vec<Missing> {
        let mut missing = Vec::new();
        for sent in self.sent.values() {
            let arrivals = sent.arrivals_missing.iter().map(|device| (*device, What::Arrival));
            // A receipt of a message that did not arrive is not missed on its own.
            let receipts =
                sent.receipts_missing.difference(&sent.arrivals_missing).map(|device| (*device, What::Receipt));
            for (device, what) in arrivals.chain(receipts).filter(|(device, _)| counts(sent, *device)) {
                missing.push(Missing { device, what, text: sent.text.clone() });
            }
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Device::{AliceLaptop, AlicePhone, BobPhone, BobTablet};

    fn id(byte: u8) -> MessageId {
        MessageId::from_bytes([byte; 16])
    }

    #[test]
    fn a_message_is_waited_for_at_every_other_device_and_its_receipts_at_the_sender() {
        let mut tracker = Tracker::default();
        tracker.sent(id(1), AlicePhone, "hello");
        assert_eq!(tracker.expected().len(), 3);
        for device in [AliceLaptop, BobPhone, BobTablet] {
            tracker.arrived(id(1), device);
        }
        let receipts: Vec<_> = tracker.expected().into_iter().map(|missing| (missing.device, missing.what)).collect();
        assert_eq!(receipts, [(BobPhone, What::Receipt), (BobTablet, What::Receipt)]);
        assert_eq!(tracker.messages_expected(), 1);
        assert_eq!(tracker.delivered(id(1), BobPhone, AliceLaptop), None);
        assert_eq!(tracker.delivered(id(1), BobPhone, AlicePhone).as_deref(), Some("hello"));
        tracker.delivered(id(1), BobTablet, AlicePhone);
        assert_eq!(tracker.expected(), []);
        assert_eq!(tracker.messages_expected(), 0);
    }

    #[test]
    fn an_offline_device_is_waited_for_once_it_is_back() {
        let mut tracker = Tracker::default();
        tracker.set_offline(BobTablet);
        tracker.sent(id(1), AlicePhone, "hello");
        for device in [AliceLaptop, BobPhone] {
            tracker.arrived(id(1), device);
        }
        tracker.delivered(id(1), BobPhone, AlicePhone);
        assert_eq!(tracker.expected(), []);
        let waiting = Missing { device: BobTablet, what: What::Arrival, text: "hello".into() };
        assert_eq!(tracker.waiting(), std::slice::from_ref(&waiting));
        tracker.set_online(BobTablet);
        assert_eq!(tracker.expected(), [waiting]);
    }

    #[test]
    fn an_offline_sender_keeps_its_outbox() {
        let mut tracker = Tracker::default();
        tracker.set_offline(AlicePhone);
        tracker.sent(id(1), AlicePhone, "later");
        assert_eq!(tracker.expected(), []);
        assert_eq!(tracker.waiting().len(), 3);
    }

    #[test]
    fn a_device_that_was_given_up_is_not_waited_for() {
        let mut tracker = Tracker::default();
        tracker.sent(id(1), AlicePhone, "hello");
        assert!(tracker.failed(id(1), BobTablet, AlicePhone));
        assert!(tracker.expected().iter().all(|missing| missing.device != BobTablet));
    }

    #[test]
    fn what_was_sent_before_this_run_is_nobodys_expectation() {
        let mut tracker = Tracker::default();
        tracker.arrived(id(9), BobPhone);
        assert_eq!(tracker.delivered(id(9), BobPhone, AlicePhone), None);
        assert_eq!(tracker.expected(), []);
    }
}
