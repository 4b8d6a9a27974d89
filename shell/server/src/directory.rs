//! The directory: device lists, prekeys, lookups. Spec: 11-directory.md.
//!
//! Owns which list is the newest and who may ask for whom. Does not know sessions of suites or what a message is.
//! Whether a list is valid is decided by `halcyon_directory::authority`.

pub mod list;
pub mod lookup;
pub mod prekeys;
pub mod recipients;
