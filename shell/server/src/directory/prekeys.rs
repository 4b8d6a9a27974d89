//! Prekeys of devices. Spec: 11-directory.md §2 (DIR-10).

use std::sync::Arc;

use bytes::Bytes;
use halcyon_directory::prekeys::{self, Prekey, PrekeyError};

use crate::accounts::registration::stored;
use crate::accounts::request::Member;
use crate::ports::{DirectoryStoreError, ListStore, Recipients, RecipientsError};

/// Why prekeys were not taken. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// DIR-10
    #[error(transparent)]
    Invalid(#[from] PrekeyError),
    /// The device left the account while it asked.
    #[error("the device is not in its account any more")]
    Revoked,
    /// The directory could not be read.
    #[error(transparent)]
    Directory(#[from] RecipientsError),
    /// The store failed; the operator's move.
    #[error(transparent)]
    Store(#[from] DirectoryStoreError),
}

/// Takes prekeys.
pub struct Prekeys {
    store: Arc<dyn ListStore>,
    directory: Arc<dyn Recipients>,
}

impl Prekeys {
    /// Puts the service together.
    #[must_use]
    pub fn new(store: Arc<dyn ListStore>, directory: Arc<dyn Recipients>) -> Self {
        Self { store, directory }
    }

    /// Keeps the newest prekey of each suite of an encoded `PrekeyUpload` (DIR-10).
    ///
    /// # Errors
    /// [`UploadError`]
    pub async fn put(&self, member: Member, upload: Bytes) -> Result<(), UploadError> {
        let prekeys = Prekey::decode_upload(upload)?;
        let device = self.directory.device(member.device).await?.ok_or(UploadError::Revoked)?;
        prekeys::check_all(&device.key, &prekeys)?;
        let there = self.store.put_prekeys(member.device, prekeys.into_iter().map(stored).collect()).await?;
        if there { Ok(()) } else { Err(UploadError::Revoked) }
    }
}
