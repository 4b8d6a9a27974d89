//! Times as people type them.
//!
//! Owns the way from a date to its time, in UTC: this program knows no time zones. Does not know what a time is for.

use halcyon_types::{Duration, Timestamp};

/// When something is to be sent, as it was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendTime {
    /// At a time.
    At(Timestamp),
    /// After a while.
    In(Duration),
}

impl SendTime {
    /// Reads `2026-12-01T09:00` with or without seconds, as UTC or with `Z` or an offset behind it, or a while as `+2h`.
    ///
    /// # Errors
    /// What is expected.
    pub fn parse(typed: &str) -> Result<Self, &'static str> {
        let found = match typed.strip_prefix('+') {
            Some(span) => while_of(span).map(Self::In),
            None => date_time(typed).map(Self::At),
        };
        found.ok_or(
            "a time is 2026-12-01T09:00, in UTC or with an offset as +02:00 behind it, or a while as +30m, +2h or +3d",
        )
    }

    /// Returns the time that is meant at `now`.
    #[must_use]
    pub fn from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::In(span) => now.plus(span),
        }
    }
}

fn while_of(typed: &str) -> Option<Duration> {
    let unit = typed.chars().last()?;
    let count = digits(typed.strip_suffix(unit)?)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(count.checked_mul(seconds)?))
}

fn date_time(typed: &str) -> Option<Timestamp> {
    let (date, rest) = typed.split_once(['T', ' '])?;
    let (clock, offset_s) = match rest.find(['Z', '+', '-']) {
        Some(at) => (&rest[..at], offset(&rest[at..])?),
        None => (rest, 0),
    };
    let mut date = date.splitn(3, '-').map(digits);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut clock = clock.splitn(3, ':').map(digits);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next().unwrap_or(Some(0))?);
    let is_time = hour < 24 && minute < 60 && second < 60;
    let days = days(year, month, day).filter(|_| is_time)?;
    let seconds = days.checked_mul(86_400)?.checked_add(hour * 3_600 + minute * 60 + second)?;
    Some(Timestamp::from_millis(seconds.checked_add_signed(-offset_s)?.checked_mul(1_000)?))
}

/// Returns how many seconds a clock with this offset is ahead of UTC.
fn offset(typed: &str) -> Option<i64> {
    if typed == "Z" {
        return Some(0);
    }
    let (sign, rest) = typed.split_at_checked(1)?;
    let (hours, minutes) = rest.split_once(':')?;
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    let seconds = i64::try_from(hours * 3_600 + minutes * 60).ok().filter(|_| hours <= 14 && minutes < 60)?;
    Some(if sign == "-" { -seconds } else { seconds })
}

/// At most five digits, which no sum of them overflows.
fn digits(typed: &str) -> Option<u64> {
    let are_digits = (1..=5).contains(&typed.len()) && typed.bytes().all(|byte| byte.is_ascii_digit());
    typed.parse().ok().filter(|_| are_digits)
}

/// Returns the days from 1970 to a date; none if there is no such day, or it is before.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March, as in `Timestamp::date`.
    let (year_from_march, month_from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year_from_march / 400, year_from_march % 400);
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * DAYS_OF_400_YEARS + day_of_era).checked_sub(DAYS_FROM_MARCH_0000)?;
    // The 31st of a month of 30 days is a day of the next one.
    (Timestamp::from_millis(days * 86_400_000).date() == (year, month, day)).then_some(days)
}

const DAYS_OF_400_YEARS: u64 = 146_097;
const DAYS_FROM_MARCH_0000: u64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_type_them() {
        let at = |seconds: u64| Ok(SendTime::At(Timestamp::from_millis(seconds * 1_000)));
        assert_eq!(SendTime::parse("2000-02-29T12:34:56"), at(951_827_696));
        assert_eq!(SendTime::parse("2000-02-29 12:34:56Z"), at(951_827_696));
        assert_eq!(SendTime::parse("2000-02-29T14:34+02:00"), at(951_827_640));
        assert_eq!(SendTime::parse("2000-02-29T07:04-05:30"), at(951_827_640));
        assert_eq!(SendTime::parse("1970-01-01T00:00"), at(0));
        let after = |seconds| Ok(SendTime::In(Duration::from_secs(seconds)));
        assert_eq!(SendTime::parse("+90s"), after(90));
        assert_eq!(SendTime::parse("+14d"), after(14 * 86_400));
        assert_eq!(SendTime::parse("+2h").unwrap().from(Timestamp::from_millis(5)), Timestamp::from_millis(7_200_005));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for typed in [
            "",
            "+",
            "+h",
            "+2",
            "+2w",
            "+-2h",
            "+999999d",
            "tomorrow",
            "2026-12-01",
            "2026-13-01T09:00",
            "2026-02-30T09:00",
            "2025-02-29T09:00",
            "2026-04-31T09:00",
            "2026-12-01T24:00",
            "2026-12-01T09:60",
            "2026-12-01T",
            "1969-12-31T23:59",
            "1970-01-01T00:00+01:00",
            "2026-12-01T09:00+2",
            "2026-12-01T09:00+99:00",
            "2026-12-01T09:00é",
            "é",
        ] {
            assert!(SendTime::parse(typed).is_err(), "{typed}");
        }
    }
}
