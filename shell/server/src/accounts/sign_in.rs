//! Sign-in with handle and password. Spec: 20-accounts.md §4 (ACC-40, ACC-41).
//!
//! Owns the sign-ins between their two steps, in memory: a restart ends them, and the person types again.
//! Does not know what a ticket is used for.
//!
//! - An unknown handle and a wrong password look alike, in answers, sizes and steps (ACC-40, ACC-41).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use halcyon_crypto::opaque::{PasswordRecord, ServerLogin};
use halcyon_crypto::{Label, Secret, hash::sha256, kdf};
use halcyon_types::{AccountId, Duration, Handle, HandleError, Timestamp};

use super::limits::{ChargeError, Limited, Meter};
use crate::ports::{AccountStore, Clock, DirectoryStoreError, LinkStore, Random, RandomRng};
use crate::secrets::ServerSecrets;

/// How long a sign-in lives: the client answers as soon as it has stretched the password (ACC-41).
pub const SIGN_IN_LIFETIME: Duration = Duration::from_mins(2);
/// How long a ticket lives: the link request follows at once, retries included (ACC-41).
pub const TICKET_LIFETIME: Duration = Duration::from_mins(15);
/// Sign-ins between their two steps, about 400 bytes each. More at one time is an attack, and waits.
const PENDING_MAX: usize = 10_000;

/// The answer to the first step.
#[derive(Clone, Debug)]
pub struct Started {
    /// Names the sign-in: 16 random bytes.
    pub id: [u8; 16],
    /// OPAQUE's KE2.
    pub ke2: Vec<u8>,
}

/// A proven password.
#[derive(Clone)]
pub struct SignedIn {
    /// Good for one link request: 32 random bytes.
    pub ticket: [u8; 32],
    /// Whose password it was.
    pub account: AccountId,
}

/// Why a sign-in did not begin.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Not a handle.
    #[error(transparent)]
    Handle(#[from] HandleError),
    /// Not a KE1.
    #[error("the password message is malformed")]
    Malformed,
    /// ACC-4
    #[error(transparent)]
    Limited(#[from] Limited),
    /// Too many sign-ins at this moment.
    #[error("too many people sign in at this moment; try again in two minutes")]
    Busy,
    /// The store failed; the operator's move.
    #[error(transparent)]
    Store(#[from] DirectoryStoreError),
}

/// Why a sign-in failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FinishError {
    /// ACC-41: wrong password, unknown handle, expired or used sign-in: one answer.
    #[error("handle or password is wrong, or the sign-in took too long")]
    Failed,
    /// The store failed; the operator's move.
    #[error(transparent)]
    Store(#[from] DirectoryStoreError),
}

/// Signs people in.
pub struct SignIns {
    accounts: Arc<dyn AccountStore>,
    links: Arc<dyn LinkStore>,
    meter: Arc<Meter>,
    secrets: Arc<ServerSecrets>,
    unknown_handle_key: Secret<32>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    pending: Mutex<HashMap<[u8; 16], Pending>>,
}

struct Pending {
    login: ServerLogin,
    account: Option<AccountId>,
    expires: Timestamp,
}

impl SignIns {
    /// Puts the service together.
    #[must_use]
    pub fn new(
        accounts: Arc<dyn AccountStore>,
        links: Arc<dyn LinkStore>,
        meter: Arc<Meter>,
        secrets: Arc<ServerSecrets>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        let unknown_handle_key = secrets.unknown_handle_key();
        Self { accounts, links, meter, secrets, unknown_handle_key, clock, random, pending: Mutex::default() }
    }

    /// Answers OPAQUE's KE1 (ACC-40).
    ///
    /// # Errors
    /// [`StartError`]
    pub async fn start(&self, handle: &str, ke1: &[u8], source: IpAddr) -> Result<Started, StartError> {
        let handle = Handle::parse(handle)?;
        self.meter.sign_in(&handle, source).await.map_err(|error| match error {
            ChargeError::Limited(limited) => StartError::Limited(limited),
            ChargeError::Store(error) => StartError::Store(error),
        })?;
        let found = self.accounts.password(&handle).await?;
        // A record that does not read is damage; to the outside it is an unknown handle like any other.
        let known = found.and_then(|(account, record)| {
            let record = PasswordRecord::from_secret_bytes(&record);
            record.inspect_err(|_| tracing::error!("a password record is damaged")).ok().map(|record| (account, record))
        });
        let unknown = self.unknown_id(&handle);
        let (account, record, credential): (_, _, &[u8]) = match &known {
            Some((account, record)) => (Some(*account), Some(record), account.as_bytes()),
            None => (None, None, &unknown), // ACC-40
        };
        let mut rng = RandomRng(&*self.random);
        let (login, ke2) = ServerLogin::start(&mut rng, &self.secrets.opaque, record, ke1, credential)
            .map_err(|_| StartError::Malformed)?;
        let id = self.draw();
        let now = self.clock.now();
        self.keep(id, Pending { login, account, expires: now.plus(SIGN_IN_LIFETIME) }, now)?;
        Ok(Started { id, ke2 })
    }

    /// Checks OPAQUE's KE3 and gives out a ticket (ACC-41).
    ///
    /// # Errors
    /// [`FinishError`]
    pub async fn finish(&self, id: [u8; 16], ke3: &[u8]) -> Result<SignedIn, FinishError> {
        // Taken out before it is checked: a sign-in is good for one try.
        let pending = self.lock().remove(&id).filter(|pending| pending.expires > self.clock.now());
        let account = pending.and_then(|pending| {
            let proven = pending.login.finish(ke3).is_ok();
            pending.account.filter(|_| proven)
        });
        let Some(account) = account else {
            metrics::counter!("halcyon_sign_ins_total", "outcome" => "failed").increment(1);
            return Err(FinishError::Failed);
        };
        let ticket: [u8; 32] = self.draw();
        self.links.put_ticket(sha256(&[&ticket]), account, self.clock.now().plus(TICKET_LIFETIME)).await?;
        metrics::counter!("halcyon_sign_ins_total", "outcome" => "succeeded").increment(1);
        Ok(SignedIn { ticket, account })
    }

    fn keep(&self, id: [u8; 16], sign_in: Pending, now: Timestamp) -> Result<(), StartError> {
        let mut pending = self.lock();
        if pending.len() >= PENDING_MAX {
            pending.retain(|_, sign_in| sign_in.expires > now);
        }
        if pending.len() >= PENDING_MAX {
            return Err(StartError::Busy);
        }
        pending.insert(id, sign_in);
        Ok(())
    }

    /// Forgets sign-ins that expired.
    pub fn sweep(&self) {
        let now = self.clock.now();
        self.lock().retain(|_, sign_in| sign_in.expires > now);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 16], Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// ACC-40: as long as an account id, always the same for a handle, and known to nobody else.
    fn unknown_id(&self, handle: &Handle) -> [u8; AccountId::LEN] {
        let mac = kdf::labelled_mac(Label::UnknownHandle, &self.unknown_handle_key, &[handle.as_uri().as_bytes()]);
        let mut id = [0; AccountId::LEN];
        id.copy_from_slice(&mac.into_public()[..AccountId::LEN]);
        id
    }

    fn draw<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes);
        bytes
    }
}
