//! What is counted of a world, and of many.
//!
//! Owns the sums. Does not know what makes a count: [`State`](super::State) and the judge at a world's end do.

use std::collections::BTreeMap;

/// Counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages that their senders committed.
    pub messages: u64,
    /// Messages that devices opened and committed.
    pub opened: u64,
    /// Deliveries that were kept unopened, for a while or for ever.
    pub unopened: u64,
    /// Of these and of what did not come, what was there in the end.
    pub repaired: u64,
    /// Deliveries that were unopened at the end of their world, without a reason.
    pub unreadable: u64,
    /// Numbers that were missing at the end of their world.
    pub gaps_open: u64,
    /// Sessions and profiles that were lost, damaged or went back.
    pub damages: u64,
    /// Envelopes that the server dropped.
    pub dropped: u64,
    /// Device deliveries that senders gave up.
    pub given_up: u64,
    /// Device deliveries that were too old when their device came back.
    pub expired: u64,
    /// Failing syncs and full disks of the server.
    pub disk_faults: u64,
    /// Worlds in which people were away for weeks.
    pub holidays: u64,
    /// Crashes of parties.
    pub crashes: u64,
    /// Connections that were broken, stalled or refused on purpose.
    pub faults: u64,
    /// Envelopes by suite.
    pub by_suite: BTreeMap<u32, u64>,
}

impl Totals {
    /// Adds those of another world.
    pub fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.opened += other.opened;
        self.unopened += other.unopened;
        self.repaired += other.repaired;
        self.unreadable += other.unreadable;
        self.gaps_open += other.gaps_open;
        self.damages += other.damages;
        self.dropped += other.dropped;
        self.given_up += other.given_up;
        self.expired += other.expired;
        self.disk_faults += other.disk_faults;
        self.holidays += other.holidays;
        self.crashes += other.crashes;
        self.faults += other.faults;
        for (suite, count) in &other.by_suite {
            *self.by_suite.entry(*suite).or_default() += count;
        }
    }
}
