//! The server's network: listeners, TLS, HTTP, mail, and the assembly of a whole server ([`serve`]).
//!
//! Owns sockets, certificates, the shapes of requests and answers, and the order of start and shutdown.
//! Does not decide anything about accounts, directory or courier: that is `halcyon_server`.
//!
//! Next: [`serve::start`] puts a server together from [`settings::Settings`].

pub mod courier;
pub mod dev_authority;
pub mod door;
pub mod http;
pub mod mail;
pub mod open_files;
mod rush;
pub mod serve;
pub mod settings;
pub mod stop;
pub mod stream;
pub mod tls;
pub mod world;
