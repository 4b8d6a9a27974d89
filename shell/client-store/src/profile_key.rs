//! The file `profile.key`: a profile's keybag, and the key of its store. Spec: 70-keychain.md (KEY-2, KEY-3, KEY-5).
//!
//! Owns the file's layout. How class keys are wrapped is [`halcyon_keychain`]'s; where the device secret is kept, and what the store's key
//! seals, is not known here.
//!
//! - The store's key is random and never changes; a new passphrase wraps the class keys anew.
//! - The file tells damage, another device's secret and a wrong passphrase apart.
//!
//! Version 2:
//!
//! ```text
//! "HALCPKEY" ‖ version u8 ‖ keybag 340 ‖ the store's key, sealed as the item "store" of class 4, 66 ‖ SHA-256 of all before 32
//! ```

mod first;

use halcyon_crypto::{Rng, Secret, SecretBytes, hash, password::PasswordParams};
use halcyon_keychain::{Class, KEYBAG_BYTES, Keybag, KeybagError, Keychain, SealedItem, WrappingKey};

/// The file's name in the profile folder.
pub const KEY_FILE: &str = "profile.key";

/// What the file begins with.
const MAGIC: &[u8; 8] = b"HALCPKEY";
/// The layout above.
const VERSION: u8 = 2;
/// The item of the store's key, and its class (KEY-5).
const STORE_KEY: (&[u8], Class) = (b"store", Class::AfterFirstUnlockThisDeviceOnly);
/// Nonce, length of the name, name, key, tag.
const STORE_KEY_BYTES: usize = 12 + 1 + STORE_KEY.0.len() + 32 + 16;
const DIGEST_BYTES: usize = 32;

const KEYBAG_AT: usize = MAGIC.len() + 1;
const STORE_KEY_AT: usize = KEYBAG_AT + KEYBAG_BYTES;
const DIGEST_AT: usize = STORE_KEY_AT + STORE_KEY_BYTES;
/// Bytes of the file.
pub(crate) const FILE_BYTES: usize = DIGEST_AT + DIGEST_BYTES;

/// Why `profile.key` did not give the data key. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file is whole and the device secret is the right one.
    #[error("wrong passphrase: try again")]
    WrongPassphrase,
    /// The device secret is not the one that this profile was made with.
    #[error(
        "the device secret is not this profile's: put back the device-secret file, or the keyring, that it was made with"
    )]
    ForeignDeviceSecret,
    /// The file is not what was written.
    #[error("profile.key is damaged: put it back from a copy; without it the profile cannot be opened")]
    Damaged,
    /// A later version of the program wrote the file.
    #[error("profile.key has version {0}, which this program does not know: update it")]
    Newer(u8),
    /// The file asks for less work a guess than is safe. No version of the program writes such a file.
    #[error("profile.key was weakened: put it back from a copy, and let nobody write to the profile folder")]
    Weakened,
}

impl From<KeybagError> for KeyFileError {
    fn from(error: KeybagError) -> Self {
        match error {
            KeybagError::WrongPassphrase => Self::WrongPassphrase,
            KeybagError::ForeignDeviceSecret => Self::ForeignDeviceSecret,
            KeybagError::Weakened => Self::Weakened,
            _ => Self::Damaged,
        }
    }
}

/// What the file protects, unlocked.
pub(crate) struct Unlocked {
    pub(crate) keychain: Keychain,
    /// The key of the store.
    pub(crate) data_key: Secret<32>,
}

/// The file, read and not opened.
pub(crate) enum KeyFile {
    /// As it is written today.
    Bag(Box<Keybag>, Vec<u8>),
    /// As it was written before there were classes.
    First(Vec<u8>),
}

