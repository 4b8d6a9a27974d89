//! Who is in a conversation, and the id that follows from it. Spec: 50-content.md (CON-2, CON-6), 51-groups.md (GRP-7).
//!
//! Owns the order and bounds of the members. Does not know accounts: two handles of one person are two members here. Nor who is in a
//! group: what is said there names the group, and each receiver knows its members.

use std::collections::BTreeSet;

use halcyon_crypto::{Label, kdf::labelled_hash};
use halcyon_types::{ConversationId, Handle};

use crate::{
    RECIPIENTS_MAX,
    group::{GroupRef, group_conversation},
};

/// The sender and everybody else of one conversation, in order, none twice. Nobody else only in what is for own devices (CON-9), and in
/// what is said in a group (GRP-7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationMembers {
    sender: Handle,
    recipients: Vec<Handle>,
    group: Option<GroupRef>,
}

/// Why handles do not make a conversation. The fault is whoever's put them together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MembersError {
    /// Nobody to talk to.
    #[error("a message needs a recipient other than its sender")]
    Empty,
    /// More people than a conversation holds.
    #[error("a conversation has at most {RECIPIENTS_MAX} recipients, not {0}")]
    TooMany(usize),
}

impl ConversationMembers {
    /// Returns the conversation of a sender with others, sorted; the sender and repetitions among them are dropped.
    ///
    /// # Errors
    /// [`MembersError`] when nobody or too many remain.
    pub fn new(sender: Handle, others: impl IntoIterator<Item = Handle>) -> Result<Self, MembersError> {
        let recipients: BTreeSet<Handle> = others.into_iter().filter(|handle| *handle != sender).collect();
        match recipients.len() {
            0 => Err(MembersError::Empty),
            1..=RECIPIENTS_MAX => Ok(Self { sender, recipients: recipients.into_iter().collect(), group: None }),
            count => Err(MembersError::TooMany(count)),
        }
    }

    /// Returns the members of what a device tells the other devices of its own account: its handle alone (CON-9).
    #[must_use]
    pub fn own(sender: Handle) -> Self {
        Self { sender, recipients: Vec::new(), group: None }
    }

    /// Returns the members of what is said in a group: its sender alone (GRP-7).
    #[must_use]
    pub fn in_group(sender: Handle, group: GroupRef) -> Self {
        Self { sender, recipients: Vec::new(), group: Some(group) }
    }

    /// Returns the group in which it is said, and what its sender knew of it.
    #[must_use]
    pub fn group(&self) -> Option<GroupRef> {
        self.group
    }

    /// Returns the sender.
    #[must_use]
    pub fn sender(&self) -> &Handle {
        &self.sender
    }

    /// Returns everybody else, sorted.
    #[must_use]
    pub fn recipients(&self) -> &[Handle] {
        &self.recipients
    }

    /// Returns whether somebody may belong to it: in a group, whether somebody does is the receivers' to know.
    #[must_use]
    pub fn contains(&self, handle: &Handle) -> bool {
        self.group.is_some() || self.sender == *handle || self.recipients.binary_search(handle).is_ok()
    }

    /// Returns the id that every member's devices give this conversation, whoever writes (CON-6).
    #[must_use]
    pub fn id(&self) -> ConversationId {
        if let Some(group) = self.group {
            return group_conversation(group.id); // GRP-7
        }
        let mut members: Vec<&[u8]> = self.recipients.iter().map(|handle| handle.as_uri().as_bytes()).collect();
        members.push(self.sender.as_uri().as_bytes());
        members.sort_unstable();
        let hash = labelled_hash(Label::ConversationId, &members); // CON-6
        let mut id = [0; ConversationId::LEN];
        id.copy_from_slice(&hash[..ConversationId::LEN]);
        ConversationId::from_bytes(id)
    }
}
