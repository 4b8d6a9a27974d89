//! What a root step is bound to, and the two kinds of step. Spec: 43-pq3.md §3, §4 (PQ3-10, PQ3-12).
//!
//! Owns the info strings. The derivation itself is [`kdf`](super::kdf)'s; who holds which private key is the session's.

use halcyon_crypto::{CompactKey, Secret, labels::fixed};

use super::{
    kdf::{ChainKey, RootKey},
    party::Party,
};

/// Public values of a start, as its root step names them.
pub(super) struct StartInfo<'a> {
    pub(super) starter: &'a Party,
    pub(super) answerer: &'a Party,
    pub(super) prekey: &'a CompactKey,
    pub(super) ephemeral: &'a CompactKey,
    pub(super) encap: &'a [u8],
    pub(super) kem_prekey: &'a [u8],
}

/// PQ3-10: the first root and chain key of a session.
pub(super) fn start(ecdh: &Secret<32>, kem: &Secret<32>, info: &StartInfo<'_>) -> (RootKey, ChainKey) {
    let info = [
        info.starter.as_bytes(),
        info.answerer.as_bytes(),
        fixed::PQ3_START,
        info.prekey.as_bytes(),
        info.ephemeral.as_bytes(),
        info.encap,
        info.kem_prekey,
    ];
    RootKey::initial().step(ecdh, Some(kem), &info)
}

/// Public values of a change of direction, as its root step names them.
pub(super) struct TurnInfo<'a> {
    /// Who begins the new chain.
    pub(super) from: &'a Party,
    pub(super) to: &'a Party,
    /// x(E) of the chain before, which is `to`'s.
    pub(super) last: &'a CompactKey,
    /// x(E') of the new chain.
    pub(super) new: &'a CompactKey,
    /// The encapsulation, and the key that it is to, if the chain before offered one.
    pub(super) kem: Option<(&'a [u8], &'a [u8])>,
}

/// PQ3-12: root and chain key after a change of direction.
pub(super) fn turn(
    root: &RootKey,
    ecdh: &Secret<32>,
    kem: Option<&Secret<32>>,
    info: &TurnInfo<'_>,
) -> (RootKey, ChainKey) {
    let (encap, key): (&[u8], &[u8]) = info.kem.unwrap_or((&[], &[]));
    let info = [
        info.from.as_bytes(),
        info.to.as_bytes(),
        fixed::PQ3_RATCHET,
        info.last.as_bytes(),
        info.new.as_bytes(),
        encap,
        key,
    ];
    root.step(ecdh, kem, &info)
}
