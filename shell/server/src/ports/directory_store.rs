//! What accounts, directory and linking keep: one trait for each state. Spec: 11-directory.md, 20-accounts.md, 21-linking.md.
//!
//! - Each method is one atomic commit, on stable storage when it returns `Ok`.
//! - Secrets of people (codes, tickets, links in mails) arrive here as hashes or MACs only.
//! - What must happen outside the store after a commit (alerts, revocations) is stored in the same commit as an
//!   [`Aftermath`], so that a crash in between only delays it.

mod accounts;
mod aftermath;
mod links;
mod lists;
mod lookups;
mod reports;
mod verifications;

use std::sync::Arc;

use halcyon_types::Timestamp;

use super::Holds;

pub use accounts::{AccountProfile, AccountStore, Created, HandleRemoved, NewAccount};
pub use aftermath::{Aftermath, AftermathId, AftermathStore, Deed};
pub use links::{Advanced, Completed, Link, LinkOpened, LinkState, LinkStore, NewLink};
pub use lists::{
    AccountSnapshot, DeviceAddress, DeviceRow, FoundAccount, ListChange, ListReplaced, ListStore, NewDevice,
    SnapshotOf, StoredList, StoredPrekey,
};
pub use lookups::{Admitted, Charge, LimitKey, LimitStore, LookupStore, Rate};
pub use reports::{NewReport, ReportKept, ReportRoom, ReportStore};
pub use verifications::{
    NewVerification, Verification, VerificationId, VerificationPurpose, VerificationState, VerificationStore,
    VerifyAttempt, VerifyOutcome,
};

/// Why an operation of the directory's store failed. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryStoreError {
    /// The disk is full: changes fail, reading goes on.
    #[error("the disk of the directory is full")]
    Full,
    /// Anything else that the store said.
    #[error("the directory store failed: {0}")]
    Failed(String),
}

/// Every part of the store, as the services share it.
#[derive(Clone)]
pub struct DirectoryStore {
    /// Accounts, their handles and passwords.
    pub accounts: Arc<dyn AccountStore>,
    /// Device lists, push tokens, prekeys.
    pub lists: Arc<dyn ListStore>,
    /// Verifications of handles.
    pub verifications: Arc<dyn VerificationStore>,
    /// Tickets and links of new devices.
    pub links: Arc<dyn LinkStore>,
    /// The query log.
    pub lookups: Arc<dyn LookupStore>,
    /// Reports for the operator.
    pub reports: Arc<dyn ReportStore>,
    /// Rate limits and used nonces.
    pub limits: Arc<dyn LimitStore>,
    /// What is still to be done after a commit.
    pub aftermath: Arc<dyn AftermathStore>,
    /// Sends that wait for their time.
    pub holds: Arc<dyn Holds>,
    /// Removal of what expired.
    pub housekeeping: Arc<dyn Housekeeping>,
}

/// Removes what has lived long enough.
#[async_trait::async_trait]
pub trait Housekeeping: Send + Sync {
    /// Deletes, on disk too, expired verifications, tickets, links, reports, nonces, limits that are full again, what became of holds
    /// that were due 31 days ago (COU-64), and records of the query log from before `query_log_from_hour`. Returns how many rows.
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn expire(&self, now: Timestamp, query_log_from_hour: u64) -> Result<u64, DirectoryStoreError>;
}
