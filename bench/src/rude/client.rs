//! The process of the rude clients: is told what to do on its input, line by line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use halcyon_rude::rudeness::{Rude, Rudeness};
use halcyon_rude::server::Addresses;
use halcyon_rude::wire::Way;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::task::LocalSet;

/// Where to be rude.
#[derive(Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    courier: SocketAddr,
    #[arg(long)]
    https: SocketAddr,
    #[arg(long)]
    authority: PathBuf,
    #[arg(long)]
    mails: PathBuf,
}

/// Runs the process.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, obey(arguments))
}

async fn obey(arguments: &Arguments) -> Result<()> {
    let addresses = Addresses { courier: arguments.courier, https: arguments.https };
    let way = Way::new(addresses, &arguments.authority)?;
    let rude = Arc::new(Rude::register(way, &arguments.mails, DEVICES).await?);
    let mut out = tokio::io::stdout();
    let mut under_way: Option<tokio::task::JoinHandle<()>> = None;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        out.write_all(format!("{HEARD}\n").as_bytes()).await?;
        out.flush().await?;
        let Some(line) = lines.next_line().await? else { return Ok(()) };
        if let Some(before) = under_way.take() {
            before.abort();
            // It was cut off, which is what was wanted.
            let _ = before.await;
        }
        if line != STOP {
            let named = Rudeness::ALL.iter().find(|rudeness| rudeness.name() == line);
            let (rude, rudeness) = (rude.clone(), *named.context("a rudeness of that name")?);
            under_way = Some(tokio::task::spawn_local(async move { rude.be(rudeness).await }));
        }
    }
}

/// The word that ends a rudeness.
pub(crate) const STOP: &str = "stop";
/// The answer to every word.
pub(crate) const HEARD: &str = "heard";
/// Devices that can come at once.
const DEVICES: usize = 12;
