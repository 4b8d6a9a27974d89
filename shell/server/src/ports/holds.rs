//! Sends that wait for their time. Spec: 30-courier.md §6 (COU-60 to COU-66).
//!
//! - Each method is one atomic commit, on stable storage when it returns `Ok`.
//! - What is being made is never cancelled, and what was cancelled is never made.
//! - What a device had held goes with the device.

use bytes::Bytes;
pub use halcyon_courier::{HoldState, limits::HOLDS_REMEMBERED_FOR};
use halcyon_types::{AccountId, DeviceId, HoldId, Timestamp};

use super::DirectoryStoreError;

/// One send that waits for its time.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its name, an account's own.
    pub hold: HoldId,
    /// Whose it is: any device of the account may take it back.
    pub account: AccountId,
    /// The device that sealed it.
    pub device: DeviceId,
    /// When it is to be made.
    pub due: Timestamp,
    /// The send, as it came.
    pub send: Bytes,
}

/// How much one device may have held (COU-64).
#[derive(Clone, Copy, Debug)]
pub struct HoldRoom {
    /// Sends.
    pub count: usize,
    /// Bytes of sends.
    pub bytes: usize,
    /// Sends that were made or taken back and are remembered.
    pub remembered: usize,
}

/// Durable holds.
#[async_trait::async_trait]
pub trait Holds: Send + Sync {
    /// Holds a send, or puts it in the place of one that is held by its name for the same device (COU-62). Returns what is so from now
    /// on: `HELD`; `RELEASED` or `CANCELLED` if that became of it before; `TOO_MANY` without room; `NOT_KNOWN` if it was to replace
    /// what is not there.
    ///
    /// # Errors
    /// [`DirectoryStoreError`], as for all of these; also if the device is not there any more.
    async fn hold(&self, held: Held, replaces: bool, room: HoldRoom) -> Result<HoldState, DirectoryStoreError>;

    /// Returns what became of a hold of an account, and with `cancel` takes it back before if it is held (COU-63).
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn ask(&self, account: AccountId, hold: HoldId, cancel: bool) -> Result<HoldState, DirectoryStoreError>;

    /// Returns when the next one is to be taken.
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn next(&self) -> Result<Option<Timestamp>, DirectoryStoreError>;

    /// Returns the first one that is to be taken by `now`, and notes that it is being made: from then on it cannot be taken back. It is
    /// returned again until [`made`](Self::made) is told.
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn take(&self, now: Timestamp) -> Result<Option<Held>, DirectoryStoreError>;

    /// Notes that one was made; with a rest that is to be taken again at a time.
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn made(
        &self,
        account: AccountId,
        hold: HoldId,
        rest: Option<(Bytes, Timestamp)>,
    ) -> Result<(), DirectoryStoreError>;
}
