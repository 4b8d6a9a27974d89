//! The groups of this profile. Spec: 51-groups.md §2, §3.
//!
//! Owns what is kept of them in memory, and how it follows the store. Does not tell anybody anything.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use halcyon_content::{
    ConversationMembers,
    group::{GroupLog, GroupRef, GroupState, VerifiedChange, group_conversation},
};
use halcyon_types::{
    AccountId, ConversationId, DeviceId, Duration, GroupChangeId, GroupHash, GroupId, Handle, Timestamp,
};

use crate::{
    error::ProfileError,
    ports::{
        Change, Commit,
        store::{Conversation, GroupRecord},
    },
    state::State,
};

/// Groups of a profile: far more than a person has, so that strangers cannot fill it (GRP-5).
const GROUPS_MAX: usize = 4_096;
/// What stood for a group before it changed last, so often: somebody who says so is only behind, and hears of the rest by itself (GRP-9).
const PAST_MAX: usize = 64;
/// GRP-9: a device is not asked, or answered, about one group again before this.
const SAME_AGAIN_PAUSE: Duration = Duration::from_secs(5);
/// Of so many devices and groups it is remembered when that was.
const REMEMBERED_MAX: usize = 16_384;

/// One group, as it is here.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) log: GroupLog,
    pub(crate) state: GroupState,
    pub(crate) hash: GroupHash,
}

/// What is in memory of groups, beside the store.
#[derive(Default)]
pub(crate) struct Groups {
    known: HashMap<GroupId, Arc<Known>>,
    past: HashMap<GroupId, VecDeque<GroupHash>>,
    asked: HashMap<(GroupId, DeviceId, Toward), Timestamp>,
}

/// Which way something goes about a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Toward {
    /// This device asks.
    Ask,
    /// This device answers.
    Answer,
}

/// A group after changes were added to what is known of it.
pub(crate) struct Merged {
    pub(crate) now: Arc<Known>,
    /// What is new here, in the order of the changes.
    pub(crate) new: Vec<GroupChangeId>,
    /// Whether the group was not known before.
    pub(crate) is_new: bool,
}

impl Known {
    fn of(log: GroupLog) -> Self {
        Self { state: log.state(), hash: log.hash(), log }
    }

    /// Returns how it is named in what is said in it (GRP-7).
    pub(crate) fn reference(&self) -> GroupRef {
        GroupRef { id: self.log.group(), hash: self.hash }
    }

    /// Says whether somebody is a member, by this handle (GRP-8).
    pub(crate) fn has(&self, account: AccountId, handle: &Handle) -> bool {
        self.state.member(account).is_some_and(|member| member.handle == *handle)
    }

    /// Returns the handles of everybody.
    pub(crate) fn handles(&self) -> Vec<Handle> {
        self.state.members.iter().map(|member| member.handle.clone()).collect()
    }

    /// Returns the handles of everybody but one account.
    pub(crate) fn others(&self, than: AccountId) -> Vec<Handle> {
        let others = self.state.members.iter().filter(|member| member.account != than);
        others.map(|member| member.handle.clone()).collect()
    }
}

impl Groups {
    /// A group changed in the store: what memory has of it is out of date.
    pub(crate) fn changed(&mut self, group: GroupId) {
        if let Some(known) = self.known.remove(&group) {
            let past = self.past.entry(group).or_default();
            past.push_back(known.hash);
            if past.len() > PAST_MAX {
                past.pop_front();
            }
        }
    }

    /// Says whether a group was once so here: who says so knows nothing that is not known here.
    pub(crate) fn was(&self, group: GroupRef) -> bool {
        self.past.get(&group.id).is_some_and(|past| past.contains(&group.hash))
    }

    /// Says whether a device may be asked or answered about a group now, and counts it.
    pub(crate) fn may(&mut self, group: GroupId, device: DeviceId, toward: Toward, now: Timestamp) -> bool {
        let key = (group, device, toward);
        if self.asked.get(&key).is_some_and(|last| now.since(*last) < SAME_AGAIN_PAUSE) {
            return false;
        }
        if self.asked.len() >= REMEMBERED_MAX {
            self.asked.retain(|_, at| now.since(*at) < SAME_AGAIN_PAUSE);
        }
        self.asked.insert(key, now);
        true
    }
}

impl State {
    /// Returns a group; none if it is not known here.
    pub(crate) fn group(&mut self, group: GroupId) -> Result<Option<Arc<Known>>, ProfileError> {
        if let Some(known) = self.groups.known.get(&group) {
            return Ok(Some(known.clone()));
        }
        let Some(known) = self.kept_group(group)?.map(Arc::new) else { return Ok(None) };
        self.groups.known.insert(group, known.clone());
        Ok(Some(known))
    }

    /// Returns the group that talks in a conversation; none if it is not a group's.
    pub(crate) fn group_in(&self, conversation: ConversationId) -> Result<Option<Arc<Known>>, ProfileError> {
        let Some(group) = self.store().groups().group_in(conversation)? else { return Ok(None) };
        match self.groups.known.get(&group) {
            Some(known) => Ok(Some(known.clone())),
            None => Ok(self.kept_group(group)?.map(Arc::new)),
        }
    }

    fn kept_group(&self, group: GroupId) -> Result<Option<Known>, ProfileError> {
        let Some(record) = self.store().groups().group(group)? else { return Ok(None) };
        let log = GroupLog::decode(&record.log).map_err(|_| ProfileError::Damaged("what is known of a group"))?;
        Ok(Some(Known::of(log)))
    }

    /// Returns the group in which something is said; none if it is said in none, or in one that is not known here.
    pub(crate) fn group_of(&mut self, members: &ConversationMembers) -> Result<Option<Arc<Known>>, ProfileError> {
        match members.group() {
            Some(group) => self.group(group.id),
            None => Ok(None),
        }
    }
}

/// Adds changes to what is known of a group, and the outcome to a commit. None if nothing of them is new, or if the group is not known
/// and they do not begin it.
pub(crate) fn merged(
    state: &mut State,
    group: GroupId,
    changes: Vec<VerifiedChange>,
    commit: &mut Commit,
) -> Result<Option<Merged>, ProfileError> {
    let before = state.group(group)?;
    let is_new = before.is_none();
    let (log, new) = match before {
        Some(known) => {
            let mut log = known.log.clone();
            let new = log.merge(changes);
            (log, new)
        }
        None => {
            let Some(log) = GroupLog::gather(group, &changes) else { return Ok(None) };
            if state.store().groups().groups()?.len() >= GROUPS_MAX {
                return Ok(None);
            }
            let new = log.changes().map(VerifiedChange::id).collect();
            (log, new)
        }
    };
    if new.is_empty() {
        return Ok(None);
    }
    let now = Arc::new(Known::of(log));
    let in_order = now.state.past.iter().map(|past| past.change).filter(|change| new.contains(change));
    let new = in_order.collect();
    let conversation = group_conversation(group);
    commit.push(Change::PutGroup(GroupRecord { group, conversation, log: now.log.encode().into() }));
    let mut members: Vec<Handle> = now.state.members.iter().map(|member| member.handle.clone()).collect();
    members.sort();
    commit.push(Change::PutConversation(Conversation { id: conversation, members }));
    Ok(Some(Merged { now, new, is_new }))
}
