//! The suites that this version knows, in the order of their strength (SUI-1).

use std::fmt;

use halcyon_types::SuiteId;

/// A suite that this version knows. The order is that of strength.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suite {
    /// RSA-1280, the legacy suite.
    Pair,
    /// Elliptic curves with a weekly prekey.
    PairEc,
    /// The post-quantum ratchet.
    Pq3,
}

const SPOKEN_COUNT: usize = 1 + cfg!(feature = "pair") as usize + cfg!(feature = "pair-ec") as usize;

/// SUI-9: what is compiled in.
const fn spoken() -> [Suite; SPOKEN_COUNT] {
    let mut suites = [Suite::Pq3; SPOKEN_COUNT];
    let mut at = 0;
    if cfg!(feature = "pair") {
        suites[at] = Suite::Pair;
        at += 1;
    }
    if cfg!(feature = "pair-ec") {
        suites[at] = Suite::PairEc;
    }
    suites
}

impl Suite {
    /// The suites that this build can seal and open with, weakest first (SUI-9).
    pub const SPOKEN: [Suite; SPOKEN_COUNT] = spoken();

    /// Returns the number that stands in device lists and envelopes (SUI-1).
    #[must_use]
    pub const fn id(self) -> SuiteId {
        match self {
            Suite::Pair => SuiteId::PAIR,
            Suite::PairEc => SuiteId::PAIR_EC,
            Suite::Pq3 => SuiteId::PQ3,
        }
    }

    /// Says whether a conversation that uses this suite is to be marked as legacy wherever its security is shown: every suite
    /// but the default, which heals and withstands a quantum computer (SUI-9).
    #[must_use]
    pub const fn is_legacy(self) -> bool {
        !matches!(self, Suite::Pq3)
    }
}

impl TryFrom<SuiteId> for Suite {
    type Error = UnknownSuite;

    // SUI-7: a number that we do not know is an error, never a guess.
    fn try_from(id: SuiteId) -> Result<Self, UnknownSuite> {
        match id {
            SuiteId::PAIR => Ok(Suite::Pair),
            SuiteId::PAIR_EC => Ok(Suite::PairEc),
            SuiteId::PQ3 => Ok(Suite::Pq3),
            _ => Err(UnknownSuite(id)),
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id().fmt(f)
    }
}

/// A suite's number that this version does not know: the peer is newer, or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not known to this version")]
pub struct UnknownSuite(pub SuiteId);

#[cfg(test)]
mod tests {
    use super::*;

    /// SUI-1: the numbers, and strength rising with them.
    #[test]
    fn a_higher_number_is_stronger() {
        let by_number: Vec<Suite> = (1..=3).map(|n| Suite::try_from(SuiteId::from_u32(n)).unwrap()).collect();
        assert_eq!(by_number, [Suite::Pair, Suite::PairEc, Suite::Pq3]);
        assert!(by_number.is_sorted());
        assert!(by_number.iter().all(|suite| Suite::try_from(suite.id()) == Ok(*suite)));
    }

    /// SUI-9
    #[test]
    fn all_but_the_default_are_legacy() {
        assert_eq!([Suite::Pair, Suite::PairEc, Suite::Pq3].map(Suite::is_legacy), [true, true, false]);
    }

    /// SUI-7: an unknown number is an error.
    #[test]
    fn an_unknown_number_is_an_error() {
        for number in [0, 4, 255, u32::MAX] {
            let id = SuiteId::from_u32(number);
            assert_eq!(Suite::try_from(id), Err(UnknownSuite(id)));
        }
    }
}
