//! The trusted device's half of linking. Spec: 21-linking.md (LNK-2, LNK-5, LNK-6, LNK-7, LNK-8, LNK-9).
//!
//! Owns T's ephemeral key and nonce, the comparison of the digits, and what follows from it.
//! Does not know how anything is posted or polled, and never shows the digits (LNK-6): it has no function that returns them.
//!
//! [`Candidate`] —challenge→ [`Challenged`] —revealed→ [`Comparing`] —typed→ [`Approved`] —complete→ [`Completion`]

use bytes::Bytes;
use halcyon_crypto::{
    AgreementKey, AgreementPublic, CompactKey, KeyError, Label, Rng, Secret, SigningKey, aead, commit::Commitment,
    sas::Sas,
};
use halcyon_types::{DeviceId, Timestamp};

use super::{
    Challenge, DIGIT_TRIES_MAX, LinkRequest,
    transcript::{TRANSFER_NONCE, Transcript, associated_data},
    transfer,
};
use crate::{
    entry::{CountersignedEntry, DeviceEntry, EntryError},
    list::{ListError, SignedList},
};

/// A device that asks to be linked, its entry checked; nothing was answered yet.
#[derive(Debug)]
pub struct Candidate {
    list: SignedList,
    approver: DeviceId,
    entry: CountersignedEntry,
    ephemeral: AgreementPublic,
    commitment: Commitment,
}

/// T challenged, and waits for rN.
pub struct Challenged {
    candidate: Candidate,
    ephemeral: AgreementKey,
    nonce: [u8; 32],
}

/// rN fits the commitment; the person types the digits.
pub struct Comparing {
    candidate: Candidate,
    digits: Sas,
    transfer_key: Secret<32>,
    tries_left: u8,
}

/// The digits were right: the account key may be handed over.
pub struct Approved {
    candidate: Candidate,
    transfer_key: Secret<32>,
}

/// What became of typed digits.
pub enum Typed {
    /// Right.
    Approved(Approved),
    /// Wrong, and the person may try again.
    Wrong(Comparing),
    /// Wrong for the third time: the link is to be rejected (LNK-7).
    Ended,
}

/// What T posts to complete the link (LNK-8).
#[derive(Clone, Debug)]
pub struct Completion {
    /// The next device list, with N in it.
    pub list: SignedList,
    /// The sealed account key (LNK-9).
    pub sealed: Bytes,
}

/// Why T does not approve.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApproverError {
    /// LNK-2: the entry is not valid for this account.
    #[error("the new device's entry is not valid; the server or the device is at fault")]
    Entry(#[from] EntryError),
    /// The new device's ephemeral key is not a point of the curve.
    #[error("the new device's key is not valid; the server or the device is at fault")]
    Ephemeral(#[source] KeyError),
    /// The device is in the list already.
    #[error("this device belongs to the account already")]
    AlreadyLinked,
    /// The device that would approve is not in the list.
    #[error("this device does not belong to the account any more")]
    NotTrusted,
    /// LNK-5: the revealed nonce is not what was committed to. The link is to be rejected, and the user told of an attack.
    #[error(
        "somebody tampered with this request; it was rejected. Do not approve devices over this server until you know why"
    )]
    Tampered,
    /// The next list could not be made.
    #[error("the next device list could not be made")]
    List(#[from] ListError),
    /// The list given is another account's. Our fault.
    #[error("the device list belongs to another account; this is a bug")]
    OtherAccount,
}

impl Candidate {
    /// Checks what a new device asks with (LNK-2, DIR-1, DIR-2). `list` is the account's own, `approver` this device.
    ///
    /// # Errors
    /// [`ApproverError`]: do not answer it.
    pub fn examine(list: &SignedList, approver: DeviceId, request: &LinkRequest) -> Result<Self, ApproverError> {
        if list.device(approver).is_none() {
            return Err(ApproverError::NotTrusted);
        }
        let entry = CountersignedEntry::verify(list.account(), request.entry.clone(), &request.entry_signature)?;
        if list.device(entry.entry().id()).is_some() {
            return Err(ApproverError::AlreadyLinked);
        }
        let compact = CompactKey::from_bytes(request.ephemeral);
        let ephemeral = AgreementPublic::from_compact(&compact).map_err(ApproverError::Ephemeral)?;
        let commitment = Commitment::from_bytes(request.commitment);
        Ok(Self { list: list.clone(), approver, entry, ephemeral, commitment })
    }

