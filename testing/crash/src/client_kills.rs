//! Clients are killed between any two steps of sending and receiving (I1, I2, I3), while the server lives.
//!
//! Owns who dies, and what a person does after a restart: looks whether the last message is there, and types it again if it is not.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use halcyon_client_net::SystemClock;
use halcyon_failpoint::Point;
use halcyon_types::{DeviceId, Handle, MessageId};
use rand::Rng as _;
use rand::seq::SliceRandom as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::device::Device;
use crate::kills::Report;
use crate::ledger::Ledger;
use crate::load::{UNHEARD_MAX, is_heard};
use crate::person::{Person, Setup};
use crate::server::{self, Doom};
use crate::town::{self, CATCH_UP_MAX};

/// Where a client can die by itself.
pub const POINTS: &[Point] = &[
    Point::ClientSealed,
    Point::ClientCommitted,
    Point::ClientWritten,
    Point::ClientAnswer,
    Point::ClientAnswered,
    Point::ClientOpened,
    Point::ClientReceived,
    Point::ClientShown,
    Point::ClientAcknowledged,
    Point::ClientReceipt,
];
const PASSAGES: std::ops::RangeInclusive<u64> = 1..=6;
/// How long a client lives that is killed at a random moment.
const LIFE_MS: std::ops::Range<u64> = 50..1_500;
const DOOM_PATIENCE: Duration = Duration::from_secs(4);
const PAUSE_MS: std::ops::Range<u64> = 20..150;
const POLL: Duration = Duration::from_millis(100);
/// A client that gives account reads its whole profile, and does nothing else meanwhile.
const ACCOUNT_PAUSE: Duration = Duration::from_secs(2);
const PROGRESS_EVERY: usize = 50;

/// Kills two clients, `kills` times in all, every other time at one of these points.
///
/// # Errors
/// Something does not start, or ends by itself.
pub async fn run(
    halcyond: &Path,
    person: &Path,
    folder: &Path,
    kills: usize,
    points: &[Point],
) -> anyhow::Result<Report> {
    let setup = server::Setup::new(halcyond, &folder.join("data"), &folder.join("mail"))?;
    let mut server = setup.start_well().await?;
    let ledger = Ledger::default();
    let profiles = folder.join("profiles");
    let new = |person: &str, name: &str| -> anyhow::Result<Device> {
        Device::new(&format!("{person}-{name}"), &town::handle(person)?, &profiles, &setup, Arc::new(SystemClock))
    };
    // Alice's laptop and carol live; alice's phone and bob's phone are killed.
    let mut mortals = vec![new("alice", "phone")?, new("bob", "phone")?];
    let (laptop, carol) = (new("alice", "laptop")?, new("carol", "phone")?);
    for device in mortals.iter().chain([&carol]) {
        town::register(&device.client, &device.handle, &device.name, setup.mails()).await?;
        device.online().await?;
    }
    town::link(&mortals[0].client, &laptop.client, &laptop.handle, &laptop.name).await?;
    for device in [&laptop, &carol] {
        device.watch(&ledger)?;
        device.online().await?;
    }
    let mut setups = Vec::new();
    for device in mortals.drain(..) {
        let person = Setup {
            program: person.to_owned(),
            folder: profiles.join(&device.name),
            server: setup.address(),
            authority: setup.authority(),
            device: device.id()?,
            ledger: ledger.clone(),
        };
        device.client.shutdown().await;
        setups.push((device.name.clone(), device.handle.clone(), person));
        // With the last handle of the client goes the lock of its profile.
        drop(device);
    }
    let done = Arc::new(AtomicUsize::new(0));
    let mut lives = Vec::new();
    for (number, (name, handle, setup)) in setups.iter().cloned().enumerate() {
        let others = others(&handle)?;
        let (done, share, points) = (done.clone(), (kills + 1 - number) / 2, points.to_vec());
        lives.push(tokio::spawn(async move {
            Mortal { name, setup, others, said: 0, pending: None }.die(share, kills, &points, &done).await
        }));
    }
    let steady = [(laptop.clone(), others(&laptop.handle)?), (carol.clone(), others(&carol.handle)?)];
    let talk = tokio::spawn(chat(steady, ledger.clone(), done.clone(), kills));
    let mut report = Report::default();
    for life in lives {
        for (way, count) in life.await?? {
            *report.deaths.entry(way).or_default() += count;
        }
    }
    report.refused = talk.await?;
    let mortals: Vec<Setup> = setups.into_iter().map(|(_, _, setup)| setup).collect();
    let (mut histories, caught_up) = catch_up(&mortals, &[&laptop, &carol], &ledger).await?;
    report.caught_up = caught_up;
    for device in [&laptop, &carol] {
        histories.insert(device.id()?, crate::device::texts(&device.client)?);
    }
    report.verdict = ledger.verdict(&histories);
    report.restart_max = server.started_in();
    server.kill().await?;
    Ok(report)
}

