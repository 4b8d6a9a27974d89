//! How a new device joins an account. Spec: 21-linking.md (LNK-1 to LNK-10).
//!
//! Two machines, one a file: [`newcomer`] is the new device N, [`approver`] the trusted device T. Each step is a type of
//! its own that only the step before makes, so none can be skipped: N cannot reveal before T challenged, and T has no
//! way to seal the account key before the digits were typed.
//!
//! The server relays all of it and is not trusted: the six digits authenticate both devices' keys, and the commitment
//! keeps whoever sits between from searching for keys that give the same digits (Vaudenay).
//!
//! Next: [`newcomer::Newcomer::begin`] and [`approver::Candidate::examine`].

pub mod approver;
pub mod newcomer;
mod transcript;
mod transfer;

use bytes::Bytes;
use halcyon_types::{DeviceId, Duration};

/// How long a link waits for its approval (LNK-1).
pub const LINK_LIFETIME: Duration = Duration::from_mins(15);
/// Open links of an account; a person links one device at a time (LNK-1).
pub const OPEN_LINKS_MAX: usize = 5;
/// Wrong digits that end a link: an attacker's chance is 3 in a million (LNK-7).
pub const DIGIT_TRIES_MAX: u8 = 3;

/// What N posts to ask for a link (LNK-1), and T reads (LNK-2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRequest {
    /// N's encoded entry.
    pub entry: Bytes,
    /// N's counter-signature over it (DIR-2), 64 bytes.
    pub entry_signature: Bytes,
    /// `x(eN)`.
    pub ephemeral: [u8; 32],
    /// The commitment to `x(eN)` and rN.
    pub commitment: [u8; 32],
}

/// What T posts (LNK-2), and N reads (LNK-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// T's device id; in the server's answer to N, `approver_device`.
    pub approver: DeviceId,
    /// `x(eT)`.
    pub ephemeral: [u8; 32],
    /// rT.
    pub nonce: [u8; 32],
}

#[cfg(test)]
mod tests;
