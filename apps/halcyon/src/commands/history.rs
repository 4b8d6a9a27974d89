//! `history`: what was said, and what is missing in its place, from the profile alone; nothing is asked of the server.

use std::collections::{BTreeMap, BTreeSet};

use halcyon_client::event::ShownMessage;
use halcyon_client::ports::store::Conversation;
use halcyon_client::{ShownConversation, ShownGroup};
use halcyon_types::{ConversationId, Handle};
use serde::Serialize;

use super::Context;
use super::group::With;
use crate::args::{Addressee, History};
use crate::failure::Failure;
use crate::line::{GapLine, GroupNameLine, Line};
use crate::output::Style;
use crate::session::Session;

/// A conversation, where they are listed.
#[derive(Serialize)]
struct ConversationLine {
    #[serde(rename = "type")]
    kind: &'static str,
    conversation: String,
    members: Vec<String>,
    /// The group, of which it is the conversation.
    group: Option<GroupNameLine>,
    /// The number of its newest message.
    newest: Option<u64>,
}

pub(super) async fn run(context: &mut Context, options: &History) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = history(context, &session, options);
    session.close().await;
    result
}

fn history(context: &Context, session: &Session, options: &History) -> Result<(), Failure> {
    if options.deleted {
        return deleted(context, session, options);
    }
    let conversations = session.client().conversations()?;
    if options.with.is_empty() {
        let groups = groups(session)?;
        let list = |conversation: &Conversation| list(context, session, conversation, groups.get(&conversation.id));
        return conversations.iter().try_for_each(list);
    }
    let own: BTreeSet<Handle> = session.account()?.handles.into_iter().collect();
    let with = With::find(session, &options.with)?;
    let limit = usize::try_from(options.limit).unwrap_or(usize::MAX);
    let mut messages = Vec::new();
    let mut ends = Vec::new();
    // OWN-11: with one of a person's handles, also what was said by another.
    let same = same_conversations(session, &conversations, &with, &own)?;
    for conversation in conversations.iter().filter(|conversation| {
        let is_from = options.from.as_ref().is_none_or(|from| conversation.members.contains(from));
        is_from && same.contains(&conversation.id)
    }) {
        messages.push(session.client().history(conversation.id, u64::MAX, limit)?);
        ends.extend(session.client().gaps_at_end(conversation.id)?);
    }
    let messages = in_order(messages);
    if messages.is_empty() && ends.is_empty() {
        return Err(nobody());
    }
    for message in &messages[messages.len().saturating_sub(limit)..] {
        // REP-31
        if let Some(gap) = GapLine::before(message) {
            show(context, &Line::Gap(gap))?;
        }
        show(context, &Line::of_message(message))?;
    }
    ends.iter().try_for_each(|gap| show(context, &Line::Gap(gap.into())))
}

/// Returns the conversations that are listed as one with that of these people, or that of a group.
fn same_conversations(
    session: &Session,
    conversations: &[Conversation],
    with: &With,
    own: &BTreeSet<Handle>,
) -> Result<BTreeSet<ConversationId>, Failure> {
    let groups = groups(session)?;
    let meant = conversations.iter().filter(|conversation| is_with(conversation, &groups, with, own));
    let meant: BTreeSet<ConversationId> = meant.map(|conversation| conversation.id).collect();
    let listed = session.client().overview()?;
    let has_one = |ids: &Vec<ConversationId>| ids.iter().any(|id| meant.contains(id));
    Ok(listed.into_iter().map(|one| one.ids).filter(has_one).flatten().collect())
}

/// Returns the conversation with these people, or of a group, as it is listed.
///
/// # Errors
/// [`Failure`] if there is none.
pub(super) fn conversation_with(session: &Session, named: &[Addressee]) -> Result<ShownConversation, Failure> {
    let own: BTreeSet<Handle> = session.account()?.handles.into_iter().collect();
    let with = With::find(session, named)?;
    let same = same_conversations(session, &session.client().conversations()?, &with, &own)?;
    let listed = session.client().overview()?;
    listed.into_iter().find(|one| one.ids.iter().any(|id| same.contains(id))).ok_or_else(nobody)
}

