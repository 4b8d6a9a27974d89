//! The client's store: a profile folder with an encrypted SQLite database in it.
//!
//! Owns everything that lies in a profile folder. Does not know the network, or what the client does with what it
//! keeps.
//!
//! - Nothing readable lies in the folder: pages and log frames are sealed, temporary data stays in memory.
//! - Committed means on stable storage. A crash loses nothing that was committed.
//! - What was changed behind our back is an error, not an answer. (Whoever can put back an older copy of the whole
//!   folder, or of a single page of it, is not noticed: nothing outside the folder remembers.)
//!
//! Next: [`Profile`] makes and opens, [`SqliteStore`] is the client's port on it, [`disk`] is the seam below, [`keyring`] keeps the device secret where there is one, docs/decisions/0003-client-store-encryption.md says
//! why it is built so.

mod database;
mod device_secret;
pub mod disk;
mod inbox;
pub mod keyring;
mod keys;
mod page_cipher;
mod profile;
mod profile_key;
mod sealed_files;
mod sealed_log;
mod sealed_pages;
mod store;

pub use database::{DatabaseError, EncryptedDb};
pub use device_secret::{
    DEVICE_SECRET_FILE, DeviceSecretChoice, DeviceSecretError, DeviceSecretPlace, DeviceSecretStore, FileDeviceSecret,
    KEYRING_ITEM_FILE, KeptDeviceSecret, UNLOCK_ITEM_FILE,
};
pub use inbox::{INBOX_FILE, Inbox};
pub use keys::{ProfileKeys, RECEIVER_FILE};
pub use profile::{DATABASE_FILE, LOCK_FILE, Profile, ProfileError};
pub use profile_key::{KEY_FILE, KeyFileError};
pub use store::SqliteStore;

pub use halcyon_keychain::WrappingKey;
