//! How a session begins, and which starts were seen. Spec: 43-pq3.md §3 (PQ3-9 to PQ3-11).
//!
//! Owns both halves of the hybrid agreement, and the memory that keeps a start from being replayed. Does not know which
//! of several sessions is sent on.
//!
//! - A start is accepted once: it is remembered for as long as its private prekey lives.

use halcyon_crypto::{AgreementKey, AgreementPublic, CompactKey, Rng};
use halcyon_types::Timestamp;

use super::{
    kdf::{ChainKey, RootKey},
    party::Party,
    prekey::{PrekeyBundle, PrekeyRing},
    root::{self, StartInfo},
    wire::Head,
};
use crate::state::{Reader, StateError, Writer};

/// Starts of one device that are remembered, and so the most that it can make to prekeys that are alive, which is five
/// weeks. A device needs one, and another whenever it lost its state (PQ3-11).
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

/// The peer's starts that were accepted, oldest first (PQ3-11).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenStarts(Vec<SessionId>);

impl SeenStarts {
    /// Returns the memory with one more start, without those whose private prekey is gone; `None` if that start was accepted before,
    /// or the memory is full (PQ3-11).
    pub(super) fn with(&self, id: &SessionId, ring: &PrekeyRing) -> Option<Self> {
        if self.0.contains(id) {
            return None;
        }
        let mut seen: Vec<SessionId> = self.0.iter().filter(|seen| ring.contains(&seen.prekey_hash)).copied().collect();
        if seen.len() >= STARTS_MAX {
            return None;
        }
        seen.push(*id);
        Some(Self(seen))
    }

    /// Returns how many starts are remembered.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn encoded_len(&self) -> usize {
        4 + self.0.len() * SessionId::ENCODED_BYTES
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.u32(u32::try_from(self.0.len()).expect("at most STARTS_MAX"));
        self.0.iter().for_each(|id| id.write(writer));
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let count = reader.count(STARTS_MAX)?;
        (0..count).map(|_| SessionId::read(reader)).collect::<Result<_, _>>().map(Self)
    }
}

/// The newest bundle of the peer's that a session was started with (PQ3-8).
pub(super) type NewestBundle = Option<Timestamp>;
