//! What goes into one transaction of the writer, and how long it waits for company.
//!
//! Owns the bounds of a transaction. Does not know SQL.

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use halcyon_server::ports::{Append, AppendOutcome, MailboxError, ShownEpoch};
use halcyon_types::DeviceId;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
// The operating system's clock on a thread of its own, a simulation's where one pauses the time.
use tokio::time::Instant;

/// One thing to write.
pub(super) enum Command {
    /// Store and remember these, and answer after the sync.
    Append {
        batch: Vec<Append>,
        shown: Vec<ShownEpoch>,
        reply: oneshot::Sender<Result<Vec<AppendOutcome>, MailboxError>>,
        _room: OwnedSemaphorePermit,
    },
    /// Empty a mailbox.
    Clear { device: DeviceId, reply: oneshot::Sender<Result<(), MailboxError>> },
    /// Delete what expired; the answer is how many were still there.
    Expire { found: Vec<(DeviceId, u64)>, reply: oneshot::Sender<Result<usize, MailboxError>> },
    /// Give some unused pages back to the disk; the answer is how many.
    Shrink { reply: oneshot::Sender<Result<usize, MailboxError>> },
    /// Look something up, where there is no other connection to do it on.
    Look(Look),
    /// Something was acknowledged, to be deleted before long.
    Acknowledged,
    /// So much was acknowledged that it is to be deleted now.
    AcknowledgedEnough,
}

/// A question to the writer's own connection.
pub(super) type Look = Box<dyn FnOnce(&Connection) + Send>;

/// What became of one command.
pub(super) enum Outcome {
    Appended(Vec<AppendOutcome>),
    Done(usize),
}

/// What goes into one transaction.
#[derive(Default)]
pub(super) struct Round {
    commands: Vec<Command>,
    /// Envelopes and epochs.
    additions: usize,
    /// Mailboxes that are emptied: whoever asks forgets that they were to be, so they stay empty after a power cut, too.
    clears: usize,
    bytes: usize,
    removals: usize,
    /// Answered before anything is written.
    looks: Vec<Look>,
    /// When it is committed even if no append comes along.
    deadline: Option<Instant>,
    /// When what was acknowledged is deleted.
    delete_at: Option<Instant>,
}

