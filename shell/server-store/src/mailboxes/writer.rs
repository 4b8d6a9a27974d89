//! The one thread that writes the mailboxes: group commit (COU-41) and what failures do to it (COU-44).
//!
//! Owns the writing connection. Does not know who asks.
//!
//! - Takes everything that waits, up to a bound, into one transaction with one sync, and answers after it.
//! - Clearing and expiry ride along. Without an append they wait a moment for company and are committed without a sync.
//! - What was acknowledged is deleted by the thousand, between two appends and without a sync: after a crash a delivery
//!   comes again, which is allowed (COU-53).
//! - When the log is long, its oldest part is folded into the table, after everything was answered.
//! - A failed sync ends it. A full disk fails appends alone.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use halcyon_failpoint::{Dial, Point, dial, hit};
use halcyon_server::ports::{Append, AppendOutcome, MailboxError};
use rusqlite::Connection;
use tokio::sync::mpsc as line;
use tokio::time::Instant;

use super::acknowledged::Acknowledged;
use super::batch::{Loaded, Tables};
use super::log::Deletions;
use super::reserve::Reserve;
use super::round::{Command, Outcome, Round};
use super::{Execution, OpenError, Options, failure};

/// A handle of the thread, or of what stands for it.
pub(super) struct Writer {
    commands: Commands,
    stopped: Arc<AtomicBool>,
    commits: Arc<AtomicU64>,
}

/// The way to whoever writes.
enum Commands {
    /// A thread; both are `None` only while dropping.
    Thread { commands: Option<Sender<Command>>, thread: Option<JoinHandle<()>> },
    /// A task on the caller's own thread.
    Task(line::UnboundedSender<Command>),
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        loaded: Loaded,
        folder: &Path,
        options: Options,
        acknowledged: Arc<Acknowledged>,
    ) -> Result<Self, OpenError> {
        let reserve = Reserve::take(folder, options.reserve_bytes)?;
        let stopped = Arc::new(AtomicBool::new(false));
        let commits = Arc::new(AtomicU64::new(0));
        let (flag, counter, execution) = (stopped.clone(), commits.clone(), options.execution);
        let store = Opened { connection, loaded, options, reserve, stopped: flag, commits: counter, acknowledged };
        let commands = match execution {
            Execution::Threads => {
                let (commands, inbox) = mpsc::channel();
                let run = move || {
                    let Opened { connection, loaded, options, reserve, stopped, commits, acknowledged } = store;
                    match Tables::new(&connection, loaded, &options) {
                        Ok(tables) => {
                            Run::new(&connection, tables, reserve, stopped, commits, acknowledged).run(&inbox);
                        }
                        Err(_) => stopped.store(true, Ordering::Release),
                    }
                };
                let thread = std::thread::Builder::new().name("mailboxes".into()).spawn(run)?;
                Commands::Thread { commands: Some(commands), thread: Some(thread) }
            }
            Execution::InPlace { sync } => {
                let (commands, inbox) = line::unbounded_channel();
                tokio::task::spawn_local(run_in_place(store, inbox, sync));
                Commands::Task(commands)
            }
        };
        Ok(Self { commands, stopped, commits })
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Returns how many commits were synced.
    pub(super) fn synced_commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    pub(super) fn send(&self, command: Command) -> Result<(), MailboxError> {
        if self.is_stopped() {
            return Err(MailboxError::Stopped);
        }
        let sent = match &self.commands {
            Commands::Thread { commands, .. } => commands.as_ref().is_some_and(|line| line.send(command).is_ok()),
            Commands::Task(line) => line.send(command).is_ok(),
        };
        if sent { Ok(()) } else { Err(MailboxError::Stopped) }
    }

    /// Returns the way to ask the writer's own connection, where that is the only one.
    pub(super) fn looks(&self) -> Option<line::UnboundedSender<Command>> {
        match &self.commands {
            Commands::Thread { .. } => None,
            Commands::Task(line) => Some(line.clone()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let Commands::Thread { commands, thread } = &mut self.commands else { return };
        // The thread ends when it has done what was sent and there is no sender left.
        *commands = None;
        if let Some(thread) = thread.take() {
            let _ = thread.join();
        }
    }
}

/// What a writer is made of, before it knows where it runs.
struct Opened {
    connection: Connection,
    loaded: Loaded,
    options: Options,
    reserve: Reserve,
    stopped: Arc<AtomicBool>,
    commits: Arc<AtomicU64>,
    acknowledged: Arc<Acknowledged>,
}

/// The writer as a task of a runtime that has one thread: every commit takes `sync` of that runtime's time.
async fn run_in_place(store: Opened, mut inbox: line::UnboundedReceiver<Command>, sync: Duration) {
    let Opened { connection, loaded, options, reserve, stopped, commits, acknowledged } = store;
    let Ok(tables) = Tables::new(&connection, loaded, &options) else {
        stopped.store(true, Ordering::Release);
        return;
    };
    let mut run = Run::new(&connection, tables, reserve, stopped, commits, acknowledged);
    let mut round = Round::default();
    loop {
        let open = round.gather_in_place(&mut inbox).await;
        for look in round.take_looks() {
            look(&connection);
        }
        if !round.is_empty() {
            tokio::time::sleep(sync).await;
        }
        if run.turn(&mut round, open).is_err() {
            return run.stop();
        }
        if !open {
            return run.end();
        }
    }
}

/// Whether a commit is on stable storage when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sync {
    Yes,
    No,
}

struct Run<'c> {
    connection: &'c Connection,
    tables: Tables<'c>,
    reserve: Reserve,
    stopped: Arc<AtomicBool>,
    commits: Arc<AtomicU64>,
    /// When the disk was last found full.
    full_since: Option<Instant>,
    /// Whether the connection syncs its commits.
    syncing: Sync,
    /// Bytes of envelopes since the log was last written back.
    written_bytes: usize,
    acknowledged: Arc<Acknowledged>,
    /// Whether the running transaction deletes what was acknowledged.
    deleted: bool,
    /// Whether all unused pages are to be cut off the file when the running transaction is done.
    cuts_all: bool,
}

