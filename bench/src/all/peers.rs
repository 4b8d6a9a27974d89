//! Servers that people run today, each under the load that Halcyon's courier is measured under, directly before and after it.
//!
//! Owns the order, the goals and the ratios. Does not know how a server is started or spoken to: that is the driver's in
//! `bench/peers`, which has a lock file of its own and is built here.
//!
//! - A ratio is to the mean of Halcyon's two neighbors in time, so that what the machine does meanwhile is on both sides.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::table::{Figure, Part};
use super::{Scale, scratch};
use crate::courier::clients::Clients;
use crate::courier::process::ServerProcess;
use crate::courier::{Arguments, Measured, load};

/// Measures all of them; one that cannot run says why, and the others go on.
pub(super) fn measure(scale: &Scale, home: &Path) -> Vec<Part> {
    let begun = Instant::now();
    let first = build().and_then(|()| Halcyon::measure(scale, home));
    let mut before = match first {
        Ok(first) => first,
        Err(error) => return vec![Part::new("peers", begun.elapsed(), Err(error))],
    };
    let mut parts = Vec::new();
    for peer in PEERS {
        let begun = Instant::now();
        let done = drive(peer, scale, home).and_then(|said| {
            let after = Halcyon::measure(scale, home)?;
            let figures = figures(peer, &said, &before, &after)?;
            before = after;
            Ok((format!("{}; {}; {}", said.version, said.tls, said.configuration), figures))
        });
        let (about, figures) =
            done.map_or_else(|error| (None, Err(error)), |(about, figures)| (Some(about), Ok(figures)));
        parts.push(Part::new(peer.part, begun.elapsed(), figures).about(about));
    }
    parts
}

/// One peer, as it is asked for.
struct Peer {
    part: &'static str,
    /// Its name to the driver.
    name: &'static str,
    /// How many times as fast as it Halcyon should be.
    goal: Option<f64>,
    sizes: &'static [Size],
    /// How long it is loaded at least.
    seconds_min: u64,
    /// How many messages each sender has under way at most.
    in_flight_max: usize,
}

/// A size of message.
#[derive(PartialEq)]
struct Size {
    bytes: usize,
    name: &'static str,
}

const SIZES: &[Size] = &[Size { bytes: 1_024, name: "1 KiB" }, Size { bytes: 256, name: "256 B" }];

const PEERS: &[Peer] = &[
    Peer::new("peer ejabberd", "ejabberd", Some(5.0)),
    Peer::new("peer Prosody", "prosody", Some(5.0)),
    Peer::new("peer Mosquitto", "mosquitto", Some(1.0)),
    Peer::new("peer NATS JetStream, synced", "nats-sync", Some(1.0)),
    // Not a goal: it promises less.
    Peer::new("peer NATS JetStream, its default", "nats", None),
    Peer::new("peer RabbitMQ", "rabbitmq", Some(1.0)),
    // It answers as many requests as there are at once all together, 256 of them after seconds: too few answers in a load to take
    // a rate from. With one for each sender it answers in time.
    Peer {
        sizes: SIZES.split_at(1).0,
        seconds_min: 20,
        in_flight_max: 1,
        ..Peer::new("peer Synapse", "synapse", Some(50.0))
    },
];

impl Peer {
    /// One that gets the courier's load.
    const fn new(part: &'static str, name: &'static str, goal: Option<f64>) -> Self {
        Self { part, name, goal, sizes: SIZES, seconds_min: 1, in_flight_max: usize::MAX }
    }
}

fn length(scale: &Scale) -> u64 {
    (scale.seconds / 2).max(1)
}

/// Halcyon's own figures, of a server and data of their own.
struct Halcyon(Vec<Measured>);

impl Halcyon {
    fn measure(scale: &Scale, home: &Path) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let sizes = SIZES.iter().map(|size| runtime.block_on(Self::measure_size(size, scale, home)));
        Ok(Self(sizes.collect::<Result<_>>()?))
    }

    async fn measure_size(size: &Size, scale: &Scale, home: &Path) -> Result<Measured> {
        let folder = scratch(home)?;
        let arguments = Arguments::of(size.bytes);
        let server = ServerProcess::start(folder.path(), arguments.people(), size.bytes).await?;
        let clients = Clients::new(folder.path(), server.ports())?;
        let measured = load::courier(&clients, &arguments, Duration::from_secs(length(scale))).await?;
        server.stop().await?;
        Ok(measured)
    }

    fn of(&self, size: &Size) -> Option<&Measured> {
        SIZES.iter().zip(&self.0).find(|(known, _)| *known == size).map(|(_, measured)| measured)
    }
}

