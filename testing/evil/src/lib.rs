//! Servers that lie, between a real client and a real server.
//!
//! Owns two seams of a client's ports: [`EvilDirectory`] wraps its [`Http`](halcyon_client::ports::Http), [`EvilCourier`] its
//! [`CourierConnector`](halcyon_client::ports::CourierConnector). What passes is real; what is changed on the way is forged as
//! well as somebody can who runs the server, and who may have stolen keys ([`Signing`]).
//! Does not know worlds, clocks or people: tests and simulations put it between theirs.
//!
//! - Honest until told otherwise, and honest again when told so: [`EvilDirectory::tell`], [`EvilDirectory::be_honest`].
//! - Whatever leaves the client for the courier is on record ([`EvilCourier::sent`]), so that a test can say for whom.

pub mod courier;
pub mod directory;
pub mod forge;

pub use courier::{EvilCourier, SentEnvelope};
pub use directory::{EvilDirectory, Lie};
pub use forge::{Ghost, Signing};
