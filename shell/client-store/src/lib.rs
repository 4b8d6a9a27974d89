//! The client's store: encrypted SQLite.
