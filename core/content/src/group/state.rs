//! What a group is, by all changes that are known. Spec: 51-groups.md §2 (GRP-4).
//!
//! Owns the order of changes and which of them have an effect. Pure: the same set gives the same group.
//!
//! - A change has an effect only if its author is a member where it stands in the order.
//! - Whoever was a member earlier prevails: what somebody did without knowing that an earlier member removed it has no effect. So a
//!   removed member cannot undo that by a change that it makes up and dates back.

use std::collections::{BTreeMap, BTreeSet};

use halcyon_types::{AccountId, DeviceId, GroupChangeId, Handle, Timestamp};

use super::{
    Change, GroupLog, GroupName, Member, Op, PhotoReference, VerifiedChange,
    log::{CHANGES_MAX, CHANGES_OF_ONE_MAX},
};

/// Members of a group (GRP-4).
pub const MEMBERS_MAX: usize = 1_000;
/// Whoever leaves leaves a group of at least so many behind: between two, nobody would know who is left with whom (GRP-4).
pub const LEFT_BEHIND_MIN: usize = 3;
/// Whoever removes somebody stays with at least one more: a group of one is none (GRP-4).
pub const REMOVED_FROM_MIN: usize = 2;

/// What a group is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupState {
    /// Its name.
    pub name: GroupName,
    /// Its photo.
    pub photo: Option<PhotoReference>,
    /// Its members, in the order in which they became such.
    pub members: Vec<Member>,
    /// How many changes one behind the other led here, from 1 (GRP-3).
    pub version: u64,
    /// What each change did, in their order.
    pub past: Vec<Past>,
}

/// What became of one change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// The change.
    pub change: GroupChangeId,
    /// Its version.
    pub version: u64,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It changed the group.
    Counts,
    /// It changed nothing, as adding somebody who is there.
    Idle,
    /// Its author was no member there, or was being removed by somebody who was one before.
    Void,
}

/// What a new change is made from, besides what it does.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The author's account.
    pub account: AccountId,
    /// Its device.
    pub device: DeviceId,
    /// By its clock.
    pub made: Timestamp,
    /// Random.
    pub nonce: [u8; 16],
}

impl GroupState {
    /// Returns the member with an account.
    #[must_use]
    pub fn member(&self, account: AccountId) -> Option<&Member> {
        self.members.iter().find(|member| member.account == account)
    }

    /// Returns the member with a handle.
    #[must_use]
    pub fn member_called(&self, handle: &Handle) -> Option<&Member> {
        self.members.iter().find(|member| member.handle == *handle)
    }

    /// Returns what became of a change.
    #[must_use]
    pub fn outcome(&self, change: GroupChangeId) -> Option<Outcome> {
        self.past.iter().find(|past| past.change == change).map(|past| past.outcome)
    }

    /// Returns the version of the change that made somebody a member last; none if nobody did.
    #[must_use]
    pub fn joined_at(&self, log: &GroupLog, account: AccountId) -> Option<u64> {
        self.joining(log, account).map(|past| past.version)
    }

    /// Returns that change.
    #[must_use]
    pub fn joined_by<'log>(&self, log: &'log GroupLog, account: AccountId) -> Option<&'log VerifiedChange> {
        self.joining(log, account).and_then(|past| log.change(past.change))
    }

    fn joining(&self, log: &GroupLog, account: AccountId) -> Option<&Past> {
        let names = |past: &&Past| {
            let change = log.change(past.change);
            past.outcome == Outcome::Counts && change.is_some_and(|change| is_made_member(change, account))
        };
        self.past.iter().rev().find(names)
    }
}

impl GroupLog {
    /// Returns what the changes amount to (GRP-4).
    #[must_use]
    pub fn state(&self) -> GroupState {
        let order = Order::of(self);
        let void = order.void();
        let mut state = GroupState {
            name: GroupName::default(),
            photo: None,
            members: Vec::new(),
            version: 0,
            past: Vec::with_capacity(order.changes.len()),
        };
        for (at, change) in order.changes.iter().enumerate() {
            let outcome = if void.contains(&at) { Outcome::Void } else { state.apply(change) };
            let version = order.versions[at];
            state.version = version;
            state.past.push(Past { change: change.id(), version, outcome });
        }
        state
    }

