//! The post-quantum ratchet: hybrid P-256 and ML-KEM. Spec: 43-pq3.md; key schedule: 42-padding-and-suites.md §3.
//!
//! - [`prekey`]: the bundle that a device publishes, its private halves and their lifetimes.
//! - [`start`]: how a session begins, and which starts were seen.
//! - [`root`]: what a root step is bound to; [`kdf`]: the key schedule itself.
//! - [`chain`]: one direction's keys; [`skipped`]: those of messages that have not arrived.
//! - [`rekey`]: when a fresh KEM key is due. [`forks`]: how a copied device is noticed.
//! - [`session`]: one ratchet; [`sessions`]: all of them between two devices, and which one is sent on.
//! - [`wire`]: the bytes.
//!
//! - A message key is used once. What a session can derive after a change of direction, an earlier copy of it cannot.
//! - A message that does not open changes nothing: everything happens on a copy.
//! - Every message is signed over everything that it carries and both devices (PQ3-21).
//!
//! Next: [`sessions`], whose `seal` and `open` are the whole.

pub mod chain;
pub mod forks;
pub mod kdf;
mod party;
pub mod prekey;
pub mod rekey;
pub mod root;
pub mod session;
pub mod sessions;
pub mod skipped;
pub mod start;
pub mod wire;

pub use party::Party;
pub use prekey::{BundleError, PrekeyBundle, PrekeyRing};
pub use session::Security;
pub use sessions::{Opened, Opening, Sealing, SealingPlace, Sessions};
pub use wire::{AuthData, SEALED_BYTES_MAX, recipient};
