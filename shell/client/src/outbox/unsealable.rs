//! Devices that could not be sealed for, and when to try again. Spec: 60-client.md §1 (SND-4).
//!
//! Owns since when, and what was tried, in memory only: after a restart each is tried once, and its pauses begin anew. Owns how such a
//! device stands in the outbox's jobs.

use std::collections::HashMap;

use halcyon_directory::VerifiedDevices;
use halcyon_types::{DeviceId, Duration, Handle, Timestamp};

use super::pause::{RETRY_FIRST, half_random};
use crate::{
    error::ProfileError,
    ports::store::{Delivery, DeliveryState, OutboxJob, OutboxTarget, TargetState},
    state::{PortRng, State},
};

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

/// SND-4: a message that waits for a prekey and reached no device of an account yet is for the devices that the account has now. No
/// answer of the courier says that there are others: it was asked nothing.
pub(super) fn serve_newer(
    state: &State,
    job: &mut OutboxJob,
    at: usize,
    devices: &VerifiedDevices,
) -> Result<(), ProfileError> {
    let (account, own_device) = (devices.account(), state.own()?.device);
    if job.silent || !job.targets[at].waits_for_prekey() {
        return Ok(());
    }
    let deliveries = state.store().deliveries(job.message)?;
    let reached =
        |delivery: &Delivery| delivery.account == account && !matches!(delivery.state, DeliveryState::Failed(_));
    let handle = job.targets[at].handle.clone();
    let is_whole = |target: &&mut OutboxTarget| {
        target.only.is_none() && target.handle == handle && target.state == TargetState::Sealed(account)
    };
    let whole = job.targets.iter_mut().find(is_whole);
    let is_new = |device: DeviceId, done: &[DeviceId]| device != own_device && !done.contains(&device);
    if let Some(whole) = whole
        && !deliveries.iter().any(reached)
        && devices.devices().iter().any(|device| is_new(device.device_id(), &whole.done))
    {
        whole.state = TargetState::ToSeal;
        whole.not_before = Timestamp::default();
    }
    Ok(())
}

/// SND-4: puts a target back that was sealed for, and beside it one for each device that could not be sealed for now, with the time
/// when to try again.
pub(super) fn wait_for_prekeys(
    job: &mut OutboxJob,
    at: usize,
    mut sealed: OutboxTarget,
    waits: Vec<(DeviceId, Timestamp)>,
) {
    match sealed.only {
        // It is the one that waits, if one does.
        Some(_) => {
            if let Some((device, not_before)) = waits.first() {
                sealed = sealed.waiting(*device, *not_before);
            }
        }
        None => {
            sealed.done.extend(waits.iter().map(|(device, _)| *device));
            let handle = || OutboxTarget::new(sealed.handle.clone());
            job.targets.extend(waits.iter().map(|(device, not_before)| handle().waiting(*device, *not_before)));
        }
    }
    job.targets[at] = sealed;
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
