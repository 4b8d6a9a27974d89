//! The server's embedded store: mailboxes and directory in SQLite, and the folder that both are in.

pub mod directory;
mod execution;
pub mod folder;
mod mailboxes;

pub use execution::Execution;
pub use mailboxes::{MailboxStore, OpenError as MailboxOpenError, Options as MailboxOptions};
