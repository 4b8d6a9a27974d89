//! What has to be repaired in a world, and what nobody can repair (spec: 61-repair.md).
//!
//! Owns what was lost, dropped and brought back, and the keys that were used. Does not know how any of it is mended: it says whether
//! what is still missing at the end has a reason that people can be told.

use std::collections::{BTreeMap, BTreeSet};

use halcyon_client::ports::store::{Delivery, DeliveryState, UnopenedRecord};
use halcyon_crypto::hash::sha256;
use halcyon_types::{DeviceId, EnvelopeId, MessageId, Timestamp};
use tokio::time::Instant;

use crate::ledger::{ClientTruth, State};

/// The cause that is repaired.
pub const NO_KEY: &str = "no-key";

/// What was done to a world.
#[derive(Default)]
pub struct Trouble {
    /// Clients whose disk is being replaced by an older copy.
    pub restoring: BTreeSet<usize>,
    /// Clients whose disk ever was.
    pub restored: BTreeSet<usize>,
    /// Clients that lost something: sessions, or all since a copy.
    pub damaged: BTreeSet<usize>,
    /// Messages that the device that they were written on has lost.
    pub lost_at_source: BTreeSet<MessageId>,
    /// Messages that the server accepted for a device and dropped, since when.
    pub dropped: BTreeMap<(MessageId, DeviceId), Instant>,
    /// How many of the next envelopes for a device are dropped.
    pub drops: BTreeMap<DeviceId, u32>,
    /// Messages that a client has, or had before it went back.
    pub had: BTreeSet<(usize, MessageId)>,
    /// Messages that a client kept unopened until it had to forget them (RCV-3): it was off for so long.
    pub forgotten: BTreeSet<(MessageId, usize)>,
    /// What the server accepted and the device has not said that it has, as the sender knows it.
    pub unconfirmed: BTreeSet<(MessageId, DeviceId)>,
    /// What was sealed with each message key that left a device, by what names the key.
    keys: BTreeMap<Vec<u8>, Vec<KeyUse>>,
}

/// Something that was sealed with a key.
struct KeyUse {
    payload: [u8; 32],
    /// Whether the server remembers it.
    remembered: bool,
}

/// A delivery that was kept unopened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Whose it was.
    pub device: Option<DeviceId>,
    /// Why.
    pub cause: String,
    /// Since when.
    pub at: Timestamp,
    /// Its sender said that it cannot send it again.
    pub gone: bool,
    /// That was so long after it was sealed that nobody has to (REP-12).
    pub is_aged: bool,
}

impl Kept {
    /// Returns what the ledger keeps of a record.
    #[must_use]
    pub fn of(record: &UnopenedRecord) -> Self {
        Self { device: record.device, cause: record.cause.clone(), at: record.at, gone: record.gone, is_aged: false }
    }
}

impl Trouble {
    /// Sees how far a message came, as its sender knows it.
    pub fn delivery(&mut self, delivery: &Delivery) {
        let key = (delivery.message, delivery.device);
        match delivery.state {
            DeliveryState::Accepted(_) => drop(self.unconfirmed.insert(key)),
            _ => drop(self.unconfirmed.remove(&key)),
        }
    }

    /// REP-21: sees a sealed message leave a device. Says whether its key was not used for another one before: but for a device that
    /// went back, and a message that was lost on its way, or that the server could not store: nobody remembers it, and nobody read it.
    pub fn key_leaves(&mut self, payload: &[u8], went_back: bool) -> bool {
        let (uses, hash) = self.uses(payload);
        if uses.iter().any(|one| one.payload == hash) {
            return true;
        }
        let is_new = uses.is_empty() || went_back && uses.iter().all(|one| !one.remembered);
        uses.push(KeyUse { payload: hash, remembered: false });
        is_new
    }

    /// REP-21: sees the server remember one. Says whether it remembers nothing else with its key.
    pub fn key_remembered(&mut self, payload: &[u8]) -> bool {
        let (uses, hash) = self.uses(payload);
        uses.iter_mut().filter(|one| one.payload == hash).for_each(|one| one.remembered = true);
        uses.iter().all(|one| one.payload == hash || !one.remembered)
    }

    fn uses(&mut self, payload: &[u8]) -> (&mut Vec<KeyUse>, [u8; 32]) {
        // What is no message of the suite has its own bytes for a name.
        let name = key_name(payload).unwrap_or_else(|| payload.to_vec());
        (self.keys.entry(name).or_default(), sha256(&[payload]))
    }

    /// Says whether the next envelope for a device is dropped, and counts it.
    pub fn is_to_drop(&mut self, device: DeviceId) -> bool {
        let Some(left) = self.drops.get_mut(&device).filter(|left| **left > 0) else { return false };
        *left -= 1;
        true
    }

