//! What was delivered on a connection and is not acknowledged. Spec: 30-courier.md §5 (COU-50 to COU-52).
//!
//! Owns the numbers of deliveries and the positions behind them. Does not know storage.
//!
//! - An empty window holds no memory beyond itself.

use std::collections::VecDeque;

use crate::limits::Limits;

/// Capacity that an emptied window keeps: an ordinary talk never has more under way, and does not allocate each time.
const KEPT_CAPACITY: usize = 4;

/// Deliveries under way, oldest first, with consecutive numbers.
#[derive(Debug, Default)]
pub(super) struct Window {
    under_way: VecDeque<Delivery>,
    bytes: usize,
    /// The number of the newest delivery; 0 before the first.
    newest: u64,
}

#[derive(Clone, Copy, Debug)]
struct Delivery {
    /// Nothing for what is not stored.
    position: Option<u64>,
    bytes: usize,
}

impl Window {
    /// Returns how many more deliveries, and bytes of them, fit (COU-51).
    pub(super) fn room(&self, limits: &Limits) -> (usize, usize) {
        let count = limits.window_count.saturating_sub(self.under_way.len());
        (count, limits.window_bytes.saturating_sub(self.bytes))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Says whether a position is under way.
    pub(super) fn holds(&self, position: u64) -> bool {
        self.under_way.iter().any(|delivery| delivery.position == Some(position))
    }

    /// Adds a delivery and returns its number.
    pub(super) fn push(&mut self, position: Option<u64>, bytes: usize) -> u64 {
        self.under_way.push_back(Delivery { position, bytes });
        self.bytes += bytes;
        self.newest += 1;
        self.newest
    }

    /// Removes everything up to and including `seq`, and returns the stored positions among it. Nothing, if `seq` was
    /// never given out (COU-52). An older number than before is no news.
    pub(super) fn acknowledge(&mut self, seq: u64) -> Option<Vec<u64>> {
        if seq == 0 {
            return None;
        }
        let unacknowledged = self.newest.checked_sub(seq)?;
        let under_way = u64::try_from(self.under_way.len()).expect("a length fits 64 bits");
        let done = usize::try_from(under_way.saturating_sub(unacknowledged)).expect("not more than the length");
        let removed: Vec<Delivery> = self.under_way.drain(..done).collect();
        self.bytes -= removed.iter().map(|delivery| delivery.bytes).sum::<usize>();
        if self.under_way.is_empty() && self.under_way.capacity() > KEPT_CAPACITY {
            self.under_way.shrink_to(KEPT_CAPACITY);
        }
        Some(removed.into_iter().filter_map(|delivery| delivery.position).collect())
    }
}
