//! New versions of a device list. Spec: 11-directory.md §1 (DIR-4, DIR-5).
//!
//! Owns the order: decide, commit with compare-and-swap, forget what is cached, revoke and alert, answer.
//!
//! - The decision is made on the list that was read; the commit takes it only if that is still the newest.

use std::sync::Arc;

use bytes::Bytes;
use halcyon_directory::alert::{AlertEvent, DeviceNotice};
use halcyon_directory::authority::{self, DeviceNews, Update, UpdateError};
use halcyon_directory::{ListError, SignedList};
use halcyon_types::AccountId;

use super::recipients::DirectoryCache;
use crate::accounts::request::Member;
use crate::alerts::Alerts;
use crate::ports::{Aftermath, DirectoryStoreError, ListChange, ListReplaced, ListStore, SnapshotOf, StoredList};

/// Why a list was not taken. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplaceError {
    /// DIR-3: the list itself is not valid.
    #[error(transparent)]
    Invalid(#[from] ListError),
    /// DIR-5, LNK-8: the list is valid, and not one that this device may publish.
    #[error(transparent)]
    Refused(UpdateError),
    /// DIR-4: somebody was faster, or the asker's copy is old. Here is the current one.
    #[error("the device list changed meanwhile; apply the change to the current one and try again")]
    Conflict {
        /// The encoded `SignedDeviceList`.
        current: Bytes,
    },
    /// The store failed; the operator's move.
    #[error(transparent)]
    Store(#[from] DirectoryStoreError),
}

/// Takes new device lists.
pub struct Lists {
    store: Arc<dyn ListStore>,
    alerts: Arc<Alerts>,
    cache: Arc<DirectoryCache>,
}

impl Lists {
    /// Puts the service together.
    #[must_use]
    pub fn new(store: Arc<dyn ListStore>, alerts: Arc<Alerts>, cache: Arc<DirectoryCache>) -> Self {
        Self { store, alerts, cache }
    }

    /// Returns the newest list of an account, encoded.
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    pub async fn current(&self, account: AccountId) -> Result<StoredList, DirectoryStoreError> {
        let found = self.store.snapshot(SnapshotOf::Account(account)).await?;
        found.map(|found| found.list).ok_or_else(missing)
    }

    /// Takes a list that renames or removes devices (DIR-4, DIR-5).
    ///
    /// # Errors
    /// [`ReplaceError`]
    pub async fn replace(&self, member: Member, offered: Bytes) -> Result<u64, ReplaceError> {
        let offered = SignedList::decode(offered)?;
        let current = self.current(member.account).await?;
        let update =
            authority::update(&read(&current)?, offered, member.device).map_err(|error| refused(error, &current))?;
        let change = change_of(&self.alerts, &update);
        let wake = change.aftermath.clone();
        if self.store.replace(change).await? == ListReplaced::Conflict {
            let current = self.current(member.account).await?.signed;
            return Err(ReplaceError::Conflict { current });
        }
        // From here on no connect, request or send finds the removed devices (COU-55).
        self.cache.forget(member.account);
        self.alerts.follow(wake).await;
        metrics::counter!("halcyon_list_updates_total").increment(1);
        Ok(update.list.version())
    }
}

/// Returns the stored form of an update, with revocations before alerts: a removed device is not alerted.
pub(crate) fn change_of(alerts: &Alerts, update: &Update) -> ListChange {
    let version = update.list.version();
    let account = update.list.account();
    let notice =
        |news: &DeviceNews| DeviceNotice { device: news.device, name: news.name.clone(), list_version: version };
    let mut aftermath: Vec<Aftermath> = Vec::new();
    aftermath.extend(update.removed.iter().map(|gone| alerts.revocation(gone.device)));
    aftermath.extend(update.removed.iter().map(|gone| alerts.alert(account, AlertEvent::DeviceRemoved(notice(gone)))));
    aftermath.extend(update.added.iter().map(|new| alerts.alert(account, AlertEvent::DeviceAdded(notice(new)))));
    ListChange {
        account,
        list: StoredList { version, signed: update.list.encode() },
        removed: update.removed.iter().map(|gone| gone.device).collect(),
        aftermath,
    }
}

/// Reads a list that this server accepted before.
pub(crate) fn read(stored: &StoredList) -> Result<SignedList, DirectoryStoreError> {
    SignedList::decode(stored.signed.clone())
        .map_err(|error| DirectoryStoreError::Failed(format!("a stored device list is damaged: {error}")))
}

/// DIR-4: a conflict carries the current list, so that the client can go on at once.
pub(crate) fn refused(error: UpdateError, current: &StoredList) -> ReplaceError {
    match error {
        UpdateError::Conflict { .. } => ReplaceError::Conflict { current: current.signed.clone() },
        other => ReplaceError::Refused(other),
    }
}

fn missing() -> DirectoryStoreError {
    DirectoryStoreError::Failed("a device belongs to an account that is not there".to_owned())
}
