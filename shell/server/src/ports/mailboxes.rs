//! The mailboxes: what waits for each device. Spec: 30-courier.md §3 to §5 (COU-31, COU-32, COU-41, COU-44, COU-54),
//! and the epoch that each device showed last (COU-18, COU-19).
//!
//! - Positions rise strictly over all mailboxes and are never used twice.
//! - What `append` answered as accepted survives any crash from then on (I10).
//! - The epoch of a device never falls while the device is there.

use bytes::Bytes;
use halcyon_types::{DeviceId, Timestamp, Topic};

/// One envelope to store for one device.
#[derive(Clone, Debug)]
pub struct Append {
    /// Whose mailbox.
    pub device: DeviceId,
    /// Decides the storing rule (COU-31, COU-32).
    pub topic: Topic,
    /// When it is deleted undelivered.
    pub expires: Timestamp,
    /// The encoded `Envelope`.
    pub envelope: Bytes,
}

/// An epoch that a device showed (COU-17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShownEpoch {
    /// Which device showed it.
    pub device: DeviceId,
    /// Never 0, which does not tell.
    pub epoch: u64,
}

/// What became of one [`Append`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// On stable storage at this position.
    Accepted(u64),
    /// The mailbox is full in count or bytes (COU-45).
    Quota,
}

/// One envelope as it waits.
#[derive(Clone, Debug)]
pub struct StoredEnvelope {
    /// Its place in the order of acceptance.
    pub position: u64,
    /// The encoded `Envelope`, as appended.
    pub envelope: Bytes,
}

/// How much one read may return.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimit {
    /// Envelopes.
    pub count: usize,
    /// Bytes of envelopes; at least one envelope is returned if there is any.
    pub bytes: usize,
}

/// Why a mailbox operation failed. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MailboxError {
    /// The disk is full: appends fail, everything else goes on (COU-44).
    #[error("the disk of the mailboxes is full")]
    Full,
    /// A sync failed: the writer is stopped until the process is restarted (COU-44).
    #[error("the mailbox writer stopped after a failed sync; restart on a good disk")]
    Stopped,
    /// Anything else that the store said.
    #[error("the mailbox store failed: {0}")]
    Failed(String),
}

/// Durable mailboxes. Every implementation passes `testkit::conformance::mailboxes`.
#[async_trait::async_trait]
pub trait Mailboxes: Send + Sync {
    /// Stores a batch and remembers what was shown, one commit, and answers in the batch's order after stable storage. What
    /// was shown is remembered whatever becomes of the batch's envelopes, if it is more than is remembered already (COU-19).
    ///
    /// # Errors
    /// [`MailboxError`]: none of the batch was stored, and nothing was remembered.
    async fn append(&self, batch: Vec<Append>, shown: Vec<ShownEpoch>) -> Result<Vec<AppendOutcome>, MailboxError>;

    /// Returns the highest epoch that a device showed, 0 if none is remembered (COU-18).
    ///
    /// # Errors
    /// [`MailboxError`]
    async fn epoch(&self, device: DeviceId) -> Result<u64, MailboxError>;

    /// Returns what waits for a device on these topics after a position, oldest first, without what expired by `now`.
    ///
    /// # Errors
    /// [`MailboxError`]
    async fn read(
        &self,
        device: DeviceId,
        topics: &[Topic],
        after: u64,
        now: Timestamp,
        limit: ReadLimit,
    ) -> Result<Vec<StoredEnvelope>, MailboxError>;

    /// Deletes what a device acknowledged. May reach the disk later: a crash before brings a delivery again, which is allowed.
    ///
    /// # Errors
    /// [`MailboxError`]
    async fn acknowledge(&self, device: DeviceId, positions: Vec<u64>) -> Result<(), MailboxError>;

    /// Empties the mailbox of a device that was removed, and forgets its epoch. Both are on stable storage when this returns: nobody
    /// asks for it again.
    ///
    /// # Errors
    /// [`MailboxError`]
    async fn clear(&self, device: DeviceId) -> Result<(), MailboxError>;

    /// Deletes what expired by `now`, in bounded steps; returns how many in this step, 0 when done.
    ///
    /// # Errors
    /// [`MailboxError`]
    async fn expire(&self, now: Timestamp) -> Result<usize, MailboxError>;
}
