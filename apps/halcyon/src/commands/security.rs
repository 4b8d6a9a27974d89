//! `security`: how well messages to somebody are protected, device by device, as far as this device knows.

use halcyon_client::{DeviceSecurity, Security};
use halcyon_types::{Handle, Timestamp};
use serde::Serialize;

use super::Context;
use crate::args;
use crate::failure::Failure;
use crate::line::short_id;
use crate::output::Style;
use crate::session::Session;
use crate::text::one_line;

#[derive(Serialize)]
struct Line {
    #[serde(rename = "type")]
    kind: &'static str,
    handle: String,
    list_version: u64,
    devices: Vec<DeviceLine>,
}

#[derive(Serialize)]
struct DeviceLine {
    device: String,
    name: String,
    /// The suite of the next message; none if none may be used, which sending explains.
    suite: Option<String>,
    /// Whether that suite lacks what `pq3` gives: a key of its own for each message, healing, protection from a quantum computer.
    legacy: bool,
    ratcheted_ms: Option<u64>,
    rekeyed_ms: Option<u64>,
}

pub(super) async fn run(context: &mut Context, options: &args::Security) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = options.handles.iter().try_for_each(|handle| show(context, &session, handle));
    session.close().await;
    result
}

fn show(context: &Context, session: &Session, handle: &Handle) -> Result<(), Failure> {
    let Some(security) = session.client().security(handle)? else {
        return Err(Failure::user(format!("nothing is known of {} yet", handle.address()))
            .next(format!("`halcyon lookup {}` asks the directory", handle.address())));
    };
    let line = Line {
        kind: "security",
        handle: handle.to_string(),
        list_version: security.list_version,
        devices: security.devices.iter().map(device_line).collect(),
    };
    context.output.result(&line, |output| {
        let who = output.styled(Style::Strong, handle.address());
        let mut text = vec![format!("{who}  device list version {}", security.list_version)];
        for device in &line.devices {
            text.push(format!(
                "    {}  {}  {}",
                short_id(&device.device),
                one_line(&device.name),
                words(device, &security)
            ));
        }
        text.join("\n")
    })
}

fn device_line(device: &DeviceSecurity) -> DeviceLine {
    DeviceLine {
        device: device.device.to_hex(),
        name: device.name.clone(),
        suite: device.suite.map(|suite| suite.to_string()),
        legacy: device.suite.is_some_and(halcyon_client::Suite::is_legacy),
        ratcheted_ms: device.ratcheted.map(Timestamp::as_millis),
        rekeyed_ms: device.rekeyed.map(Timestamp::as_millis),
    }
}

fn words(device: &DeviceLine, security: &Security) -> String {
    let Some(suite) = &device.suite else {
        return "cannot be written to: no suite in common, or a weaker one than before".to_owned();
    };
    let ago = |time: Option<u64>| {
        time.map_or("never".to_owned(), |ms| format!("{} ago", security.at.since(Timestamp::from_millis(ms))))
    };
    if device.legacy {
        return format!("{suite} (legacy)");
    }
    format!("{suite}, last ECDH ratchet {}, last ML-KEM rekey {}", ago(device.ratcheted_ms), ago(device.rekeyed_ms))
}
