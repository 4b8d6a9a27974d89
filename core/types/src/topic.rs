//! Topics: what a notification is about, and so how it is stored. Spec: 30-courier.md §5 (COU-30 to COU-33).
//!
//! Owns the names and the storing rule of each. Does not know mailboxes.

use std::borrow::Cow;
use std::fmt;

/// A topic name: 1 to 64 bytes of lower-case letters, digits, `.` and `-` (COU-30).
///
/// The two that nearly every notification carries are never copied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Cow<'static, str>);

/// How notifications of a topic wait for an offline device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storing {
    /// Every one, in order, until it is acknowledged or expires (COU-31).
    Queue,
    /// Only the newest one of a device and topic (COU-32).
    Latest,
}

/// Why a text is not a topic.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("a topic has 1 to 64 bytes of a-z, 0-9, `.` and `-`")]
pub struct TopicError;

/// Names travel in every filter, so they are short (COU-30).
const TOPIC_BYTES_MAX: usize = 64;

impl Topic {
    /// Sealed messages between devices.
    pub const MESSAGE: &'static str = "halcyon.message";
    /// Alerts from the server: a new device or handle, a device that asks to be linked. Never from a client (COU-33).
    pub const ALERT: &'static str = "halcyon.alert";

    /// Returns the topic of this name.
    ///
    /// # Errors
    /// [`TopicError`] when the name is empty, too long or has other characters.
    pub fn parse(name: &str) -> Result<Self, TopicError> {
        let fits = (1..=TOPIC_BYTES_MAX).contains(&name.len());
        let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-');
        match name {
            Self::MESSAGE => Ok(Self::message()),
            Self::ALERT => Ok(Self::alert()),
            _ if fits && plain => Ok(Self(Cow::Owned(name.to_owned()))),
            _ => Err(TopicError),
        }
    }

    /// Returns [`Self::MESSAGE`] as a topic.
    #[must_use]
    pub fn message() -> Self {
        Self(Cow::Borrowed(Self::MESSAGE))
    }

    /// Returns [`Self::ALERT`] as a topic.
    #[must_use]
    pub fn alert() -> Self {
        Self(Cow::Borrowed(Self::ALERT))
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns how notifications of this topic are stored.
    #[must_use]
    pub fn storing(&self) -> Storing {
        match self.as_str() {
            // COU-31: a lost message, or a lost warning, is the one thing that must not happen.
            Self::MESSAGE | Self::ALERT => Storing::Queue,
            // COU-32
            _ => Storing::Latest,
        }
    }

    /// Returns whether a client may send on this topic.
    #[must_use]
    pub fn is_for_clients(&self) -> bool {
        self.0 != Self::ALERT // COU-33
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// COU-30
    #[test]
    fn names_are_plain_and_short() {
        assert!(Topic::parse("weather.berlin-1").is_ok());
        for name in ["", "Weather", "a b", "ä", &"a".repeat(65)] {
            assert_eq!(Topic::parse(name), Err(TopicError), "{name}");
        }
    }

    /// COU-31, COU-32, COU-33
    #[test]
    fn the_topic_decides_how_it_is_stored_and_who_may_send() {
        assert_eq!(Topic::message().storing(), Storing::Queue);
        assert_eq!(Topic::alert().storing(), Storing::Queue);
        assert_eq!(Topic::parse("halcyon.presence").unwrap().storing(), Storing::Latest);
        assert!(Topic::message().is_for_clients());
        assert!(!Topic::alert().is_for_clients());
    }
}
