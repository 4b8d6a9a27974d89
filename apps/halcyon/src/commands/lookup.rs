//! `lookup`: who is behind an address, and what changed since the last time.

use halcyon_client::LookedUp;
use halcyon_client::error::LookupError;
use serde::Serialize;

use super::Context;
use crate::args::Lookup;
use crate::failure::Failure;
use crate::line::{ChangeLine, short_id};
use crate::output::Style;
use crate::session::Session;
use crate::text::one_line;

#[derive(Serialize)]
struct Line {
    #[serde(rename = "type")]
    kind: &'static str,
    handle: String,
    account: String,
    list_version: u64,
    devices: Vec<DeviceLine>,
    changes: Vec<ChangeLine>,
}

#[derive(Serialize)]
struct DeviceLine {
    device: String,
    name: String,
    suites: Vec<String>,
    /// Whether the server gave an address to deliver to.
    deliverable: bool,
}

pub(super) async fn run(context: &mut Context, options: &Lookup) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = lookup(context, &session, options).await;
    session.close().await;
    result
}

async fn lookup(context: &Context, session: &Session, options: &Lookup) -> Result<(), Failure> {
    for handle in &options.handles {
        let client = session.client();
        let found = if options.accept {
            client.dangerous_accept_new_account(handle).await
        } else {
            client.lookup(handle).await
        };
        let found = found.map_err(|error| match error {
            LookupError::Unknown => Failure::user(format!(
                "the server knows nobody as {}, or they do not want to be found",
                handle.address()
            ))
            .next("check the address"),
            LookupError::Refused(_) => {
                let refused = Failure::from(error);
                refused.next(format!(
                    "ask the person over another way; if they made a new account, `halcyon lookup --accept {}`",
                    handle.address()
                ))
            }
            other => other.into(),
        })?;
        show(context, &found)?;
    }
    Ok(())
}

fn show(context: &Context, found: &LookedUp) -> Result<(), Failure> {
    let device = |device: &halcyon_client::LookedUpDevice| DeviceLine {
        device: device.device.to_hex(),
        name: device.name.clone(),
        suites: device.suites.iter().map(ToString::to_string).collect(),
        deliverable: device.deliverable,
    };
    let line = Line {
        kind: "lookup",
        handle: found.handle.to_string(),
        account: found.account.to_hex(),
        list_version: found.list_version,
        devices: found.devices.iter().map(device).collect(),
        changes: found.changes.iter().map(ChangeLine::from).collect(),
    };
    context.output.result(&line, |output| {
        let who = output.styled(Style::Strong, found.handle.address());
        let mut text = vec![format!("{who}  account {}  list {}", line.account, line.list_version)];
        for device in &line.devices {
            let reach = if device.deliverable { "" } else { "  (cannot be delivered to now)" };
            text.push(format!(
                "    {}  {}  {}{reach}",
                short_id(&device.device),
                one_line(&device.name),
                device.suites.join(", ")
            ));
        }
        text.extend(line.changes.iter().map(|change| format!("    {}", output.styled(Style::Faint, change.words()))));
        text.join("\n")
    })
}
