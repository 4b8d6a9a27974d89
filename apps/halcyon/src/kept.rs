//! What a profile receives before anybody unlocked it, and how that gets into it afterwards. Spec: 70-keychain.md (KEY-10 to KEY-12).
//!
//! Owns the way from the inbox into the client. Does not know when a profile is unlocked.
//!
//! - A delivery leaves the inbox only when all before it and itself are committed in the profile.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use halcyon_client::ports::{self, StoreError};
use halcyon_client::{Client, Kept, LockedConnection, Receiver};
use halcyon_client_store::{Inbox, ProfileKeys};
use rand::rngs::OsRng;
use tokio::task::JoinHandle;

use crate::failure::Failure;
use crate::native;

/// How long opening a profile waits for what the server has to be asked about.
const FIRST_PATIENCE: Duration = Duration::from_secs(3);
/// Between two tries, while the server does not answer.
const PAUSE: Duration = Duration::from_secs(5);

/// Receives for the profile in a folder, which is locked; returns with it how many deliveries are kept already. Nothing if there is nothing
/// to receive by: no agent ever had the profile open.
///
/// # Errors
/// [`Failure`] if the profile cannot be read.
pub(crate) fn receive(folder: &Path) -> Result<Option<(LockedConnection, u64)>, Failure> {
    let Some(keys) = native::locked_keys(folder)? else { return Ok(None) };
    let inbox = Inbox::open(keys.clone()).map_err(halcyon_client_store::ProfileError::from)?;
    let before = inbox.len();
    let Some(receiver) = keys.receiver()?.and_then(|kept| Receiver::from_bytes(&kept)) else { return Ok(None) };
    let connection = native::receive(receiver, Box::new(KeptInbox { keys, inbox: Some(inbox) }))?;
    Ok(Some((connection, before)))
}

/// The inbox as the client asks for it. After a failure it is opened anew.
struct KeptInbox {
    keys: ProfileKeys,
    inbox: Option<Inbox>,
}

impl ports::Inbox for KeptInbox {
    fn add(&mut self, delivery: &[u8]) -> Result<(), StoreError> {
        let mut inbox = match self.inbox.take() {
            Some(inbox) => inbox,
            None => Inbox::open(self.keys.clone()).map_err(store_error)?,
        };
        inbox.add(delivery, &mut OsRng).map_err(store_error)?;
        self.inbox = Some(inbox);
        Ok(())
    }
}

fn store_error(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full,
        _ => StoreError::Failed(error.to_string()),
    }
}

/// What is in an inbox on its way into the profile. It ends when it is dropped, and what is left stays in the inbox.
pub(crate) struct Draining {
    left: Arc<AtomicU64>,
    task: Option<JoinHandle<()>>,
}

impl Draining {
    /// Takes what is in the inbox. What the server has to be asked about, and is not, goes on behind the caller's back.
    pub(crate) async fn begin(keys: &ProfileKeys, client: &Client) -> Self {
        let mut inbox = match Inbox::open(keys.clone()) {
            Ok(inbox) if inbox.is_empty() => return Self { left: Arc::default(), task: None },
            Ok(inbox) => inbox,
            Err(error) => {
                tracing::warn!(%error, "what was received before the profile was unlocked cannot be read now");
                return Self { left: Arc::default(), task: None };
            }
        };
        let left = Arc::new(AtomicU64::new(inbox.len()));
        let (told, client) = (Arc::clone(&left), client.clone());
        let mut task = tokio::spawn(async move {
            let mut place = 0;
            while let Err(pause) = drain(&mut inbox, &mut place, &client, &told).await {
                tokio::time::sleep(pause).await;
            }
        });
        let is_done = tokio::time::timeout(FIRST_PATIENCE, &mut task).await.is_ok();
        Self { left, task: (!is_done).then_some(task) }
    }

    /// Returns how many deliveries wait in it.
    pub(crate) fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    /// Ends it, and returns when it holds the client no more.
    pub(crate) async fn end(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            // Either it ended, or it was aborted.
            let _ = task.await;
        }
    }
}

impl Drop for Draining {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Takes deliveries from a place on, and empties the inbox at its end. The error is how long to wait before the next try.
async fn drain(inbox: &mut Inbox, place: &mut u64, client: &Client, left: &AtomicU64) -> Result<(), Duration> {
    loop {
        let found = inbox.read_at(*place).map_err(|error| {
            tracing::warn!(%error, "what was received before the profile was unlocked cannot be read now");
            PAUSE
        })?;
        let Some((delivery, next)) = found else { break };
        match client.take_kept(&delivery).await {
            Ok(Kept::Committed) => *place = next,
            Ok(Kept::NotNow) => return Err(PAUSE),
            Err(error) => {
                tracing::warn!(%error, "what was received before the profile was unlocked cannot be taken now");
                return Err(PAUSE);
            }
        }
        left.fetch_sub(1, Ordering::Relaxed);
    }
    // What stays is taken once more at the next unlock, without effect.
    inbox.clear().map_err(|error| {
        tracing::warn!(%error, "the inbox cannot be emptied now");
        PAUSE
    })
}
