//! What a client believes of what a server says about an account. Spec: 11-directory.md §1 (DIR-6 to DIR-9).
//!
//! Owns the comparison of an answer with everything that this client accepted before, and is the only place where an
//! answer becomes [`VerifiedDevices`]: a proof of key transparency, when there is one, is checked here.
//! Does not know how an answer arrived or where memory is kept. The caller stores [`Acceptance::known`] and
//! [`Acceptance::handle`] before it uses the devices, or a rolled-back list could be accepted after a crash.
//!
//! - A list that was accepted is never contradicted by a later one (I8).
//! - A refusal changes nothing: what was known stays known.
//!
//! Next: [`KnownAccount`] is the memory, [`VerifiedDevice`] the evidence.

mod known;
mod verified;

use halcyon_types::{AccountId, DeviceId, Handle, SuiteId, Timestamp};

pub use known::{KnownAccount, KnownError, KnownHandle};
pub use verified::{VerifiedDevice, VerifiedDevices};

use crate::{
    entry::DeviceEntry,
    list::{ListError, SignedList},
    lookup::{Addresses, UnverifiedAccount},
};

/// What this client remembers that bears on an answer. Nothing, for a stranger.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// The account that the handle stood for before (DIR-7).
    pub handle: Option<&'a KnownHandle>,
    /// What is known of the account that the answer claims to be about
    /// ([`UnverifiedAccount::claimed_account`]), through whichever handle it was met.
    pub account: Option<&'a KnownAccount>,
}

/// An answer that was believed.
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// The devices to seal for.
    pub devices: VerifiedDevices,
    /// What is known of the account from now on; to be stored before anything is sealed.
    pub known: KnownAccount,
    /// What the handle stands for from now on; to be stored likewise.
    pub handle: KnownHandle,
    /// Addresses and session, to be kept until [`Session::refresh`](crate::session::Session::refresh) (DIR-24).
    pub addresses: Addresses,
    /// What the user is to be shown (DIR-8), in the order of device ids.
    pub changes: Vec<Change>,
}

/// A difference between the list kept before and the accepted one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// The account was met for the first time; its devices are not listed one by one.
    FirstMet {
        /// How many devices it has.
        devices: usize,
    },
    /// A device is new.
    DeviceAdded {
        /// The device.
        device: DeviceId,
        /// Its name.
        name: String,
    },
    /// A device is gone.
    DeviceRemoved {
        /// The device.
        device: DeviceId,
        /// Its last name.
        name: String,
    },
    /// A device is called differently.
    DeviceRenamed {
        /// The device.
        device: DeviceId,
        /// Its name before.
        was: String,
        /// Its name now.
        now: String,
    },
    /// A device speaks other suites, none of them a step back.
    SuitesChanged {
        /// The device.
        device: DeviceId,
        /// The strongest that it speaks now.
        strongest: SuiteId,
    },
}

/// Why an answer is not believed. What was known stays as it was, and nothing is sealed. The server is at fault, or
/// somebody between it and the account's owner; the user is alarmed (DIR-6).
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// No list, no session, or parts of the wrong size.
    #[error("the server's answer about this person is incomplete; nothing was sent. Ask the server's operator")]
    Incomplete,
    /// DIR-3: the list is not what the account's devices signed.
    #[error("the server gave a device list that the person did not sign; nothing was sent. The server may be lying")]
    NotValid(#[from] ListError),
    /// DIR-6: an older list than the one accepted before.
    #[error(
        "the server gave an old device list (version {offered}, but version {kept} was seen before); nothing was sent. \
         The server was restored from a backup, or it hides a change"
    )]
    RolledBack {
        /// Version accepted before.
        kept: u64,
        /// Version in the answer.
        offered: u64,
    },
    /// DIR-6: the same version with other contents.
    #[error(
        "the server gave two different device lists of version {version}; nothing was sent. Somebody shows different \
         devices to different people"
    )]
    Contradicted {
        /// The version that both have.
        version: u64,
    },
    /// DIR-6: a device id with another device key.
    #[error("the key of device {device} changed, which an honest device never does; nothing was sent")]
    DeviceKeyChanged {
        /// The device.
        device: DeviceId,
    },
    /// DIR-6: a device id with another `pair` identity.
    #[error("the `pair` identity of device {device} changed, which an honest device never does; nothing was sent")]
    PairIdentityChanged {
        /// The device.
        device: DeviceId,
    },
    /// DIR-6: the strongest suite of a device is weaker than before.
    #[error(
        "device {device} offers only {offered} although it spoke {seen} before; nothing was sent, since this may be a forced downgrade"
    )]
    Weakened {
        /// The device.
        device: DeviceId,
        /// The strongest suite seen before.
        seen: SuiteId,
        /// The strongest suite offered.
        offered: SuiteId,
    },
    /// DIR-7: the handle stands for another account than before.
    #[error(
        "this address now stands for another account; nothing was sent. If the person told you about a new account, \
         accept it with `halcyon lookup --accept`"
    )]
    HandleMoved {
        /// The account accepted before.
        was: AccountId,
        /// The account in the answer.
        now: AccountId,
    },
    /// The caller gave the memory of another account than the answer's. Our fault, not the server's.
    #[error("an answer was compared with what is known of another account; this is a bug")]
    ForeignMemory,
}

