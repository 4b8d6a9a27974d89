//! The keychain of a profile: what of it is unlocked, and the private keys that the store keeps sealed with it. Spec: 70-keychain.md.
//!
//! Owns the names and classes of those keys, and when they are wiped. Does not know tables, or how class keys are wrapped.
//!
//! - Values of all clones are one: what one of them locks is locked for the others, the open store among them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use halcyon_crypto::{Rng, SecretBytes};
use halcyon_keychain::{Class, ItemError, Keychain, Locked, SealedItem, State, WrappingKey};
use halcyon_types::DeviceId;

use crate::{
    disk,
    page_cipher::Nonces,
    profile::{Profile, ProfileError},
};

/// The file by which the device receives before anybody unlocked it (KEY-10).
pub const RECEIVER_FILE: &str = "receiver";
/// The longest that is read of it: keys, an address, and the certificate of an authority.
const RECEIVER_BYTES_MAX: u64 = 512 * 1024;
const RECEIVER: &[u8] = b"receiver";

/// What the store keeps as an item: its class and its name, which may go on with an id (KEY-5).
pub(crate) struct ItemName {
    class: Class,
    name: &'static [u8],
    of: Option<DeviceId>,
}

/// The private keys of this device, of all suites.
pub(crate) const DEVICE_KEYS: ItemName = this_device(b"device keys");
/// The account key, which all devices of the account have.
pub(crate) const ACCOUNT_KEY: ItemName = ItemName { class: Class::AfterFirstUnlock, name: b"account key", of: None };
/// Of a link that is under way.
pub(crate) const LINK_DEVICE_KEYS: ItemName = this_device(b"link device keys");
/// See [`LINK_DEVICE_KEYS`].
pub(crate) const LINK_EPHEMERAL: ItemName = this_device(b"link ephemeral");
/// See [`LINK_DEVICE_KEYS`].
pub(crate) const LINK_NONCE: ItemName = this_device(b"link nonce");

/// The state of a session with another device.
pub(crate) fn session(device: DeviceId) -> ItemName {
    ItemName { of: Some(device), ..this_device(b"session") }
}

const fn this_device(name: &'static [u8]) -> ItemName {
    ItemName { class: Class::AfterFirstUnlockThisDeviceOnly, name, of: None }
}

impl ItemName {
    fn bytes(&self) -> Vec<u8> {
        match self.of {
            Some(device) => [self.name, device.as_bytes()].concat(),
            None => self.name.to_vec(),
        }
    }
}

/// Seals and opens the private keys in a store.
pub(crate) struct Items<'a> {
    keys: &'a ProfileKeys,
    nonces: &'a Nonces,
}

impl<'a> Items<'a> {
    pub(crate) fn new(keys: &'a ProfileKeys, nonces: &'a Nonces) -> Self {
        Self { keys, nonces }
    }

    /// Returns what is stored. Its tag is not: the row is found by other columns, which the store's key seals.
    pub(crate) fn seal(&self, name: &ItemName, value: &SecretBytes) -> rusqlite::Result<Vec<u8>> {
        let mut rng = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        let sealed = self.keys.keychain().seal(name.class, &name.bytes(), value.expose(), rng.as_mut());
        sealed.map(|item| item.sealed).map_err(|Locked| locked(ItemError::Locked))
    }

    pub(crate) fn open(&self, name: &ItemName, sealed: &[u8]) -> Result<SecretBytes, ItemError> {
        let (keychain, bytes) = (self.keys.keychain(), name.bytes());
        let tag = keychain.tag(name.class, &bytes).map_err(|Locked| ItemError::Locked)?;
        keychain.open(&SealedItem { class: name.class, tag, sealed: sealed.to_vec() }, &bytes)
    }
}

/// A statement that needed a key which is not here.
pub(crate) fn locked(error: ItemError) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}

/// What of a profile's keychain is unlocked.
#[derive(Clone)]
pub struct ProfileKeys {
    profile: Profile,
    keychain: Arc<Mutex<Keychain>>,
}

