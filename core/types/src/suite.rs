//! The number of a suite, as it stands in device lists and envelopes. Spec: 42-padding-and-suites.md.
//!
//! Owns the numbers. Does not know what a suite does: a device may speak one that this version has never heard of, and
//! its number is kept all the same (DIR-1).

use std::fmt;

/// Number of a suite. A higher number is a stronger suite.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SuiteId(u32);

impl SuiteId {
    /// The legacy suite, `pair`.
    pub const PAIR: Self = Self(1);
    /// `pair-ec`: elliptic curves with a signed, rolling prekey.
    pub const PAIR_EC: Self = Self(2);
    /// `pq3`: the post-quantum ratchet.
    pub const PQ3: Self = Self(3);

    /// Wraps a number, known or not.
    #[must_use]
    pub const fn from_u32(number: u32) -> Self {
        Self(number)
    }

    /// Returns the number.
    #[must_use]
    pub const fn as_u32(self) -> u32 {
        self.0
    }

    /// Returns the suite's name, or nothing for one that this version does not know.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::PAIR => Some("pair"),
            Self::PAIR_EC => Some("pair-ec"),
            Self::PQ3 => Some("pq3"),
            _ => None,
        }
    }
}

impl fmt::Display for SuiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "suite {}", self.0),
        }
    }
}

impl fmt::Debug for SuiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SuiteId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DIR-1: a suite from the future has a number and an order, though no name.
    #[test]
    fn numbers_order_suites() {
        assert!(SuiteId::PAIR < SuiteId::PAIR_EC && SuiteId::PAIR_EC < SuiteId::from_u32(9));
        assert_eq!(SuiteId::PAIR_EC.to_string(), "pair-ec");
        assert_eq!(SuiteId::from_u32(9).to_string(), "suite 9");
    }
}
