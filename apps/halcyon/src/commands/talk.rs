//! `talk`: listens, and sends each line that is typed, so that two people can talk from one terminal each.
//!
//! - A line is in the outbox before the next one is read. At the end of input, the command waits until the server has them all.

use std::time::Duration;

use halcyon_client::event::DeliveryState;
use halcyon_client::{Client, Draft, Event};

use super::Context;
use super::group::With;
use super::listen::Listener;
use crate::args::{Format, Listen, Talk};
use crate::failure::Failure;
use crate::session::Session;

/// How often it is looked whether the outbox is empty at the end.
const POLL: Duration = Duration::from_millis(50);

pub(super) async fn run(context: &mut Context, options: &Talk) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = talk(context, &session, options).await;
    session.close().await;
    result
}

async fn talk(context: &mut Context, session: &Session, options: &Talk) -> Result<(), Failure> {
    let (client, with) = (session.client(), With::find(session, &options.with)?);
    let mut listener = Listener::new(context, client, &Listen::default())?;
    listener.catch_up()?;
    listener.go_on_repairing()?;
    client.go_online();
    if context.input.is_terminal() {
        context.output.note("Type a line to send it; Ctrl-D ends.");
    }
    let mut refused = None;
    let stop = context.stop.clone();
    let mut ended = std::pin::pin!(stop.asked(None));
    loop {
        tokio::select! {
            event = listener.next() => match event? {
                Some(event) if is_noise(&event, context) => {}
                Some(event) => listener.handle(&event)?,
                None => break,
            },
            line = context.input.next_line(None) => match line? {
                Some(line) if line.trim().is_empty() => {}
                Some(line) => {
                    let draft = Draft { from: options.from.clone(), text: line, ..with.draft() };
                    if let Err(error) = client.send(draft).await {
                        let failure = super::send::refused(&error, with.people());
                        context.output.note(&failure);
                        refused = Some(failure);
                    }
                }
                None => break,
            },
            () = &mut ended => break,
        }
    }
    listener.keep()?;
    let emptied =
        context.in_time("the server did not take every message; they stay in the outbox", outbox_empty(client)).await;
    match refused {
        // A person saw it when it happened; a script learns of it by the exit code.
        Some(failure) if !context.input.is_terminal() => Err(failure),
        _ => emptied?,
    }
}

/// On its way to each device, a message makes events that nobody reads while talking: only the ends of the way are shown.
fn is_noise(event: &Event, context: &Context) -> bool {
    let on_the_way = |state: &DeliveryState| !matches!(state, DeliveryState::Delivered(_) | DeliveryState::Failed(_));
    match event {
        Event::Delivery { delivery, .. } => context.output.format() == Format::Text && on_the_way(&delivery.state),
        _ => false,
    }
}

async fn outbox_empty(client: &Client) -> Result<(), Failure> {
    while client.outbox_len()? > 0 {
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}
