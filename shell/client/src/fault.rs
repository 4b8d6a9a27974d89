//! Whose fault an error is, in the five ways that a program's caller can tell apart.
//!
//! Owns the mapping to exit codes. Every error of this crate says its fault.

/// Whose fault, and so what can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The person asked for something that cannot be done as asked.
    User,
    /// Nobody foresaw it: a bug, here or in the server.
    Unexpected,
    /// Disk or network; trying again may help.
    Io,
    /// A key or list is not what it was, or not signed by whom it should be. Trying again does not help.
    UntrustedKey,
    /// Too much in too short a time; trying again later helps.
    RateLimit,
}

impl Fault {
    /// Returns the exit code of a program that ends with this fault.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::User => 1,
            Self::Unexpected => 2,
            Self::Io => 3,
            Self::UntrustedKey => 4,
            Self::RateLimit => 5,
        }
    }
}
