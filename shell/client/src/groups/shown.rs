//! Groups and their changes, as people see them. Reads only.

use std::fmt;

use halcyon_content::group::{GroupName, GroupState, Op, Outcome, PhotoReference, SignedChange, group_conversation};
use halcyon_types::{AccountId, ConversationId, GroupHash, GroupId, Handle};

use super::known::Known;
use crate::{client::Client, error::ProfileError, event::ShownGroupName, state::State};

/// A group.
#[derive(Clone, PartialEq, Eq)]
pub struct ShownGroup {
    /// Its id.
    pub id: GroupId,
    /// Where it talks.
    pub conversation: ConversationId,
    /// What it is called; empty: nothing.
    pub name: GroupName,
    /// Where its photo is.
    pub photo: Option<PhotoReference>,
    /// Its members, in the order in which they became such.
    pub members: Vec<ShownMember>,
    /// How many changes one behind the other led here.
    pub version: u64,
    /// Stands for all changes that are known here: the same on every device that knows the same.
    pub hash: GroupHash,
    /// Whether this account is one of its members.
    pub is_member: bool,
}

impl ShownGroupName {
    pub(crate) fn of(known: &Known) -> Self {
        Self { id: known.log.group(), name: known.state.name.clone() }
    }
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownMember {
    /// The account.
    pub account: AccountId,
    /// The handle by which it is written to.
    pub handle: Handle,
    /// Whether it is this account.
    pub own: bool,
}

/// A change of a group, as the history shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct ShownChange {
    /// What was changed.
    pub deed: ShownDeed,
    /// Whether it has an effect, by all that is known now.
    pub counts: bool,
}

/// What was changed.
#[derive(Clone, PartialEq, Eq)]
pub enum ShownDeed {
    /// The group was begun.
    Created(GroupName, Vec<Handle>),
    /// These became members.
    Added(Vec<Handle>),
    /// These are members no longer.
    Removed(Vec<Handle>),
    /// The author is a member no longer.
    Left,
    /// It has another name.
    Renamed(GroupName),
    /// It has another photo, or none.
    Photo(Option<PhotoReference>),
    /// Something that a later version knows.
    Other,
}

impl fmt::Debug for ShownGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShownGroup({}, {} members, redacted)", self.id, self.members.len())
    }
}

impl fmt::Debug for ShownChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShownChange(redacted)")
    }
}

impl Client {
    /// Returns the groups of this profile, those that this account left or was removed from among them.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn groups(&self) -> Result<Vec<ShownGroup>, ProfileError> {
        let mut state = self.inner.state();
        let mut groups = Vec::new();
        for record in state.store().groups().groups()? {
            groups.extend(shown(&mut state, record.group)?);
        }
        Ok(groups)
    }

    /// Returns one group.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn group(&self, group: GroupId) -> Result<Option<ShownGroup>, ProfileError> {
        shown(&mut self.inner.state(), group)
    }
}

fn shown(state: &mut State, group: GroupId) -> Result<Option<ShownGroup>, ProfileError> {
    let Some(known) = state.group(group)? else { return Ok(None) };
    let own = state.any_own().map(|own| own.account);
    let GroupState { name, photo, members, version, .. } = known.state.clone();
    let member = |member: halcyon_content::group::Member| ShownMember {
        own: Some(member.account) == own,
        account: member.account,
        handle: member.handle,
    };
    let members: Vec<ShownMember> = members.into_iter().map(member).collect();
    let is_member = members.iter().any(|member| member.own);
    let conversation = group_conversation(group);
    Ok(Some(ShownGroup { id: group, conversation, name, photo, members, version, hash: known.hash, is_member }))
}

/// Returns a change as it is shown, given the group as it is known now.
pub(crate) fn change(known: &Known, signed: &SignedChange, id: halcyon_types::MessageId) -> ShownChange {
    let handles = |members: &[halcyon_content::group::Member]| -> Vec<Handle> {
        members.iter().map(|member| member.handle.clone()).collect()
    };
    let deed = match &signed.change().op {
        Op::Create { name, members } => ShownDeed::Created(name.clone(), handles(members)),
        Op::Add(members) => ShownDeed::Added(handles(members)),
        Op::Remove(accounts) => {
            ShownDeed::Removed(accounts.iter().filter_map(|account| called(known, *account)).collect())
        }
        Op::Leave => ShownDeed::Left,
        Op::Rename(name) => ShownDeed::Renamed(name.clone()),
        Op::Photo(photo) => ShownDeed::Photo(photo.clone()),
        _ => ShownDeed::Other,
    };
    let id = halcyon_types::GroupChangeId::from_bytes(*id.as_bytes());
    ShownChange { deed, counts: known.state.outcome(id) == Some(Outcome::Counts) }
}

/// By which handle an account is or was a member.
fn called(known: &Known, account: AccountId) -> Option<Handle> {
    let of = |members: &[halcyon_content::group::Member]| {
        members.iter().find(|member| member.account == account).map(|member| member.handle.clone())
    };
    known.log.changes().find_map(|change| match &change.change().op {
        Op::Create { .. } if change.author() == account => Some(change.change().author.clone()),
        Op::Create { members, .. } | Op::Add(members) => of(members),
        _ => None,
    })
}
