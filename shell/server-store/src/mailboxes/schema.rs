//! The tables of the mailboxes, and how connections to them are set up.
//!
//! The table `log` has a row for each commit, which holds what it accepted (see [`super::log`]); what still waits when the log is
//! folded comes into `envelopes`. Its key is the position, so that fills its last page. The index `waiting` answers everything
//! that is asked about a device (what waits, how much, until when) without touching envelopes. The index `newest` holds
//! only topics of which one notification is kept (COU-32), so messages do not pay for it. The table `heavy` names the devices that
//! have much in `envelopes`. The table `epochs` has a row for each device that showed one (COU-18), in the same file so that it is
//! written by the same commit.

use std::path::Path;

use halcyon_types::{Storing, Topic};
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, ToSql};

use super::{OpenError, Options};

/// Opens the connection of the writer, creating file and tables.
pub(super) fn open_writer(path: &Path, options: &Options) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(path, flags, options.vfs.as_deref())?;
    options.execution.prepare(&connection)?;
    // Before the first table, or it has no effect: expiry gives the disk back page by page.
    connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;")?;
    // Emptying a mailbox may need scratch space: not in a file of some other folder, which may be full or not writable.
    connection.execute_batch("PRAGMA temp_store = MEMORY;")?;
    let found = connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))?;
    let missing =
        usize::try_from(found).ok().and_then(|found| STEPS.get(found..)).ok_or(OpenError::Version { found })?;
    if !missing.is_empty() {
        let steps = missing.concat();
        connection.execute_batch(&format!("BEGIN; {steps} PRAGMA user_version = {}; COMMIT;", STEPS.len()))?;
    }
    // COU-41: FULL syncs the log in every commit. Checkpoints are the writer's own business, since their failures count
    // as failed syncs (COU-44), and none is made on closing for the same reason.
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -65536; PRAGMA journal_size_limit = 67108864;")?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    if let Some(bytes) = options.file_bytes_max {
        let page_bytes: u64 =
            connection.query_row("PRAGMA page_size", [], |row| row.get::<_, i64>(0))?.unsigned_abs().max(1);
        let _: i64 =
            connection
                .query_row(&format!("PRAGMA max_page_count = {}", (bytes / page_bytes).max(1)), [], |row| row.get(0))?;
    }
    Ok(connection)
}

/// Opens a connection that reads.
pub(super) fn open_reader(path: &Path, vfs: Option<&str>) -> Result<Connection, rusqlite::Error> {
    // Not read-only: a reader of a write-ahead log writes its mark into the shared index.
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX, vfs)?;
    connection.execute_batch("PRAGMA query_only = ON; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -4096;")?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(connection)
}

fn open(path: &Path, flags: OpenFlags, vfs: Option<&str>) -> Result<Connection, rusqlite::Error> {
    let connection = match vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs)?,
        None => Connection::open_with_flags(path, flags)?,
    };
    connection.busy_timeout(BUSY_TIMEOUT)?;
    crate::parse_once(&connection)?;
    Ok(connection)
}

/// A topic as it is stored: the two queued ones are small numbers, since nearly every row carries one of them twice; any
/// other is its name, by which the index `newest` tells them apart.
pub(super) struct TopicKey<'a>(pub &'a Topic);

impl TopicKey<'_> {
    /// Returns whether only the newest is kept (COU-32).
    pub(super) fn keeps_newest(&self) -> bool {
        self.0.storing() == Storing::Latest
    }
}

impl ToSql for TopicKey<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0.as_str() {
            Topic::MESSAGE => ValueRef::Integer(0),
            Topic::ALERT => ValueRef::Integer(1),
            name => ValueRef::Text(name.as_bytes()),
        }))
    }
}

/// What each version of the file added to the one before; a file of more steps belongs to another server.
const STEPS: [&str; 3] = [TABLES, EPOCHS, LOG];

/// `bytes` stands before the envelope so that it is read without following the pages of a large one.
const TABLES: &str = "
CREATE TABLE envelopes (
    position INTEGER PRIMARY KEY,
    device   BLOB NOT NULL,
    topic    ANY NOT NULL,
    expires  INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    envelope BLOB NOT NULL
) STRICT;
CREATE INDEX waiting ON envelopes (device, position, topic, expires, bytes);
CREATE UNIQUE INDEX newest ON envelopes (device, topic) WHERE typeof(topic) = 'text';
CREATE TABLE positions (reserved INTEGER NOT NULL) STRICT;
INSERT INTO positions VALUES (1);
";

/// `epoch` is a `u64` in big-endian, which compares as it counts; SQLite's own integers end at half of it.
const EPOCHS: &str = "
CREATE TABLE epochs (
    device BLOB PRIMARY KEY,
    epoch  BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

/// What `heavy` names at first are the devices with more than [`super::heavy::LIGHT`].
const LOG: &str = "
CREATE TABLE log (
    number  INTEGER PRIMARY KEY,
    records BLOB NOT NULL
) STRICT;
CREATE TABLE heavy (device BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
INSERT INTO heavy SELECT device FROM envelopes INDEXED BY waiting GROUP BY device HAVING count(*) > 1024 OR sum(bytes) > 4194304;
";

/// Readers and the writer do not wait for each other in this journal mode; what remains are moments of recovery.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);
