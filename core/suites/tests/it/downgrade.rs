//! A directory that offers less than it did: every pair of what a device was seen to speak and what it is said to speak now.

use halcyon_suites::{ChoiceError, Suite, choice};
use halcyon_types::SuiteId;

use crate::people::{Device, NOW};

/// The three that are known, and one from the future.
const NUMBERS: [u32; 4] = [1, 2, 3, 9];

/// Every set of suites that an entry may name.
fn sets() -> Vec<Vec<SuiteId>> {
    let of = |bits: usize| NUMBERS.into_iter().enumerate().filter(move |(at, _)| bits >> at & 1 == 1);
    (0..16).map(|bits| of(bits).map(|(_, number)| SuiteId::from_u32(number)).collect()).collect()
}

/// SUI-1: strength, by number.
fn strongest(set: &[SuiteId]) -> Option<u32> {
    set.iter().map(|id| id.as_u32()).filter(|number| *number <= 3).max()
}

/// SUI-2 to SUI-4: over all pairs of (seen, offered) and everything that we may speak: what is weaker than was seen is refused and
/// both are named, whichever suite would be used; else the strongest common one is taken, or none.
#[test]
fn every_pair_of_seen_and_offered() {
    let mut refused = 0;
    for seen in sets() {
        for offered in sets() {
            for own in sets() {
                let own: Vec<Suite> = own.iter().filter_map(|id| Suite::try_from(*id).ok()).collect();
                let remembered = choice::strongest_offered(&seen);
                let chosen = choice::choose(&own, &offered, remembered).map(|chosen| chosen.suite().id().as_u32());
                let common = own.iter().map(|suite| suite.id()).filter(|id| offered.contains(id)).collect::<Vec<_>>();
                let what = format!("seen {seen:?}, offered {offered:?}, own {own:?}");
                match (strongest(&seen), strongest(&offered)) {
                    (Some(before), Some(now)) if now < before => {
                        refused += 1;
                        let named = ChoiceError::Downgrade { seen: suite(before), offered: suite(now) };
                        assert_eq!(chosen, Err(named), "{what}");
                        for forced in &own {
                            let forced = choice::dangerous_force(*forced, &own, &offered, remembered);
                            assert_eq!(forced.unwrap_err(), named, "SUI-6: {what}");
                        }
                    }
                    _ => assert_eq!(chosen, strongest(&common).ok_or(ChoiceError::NoneInCommon), "{what}"),
                }
            }
        }
    }
    // Sets whose strongest known suite is 1, 2, 3: 2, 4 and 8 of the 16.
    assert_eq!(refused, 16 * (4 * 2 + 8 * (2 + 4)));
}

fn suite(number: u32) -> Suite {
    Suite::try_from(SuiteId::from_u32(number)).unwrap()
}

/// SUI-3, SUI-4: what a person reads.
#[test]
fn a_refusal_says_what_happened() {
    let says = |seen, offered: &[SuiteId]| choice::choose(&Suite::SPOKEN, offered, seen).unwrap_err().to_string();
    insta::assert_snapshot!(
        says(Some(Suite::Pq3), &[SuiteId::PAIR_EC, SuiteId::PAIR]),
        @"the device spoke pq3 before and is now said to speak pair-ec at best; refusing the weaker one"
    );
    insta::assert_snapshot!(
        says(Some(Suite::Pq3), &[SuiteId::PAIR]),
        @"the device spoke pq3 before and is now said to speak pair at best; refusing the weaker one"
    );
    insta::assert_snapshot!(
        says(Some(Suite::PairEc), &[SuiteId::PAIR]),
        @"the device spoke pair-ec before and is now said to speak pair at best; refusing the weaker one"
    );
    insta::assert_snapshot!(says(None, &[]), @"no suite in common with the device");
    insta::assert_snapshot!(
        choice::dangerous_force(Suite::Pair, &Suite::SPOKEN, &[SuiteId::PQ3], None).unwrap_err().to_string(),
        @"pair is not spoken by both devices"
    );
}

/// SUI-8: a device that speaks `pq3` and whose bundle the directory keeps back, or bends, is not written to with anything weaker,
/// though its prekey for `pair-ec` is there.
#[test]
fn a_withheld_bundle_is_no_way_down() {
    let (mut alice, bob) = (Device::new(1), Device::new(2));
    let offered: Vec<SuiteId> = bob.keys.suites().iter().map(|suite| suite.id()).collect();
    let chosen = choice::choose(&alice.keys.suites(), &offered, None).unwrap();
    let mut bent = bob.keys.pq3.as_ref().unwrap().record().to_vec();
    bent[700] ^= 1;
    for bundle in [None, Some(&bent[..])] {
        let bob = bob.public().with_pq3(bob.account, bundle);
        let session = halcyon_suites::Session::default();
        assert!(alice.seal_at(session, chosen.suite(), &bob, NOW, b"x").is_err());
    }
    let session = halcyon_suites::Session::default();
    assert!(alice.seal_at(session, chosen.suite(), &bob.public(), NOW, b"x").is_ok(), "control");
}
