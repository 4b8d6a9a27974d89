//! The index of words, on SQLite's FTS5.
//!
//! Owns the table `words`, which is made by the first entry, and the setting that says how far it goes.

use halcyon_client::ports::store::{StoreError, WordIndex};
use rusqlite::{Connection, Params, params};

use super::{SqliteStore, apply::run, columns::number};

/// The number up to which everything is in it.
const INDEXED: &str = "words.indexed";
/// Without the texts, which the messages have, but so that what is deleted can leave it; beginnings of two and three letters have lists of their own.
const TABLE: &str = "CREATE VIRTUAL TABLE IF NOT EXISTS words
    USING fts5(text, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2',
    prefix = '2 3')";

pub(super) fn index(db: &Connection, entries: &[(u64, String)], up_to: u64) -> rusqlite::Result<()> {
    db.execute_batch(TABLE)?;
    for (number, text) in entries {
        // SQLite made the number, as that of a message.
        let number = i64::try_from(*number).unwrap_or(i64::MAX);
        run(db, "INSERT INTO words (rowid, text) VALUES (?1, ?2)", params![number, text])?;
    }
    run(db, "INSERT OR REPLACE INTO setting (name, value) VALUES (?1, ?2)", params![INDEXED, up_to.to_string()])
}

/// Takes the messages out whose numbers a query returns.
pub(super) fn remove(db: &Connection, numbers: &str, params: impl Params) -> rusqlite::Result<()> {
    let is_made = "SELECT 1 FROM sqlite_schema WHERE name = 'words'";
    match db.prepare_cached(is_made)?.exists([])? {
        true => run(db, &format!("DELETE FROM words WHERE rowid IN ({numbers})"), params),
        false => Ok(()),
    }
}

pub(super) fn wipe(db: &Connection) -> rusqlite::Result<()> {
    db.execute_batch("DROP TABLE IF EXISTS words")
}

impl WordIndex for SqliteStore {
    fn indexed(&self) -> Result<u64, StoreError> {
        let indexed = halcyon_client::ports::store::Store::setting(self, INDEXED)?;
        Ok(indexed.and_then(|number| number.parse().ok()).unwrap_or(0))
    }

    fn having(&self, words: &[String], before: u64, limit: usize) -> Result<Vec<u64>, StoreError> {
        if self.indexed()? == 0 {
            return Ok(Vec::new());
        }
        // In quotation marks nothing in a word means anything to FTS5.
        let quoted: Vec<String> = words.iter().map(|word| format!("\"{}\"", word.replace('"', "\"\""))).collect();
        let query = format!("{}*", quoted.join(" "));
        let (before, limit) = (i64::try_from(before).unwrap_or(i64::MAX), i64::try_from(limit).unwrap_or(i64::MAX));
        self.all(
            "SELECT rowid FROM words WHERE words MATCH ?1 AND rowid < ?2 ORDER BY rowid DESC LIMIT ?3",
            params![query, before, limit],
            |row| number(row, 0),
        )
    }
}
