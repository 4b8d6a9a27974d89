//! Very many mailboxes: what they cost a message, a start, and the memory; and giving the disk back.
//!
//! - Envelopes are stored through the real store, by the same port as the courier uses it.
//! - Few and very many mailboxes take turns, so that what else the machine does at the time cancels out.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use halcyon_courier::{ClientFrame, ServerFrame};
use halcyon_server::ports::{Append, AppendOutcome, Clock, Mailboxes};
use halcyon_server_net::world::SystemClock;
use halcyon_server_store::{MailboxOptions, MailboxStore};
use halcyon_types::{DeviceId, Duration as Span, Timestamp, Topic};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;

use super::table::Figure;
use super::{Scale, scratch};
use crate::courier::clients::Clients;
use crate::courier::people::Person;
use crate::courier::process::{ServerProcess, own_cpu_ms};
use crate::courier::{Arguments, load};

pub(super) async fn measure(scale: &Scale, home: &Path) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let (few_folder, many_folder) = (scratch(home)?, scratch(home)?);
    {
        let few = Arc::new(Filled::open(few_folder.path(), scale.few_mailboxes).await?);
        let many = Arc::new(Filled::open(many_folder.path(), scale.mailboxes).await?);
        let what = format!("{} mailboxes with {WAITING} messages each: filled at", scale.mailboxes);
        figures.push(Figure::new(what, many.filled_per_s, "/s"));
        compare(scale, &few, &many, &mut figures).await?;
        many.put(Person::numbered(DRAINED).device, scale.drained).await?;
    }
    restart(scale, many_folder.path(), &mut figures).await?;
    expire(scale, many_folder.path(), &mut figures).await?;
    Ok(figures)
}

/// A store in which every mailbox holds as many messages.
struct Filled {
    store: MailboxStore,
    mailboxes: u32,
    filled_per_s: f64,
}

impl Filled {
    async fn open(folder: &Path, mailboxes: u32) -> Result<Self> {
        let store = open(folder)?;
        // Devices come in the order of their ids, ten times over: what waits is the same in any order, and this one is quick.
        let mut devices: Vec<DeviceId> =
            (0..mailboxes).map(|number| Person::numbered(PEOPLE + number).device).collect();
        devices.sort_unstable();
        let filled = Self { store, mailboxes, filled_per_s: 0.0 };
        let begun = Instant::now();
        for _ in 0..WAITING {
            for chunk in devices.chunks(FILL_BATCH) {
                filled.append(chunk.iter().copied()).await?;
            }
        }
        let messages = f64::from(mailboxes) * f64::from(WAITING);
        Ok(Self { filled_per_s: messages / begun.elapsed().as_secs_f64(), ..filled })
    }

    /// Stores so many messages for one device.
    async fn put(&self, device: DeviceId, messages: u32) -> Result<()> {
        let devices: Vec<DeviceId> = (0..messages).map(|_| device).collect();
        for chunk in devices.chunks(FILL_BATCH) {
            self.append(chunk.iter().copied()).await?;
        }
        Ok(())
    }

    /// Stores one message for each device; returns whose they are and where.
    async fn append(&self, devices: impl Iterator<Item = DeviceId>) -> Result<Vec<(DeviceId, u64)>> {
        let (expires, envelope) = (SystemClock.now().plus(Span::from_days(1)), Bytes::from(vec![7; ENVELOPE_BYTES]));
        let batch: Vec<Append> = devices
            .map(|device| Append { device, topic: Topic::message(), expires, envelope: envelope.clone() })
            .collect();
        let devices: Vec<DeviceId> = batch.iter().map(|append| append.device).collect();
        let outcomes = self.store.append(batch, Vec::new()).await?;
        let stored = devices.into_iter().zip(outcomes).map(|(device, outcome)| match outcome {
            AppendOutcome::Accepted(position) => Ok((device, position)),
            AppendOutcome::Quota => bail!("a mailbox is full"),
        });
        stored.collect()
    }

