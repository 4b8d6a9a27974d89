//! When a fresh KEM key is due. Spec: 43-pq3.md §4 (PQ3-14).
//!
//! Owns what the rule looks at: messages and time since a KEM secret was last mixed in. Does not make or carry keys.

use halcyon_types::{Duration, Timestamp};

use crate::state::{Reader, StateError, Writer};

use super::chain::{ABSENT, PRESENT, optional};

/// Messages, sealed and opened, after which a KEM key is offered: a compromise of all elliptic-curve secrets ends there,
/// for 2,272 bytes (PQ3-14).
pub const REKEY_MESSAGES: u32 = 50;
/// Age of the last rekey from which a KEM key is offered, however few messages there were (PQ3-14).
pub const REKEY_AGE: Duration = Duration::from_days(7);

/// What the rule looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RekeyClock {
    messages: u32,
    last: Option<Timestamp>,
}

impl RekeyClock {
    /// Returns the clock of a new session: a rekey is due at the first chance.
    pub(super) fn new() -> Self {
        Self { messages: 0, last: None }
    }

    /// Says whether a chain that begins now is to offer a KEM key (PQ3-14).
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        match self.last {
            None => true,
            Some(last) => self.messages >= REKEY_MESSAGES || now.since(last) >= REKEY_AGE,
        }
    }

    /// Counts a message that was sealed or opened.
    pub(super) fn count(&mut self) {
        self.messages = self.messages.saturating_add(1);
    }

    /// Notes that a KEM secret was mixed in.
    pub(super) fn rekeyed(&mut self, now: Timestamp) {
        *self = Self { messages: 0, last: Some(now) };
    }

    /// Returns when a KEM-768 secret was last mixed in.
    #[must_use]
    pub fn last(&self) -> Option<Timestamp> {
        self.last
    }

    pub(super) const ENCODED_BYTES_MAX: usize = 4 + 4 + 8;

    pub(super) fn write(&self, writer: &mut Writer) {
        writer.u32(self.messages);
        match self.last {
            None => writer.u32(ABSENT),
            Some(last) => {
                writer.u32(PRESENT);
                writer.u64(last.as_millis());
            }
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let messages = reader.u32()?;
        let last = optional(reader, |reader| reader.u64().map(Timestamp::from_millis))?;
        Ok(Self { messages, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    /// PQ3-14: at the first chance, after 50 messages, after a week; and not between.
    #[test]
    fn a_rekey_is_due_at_first_then_by_count_or_age() {
        let mut clock = RekeyClock::new();
        assert!(clock.is_due(NOW));
        clock.rekeyed(NOW);
        for message in 0..50 {
            assert!(!clock.is_due(NOW), "{message}");
            clock.count();
        }
        assert!(clock.is_due(NOW));
        clock.rekeyed(NOW);
        let week_later = NOW.plus(REKEY_AGE);
        assert!(!clock.is_due(week_later.minus(Duration::from_millis(1))) && clock.is_due(week_later));
        assert!(!clock.is_due(NOW.minus(REKEY_AGE)), "a clock that goes back is no reason");
    }
}
