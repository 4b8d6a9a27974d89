//! Places on the earth. Spec: 50-content.md (CON-40, CON-41).
//!
//! Owns the point, its bounds and how it is spelled. Does not know maps: a `geo:` URI is for whatever program shows one.
//!
//! - Angles are whole numbers, so that every device shows the same point, and no number is none.

use std::fmt::{self, Write as _};

use crate::{decode::DecodeError, line, wire};

/// What a degree has: a ten-millionth of it is about a centimeter.
const PER_DEGREE: i32 = 10_000_000;
/// Digits of a degree behind its point.
const DIGITS: usize = 7;
const LATITUDE_E7_MAX: i32 = 90 * PER_DEGREE;
const LONGITUDE_E7_MAX: i32 = 180 * PER_DEGREE;
/// Meters by which a location may be wrong: half of the way around the earth, which is anywhere (CON-40).
pub const ACCURACY_METERS_MAX: u32 = 20_037_508;
/// Bytes of what a place is called (CON-40).
pub const LOCATION_NAME_BYTES_MAX: usize = 256;

/// A point on the earth (CON-40).
#[derive(Clone, PartialEq, Eq)]
pub struct Location {
    latitude_e7: i32,
    longitude_e7: i32,
    accuracy_m: u32,
    name: String,
}

impl Location {
    /// Returns a point, in ten-millionths of a degree north and east; none if there is no such point.
    #[must_use]
    pub fn new(latitude_e7: i32, longitude_e7: i32) -> Option<Self> {
        let fits = |angle: i32, max: i32| angle.unsigned_abs() <= max.unsigned_abs();
        let is_on_earth = fits(latitude_e7, LATITUDE_E7_MAX) && fits(longitude_e7, LONGITUDE_E7_MAX);
        is_on_earth.then(|| Self { latitude_e7, longitude_e7, accuracy_m: 0, name: String::new() })
    }

    /// Returns the point with the meters by which it may be wrong; none if there are more than the earth has, or 0.
    #[must_use]
    pub fn with_accuracy(self, meters: u32) -> Option<Self> {
        (1..=ACCURACY_METERS_MAX).contains(&meters).then_some(Self { accuracy_m: meters, ..self })
    }

    /// Returns the point with a name: one line of 1 to [`LOCATION_NAME_BYTES_MAX`] bytes; none for any other.
    #[must_use]
    pub fn with_name(self, name: impl Into<String>) -> Option<Self> {
        let name = name.into();
        line::fits(&name, LOCATION_NAME_BYTES_MAX).then_some(Self { name, ..self })
    }

    /// Returns the point that a person typed as `LATITUDE,LONGITUDE` or `LATITUDE,LONGITUDE,NAME`, in degrees with a decimal point;
    /// none for anything else.
    #[must_use]
    pub fn parse(typed: &str) -> Option<Self> {
        let mut fields = typed.splitn(3, ',');
        let point = Self::new(degrees(fields.next()?)?, degrees(fields.next()?)?)?;
        match fields.next().map(str::trim) {
            None => Some(point),
            Some(name) => point.with_name(name),
        }
    }

    /// Returns the ten-millionths of a degree north of the equator.
    #[must_use]
    pub fn latitude_e7(&self) -> i32 {
        self.latitude_e7
    }

    /// Returns the ten-millionths of a degree east of Greenwich.
    #[must_use]
    pub fn longitude_e7(&self) -> i32 {
        self.longitude_e7
    }

    /// Returns the meters by which it may be wrong, if its sender said so.
    #[must_use]
    pub fn accuracy_m(&self) -> Option<u32> {
        (self.accuracy_m > 0).then_some(self.accuracy_m)
    }

    /// Returns what it is called: see [`crate::for_display`] before it is printed.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        (!self.name.is_empty()).then_some(&self.name)
    }

    /// Returns the link by which a program shows it on a map (CON-41, RFC 5870).
    #[must_use]
    pub fn geo_uri(&self) -> String {
        let mut uri = format!("geo:{},{}", spelled(self.latitude_e7), spelled(self.longitude_e7));
        if let Some(meters) = self.accuracy_m() {
            let _ = write!(uri, ";u={meters}");
        }
        uri
    }
}

/// Where somebody is, is content (I9).
impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Location(redacted)")
    }
}

/// Reads `-12.3456`; digits behind the seventh are left out.
fn degrees(typed: &str) -> Option<i32> {
    let typed = typed.trim();
    let (is_negative, digits) = match typed.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, typed.strip_prefix('+').unwrap_or(typed)),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |text: &str| (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !(is_number(whole) && is_number(part)) {
        return None;
    }
    let part = format!("{part:0<DIGITS$}");
    let whole = i32::try_from(whole.parse::<u64>().ok()?).ok()?.checked_mul(PER_DEGREE)?;
    let angle = whole.checked_add(part.get(..DIGITS)?.parse().ok()?)?;
    Some(if is_negative { -angle } else { angle })
}

/// Writes an angle without zeros that say nothing.
fn spelled(angle_e7: i32) -> String {
    let sign = if angle_e7 < 0 { "-" } else { "" };
    let angle = angle_e7.unsigned_abs();
    let (whole, part) = (angle / PER_DEGREE.unsigned_abs(), angle % PER_DEGREE.unsigned_abs());
    let text = format!("{sign}{whole}.{part:0DIGITS$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub(crate) fn decode(wire: wire::Location) -> Result<Location, DecodeError> {
    let point = Location::new(wire.latitude_e7, wire.longitude_e7).ok_or(DecodeError::Location)?; // CON-40
    let point = match wire.accuracy_m {
        0 => point,
        meters => point.with_accuracy(meters).ok_or(DecodeError::Location)?,
    };
    match wire.name {
        none if none.is_empty() => Ok(point),
        name => point.with_name(name).ok_or(DecodeError::Location),
    }
}

pub(crate) fn encode(location: &Location) -> wire::Location {
    let Location { latitude_e7, longitude_e7, accuracy_m, name } = location.clone();
    wire::Location { latitude_e7, longitude_e7, accuracy_m, name }
}
