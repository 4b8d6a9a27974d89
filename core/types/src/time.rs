//! Points in time and spans, in milliseconds. Spec: 10-identity.md §1 (IDN-9).
//!
//! Owns arithmetic that cannot overflow. Does not know what time it is: that is a port of the shell.

use std::fmt;

/// Milliseconds since the UNIX epoch, UTC, as an unsigned 64-bit number (IDN-9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// A span in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(u64);

impl Timestamp {
    /// Wraps milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Returns milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns whole seconds since the epoch.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// Returns this point plus a span, at most the end of time.
    #[must_use]
    pub const fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// Returns this point minus a span, at least the epoch.
    #[must_use]
    pub const fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span.0))
    }

    /// Returns how long ago `earlier` was, zero if it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }

    /// Returns the distance between two points, whichever comes first.
    #[must_use]
    pub const fn distance(self, other: Self) -> Duration {
        Duration(self.0.abs_diff(other.0))
    }

    /// Returns its day in UTC: year, month and day of the Gregorian calendar.
    #[must_use]
    pub fn date(self) -> (u64, u64, u64) {
        civil(self.as_secs() / 86_400)
    }

    /// Returns this point for people, as `2026-05-04 09:30:00Z`.
    #[must_use]
    pub fn to_utc(self) -> String {
        let seconds = self.as_secs();
        let (year, month, day) = self.date();
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
    }
}

/// Days since 1970 to the Gregorian calendar: counts in years that begin in March, so that the leap day comes last.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_400_YEARS: u64 = 146_097;
    const DAYS_FROM_MARCH_0000: u64 = 719_468;
    let days = days.saturating_add(DAYS_FROM_MARCH_0000);
    let (era, day_of_era) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

impl Duration {
    /// Wraps milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Wraps seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Wraps minutes.
    #[must_use]
    pub const fn from_mins(mins: u64) -> Self {
        Self::from_secs(mins.saturating_mul(60))
    }

    /// Wraps days of 24 hours.
    #[must_use]
    pub const fn from_days(days: u64) -> Self {
        Self::from_mins(days.saturating_mul(24 * 60))
    }

    /// Returns milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Returns whole seconds.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// Returns the span as std's type, for timers.
    #[must_use]
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_secs() {
            0 => write!(f, "{} ms", self.0),
            secs if secs < 120 => write!(f, "{secs} s"),
            secs if secs < 2 * 3600 => write!(f, "{} min", secs / 60),
            secs if secs < 2 * 86_400 => write!(f, "{} h", secs / 3600),
            secs => write!(f, "{} days", secs / 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// IDN-9: hostile times saturate and never wrap.
    #[test]
    fn arithmetic_saturates() {
        let end = Timestamp::from_millis(u64::MAX);
        assert_eq!(end.plus(Duration::from_days(1)), end);
        assert_eq!(Timestamp::default().minus(Duration::from_secs(1)), Timestamp::default());
        assert_eq!(Timestamp::default().since(end), Duration::default());
        assert_eq!(Duration::from_days(u64::MAX).as_millis(), u64::MAX);
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        let time = |millis| Timestamp::from_millis(millis).to_utc();
        assert_eq!(time(0), "1970-01-01 00:00:00Z");
        assert_eq!(time(951_827_696_000), "2000-02-29 12:34:56Z");
        assert_eq!(time(1_767_225_599_999), "2025-12-31 23:59:59Z");
        // IDN-9: a peer's time may be anything, and must not panic.
        assert!(time(u64::MAX).ends_with('Z'));
    }

    #[test]
    fn spans_read_well() {
        assert_eq!(Duration::from_millis(5).to_string(), "5 ms");
        assert_eq!(Duration::from_secs(90).to_string(), "90 s");
        assert_eq!(Duration::from_mins(15).to_string(), "15 min");
        assert_eq!(Duration::from_days(30).to_string(), "30 days");
    }
}
