//! How often the same is sent again. Spec: 61-repair.md §3 (REP-18).
//!
//! Owns the limits for each device. In memory only: after a restart of the process it takes as many again.

use std::collections::HashMap;

use halcyon_types::{DeviceId, Duration, MessageId, Timestamp};

/// REP-18: the same message is not sent again to the same device before this; requests may come in a heap after weeks.
const RESEND_PAUSE: Duration = Duration::from_mins(1);
/// REP-18: what one device's requests make in an hour.
const RESENDS_AN_HOUR: u32 = 1024;
/// Messages sent again that are remembered at most.
const REMEMBERED_MAX: usize = 16_384;

/// What was sent again, and to whom, lately.
#[derive(Debug, Default)]
pub(crate) struct Resent {
    at: HashMap<(MessageId, DeviceId), Timestamp>,
    hours: HashMap<DeviceId, (Timestamp, u32)>,
}

impl Resent {
    /// Says whether a message may be sent again to a device now, and counts it.
    pub(crate) fn may(&mut self, message: MessageId, device: DeviceId, now: Timestamp) -> bool {
        let last = self.at.get(&(message, device));
        if last.is_some_and(|last| now.since(*last) < RESEND_PAUSE) {
            return false;
        }
        let (begun, count) = self.hours.entry(device).or_insert((now, 0));
        if now.since(*begun) >= Duration::from_mins(60) {
            (*begun, *count) = (now, 0);
        }
        if *count >= RESENDS_AN_HOUR {
            return false;
        }
        *count += 1;
        if self.at.len() >= REMEMBERED_MAX {
            self.at.retain(|_, at| now.since(*at) < RESEND_PAUSE);
        }
        self.at.insert((message, device), now);
        true
    }
}
