//! What rude clients do to honest ones: the time of a message from send to delivery, while the rude ones are at the same
//! server, and while they do the same to another.
//!
//! Owns the order of one run: both kinds of rounds take turns, many times, so that what else the machine does at the time
//! cancels out. The servers are the program `halcyond` with its default limits. On a network the rude clients would have
//! their own machine; here they are processes with the lowest priority, and the comparison is with rounds in which they
//! keep the machine, its network and its disk just as busy, but with a server that nobody else is on and that has the lowest
//! priority, too. So what is measured is what rudeness costs the server that it is shown to, and all of that. The row
//! [`NOBODY`], in which nothing is done either way, shows how far two equal rounds differ.

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
    /// Rounds of each kind for each rudeness.
    #[arg(long, default_value_t = 8)]
    rounds: u32,
    /// Milliseconds of one round.
    #[arg(long, default_value_t = 1_200)]
    round_ms: u64,
    /// Pairs of honest people; each sends 40 messages a second.
    #[arg(long, default_value_t = 6)]
    pairs: u32,
    /// Only rudenesses whose name has this in it, or one of these.
    #[arg(long)]
    only: Vec<String>,
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
    let setup =
        Setup::default().with("limits-limit-loopback", true).with("limits-verifications-per-address-hour", 1_000);
    let server = setup.start(program).await?;
    let way = Way::to(&server)?;
    let people = People::found(&way, &server.mails(), arguments.pairs).await?;
    let elsewhere = setup.clone().with_the_lowest_priority().start(program).await?;
    let (mut there, mut here) = (RudeProcess::start(&elsewhere).await?, RudeProcess::start(&server).await?);
    let length = Duration::from_millis(arguments.round_ms);
    let mut rows = Vec::new();
    for name in std::iter::once(NOBODY.to_owned()).chain(Rudeness::ALL.iter().map(|rudeness| rudeness.name())) {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|only| name.contains(only)) {
            continue;
        }
        let word = if name == NOBODY { client::STOP } else { &name };
        let mut row = Row::new(name.clone());
        for number in 0..arguments.rounds {
            // Each is the first every other time, so that neither always follows the other's traces.
            let both = [Round::Elsewhere, Round::Here];
            for turn in 0..both.len() {
                let round = both[(turn + number as usize) % both.len()];
                let rude = if round == Round::Here { &mut here } else { &mut there };
                rude.tell(word).await?;
                tokio::time::sleep(SETTLE).await;
                people.round(round, length).await;
                if round == Round::Here {
                    row.weigh(server.weigh()?);
                }
                rude.tell(client::STOP).await?;
                tokio::time::sleep(SETTLE).await;
            }
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

/// The row in which nobody is rude.
const NOBODY: &str = "nobody";
/// Between rounds, for a rudeness to begin and for its traces to go.
const SETTLE: Duration = Duration::from_millis(400);
