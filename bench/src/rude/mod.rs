//! What rude clients do to honest ones: the time of a message from send to delivery, with and without each rudeness.
//!
//! Owns the order of one run: quiet and rude rounds take turns, many times, so that what else the machine does at the time
//! cancels out. The server is the program `halcyond` with its default limits, the rude clients are a process of their own
//! with the lowest priority: on a network they would have their own machine, here they get what the others leave.

pub(crate) mod client;
mod honest;
mod report;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use halcyon_rude::rudeness::Rudeness;
use halcyon_rude::server::{self, Server, Setup};
use halcyon_rude::wire::Way;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use honest::{People, Round};
use report::{Report, Row};

/// What to measure.
#[derive(Args, Clone)]
pub(crate) struct Arguments {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Quiet and rude rounds of each rudeness.
    #[arg(long, default_value_t = 6)]
    rounds: u32,
    /// Milliseconds of one round.
    #[arg(long, default_value_t = 1_200)]
    round_ms: u64,
    /// Pairs of honest people; each sends 40 messages a second.
    #[arg(long, default_value_t = 6)]
    pairs: u32,
    /// Only rudenesses whose name has this in it.
    #[arg(long)]
    only: Option<String>,
    /// The server's program; built beside this one by default.
    #[arg(long)]
    program: Option<PathBuf>,
}

/// Runs the bench and prints what came out.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let program = arguments.program.clone().map_or_else(server::program, Ok)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(arguments, &program))?.print(arguments.json)
}

async fn measure(arguments: &Arguments, program: &Path) -> Result<Report> {
    // This machine is an address like others, so that limits for addresses hold for the rude ones, who come from others.
    let server = Setup::default()
        .with("limits-limit-loopback", true)
        .with("limits-verifications-per-address-hour", 1_000)
        .start(program)
        .await?;
    let way = Way::to(&server)?;
    let people = People::found(&way, &server.mails(), arguments.pairs).await?;
    let mut rude = RudeProcess::start(&server).await?;
    let length = Duration::from_millis(arguments.round_ms);
    let mut rows = Vec::new();
    for rudeness in Rudeness::ALL {
        let name = rudeness.name();
        if arguments.only.as_ref().is_some_and(|only| !name.contains(only)) {
            continue;
        }
        let mut row = Row::new(name.clone());
        for _ in 0..arguments.rounds {
            people.round(Round::Quiet, length).await;
            rude.tell(&name).await?;
            tokio::time::sleep(SETTLE).await;
            people.round(Round::Rude, length).await;
            row.weigh(server.weigh()?);
            rude.tell(client::STOP).await?;
            tokio::time::sleep(SETTLE).await;
        }
        row.measured(people.taken()?)?;
        rows.push(row);
    }
    Ok(Report::new(arguments, rows))
}

/// The process of the rude clients.
struct RudeProcess {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl RudeProcess {
    async fn start(server: &Server) -> Result<Self> {
        let addresses = server.addresses();
        let mut child = Command::new("nice")
            .args(["-n", "19"])
            .arg(std::env::current_exe()?)
            .arg("rude-client")
            .args(["--courier", &addresses.courier.to_string(), "--https", &addresses.https.to_string()])
            .arg("--authority")
            .arg(server.authority())
            .arg("--mails")
            .arg(server.mails())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the rude clients' process did not start")?;
        let input = child.stdin.take().context("it has no input")?;
        let output = BufReader::new(child.stdout.take().context("it has no output")?).lines();
        let mut rude = Self { _child: child, input, output };
        rude.heard().await?;
        Ok(rude)
    }

    async fn tell(&mut self, word: &str) -> Result<()> {
        self.input.write_all(format!("{word}\n").as_bytes()).await?;
        self.input.flush().await?;
        self.heard().await
    }

    async fn heard(&mut self) -> Result<()> {
        let line = self.output.next_line().await?;
        ensure!(line.as_deref() == Some(client::HEARD), "the rude clients ended; their own words are above");
        Ok(())
    }
}

/// Between rounds, for a rudeness to begin and for its traces to go.
const SETTLE: Duration = Duration::from_millis(400);
