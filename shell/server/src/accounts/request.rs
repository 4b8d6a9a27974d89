//! Who makes a request. Spec: 20-accounts.md §1 (ACC-1, ACC-2).
//!
//! Owns the memory of nonces. Does not know HTTP.
//!
//! - A [`Member`] comes out of [`RequestAuth::member`] alone: the request was signed by a device of that account, for
//!   this server, minutes ago, and was not seen before.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use halcyon_crypto::VerifyingKey;
use halcyon_directory::request::{AuthenticRequest, NONCE_MEMORY, RequestError, RequestTarget, SignedRequest};
use halcyon_types::{AccountId, DeviceId, Timestamp};

use crate::ports::{Clock, DirectoryStoreError, LimitStore, Recipients, RecipientsError};

/// Nonces kept in memory, about 100 bytes each. At ten minutes each this is 300 requests a second without end; past it
/// requests are refused, since forgetting a nonce would let its request be replayed.
const NONCES_MAX: usize = 200_000;

/// A device of an account, as a request proved it.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// The device.
    pub device: DeviceId,
    /// Its account.
    pub account: AccountId,
}

/// What a request does, which decides where its nonce is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It changes nothing that a second time would not: memory is enough.
    Reads,
    /// A second time would do harm: the nonce is on disk before the request is acted on, so that a restart does not
    /// forget it.
    Changes,
}

/// Why a request has no rights.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The asker's move: `401`.
    #[error(transparent)]
    Refused(#[from] RequestError),
    /// Too many nonces to remember; trying again in a few minutes helps.
    #[error("the server is too busy to remember this request")]
    Busy,
    /// The directory could not be read.
    #[error(transparent)]
    Directory(#[from] RecipientsError),
    /// The nonce could not be stored.
    #[error(transparent)]
    Store(#[from] DirectoryStoreError),
}

/// Authenticates requests.
pub struct RequestAuth {
    audience: String,
    directory: Arc<dyn Recipients>,
    durable: Arc<dyn LimitStore>,
    clock: Arc<dyn Clock>,
    seen: Mutex<Nonces>,
}

impl RequestAuth {
    /// Authenticates requests made for `audience`, the host name of this server.
    #[must_use]
    pub fn new(
        audience: String,
        directory: Arc<dyn Recipients>,
        durable: Arc<dyn LimitStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { audience, directory, durable, clock, seen: Mutex::default() }
    }

    /// Accepts a request of a device that is in its account's list.
    ///
    /// # Errors
    /// [`AuthError`]
    pub async fn member(
        &self,
        request: &SignedRequest,
        target: RequestTarget<'_>,
        effect: Effect,
    ) -> Result<Member, AuthError> {
        let device = request.claimed_device();
        let known = self.directory.device(device).await?;
        self.accept(request, known.as_ref().map(|known| &known.key), target, effect).await?;
        // `accept` refuses a device without a key.
        let known = known.ok_or(RequestError::Unauthenticated)?;
        Ok(Member { device, account: known.account })
    }

    /// Accepts a request of whoever holds this key, which is not, or not yet, in a list: of a registration or a link.
    /// `device` is the id that follows from the key.
    ///
    /// # Errors
    /// [`AuthError`]
    pub async fn holder(
        &self,
        request: &SignedRequest,
        device: DeviceId,
        key: &VerifyingKey,
        target: RequestTarget<'_>,
        effect: Effect,
    ) -> Result<(), AuthError> {
        let key = (request.claimed_device() == device).then_some(key);
        self.accept(request, key, target, effect).await
    }

    async fn accept(
        &self,
        request: &SignedRequest,
        key: Option<&VerifyingKey>,
        target: RequestTarget<'_>,
        effect: Effect,
    ) -> Result<(), AuthError> {
        let now = self.clock.now();
        let authentic = request.verify(key, &self.audience, target, now)?;
        self.remember(authentic, now)?;
        if effect == Effect::Changes {
            let fresh = self.durable.use_nonce(authentic.device(), authentic.nonce(), now.plus(NONCE_MEMORY)).await?;
            if !fresh {
                return Err(RequestError::Replayed.into());
            }
        }
        Ok(())
    }

    fn remember(&self, request: AuthenticRequest, now: Timestamp) -> Result<(), AuthError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert((request.device(), request.nonce()), now)
    }
}

/// Nonces of the last ten minutes, oldest first.
#[derive(Default)]
struct Nonces {
    seen: HashSet<(DeviceId, [u8; 16])>,
    order: VecDeque<(Timestamp, (DeviceId, [u8; 16]))>,
}

impl Nonces {
    fn insert(&mut self, nonce: (DeviceId, [u8; 16]), now: Timestamp) -> Result<(), AuthError> {
        while let Some((until, oldest)) = self.order.front()
            && *until <= now
        {
            self.seen.remove(oldest);
            self.order.pop_front();
        }
        if self.seen.contains(&nonce) {
            return Err(RequestError::Replayed.into());
        }
        if self.seen.len() >= NONCES_MAX {
            return Err(AuthError::Busy);
        }
        self.seen.insert(nonce);
        self.order.push_back((now.plus(NONCE_MEMORY), nonce));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHONE: DeviceId = DeviceId::from_bytes([1; 16]);
    const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    /// ACC-2: a nonce is good once in ten minutes, for each device.
    #[test]
    fn a_nonce_is_remembered_for_ten_minutes() {
        let mut nonces = Nonces::default();
        let nonce = (PHONE, [7; 16]);
        assert!(nonces.insert(nonce, NOON).is_ok());
        let later = NOON.plus(halcyon_types::Duration::from_mins(9));
        assert!(matches!(nonces.insert(nonce, later), Err(AuthError::Refused(RequestError::Replayed))));
        assert!(nonces.insert((DeviceId::from_bytes([2; 16]), [7; 16]), later).is_ok());
        assert!(nonces.insert(nonce, NOON.plus(NONCE_MEMORY)).is_ok());
    }

    /// ACC-2: a flood is refused rather than letting old nonces be forgotten; memory stays bounded.
    #[test]
    fn a_flood_does_not_push_nonces_out() {
        let mut nonces = Nonces::default();
        for index in 0..NONCES_MAX as u128 {
            nonces.insert((PHONE, index.to_be_bytes()), NOON).unwrap();
        }
        assert!(matches!(nonces.insert((PHONE, [0xff; 16]), NOON), Err(AuthError::Busy)));
        assert!(matches!(nonces.insert((PHONE, [0; 16]), NOON), Err(AuthError::Refused(RequestError::Replayed))));
        assert!(nonces.insert((PHONE, [0xff; 16]), NOON.plus(NONCE_MEMORY)).is_ok());
        assert_eq!(nonces.order.len(), 1);
    }
}
