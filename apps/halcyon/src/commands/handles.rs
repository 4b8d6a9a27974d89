//! `handles`: the addresses of this account.

use halcyon_client::{AddedHandle, Client};
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
                let address = handle.address();
                let go_on = format!("halcyon handles verify {address} --id {} --code DIGITS", begun.id);
                return verification::show_begun(context, &begun, &go_on);
            }
            verification::wait(context, client, &begun).await?;
            list(context, client).await
        }
        HandlesAction::Verify { handle, id, code } => {
            let begun = verification::begun_earlier(&id, &handle);
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
