//! Mailboxes that had no room. Spec: 60-client.md §1 (SND-3).
//!
//! Owns which devices are known to have one, and whether they said something since. In memory only: after a restart, what waits for
//! them is tried when its time comes.

use std::collections::HashMap;

use halcyon_types::DeviceId;

/// Devices whose mailbox was full when something was last sent to them, with whether something of theirs opened since.
#[derive(Default)]
pub(crate) struct FullMailboxes(HashMap<DeviceId, bool>);

impl FullMailboxes {
    /// The courier refused an envelope for want of room.
    pub(crate) fn refused(&mut self, device: DeviceId) {
        self.0.insert(device, false);
    }

    /// The courier answered something else.
    pub(crate) fn answered(&mut self, device: DeviceId) {
        self.0.remove(&device);
    }

    /// Something of the device opened: it empties its mailbox, or did.
    pub(crate) fn heard_of(&mut self, device: DeviceId) {
        if let Some(heard) = self.0.get_mut(&device) {
            *heard = true;
        }
    }

    /// Says whether what waits for a device is to be tried again, whatever its time.
    pub(crate) fn may_have_room(&self, device: DeviceId) -> bool {
        self.0.get(&device).copied().unwrap_or(false)
    }
}
