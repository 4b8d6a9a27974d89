//! Where the device secret of a real folder is kept: chosen once, when it is made, and remembered in the folder.
//!
//! Owns the choice, and the file that names the item of the keyring. Does not know how a keyring is spoken to. The key that opens a
//! profile without its passphrase, where a person chose that, is kept the same way (KEY-9), and in a keyring only.
//!
//! - What the folder says is followed, never guessed anew: with `device-secret.keyring` in it the secret comes out of the
//!   keyring or not at all (STO-3, STO-4).
//! - The secret is in the keyring before the folder says so.
//! - An item names the folder it was made for. A copy of the folder elsewhere is another folder, and does not open (STO-5).
//!
//! `device-secret.keyring` is one line: `keyring 1 ` and the 32 hexadecimal digits of the item's id. The item's value is
//! the secret's 32 bytes and then the path of the folder.

use std::{fmt::Write as _, io, path::Path, sync::Arc};

use halcyon_crypto::{Rng, Secret, SecretBytes};

use super::{DeviceSecretError, DeviceSecretPlace, DeviceSecretStore, FileDeviceSecret, SECRET_BYTES};
use crate::{
    disk::{self, Disk},
    keyring::{Item, Keyring, KeyringError},
};

/// The name of the file that says which item of the keyring has the secret.
pub const KEYRING_ITEM_FILE: &str = "device-secret.keyring";
/// The name of the file that says which item of the keyring opens the profile (KEY-9).
pub const UNLOCK_ITEM_FILE: &str = "unlock-key.keyring";

/// What the file begins with: what it is, and its version.
const POINTER_START: &str = "keyring 1 ";
/// Bytes of an item's id, random: no two profiles of a keyring have the same.
const ID_BYTES: usize = 16;
/// Longest pointer that is read: several times ours.
const POINTER_BYTES_MAX: u64 = 1024;
/// Longest path of a folder whose secret is kept in a keyring: Windows gives an item 2,560 bytes.
const PATH_BYTES_MAX: usize = 2_048;

/// Where a new profile's device secret is to be kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeviceSecretChoice {
    /// In the keyring if there is one that answers and is open, else in a file.
    #[default]
    Auto,
    /// In the keyring, or the profile is not made.
    Keyring,
    /// In a file.
    File,
}

/// Keeps the device secret of a folder in the keyring or in a file.
pub struct KeptDeviceSecret {
    disk: Arc<dyn Disk>,
    /// What is kept where there is no keyring; the key that opens a profile never is.
    file: Option<FileDeviceSecret>,
    pointer: &'static str,
    keyring: Arc<dyn Keyring>,
    choice: DeviceSecretChoice,
    /// The folder's real path, as bytes of the system and as people read it.
    path: Vec<u8>,
    label: String,
}

impl KeptDeviceSecret {
    /// Keeps the secret of the folder at `path`, which exists and is what `disk` writes to. `choice` is for a secret that
    /// is made; one that is there is found where it is.
    ///
    /// # Errors
    /// The operating system's, if the folder's real path cannot be told.
    pub fn new(
        disk: Arc<dyn Disk>,
        path: &Path,
        choice: DeviceSecretChoice,
        keyring: Arc<dyn Keyring>,
    ) -> io::Result<Self> {
        let file = Some(FileDeviceSecret::new(disk.clone()));
        Self::of("device secret", KEYRING_ITEM_FILE, file, disk, path, choice, keyring)
    }

