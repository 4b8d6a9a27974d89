//! How long a device may be silent on the network that it is in. Spec: 30-courier.md §2 (COU-15).
//!
//! Owns the interval's growth and shrinking. Does not know connections: the interval outlives them.

use halcyon_types::Duration;

/// Where the interval starts and what it never goes below, unless the server asks for longer (COU-15).
const START: Duration = Duration::from_mins(1);
/// Where growth ends, unless the server asks for shorter (COU-15).
const LONGEST: Duration = Duration::from_mins(30);

/// The interval, learned from what the network allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAliveInterval {
    interval: Duration,
    shortest: Duration,
    longest: Duration,
}

impl Default for KeepAliveInterval {
    fn default() -> Self {
        Self { interval: START, shortest: START, longest: LONGEST }
    }
}

impl KeepAliveInterval {
    /// Returns the interval.
    #[must_use]
    pub fn as_duration(self) -> Duration {
        self.interval
    }

    /// Grows by half: the network let the connection live.
    #[must_use]
    pub fn succeeded(self) -> Self {
        let grown = self.interval.as_millis().saturating_add(self.interval.as_millis() / 2);
        self.with(Duration::from_millis(grown))
    }

    /// Halves: the connection died in silence.
    #[must_use]
    pub fn lost(self) -> Self {
        self.with(Duration::from_millis(self.interval.as_millis() / 2))
    }

    /// Takes over the server's bounds, within the protocol's.
    pub(super) fn within(self, shortest: Duration, longest: Duration) -> Self {
        let shortest = shortest.clamp(START, LONGEST);
        let longest = longest.clamp(shortest, LONGEST);
        Self { shortest, longest, ..self }.with(self.interval)
    }

    fn with(self, interval: Duration) -> Self {
        Self { interval: interval.clamp(self.shortest, self.longest), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// COU-15: one minute, half more each time up to half an hour; half after a loss, and never below a minute.
    #[test]
    fn the_interval_learns() {
        let mut interval = KeepAliveInterval::default();
        assert_eq!(interval.as_duration(), Duration::from_mins(1));
        interval = interval.succeeded();
        assert_eq!(interval.as_duration(), Duration::from_secs(90));
        for _ in 0..20 {
            interval = interval.succeeded();
        }
        assert_eq!(interval.as_duration(), Duration::from_mins(30));
        interval = interval.lost();
        assert_eq!(interval.as_duration(), Duration::from_mins(15));
        for _ in 0..20 {
            interval = interval.lost();
        }
        assert_eq!(interval.as_duration(), Duration::from_mins(1));
    }

    /// COU-15: a server may bound it, but cannot make a device chatter or fall silent for hours.
    #[test]
    fn the_servers_bounds_are_bounded() {
        let odd = KeepAliveInterval::default().within(Duration::default(), Duration::from_days(7));
        assert_eq!(odd, KeepAliveInterval::default());
        let short = KeepAliveInterval::default().within(Duration::from_mins(2), Duration::from_mins(2));
        assert_eq!(short.succeeded().as_duration(), Duration::from_mins(2));
        assert_eq!(short.lost().as_duration(), Duration::from_mins(2));
    }
}
