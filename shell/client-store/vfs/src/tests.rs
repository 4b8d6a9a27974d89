//! A database in memory shows what SQLite asks of the two files, and what it is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use rusqlite::ffi;

use super::*;

/// Two byte vectors that stay when the database closes.
#[derive(Default)]
struct Memory {
    database: Arc<Mutex<Vec<u8>>>,
    log: Arc<Mutex<Option<Vec<u8>>>>,
    trouble: Arc<Trouble>,
}

#[derive(Default)]
struct Trouble {
    damaged: AtomicBool,
    full: AtomicBool,
    panics: AtomicBool,
}

impl Files for Memory {
    fn open(&self, role: Role) -> Result<Box<dyn File>, FileError> {
        let trouble = self.trouble.clone();
        if role == Role::Log {
            self.log.lock().unwrap().get_or_insert_default();
        }
        let file = MemoryFile { role, database: self.database.clone(), log: self.log.clone(), trouble };
        Ok(Box::new(file))
    }

    fn exists(&self, role: Role) -> Result<bool, FileError> {
        Ok(role == Role::Database || self.log.lock().unwrap().is_some())
    }

    fn remove(&self, role: Role) -> Result<(), FileError> {
        assert_eq!(role, Role::Log, "SQLite removes no database");
        *self.log.lock().unwrap() = None;
        Ok(())
    }
}

struct MemoryFile {
    role: Role,
    database: Arc<Mutex<Vec<u8>>>,
    log: Arc<Mutex<Option<Vec<u8>>>>,
    trouble: Arc<Trouble>,
}

impl MemoryFile {
    fn bytes<R>(&self, f: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        match self.role {
            Role::Database => f(&mut self.database.lock().unwrap()),
            Role::Log => f(self.log.lock().unwrap().as_mut().expect("the log is open")),
        }
    }
}

impl File for MemoryFile {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, FileError> {
        if self.trouble.damaged.load(Ordering::SeqCst) {
            return Err(FileError::Damaged);
        }
        self.bytes(|bytes| {
            let rest = bytes.get(offset as usize..).unwrap_or_default();
            let got = rest.len().min(buffer.len());
            buffer[..got].copy_from_slice(&rest[..got]);
            Ok(got)
        })
    }

    fn write_at(&mut self, offset: u64, data: &[u8]) -> Result<(), FileError> {
        assert!(!self.trouble.panics.load(Ordering::SeqCst), "asked to panic");
        if self.trouble.full.load(Ordering::SeqCst) {
            return Err(FileError::Full);
        }
        self.bytes(|bytes| {
            let end = offset as usize + data.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[offset as usize..end].copy_from_slice(data);
        });
        Ok(())
    }

    fn truncate(&mut self, size: u64) -> Result<(), FileError> {
        self.bytes(|bytes| bytes.resize(size as usize, 0));
        Ok(())
    }

    fn sync(&mut self) -> Result<(), FileError> {
        Ok(())
    }

    fn size(&mut self) -> Result<u64, FileError> {
        Ok(self.bytes(|bytes| bytes.len() as u64))
    }
}

fn open(files: &Arc<Memory>) -> Database {
    let db = Database::open(files.clone()).unwrap();
    db.execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; PRAGMA temp_store = MEMORY")
        .unwrap();
    db
}

fn open_with_log(files: &Arc<Memory>) -> Database {
    let db = open(files);
    let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    db
}

fn extended_code(error: &rusqlite::Error) -> i32 {
    match error {
        rusqlite::Error::SqliteFailure(error, _) => error.extended_code,
        other => panic!("not SQLite's: {other}"),
    }
}

#[test]
fn a_database_survives_its_connection() {
    let files = Arc::new(Memory::default());
    let db = open_with_log(&files);
    db.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES ('hello')").unwrap();
    assert!(files.log.lock().unwrap().is_some(), "changes go through the log");
    drop(db);
    assert!(files.log.lock().unwrap().is_none(), "closing moves the log into the database");
    let db = open(&files);
    assert_eq!(db.query_row("SELECT x FROM t", [], |row| row.get::<_, String>(0)).unwrap(), "hello");
}

