//! Which counters were opened: a sliding window, small at rest. Spec: 41-pair-ec.md (PEC-16, PEC-19).
//!
//! Owns the question "seen before?" for one peer's device and one own prekey.
//!
//! - A counter is accepted at most once.
//! - Everything below `floor` counts as seen. The floor follows the highest counter at 100,000 and rises over counters
//!   that came in order, so an ordinary window is a few bytes.
//! - Memory and stored size are bounded whatever a peer sends: at most 99 chunks of 128 bytes.

use std::collections::BTreeMap;

use crate::state::{Reader, StateError, Writer};

/// How far behind the highest counter a message may be (PEC-16). A sender's device seals for one prekey for five weeks
/// at most; whoever is 100,000 messages late has lost them to the courier's 30 days already.
pub const WINDOW_COUNTERS: u64 = 100_000;
/// Counters in a chunk: enough to be cheap when dense, little enough to be cheap when sparse.
const CHUNK_COUNTERS: u64 = 1024;
const CHUNK_BYTES: usize = 128;
/// Chunks that a window touches when it lies across chunk borders.
const CHUNKS_MAX: usize = (WINDOW_COUNTERS / CHUNK_COUNTERS) as usize + 2;

/// The counters opened with one prekey from one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayWindow {
    /// Every counter below this is refused.
    floor: u64,
    /// One bit a counter at or above the floor, by chunk number; only chunks that hold one.
    chunks: BTreeMap<u32, [u8; CHUNK_BYTES]>,
}

impl ReplayWindow {
    /// Says whether `counter` was accepted before, or lies too far back to know.
    #[must_use]
    pub fn is_seen(&self, counter: u32) -> bool {
        let (chunk, byte, bit) = place(u64::from(counter));
        u64::from(counter) < self.floor || self.chunks.get(&chunk).is_some_and(|bits| bits[byte] & bit != 0)
    }

    /// Returns the window with `counter` accepted, or `None` if it is seen already.
    #[must_use]
    pub fn accepted(&self, counter: u32) -> Option<Self> {
        if self.is_seen(counter) {
            return None;
        }
        let mut next = self.clone();
        let counter = u64::from(counter);
        let (chunk, byte, bit) = place(counter);
        next.chunks.entry(chunk).or_insert([0; CHUNK_BYTES])[byte] |= bit;
        // The window reaches 100,000 back from the highest. A lower counter moves nothing here.
        next.floor = next.floor.max((counter + 1).saturating_sub(WINDOW_COUNTERS));
        next.raise_floor();
        Some(next)
    }

