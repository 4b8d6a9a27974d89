//! `handles`: the addresses of this account.

use halcyon_client::{AddedHandle, Client, Verification};
use halcyon_types::Timestamp;
use serde::Serialize;

use super::{Context, verification};
use crate::args::{Handles, HandlesAction};
use crate::failure::Failure;
use crate::line::time_words;
use crate::output::Style;
use crate::session::Session;

#[derive(Serialize)]
struct Line {
    #[serde(rename = "type")]
    kind: &'static str,
    handle: String,
    added_ms: u64,
    /// Whether messages are sent from it unless one says otherwise.
    default: bool,
}

pub(super) async fn run(context: &mut Context, options: Handles) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = handles(context, &session, options.action.unwrap_or(HandlesAction::List)).await;
    session.close().await;
    result
}

async fn handles(context: &mut Context, session: &Session, action: HandlesAction) -> Result<(), Failure> {
    let client = session.client();
    match action {
        HandlesAction::List => list(context, client).await,
        HandlesAction::Add { handle, no_wait } => {
            let begun = client.add_handle(&handle).await?;
            if no_wait {
                return show_begun(context, &begun);
            }
            verification::wait(context, client, &begun).await?;
            list(context, client).await
        }
        HandlesAction::Verify { handle, id, code } => {
            let begun = Verification { id, handle, expires: Timestamp::default() };
            match code {
                Some(code) => verification::try_code(client, &begun, &code).await?,
                None => verification::wait(context, client, &begun).await?,
            }
            list(context, client).await
        }
        HandlesAction::Remove { handle } => {
            client.remove_handle(&handle).await?;
            list(context, client).await
        }
        HandlesAction::Default { handle: Some(handle) } => {
            client.set_default_handle(&handle)?;
            list(context, client).await
        }
        HandlesAction::Default { handle: None } => {
            let default = client.handles().await?.into_iter().find(|handle| handle.default);
            default.map_or(Ok(()), |handle| show(context, &handle))
        }
    }
}

async fn list(context: &Context, client: &Client) -> Result<(), Failure> {
    for handle in client.handles().await? {
        show(context, &handle)?;
    }
    Ok(())
}

fn show(context: &Context, handle: &AddedHandle) -> Result<(), Failure> {
    let line = Line {
        kind: "handle",
        handle: handle.handle.to_string(),
        added_ms: handle.added.as_millis(),
        default: handle.default,
    };
    context.output.result(&line, |output| {
        let default = if handle.default { "  (sent from by default)" } else { "" };
        format!(
            "{}  added {}{default}",
            output.styled(Style::Strong, handle.handle.address()),
            time_words(line.added_ms)
        )
    })
}

fn show_begun(context: &Context, begun: &Verification) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Begun<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        id: &'a str,
        handle: &'a str,
        expires_ms: u64,
    }
    let line = Begun {
        kind: "verification",
        id: &begun.id,
        handle: begun.handle.as_uri(),
        expires_ms: begun.expires.as_millis(),
    };
    context.output.result(&line, |_| {
        let address = begun.handle.address();
        format!("A mail with a code and a link went to {address}. Follow the link, or:\n  halcyon handles verify {address} --id {} --code DIGITS", begun.id)
    })
}