impl<'c> Run<'c> {
    fn new(
        connection: &'c Connection,
        tables: Tables<'c>,
        reserve: Reserve,
        stopped: Arc<AtomicBool>,
        commits: Arc<AtomicU64>,
        acknowledged: Arc<Acknowledged>,
    ) -> Self {
        Self {
            connection,
            tables,
            reserve,
            stopped,
            commits,
            full_since: None,
            syncing: Sync::Yes,
            written_bytes: 0,
            acknowledged,
            deleted: false,
            cuts_all: false,
        }
    }

    fn run(mut self, inbox: &Receiver<Command>) {
        let mut round = Round::default();
        loop {
            let open = round.gather(inbox);
            if self.turn(&mut round, open).is_err() {
                return self.stop();
            }
            if !open {
                return self.end();
            }
        }
    }

    /// Senders that come from now on find no receiver; those in between get their answer by the dropped reply.
    fn stop(self) {
        self.stopped.store(true, Ordering::Release);
        tracing::error!(
            "a sync of the mailboxes failed; nothing is accepted until the server is restarted on a good disk"
        );
    }

    fn end(mut self) {
        if self.full_since.is_none() {
            // A clean end leaves a short log, so that the next start is quick.
            let _ = self.write_back("TRUNCATE");
        }
    }

    /// Does what was gathered. An error means that the writer must not go on.
    fn turn(&mut self, round: &mut Round, open: bool) -> Result<(), ()> {
        if !round.is_empty() {
            let commands = round.take();
            self.commit(commands)?;
        }
        if (round.takes_deletions() || !open) && self.delete().or_else(|error| self.survives(&error).map(|()| true))? {
            round.postpone_deletions();
        }
        if self.cuts_all {
            self.cut_all().or_else(|error| self.survives(&error))?;
        }
        self.fold().or_else(|error| self.survives(&error))?;
        if self.written_bytes >= dial(Dial::WriteBackBytes).map_or(WRITE_BACK_BYTES, |bytes| bytes as usize) {
            // Everything is answered: what fails here concerns the next commit.
            self.write_back("PASSIVE").or_else(|error| self.survives(&error))?;
        }
        Ok(())
    }

    /// Commits a round and answers it.
    fn commit(&mut self, mut round: Round) -> Result<(), ()> {
        if self.is_full() {
            round.refuse_appends(&MailboxError::Full);
        }
        let sync = if round.is_awaited() { Sync::Yes } else { Sync::No };
        let mut done = self.transaction(sync, Deletions::Recorded, |run| run.apply(&round));
        if done.as_ref().is_err_and(is_full) {
            round.refuse_appends(&MailboxError::Full);
            done = self.make_room().and_then(|()| self.transaction(sync, Deletions::InPlace, |run| run.apply(&round)));
        }
        match done {
            Ok(outcomes) => {
                hit(Point::ServerSync);
                self.commits.fetch_add(u64::from(round.is_awaited()), Ordering::Relaxed);
                self.written_bytes += round.bytes() + round.removals() * REMOVAL_BYTES;
                round.answer(outcomes);
                Ok(())
            }
            Err(error) => {
                round.refuse(&failure::of_write(&error));
                self.survives(&error)
            }
        }
    }

