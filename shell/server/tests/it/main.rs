//! The courier's server over pipes: what a device says, and what it gets. One file a topic; the world is in `world.rs`.

#![allow(clippy::unwrap_used)]

mod connect;
mod deliver;
mod epochs;
mod frames;
mod hold;
mod revocation;
mod send;
mod shutdown;
mod world;
