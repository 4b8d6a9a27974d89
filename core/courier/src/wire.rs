//! The generated types of `proto/halcyon/courier.proto`. They are the shape on the wire, and stop at this crate's edge
//! wherever a checked type exists.

#![allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub)]

include!(concat!(env!("OUT_DIR"), "/halcyon.courier.v1.rs"));
