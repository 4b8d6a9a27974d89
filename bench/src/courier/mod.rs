//! The courier under load, and what the machine could do at best.
//!
//! Owns the order of one run: idle devices, bare echo, courier, bare commit, all against the same server process, so that
//! what the machine does at the time cancels out.

pub(crate) mod clients;
pub(crate) mod commit;
mod course;
pub(crate) mod load;
pub(crate) mod open;
pub(crate) mod people;
pub(crate) mod process;
mod report;
pub(crate) mod server;

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use process::ServerProcess;
use report::Report;

/// What to measure.
#[derive(Args, Clone)]
pub(crate) struct Arguments {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    /// How long the courier is under load. The echo and the commit take a third of it each.
    #[arg(long, default_value_t = 30)]
    pub(crate) seconds: u64,
    /// Devices that send.
    #[arg(long, default_value_t = 32)]
    pub(crate) senders: u32,
    /// Devices that receive.
    #[arg(long, default_value_t = 32)]
    pub(crate) receivers: u32,
    /// Devices that are connected and silent.
    #[arg(long, default_value_t = 5_000)]
    pub(crate) idle: u32,
    /// Sends that one sender has under way.
    #[arg(long, default_value_t = 8)]
    pub(crate) in_flight: usize,
    /// Bytes of one sealed payload.
    #[arg(long, default_value_t = 1_024)]
    pub(crate) payload: usize,
    /// Folder for the data folder, which is removed afterwards; on the disk that is to be measured.
    #[arg(long)]
    pub(crate) folder: Option<std::path::PathBuf>,
}

pub(crate) use course::Measured;

impl Arguments {
    /// A load of 32 senders with 8 sends under way each, and 32 receivers.
    pub(crate) fn of(payload: usize) -> Self {
        Self { json: false, seconds: 0, senders: 32, receivers: 32, idle: 0, in_flight: 8, payload, folder: None }
    }

    /// Devices that the server has to know.
    pub(crate) fn people(&self) -> u32 {
        self.idle + self.senders + self.receivers
    }
}

/// Runs the bench and prints what came out.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    process::check_open_files(
        u64::from(arguments.idle) + u64::from(arguments.senders) + u64::from(arguments.receivers),
    )?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(measure(arguments))?;
    report.print(arguments.json)
}

async fn measure(arguments: &Arguments) -> Result<Report> {
    let folder = match &arguments.folder {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    };
    let folder = folder.context("no folder for the server's data")?;
    let mut server = ServerProcess::start(folder.path(), arguments.people(), arguments.payload).await?;
    let clients = clients::Clients::new(folder.path(), server.ports())?;
    let seconds = Duration::from_secs(arguments.seconds);

    let bytes_before = server.resident_bytes()?;
    let idle = load::connect_idle(&clients, arguments).await?;
    let bytes_per_idle_connection = match arguments.idle {
        0 => 0,
        count => server.settled_resident_bytes().await?.saturating_sub(bytes_before) / u64::from(count),
    };

    let echo = load::echo(&clients, arguments, seconds / 3).await?;
    let before = server.stats().await?;
    let courier = load::courier(&clients, arguments, seconds).await?;
    let stats = server.stats().await?.since(&before);
    drop(idle);
    server.stop().await?;

    let batch = stats.envelopes_per_commit();
    let commit_per_s = commit::measure(folder.path(), batch, arguments.payload, seconds / 3)?;
    Ok(Report::new(arguments, &courier, &echo, commit_per_s, &stats, bytes_per_idle_connection))
}
