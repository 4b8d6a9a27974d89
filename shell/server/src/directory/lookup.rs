//! Lookups: which devices a handle has. Spec: 11-directory.md §3, §4 (DIR-20 to DIR-23, DIR-30).
//!
//! Owns what an asker may see. Does not know how answers are encoded.
//!
//! - Whoever is not shown to an asker ends in the same `None`, at the one place that decides ([`visible`]) (DIR-21).

use std::sync::Arc;

use bytes::Bytes;
use halcyon_directory::lookup::{self, LookupRequest, RequestError, ServedAccount, ServedAddress};
use halcyon_directory::prekeys::Prekey;
use halcyon_directory::session::SessionKey;
use halcyon_types::{Handle, SuiteId, Timestamp};

use super::list;
use crate::accounts::limits::{ChargeError, Limited};
use crate::accounts::request::Member;
use crate::ports::{Clock, DeviceAddress, DirectoryStoreError, FoundAccount, ListStore, Recipients, RecipientsError};
use crate::query_log::QueryLog;
use crate::secrets::ServerSecrets;

/// Why a lookup is not answered.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// DIR-20
    #[error(transparent)]
    Request(#[from] RequestError),
    /// DIR-23
    #[error(transparent)]
    Limited(#[from] Limited),
    /// The directory could not be read.
    #[error(transparent)]
    Directory(#[from] RecipientsError),
    /// The store failed; the operator's move.
    #[error(transparent)]
    Store(#[from] DirectoryStoreError),
}

/// Answers lookups.
pub struct Lookups {
    store: Arc<dyn ListStore>,
    directory: Arc<dyn Recipients>,
    log: QueryLog,
    session: SessionKey,
    clock: Arc<dyn Clock>,
}

impl Lookups {
    /// Puts the service together.
    #[must_use]
    pub fn new(
        store: Arc<dyn ListStore>,
        directory: Arc<dyn Recipients>,
        log: QueryLog,
        secrets: &ServerSecrets,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { store, directory, log, session: secrets.session.clone(), clock }
    }

    /// Answers an encoded `LookupRequest` with an encoded `LookupResponse` (DIR-20).
    ///
    /// # Errors
    /// [`LookupError`]
    pub async fn answer(&self, asker: Member, request: Bytes) -> Result<Bytes, LookupError> {
        let request = LookupRequest::decode(request)?;
        let handles = request.handles();
        let mut strangers = Vec::with_capacity(handles.len());
        for handle in handles {
            if !self.directory.owns_handle(asker.account, handle).await? {
                strangers.push(handle);
            }
        }
        self.log.admit(asker.account, strangers.into_iter()).await.map_err(|error| match error {
            ChargeError::Limited(limited) => LookupError::Limited(limited),
            ChargeError::Store(error) => LookupError::Store(error),
        })?;
        metrics::counter!("halcyon_lookups_total").increment(handles.len() as u64);
        let now = self.clock.now();
        let found = self.store.find_all(handles.to_vec()).await?;
        let mut answers: Vec<(Handle, Option<ServedAccount>)> = Vec::with_capacity(handles.len());
        for (handle, found) in handles.iter().zip(found) {
            let served = visible(found).map(|found| self.serve(asker, found, now)).transpose()?;
            answers.push((handle.clone(), served));
        }
        Ok(lookup::encode_response(&answers))
    }

    fn serve(&self, asker: Member, found: FoundAccount, now: Timestamp) -> Result<ServedAccount, DirectoryStoreError> {
        Ok(ServedAccount {
            list: list::read(&found.list)?,
            addresses: found.devices.into_iter().map(address).collect(),
            session: self.session.mint(asker.account, found.account, now),
        })
    }
}

/// DIR-21: the one place where an account could become invisible to an asker. This version shows every account.
fn visible(found: Option<FoundAccount>) -> Option<FoundAccount> {
    found
}

fn address(device: DeviceAddress) -> ServedAddress {
    let prekey =
        |stored: crate::ports::StoredPrekey| Prekey { suite: SuiteId::from_u32(stored.suite), record: stored.record };
    ServedAddress {
        device: device.device,
        push_token: device.push_token,
        prekeys: device.prekeys.into_iter().map(prekey).collect(),
    }
}