    /// Returns the next change, which its author would make now; none if it would not count, so that nobody makes it.
    #[must_use]
    pub fn next(&self, draft: Draft, op: Op) -> Option<Change> {
        let mut state = self.state();
        let author = state.member(draft.account)?.handle.clone();
        let is_full = self.count() >= CHANGES_MAX || self.count_of(draft.account) >= CHANGES_OF_ONE_MAX;
        if is_full || state.change(draft.account, &op) != Outcome::Counts {
            return None;
        }
        let Draft { device, made, nonce, .. } = draft;
        Some(Change { group: Some(self.group()), parents: self.heads(), author, device, made, nonce, op })
    }
}

impl GroupState {
    fn apply(&mut self, change: &VerifiedChange) -> Outcome {
        if let Op::Create { name, members } = &change.change().op {
            self.name = name.clone();
            self.add(&Member { account: change.author(), handle: change.change().author.clone() });
            for member in members {
                self.add(member);
            }
            return Outcome::Counts;
        }
        self.change(change.author(), &change.change().op)
    }

    fn change(&mut self, author: AccountId, op: &Op) -> Outcome {
        if self.member(author).is_none() {
            return Outcome::Void; // GRP-4
        }
        let counts = match op {
            Op::Create { .. } | Op::Unsupported => false,
            // Each is tried: one that is there already does not end it.
            Op::Add(members) => members.iter().filter(|member| self.add(member)).count() > 0,
            Op::Remove(accounts) => {
                let others = accounts.iter().filter(|account| **account != author);
                others.filter(|account| self.remove(**account, REMOVED_FROM_MIN)).count() > 0
            }
            Op::Leave => self.remove(author, LEFT_BEHIND_MIN),
            Op::Rename(name) => std::mem::replace(&mut self.name, name.clone()) != *name,
            Op::Photo(photo) => std::mem::replace(&mut self.photo, photo.clone()) != *photo,
        };
        if counts { Outcome::Counts } else { Outcome::Idle }
    }

    fn add(&mut self, member: &Member) -> bool {
        let is_there = self.members.iter().any(|one| one.account == member.account || one.handle == member.handle);
        if is_there || self.members.len() >= MEMBERS_MAX {
            return false;
        }
        self.members.push(member.clone());
        true
    }

    /// Removes a member if so many stay.
    fn remove(&mut self, account: AccountId, stay: usize) -> bool {
        let Some(at) = self.members.iter().position(|member| member.account == account) else { return false };
        if self.members.len() <= stay {
            return false;
        }
        self.members.remove(at);
        true
    }
}

/// The changes in their order, and what each knew.
struct Order<'a> {
    changes: Vec<&'a VerifiedChange>,
    versions: Vec<u64>,
    /// For each change, those that its author knew, by place.
    known: Vec<Places>,
}

impl<'a> Order<'a> {
    fn of(log: &'a GroupLog) -> Self {
        let versions = versions(log);
        let mut changes: Vec<&VerifiedChange> = log.changes().collect();
        changes.sort_by_key(|change| (versions[&change.id()], change.author(), change.id())); // GRP-4
        let places: BTreeMap<GroupChangeId, usize> = changes.iter().map(|change| change.id()).zip(0..).collect();
        let mut known: Vec<Places> = Vec::with_capacity(changes.len());
        for change in &changes {
            let mut before = Places::new(changes.len());
            // A change stands behind those that it names, so what these knew is known.
            for parent in change.change().parents.iter().filter_map(|parent| places.get(parent)) {
                before.add_all(&known[*parent]);
                before.add(*parent);
            }
            known.push(before);
        }
        let versions = changes.iter().map(|change| versions[&change.id()]).collect();
        Self { changes, versions, known }
    }

