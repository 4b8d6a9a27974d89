//! Groups: who is in them here, and how their members change them. Spec: 51-groups.md.
//!
//! Owns the way from what a person wants changed to a signed change that every member's devices get. What a group is follows from its
//! changes alone ([`halcyon_content::group`]). No server knows a group.
//!
//! - A change and the group after it are committed together, before anything of it leaves (SND-1).
//! - From that commit on nothing is sealed for somebody who was removed (GRP-8).
//!
//! Next: [`known`] the groups of this profile, [`take`] what others say of them, [`jobs`] what is told, [`shown`] for people.

pub(crate) mod jobs;
pub(crate) mod known;
pub(crate) mod shown;
pub(crate) mod take;

use std::collections::BTreeSet;

use halcyon_content::group::{Change as GroupChange, Draft as ChangeDraft, GroupName, Member, Op, SignedChange};
use halcyon_types::{AccountId, GroupId, Handle};

pub use self::shown::{ShownChange, ShownDeed, ShownGroup, ShownMember};

use crate::{
    client::{Client, Inner},
    error::{GroupError, SendError},
    event::SentMessage,
    handles, history,
    outbox::{self, Targets},
    ports::{Commit, store::MessageRecord},
    resolve::{Freshness, Resolved},
    state::State,
};

/// What somebody wants changed.
#[derive(Clone, Debug)]
pub enum GroupDeed {
    /// Others become members. They see from now on.
    Add(Vec<Handle>),
    /// Others are members no longer. They get nothing more.
    Remove(Vec<Handle>),
    /// This account is a member no longer.
    Leave,
    /// It gets another name; empty: none.
    Rename(GroupName),
    /// It gets another photo, or none.
    Photo(Option<halcyon_content::group::PhotoReference>),
}

/// Bytes of the members that one change adds: with the rest of it, below `CHANGE_BYTES_MAX`.
const MEMBER_BYTES_MAX: usize = 7_000;
/// And how many: below `ACCOUNTS_A_CHANGE_MAX`.
const MEMBERS_AT_ONCE: usize = 100;
/// Bytes of a member besides its handle.
const MEMBER_OVERHEAD: usize = 24;

impl Client {
    /// Begins a group with others, and tells their devices (GRP-1). Many people take several changes.
    ///
    /// # Errors
    /// [`SendError`]; nothing was committed, unless some of many were added already: then add the others.
    pub async fn create_group(
        &self,
        name: GroupName,
        others: &[Handle],
        from: Option<&Handle>,
    ) -> Result<(GroupId, SentMessage), SendError> {
        let inner = &*self.inner;
        let author = inner.own_handle_for(others, from)?;
        let members = inner.members_of(others).await?;
        let mut portions = portions(members).into_iter();
        let first = portions.next().unwrap_or_default();
        let (group, sent) = inner.begin_group(name, first, author).await?;
        for portion in portions {
            inner.commit_change(group, Op::Add(portion)).await?;
        }
        Ok((group, sent))
    }

    /// Changes a group, and tells the devices of its members. Adding many people takes several changes, of which the last one is returned.
    ///
    /// # Errors
    /// [`SendError`]; nothing was committed. [`SendError::Group`]: no member's device would count it.
    pub async fn change_group(&self, group: GroupId, deed: GroupDeed) -> Result<SentMessage, SendError> {
        let inner = &*self.inner;
        let op = match deed {
            GroupDeed::Add(others) => {
                inner.state().group(group)?.ok_or(GroupError::NoSuchGroup)?;
                let mut portions = portions(inner.members_of(&others).await?);
                let last = portions.pop().unwrap_or_default();
                for portion in portions {
                    inner.commit_change(group, Op::Add(portion)).await?;
                }
                Op::Add(last)
            }
            GroupDeed::Remove(others) => Op::Remove(inner.state().accounts_in(group, &others)?),
            GroupDeed::Leave => Op::Leave,
            GroupDeed::Rename(name) => Op::Rename(name),
            GroupDeed::Photo(photo) => Op::Photo(photo),
        };
        inner.commit_change(group, op).await
    }
}

