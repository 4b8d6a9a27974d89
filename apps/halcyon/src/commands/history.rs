//! `history`: what was said, and what is missing in its place, from the profile alone; nothing is asked of the server.

use std::collections::BTreeSet;

use halcyon_client::ShownConversation;
use halcyon_client::event::ShownMessage;
use halcyon_client::ports::store::Conversation;
use halcyon_types::{ConversationId, Handle};
use serde::Serialize;

use super::Context;
use crate::args::History;
use crate::failure::Failure;
use crate::line::{GapLine, Line, MessageLine};
use crate::output::Style;
use crate::session::Session;

/// A conversation, where they are listed.
#[derive(Serialize)]
struct ConversationLine {
    #[serde(rename = "type")]
    kind: &'static str,
    conversation: String,
    members: Vec<String>,
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
        return conversations.iter().try_for_each(|conversation| list(context, session, conversation));
    }
    let own: BTreeSet<Handle> = session.account()?.handles.into_iter().collect();
    let with: BTreeSet<Handle> = options.with.iter().cloned().collect();
    let limit = usize::try_from(options.limit).unwrap_or(usize::MAX);
    let mut messages = Vec::new();
    let mut ends = Vec::new();
    // OWN-11: with one of a person's handles, also what was said by another.
    let same = same_people(session, &conversations, &with, &own)?;
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
        show(context, &Line::Message(Box::new(message.into())))?;
    }
    ends.iter().try_for_each(|gap| show(context, &Line::Gap(gap.into())))
}

/// Returns the conversations that are listed as one with that of these people.
fn same_people(
    session: &Session,
    conversations: &[Conversation],
    with: &BTreeSet<Handle>,
    own: &BTreeSet<Handle>,
) -> Result<BTreeSet<ConversationId>, Failure> {
    let meant = conversations.iter().filter(|conversation| is_with(conversation, with, own, None));
    let meant: BTreeSet<ConversationId> = meant.map(|conversation| conversation.id).collect();
    let listed = session.client().overview()?;
    let has_one = |ids: &Vec<ConversationId>| ids.iter().any(|id| meant.contains(id));
    Ok(listed.into_iter().map(|one| one.ids).filter(has_one).flatten().collect())
}

/// Returns the conversation with these people, as it is listed.
///
/// # Errors
/// [`Failure`] if there is none.
pub(super) fn conversation_with(session: &Session, people: &[Handle]) -> Result<ShownConversation, Failure> {
    let own: BTreeSet<Handle> = session.account()?.handles.into_iter().collect();
    let with: BTreeSet<Handle> = people.iter().cloned().collect();
    let same = same_people(session, &session.client().conversations()?, &with, &own)?;
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
    newest.iter().try_for_each(|message| show(context, &Line::Message(Box::new(message.into()))))
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

/// Whether a conversation is the one with these people.
pub(super) fn is_with(
    conversation: &Conversation,
    with: &BTreeSet<Handle>,
    own: &BTreeSet<Handle>,
    from: Option<&Handle>,
) -> bool {
    let others: BTreeSet<&Handle> = conversation.members.iter().filter(|member| !own.contains(member)).collect();
    let asked: BTreeSet<&Handle> = with.iter().filter(|handle| !own.contains(handle)).collect();
    others == asked && from.is_none_or(|from| conversation.members.contains(from))
}

fn list(context: &Context, session: &Session, conversation: &Conversation) -> Result<(), Failure> {
    let newest = session.client().history(conversation.id, u64::MAX, 1)?;
    let line = ConversationLine {
        kind: "conversation",
        conversation: conversation.id.to_hex(),
        members: conversation.members.iter().map(ToString::to_string).collect(),
        newest: newest.last().map(|message| message.number),
    };
    context.output.result(&line, |output| {
        let members: Vec<&str> = conversation.members.iter().map(Handle::address).collect();
        let last = newest.last().map(|message| MessageLine::from(message).words(output)).unwrap_or_default();
        format!("{}\n    {}", output.styled(Style::Strong, members.join(", ")), last)
    })
}
