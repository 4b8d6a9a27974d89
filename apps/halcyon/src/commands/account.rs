//! `register` and `link`: how a profile becomes a device of an account.
//!
//! - A profile that was made for an attempt that came to nothing is removed, so that the next attempt starts from nothing.
//!   Once the server may have heard of its keys it stays: then trying again goes on with them.

use halcyon_client::{Account, Client, LinkDraft, Registration, Verification};
use serde::Serialize;

use super::{Context, verification};
use crate::args::{Link, Password, Register, Server};
use crate::failure::Failure;
use crate::output::Style;
use crate::prompt::{SecretSource, SecretUse};
use crate::session::{NewProfile, Session};

/// Bytes of a device's name (DIR-1); the machine's name is cut to this when nobody chose one.
const DEVICE_NAME_BYTES_MAX: usize = 64;

/// Makes an account.
pub(super) async fn register(context: &mut Context, options: Register) -> Result<(), Failure> {
    let new = NewProfile::at(context, &options.server).await?;
    let session = new.session().clone();
    if options.no_wait {
        return match begin(context, &session, &options).await {
            Ok(()) => {
                session.close().await;
                Ok(())
            }
            Err(failure) => {
                new.abandon().await;
                Err(failure)
            }
        };
    }
    let account = match attempt_register(context, &session, &options).await {
        Ok(account) => account,
        Err(Attempt { failure, server_may_know }) => {
            if server_may_know {
                session.close().await
            } else {
                new.abandon().await
            }
            return Err(failure);
        }
    };
    let shown = show(context, &account);
    session.close().await;
    shown
}

/// Has the mail sent, and leaves the rest to a later command with the same profile.
async fn begin(context: &mut Context, session: &Session, options: &Register) -> Result<(), Failure> {
    let begun = session.client().request_verification(&options.handle).await?;
    let (address, server) = (options.handle.address(), &options.server.server);
    let go_on = format!("halcyon register {address} --server {server} --verification {} --code DIGITS", begun.id);
    verification::show_begun(context, &begun, &go_on)
}

/// An attempt that came to nothing.
struct Attempt {
    failure: Failure,
    server_may_know: bool,
}

impl<E: Into<Failure>> From<E> for Attempt {
    fn from(error: E) -> Self {
        Self { failure: error.into(), server_may_know: false }
    }
}

async fn attempt_register(context: &mut Context, session: &Session, options: &Register) -> Result<Account, Attempt> {
    let password = password(context, &options.password, SecretUse::New).await?;
    let client = session.client();
    let verification = verified(context, client, options).await?;
    let progress = context.output.progress("making keys and the account");
    let device_name = device_name(&options.server);
    let registered = client.register(Registration { verification, password, device_name }).await;
    drop(progress);
    registered.map_err(|error| Attempt { failure: error.into(), server_may_know: true })
}

/// Returns a verification that succeeded: begun now, or by an earlier `--no-wait`.
async fn verified(context: &mut Context, client: &Client, options: &Register) -> Result<Verification, Failure> {
    let Some(id) = &options.verification else {
        let begun = client.request_verification(&options.handle).await?;
        verification::wait(context, client, &begun).await?;
        return Ok(begun);
    };
    let begun = verification::begun_earlier(id, &options.handle);
    match &options.code {
        Some(code) => verification::try_code(client, &begun, code).await?,
        None if client.is_verified(&begun).await? => {}
        None => verification::wait(context, client, &begun).await?,
    }
    Ok(begun)
}

/// Joins an account.
pub(super) async fn link(context: &mut Context, options: Link) -> Result<(), Failure> {
    let new = NewProfile::at(context, &options.server).await?;
    let session = new.session().clone();
    match attempt_link(context, &session, &options).await {
        Ok(account) => {
            let shown = show(context, &account);
            session.close().await;
            shown
        }
        // LNK-10: a link that came to nothing leaves nothing.
        Err(failure) if matches!(session.client().link_again(), Ok(None)) => {
            new.abandon().await;
            Err(failure)
        }
        // LNK-11: it may be approved still.
        Err(failure) => {
            session.close().await;
            Err(failure.next("run `halcyon link` again: it goes on where it was"))
        }
    }
}

async fn attempt_link(context: &mut Context, session: &Session, options: &Link) -> Result<Account, Failure> {
    #[derive(Serialize)]
    struct Digits<'a> {
        #[serde(rename = "type")]
        kind: &'static str,
        digits: &'a str,
    }
    let mut pending = match session.client().link_again()? {
        Some(pending) => {
            context.output.note("Going on with the link that was not finished.");
            pending
        }
        None => {
            let password = password(context, &options.password, SecretUse::Known).await?;
            let device_name = device_name(&options.server);
            let draft = LinkDraft { handle: options.handle.clone(), password, device_name };
            let progress = context.output.progress("signing in");
            let pending = session.client().link_start(draft).await?;
            drop(progress);
            context.output.note("Run `halcyon approve` on a device of this account, within 15 minutes.");
            pending
        }
    };
    let progress = context.output.progress("waiting for a device of this account");
    let digits = pending.digits().await?;
    drop(progress);
    context.output.result(&Digits { kind: "digits", digits: &digits }, |output| {
        format!("Type these digits there: {}", output.styled(Style::Strong, &digits))
    })?;
    let progress = context.output.progress("waiting for the digits to be typed");
    let linked = pending.finish().await?;
    drop(progress);
    Ok(linked)
}

async fn password(
    context: &mut Context,
    options: &Password,
    usage: SecretUse,
) -> Result<halcyon_crypto::SecretBytes, Failure> {
    let source = SecretSource::from_options(options.password_fd, options.password_file.as_deref());
    context.input.secret(&source, "password of the account", usage).await
}

fn show(context: &Context, account: &Account) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Line {
        #[serde(rename = "type")]
        kind: &'static str,
        account: String,
        device: String,
        device_name: String,
        handles: Vec<String>,
        server: String,
    }
    let line = Line {
        kind: "account",
        account: account.account.to_hex(),
        device: account.device.to_hex(),
        device_name: account.device_name.clone(),
        handles: account.handles.iter().map(ToString::to_string).collect(),
        server: account.server.clone(),
    };
    context.output.result(&line, |output| {
        let handles: Vec<&str> = account.handles.iter().map(halcyon_types::Handle::address).collect();
        let who =
            output.styled(Style::Good, format!("This is {}, device {}.", handles.join(", "), account.device_name));
        format!("{who}\nSend with `halcyon send HANDLE`, receive with `halcyon listen`.")
    })
}

fn device_name(server: &Server) -> String {
    server.device_name.clone().or_else(machine_name).unwrap_or_else(|| "computer".to_owned())
}

/// Linux says its name in a file; elsewhere shells usually export it.
fn machine_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok())?;
    let mut name: String = name.trim().chars().filter(|c| !c.is_control()).collect();
    while name.len() > DEVICE_NAME_BYTES_MAX {
        name.pop();
    }
    (!name.is_empty()).then_some(name)
}
