//! Mailboxes in SQLite, in front of which is a log. Spec: 30-courier.md (COU-31, COU-32, COU-41, COU-44, COU-45, COU-54), and
//! the epochs of the devices (COU-18, COU-19).
//!
//! Owns the file `mailboxes.db` of the data folder, the one thread that writes it, and the connections that read it.
//! Does not know connections, frames, or what an envelope holds.
//!
//! - One writer commits everything that waits in one transaction and one sync, then answers all of it (COU-41).
//! - No lock is held across a sync; readers see the last commit and never wait for the writer.
//! - A position is used once, also across restarts and failed commits.
//! - After a failed sync nothing is written any more (COU-44).
//!
//! Next: [`writer`] is the thread, [`batch`] what it does inside a transaction, [`log`] how that lies on disk, [`recent`] and in
//! memory, [`readers`] the other direction.

mod acknowledged;
mod batch;
mod expiry;
mod failure;
mod heavy;
mod log;
mod quota;
mod readers;
mod recent;
mod record;
mod reserve;
mod round;
mod schema;
mod writer;

use std::path::Path;
use std::sync::Arc;

use halcyon_server::ports::{Append, AppendOutcome, MailboxError, Mailboxes, ReadLimit, ShownEpoch, StoredEnvelope};
use halcyon_types::{DeviceId, Timestamp, Topic};
use tokio::sync::{Semaphore, oneshot};

use crate::Execution;
use acknowledged::{Acknowledged, Nudge};
use batch::Loaded;
use expiry::Sweep;
pub use failure::OpenError;
use readers::Readers;
use round::Command;
use writer::Writer;

/// The embedded mailboxes of one data folder.
///
/// Dropping it waits until the writer has finished what was handed to it, and closes the file.
pub struct MailboxStore {
    readers: Arc<Readers>,
    sweep: Sweep,
    acknowledged: Arc<Acknowledged>,
    /// Bytes that may wait for the writer; whoever appends more waits, so that a slow disk costs bounded memory.
    room: Arc<Semaphore>,
    writer: Writer,
}

/// How the mailboxes are kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Envelopes that one device may have waiting (COU-45).
    pub envelopes_max: u64,
    /// Bytes of envelopes that one device may have waiting (COU-45).
    pub bytes_max: u64,
    /// Bytes that the file may grow to; more is treated like a full disk (COU-44). `None`: as much as there is.
    pub file_bytes_max: Option<u64>,
    /// Bytes held back on the disk, so that acknowledging and expiry go on when it is full (COU-44).
    pub reserve_bytes: u64,
    /// Bytes that the log grows to before its oldest part is folded into the table.
    pub log_bytes_max: u64,
    /// SQLite's name of the file system layer to stand on; a test puts one there that fails on purpose.
    pub vfs: Option<String>,
    /// Where the work is done.
    pub execution: Execution,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            envelopes_max: 10_000,
            bytes_max: 64 << 20,
            file_bytes_max: None,
            reserve_bytes: reserve::RESERVE_BYTES,
            log_bytes_max: writer::LOG_BYTES_MAX,
            vfs: None,
            execution: Execution::Threads,
        }
    }
}

impl MailboxStore {
    /// Opens the mailboxes of a data folder, creating them if there are none.
    ///
    /// The caller makes sure that no other process uses the folder.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed.
    pub fn open(folder: &Path, options: Options) -> Result<Self, OpenError> {
        let path = folder.join(FILE_NAME);
        let connection = schema::open_writer(&path, &options)?;
        let acknowledged = Arc::new(Acknowledged::default());
        let vfs = options.vfs.clone();
        let loaded = Loaded::new(&connection)?;
        let recent = loaded.recent().clone();
        let writer = Writer::start(connection, loaded, folder, options, acknowledged.clone())?;
        let readers = Arc::new(Readers::new(path, vfs, acknowledged.clone(), recent, writer.looks()));
        Ok(Self {
            sweep: Sweep::new(readers.clone()),
            acknowledged,
            readers,
            room: Arc::new(Semaphore::new(QUEUE_BYTES_MAX)),
            writer,
        })
    }

    /// Returns whether the writer stopped after a failed sync, so that only a restart helps (COU-44).
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.writer.is_stopped()
    }

    /// Returns how many commits were synced since the start: how well syncs are shared.
    #[must_use]
    pub fn synced_commits(&self) -> u64 {
        self.writer.synced_commits()
    }
}

#[async_trait::async_trait]
impl Mailboxes for MailboxStore {
    async fn append(&self, batch: Vec<Append>, shown: Vec<ShownEpoch>) -> Result<Vec<AppendOutcome>, MailboxError> {
        if batch.is_empty() && shown.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = batch.iter().map(|append| append.envelope.len()).sum::<usize>().min(QUEUE_BYTES_MAX);
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        // The semaphore is fair, so appends reach the writer in the order in which they were first polled.
        let room = self.room.clone().acquire_many_owned(permits).await.map_err(|_| MailboxError::Stopped)?;
        let (reply, answer) = oneshot::channel();
        self.writer.send(Command::Append { batch, shown, reply, _room: room })?;
        answer.await.unwrap_or(Err(MailboxError::Stopped))
    }

    async fn epoch(&self, device: DeviceId) -> Result<u64, MailboxError> {
        self.readers.epoch(device).await
    }

    async fn read(
        &self,
        device: DeviceId,
        topics: &[Topic],
        after: u64,
        now: Timestamp,
        limit: ReadLimit,
    ) -> Result<Vec<StoredEnvelope>, MailboxError> {
        self.readers.read(device, topics, after, now, limit).await
    }

    async fn acknowledge(&self, device: DeviceId, positions: Vec<u64>) -> Result<(), MailboxError> {
        if self.is_stopped() {
            return Err(MailboxError::Stopped);
        }
        match self.acknowledged.put(device, positions) {
            Nudge::None => Ok(()),
            Nudge::First => self.writer.send(Command::Acknowledged),
            Nudge::Enough => self.writer.send(Command::AcknowledgedEnough),
        }
    }

    async fn clear(&self, device: DeviceId) -> Result<(), MailboxError> {
        let (reply, answer) = oneshot::channel();
        self.writer.send(Command::Clear { device, reply })?;
        answer.await.unwrap_or(Err(MailboxError::Stopped))
    }

    async fn expire(&self, now: Timestamp) -> Result<usize, MailboxError> {
        let found = self.sweep.next(now).await?;
        if found.is_empty() {
            return self.shrink().await;
        }
        let (reply, answer) = oneshot::channel();
        self.writer.send(Command::Expire { found, reply })?;
        answer.await.unwrap_or(Err(MailboxError::Stopped))
    }
}

impl MailboxStore {
    /// Gives pages that deletions left behind back to the disk, step by step, so that appends come in between.
    async fn shrink(&self) -> Result<usize, MailboxError> {
        loop {
            let (reply, answer) = oneshot::channel();
            self.writer.send(Command::Shrink { reply })?;
            if answer.await.unwrap_or(Err(MailboxError::Stopped))? == 0 {
                return Ok(0);
            }
        }
    }
}

/// One file for the mailboxes alone: they are written far more often than the directory, and are worth less in a backup.
const FILE_NAME: &str = "mailboxes.db";

/// Bytes of envelopes that may wait for the writer: a few commits' worth, so that the writer is never idle and memory
/// is bounded.
const QUEUE_BYTES_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests;
