//! `halcyon-sim`: plays worlds, and says what it saw.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to its terminal")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use halcyon_sim::ledger::Totals;
use halcyon_sim::{Options, keys, run, time};

/// Plays whole worlds of server and clients, one a seed.
#[derive(Parser)]
struct Arguments {
    /// How many worlds.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The first seed; each further world has the next.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the play of every world.
    #[arg(long)]
    play: bool,
    /// Nothing breaks by itself.
    #[arg(long)]
    kind: bool,
    /// Make so many keys for the pool instead, and print them.
    #[arg(long, hide = true)]
    make_keys: Option<usize>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(count) = arguments.make_keys {
        print!("{}", keys::make_pool(count, &mut time::fork(0, "keys")));
        return Ok(ExitCode::SUCCESS);
    }
    let began = Instant::now();
    let (mut totals, mut lasted, mut bad) = (Totals::default(), Duration::ZERO, Vec::new());
    for seed in arguments.seed..arguments.seed + arguments.seeds {
        let report = run(seed, Options { is_kind: arguments.kind, ..Options::default() })?;
        if arguments.play || !report.violations.is_empty() {
            println!("--- seed {seed}");
            report.log.iter().for_each(|line| println!("{line}"));
            println!("--- {}", hex::encode(report.hash()));
        }
        totals.add(&report.totals);
        lasted += report.lasted;
        if !report.violations.is_empty() {
            bad.push(seed);
            eprintln!("seed {seed}: {}", report.violations[0]);
        }
    }
    let took = began.elapsed();
    println!("seeds {}", arguments.seeds);
    println!("messages {}", totals.messages);
    println!("opened {}", totals.opened);
    println!("unreadable {}", totals.unreadable);
    println!("given_up {}", totals.given_up);
    println!("crashes {}", totals.crashes);
    println!("faults {}", totals.faults);
    for (suite, count) in &totals.by_suite {
        println!("sent_in_suite_{suite} {count}");
    }
    println!("virtual_s {}", lasted.as_secs());
    println!("real_s {:.1}", took.as_secs_f64());
    println!("virtual_to_real {:.0}", lasted.as_secs_f64() / took.as_secs_f64());
    println!("violated {}", bad.len());
    if bad.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("seeds with violations: {bad:?}");
    Ok(ExitCode::FAILURE)
}
