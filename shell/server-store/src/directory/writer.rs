//! The one connection that changes the database, on a thread of its own.
//!
//! Owns the queue of changes and their grouping into commits. Does not know what they change.
//!
//! - Changes that wait together share one commit and so one sync; each runs in a savepoint, so that one that fails
//!   takes nothing else with it.
//! - An answer goes out after the commit.
//! - After the disk failed under a commit nothing is written any more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use halcyon_server::ports::DirectoryStoreError;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use super::failed;
use crate::Execution;

/// Changes in one commit: enough to make the sync cheap for each, few enough that the first does not wait long.
const GROUP_MAX: usize = 64;
/// Changes that wait for the thread; more make their callers wait.
const QUEUE_MAX: usize = 1024;

/// What the thread is asked for.
enum Job {
    Change(Change),
    /// Folds the write-ahead log into the file and cuts it off.
    Checkpoint(oneshot::Sender<Result<(), DirectoryStoreError>>),
}

/// Runs in the group's transaction, or learns why there is none, and returns how to answer once the commit is decided.
type Change = Box<dyn FnOnce(Result<&Connection, DirectoryStoreError>) -> Answer + Send>;
type Answer = Box<dyn FnOnce(Result<(), DirectoryStoreError>) + Send>;

/// The handle to the thread. Dropping it runs what waits, closes the file and ends the thread.
pub(super) struct Writer {
    queue: Option<SyncSender<Job>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    state: State,
    /// Where there is no thread, the connection is here.
    in_place: Option<InPlace>,
}

struct InPlace {
    line: Mutex<(Connection, State)>,
    sync: Duration,
}

impl Writer {
    /// Starts the thread, if there is to be one.
    pub(super) fn start(connection: Connection, execution: Execution) -> std::io::Result<Self> {
        let state = State::default();
        if let Execution::InPlace { sync } = execution {
            let in_place = InPlace { line: Mutex::new((connection, state.clone())), sync };
            return Ok(Self { queue: None, thread: Mutex::new(None), state, in_place: Some(in_place) });
        }
        let (queue, jobs) = sync_channel(QUEUE_MAX);
        let its = state.clone();
        let thread = std::thread::Builder::new()
            .name("directory-writer".to_owned())
            .spawn(move || run(connection, &jobs, its))?;
        Ok(Self { queue: Some(queue), thread: Mutex::new(Some(thread)), state, in_place: None })
    }

    /// Returns whether the disk failed, so that only a restart helps.
    pub(super) fn is_stopped(&self) -> bool {
        self.state.check().is_err()
    }

