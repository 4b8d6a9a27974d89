//! Which keys opened which messages not long ago: how a copied device is noticed. Spec: 43-pq3.md §7 (PQ3-26).
//!
//! Owns the memory and the comparison. Does not know keys: a message is named by x(E) and index, and told by a hash of what
//! was signed. What carries it (the signature's twin, fields that nobody reads) is not in the hash, so nobody but the
//! sender's device can make a fork out of a replay.

use std::collections::VecDeque;

use halcyon_crypto::{CompactKey, hash};

use crate::state::{Reader, StateError, Writer};

/// Messages that are remembered (PQ3-26): a kibibyte. A copy that runs further ahead hides the first forks among replays, and
/// not those of the last 64 keys that it used.
pub const REMEMBERED: usize = 64;
const HALF_BYTES: usize = 8;
/// Of the hash of a name, and of what was signed, 8 bytes each: enough to tell messages of one device apart. Whoever found two
/// alike would only have a refused message pass for a replay.
const ENTRY_BYTES: usize = 2 * HALF_BYTES;

/// The last messages that opened, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Remembered(VecDeque<Entry>);

/// One message: its key's name, and what was sealed with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    name: [u8; HALF_BYTES],
    signed: [u8; HALF_BYTES],
}

impl Entry {
    /// Takes a message's place, and the parts of what its signature is over (PQ3-21).
    pub(super) fn new(ephemeral: &CompactKey, index: u32, signed: &[&[u8]]) -> Self {
        Self {
            name: half(&hash::sha256(&[ephemeral.as_bytes(), &index.to_be_bytes()])),
            signed: half(&hash::sha256(signed)),
        }
    }
}

impl Remembered {
    /// Says whether another message was opened with this one's key.
    pub(super) fn contradicts(&self, entry: &Entry) -> bool {
        self.0.iter().any(|known| known.name == entry.name && known.signed != entry.signed)
    }

    /// Adds a message that opened; the oldest makes room.
    pub(super) fn push(&mut self, entry: Entry) {
        self.0.push_back(entry);
        while self.0.len() > REMEMBERED {
            self.0.pop_front();
        }
    }

    pub(super) fn encoded_len(&self) -> usize {
        4 + self.0.len() * ENTRY_BYTES
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.u32(u32::try_from(self.0.len()).expect("at most REMEMBERED"));
        for entry in &self.0 {
            writer.raw(&entry.name);
            writer.raw(&entry.signed);
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let count = reader.count(REMEMBERED)?;
        let entry = |_| Ok(Entry { name: reader.array()?, signed: reader.array()? });
        (0..count).map(entry).collect::<Result<_, _>>().map(Self)
    }
}

fn half(hash: &[u8; 32]) -> [u8; HALF_BYTES] {
    let mut half = [0; HALF_BYTES];
    half.copy_from_slice(&hash[..HALF_BYTES]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u32, text: &str) -> Entry {
        Entry::new(&CompactKey::from_bytes([1; 32]), index, &[text.as_bytes()])
    }

    /// PQ3-26: the same message again is none, another under its key is; after 64 others nothing is known of it.
    #[test]
    fn a_fork_is_known_for_64_messages() {
        let mut remembered = Remembered::default();
        remembered.push(entry(0, "hello"));
        assert!(!remembered.contradicts(&entry(0, "hello")) && !remembered.contradicts(&entry(1, "other")));
        assert!(remembered.contradicts(&entry(0, "other")));
        for index in 1..64 {
            remembered.push(entry(index, "x"));
            assert!(remembered.contradicts(&entry(0, "other")), "{index}");
        }
        remembered.push(entry(64, "x"));
        assert!(!remembered.contradicts(&entry(0, "other")));
        assert_eq!(remembered.encoded_len(), 4 + 64 * 16);
    }
}
