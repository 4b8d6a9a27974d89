//! The one thread that writes the mailboxes: group commit (COU-41) and what failures do to it (COU-44).
//!
//! Owns the writing connection. Does not know who asks.
//!
//! - Takes everything that waits, up to a bound, into one transaction with one sync, and answers after it.
//! - Acknowledgements, clearing and expiry ride along. Without an append they wait a moment for company and are committed
//!   without a sync: after a crash a delivery comes again, which is allowed (COU-53).
//! - A failed sync ends it. A full disk fails appends alone.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use halcyon_server::ports::{Append, AppendOutcome, MailboxError};
use halcyon_types::DeviceId;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::batch::Tables;
use super::reserve::Reserve;
use super::{OpenError, Options, failure};

/// One thing to write.
pub(super) enum Command {
    /// Store these, and answer after the sync.
    Append {
        batch: Vec<Append>,
        reply: oneshot::Sender<Result<Vec<AppendOutcome>, MailboxError>>,
        _room: OwnedSemaphorePermit,
    },
    /// Delete what a device has committed.
    Acknowledge { device: DeviceId, positions: Vec<u64> },
    /// Empty a mailbox.
    Clear { device: DeviceId, reply: oneshot::Sender<Result<(), MailboxError>> },
    /// Delete what expired; the answer is how many were still there.
    Expire { found: Vec<(DeviceId, u64)>, reply: oneshot::Sender<Result<usize, MailboxError>> },
    /// Give some unused pages back to the disk; the answer is how many.
    Shrink { reply: oneshot::Sender<Result<usize, MailboxError>> },
}