/// Decides whether to believe a server's answer about `handle` (DIR-3, DIR-6, DIR-7).
///
/// # Errors
/// [`Refusal`], one variant for each lie.
pub fn accept(
    known: Known<'_>,
    handle: &Handle,
    answer: &UnverifiedAccount,
    now: Timestamp,
) -> Result<Acceptance, Refusal> {
    let wire = &answer.wire;
    // DIR-3
    let list = SignedList::from_wire(wire.list.clone().ok_or(Refusal::Incomplete)?)?;
    let addresses = Addresses::from_wire(wire).ok_or(Refusal::Incomplete)?;
    // DIR-7
    let handle = match known.handle {
        Some(pin) => pin.check(list.account())?.clone(),
        None => KnownHandle::first(handle.clone(), list.account(), now),
    };
    let (account, changes) = accept_list(known.account, list, now)?;
    let devices = VerifiedDevices::assemble(&account, &addresses);
    Ok(Acceptance { devices, known: account, handle, addresses, changes })
}

/// Decides whether to believe a list that came without a lookup, such as the own account's after linking (DIR-6).
///
/// # Errors
/// [`Refusal`]
pub fn accept_list(
    known: Option<&KnownAccount>,
    list: SignedList,
    now: Timestamp,
) -> Result<(KnownAccount, Vec<Change>), Refusal> {
    let Some(known) = known else {
        let first_met = Change::FirstMet { devices: list.devices().len() };
        return Ok((KnownAccount::first(list, now), vec![first_met]));
    };
    if known.account() != list.account() {
        return Err(Refusal::ForeignMemory);
    }
    check_version(known.list(), &list)?;
    for device in list.devices() {
        check_device(known, device.entry())?;
    }
    let changes = changes(known.list(), &list);
    Ok((known.followed_by(list, now), changes))
}

/// DIR-6: never back, and never two lists of one version.
fn check_version(kept: &SignedList, offered: &SignedList) -> Result<(), Refusal> {
    if offered.version() < kept.version() {
        return Err(Refusal::RolledBack { kept: kept.version(), offered: offered.version() });
    }
    if offered.version() == kept.version() && offered.bytes() != kept.bytes() {
        return Err(Refusal::Contradicted { version: kept.version() });
    }
    Ok(())
}

/// DIR-6: a device that was ever seen is the same device, and no weaker.
fn check_device(known: &KnownAccount, entry: &DeviceEntry) -> Result<(), Refusal> {
    let device = entry.id();
    let Some(seen) = known.seen(device) else { return Ok(()) };
    if seen.key != *entry.key().compact() {
        return Err(Refusal::DeviceKeyChanged { device });
    }
    // A device may take suite 1 up or give it up; what it may not do is come back as somebody else.
    if let (Some(was), Some(now)) = (&seen.pair_identity, entry.pair_identity())
        && was != now
    {
        return Err(Refusal::PairIdentityChanged { device });
    }
    if entry.strongest() < seen.strongest {
        return Err(Refusal::Weakened { device, seen: seen.strongest, offered: entry.strongest() });
    }
    Ok(())
}

/// DIR-8
fn changes(was: &SignedList, now: &SignedList) -> Vec<Change> {
    let mut changes = Vec::new();
    for entry in was.devices().iter().map(|device| device.entry()) {
        if now.device(entry.id()).is_none() {
            changes.push(Change::DeviceRemoved { device: entry.id(), name: entry.name().to_owned() });
        }
    }
    for entry in now.devices().iter().map(|device| device.entry()) {
        let device = entry.id();
        let Some(before) = was.device(device).map(|device| device.entry()) else {
            changes.push(Change::DeviceAdded { device, name: entry.name().to_owned() });
            continue;
        };
        if before.name() != entry.name() {
            changes.push(Change::DeviceRenamed { device, was: before.name().to_owned(), now: entry.name().to_owned() });
        }
        if before.suites() != entry.suites() {
            changes.push(Change::SuitesChanged { device, strongest: entry.strongest() });
        }
    }
    changes
}

#[cfg(test)]
mod tests;
