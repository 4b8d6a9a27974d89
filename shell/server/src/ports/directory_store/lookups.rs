//! The query log, rate limits, used nonces (DIR-23, DIR-50, ACC-2, ACC-4).

use halcyon_types::{DeviceId, Duration, Timestamp};

use super::DirectoryStoreError;

/// Names whom a limit counts for: a keyed hash, so that the store does not learn addresses and handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LimitKey(pub [u8; 32]);

/// How much is allowed: `burst` at once, then one more each `interval`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At once.
    pub burst: u32,
    /// Time in which one more is allowed.
    pub interval: Duration,
}

impl Rate {
    /// Returns the rate that allows `burst` at once and `count` in each `span` after that.
    #[must_use]
    pub fn per(count: u32, span: Duration, burst: u32) -> Self {
        Self { burst: burst.max(1), interval: Duration::from_millis(span.as_millis() / u64::from(count.max(1))) }
    }
}

/// What one request takes from one limit.
#[derive(Clone, Copy, Debug)]
pub struct Charge {
    /// Whose.
    pub key: LimitKey,
    /// How much is allowed.
    pub rate: Rate,
    /// How much is taken; more than the burst counts as the burst.
    pub cost: u32,
}

/// Whether a limit let a request pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// It did, and the cost is taken.
    Admitted,
    /// It did not, and nothing is taken; the same request passes after this time.
    Limited {
        /// At least this long.
        retry_after: Duration,
    },
}

/// Durable limits.
#[async_trait::async_trait]
pub trait LimitStore: Send + Sync {
    /// Takes from all limits or from none, in one commit (ACC-4).
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn charge(&self, charges: Vec<Charge>, now: Timestamp) -> Result<Admitted, DirectoryStoreError>;

    /// Remembers the nonce of a request that changes something until a time. Returns false when it was there (ACC-2).
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn use_nonce(&self, device: DeviceId, nonce: [u8; 16], until: Timestamp)
    -> Result<bool, DirectoryStoreError>;
}

/// The durable query log.
#[async_trait::async_trait]
pub trait LookupStore: Send + Sync {
    /// Takes one from `charge` for each record that was never asked for before (its cost is ignored), and records all of them
    /// under this hour, in one commit (DIR-23, DIR-50).
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    async fn admit(
        &self,
        records: Vec<[u8; 32]>,
        hour: u64,
        charge: Charge,
        now: Timestamp,
    ) -> Result<Admitted, DirectoryStoreError>;
}
