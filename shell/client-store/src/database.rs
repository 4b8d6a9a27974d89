//! The encrypted database of an open profile: a SQLite connection set up so that nothing it writes is readable and
//! nothing it commits is lost.
//!
//! Owns the connection, its settings, the profile's lock, and what SQLite's error codes mean to a person.
//! Does not know tables.
//!
//! - Committed means synced: write-ahead log with `synchronous = FULL`.
//! - Temporary data stays in memory; the files below refuse to make any other file.

use std::{
    io,
    ops::{Deref, DerefMut},
    sync::Arc,
};

use halcyon_crypto::{Rng, Secret, SecretBytes};
use halcyon_sqlite_vfs::Database;
use rusqlite::{Connection, config::DbConfig, ffi};

use crate::{
    disk::{Disk, Lock},
    keys::{Items, ProfileKeys},
    page_cipher::Nonces,
    profile::ProfileError,
    sealed_files::SealedFiles,
};

/// Marks the database as ours in SQLite's own header ("Halc").
const APPLICATION_ID: i32 = 0x4861_6c63;
/// Prepared statements that are kept: more than the store has, so that none is parsed twice.
const STATEMENTS_MAX: usize = 256;

/// Why the database did not do what it was asked. The transaction in progress did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// What lies in the folder is not what was written there: the disk is failing, or somebody changed it.
    #[error("the store is damaged or was tampered with: put the profile folder back from a copy, and check the disk")]
    Damaged(#[source] rusqlite::Error),
    /// Nothing was lost, and reading goes on.
    #[error("no space left where the profile lies: make room and try again")]
    DiskFull(#[source] rusqlite::Error),
    /// The disk refused. After a failed sync, nothing more is written until the profile is opened anew.
    #[error("the store cannot be read or written: check the disk and the folder's permissions, then start again")]
    Disk(#[source] rusqlite::Error),
    /// The statement itself was refused: a constraint, or a mistake of ours.
    #[error("the store refused a statement")]
    Statement(#[source] rusqlite::Error),
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        let Some(code) = error.sqlite_error().map(|error| error.extended_code) else {
            return Self::Statement(error);
        };
        match (code, code & 0xff) {
            (ffi::SQLITE_IOERR_DATA, _) | (_, ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB) => Self::Damaged(error),
            (_, ffi::SQLITE_FULL) => Self::DiskFull(error),
            (_, ffi::SQLITE_IOERR | ffi::SQLITE_CANTOPEN | ffi::SQLITE_READONLY) => Self::Disk(error),
            _ => Self::Statement(error),
        }
    }
}

/// Why a database did not open.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// It was made with another key.
    Foreign,
    Io(io::Error),
    Database(DatabaseError),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

/// The database of an open profile. Dereferences to rusqlite's [`Connection`]; dropping it closes the profile.
pub struct EncryptedDb {
    // Fields drop in this order: the files are closed before another process may have them.
    database: Database,
    keys: ProfileKeys,
    nonces: Nonces,
    _lock: Box<dyn Lock>,
}

impl EncryptedDb {
    pub(crate) fn open(
        keys: ProfileKeys,
        disk: Arc<dyn Disk>,
        name: &str,
        data_key: &Secret<32>,
        nonces: Nonces,
        lock: Box<dyn Lock>,
    ) -> Result<Self, OpenError> {
        let files = SealedFiles::new(disk, name, data_key, nonces.clone());
        if files.is_empty()? {
            // SQLite would take it for a new database.
            return Err(failure(ffi::SQLITE_NOTADB).into());
        }
        files.renew_log()?;
        match connect(&files) {
            Ok(database) => Ok(Self { database, keys, nonces, _lock: lock }),
            Err(error) => {
                let error = DatabaseError::from(error);
                let foreign = matches!(error, DatabaseError::Damaged(_)) && files.first_page_is_foreign()?;
                Err(if foreign { OpenError::Foreign } else { OpenError::Database(error) })
            }
        }
    }

    /// Wraps the profile's key under another passphrase. Copies of `profile.key` from before still open with the old
    /// one: destroy them.
    ///
    /// # Errors
    /// As [`Profile::open`]. The old passphrase is then still the one, unless the disk failed at the very end.
    pub fn change_passphrase(
        &self,
        current: &SecretBytes,
        new: &SecretBytes,
        rng: &mut dyn Rng,
    ) -> Result<(), ProfileError> {
        self.keys.profile().change_passphrase(current, new, rng)
    }

    /// Returns the keys of the profile. They outlive the database: [`ProfileKeys::forget`] wipes them.
    #[must_use]
    pub fn keys(&self) -> &ProfileKeys {
        &self.keys
    }

    /// Returns the database to be written, and what seals the private keys in it.
    pub(crate) fn with_items(&mut self) -> (&mut Connection, Items<'_>) {
        (&mut self.database, Items::new(&self.keys, &self.nonces))
    }

    /// Returns what opens the private keys in it.
    pub(crate) fn items(&self) -> Items<'_> {
        Items::new(&self.keys, &self.nonces)
    }
}

impl Deref for EncryptedDb {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.database
    }
}

impl DerefMut for EncryptedDb {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.database
    }
}

impl std::fmt::Debug for EncryptedDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EncryptedDb").finish_non_exhaustive()
    }
}

/// Makes an empty database under `name`, durable when this returns.
pub(crate) fn create(disk: Arc<dyn Disk>, name: &str, data_key: &Secret<32>, nonces: Nonces) -> Result<(), OpenError> {
    let files = SealedFiles::new(disk.clone(), name, data_key, nonces);
    let database = Database::open(Arc::new(files))?;
    // A journal in memory is enough: until it is whole, nobody opens a database of this name.
    prepare(&database)?;
    database.pragma_update(None, "journal_mode", "MEMORY")?;
    database.pragma_update(None, "application_id", APPLICATION_ID)?;
    use_log(&database)?;
    drop(database);
    disk.open(name)?.sync()?;
    Ok(disk.sync_folder()?)
}

/// Opens the database, lets SQLite recover from a crash, and reads the first page.
fn connect(files: &SealedFiles) -> rusqlite::Result<Database> {
    let database = Database::open(Arc::new(files.clone()))?;
    prepare(&database)?;
    use_log(&database)?;
    let id: i32 = database.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if id != APPLICATION_ID {
        return Err(failure(ffi::SQLITE_NOTADB));
    }
    Ok(database)
}

/// Settings that must stand before the database is first read.
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // Else SQLite parses a kept statement anew for new parameters, in the hope of a better plan: 40 % of a client's time.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // Exclusive: one process has the profile anyway, and the log's index then lives in memory instead of a third file.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Nothing in a schema runs functions behind our back, should anybody ever get a schema past the seal.
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "foreign_keys", true)
}

/// Turns the write-ahead log on, which on a database that has one means opening it.
fn use_log(connection: &Connection) -> rusqlite::Result<()> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode == "wal" { Ok(()) } else { Err(failure(ffi::SQLITE_CANTOPEN)) }
}

fn failure(code: i32) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
}
