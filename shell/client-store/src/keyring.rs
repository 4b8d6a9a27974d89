//! The operating system's keyring: where secrets outlive a process without lying in a file of ours.
//!
//! Owns the port to it, and which adapter this build has. Does not know what is kept.
//!
//! - Every call ends: in a bounded time if the keyring is silent, and in the time that a person gets to type a password
//!   if it asks for one.
//! - Calls block, and need no runtime; inside one, they are made from a thread that may block.
//! - No value reaches an error or a log line.
//!
//! Without the feature `keyring` there is only the adapter that says so. docs/decisions/0006-os-keyrings.md says which
//! libraries are used and why.

#[cfg(any(test, all(feature = "keyring", any(windows, target_os = "macos"))))]
mod native;
#[cfg(all(feature = "keyring", unix, not(target_os = "macos")))]
mod secret_service;

use std::sync::Arc;

use halcyon_crypto::SecretBytes;

/// What an item is called.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    /// What it is found by: hexadecimal digits that no other item has.
    pub id: &'a str,
    /// What the system's own tools show to people.
    pub label: &'a str,
}

/// Keeps small secrets for the user who is logged in.
pub trait Keyring: Send + Sync + 'static {
    /// Returns the value of an item, or `None` if the keyring is open and has no such item.
    ///
    /// # Errors
    /// [`KeyringError`]
    fn find(&self, id: &str) -> Result<Option<SecretBytes>, KeyringError>;

    /// Keeps an item, over restarts of the machine.
    ///
    /// # Errors
    /// [`KeyringError`]
    fn keep(&self, item: &Item<'_>, value: &SecretBytes) -> Result<(), KeyringError>;

    /// Removes an item. There being none is a success.
    ///
    /// # Errors
    /// [`KeyringError`]
    fn remove(&self, id: &str) -> Result<(), KeyringError>;
}

/// Why the keyring did not do what it was asked. It has what it had, or what it was to keep already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// This program was built without.
    #[error("this program was built without support for keyrings: use one that has it")]
    NotBuilt,
    /// Nobody to ask.
    #[error("no keyring answers ({0}): log in to the desktop session, or start its secret service, and try again")]
    Absent(String),
    /// Somebody, who says nothing.
    #[error("the keyring did not answer within {0} seconds: look whether its service hangs, and try again")]
    Silent(u64),
    /// The person is to open it first.
    #[error(
        "it is locked, and was not unlocked: unlock it (log in to the desktop, or use its password manager), and try again"
    )]
    Locked,
    /// It would forget.
    #[error("it has no place that outlives the session: make a default keyring in the desktop's password manager")]
    NoPlace,
    /// The folder's path does not fit.
    #[error("the path of the profile folder is too long for it: choose a shorter one")]
    TooLong,
    /// The system's own error, by its name.
    #[error("it refused ({0}): look at it with the system's password manager")]
    Refused(String),
}

/// Returns the keyring of this system, as far as this build knows it.
#[must_use]
pub fn system() -> Arc<dyn Keyring> {
    #[cfg(all(feature = "keyring", unix, not(target_os = "macos")))]
    return Arc::new(secret_service::SecretService);
    #[cfg(all(feature = "keyring", any(windows, target_os = "macos")))]
    return Arc::new(native::NativeKeyring::system());
    #[cfg(not(all(feature = "keyring", any(unix, windows))))]
    return Arc::new(NoKeyring);
}

/// What a build without keyrings has.
#[cfg(not(all(feature = "keyring", any(unix, windows))))]
struct NoKeyring;

#[cfg(not(all(feature = "keyring", any(unix, windows))))]
impl Keyring for NoKeyring {
    fn find(&self, _id: &str) -> Result<Option<SecretBytes>, KeyringError> {
        Err(KeyringError::NotBuilt)
    }

    fn keep(&self, _item: &Item<'_>, _value: &SecretBytes) -> Result<(), KeyringError> {
        Err(KeyringError::NotBuilt)
    }

    fn remove(&self, _id: &str) -> Result<(), KeyringError> {
        Err(KeyringError::NotBuilt)
    }
}
