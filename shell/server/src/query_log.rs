//! The only trace of who asked for whom, and what it admits. Spec: 11-directory.md §3, §6 (DIR-23, DIR-50).
//!
//! Owns the order: count, record, and only then answer. Does not know what the answer is.
//!
//! - A record is a keyed hash and an hour. Nothing else in the server writes down who asked for whom.

use std::sync::Arc;

use halcyon_directory::query::QueryKey;
use halcyon_types::{AccountId, Handle};

use crate::accounts::limits::{ChargeError, Limited, Meter};
use crate::ports::{Admitted, Clock, LookupStore};
use crate::secrets::ServerSecrets;

/// Admits and records lookups.
pub struct QueryLog {
    store: Arc<dyn LookupStore>,
    meter: Arc<Meter>,
    key: QueryKey,
    clock: Arc<dyn Clock>,
}

impl QueryLog {
    /// Puts the service together.
    #[must_use]
    pub fn new(store: Arc<dyn LookupStore>, meter: Arc<Meter>, secrets: &ServerSecrets, clock: Arc<dyn Clock>) -> Self {
        Self { store, meter, key: secrets.query_log.clone(), clock }
    }

    /// Records that an account asks for handles, none of them its own, unless it asked for too many new ones (DIR-23).
    ///
    /// # Errors
    /// [`ChargeError`]; nothing was recorded, and the lookup must not be answered.
    pub async fn admit<'a>(
        &self,
        asker: AccountId,
        strangers: impl Iterator<Item = &'a Handle>,
    ) -> Result<(), ChargeError> {
        let now = self.clock.now();
        let records: Vec<_> = strangers.map(|handle| self.key.record(asker, handle, now)).collect();
        // All of one moment, so of one hour.
        let Some(hour) = records.first().map(|record| record.hour) else { return Ok(()) };
        let macs = records.into_iter().map(|record| record.mac).collect();
        match self.store.admit(macs, hour, self.meter.lookup(asker), now).await? {
            Admitted::Admitted => Ok(()),
            Admitted::Limited { retry_after } => Err(Limited { retry_after }.into()),
        }
    }
}
