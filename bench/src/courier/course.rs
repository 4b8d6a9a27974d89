//! When a load counts, what it counted, the times in its messages, and the tasks that receive them.
//!
//! - A message carries when it was sent, or was meant to be: its receiver, in the same process, tells how long it took.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

/// What came out of a load.
pub(crate) struct Measured {
    pub(crate) accepted_per_s: f64,
    pub(crate) delivered_per_s: f64,
    /// Send to answer, in microseconds.
    pub(crate) latency: Histogram<u64>,
    /// Send to delivery, in microseconds, of what was sent while it counted.
    pub(crate) delivery: Histogram<u64>,
}

/// Who does what in a load, and since when it counts.
pub(super) struct Course {
    begun_us: AtomicU64,
    counting: AtomicBool,
    over: AtomicBool,
    accepted: AtomicU64,
    pub(super) delivered: AtomicU64,
}

impl Course {
    pub(super) fn new() -> Self {
        Self {
            begun_us: AtomicU64::new(u64::MAX),
            counting: AtomicBool::new(false),
            over: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
        }
    }

    /// Lets it warm up, then counts; returns for how long.
    pub(super) async fn run(&self, length: Duration) -> f64 {
        tokio::time::sleep((length / 6).clamp(WARM_UP_MIN, WARM_UP_MAX)).await;
        let begun = Instant::now();
        self.begun_us.store(micros(begun), Ordering::SeqCst);
        self.counting.store(true, Ordering::SeqCst);
        tokio::time::sleep(length).await;
        self.counting.store(false, Ordering::SeqCst);
        let seconds = begun.elapsed().as_secs_f64();
        self.over.store(true, Ordering::SeqCst);
        seconds
    }

    /// Returns whether no more is to be sent.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Counts one delivery, and how long after the time in its payload it came if that is of this course.
    pub(super) fn note_delivery(&self, payload: &[u8], delivery: &mut Histogram<u64>) {
        if !self.count(&self.delivered) {
            return;
        }
        let Some(sent_us) = payload.first_chunk().map(|stamp| u64::from_be_bytes(*stamp)) else { return };
        if sent_us >= self.begun_us.load(Ordering::Relaxed) {
            delivery.saturating_record(micros(Instant::now()).saturating_sub(sent_us));
        }
    }

    /// Counts one answer to a send, and how long it took.
    pub(super) fn note(&self, begun: Instant, latency: &mut Histogram<u64>) {
        if self.count(&self.accepted) {
            latency.saturating_record(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// Counts one event if it is time to; returns whether it is.
    pub(super) fn count(&self, counter: &AtomicU64) -> bool {
        let counting = self.counting.load(Ordering::Relaxed);
        if counting {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        counting
    }

    pub(super) fn measured(&self, seconds: f64, latency: Histogram<u64>, delivery: Histogram<u64>) -> Measured {
        let rate = |counter: &AtomicU64| counter.load(Ordering::SeqCst) as f64 / seconds;
        Measured { accepted_per_s: rate(&self.accepted), delivered_per_s: rate(&self.delivered), latency, delivery }
    }
}

/// The tasks that receive, and how long what each of them got took.
#[derive(Default)]
pub(super) struct Receivers {
    tasks: JoinSet<Result<()>>,
    deliveries: Vec<Delivery>,
}

/// How long deliveries took, in microseconds.
pub(super) type Delivery = Arc<Mutex<Histogram<u64>>>;

impl Receivers {
    /// Starts one, which notes its deliveries in what it is given.
    pub(super) fn spawn<F>(&mut self, receive: impl FnOnce(Delivery) -> F) -> Result<()>
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let delivery = Arc::new(Mutex::new(histogram()?));
        self.deliveries.push(delivery.clone());
        self.tasks.spawn(receive(delivery));
        Ok(())
    }

    /// Hangs up, and returns how long deliveries took.
    pub(super) async fn end(mut self) -> Result<Histogram<u64>> {
        while let Some(ended) = self.tasks.try_join_next() {
            // None ends by itself unless something went wrong.
            ended??;
        }
        self.tasks.shutdown().await;
        let mut all = histogram()?;
        for delivery in self.deliveries {
            all.add(&*delivery.lock().unwrap_or_else(PoisonError::into_inner))?;
        }
        Ok(all)
    }
}

pub(super) fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

/// Returns a moment as microseconds since the process first asked.
pub(super) fn micros(at: Instant) -> u64 {
    u64::try_from(at.saturating_duration_since(*ORIGIN).as_micros()).unwrap_or(u64::MAX)
}

/// Returns a payload that says when it was sent.
pub(super) fn stamped(at: Instant, bytes: usize) -> Vec<u8> {
    let mut payload = vec![7; bytes.max(STAMP_BYTES)];
    payload[..STAMP_BYTES].copy_from_slice(&micros(at).to_be_bytes());
    payload
}

static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

const STAMP_BYTES: usize = size_of::<u64>();
const WARM_UP_MIN: Duration = Duration::from_millis(300);
const WARM_UP_MAX: Duration = Duration::from_secs(5);
