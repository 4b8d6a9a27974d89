//! Frames and envelopes of the courier, and both halves of its protocol. Spec: 30-courier.md.
//!
//! Owns what is on the wire and what each side may do when. Does not know sockets, storage or what a payload means: time
//! is an argument, and everything that is to be done in the world comes out as a value.
//!
//! - Bytes from a peer become a checked frame or an error that says how the connection ends ([`FrameError::close_code`]).
//! - A [`hub::Hub`] exists for an [`connect::Authenticated`] device only.
//!
//! Next: [`frame`] for the codec, [`hub`] for a server's connection, [`link`] for a device's.

pub mod bucket;
pub mod connect;
pub mod envelope;
pub mod frame;
mod grant;
pub mod hold;
pub mod hub;
pub mod limits;
pub mod link;
pub mod send;
pub mod topics;
pub mod wire;

pub use envelope::{Envelope, Origin};
pub use frame::{ClientFrame, Close, Deliver, FrameError, ServerFrame};
pub use grant::{GRANT_MAX, Grant};
pub use hold::{HeldAnswer, HoldQuestion, HoldRequest, UncheckedHold};
pub use limits::Limits;
pub use send::{Destination, Part, Sealed, SendRequest, Sent, SentPart};
pub use topics::Topics;
pub use wire::{CloseCode, HoldState, Status};
