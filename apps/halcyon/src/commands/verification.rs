//! Waiting for the code or the link of a verification mail, whichever comes first (ACC-21, ACC-23).

use std::time::Duration;

use halcyon_client::error::VerificationError;
use halcyon_client::{Client, Verification};
use halcyon_types::{Handle, Timestamp};
use serde::Serialize;

use super::Context;
use crate::failure::Failure;

/// How often the server is asked whether the link was followed. A person takes longer to switch windows.
const POLL: Duration = Duration::from_secs(2);

/// Returns when the handle is verified.
///
/// # Errors
/// [`Failure`] when tries or time ran out.
pub(super) async fn wait(context: &mut Context, client: &Client, verification: &Verification) -> Result<(), Failure> {
    let address = verification.handle.address();
    context
        .output
        .note(format!("A mail with a code and a link went to {address}. Type the six digits, or follow the link."));
    loop {
        let code = tokio::select! {
            line = context.input.line(Some("code")) => line?,
            followed = link_followed(client, verification) => {
                followed?;
                context.output.note("The link was followed.");
                return Ok(());
            }
        };
        match try_code(client, verification, &code).await {
            Ok(()) => return Ok(()),
            Err(error @ VerificationError::WrongCode { .. }) => context.output.note(error),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Returns a verification that another command began. Only the server knows when it is over.
pub(super) fn begun_earlier(id: &str, handle: &Handle) -> Verification {
    Verification { id: id.to_owned(), handle: handle.clone(), expires: Timestamp::default() }
}

/// Gives one code.
///
/// # Errors
/// [`VerificationError`]
pub(super) async fn try_code(
    client: &Client,
    verification: &Verification,
    code: &str,
) -> Result<(), VerificationError> {
    // People copy the spaces around and within the digits, too.
    let digits: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    client.verify_code(verification, &digits).await
}

async fn link_followed(client: &Client, verification: &Verification) -> Result<(), VerificationError> {
    loop {
        tokio::time::sleep(POLL).await;
        if client.is_verified(verification).await? {
            return Ok(());
        }
    }
}

/// Prints what is needed to go on later.
///
/// # Errors
/// [`Failure`] if it cannot be printed.
pub(super) fn show_begun(context: &Context, begun: &Verification, go_on: &str) -> Result<(), Failure> {
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
        format!("A mail with a code and a link went to {}. Follow the link, or:\n  {go_on}", begun.handle.address())
    })
}
