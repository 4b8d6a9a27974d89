//! What devices acknowledged and the writer has not deleted yet (COU-52).
//!
//! Owns the positions between an acknowledgement and its commit. Deleting many at once empties whole pages, which then
//! need not be written at all; deleting each as it comes would write every page once more.
//!
//! - What is acknowledged is not read any more, from the moment it is put here.
//! - It stays here until its deletion is committed, so a reader that asks before it reads misses nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use halcyon_types::DeviceId;

/// Positions that are to be deleted.
#[derive(Default)]
pub(super) struct Acknowledged(Mutex<Positions>);

#[derive(Default)]
struct Positions {
    /// Put since the writer took some last.
    fresh: Vec<(u64, DeviceId)>,
    /// What the writer took and has not committed.
    taken: Arc<Vec<(u64, DeviceId)>>,
}

/// Whether the writer should be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nudge {
    /// It knows that there is something.
    None,
    /// These are the first.
    First,
    /// There is enough for a transaction.
    Enough,
}

impl Acknowledged {
    /// Puts positions of a device here.
    pub(super) fn put(&self, device: DeviceId, positions: Vec<u64>) -> Nudge {
        if positions.is_empty() {
            return Nudge::None;
        }
        let mut all = self.lock();
        let before = all.fresh.len();
        all.fresh.extend(positions.into_iter().map(|position| (position, device)));
        let after = all.fresh.len();
        match () {
            () if before < REMOVED_AT_ONCE && after >= REMOVED_AT_ONCE => Nudge::Enough,
            () if before == 0 => Nudge::First,
            () => Nudge::None,
        }
    }

    /// Returns what a device acknowledged, in order.
    pub(super) fn of(&self, device: &DeviceId) -> Vec<u64> {
        let all = self.lock();
        // Looked through: there are a few hundred, and a map would cost each acknowledgement more than it saves a read.
        let both = all.taken.iter().chain(&all.fresh);
        let mut positions: Vec<u64> =
            both.filter(|(_, whose)| whose == device).map(|(position, _)| *position).collect();
        drop(all);
        positions.sort_unstable();
        positions
    }

    /// Takes everything to delete it, in the order in which it lies on disk. What was taken before is included until it is
    /// [`settled`](Self::settle).
    pub(super) fn take(&self) -> Arc<Vec<(u64, DeviceId)>> {
        let mut all = self.lock();
        let Positions { fresh, taken } = &mut *all;
        let more = Arc::make_mut(taken);
        more.append(fresh);
        more.sort_unstable();
        taken.clone()
    }

    /// Forgets what was taken: it is deleted.
    pub(super) fn settle(&self) {
        self.lock().taken = Arc::default();
    }

    /// Returns whether there is anything to delete.
    pub(super) fn is_empty(&self) -> bool {
        let all = self.lock();
        all.fresh.is_empty() && all.taken.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Positions> {
        // A panic while it was held left positions in one of the lists; the worst is that some come again (COU-53).
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Positions after which the writer deletes: most pages that they lie on are then wholly empty, and appends wait for a few
/// milliseconds only.
pub(super) const REMOVED_AT_ONCE: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    const PHONE: DeviceId = DeviceId::from_bytes([1; 16]);
    const LAPTOP: DeviceId = DeviceId::from_bytes([2; 16]);

    /// COU-52: what is acknowledged is known until it is deleted, and taken again if that failed.
    #[test]
    fn positions_are_known_until_they_are_settled() {
        let acknowledged = Acknowledged::default();
        assert_eq!(acknowledged.put(PHONE, vec![1, 5]), Nudge::First);
        assert_eq!(acknowledged.put(LAPTOP, vec![3]), Nudge::None);
        assert_eq!(*acknowledged.take(), [(1, PHONE), (3, LAPTOP), (5, PHONE)]);
        assert_eq!(acknowledged.put(PHONE, vec![7]), Nudge::First);
        assert_eq!(acknowledged.of(&PHONE), [1, 5, 7]);
        assert_eq!(acknowledged.take().len(), 4);
        acknowledged.settle();
        assert!(acknowledged.is_empty() && acknowledged.of(&PHONE).is_empty());
        assert_eq!(acknowledged.put(PHONE, (0..3_000).collect()), Nudge::Enough);
    }
}
