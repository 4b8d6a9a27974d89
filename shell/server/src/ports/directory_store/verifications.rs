//! Verifications of handles (ACC-20 to ACC-24).

use std::fmt;

use halcyon_types::{AccountId, Handle, Timestamp};

use super::{Aftermath, DirectoryStoreError};

/// Names a verification: 16 random bytes, known to the client that asked alone (ACC-23), so `Debug` hides it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerificationId(pub [u8; 16]);

impl fmt::Debug for VerificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerificationId(redacted)")
    }
}

/// What the handle is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerificationPurpose {
    /// A new account.
    Registration,
    /// A further handle of this account (ACC-51).
    AddHandle(AccountId),
}

/// A verification that begins.
pub struct NewVerification {
    /// Its name.
    pub id: VerificationId,
    /// The handle in question.
    pub handle: Handle,
    /// What for.
    pub purpose: VerificationPurpose,
    /// Labelled MAC of id and code (ACC-24).
    pub code_mac: [u8; 32],
    /// SHA-256 of the link's token (ACC-22).
    pub link_hash: [u8; 32],
    /// When it ends.
    pub expires: Timestamp,
}

/// Where a verification stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerificationState {
    /// Waits for code or link.
    Open,
    /// The handle is verified; a registration may use it.
    Verified,
    /// Used up, or ended by wrong codes.
    Ended,
}

/// A verification as it is kept.
#[derive(Clone, Debug)]
pub struct Verification {
    /// Its name.
    pub id: VerificationId,
    /// The handle in question.
    pub handle: Handle,
    /// What for.
    pub purpose: VerificationPurpose,
    /// Where it stands.
    pub state: VerificationState,
    /// When it ends.
    pub expires: Timestamp,
}

/// What is presented to verify.
#[derive(Clone)]
pub enum VerifyAttempt {
    /// A code, as its labelled MAC; a wrong one costs a try (ACC-21).
    Code([u8; 32]),
    /// The button behind the link; whoever has the token has the mail (ACC-22).
    Link,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyOutcome {
    /// Verified now; with [`VerificationPurpose::AddHandle`], the handle has joined the account.
    Verified,
    /// The code is wrong; so many tries are left.
    Wrong {
        /// More than 0.
        tries_left: u32,
    },
    /// It ended before, or with this wrong try, or expired, or never was.
    Ended,
    /// The handle belongs to another account by now (ACC-51).
    HandleTaken,
    /// The account has as many handles as it may (ACC-51).
    TooManyHandles,
}

/// Durable verifications.
#[async_trait::async_trait]
pub trait VerificationStore: Send + Sync {
    /// Stores a new one.
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn begin(&self, new: NewVerification) -> Result<(), DirectoryStoreError>;

    /// Returns one, also when it expired but was not swept away yet.
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn find(&self, id: VerificationId) -> Result<Option<Verification>, DirectoryStoreError>;

    /// Returns the one whose link has this hash.
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn find_by_link(&self, link_hash: [u8; 32]) -> Result<Option<Verification>, DirectoryStoreError>;

    /// Compares in constant time, counts, verifies, and lets the handle join its account: one commit, so that tries at the
    /// same time are counted one after the other. `tries_max` is how many wrong codes end it; `aftermath` is kept only when
    /// a handle joined.
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn verify(
        &self,
        id: VerificationId,
        attempt: VerifyAttempt,
        tries_max: u32,
        handles_max: u32,
        now: Timestamp,
        aftermath: Vec<Aftermath>,
    ) -> Result<VerifyOutcome, DirectoryStoreError>;
}
