//! The conversations as a person has them: with people, not with handles. Spec: 52-own-devices.md (OWN-11).
//!
//! Owns which conversations are one, their order, and what is said of each. Reads only.

use std::collections::{BTreeMap, BTreeSet};

use halcyon_types::{ConversationId, GroupId, Handle};

use crate::{
    client::Client,
    error::ProfileError,
    event::{ShownGroupName, ShownMessage},
    handles, history,
    people::Person,
    ports::store::Conversation,
    preferences::Mark,
    state::State,
};

/// A conversation as it is listed: one or several that are with the same people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownConversation {
    /// The group that talks in it.
    pub group: Option<ShownGroupName>,
    /// Their ids, the one with the newest message first; never none.
    pub ids: Vec<ConversationId>,
    /// The others in it, by the handles of the newest, sorted.
    pub others: Vec<Handle>,
    /// What each of them is called, in the same order.
    pub names: Vec<Option<String>>,
    /// The own handle in the newest.
    pub own: Option<Handle>,
    /// The newest message.
    pub last: Option<ShownMessage>,
    /// Messages of others that were not read.
    pub unread: u64,
    /// Whether it makes no noise.
    pub muted: bool,
    /// Whether it comes first.
    pub pinned: bool,
    /// Whether somebody in it is blocked; no group is because of one of its members (GRP-14).
    pub blocked: bool,
    /// Whether it is kept apart, since nobody in it is known (OWN-13), or nobody known let this account into its group (GRP-15).
    pub apart: bool,
}

/// What is listed once (OWN-11, GRP-16). A group is itself, whatever other conversation there is with the same people.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Listed {
    People(BTreeSet<Person>),
    Group(GroupId),
}

impl Client {
    /// Returns the conversations: those that are pinned, then the others, each with the newest message first.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn overview(&self) -> Result<Vec<ShownConversation>, ProfileError> {
        let mut state = self.inner.state();
        let own_handles = handles::own_handles(state.store())?;
        let mut places: BTreeMap<Listed, usize> = BTreeMap::new();
        let mut shown: Vec<ShownConversation> = Vec::new();
        for conversation in state.store().conversations()? {
            let one = state.shown_conversation(conversation, &own_handles)?;
            let listed = match &one.group {
                Some(group) => Listed::Group(group.id),
                None => Listed::People(state.people(&one.others)?),
            };
            match places.get(&listed) {
                Some(place) => join(&mut shown[*place], one),
                None => {
                    places.insert(listed, shown.len());
                    shown.push(one);
                }
            }
        }
        shown.sort_by_key(|one| !one.pinned);
        Ok(shown)
    }
}

impl State {
    fn shown_conversation(
        &mut self,
        conversation: Conversation,
        own_handles: &[Handle],
    ) -> Result<ShownConversation, ProfileError> {
        let Conversation { id, members } = conversation;
        let (own, others): (Vec<Handle>, Vec<Handle>) =
            members.into_iter().partition(|member| own_handles.contains(member));
        let group = self.group_in(id)?.map(|known| ShownGroupName::of(&known));
        let newest = self.store().history(id, u64::MAX, 1)?.pop();
        let mut blocked = false;
        for handle in others.iter().filter(|_| group.is_none()) {
            if let Some(pin) = self.known_handle(handle)? {
                blocked |= self.is_blocked(pin.account(), handle)?;
            }
        }
        Ok(ShownConversation {
            group,
            ids: vec![id],
            names: others.iter().map(|handle| self.name_of(handle)).collect::<Result<_, _>>()?,
            apart: self.is_conversation_apart(id, &others)?,
            others,
            own: own.into_iter().next(),
            last: newest.map(|record| history::shown(self, record, &[])).transpose()?,
            unread: self.store().own().unread(id)?,
            muted: self.has_mark(id, Mark::Muted)?,
            pinned: self.has_mark(id, Mark::Pinned)?,
            blocked,
        })
    }
}

/// The newer one came first.
fn join(newer: &mut ShownConversation, older: ShownConversation) {
    newer.ids.extend(older.ids);
    newer.last = newer.last.take().or(older.last);
    newer.unread += older.unread;
    newer.muted |= older.muted;
    newer.pinned |= older.pinned;
    newer.blocked |= older.blocked;
    newer.apart &= older.apart;
}
