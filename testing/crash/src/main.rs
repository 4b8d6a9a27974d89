//! `halcyon-crash`: what `cargo xtask crash` runs.
//!
//! Exit codes: 0 nothing was lost, 1 something was, 2 the proof could not be carried out.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line program talks to its terminal")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use halcyon_crash::bad_disk::{self, Syncs};
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
    let mut clean = true;
    if let Some(kills) = arguments.kills {
        let folder = tempfile::tempdir()?;
        let points: Vec<Point> = POINTS
            .iter()
            .copied()
            .filter(|point| arguments.at.as_ref().is_none_or(|name| name == point.name()))
            .collect();
        anyhow::ensure!(!points.is_empty(), "there is no such point");
        let report = kills::run(&arguments.halcyond, folder.path(), kills, &points).await?;
        println!("{report}");
        clean &= report.is_clean();
    }
    if let (Some(kills), Some(person)) = (arguments.client_kills, &arguments.person) {
        let folder = tempfile::tempdir()?;
        let report = client_kills::run(&arguments.halcyond, person, folder.path(), kills, client_kills::POINTS).await?;
        println!("clients: {report}");
        clean &= report.is_clean();
    }
    if let Some(cuts) = arguments.lost_syncs {
        let folder = tempfile::tempdir()?;
        let campaign = bad_disk::lost_syncs(&arguments.halcyond, folder.path(), cuts, Syncs::Honest).await?;
        println!("power cuts: {campaign}");
        clean &= campaign.is_clean();
    }
    if arguments.eio {
        let folder = tempfile::tempdir()?;
        let report = bad_disk::failed_sync(&arguments.halcyond, folder.path()).await?;
        println!("failed sync: {report}");
        clean &= report.is_clean();
        let folder = tempfile::tempdir()?;
        let report = bad_disk::failed_directory_sync(&arguments.halcyond, folder.path()).await?;
        println!("failed sync of the directory: {report}");
        clean &= report.is_clean();
    }
    if arguments.full_disk {
        let folder = tempfile::tempdir()?;
        let report = bad_disk::full_disk(&arguments.halcyond, folder.path()).await?;
        println!("full disk: {report}");
        clean &= report.is_clean();
    }
    Ok(clean)
}
