//! The new device's half of linking. Spec: 21-linking.md (LNK-1, LNK-3, LNK-4, LNK-6, LNK-10).
//!
//! Owns N's ephemeral key and nonce from the request to the account key. Does not know how anything is posted or polled,
//! nor N's device key: the entry comes counter-signed.
//!
//! [`Newcomer`] —challenged→ [`Revealing`] —approved→ [`Linked`]

use bytes::Bytes;
use halcyon_crypto::{AgreementKey, AgreementPublic, CompactKey, KeyError, Rng, Secret, SigningKey, aead, sas::Sas};
use halcyon_types::{AccountId, PushToken};

use super::{
    Challenge, LinkRequest,
    transcript::{TRANSFER_NONCE, Transcript, associated_data, commit},
    transfer,
};
use crate::{
    entry::CountersignedEntry,
    list::{ListError, SignedList},
};

/// N, having asked, waits for a challenge.
pub struct Newcomer {
    account: AccountId,
    entry: CountersignedEntry,
    ephemeral: AgreementKey,
    nonce: Secret<32>,
}

/// N, having been challenged, shows the digits and reveals its nonce.
pub struct Revealing {
    newcomer: Newcomer,
    challenge: Challenge,
    approver_ephemeral: AgreementPublic,
}

/// What N keeps from before it reveals its nonce until it is a device of the account, beside its entry (LNK-11).
#[derive(Clone)]
pub struct Kept {
    /// eN.
    pub ephemeral: Secret<32>,
    /// rN.
    pub nonce: Secret<32>,
    /// What T posted.
    pub challenge: Challenge,
}

/// What N reads when it was approved (LNK-10).
#[derive(Clone, Debug)]
pub struct Approval {
    /// The encoded `SignedDeviceList` that T published.
    pub device_list: Bytes,
    /// The sealed account key (LNK-9).
    pub sealed: Bytes,
    /// Where N is delivered to from now on.
    pub push_token: PushToken,
}

/// N is a device of the account.
#[derive(Debug)]
pub struct Linked {
    /// Signs device lists from now on.
    pub account_key: SigningKey,
    /// The list that N stands in.
    pub list: SignedList,
    /// Where N is delivered to.
    pub push_token: PushToken,
}

