//! What is done to messages: tapbacks, edits, unsending. Spec: 50-content.md (CON-10 to CON-14).
//!
//! Owns the way from what a person wants done to a content that every member's devices will count, and from what was done to what is
//! shown. The rules are [`halcyon_content::judge`]'s. Does not send: an act takes the way of every message.

use std::collections::BTreeMap;

use halcyon_content::{
    Act, Acted, Content, ConversationMembers, Judged, Kind, Message, Original, Part, judge, would_count,
};
use halcyon_types::{AccountId, Handle, MessageId};

use crate::{
    client::{Client, Inner},
    error::{ProfileError, SendError},
    event::{SentMessage, ShownEdit, ShownMessage, ShownPart, ShownTapback},
    handles, history,
    ports::store::{MessageKind, MessageRecord, NewMessage},
    state::State,
};

impl Client {
    /// Does something to a part of a message, in its conversation, on every device of every member (CON-11).
    ///
    /// # Errors
    /// [`SendError`]; nothing was committed. [`SendError::Denied`]: the receivers would not count it.
    pub async fn act(&self, act: Act) -> Result<SentMessage, SendError> {
        let inner = &*self.inner;
        let content = inner.act_content(act)?;
        inner.send_content(content, None).await
    }

    /// Returns the messages with an id: one, unless somebody used another's id (CON-10).
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn messages_with(&self, id: MessageId) -> Result<Vec<ShownMessage>, ProfileError> {
        let mut state = self.inner.state();
        let records = state.store().messages_with(id)?;
        let gaps = state.store().repairs().gaps()?;
        let for_people = records.into_iter().filter(|record| record.message.kind != MessageKind::Own);
        for_people.map(|record| history::shown(&mut state, record, &gaps)).collect()
    }
}

impl Inner {
    fn act_content(&self, act: Act) -> Result<Content, SendError> {
        let mut state = self.state();
        let by = state.own()?.account;
        let record = state.original(&act)?.ok_or(SendError::NoSuchMessage)?;
        let content = halcyon_content::decode(&record.message.content).map_err(|_| SendError::NoSuchMessage)?;
        let Kind::Message(message) = &content.kind else { return Err(SendError::NoSuchMessage) };
        let acted = Acted { by, sent: self.now(), id: MessageId::from_bytes(self.rng().array()), act: act.clone() };
        let before = state.acts_on(&record.message)?;
        let before: Vec<Acted> = before.into_iter().map(|(acted, _)| acted).collect();
        would_count(original(&record.message, message), &before, &acted)?;
        let members = match content.members.group() {
            Some(group) => state.members_in(group.id)?,
            None => {
                let own_handles = handles::own_handles(state.store())?;
                let members: Vec<&Handle> =
                    [content.members.sender()].into_iter().chain(content.members.recipients()).collect();
                // As it was said, if this account said it; else by the handle to which it was said.
                let from = members.iter().find(|member| own_handles.contains(member)).ok_or(SendError::NotOwnHandle)?;
                ConversationMembers::new((*from).clone(), members.iter().copied().cloned())?
            }
        };
        Ok(Content { message_id: acted.id, sent: acted.sent, members, kind: Kind::Act(act), place: None })
    }
}

impl State {
    /// Returns the message to which something is done.
    pub(crate) fn original(&self, act: &Act) -> Result<Option<MessageRecord>, ProfileError> {
        let records = self.store().messages_with(act.target.message)?;
        let is_it = |record: &MessageRecord| {
            record.message.sender_device == act.target.device && record.message.kind == MessageKind::Message
        };
        Ok(records.into_iter().find(is_it))
    }

    /// Returns what was done to a message, by whom, in the order in which it counts (CON-11): whatever follows from that order is the same on
    /// every device.
    fn acts_on(&self, message: &NewMessage) -> Result<Vec<(Acted, Handle)>, ProfileError> {
        let records = self.store().acts_on(message.id)?.into_iter().map(|record| record.message);
        // CON-11: only in its own conversation, whose members alone can have seen it.
        let here = records.filter(|done| done.conversation == message.conversation);
        let acted = |done: NewMessage| {
            let Ok(Content { kind: Kind::Act(act), .. }) = halcyon_content::decode(&done.content) else { return None };
            let is_it = act.target.device == message.sender_device && act.target.message == message.id;
            is_it.then_some((Acted { by: done.sender_account, sent: done.sent, id: done.id, act }, done.sender))
        };
        let mut acts: Vec<(Acted, Handle)> = here.filter_map(acted).collect();
        acts.sort_by_key(|(acted, _)| (acted.sent, acted.id));
        Ok(acts)
    }

    /// Returns the parts of a message as they are after what was done to them.
    pub(crate) fn shown_parts(&self, message: &NewMessage, said: &Message) -> Result<Vec<ShownPart>, ProfileError> {
        let (acts, who): (Vec<Acted>, Vec<Handle>) = self.acts_on(message)?.into_iter().unzip();
        let handles: BTreeMap<AccountId, Handle> = acts.iter().map(|acted| acted.by).zip(who).collect();
        let judged = judge(original(message, said), &acts).into_iter();
        Ok(judged.zip(&said.parts).map(|(part, said)| shown(part, said, &handles)).collect())
    }
}

fn original<'a>(message: &NewMessage, said: &'a Message) -> Original<'a> {
    Original { author: message.sender_account, sent: message.sent, message: said }
}

fn shown(part: Judged, said: &Part, handles: &BTreeMap<AccountId, Handle>) -> ShownPart {
    let carried = match said {
        _ if part.unsent => None,
        Part::Text(_) | Part::Unsupported => None,
        carried => Some(carried.clone()),
    };
    let tapback = |(by, tapback)| Some(ShownTapback { by: handles.get(&by)?.clone(), tapback });
    ShownPart {
        text: part.text,
        carried,
        earlier: part.earlier.into_iter().map(|(said, text)| ShownEdit { said, text: text.text }).collect(),
        edited: part.edited,
        unsent: part.unsent,
        tapbacks: part.tapbacks.into_iter().filter_map(tapback).collect(),
    }
}

/// Returns what a content is to the store.
pub(crate) fn message_kind(kind: &Kind) -> MessageKind {
    match kind {
        Kind::Message(_) => MessageKind::Message,
        Kind::Act(_) => MessageKind::Act,
        Kind::GroupChange(_) => MessageKind::Change,
        Kind::Own(_) => MessageKind::Own,
        _ => MessageKind::Unsupported,
    }
}

/// Returns the message to which something was done.
pub(crate) fn target(kind: &Kind) -> Option<MessageId> {
    match kind {
        Kind::Act(act) => Some(act.target.message),
        _ => None,
    }
}
