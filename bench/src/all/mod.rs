//! Everything in one run, so that what the machine does at the time is the same for all of it, and one table of it.
//!
//! Owns the order of the parts and what becomes of one that cannot run: it says why, and the others go on.

mod courier;
mod directory;
mod idle;
mod mailboxes;
mod peers;
mod suites;
mod table;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use table::{Machine, Part, Report};

/// What to measure.
#[derive(Args, Clone)]
pub(crate) struct Arguments {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Small numbers and short loads, under a minute: shows that it runs, not how fast.
    #[arg(long)]
    quick: bool,
    /// Measure the servers that people run today as well, after `bench/peers/install`.
    #[arg(long)]
    peers: bool,
    /// Only these parts.
    #[arg(long, value_enum)]
    only: Vec<Which>,
    /// Mailboxes of the part about many of them, with ten messages each; 1,000,000 unless `--quick`.
    #[arg(long)]
    mailboxes: Option<u32>,
    /// Folder for data folders, which are removed afterwards; on the disk that is to be measured.
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    Courier,
    Idle,
    Mailboxes,
    Directory,
    Suites,
    Peers,
}

/// How much of everything.
#[derive(Clone, Copy)]
struct Scale {
    /// Seconds of one load.
    seconds: u64,
    /// Pairs of connections that the courier is loaded with, one count after the other.
    pairs: &'static [u32],
    /// Idle devices, one count after the other.
    idle: &'static [u32],
    /// Mailboxes with ten messages each.
    mailboxes: u32,
    /// Mailboxes to compare that many with.
    few_mailboxes: u32,
    /// Messages in one mailbox that is drained.
    drained: u32,
    /// Accounts of the directory.
    accounts: u32,
    /// Rounds of each operation of the suites.
    rounds: u32,
}

const FULL: Scale = Scale {
    seconds: 10,
    pairs: &[1, 10, 100, 500],
    idle: &[5_000, 20_000],
    mailboxes: 1_000_000,
    few_mailboxes: 1_000,
    drained: 100_000,
    accounts: 20_000,
    rounds: 1_000,
};

const QUICK: Scale = Scale {
    seconds: 1,
    pairs: &[1, 100],
    idle: &[200, 500],
    mailboxes: 5_000,
    few_mailboxes: 1_000,
    drained: 5_000,
    accounts: 300,
    rounds: 60,
};

/// Runs the parts and prints what came out. A part that could not run makes it fail in the end.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut scale = if arguments.quick { QUICK } else { FULL };
    if let Some(mailboxes) = arguments.mailboxes {
        scale.mailboxes = mailboxes.max(1);
    }
    let home = arguments.folder.clone().unwrap_or_else(std::env::temp_dir);
    let mut report = Report::new(Machine::look(&home), arguments.quick);
    let wanted = |which: Which| match which {
        Which::Peers => arguments.peers || arguments.only.contains(&which),
        _ => arguments.only.is_empty() || arguments.only.contains(&which),
    };
    for which in Which::value_variants().iter().copied().filter(|which| wanted(*which)) {
        report.parts.extend(measure(which, &scale, &home)?);
    }
    let text = if arguments.json { serde_json::to_string(&report)? } else { report.table() };
    writeln!(std::io::stdout(), "{text}").context("standard output is closed")?;
    let failed: Vec<&str> = report.parts.iter().filter(|part| part.failed()).map(|part| part.name).collect();
    anyhow::ensure!(failed.is_empty(), "not measured, for the reasons above: {}", failed.join(", "));
    Ok(())
}

/// Measures a part, or several of a kind.
fn measure(which: Which, scale: &Scale, home: &Path) -> Result<Vec<Part>> {
    let begun = Instant::now();
    // A runtime for each part: what one leaves behind does not run beside the next.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = match which {
        Which::Courier => runtime.block_on(courier::measure(scale, home)),
        Which::Idle => runtime.block_on(idle::measure(scale, home)),
        Which::Mailboxes => runtime.block_on(mailboxes::measure(scale, home)),
        Which::Directory => runtime.block_on(directory::measure(scale, home)),
        Which::Suites => suites::measure(scale),
        Which::Peers => return Ok(peers::measure(scale, home)),
    };
    Ok(vec![Part::new(which.name(), begun.elapsed(), done)])
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Self::Courier => "courier",
            Self::Idle => "idle",
            Self::Mailboxes => "mailboxes",
            Self::Directory => "directory",
            Self::Suites => "suites",
            Self::Peers => "peers",
        }
    }
}

/// Makes a folder for data, removed when it is dropped.
fn scratch(home: &Path) -> Result<tempfile::TempDir> {
    tempfile::tempdir_in(home).context("no folder for the data")
}
