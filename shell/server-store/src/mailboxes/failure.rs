//! What SQLite's failures mean for the mailboxes (COU-44).

use halcyon_server::ports::MailboxError;
use rusqlite::ErrorCode;

/// Why the mailboxes could not be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file is missing rights, is damaged, or is not a database.
    #[error("mailboxes.db cannot be opened; check the rights of the data folder, or restore it from a backup")]
    Sqlite(#[from] rusqlite::Error),
    /// The log holds what no server writes.
    #[error("the log in mailboxes.db is damaged; restore the file from a backup")]
    Damaged,
    /// The file was written by another version of the server.
    #[error("mailboxes.db has version {found}, which this server does not know; start the version that wrote it")]
    Version {
        /// The version found.
        found: i64,
    },
    /// The space that is held back for a full disk could not be taken, or the writer's thread could not be started.
    #[error("the data folder cannot hold the mailboxes: {0}")]
    Io(#[from] std::io::Error),
}

/// Returns what a failure while writing means for whoever asked and for the writer.
pub(super) fn of_write(error: &rusqlite::Error) -> MailboxError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => MailboxError::Full,
        // A failed sync leaves pages that the system believes to be clean but that never reached the disk, so trying
        // again would succeed without being true. The other input and output failures, and damage, are not told apart
        // from it on purpose: none of them is a state in which to go on promising durability.
        Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            MailboxError::Stopped
        }
        _ => of_read(error),
    }
}

/// Returns what a failure while reading means; the writer is not concerned.
pub(super) fn of_read(error: &rusqlite::Error) -> MailboxError {
    // SQLite's own text names files and codes, never contents.
    MailboxError::Failed(error.to_string())
}
