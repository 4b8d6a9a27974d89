//! What is told of groups, and to whom. Spec: 51-groups.md §3 (GRP-8, GRP-9, GRP-12).
//!
//! Owns the jobs of changes, of what is known, and of questions. A change is sealed by whoever commits it; the others wait in the outbox to
//! be sealed. Each is sealed for those who may have it then.

use halcyon_content::{
    CONTENT_BYTES_MAX, Content, ConversationMembers, GROUP_STATE_CHANGES_MAX, Kind,
    group::{GroupLog, GroupRef},
};
use halcyon_types::{AccountId, DeviceId, GroupHash, GroupId, Handle, MessageId, Timestamp};

use super::known::{Known, Toward};
use crate::{
    client::Inner,
    error::ProfileError,
    handles,
    ports::{
        Change, Commit,
        store::{NewMessage, OutboxJob, OutboxTarget},
    },
    repair::Peer,
    state::State,
};

/// Bytes of changes in one plaintext: what is left of it is for the rest of the content, and the place (GRP-9).
const STATE_BYTES_MAX: usize = CONTENT_BYTES_MAX - 700;
/// What stands for a group of which nothing is known.
const NOTHING: GroupHash = GroupHash::from_bytes([0; GroupHash::LEN]);

impl Inner {
    /// Returns what tells a change of this account to everybody who was a member or is one, to be sealed; and adds to a commit what tells
    /// all that is known to those whom it made members.
    pub(super) fn tell_change(
        &self,
        state: &State,
        line: &NewMessage,
        before: Option<&Known>,
        after: &Known,
        commit: &mut Commit,
    ) -> Result<OutboxJob, ProfileError> {
        let own = state.own()?.account;
        let sender = line.sender.clone();
        // A new group is told by the change that begins it.
        let knew = before.unwrap_or(after);
        let mut targets: Vec<OutboxTarget> = knew.others(own).into_iter().map(OutboxTarget::new).collect();
        targets.push(OutboxTarget::new(sender.clone()));
        let is_new = |handle: &Handle| !knew.state.members.iter().any(|member| member.handle == *handle);
        let added: Vec<Handle> = after.others(own).into_iter().filter(|handle| is_new(handle)).collect();
        if !added.is_empty() {
            let targets: Vec<OutboxTarget> = added.into_iter().map(OutboxTarget::new).collect();
            for job in self.state_jobs(&after.log, after.reference(), &sender, &targets) {
                commit.push(Change::PutOutboxJob(job));
            }
        }
        let job = OutboxJob::again(line.id, sender, line.content.clone(), self.now());
        Ok(OutboxJob { targets, ..job })
    }

    /// Returns jobs that tell all changes of a group.
    fn state_jobs(
        &self,
        log: &GroupLog,
        reference: GroupRef,
        sender: &Handle,
        targets: &[OutboxTarget],
    ) -> Vec<OutboxJob> {
        let mut jobs = Vec::new();
        for chunk in chunks(log) {
            let id = MessageId::from_bytes(self.rng().array());
            let content = self.content_in(reference, sender.clone(), Kind::GroupState(chunk), id);
            jobs.extend(job(content, targets.to_vec(), self.now()));
        }
        jobs
    }

    /// Adds to a commit that a device is asked for all changes of a group, unless it was a moment ago (GRP-9).
    pub(super) fn ask_for_group(
        &self,
        state: &mut State,
        group: GroupId,
        peer: &Peer,
        commit: &mut Commit,
    ) -> Result<(), ProfileError> {
        // GRP-14: of whoever is blocked or unknown nothing is wanted.
        if state.tells_nothing(peer.account, &peer.handle)?
            || !state.groups.may(group, peer.device, Toward::Ask, self.now())
        {
            return Ok(());
        }
        let known = state.group(group)?;
        let reference = known.as_ref().map_or(GroupRef { id: group, hash: NOTHING }, |known| known.reference());
        let Some(sender) = own_handle_in(state, known.as_deref(), peer)? else { return Ok(()) };
        let to = address(state, peer, &sender)?;
        let id = MessageId::from_bytes(self.rng().array());
        let content = self.content_in(reference, sender, Kind::GroupAsk, id);
        if let Some(job) = job(content, vec![OutboxTarget::only(to, peer.device)], self.now()) {
            commit.push(Change::PutOutboxJob(job));
        }
        Ok(())
    }

