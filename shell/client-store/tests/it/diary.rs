//! Alice keeps a diary in an encrypted database: what the tests write, and how they know that it is all there.

use std::sync::Arc;

use halcyon_client_store::{EncryptedDb, FileDeviceSecret, Profile, ProfileError};
use halcyon_crypto::{SecretBytes, password::PasswordParams};
use rand::{SeedableRng, rngs::StdRng};
use rusqlite::params;

use crate::sim_disk::SimDisk;

pub const CHEAP: PasswordParams = PasswordParams::dangerous_cheap();

pub fn passphrase() -> SecretBytes {
    SecretBytes::copy_of(b"correct horse")
}

pub fn rng(seed: u64) -> Box<StdRng> {
    Box::new(StdRng::seed_from_u64(seed))
}

pub fn profile_on(disk: &SimDisk) -> Profile {
    let disk = Arc::new(disk.clone());
    Profile::on(disk.clone(), Arc::new(FileDeviceSecret::new(disk)), CHEAP)
}

/// Opens the profile, made if there is none, with a diary in it. Small cache and frequent checkpoints bring every
/// kind of write about in a few transactions.
pub fn open(disk: &SimDisk, seed: u64) -> Result<Diary, String> {
    let profile = profile_on(disk);
    let open = |profile: &Profile| -> Result<EncryptedDb, ProfileError> {
        if profile.exists()? {
            profile.open(&passphrase(), rng(seed))
        } else {
            profile.create(&passphrase(), rng(seed))
        }
    };
    let db = open(&profile).map_err(|error| format!("{error}: {error:?}"))?;
    Diary::new(db).map_err(|error| error.to_string())
}

pub struct Diary {
    pub db: EncryptedDb,
}

impl Diary {
    fn new(db: EncryptedDb) -> rusqlite::Result<Self> {
        db.execute_batch(
            "PRAGMA cache_size = 4;
             PRAGMA wal_autocheckpoint = 20;
             BEGIN;
             CREATE TABLE IF NOT EXISTS pages (day INTEGER PRIMARY KEY, text TEXT NOT NULL);
             CREATE TABLE IF NOT EXISTS scratch (day INTEGER PRIMARY KEY, text TEXT NOT NULL);
             CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(text);
             COMMIT;",
        )?;
        Ok(Self { db })
    }

    /// Commits the page of `day`: a row, its words, and changes to other rows. Some days are longer than the cache.
    pub fn write(&mut self, day: i64) -> rusqlite::Result<()> {
        let transaction = self.db.transaction()?;
        transaction.execute("INSERT INTO pages VALUES (?1, ?2)", params![day, text(day)])?;
        transaction.execute("INSERT INTO words (rowid, text) VALUES (?1, ?2)", params![day, text(day)])?;
        // Long days touch more pages than the cache holds, and each of them twice: SQLite then writes pages of a
        // transaction into the log before it ends, and over what it wrote.
        let scribbles = if day % 7 == 3 { 24 } else { 2 };
        for i in (0..scribbles).chain(0..scribbles) {
            let scribble = text(day * 100 + i).repeat(12);
            transaction.execute("INSERT OR REPLACE INTO scratch VALUES (?1, ?2)", params![i, scribble])?;
        }
        transaction.execute("DELETE FROM scratch WHERE day % 3 = ?1", [day % 3])?;
        transaction.commit()
    }

    /// Returns how many days were written, after SQLite has found the database whole and everything is as it was.
    pub fn read(&self) -> rusqlite::Result<i64> {
        let verdict: String = self.db.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        if verdict != "ok" {
            let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
            return Err(rusqlite::Error::SqliteFailure(corrupt, Some(verdict)));
        }
        self.days()
    }

    /// Returns how many days were written, after checking that they are all there and as they were.
    pub fn days(&self) -> rusqlite::Result<i64> {
        let mut statement = self.db.prepare("SELECT day, text FROM pages ORDER BY day")?;
        let mut rows = statement.query([])?;
        let mut days = 0;
        while let Some(row) = rows.next()? {
            assert_eq!(row.get::<_, i64>(0)?, days);
            assert_eq!(row.get::<_, String>(1)?, text(days));
            days += 1;
        }
        let mut all = self.db.prepare("SELECT text FROM scratch")?;
        let mut rows = all.query([])?;
        while rows.next()?.is_some() {}
        let found: i64 =
            self.db.query_row("SELECT count(*) FROM words WHERE words MATCH 'diary'", [], |row| row.get(0))?;
        assert_eq!(found, days, "the index has another number of days than the table");
        Ok(days)
    }
}

pub fn text(day: i64) -> String {
    format!("dear diary, on day {day} bob wrote about the lighthouse again; {}", "waves ".repeat((day % 7) as usize))
}
