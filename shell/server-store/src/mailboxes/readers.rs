//! Reads what waits for a device, beside the writer (COU-50).
//!
//! Owns a few connections that are opened when first needed. Each read is one statement, so it sees one commit and holds
//! up no other. What is in memory is looked at before: what is moved from there to the table meanwhile is seen twice, and counted
//! once.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use halcyon_server::ports::{MailboxError, ReadLimit, StoredEnvelope};
use halcyon_types::{DeviceId, Timestamp, Topic};
use rusqlite::types::{ToSql, Value};
use rusqlite::{Connection, OptionalExtension, params_from_iter};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::acknowledged::Acknowledged;
use super::recent::{Reading, Recent};
use super::round::Command;
use super::schema::{self, TopicKey};
use super::{expiry, failure};

/// The reading connections.
pub(super) struct Readers {
    path: PathBuf,
    vfs: Option<String>,
    idle: Mutex<Vec<Connection>>,
    turns: Arc<Semaphore>,
    acknowledged: Arc<Acknowledged>,
    recent: Arc<Recent>,
    /// Where there is one connection, it is asked instead.
    writer: Option<mpsc::UnboundedSender<Command>>,
}

impl Readers {
    pub(super) fn new(
        path: PathBuf,
        vfs: Option<String>,
        acknowledged: Arc<Acknowledged>,
        recent: Arc<Recent>,
        writer: Option<mpsc::UnboundedSender<Command>>,
    ) -> Self {
        let turns = Arc::new(Semaphore::new(READERS_MAX));
        Self { path, vfs, idle: Mutex::new(Vec::new()), turns, acknowledged, recent, writer }
    }

    /// Returns what waits for a device on these topics after a position, oldest first.
    pub(super) async fn read(
        self: &Arc<Self>,
        device: DeviceId,
        topics: &[Topic],
        after: u64,
        now: Timestamp,
        limit: ReadLimit,
    ) -> Result<Vec<StoredEnvelope>, MailboxError> {
        let topics = topics.to_vec();
        // Before the read: what is deleted meanwhile is then missing from the rows, or known here.
        let gone = self.acknowledged.of(&device);
        let recent = self.recent.waiting(&device, &topics, after, now, limit, &gone);
        let found = self.run(move |connection| waiting(connection, device, &topics, after, now, limit, &gone)).await?;
        Ok(with_recent(found, &recent))
    }

    /// Returns what is in memory.
    pub(super) fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Returns the highest epoch that a device showed, 0 if none is remembered.
    pub(super) async fn epoch(self: &Arc<Self>, device: DeviceId) -> Result<u64, MailboxError> {
        self.run(move |connection| {
            let mut statement = connection.prepare_cached("SELECT epoch FROM epochs WHERE device = ?1")?;
            let epoch = statement.query_row([device.as_bytes()], |row| row.get(0)).optional()?;
            Ok(epoch.map_or(0, u64::from_be_bytes))
        })
        .await
    }

    /// Runs a query on one of the connections, off the runtime's threads.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, MailboxError> {
        if let Some(writer) = &self.writer {
            let (reply, answer) = oneshot::channel();
            let look = Command::Look(Box::new(move |connection| drop(reply.send(query(connection)))));
            writer.send(look).map_err(|_| MailboxError::Stopped)?;
            let found = answer.await.map_err(|_| MailboxError::Stopped)?;
            return found.map_err(|error| failure::of_read(&error));
        }
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| MailboxError::Stopped)?;
        let readers = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let connection = match readers.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() {
                Some(connection) => connection,
                None => schema::open_reader(&readers.path, readers.vfs.as_deref())?,
            };
            let found = query(&connection);
            // A connection that failed is not used again: what it holds in memory may be what is wrong.
            if found.is_ok() {
                readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            }
            found
        });
        match done.await {
            Ok(found) => found.map_err(|error| failure::of_read(&error)),
            Err(_) => Err(MailboxError::Failed("a read was cut off by the server's end".into())),
        }
    }
}

fn waiting(
    connection: &Connection,
    device: DeviceId,
    topics: &[Topic],
    after: u64,
    now: Timestamp,
    limit: ReadLimit,
    gone: &[u64],
) -> rusqlite::Result<Reading> {
    let mut statement = connection.prepare_cached(&waiting_sql(topics.len()))?;
    let keys: Vec<TopicKey<'_>> = topics.iter().map(TopicKey).collect();
    let head = [Value::Blob(device.as_bytes().to_vec()), expiry::integer(after), expiry::integer(now.as_millis())];
    let parameters = head.iter().map(|value| value as &dyn ToSql).chain(keys.iter().map(|key| key as &dyn ToSql));
    let mut rows = statement.query(params_from_iter(parameters))?;
    let mut found = Reading::new(limit);
    while !found.is_full()
        && let Some(row) = rows.next()?
    {
        let position = row.get::<_, i64>(0)?.unsigned_abs();
        if gone.binary_search(&position).is_err()
            && !found.take(position, &Bytes::copy_from_slice(row.get_ref(1)?.as_blob()?))
        {
            break;
        }
    }
    Ok(found)
}

/// Adds what is in memory to what the table had, as far as there is room: it comes after all of that.
fn with_recent(mut found: Reading, recent: &[StoredEnvelope]) -> Vec<StoredEnvelope> {
    let last = found.envelopes.last().map_or(0, |stored| stored.position);
    for stored in recent.iter().filter(|stored| stored.position > last) {
        if !found.take(stored.position, &stored.envelope) {
            break;
        }
    }
    found.envelopes
}

/// The conditions are all on columns of the index, so rows of other topics and expired ones cost no page of the table.
fn waiting_sql(topics: usize) -> String {
    let mut sql = String::from(
        "SELECT position, envelope FROM envelopes INDEXED BY waiting WHERE device = ?1 AND position > ?2 AND expires > ?3 AND topic IN (",
    );
    for n in 0..topics {
        sql.push_str(&format!("{}?{}", if n == 0 { "" } else { "," }, n + 4));
    }
    sql.push_str(") ORDER BY position");
    sql
}

/// Reads that run at a time: enough to keep a disk busy, few enough that a storm of reconnects does not take every thread.
const READERS_MAX: usize = 4;
