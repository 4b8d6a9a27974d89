//! The own handles: list, add, verify, remove, and which one to send from. Spec: 20-accounts.md §5 (ACC-50 to ACC-52).
//!
//! Owns the local copy of what the server says. Does not verify a handle: the server does, by mail.

use halcyon_directory::KnownHandle;
use halcyon_types::{Handle, Timestamp};

use crate::{
    api::Request,
    client::{Client, Inner},
    error::{ApiError, DevicesError, HandlesError, ProfileError},
    ports::{Change, Commit, Store, StoreError, store::KnownHandleRecord},
    register::Verification,
};

/// One of the own handles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedHandle {
    /// The handle.
    pub handle: Handle,
    /// When it was added.
    pub added: Timestamp,
    /// Whether it is the one to send from.
    pub default: bool,
}

/// The setting that names the handle to send from.
const DEFAULT_HANDLE: &str = "default_handle";

/// Returns the own handles, the one to send from first.
pub(crate) fn own_handles(store: &dyn Store) -> Result<Vec<Handle>, StoreError> {
    let mut handles = store.own_handles()?;
    let default = store.setting(DEFAULT_HANDLE)?;
    if let Some(at) = handles.iter().position(|handle| Some(handle.as_uri()) == default.as_deref()) {
        handles[..=at].rotate_right(1);
    }
    Ok(handles)
}

impl Client {
    /// Returns the own handles, from the server.
    ///
    /// # Errors
    /// [`HandlesError`]
    pub async fn handles(&self) -> Result<Vec<AddedHandle>, HandlesError> {
        let added = self.inner.refresh_handles().await?;
        let default = own_handles(self.inner.state().store())?.into_iter().next();
        let shown = added.into_iter().map(|(handle, added)| AddedHandle {
            default: Some(&handle) == default.as_ref(),
            handle,
            added,
        });
        Ok(shown.collect())
    }

    /// Asks to add a handle to this account; it joins when it is verified (ACC-51).
    ///
    /// # Errors
    /// [`HandlesError`]
    pub async fn add_handle(&self, handle: &Handle) -> Result<Verification, HandlesError> {
        self.inner.state().own()?;
        let request = Request::add_handle(handle);
        let answer = self.inner.call_signed(request, |request| self.inner.api.begin_verification(request)).await?;
        let answer = answer.map_err(handles_error)?;
        Ok(Verification { id: answer.id, handle: handle.clone(), expires: answer.expires })
    }

    /// Removes an own handle (ACC-52).
    ///
    /// # Errors
    /// [`HandlesError`]
    pub async fn remove_handle(&self, handle: &Handle) -> Result<(), HandlesError> {
        self.inner.state().own()?;
        let request = Request::remove_handle(handle);
        let answer = self.inner.call_signed(request, |request| self.inner.api.call(request)).await?;
        answer.map_err(handles_error)?;
        let commit = Commit::new().with(Change::RemoveOwnHandle(handle.clone()));
        Ok(self.inner.state().commit(&commit)?)
    }

    /// Sends from this handle unless a draft says otherwise.
    ///
    /// # Errors
    /// [`HandlesError::NotOwn`]
    pub fn set_default_handle(&self, handle: &Handle) -> Result<(), HandlesError> {
        let mut state = self.inner.state();
        if !state.store().own_handles()?.contains(handle) {
            return Err(HandlesError::NotOwn);
        }
        let value = handle.as_uri().to_owned();
        Ok(state.commit(&Commit::new().with(Change::PutSetting { name: DEFAULT_HANDLE.to_owned(), value }))?)
    }
}

impl Inner {
    /// Asks the server for the own handles, and commits the difference.
    pub(crate) async fn refresh_handles(&self) -> Result<Vec<(Handle, Timestamp)>, HandlesError> {
        let answer = self.fetch_account().await.map_err(|error| match error {
            DevicesError::Profile(error) => HandlesError::Profile(error),
            DevicesError::Api(error) => HandlesError::Api(error),
            _ => HandlesError::Profile(ProfileError::Damaged("the own device list")),
        })?;
        self.keep_handles(&answer.handles)?;
        Ok(answer.handles)
    }

    /// Takes over which handles the account has.
    pub(crate) fn keep_handles(&self, handles: &[(Handle, Timestamp)]) -> Result<(), ProfileError> {
        let now = self.now();
        let mut state = self.state();
        let account = state.own()?.account;
        let kept = state.store().own_handles()?;
        let mut commit = Commit::new();
        for (handle, _) in handles.iter().filter(|(handle, _)| !kept.contains(handle)) {
            commit.push(Change::AddOwnHandle(handle.clone()));
            if state.known_handle(handle)?.is_none() {
                let known = KnownHandle::first(handle.clone(), account, now).encode().into();
                commit.push(Change::PutKnownHandle(KnownHandleRecord { handle: handle.clone(), account, known }));
            }
        }
        for handle in kept.iter().filter(|kept| !handles.iter().any(|(handle, _)| handle == *kept)) {
            commit.push(Change::RemoveOwnHandle(handle.clone()));
        }
        Ok(state.commit(&commit)?)
    }
}

fn handles_error(error: ApiError) -> HandlesError {
    match error.code() {
        Some("handle_kind_unsupported") => HandlesError::KindUnsupported,
        Some("handle_taken") => HandlesError::Taken,
        Some("too_many_handles") => HandlesError::TooMany,
        Some("last_handle") => HandlesError::Last,
        Some("no_such_handle") => HandlesError::NotOwn,
        _ => HandlesError::Api(error),
    }
}
