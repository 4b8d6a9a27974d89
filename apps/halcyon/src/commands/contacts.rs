//! `contacts`: what people are called here. Nobody else learns it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use halcyon_client::{Client, LocalContact, SafetyMark, address_book, error::ProfileError};
use halcyon_types::Handle;
use serde::Serialize;

use super::Context;
use crate::args::{Contacts, ContactsAction};
use crate::failure::Failure;
use crate::output::Style;
use crate::session::Session;
use crate::text::one_line;

#[derive(Serialize)]
struct Line {
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    handles: Vec<String>,
    /// Of each handle: `none`, `compared` or `changed`.
    safety: Vec<&'static str>,
}

#[derive(Serialize)]
struct SafetyLine {
    #[serde(rename = "type")]
    kind: &'static str,
    handle: String,
    account: String,
    /// Eight groups of five digits.
    code: String,
    /// `none`, `compared` or `changed`.
    safety: &'static str,
}

#[derive(Serialize)]
struct ImportedLine {
    #[serde(rename = "type")]
    kind: &'static str,
    /// People who have a name now.
    contacts: usize,
    /// Cards without a name, or without an address or number that is a handle.
    passed_over: usize,
}

pub(super) async fn run(context: &mut Context, options: Contacts) -> Result<(), Failure> {
    let session = Session::open(context).await?;
    let action = options.action.unwrap_or(ContactsAction::List);
    let result = contacts(context, &session, action).await;
    if result.is_ok() {
        session.settle(context).await;
    }
    session.close().await;
    result
}

async fn contacts(context: &Context, session: &Session, action: ContactsAction) -> Result<(), Failure> {
    let client = session.client();
    match action {
        ContactsAction::List => {
            let contacts = client.contacts()?;
            if contacts.is_empty() {
                context.output.note("Nobody has a name here: `halcyon contacts add NAME HANDLE`.");
            }
            contacts.iter().try_for_each(|contact| show(context, client, contact))
        }
        ContactsAction::Add { name, handles } => {
            client.set_contacts(&[LocalContact { name, handles: handles.clone() }])?;
            let mut added = client.contacts()?.into_iter().filter(|contact| contact.handles.contains(&handles[0]));
            added.try_for_each(|contact| show(context, client, &contact))
        }
        ContactsAction::Remove { handle } => match client.remove_contact(&handle)? {
            true => show_removed(context, &handle),
            false => Err(Failure::user("nobody with this address has a name here")
                .next("`halcyon contacts` lists those who have")),
        },
        ContactsAction::Import { file } => import(context, client, &file),
        ContactsAction::Verify { handle, code, same, undo } => {
            let deed = match (code, same, undo) {
                (Some(code), ..) => Verify::Code(code),
                (None, true, _) => Verify::Same,
                (None, _, true) => Verify::Undo,
                (None, false, false) => Verify::Show,
            };
            verify(context, session, &handle, deed).await
        }
    }
}

/// What is to become of a mark.
enum Verify {
    Show,
    Code(String),
    Same,
    Undo,
}

async fn verify(context: &Context, session: &Session, handle: &Handle, deed: Verify) -> Result<(), Failure> {
    let client = session.client();
    if client.safety(handle)?.is_none() {
        context.in_time("the server's answer", client.lookup(handle)).await??;
    }
    let unknown = || Failure::user("it is not known whom this address stands for").next("`halcyon lookup` asks again");
    match deed {
        Verify::Show => {}
        Verify::Code(code) if client.safety(handle)?.ok_or_else(unknown)?.code.matches(&code) => {
            client.set_compared(handle, true)?;
        }
        Verify::Code(_) => {
            return Err(Failure::user(
                "these are not the digits of you two: somebody may stand between you, or they were mistyped",
            )
            .next("compare all of them once more, side by side; nothing was marked"));
        }
        Verify::Same => client.set_compared(handle, true)?,
        Verify::Undo => client.set_compared(handle, false)?,
    }
    let safety = client.safety(handle)?.ok_or_else(unknown)?;
    let line = SafetyLine {
        kind: "safety",
        handle: handle.to_string(),
        account: safety.account.to_hex(),
        code: safety.code.to_string(),
        safety: mark_name(safety.mark),
    };
    context.output.result(&line, |output| {
        let words = match safety.mark {
            SafetyMark::None => {
                "If they see the same digits, nobody stands between you: `halcyon contacts verify --same`"
            }
            SafetyMark::Compared => "You compared it, and it is the same.",
            SafetyMark::Changed => {
                "You compared another code: this address stands for another account since. Compare it again."
            }
        };
        format!("{}\n    {}\n{words}", handle.address(), output.styled(Style::Strong, line.code.clone()))
    })
}

fn mark_name(mark: SafetyMark) -> &'static str {
    match mark {
        SafetyMark::None => "none",
        SafetyMark::Compared => "compared",
        SafetyMark::Changed => "changed",
    }
}

fn import(context: &Context, client: &Client, file: &Path) -> Result<(), Failure> {
    let unreadable = |error| Failure::user(format!("the address book {} cannot be read: {error}", file.display()));
    let mut bytes = Vec::new();
    let bytes_max = address_book::ADDRESS_BOOK_BYTES_MAX as u64 + 1;
    File::open(file).map_err(unreadable)?.take(bytes_max).read_to_end(&mut bytes).map_err(unreadable)?;
    let book = address_book::read(&bytes).map_err(|error| Failure::user(error.to_string()))?;
    let contact = |card: address_book::Card| LocalContact { name: card.name, handles: card.handles };
    let contacts: Vec<LocalContact> = book.cards.into_iter().map(contact).collect();
    client.set_contacts(&contacts)?;
    let line = ImportedLine { kind: "imported", contacts: contacts.len(), passed_over: book.passed_over };
    context.output.result(&line, |_| {
        let passed_over = match line.passed_over {
            0 => String::new(),
            count => {
                format!("; {count} cards have no name, or no address or number with its country, and were passed over")
            }
        };
        format!("{} contacts taken{passed_over}", line.contacts)
    })
}

fn show(context: &Context, client: &Client, contact: &LocalContact) -> Result<(), Failure> {
    let mark = |handle: &Handle| Ok(client.safety(handle)?.map_or(SafetyMark::None, |safety| safety.mark));
    let marks = contact.handles.iter().map(mark).collect::<Result<Vec<SafetyMark>, ProfileError>>()?;
    let handles = contact.handles.iter().map(ToString::to_string).collect();
    let safety = marks.iter().copied().map(mark_name).collect();
    let line = Line { kind: "contact", name: contact.name.clone(), handles, safety };
    context.output.result(&line, |output| {
        let address = |(handle, mark): (&Handle, &SafetyMark)| match mark {
            SafetyMark::None => handle.address().to_owned(),
            SafetyMark::Compared => format!("{} (compared)", handle.address()),
            SafetyMark::Changed => format!("{} (changed since it was compared)", handle.address()),
        };
        let addresses: Vec<String> = contact.handles.iter().zip(&marks).map(address).collect();
        format!("{}  {}", output.styled(Style::Strong, one_line(&contact.name)), addresses.join(", "))
    })
}

fn show_removed(context: &Context, handle: &Handle) -> Result<(), Failure> {
    let removed = serde_json::json!({"type": "contact-removed", "handle": handle.to_string()});
    context.output.result(&removed, |_| format!("{} has no name here any more", handle.address()))
}
