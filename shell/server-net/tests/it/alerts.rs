//! What is to be done in the wake of a change, on mailboxes that cannot be written for a while.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use halcyon_server::alerts::Alerts;
use halcyon_server::ports::{
    Aftermath, AftermathId, AftermathStore, Deed, DirectoryStoreError, MailboxError, Notifier,
};
use halcyon_server_net::world::{SystemClock, SystemRandom};
use halcyon_server_store::directory::{DirectoryDb, LastShutdown};
use halcyon_types::DeviceId;

/// Mailboxes that are full until somebody makes room.
#[derive(Default)]
struct Mailboxes {
    full: Mutex<bool>,
    revoked: Mutex<Vec<DeviceId>>,
}

#[async_trait::async_trait]
impl Notifier for Mailboxes {
    async fn alert(&self, _: &[DeviceId], _: Bytes) -> Result<(), MailboxError> {
        Ok(())
    }

    async fn revoke(&self, device: DeviceId) -> Result<(), MailboxError> {
        if *self.full.lock().unwrap() {
            return Err(MailboxError::Full);
        }
        self.revoked.lock().unwrap().push(device);
        Ok(())
    }
}

/// What a commit left to be done.
struct Left(Mutex<Vec<Aftermath>>);

#[async_trait::async_trait]
impl AftermathStore for Left {
    async fn pending(&self) -> Result<Vec<Aftermath>, DirectoryStoreError> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn done(&self, ids: Vec<AftermathId>) -> Result<(), DirectoryStoreError> {
        self.0.lock().unwrap().retain(|left| !ids.contains(&left.id));
        Ok(())
    }
}

/// DIR-40, COU-55: a device is removed while the disk is full. Its mailbox is emptied when there is room, without a restart, once.
#[tokio::test]
async fn a_revocation_that_failed_is_done_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let directory = DirectoryDb::open(folder.path(), LastShutdown::Clean).unwrap().ports();
    let gone = DeviceId::from_bytes([7; 16]);
    let wake = vec![Aftermath { id: AftermathId([1; 16]), deed: Deed::Revoke { device: gone } }];
    let (left, mailboxes) = (Arc::new(Left(Mutex::new(wake.clone()))), Arc::new(Mailboxes::default()));
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    let alerts = Alerts::new(directory.lists.clone(), left.clone(), mailboxes.clone(), clock, random);

    *mailboxes.full.lock().unwrap() = true;
    alerts.follow(wake).await;
    alerts.catch_up().await.unwrap();
    assert!(mailboxes.revoked.lock().unwrap().is_empty());
    *mailboxes.full.lock().unwrap() = false;
    for _ in 0..2 {
        alerts.catch_up().await.unwrap();
        assert_eq!(*mailboxes.revoked.lock().unwrap(), [gone]);
    }
    assert!(left.pending().await.unwrap().is_empty());
}
