//! Hot functions, to be counted instruction by instruction: `cargo xtask instructions` runs each under callgrind.
//!
//! Owns what is counted. Does not count: only what runs inside of [`measured`] is collected, by its name.

use std::hint::black_box;

use halcyon_courier::Envelope;
use halcyon_crypto::SigningKey;
use halcyon_suites::pair_ec::{PrekeyRing, ReceiveState, SendState, SignedPrekey, open, seal};
use halcyon_suites::pq3::Sessions;
use rand::{SeedableRng, rngs::StdRng};

use crate::suites::device::{Device, NOW, acquainted};

/// Calls that are counted together: enough for a rare branch to weigh what it weighs.
const ROUNDS: u32 = 20;
const TEXT_BYTES: usize = 256;

/// Options of `instructions`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What to run; without it, the names are printed, and how many calls are made of each.
    name: Option<String>,
}

type Prepare = fn(&mut StdRng) -> anyhow::Result<Box<dyn FnMut() -> anyhow::Result<()>>>;

/// A name and how its operation is prepared.
const OPERATIONS: &[(&str, Prepare)] = &[
    ("pair-ec-seal", pair_ec_seal),
    ("pair-ec-open", pair_ec_open),
    ("pq3-seal", pq3_seal),
    ("pq3-open", pq3_open),
    ("pq3-start-seal", pq3_start_seal),
    ("pq3-start-open", pq3_start_open),
    ("pq3-ratchet-seal", pq3_ratchet_seal),
    ("pq3-ratchet-open", pq3_ratchet_open),
];

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    use std::io::Write as _;
    let Some(name) = &arguments.name else {
        for (name, _) in OPERATIONS {
            writeln!(std::io::stdout(), "{name} {ROUNDS}")?;
        }
        return Ok(());
    };
    let known = OPERATIONS.iter().find(|(known, _)| known == name);
    let (_, prepare) = known.ok_or_else(|| anyhow::anyhow!("there is no operation {name}"))?;
    let mut operation = prepare(&mut StdRng::seed_from_u64(1))?;
    // What is set up at the first call (dispatch by processor, tables) is not counted.
    operation()?;
    measured(&mut *operation)
}

/// The frame that callgrind collects in.
#[inline(never)]
fn measured(operation: &mut dyn FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
    for _ in 0..ROUNDS {
        operation()?;
    }
    Ok(())
}
