//! `approve`: lets a new device in, by the six digits that it shows (LNK-2 to LNK-8).

use std::time::Duration;

use halcyon_client::error::ApproveError;
use halcyon_client::{Client, LinkRequestShown, OwnDevice};
use serde::Serialize;

use super::Context;
use crate::args::Approve;
use crate::failure::Failure;
use crate::output::Style;
use crate::session::Session;
use crate::text::one_line;

/// How often the server is asked for devices that wait, with `--wait`.
const POLL: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    device: String,
    device_name: &'a str,
}

pub(super) async fn run(context: &mut Context, options: Approve) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let result = approve(context, session.client(), &options).await;
    session.close().await;
    result
}

async fn approve(context: &mut Context, client: &Client, options: &Approve) -> Result<(), Failure> {
    let waiting = if options.wait {
        let progress = context.output.progress("waiting for a device to ask");
        let waiting = context.in_time("no device asked to join this account", some_request(client)).await??;
        drop(progress);
        waiting
    } else {
        client.link_requests().await?
    };
    let chosen = choose(context, &waiting, options.device.as_deref()).await?;
    if options.reject {
        client.reject_link(chosen.id).await?;
        return show(context, "rejected", &chosen.device.to_hex(), &chosen.device_name);
    }
    let progress = context.output.progress("waiting for the new device");
    let mut approval = context.in_time("the new device did not answer", client.approve_start(chosen.id)).await??;
    drop(progress);
    let name = one_line(&chosen.device_name);
    let added: OwnDevice = loop {
        let digits = context.input.line(Some(&format!("six digits that {name} shows"))).await?;
        let digits: String = digits.chars().filter(|c| !c.is_whitespace()).collect();
        match approval.type_digits(&digits).await {
            Ok(added) => break added,
            // LNK-7: the client counts the tries.
            Err(error @ ApproveError::WrongDigits { .. }) => context.output.note(error),
            Err(error) => return Err(error.into()),
        }
    };
    show(context, "approved", &added.device.to_hex(), &added.name)
}

async fn some_request(client: &Client) -> Result<Vec<LinkRequestShown>, ApproveError> {
    loop {
        let waiting = client.link_requests().await?;
        if !waiting.is_empty() {
            return Ok(waiting);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The one that was named; the only one; or the one that the person picks.
async fn choose(
    context: &mut Context,
    waiting: &[LinkRequestShown],
    named: Option<&str>,
) -> Result<LinkRequestShown, Failure> {
    let fits = |link: &&LinkRequestShown| {
        named.is_none_or(|named| link.device_name == named || link.device.to_hex().starts_with(named))
    };
    let fitting: Vec<&LinkRequestShown> = waiting.iter().filter(fits).collect();
    match fitting.as_slice() {
        [] if waiting.is_empty() => Err(Failure::user("no device asks to join this account")
            .next("run `halcyon link` on the new device first; `halcyon approve --wait` waits for it")),
        [] => Err(Failure::user("no waiting device has this name or id")
            .next("run `halcyon approve` without a name to see them")),
        [only] => Ok((*only).clone()),
        several => {
            for (number, link) in several.iter().enumerate() {
                context.output.note(format!(
                    "{}  {}  {}",
                    number + 1,
                    one_line(&link.device_name),
                    link.device.to_hex()
                ));
            }
            let picked = context.input.line(Some("number of the device")).await?;
            let number: usize = picked.trim().parse().unwrap_or_default();
            number
                .checked_sub(1)
                .and_then(|index| several.get(index))
                .map(|link| (*link).clone())
                .ok_or_else(|| Failure::user(format!("there is no device number {}", one_line(picked.trim()))))
        }
    }
}

fn show(context: &Context, kind: &'static str, device: &str, name: &str) -> Result<(), Failure> {
    let line = Line { kind, device: device.to_owned(), device_name: name };
    context.output.result(&line, |output| output.styled(Style::Good, format!("{} is {kind}.", one_line(name))))
}
