//! The courier over real TLS, on loopback, with the real store: both bindings, restarts, slow readers, the end.

#![allow(clippy::unwrap_used)]

mod durable;
mod epochs;
mod grants;
mod native;
mod websocket;
mod world;
