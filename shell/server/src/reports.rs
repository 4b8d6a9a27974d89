//! What people report to the operator. Spec: 20-accounts.md §6 (ACC-60 to ACC-63).
//!
//! Owns what is taken, how much and for how long. Does not judge whether a report is true, and tells nobody of it: what happens is the
//! operator's to decide.
//!
//! - Contents are never logged (I9): a report goes from the request to the store, and from there to the operator alone.

use std::sync::Arc;

use bytes::Bytes;
use halcyon_directory::report::{ReportError, SignedReport};
use halcyon_types::{Duration, ReportId, Timestamp};

use crate::accounts::limits::{ChargeError, Limited, Meter};
use crate::accounts::request::Member;
use crate::ports::{
    Clock, DirectoryStoreError, NewReport, Random, Recipients, RecipientsError, ReportKept, ReportRoom, ReportStore,
};

/// How long a report is kept: long enough for an operator who was away for a season; it is somebody's words, and no longer (ACC-62).
pub const REPORT_KEPT_FOR: Duration = Duration::from_days(90);
/// Reports of one account at once: more are an operator's full-time work, and 10 MiB (ACC-62).
pub const REPORTS_PER_ACCOUNT_MAX: u32 = 200;
/// Reports of all at once, half a gigabyte at most, so that accounts made for it cannot fill the disk (ACC-62).
pub const REPORTS_MAX: u32 = 10_000;

/// Why a report was not taken. Nothing is kept.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TakeError {
    /// ACC-60
    #[error(transparent)]
    Invalid(#[from] ReportError),
    /// ACC-61
    #[error("the report is another account's or device's; the client is at fault")]
    Foreign,
    /// The device left the account while it asked.
    #[error("the device is not in its account any more")]
    Revoked,
    /// ACC-62
    #[error(transparent)]
    Limited(#[from] Limited),
    /// ACC-62
    #[error("this account has {REPORTS_PER_ACCOUNT_MAX} reports that the operator has not dropped yet; wait for that")]
    TooMany,
    /// ACC-62: the operator's move.
    #[error("the operator has {REPORTS_MAX} reports to look at, and no more are kept; try again another day")]
    Full,
    /// The directory could not be read.
    #[error(transparent)]
    Directory(#[from] RecipientsError),
    /// The store failed; the operator's move.
    #[error(transparent)]
    Store(#[from] DirectoryStoreError),
}

impl From<ChargeError> for TakeError {
    fn from(error: ChargeError) -> Self {
        match error {
            ChargeError::Limited(limited) => Self::Limited(limited),
            ChargeError::Store(error) => Self::Store(error),
        }
    }
}

/// What the server did with a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// By what reporter and operator can name it.
    pub id: ReportId,
    /// When it is forgotten.
    pub kept_until: Timestamp,
}

/// Takes reports.
pub struct Reports {
    store: Arc<dyn ReportStore>,
    directory: Arc<dyn Recipients>,
    meter: Arc<Meter>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Reports {
    /// Puts the service together.
    #[must_use]
    pub fn new(
        store: Arc<dyn ReportStore>,
        directory: Arc<dyn Recipients>,
        meter: Arc<Meter>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self { store, directory, meter, clock, random }
    }

    /// Keeps an encoded `SignedReport` of the device that asks.
    ///
    /// # Errors
    /// [`TakeError`]
    pub async fn take(&self, member: Member, signed: Bytes) -> Result<Taken, TakeError> {
        let device = self.directory.device(member.device).await?.ok_or(TakeError::Revoked)?;
        let signed = SignedReport::verify(signed, &device.key)?;
        let report = signed.report();
        // ACC-61
        if (report.account, report.device) != (member.account, member.device) {
            return Err(TakeError::Foreign);
        }
        self.meter.report(member.account).await?;
        let now = self.clock.now();
        let mut id = [0; ReportId::LEN];
        self.random.fill(&mut id);
        let new = NewReport {
            id: ReportId::from_bytes(id),
            account: member.account,
            device: member.device,
            device_key: *device.key.compact().as_bytes(),
            message: report.message,
            sender_device: report.sender_device,
            signed: signed.encode(),
            stored: now,
            expires: now.plus(REPORT_KEPT_FOR),
        };
        let kept_until = new.expires;
        let room = ReportRoom { per_account: REPORTS_PER_ACCOUNT_MAX, in_all: REPORTS_MAX };
        match self.store.keep(new, room).await? {
            ReportKept::Kept(id) => {
                metrics::counter!("halcyon_reports_total").increment(1);
                tracing::info!("somebody reported a message: `halcyond reports list` shows what");
                Ok(Taken { id, kept_until })
            }
            ReportKept::TooMany => Err(TakeError::TooMany),
            ReportKept::Full => {
                tracing::warn!("a report was refused: there are as many as are kept, until some are dropped");
                Err(TakeError::Full)
            }
        }
    }
}
