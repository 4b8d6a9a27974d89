//! `mute`, `pin`, `block`, `accept`: whom a person wants to hear, and how loud.

use halcyon_client::Mark;
use halcyon_types::Handle;
use serde::Serialize;

use super::{Context, conversations, history};
use crate::args::{Accept, Block, MarkPeople};
use crate::failure::Failure;
use crate::output::Style;
use crate::session::Session;

#[derive(Serialize)]
struct PersonLine {
    #[serde(rename = "type")]
    kind: &'static str,
    handle: String,
}

pub(super) async fn mark(context: &mut Context, options: &MarkPeople, mark: Mark) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = set(context, &session, options, mark);
    if result.is_ok() {
        session.settle(context).await;
    }
    session.close().await;
    result
}

fn set(context: &Context, session: &Session, options: &MarkPeople, mark: Mark) -> Result<(), Failure> {
    for id in history::conversation_with(session, &options.with)?.ids {
        session.client().mark(id, mark, !options.undo)?;
    }
    conversations::show(context, &history::conversation_with(session, &options.with)?)
}

pub(super) async fn block(context: &mut Context, options: &Block) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = set_blocked(context, &session, options);
    if result.is_ok() {
        session.settle(context).await;
    }
    session.close().await;
    result
}

fn set_blocked(context: &Context, session: &Session, options: &Block) -> Result<(), Failure> {
    for handle in &options.handles {
        session.client().set_blocked(handle, !options.undo)?;
    }
    let blocked = session.client().blocked()?;
    if blocked.is_empty() {
        context.output.note("Nobody is blocked.");
    }
    blocked.iter().try_for_each(|handle| person(context, "blocked", handle))
}

pub(super) async fn accept(context: &mut Context, options: &Accept) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = options.handles.iter().try_for_each(|handle| {
        session.client().accept_sender(handle)?;
        person(context, "accepted", handle)
    });
    if result.is_ok() {
        session.settle(context).await;
    }
    session.close().await;
    result
}

fn person(context: &Context, kind: &'static str, handle: &Handle) -> Result<(), Failure> {
    let line = PersonLine { kind, handle: handle.to_string() };
    context.output.result(&line, |output| format!("{}  {kind}", output.styled(Style::Strong, handle.address())))
}