    /// Stores and acknowledges messages of mailboxes at random for a while. Returns how many, and the processor time of this process.
    async fn turn_over(self: &Arc<Self>, length: Duration) -> Result<(u64, Duration, u64)> {
        let (over, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (begun, cpu_ms) = (Instant::now(), own_cpu_ms()?);
        let mut tasks = JoinSet::new();
        for seed in 0..SENDERS {
            let (this, over, done) = (self.clone(), over.clone(), done.clone());
            tasks.spawn(async move {
                let mut rng = StdRng::seed_from_u64(seed);
                while !over.load(Ordering::Relaxed) {
                    let mailboxes = this.mailboxes;
                    let batch: Vec<u32> = (0..BATCH).map(|_| PEOPLE + rng.gen_range(0..mailboxes)).collect();
                    let devices = batch.iter().map(|number| Person::numbered(*number).device);
                    for (device, position) in this.append(devices).await? {
                        this.store.acknowledge(device, vec![position]).await?;
                    }
                    done.fetch_add(batch.len() as u64, Ordering::Relaxed);
                }
                anyhow::Ok(())
            });
        }
        tokio::time::sleep(length).await;
        over.store(true, Ordering::Relaxed);
        while let Some(task) = tasks.join_next().await {
            task??;
        }
        // What was acknowledged last is deleted within a moment, and that is part of the cost.
        tokio::time::sleep(DELETED_BY).await;
        Ok((done.load(Ordering::Relaxed), begun.elapsed() - DELETED_BY, own_cpu_ms()? - cpu_ms))
    }
}

/// The cost of a message among few mailboxes and among many.
async fn compare(scale: &Scale, few: &Arc<Filled>, many: &Arc<Filled>, figures: &mut Vec<Figure>) -> Result<()> {
    let turn = Duration::from_secs(scale.seconds) / 5;
    let mut sums = [Turns::default(), Turns::default()];
    // One turn each that does not count: caches fill.
    for round in 0..=TURNS {
        for (store, sum) in [few, many].into_iter().zip(&mut sums) {
            let (messages, took, cpu_ms) = store.turn_over(turn).await?;
            if round > 0 {
                sum.add(messages, took, cpu_ms);
            }
        }
    }
    for (sum, mailboxes) in sums.iter().zip([few.mailboxes, many.mailboxes]) {
        figures.push(Figure::new(format!("{mailboxes} mailboxes: stored and acknowledged"), sum.per_s(), "/s"));
        figures.push(Figure::new(format!("{mailboxes} mailboxes: CPU a message"), sum.cpu_us(), "us"));
    }
    let [few_sum, many_sum] = sums;
    let between = format!("{} mailboxes beside {}", many.mailboxes, few.mailboxes);
    let time = few_sum.per_s() / many_sum.per_s();
    figures.push(Figure::new(format!("{between}: time a message"), time, "x").at_most(1.1));
    figures
        .push(Figure::new(format!("{between}: CPU a message"), many_sum.cpu_us() / few_sum.cpu_us(), "x").at_most(1.1));
    Ok(())
}

#[derive(Default)]
struct Turns {
    messages: u64,
    took: Duration,
    cpu_ms: u64,
}

impl Turns {
    fn add(&mut self, messages: u64, took: Duration, cpu_ms: u64) {
        self.messages += messages;
        self.took += took;
        self.cpu_ms += cpu_ms;
    }

    fn per_s(&self) -> f64 {
        self.messages as f64 / self.took.as_secs_f64()
    }

