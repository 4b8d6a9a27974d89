//! Lets SQLite keep a database in two files that we implement in safe Rust: the database and its write-ahead log.
//!
//! Owns the C side of SQLite's VFS interface and every `unsafe` block that it takes.
//! Does not know what the files are made of: encryption, disks and keys are the business of whoever implements
//! [`Files`].
//!
//! - SQLite gets exactly two files. Rollback journals, temporary files and attached databases are refused, so nothing
//!   of a database can lie anywhere else (an in-memory journal and `temp_store = MEMORY` do not ask for files).
//! - One connection a database: there is no shared memory and no locking here, so the connection must say
//!   `locking_mode = EXCLUSIVE` before it touches a database in WAL mode.
//! - The process's default VFS is left alone.
//! - A panic in an implementation becomes an I/O error; it never unwinds into C.
//!
//! Why the unsafe code is sound, in one paragraph: the VFS and its methods are registered once and never freed, so no
//! pointer that SQLite keeps can dangle. The one thing with a lifetime is a `Box<dyn File>`; `xOpen` writes it into
//! memory that SQLite allocated for it, `xClose` takes it out, and SQLite promises to call nothing in between from two
//! threads at once and nothing after.
//!
//! Next: [`vfs`] finds the files of a database, [`file`] reads and writes them.

mod file;
mod vfs;

pub use vfs::NAME;

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use rusqlite::{Connection, OpenFlags};

/// The files of one database, by role. Shared by all calls of one connection.
pub trait Files: Send + Sync + 'static {
    /// Opens the file, and creates it if there is none.
    ///
    /// # Errors
    /// Any [`FileError`]; SQLite then fails the statement that needed the file.
    fn open(&self, role: Role) -> Result<Box<dyn File>, FileError>;

    /// Says whether the file exists.
    ///
    /// # Errors
    /// Any [`FileError`].
    fn exists(&self, role: Role) -> Result<bool, FileError>;

    /// Removes the file. SQLite removes a log only when all of it is in the database and synced.
    ///
    /// # Errors
    /// Any [`FileError`].
    fn remove(&self, role: Role) -> Result<(), FileError>;
}

/// One open file, as SQLite sees it: logical bytes by logical offset.
pub trait File: Send {
    /// Reads at `offset` and returns how many bytes there were; fewer than asked for means end of file.
    ///
    /// # Errors
    /// [`FileError::Damaged`] if the bytes are not what was written.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, FileError>;

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// [`FileError::Full`] lets SQLite undo the transaction and go on.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), FileError>;

    /// Cuts or extends the file.
    ///
    /// # Errors
    /// Any [`FileError`].
    fn truncate(&mut self, size: u64) -> Result<(), FileError>;

    /// Returns when everything written so far, and the file's existence, is on stable storage.
    ///
    /// # Errors
    /// Any [`FileError`]; what was written since the last sync may then be lost.
    fn sync(&mut self) -> Result<(), FileError>;

    /// Returns the logical size in bytes.
    ///
    /// # Errors
    /// Any [`FileError`].
    fn size(&mut self) -> Result<u64, FileError>;
}

/// Which of a database's two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The pages.
    Database,
    /// The write-ahead log.
    Log,
}

/// Why a file operation failed, as far as SQLite can pass it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileError {
    /// What is there is not what was written. The statement fails with `SQLITE_IOERR_DATA`.
    Damaged,
    /// No space left on the device. The statement fails with `SQLITE_FULL`.
    Full,
    /// Anything else. The statement fails with the I/O error code of its operation.
    Failed,
}

/// A connection to a database in [`Files`]. Dereferences to rusqlite's.
#[derive(Debug)]
pub struct Database {
    // Fields drop in this order: the connection closes its files while they can still be found.
    connection: Connection,
    _entry: vfs::Entry,
}

impl Database {
    /// Opens the database that lies in `files`, an empty one if the files are empty. Nothing is read yet except the
    /// first 100 bytes.
    ///
    /// # Errors
    /// Whatever SQLite or `files` answered.
    pub fn open(files: Arc<dyn Files>) -> rusqlite::Result<Self> {
        let entry = vfs::enter(files)?;
        // SQLITE_OPEN_URI is left out, but the bundled SQLite reads URIs anyway; the entry's name is not one.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags_and_vfs(entry.name(), flags, vfs::NAME)?;
        Ok(Self { connection, _entry: entry })
    }
}

/// A name under which a database in [`Files`] can be opened through SQLite's own interface, with the VFS [`NAME`]: for
/// stores that open their connections themselves. The name is free again when this is dropped; that must not happen
/// before the connection is closed.
#[derive(Debug)]
pub struct Mount {
    _entry: vfs::Entry,
}

impl Mount {
    /// Gives the database that lies in `files` a name of at most 59 bytes, as a path or anything else.
    ///
    /// # Errors
    /// [`rusqlite::Error::InvalidPath`] if another database has the name, or it ends like the name of a log.
    pub fn new(name: &str, files: Arc<dyn Files>) -> rusqlite::Result<Self> {
        Ok(Self { _entry: vfs::enter_as(name.to_owned(), files)? })
    }
}

impl Deref for Database {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Database {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

#[cfg(test)]
mod tests;