impl Inner {
    /// Returns the handle from which these people are written to: the one that is asked for, or was chosen for them (OWN-7), or the first.
    pub(crate) fn own_handle_for(&self, people: &[Handle], from: Option<&Handle>) -> Result<Handle, SendError> {
        let state = self.state();
        state.own()?;
        let own_handles = handles::own_handles(state.store())?;
        match from.cloned().or(state.sends_from(people)?) {
            Some(from) if own_handles.contains(&from) => Ok(from),
            Some(_) => Err(SendError::NotOwnHandle),
            None => own_handles.into_iter().next().ok_or(SendError::NotOwnHandle),
        }
    }

    /// Looks up who is to be a member: the account that a handle stands for now is, and no other ever (GRP-8).
    async fn members_of(&self, others: &[Handle]) -> Result<Vec<Member>, SendError> {
        let own = self.state().own()?.account;
        let mut members: Vec<Member> = Vec::new();
        for (number, (handle, found)) in others.iter().zip(self.resolve(others, Freshness::Kept).await?).enumerate() {
            let account = match found {
                Resolved::Devices(devices, _) => devices.account(),
                Resolved::Unknown => return Err(SendError::Unknown { number: number + 1 }),
                Resolved::Refused(refusal) => return Err(SendError::Refused(refusal)),
                Resolved::Unanswered(error) => return Err(SendError::Api(error)),
            };
            // Several handles of one person are one member.
            if account != own && members.iter().all(|member| member.account != account) {
                members.push(Member { account, handle: handle.clone() });
            }
        }
        Ok(members)
    }

    async fn begin_group(
        &self,
        name: GroupName,
        members: Vec<Member>,
        author: Handle,
    ) -> Result<(GroupId, SentMessage), SendError> {
        let hearers = members.iter().map(|member| member.handle.clone()).chain([author.clone()]);
        let resolved = self.resolve_group(&hearers.collect::<Vec<_>>()).await?;
        let mut state = self.state();
        let op = Op::Create { name, members };
        let ChangeDraft { device, made, nonce, .. } = self.change_draft(&state)?;
        let change = GroupChange { group: None, parents: Vec::new(), author, device, made, nonce, op };
        let signed = SignedChange::sign(change, &state.own()?.account_key).map_err(GroupError::from)?;
        let group = signed.group();
        Ok((group, self.commit_signed(&mut state, signed, resolved)?))
    }

    /// Commits a change of this account, and what has to be told of it.
    async fn commit_change(&self, group: GroupId, op: Op) -> Result<SentMessage, SendError> {
        let members = self.state().group(group)?.ok_or(GroupError::NoSuchGroup)?.handles();
        let resolved = self.resolve_group(&members).await?;
        let mut state = self.state();
        let known = state.group(group)?.ok_or(GroupError::NoSuchGroup)?;
        let own = state.own()?;
        known.state.member(own.account).ok_or(GroupError::NotAMember)?;
        let leaves = matches!(op, Op::Leave);
        let no_effect = || if leaves { GroupError::TooFewStay } else { GroupError::NoEffect };
        let change = known.log.next(self.change_draft(&state)?, op).ok_or_else(no_effect)?;
        let signed = SignedChange::sign(change, &own.account_key).map_err(GroupError::from)?;
        self.commit_signed(&mut state, signed, resolved)
    }

    fn change_draft(&self, state: &State) -> Result<ChangeDraft, SendError> {
        let own = state.own()?;
        Ok(ChangeDraft { account: own.account, device: own.device, made: self.now(), nonce: self.rng().array() })
    }

