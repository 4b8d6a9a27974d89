//! This device joins an account that exists: the new device's side. Spec: 20-accounts.md §4, 21-linking.md (LNK-1 to LNK-10).
//!
//! Owns the order of the calls. Does not know commitments and digits: `directory::link_approval::newcomer` does.
//!
//! - What is needed to finish is committed before the nonce is revealed, since approval may come at any moment from then on: an end
//!   in between is gone on from (LNK-11).
//! - There is no account before its key arrived and fits; any other end leaves the profile empty (LNK-10).

use std::sync::Arc;

use bytes::Bytes;
use halcyon_crypto::{
    Secret, SecretBytes,
    opaque::{ClientLogin, OpaqueError},
};
use halcyon_directory::{
    CountersignedEntry,
    link_approval::{
        Challenge,
        newcomer::{Kept, Linked, Newcomer, Revealing},
    },
};
use halcyon_suites::DeviceKeys;
use halcyon_types::{AccountId, DeviceId, Duration, Handle, LinkId};

use crate::{
    api::{LinkState, Request},
    client::{Account, Client, Inner},
    error::{ApiError, LinkError, ProfileError},
    ports::{
        Change, Commit,
        store::{LinkRecord, Stage},
    },
    prekeys,
    register::countersigned,
    state::Own,
};

/// What a device needs to ask to be linked.
#[derive(Clone, Debug)]
pub struct LinkDraft {
    /// A handle of the account.
    pub handle: Handle,
    /// The account's password.
    pub password: SecretBytes,
    /// What this device is to be called.
    pub device_name: String,
}

/// A link as the new device sees it. Dropping it before the digits were shown gives it up; after that
/// [`Client::link_again`] goes on with it.
pub struct PendingLink {
    inner: Arc<Inner>,
    id: LinkId,
    handle: Handle,
    device: DeviceId,
    keys: DeviceKeys,
    account: AccountId,
    step: Step,
}

enum Step {
    Asked(Newcomer),
    Revealed(Revealing),
    /// An error ended it.
    Over,
}

/// How long the server may delay an answer about a link (LNK-3).
pub(crate) const LINK_WAIT: Duration = Duration::from_secs(25);
/// Before asking again after the network failed: a link lives 15 minutes, so there is time.
pub(crate) const POLL_PAUSE: Duration = Duration::from_secs(2);

impl Client {
    /// Goes on with a link that this profile was in when its process ended, if there is one: the same digits, and the approval, if
    /// that has come in the meantime (LNK-11).
    ///
    /// # Errors
    /// [`LinkError`]
    pub fn link_again(&self) -> Result<Option<PendingLink>, LinkError> {
        let Some(record) = self.inner.state().store().link().map_err(ProfileError::from)? else { return Ok(None) };
        let damaged = || ProfileError::Damaged("the link");
        let keys = DeviceKeys::from_secret_bytes(record.device_keys.expose()).map_err(|_| damaged())?;
        let entry = CountersignedEntry::verify(record.account, record.entry, &record.entry_signature);
        let entry = entry.map_err(|_| damaged())?;
        let challenge =
            Challenge { approver: record.approver, ephemeral: record.approver_ephemeral, nonce: record.approver_nonce };
        let secret = |bytes: &SecretBytes| Secret::try_from(bytes.expose()).map_err(|_| damaged());
        let kept = Kept { ephemeral: secret(&record.ephemeral)?, nonce: secret(&record.nonce)?, challenge };
        let device = entry.entry().id();
        let revealing = Revealing::again(record.account, entry, kept)?;
        Ok(Some(PendingLink {
            inner: self.inner.clone(),
            id: record.id,
            handle: record.handle,
            device,
            keys,
            account: record.account,
            step: Step::Revealed(revealing),
        }))
    }

