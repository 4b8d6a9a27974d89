//! How a session begins, and which starts were seen. Spec: 43-pq3.md §3 (PQ3-9 to PQ3-11).
//!
//! Owns both halves of the hybrid agreement, and the memory that keeps a start from being replayed. Does not know which
//! of several sessions is sent on.
//!
//! - A start is accepted once: it is remembered for as long as its private prekey lives, or that none made so early is accepted.

use halcyon_crypto::{AgreementKey, AgreementPublic, CompactKey, Rng};
use halcyon_types::Timestamp;

use super::{
    kdf::{ChainKey, RootKey},
    party::Party,
    prekey::{PrekeyBundle, PrekeyRing, RING_MAX},
    root::{self, StartInfo},
    wire::Head,
};
use crate::state::{Reader, StateError, Writer};

/// Starts of one device that are remembered, to prekeys that are alive, which is five weeks. A device needs one, and another whenever
/// it lost its state; from the 33rd on, those are refused that are no newer than what was forgotten (PQ3-11).
pub const STARTS_MAX: usize = 32;

/// Names a session (PQ3-9): preKeyHash ‖ x(E) of its start. Ordered by x(E) (PQ3-16): the other half hangs on a signature, whose
/// nonce follows from no seed, and the same world would end differently.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SessionId {
    ephemeral: CompactKey,
    prekey_hash: [u8; 48],
}

impl SessionId {
    /// Names the session of a start.
    #[must_use]
    pub fn new(prekey_hash: [u8; 48], ephemeral: CompactKey) -> Self {
        Self { prekey_hash, ephemeral }
    }

    /// Returns preKeyHash ‖ x(E) (PQ3-9).
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 80] {
        let mut bytes = [0; 80];
        bytes[..48].copy_from_slice(&self.prekey_hash);
        bytes[48..].copy_from_slice(self.ephemeral.as_bytes());
        bytes
    }

    pub(super) const ENCODED_BYTES: usize = 48 + 32;

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.raw(&self.prekey_hash);
        writer.raw(self.ephemeral.as_bytes());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        Ok(Self { prekey_hash: reader.array()?, ephemeral: reader.key()? })
    }
}

/// What a starter has after PQ3-10.
pub(super) struct Started {
    pub(super) own: AgreementKey,
    pub(super) encap: Vec<u8>,
    pub(super) root: RootKey,
    pub(super) chain: ChainKey,
}

/// Starts a session with the device that published `bundle` (PQ3-10).
pub(super) fn start(rng: &mut dyn Rng, starter: &Party, answerer: &Party, bundle: &PrekeyBundle) -> Started {
    let own = AgreementKey::generate(rng);
    let ecdh = own.agree(bundle.prekey());
    let (encap, kem) = bundle.kem_key().encapsulate(rng);
    let info = StartInfo {
        starter,
        answerer,
        prekey: bundle.prekey().compact(),
        ephemeral: own.compact(),
        encap: &encap,
        kem_prekey: bundle.kem_key().as_bytes(),
    };
    let (root, chain) = root::start(&ecdh, &kem, &info);
    Started { own, encap, root, chain }
}

/// Takes up a session that the peer started: `None` if the prekey is gone or the values are no keys (PQ3-10).
pub(super) fn answer(
    ring: &PrekeyRing,
    starter: &Party,
    answerer: &Party,
    ephemeral: &CompactKey,
    head: &Head,
) -> Option<(RootKey, ChainKey)> {
    let prekey = ring.find(head.prekey_hash.as_ref()?)?;
    let encap = head.encap.as_deref()?;
    let ecdh = prekey.key().agree(&AgreementPublic::from_compact(ephemeral).ok()?);
    let kem = prekey.kem().decapsulate(encap).ok()?;
    let info =
        StartInfo { starter, answerer, prekey: prekey.key().compact(), ephemeral, encap, kem_prekey: prekey.kem_key() };
    Some(root::start(&ecdh, &kem, &info))
}

