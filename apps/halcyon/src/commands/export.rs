//! `export`: everything that was said, as JSON lines or as a page.
//!
//! - A page at a time is in memory, so a history of any length can be exported.

mod html;

use std::collections::BTreeSet;

use halcyon_client::Client;
use halcyon_client::ports::store::Conversation;
use halcyon_types::{ConversationId, Handle};

use super::group::With;
use super::{Context, history};
use crate::args::{Export, ExportFormat};
use crate::failure::Failure;
use crate::line::{GapLine, GroupLine, Line};
use crate::session::Session;

/// Messages read at once.
const PAGE: usize = 500;

pub(super) async fn run(context: &mut Context, options: &Export) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = export(context, &session, options);
    session.close().await;
    result
}

fn export(context: &Context, session: &Session, options: &Export) -> Result<(), Failure> {
    let own: BTreeSet<Handle> = session.account()?.handles.into_iter().collect();
    let with = With::find(session, &options.with)?;
    let groups = history::groups(session)?;
    let mut conversations = session.client().conversations()?;
    if !options.with.is_empty() {
        conversations.retain(|conversation| history::is_with(conversation, &groups, &with, &own));
        if conversations.is_empty() {
            return Err(Failure::user("there is no conversation with these people")
                .next("`halcyon history` lists the conversations"));
        }
    }
    match options.format {
        ExportFormat::Json => conversations.iter().try_for_each(|conversation| {
            each(session.client(), conversation.id, |line| {
                // In both formats of output, since this is what was asked for.
                context.output.result(&line, |_| serde_json::to_string(&line).unwrap_or_default())
            })
        }),
        ExportFormat::Html => page(context, session.client(), &conversations, &groups),
    }
}

fn page(
    context: &Context,
    client: &Client,
    conversations: &[Conversation],
    groups: &history::Groups,
) -> Result<(), Failure> {
    let write = |html: String| context.output.result(&serde_json::json!({"type": "html", "html": html}), |_| html);
    write(html::head())?;
    for conversation in conversations {
        let group = groups.get(&conversation.id).map(|group| GroupLine::from(group).called());
        write(html::conversation(&conversation.members, group.as_deref()))?;
        each(client, conversation.id, |line| match &line {
            Line::Message(message) => write(html::message(message)),
            Line::GroupChange(change) => write(html::change(change)),
            Line::Gap(gap) => write(html::gap(gap)),
            _ => Ok(()),
        })?;
    }
    write(html::foot())
}

/// Gives every message of a conversation in its order, with what is missing in its place.
fn each(
    client: &Client,
    conversation: ConversationId,
    mut take: impl FnMut(Line) -> Result<(), Failure>,
) -> Result<(), Failure> {
    // Pages are found from the end, and read from the start.
    let mut pages = vec![u64::MAX];
    while let Some(before) = pages.last()
        && let page = client.history(conversation, *before, PAGE)?
        && page.len() == PAGE
        && let Some(first) = page.first()
    {
        pages.push(first.number);
    }
    for before in pages.into_iter().rev() {
        for message in client.history(conversation, before, PAGE)? {
            if let Some(gap) = GapLine::before(&message) {
                take(Line::Gap(gap))?;
            }
            take(Line::of_message(&message))?;
        }
    }
    client.gaps_at_end(conversation)?.iter().try_for_each(|gap| take(Line::Gap(gap.into())))
}
