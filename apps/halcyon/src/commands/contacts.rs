//! `contacts`: what people are called here. Nobody else learns it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use halcyon_client::{Client, LocalContact, address_book};
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
    let result = contacts(context, session.client(), options.action.unwrap_or(ContactsAction::List));
    if result.is_ok() {
        session.settle(context).await;
    }
    session.close().await;
    result
}

fn contacts(context: &Context, client: &Client, action: ContactsAction) -> Result<(), Failure> {
    match action {
        ContactsAction::List => {
            let contacts = client.contacts()?;
            if contacts.is_empty() {
                context.output.note("Nobody has a name here: `halcyon contacts add NAME HANDLE`.");
            }
            contacts.iter().try_for_each(|contact| show(context, contact))
        }
        ContactsAction::Add { name, handles } => {
            client.set_contacts(&[LocalContact { name, handles: handles.clone() }])?;
            let mut added = client.contacts()?.into_iter().filter(|contact| contact.handles.contains(&handles[0]));
            added.try_for_each(|contact| show(context, &contact))
        }
        ContactsAction::Remove { handle } => match client.remove_contact(&handle)? {
            true => show_removed(context, &handle),
            false => Err(Failure::user("nobody with this address has a name here")
                .next("`halcyon contacts` lists those who have")),
        },
        ContactsAction::Import { file } => import(context, client, &file),
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

fn show(context: &Context, contact: &LocalContact) -> Result<(), Failure> {
    let handles = contact.handles.iter().map(ToString::to_string).collect();
    let line = Line { kind: "contact", name: contact.name.clone(), handles };
    context.output.result(&line, |output| {
        let addresses: Vec<&str> = contact.handles.iter().map(halcyon_types::Handle::address).collect();
        format!("{}  {}", output.styled(Style::Strong, one_line(&contact.name)), addresses.join(", "))
    })
}

fn show_removed(context: &Context, handle: &halcyon_types::Handle) -> Result<(), Failure> {
    let removed = serde_json::json!({"type": "contact-removed", "handle": handle.to_string()});
    context.output.result(&removed, |_| format!("{} has no name here any more", handle.address()))
}
