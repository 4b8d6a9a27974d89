//! How often one may ask. Spec: 20-accounts.md §1 (ACC-4), §6 (ACC-62), 11-directory.md §3 (DIR-23).
//!
//! Owns the numbers and what they count for. Does not keep the counts: the store does, so they survive a restart.
//!
//! - Subjects are keyed hashes: neither addresses nor handles are stored for the sake of a limit.

use std::net::IpAddr;
use std::sync::Arc;

use halcyon_crypto::{Label, Secret, kdf};
use halcyon_types::{AccountId, Duration, Handle};

use crate::ports::{Admitted, Charge, Clock, DirectoryStoreError, LimitKey, LimitStore, Rate};

/// All limits of accounts and directory. Every one is a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Verifications an hour from one source address: a household or a small office (ACC-4).
    pub verifications_per_address_hour: u32,
    /// Sign-ins an hour from one source address (ACC-4).
    pub sign_ins_per_address_hour: u32,
    /// Verifications an hour of one handle: each is a mail to somebody, and five guesses at a code (ACC-4).
    pub verifications_per_handle_hour: u32,
    /// Sign-ins an hour to one handle: guesses at its password (ACC-4).
    pub sign_ins_per_handle_hour: u32,
    /// Lookups a day of handles that the account never asked for before (DIR-23).
    pub lookups_per_day: u32,
    /// Such lookups at once (DIR-23).
    pub lookups_burst: u32,
    /// Reports a day of one account, all of them at once if it likes (ACC-62).
    pub reports_per_day: u32,
    /// Handles of one account (ACC-51).
    pub handles_per_account: u32,
    /// Open links of one account (LNK-1).
    pub open_links_per_account: u32,
    /// Whether limits for source addresses hold for the machine itself, too. Off by default: behind loopback are tests, the
    /// quickstart, or a proxy for everybody.
    pub limit_loopback: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            verifications_per_address_hour: 30,
            sign_ins_per_address_hour: 60,
            verifications_per_handle_hour: 5,
            sign_ins_per_handle_hour: 10,
            lookups_per_day: 200,
            lookups_burst: 50,
            reports_per_day: 20,
            handles_per_account: 20,
            open_links_per_account: 5,
            limit_loopback: false,
        }
    }
}

/// A request that came too early. The asker waits.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("too many requests; try again in {retry_after}")]
pub struct Limited {
    /// At least this long.
    pub retry_after: Duration,
}

/// Why a charge did not pass.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChargeError {
    /// The asker is too fast.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// The store failed; the operator's move.
    #[error(transparent)]
    Store(#[from] DirectoryStoreError),
}

/// Counts requests against [`Limits`].
pub struct Meter {
    limits: Limits,
    key: Secret<32>,
    store: Arc<dyn LimitStore>,
    clock: Arc<dyn Clock>,
}

const HOUR: Duration = Duration::from_mins(60);
const DAY: Duration = Duration::from_days(1);

/// What a limit counts. The byte is part of the subject, so kinds do not mix.
#[derive(Clone, Copy)]
enum Kind {
    VerificationAddress = 1,
    SignInAddress = 2,
    VerificationHandle = 3,
    SignInHandle = 4,
    Lookup = 5,
    Report = 6,
}

impl Meter {
    /// Counts against these limits; `key` is [`limit_key`](crate::secrets::ServerSecrets::limit_key).
    #[must_use]
    pub fn new(limits: Limits, key: Secret<32>, store: Arc<dyn LimitStore>, clock: Arc<dyn Clock>) -> Self {
        Self { limits, key, store, clock }
    }

    /// Returns the numbers.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Counts one verification of a handle that a source address asks for (ACC-4).
    ///
    /// # Errors
    /// [`ChargeError`]; nothing was counted.
    pub async fn verification(&self, handle: &Handle, source: IpAddr) -> Result<(), ChargeError> {
        let per_handle = hourly(self.limits.verifications_per_handle_hour);
        let per_address = hourly(self.limits.verifications_per_address_hour);
        self.charge([
            Some((self.subject(Kind::VerificationHandle, handle.as_uri().as_bytes()), per_handle)),
            self.address(Kind::VerificationAddress, source).map(|subject| (subject, per_address)),
        ])
        .await
    }

    /// Counts one sign-in to a handle from a source address (ACC-4).
    ///
    /// # Errors
    /// [`ChargeError`]; nothing was counted.
    pub async fn sign_in(&self, handle: &Handle, source: IpAddr) -> Result<(), ChargeError> {
        let per_handle = hourly(self.limits.sign_ins_per_handle_hour);
        let per_address = hourly(self.limits.sign_ins_per_address_hour);
        self.charge([
            Some((self.subject(Kind::SignInHandle, handle.as_uri().as_bytes()), per_handle)),
            self.address(Kind::SignInAddress, source).map(|subject| (subject, per_address)),
        ])
        .await
    }

    /// Returns what one lookup of a new handle takes from an account's limit (DIR-23).
    #[must_use]
    pub fn lookup(&self, asker: AccountId) -> Charge {
        let rate = Rate::per(self.limits.lookups_per_day, DAY, self.limits.lookups_burst);
        Charge { key: self.subject(Kind::Lookup, asker.as_bytes()), rate, cost: 1 }
    }

    /// Counts one report of an account (ACC-62).
    ///
    /// # Errors
    /// [`ChargeError`]; nothing was counted.
    pub async fn report(&self, reporter: AccountId) -> Result<(), ChargeError> {
        let rate = Rate::per(self.limits.reports_per_day, DAY, self.limits.reports_per_day);
        self.charge([Some((self.subject(Kind::Report, reporter.as_bytes()), rate)), None]).await
    }

    async fn charge(&self, charges: [Option<(LimitKey, Rate)>; 2]) -> Result<(), ChargeError> {
        let charges = charges.into_iter().flatten().map(|(key, rate)| Charge { key, rate, cost: 1 }).collect();
        match self.store.charge(charges, self.clock.now()).await? {
            Admitted::Admitted => Ok(()),
            Admitted::Limited { retry_after } => Err(Limited { retry_after }.into()),
        }
    }

    fn address(&self, kind: Kind, source: IpAddr) -> Option<LimitKey> {
        let source = source.to_canonical();
        if source.is_loopback() && !self.limits.limit_loopback {
            return None;
        }
        match source {
            IpAddr::V4(address) => Some(self.subject(kind, &address.octets())),
            // One customer has a whole /64, so that is what counts as one address.
            IpAddr::V6(address) => Some(self.subject(kind, &address.octets()[..8])),
        }
    }

    fn subject(&self, kind: Kind, of: &[u8]) -> LimitKey {
        LimitKey(kdf::labelled_mac(Label::RateLimit, &self.key, &[&[kind as u8], of]).into_public())
    }
}

fn hourly(count: u32) -> Rate {
    Rate::per(count, HOUR, count)
}