    /// Raises the floor over counters that are seen, and drops the chunks below it.
    fn raise_floor(&mut self) {
        loop {
            let (chunk, byte, bit) = place(self.floor);
            self.chunks = self.chunks.split_off(&chunk);
            let Some(bits) = self.chunks.get(&chunk) else { return };
            if byte == 0 && bit == 1 && bits.iter().all(|bits| *bits == 0xff) {
                self.floor += CHUNK_COUNTERS;
            } else if bits[byte] & bit != 0 {
                self.floor += 1;
            } else {
                return;
            }
        }
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u64(self.floor);
        writer.u32(u32::try_from(self.chunks.len()).expect("a window has at most CHUNKS_MAX chunks"));
        for (chunk, bits) in &self.chunks {
            writer.u32(*chunk);
            writer.raw(bits);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let floor = reader.u64()?;
        let count = reader.count(CHUNKS_MAX)?;
        let mut chunks = BTreeMap::new();
        for _ in 0..count {
            let chunk = reader.u32()?;
            let in_order = chunks.last_key_value().is_none_or(|(last, _)| *last < chunk);
            if !in_order || chunk < place(floor).0 {
                return Err(StateError::Damaged);
            }
            chunks.insert(chunk, reader.array()?);
        }
        if floor > u64::from(u32::MAX) + 1 {
            return Err(StateError::Damaged);
        }
        Ok(Self { floor, chunks })
    }

    /// Bytes that [`write`](Self::write) will produce.
    pub(crate) fn encoded_len(&self) -> usize {
        12 + self.chunks.len() * (4 + CHUNK_BYTES)
    }
}

/// Chunk number, byte in it, bit in that.
fn place(counter: u64) -> (u32, usize, u8) {
    let chunk = (counter / CHUNK_COUNTERS) as u32;
    let within = (counter % CHUNK_COUNTERS) as usize;
    (chunk, within / 8, 1 << (within % 8))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn stored(window: &ReplayWindow) -> Vec<u8> {
        let mut writer = Writer::new(1, window.encoded_len());
        window.write(&mut writer);
        writer.finish().expose().to_vec()
    }

    fn read(bytes: &[u8]) -> Result<ReplayWindow, StateError> {
        let mut reader = Reader::new(bytes, 1)?;
        let window = ReplayWindow::read(&mut reader)?;
        reader.end()?;
        Ok(window)
    }

    /// PEC-16: whichever counter of a chunk comes last, the floor then stands at its end and not beyond: what follows is new.
    #[test]
    fn the_last_of_a_chunk_moves_the_floor_to_its_end() {
        let end = u32::try_from(CHUNK_COUNTERS).unwrap();
        for late in [0, 1, 7, 8, 9, 64, end - 8, end - 1] {
            let mut window = ReplayWindow::default();
            for counter in (0..end).filter(|counter| *counter != late) {
                window = window.accepted(counter).unwrap();
            }
            assert_eq!(window.floor, u64::from(late));
            window = window.accepted(late).unwrap();
            assert_eq!(window.floor, CHUNK_COUNTERS, "after {late}");
            assert!(!window.is_seen(end) && !window.is_seen(end + late), "after {late}");
        }
    }

    /// PEC-19: chunks are stored in order, each once.
    #[test]
    fn repeated_chunks_are_damage() {
        let chunks = |numbers: [u32; 2]| {
            let mut writer = Writer::new(1, 300);
            writer.u64(0);
            writer.u32(2);
            for number in numbers {
                writer.u32(number);
                writer.raw(&[1; CHUNK_BYTES]);
            }
            read(writer.finish().expose())
        };
        assert!(chunks([0, 1]).is_ok());
        assert_eq!(chunks([1, 1]).unwrap_err(), StateError::Damaged);
        assert_eq!(chunks([1, 0]).unwrap_err(), StateError::Damaged);
    }

    /// PEC-16: in order, each counter once; the window stays a few bytes.
    #[test]
    fn counters_in_order_cost_nothing() {
        let mut window = ReplayWindow::default();
        for counter in 0..5000 {
            window = window.accepted(counter).unwrap();
            assert!(window.accepted(counter).is_none());
        }
        assert_eq!(window.floor, 5000);
        assert!(window.encoded_len() <= 12 + 132, "{} bytes", window.encoded_len());
    }

    /// PEC-16: the edge of the window, exactly.
    #[test]
    fn the_window_ends_after_100_000() {
        let window = ReplayWindow::default().accepted(100_000).unwrap();
        assert!(window.is_seen(0) && window.accepted(0).is_none(), "100,000 behind the highest");
        assert!(!window.is_seen(1) && window.accepted(1).is_some(), "99,999 behind the highest");
    }

    /// PEC-16: a peer that jumps to the last counter there is harms only itself, and nothing overflows.
    #[test]
    fn the_last_counter_is_accepted_once() {
        let window = ReplayWindow::default().accepted(u32::MAX).unwrap();
        assert!(window.accepted(u32::MAX).is_none());
        let mut window = window;
        for counter in u32::MAX - 99_999..u32::MAX {
            window = window.accepted(counter).unwrap();
        }
        assert_eq!(window.floor, 1 << 32);
        assert_eq!(read(&stored(&window)), Ok(window.clone()));
        assert!(window.is_seen(0) && window.is_seen(u32::MAX));
    }

    /// PEC-19: a hostile pattern cannot make a window larger than 13,080 bytes.
    #[test]
    fn the_worst_window_is_bounded() {
        let mut window = ReplayWindow::default();
        for counter in (1..400_000).step_by(997) {
            window = window.accepted(counter).unwrap();
            assert!(window.chunks.len() <= CHUNKS_MAX);
        }
        assert!(window.encoded_len() <= 13_080, "{}", window.encoded_len());
        assert_eq!(read(&stored(&window)), Ok(window));
    }

    /// PEC-19: damage is noticed where it could confuse the window.
    #[test]
    fn damaged_windows_are_refused() {
        let window = ReplayWindow::default().accepted(5000).unwrap().accepted(9000).unwrap();
        let bytes = stored(&window);
        for cut in 1..bytes.len() {
            assert_eq!(read(&bytes[..cut]), Err(StateError::Damaged), "cut to {cut}");
        }
        let mut swapped = bytes.clone();
        swapped[13..17].copy_from_slice(&100u32.to_be_bytes());
        assert_eq!(read(&swapped), Err(StateError::Damaged), "chunks out of order");
        let mut high_floor = bytes.clone();
        high_floor[1..9].copy_from_slice(&u64::MAX.to_be_bytes());
        assert_eq!(read(&high_floor), Err(StateError::Damaged));
    }

    proptest! {
        /// PEC-16: against the obvious model, in any order, over a restart after each step.
        #[test]
        fn agrees_with_a_plain_set(counters in vec(prop_oneof![0u32..3000, 99_000u32..205_000], 0..120)) {
            let (mut window, mut model) = (ReplayWindow::default(), BTreeSet::new());
            for counter in counters {
                let highest = model.last().copied().unwrap_or(0);
                let too_far_back = u64::from(counter) + WINDOW_COUNTERS <= u64::from(highest) && !model.is_empty();
                let expected = !too_far_back && !model.contains(&counter);
                let next = window.accepted(counter);
                prop_assert_eq!(next.is_some(), expected, "counter {} highest {}", counter, highest);
                if let Some(next) = next {
                    window = read(&stored(&next)).unwrap();
                    model.insert(counter);
                }
            }
        }

        #[test]
        fn stored_bytes_never_panic(bytes in vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
        }
    }
}
