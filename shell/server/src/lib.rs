//! The server: accounts, directory, courier, in which order. All I/O goes through [`ports`].

pub mod accounts;
pub mod alerts;
pub mod courier;
pub mod directory;
pub mod housekeeping;
pub mod linking;
pub mod ports;
pub mod query_log;
pub mod reports;
pub mod secrets;
pub mod services;
