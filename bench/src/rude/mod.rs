//! What rude clients do to honest ones: the time of a message from send to delivery, while the rude ones are at the same
//! server, and while they do the same to another.
//!
//! Owns the order of one run: both kinds of rounds take turns, many times, so that what else the machine does at the time
//! cancels out. The servers are the program `halcyond` with its default limits. On a network the rude clients would have
//! their own machine; here they and the server elsewhere have the last core for themselves, and everything else has the others.
//! The comparison is with rounds in which they keep their core, the network and the disk just as busy, but with the server that
//! nobody else is on. So what is measured is what rudeness costs the server that it is shown to, and all of that. The row
//! [`NOBODY`], in which nothing is done either way, shows how far two equal rounds differ.
//!
//! Why not priorities: to Linux a process of the lowest priority that sleeps much is owed time, and it then kept the server from its
//! core for up to 50 ms, which are not the server's.

pub(crate) mod client;
mod honest;
mod report;
mod usage;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use halcyon_rude::rudeness::Rudeness;
use halcyon_rude::server::{self, Server, Setup};
use halcyon_rude::wire::Way;
use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use honest::People;
use report::{Report, Round, Row};
use usage::Processes;

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
    let cores = std::thread::available_parallelism()?.get();
    ensure!(cores > 1, "the rude clients take a core of their own, and there is one in all");
    // Before there are threads: they, and the server, begin on the same cores.
    let mut own = CpuSet::new();
    (0..cores - 1).for_each(|core| own.set(core));
    sched_setaffinity(None, &own).context("leaving a core to the rude clients")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(arguments, &program, cores - 1))?.print(arguments.json)
}

async fn measure(arguments: &Arguments, program: &Path, core: usize) -> Result<Report> {
    // This machine is an address like others, so that limits for addresses hold for the rude ones, who come from others.
    let setup =
        Setup::default().with("limits-limit-loopback", true).with("limits-verifications-per-address-hour", 1_000);
    let server = setup.start(program).await?;
    let way = Way::to(&server)?;
    let people = People::found(&way, &server.mails(), arguments.pairs).await?;
    let elsewhere = setup.clone().on_core(core).start(program).await?;
    let (mut there, mut here) = (RudeProcess::start(&elsewhere, core).await?, RudeProcess::start(&server, core).await?);
    let length = Duration::from_millis(arguments.round_ms);
    let (mut rows, mut rounds) = (Vec::new(), 0);
    for name in std::iter::once(NOBODY.to_owned()).chain(Rudeness::ALL.iter().map(|rudeness| rudeness.name())) {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|only| name.contains(only)) {
            continue;
        }
        let word = if name == NOBODY { client::STOP } else { &name };
        let mut row = Row::new(name.clone());
        for number in 0..arguments.rounds {
            // Each is the first every other time, so that neither always follows the other's traces.
            for turn in [number % 2, (number + 1) % 2] {
                let is_here = turn == 1;
                let rude = if is_here { &mut here } else { &mut there };
                rounds += 1;
                rude.tell(word).await?;
                tokio::time::sleep(SETTLE).await;
                let processes = Processes { server: server.id()?, rude: rude.id()?, elsewhere: elsewhere.id()? };
                let before = processes.used()?;
                people.round(rounds, length).await;
                let round = Round { number: rounds, usage: processes.used()? - before };
                if is_here {
                    row.here(round, server.weigh()?);
                } else {
                    row.elsewhere(round);
                }
                rude.tell(client::STOP).await?;
                tokio::time::sleep(SETTLE).await;
                people.check()?;
            }
        }
        rows.push(row);
    }
    // Whatever is late is counted where it belongs.
    tokio::time::sleep(LATE_MAX).await;
    people.check()?;
    Report::new(arguments, rows, &people.taken())
}

/// The process of the rude clients.
struct RudeProcess {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl RudeProcess {
    async fn start(server: &Server, core: usize) -> Result<Self> {
        let addresses = server.addresses();
        let mut child = Command::new("taskset")
            .args(["-c", &core.to_string()])
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
        let mut rude = Self { child, input, output };
        rude.heard().await?;
        Ok(rude)
    }

    fn id(&self) -> Result<u32> {
        self.child.id().context("the rude clients ended; their own words are above")
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
/// What the slowest message may take; one that takes longer is missing, which is seen in the numbers of messages.
const LATE_MAX: Duration = Duration::from_secs(2);
