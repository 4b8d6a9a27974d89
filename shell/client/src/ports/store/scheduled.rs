//! What the store keeps of messages that wait for their time. Spec: 60-client.md §4.
//!
//! Owns the records. Does not know what a content means, or when anything is sealed.

use std::fmt;

use bytes::Bytes;
use halcyon_types::{AccountId, DeviceId, HoldId, MessageId, SuiteId, Timestamp};

/// A message of this device that waits for its time. The key is its `hold`.
#[derive(Clone, PartialEq, Eq)]
pub struct ScheduledRecord {
    /// Its name at the server, and among own devices.
    pub hold: HoldId,
    /// The content's message id.
    pub message: MessageId,
    /// When it is to be sent.
    pub due: Timestamp,
    /// The encoded content.
    pub content: Bytes,
    /// Whether the server said that it holds what was sealed last.
    pub held: bool,
    /// The epoch of the commit that sealed it last; 0: none did.
    pub epoch: u64,
    /// For whom it was sealed last.
    pub copies: Vec<HeldCopy>,
    /// How often the server was asked in vain, and before when it is not asked again.
    pub attempts: u32,
    /// See `attempts`.
    pub not_before: Timestamp,
    /// Why the server never will hold it; empty: it may.
    pub failure: String,
}

/// The text is nobody's business (I9).
impl fmt::Debug for ScheduledRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScheduledRecord({}, {} bytes, {} copies)", self.hold, self.content.len(), self.copies.len())
    }
}

/// One sealed copy that a server holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldCopy {
    /// Whose device.
    pub account: AccountId,
    /// The device.
    pub device: DeviceId,
    /// The list that it was sealed by.
    pub list_version: u64,
    /// The suite.
    pub suite: SuiteId,
    /// The session and chain that it was sealed in.
    pub place: [u8; 16],
}

impl HeldCopy {
    /// Bytes of one copy in [`encode`](Self::encode).
    const BYTES: usize = AccountId::LEN + DeviceId::LEN + 8 + 4 + 16;

    /// Returns copies one after the other, each of fixed length.
    #[must_use]
    pub fn encode(copies: &[Self]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(copies.len() * Self::BYTES);
        for copy in copies {
            bytes.extend_from_slice(copy.account.as_bytes());
            bytes.extend_from_slice(copy.device.as_bytes());
            bytes.extend_from_slice(&copy.list_version.to_be_bytes());
            bytes.extend_from_slice(&copy.suite.as_u32().to_be_bytes());
            bytes.extend_from_slice(&copy.place);
        }
        bytes
    }

    /// Reads what [`encode`](Self::encode) wrote; none if it is damaged.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Vec<Self>> {
        let one = |chunk: &[u8]| {
            let (account, rest) = chunk.split_first_chunk()?;
            let (device, rest) = rest.split_first_chunk()?;
            let (version, rest) = rest.split_first_chunk()?;
            let (suite, place) = rest.split_first_chunk()?;
            Some(Self {
                account: AccountId::from_bytes(*account),
                device: DeviceId::from_bytes(*device),
                list_version: u64::from_be_bytes(*version),
                suite: SuiteId::from_u32(u32::from_be_bytes(*suite)),
                place: place.try_into().ok()?,
            })
        };
        bytes.chunks(Self::BYTES).map(one).collect()
    }
}
