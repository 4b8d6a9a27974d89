//! Verification of handles by mail. Spec: 20-accounts.md §2 (ACC-20 to ACC-24), §5 (ACC-51).
//!
//! Owns codes, links and tries. Does not know what a verified registration is used for, or how mail travels.
//!
//! - A handle that somebody has and one that nobody has take the same steps to the same answer; only the mail differs,
//!   and that leaves later (ACC-20).
//! - Code and link are kept as a MAC and a hash, and are in no log (ACC-24).

use std::net::IpAddr;
use std::sync::Arc;

use halcyon_crypto::{Label, Secret, hash::sha256, kdf};
use halcyon_directory::alert::AlertEvent;
use halcyon_types::{AccountId, Duration, Handle, HandleError, HandleKind, Timestamp};

use super::limits::{ChargeError, Limited, Meter};
use super::mail::{self, MailQueue};
use crate::alerts::Alerts;
use crate::directory::recipients::DirectoryCache;
use crate::ports::{
    AccountStore, Clock, DirectoryStoreError, NewVerification, Random, Verification, VerificationId,
    VerificationPurpose, VerificationState, VerificationStore, VerifyAttempt, VerifyOutcome,
};

/// How long a verification lives (ACC-21).
pub const VERIFICATION_LIFETIME: Duration = Duration::from_mins(15);
/// Wrong codes that end a verification: five in a million are guessed (ACC-21).
pub const CODE_TRIES_MAX: u32 = 5;
/// Digits of a code.
const CODE_DIGITS: usize = 6;

/// A verification that began.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    /// Its name, for the client that asked alone.
    pub id: VerificationId,
    /// When it ends.
    pub expires: Timestamp,
}

