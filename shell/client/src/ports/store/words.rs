//! The index of the words that were said, for searching.
//!
//! Owns what a store has to find. Does not know how text is cut out of a message.
//!
//! - It is made when it is first asked for and caught up before each search, so neither receiving nor sending waits for it.

use super::StoreError;

/// What was said, as far as it was put into the index ([`Change::IndexWords`](super::Change::IndexWords)).
pub trait WordIndex {
    /// Returns up to which message everything was put into it; 0 if there is no index yet.
    ///
    /// # Errors
    /// [`StoreError`], as for every query below.
    fn indexed(&self) -> Result<u64, StoreError>;

    /// Returns up to `limit` numbers below `before` whose text has every one of the words, the newest first. Words are letters and
    /// digits, 1 to 16 of them; case does not count, and of the last one a beginning is enough.
    ///
    /// # Errors
    /// [`StoreError`]
    fn having(&self, words: &[String], before: u64, limit: usize) -> Result<Vec<u64>, StoreError>;
}