    /// Says whether nobody is to blame that a message is not shown on a device: it kept it sealed for 30 days; or
    /// whoever wrote it went back to a time before it, and it was not with the server, or did not stay there, or its device lost what
    /// opens it.
    #[must_use]
    pub fn may_be_missing(&self, message: MessageId, device: DeviceId, client: usize, accepted: bool) -> bool {
        let was_lost = self.dropped.contains_key(&(message, device)) || self.damaged.contains(&client);
        self.forgotten.contains(&(message, client)) || self.lost_at_source.contains(&message) && (!accepted || was_lost)
    }
}

impl State {
    /// Returns the deliveries that a client keeps unopened, and for which there is no reason that it could tell its person.
    #[must_use]
    pub fn unreadable(&self, client: usize) -> Vec<String> {
        let truth: Option<&ClientTruth> = self.truth(client);
        let unopened = truth.into_iter().flat_map(|truth| &truth.unopened);
        let describe = |(id, kept): (&EnvelopeId, &Kept)| {
            let who = kept.device.and_then(|device| self.devices.get(&device)).map_or("somebody", |who| &who.name);
            let message = self.message_of(*id).filter(|message| self.sends.contains_key(message));
            let what = match message {
                Some(message) if truth.is_some_and(|truth| truth.messages.contains(&message)) => {
                    "a message that it shows"
                }
                Some(_) => "a message",
                None => "something",
            };
            let gone = if kept.gone { ", said to be gone" } else { "" };
            format!("{what} of {who} ({}{gone})", kept.cause)
        };
        unopened.filter(|(_, kept)| !self.is_explained(kept)).map(describe).collect()
    }

    fn is_explained(&self, kept: &Kept) -> bool {
        let Some(sender) = kept.device.and_then(|device| self.devices.get(&device)) else { return false };
        sender.removed.is_some() || kept.gone && (kept.is_aged || self.trouble.restored.contains(&sender.client))
    }
}

/// Returns what names the message key of a sealed message of suite `pq3` (PQ3-20): its ephemeral key and the place in the chain.
fn key_name(payload: &[u8]) -> Option<Vec<u8>> {
    const EPHEMERAL: u64 = 4;
    const INDEX: u64 = 5;
    let (mut rest, mut ephemeral, mut index) = (payload, None, 0);
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        let value = varint(&mut rest)?;
        match (tag >> 3, tag & 7) {
            (INDEX, 0) => index = value,
            (_, 0) => {}
            (field, 2) => {
                let (bytes, after) = rest.split_at_checked(usize::try_from(value).ok()?)?;
                rest = after;
                if field == EPHEMERAL {
                    ephemeral = Some(bytes.to_vec());
                }
            }
            _ => return None,
        }
    }
    let mut name = ephemeral?;
    name.extend(index.to_be_bytes());
    Some(name)
}

/// Takes a number of the wire from the front.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(ciphertext: &[u8], ephemeral: u8, index: u8) -> Vec<u8> {
        let mut payload = vec![0x0a, u8::try_from(ciphertext.len()).unwrap()];
        payload.extend(ciphertext);
        payload.extend([0x22, 32]);
        payload.extend([ephemeral; 32]);
        if index > 0 {
            payload.extend([0x28, index]);
        }
        payload
    }

    /// REP-21: the same bytes may leave as often as they like, others with the same key may not.
    #[test]
    fn a_key_that_is_used_twice_is_seen() {
        let mut trouble = Trouble::default();
        let mut leaves = |payload: &[u8]| trouble.key_leaves(payload, false);
        assert!(leaves(&sealed(b"one", 1, 0)) && leaves(&sealed(b"one", 1, 0)));
        assert!(leaves(&sealed(b"two", 1, 1)) && leaves(&sealed(b"two", 2, 0)));
        assert!(!leaves(&sealed(b"two", 1, 0)));
        assert!(!leaves(&sealed(b"one", 1, 1)));
    }

    /// REP-21: a device that went back may use the key of what was lost on its way, of nothing that the server remembers.
    #[test]
    fn a_key_of_what_nobody_remembers_may_be_used_again() {
        let mut trouble = Trouble::default();
        let (one, two, three) = (sealed(b"one", 1, 0), sealed(b"two", 1, 0), sealed(b"three", 1, 0));
        assert!(trouble.key_leaves(&one, true) && trouble.key_leaves(&two, true));
        assert!(trouble.key_remembered(&two) && trouble.key_remembered(&two));
        assert!(!trouble.key_leaves(&three, true));
        assert!(!trouble.key_remembered(&one), "it was not lost after all");
    }
}