/// Why no verification began. No mail is sent.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeginError {
    /// Not a handle.
    #[error(transparent)]
    Handle(#[from] HandleError),
    /// IDN-4
    #[error("this server has no way to verify phone numbers; use an email address")]
    KindUnsupported,
    /// ACC-51: the account has it already.
    #[error("this handle belongs to your account already")]
    AlreadyYours,
    /// ACC-4
    #[error(transparent)]
    Limited(#[from] Limited),
    /// The store failed; the operator's move.
    #[error(transparent)]
    Store(#[from] DirectoryStoreError),
}

/// Why a code or link did not verify.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// ACC-21
    #[error("the code is wrong; {tries_left} tries are left")]
    Wrong {
        /// More than 0.
        tries_left: u32,
    },
    /// ACC-21, ACC-22: used, ended by wrong codes, expired, or never there.
    #[error("this verification has ended; ask for a new one")]
    Ended,
    /// ACC-51
    #[error("the handle belongs to an account by now")]
    HandleTaken,
    /// ACC-51
    #[error("the account has as many handles as it may")]
    TooManyHandles,
    /// The store failed; the operator's move.
    #[error(transparent)]
    Store(#[from] DirectoryStoreError),
}

/// Begins and ends verifications.
pub struct Verifications {
    store: Arc<dyn VerificationStore>,
    accounts: Arc<dyn AccountStore>,
    meter: Arc<Meter>,
    mails: MailQueue,
    alerts: Arc<Alerts>,
    cache: Arc<DirectoryCache>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    key: Secret<32>,
    place: Place,
}

/// What mails say about where they come from.
#[derive(Clone, Debug)]
pub struct Place {
    /// The host name.
    pub host: String,
    /// The start of links, without a slash at the end.
    pub public_url: String,
}

/// What [`Verifications`] is made of.
#[allow(missing_docs)]
pub struct VerificationParts {
    pub store: Arc<dyn VerificationStore>,
    pub accounts: Arc<dyn AccountStore>,
    pub meter: Arc<Meter>,
    pub mails: MailQueue,
    pub alerts: Arc<Alerts>,
    pub cache: Arc<DirectoryCache>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub key: Secret<32>,
    pub place: Place,
}

impl Verifications {
    /// Puts the service together.
    #[must_use]
    pub fn new(parts: VerificationParts) -> Self {
        let VerificationParts { store, accounts, meter, mails, alerts, cache, clock, random, key, place } = parts;
        Self { store, accounts, meter, mails, alerts, cache, clock, random, key, place }
    }

    /// Begins to verify a handle for a registration (ACC-20).
    ///
    /// # Errors
    /// [`BeginError`]
    pub async fn begin(&self, handle: &str, source: IpAddr) -> Result<Begun, BeginError> {
        self.begin_for(VerificationPurpose::Registration, handle, source).await
    }

    /// Begins to verify a further handle of an account (ACC-51).
    ///
    /// # Errors
    /// [`BeginError`]
    pub async fn begin_further(&self, account: AccountId, handle: &str, source: IpAddr) -> Result<Begun, BeginError> {
        self.begin_for(VerificationPurpose::AddHandle(account), handle, source).await
    }

    async fn begin_for(&self, purpose: VerificationPurpose, handle: &str, source: IpAddr) -> Result<Begun, BeginError> {
        let handle = Handle::parse(handle)?;
        if handle.kind() != HandleKind::Email {
            return Err(BeginError::KindUnsupported); // IDN-4
        }
        self.meter.verification(&handle, source).await.map_err(|error| match error {
            ChargeError::Limited(limited) => BeginError::Limited(limited),
            ChargeError::Store(error) => BeginError::Store(error),
        })?;
        let owner = self.accounts.find(&handle).await?;
        if let (VerificationPurpose::AddHandle(account), Some(owner)) = (purpose, owner)
            && account == owner
        {
            return Err(BeginError::AlreadyYours);
        }
        let begun = Begun { id: VerificationId(self.draw()), expires: self.clock.now().plus(VERIFICATION_LIFETIME) };
        let code = self.draw_code();
        let token: [u8; 32] = self.draw();
        self.store
            .begin(NewVerification {
                id: begun.id,
                handle: handle.clone(),
                purpose,
                code_mac: self.code_mac(begun.id, &code),
                link_hash: sha256(&[&token]),
                expires: begun.expires,
            })
            .await?;
        // ACC-20: the same work so far, whoever has the handle; from here on it happens behind the answer.
        self.mails.put(match owner {
            Some(_) => mail::taken(&handle, &self.place.host),
            None => {
                let link = format!("{}/verify/{}", self.place.public_url, hex::encode(token));
                mail::verification(&handle, &self.place.host, &code, &link)
            }
        });
        metrics::counter!("halcyon_verifications_total", "step" => "begun").increment(1);
        Ok(begun)
    }

    /// Compares a code that a person typed (ACC-21).
    ///
    /// # Errors
    /// [`VerifyError`]
    pub async fn verify_code(&self, id: VerificationId, code: &str) -> Result<(), VerifyError> {
        let digits: String = code.chars().filter(|c| !c.is_whitespace()).take(CODE_DIGITS + 1).collect();
        let presented = self.code_mac(id, &digits);
        let verification = self.store.find(id).await?.ok_or(VerifyError::Ended)?;
        self.verify(&verification, VerifyAttempt::Code(presented)).await
    }

    /// Returns whether the button behind a link would do anything; changes nothing (ACC-22).
    ///
    /// # Errors
    /// [`VerifyError::Ended`] when it would not.
    pub async fn look_at_link(&self, token: &[u8; 32]) -> Result<Verification, VerifyError> {
        let found = self.store.find_by_link(sha256(&[token])).await?;
        let open = |found: &Verification| found.state == VerificationState::Open && found.expires > self.clock.now();
        found.filter(open).ok_or(VerifyError::Ended)
    }

    /// Does what the button behind a link does (ACC-22).
    ///
    /// # Errors
    /// [`VerifyError`]
    pub async fn verify_link(&self, token: &[u8; 32]) -> Result<(), VerifyError> {
        let verification = self.look_at_link(token).await?;
        self.verify(&verification, VerifyAttempt::Link).await
    }

    /// Returns whether a verification succeeded (ACC-23).
    ///
    /// # Errors
    /// [`VerifyError::Ended`] when there is nothing to wait for any more.
    pub async fn is_verified(&self, id: VerificationId) -> Result<bool, VerifyError> {
        let verification = self.store.find(id).await?.ok_or(VerifyError::Ended)?;
        match verification.state {
            _ if verification.expires <= self.clock.now() => Err(VerifyError::Ended),
            VerificationState::Open => Ok(false),
            VerificationState::Verified => Ok(true),
            VerificationState::Ended => Err(VerifyError::Ended),
        }
    }

    async fn verify(&self, verification: &Verification, attempt: VerifyAttempt) -> Result<(), VerifyError> {
        let wake = match verification.purpose {
            VerificationPurpose::Registration => Vec::new(),
            VerificationPurpose::AddHandle(account) => {
                vec![self.alerts.alert(account, AlertEvent::HandleAdded(verification.handle.clone()))]
            }
        };
        let handles_max = self.meter.limits().handles_per_account;
        let now = self.clock.now();
        let outcome =
            self.store.verify(verification.id, attempt, CODE_TRIES_MAX, handles_max, now, wake.clone()).await?;
        match outcome {
            VerifyOutcome::Verified => {}
            VerifyOutcome::Wrong { tries_left } => return Err(VerifyError::Wrong { tries_left }),
            VerifyOutcome::Ended => return Err(VerifyError::Ended),
            VerifyOutcome::HandleTaken => return Err(VerifyError::HandleTaken),
            VerifyOutcome::TooManyHandles => return Err(VerifyError::TooManyHandles),
        }
        metrics::counter!("halcyon_verifications_total", "step" => "verified").increment(1);
        if let VerificationPurpose::AddHandle(account) = verification.purpose {
            self.cache.forget(account);
            self.alerts.follow(wake).await; // DIR-40
        }
        Ok(())
    }

    /// ACC-24: the id is part of it, so a code is good for its own verification.
    fn code_mac(&self, id: VerificationId, code: &str) -> [u8; 32] {
        kdf::labelled_mac(Label::EmailVerification, &self.key, &[&id.0, code.as_bytes()]).into_public()
    }

    /// Six digits, each value as likely as any other but for one part in 2^44.
    fn draw_code(&self) -> String {
        format!("{:06}", u64::from_be_bytes(self.draw()) % 1_000_000)
    }

    fn draw<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes);
        bytes
    }
}
