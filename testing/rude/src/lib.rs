//! Clients without manners, and honest people beside them, against the real `halcyond` in a process of its own.
//!
//! Owns what a rude client does with a socket, and how the server's process is weighed from outside. Does not know the
//! server's code: everything goes over the network and `/proc`.
//!
//! - Nothing here waits without a limit: a server that does not answer is a finding, not a hang.
//!
//! Next: [`server`] is the process, [`citizen`] an honest device, [`wire`] a connection and what is said on it,
//! [`rudeness`] the list that the bench goes through.

pub mod citizen;
pub mod rudeness;
pub mod server;
pub mod wire;