    /// Adds to a commit what a device that asks is told: all changes, if it is a member's (GRP-9).
    pub(super) fn answer_for_group(
        &self,
        state: &mut State,
        asked: GroupRef,
        peer: &Peer,
        commit: &mut Commit,
    ) -> Result<(), ProfileError> {
        let Some(known) = state.group(asked.id)? else { return Ok(()) };
        let is_own = state.own()?.account == peer.account;
        let is_member = is_own || known.state.member(peer.account).is_some();
        if !is_member || state.tells_nothing(peer.account, &peer.handle)? {
            return Ok(());
        }
        if !state.groups.may(asked.id, peer.device, Toward::Answer, self.now()) {
            return Ok(());
        }
        if let Some(sender) = own_handle_in(state, Some(&known), peer)? {
            let target = OutboxTarget::only(address(state, peer, &sender)?, peer.device);
            for job in self.state_jobs(&known.log, known.reference(), &sender, &[target]) {
                commit.push(Change::PutOutboxJob(job));
            }
        }
        // It may know what is not known here.
        if asked.hash != NOTHING && asked.hash != known.hash && !state.groups.was(asked) {
            self.ask_for_group(state, asked.id, peer, commit)?;
        }
        Ok(())
    }

    /// Adds to a commit that new own devices are told of all groups (GRP-12).
    pub(crate) fn introduce_groups(
        &self,
        state: &mut State,
        devices: &[DeviceId],
        commit: &mut Commit,
    ) -> Result<(), ProfileError> {
        if devices.is_empty() {
            return Ok(());
        }
        let Some(sender) = handles::own_handles(state.store())?.into_iter().next() else { return Ok(()) };
        let targets: Vec<OutboxTarget> =
            devices.iter().map(|device| OutboxTarget::only(sender.clone(), *device)).collect();
        for record in state.store().groups().groups()? {
            let Some(known) = state.group(record.group)? else { continue };
            for job in self.state_jobs(&known.log, known.reference(), &sender, &targets) {
                commit.push(Change::PutOutboxJob(job));
            }
        }
        Ok(())
    }

    fn content_in(&self, group: GroupRef, sender: Handle, kind: Kind, message_id: MessageId) -> Content {
        let members = ConversationMembers::in_group(sender, group);
        Content { message_id, sent: self.now(), members, kind, place: None }
    }
}

impl State {
    /// Says whether something that is said in a group may be sealed for an account: for its members and for own devices, and for
    /// nobody else from the moment on in which that is known (GRP-8).
    pub(crate) fn may_hear(
        &mut self,
        content: &Content,
        account: AccountId,
        handle: &Handle,
    ) -> Result<bool, ProfileError> {
        let Some(group) = content.members.group() else { return Ok(true) };
        // That somebody was removed is told the one who was, too; and a question goes to whoever may know.
        if matches!(content.kind, Kind::GroupChange(_) | Kind::GroupAsk) || self.own()?.account == account {
            return Ok(true);
        }
        Ok(self.group(group.id)?.is_some_and(|known| known.has(account, handle)))
    }
}

/// Something that devices tell one another, and nobody is shown.
fn job(content: Content, targets: Vec<OutboxTarget>, now: Timestamp) -> Option<OutboxJob> {
    // What was signed, or came from others, is within its bounds.
    let encoded = halcyon_content::encode(&content).ok()?;
    let job = OutboxJob::again(content.message_id, content.members.sender().clone(), encoded.into(), now);
    Some(OutboxJob { silent: true, targets, ..job })
}

/// Splits all changes of a group into as many as fit into one plaintext. The first has the one that begins it.
fn chunks(log: &GroupLog) -> Vec<Vec<halcyon_content::group::SignedChange>> {
    let beginning = log.beginning();
    let others = log.changes().filter(|change| change.id() != beginning.id());
    let mut chunks = vec![vec![beginning.signed().clone()]];
    let mut bytes = beginning.encoded_len();
    for change in others {
        let chunk = chunks.last_mut().expect("there is one from the start");
        if chunk.len() < GROUP_STATE_CHANGES_MAX && bytes + change.encoded_len() <= STATE_BYTES_MAX {
            bytes += change.encoded_len();
            chunk.push(change.signed().clone());
        } else {
            bytes = change.encoded_len();
            chunks.push(vec![change.signed().clone()]);
        }
    }
    chunks
}

/// Returns the own handle that a member's device is written to from: that of this account in the group, or the one that the device
/// wrote to.
fn own_handle_in(state: &State, known: Option<&Known>, peer: &Peer) -> Result<Option<Handle>, ProfileError> {
    let own_handles = handles::own_handles(state.store())?;
    let own = state.own()?.account;
    let in_group = known.and_then(|known| known.state.member(own)).map(|member| member.handle.clone());
    let candidates = [in_group, peer.wrote_to.clone(), own_handles.first().cloned()];
    Ok(candidates.into_iter().flatten().find(|handle| own_handles.contains(handle)))
}

/// An own device is written to under the handle that it is written from (PQ3-22).
fn address(state: &State, peer: &Peer, sender: &Handle) -> Result<Handle, ProfileError> {
    Ok(if state.own()?.account == peer.account { sender.clone() } else { peer.handle.clone() })
}
