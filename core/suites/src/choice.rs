//! Which suite a message to a device uses: the strongest that both speak, and never less than was seen before.
//! Spec: 42-padding-and-suites.md §2.
//!
//! Owns the rule and nothing else: what a device offers comes from its verified list entry, what was seen from the
//! client's store. A [`ChosenSuite`] is the evidence that the rule was applied.

use halcyon_types::SuiteId;

use crate::suite::Suite;

/// A suite that may be used for a device. Only this module makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChosenSuite(Suite);

impl ChosenSuite {
    /// Returns the suite.
    #[must_use]
    pub fn suite(self) -> Suite {
        self.0
    }
}

/// Why nothing may be sealed for a device. Nothing was sent; the person should be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChoiceError {
    /// SUI-4: the directory offers less than it did. Whoever runs it, or the device's account, has to explain.
    #[error("the device spoke {seen} before and is now said to speak {offered} at best; refusing the weaker one")]
    Downgrade {
        /// Strongest suite that the device was seen to offer.
        seen: Suite,
        /// Strongest suite that it is said to offer now.
        offered: Suite,
    },
    /// SUI-3: one of the two devices has to be updated.
    #[error("no suite in common with the device")]
    NoneInCommon,
    /// SUI-6: the suite asked for is not spoken by both.
    #[error("{0} is not spoken by both devices")]
    NotCommon(Suite),
}

/// Returns the strongest suite that both devices speak (SUI-3).
///
/// `own` is what this device speaks, `offered` the peer's verified entry, `strongest_seen` the strongest suite that the
/// peer was ever seen to offer.
///
/// # Errors
/// [`ChoiceError::Downgrade`], [`ChoiceError::NoneInCommon`].
pub fn choose(own: &[Suite], offered: &[SuiteId], strongest_seen: Option<Suite>) -> Result<ChosenSuite, ChoiceError> {
    common(own, offered, strongest_seen)?
        .into_iter()
        .max() // SUI-5: `pair` is the weakest, so it wins only alone.
        .map(ChosenSuite)
        .ok_or(ChoiceError::NoneInCommon)
}

/// Returns `forced` in place of the strongest suite, if both devices speak it (SUI-6). For a person who wants to see a
/// weaker suite at work; never for a setting that is kept. A downgrade by the directory is refused all the same.
///
/// # Errors
/// [`ChoiceError::Downgrade`], [`ChoiceError::NotCommon`].
pub fn dangerous_force(
    forced: Suite,
    own: &[Suite],
    offered: &[SuiteId],
    strongest_seen: Option<Suite>,
) -> Result<ChosenSuite, ChoiceError> {
    let common = common(own, offered, strongest_seen)?;
    common.contains(&forced).then_some(ChosenSuite(forced)).ok_or(ChoiceError::NotCommon(forced))
}

/// Returns the strongest known suite of an entry, to be remembered as seen (SUI-2).
#[must_use]
pub fn strongest_offered(offered: &[SuiteId]) -> Option<Suite> {
    offered.iter().filter_map(|id| Suite::try_from(*id).ok()).max()
}

fn common(own: &[Suite], offered: &[SuiteId], strongest_seen: Option<Suite>) -> Result<Vec<Suite>, ChoiceError> {
    let strongest = strongest_offered(offered).ok_or(ChoiceError::NoneInCommon)?;
    // SUI-4: less than before is refused whatever we speak ourselves.
    if let Some(seen) = strongest_seen.filter(|seen| strongest < *seen) {
        return Err(ChoiceError::Downgrade { seen, offered: strongest });
    }
    Ok(own.iter().copied().filter(|suite| offered.contains(&suite.id())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Suite; 3] = [Suite::Pair, Suite::PairEc, Suite::Pq3];

    fn subsets() -> Vec<Vec<Suite>> {
        (0..8).map(|bits| ALL.into_iter().filter(|s| bits & (1 << *s as u32) != 0).collect()).collect()
    }

    fn ids(suites: &[Suite]) -> Vec<SuiteId> {
        suites.iter().map(|suite| suite.id()).collect()
    }

    /// SUI-3, SUI-4, SUI-5: over every (own, offered, seen), the strongest common suite or a refusal with its reason.
    #[test]
    fn every_combination_is_the_strongest_or_refused() {
        for own in subsets() {
            for offered in subsets() {
                for seen in [None, Some(Suite::Pair), Some(Suite::PairEc), Some(Suite::Pq3)] {
                    let chosen = choose(&own, &ids(&offered), seen).map(ChosenSuite::suite);
                    let best_common = own.iter().filter(|suite| offered.contains(suite)).max();
                    let expected = match (offered.iter().max(), seen, best_common) {
                        (Some(now), Some(seen), _) if *now < seen => {
                            Err(ChoiceError::Downgrade { seen, offered: *now })
                        }
                        (_, _, Some(best)) => Ok(*best),
                        (_, _, None) => Err(ChoiceError::NoneInCommon),
                    };
                    assert_eq!(chosen, expected, "own {own:?} offered {offered:?} seen {seen:?}");
                }
            }
        }
    }

    /// SUI-3: suites from the future are left out, and are no downgrade to what we know.
    #[test]
    fn unknown_suites_are_left_out() {
        let offered = [SuiteId::PAIR, SuiteId::PAIR_EC, SuiteId::from_u32(9)];
        let chosen = choose(&ALL, &offered, Some(Suite::PairEc));
        assert_eq!(chosen.map(ChosenSuite::suite), Ok(Suite::PairEc));
        assert_eq!(choose(&ALL, &[SuiteId::from_u32(9)], None), Err(ChoiceError::NoneInCommon));
    }

    /// SUI-6: a person may force what both speak, and cannot force a downgrade of the directory's.
    #[test]
    fn forcing_stays_within_what_both_speak() {
        let both = ids(&[Suite::Pair, Suite::PairEc]);
        let forced = dangerous_force(Suite::Pair, &ALL, &both, Some(Suite::PairEc));
        assert_eq!(forced.map(ChosenSuite::suite), Ok(Suite::Pair));
        let not_common = dangerous_force(Suite::Pair, &ALL, &ids(&[Suite::PairEc]), None);
        assert_eq!(not_common, Err(ChoiceError::NotCommon(Suite::Pair)));
        let only_pair = ids(&[Suite::Pair]);
        let downgraded = dangerous_force(Suite::Pair, &ALL, &only_pair, Some(Suite::PairEc));
        assert_eq!(downgraded, Err(ChoiceError::Downgrade { seen: Suite::PairEc, offered: Suite::Pair }));
    }

    /// SUI-2: what is remembered is the strongest that we know.
    #[test]
    fn the_strongest_known_suite_is_remembered() {
        assert_eq!(strongest_offered(&[SuiteId::PAIR, SuiteId::PAIR_EC, SuiteId::from_u32(9)]), Some(Suite::PairEc));
        assert_eq!(strongest_offered(&[]), None);
    }
}
