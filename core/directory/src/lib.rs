//! Device lists, prekeys and lookup answers: what clients accept and what servers store. Spec: 11-directory.md,
//! 20-accounts.md §1, 21-linking.md.
//!
//! Owns the checks on every structure that says which devices an account has, and both halves of the protocol around
//! them: [`resolver`] decides for a client, [`authority`] for a server.
//! Does not know how anything is stored or sent, what a message is, or how it is sealed. Time and randomness are arguments.
//!
//! - A [`SignedList`] verified when it was made: holding one is the proof (DIR-3).
//! - A [`resolver::VerifiedDevice`] comes out of [`resolver`] alone, so nothing is sealed for a device that was not checked (DIR-9).
//! - What was signed is kept as the signed bytes and never encoded again.
//!
//! Next: [`entry`] and [`list`] for the structures, [`link_approval`] for how a device joins.

pub mod alert;
pub mod authority;
pub mod entry;
pub mod ids;
pub mod link_approval;
pub mod list;
pub mod lookup;
mod pair_identity;
pub mod prekeys;
pub mod query;
pub mod report;
pub mod request;
pub mod resolver;
pub mod safety;
pub mod session;
pub mod wire;

#[cfg(test)]
mod testing;

pub use entry::{CountersignedEntry, DeviceEntry, EntryError};
pub use ids::{account_id, device_id};
pub use list::{DeviceList, ListError, SignedList};
pub use resolver::{KnownAccount, KnownHandle, VerifiedDevice, VerifiedDevices};