/// A handle of the thread.
pub(super) struct Writer {
    /// `None` only while dropping.
    commands: Option<Sender<Command>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connection: Connection, folder: &Path, options: Options) -> Result<Self, OpenError> {
        // What a statement or the tables have against it is found here, where it can still be said.
        Tables::new(&connection, &options)?;
        let reserve = Reserve::take(folder, options.reserve_bytes)?;
        let stopped = Arc::new(AtomicBool::new(false));
        let (commands, inbox) = mpsc::channel();
        let flag = stopped.clone();
        let run = move || match Tables::new(&connection, &options) {
            Ok(tables) => Run {
                connection: &connection,
                tables,
                reserve,
                stopped: flag,
                full_since: None,
                syncing: true,
                written_bytes: 0,
            }
            .run(&inbox),
            Err(_) => flag.store(true, Ordering::Release),
        };
        let thread = std::thread::Builder::new().name("mailboxes".into()).spawn(run)?;
        Ok(Self { commands: Some(commands), stopped, thread: Some(thread) })
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(super) fn send(&self, command: Command) -> Result<(), MailboxError> {
        if self.is_stopped() {
            return Err(MailboxError::Stopped);
        }
        self.commands.as_ref().and_then(|commands| commands.send(command).ok()).ok_or(MailboxError::Stopped)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The thread ends when it has done what was sent and there is no sender left.
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Run<'c> {
    connection: &'c Connection,
    tables: Tables<'c>,
    reserve: Reserve,
    stopped: Arc<AtomicBool>,
    /// When the disk was last found full.
    full_since: Option<Instant>,
    /// Whether the connection syncs its commits.
    syncing: bool,
    /// Bytes of envelopes since the log was last written back.
    written_bytes: usize,
}

/// What goes into one transaction.
#[derive(Default)]
struct Round {
    commands: Vec<Command>,
    envelopes: usize,
    bytes: usize,
    removals: usize,
    /// When it is committed even if no append comes along.
    deadline: Option<Instant>,
}

impl Run<'_> {
    fn run(mut self, inbox: &Receiver<Command>) {
        let mut round = Round::default();
        loop {
            let open = round.gather(inbox);
            if round.commands.is_empty() && !open {
                break;
            }
            let commit = self.commit(std::mem::take(&mut round));
            if commit.is_err() {
                self.stopped.store(true, Ordering::Release);
                tracing::error!(
                    "a sync of the mailboxes failed; nothing is accepted until the server is restarted on a good disk"
                );
                break;
            }
        }
        // Senders that come from now on find no receiver; those in between get their answer by the dropped reply.
        if !self.stopped.load(Ordering::Acquire) && self.full_since.is_none() {
            // A clean end leaves a short log, so that the next start is quick.
            let _ = self.write_back("TRUNCATE");
        }
    }

    /// Commits a round and answers it. An error means that the writer must not go on.
    fn commit(&mut self, mut round: Round) -> Result<(), ()> {
        if self.is_full() {
            round.refuse_appends(&MailboxError::Full);
        }
        let sync = round.envelopes > 0;
        let done = self.transaction(&round, sync);
        let done = match done {
            Err(error) if matches!(failure::of_write(&error), MailboxError::Full) => {
                tracing::warn!(
                    "the disk of the mailboxes is full; envelopes are refused, acknowledging and expiry go on"
                );
                self.full_since = Some(Instant::now());
                self.reserve.release();
                round.refuse_appends(&MailboxError::Full);
                self.write_back("TRUNCATE").and_then(|()| self.transaction(&round, false))
            }
            done => done,
        };
        match done {
            Ok(outcomes) => {
                round.answer(outcomes);
                self.written_bytes += round.bytes + round.removals * REMOVAL_BYTES;
                if self.written_bytes < WRITE_BACK_BYTES {
                    return Ok(());
                }
                // The round is answered: what fails here concerns the next one.
                self.write_back("PASSIVE").or_else(|error| self.survives(&error))
            }
            Err(error) => {
                round.refuse(&failure::of_write(&error));
                self.survives(&error)
            }
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

    fn transaction(&mut self, round: &Round, sync: bool) -> rusqlite::Result<Vec<Outcome>> {
        if self.syncing != sync {
            self.connection.execute_batch(if sync {
                "PRAGMA synchronous = FULL"
            } else {
                "PRAGMA synchronous = NORMAL"
            })?;
            self.syncing = sync;
        }
        let done = self.apply(round);
        if done.is_err() {
            self.tables.roll_back();
        }
        done
    }

    fn apply(&mut self, round: &Round) -> rusqlite::Result<Vec<Outcome>> {
        self.tables.begin()?;
        let mut outcomes = Vec::with_capacity(round.commands.len());
        for command in &round.commands {
            outcomes.push(match command {
                Command::Append { batch, .. } => {
                    Outcome::Appended(batch.iter().map(|append| self.tables.append(append)).collect::<Result<_, _>>()?)
                }
                Command::Acknowledge { device, positions } => {
                    for position in positions {
                        self.tables.remove(*device, *position)?;
                    }
                    Outcome::Done(0)
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
                    Outcome::Done(removed)
                }
                Command::Shrink { .. } => Outcome::Done(self.shrink()?),
            });
        }
        self.tables.commit()?;
        Ok(outcomes)
    }

    /// Cuts some unused pages off the file, if there are many.
    fn shrink(&self) -> rusqlite::Result<usize> {
        let number = |name| self.connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
        let (unused, pages) = (number("freelist_count")?, number("page_count")?);
        if unused < UNUSED_PAGES_MIN.max(pages / UNUSED_SHARE) {
            return Ok(0);
        }
        let mut statement = self.connection.prepare(&format!("PRAGMA incremental_vacuum({SHRINK_PAGES})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        Ok(usize::try_from(unused - number("freelist_count")?).unwrap_or(0))
    }

    /// Writes the log back into the database, so that it does not grow without end.
    fn write_back(&mut self, mode: &str) -> rusqlite::Result<()> {
        self.written_bytes = 0;
        self.connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
    }
}

/// What became of one command.
enum Outcome {
    Appended(Vec<AppendOutcome>),
    Done(usize),
}

impl Round {
    /// Takes what waits. Returns false when nothing can come any more.
    fn gather(&mut self, inbox: &Receiver<Command>) -> bool {
        loop {
            let next = match self.deadline {
                _ if self.is_due() => inbox.try_recv().map_err(|error| match error {
                    TryRecvError::Empty => RecvTimeoutError::Timeout,
                    TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
                }),
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(deadline) => inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())),
            };
            match next {
                Ok(command) => self.push(command),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
            if self.is_at_bound() {
                return true;
            }
        }
    }

    fn push(&mut self, command: Command) {
        match &command {
            Command::Append { batch, .. } => {
                self.envelopes += batch.len();
                self.bytes += batch.iter().map(|append| append.envelope.len()).sum::<usize>();
            }
            Command::Acknowledge { positions, .. } => self.removals += positions.len(),
            Command::Expire { found, .. } => self.removals += found.len(),
            Command::Clear { .. } | Command::Shrink { .. } => self.removals += 1,
        }
        self.deadline.get_or_insert_with(|| Instant::now() + COMPANY_WAIT);
        self.commands.push(command);
    }

    /// Returns whether somebody waits for the sync.
    fn is_due(&self) -> bool {
        self.envelopes > 0
    }

    fn is_at_bound(&self) -> bool {
        self.envelopes >= ROUND_ENVELOPES_MAX || self.bytes >= ROUND_BYTES_MAX || self.removals >= ROUND_ENVELOPES_MAX
    }

    /// Takes the appends out and answers them.
    fn refuse_appends(&mut self, error: &MailboxError) {
        for command in self.commands.extract_if(.., |command| matches!(command, Command::Append { .. })) {
            command.refuse(error);
        }
        (self.envelopes, self.bytes) = (0, 0);
    }

    fn refuse(self, error: &MailboxError) {
        for command in self.commands {
            command.refuse(error);
        }
    }

    fn answer(&mut self, outcomes: Vec<Outcome>) {
        for (command, outcome) in self.commands.drain(..).zip(outcomes) {
            // Who asked may have gone; what was asked is done all the same.
            match (command, outcome) {
                (Command::Append { reply, .. }, Outcome::Appended(outcomes)) => drop(reply.send(Ok(outcomes))),
                (Command::Clear { reply, .. }, _) => drop(reply.send(Ok(()))),
                (Command::Expire { reply, .. } | Command::Shrink { reply }, Outcome::Done(count)) => {
                    drop(reply.send(Ok(count)))
                }
                _ => {}
            }
        }
    }
}

impl Command {
    fn refuse(self, error: &MailboxError) {
        match self {
            Self::Append { reply, .. } => drop(reply.send(Err(error.clone()))),
            Self::Clear { reply, .. } => drop(reply.send(Err(error.clone()))),
            Self::Expire { reply, .. } | Self::Shrink { reply } => drop(reply.send(Err(error.clone()))),
            Self::Acknowledge { .. } => {}
        }
    }
}

/// Envelopes, or deletions, in one commit. Above some hundreds the sync is shared well enough; more only makes the first
/// one wait longer.
const ROUND_ENVELOPES_MAX: usize = 2_048;

/// Bytes of envelopes in one commit, for the same reason.
const ROUND_BYTES_MAX: usize = 4 << 20;

/// How long deletions wait for an append to ride with. Long enough to be rare, short enough that few deliveries come twice
/// after a quick reconnect.
const COMPANY_WAIT: Duration = Duration::from_millis(20);

/// Bytes after which the log is written back. Less means more syncs of the database, more means a longer start after a
/// crash.
const WRITE_BACK_BYTES: usize = 16 << 20;

/// What a deletion writes into the log, roughly: it shares its pages with its neighbors.
const REMOVAL_BYTES: usize = 256;

/// How often a full disk is looked at again.
const FULL_RETRY: Duration = Duration::from_secs(1);

/// Unused pages that are kept for the appends to come: 16 MiB.
const UNUSED_PAGES_MIN: i64 = 4_096;

/// One part in so many of the file may be unused before it is cut: moving pages costs writes, too.
const UNUSED_SHARE: i64 = 4;

/// Pages cut in one step: 4 MiB, some milliseconds.
const SHRINK_PAGES: i64 = 1_024;
