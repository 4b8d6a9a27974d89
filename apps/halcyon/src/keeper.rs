//! The profile of an agent: locked, or open for every call.
//!
//! Owns the one session, and the order of locking. Does not know who calls.
//!
//! - Locked means that no key is in this process: neither client nor store exist. Whoever locks ends the calls first, since each holds
//!   the session while it runs.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use halcyon_crypto::SecretBytes;

use crate::failure::Failure;
use crate::session::Session;

/// A profile's folder, and its session while it is open.
pub(crate) struct Keeper {
    folder: PathBuf,
    session: Mutex<Option<Session>>,
    /// Held while it is unlocked or locked, so that two at once do it one after the other.
    turning: tokio::sync::Mutex<()>,
}

impl Keeper {
    /// Keeps the profile in a folder, locked.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, session: Mutex::new(None), turning: tokio::sync::Mutex::new(()) }
    }

    /// Returns the folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the session, if the profile is open.
    pub(crate) fn open_session(&self) -> Option<Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Session::shared)
    }

    /// Returns the session.
    ///
    /// # Errors
    /// [`Failure`] if the profile is locked.
    pub(crate) fn session(&self) -> Result<Session, Failure> {
        self.open_session().ok_or_else(Failure::locked)
    }

    /// Opens the profile and connects. If it is open, nothing happens, whatever the passphrase.
    ///
    /// # Errors
    /// [`Failure`], also for a wrong passphrase; the profile is as it was.
    pub(crate) async fn unlock(&self, passphrase: SecretBytes) -> Result<(), Failure> {
        let _turn = self.turning.lock().await;
        if self.open_session().is_some() {
            return Ok(());
        }
        let session = Session::unlock(self.folder.clone(), passphrase).await?;
        session.client().go_online();
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
        Ok(())
    }

    /// Closes the profile: from now on no call gets the session; once those that have it are over, what is owed to others leaves, if
    /// there is a connection, and keys and store go.
    pub(crate) async fn lock(&self, calls_over: impl Future<Output = ()>) {
        let _turn = self.turning.lock().await;
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner).take();
        calls_over.await;
        if let Some(session) = session {
            session.close().await;
        }
    }
}