    /// Deletes what was acknowledged. Returns whether it has to be done again later, for want of room.
    fn delete(&mut self) -> rusqlite::Result<bool> {
        if self.acknowledged.is_empty() {
            return Ok(false);
        }
        let mut done = self.transaction(Sync::No, Deletions::Recorded, Self::apply_deletions);
        if done.as_ref().is_err_and(is_full) {
            done =
                self.make_room().and_then(|()| self.transaction(Sync::No, Deletions::InPlace, Self::apply_deletions));
        }
        match done {
            Ok(()) => {
                hit(Point::ServerDeleted);
                Ok(false)
            }
            Err(error) if is_full(&error) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Moves what waits in the oldest part of the log to the table, until the log is short again.
    fn fold(&mut self) -> rusqlite::Result<()> {
        while self.full_since.is_none() && self.tables.log_is_long() {
            let done = self.transaction(Sync::No, Deletions::Recorded, |run| run.tables.fold());
            if done.as_ref().is_err_and(is_full) {
                return self.make_room();
            }
            self.written_bytes += done?;
            hit(Point::ServerFold);
        }
        Ok(())
    }

    /// The disk is full: gives up the reserve, and writes the log back so that it starts anew (COU-44). An error is one after
    /// which the writer stops.
    fn make_room(&mut self) -> rusqlite::Result<()> {
        if self.full_since.is_none() {
            tracing::warn!("the disk of the mailboxes is full; envelopes are refused, acknowledging and expiry go on");
        }
        self.full_since = Some(Instant::now());
        self.reserve.release();
        match self.write_back("TRUNCATE") {
            Err(error) if self.survives(&error).is_err() => Err(error),
            // There is no room for that either: so will say what comes after it.
            _ => Ok(()),
        }
    }

    /// Returns whether the writer may go on after a failure.
    fn survives(&self, error: &rusqlite::Error) -> Result<(), ()> {
        if matches!(failure::of_write(error), MailboxError::Stopped) { Err(()) } else { Ok(()) }
    }

    /// Returns whether the disk is still full, looking again from time to time.
    fn is_full(&mut self) -> bool {
        let Some(since) = self.full_since else { return false };
        if since.elapsed() >= FULL_RETRY {
            self.full_since = if self.reserve.fill().is_ok() { None } else { Some(Instant::now()) };
        }
        self.full_since.is_some()
    }

    /// Runs something in a transaction, synced or not.
    fn transaction<T>(
        &mut self,
        sync: Sync,
        deletions: Deletions,
        apply: impl FnOnce(&mut Self) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.set_sync(sync)?;
        self.deleted = false;
        let done = self
            .tables
            .begin(deletions)
            .and_then(|()| apply(self))
            .and_then(|done| self.tables.commit().map(|()| done));
        match &done {
            Ok(_) if self.deleted => self.acknowledged.settle(),
            Ok(_) => {}
            Err(_) => self.tables.roll_back(),
        }
        done
    }

    fn set_sync(&mut self, sync: Sync) -> rusqlite::Result<()> {
        if self.syncing != sync {
            self.connection.execute_batch(match sync {
                Sync::Yes => "PRAGMA synchronous = FULL",
                Sync::No => "PRAGMA synchronous = NORMAL",
            })?;
            self.syncing = sync;
        }
        Ok(())
    }

    fn apply(&mut self, round: &Round) -> rusqlite::Result<Vec<Outcome>> {
        let outcome = |command: &Command| {
            Ok(match command {
                Command::Append { batch, shown, .. } => {
                    // COU-19: whatever becomes of the envelopes.
                    shown.iter().try_for_each(|shown| self.tables.show(*shown))?;
                    Outcome::Appended(batch.iter().map(|append| self.append(append)).collect::<Result<_, _>>()?)
                }
                Command::Clear { device, .. } => {
                    self.tables.clear(*device)?;
                    Outcome::Done(0)
                }
                Command::Expire { found, .. } => {
                    let mut removed = 0;
                    for (device, position) in found {
                        removed += usize::from(self.tables.remove(*device, *position)?);
                    }
                    hit(Point::ServerExpire);
                    Outcome::Done(removed)
                }
                Command::Shrink { .. } => Outcome::Done(self.shrink()?),
                // Never among what is written.
                Command::Look(_) | Command::Acknowledged | Command::AcknowledgedEnough => Outcome::Done(0),
            })
        };
        let outcomes = round.commands().iter().map(outcome).collect();
        hit(Point::ServerAppend);
        outcomes
    }

    fn append(&mut self, append: &Append) -> rusqlite::Result<AppendOutcome> {
        let outcome = self.tables.append(append)?;
        if outcome != AppendOutcome::Quota || self.deleted || self.acknowledged.is_empty() {
            return Ok(outcome);
        }
        // COU-45: what was acknowledged does not count, even if it is still there.
        self.apply_deletions()?;
        self.tables.append(append)
    }

    fn apply_deletions(&mut self) -> rusqlite::Result<()> {
        self.deleted = true;
        let acknowledged = self.acknowledged.take();
        for (position, device) in acknowledged.iter() {
            self.tables.remove(*device, *position)?;
        }
        self.written_bytes += acknowledged.len() * REMOVAL_BYTES;
        hit(Point::ServerDelete);
        Ok(())
    }

    /// Cuts some unused pages off the file, if there are many; returns how many. If hardly anything else is in it, all are cut off after
    /// this transaction, and nobody has to ask again: whoever did until it works would never end on a full disk.
    fn shrink(&mut self) -> rusqlite::Result<usize> {
        let number = |name| self.connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
        let (unused, pages) = (number("freelist_count")?, number("page_count")?);
        if unused < UNUSED_PAGES_MIN.max(pages / UNUSED_SHARE) {
            return Ok(0);
        }
        if pages - unused <= USED_PAGES_FEW {
            self.cuts_all = true;
            return Ok(0);
        }
        let step = (SHRINK_LOOKUPS / (1 + unused / TRUNK_PAGES)).clamp(SHRINK_PAGES_MIN, SHRINK_PAGES);
        let mut statement = self.connection.prepare(&format!("PRAGMA incremental_vacuum({step})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        Ok(usize::try_from(unused - number("freelist_count")?).unwrap_or(0))
    }

    /// Cuts all unused pages off the file. Step by step each of them would be looked for in the list of all; a commit that cuts
    /// all forgets the list, and moves the few pages that are used.
    fn cut_all(&mut self) -> rusqlite::Result<()> {
        self.cuts_all = false;
        self.set_sync(Sync::No)?;
        let cut = self.connection.execute_batch("PRAGMA auto_vacuum = FULL");
        // Or every commit from now on would look for pages to cut off. (A start sets it, too.)
        self.connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")?;
        cut
    }

    /// Writes the log back into the database, so that it does not grow without end.
    fn write_back(&mut self, mode: &str) -> rusqlite::Result<()> {
        self.written_bytes = 0;
        self.connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))?;
        hit(Point::ServerWriteBack);
        Ok(())
    }
}

fn is_full(error: &rusqlite::Error) -> bool {
    matches!(failure::of_write(error), MailboxError::Full)
}

/// Bytes after which the log is written back. Less means more syncs of the database, more means a longer start after a
/// crash.
const WRITE_BACK_BYTES: usize = 16 << 20;

/// What a deletion writes into the log, roughly: it shares its pages with its neighbors.
const REMOVAL_BYTES: usize = 256;

/// Bytes of the log from which on it is folded: what a start reads, and what is kept in memory. Nearly everything is acknowledged
/// long before so much came after it.
pub(super) const LOG_BYTES_MAX: u64 = 16 << 20;

/// How often a full disk is looked at again.
const FULL_RETRY: Duration = Duration::from_secs(1);

/// Unused pages that are kept for the appends to come: 16 MiB.
const UNUSED_PAGES_MIN: i64 = 4_096;

/// One part in so many of the file may be unused before it is cut: moving pages costs writes, too.
const UNUSED_SHARE: i64 = 4;

/// So few used pages, 16 MiB, are moved at once when everything else of the file is unused.
const USED_PAGES_FEW: i64 = 4_096;

/// Pages cut in one step: 4 MiB, some milliseconds, unless the list of unused pages is long; and how few it may be.
const SHRINK_PAGES: i64 = 1_024;
const SHRINK_PAGES_MIN: i64 = 16;

/// Pages of the list of unused pages that one step looks through.
const SHRINK_LOOKUPS: i64 = 65_536;

/// Unused pages that one page of that list names.
const TRUNK_PAGES: i64 = 1_022;