/// Why linking ended without a link. The profile stays empty (LNK-10).
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NewcomerError {
    /// The challenge's key is not a point of the curve.
    #[error("the approving device's challenge is not valid; the server or the device is at fault")]
    Challenge(#[source] KeyError),
    /// LNK-11: what this device kept is not what it had written.
    #[error("what was kept of the link is damaged; this device's disk may be at fault")]
    Damaged(#[source] KeyError),
    /// LNK-10: the list does not verify.
    #[error("the device list is not valid; the server may be lying")]
    List(#[from] ListError),
    /// LNK-10: the list is another account's.
    #[error("the device list belongs to another account; the server may be lying")]
    OtherAccount,
    /// LNK-10: N's entry is not in it byte for byte.
    #[error("the device list does not contain this device as it described itself; the server may be lying")]
    EntryMissing,
    /// LNK-10: T's device is not in it.
    #[error("the device that approved is not a device of the account; the server may be lying")]
    ApproverMissing,
    /// LNK-9: the sealed key does not open.
    #[error("the account key does not open: the digits were not compared, or somebody changed it on the way")]
    Unauthentic,
    /// LNK-10: what opened is not this account's key.
    #[error("what arrived is not the key of this account; the approving device is at fault")]
    ForeignKey,
}

impl Newcomer {
    /// Begins: draws N's ephemeral key and nonce. `account` is what sign-in answered; the entry is counter-signed for it.
    #[must_use]
    pub fn begin(account: AccountId, entry: CountersignedEntry, rng: &mut dyn Rng) -> Self {
        Self { account, entry, ephemeral: AgreementKey::generate(rng), nonce: Secret::random(rng) }
    }

    /// Returns what to post (LNK-1).
    #[must_use]
    pub fn request(&self) -> LinkRequest {
        let commitment = commit(self.account, self.entry.bytes(), self.ephemeral.compact(), &self.nonce);
        LinkRequest {
            entry: self.entry.bytes().clone(),
            entry_signature: Bytes::copy_from_slice(self.entry.signature().as_bytes()),
            ephemeral: *self.ephemeral.compact().as_bytes(),
            commitment: *commitment.as_bytes(),
        }
    }

    /// Takes T's challenge. Only from here on can the nonce be revealed (LNK-4), and a second challenge has no one to
    /// take it.
    ///
    /// # Errors
    /// [`NewcomerError::Challenge`]
    pub fn challenged(self, challenge: Challenge) -> Result<Revealing, NewcomerError> {
        let compact = CompactKey::from_bytes(challenge.ephemeral);
        let approver_ephemeral = AgreementPublic::from_compact(&compact).map_err(NewcomerError::Challenge)?;
        Ok(Revealing { newcomer: self, challenge, approver_ephemeral })
    }
}

impl Revealing {
    /// Returns what to keep under protection before rN is posted (LNK-11).
    #[must_use]
    pub fn kept(&self) -> Kept {
        Kept {
            ephemeral: self.newcomer.ephemeral.to_secret(),
            nonce: self.newcomer.nonce.clone(),
            challenge: self.challenge,
        }
    }

    /// Goes on where [`kept`](Self::kept) was written: the same digits, and the same approval.
    ///
    /// # Errors
    /// [`NewcomerError::Damaged`], [`NewcomerError::Challenge`]
    pub fn again(account: AccountId, entry: CountersignedEntry, kept: Kept) -> Result<Self, NewcomerError> {
        let ephemeral = AgreementKey::from_secret(kept.ephemeral).map_err(NewcomerError::Damaged)?;
        Newcomer { account, entry, ephemeral, nonce: kept.nonce }.challenged(kept.challenge)
    }

    /// Returns N's entry.
    #[must_use]
    pub fn entry(&self) -> &CountersignedEntry {
        &self.newcomer.entry
    }

    /// Returns rN, to be posted (LNK-4).
    #[must_use]
    pub fn reveal(&self) -> [u8; 32] {
        *self.newcomer.nonce.expose()
    }

    /// Returns the six digits that the person reads here and types on the approving device (LNK-6).
    #[must_use]
    pub fn digits(&self) -> Sas {
        self.transcript().digits()
    }

    /// Checks the approval and opens the account key (LNK-9, LNK-10).
    ///
    /// # Errors
    /// [`NewcomerError`]: linking is over, and nothing of it is kept.
    pub fn approved(self, approval: &Approval) -> Result<Linked, NewcomerError> {
        let entry = &self.newcomer.entry;
        // LNK-10
        let list = SignedList::decode(approval.device_list.clone())?;
        if list.account() != self.newcomer.account {
            return Err(NewcomerError::OtherAccount);
        }
        if list.device(entry.entry().id()).is_none_or(|listed| listed.bytes() != entry.bytes()) {
            return Err(NewcomerError::EntryMissing);
        }
        if list.device(self.challenge.approver).is_none() {
            return Err(NewcomerError::ApproverMissing);
        }
        let account_key = self.open(&approval.sealed)?;
        if account_key.verifying_key() != list.list().account_key() {
            return Err(NewcomerError::ForeignKey);
        }
        Ok(Linked { account_key, list, push_token: approval.push_token })
    }

    /// LNK-9
    fn open(&self, sealed: &[u8]) -> Result<SigningKey, NewcomerError> {
        let key = self.transcript().transfer_key(&self.newcomer.ephemeral, &self.approver_ephemeral);
        let data = associated_data(self.newcomer.account, self.newcomer.entry.entry().id(), self.challenge.approver);
        let opened = aead::open(&key, &TRANSFER_NONCE, &data, sealed).map_err(|_| NewcomerError::Unauthentic)?;
        transfer::decode(&opened).ok_or(NewcomerError::ForeignKey)
    }

    fn transcript(&self) -> Transcript<'_> {
        Transcript {
            account: self.newcomer.account,
            entry: self.newcomer.entry.bytes(),
            newcomer_ephemeral: *self.newcomer.ephemeral.compact(),
            newcomer_nonce: self.reveal(),
            approver: self.challenge.approver,
            approver_ephemeral: *self.approver_ephemeral.compact(),
            approver_nonce: self.challenge.nonce,
        }
    }
}