    /// Signs in and asks to be linked to an existing account (LNK-1). A link that was not finished before is given up.
    ///
    /// # Errors
    /// [`LinkError`]
    pub async fn link_start(&self, draft: LinkDraft) -> Result<PendingLink, LinkError> {
        let inner = &*self.inner;
        if inner.state().any_own().is_some_and(|own| own.stage != Stage::Registering) {
            return Err(ProfileError::HasAccount.into());
        }
        // 1. Password.
        let (ticket, account) = inner.sign_in(&draft).await?;
        // 2. Keys of this device, in memory only.
        let now = inner.now();
        let suites = inner.state().suites();
        let keys = (inner.costs.device_keys)(inner.rng().as_rng(), &suites, now);
        let entry = countersigned(&keys, &suites, account, &draft.device_name, now).map_err(LinkError::DeviceName)?;
        let device = entry.entry().id();
        // 3. The commitment goes first.
        let newcomer = Newcomer::begin(account, entry, inner.rng().as_rng());
        let request = Request::link(&ticket, &newcomer.request(), &prekeys::newest(&keys, &suites));
        let id = inner.call_signed_by(request, device, &keys.device, |request| inner.api.link(request)).await;
        let id = id.map_err(link_error)?;
        Ok(PendingLink {
            inner: self.inner.clone(),
            id,
            handle: draft.handle,
            device,
            keys,
            account,
            step: Step::Asked(newcomer),
        })
    }
}

impl PendingLink {
    /// Returns the id of the link.
    #[must_use]
    pub fn id(&self) -> LinkId {
        self.id
    }

    /// Waits until a device of the account answered, and returns the six digits to type there (LNK-6).
    ///
    /// # Errors
    /// [`LinkError`]; the link is over.
    pub async fn digits(&mut self) -> Result<String, LinkError> {
        if let Step::Revealed(revealing) = &self.step {
            return Ok(revealing.digits().to_string());
        }
        let challenge = loop {
            match self.state().await? {
                LinkState::Waiting => {}
                LinkState::Challenged(challenge) => break challenge,
                LinkState::Revealed(_) | LinkState::Approved(_) => {
                    return Err(LinkError::Api(ApiError::Malformed("a link")));
                }
                LinkState::Rejected => return Err(LinkError::Rejected),
                LinkState::Expired => return Err(LinkError::Expired),
            }
        };
        let Step::Asked(newcomer) = std::mem::replace(&mut self.step, Step::Over) else {
            return Err(LinkError::Expired);
        };
        // LNK-4: the nonce is shown only now that the other side is bound.
        let revealing = newcomer.challenged(challenge)?;
        self.keep(&revealing)?;
        self.reveal(&revealing).await?;
        let digits = revealing.digits().to_string();
        self.step = Step::Revealed(revealing);
        Ok(digits)
    }

    /// Waits until the digits were typed on the other device, and commits the account (LNK-10).
    ///
    /// # Errors
    /// [`LinkError`]; the link is over, and the profile is empty.
    pub async fn finish(mut self) -> Result<Account, LinkError> {
        self.digits().await?;
        let approved = self.approved().await;
        if let Err(LinkError::Rejected | LinkError::Expired | LinkError::Untrusted(_)) = &approved {
            let removed = self.inner.state().commit(&Commit::new().with(Change::RemoveLink));
            removed.map_err(ProfileError::from)?;
        }
        let Linked { account_key, list, push_token } = approved?;
        let own = Own {
            stage: Stage::Ready,
            server: self.inner.server.to_string(),
            account: self.account,
            device: self.device,
            keys: self.keys,
            account_key,
            push_token: Some(push_token),
            prekeys_uploaded: true,
        };
        {
            let mut state = self.inner.state();
            self.inner.commit_joined(&mut state, own, &self.handle, list)?;
        }
        Ok(self.inner.account()?.ok_or(ProfileError::NoAccount)?)
    }

