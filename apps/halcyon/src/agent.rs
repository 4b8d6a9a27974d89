//! The agent: one process that has a profile open, and does what commands and programs ask over a Unix socket (docs/agent.md).
//!
//! Owns the socket, the calls, and their translation from and to the command line. Does not know what a command does: a call is run by
//! the same code as the command of its name.
//!
//! - One agent a profile, by a lock on `agent.lock` in its folder, which says where the socket is.
//! - Only processes of the same user are served.
//! - A caller that sends nonsense, too much, or does not read harms no other, and nothing is lost by it.
//!
//! Next: [`service`] is the agent's half, [`front`] the command's.

mod call;
mod connection;
pub(crate) mod endpoint;
pub(crate) mod front;
pub(crate) mod http;
pub(crate) mod methods;
pub(crate) mod schema;
pub(crate) mod service;
mod wire;