    /// Keeps the key that opens the profile in the folder at `path` (KEY-9).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn unlock_key(disk: Arc<dyn Disk>, path: &Path, keyring: Arc<dyn Keyring>) -> io::Result<Self> {
        Self::of("unlock key", UNLOCK_ITEM_FILE, None, disk, path, DeviceSecretChoice::Keyring, keyring)
    }

    fn of(
        what: &str,
        pointer: &'static str,
        file: Option<FileDeviceSecret>,
        disk: Arc<dyn Disk>,
        path: &Path,
        choice: DeviceSecretChoice,
        keyring: Arc<dyn Keyring>,
    ) -> io::Result<Self> {
        // However one gets to it, through links or from another working folder, it is the same folder.
        let path = path.canonicalize()?;
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let label = format!("Halcyon {what} of profile {name} ({})", path.display());
        Ok(Self { disk, file, pointer, keyring, choice, path: path.into_os_string().into_encoded_bytes(), label })
    }

    fn in_file<T: Default>(
        &self,
        act: impl FnOnce(&FileDeviceSecret) -> Result<T, DeviceSecretError>,
    ) -> Result<T, DeviceSecretError> {
        self.file.as_ref().map_or_else(|| Ok(T::default()), act)
    }

    /// Returns the id of the keyring's item, if the folder names one.
    fn item_id(&self) -> Result<Option<String>, DeviceSecretError> {
        let pointer = match disk::read(self.disk.as_ref(), self.pointer, POINTER_BYTES_MAX) {
            Ok(Some(pointer)) => pointer,
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => return Err(DeviceSecretError::PointerDamaged),
            Err(error) => return Err(error.into()),
        };
        let id = str::from_utf8(&pointer).ok().and_then(|text| text.strip_prefix(POINTER_START)?.strip_suffix('\n'));
        match id {
            Some(id) if id.len() == 2 * ID_BYTES && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) => {
                Ok(Some(id.to_owned()))
            }
            _ => Err(DeviceSecretError::PointerDamaged),
        }
    }

    /// STO-5: an item is for the folder that it names.
    fn secret_in(&self, value: &SecretBytes) -> Result<Secret<SECRET_BYTES>, DeviceSecretError> {
        let (secret, made_in) = value.expose().split_at_checked(SECRET_BYTES).ok_or(DeviceSecretError::ItemDamaged)?;
        if made_in != self.path {
            return Err(DeviceSecretError::Moved { made_in: String::from_utf8_lossy(made_in).into_owned() });
        }
        Secret::try_from(secret).map_err(|_| DeviceSecretError::ItemDamaged)
    }

    fn keep_in_keyring(&self, secret: &Secret<SECRET_BYTES>, rng: &mut dyn Rng) -> Result<(), DeviceSecretError> {
        if self.path.len() > PATH_BYTES_MAX {
            return Err(DeviceSecretError::Keyring(KeyringError::TooLong));
        }
        let mut id = [0; ID_BYTES];
        rng.fill_bytes(&mut id);
        let id = id.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let mut value = Vec::with_capacity(SECRET_BYTES + self.path.len());
        value.extend_from_slice(secret.expose());
        value.extend_from_slice(&self.path);
        let value = SecretBytes::from_vec(value);
        let item = Item { id: &id, label: &self.label };
        self.keyring.keep(&item, &value).map_err(DeviceSecretError::Keyring)?;
        let kept = self.confirm(&id, &value);
        if kept.is_err() {
            // Nothing names the item, so nobody would ever miss it; one that cannot be removed is in nobody's way.
            let _ = self.keyring.remove(&id);
        }
        kept
    }

    /// Writes down that the item has the secret, once it is seen to.
    fn confirm(&self, id: &str, value: &SecretBytes) -> Result<(), DeviceSecretError> {
        // A keyring that says yes and has nothing would lose the profile later, when it is too late.
        let kept = self.keyring.find(id).map_err(DeviceSecretError::Keyring)?;
        if !kept.is_some_and(|kept| kept.ct_eq(value)) {
            return Err(DeviceSecretError::NotInKeyring);
        }
        let pointer = format!("{POINTER_START}{id}\n");
        Ok(disk::replace(self.disk.as_ref(), self.pointer, pointer.as_bytes())?)
    }
}

impl DeviceSecretStore for KeptDeviceSecret {
    fn load(&self) -> Result<Option<Secret<32>>, DeviceSecretError> {
        // STO-3
        let Some(id) = self.item_id()? else { return self.in_file(DeviceSecretStore::load) };
        // STO-4
        let value = self.keyring.find(&id).map_err(DeviceSecretError::Keyring)?;
        self.secret_in(&value.ok_or(DeviceSecretError::NotInKeyring)?).map(Some)
    }

    fn keep(&self, secret: &Secret<32>, rng: &mut dyn Rng) -> Result<(), DeviceSecretError> {
        // STO-2
        match self.choice {
            DeviceSecretChoice::File => self.in_file(|file| file.keep(secret, rng)),
            DeviceSecretChoice::Keyring => self.keep_in_keyring(secret, rng),
            DeviceSecretChoice::Auto => match self.keep_in_keyring(secret, rng) {
                Err(DeviceSecretError::Keyring(_) | DeviceSecretError::NotInKeyring) => {
                    self.in_file(|file| file.keep(secret, rng))
                }
                other => other,
            },
        }
    }

    fn place(&self) -> Result<Option<DeviceSecretPlace>, DeviceSecretError> {
        match self.item_id()? {
            Some(_) => Ok(Some(DeviceSecretPlace::Keyring { label: self.label.clone() })),
            None => self.in_file(DeviceSecretStore::place),
        }
    }

    fn remove(&self) -> Result<(), DeviceSecretError> {
        if let Some(id) = self.item_id()? {
            // STO-5: a copy does not take the item of its original along.
            if let Some(value) = self.keyring.find(&id).map_err(DeviceSecretError::Keyring)? {
                self.secret_in(&value)?;
                self.keyring.remove(&id).map_err(DeviceSecretError::Keyring)?;
            }
            self.disk.remove(self.pointer)?;
            self.disk.sync_folder()?;
        }
        self.in_file(DeviceSecretStore::remove)
    }
}

#[cfg(test)]
mod tests;
