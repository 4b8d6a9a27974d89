//! `read`: what was read, on all devices of the account; senders are told where that is wanted.

use halcyon_client::SealedMessage;
use serde::Serialize;

use super::{Context, act, history};
use crate::args::{Addressee, MessageName, Read, What};
use crate::failure::Failure;
use crate::session::Session;

#[derive(Serialize)]
struct Line {
    #[serde(rename = "type")]
    kind: &'static str,
    /// Messages that were not read before.
    messages: usize,
}

pub(super) async fn run(context: &mut Context, options: &Read) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = read(context, &session, options);
    if result.is_ok() {
        session.settle(context).await;
    }
    session.close().await;
    result
}

fn read(context: &Context, session: &Session, options: &Read) -> Result<(), Failure> {
    let client = session.client();
    let (names, people) = split(&options.what);
    let mut messages = 0;
    for name in names {
        let message = act::find(session, name)?;
        messages += client.read(message.conversation, message.number)?;
        if options.played {
            client.played(SealedMessage { device: message.sender_device, message: message.id })?;
        }
    }
    if !people.is_empty() {
        if options.played {
            return Err(Failure::user("a message is played, not a conversation").next("name the message by its number"));
        }
        for id in history::conversation_with(session, &people)?.ids {
            messages += client.read(id, u64::MAX)?;
        }
    }
    let line = Line { kind: "read", messages };
    context.output.result(&line, |_| match messages {
        1 => "1 message was new".to_owned(),
        count => format!("{count} messages were new"),
    })
}

/// Returns the messages, and the people or the group of one conversation.
pub(super) fn split(what: &[What]) -> (Vec<&MessageName>, Vec<Addressee>) {
    let mut named = (Vec::new(), Vec::new());
    for one in what {
        match one {
            What::Message(name) => named.0.push(name),
            What::With(with) => named.1.push(with.clone()),
        }
    }
    named
}