    /// The change is sealed in the commit that makes it, so that what is said after it has later numbers and stands behind it (GRP-9).
    fn commit_signed(
        &self,
        state: &mut State,
        signed: SignedChange,
        mut resolved: Targets,
    ) -> Result<SentMessage, SendError> {
        let change = signed.verify().ok_or(GroupError::NoEffect)?;
        let before = state.group(change.group())?;
        let mut commit = Commit::new();
        let after = known::merged(state, change.group(), vec![change.clone()], &mut commit)?;
        let after = after.ok_or(GroupError::NoEffect)?.now;
        let line = take::line(self, state, &after, &change, None)?;
        commit.push(crate::ports::Change::AddMessage(line.clone()));
        let mut job = self.tell_change(state, &line, before.as_deref(), &after, &mut commit)?;
        state.drop_overtaken(&mut resolved)?;
        let unsealed = outbox::expect_devices(state, &job, &resolved, &mut commit)?;
        outbox::seal_job(self, state, &mut job, &resolved, &mut commit)?;
        state.commit(&commit)?;
        let number = state.store().own_message(line.id)?.map_or(0, |record| record.number);
        let record = MessageRecord { number, message: line, read: None, deleted: None };
        let shown = history::shown(state, record, &[])?;
        let deliveries = outbox::shown_deliveries(state, shown.id)?;
        let told = history::told(state, shown.clone())?;
        self.tell(told);
        self.outbox.notify_one();
        Ok(SentMessage { message: shown, unsealed, deliveries })
    }
}

impl State {
    /// Returns the accounts of members, as somebody names them.
    fn accounts_in(&mut self, group: GroupId, handles: &[Handle]) -> Result<Vec<AccountId>, SendError> {
        let known = self.group(group)?.ok_or(GroupError::NoSuchGroup)?;
        let mut accounts = BTreeSet::new();
        for (number, handle) in handles.iter().enumerate() {
            // By another handle of theirs than the one in the group, too.
            let pinned = self.known_handle(handle)?.map(|pin| pin.account());
            let called = known.state.member_called(handle).map(|member| member.account);
            let is_member = |account: &AccountId| known.state.member(*account).is_some();
            let account = called.or(pinned.filter(is_member));
            accounts.insert(account.ok_or(GroupError::NoSuchMember { number: number + 1 })?);
        }
        Ok(accounts.into_iter().collect())
    }
}

/// Splits people into as many as one change can add.
fn portions(members: Vec<Member>) -> Vec<Vec<Member>> {
    let mut portions: Vec<Vec<Member>> = Vec::new();
    let mut bytes = 0;
    for member in members {
        let takes = member.handle.as_uri().len() + MEMBER_OVERHEAD;
        match portions.last_mut() {
            Some(portion) if portion.len() < MEMBERS_AT_ONCE && bytes + takes <= MEMBER_BYTES_MAX => {
                bytes += takes;
                portion.push(member);
            }
            _ => {
                bytes = takes;
                portions.push(vec![member]);
            }
        }
    }
    portions
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GRP-2: however many and with whatever names, each portion fits into one change.
    #[test]
    fn people_are_added_in_portions() {
        let member = |number: usize, bytes: usize| Member {
            account: AccountId::from_bytes((number as u128).to_be_bytes()),
            handle: Handle::parse(&format!("m{number}@{}.example.org", "a".repeat(bytes))).unwrap(),
        };
        let secret = |byte: u8| halcyon_crypto::Secret::fill_with(|secret| *secret = [byte; 32]);
        let key = (1..=u8::MAX).find_map(|byte| halcyon_crypto::SigningKey::from_secret(&secret(byte)).ok()).unwrap();
        for bytes in [1, 30, 63] {
            let all: Vec<Member> = (0..1_000).map(|number| member(number, bytes)).collect();
            let portions = portions(all.clone());
            assert_eq!(portions.concat(), all);
            assert!(portions.iter().all(|portion| portion.len() <= MEMBERS_AT_ONCE));
            for portion in portions {
                let change = GroupChange {
                    group: Some(GroupId::from_bytes([1; 16])),
                    parents: vec![halcyon_types::GroupChangeId::from_bytes([1; 16]); 16],
                    author: member(1, 63).handle,
                    device: halcyon_types::DeviceId::from_bytes([1; 16]),
                    made: halcyon_types::Timestamp::from_millis(u64::MAX),
                    nonce: [0; 16],
                    op: Op::Add(portion),
                };
                assert!(SignedChange::sign(change, &key).is_ok());
            }
        }
    }
}
