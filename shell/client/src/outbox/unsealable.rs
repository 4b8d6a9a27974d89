//! Devices that could not be sealed for, and when to try again. Spec: 60-client.md §1 (SND-4).
//!
//! Owns since when, and what was tried. In memory only: after a restart each is tried once, and its pauses begin anew.

use std::collections::HashMap;

use halcyon_types::{DeviceId, Duration, Handle, Timestamp};

use super::pause::{RETRY_FIRST, half_random};
use crate::state::PortRng;

/// SND-4: the longest pause. A device that is away for weeks uploads a prekey as soon as it is back.
const PREKEY_RETRY_LONGEST: Duration = Duration::from_mins(60);

/// Devices that could not be sealed for, and may be later.
#[derive(Default)]
pub(crate) struct Unsealable(HashMap<DeviceId, Vain>);

struct Vain {
    /// When it was tried first.
    since: Timestamp,
    /// The place of the last job that was sealed for the device when what waits under a handle was tried last.
    behind: HashMap<Handle, u64>,
}

impl Unsealable {
    /// Nothing could be sealed for the device. Returns how long to wait: as long again as it waited already.
    pub(crate) fn failed(&mut self, device: DeviceId, now: Timestamp, rng: &mut PortRng<'_>) -> Duration {
        let vain = self.0.entry(device).or_insert_with(|| Vain { since: now, behind: HashMap::new() });
        half_random(now.since(vain.since).max(RETRY_FIRST).min(PREKEY_RETRY_LONGEST), rng)
    }

    /// Something was sealed for the device.
    pub(crate) fn sealed(&mut self, device: DeviceId) {
        self.0.remove(&device);
    }

    /// What waits under a handle was tried, and waits still.
    pub(crate) fn tried_behind(&mut self, device: DeviceId, handle: Handle, last_place: u64) {
        if let Some(vain) = self.0.get_mut(&device) {
            vain.behind.insert(handle, last_place);
        }
    }

    /// Says whether what waits for the device under a handle is to be tried, whatever its time. `last_place` is the place of the last
    /// job that was sealed for the device behind it, if one was.
    pub(crate) fn is_worth_a_try(&self, device: DeviceId, handle: &Handle, last_place: Option<u64>) -> bool {
        let Some(vain) = self.0.get(&device) else { return true };
        let tried = |last| vain.behind.get(handle).is_some_and(|tried| last <= *tried);
        last_place.is_some_and(|last| !tried(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Random;

    /// Draws the longest pauses.
    struct Longest;

    impl Random for Longest {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(255);
        }
    }

    fn device(number: u8) -> DeviceId {
        DeviceId::from_bytes([number; 16])
    }

    fn failed(unsealable: &mut Unsealable, at_s: u64) -> u64 {
        let now = Timestamp::from_millis(1000 * (1_000_000 + at_s));
        unsealable.failed(device(1), now, &mut PortRng(&Longest)).as_millis() / 1000
    }

    /// SND-4: the pauses double, up to an hour, and begin anew when something was sealed for the device.
    #[test]
    fn pauses_grow_until_something_is_sealed() {
        let mut unsealable = Unsealable::default();
        assert_eq!([0, 1, 2, 4, 8].map(|at| failed(&mut unsealable, at)), [1, 1, 2, 4, 8]);
        assert_eq!([3000, 3599, 3600, 900_000].map(|at| failed(&mut unsealable, at)), [3000, 3599, 3600, 3600]);
        unsealable.sealed(device(1));
        assert_eq!(failed(&mut unsealable, 950_000), 1);
    }

    /// SND-4: what was tried in vain is tried again when something newer was sealed, and not before; after a restart, once.
    #[test]
    fn only_something_newer_is_a_reason() {
        let [alice, work] = ["alice", "work"].map(|name| Handle::parse(&format!("mailto:{name}@example.org")).unwrap());
        let mut unsealable = Unsealable::default();
        assert!(unsealable.is_worth_a_try(device(1), &alice, None), "this process did not try it yet");
        failed(&mut unsealable, 0);
        assert!(!unsealable.is_worth_a_try(device(1), &alice, None));
        assert!(unsealable.is_worth_a_try(device(1), &alice, Some(5)));
        unsealable.tried_behind(device(1), alice.clone(), 5);
        assert!(!unsealable.is_worth_a_try(device(1), &alice, Some(5)));
        assert!(unsealable.is_worth_a_try(device(1), &alice, Some(6)));
        assert!(unsealable.is_worth_a_try(device(1), &work, Some(5)));
        unsealable.sealed(device(2));
        assert!(!unsealable.is_worth_a_try(device(1), &alice, None));
        unsealable.sealed(device(1));
        assert!(unsealable.is_worth_a_try(device(1), &alice, None));
    }
}
