//! Seeds of worlds that once went wrong, with what was mended.

use halcyon_sim::{Options, run};

/// Seed, and what it found.
const SEEDS: &[(u64, &str)] = &[
    (1, "a client used a whole core while a connection was being made"),
    (8, "a client took refusals of what it had sealed before its lookup for a server that contradicts itself"),
];

#[test]
fn what_was_mended_stays_mended() {
    for (seed, found) in SEEDS {
        let report = run(*seed, Options::default()).unwrap();
        assert_eq!(report.violations, Vec::<String>::new(), "seed {seed}: {found}");
    }
}
