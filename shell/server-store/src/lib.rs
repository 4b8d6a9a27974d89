//! The server's embedded store: mailboxes and directory in SQLite, and the folder that both are in.

pub mod directory;
mod execution;
pub mod folder;
mod mailboxes;

pub use execution::Execution;
pub use mailboxes::{MailboxStore, OpenError as MailboxOpenError, Options as MailboxOptions};

/// Prepared statements that a connection keeps: more than either database has.
const STATEMENTS_MAX: usize = 128;

/// Makes a connection parse no statement twice: by itself, SQLite does so for new parameters, in the hope of a better plan.
fn parse_once(connection: &rusqlite::Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}
