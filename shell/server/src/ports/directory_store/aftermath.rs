//! What must happen outside the store in the wake of a commit (DIR-5, DIR-40).

use bytes::Bytes;
use halcyon_types::{AccountId, DeviceId};

use super::DirectoryStoreError;

/// Names one aftermath: 16 random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AftermathId(pub [u8; 16]);

/// One thing to be done after a commit. Doing it twice does no harm.
#[derive(Clone, Debug)]
pub struct Aftermath {
    /// Its name, for [`AftermathStore::done`].
    pub id: AftermathId,
    /// What to do.
    pub deed: Deed,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Deed {
    /// Put an encoded `Alert` into the mailbox of every device of the account (DIR-40).
    Alert {
        /// Whose devices.
        account: AccountId,
        /// The encoded alert.
        alert: Bytes,
    },
    /// Close the connection of a removed device and empty its mailbox (DIR-5).
    Revoke {
        /// Which.
        device: DeviceId,
    },
}

/// The list of things still to be done.
#[async_trait::async_trait]
pub trait AftermathStore: Send + Sync {
    /// Returns what was committed and not yet reported done, oldest first: what a crash left.
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn pending(&self) -> Result<Vec<Aftermath>, DirectoryStoreError>;

    /// Strikes out what was done.
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn done(&self, ids: Vec<AftermathId>) -> Result<(), DirectoryStoreError>;
}
