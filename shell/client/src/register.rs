//! A new account with this device as its first. Spec: 20-accounts.md §2 and §3 (ACC-20 to ACC-32).
//!
//! Owns the order: keys are committed before the server hears of them, so that an answer that got lost does not lose the account.
//! The password never leaves this device (ACC-30).

use halcyon_crypto::{
    SecretBytes, SigningKey,
    opaque::{ClientRegistration, OpaqueError},
};
use halcyon_directory::{CountersignedEntry, DeviceEntry, EntryError, SignedList, account_id};
use halcyon_suites::{DeviceKeys, Suite};
use halcyon_types::{AccountId, Handle, PushToken, SuiteId, Timestamp};

use crate::{
    api::{RegistrationUpload, Request},
    client::{Account, Client, Inner},
    error::{ApiError, ProfileError, RegisterError, VerificationError},
    outbox::alone,
    own,
    ports::{
        Change, Commit,
        store::{KnownHandleRecord, Stage},
    },
    prekeys,
    state::Own,
};

/// A verification that waits for its code or link (ACC-20).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Known to this client and the server alone.
    pub id: String,
    /// What is verified.
    pub handle: Handle,
    /// When it is over.
    pub expires: Timestamp,
}

/// What a new account is made from.
#[derive(Clone, Debug)]
pub struct Registration {
    /// A verification that succeeded.
    pub verification: Verification,
    /// The password; it never leaves this device.
    pub password: SecretBytes,
    /// What this device is to be called.
    pub device_name: String,
}

impl Client {
    /// Asks the server to verify that a handle is one's own: it sends a mail with a code and a link (ACC-20).
    ///
    /// # Errors
    /// [`VerificationError`]
    pub async fn request_verification(&self, handle: &Handle) -> Result<Verification, VerificationError> {
        let answer = self.inner.api.begin_verification(Request::verification(handle)).await;
        let answer = answer.map_err(verification_error)?;
        Ok(Verification { id: answer.id, handle: handle.clone(), expires: answer.expires })
    }

    /// Gives the code of the mail (ACC-21).
    ///
    /// # Errors
    /// [`VerificationError`]
    pub async fn verify_code(&self, verification: &Verification, code: &str) -> Result<(), VerificationError> {
        let code: String = code.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
        self.inner.api.give_code(&verification.id, &code).await.map_err(verification_error)
    }

    /// Returns whether a handle was verified by now, by code or link (ACC-23).
    ///
    /// # Errors
    /// [`VerificationError`]
    pub async fn is_verified(&self, verification: &Verification) -> Result<bool, VerificationError> {
        self.inner.api.is_verified(&verification.id).await.map_err(verification_error)
    }

    /// Makes a new account with this device as its first. May be called again after any error.
    ///
    /// # Errors
    /// [`RegisterError`]
    pub async fn register(&self, registration: Registration) -> Result<Account, RegisterError> {
        let inner = &*self.inner;
        // 1. Keys, committed. Those of an attempt whose answer got lost are used again.
        let resumes = inner.state().any_own().is_some();
        let list = inner.prepare_account(&registration.device_name)?;
        if resumes && let Some((list, handle)) = inner.account_of_earlier_attempt(list.account()).await? {
            inner.commit_account(&handle, list, None)?;
            return Ok(inner.account()?.ok_or(ProfileError::NoAccount)?);
        }
        // 2. The password, in a form that only this password opens.
        let upload = inner.password_upload(&registration, list.account()).await?;
        // 3. Account, handle, list and prekeys, one commit at the server.
        let push_token = inner.finish_registration(&registration, &upload, &list).await?;
        // 4. Ready.
        inner.commit_account(&registration.verification.handle, list, Some(push_token))?;
        Ok(inner.account()?.ok_or(ProfileError::NoAccount)?)
    }
}

impl Inner {
    fn prepare_account(&self, device_name: &str) -> Result<SignedList, RegisterError> {
        let now = self.now();
        let mut state = self.state();
        if state.any_own().is_some_and(|own| own.stage != Stage::Registering) {
            return Err(ProfileError::HasAccount.into());
        }
        if state.any_own().is_none() {
            // Refused before anything is made.
            self.check_name(device_name)?;
            let own = self.new_own(&state.suites(), now)?;
            state.commit_own(own, Commit::new())?;
        }
        let own = state.any_own().ok_or(ProfileError::NoAccount)?;
        let entry = countersigned(&own.keys, &state.suites(), own.account, device_name, now)
            .map_err(RegisterError::DeviceName)?;
        SignedList::first(&own.account_key, entry, now).map_err(|_| ProfileError::Damaged("the account key").into())
    }

    fn check_name(&self, device_name: &str) -> Result<(), RegisterError> {
        let key = SigningKey::generate_compact(self.rng().as_rng());
        let entry = DeviceEntry::new(key.verifying_key(), device_name, &[SuiteId::PAIR_EC], None, self.now());
        entry.map(drop).map_err(RegisterError::DeviceName)
    }

    fn new_own(&self, suites: &[Suite], now: Timestamp) -> Result<Own, ProfileError> {
        let mut rng = self.rng();
        let account_key = SigningKey::generate_compact(rng.as_rng());
        let keys = (self.costs.device_keys)(rng.as_rng(), suites, now);
        Ok(Own {
            stage: Stage::Registering,
            server: self.server.to_string(),
            account: account_id(account_key.verifying_key().compact()),
            device: halcyon_directory::device_id(keys.device.verifying_key().compact()),
            keys,
            account_key,
            push_token: None,
            prekeys_uploaded: false,
        })
    }

