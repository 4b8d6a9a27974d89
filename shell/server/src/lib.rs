//! The server: accounts, directory, courier, and the ports they stand on.
