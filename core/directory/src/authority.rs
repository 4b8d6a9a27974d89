//! Whether a server takes a new device list. Spec: 11-directory.md §1 (DIR-4, DIR-5), 20-accounts.md §3 (ACC-32), 21-linking.md (LNK-8).
//!
//! Owns the decision, and what follows from it: who joined and who is to be revoked.
//! Does not know how lists are stored. The caller makes decision and change one transaction, so that two lists of one
//! version cannot both win.
//!
//! - A device enters an account by its first list or through a link that was approved, and in no other way.

use halcyon_types::DeviceId;

use crate::{entry::CountersignedEntry, list::SignedList};

/// A list that may replace the current one, and what that means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The list to store.
    pub list: SignedList,
    /// Devices that are new: each gets a push token, and everybody is alerted.
    pub added: Vec<DeviceNews>,
    /// Devices that are gone, to be revoked in the same transaction (DIR-5).
    pub removed: Vec<DeviceNews>,
}

/// A device that came or went, as alerts name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceNews {
    /// The device.
    pub device: DeviceId,
    /// Its name.
    pub name: String,
}

/// Why a list is refused. Nothing changes.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpdateError {
    /// DIR-4: not one above the current version. `409 list_conflict`, with the current list; look at it and try again.
    #[error(
        "the account's device list changed meanwhile: it has version {current}, and version {offered} cannot follow"
    )]
    Conflict {
        /// Version that the server holds.
        current: u64,
        /// Version offered.
        offered: u64,
    },
    /// DIR-4: another account's list.
    #[error("the device list is another account's")]
    ForeignAccount,
    /// DIR-5: the author is not a device of the account.
    #[error("only a device of the account can change its device list")]
    ForeignAuthor,
    /// LNK-8: a new device that no approved link stands for.
    #[error("device {device} is new, and no approved link asked for it")]
    NotLinked {
        /// The device.
        device: DeviceId,
    },
    /// LNK-8: the list does not hold the link's entry byte for byte.
    #[error("the device list does not contain the entry of the link")]
    LinkMissing,
    /// ACC-32: a first list has version 1 and one device.
    #[error("the first device list of an account has version 1 and exactly one device")]
    NotFirst,
}

/// Decides on the first list of a new account (DIR-4, ACC-32). The request must be signed by the one device that is in
/// it, which is the caller's to check with that device's key.
///
/// # Errors
/// [`UpdateError::NotFirst`]
pub fn register(offered: SignedList) -> Result<Update, UpdateError> {
    let [device] = offered.devices() else { return Err(UpdateError::NotFirst) };
    if offered.version() != 1 {
        return Err(UpdateError::NotFirst);
    }
    let added = vec![DeviceNews::of(device)];
    Ok(Update { list: offered, added, removed: Vec::new() })
}

/// Decides on a list that renames or removes devices (DIR-4, DIR-5).
///
/// # Errors
/// [`UpdateError`]
pub fn update(current: &SignedList, offered: SignedList, author: DeviceId) -> Result<Update, UpdateError> {
    let update = compare(current, offered, author)?;
    match update.added.first() {
        Some(new) => Err(UpdateError::NotLinked { device: new.device }),
        None => Ok(update),
    }
}

/// Decides on the list that completes a link: the link's entry, byte for byte, is the only new one (LNK-8).
///
/// # Errors
/// [`UpdateError`]
pub fn complete_link(
    current: &SignedList,
    offered: SignedList,
    author: DeviceId,
    linked: &CountersignedEntry,
) -> Result<Update, UpdateError> {
    let id = linked.entry().id();
    let update = compare(current, offered, author)?;
    if let Some(stranger) = update.added.iter().find(|new| new.device != id) {
        return Err(UpdateError::NotLinked { device: stranger.device });
    }
    let joined = update.list.device(id).is_some_and(|device| device.bytes() == linked.bytes());
    if joined && !update.added.is_empty() { Ok(update) } else { Err(UpdateError::LinkMissing) }
}

fn compare(current: &SignedList, offered: SignedList, author: DeviceId) -> Result<Update, UpdateError> {
    // DIR-5
    if current.device(author).is_none() {
        return Err(UpdateError::ForeignAuthor);
    }
    // DIR-4. Equal ids mean equal keys, since the id follows from the key (IDN-5).
    if offered.account() != current.account() {
        return Err(UpdateError::ForeignAccount);
    }
    if current.version().checked_add(1) != Some(offered.version()) {
        return Err(UpdateError::Conflict { current: current.version(), offered: offered.version() });
    }
    let missing_in = |from: &SignedList, other: &SignedList| -> Vec<DeviceNews> {
        let missing = from.devices().iter().filter(|device| other.device(device.entry().id()).is_none());
        missing.map(DeviceNews::of).collect()
    };
    let (added, removed) = (missing_in(&offered, current), missing_in(current, &offered));
    Ok(Update { list: offered, added, removed })
}

impl DeviceNews {
    fn of(device: &CountersignedEntry) -> Self {
        Self { device: device.entry().id(), name: device.entry().name().to_owned() }
    }
}

#[cfg(test)]
mod tests;
