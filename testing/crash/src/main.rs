//! `halcyon-crash`: what `cargo xtask crash` runs.
//!
//! Exit codes: 0 nothing was lost, 1 something was, 2 the proof could not be carried out.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line program talks to its terminal")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use halcyon_crash::bad_disk::{self, Expiry, Syncs};
use halcyon_crash::client_kills;
use halcyon_crash::kills::{self, POINTS};
use halcyon_failpoint::Point;

/// Kills servers and clients, cuts power, fills disks, and counts what was lost.
#[derive(Parser)]
struct Arguments {
    /// The program on trial, built with its feature `failpoints`.
    #[arg(long)]
    halcyond: PathBuf,
    /// Kill the server so many times.
    #[arg(long, value_name = "N")]
    kills: Option<usize>,
    /// Kill clients so many times.
    #[arg(long, value_name = "N", requires = "person")]
    client_kills: Option<usize>,
    /// The program `halcyon-crash-person`, built with the feature `failpoints`.
    #[arg(long)]
    person: Option<PathBuf>,
    /// Cut the power so many times, on a disk that forgets what was not synced.
    #[arg(long, value_name = "N")]
    lost_syncs: Option<usize>,
    /// Fail a sync, once.
    #[arg(long)]
    eio: bool,
    /// Fill the disk, and make room again.
    #[arg(long)]
    full_disk: bool,
    /// Kill it at this point only, and at random moments.
    #[arg(long, value_name = "NAME")]
    at: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::from(2);
        }
    };
    let panics = halcyon_crash::count_panics();
    let outcome = runtime.block_on(run(arguments));
    let panics = panics.load(std::sync::atomic::Ordering::Relaxed);
    if panics > 0 {
        println!("panics {panics}");
    }
    match outcome {
        Ok(true) if panics > 0 => ExitCode::FAILURE,
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let Arguments { halcyond, kills, client_kills, person, lost_syncs, eio, full_disk, at } = arguments;
    let mut clean = true;
    if let Some(kills) = kills {
        let points: Vec<Point> =
            POINTS.iter().copied().filter(|point| at.as_ref().is_none_or(|name| name == point.name())).collect();
        anyhow::ensure!(!points.is_empty(), "there is no such point");
        let stage = Stage::new()?;
        let report = kills::run(&halcyond, stage.path(), kills, &points).await?;
        println!("{report}");
        clean &= stage.ends(report.is_clean());
    }
    if let (Some(kills), Some(person)) = (client_kills, &person) {
        let stage = Stage::new()?;
        let report = client_kills::run(&halcyond, person, stage.path(), kills, client_kills::POINTS).await?;
        println!("clients: {report}");
        clean &= stage.ends(report.is_clean());
    }
    if let Some(cuts) = lost_syncs {
        let stage = Stage::new()?;
        let campaign = bad_disk::lost_syncs(&halcyond, stage.path(), cuts, Syncs::Honest).await?;
        println!("power cuts: {campaign}");
        clean &= stage.ends(campaign.is_clean());
    }
    if eio {
        let stage = Stage::new()?;
        let report = bad_disk::failed_sync(&halcyond, stage.path()).await?;
        println!("failed sync: {report}");
        clean &= stage.ends(report.is_clean());
        let stage = Stage::new()?;
        let report = bad_disk::failed_directory_sync(&halcyond, stage.path()).await?;
        println!("failed sync of the directory: {report}");
        clean &= stage.ends(report.is_clean());
    }
    if full_disk {
        let stage = Stage::new()?;
        let report = bad_disk::full_disk(&halcyond, stage.path(), Expiry::Often).await?;
        println!("full disk: {report}");
        clean &= stage.ends(report.is_clean());
    }
    Ok(clean)
}

/// The folder of one story. What a story found can only be understood from the stores that it left, so they are kept.
struct Stage(tempfile::TempDir);

impl Stage {
    fn new() -> anyhow::Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn ends(self, clean: bool) -> bool {
        if !clean {
            println!("kept {}", self.0.keep().display());
        }
        clean
    }
}
