//! Whole worlds from one seed: the real server and the real clients, on a simulated network, disk and clock, on one thread.
//!
//! Owns the worlds and the invariants that are checked in them (ARCHITECTURE.md). Does not know how anything that it runs works: what it
//! sees are the ports.
//!
//! - The same seed is the same world, to the last line of its log. aws-lc draws the nonces of signatures itself, so nothing here depends
//!   on their bytes, and their length is always the same.
//! - Every invariant can be broken on purpose ([`sabotage::Sabotage`]), and is then found out.
//!
//! Next: [`run`] plays one world; [`world`] puts it together, [`acts`] and [`damage`] say what happens in it, [`ledger`] what is true,
//! [`end`] what must be.

pub mod acts;
pub mod damage;
pub mod device;
pub mod disk;
pub mod end;
pub mod keys;
pub mod ledger;
mod logs;
pub mod net;
pub mod sabotage;
pub mod server;
pub mod store;
pub mod time;
pub mod trouble;
pub mod watch;
pub mod world;

use std::rc::Rc;
use std::time::Duration;

use halcyon_crypto::hash::sha256;
use rand::Rng;

use ledger::Totals;
use sabotage::Sabotage;
use world::World;

/// In one of so many worlds people are away for weeks. Others are over in hours: a week takes a second to play.
const WORLDS_PER_HOLIDAY: u32 = 8;

/// What became of one world.
#[derive(Clone, Debug)]
pub struct Report {
    /// What it followed from.
    pub seed: u64,
    /// What was violated; empty if all went well.
    pub violations: Vec<String>,
    /// The play, line by line.
    pub log: Vec<String>,
    /// How long it was, for those in it.
    pub lasted: Duration,
    /// What happened how often.
    pub totals: Totals,
}

impl Report {
    /// Returns a hash of all that happened.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let lines: Vec<&[u8]> = self.log.iter().map(|line| line.as_bytes()).collect();
        sha256(&lines)
    }
}

/// What kind of worlds are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What is broken on purpose.
    pub sabotage: Sabotage,
    /// Nothing breaks by itself.
    pub is_kind: bool,
    /// Every world has a time in which people are away for weeks, not only some.
    pub has_holiday: bool,
    /// Sessions are lost, disks go back to older copies, the server drops what it accepted.
    pub has_repairs: bool,
    /// People answer, react, edit and unsend, too.
    pub has_acts: bool,
}

/// Plays the world of a seed to its end.
///
/// # Errors
/// It could not even begin.
pub fn run(seed: u64, options: Options) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let local = tokio::task::LocalSet::new();
    let report = local.block_on(&runtime, play(seed, options));
    drop(local);
    runtime.shutdown_background();
    report
}

async fn play(seed: u64, options: Options) -> anyhow::Result<Report> {
    let began = tokio::time::Instant::now();
    let world = World::new(seed, options).await?;
    let _logs = tracing::subscriber::set_default(logs::Logs(world.watcher.clone()));
    tokio::select! {
        lived = live(&world, options) => lived?,
        () = world.ledger.stuck() => {}
    }
    let state = world.ledger.state();
    Ok(Report {
        seed,
        violations: state.violations.clone(),
        log: state.log.clone(),
        lasted: began.elapsed(),
        totals: state.totals.clone(),
    })
}

/// Lets people do what they do, and then come to rest.
async fn live(world: &Rc<World>, options: Options) -> anyhow::Result<()> {
    let people = world.draw(|rng| rng.gen_range(2..=3));
    for _ in 0..people {
        let person = world.add_person();
        world.register(person).await?;
    }
    let acts = world.draw(|rng| rng.gen_range(15..65));
    let holiday = world.draw(|rng| {
        if rng.gen_ratio(1, WORLDS_PER_HOLIDAY) || options.has_holiday { rng.gen_range(0..acts) } else { acts }
    });
    for act in 0..acts {
        let pause = world.draw(pause);
        tokio::time::sleep(pause).await;
        if act == holiday {
            acts::holiday(world, options).await;
        }
        if world.ledger.has_violations() {
            break;
        }
        if options.has_repairs {
            damage::maybe(world);
        }
        acts::one(world, options);
    }
    if !world.ledger.has_violations() {
        end::end(world).await;
    }
    Ok(())
}

/// Draws how long nothing is done.
fn pause(rng: &mut rand::rngs::StdRng) -> Duration {
    Duration::from_millis(match rng.gen_range(0..100) {
        0..=49 => rng.gen_range(0..500),
        50..=89 => rng.gen_range(500..20_000),
        90..=97 => rng.gen_range(20_000..600_000),
        _ => rng.gen_range(600_000..7_200_000),
    })
}
