//! Groups: what their members changed, and what follows from it. Spec: 51-groups.md (GRP-1).
//!
//! Owns the changes, the set of them that is known, and the one function from that set to name, photo and members. Does not know who
//! sent what to whom, or when to ask for more: that is the client's.
//!
//! - What a group is follows from the set of its changes alone. Two who know the same changes see the same group, in whatever order
//!   and however often these came (GRP-4).
//! - A [`VerifiedChange`] carries its author's signature, so it does not matter who hands it on (GRP-2).
//! - Nobody can make the set grow without bound (GRP-5).
//!
//! Next: [`change`] one change and its bytes, [`log`] the set, [`state`] what follows.

mod change;
mod log;
mod state;

#[cfg(test)]
mod tests;

use halcyon_crypto::{Label, kdf::labelled_hash};
use halcyon_types::{ConversationId, GroupHash, GroupId};

pub use change::{
    ACCOUNTS_A_CHANGE_MAX, CHANGE_BYTES_MAX, Change, ChangeError, GroupName, Member, NAME_BYTES_MAX, Op, PARENTS_MAX,
    PHOTO_BYTES_MAX, PhotoReference, SignedChange, VerifiedChange,
};
pub(crate) use change::{decode_signed, encode_signed};
pub use log::{CHANGES_MAX, CHANGES_OF_ONE_MAX, GroupLog, LogError};
pub use state::{Draft, GroupState, LEFT_BEHIND_MIN, MEMBERS_MAX, Outcome, Past, REMOVED_FROM_MIN};

/// The group in which something is said, and what its writer knew of it (GRP-7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GroupRef {
    /// The group.
    pub id: GroupId,
    /// Stands for all changes that the writer knew (GRP-6).
    pub hash: GroupHash,
}

/// Returns the conversation of a group (GRP-7).
#[must_use]
pub fn group_conversation(group: GroupId) -> ConversationId {
    ConversationId::from_bytes(first_16(labelled_hash(Label::GroupConversation, &[group.as_bytes()])))
}

fn first_16(hash: [u8; 32]) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    id
}
