//! The handles of an account. Spec: 20-accounts.md §5 (ACC-50, ACC-52). Adding one is a verification (ACC-51).

use std::sync::Arc;

use halcyon_directory::alert::AlertEvent;
use halcyon_types::{Handle, HandleError};

use super::request::Member;
use crate::alerts::Alerts;
use crate::directory::recipients::DirectoryCache;
use crate::ports::{AccountProfile, AccountStore, DirectoryStoreError, HandleRemoved};

/// Why a handle was not removed. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// Not a handle.
    #[error(transparent)]
    Handle(#[from] HandleError),
    /// The account does not have it.
    #[error("this account does not have this handle")]
    NotFound,
    /// ACC-52
    #[error("the last handle of an account cannot be removed; add another one first")]
    Last,
    /// The store failed; the operator's move.
    #[error(transparent)]
    Store(#[from] DirectoryStoreError),
}

/// Shows and removes handles.
pub struct Handles {
    accounts: Arc<dyn AccountStore>,
    alerts: Arc<Alerts>,
    cache: Arc<DirectoryCache>,
}

impl Handles {
    /// Puts the service together.
    #[must_use]
    pub fn new(accounts: Arc<dyn AccountStore>, alerts: Arc<Alerts>, cache: Arc<DirectoryCache>) -> Self {
        Self { accounts, alerts, cache }
    }

    /// Returns the member's own account (ACC-50).
    ///
    /// # Errors
    /// [`DirectoryStoreError`], also when the account is gone, which only a damaged store makes it.
    pub async fn profile(&self, member: Member) -> Result<AccountProfile, DirectoryStoreError> {
        let missing = || DirectoryStoreError::Failed("a device belongs to an account that is not there".to_owned());
        self.accounts.profile(member.account).await?.ok_or_else(missing)
    }

    /// Removes a handle, and alerts all devices (ACC-52, DIR-40).
    ///
    /// # Errors
    /// [`RemoveError`]
    pub async fn remove(&self, member: Member, handle: &str) -> Result<(), RemoveError> {
        let handle = Handle::parse(handle)?;
        let wake = vec![self.alerts.alert(member.account, AlertEvent::HandleRemoved(handle.clone()))];
        match self.accounts.remove_handle(member.account, &handle, wake.clone()).await? {
            HandleRemoved::Removed => {}
            HandleRemoved::NotFound => return Err(RemoveError::NotFound),
            HandleRemoved::Last => return Err(RemoveError::Last),
        }
        self.cache.forget(member.account);
        self.alerts.follow(wake).await;
        Ok(())
    }
}
