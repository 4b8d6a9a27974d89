//! The keychain of macOS and the credential manager of Windows, through `keyring-core`.
//!
//! Owns how an item is named there. Does not know what is kept.
//!
//! - The interface is the same on both systems, and has an implementation in memory, which the tests use on every system.

use std::{collections::HashMap, sync::Arc};

use halcyon_crypto::SecretBytes;
use keyring_core::{CredentialStore, Entry, Error};

use super::{Item, Keyring, KeyringError};

/// What the system's tools show as the program that keeps the item.
const SERVICE: &str = "Halcyon device secret";

/// The keyring of the system, if it can be reached.
pub(super) struct NativeKeyring {
    store: Result<Arc<CredentialStore>, KeyringError>,
}

impl NativeKeyring {
    /// Takes the user's login keychain.
    #[cfg(target_os = "macos")]
    pub(super) fn system() -> Self {
        Self { store: apple_native_keyring_store::keychain::Store::new().map(|store| store as _).map_err(refusal) }
    }

    /// Takes the user's credential manager.
    #[cfg(windows)]
    pub(super) fn system() -> Self {
        Self { store: windows_native_keyring_store::Store::new().map(|store| store as _).map_err(refusal) }
    }

    fn entry(&self, id: &str) -> Result<Entry, KeyringError> {
        let store = self.store.as_ref().map_err(Clone::clone)?;
        // By default Windows hands credentials to the user's other machines.
        let local = HashMap::from([("persistence", "Local")]);
        store.build(SERVICE, id, cfg!(windows).then_some(&local)).map_err(refusal)
    }
}

impl Keyring for NativeKeyring {
    fn find(&self, id: &str) -> Result<Option<SecretBytes>, KeyringError> {
        match self.entry(id)?.get_secret() {
            Ok(value) => Ok(Some(SecretBytes::from_vec(value))),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(refusal(error)),
        }
    }

    fn keep(&self, item: &Item<'_>, value: &SecretBytes) -> Result<(), KeyringError> {
        self.entry(item.id)?.set_secret(value.expose()).map_err(refusal)
    }

    fn remove(&self, id: &str) -> Result<(), KeyringError> {
        match self.entry(id)?.delete_credential() {
            Ok(()) | Err(Error::NoEntry) => Ok(()),
            Err(error) => Err(refusal(error)),
        }
    }
}

/// Some of these errors carry the value, so nothing but their kind goes on.
fn refusal(error: Error) -> KeyringError {
    match error {
        Error::NoStorageAccess(_) => KeyringError::Locked,
        Error::TooLong(..) => KeyringError::TooLong,
        Error::PlatformFailure(_) => KeyringError::Refused("the system's call failed".into()),
        _ => KeyringError::Refused("the item is not of the expected form".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is kept is found until it is removed, and one id is not another.
    #[test]
    fn items_are_kept_found_and_removed() {
        let keyring = NativeKeyring { store: Ok(keyring_core::mock::Store::new().unwrap()) };
        let (phone, laptop) = (Item { id: "01", label: "phone" }, Item { id: "02", label: "laptop" });
        assert!(keyring.find(phone.id).unwrap().is_none());
        keyring.keep(&phone, &SecretBytes::copy_of(b"alice's")).unwrap();
        assert_eq!(keyring.find(phone.id).unwrap().unwrap().expose(), b"alice's");
        assert!(keyring.find(laptop.id).unwrap().is_none());
        keyring.remove(laptop.id).unwrap();
        keyring.remove(phone.id).unwrap();
        assert!(keyring.find(phone.id).unwrap().is_none());
    }

    /// An error of the library may hold the value that was read; ours do not.
    #[test]
    fn errors_do_not_hold_values() {
        let error = refusal(Error::BadEncoding(b"tell nobody".to_vec()));
        assert!(!format!("{error:?} {error}").contains("tell"), "{error:?}");
        assert!(!format!("{error:?}").contains("116"), "{error:?}");
    }
}
