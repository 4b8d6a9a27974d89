//! Loads the servers that people run today as `halcyon-bench courier` loads Halcyon, for `halcyon-bench all --peers`.
//!
//! `cargo run --manifest-path bench/peers/Cargo.toml --release -- mosquitto` prints one JSON object a peer.
//!
//! Owns the order and what is printed. The clients are ours, and as thin as Halcyon's: server and clients share a machine, so
//! what a client library does beside the protocol would be counted against the peer.

mod amqp;
#[path = "../../src/courier/course.rs"]
mod course;
mod ejabberd;
mod http;
mod load;
mod mosquitto;
mod nats;
mod prosody;
mod rabbitmq;
mod server;
mod stanza;
mod synapse;
mod text;
mod wire;
mod xmpp;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use serde::Serialize;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

use course::Measured;
use load::{Load, Peer};

/// Measures other servers under the load that Halcyon is measured under.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The servers, one after the other.
    #[arg(value_enum, required = true)]
    peers: Vec<Which>,
    /// How long each load is.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Clients that send.
    #[arg(long, default_value_t = 32)]
    senders: u32,
    /// Clients that receive.
    #[arg(long, default_value_t = 32)]
    receivers: u32,
    /// Messages that one sender has under way.
    #[arg(long, default_value_t = 8)]
    in_flight: usize,
    /// Bytes of one message; several make several loads.
    #[arg(long, default_values_t = [1_024])]
    payload: Vec<usize>,
    /// Folder for data folders, which are removed afterwards; on the disk that is to be measured.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// End when the standard input does: for a program that starts this one and may die.
    #[arg(long)]
    while_input: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    Ejabberd,
    Prosody,
    Mosquitto,
    NatsSync,
    Nats,
    Rabbitmq,
    Synapse,
}

/// A peer that runs, and what it is.
struct Running<P> {
    about: About,
    peer: P,
}

/// What was measured, said in a line.
#[derive(Serialize)]
struct About {
    version: String,
    configuration: &'static str,
    /// The version of TLS of the connections.
    tls: String,
}

/// One peer's line of the output.
#[derive(Serialize)]
struct Line {
    peer: String,
    #[serde(flatten)]
    about: Option<About>,
    loads: Vec<Figures>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What one load came to.
#[derive(Serialize)]
struct Figures {
    payload_bytes: usize,
    accepted_per_s: f64,
    delivered_per_s: f64,
    accepted_p50_ms: f64,
    accepted_p99_ms: f64,
    delivered_p50_ms: f64,
    delivered_p99_ms: f64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Into::into).and_then(|runtime| {
            let done = runtime.block_on(until_told(&arguments));
            // Whoever waits for the standard input waits forever.
            runtime.shutdown_background();
            done
        });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing better is left to do if this fails, too.
            let _ = writeln!(std::io::stderr(), "halcyon-peers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs until it is done or told to stop; either way the servers are gone then, as all that owns them is dropped.
async fn until_told(arguments: &Arguments) -> Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let input_ends = async {
        if arguments.while_input {
            // An error is an end, too.
            let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        done = run(arguments) => done,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("told to end"),
        () = input_ends => bail!("nobody listens any more"),
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    let home = arguments.folder.clone().unwrap_or_else(std::env::temp_dir);
    for which in &arguments.peers {
        let name = which.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned());
        let line = match which.measure(arguments, &home).await {
            Ok((about, loads)) => Line { peer: name, about: Some(about), loads, error: None },
            Err(error) => Line { peer: name, about: None, loads: Vec::new(), error: Some(format!("{error:#}")) },
        };
        writeln!(std::io::stdout(), "{}", serde_json::to_string(&line)?).context("standard output is closed")?;
    }
    Ok(())
}

impl Which {
    async fn measure(self, arguments: &Arguments, home: &Path) -> Result<(About, Vec<Figures>)> {
        match self {
            Self::Ejabberd => loads(ejabberd::start(home).await?, arguments).await,
            Self::Prosody => loads(prosody::start(home).await?, arguments).await,
            Self::Mosquitto => loads(mosquitto::start(home).await?, arguments).await,
            Self::NatsSync => loads(nats::start(home, nats::Sync::Always).await?, arguments).await,
            Self::Nats => loads(nats::start(home, nats::Sync::Default).await?, arguments).await,
            Self::Rabbitmq => loads(rabbitmq::start(home).await?, arguments).await,
            Self::Synapse => loads(synapse::start(home).await?, arguments).await,
        }
    }
}

/// Loads a peer with one size after the other, then ends it.
async fn loads<P: Peer>(running: Running<P>, arguments: &Arguments) -> Result<(About, Vec<Figures>)> {
    let mut figures = Vec::new();
    for payload in arguments.payload.iter().copied() {
        let load = Load {
            senders: arguments.senders,
            receivers: arguments.receivers,
            in_flight: arguments.in_flight,
            payload,
            length: Duration::from_secs(arguments.seconds),
        };
        figures.push(Figures::new(payload, &load.run(&running.peer).await?));
    }
    Ok((running.about, figures))
}

impl Figures {
    fn new(payload_bytes: usize, measured: &Measured) -> Self {
        let ms =
            |histogram: &hdrhistogram::Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
        Self {
            payload_bytes,
            accepted_per_s: measured.accepted_per_s,
            delivered_per_s: measured.delivered_per_s,
            accepted_p50_ms: ms(&measured.latency, 0.5),
            accepted_p99_ms: ms(&measured.latency, 0.99),
            delivered_p50_ms: ms(&measured.delivery, 0.5),
            delivered_p99_ms: ms(&measured.delivery, 0.99),
        }
    }
}
