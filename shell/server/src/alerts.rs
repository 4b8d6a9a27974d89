//! Alerts to every device of an account, and revocations. Spec: 11-directory.md §1, §5 (DIR-5, DIR-40).
//!
//! Owns what happens in the wake of a commit: it was stored with the commit, is done before the request is answered, and
//! is done after the next start if the process died in between, and soon if it failed, as on a disk that was full for a while.
//! Does not know mailboxes or connections: the courier does ([`Notifier`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use halcyon_directory::alert::{Alert, AlertEvent};
use halcyon_types::AccountId;

use crate::ports::{
    Aftermath, AftermathId, AftermathStore, Clock, Deed, DirectoryStoreError, ListStore, MailboxError, Notifier,
    Random, SnapshotOf,
};

/// Makes and does [`Aftermath`]s.
pub struct Alerts {
    lists: Arc<dyn ListStore>,
    store: Arc<dyn AftermathStore>,
    notifier: Arc<dyn Notifier>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// Something failed since it was last tried again.
    is_behind: AtomicBool,
}

/// Why an aftermath was not done. It stays in the store and is tried again.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
enum AftermathError {
    #[error(transparent)]
    Store(#[from] DirectoryStoreError),
    #[error(transparent)]
    Mailbox(#[from] MailboxError),
}

impl Alerts {
    /// Alerts through this courier.
    #[must_use]
    pub fn new(
        lists: Arc<dyn ListStore>,
        store: Arc<dyn AftermathStore>,
        notifier: Arc<dyn Notifier>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self { lists, store, notifier, clock, random, is_behind: AtomicBool::new(false) }
    }

    /// Returns the aftermath that tells all devices of an account what happened.
    #[must_use]
    pub fn alert(&self, account: AccountId, event: AlertEvent) -> Aftermath {
        let alert = Alert { time: self.clock.now(), event }.encode();
        self.aftermath(Deed::Alert { account, alert })
    }

    /// Returns the aftermath that ends a removed device.
    #[must_use]
    pub fn revocation(&self, device: halcyon_types::DeviceId) -> Aftermath {
        self.aftermath(Deed::Revoke { device })
    }

    fn aftermath(&self, deed: Deed) -> Aftermath {
        let mut id = [0; 16];
        self.random.fill(&mut id);
        Aftermath { id: AftermathId(id), deed }
    }

    /// Does what a commit made necessary. What fails is logged, stays in the store, and does not fail the request: the
    /// change itself is on disk.
    pub async fn follow(&self, wake: Vec<Aftermath>) {
        let mut done = Vec::with_capacity(wake.len());
        for aftermath in wake {
            match self.deed(&aftermath.deed).await {
                Ok(()) => done.push(aftermath.id),
                Err(error) => {
                    metrics::counter!("halcyon_aftermath_failures_total").increment(1);
                    self.is_behind.store(true, Ordering::Relaxed);
                    tracing::error!(%error, "an alert or revocation failed; it is tried again within a minute");
                }
            }
        }
        if done.is_empty() {
            return;
        }
        if let Err(error) = self.store.done(done).await {
            tracing::warn!(%error, "alerts that were sent will be sent again after the next start");
        }
    }

    /// Tries again what failed, if anything did since the last time.
    ///
    /// # Errors
    /// As [`resume`](Self::resume); it is tried again at the next call.
    pub async fn catch_up(&self) -> Result<(), DirectoryStoreError> {
        if !self.is_behind.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        self.resume().await.inspect_err(|_| self.is_behind.store(true, Ordering::Relaxed))
    }

    /// Does what a crash left undone.
    ///
    /// # Errors
    /// [`DirectoryStoreError`] when the list of it cannot be read.
    pub async fn resume(&self) -> Result<(), DirectoryStoreError> {
        let pending = self.store.pending().await?;
        if !pending.is_empty() {
            tracing::info!(count = pending.len(), "doing what was left undone");
        }
        self.follow(pending).await;
        Ok(())
    }

    async fn deed(&self, deed: &Deed) -> Result<(), AftermathError> {
        match deed {
            Deed::Revoke { device } => self.notifier.revoke(*device).await?,
            Deed::Alert { account, alert } => {
                // The devices as they are now: one that was removed meanwhile is not told any more.
                let Some(account) = self.lists.snapshot(SnapshotOf::Account(*account)).await? else { return Ok(()) };
                let devices: Vec<_> = account.devices.iter().map(|device| device.device).collect();
                self.notifier.alert(&devices, alert.clone()).await?;
            }
        }
        Ok(())
    }
}
