//! Time and randomness.

use halcyon_types::Timestamp;

/// What time it is. Timers are tokio's, which a simulation pauses.
pub trait Clock: Send + Sync {
    /// Returns the present time.
    fn now(&self) -> Timestamp;
}

/// Where randomness comes from: the operating system, or a simulation's seed.
pub trait Random: Send + Sync {
    /// Fills a buffer with random bytes.
    fn fill(&self, bytes: &mut [u8]);
}
