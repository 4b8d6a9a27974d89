//! The device secret: 32 random bytes without which a copied profile cannot be guessed at.
//!
//! Owns the port to wherever a device keeps it, and the keeper that every device has: a file for its owner only.
//! Does not know what the secret protects.
//!
//! A keeper in the operating system's keyring is another implementation of [`DeviceSecretStore`]. There is none yet
//! for Linux on purpose: the kernel's keyring forgets over a restart, which would lose the profile, and the desktop's
//! secret service takes D-Bus, a C library or a second async runtime.

use std::{io, sync::Arc};

use halcyon_crypto::Secret;

use crate::disk::{self, Disk};

/// The file's name in the profile folder.
pub const DEVICE_SECRET_FILE: &str = "device-secret";

/// Bytes of the secret.
const SECRET_BYTES: usize = 32;

/// Keeps the device secret of one profile.
pub trait DeviceSecretStore: Send + Sync + 'static {
    /// Returns the secret, or `None` if none was kept yet or it is gone.
    ///
    /// # Errors
    /// [`DeviceSecretError`].
    fn load(&self) -> Result<Option<Secret<32>>, DeviceSecretError>;

    /// Keeps `secret`; it is durable when this returns.
    ///
    /// # Errors
    /// [`DeviceSecretError`].
    fn keep(&self, secret: &Secret<32>) -> Result<(), DeviceSecretError>;
}

/// Why the device secret could not be read or kept.
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
    /// The file or the keyring could not be read or written.
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

    fn keep(&self, secret: &Secret<32>) -> Result<(), DeviceSecretError> {
        Ok(disk::replace(self.disk.as_ref(), DEVICE_SECRET_FILE, secret.expose())?)
    }
}
