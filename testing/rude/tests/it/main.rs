//! What the real server does with clients that have no manners: it answers as specified, stays small, and goes on.

#![allow(clippy::unwrap_used, reason = "tests")]

mod dawdlers;
mod floods;
mod frames;
mod http;
mod tls;
mod websocket;
mod world;
