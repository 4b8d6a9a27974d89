//! Prekeys that roll on their own. Spec: 11-directory.md §2 (DIR-10, DIR-11), 41-pair-ec.md (PEC-2, PEC-4),
//! 43-pq3.md (PQ3-7).
//!
//! Owns when a new prekey is made and uploaded. Does not know its key or lifetimes: that is the suite's.
//!
//! - A new prekey is committed before the server hears of it, so nobody can seal to a key that a crash lost.

use halcyon_directory::prekeys::Prekey;
use halcyon_suites::{DeviceKeys, Suite};

use crate::{
    api::Request,
    client::Inner,
    error::{ApiError, ProfileError},
    ports::Commit,
    state::Own,
};

/// Returns the newest prekey of every allowed suite that has some.
pub(crate) fn newest(keys: &DeviceKeys, allowed: &[Suite]) -> Vec<Prekey> {
    let prekey =
        |(suite, record): (Suite, &[u8])| Prekey { suite: suite.id(), record: bytes::Bytes::copy_from_slice(record) };
    keys.prekey_records().into_iter().filter(|(suite, _)| allowed.contains(suite)).map(prekey).collect()
}

impl Inner {
    /// Makes a new prekey if the current one is old enough, and uploads what the server does not have (DIR-11).
    pub(crate) async fn roll_prekeys(&self) -> Result<Result<(), ApiError>, ProfileError> {
        self.make_due_prekey()?;
        let (prekeys, uploaded) = {
            let state = self.state();
            let own = state.own()?;
            (newest(&own.keys, &state.suites()), own.prekeys_uploaded)
        };
        if uploaded {
            return Ok(Ok(()));
        }
        let request = Request::prekeys(&prekeys);
        if let Err(error) = self.call_signed(request, |request| self.api.call(request)).await? {
            return Ok(Err(error));
        }
        let mut state = self.state();
        let own = state.own()?;
        // Another one may have been made while this one was on its way.
        if newest(&own.keys, &state.suites()) == prekeys {
            let own = Own { prekeys_uploaded: true, ..own.duplicate()? };
            state.commit_own(own, Commit::new())?;
        }
        Ok(Ok(()))
    }

    fn make_due_prekey(&self) -> Result<(), ProfileError> {
        let now = self.now();
        let mut state = self.state();
        let own = state.own()?;
        let (is_due, has_expired) = (own.keys.prekeys_due(now), own.keys.has_expired_prekeys(now));
        if !is_due && !has_expired {
            return Ok(());
        }
        let own = own.duplicate()?;
        if !is_due {
            // PEC-4, PQ3-7: wiped on their day, not with the next roll.
            let own = Own { keys: own.keys.without_expired_prekeys(now), ..own };
            return Ok(state.commit_own(own, Commit::new())?);
        }
        let keys = own.keys.with_rolled_prekey(self.rng().as_rng(), now);
        let own = Own { keys, prekeys_uploaded: false, ..own };
        Ok(state.commit_own(own, Commit::new())?)
    }
}
