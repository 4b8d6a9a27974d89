//! The client: in which order things happen between send and receive. Spec: 60-client.md.
//!
//! Owns the order: what is committed before what leaves, what is committed before what is acknowledged.
//! Does not know TLS, HTTP, SQLite, terminals: those are behind [`ports`].
//!
//! - Nothing leaves before the commit that it follows from (SND-1, I1).
//! - Nothing is acknowledged before it is committed (RCV-1, I2).
//! - Everything that is sealed for came out of the directory's resolver (DIR-9, I6).
//!
//! Next: [`Client`] is the whole interface; `send.rs` and `receive.rs` are the two directions of a message.

mod client;
pub mod error;
pub mod event;
mod fault;
pub mod ports;
mod server_address;

pub use client::{
    Account, AddedHandle, Approval, Check, Client, Draft, Events, Finding, LinkDraft, LinkRequestShown, LookedUp,
    LookedUpDevice, OwnDevice, Parts, PendingLink, Registration, Until, Verification,
};
pub use event::{ConnectionState, Event, Notice, SentMessage, ShownAlert, ShownDelivery, ShownMessage};
pub use fault::Fault;
pub use server_address::{ServerAddress, ServerAddressError};
