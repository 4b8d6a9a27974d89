//! `devices`: lists, renames and removes the devices of this account.

use halcyon_client::{Client, OwnDevice};
use serde::Serialize;

use super::Context;
use crate::args::{Devices, DevicesAction};
use crate::failure::Failure;
use crate::line::{short_id, time_words};
use crate::output::Style;
use crate::session::Session;
use crate::text::one_line;

#[derive(Serialize)]
struct Line {
    #[serde(rename = "type")]
    kind: &'static str,
    device: String,
    name: String,
    suites: Vec<String>,
    added_ms: u64,
    /// Whether it is the one that answers.
    this: bool,
}

pub(super) async fn run(context: &mut Context, options: Devices) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let client = session.client();
    let result = match options.action.unwrap_or(DevicesAction::List) {
        DevicesAction::List => list(context, client).await,
        DevicesAction::Rename { name } => rename(context, client, &name).await,
        DevicesAction::Remove { device } => remove(context, client, &device).await,
    };
    session.close().await;
    result
}

async fn list(context: &Context, client: &Client) -> Result<(), Failure> {
    for device in client.devices().await? {
        show(context, "device", &device)?;
    }
    Ok(())
}

async fn rename(context: &Context, client: &Client, name: &str) -> Result<(), Failure> {
    client.rename_device(name).await?;
    let renamed = client.devices().await?.into_iter().find(|device| device.this);
    renamed.map_or(Ok(()), |device| show(context, "device", &device))
}

async fn remove(context: &Context, client: &Client, named: &str) -> Result<(), Failure> {
    let device = find(client.devices().await?, named)?;
    client.remove_device(device.device).await?;
    show(context, "removed", &device)
}

/// By name, if only one has it, or by the start of the id.
fn find(devices: Vec<OwnDevice>, named: &str) -> Result<OwnDevice, Failure> {
    let fits =
        |device: &OwnDevice| device.name == named || (!named.is_empty() && device.device.to_hex().starts_with(named));
    let mut fitting: Vec<OwnDevice> = devices.into_iter().filter(fits).collect();
    match (fitting.pop(), fitting.is_empty()) {
        (Some(device), true) => Ok(device),
        (Some(_), false) => Err(Failure::user(format!("several devices fit {}", one_line(named)))
            .next("give more of the id that `halcyon devices` shows")),
        (None, _) => Err(Failure::user(format!("this account has no device {}", one_line(named)))
            .next("`halcyon devices` lists them")),
    }
}

fn show(context: &Context, kind: &'static str, device: &OwnDevice) -> Result<(), Failure> {
    let line = Line {
        kind,
        device: device.device.to_hex(),
        name: device.name.clone(),
        suites: device.suites.iter().map(ToString::to_string).collect(),
        added_ms: device.added.as_millis(),
        this: device.this,
    };
    context.output.result(&line, |output| {
        let this = if line.this { "  (this device)" } else { "" };
        let removed = if kind == "removed" { output.styled(Style::Good, "removed  ") } else { String::new() };
        let name = output.styled(Style::Strong, one_line(&line.name));
        format!(
            "{removed}{}  {name}  {}  added {}{this}",
            short_id(&line.device),
            line.suites.join(", "),
            time_words(line.added_ms)
        )
    })
}
