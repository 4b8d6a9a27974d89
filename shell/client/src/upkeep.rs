//! What is forgotten by age. Spec: 60-client.md §2 (RCV-3, RCV-4).

use halcyon_types::{Duration, Timestamp};

use crate::{
    client::Inner,
    error::ProfileError,
    ports::{Change, Commit},
};

/// RCV-4: a day longer than the courier keeps anything.
const SEEN_AGE_MAX: Duration = Duration::from_days(31);
/// RCV-3
const UNOPENED_AGE_MAX: Duration = Duration::from_days(30);
/// GRP-11: as long as what does not open.
const HELD_AGE_MAX: Duration = Duration::from_days(30);

impl Inner {
    /// Forgets seen-marks, unopened deliveries and deleted messages whose time is over.
    pub(crate) fn forget_old(&self, now: Timestamp) -> Result<(), ProfileError> {
        let commit = Commit::new()
            .with(Change::ForgetSeenBefore(now.minus(SEEN_AGE_MAX)))
            .with(Change::ForgetUnopenedBefore(now.minus(UNOPENED_AGE_MAX)))
            .with(Change::ForgetHeldBefore(now.minus(HELD_AGE_MAX)));
        self.state().commit(&commit)?;
        self.ask_for_held()?;
        self.forget_deleted(now)
    }
}
