//! How many messages a second can be committed, one at a time, in the encrypted store and in plain SQLite.
//!
//! `cargo bench -p halcyon-client-store`. Both write the same rows with the same settings (write-ahead log, exclusive)
//! to the same disk, in turns, so what differs is the sealing. `synchronous=OFF` leaves the disk's syncs out and shows
//! the processor's part. `HALCYON_BENCH_FOLDER` chooses the folder, and so the disk.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench reports on standard output")]

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use halcyon_client_store::Profile;
use halcyon_crypto::{SecretBytes, password::PasswordParams};
use rand::rngs::OsRng;
use rusqlite::{Connection, params};

/// Commits a turn. Enough for several checkpoints.
const COMMITS: i64 = 2_000;
/// Turns of each kind; the median is printed.
const TURNS: usize = 5;
/// Bytes of a message: a text with its metadata.
const MESSAGE_BYTES: usize = 300;

fn main() {
    let folder = std::env::var_os("HALCYON_BENCH_FOLDER").map_or_else(std::env::temp_dir, PathBuf::from);
    for synchronous in ["FULL", "OFF"] {
        let (mut plain, mut sealed) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            plain.push(in_plain_sqlite(&folder, synchronous));
            sealed.push(in_the_encrypted_store(&folder, synchronous));
        }
        let (plain, sealed) = (commits_per_second(&mut plain), commits_per_second(&mut sealed));
        println!(
            "synchronous={synchronous} plain_per_s={plain:.0} sealed_per_s={sealed:.0} ratio={:.2}",
            sealed / plain
        );
    }
}

fn in_the_encrypted_store(folder: &Path, synchronous: &str) -> Duration {
    let folder = tempfile::tempdir_in(folder).unwrap();
    let profile = Profile::at(folder.path(), PasswordParams::dangerous_cheap()).unwrap();
    let db = profile.create(&SecretBytes::copy_of(b"bench"), Box::new(OsRng)).unwrap();
    measure(&db, synchronous)
}

fn in_plain_sqlite(folder: &Path, synchronous: &str) -> Duration {
    let folder = tempfile::tempdir_in(folder).unwrap();
    let db = Connection::open(folder.path().join("plain.db")).unwrap();
    db.execute_batch("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA temp_store = MEMORY").unwrap();
    measure(&db, synchronous)
}

fn measure(db: &Connection, synchronous: &str) -> Duration {
    db.pragma_update(None, "synchronous", synchronous).unwrap();
    db.execute_batch(
        "CREATE TABLE sessions (peer INTEGER PRIMARY KEY, state BLOB);
         CREATE TABLE messages (id INTEGER PRIMARY KEY, body BLOB);
         CREATE VIRTUAL TABLE words USING fts5(text);",
    )
    .unwrap();
    let body = vec![0x5a_u8; MESSAGE_BYTES];
    let mut session = db.prepare("INSERT OR REPLACE INTO sessions VALUES (?1, ?2)").unwrap();
    let mut message = db.prepare("INSERT INTO messages VALUES (?1, ?2)").unwrap();
    let mut words = db.prepare("INSERT INTO words (rowid, text) VALUES (?1, ?2)").unwrap();
    let start = Instant::now();
    for id in 0..COMMITS {
        let transaction = db.unchecked_transaction().unwrap();
        session.execute(params![id % 8, body]).unwrap();
        message.execute(params![id, body]).unwrap();
        words.execute(params![id, format!("see you at the lighthouse at {id}")]).unwrap();
        transaction.commit().unwrap();
    }
    start.elapsed()
}

fn commits_per_second(turns: &mut [Duration]) -> f64 {
    turns.sort();
    COMMITS as f64 / turns[turns.len() / 2].as_secs_f64()
}