    /// Returns what the new device says of itself, to be shown.
    #[must_use]
    pub fn entry(&self) -> &DeviceEntry {
        self.entry.entry()
    }

    /// Answers with a challenge, to be posted (LNK-2).
    #[must_use]
    pub fn challenge(self, rng: &mut dyn Rng) -> (Challenged, Challenge) {
        let ephemeral = AgreementKey::generate(rng);
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        let challenge = Challenge { approver: self.approver, ephemeral: *ephemeral.compact().as_bytes(), nonce };
        (Challenged { candidate: self, ephemeral, nonce }, challenge)
    }
}

impl Challenged {
    /// Takes rN and checks the commitment, in constant time (LNK-5).
    ///
    /// # Errors
    /// [`ApproverError::Tampered`]: reject the link and report an attack.
    pub fn revealed(self, newcomer_nonce: [u8; 32]) -> Result<Comparing, ApproverError> {
        let candidate = self.candidate;
        let opening = Secret::fill_with(|bytes| *bytes = newcomer_nonce);
        let ephemeral = *candidate.ephemeral.compact();
        let account = candidate.list.account();
        let committed: [&[u8]; 3] = [account.as_bytes(), candidate.entry.bytes(), ephemeral.as_bytes()];
        if !candidate.commitment.opens_with(Label::ApprovalCommit, &committed, &opening) {
            return Err(ApproverError::Tampered);
        }
        let transcript = Transcript {
            account: candidate.list.account(),
            entry: candidate.entry.bytes(),
            newcomer_ephemeral: ephemeral,
            newcomer_nonce,
            approver: candidate.approver,
            approver_ephemeral: *self.ephemeral.compact(),
            approver_nonce: self.nonce,
        };
        let digits = transcript.digits();
        let transfer_key = transcript.transfer_key(&self.ephemeral, &candidate.ephemeral);
        Ok(Comparing { candidate, digits, transfer_key, tries_left: DIGIT_TRIES_MAX })
    }
}

impl Comparing {
    /// Returns what the new device says of itself, to be shown next to the question for the digits.
    #[must_use]
    pub fn entry(&self) -> &DeviceEntry {
        self.candidate.entry()
    }

    /// Returns how many more times the person may type.
    #[must_use]
    pub fn tries_left(&self) -> u8 {
        self.tries_left
    }

    /// Compares what the person typed (LNK-6, LNK-7). Whoever is over the shoulder learns right or wrong, not the digits.
    #[must_use]
    pub fn typed(mut self, digits: &str) -> Typed {
        if self.digits.matches(digits) {
            return Typed::Approved(Approved { candidate: self.candidate, transfer_key: self.transfer_key });
        }
        self.tries_left -= 1;
        if self.tries_left == 0 { Typed::Ended } else { Typed::Wrong(self) }
    }
}

impl Approved {
    /// Makes what is to be posted (LNK-8, LNK-9). `current` is the account's newest list, which may have moved on since:
    /// after `409 list_conflict` call again with the new one. The sealed key is the same bytes each time, so its nonce
    /// is still used for one message only.
    ///
    /// # Errors
    /// [`ApproverError`]
    pub fn complete(
        &self,
        account_key: &SigningKey,
        current: &SignedList,
        now: Timestamp,
    ) -> Result<Completion, ApproverError> {
        let candidate = &self.candidate;
        if current.account() != candidate.list.account() {
            return Err(ApproverError::OtherAccount);
        }
        if current.device(candidate.approver).is_none() {
            return Err(ApproverError::NotTrusted);
        }
        let list = current.next().with(candidate.entry.clone()).sign(account_key, now)?;
        Ok(Completion { list, sealed: self.seal(account_key) })
    }

    /// LNK-9
    fn seal(&self, account_key: &SigningKey) -> Bytes {
        let candidate = &self.candidate;
        let data = associated_data(candidate.list.account(), candidate.entry().id(), candidate.approver);
        aead::seal(&self.transfer_key, &TRANSFER_NONCE, &data, transfer::encode(account_key).expose()).into()
    }

    #[cfg(test)]
    pub(super) fn seal_for_test(&self, account_key: &SigningKey) -> Bytes {
        self.seal(account_key)
    }
}