    /// Returns what has no effect since an earlier member removed its author at the same time (GRP-4).
    fn void(&self) -> BTreeSet<usize> {
        let ranks = self.ranks();
        let rank = |at: usize| ranks.get(&self.changes[at].author()).copied().unwrap_or(usize::MAX);
        // From the earliest member on, so that whether a removal is void is known before it is asked whom it removed.
        let mut by_rank: Vec<usize> = (0..self.changes.len()).collect();
        by_rank.sort_by_key(|at| (rank(*at), *at));
        let mut void = BTreeSet::new();
        let mut removals: BTreeMap<AccountId, Vec<usize>> = BTreeMap::new();
        for at in by_rank {
            let author = self.changes[at].author();
            let prevails = |removal: &usize| rank(*removal) < rank(at) && self.are_apart(*removal, at);
            if removals.get(&author).is_some_and(|removals| removals.iter().any(prevails)) {
                void.insert(at);
            } else if let Op::Remove(accounts) = &self.changes[at].change().op
                && self.knew_itself_a_member(at)
            {
                accounts.iter().for_each(|account| removals.entry(*account).or_default().push(at));
            }
        }
        void
    }

    /// Says whether neither author knew the other's change.
    fn are_apart(&self, one: usize, other: usize) -> bool {
        !self.known[one].has(other) && !self.known[other].has(one)
    }

    /// Says whether nothing that its author knew removed it, or something added it again.
    fn knew_itself_a_member(&self, at: usize) -> bool {
        let author = self.changes[at].author();
        let about = (0..at).rev().filter(|before| self.known[at].has(*before)).find_map(|before| {
            let change = self.changes[before];
            if is_made_member(change, author) {
                return Some(true);
            }
            match &change.change().op {
                Op::Remove(accounts) if accounts.contains(&author) => Some(false),
                Op::Leave if change.author() == author => Some(false),
                _ => None,
            }
        });
        about.unwrap_or(false)
    }

    /// Who became a member before whom: by the first change that names each.
    fn ranks(&self) -> BTreeMap<AccountId, usize> {
        let mut ranks = BTreeMap::new();
        for change in &self.changes {
            let members = match &change.change().op {
                Op::Create { members, .. } => {
                    ranks.entry(change.author()).or_insert(0);
                    members
                }
                Op::Add(members) => members,
                _ => continue,
            };
            for member in members {
                let next = ranks.len();
                ranks.entry(member.account).or_insert(next);
            }
        }
        ranks
    }
}

fn is_made_member(change: &VerifiedChange, account: AccountId) -> bool {
    match &change.change().op {
        Op::Create { members, .. } => {
            change.author() == account || members.iter().any(|member| member.account == account)
        }
        Op::Add(members) => members.iter().any(|member| member.account == account),
        _ => false,
    }
}

/// Returns the version of each change: one more than the highest of those that it names; of the beginning, 1 (GRP-3).
fn versions(log: &GroupLog) -> BTreeMap<GroupChangeId, u64> {
    let mut versions = BTreeMap::new();
    for start in log.changes() {
        // By a list and not by recursion: changes behind one another may be thousands.
        let mut open = vec![start];
        while let Some(change) = open.last() {
            let parents = change.change().parents.iter().filter_map(|parent| log.change(*parent));
            let unknown: Vec<&VerifiedChange> = parents.filter(|parent| !versions.contains_key(&parent.id())).collect();
            if unknown.is_empty() {
                let before = change.change().parents.iter().filter_map(|parent| versions.get(parent)).max();
                let begins = matches!(change.change().op, Op::Create { .. });
                let version = if begins { 1 } else { before.copied().unwrap_or(1) + 1 };
                versions.insert(change.id(), version);
                open.pop();
            } else {
                open.extend(unknown);
            }
        }
    }
    versions
}

/// A set of places in the order, a bit each.
struct Places(Vec<u64>);

impl Places {
    fn new(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    fn add(&mut self, place: usize) {
        self.0[place / 64] |= 1 << (place % 64);
    }

    fn add_all(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| *mine |= theirs);
    }

    fn has(&self, place: usize) -> bool {
        self.0[place / 64] & (1 << (place % 64)) != 0
    }
}