    /// LNK-10
    async fn approved(&mut self) -> Result<Linked, LinkError> {
        let approval = loop {
            match self.state().await? {
                LinkState::Approved(approval) => break approval,
                LinkState::Waiting | LinkState::Revealed(_) => {}
                // LNK-11: an end may have come between the challenge and its answer.
                LinkState::Challenged(_) => match &self.step {
                    Step::Revealed(revealing) => self.reveal(revealing).await?,
                    Step::Asked(_) | Step::Over => return Err(LinkError::Expired),
                },
                LinkState::Rejected => return Err(LinkError::Rejected),
                LinkState::Expired => return Err(LinkError::Expired),
            }
        };
        let Step::Revealed(revealing) = std::mem::replace(&mut self.step, Step::Over) else {
            return Err(LinkError::Expired);
        };
        Ok(revealing.approved(&approval)?)
    }

    /// LNK-11: from the next step on this device may be one of the account.
    fn keep(&self, revealing: &Revealing) -> Result<(), ProfileError> {
        let Kept { ephemeral, nonce, challenge } = revealing.kept();
        let entry = revealing.entry();
        let record = LinkRecord {
            id: self.id,
            handle: self.handle.clone(),
            account: self.account,
            device_keys: self.keys.to_secret_bytes(),
            entry: entry.bytes().clone(),
            entry_signature: Bytes::copy_from_slice(entry.signature().as_bytes()),
            ephemeral: SecretBytes::copy_of(ephemeral.expose()),
            nonce: SecretBytes::copy_of(nonce.expose()),
            approver: challenge.approver,
            approver_ephemeral: challenge.ephemeral,
            approver_nonce: challenge.nonce,
        };
        Ok(self.inner.state().commit(&Commit::new().with(Change::PutLink(record)))?)
    }

    /// LNK-4
    async fn reveal(&self, revealing: &Revealing) -> Result<(), LinkError> {
        self.call(Request::reveal(self.id, revealing.reveal())).await
    }

    /// LNK-3. A network that fails for a while does not end a link.
    async fn state(&self) -> Result<LinkState, LinkError> {
        loop {
            let inner = &*self.inner;
            let request = Request::link_state(self.id, LINK_WAIT);
            let asked =
                inner.call_signed_by(request, self.device, &self.keys.device, |request| inner.api.link_state(request));
            match asked.await {
                Ok(state) => return Ok(state),
                Err(ApiError::Http(_)) => tokio::time::sleep(POLL_PAUSE.to_std()).await,
                Err(error) => return Err(link_error(error)),
            }
        }
    }

    async fn call(&self, request: Request) -> Result<(), LinkError> {
        let inner = &*self.inner;
        let called = inner.call_signed_by(request, self.device, &self.keys.device, |request| inner.api.call(request));
        called.await.map(drop).map_err(link_error)
    }
}

impl Inner {
    /// ACC-40, ACC-41
    async fn sign_in(&self, draft: &LinkDraft) -> Result<(SecretBytes, AccountId), LinkError> {
        let (pending, ke1) =
            ClientLogin::start(self.rng().as_rng(), draft.password.expose()).map_err(|_| LinkError::Password)?;
        let answer = self.api.start_sign_in(&draft.handle, &ke1).await.map_err(link_error)?;
        let finished = pending.finish(self.rng().as_rng(), &answer.ke2, self.costs.password);
        let finished = finished.map_err(|error| match error {
            OpaqueError::Malformed => LinkError::Api(ApiError::Malformed("a sign-in")),
            OpaqueError::PasswordLength => LinkError::Password,
            _ => LinkError::SignInFailed,
        })?;
        self.api.finish_sign_in(&answer.id, &finished.finalization).await.map_err(link_error)
    }
}

fn link_error(error: ApiError) -> LinkError {
    match error.code() {
        Some("sign_in_failed") => LinkError::SignInFailed,
        Some("too_many_links") => LinkError::TooManyOpen,
        Some("link_ended" | "no_such_link") => LinkError::Expired,
        _ => LinkError::Api(error),
    }
}
