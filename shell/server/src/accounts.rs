//! Accounts: verification of handles, registration, sign-in, authenticated requests. Spec: 20-accounts.md.
//!
//! Owns the rules; one file a verb. Does not know HTTP, SQL or mail.
//!
//! - A password never gets here (ACC-30). Codes, tickets and tokens are stored as hashes.
//! - Nothing here answers differently for a handle that somebody has and one that nobody has (ACC-20, ACC-40).

pub mod handles;
pub mod limits;
pub mod mail;
pub mod registration;
pub mod request;
pub mod sign_in;
pub mod verification;

pub use limits::Limits;
