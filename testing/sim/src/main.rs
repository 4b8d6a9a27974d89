//! `halcyon-sim`: plays worlds, and says what it saw.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to its terminal")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use halcyon_sim::ledger::Totals;
use halcyon_sim::{Options, Report, keys, run, time};

/// Plays whole worlds of server and clients, one a seed.
#[derive(Parser)]
struct Arguments {
    /// How many worlds.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The first seed; each further world has the next.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many worlds are played at the same time, each on one thread of its own.
    #[arg(long)]
    jobs: Option<u64>,
    /// Print the play of every world.
    #[arg(long)]
    play: bool,
    /// Nothing breaks by itself.
    #[arg(long)]
    kind: bool,
    /// People are away for weeks in every world, not only in some.
    #[arg(long)]
    weeks: bool,
    /// Sessions are lost, disks go back, and the server drops what it accepted in every world, not only in those with an even seed.
    #[arg(long)]
    repairs: bool,
    /// None of that in any world.
    #[arg(long, conflicts_with = "repairs")]
    no_repairs: bool,
    /// People react to messages, edit them and take them back, too.
    #[arg(long)]
    acts: bool,
    /// Make so many keys for the pool instead, and print them.
    #[arg(long, hide = true)]
    make_keys: Option<usize>,
}

/// What all worlds came to. Shows them in the order of their seeds, whichever ends first.
struct Sum {
    totals: Totals,
    lasted: Duration,
    bad: Vec<u64>,
    next: u64,
    /// Worlds that ended before one with a smaller seed.
    early: BTreeMap<u64, Report>,
    is_shown: bool,
}

impl Sum {
    fn add(&mut self, report: Report) {
        self.early.insert(report.seed, report);
        while let Some(report) = self.early.remove(&self.next) {
            self.next += 1;
            self.show(&report);
        }
    }

    fn show(&mut self, report: &Report) {
        if self.is_shown || !report.violations.is_empty() {
            println!("--- seed {}", report.seed);
            report.log.iter().for_each(|line| println!("{line}"));
            println!("--- {}", hex::encode(report.hash()));
        }
        self.totals.add(&report.totals);
        self.lasted += report.lasted;
        if let Some(violation) = report.violations.first() {
            self.bad.push(report.seed);
            eprintln!("seed {}: {violation}", report.seed);
        }
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(count) = arguments.make_keys {
        print!("{}", keys::make_pool(count, &mut time::fork(0, "keys")));
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options {
        is_kind: arguments.kind,
        has_holiday: arguments.weeks,
        has_acts: arguments.acts,
        ..Options::default()
    };
    let began = Instant::now();
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let jobs = arguments.jobs.unwrap_or(cores).clamp(1, arguments.seeds.max(1));
    let sum = Mutex::new(Sum {
        totals: Totals::default(),
        lasted: Duration::ZERO,
        bad: Vec::new(),
        next: arguments.seed,
        early: BTreeMap::new(),
        is_shown: arguments.play,
    });
    let next = AtomicU64::new(arguments.seed);
    std::thread::scope(|scope| {
        let play = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= arguments.seed + arguments.seeds {
                    return anyhow::Ok(());
                }
                let has_repairs = arguments.repairs || seed.is_multiple_of(2) && !arguments.no_repairs;
                let report = run(seed, Options { has_repairs, ..options })?;
                sum.lock().unwrap_or_else(PoisonError::into_inner).add(report);
            }
        };
        let players: Vec<_> = (0..jobs).map(|_| scope.spawn(play)).collect();
        let played = players.into_iter().map(|player| player.join().map_err(|_| anyhow::anyhow!("a world panicked")));
        played.collect::<anyhow::Result<Vec<_>>>()?.into_iter().collect::<anyhow::Result<()>>()
    })?;
    let Sum { totals, lasted, bad, .. } = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    let took = began.elapsed();
    println!("seeds {}", arguments.seeds);
    println!("messages {}", totals.messages);
    println!("opened {}", totals.opened);
    println!("repaired {}", totals.repaired);
    println!("unreadable {}", totals.unreadable);
    println!("gaps_open {}", totals.gaps_open);
    println!("unopened_for_a_while {}", totals.unopened);
    println!("damages {}", totals.damages);
    println!("dropped {}", totals.dropped);
    println!("given_up {}", totals.given_up);
    println!("expired {}", totals.expired);
    println!("holidays {}", totals.holidays);
    println!("disk_faults {}", totals.disk_faults);
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
