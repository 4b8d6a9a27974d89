//! What was accepted lately, in memory: nearly every envelope is delivered and acknowledged from here, and comes into no table.
//!
//! Owns the envelopes of the log that still wait, by device. Does not know how the log lies on disk: that is [`super::log`].
//!
//! - The writer alone changes it. Readers see an envelope when its commit is done, not before.
//! - What leaves for the table leaves after it can be read there: a reader that looks here first misses nothing.
//! - Memory is bounded by the log, which is folded into the table from a size on.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use halcyon_server::ports::{ReadLimit, StoredEnvelope};
use halcyon_types::{DeviceId, Timestamp, Topic};

use super::quota::Load;

/// The envelopes of the log that wait.
#[derive(Default)]
pub(super) struct Recent(Mutex<State>);

#[derive(Default)]
struct State {
    mailboxes: HashMap<DeviceId, Mailbox>,
    /// Positions from here on are of a commit that is under way.
    committed: u64,
}

#[derive(Default)]
struct Mailbox {
    /// In order of their positions.
    envelopes: VecDeque<Kept>,
    bytes: u64,
}

/// One envelope.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) position: u64,
    /// Which row of the log holds it.
    pub(super) row: u64,
    pub(super) topic: Topic,
    pub(super) expires: Timestamp,
    pub(super) envelope: Bytes,
}

impl Kept {
    pub(super) fn bytes(&self) -> u64 {
        self.envelope.len() as u64
    }
}

impl Recent {
    /// Puts an envelope where its position belongs: the newest of all, or one whose removal is undone.
    pub(super) fn put(&self, device: DeviceId, kept: Kept) {
        let mut state = self.lock();
        let mailbox = state.mailboxes.entry(device).or_default();
        mailbox.bytes += kept.bytes();
        let at = match mailbox.envelopes.back() {
            Some(newest) if newest.position > kept.position => {
                mailbox.envelopes.partition_point(|other| other.position < kept.position)
            }
            _ => mailbox.envelopes.len(),
        };
        mailbox.envelopes.insert(at, kept);
    }

    /// Takes an envelope out if it is here.
    pub(super) fn take(&self, device: &DeviceId, position: u64) -> Option<Kept> {
        let mut state = self.lock();
        let mailbox = state.mailboxes.get_mut(device)?;
        let kept = mailbox.find(position).and_then(|at| mailbox.envelopes.remove(at))?;
        mailbox.bytes -= kept.bytes();
        if mailbox.envelopes.is_empty() {
            state.mailboxes.remove(device);
        }
        Some(kept)
    }

    /// Takes everything of a device out.
    pub(super) fn take_all(&self, device: &DeviceId) -> Vec<Kept> {
        self.lock().mailboxes.remove(device).map_or_else(Vec::new, |mailbox| mailbox.envelopes.into())
    }

    /// Returns an envelope if it is here.
    pub(super) fn get(&self, device: &DeviceId, position: u64) -> Option<Kept> {
        let state = self.lock();
        let mailbox = state.mailboxes.get(device)?;
        mailbox.find(position).and_then(|at| mailbox.envelopes.get(at)).cloned()
    }

    /// Returns position and bytes of the notification of a topic of which one is kept (COU-32).
    pub(super) fn of_topic(&self, device: &DeviceId, topic: &Topic) -> Option<(u64, u64)> {
        let state = self.lock();
        let mailbox = state.mailboxes.get(device)?;
        mailbox.envelopes.iter().rev().find(|kept| kept.topic == *topic).map(|kept| (kept.position, kept.bytes()))
    }

    /// Returns how much of a device is here, with what the running commit added.
    pub(super) fn load(&self, device: &DeviceId) -> Load {
        let state = self.lock();
        state.mailboxes.get(device).map_or_else(Load::default, |mailbox| Load {
            envelopes: mailbox.envelopes.len() as u64,
            bytes: mailbox.bytes,
        })
    }

    /// Shows what was put here to readers: its commit is done.
    pub(super) fn show_below(&self, position: u64) {
        self.lock().committed = position;
    }

    /// Returns what waits for a device on these topics after a position, as [`halcyon_server::ports::Mailboxes::read`] does;
    /// `gone` are the positions, in order, that count as deleted.
    pub(super) fn waiting(
        &self,
        device: &DeviceId,
        topics: &[Topic],
        after: u64,
        now: Timestamp,
        limit: ReadLimit,
        gone: &[u64],
    ) -> Vec<StoredEnvelope> {
        let state = self.lock();
        let Some(mailbox) = state.mailboxes.get(device) else { return Vec::new() };
        let from = mailbox.envelopes.partition_point(|kept| kept.position <= after);
        let mut found = Reading::new(limit);
        for kept in mailbox.envelopes.range(from..).take_while(|kept| kept.position < state.committed) {
            let waits = kept.expires > now && topics.contains(&kept.topic);
            if waits && gone.binary_search(&kept.position).is_err() && !found.take(kept.position, &kept.envelope) {
                break;
            }
        }
        found.envelopes
    }

    /// Returns some envelopes that expired by `now`, in order.
    pub(super) fn expired(&self, now: Timestamp, count: usize) -> Vec<(DeviceId, u64)> {
        let state = self.lock();
        let all = state.mailboxes.iter().flat_map(|(device, mailbox)| {
            mailbox.envelopes.iter().filter(|kept| kept.expires <= now).map(|kept| (*device, kept.position))
        });
        let mut found: Vec<(DeviceId, u64)> = all.filter(|(_, position)| *position < state.committed).collect();
        drop(state);
        // A simulation runs the same way twice.
        found.sort_unstable_by_key(|(_, position)| *position);
        found.truncate(count);
        found
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mailbox {
    fn find(&self, position: u64) -> Option<usize> {
        self.envelopes.binary_search_by_key(&position, |kept| kept.position).ok()
    }
}

/// What one read gathers, up to its limit (COU-51).
pub(super) struct Reading {
    limit: ReadLimit,
    bytes: usize,
    pub(super) envelopes: Vec<StoredEnvelope>,
}

impl Reading {
    pub(super) fn new(limit: ReadLimit) -> Self {
        Self { limit, bytes: 0, envelopes: Vec::new() }
    }

    /// Returns whether there is room for no other, however small.
    pub(super) fn is_full(&self) -> bool {
        self.envelopes.len() >= self.limit.count || self.bytes > self.limit.bytes
    }

    /// Takes one more; returns false when there is no room for it, nor for any that comes after it.
    pub(super) fn take(&mut self, position: u64, envelope: &Bytes) -> bool {
        self.bytes += envelope.len();
        let fits =
            self.envelopes.len() < self.limit.count && (self.bytes <= self.limit.bytes || self.envelopes.is_empty());
        if fits {
            self.envelopes.push(StoredEnvelope { position, envelope: envelope.clone() });
        }
        fits
    }
}
