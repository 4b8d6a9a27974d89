//! The vocabulary of Halcyon: handles, ids, tokens, topics, times. Spec: 10-identity.md §1 (IDN-1 to IDN-9).
//!
//! Owns the values that every other crate names, their text forms, and the checks that make them valid.
//! Does not know how any of them is made at random, stored, signed or sent.
//!
//! - A value of these types is well-formed: parsing is the only way in.
//! - `Debug` of everything that points at a person (handles, tokens) is redacted, so that it cannot reach a log (I9).

mod display;
mod handle;
mod id;
mod suite;
mod time;
mod topic;

pub use display::for_display;
pub use handle::{Handle, HandleError, HandleKind};
pub use id::{
    AccountId, ConversationId, DeviceId, EnvelopeId, GroupChangeId, GroupHash, GroupId, HoldId, IdError, LinkId,
    MessageId, PushToken, ReportId, SessionToken,
};
pub use suite::SuiteId;
pub use time::{Duration, Timestamp};
pub use topic::{Storing, Topic, TopicError};
