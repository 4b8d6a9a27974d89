//! The one trace that a lookup leaves. Spec: 11-directory.md §6 (DIR-50).
//!
//! Owns how a record is made and when it dies. Does not know where records are stored, and cannot be asked who is behind
//! one: without the key a record tells nothing, and with it only a guess can be tested.

use std::fmt;

use halcyon_crypto::{Label, Rng, Secret, kdf::labelled_mac};
use halcyon_types::{AccountId, Duration, Handle, Timestamp};

/// How long records are kept (DIR-50).
pub const QUERY_LOG_RETENTION: Duration = Duration::from_days(30);
const HOUR_MS: u64 = 3_600_000;

/// The server's key for the query log.
#[derive(Clone)]
pub struct QueryKey(Secret<32>);

/// One record: who asked for whom, keyed, and in which hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryRecord {
    /// Labelled MAC of asker and handle. The same pair gives the same bytes, which is how "asked before" is answered (DIR-23).
    pub mac: [u8; 32],
    /// Hours since the UNIX epoch.
    pub hour: u64,
}

impl QueryKey {
    /// Draws a fresh key. Older records can no longer be matched from then on.
    #[must_use]
    pub fn generate(rng: &mut dyn Rng) -> Self {
        Self(Secret::random(rng))
    }

    /// Takes a key that was stored.
    #[must_use]
    pub fn from_secret(secret: Secret<32>) -> Self {
        Self(secret)
    }

    /// Returns the key, to be stored under protection.
    #[must_use]
    pub fn secret(&self) -> &Secret<32> {
        &self.0
    }

    /// Returns the record of `asker` having asked for `handle` now (DIR-50).
    #[must_use]
    pub fn record(&self, asker: AccountId, handle: &Handle, now: Timestamp) -> QueryRecord {
        let parts: [&[u8]; 2] = [asker.as_bytes(), handle.as_uri().as_bytes()];
        QueryRecord {
            mac: labelled_mac(Label::QueryLog, &self.0, &parts).into_public(),
            hour: now.as_millis() / HOUR_MS,
        }
    }
}

/// A key prints nothing of itself.
impl fmt::Debug for QueryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueryKey(32 bytes)")
    }
}

/// Returns the first hour whose records are kept at `now`: everything before it is to be deleted (DIR-50).
#[must_use]
pub fn first_kept_hour(now: Timestamp) -> u64 {
    now.minus(QUERY_LOG_RETENTION).as_millis() / HOUR_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// DIR-50: a record says the hour and nothing else to whom lacks the key; the same question gives the same MAC.
    #[test]
    fn a_record_is_a_keyed_hash_and_an_hour() {
        let key = QueryKey::from_secret(Secret::fill_with(|bytes| *bytes = [1; 32]));
        let alice = AccountId::from_bytes([0xa1; 16]);
        let (bob, carol) = (Handle::parse("bob@example.org").unwrap(), Handle::parse("carol@example.org").unwrap());
        let now = Timestamp::from_millis(1_700_000_000_000);
        let record = key.record(alice, &bob, now);
        assert_eq!(record.hour, 472_222);
        assert_eq!(record.mac, key.record(alice, &bob, now.plus(Duration::from_days(3))).mac);
        assert_ne!(record.mac, key.record(alice, &carol, now).mac);
        assert_ne!(record.mac, key.record(AccountId::from_bytes([0; 16]), &bob, now).mac);
        assert_eq!(hex::encode(record.mac), "711cbc7b1a77c864f4a76a61dd50d4216da5f8a82f0b9c025e06b9cad14d0487");
        assert_eq!(format!("{key:?}"), "QueryKey(32 bytes)");
    }

    /// DIR-50: after 30 days a record is due for deletion.
    #[test]
    fn records_die_after_30_days() {
        let asked = Timestamp::from_millis(1_700_000_000_000);
        let hour = asked.as_millis() / HOUR_MS;
        assert!(hour >= first_kept_hour(asked.plus(Duration::from_days(29))));
        assert!(hour < first_kept_hour(asked.plus(Duration::from_days(31))));
    }
}
