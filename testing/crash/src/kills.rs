//! The server is killed again and again while people talk (I3, I10).
//!
//! Owns when and where it dies. Does not know what people say.
//!
//! - Every other life ends at a named point, one point after the other; the others at a random moment, some while the server starts.
//! - A point that was not passed in time is a death at a random moment.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use halcyon_failpoint::Point;
use rand::Rng as _;

use crate::ledger::Verdict;
use crate::load::Load;
use crate::server::{Doom, Server, Setup, Started};
use crate::town::{CATCH_UP_MAX, Town};

/// Where a server can die by itself.
pub const POINTS: &[Point] = &[
    Point::ServerAccept,
    Point::ServerAppend,
    Point::ServerSync,
    Point::ServerAnswer,
    Point::ServerPush,
    Point::ServerDelete,
    Point::ServerDeleted,
    Point::ServerExpire,
    Point::ServerWriteBack,
    Point::ServerFold,
];
/// How long a server lives that is killed at a random moment: from not at all to several rounds of everything.
const LIFE_MS: std::ops::Range<u64> = 0..1_200;
/// How long a point is waited for.
const DOOM_PATIENCE: Duration = Duration::from_millis(2_500);
/// Passages of a point in one life, up to the last: the first are those of the reconnecting crowd.
const PASSAGES_OFTEN: std::ops::RangeInclusive<u64> = 1..=12;
/// Of a point that is passed once in some hundred messages.
const PASSAGES_RARELY: std::ops::RangeInclusive<u64> = 1..=3;
/// Longer than a message of dora's lives.
const FLEETING_OVER: Duration = Duration::from_millis(2_500);

/// What a campaign came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How often each way of dying happened.
    pub deaths: BTreeMap<String, usize>,
    /// The longest start, from the process to listening.
    pub restart_max: Duration,
    /// The judgement.
    pub verdict: Verdict,
    /// Messages that their senders could not even commit.
    pub refused: u64,
    /// Whether everybody had caught up in time.
    pub caught_up: bool,
}

impl Report {
    /// Returns whether the proof holds: nothing lost, nothing twice, and there was something to lose.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.verdict.is_clean() && self.caught_up && self.verdict.accepted > self.kills() && self.refused == 0
    }

    fn kills(&self) -> usize {
        self.deaths.values().sum()
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ways: Vec<String> = self.deaths.iter().map(|(way, count)| format!("{way} {count}")).collect();
        writeln!(f, "kills {} ({})", self.kills(), ways.join(", "))?;
        writeln!(f, "{}", self.verdict)?;
        if self.refused > 0 {
            writeln!(f, "not_committed {}", self.refused)?;
        }
        if !self.caught_up {
            writeln!(f, "DID NOT CATCH UP in {} s", CATCH_UP_MAX.as_secs())?;
        }
        write!(f, "restart_ms_max {}", self.restart_max.as_millis())
    }
}

/// Kills the server `kills` times, every other time at one of these points.
///
/// # Errors
/// The server does not start again, or nothing could be tried at all.
pub async fn run(program: &Path, folder: &Path, kills: usize, points: &[Point]) -> anyhow::Result<Report> {
    let mails = folder.join("mail");
    let setup = Setup::new(program, &folder.join("data"), &mails)?;
    let mut server = setup.start_well().await?;
    let town = Town::found(&folder.join("profiles"), &setup).await?;
    let load = Load::start(&town);
    let mut report = Report::default();
    let began = Instant::now();
    for number in 0..kills {
        let doom = (number % 2 == 1).then(|| points.get(number / 2 % points.len().max(1))).flatten().map(doom);
        let way = match doom {
            // This life began without a doom.
            None => {
                let life = Duration::from_millis(rand::thread_rng().gen_range(LIFE_MS));
                tokio::time::sleep(life).await;
                server.kill().await?;
                "random"
            }
            Some(doom) => {
                server.kill().await?;
                match setup.start(Some(doom)).await? {
                    Started::Ended(_) => doom.point.name(),
                    Started::Listening(mut doomed) => {
                        town.nudge().await;
                        let died = doomed.dies_within(DOOM_PATIENCE).await;
                        doomed.kill().await?;
                        if died { doom.point.name() } else { "late" }
                    }
                }
            }
        };
        *report.deaths.entry(way.to_owned()).or_default() += 1;
        server = setup.start_well().await?;
        report.restart_max = report.restart_max.max(server.started_in());
        town.nudge().await;
        progress(number + 1, kills, began, &town);
    }
    report.refused = load.stop().await;
    report.caught_up = town.catch_up(CATCH_UP_MAX).await?;
    report.verdict = town.verdict()?;
    // COU-54: erin comes too late for everything.
    tokio::time::sleep(FLEETING_OVER).await;
    town.erin.online().await?;
    tokio::time::sleep(FLEETING_OVER).await;
    let risen = crate::device::texts(&town.erin.client)?;
    report.verdict.strange.extend(risen.iter().map(|text| format!("\"{text}\" was shown after it had expired")));
    town.leave().await;
    stop(server).await?;
    Ok(report)
}

fn doom(point: &Point) -> Doom {
    let passages = match point {
        Point::ServerAccept | Point::ServerAppend | Point::ServerSync | Point::ServerAnswer | Point::ServerPush => {
            PASSAGES_OFTEN
        }
        _ => PASSAGES_RARELY,
    };
    Doom { point: *point, passage: rand::thread_rng().gen_range(passages) }
}

fn progress(done: usize, kills: usize, began: Instant, town: &Town) {
    if done.is_multiple_of(PROGRESS_EVERY) || done == kills {
        let accepted = town.ledger.accepted();
        crate::say(&format!("{done} of {kills} kills, {accepted} accepted, {} s", began.elapsed().as_secs()));
    }
}

async fn stop(mut server: Server) -> anyhow::Result<()> {
    server.kill().await
}

const PROGRESS_EVERY: usize = 25;
