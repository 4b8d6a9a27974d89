//! Accounts, lists, verifications, links, reports, query log and limits in SQLite (`directory.db`).
//!
//! Owns the file, its schema and its connections: one writer on a thread of its own, a few readers.
//! Does not know what the rows are for, other than what the ports of `halcyon_server` say.
//!
//! - Every change is committed and synced before its method answers (WAL, `synchronous=FULL`). Changes that arrive
//!   together share one commit.
//! - What is deleted is overwritten on disk (`secure_delete`), and the log is emptied by housekeeping (DIR-50).
//!
//! Next: [`writer`] runs changes, [`readers`] answers questions, [`schema`] has the tables.

mod accounts;
mod aftermath;
mod columns;
mod holds;
mod limits;
mod links;
mod lists;
mod readers;
mod reports;
mod schema;
mod verifications;
mod writer;

use std::path::Path;
use std::sync::Arc;

use halcyon_server::ports::{DirectoryStore, DirectoryStoreError};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::Execution;
use readers::Readers;
use writer::Writer;

pub use reports::{KeptReport, ReportsError, ReportsFile};
pub use schema::SCHEMA_VERSION;

/// The open database.
#[derive(Clone)]
pub struct DirectoryDb {
    writer: Arc<Writer>,
    readers: Arc<Readers>,
}

/// How the file is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// SQLite's name of the file system layer to stand on; `None`: the operating system's.
    pub vfs: Option<String>,
    /// Where the work is done.
    pub execution: Execution,
}

impl Default for Options {
    fn default() -> Self {
        Self { vfs: None, execution: Execution::Threads }
    }
}

/// What the file is believed to be like when it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastShutdown {
    /// Everything was closed in order.
    Clean,
    /// The process was killed or the machine stopped: the file is checked.
    Unclean,
}

/// Why the database did not open. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The check found damage, or it is not a database.
    #[error("the store {file} is damaged: {detail}; restore it from a backup")]
    Damaged {
        /// File name.
        file: &'static str,
        /// What SQLite said.
        detail: String,
    },
    /// A newer program wrote it.
    #[error("the store {file} has schema version {found}, this program knows up to {known}; use the newer program")]
    Newer {
        /// File name.
        file: &'static str,
        /// Version in the file.
        found: u32,
        /// Newest version known here.
        known: u32,
    },
    /// Anything else that SQLite said.
    #[error("the store {file} does not open: {source}")]
    Sqlite {
        /// File name.
        file: &'static str,
        /// The cause.
        source: rusqlite::Error,
    },
}

const FILE: &str = "directory.db";

impl DirectoryDb {
    /// Opens or makes `directory.db` in a folder.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open(folder: &Path, last: LastShutdown) -> Result<Self, OpenError> {
        Self::open_with(folder, last, &Options::default())
    }

    /// Like [`open`](Self::open), otherwise than a server does it.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open_with(folder: &Path, last: LastShutdown, options: &Options) -> Result<Self, OpenError> {
        let path = folder.join(FILE);
        let mut connection = connect(&path, options).map_err(opening)?;
        if last == LastShutdown::Unclean {
            check(&connection)?;
        }
        schema::migrate(&mut connection)?;
        let writer = Writer::start(connection, options.execution)
            .map_err(|error| OpenError::Damaged { file: FILE, detail: error.to_string() })?;
        let writer = Arc::new(writer);
        Ok(Self { readers: Arc::new(Readers::new(path, options.clone(), writer.clone())), writer })
    }

    /// Returns whether the disk failed under a change, so that only a restart helps.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.writer.is_stopped()
    }

    /// Returns the ports of the server over this database.
    #[must_use]
    pub fn ports(&self) -> DirectoryStore {
        let this = Arc::new(self.clone());
        DirectoryStore {
            accounts: this.clone(),
            lists: this.clone(),
            verifications: this.clone(),
            links: this.clone(),
            lookups: this.clone(),
            reports: this.clone(),
            limits: this.clone(),
            aftermath: this.clone(),
            holds: this.clone(),
            housekeeping: this,
        }
    }

    async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DirectoryStoreError> {
        self.writer.run(change).await
    }

    async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DirectoryStoreError> {
        self.readers.run(question).await
    }
}

fn connect(path: &Path, options: &Options) -> rusqlite::Result<Connection> {
    let connection = match &options.vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, OpenFlags::default(), vfs.as_str())?,
        None => Connection::open(path)?,
    };
    options.execution.prepare(&connection)?;
    crate::parse_once(&connection)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA secure_delete = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA trusted_schema = OFF;
         PRAGMA busy_timeout = 5000;",
    )?;
    Ok(connection)
}

fn check(connection: &Connection) -> Result<(), OpenError> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(opening)?;
    if verdict == "ok" { Ok(()) } else { Err(OpenError::Damaged { file: FILE, detail: verdict }) }
}

fn opening(source: rusqlite::Error) -> OpenError {
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            OpenError::Damaged { file: FILE, detail: source.to_string() }
        }
        _ => OpenError::Sqlite { file: FILE, source },
    }
}

/// What SQLite says names tables and codes, never values.
fn failed(error: &rusqlite::Error) -> DirectoryStoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => DirectoryStoreError::Full,
        _ => DirectoryStoreError::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
