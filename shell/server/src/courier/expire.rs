//! Deletes what expired, from time to time. Spec: 30-courier.md §5 (COU-54).

use std::sync::Weak;
use std::time::Duration;

use halcyon_failpoint::{Dial, dial};

use super::Shared;

/// Looks for expired envelopes until the courier is gone.
pub(super) async fn run(shared: Weak<Shared>, every: Duration) {
    let every = dial(Dial::ExpireEveryMs).map_or(every, Duration::from_millis);
    loop {
        tokio::time::sleep(every).await;
        let Some(shared) = shared.upgrade() else { return };
        let mut deleted = 0;
        loop {
            match shared.ports.mailboxes.expire(shared.ports.clock.now()).await {
                Ok(0) => break,
                Ok(some) => deleted += some,
                Err(failure) => {
                    tracing::warn!(%failure, "expired envelopes could not be deleted; they are not delivered, and it is tried again later");
                    break;
                }
            }
        }
        if deleted > 0 {
            tracing::info!(deleted, "expired envelopes were deleted");
        }
    }
}

/// Expired envelopes are not delivered however long they lie; ten minutes is often enough to give disk back, and rare
/// enough to cost nothing.
pub(super) const EVERY: Duration = Duration::from_secs(600);
