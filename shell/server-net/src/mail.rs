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
    let mut id = [0; 16];
    rand::rngs::OsRng.fill_bytes(&mut id);
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(mail.subject)
        .message_id(Some(format!("<{}@{}>", hex::encode(id), from.email.domain())))
        .header(ContentType::TEXT_PLAIN)
        .body(body(mail.text))
        .map_err(|error| MailError::Unavailable { reason: error.to_string() })
}

/// Plain lines go as they are: a link longer than 76 characters would be broken in two by an encoding, and be no line
/// for a program any more.
fn body(text: String) -> Body {
    if text.is_ascii() && text.lines().all(|line| line.len() <= LINE_BYTES_MAX) {
        Body::dangerous_pre_encoded(text.replace('\n', "\r\n").into_bytes(), ContentTransferEncoding::SevenBit)
    } else {
        Body::new(text)
    }
}

/// RFC 5322 §2.1.1
const LINE_BYTES_MAX: usize = 998;
