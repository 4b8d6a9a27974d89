//! The client: in which order things happen between send and receive. Spec: 60-client.md.
//!
//! Owns the order: what is committed before what leaves, what is committed before what is acknowledged.
//! Does not know TLS, HTTP, SQLite, terminals: those are behind [`ports`].

pub mod ports;
