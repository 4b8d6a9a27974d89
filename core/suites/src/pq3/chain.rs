//! One direction's keys: the chain that we seal with, and those that we open with. Spec: 43-pq3.md §4, §5.
//!
//! Owns where a chain is and what each of its messages repeats. Does not know the root, or when a new chain begins.
//!
//! - Stepping returns a message key once; the chain key that gave it is gone.
//! - A jump is measured before anything is derived (PQ3-30).

use halcyon_crypto::{AgreementKey, CompactKey, KemPrivate, MlKem768, Rng, Secret, kem::SEED_BYTES};
use halcyon_types::Timestamp;

use super::{
    kdf::{ChainKey, MessageKey},
    skipped::{CHAIN_MAX, Skipped},
    wire::Head,
};
use crate::state::{Reader, StateError, Writer};

/// Marks whether an optional value follows, in a stored state.
pub(super) const ABSENT: u32 = 0;
pub(super) const PRESENT: u32 = 1;

/// The chain that we seal with. It exists from our change of direction until the peer's next one opened.
#[derive(Clone, Debug)]
pub struct SendingChain {
    /// x(E), which the peer's next chain agrees with.
    ephemeral: CompactKey,
    /// Its private half.
    secret: Secret<32>,
    /// Private half of the offered KEM key, if one is offered.
    offered: Option<Secret<SEED_BYTES>>,
    head: Head,
    key: ChainKey,
    next: u32,
    begun: Timestamp,
}

/// A key pair offered with a chain (PQ3-13).
pub(super) struct Offer {
    seed: Secret<SEED_BYTES>,
    public: Vec<u8>,
}

impl Offer {
    pub(super) fn generate(rng: &mut dyn Rng) -> Self {
        let private = KemPrivate::<MlKem768>::generate(rng);
        Self { seed: private.seed().clone(), public: private.public().as_bytes().to_vec() }
    }
}

impl SendingChain {
    pub(super) fn begin(
        own: &AgreementKey,
        offer: Option<Offer>,
        encap: Option<Vec<u8>>,
        prekey_hash: Option<[u8; 48]>,
        key: ChainKey,
        begun: Timestamp,
    ) -> Self {
        let (offered, kem_key) = offer.map(|offer| (offer.seed, offer.public)).unzip();
        let head = Head { kem_key, encap, prekey_hash };
        Self { ephemeral: *own.compact(), secret: own.to_secret(), offered, head, key, next: 0, begun }
    }

    /// Returns x(E).
    #[must_use]
    pub fn ephemeral(&self) -> &CompactKey {
        &self.ephemeral
    }

    /// Returns what every message of the chain repeats.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Returns when the chain began.
    #[must_use]
    pub fn begun(&self) -> Timestamp {
        self.begun
    }

    /// Returns the index of the next message.
    #[must_use]
    pub fn next(&self) -> u32 {
        self.next
    }

    /// Returns E with its private half.
    pub(super) fn own_key(&self) -> Option<AgreementKey> {
        AgreementKey::from_secret(self.secret.clone()).ok()
    }

    /// Returns the offered KEM key's private half, and the public one as it was sent.
    pub(super) fn offered(&self) -> Option<(KemPrivate<MlKem768>, &[u8])> {
        let seed = self.offered.as_ref()?;
        Some((KemPrivate::from_seed(seed.clone()), self.head.kem_key.as_deref()?))
    }

    /// Returns index and key of the next message, and the chain after it; `None` after 2^32 - 1 messages.
    pub(super) fn step(self) -> Option<(u32, MessageKey, Self)> {
        let (message, key) = self.key.step();
        let index = self.next;
        let next = index.checked_add(1)?;
        Some((index, message, Self { key, next, ..self }))
    }

    /// Wipes the chain key: nothing more is sealed here, as at the end of all indexes (PQ3-34). What opens the peer's answer stays.
    pub(super) fn close(&mut self) {
        self.key = ChainKey::from_secret(Secret::fill_with(|_| ()));
        self.next = u32::MAX;
    }

    pub(super) fn encoded_len(&self) -> usize {
        let len = |value: Option<usize>| 4 + value.unwrap_or(0);
        let head = &self.head;
        32 + 32
            + len(self.offered.as_ref().map(|_| SEED_BYTES))
            + len(head.kem_key.as_ref().map(|key| 4 + key.len()))
            + len(head.encap.as_ref().map(|encap| 4 + encap.len()))
            + len(head.prekey_hash.as_ref().map(|hash| hash.len()))
            + 32
            + 4
            + 8
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.raw(self.ephemeral.as_bytes());
        writer.raw(self.secret.expose());
        let mut optional = |value: Option<&[u8]>, sized: bool| match value {
            None => writer.u32(ABSENT),
            Some(bytes) => {
                writer.u32(PRESENT);
                if sized { writer.sized(bytes) } else { writer.raw(bytes) }
            }
        };
        optional(self.offered.as_ref().map(|seed| &seed.expose()[..]), false);
        optional(self.head.kem_key.as_deref(), true);
        optional(self.head.encap.as_deref(), true);
        optional(self.head.prekey_hash.as_ref().map(|hash| &hash[..]), false);
        writer.raw(self.key.expose());
        writer.u32(self.next);
        writer.u64(self.begun.as_millis());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let (ephemeral, secret) = (reader.key()?, reader.secret()?);
        let seed = |reader: &mut Reader<'_>| Secret::try_from(reader.raw(SEED_BYTES)?).map_err(|_| StateError::Damaged);
        let offered = optional(reader, seed)?;
        let kem_key = optional(reader, |reader| reader.sized().map(<[u8]>::to_vec))?;
        let encap = optional(reader, |reader| reader.sized().map(<[u8]>::to_vec))?;
        let prekey_hash = optional(reader, |reader| reader.array::<48>())?;
        let key = ChainKey::from_secret(reader.secret()?);
        let (next, begun) = (reader.u32()?, Timestamp::from_millis(reader.u64()?));
        let head = Head { kem_key, encap, prekey_hash };
        if offered.is_some() != head.kem_key.is_some() {
            return Err(StateError::Damaged);
        }
        Ok(Self { ephemeral, secret, offered, head, key, next, begun })
    }
}

