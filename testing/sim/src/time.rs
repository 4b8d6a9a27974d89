//! The time and the randomness of a world: both follow from its seed.
//!
//! Owns clocks that read the runtime's time, which is paused and jumps to the next timer, and generators that are forked by name.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use halcyon_crypto::hash::sha256;
use halcyon_types::Timestamp;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use tokio::time::Instant;

/// When every world begins: 2026-01-01.
const EPOCH_MS: u64 = 1_767_225_600_000;

/// A party's clock.
pub struct SimClock {
    began: Instant,
    ahead_ms: AtomicI64,
}

impl SimClock {
    /// Returns a clock that is right.
    #[must_use]
    pub fn new(began: Instant) -> Arc<Self> {
        Arc::new(Self { began, ahead_ms: AtomicI64::new(0) })
    }

    /// Sets how wrong it is.
    pub fn set_ahead(&self, ms: i64) {
        self.ahead_ms.store(ms, Ordering::Relaxed);
    }

    fn time(&self) -> Timestamp {
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Timestamp::from_millis(
            EPOCH_MS.saturating_add(elapsed).saturating_add_signed(self.ahead_ms.load(Ordering::Relaxed)),
        )
    }
}

impl halcyon_client::ports::Clock for SimClock {
    fn now(&self) -> Timestamp {
        self.time()
    }
}

impl halcyon_server::ports::Clock for SimClock {
    fn now(&self) -> Timestamp {
        self.time()
    }
}

/// A party's randomness.
pub struct SimRandom(Mutex<StdRng>);

impl SimRandom {
    /// Draws from this generator.
    #[must_use]
    pub fn new(rng: StdRng) -> Arc<Self> {
        Arc::new(Self(Mutex::new(rng)))
    }

    fn draw(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes);
    }
}

impl halcyon_client::ports::Random for SimRandom {
    fn fill(&self, bytes: &mut [u8]) {
        self.draw(bytes);
    }
}

impl halcyon_server::ports::Random for SimRandom {
    fn fill(&self, bytes: &mut [u8]) {
        self.draw(bytes);
    }
}

/// Returns a generator of a seed's own for a purpose, so that what one party draws changes nothing for the others.
#[must_use]
pub fn fork(seed: u64, purpose: &str) -> StdRng {
    StdRng::from_seed(sha256(&[b"halcyon sim", &seed.to_be_bytes(), purpose.as_bytes()]))
}
