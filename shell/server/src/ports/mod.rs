//! What the server needs of the world. Each port is owned here, by its user, and implemented by an adapter crate.
//!
//! - No part of the server reads the clock, draws randomness, opens a file or a socket other than through these.
//! - An operation that is documented as one commit has happened wholly, and on stable storage, when it returns `Ok`.

mod mailboxes;
mod recipients;
mod world;

pub use mailboxes::{Append, AppendOutcome, MailboxError, Mailboxes, ReadLimit, StoredEnvelope};
pub use recipients::{KnownDevice, Notifier, Recipient, Recipients, RecipientsError};
pub use world::{Clock, Mailer, MailError, OutgoingMail, Random};
