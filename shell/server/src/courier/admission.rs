//! Keeps a check and its place in line together, so that a revocation falls before both or after both. Spec: 30-courier.md (COU-55).
//!
//! Owns the barrier between the two. Does not know what is checked or revoked.
//!
//! A send is checked against the directory, and put in line for the store a moment later. A device that is removed in
//! between would have its mailbox cleared first and an envelope stored after, which nobody would ever read or delete.

use tokio::sync::{RwLock, RwLockReadGuard};

/// The barrier. Sends pass it side by side; a revocation waits for those that are inside.
#[derive(Default)]
pub(super) struct Admission(RwLock<()>);

/// Somebody between check and line.
pub(super) struct Inside<'a>(#[expect(dead_code, reason = "held, not read")] RwLockReadGuard<'a, ()>);

impl Admission {
    /// Begins a check. To be held until what came of it is in line.
    pub(super) async fn enter(&self) -> Inside<'_> {
        Inside(self.0.read().await)
    }

    /// Waits until every check that began before is in line.
    pub(super) async fn pass(&self) {
        drop(self.0.write().await);
    }
}
