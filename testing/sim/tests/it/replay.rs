//! The same seed is the same world.

use halcyon_sim::{Options, run};

/// What a failure prints can be played again: to the last line, in this process and after other worlds.
#[test]
fn a_seed_is_a_world() {
    for seed in [3, 5, 1001] {
        let first = run(seed, Options::default()).unwrap();
        let again = run(seed, Options::default()).unwrap();
        let differs = first.log.iter().zip(&again.log).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(first.hash(), again.hash(), "seed {seed}");
        assert_eq!(first.totals, again.totals, "seed {seed}");
    }
}

#[test]
fn another_seed_is_another_world() {
    let (one, other) = (run(3, Options::default()).unwrap(), run(4, Options::default()).unwrap());
    assert_ne!(one.hash(), other.hash());
}

/// Something happens in them: people write, devices open, parties die.
#[test]
fn worlds_are_not_empty() {
    let mut totals = halcyon_sim::ledger::Totals::default();
    for seed in 1..=6 {
        let report = run(seed, Options::default()).unwrap();
        assert_eq!(report.violations, Vec::<String>::new(), "seed {seed}");
        totals.add(&report.totals);
    }
    assert!(totals.messages > 50 && totals.opened > 100 && totals.crashes > 5 && totals.faults > 5, "{totals:?}");
}
