//! The courier under load: what it takes, how long that takes when people do not wait for it, and what it costs.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::table::Figure;
use super::{Scale, scratch};
use crate::courier::clients::Clients;
use crate::courier::process::ServerProcess;
use crate::courier::server::Stats;
use crate::courier::{Arguments, Measured, commit, load, open};

pub(super) async fn measure(scale: &Scale, home: &Path) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (payload, size) in [(1_024, "1 KiB"), (256, "256 B")] {
        size_of_message(scale, home, payload, size, &mut figures).await?;
    }
    connections(scale, home, &mut figures).await?;
    Ok(figures)
}

/// One size, beside an echo and a commit of the same size against the same process and disk.
async fn size_of_message(
    scale: &Scale,
    home: &Path,
    payload: usize,
    size: &str,
    figures: &mut Vec<Figure>,
) -> Result<()> {
    let folder = scratch(home)?;
    let arguments = Arguments::of(payload);
    let mut server = ServerProcess::start(folder.path(), arguments.people(), payload).await?;
    let clients = Clients::new(folder.path(), server.ports())?;
    let length = Duration::from_secs(scale.seconds);

    let echo = load::echo(&clients, &arguments, length / 3).await?;
    let before = server.stats().await?;
    let courier = load::courier(&clients, &arguments, length).await?;
    let stats = server.stats().await?.since(&before);
    ensure!(stats.envelopes > 0, "nothing was accepted");
    let commit_per_s = commit::measure(folder.path(), stats.envelopes_per_commit(), payload, length / 3)?;
    figures.push(Figure::new(format!("{size}: accepted"), courier.accepted_per_s, "/s"));
    figures.push(Figure::new(format!("{size}: delivered and acknowledged"), courier.delivered_per_s, "/s"));
    figures.push(Figure::new(format!("{size}: bare TLS echo"), echo.accepted_per_s, "/s"));
    figures.push(
        Figure::new(format!("{size}: ratio_to_echo"), courier.accepted_per_s / echo.accepted_per_s, "").at_least(0.5),
    );
    figures.push(Figure::new(format!("{size}: bare append and sync"), commit_per_s, "/s"));
    figures.push(Figure::new(format!("{size}: ratio_to_commit"), courier.accepted_per_s / commit_per_s, ""));
    costs(size, payload, &stats, figures);
    for (share, percent) in [(0.5, 50), (0.9, 90)] {
        let rate = courier.accepted_per_s * share;
        let measured = open::courier(&clients, &arguments, rate, length).await?;
        figures.push(Figure::new(format!("{size}, open at {percent} %: accepted"), measured.accepted_per_s, "/s"));
        latencies(size, percent, &measured, figures);
    }
    server.stop().await
}

/// What a message costs the server, by thread: one writes the mailboxes, the others are everything between the socket and it.
fn costs(size: &str, payload: usize, stats: &Stats, figures: &mut Vec<Figure>) {
    let each = |sum: u64| sum as f64 / stats.envelopes as f64;
    let (user, system) = stats.writer_ms;
    let network = stats.cpu_ms.saturating_sub(user + system);
    figures.push(Figure::new(format!("{size}: synced commits a message"), each(stats.commits), ""));
    figures.push(Figure::new(format!("{size}: bytes written a message"), each(stats.written_bytes), "B"));
    let times = each(stats.written_bytes) / payload as f64;
    figures.push(Figure::new(format!("{size}: bytes written a byte of payload"), times, "x"));
    figures.push(Figure::new(format!("{size}: server CPU a message"), each(stats.cpu_ms * 1_000), "us"));
    figures.push(Figure::new(format!("{size}: of it TLS, frames, hub"), each(network * 1_000), "us"));
    figures.push(Figure::new(format!("{size}: of it the store's writer, own code"), each(user * 1_000), "us"));
    figures.push(Figure::new(format!("{size}: of it the store's writer, in the kernel"), each(system * 1_000), "us"));
}

fn latencies(size: &str, percent: u32, measured: &Measured, figures: &mut Vec<Figure>) {
    for (what, histogram) in [("to accepted", &measured.latency), ("to delivered", &measured.delivery)] {
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            let ms = histogram.value_at_quantile(quantile) as f64 / 1_000.0;
            let figure = Figure::new(format!("{size}, open at {percent} %: {what}, {name}"), ms, "ms");
            let has_goal = percent == 50 && name == "p99";
            figures.push(if has_goal { figure.at_most(20.0) } else { figure });
        }
    }
}

/// More and more connections, half of which send.
async fn connections(scale: &Scale, home: &Path, figures: &mut Vec<Figure>) -> Result<()> {
    let folder = scratch(home)?;
    let most = scale.pairs.iter().copied().max().unwrap_or(1);
    let server = ServerProcess::start(folder.path(), 2 * most, 1_024).await?;
    let clients = Clients::new(folder.path(), server.ports())?;
    for pairs in scale.pairs.iter().copied() {
        let arguments = Arguments { senders: pairs, receivers: pairs, ..Arguments::of(1_024) };
        let measured = load::courier(&clients, &arguments, Duration::from_secs(scale.seconds) / 2).await?;
        let what = format!("1 KiB, {} connections: accepted", 2 * pairs);
        figures.push(Figure::new(what, measured.accepted_per_s, "/s"));
        let p99_ms = measured.latency.value_at_quantile(0.99) as f64 / 1_000.0;
        figures.push(Figure::new(format!("1 KiB, {} connections: to accepted, p99", 2 * pairs), p99_ms, "ms"));
    }
    server.stop().await
}