/// Reads an optional value of a stored state.
pub(super) fn optional<'a, T>(
    reader: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, StateError>,
) -> Result<Option<T>, StateError> {
    match reader.u32()? {
        ABSENT => Ok(None),
        PRESENT => read(reader).map(Some),
        _ => Err(StateError::Damaged),
    }
}

/// A chain of the peer's that we open with.
#[derive(Clone, Debug)]
pub struct ReceivingChain {
    ephemeral: CompactKey,
    key: ChainKey,
    next: u32,
    skipped: Skipped,
}

/// Why a chain has no key for an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The message was opened before, or its key was wiped for its age.
    Used,
    /// PQ3-30: more than a thousand messages ahead.
    TooFar,
}

impl ReceivingChain {
    pub(super) fn begin(ephemeral: CompactKey, key: ChainKey) -> Self {
        Self { ephemeral, key, next: 0, skipped: Skipped::default() }
    }

    /// Returns x(E) of the peer.
    #[must_use]
    pub fn ephemeral(&self) -> &CompactKey {
        &self.ephemeral
    }

    /// Returns the index after the highest that was opened.
    #[must_use]
    pub fn next(&self) -> u32 {
        self.next
    }

    /// Returns the keys of messages that have not arrived.
    #[must_use]
    pub fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    pub(super) fn skipped_mut(&mut self) -> &mut Skipped {
        &mut self.skipped
    }

    /// Returns the key of message `index`, and the chain in which it is used up (PQ3-30).
    pub(super) fn take(&self, index: u32, now: Timestamp) -> Result<(MessageKey, Self), NoKey> {
        if index < self.next {
            let key = self.skipped.key(index).ok_or(NoKey::Used)?.clone();
            let mut chain = self.clone();
            chain.skipped.remove(index);
            return Ok((key, chain));
        }
        let ahead = usize::try_from(index - self.next).map_err(|_| NoKey::TooFar)?;
        // The last index is never used, so that `next` always exists.
        if ahead > CHAIN_MAX || index == u32::MAX {
            return Err(NoKey::TooFar);
        }
        let mut chain = self.clone();
        loop {
            let (message, key) = chain.key.step();
            chain.key = key;
            let at = chain.next;
            chain.next += 1;
            if at == index {
                return Ok((message, chain));
            }
            chain.skipped.push(at, message, now);
        }
    }

    pub(super) fn encoded_len(&self) -> usize {
        32 + 32 + 4 + self.skipped.encoded_len()
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.raw(self.ephemeral.as_bytes());
        writer.raw(self.key.expose());
        writer.u32(self.next);
        self.skipped.write(writer);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let ephemeral = reader.key()?;
        let key = ChainKey::from_secret(reader.secret()?);
        Ok(Self { ephemeral, key, next: reader.u32()?, skipped: Skipped::read(reader)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn receiving() -> (ReceivingChain, Vec<[u8; 32]>) {
        let mut key = ChainKey::from_secret(Secret::fill_with(|bytes| *bytes = [1; 32]));
        let chain = ReceivingChain::begin(CompactKey::from_bytes([2; 32]), key.clone());
        let keys = (0..1100)
            .map(|_| {
                let (message, next) = key.step();
                key = next;
                *message.expose()
            })
            .collect();
        (chain, keys)
    }

    /// PQ3-30: late messages find their keys, once.
    #[test]
    fn late_messages_find_their_keys_once() {
        let (chain, keys) = receiving();
        let (key, chain) = chain.take(3, NOW).unwrap();
        assert_eq!(*key.expose(), keys[3]);
        let (key, chain) = chain.take(1, NOW).unwrap();
        assert_eq!(*key.expose(), keys[1]);
        for used in [1, 3] {
            assert_eq!(chain.take(used, NOW).unwrap_err(), NoKey::Used);
        }
        let (key, chain) = chain.take(4, NOW).unwrap();
        assert_eq!(*key.expose(), keys[4]);
        assert_eq!(chain.skipped().len(), 2);
    }

    /// PQ3-30: a thousand passed over is the most; one more is refused, as is the end of all numbers.
    #[test]
    fn jumps_are_bounded() {
        let (chain, keys) = receiving();
        let (key, jumped) = chain.take(1000, NOW).unwrap();
        assert_eq!(*key.expose(), keys[1000]);
        assert_eq!(jumped.skipped().len(), 1000);
        for far in [1001, 1 << 31, u32::MAX] {
            assert_eq!(chain.take(far, NOW).unwrap_err(), NoKey::TooFar);
        }
    }
}
