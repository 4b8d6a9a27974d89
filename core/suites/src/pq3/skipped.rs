//! Keys of messages of one chain that have not arrived. Spec: 43-pq3.md §5 (PQ3-30, PQ3-31).
//!
//! Owns the keys and how long each is kept. Does not know where in the chain the next key is.
//!
//! - A key that was taken is gone. So is one that is too old or too much.

use std::collections::VecDeque;

use halcyon_crypto::Secret;
use halcyon_types::{Duration, Timestamp};

use super::kdf::MessageKey;
use crate::state::{Reader, StateError, Writer};

/// Keys kept in one chain, and the furthest that a message may be ahead of the last one (PQ3-30). A connection that loses
/// a thousand messages of one chain in a row is broken; each kept key is a message that a seized device can still open.
pub const CHAIN_MAX: usize = 1000;
/// Keys kept between two devices, in all chains (PQ3-30).
pub const SESSION_MAX: usize = 2000;
/// How long a key is kept: as long as the courier stores a message (PQ3-31, COU-40).
pub const KEEP: Duration = Duration::from_days(30);
/// Bytes that one key takes at rest.
pub const ENTRY_BYTES: usize = 4 + 4 + 32;

/// The keys of one chain, in the order of their indexes.
#[derive(Clone, Debug, Default)]
pub struct Skipped(VecDeque<Entry>);

#[derive(Clone, Debug)]
struct Entry {
    index: u32,
    /// When it was skipped, in whole seconds of UNIX time: 4 bytes at rest, until 2106.
    since_s: u32,
    key: MessageKey,
}

impl Skipped {
    /// Returns how many keys are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Says whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the key of a message.
    pub(super) fn key(&self, index: u32) -> Option<&MessageKey> {
        let at = self.0.binary_search_by_key(&index, |entry| entry.index).ok()?;
        self.0.get(at).map(|entry| &entry.key)
    }

    /// Drops the key of a message, which wipes it.
    pub(super) fn remove(&mut self, index: u32) {
        if let Ok(at) = self.0.binary_search_by_key(&index, |entry| entry.index) {
            self.0.remove(at);
        }
    }

    /// Adds the key of the next index that was passed over.
    pub(super) fn push(&mut self, index: u32, key: MessageKey, now: Timestamp) {
        self.0.push_back(Entry { index, since_s: seconds(now), key });
        self.keep_newest(CHAIN_MAX); // PQ3-30
    }

    /// Wipes all but the newest keys.
    pub(super) fn keep_newest(&mut self, count: usize) {
        while self.0.len() > count {
            self.0.pop_front();
        }
    }

    /// Wipes what was kept for 30 days (PQ3-31).
    pub(super) fn expire(&mut self, now: Timestamp) {
        let keep_s = KEEP.as_millis() / 1000;
        self.0.retain(|entry| u64::from(seconds(now).saturating_sub(entry.since_s)) < keep_s);
    }

    pub(super) fn encoded_len(&self) -> usize {
        4 + self.0.len() * ENTRY_BYTES
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.u32(u32::try_from(self.0.len()).expect("at most CHAIN_MAX"));
        for entry in &self.0 {
            writer.u32(entry.index);
            writer.u32(entry.since_s);
            writer.raw(entry.key.expose());
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let count = reader.count(CHAIN_MAX)?;
        let mut entries: VecDeque<Entry> = VecDeque::with_capacity(count);
        for _ in 0..count {
            let (index, since_s) = (reader.u32()?, reader.u32()?);
            let key: Secret<32> = reader.secret()?;
            if entries.back().is_some_and(|last| last.index >= index) {
                return Err(StateError::Damaged);
            }
            entries.push_back(Entry { index, since_s, key: MessageKey::from_secret(key) });
        }
        Ok(Self(entries))
    }
}

fn seconds(time: Timestamp) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn key(byte: u8) -> MessageKey {
        MessageKey::from_secret(Secret::fill_with(|bytes| *bytes = [byte; 32]))
    }

    /// PQ3-30, PQ3-31: a taken key is gone, the oldest make room, and a month later all are gone.
    #[test]
    fn keys_are_taken_once_bounded_and_expire() {
        let mut skipped = Skipped::default();
        assert!(skipped.is_empty());
        for index in 0..1005 {
            skipped.push(index, key(index as u8), NOW);
        }
        assert_eq!(skipped.len(), CHAIN_MAX);
        assert!(!skipped.is_empty());
        assert!(skipped.key(4).is_none() && skipped.key(5).is_some());
        skipped.remove(7);
        assert!(skipped.key(7).is_none() && skipped.key(8).is_some());
        skipped.push(2000, key(1), NOW.plus(Duration::from_days(10)));
        let month_later = NOW.plus(KEEP);
        skipped.expire(month_later.minus(Duration::from_secs(1)));
        assert_eq!(skipped.len(), CHAIN_MAX);
        skipped.expire(month_later);
        assert_eq!(skipped.len(), 1);
        // A clock that goes back drops nothing.
        skipped.expire(NOW);
        assert_eq!(skipped.len(), 1);
    }

    /// PQ3-32: what is stored comes back, and disorder is damage.
    #[test]
    fn stored_keys_come_back_in_order() {
        let mut skipped = Skipped::default();
        skipped.push(3, key(3), NOW);
        skipped.push(9, key(9), NOW);
        let mut writer = Writer::new(1, skipped.encoded_len());
        skipped.write(&mut writer);
        let stored = writer.finish();
        assert_eq!(stored.len(), 1 + skipped.encoded_len());
        let again = Skipped::read(&mut Reader::new(stored.expose(), 1).unwrap()).unwrap();
        assert_eq!(again.key(9).unwrap().expose(), &[9; 32]);
        let mut disordered = stored.expose().to_vec();
        disordered[1 + 4 + 3] = 10;
        assert!(Skipped::read(&mut Reader::new(&disordered, 1).unwrap()).is_err());
    }
}
