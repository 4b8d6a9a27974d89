//! The history between devices of one account, for one that lost a part of it. Spec: 61-repair.md §4 (REP-24).
//!
//! Owns what is forwarded and how it is taken. A device believes the other devices of its own account, and nobody else, about what was
//! said.

use halcyon_content::{Content, Forward, Kind};
use halcyon_types::Timestamp;

use super::{Peer, gaps::is_numbered};
use crate::{
    acts,
    client::Inner,
    error::ProfileError,
    ports::{
        Change, Commit,
        store::{NewMessage, Origin, RepairRecord},
    },
    send,
    state::State,
};

/// Messages that one request makes; whoever wants more asks again.
const FORWARDS_A_REQUEST: usize = 256;

/// Returns the jobs that forward what was stored since a time, and whether that is all of it.
pub(super) fn jobs(
    inner: &Inner,
    state: &State,
    to: &Peer,
    since: Timestamp,
    now: Timestamp,
) -> Result<(Commit, bool), ProfileError> {
    let records = state.store().repairs().stored_since(since, 0, FORWARDS_A_REQUEST)?;
    let all = records.len() < FORWARDS_A_REQUEST;
    let mut jobs = Commit::new();
    for record in records {
        let message = record.message;
        let forward = Forward {
            content: message.content,
            sender_account: message.sender_account,
            sender_device: message.sender_device,
            suite: message.suite,
            stored: message.stored,
        };
        if let Some(job) = inner.note_to(state, to, Kind::Forward(forward), now)? {
            jobs.push(Change::PutOutboxJob(job));
        }
    }
    Ok((jobs, all))
}

/// Adds a forwarded message to a commit; none if it is here already, or is no message.
pub(crate) fn take(
    inner: &Inner,
    state: &mut State,
    forward: &Forward,
    from: &Peer,
    commit: &mut Commit,
) -> Result<Option<NewMessage>, ProfileError> {
    let own = (state.own()?.account, state.own()?.device);
    if own.0 != from.account {
        return Ok(None);
    }
    if let Some(record) = state.store().repairs().repair(from.device)?
        && record.forward_since.is_some_and(|since| since < forward.stored)
    {
        commit.push(Change::PutRepair(RepairRecord { forward_since: Some(forward.stored), ..record }));
    }
    let Ok(content) = halcyon_content::decode(&forward.content) else { return Ok(None) };
    if !is_shown(&content) || state.store().has_message(forward.sender_device, content.message_id)? {
        return Ok(None);
    }
    if let Some(group) = content.members.group() {
        inner.forwarded_in_group(state, group, &content, from, commit)?;
    }
    let origin = match (forward.sender_account == own.0, forward.sender_device == own.1) {
        (true, true) => Origin::Here,
        (true, false) => Origin::OwnDevice,
        (false, _) => Origin::Peer,
    };
    let message = NewMessage {
        id: content.message_id,
        conversation: content.members.id(),
        origin,
        kind: acts::message_kind(&content.kind),
        sender: content.members.sender().clone(),
        sender_account: forward.sender_account,
        sender_device: forward.sender_device,
        suite: forward.suite,
        sent: content.sent,
        stored: inner.now(),
        content: forward.content.clone(),
        // Its number was given for another device.
        place: None,
        target: acts::target(&content.kind),
    };
    send::add_conversation(&content.members, commit);
    commit.push(Change::AddMessage(message.clone()));
    Ok(Some(message))
}

fn is_shown(content: &Content) -> bool {
    let has_readers = !content.members.recipients().is_empty() || content.members.group().is_some();
    has_readers && is_numbered(&content.kind)
}
