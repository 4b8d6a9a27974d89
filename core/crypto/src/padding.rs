//! Padmé (PURBs, PETS 2019): how long a plaintext pretends to be.
//!
//! Owns the arithmetic; what the padding bytes are is each suite's. A length leaks at most O(log log L) bits of
//! itself for at most 12 % overhead.

/// Smallest padded length in bytes: receipts, reactions, typing and short texts all look like this (PAD-1).
pub const FLOOR_BYTES: usize = 256;

/// Returns the padded length of a plaintext of `len` bytes: Padmé with a floor of 256 (PAD-1).
#[must_use]
pub const fn padded_len(len: usize) -> usize {
    let padded = padme(len);
    if padded < FLOOR_BYTES { FLOOR_BYTES } else { padded }
}

/// Returns Padmé of `len` without the floor (PAD-2). Saturates at `usize::MAX` beyond any real length.
#[must_use]
pub const fn padme(len: usize) -> usize {
    if len < 2 {
        return len;
    }
    let e = len.ilog2();
    // E is at least 1 here, so its logarithm exists.
    let s = e.ilog2() + 1;
    if e <= s {
        return len;
    }
    let mask = (1usize << (e - s)) - 1;
    match len.checked_add(mask) {
        Some(sum) => sum & !mask,
        None => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// PAD-1: everything short looks the same, and a longer text is Padmé's.
    #[test]
    fn short_plaintexts_share_one_size() {
        for len in 0..=256 {
            assert_eq!(padded_len(len), 256, "{len}");
        }
        assert_eq!(padded_len(257), 272);
    }

    /// PAD-2: a few rows worked by hand; the whole table is in spec/vectors/pq3-kdf.json.
    #[test]
    fn padme_rounds_as_worked_by_hand() {
        for (len, padded) in [(0, 0), (1, 1), (2, 2), (8, 8), (9, 10), (33, 36), (65, 72), (1_996_714, 1_998_848)] {
            assert_eq!(padme(len), padded, "{len}");
        }
        assert_eq!(padme(usize::MAX), usize::MAX);
    }

    proptest! {
        /// PAD-2: never shorter, at most 12 % longer, and a fixed point of itself.
        #[test]
        fn padme_is_monotone_and_cheap(len in 1usize..1 << 40) {
            let padded = padme(len);
            prop_assert!(padded >= len && padded - len <= len / 8);
            prop_assert_eq!(padme(padded), padded);
            prop_assert!(padme(len - 1) <= padded);
        }
    }
}
