//! Seals and opens one message for one device. Spec: 40-pair.md, 41-pair-ec.md, 42-padding-and-suites.md,
//! 43-pq3.md.
//!
//! Owns the suites, their states and keys, and the choice among them.
//! Does not know conversations, handles or where anything is stored; a plaintext is bytes with no meaning here. Time
//! and randomness are arguments.
//!
//! - [`Session::seal`] consumes the session and returns the next, so no counter or key is used twice.
//! - [`Session::open`] borrows it and returns the next, so a forgery cannot damage it.
//! - A suite is used only if [`choice`] returned it.
//! - A message that does not open tells nobody why (PAIR-14, PEC-18, PQ3-25).
//!
//! Next: [`choice`] picks, [`session`] dispatches, `pair`, [`pair_ec`] and [`pq3`] do the work.

pub mod choice;
mod device_keys;
mod error;
mod identity;
#[cfg(feature = "pair")]
pub mod pair;
pub mod pair_ec;
pub mod pq3;
pub mod session;
mod state;
mod suite;

pub use choice::{ChoiceError, ChosenSuite};
pub use device_keys::DeviceKeys;
pub use error::{OpenError, SealError};
pub use identity::{IdentityError, PAIR_IDENTITY_BYTES, PairIdentity};
pub use session::{Incoming, Opened, Outgoing, PeerDevice, Sealed, Session, SessionSummary};
pub use state::StateError;
pub use suite::{Suite, UnknownSuite};

/// Longest plaintext in bytes, in every suite (PAD-3): what the oldest can carry, so that whether a message can be sent
/// does not depend on who gets it.
pub const PLAINTEXT_BYTES_MAX: usize = 65_475;
