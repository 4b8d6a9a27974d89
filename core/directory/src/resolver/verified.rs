//! Evidence that a device is one of an account's. Spec: 11-directory.md §1 (DIR-9), §3 (DIR-22).
//!
//! Owns the types that sealing asks for. They have no public constructor: only an accepted list makes them.
//! Does not know which suite will be chosen.

use bytes::Bytes;
use halcyon_crypto::VerifyingKey;
use halcyon_types::{AccountId, DeviceId, PushToken, SuiteId};

use super::KnownAccount;
use crate::{entry::DeviceEntry, lookup::Addresses, session::Session};

/// The devices of one account as of one accepted list, with the right to send to them.
#[derive(Clone, Debug)]
pub struct VerifiedDevices {
    account: AccountId,
    list_version: u64,
    session: Session,
    devices: Vec<VerifiedDevice>,
}

/// One device that an accepted list names.
#[derive(Clone, Debug)]
pub struct VerifiedDevice {
    account: AccountId,
    list_version: u64,
    entry: DeviceEntry,
    strongest_seen: SuiteId,
    push_token: Option<PushToken>,
    prekeys: Vec<(SuiteId, Bytes)>,
}

impl VerifiedDevices {
    /// Makes the devices again from what was accepted and kept, without asking the server (DIR-24).
    #[must_use]
    pub fn from_kept(known: &KnownAccount, addresses: &Addresses) -> Self {
        Self::assemble(known, addresses)
    }

    pub(super) fn assemble(known: &KnownAccount, addresses: &Addresses) -> Self {
        // DIR-22: the list decides who is there; addresses of others are never looked at.
        let devices =
            known.list().devices().iter().map(|device| VerifiedDevice::of(known, device.entry(), Some(addresses)));
        Self {
            account: known.account(),
            list_version: known.version(),
            session: addresses.session().clone(),
            devices: devices.collect(),
        }
    }

    /// Returns the account.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// Returns the version of the list that the devices stand in; a send names it (DIR-31).
    #[must_use]
    pub fn list_version(&self) -> u64 {
        self.list_version
    }

    /// Returns the right to send to this account (DIR-30).
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Returns all devices by rising id.
    #[must_use]
    pub fn devices(&self) -> &[VerifiedDevice] {
        &self.devices
    }

    /// Returns one device.
    #[must_use]
    pub fn device(&self, id: DeviceId) -> Option<&VerifiedDevice> {
        self.devices.iter().find(|device| device.device_id() == id)
    }

    /// Returns the devices that the server gave no address for, to be reported (DIR-22).
    pub fn undeliverable(&self) -> impl Iterator<Item = &VerifiedDevice> {
        self.devices.iter().filter(|device| device.push_token.is_none())
    }
}

impl VerifiedDevice {
    /// Returns a device of an accepted list, to check what it sent: there is no address to send to (RCV-2).
    #[must_use]
    pub fn sender(known: &KnownAccount, device: DeviceId) -> Option<Self> {
        known.list().device(device).map(|device| Self::of(known, device.entry(), None))
    }

    fn of(known: &KnownAccount, entry: &DeviceEntry, addresses: Option<&Addresses>) -> Self {
        let address = addresses.and_then(|addresses| addresses.of(entry.id()));
        let (push_token, prekeys) = address.map_or((None, Vec::new()), |(token, prekeys)| (Some(token), prekeys));
        Self {
            account: known.account(),
            list_version: known.version(),
            entry: entry.clone(),
            strongest_seen: known.strongest_seen(entry.id()).unwrap_or(entry.strongest()),
            push_token,
            prekeys,
        }
    }

    /// Returns the account.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// Returns the version of the list that the device stands in.
    #[must_use]
    pub fn list_version(&self) -> u64 {
        self.list_version
    }

    /// Returns the device's id.
    #[must_use]
    pub fn device_id(&self) -> DeviceId {
        self.entry.id()
    }

    /// Returns the name that its owner gave it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.entry.name()
    }

    /// Returns the device key.
    #[must_use]
    pub fn key(&self) -> &VerifyingKey {
        self.entry.key()
    }

    /// Returns the suites that the device speaks, rising, known or not.
    #[must_use]
    pub fn suites(&self) -> &[SuiteId] {
        self.entry.suites()
    }

    /// Returns the strongest suite that the device ever offered. Accepting made sure that it still does.
    #[must_use]
    pub fn strongest_seen(&self) -> SuiteId {
        self.strongest_seen
    }

    /// Returns the suite-1 identity blob, if the device speaks suite 1.
    #[must_use]
    pub fn pair_identity(&self) -> Option<&Bytes> {
        self.entry.pair_identity()
    }

    /// Returns where the device is delivered to, or nothing if the server did not say.
    #[must_use]
    pub fn push_token(&self) -> Option<&PushToken> {
        self.push_token.as_ref()
    }

    /// Returns the newest prekey record for a suite, in that suite's encoding. Its signature is the suite's to check.
    #[must_use]
    pub fn prekey(&self, suite: SuiteId) -> Option<&Bytes> {
        self.prekeys.iter().find(|(of, _)| *of == suite).map(|(_, record)| record)
    }
}
