//! What could not be sealed for a device, while something behind it could. Spec: 60-client.md §1 (SND-4).
//!
//! Owns what was tried in vain. In memory only: after a restart it is tried once more.

use std::collections::HashMap;

use halcyon_types::{DeviceId, Handle};

/// The place of the last job that was sealed for a device when what waits for a prekey of it, under a handle, was tried last.
#[derive(Default)]
pub(crate) struct TriedInVain(HashMap<(DeviceId, Handle), u64>);

impl TriedInVain {
    /// It was tried, and waits still.
    pub(crate) fn note(&mut self, device: DeviceId, handle: Handle, last_place: u64) {
        self.0.insert((device, handle), last_place);
    }

    /// Says whether nothing was sealed for the device since.
    pub(crate) fn is_so_still(&self, device: DeviceId, handle: &Handle, last_place: u64) -> bool {
        self.0.get(&(device, handle.clone())).is_some_and(|tried| last_place <= *tried)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SND-4: what was tried in vain is tried again when something newer was sealed, and not before.
    #[test]
    fn only_something_newer_is_a_reason() {
        let (device, other) = (DeviceId::from_bytes([1; 16]), DeviceId::from_bytes([2; 16]));
        let [alice, work] = ["alice", "work"].map(|name| Handle::parse(&format!("mailto:{name}@example.org")).unwrap());
        let mut tried = TriedInVain::default();
        assert!(!tried.is_so_still(device, &alice, 5));
        tried.note(device, alice.clone(), 5);
        assert!(tried.is_so_still(device, &alice, 5) && !tried.is_so_still(device, &alice, 6));
        assert!(!tried.is_so_still(device, &work, 5) && !tried.is_so_still(other, &alice, 5));
    }
}