fn others(handle: &Handle) -> anyhow::Result<Vec<Handle>> {
    let everybody = ["alice", "bob", "carol"].map(town::handle).into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    Ok(everybody.into_iter().filter(|other| other != handle).collect())
}

/// A person whose program dies.
struct Mortal {
    name: String,
    setup: Setup,
    others: Vec<Handle>,
    said: u64,
    /// What was typed when it died, with whom for: it may have been committed or not.
    pending: Option<(String, Vec<String>)>,
}

impl Mortal {
    async fn die(
        mut self,
        times: usize,
        of: usize,
        points: &[Point],
        done: &AtomicUsize,
    ) -> anyhow::Result<BTreeMap<String, usize>> {
        let mut deaths: BTreeMap<String, usize> = BTreeMap::new();
        for number in 0..times {
            let doom = (number % 2 == 1).then(|| points.get(number / 2 % points.len().max(1))).flatten().copied();
            let doom = doom.map(|point| Doom { point, passage: rand::thread_rng().gen_range(PASSAGES) });
            let life = match doom {
                Some(_) => DOOM_PATIENCE,
                None => Duration::from_millis(rand::thread_rng().gen_range(LIFE_MS)),
            };
            let mut person = self.setup.start(doom)?;
            // Whatever it is in the middle of when the time is over.
            let _ = tokio::time::timeout(life, self.talk(&mut person)).await;
            let status = person.end().await?;
            let way = match doom {
                Some(doom) if status.signal() == Some(SIGABRT) => doom.point.name(),
                Some(_) => "late",
                None => "random",
            };
            *deaths.entry(way.to_owned()).or_default() += 1;
            let all = done.fetch_add(1, Ordering::Relaxed) + 1;
            if all.is_multiple_of(PROGRESS_EVERY) || all == of {
                crate::say(&format!("{all} of {of} clients killed"));
            }
        }
        // What was typed last is looked after, too.
        let mut person = self.setup.start(None)?;
        self.retype(&mut person).await;
        person.end().await?;
        Ok(deaths)
    }

    /// Talks until it dies.
    async fn talk(&mut self, person: &mut Person) {
        loop {
            if !self.retype(person).await {
                return;
            }
            let pause = rand::thread_rng().gen_range(PAUSE_MS);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            match person.waiting().await {
                None => return,
                // As everybody else's, a person's typing ends where nothing leaves.
                Some(waiting) if waiting >= UNHEARD_MAX => continue,
                Some(_) => self.said += 1,
            }
            let count = if self.said.is_multiple_of(3) { self.others.len() } else { 1 };
            let to = self.others.choose_multiple(&mut rand::thread_rng(), count);
            let to = to.map(|handle| handle.address().to_owned()).collect();
            if !self.say(person, (format!("{} {}", self.name, self.said), to)).await {
                return;
            }
        }
    }

    /// Says something; false if it died before it said that it is committed.
    async fn say(&mut self, person: &mut Person, message: (String, Vec<String>)) -> bool {
        let (text, to) = self.pending.insert(message);
        let order = json!({ "say": { "to": to, "text": text, "pair": self.said.is_multiple_of(2) } });
        match person.order(&order).await {
            Some(answer) if answer.get("said").is_some() => {
                self.pending = None;
                true
            }
            Some(answer) => {
                self.setup.ledger.strange(format!("{} cannot say \"{text}\": {answer}", self.name));
                self.pending = None;
                true
            }
            None => false,
        }
    }

