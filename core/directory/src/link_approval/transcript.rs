//! What both devices must agree on: the digits and the key that come from it. Spec: 21-linking.md (LNK-1, LNK-6, LNK-9).
//!
//! Owns the order of the parts. Does not know which side it is on.

use halcyon_crypto::{
    AgreementKey, AgreementPublic, CompactKey, Label, Secret,
    aead::NONCE_BYTES,
    commit::Commitment,
    kdf::{hkdf_sha256, labelled_hash},
    sas::Sas,
};
use halcyon_types::{AccountId, DeviceId};

/// Everything that both sides saw.
pub(super) struct Transcript<'a> {
    pub(super) account: AccountId,
    pub(super) entry: &'a [u8],
    pub(super) newcomer_ephemeral: CompactKey,
    pub(super) newcomer_nonce: [u8; 32],
    pub(super) approver: DeviceId,
    pub(super) approver_ephemeral: CompactKey,
    pub(super) approver_nonce: [u8; 32],
}

impl Transcript<'_> {
    /// LNK-6
    fn hash(&self) -> [u8; 32] {
        let parts: [&[u8]; 7] = [
            self.account.as_bytes(),
            self.entry,
            self.newcomer_ephemeral.as_bytes(),
            &self.newcomer_nonce,
            self.approver.as_bytes(),
            self.approver_ephemeral.as_bytes(),
            &self.approver_nonce,
        ];
        labelled_hash(Label::ApprovalSas, &parts)
    }

    /// LNK-6: the six digits.
    pub(super) fn digits(&self) -> Sas {
        Sas::from_transcript(&self.hash())
    }

    /// LNK-9: the key that carries the account key. It is used once, since both ephemerals are.
    pub(super) fn transfer_key(&self, own: &AgreementKey, peer: &AgreementPublic) -> Secret<32> {
        hkdf_sha256(&self.hash(), own.agree(peer).expose(), &[Label::AccountKeyTransfer.as_bytes()])
    }
}

/// LNK-1
pub(super) fn commit(account: AccountId, entry: &[u8], ephemeral: &CompactKey, nonce: &Secret<32>) -> Commitment {
    Commitment::to(Label::ApprovalCommit, &[account.as_bytes(), entry, ephemeral.as_bytes()], nonce)
}

/// LNK-9: one key, one message, so the nonce is a constant.
pub(super) const TRANSFER_NONCE: [u8; NONCE_BYTES] = [0; NONCE_BYTES];

/// LNK-9
pub(super) fn associated_data(account: AccountId, newcomer: DeviceId, approver: DeviceId) -> [u8; 48] {
    let mut data = [0; 48];
    data[..16].copy_from_slice(account.as_bytes());
    data[16..32].copy_from_slice(newcomer.as_bytes());
    data[32..].copy_from_slice(approver.as_bytes());
    data
}
