//! What the store keeps of groups. Spec: 51-groups.md.
//!
//! Owns the records and queries of groups, and of what was said in them by somebody who is not known as a member yet.

use std::fmt;

use bytes::Bytes;
use halcyon_types::{AccountId, ConversationId, DeviceId, GroupId, MessageId, SuiteId, Timestamp};

use super::StoreError;

/// A group: the changes of it that are known. The key is the group.
#[derive(Clone, PartialEq, Eq)]
pub struct GroupRecord {
    /// The group.
    pub group: GroupId,
    /// Its conversation, which has its present members (GRP-7).
    pub conversation: ConversationId,
    /// The stored form of `content::group::GroupLog`.
    pub log: Bytes,
}

impl fmt::Debug for GroupRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupRecord({}, {} bytes)", self.group, self.log.len())
    }
}

/// Something that was said in a group by somebody who is not known as a member (GRP-11). The key is device and message.
#[derive(Clone, PartialEq, Eq)]
pub struct HeldMessage {
    /// The group.
    pub group: GroupId,
    /// Its id.
    pub id: MessageId,
    /// The account that sent it.
    pub account: AccountId,
    /// The device that sealed it.
    pub device: DeviceId,
    /// The suite that it arrived in.
    pub suite: SuiteId,
    /// The encoded `Content`.
    pub content: Bytes,
    /// When it came.
    pub at: Timestamp,
}

impl fmt::Debug for HeldMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeldMessage({} in {}, {} bytes)", self.id, self.group, self.content.len())
    }
}

/// The queries of groups.
pub trait GroupQueries {
    /// Returns every group, in the order in which they were put first.
    ///
    /// # Errors
    /// [`StoreError`], as for every query below.
    fn groups(&self) -> Result<Vec<GroupRecord>, StoreError>;

    /// Returns one group.
    ///
    /// # Errors
    /// [`StoreError`]
    fn group(&self, group: GroupId) -> Result<Option<GroupRecord>, StoreError>;

    /// Returns the group that talks in a conversation.
    ///
    /// # Errors
    /// [`StoreError`]
    fn group_in(&self, conversation: ConversationId) -> Result<Option<GroupId>, StoreError>;

    /// Returns what is held, of one group or of all, oldest first.
    ///
    /// # Errors
    /// [`StoreError`]
    fn held(&self, group: Option<GroupId>) -> Result<Vec<HeldMessage>, StoreError>;
}
