//! `listen`: prints what arrives until it is told to end.
//!
//! - A message is printed after it was stored, and what was stored while nobody listened is printed first: a listener that was
//!   killed between the two sees it again, and none is passed over.

use std::time::Duration;

use halcyon_client::event::{ConnectionState, Event, Origin};

use super::Context;
use crate::args::Listen;
use crate::failure::Failure;
use crate::line::Line;
use crate::session::Session;
use crate::text::one_line;

pub(super) async fn run(context: &mut Context, options: &Listen) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let limit = options.seconds.map(Duration::from_secs);
    let listening = listen(context, &session, options.count);
    let result = tokio::select! {
        result = listening => result,
        () = ended(limit) => Ok(()),
    };
    session.close().await;
    result
}

async fn listen(context: &Context, session: &Session, count: Option<u64>) -> Result<(), Failure> {
    let client = session.client();
    // Before going online, so that no event is missed.
    let mut events = client.subscribe();
    client.go_online();
    let mut left = count;
    while left != Some(0) {
        let Some(event) = events.next().await else { break };
        if let Some(line) = Line::of_event(&event) {
            context.output.result(&line, |output| line.words(output))?;
        }
        match event {
            Event::Message(message) if message.origin != Origin::Here => left = left.map(|left| left.saturating_sub(1)),
            Event::Connection(ConnectionState::Refused { cause }) => {
                return Err(Failure::network(format!("the server refuses this device: {}", one_line(&cause)))
                    .next("see `halcyon doctor`"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Returns when the person, the service manager or the clock says that it is enough.
async fn ended(limit: Option<Duration>) {
    let over = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = over => {}
        _ = tokio::signal::ctrl_c() => {}
        () = terminated() => {}
    }
}

#[cfg(unix)]
async fn terminated() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}
