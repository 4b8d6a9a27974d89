//! The six digits that two people compare (a short authentication string after Vaudenay).
//!
//! The digits authenticate only together with a commitment made before either side saw the other's random value
//! ([`commit`](crate::commit)); without it, whoever sits in between can search for keys that collide.

use std::fmt;

use subtle::ConstantTimeEq;

/// Six decimal digits, shown to a person.
#[derive(Clone, Copy)]
pub struct Sas(u32);

impl Sas {
    /// Returns the digits of a transcript's hash: its first 8 bytes as a big-endian number, modulo 10^6 (LNK-6). The
    /// bias is below 2^-44.
    #[must_use]
    pub fn from_transcript(transcript: &[u8; 32]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = *transcript;
        Self((u64::from_be_bytes([a, b, c, d, e, f, g, h]) % 1_000_000) as u32)
    }

    /// Compares in constant time with what a person typed (LNK-7). Spaces and hyphens are ignored; anything else but
    /// six digits is different.
    #[must_use]
    pub fn matches(&self, typed: &str) -> bool {
        let digits: Vec<u8> = typed.bytes().filter(|c| !matches!(c, b' ' | b'-')).collect();
        self.to_string().as_bytes().ct_eq(&digits).into()
    }
}

impl fmt::Display for Sas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

/// The digits are a secret between two screens until the approval ends.
impl fmt::Debug for Sas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sas(6 digits)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_keep_their_leading_zeros() {
        let sas = Sas(42);
        assert_eq!(sas.to_string(), "000042");
        assert!(sas.matches("000042") && sas.matches("000 042") && sas.matches("000-042"));
        assert!(!sas.matches("42") && !sas.matches("000043") && !sas.matches(""));
        assert_eq!(format!("{sas:?}"), "Sas(6 digits)");
    }

    /// LNK-6: the number is read big-endian from the first 8 bytes.
    #[test]
    fn the_transcript_decides_the_digits() {
        let mut transcript = [0; 32];
        transcript[..8].copy_from_slice(&9_000_123_456u64.to_be_bytes());
        transcript[8..].fill(0xff);
        assert_eq!(Sas::from_transcript(&transcript).to_string(), "123456");
        transcript[7] ^= 1;
        assert!(!Sas::from_transcript(&transcript).matches("123456"));
    }
}