    /// Types again what is not in the store; false if it died on the way.
    async fn retype(&mut self, person: &mut Person) -> bool {
        let Some((text, to)) = self.pending.clone() else { return true };
        match person.order(&json!({ "has": text })).await {
            Some(answer) if answer["has"] == Value::Bool(true) => {
                self.pending = None;
                true
            }
            Some(_) => self.say(person, (text, to)).await,
            None => false,
        }
    }
}

/// Those who live talk until the dying is over; returns how often they could not.
async fn chat(steady: [(Device, Vec<Handle>); 2], ledger: Ledger, done: Arc<AtomicUsize>, kills: usize) -> u64 {
    let mut refused = 0;
    for number in 0_u64.. {
        if done.load(Ordering::Relaxed) >= kills {
            break;
        }
        for (device, others) in &steady {
            let pause = rand::thread_rng().gen_range(PAUSE_MS);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            if !is_heard(device) {
                continue;
            }
            let text = format!("{} {number}", device.name);
            let suite = number.is_multiple_of(2).then_some(halcyon_types::SuiteId::PAIR);
            match device.say(others, &text, suite).await {
                Ok(message) => ledger.sent(message, &text),
                Err(error) => {
                    crate::say(&format!("{} cannot say \"{text}\": {error:#}", device.name));
                    refused += 1;
                }
            }
        }
    }
    refused
}

/// Lets everybody catch up, now that nobody is killed any more. Returns what the mortals have in their stores, and whether all is well in
/// time.
async fn catch_up(
    mortals: &[Setup],
    steady: &[&Device],
    ledger: &Ledger,
) -> anyhow::Result<(BTreeMap<DeviceId, Vec<String>>, bool)> {
    let mut people = Vec::new();
    for setup in mortals {
        people.push((setup.device, setup.start(None)?));
    }
    let deadline = Instant::now() + CATCH_UP_MAX;
    let settled = loop {
        let mut waiting = 0;
        for (_, person) in &mut people {
            waiting += person.waiting().await.context(DIED)?;
        }
        for device in steady {
            waiting += device.client.outbox_len()?;
        }
        let over = Instant::now() > deadline;
        if waiting == 0 || over {
            for (device, person) in &mut people {
                ledger.in_store(*device, &account(person, ledger).await?);
            }
            let outstanding = ledger.outstanding();
            if waiting == 0 && outstanding == 0 {
                break true;
            }
            if over {
                crate::say(&format!("{waiting} wait in outboxes, {outstanding} are not shown"));
                break false;
            }
            tokio::time::sleep(ACCOUNT_PAUSE).await;
        }
        tokio::time::sleep(POLL).await;
    };
    for (_, person) in people {
        person.end().await?;
    }
    // What they show is compared with what they have: the stores are read when nothing can be shown any more. A history that was read
    // while they lived lacks what came a moment later.
    let mut histories = BTreeMap::new();
    for setup in mortals {
        let texts = in_profile(setup)?;
        ledger.in_store(setup.device, &texts);
        histories.insert(setup.device, texts);
    }
    Ok((histories, settled))
}

/// Returns the texts in the profile of a device whose process is gone.
fn in_profile(setup: &Setup) -> anyhow::Result<Vec<String>> {
    let client = crate::device::open(&setup.folder, &setup.server, &setup.authority, Arc::new(SystemClock))?;
    crate::device::texts(&client)
}

/// Writes down what a profile says of its own messages. Returns all texts in it.
async fn account(person: &mut Person, ledger: &Ledger) -> anyhow::Result<Vec<String>> {
    let mut answer = person.order(&json!({ "account": {} })).await;
    loop {
        let line = answer.context(DIED)?;
        if let Some(accepted) = line["accepted"].as_array() {
            let [message, text, device] = accepted.as_slice() else { anyhow::bail!("an accepted of three") };
            let message: MessageId = message.as_str().context("an id")?.parse()?;
            let device: DeviceId = device.as_str().context("an id")?.parse()?;
            ledger.sent(message, text.as_str().context("a text")?);
            ledger.accepted_for(message, device);
        } else if let Some(texts) = line["texts"].as_array() {
            return Ok(texts.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect());
        }
        answer = person.answer().await;
    }
}

/// What is wrong when a process does not answer at the end.
const DIED: &str = "a client died although nobody killed it";

/// How a failpoint ends a process.
const SIGABRT: i32 = 6;
