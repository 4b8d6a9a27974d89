//! The set of changes of one group that are known. Spec: 51-groups.md §2 (GRP-3, GRP-5, GRP-6).
//!
//! Owns which changes are kept. Does not know what they amount to: that is [`super::state`]'s.
//!
//! - Whatever order changes come in, and however often, the same ones are kept: the set only depends on what came.
//! - It is bounded, for each author and in all.

use std::collections::{BTreeMap, BTreeSet};

use halcyon_crypto::{Label, kdf::labelled_hash};
use halcyon_types::{AccountId, GroupChangeId, GroupHash, GroupId};
use prost::Message as _;

use super::{
    Op, PARENTS_MAX, VerifiedChange,
    change::{decode_signed, encode_signed},
    first_16,
};
use crate::wire;

/// Changes of one account that a group keeps: more than anybody makes, and so many that all of them are read in a moment (GRP-5).
pub const CHANGES_OF_ONE_MAX: usize = 512;
/// Changes that a group keeps in all: 32 MiB if each is as large as can be, and 1 MiB if they are ordinary (GRP-5).
pub const CHANGES_MAX: usize = 4_096;

/// The changes of one group that are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLog {
    group: GroupId,
    beginning: GroupChangeId,
    changes: BTreeMap<GroupChangeId, VerifiedChange>,
}

/// Why what was stored is no log: the profile is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what is kept of a group does not decode")]
pub struct LogError;

impl GroupLog {
    /// Returns the log of a new group; none if the change does not begin one.
    #[must_use]
    pub fn begin(create: VerifiedChange) -> Option<Self> {
        if !matches!(create.change().op, Op::Create { .. }) {
            return None;
        }
        let (group, beginning) = (create.group(), create.id());
        Some(Self { group, beginning, changes: BTreeMap::from([(beginning, create)]) })
    }

    /// Returns the log of a group that was not known before; none if its beginning is not among the changes.
    #[must_use]
    pub fn gather(group: GroupId, changes: &[VerifiedChange]) -> Option<Self> {
        let begins =
            |change: &&VerifiedChange| change.group() == group && matches!(change.change().op, Op::Create { .. });
        let mut log = Self::begin(changes.iter().find(begins)?.clone())?;
        log.merge(changes.iter().cloned());
        Some(log)
    }

    /// Adds changes, and returns those that are new. Left out: what is about another group, what is by somebody whom nobody made a
    /// member, and what is beyond the bounds.
    pub fn merge(&mut self, changes: impl IntoIterator<Item = VerifiedChange>) -> Vec<GroupChangeId> {
        let is_ours = |change: &VerifiedChange| {
            let begins = matches!(change.change().op, Op::Create { .. });
            change.group() == self.group && !begins && !self.changes.contains_key(&change.id())
        };
        let mut left: BTreeMap<GroupChangeId, VerifiedChange> =
            changes.into_iter().filter(is_ours).map(|change| (change.id(), change)).collect();
        let mut named = self.named();
        let mut new = BTreeSet::new();
        loop {
            let (known, unknown): (BTreeMap<_, _>, BTreeMap<_, _>) =
                left.into_iter().partition(|(_, change)| named.contains(&change.author()));
            if known.is_empty() {
                break;
            }
            for (id, change) in known {
                named.extend(accounts_of(&change));
                new.insert(id);
                self.changes.insert(id, change);
            }
            left = unknown;
        }
        self.bound();
        new.retain(|id| self.changes.contains_key(id));
        new.into_iter().collect()
    }

    /// GRP-5: the lowest ids stay, so that it does not matter which came first.
    fn bound(&mut self) {
        let mut counts: BTreeMap<AccountId, usize> = BTreeMap::new();
        let beginning = self.beginning;
        self.changes.retain(|id, change| {
            let count = counts.entry(change.author()).or_default();
            *count += 1;
            *count <= CHANGES_OF_ONE_MAX || *id == beginning
        });
        let mut kept = 0;
        self.changes.retain(|id, _| {
            kept += 1;
            kept <= CHANGES_MAX || *id == beginning
        });
    }

    /// Everybody who was ever made a member.
    fn named(&self) -> BTreeSet<AccountId> {
        self.changes.values().flat_map(accounts_of).collect()
    }

    /// Returns the group.
    #[must_use]
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// Returns the change that began it.
    #[must_use]
    pub fn beginning(&self) -> &VerifiedChange {
        &self.changes[&self.beginning]
    }

    /// Returns one change.
    #[must_use]
    pub fn change(&self, id: GroupChangeId) -> Option<&VerifiedChange> {
        self.changes.get(&id)
    }

    /// Returns the changes, by their ids.
    pub fn changes(&self) -> impl Iterator<Item = &VerifiedChange> {
        self.changes.values()
    }

    /// Returns how many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.changes.len()
    }

    /// Returns how many are by one account.
    #[must_use]
    pub fn count_of(&self, author: AccountId) -> usize {
        self.changes.values().filter(|change| change.author() == author).count()
    }

    /// Returns what stands for the whole set (GRP-6).
    #[must_use]
    pub fn hash(&self) -> GroupHash {
        let ids: Vec<&[u8]> = self.changes.keys().map(|id| id.as_bytes().as_slice()).collect();
        GroupHash::from_bytes(first_16(labelled_hash(Label::GroupHash, &ids)))
    }

    /// Returns the changes that no other names as before it: what the next change names (GRP-3).
    #[must_use]
    pub fn heads(&self) -> Vec<GroupChangeId> {
        let parents: BTreeSet<GroupChangeId> =
            self.changes.values().flat_map(|change| change.change().parents.iter().copied()).collect();
        self.changes.keys().filter(|id| !parents.contains(id)).copied().take(PARENTS_MAX).collect()
    }

    /// Says whether a change names one that is not here.
    #[must_use]
    pub fn lacks_some(&self) -> bool {
        let mut parents = self.changes.values().flat_map(|change| &change.change().parents);
        parents.any(|parent| !self.changes.contains_key(parent))
    }

    /// Returns the stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::GroupState { changes: self.changes.values().map(|change| encode_signed(change.signed())).collect() }
            .encode_to_vec()
    }

    /// Reads the stored form. Signatures were checked before it was stored, and the store is sealed.
    ///
    /// # Errors
    /// [`LogError`] if it is not what [`encode`](Self::encode) wrote.
    pub fn decode(stored: &[u8]) -> Result<Self, LogError> {
        let wire = wire::GroupState::decode(stored).map_err(|_| LogError)?;
        let mut changes = BTreeMap::new();
        let mut beginning = None;
        for signed in wire.changes {
            let change = decode_signed(signed).map_err(|_| LogError)?.trusted();
            if matches!(change.change().op, Op::Create { .. }) {
                beginning = Some((change.group(), change.id()));
            }
            changes.insert(change.id(), change);
        }
        let (group, beginning) = beginning.ok_or(LogError)?;
        Ok(Self { group, beginning, changes })
    }
}

/// Everybody whom a change makes a member.
fn accounts_of(change: &VerifiedChange) -> Vec<AccountId> {
    let accounts = |members: &[super::Member]| members.iter().map(|member| member.account).collect::<Vec<_>>();
    match &change.change().op {
        Op::Create { members, .. } => [vec![change.author()], accounts(members)].concat(),
        Op::Add(members) => accounts(members),
        _ => Vec::new(),
    }
}