fn nobody() -> Failure {
    Failure::user("there is no conversation with these people").next("`halcyon conversations` lists them")
}

/// OWN-21
fn deleted(context: &Context, session: &Session, options: &History) -> Result<(), Failure> {
    let mut messages = session.client().deleted()?;
    if !options.with.is_empty() {
        let ids = conversation_with(session, &options.with)?.ids;
        messages.retain(|message| ids.contains(&message.conversation));
    }
    if messages.is_empty() {
        context.output.note("Nothing that was deleted can be restored.");
    }
    let limit = usize::try_from(options.limit).unwrap_or(usize::MAX);
    let newest = &messages[messages.len().saturating_sub(limit)..];
    newest.iter().try_for_each(|message| show(context, &Line::of_message(message)))
}

fn show(context: &Context, line: &Line) -> Result<(), Failure> {
    context.output.result(line, |output| line.words(output))
}

/// With several own handles there may be several conversations with the same people. Each stays in its order, in which a message that
/// came late stands where it belongs (REP-15); between them, the numbers say what came first.
fn in_order(conversations: Vec<Vec<ShownMessage>>) -> Vec<ShownMessage> {
    let mut rest: Vec<_> = conversations.into_iter().map(|messages| messages.into_iter().peekable()).collect();
    let mut merged = Vec::new();
    loop {
        let heads = rest.iter_mut().enumerate().filter_map(|(at, messages)| Some((messages.peek()?.number, at)));
        let Some((_, at)) = heads.min() else { return merged };
        merged.extend(rest[at].next());
    }
}

/// The groups, by their conversations.
pub(super) type Groups = BTreeMap<ConversationId, ShownGroup>;

/// Returns the groups, by their conversations.
///
/// # Errors
/// [`Failure`]
pub(super) fn groups(session: &Session) -> Result<Groups, Failure> {
    Ok(session.client().groups()?.into_iter().map(|group| (group.conversation, group)).collect())
}

/// Whether a conversation is the one with these people, or of this group.
pub(super) fn is_with(conversation: &Conversation, groups: &Groups, with: &With, own: &BTreeSet<Handle>) -> bool {
    let with = match with {
        With::Group(group) => return conversation.id == group.conversation,
        With::People(_) if groups.contains_key(&conversation.id) => return false,
        With::People(people) => people,
    };
    let others: BTreeSet<&Handle> = conversation.members.iter().filter(|member| !own.contains(member)).collect();
    let asked: BTreeSet<&Handle> = with.iter().filter(|handle| !own.contains(handle)).collect();
    others == asked
}

fn list(
    context: &Context,
    session: &Session,
    conversation: &Conversation,
    group: Option<&ShownGroup>,
) -> Result<(), Failure> {
    let newest = session.client().history(conversation.id, u64::MAX, 1)?;
    if newest.is_empty() && group.is_none() && session.client().gaps_at_end(conversation.id)?.is_empty() {
        return Ok(()); // OWN-23
    }
    let group = group.map(|group| GroupNameLine { id: group.id.to_hex(), name: group.name.as_str().to_owned() });
    let line = ConversationLine {
        kind: "conversation",
        group,
        conversation: conversation.id.to_hex(),
        members: conversation.members.iter().map(ToString::to_string).collect(),
        newest: newest.last().map(|message| message.number),
    };
    context.output.result(&line, |output| {
        let members: Vec<&str> = conversation.members.iter().map(Handle::address).collect();
        let members = members.join(", ");
        let who = line.group.as_ref().map_or(members.clone(), |group| format!("{}: {members}", group.words()));
        let last = newest.last().map(|message| Line::of_message(message).words(output)).unwrap_or_default();
        format!("{}\n    {}", output.styled(Style::Strong, who), last)
    })
}
