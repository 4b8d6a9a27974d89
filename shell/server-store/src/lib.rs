//! The server's embedded store: mailboxes and directory in SQLite.
