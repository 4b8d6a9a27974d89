//! A token bucket, for send rates and every other "so many a second with a burst". Spec: 30-courier.md (COU-45).
//!
//! Owns arithmetic without floating point. Does not know the clock: time is an argument, and a clock that goes back
//! gives nothing away.

use halcyon_types::Timestamp;

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
        // A rate per second is the same number of thousandths per millisecond.
        let gained = now.since(self.filled).as_millis().saturating_mul(u64::from(per_s));
        self.milli_tokens = self.milli_tokens.saturating_add(gained).min(u64::from(burst) * 1000);
        self.filled = self.filled.max(now);
        match self.milli_tokens.checked_sub(1000) {
            Some(left) => {
                self.milli_tokens = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use halcyon_types::Duration;

    use super::*;

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
