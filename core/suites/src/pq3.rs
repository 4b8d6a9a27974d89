//! The post-quantum ratchet. Spec: 42-padding-and-suites.md §3.
//!
//! Only its key schedule is here so far; [`Suite::SPOKEN`](crate::Suite::SPOKEN) does not list the suite.

pub mod kdf;