impl Round {
    /// Takes what waits, and waits for something if there is nothing. Returns false when nothing can come any more.
    pub(super) fn gather(&mut self, inbox: &Receiver<Command>) -> bool {
        loop {
            let until = [self.deadline, self.delete_at].into_iter().flatten().min();
            let next = match until {
                _ if self.is_awaited() => inbox.try_recv().map_err(|error| match error {
                    TryRecvError::Empty => RecvTimeoutError::Timeout,
                    TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
                }),
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(until) => inbox.recv_timeout(until.saturating_duration_since(Instant::now())),
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

    /// Like [`gather`](Self::gather), on a runtime's own thread. Safe to cancel.
    pub(super) async fn gather_in_place(&mut self, inbox: &mut mpsc::UnboundedReceiver<Command>) -> bool {
        loop {
            let until = [self.deadline, self.delete_at].into_iter().flatten().min();
            let next = match until {
                _ if self.is_awaited() || !self.looks.is_empty() => match inbox.try_recv() {
                    Ok(command) => Some(command),
                    Err(mpsc::error::TryRecvError::Empty) => return true,
                    Err(mpsc::error::TryRecvError::Disconnected) => None,
                },
                None => inbox.recv().await,
                Some(until) => match tokio::time::timeout_at(until, inbox.recv()).await {
                    Ok(next) => next,
                    Err(_) => return true,
                },
            };
            match next {
                Some(command) => self.push(command),
                None => return false,
            }
            if self.is_at_bound() {
                return true;
            }
        }
    }

    /// Takes the questions out.
    pub(super) fn take_looks(&mut self) -> Vec<Look> {
        std::mem::take(&mut self.looks)
    }

    /// Takes the commands out, and leaves when to delete what was acknowledged.
    pub(super) fn take(&mut self) -> Self {
        let delete_at = self.delete_at;
        std::mem::replace(self, Self { delete_at, ..Self::default() })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    pub(super) fn commands(&self) -> &[Command] {
        &self.commands
    }

    /// Returns whether somebody waits for the sync.
    pub(super) fn is_awaited(&self) -> bool {
        self.additions > 0 || self.clears > 0
    }

    /// Returns how many envelopes it deletes, roughly.
    pub(super) fn removals(&self) -> usize {
        self.removals
    }

    /// Returns the bytes of the envelopes that it stores, and what epochs cost.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns whether it is time to delete what was acknowledged, and if so takes it as done.
    pub(super) fn takes_deletions(&mut self) -> bool {
        self.delete_at.take_if(|at| *at <= Instant::now()).is_some()
    }

    /// Deletes what was acknowledged later: it could not be deleted now.
    pub(super) fn postpone_deletions(&mut self) {
        self.delete_at = Some(Instant::now() + DELETE_AGAIN);
    }

    /// Takes the appends out and answers them.
    pub(super) fn refuse_appends(&mut self, error: &MailboxError) {
        for command in self.commands.extract_if(.., |command| matches!(command, Command::Append { .. })) {
            command.refuse(error);
        }
        (self.additions, self.bytes) = (0, 0);
    }

    /// Answers everything with what went wrong.
    pub(super) fn refuse(self, error: &MailboxError) {
        for command in self.commands {
            command.refuse(error);
        }
    }

    /// Answers everything with what became of it.
    pub(super) fn answer(&mut self, outcomes: Vec<Outcome>) {
        for (command, outcome) in self.commands.drain(..).zip(outcomes) {
            // Who asked may have gone; what was asked is done all the same.
            match (command, outcome) {
                (Command::Append { reply, .. }, Outcome::Appended(outcomes)) => drop(reply.send(Ok(outcomes))),
                (Command::Clear { reply, .. }, _) => drop(reply.send(Ok(()))),
                (Command::Expire { reply, .. } | Command::Shrink { reply }, Outcome::Done(count)) => {
                    drop(reply.send(Ok(count)));
                }
                _ => {}
            }
        }
    }

    fn push(&mut self, command: Command) {
        if let Command::Look(look) = command {
            self.looks.push(look);
            return;
        }
        match &command {
            Command::Acknowledged => {
                self.delete_at.get_or_insert_with(|| Instant::now() + DELETE_WAIT);
                return;
            }
            Command::AcknowledgedEnough => {
                self.delete_at = Some(Instant::now());
                return;
            }
            Command::Append { batch, shown, .. } => {
                self.additions += batch.len() + shown.len();
                self.bytes += batch.iter().map(|append| append.envelope.len()).sum::<usize>();
                self.bytes += shown.len() * SHOWN_BYTES;
            }
            Command::Expire { found, .. } => self.removals += found.len(),
            Command::Clear { .. } => {
                self.clears += 1;
                self.removals += 1;
            }
            Command::Shrink { .. } => self.removals += 1,
            Command::Look(_) => {}
        }
        self.deadline.get_or_insert_with(|| Instant::now() + COMPANY_WAIT);
        self.commands.push(command);
    }

    fn is_at_bound(&self) -> bool {
        self.additions >= ROUND_ENVELOPES_MAX || self.bytes >= ROUND_BYTES_MAX || self.removals >= ROUND_ENVELOPES_MAX
    }
}

impl Command {
    fn refuse(self, error: &MailboxError) {
        match self {
            Self::Append { reply, .. } => drop(reply.send(Err(error.clone()))),
            Self::Clear { reply, .. } => drop(reply.send(Err(error.clone()))),
            Self::Expire { reply, .. } | Self::Shrink { reply } => drop(reply.send(Err(error.clone()))),
            Self::Look(_) | Self::Acknowledged | Self::AcknowledgedEnough => {}
        }
    }
}

/// Envelopes with epochs, or deletions, in one commit. Above some hundreds the sync is shared well enough; more only makes the first
/// one wait longer.
const ROUND_ENVELOPES_MAX: usize = 2_048;

/// Bytes of envelopes in one commit, for the same reason.
const ROUND_BYTES_MAX: usize = 4 << 20;

/// What an epoch writes into the log, roughly: it shares its page with its neighbors.
const SHOWN_BYTES: usize = 256;

/// How long clearing and expiry wait for an append to ride with; whoever asked for them waits as long.
const COMPANY_WAIT: Duration = Duration::from_millis(20);

/// How long what was acknowledged stays on disk when there is little of it: what a crash in between would deliver again.
const DELETE_WAIT: Duration = Duration::from_millis(250);

/// When a deletion that failed for want of room is tried again.
const DELETE_AGAIN: Duration = Duration::from_secs(1);
