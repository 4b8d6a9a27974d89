//! The server: accounts, directory, courier, in which order. All I/O goes through [`ports`].

pub mod ports;
