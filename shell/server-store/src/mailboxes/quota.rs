//! How much waits for each device, so that a full mailbox is refused without counting it each time (COU-45).
//!
//! - A count is what the running transaction sees; after a rollback everything is forgotten and counted again.
//! - Memory is bounded: what does not fit is counted again when it is needed.

use std::collections::HashMap;
use std::ops::Add;

use halcyon_types::DeviceId;

/// What waits for one device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) envelopes: u64,
    pub(super) bytes: u64,
}

impl Load {
    /// Counts one more envelope.
    pub(super) fn add(&mut self, bytes: u64) {
        self.envelopes += 1;
        self.bytes += bytes;
    }

    /// Counts one envelope less.
    pub(super) fn remove(&mut self, bytes: u64) {
        self.envelopes = self.envelopes.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Returns whether it is within a limit.
    pub(super) fn fits(&self, limit: &Self) -> bool {
        self.envelopes <= limit.envelopes && self.bytes <= limit.bytes
    }
}

impl Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            envelopes: self.envelopes.saturating_add(other.envelopes),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// The loads that are known without counting.
#[derive(Default)]
pub(super) struct Loads(HashMap<DeviceId, Load>);

impl Loads {
    /// Returns a device's load, counting it if it is not known.
    pub(super) fn of<E>(&mut self, device: DeviceId, count: impl FnOnce() -> Result<Load, E>) -> Result<&mut Load, E> {
        if self.0.len() >= LOADS_MAX && !self.0.contains_key(&device) {
            // Rare, and counting one mailbox again is one short range of the index, so there is no order of use to keep.
            self.0.clear();
        }
        match self.0.entry(device) {
            std::collections::hash_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::hash_map::Entry::Vacant(entry) => Ok(entry.insert(count()?)),
        }
    }

    /// Returns a device's load if it is known.
    pub(super) fn known(&mut self, device: &DeviceId) -> Option<&mut Load> {
        self.0.get_mut(device)
    }

    /// Forgets one device.
    pub(super) fn forget(&mut self, device: &DeviceId) {
        self.0.remove(device);
    }

    /// Forgets all: after a rollback, what was counted did not happen.
    pub(super) fn forget_all(&mut self) {
        self.0.clear();
    }
}

/// Devices whose load is kept: about 8 MiB.
const LOADS_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// COU-45: counting happens once a device, and never for more devices than are kept.
    #[test]
    fn loads_are_counted_once_and_bounded() {
        let mut loads = Loads::default();
        let device = |n: u32| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&n.to_be_bytes());
            DeviceId::from_bytes(id)
        };
        loads.of(device(0), || Ok::<_, ()>(Load { envelopes: 3, bytes: 30 })).unwrap().add(5);
        assert_eq!(*loads.of(device(0), || Err(())).unwrap(), Load { envelopes: 4, bytes: 35 });
        for n in 1..=u32::try_from(LOADS_MAX).unwrap() {
            loads.of(device(n), || Ok::<_, ()>(Load::default())).unwrap();
            assert!(loads.0.len() <= LOADS_MAX);
        }
    }
}