    /// ACC-30, ACC-31
    async fn password_upload(&self, registration: &Registration, account: AccountId) -> Result<Vec<u8>, RegisterError> {
        let password = registration.password.expose();
        let (pending, request) =
            ClientRegistration::start(self.rng().as_rng(), password).map_err(|_| RegisterError::Password)?;
        let response = self.api.start_registration(&registration.verification.id, account, &request).await;
        let response = response.map_err(register_error)?;
        let registered = pending.finish(self.rng().as_rng(), &response, self.costs.password);
        registered.map(|registered| registered.upload).map_err(|error| match error {
            OpaqueError::PasswordLength => RegisterError::Password,
            _ => RegisterError::PasswordProtocol,
        })
    }

    /// Returns list and handle of the account that an earlier attempt made, if only its answer got lost.
    async fn account_of_earlier_attempt(
        &self,
        account: AccountId,
    ) -> Result<Option<(SignedList, Handle)>, RegisterError> {
        match self.call_signed(Request::account(), |request| self.api.account(request)).await? {
            Ok(answer) if answer.account == account => {
                let malformed = || RegisterError::Api(ApiError::Malformed("this account"));
                let list = SignedList::decode(answer.device_list.into()).map_err(|_| malformed())?;
                let (handle, _) = answer.handles.into_iter().next().ok_or_else(malformed)?;
                Ok(Some((list, handle)))
            }
            // `unauthenticated`, as a rule: nobody knows these keys yet.
            Ok(_) | Err(ApiError::Problem(_)) => Ok(None),
            Err(error) => Err(RegisterError::Api(error)),
        }
    }

    /// ACC-32
    async fn finish_registration(
        &self,
        registration: &Registration,
        upload: &[u8],
        list: &SignedList,
    ) -> Result<PushToken, RegisterError> {
        let prekeys = {
            let state = self.state();
            prekeys::newest(&state.any_own().ok_or(ProfileError::NoAccount)?.keys, &state.suites())
        };
        let verification_id = &registration.verification.id;
        let upload = RegistrationUpload { verification_id, upload, list, prekeys: &prekeys };
        let request = Request::finish_registration(&upload);
        self.call_signed(request, |request| self.api.finish_registration(request)).await?.map_err(register_error)
    }

    fn commit_account(
        &self,
        handle: &Handle,
        list: SignedList,
        push_token: Option<PushToken>,
    ) -> Result<(), ProfileError> {
        let mut state = self.state();
        let own = state.any_own().ok_or(ProfileError::NoAccount)?.duplicate()?;
        let own = Own { stage: Stage::Ready, push_token, prekeys_uploaded: true, ..own };
        self.commit_joined(&mut state, own, handle, list)
    }

    /// Commits that this device belongs to an account, with its handle and its list.
    pub(crate) fn commit_joined(
        &self,
        state: &mut crate::state::State,
        own: Own,
        handle: &Handle,
        list: SignedList,
    ) -> Result<(), ProfileError> {
        let now = self.now();
        let account = own.account;
        let (known, _) = halcyon_directory::resolver::accept_list(None, list, now)
            .map_err(|_| ProfileError::Damaged("the own device list"))?;
        let pin = halcyon_directory::KnownHandle::first(handle.clone(), account, now);
        let commit =
            Commit::new().with(Change::AddOwnHandle(handle.clone())).with(Change::PutKnownHandle(KnownHandleRecord {
                handle: handle.clone(),
                account,
                known: pin.encode().into(),
            }));
        let mut commit = commit.with(crate::state::known_account_change(&known)).with(Change::RemoveLink);
        alone::confirm(state, state.store().newest_number()?, &mut commit)?; // SND-7
        if known.list().devices().len() > 1 {
            own::want(&mut commit); // OWN-5
        }
        state.commit_own(own, commit)?;
        state.remember(known);
        Ok(())
    }
}

/// Returns the counter-signed entry of a device (DIR-1, DIR-2). Suites that are not allowed are left out (SUI-9).
pub(crate) fn countersigned(
    keys: &DeviceKeys,
    allowed: &[Suite],
    account: AccountId,
    name: &str,
    added: Timestamp,
) -> Result<CountersignedEntry, EntryError> {
    let spoken: Vec<Suite> = keys.suites().into_iter().filter(|suite| allowed.contains(suite)).collect();
    let suites: Vec<SuiteId> = spoken.iter().map(|suite| suite.id()).collect();
    let pair = keys.pair_identity().filter(|_| spoken.contains(&Suite::Pair));
    let pair = pair.map(|identity| bytes::Bytes::copy_from_slice(identity.as_bytes()));
    let entry = DeviceEntry::new(keys.device.verifying_key(), name, &suites, pair, added)?;
    CountersignedEntry::sign(entry, account, &keys.device)
}

/// Reads a problem of the verification endpoints.
pub(crate) fn verification_error(error: ApiError) -> VerificationError {
    match &error {
        ApiError::Problem(problem) => match problem.code.as_str() {
            "handle_kind_unsupported" => VerificationError::KindUnsupported,
            "wrong_code" => VerificationError::WrongCode { tries_left: problem.tries_left.unwrap_or(0) },
            "verification_ended" => VerificationError::Ended,
            _ => VerificationError::Api(error),
        },
        ApiError::Http(_) | ApiError::Malformed(_) => VerificationError::Api(error),
    }
}

fn register_error(error: ApiError) -> RegisterError {
    match error.code() {
        Some("not_verified") => RegisterError::NotVerified,
        Some("handle_taken") => RegisterError::HandleTaken,
        _ => RegisterError::Api(error),
    }
}
