//! `react`, `edit` and `unsend`: what is done to a message that is there.
//!
//! - Whether it counts is judged before anything leaves, by the same rules as its receivers'.

use halcyon_client::{Act, Deed, ShownMessage, Target};

use super::{Context, send};
use crate::args::{Edit, MessageName, React, Unsend};
use crate::failure::Failure;
use crate::line::message::tapback_named;
use crate::session::Session;

pub(super) async fn react(context: &mut Context, options: React) -> Result<(), Failure> {
    let tapback = tapback_named(&options.tapback).ok_or_else(|| {
        Failure::user("that is no tapback")
            .next("love, like, dislike, laugh, emphasise, question, or one emoji, as in `halcyon react 12 love`")
    })?;
    let deed = Deed::Tapback { tapback, removed: options.remove };
    act(context, &options.message, options.part, deed).await
}

pub(super) async fn edit(context: &mut Context, options: Edit) -> Result<(), Failure> {
    if options.text.is_none() && !context.input.is_terminal() {
        context.input.reserve_for_text();
    }
    let session = Session::open(context).await?;
    let result = async {
        let text = send::text(context, options.text.as_deref()).await?;
        done(context, &session, &options.message, options.part, Deed::Edit(send::look(text, &options.look)?)).await
    }
    .await;
    session.close().await;
    result
}

pub(super) async fn unsend(context: &mut Context, options: Unsend) -> Result<(), Failure> {
    act(context, &options.message, options.part, Deed::Unsend).await
}

async fn act(context: &mut Context, name: &MessageName, part: u32, deed: Deed) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = done(context, &session, name, part, deed).await;
    session.close().await;
    result
}

async fn done(context: &Context, session: &Session, name: &MessageName, part: u32, deed: Deed) -> Result<(), Failure> {
    let target = target(session, name, part)?;
    session.client().go_online();
    let sent = session.client().act(Act { target, deed }).await.map_err(|error| send::refused(&error, &[]))?;
    send::wait_and_show(context, session, &sent, false, None).await
}

/// Returns the part of the message that somebody named.
///
/// # Errors
/// [`Failure`] if there is none.
pub(super) fn target(session: &Session, name: &MessageName, part: u32) -> Result<Target, Failure> {
    let found = find(session, name)?;
    Ok(Target { message: found.id, device: found.sender_device, part })
}

/// Returns the message that somebody named.
///
/// # Errors
/// [`Failure`] if there is none, or more than one.
pub(super) fn find(session: &Session, name: &MessageName) -> Result<ShownMessage, Failure> {
    let found = match name {
        MessageName::Number(number) => session.client().history_since(number.saturating_sub(1), 1)?,
        MessageName::Id(id) => session.client().messages_with(*id)?,
    };
    let is_it = |message: &ShownMessage| match name {
        MessageName::Number(number) => message.number == *number,
        MessageName::Id(_) => true,
    };
    let mut messages = found.into_iter().filter(|message| message.act.is_none() && is_it(message));
    match (messages.next(), messages.next()) {
        (Some(message), None) => Ok(message),
        (Some(_), Some(_)) => Err(Failure::user("two people used this id for a message")
            .next("take the message's number instead: `halcyon history` shows it")),
        (None, _) => {
            Err(Failure::user("there is no message with this number or id here").next("`halcyon history` shows them"))
        }
    }
}
