//! What every implementation of a port must pass.

#[cfg(feature = "client")]
mod deliveries;
#[cfg(feature = "client")]
mod groups;
#[cfg(feature = "client")]
mod history;
#[cfg(feature = "server")]
pub mod holds;
#[cfg(feature = "server")]
pub mod mailboxes;
#[cfg(feature = "client")]
mod outbox;
#[cfg(feature = "client")]
mod own;
#[cfg(feature = "client")]
mod repairs;
#[cfg(feature = "client")]
pub mod store;