/// Wraps what is unlocked, and returns the file's bytes. Takes as long as one guess at a passphrase.
pub(crate) fn wrap(
    unlocked: &Unlocked,
    passphrase: &SecretBytes,
    device_secret: &Secret<32>,
    work: PasswordParams,
    rng: &mut dyn Rng,
) -> Vec<u8> {
    let Unlocked { keychain, data_key } = unlocked;
    let whole = "a profile is opened with all of its keys";
    let keybag = Keybag::wrap(keychain, passphrase, device_secret, work, rng).expect(whole);
    let (name, class) = STORE_KEY;
    let store_key = keychain.seal(class, name, data_key.expose(), rng).expect(whole);
    let mut file = Vec::with_capacity(FILE_BYTES);
    file.extend_from_slice(MAGIC);
    file.push(VERSION);
    file.extend_from_slice(keybag.as_bytes());
    file.extend_from_slice(&store_key.sealed);
    let digest = hash::sha256(&[&file]);
    file.extend_from_slice(&digest);
    file
}

impl KeyFile {
    /// Reads the file's bytes.
    ///
    /// # Errors
    /// [`KeyFileError::Damaged`], [`KeyFileError::Newer`]
    pub(crate) fn read(file: &[u8]) -> Result<Self, KeyFileError> {
        let version = *file.strip_prefix(MAGIC).and_then(<[u8]>::first).ok_or(KeyFileError::Damaged)?;
        if version == first::VERSION && file.len() == first::FILE_BYTES {
            return Ok(Self::First(file.to_vec()));
        }
        let Ok(file) = <&[u8; FILE_BYTES]>::try_from(file) else {
            // A later version may be of another length. A damaged one claims some version, too, and then the advice to
            // update is wrong but harmless.
            return Err(if version > VERSION { KeyFileError::Newer(version) } else { KeyFileError::Damaged });
        };
        let (content, digest) = file.split_at(DIGEST_AT);
        if hash::sha256(&[content]) != digest {
            return Err(KeyFileError::Damaged);
        }
        if version != VERSION {
            return Err(KeyFileError::Newer(version));
        }
        let keybag = Keybag::from_bytes(&content[KEYBAG_AT..STORE_KEY_AT])?;
        Ok(Self::Bag(Box::new(keybag), content[STORE_KEY_AT..].to_vec()))
    }

    /// Opens it. Files made with less work than `floor` are refused. What was opened of a first version has new class keys, and is to be
    /// written as what [`wrap`] makes of it before anything is sealed with them.
    ///
    /// # Errors
    /// [`KeyFileError`]; the passphrase is tried only when all else is in order.
    pub(crate) fn open(
        &self,
        passphrase: &SecretBytes,
        device_secret: &Secret<32>,
        floor: PasswordParams,
        rng: &mut dyn Rng,
    ) -> Result<Unlocked, KeyFileError> {
        match self {
            Self::Bag(keybag, _) => {
                self.open_with(&keybag.wrapping_key(passphrase, device_secret, floor)?, device_secret)
            }
            Self::First(file) => {
                let data_key = first::unwrap(file, passphrase, device_secret, floor)?;
                Ok(Unlocked { keychain: Keychain::generate(rng), data_key })
            }
        }
    }

    /// Opens it with what a passphrase was stretched to.
    ///
    /// # Errors
    /// [`KeyFileError`]
    pub(crate) fn open_with(&self, key: &WrappingKey, device_secret: &Secret<32>) -> Result<Unlocked, KeyFileError> {
        let Self::Bag(keybag, store_key) = self else { return Err(KeyFileError::WrongPassphrase) };
        let keychain = keybag.unwrap(key, device_secret)?;
        let (name, class) = STORE_KEY;
        let tag = keychain.tag(class, name).map_err(|_| KeyFileError::Damaged)?;
        let item = SealedItem { class, tag, sealed: store_key.clone() };
        let data_key = keychain.open(&item, name).map_err(|_| KeyFileError::Damaged)?;
        let data_key = Secret::try_from(data_key.expose()).map_err(|_| KeyFileError::Damaged)?;
        Ok(Unlocked { keychain, data_key })
    }

    /// Opens what needs no passphrase (KEY-3); nothing in a file of the first version.
    ///
    /// # Errors
    /// [`KeyFileError::ForeignDeviceSecret`], [`KeyFileError::Damaged`]
    pub(crate) fn open_always(&self, device_secret: &Secret<32>) -> Result<Option<Keychain>, KeyFileError> {
        match self {
            Self::Bag(keybag, _) => Ok(Some(keybag.unwrap_always(device_secret)?)),
            Self::First(_) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
