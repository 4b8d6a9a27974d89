//! What the client needs of the world. Each port is owned here, by its user, and implemented by an adapter crate.
//!
//! - No part of the client reads the clock, draws randomness, opens a file or a socket other than through these.
//! - Timers are tokio's, which a simulation pauses.

pub mod courier;
pub mod http;
mod inbox;
pub mod pages;
pub mod store;
mod world;

pub use courier::{CourierChannel, CourierConnector, CourierSink, CourierSource};
pub use http::{Http, HttpError, HttpRequest, HttpResponse, Method};
pub use inbox::Inbox;
pub use pages::{PageError, Pages};
pub use store::{Change, Commit, Store, StoreError};
pub use world::{Clock, Random};
