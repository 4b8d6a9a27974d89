//! Whole servers on loopback, asked over real TLS. One file a topic; the people are in `people.rs`, the server with its
//! clock and its mail folder in `world.rs`.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod accounts;
mod alerts;
mod handles;
mod http;
mod links;
mod lists;
mod logs;
mod lookups;
mod operation;
mod people;
mod registration;
mod reports;
mod requests;
mod sign_in;
mod verification;
mod world;
