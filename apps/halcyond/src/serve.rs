//! `halcyond serve`: from configuration to a running server, and from a signal to its end.
//!
//! Owns the process's signals and its time to end. Does not know what is drained: `RunningServer::shutdown` does.
//!
//! - Ends within [`DRAIN_MAX`] of SIGTERM or SIGINT, whatever a connection does (COU-56). A second signal ends at once.

use std::time::Duration;

use halcyon_server_net::open_files;
use halcyon_server_net::serve as server;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{self, Said};
use crate::failure::Failure;
use crate::notify::{self, Progress};
use crate::{log, settings};

/// COU-56 gives 10 seconds to the whole end of the process. The server cuts off what is left after 9; this is for the case that
/// even that hangs, and leaves half a second for the runtime below.
const DRAIN_MAX: Duration = Duration::from_millis(9_400);
/// What blocking tasks get once everything else has ended.
const RUNTIME_END_MAX: Duration = Duration::from_millis(500);

/// Runs the server until it is asked to end.
///
/// # Errors
/// [`Failure`], with the exit code that belongs to it.
pub(crate) fn serve(said: &Said) -> Result<(), Failure> {
    let config = config::read(said).map_err(Failure::Configuration)?;
    let settings = settings::settings(&config).map_err(Failure::Configuration)?;
    log::start(&config);
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    open_files::raise();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::Machine)?;
    let ended = runtime.block_on(run(settings));
    runtime.shutdown_timeout(RUNTIME_END_MAX);
    ended
}

async fn run(settings: halcyon_server_net::settings::Settings) -> Result<(), Failure> {
    // Before the server, so that a signal during the start is not lost.
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Machine)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Machine)?;

    let running = server::start(settings).await.map_err(Failure::Start)?;
    // Which version runs where, for whoever upgrades many.
    metrics::gauge!("halcyon_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    let addresses = running.addresses();
    tracing::info!(
        courier = %addresses.courier,
        https = %addresses.https,
        private = addresses.private.map(|address| address.to_string()),
        "listening"
    );
    notify::tell(Progress::Ready);

    let name = either(&mut terminate, &mut interrupt).await;
    tracing::info!(signal = name, "ending: no new connections, answering what is stored");
    notify::tell(Progress::Stopping);
    tokio::select! {
        ended = tokio::time::timeout(DRAIN_MAX, running.shutdown()) => match ended {
            Ok(()) => tracing::info!("ended"),
            Err(_) => return Err(Failure::Stuck),
        },
        name = either(&mut terminate, &mut interrupt) => tracing::warn!(signal = name, "ending at once"),
    }
    Ok(())
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
