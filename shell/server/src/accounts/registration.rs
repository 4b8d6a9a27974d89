//! New accounts. Spec: 20-accounts.md §3 (ACC-30 to ACC-32).
//!
//! Owns the two steps of a registration. Does not know how the handle was verified.

use std::sync::Arc;

use bytes::Bytes;
use halcyon_crypto::opaque::PasswordRecord;
use halcyon_directory::authority::{self, UpdateError};
use halcyon_directory::prekeys::{self, Prekey, PrekeyError};
use halcyon_directory::request::{RequestTarget, SignedRequest};
use halcyon_directory::{ListError, SignedList};
use halcyon_types::{AccountId, PushToken};

use super::request::{AuthError, Effect, RequestAuth};
use crate::ports::{
    AccountStore, Clock, Created, DirectoryStoreError, NewAccount, NewDevice, Random, StoredList, StoredPrekey,
    Verification, VerificationId, VerificationPurpose, VerificationState, VerificationStore,
};
use crate::secrets::ServerSecrets;

/// What a client sends to finish (ACC-32).
pub struct Finish {
    /// The verification of the handle.
    pub verification: VerificationId,
    /// OPAQUE's RegistrationUpload.
    pub upload: Vec<u8>,
    /// An encoded `SignedDeviceList`.
    pub device_list: Bytes,
    /// The device's prekeys; none for a device that speaks only suites without.
    pub prekeys: Vec<Prekey>,
}

/// An account that was made.
#[derive(Clone, Copy, Debug)]
pub struct Registered {
    /// Its id.
    pub account: AccountId,
    /// Where its first device is delivered to.
    pub push_token: PushToken,
}

/// Why a registration failed. Nothing was stored, and the verification is still good.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationError {
    /// ACC-31
    #[error("the handle is not verified; type the code or open the link first")]
    NotVerified,
    /// ACC-30
    #[error("the password message is malformed")]
    Password,
    /// DIR-3
    #[error(transparent)]
    List(#[from] ListError),
    /// ACC-32
    #[error(transparent)]
    NotFirst(#[from] UpdateError),
    /// DIR-10
    #[error(transparent)]
    Prekeys(#[from] PrekeyError),
    /// ACC-32: the device of the list did not sign the request.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// ACC-32
    #[error("the handle belongs to an account by now; sign in and link this device instead")]
    HandleTaken,
    /// ACC-32
    #[error("this account, or this device, exists already; make new keys")]
    AccountExists,
    /// The store failed; the operator's move.
    #[error(transparent)]
    Store(#[from] DirectoryStoreError),
}

/// Makes accounts.
pub struct Registrations {
    accounts: Arc<dyn AccountStore>,
    verifications: Arc<dyn VerificationStore>,
    auth: Arc<RequestAuth>,
    secrets: Arc<ServerSecrets>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Registrations {
    /// Puts the service together.
    #[must_use]
    pub fn new(
        accounts: Arc<dyn AccountStore>,
        verifications: Arc<dyn VerificationStore>,
        auth: Arc<RequestAuth>,
        secrets: Arc<ServerSecrets>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self { accounts, verifications, auth, secrets, clock, random }
    }

    /// Answers OPAQUE's RegistrationRequest (ACC-31).
    ///
    /// # Errors
    /// [`RegistrationError::NotVerified`], [`RegistrationError::Password`], [`RegistrationError::Store`].
    pub async fn start(
        &self,
        verification: VerificationId,
        account: AccountId,
        request: &[u8],
    ) -> Result<Vec<u8>, RegistrationError> {
        self.verified(verification).await?;
        // ACC-30: the credential identifier is the account id, so that a handle can be removed without a new password.
        let response = self.secrets.opaque.registration_response(request, account.as_bytes());
        response.map_err(|_| RegistrationError::Password)
    }

    /// Makes the account, in one commit (ACC-32).
    ///
    /// # Errors
    /// [`RegistrationError`]
    pub async fn finish(
        &self,
        finish: Finish,
        request: &SignedRequest,
        target: RequestTarget<'_>,
    ) -> Result<Registered, RegistrationError> {
        self.verified(finish.verification).await?;
        let password = PasswordRecord::from_upload(&finish.upload).map_err(|_| RegistrationError::Password)?;
        let update = authority::register(SignedList::decode(finish.device_list)?)?;
        let [device] = update.list.devices() else { return Err(UpdateError::NotFirst.into()) };
        let device = device.entry();
        // ACC-32: whoever holds the device key of the list sends it.
        self.auth.holder(request, device.id(), device.key(), target, Effect::Changes).await?;
        if !finish.prekeys.is_empty() {
            prekeys::check_all(device.key(), &finish.prekeys)?;
        }
        let mut token = [0; PushToken::LEN];
        self.random.fill(&mut token);
        let registered = Registered { account: update.list.account(), push_token: PushToken::from_bytes(token) };
        let new = NewAccount {
            account: registered.account,
            account_key: *update.list.list().account_key().compact().as_bytes(),
            password: Bytes::copy_from_slice(password.to_secret_bytes().expose()),
            verification: finish.verification,
            list: StoredList { version: update.list.version(), signed: update.list.encode() },
            device: NewDevice {
                device: device.id(),
                key: *device.key().compact().as_bytes(),
                push_token: registered.push_token,
                prekeys: finish.prekeys.into_iter().map(stored).collect(),
            },
            created: self.clock.now(),
        };
        match self.accounts.create(new).await? {
            Created::Created => {
                metrics::counter!("halcyon_registrations_total").increment(1);
                Ok(registered)
            }
            Created::HandleTaken => Err(RegistrationError::HandleTaken),
            Created::AccountExists => Err(RegistrationError::AccountExists),
            Created::NotVerified => Err(RegistrationError::NotVerified),
        }
    }

    async fn verified(&self, id: VerificationId) -> Result<(), RegistrationError> {
        let good = |found: &Verification| {
            found.state == VerificationState::Verified
                && found.purpose == VerificationPurpose::Registration
                && found.expires > self.clock.now()
        };
        match self.verifications.find(id).await? {
            Some(found) if good(&found) => Ok(()),
            _ => Err(RegistrationError::NotVerified),
        }
    }
}

/// Returns a checked prekey as it is kept.
pub(crate) fn stored(prekey: Prekey) -> StoredPrekey {
    StoredPrekey { suite: prekey.suite.as_u32(), record: prekey.record }
}