#[test]
fn databases_do_not_see_each_other() {
    let (left, right) = (Arc::new(Memory::default()), Arc::new(Memory::default()));
    let (a, b) = (open_with_log(&left), open_with_log(&right));
    a.execute_batch("CREATE TABLE only_here (x)").unwrap();
    assert!(b.prepare("SELECT * FROM only_here").is_err());
}

/// Work that would spill to temporary files stays in memory: large sorts, statement journals, a vacuum.
#[test]
fn nothing_asks_for_another_file() {
    let files = Arc::new(Memory::default());
    let mut db = open_with_log(&files);
    db.execute_batch("PRAGMA cache_size = 10; CREATE TABLE t (x UNIQUE, y); CREATE VIRTUAL TABLE f USING fts5(y)")
        .unwrap();
    let transaction = db.transaction().unwrap();
    for i in 0..2_000 {
        transaction.execute("INSERT INTO t VALUES (?1, ?2)", (i, "y".repeat(500))).unwrap();
        transaction.execute("INSERT INTO f VALUES (?1)", [format!("word{i}")]).unwrap();
    }
    // A statement that fails half way needs its own journal.
    assert!(transaction.execute("UPDATE t SET x = x + 1 WHERE x < 1000", []).is_err());
    transaction.commit().unwrap();
    let _: String = db.query_row("SELECT y FROM t ORDER BY y || x DESC", [], |row| row.get(0)).unwrap();
    db.execute_batch("DELETE FROM t; VACUUM; PRAGMA integrity_check").unwrap();
}

#[test]
fn a_rollback_journal_is_refused() {
    let files = Arc::new(Memory::default());
    let db = open(&files);
    db.execute_batch("PRAGMA journal_mode = DELETE").unwrap();
    let refused = db.execute_batch("CREATE TABLE t (x)").unwrap_err();
    assert_eq!(extended_code(&refused) & 0xff, ffi::SQLITE_CANTOPEN);
    assert!(db.execute_batch("ATTACH 'elsewhere' AS other; CREATE TABLE other.t (x)").is_err());
}

#[test]
fn errors_keep_their_meaning_and_panics_stay_inside() {
    let files = Arc::new(Memory::default());
    let db = open_with_log(&files);
    db.execute_batch("PRAGMA cache_size = 0; CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();

    files.trouble.full.store(true, Ordering::SeqCst);
    let full = db.execute_batch("INSERT INTO t VALUES (2)").unwrap_err();
    assert_eq!(extended_code(&full), ffi::SQLITE_FULL);
    files.trouble.full.store(false, Ordering::SeqCst);

    files.trouble.panics.store(true, Ordering::SeqCst);
    let panicked = db.execute_batch("INSERT INTO t VALUES (2)").unwrap_err();
    assert_eq!(extended_code(&panicked), ffi::SQLITE_IOERR_WRITE);
    files.trouble.panics.store(false, Ordering::SeqCst);

    db.execute_batch("INSERT INTO t VALUES (3)").unwrap();
    assert_eq!(db.query_row("SELECT sum(x) FROM t", [], |row| row.get::<_, i64>(0)).unwrap(), 4);

    db.execute_batch("PRAGMA shrink_memory").unwrap();
    files.trouble.damaged.store(true, Ordering::SeqCst);
    let damaged = db.query_row("SELECT sum(x) FROM t", [], |row| row.get::<_, i64>(0)).unwrap_err();
    assert_eq!(extended_code(&damaged), ffi::SQLITE_IOERR_DATA);
}

/// A store that opens its connections itself finds the files by name while they are mounted, and nobody else gets the name.
#[test]
fn a_mounted_database_is_found_by_its_name() {
    let connect = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags_and_vfs("/folder/mailboxes.db", flags, NAME)
    };
    assert!(connect().is_err());
    let mount = Mount::new("/folder/mailboxes.db", Arc::new(Memory::default())).unwrap();
    assert!(Mount::new("/folder/mailboxes.db", Arc::new(Memory::default())).is_err());
    let db = connect().unwrap();
    db.execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = MEMORY; CREATE TABLE t (x)").unwrap();
    drop(db);
    drop(mount);
    assert!(connect().is_err());
}
