//! Honest people in pairs: one of each writes at a steady pace, the other notes how long each message took.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use halcyon_courier::{ClientFrame, Envelope, ServerFrame, Status};
use halcyon_rude::citizen::{Citizen, Online, Recipient};
use halcyon_rude::wire::Way;
use tokio::task::JoinSet;

/// How long each message of a round took, in microseconds.
pub(crate) type Taken = BTreeMap<u32, Vec<u64>>;

/// Everybody who is honest.
pub(crate) struct People {
    course: Arc<Course>,
    pairs: Mutex<JoinSet<Result<()>>>,
}

struct Course {
    begun: Instant,
    /// Which round it is, [`NONE`] between two.
    round: AtomicU32,
    taken: Mutex<Taken>,
}

impl People {
    /// Registers and connects them; they begin to write.
    pub(crate) async fn found(way: &Way, mails: &Path, pairs: u32) -> Result<Self> {
        let course = Arc::new(Course { begun: Instant::now(), round: AtomicU32::new(NONE), taken: Mutex::default() });
        let mut tasks = JoinSet::new();
        for number in 0..pairs {
            let alice = Citizen::register(way, mails, &format!("alice{number}")).await?;
            let bob = Citizen::register(way, mails, &format!("bob{number}")).await?;
            let (a, b) = (alice.online(way).await?, bob.online(way).await?);
            let to_bob = alice.look_up(way, &bob.handle, b.push_token).await?;
            tasks.spawn(write(a, alice, to_bob, number * 4_111, course.clone()));
            tasks.spawn(note(b, course.clone()));
        }
        Ok(Self { course, pairs: Mutex::new(tasks) })
    }

    /// Counts what is written from now on for so long, as a round of its own.
    pub(crate) async fn round(&self, number: u32, length: Duration) {
        self.course.round.store(number, Ordering::SeqCst);
        tokio::time::sleep(length).await;
        self.course.round.store(NONE, Ordering::SeqCst);
    }

    /// Looks whether everybody is still there.
    pub(crate) fn check(&self) -> Result<()> {
        let mut pairs = self.pairs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ended) = pairs.try_join_next() {
            ended?.context("an honest person was put out")?;
            bail!("an honest person left");
        }
        Ok(())
    }

    /// Ends everything, and returns what was counted of all rounds.
    pub(crate) fn taken(self) -> Taken {
        std::mem::take(&mut *self.course.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes at its pace, whatever the answers do: a server that stands still is asked all the same, and every message counts.
async fn write(mut line: Online, me: Citizen, to: Recipient, offset_us: u32, course: Arc<Course>) -> Result<()> {
    let mut pace = tokio::time::interval(EVERY);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    tokio::time::sleep(Duration::from_micros(u64::from(offset_us))).await;
    let mut id = 0;
    loop {
        tokio::select! {
            due = pace.tick() => {
                id += 1;
                // Counted from when it was due, not from when this got to it.
                let late = due.elapsed();
                let at = course.begun.elapsed().saturating_sub(late);
                let mut payload = course.round.load(Ordering::SeqCst).to_be_bytes().to_vec();
                payload.extend(u64::try_from(at.as_micros())?.to_be_bytes());
                payload.resize(PAYLOAD_BYTES, 7);
                line.line.say(me.send(&to, id, Bytes::from(payload))).await?;
            }
            frame = line.line.frame() => match frame?.context("the server hung up")? {
                ServerFrame::Sent(sent) => {
                    ensure!(sent.parts.iter().all(|part| part.status == Status::Accepted), "refused: {sent:?}");
                }
                other => bail!("unexpected: {other:?}"),
            },
        }
    }
}

async fn note(mut line: Online, course: Arc<Course>) -> Result<()> {
    loop {
        let ServerFrame::Deliver(deliver) = line.line.frame().await?.context("the server hung up")? else {
            bail!("something else than a delivery")
        };
        let now = course.begun.elapsed();
        let envelope = Envelope::decode(deliver.envelope).context("an envelope")?;
        let (round, rest) = envelope.payload.split_first_chunk().context("a payload")?;
        let at: [u8; 8] = rest.get(..8).context("a time")?.try_into()?;
        let took = u64::try_from(now.as_micros())?.saturating_sub(u64::from_be_bytes(at));
        course.count(u32::from_be_bytes(*round), took);
        line.line.say(ClientFrame::Ack { seq: deliver.seq }).await?;
    }
}

impl Course {
    fn count(&self, round: u32, took_us: u64) {
        if round != NONE {
            self.taken.lock().unwrap_or_else(PoisonError::into_inner).entry(round).or_default().push(took_us);
        }
    }
}

const NONE: u32 = 0;
/// 40 a second: below what a device may do (COU-45).
const EVERY: Duration = Duration::from_millis(25);
const PAYLOAD_BYTES: usize = 1_024;
