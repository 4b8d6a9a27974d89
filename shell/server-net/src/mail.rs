//! Mail: to a relay, or to a folder in development. Port: [`Mailer`]. Spec: 20-accounts.md §2 (ACC-20).
//!
//! Owns the form of a mail. Does not know what it says.
//!
//! - No error and no log line holds an address, a code or a link (I9).

pub mod folder;
pub mod smtp;

use halcyon_server::ports::{MailError, OutgoingMail};
use lettre::Message;
use lettre::message::header::{ContentTransferEncoding, ContentType};
use lettre::message::{Body, Mailbox};
use rand::RngCore;

/// Returns the mail as it is sent: plain text, from `from`.
fn compose(mail: OutgoingMail, from: &Mailbox) -> Result<Message, MailError> {
    let unusable = |_| MailError::Unavailable { reason: "an address has a form that mail does not know".to_owned() };
    let to = mail.to.address().parse().map_err(unusable)?;
    // As it is: a link longer than 76 characters would be broken in two otherwise, and be no line for a program. Text
    // that does not go as it is goes encoded.
    let body = Body::new_with_encoding(mail.text, ContentTransferEncoding::SevenBit).unwrap_or_else(Body::new);
    let mut id = [0; 16];
    rand::rngs::OsRng.fill_bytes(&mut id);
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(mail.subject)
        .message_id(Some(format!("<{}@{}>", hex::encode(id), from.email.domain())))
        .header(ContentType::TEXT_PLAIN)
        .body(body)
        .map_err(|error| MailError::Unavailable { reason: error.to_string() })
}
