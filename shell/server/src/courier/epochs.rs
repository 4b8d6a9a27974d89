//! Epochs that devices showed and that are not on stable storage yet. Spec: 30-courier.md §2 (COU-17 to COU-19).
//!
//! Owns what is between a frame and its commit. What was committed is the store's to know, when and with what it is
//! committed is [`commit`](super::commit)'s to say.
//!
//! - What a device showed is known here or in the store from the moment in which its frame is read, so that a copy of it
//!   that connects in the next one is told.
//! - An epoch is held once for each frame that showed it and is not done, so memory is bounded by what is under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use halcyon_types::DeviceId;

use super::Shared;
use crate::ports::{MailboxError, ShownEpoch};

/// What is shown and not committed.
#[derive(Default)]
pub(super) struct Epochs(Mutex<HashMap<DeviceId, Vec<u64>>>);

/// An epoch on its way to the store. It is forgotten here when this is dropped.
pub(super) struct UnderWay {
    epochs: Arc<Epochs>,
    shown: ShownEpoch,
}

/// Returns the highest epoch that a device showed, 0 if none is remembered (COU-18).
pub(super) async fn remembered(shared: &Shared, device: DeviceId) -> Result<u64, MailboxError> {
    // In this order: what is committed between the two looks is found by the second.
    let under_way = shared.epochs.highest(&device);
    Ok(shared.ports.mailboxes.epoch(device).await?.max(under_way))
}

impl Epochs {
    /// Takes an epoch that a device showed; nothing if it told none (COU-17).
    pub(super) fn show(self: &Arc<Self>, device: DeviceId, epoch: u64) -> Option<UnderWay> {
        if epoch == 0 {
            return None;
        }
        self.lock().entry(device).or_default().push(epoch);
        Some(UnderWay { epochs: self.clone(), shown: ShownEpoch { device, epoch } })
    }

    fn highest(&self, device: &DeviceId) -> u64 {
        self.lock().get(device).and_then(|epochs| epochs.iter().max().copied()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DeviceId, Vec<u64>>> {
        // A panic while it was held left a whole value: every change is a single push or removal.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay {
    /// Returns what the store is to remember.
    pub(super) fn shown(&self) -> ShownEpoch {
        self.shown
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut all = self.epochs.lock();
        let Some(epochs) = all.get_mut(&self.shown.device) else { return };
        if let Some(index) = epochs.iter().position(|epoch| *epoch == self.shown.epoch) {
            epochs.swap_remove(index);
        }
        if epochs.is_empty() {
            all.remove(&self.shown.device);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHONE: DeviceId = DeviceId::from_bytes([1; 16]);

    /// COU-18: the highest of what is under way counts, and nothing of it stays.
    #[test]
    fn what_is_under_way_is_known_until_it_is_done() {
        let epochs = Arc::new(Epochs::default());
        assert!(epochs.show(PHONE, 0).is_none());
        let (nine, seven, again) = (epochs.show(PHONE, 9), epochs.show(PHONE, 7), epochs.show(PHONE, 9));
        assert_eq!(epochs.highest(&PHONE), 9);
        drop(nine);
        assert_eq!(epochs.highest(&PHONE), 9);
        drop(again);
        assert_eq!(epochs.highest(&PHONE), 7);
        drop(seven);
        assert_eq!(epochs.highest(&PHONE), 0);
        assert!(epochs.lock().is_empty());
    }
}
