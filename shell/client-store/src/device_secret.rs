//! The device secret: 32 random bytes without which a copied profile cannot be guessed at.
//!
//! Owns the port to wherever a device keeps it, and the keeper that every device has: a file for its owner only.
//! Does not know what the secret protects.
//!
//! - A keeper says "there is none" only where it looked and found none. Where it could not look, it is an error, so that
//!   nobody makes a second secret over a profile that still has its first one somewhere.
//!
//! Next: [`KeptDeviceSecret`] chooses between this file and the system's keyring, and remembers the choice.

mod kept;

use std::{io, sync::Arc};

use halcyon_crypto::{Rng, Secret};

use crate::{
    disk::{self, Disk},
    keyring::KeyringError,
};

pub use kept::{DeviceSecretChoice, KEYRING_ITEM_FILE, KeptDeviceSecret, UNLOCK_ITEM_FILE};

/// The file's name in the profile folder.
pub const DEVICE_SECRET_FILE: &str = "device-secret";

/// Bytes of the secret.
pub(crate) const SECRET_BYTES: usize = 32;

/// Where a profile's device secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceSecretPlace {
    /// In the profile folder, as [`DEVICE_SECRET_FILE`].
    File,
    /// In the operating system's keyring.
    Keyring {
        /// The name under which the system's own tools show it.
        label: String,
    },
}

/// Keeps the device secret of one profile.
pub trait DeviceSecretStore: Send + Sync + 'static {
    /// Returns the secret, or `None` if none was kept yet or the file with it is gone.
    ///
    /// # Errors
    /// [`DeviceSecretError`].
    fn load(&self) -> Result<Option<Secret<32>>, DeviceSecretError>;

    /// Keeps `secret`; it is durable when this returns. `rng` is for names that nobody else has.
    ///
    /// # Errors
    /// [`DeviceSecretError`].
    fn keep(&self, secret: &Secret<32>, rng: &mut dyn Rng) -> Result<(), DeviceSecretError>;

    /// Says where the secret is; `None` if nothing says that there is one. Looks into the folder only.
    ///
    /// # Errors
    /// [`DeviceSecretError`].
    fn place(&self) -> Result<Option<DeviceSecretPlace>, DeviceSecretError>;

    /// Destroys the secret, wherever it is. There being none is a success.
    ///
    /// # Errors
    /// [`DeviceSecretError`]; the secret may then still be there.
    fn remove(&self) -> Result<(), DeviceSecretError>;
}

/// Why the device secret could not be read or kept. It is where it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceSecretError {
    /// Others may read the file, so it protects nothing.
    #[error(
        "device-secret can be reached by other users (permissions {mode:03o}): make it yours alone (chmod 600), and \
         if somebody may have read it, make a new profile"
    )]
    Exposed {
        /// The permission bits of group and others.
        mode: u32,
    },
    /// The file does not have the length of a device secret.
    #[error("device-secret is damaged: put it back from a copy; without it the profile cannot be opened")]
    Damaged,
    /// The file that names the item of the keyring is not what was written.
    #[error(
        "device-secret.keyring is damaged, or of a later version of this program: put it back from a copy; it names the \
         keyring's item without which the profile cannot be opened"
    )]
    PointerDamaged,
    /// The keyring does not have it.
    #[error(
        "the keyring does not have this profile's device secret: open the profile as the user and on the machine that \
         made it, with the keyring of then; without the secret it cannot be opened, and no new one is made"
    )]
    NotInKeyring,
    /// The keyring's item is not what was written.
    #[error(
        "the keyring's item with this profile's device secret is damaged: put the keyring back from a copy; without it \
         the profile cannot be opened"
    )]
    ItemDamaged,
    /// The secret belongs to the same profile in another folder.
    #[error(
        "this profile was made in {made_in} and its device secret is for that folder alone: put it back there; a copy \
         that runs beside it would use keys twice"
    )]
    Moved {
        /// The folder in which the profile was made.
        made_in: String,
    },
    /// The keyring cannot be used now.
    #[error("the keyring cannot be used: {0}")]
    Keyring(KeyringError),
    /// The file could not be read or written.
    #[error("the device secret could not be read or written")]
    Io(#[from] io::Error),
}

/// Keeps the device secret as a file of its own in the profile folder.
pub struct FileDeviceSecret {
    disk: Arc<dyn Disk>,
}

impl FileDeviceSecret {
    /// Keeps it on `disk`, under [`DEVICE_SECRET_FILE`].
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk }
    }
}

impl DeviceSecretStore for FileDeviceSecret {
    fn load(&self) -> Result<Option<Secret<32>>, DeviceSecretError> {
        if !self.disk.exists(DEVICE_SECRET_FILE)? {
            return Ok(None);
        }
        let mode = self.disk.others_access(DEVICE_SECRET_FILE)?;
        if mode != 0 {
            return Err(DeviceSecretError::Exposed { mode });
        }
        let mut file = self.disk.open(DEVICE_SECRET_FILE)?;
        if file.size()? != SECRET_BYTES as u64 {
            return Err(DeviceSecretError::Damaged);
        }
        let read = |bytes: &mut [u8; SECRET_BYTES]| {
            let got = file.read_at(0, bytes)?;
            if got == SECRET_BYTES { Ok(()) } else { Err(DeviceSecretError::Damaged) }
        };
        Secret::try_fill_with(read).map(Some)
    }

    fn keep(&self, secret: &Secret<32>, _rng: &mut dyn Rng) -> Result<(), DeviceSecretError> {
        Ok(disk::replace(self.disk.as_ref(), DEVICE_SECRET_FILE, secret.expose())?)
    }

    fn place(&self) -> Result<Option<DeviceSecretPlace>, DeviceSecretError> {
        Ok(self.disk.exists(DEVICE_SECRET_FILE)?.then_some(DeviceSecretPlace::File))
    }

    fn remove(&self) -> Result<(), DeviceSecretError> {
        if self.disk.exists(DEVICE_SECRET_FILE)? {
            self.disk.remove(DEVICE_SECRET_FILE)?;
            self.disk.sync_folder()?;
        }
        Ok(())
    }
}
