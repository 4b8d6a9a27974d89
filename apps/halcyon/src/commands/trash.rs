//! `delete` and `restore`: messages, for oneself alone.

use halcyon_client::{SealedMessage, ShownMessage};
use serde::Serialize;

use super::{Context, act, history, read, sessions};
use crate::args::{Delete, MessageName, Restore};
use crate::failure::Failure;
use crate::session::Session;

#[derive(Serialize)]
struct Line {
    #[serde(rename = "type")]
    kind: &'static str,
    messages: usize,
}

pub(super) async fn delete(context: &mut Context, options: &Delete) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = delete_all(context, &session, options).await;
    if result.is_ok() {
        session.settle(context).await;
    }
    session.close().await;
    result
}

async fn delete_all(context: &mut Context, session: &Session, options: &Delete) -> Result<(), Failure> {
    let client = session.client();
    let (names, people) = read::split(&options.what);
    let found = names.into_iter().map(|name| act::find(session, name)).collect::<Result<Vec<_>, _>>()?;
    let mut messages = found.len();
    if !people.is_empty() {
        let conversation = history::conversation_with(session, &people)?;
        sessions::sure(context, options.yes, "delete everything in this conversation? yes or no").await?;
        for id in conversation.ids {
            messages += client.delete_conversation(id)?;
        }
    }
    for message in &found {
        client.delete(sealed(message))?;
    }
    show(context, "deleted", messages, "for this account alone; `halcyon restore` brings them back for 30 days")
}

pub(super) async fn restore(context: &mut Context, options: &Restore) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = restore_all(context, &session, options);
    if result.is_ok() {
        session.settle(context).await;
    }
    session.close().await;
    result
}

fn restore_all(context: &Context, session: &Session, options: &Restore) -> Result<(), Failure> {
    let client = session.client();
    let deleted = client.deleted()?;
    let (names, people) = read::split(&options.messages);
    let mut messages = names.len();
    for name in names {
        let is_it = |message: &&ShownMessage| match name {
            MessageName::Number(number) => message.number == *number,
            MessageName::Id(id) => message.id == *id,
        };
        let message = deleted.iter().find(is_it).ok_or_else(|| {
            Failure::user("this message was not deleted, or its 30 days are over")
                .next("`halcyon history --deleted` lists what can be restored")
        })?;
        client.restore(sealed(message))?;
    }
    if !people.is_empty() {
        for id in history::conversation_with(session, &people)?.ids {
            messages += client.restore_conversation(id)?;
        }
    }
    show(context, "restored", messages, "")
}

fn sealed(message: &ShownMessage) -> SealedMessage {
    SealedMessage { device: message.sender_device, message: message.id }
}

fn show(context: &Context, kind: &'static str, messages: usize, besides: &str) -> Result<(), Failure> {
    context.output.result(&Line { kind, messages }, |_| {
        let count = if messages == 1 { "1 message".to_owned() } else { format!("{messages} messages") };
        format!("{count} {kind} {besides}").trim_end().to_owned()
    })
}
