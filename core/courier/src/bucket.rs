//! A token bucket, for send rates and every other "so many a second with a burst". Spec: 30-courier.md (COU-45).
//!
//! Owns arithmetic without floating point, and what each device has left of its sends. Does not know the clock: time is an
//! argument, and a clock that goes back gives nothing away.
//!
//! - A device has one budget, whatever it does with its connections.
//! - A budget that is full again is forgotten, so memory is for those who sent in the last seconds only.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use halcyon_types::{DeviceId, Duration, Timestamp};

use crate::limits::Limits;

/// Tokens that come back with time, up to a burst. 16 bytes of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    /// Thousandths of a token.
    milli_tokens: u64,
    filled: Timestamp,
}

impl TokenBucket {
    /// Returns a full bucket.
    #[must_use]
    pub fn full(burst: u32, now: Timestamp) -> Self {
        Self { milli_tokens: u64::from(burst) * 1000, filled: now }
    }

    /// Takes one token, if there is one; `per_s` come back each second, up to `burst`.
    #[must_use]
    pub fn take(&mut self, per_s: u32, burst: u32, now: Timestamp) -> bool {
        self.fill(per_s, burst, now);
        match self.milli_tokens.checked_sub(1000) {
            Some(left) => {
                self.milli_tokens = left;
                true
            }
            None => false,
        }
    }

    /// Says whether nothing is missing at `now`: it is then no different from a bucket that was never used.
    fn is_full(&mut self, per_s: u32, burst: u32, now: Timestamp) -> bool {
        self.fill(per_s, burst, now);
        self.milli_tokens == u64::from(burst) * 1000
    }

    fn fill(&mut self, per_s: u32, burst: u32, now: Timestamp) {
        // A rate per second is the same number of thousandths per millisecond.
        let gained = now.since(self.filled).as_millis().saturating_mul(u64::from(per_s));
        self.milli_tokens = self.milli_tokens.saturating_add(gained).min(u64::from(burst) * 1000);
        self.filled = self.filled.max(now);
    }
}

/// What every device has left of its sends (COU-45). One for a server: a device that connects again, or twice, has the
/// budget that it had.
///
/// Holds the devices that sent within twice the time that an empty budget takes to fill (8 seconds by default), in about
/// 50 bytes each, and nothing for the others.
pub struct SendBudgets {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    buckets: HashMap<DeviceId, TokenBucket>,
    /// When full ones were forgotten last.
    swept: Timestamp,
}

impl Default for SendBudgets {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl SendBudgets {
    /// Takes one send from a device's budget, if there is one left.
    #[must_use]
    pub fn take(&self, device: DeviceId, limits: &Limits, now: Timestamp) -> bool {
        let Limits { sends_per_s: per_s, sends_burst: burst, .. } = *limits;
        let mut shard = self.shard(device);
        shard.sweep(per_s, burst, now);
        shard.buckets.entry(device).or_insert_with(|| TokenBucket::full(burst, now)).take(per_s, burst, now)
    }

    /// Returns how many devices are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).buckets.len()).sum()
    }

    fn shard(&self, device: DeviceId) -> MutexGuard<'_, Shard> {
        // A device id is a hash: any of its bytes spreads well.
        lock(&self.shards[usize::from(device.as_bytes()[0]) % SHARDS])
    }
}

impl Shard {
    /// Forgets those that are full again, once in the time in which any of them is.
    fn sweep(&mut self, per_s: u32, burst: u32, now: Timestamp) {
        let full_again = Duration::from_millis(u64::from(burst) * 1000 / u64::from(per_s.max(1)) + 1);
        if self.swept > now.plus(full_again) {
            // The clock was set back. What was spent by the old time would be missing until that time comes again, which
            // may take hours: one more burst for everybody is the lesser harm.
            self.buckets = HashMap::new();
            self.swept = now;
        } else if now.since(self.swept) >= full_again {
            self.buckets.retain(|_, bucket| !bucket.is_full(per_s, burst, now));
            self.buckets.shrink_to(2 * self.buckets.len());
            self.swept = now;
        }
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // A panic while it was held left whole values: every change is a single insert, take or retain.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks over the budgets: many more than threads, so that two seldom meet.
const SHARDS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: fn() -> Limits = || Limits { sends_per_s: 2, sends_burst: 3, ..Limits::default() };
    const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    /// COU-45: each device has a budget of its own, and it is the same one however often it asks anew.
    #[test]
    fn each_device_has_one_budget() {
        let (budgets, limits) = (SendBudgets::default(), LIMITS());
        let [alice, bob] = [1, 2].map(|byte| DeviceId::from_bytes([byte; 16]));
        assert!((0..3).all(|_| budgets.take(alice, &limits, NOON)));
        assert!(!budgets.take(alice, &limits, NOON) && budgets.take(bob, &limits, NOON));
        let later = NOON.plus(Duration::from_millis(500));
        assert!(budgets.take(alice, &limits, later) && !budgets.take(alice, &limits, later));
    }

    /// COU-45: who rests is forgotten, so that memory is bounded by who sent in the last seconds, and loses nothing by it.
    #[test]
    fn a_budget_that_is_full_again_is_forgotten() {
        let (budgets, limits) = (SendBudgets::default(), LIMITS());
        // All in one shard, as the worst case has it.
        let device =
            |n: u32| DeviceId::from_bytes(std::array::from_fn(|at| if at == 0 { 7 } else { n.to_be_bytes()[at % 4] }));
        for n in 0..10_000 {
            // A thousand devices a second.
            assert!(budgets.take(device(n), &limits, NOON.plus(Duration::from_millis(n.into()))));
        }
        assert!(budgets.remembered() <= 3_100, "{} remembered", budgets.remembered());
        let rested = NOON.plus(Duration::from_secs(60));
        assert!((0..3).all(|_| budgets.take(device(9_999), &limits, rested)));
        assert!(!budgets.take(device(9_999), &limits, rested));
        assert_eq!(budgets.remembered(), 1);
    }

    /// COU-45: a clock that is set back by an hour silences nobody for an hour, and one that wavers gives nothing away.
    #[test]
    fn a_clock_that_is_set_back_silences_nobody() {
        let (budgets, limits) = (SendBudgets::default(), LIMITS());
        let alice = DeviceId::from_bytes([1; 16]);
        let spend = |now| (0..10).filter(|_| budgets.take(alice, &limits, now)).count();
        assert_eq!(spend(NOON), 3);
        assert_eq!(spend(NOON.minus(Duration::from_millis(100))), 0);
        assert_eq!(spend(NOON.minus(Duration::from_mins(60))), 3);
    }

    /// COU-45: a burst at once, then the steady rate, and a rest fills it again, but no more than full.
    #[test]
    fn a_burst_then_the_rate() {
        let start = Timestamp::from_millis(1_000_000);
        let mut bucket = TokenBucket::full(3, start);
        let mut take = |ms| bucket.take(2, 3, start.plus(Duration::from_millis(ms)));
        assert!(take(0) && take(0) && take(0));
        assert!(!take(0) && !take(499));
        assert!(take(500) && !take(600));
        assert!(take(600_000) && take(600_000) && take(600_000) && !take(600_000));
        // The clock goes back and forth again: nothing is gained.
        assert!(!take(0) && !take(600_000));
    }
}