/// The peer's starts that were accepted (PQ3-11).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenStarts {
    seen: Vec<Seen>,
    forgotten: Vec<Forgotten>,
}

/// A start that is remembered, with the time at which its sender made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    id: SessionId,
    started: Timestamp,
}

/// No start to a bundle is taken up any more that was not made after this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Forgotten {
    prekey_hash: [u8; 48],
    until: Timestamp,
}

impl SeenStarts {
    /// Returns the memory with one more start, without those whose private prekey is gone; `None` if that start was accepted before, or
    /// may have been: it was made no later than one that had to be forgotten (PQ3-11).
    pub(super) fn with(&self, id: &SessionId, started: Timestamp, ring: &PrekeyRing) -> Option<Self> {
        if self.seen.iter().any(|seen| seen.id == *id) {
            return None;
        }
        let mut next = self.clone();
        next.seen.retain(|seen| ring.contains(&seen.id.prekey_hash));
        next.forgotten.retain(|forgotten| ring.contains(&forgotten.prekey_hash));
        if next.seen.len() >= STARTS_MAX {
            next.forget_earliest();
        }
        let may_have_been =
            |forgotten: &Forgotten| forgotten.prekey_hash == id.prekey_hash && started <= forgotten.until;
        if next.forgotten.iter().any(may_have_been) {
            return None;
        }
        next.seen.push(Seen { id: *id, started });
        Some(next)
    }

    fn forget_earliest(&mut self) {
        let Some(at) = (0..self.seen.len()).min_by_key(|at| self.seen[*at].started) else { return };
        let Seen { id, started } = self.seen.remove(at);
        match self.forgotten.iter_mut().find(|forgotten| forgotten.prekey_hash == id.prekey_hash) {
            Some(forgotten) => forgotten.until = forgotten.until.max(started),
            None => self.forgotten.push(Forgotten { prekey_hash: id.prekey_hash, until: started }),
        }
    }

    /// Returns how many starts are remembered.
    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    pub(super) fn encoded_len(&self) -> usize {
        4 + self.seen.len() * (SessionId::ENCODED_BYTES + 8) + 4 + self.forgotten.len() * (48 + 8)
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.u32(u32::try_from(self.seen.len()).expect("at most STARTS_MAX"));
        self.seen.iter().for_each(|seen| seen.id.write(writer));
    }

    /// Reads what [`write`](Self::write) wrote: names without times.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let count = reader.count(STARTS_MAX)?;
        let seen =
            |reader: &mut Reader<'_>| SessionId::read(reader).map(|id| Seen { id, started: Timestamp::from_millis(0) });
        let seen = (0..count).map(|_| seen(reader)).collect::<Result<_, _>>()?;
        Ok(Self { seen, forgotten: Vec::new() })
    }

    pub(super) fn write_times(&self, writer: &mut Writer) {
        self.seen.iter().for_each(|seen| writer.u64(seen.started.as_millis()));
        writer.u32(u32::try_from(self.forgotten.len()).expect("at most one for a bundle"));
        for forgotten in &self.forgotten {
            writer.raw(&forgotten.prekey_hash);
            writer.u64(forgotten.until.as_millis());
        }
    }

    /// Reads what [`write_times`](Self::write_times) wrote, for the names that are here.
    pub(super) fn read_times(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        for seen in &mut self.seen {
            seen.started = Timestamp::from_millis(reader.u64()?);
        }
        let count = reader.count(RING_MAX)?;
        let forgotten = |reader: &mut Reader<'_>| {
            Ok(Forgotten { prekey_hash: reader.array()?, until: Timestamp::from_millis(reader.u64()?) })
        };
        self.forgotten = (0..count).map(|_| forgotten(reader)).collect::<Result<_, StateError>>()?;
        Ok(())
    }
}

/// The newest bundle of the peer's that a session was started with (PQ3-8).
pub(super) type NewestBundle = Option<Timestamp>;