/// What the driver says of a peer.
#[derive(Debug, Deserialize)]
struct Said {
    #[serde(default)]
    version: String,
    #[serde(default)]
    configuration: String,
    #[serde(default)]
    tls: String,
    loads: Vec<Load>,
    /// Why there is no more.
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Load {
    payload_bytes: usize,
    delivered_per_s: f64,
    accepted_p50_ms: f64,
    accepted_p99_ms: f64,
    delivered_p50_ms: f64,
    delivered_p99_ms: f64,
}

impl Said {
    fn parse(line: &[u8]) -> Result<Self> {
        let said: Self = serde_json::from_slice(line).context("the driver of peers says something else")?;
        match said.error {
            Some(error) => bail!("{error}"),
            None => Ok(said),
        }
    }
}

fn figures(peer: &Peer, said: &Said, before: &Halcyon, after: &Halcyon) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for size in peer.sizes {
        let load = said.loads.iter().find(|load| load.payload_bytes == size.bytes).context("a size is missing")?;
        // What was sent before it counted may come in any load; what was sent since says that it was long enough.
        let is_long_enough = load.delivered_per_s > 0.0 && load.delivered_p50_ms > 0.0;
        ensure!(is_long_enough, "nothing that was sent while it counted came: too short a load of {}", size.name);
        let (before, after) = before.of(size).zip(after.of(size)).context("a size of Halcyon's is missing")?;
        let halcyon = |value: fn(&Measured) -> f64| (value(before) + value(after)) / 2.0;
        let per_s = halcyon(|measured| measured.delivered_per_s);
        let name = size.name;
        let mut say = |figure| figures.push(figure);
        say(Figure::new(format!("{name}: delivered and acknowledged"), load.delivered_per_s, "/s"));
        say(Figure::new(format!("{name}: Halcyon, before and after"), per_s, "/s"));
        let ratio = Figure::new(format!("{name}: Halcyon's rate to this one's"), per_s / load.delivered_per_s, "x");
        say(match peer.goal {
            Some(goal) => ratio.at_least(goal),
            None => ratio,
        });
        say(Figure::new(format!("{name}: to accepted, p50"), load.accepted_p50_ms, "ms"));
        say(Figure::new(format!("{name}: to accepted, p99"), load.accepted_p99_ms, "ms"));
        say(Figure::new(format!("{name}: to delivered, p50"), load.delivered_p50_ms, "ms"));
        say(Figure::new(format!("{name}: to delivered, p99"), load.delivered_p99_ms, "ms"));
        let halcyon_p50 = halcyon(|measured| measured.delivery.value_at_quantile(0.5) as f64 / 1_000.0);
        let halcyon_p99 = halcyon(|measured| measured.delivery.value_at_quantile(0.99) as f64 / 1_000.0);
        say(Figure::new(format!("{name}: Halcyon to delivered, p50"), halcyon_p50, "ms"));
        say(Figure::new(format!("{name}: Halcyon to delivered, p99"), halcyon_p99, "ms"));
    }
    Ok(figures)
}

/// Builds the driver, so that nothing is compiled beside what is measured.
fn build() -> Result<()> {
    let built = cargo("build").status().context("the driver of peers is built with cargo, which is not there")?;
    ensure!(built.success(), "the driver of peers does not build; cargo's own words are above");
    Ok(())
}

fn drive(peer: &Peer, scale: &Scale, home: &Path) -> Result<Said> {
    let mut command = cargo("run");
    command.arg("--").arg(peer.name).arg("--while-input").arg("--folder").arg(home);
    command.args(["--seconds", &length(scale).max(peer.seconds_min).to_string()]);
    for size in peer.sizes {
        command.args(["--payload", &size.bytes.to_string()]);
    }
    let of_courier = Arguments::of(0);
    command.args(["--senders", &of_courier.senders.to_string(), "--receivers", &of_courier.receivers.to_string()]);
    command.args(["--in-flight", &of_courier.in_flight.min(peer.in_flight_max).to_string()]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    // Open as long as this process lives: the driver, and its servers, end with it.
    let input = child.stdin.take();
    let output = child.wait_with_output()?;
    drop(input);
    ensure!(output.status.success(), "the driver of peers ended badly; its own words are above");
    Said::parse(&output.stdout)
}

fn cargo(verb: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args([verb, "--release", "--quiet", "--locked", "--manifest-path", MANIFEST]);
    command
}

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/Cargo.toml");

#[cfg(test)]
mod tests {
    use super::*;

    /// A peer that is not there is told from one that was measured.
    #[test]
    fn the_driver_says_figures_or_why_not() {
        let line = br#"{"peer":"mosquitto","version":"2.0.11","configuration":"QoS 1","tls":"TLS 1.3","loads":[{"payload_bytes":1024,
            "accepted_per_s":7160.2,"delivered_per_s":7160.4,"accepted_p50_ms":32.6,"accepted_p99_ms":84.4,
            "delivered_p50_ms":32.7,"delivered_p99_ms":84.2}]}"#;
        let said = Said::parse(line).unwrap();
        assert_eq!((said.tls.as_str(), said.loads[0].delivered_per_s), ("TLS 1.3", 7160.4));
        let absent = br#"{"peer":"mosquitto","loads":[],"error":"not installed: run bench/peers/install"}"#;
        assert_eq!(Said::parse(absent).unwrap_err().to_string(), "not installed: run bench/peers/install");
        Said::parse(b"").unwrap_err();
    }
}
