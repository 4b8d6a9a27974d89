//! Where a store does its work: on threads of its own, or on its caller's.
//!
//! Owns the choice. Does not know what is read and written.

use std::time::Duration;

use rusqlite::Connection;

/// Where a store does its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Execution {
    /// A thread that writes, and a few that read: for a server.
    Threads,
    /// On the caller's own thread, in its order: for a simulation that runs the same way twice. There is one connection to each
    /// file, so no other may have it open, and it needs no shared memory; the tasks are those of a `LocalSet`.
    InPlace {
        /// How long a commit takes, by the runtime's clock.
        sync: Duration,
    },
}

impl Execution {
    /// Sets a connection up, before anything is read through it.
    pub(crate) fn prepare(self, connection: &Connection) -> rusqlite::Result<()> {
        if self == Self::Threads {
            return Ok(());
        }
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
        if pages == 0 {
            // A new file comes to its log without a journal beside it; a crash before that leaves nothing to lose.
            connection.pragma_update(None, "journal_mode", "MEMORY")?;
        }
        Ok(())
    }
}