impl ProfileKeys {
    pub(crate) fn new(profile: Profile, keychain: Keychain) -> Self {
        Self { profile, keychain: Arc::new(Mutex::new(keychain)) }
    }

    pub(crate) fn profile(&self) -> &Profile {
        &self.profile
    }

    pub(crate) fn keychain(&self) -> MutexGuard<'_, Keychain> {
        self.keychain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says how far the profile is unlocked.
    #[must_use]
    pub fn state(&self) -> State {
        self.keychain().state()
    }

    /// Wipes what may be in memory only while the profile is unlocked (KEY-6). The store goes on.
    pub fn lock(&self) {
        self.keychain().lock();
    }

    /// Wipes everything that takes a passphrase (KEY-7). The store has to be closed.
    pub fn forget(&self) {
        self.keychain().forget();
    }

    /// Unlocks again. Takes as long as one guess at a passphrase.
    ///
    /// # Errors
    /// [`ProfileError`], also for a wrong passphrase; then everything is as it was.
    pub fn unlock(&self, passphrase: &SecretBytes, rng: &mut dyn Rng) -> Result<(), ProfileError> {
        let all = self.profile.unlock(passphrase, rng)?;
        self.keychain().unlock(all);
        Ok(())
    }

    /// Unlocks again, with what the passphrase is stretched to (KEY-9).
    ///
    /// # Errors
    /// [`ProfileError`]; then everything is as it was.
    pub fn unlock_with(&self, key: &WrappingKey) -> Result<(), ProfileError> {
        let all = self.profile.unlock_with(key)?;
        self.keychain().unlock(all);
        Ok(())
    }

    /// Returns what the passphrase is stretched to, to open the profile with it later (KEY-9). Takes as long as one guess.
    ///
    /// # Errors
    /// [`ProfileError`], also for a wrong passphrase.
    pub fn wrapping_key(&self, passphrase: &SecretBytes) -> Result<WrappingKey, ProfileError> {
        self.profile.wrapping_key(passphrase)
    }

    /// Keeps by what the device receives before anybody unlocked it; durable when this returns (KEY-10).
    ///
    /// # Errors
    /// Those of the disk.
    pub fn keep_receiver(&self, receiver: &SecretBytes, rng: &mut dyn Rng) -> Result<(), ProfileError> {
        Ok(disk::replace(
            self.profile.disk().as_ref(),
            RECEIVER_FILE,
            &self.seal_always(RECEIVER, receiver.expose(), rng),
        )?)
    }

    /// Returns by what the device receives before anybody unlocked it; nothing if none was kept, or it does not open.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn receiver(&self) -> Result<Option<SecretBytes>, ProfileError> {
        let kept = disk::read(self.profile.disk().as_ref(), RECEIVER_FILE, RECEIVER_BYTES_MAX)?;
        // A new one is made at the next unlock.
        Ok(kept.and_then(|sealed| self.open_always(RECEIVER, &sealed)))
    }

    /// Seals for the class that can always be read on this device.
    pub(crate) fn seal_always(&self, name: &[u8], value: &[u8], rng: &mut dyn Rng) -> Vec<u8> {
        let sealed = self.keychain().seal(Class::AlwaysThisDeviceOnly, name, value, rng);
        sealed.expect("the class that needs no passphrase is never locked").sealed
    }

    /// Opens what [`seal_always`](Self::seal_always) made under a name; nothing if it is anything else.
    pub(crate) fn open_always(&self, name: &[u8], sealed: &[u8]) -> Option<SecretBytes> {
        let (class, keychain) = (Class::AlwaysThisDeviceOnly, self.keychain());
        let tag = keychain.tag(class, name).ok()?;
        keychain.open(&SealedItem { class, tag, sealed: sealed.to_vec() }, name).ok()
    }
}

impl std::fmt::Debug for ProfileKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ProfileKeys({:?})", self.state())
    }
}