    fn cpu_us(&self) -> f64 {
        self.cpu_ms as f64 * 1_000.0 / self.messages.max(1) as f64
    }
}

/// Starts a server over the many mailboxes, kills it under load, starts it again; then drains the large mailbox.
async fn restart(scale: &Scale, folder: &Path, figures: &mut Vec<Figure>) -> Result<()> {
    let arguments = Arguments { senders: 8, receivers: 8, in_flight: 1, ..Arguments::of(1_024) };
    for (what, length) in [("after a clean end", scale.seconds), ("after a kill under load", 1)] {
        let begun = Instant::now();
        let server = ServerProcess::start(folder, PEOPLE, 1_024).await?;
        let clients = Clients::new(folder, server.ports())?;
        load::one_accepted(&clients, &arguments).await?;
        let first_ms = begun.elapsed().as_secs_f64() * 1_000.0;
        let what = format!("{} mailboxes: start to first accept, {what}", scale.mailboxes);
        figures.push(Figure::new(what, first_ms, "ms").at_most(2_000.0));
        load::courier(&clients, &arguments, Duration::from_secs(length)).await?;
        let gib = server.settled_resident_bytes().await? as f64 / f64::from(1 << 30);
        let what = format!("{} mailboxes: memory of the server, some of them in use", scale.mailboxes);
        figures.push(Figure::new(what, gib, "GiB").at_most(2.0));
        // Killed: it is not asked to end.
        drop(server);
    }
    let server = ServerProcess::start(folder, PEOPLE, 1_024).await?;
    let clients = Clients::new(folder, server.ports())?;
    let begun = Instant::now();
    drain(&clients, scale.drained).await?;
    let per_s = f64::from(scale.drained) / begun.elapsed().as_secs_f64();
    figures.push(Figure::new(format!("a mailbox of {} messages: drained at", scale.drained), per_s, "/s"));
    server.stop().await
}

/// Receives and acknowledges everything that waits for the device of the large mailbox.
async fn drain(clients: &Clients, messages: u32) -> Result<()> {
    let mut device = clients.connect(Person::numbered(DRAINED)).await?;
    let mut left = messages;
    while left > 0 {
        let mut newest = None;
        while let Some(frame) = device.received()? {
            let ServerFrame::Deliver(deliver) = frame else { bail!("unexpected: {frame:?}") };
            newest = Some(deliver.seq);
            left = left.checked_sub(1).context("more was delivered than was put there")?;
        }
        if let Some(seq) = newest {
            device.queue(ClientFrame::Ack { seq });
            device.flush().await?;
        } else {
            device.fill().await?;
        }
    }
    Ok(())
}

/// Lets everything expire and sees the file shrink.
async fn expire(scale: &Scale, folder: &Path, figures: &mut Vec<Figure>) -> Result<()> {
    let store = open(folder)?;
    let end = Timestamp::from_millis(u64::MAX >> 1);
    let before = bytes_on_disk(folder)?;
    let (begun, mut expired) = (Instant::now(), 0_u64);
    let mut rests = 0;
    // The first step that finds nothing has given back what the disk is owed; a second one is asked to make sure.
    while rests < 2 {
        let step = store.expire(end).await? as u64;
        expired += step;
        rests = if step == 0 { rests + 1 } else { 0 };
    }
    let took = begun.elapsed().as_secs_f64();
    drop(store);
    let after = bytes_on_disk(folder)?;
    ensure!(expired >= u64::from(scale.mailboxes), "only {expired} expired");
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    figures.push(Figure::new("messages that expired, and were deleted", expired as f64, ""));
    figures.push(Figure::new("expired at, with the space given back", expired as f64 / took, "/s"));
    figures.push(Figure::new("files of the mailboxes before", mib(before), "MiB"));
    figures.push(Figure::new("files of the mailboxes after", mib(after), "MiB"));
    Ok(())
}

fn open(folder: &Path) -> Result<MailboxStore> {
    let options = MailboxOptions { envelopes_max: u64::MAX, bytes_max: u64::MAX, ..MailboxOptions::default() };
    Ok(MailboxStore::open(folder, options)?)
}

/// Returns what the database and its log take; the reserve has one size always.
fn bytes_on_disk(folder: &Path) -> Result<u64> {
    let length = |name: &str| std::fs::metadata(folder.join(name)).map_or(0, |found| found.len());
    let bytes = length("mailboxes.db") + length("mailboxes.db-wal");
    ensure!(bytes > 0, "there is no file of mailboxes");
    Ok(bytes)
}

/// Messages that wait in each mailbox.
const WAITING: u32 = 10;
/// Bytes of a stored envelope: a short text.
const ENVELOPE_BYTES: usize = 376;
/// Messages stored at once while mailboxes are filled.
const FILL_BATCH: usize = 2_048;
/// Tasks that store at the same time, and messages that each stores at once.
const SENDERS: u64 = 32;
const BATCH: usize = 8;
/// Turns that count.
const TURNS: u32 = 5;
/// By when the writer has deleted what was acknowledged last.
const DELETED_BY: Duration = Duration::from_millis(400);
/// People whom the restarted server knows, and for whom nothing waits. (Its directory is in memory, and not what is measured here.)
const PEOPLE: u32 = 64;
/// Who has the large mailbox: known to the server, and in no load.
const DRAINED: u32 = 63;