    /// Runs one change and answers after its commit.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DirectoryStoreError> {
        let (answer, answered) = oneshot::channel();
        let change: Change = Box::new(move |connection| {
            let result =
                connection.and_then(|connection| in_savepoint(connection, change).map_err(|error| failed(&error)));
            // A caller that went away (its client hung up) does not need the answer.
            Box::new(move |committed| drop(answer.send(result.and_then(|value| committed.map(|()| value)))))
        });
        self.enqueue(Job::Change(change)).await?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Empties the write-ahead log, after the changes that came before.
    pub(super) async fn checkpoint(&self) -> Result<(), DirectoryStoreError> {
        let (answer, answered) = oneshot::channel();
        self.enqueue(Job::Checkpoint(answer)).await?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Asks the writing connection, where that is the only one.
    pub(super) async fn look<T>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, DirectoryStoreError> {
        let in_place = self.in_place.as_ref().ok_or_else(gone)?;
        tokio::task::yield_now().await;
        let line = in_place.line.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        question(&line.0).map_err(|error| failed(&error))
    }

    async fn enqueue(&self, job: Job) -> Result<(), DirectoryStoreError> {
        if let Some(in_place) = &self.in_place {
            tokio::time::sleep(in_place.sync).await;
            in_place.run(job);
            return Ok(());
        }
        let queue = self.queue.as_ref().ok_or_else(gone)?;
        match queue.try_send(job) {
            Ok(()) => Ok(()),
            Err(TrySendError::Disconnected(_)) => Err(gone()),
            Err(TrySendError::Full(job)) => {
                let queue = queue.clone();
                let sent = tokio::task::spawn_blocking(move || queue.send(job).is_ok()).await;
                if matches!(sent, Ok(true)) { Ok(()) } else { Err(gone()) }
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        let thread = self.thread.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of the thread was reported by the panic hook already.
            let _ = thread.join();
        }
    }
}

impl InPlace {
    fn run(&self, job: Job) {
        let mut line = self.line.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (connection, state) = &mut *line;
        match job {
            Job::Change(change) => {
                // Nothing else waits: every change is a commit of its own.
                let (_, nothing) = sync_channel(0);
                let _ = commit_group(connection, state, change, &nothing);
            }
            Job::Checkpoint(answer) => drop(answer.send(checkpoint(connection, state))),
        }
    }
}

fn gone() -> DirectoryStoreError {
    DirectoryStoreError::Failed("the writer has ended; restart the server".to_owned())
}

fn run(connection: Connection, jobs: &Receiver<Job>, mut state: State) {
    let mut next = jobs.recv().ok();
    while let Some(job) = next.take() {
        next = match job {
            Job::Change(first) => commit_group(&connection, &mut state, first, jobs),
            Job::Checkpoint(answer) => {
                drop(answer.send(checkpoint(&connection, &mut state)));
                None
            }
        };
        next = next.or_else(|| jobs.recv().ok());
    }
    // The last connection folds the write-ahead log into the file; a failure leaves the log, which the next start reads.
    drop(connection);
}

/// Whether the writer stopped, because the disk failed under a commit. What the kernel then believes to be on disk is not known, so a
/// second try on the same file could call durable what is not (I10).
#[derive(Clone, Default)]
struct State(Arc<AtomicBool>);

impl State {
    fn check(&self) -> Result<(), DirectoryStoreError> {
        if self.0.load(Ordering::Acquire) {
            let reason = "the writer stopped after the disk failed; restart on a good disk";
            return Err(DirectoryStoreError::Failed(reason.to_owned()));
        }
        Ok(())
    }

    fn stop_if_disk_failed(&mut self, error: &rusqlite::Error) {
        if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) {
            self.0.store(true, Ordering::Release);
            tracing::error!(%error, "the disk failed; the directory takes no more changes until a restart");
        }
    }
}

fn checkpoint(connection: &Connection, state: &mut State) -> Result<(), DirectoryStoreError> {
    state.check()?;
    let emptied = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    emptied.map_err(|error| {
        state.stop_if_disk_failed(&error);
        failed(&error)
    })
}

/// Runs what waits as one commit. Returns a job that is not a change, if it met one.
fn commit_group(connection: &Connection, state: &mut State, first: Change, jobs: &Receiver<Job>) -> Option<Job> {
    let mut answers: Vec<Answer> = Vec::new();
    let begin = || connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| failed(&error));
    let begun = state.check().and_then(|()| begin());
    let mut next = Some(Job::Change(first));
    while let Some(Job::Change(change)) = next {
        answers.push(change(begun.clone().map(|()| connection)));
        // A full disk can end the whole transaction inside a statement; what follows must not run outside of one.
        let ended = connection.is_autocommit();
        next = if ended || answers.len() >= GROUP_MAX { None } else { jobs.try_recv().ok() };
    }
    let committed = begun.and_then(|()| commit(connection, state));
    if let Err(error) = &committed {
        tracing::error!(%error, changes = answers.len(), "a group of changes was not committed");
    }
    for answer in answers {
        answer(committed.clone());
    }
    next
}

fn commit(connection: &Connection, state: &mut State) -> Result<(), DirectoryStoreError> {
    if connection.is_autocommit() {
        return Err(DirectoryStoreError::Full);
    }
    connection.execute_batch("COMMIT").map_err(|error| {
        state.stop_if_disk_failed(&error);
        if let Err(rollback) = connection.execute_batch("ROLLBACK") {
            tracing::warn!(error = %rollback, "a failed commit could not be rolled back");
        }
        failed(&error)
    })
}

fn in_savepoint<T>(
    connection: &Connection,
    change: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.execute_batch("SAVEPOINT change")?;
    let result = change(connection);
    if result.is_err() && !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK TO change")?;
    }
    if !connection.is_autocommit() {
        connection.execute_batch("RELEASE change")?;
    }
    result
}
