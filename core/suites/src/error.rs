//! Why a message was not sealed, or did not open: one enum for each, whatever the suite.

use crate::{pq3::BundleError, suite::Suite};

/// Why nothing was sealed. The session that went in is not to be used; the stored one is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The caller's plaintext does not fit (PAD-3).
    #[error("message of {bytes} bytes is too long to seal")]
    TooLong {
        /// Bytes of the plaintext.
        bytes: usize,
    },
    /// One of the two devices has no keys for the suite: the caller chose without looking.
    #[error("one of the devices does not speak {0}")]
    NotSpoken(Suite),
    /// SUI-8: the directory gave no prekey for the device. Look it up again later; do not use a weaker suite.
    #[error("no prekey is known for the device")]
    NoPrekey,
    /// PEC-5, PQ3-8: the device has been away too long, or a clock is wrong.
    #[error("the device's prekey is out of date")]
    StalePrekey,
    /// PEC-5, PQ3-8: the directory went back to an older prekey.
    #[error("the directory offers an older prekey than before")]
    PrekeyRolledBack,
    /// PQ3-5: a session had to be started, and the directory's bundle is not this device's or is damaged.
    #[error("this device's prekey bundle is not valid: {0}")]
    BadBundle(BundleError),
    /// PEC-8: 2^32 messages to one prekey. The next prekey, within a week, begins anew.
    #[error("no more messages can be sealed to the device's prekey")]
    CounterExhausted,
}

/// Why a message did not open. The session is unchanged, so the next message can still succeed.
///
/// There is one variant for everything that a forger could cause (PAIR-14, PEC-18, PQ3-25). For `pq3` a forger is whoever has not
/// the sender's device key; what only that device can cause has variants of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Damaged, forged, meant for somebody else, or padded wrongly; in `pair` and `pair-ec` also sealed to a key that is gone,
    /// since their signatures cannot be checked without that key. Nobody is to be answered.
    #[error("message does not open")]
    Unauthentic,
    /// PQ3-25: signed by the sender's device for this device and this envelope, but sealed with a key that is not here: the session
    /// or its store was lost, the chain is not kept any more, the prekey of the start is gone, or it is one start too many. It will
    /// not open later either: have it sealed anew. A server that delivers an old message again can cause it too, so look whether the
    /// envelope was seen before.
    #[error("message is authentic, but sealed with a key that is not here")]
    NoKey,
    /// The courier delivers at least once, so this is ordinary: acknowledge and move on.
    #[error("message was opened before")]
    Replayed,
    /// PQ3-26: signed by the sender's device, with the key of another message that opened. Two devices go on with one state:
    /// the sender's was copied, or a backup of it is in use. Keep the message unopened and tell the person.
    #[error("another message was sealed with the same key: the sender's device was copied")]
    Forked,
    /// SUI-7: the envelope names a suite that this device, or the sender's, does not speak.
    #[error("the message's suite is not spoken here")]
    NotSpoken,
}
