//! Identifiers, all of them fixed bytes. Spec: 10-identity.md §1 (IDN-5 to IDN-8).
//!
//! Owns their sizes and hexadecimal forms. Does not know how an id is derived or drawn.

use std::fmt;
use std::str::FromStr;

/// Why bytes or text are not an id of the type that was asked for.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdError {
    /// Wrong number of bytes.
    #[error("an id of this kind has {expected} bytes, not {found}")]
    Length {
        /// Bytes that the type has.
        expected: usize,
        /// Bytes that were given.
        found: usize,
    },
    /// Not hexadecimal.
    #[error("an id is written in lower-case hexadecimal")]
    NotHex,
}

/// Whether a type's `Debug` shows its bytes.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal, $debug:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Size in bytes.
            pub const LEN: usize = $len;

            /// Wraps bytes that are already of the right size.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// Returns the bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Returns the lower-case hexadecimal form.
            #[must_use]
            pub fn to_hex(&self) -> String {
                self.0.iter().map(|byte| format!("{byte:02x}")).collect()
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = IdError;
            fn try_from(bytes: &[u8]) -> Result<Self, IdError> {
                let found = bytes.len();
                bytes.try_into().map(Self).map_err(|_| IdError::Length { expected: $len, found })
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let bytes = parse_hex(text)?;
                Self::try_from(bytes.as_slice())
            }
        }

        id!(@$debug $name);
    };
    (@shown $name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.to_hex())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.to_hex())
            }
        }
    };
    (@redacted $name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(redacted)"))
            }
        }
    };
}

id!(
    /// An account: 16 bytes, the labelled hash of its first account key (IDN-5).
    AccountId, 16, shown
);
id!(
    /// A device: 16 bytes, the labelled hash of its device key (IDN-6).
    DeviceId, 16, shown
);
id!(
    /// A message, the same on every device that shows it: 16 random bytes (IDN-8).
    MessageId, 16, shown
);
id!(
    /// One sealed message for one device on its way: 16 random bytes (IDN-8).
    EnvelopeId, 16, shown
);
id!(
    /// A send that a server holds until it is due: 16 random bytes drawn by the device that made it (COU-60).
    HoldId, 16, shown
);
id!(
    /// A conversation, the same on all of one's own devices and on the peer's: 16 bytes (CON-6).
    ConversationId, 16, shown
);
id!(
    /// A group, the same for all of its members: 16 bytes, the hash of the change that began it (GRP-2).
    GroupId, 16, shown
);
id!(
    /// A change of a group: 16 bytes, the hash of what was signed (GRP-3).
    GroupChangeId, 16, shown
);
id!(
    /// What somebody knows of a group: 16 bytes, the hash of the changes that are known (GRP-6).
    GroupHash, 16, shown
);
id!(
    /// A new device's request to join an account: 16 random bytes drawn by the server (LNK-1).
    LinkId, 16, shown
);
id!(
    /// A report that an operator has: 16 random bytes drawn by the server (ACC-61).
    ReportId, 16, shown
);
id!(
    /// Where the courier delivers to: 32 opaque bytes made by the server for one device (IDN-7). It is a capability, so it
    /// is redacted.
    PushToken, 32, redacted
);
id!(
    /// Proof that the sender looked the recipient up (DIR-30): expiry and MAC, 40 bytes. It is a capability, so it is redacted.
    SessionToken, 40, redacted
);

fn parse_hex(text: &str) -> Result<Vec<u8>, IdError> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return Err(IdError::NotHex);
    }
    digits.chunks_exact(2).map(|pair| Ok(nibble(pair[0])? << 4 | nibble(pair[1])?)).collect()
}

fn nibble(digit: u8) -> Result<u8, IdError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(IdError::NotHex),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// IDN-5 to IDN-8: sizes are part of the protocol.
    #[test]
    fn sizes_are_fixed() {
        assert_eq!(
            [AccountId::LEN, DeviceId::LEN, MessageId::LEN, EnvelopeId::LEN, ConversationId::LEN, LinkId::LEN],
            [16; 6]
        );
        assert_eq!(PushToken::LEN, 32);
        assert_eq!(SessionToken::LEN, 40);
    }

    #[test]
    fn text_round_trips_and_strangers_are_refused() {
        let id = DeviceId::from_bytes([0xa5; 16]);
        assert_eq!(id.to_hex().parse(), Ok(id));
        assert_eq!("a5".parse::<DeviceId>(), Err(IdError::Length { expected: 16, found: 1 }));
        assert_eq!("A5".parse::<DeviceId>(), Err(IdError::NotHex));
        assert_eq!("ä5".parse::<DeviceId>(), Err(IdError::NotHex));
    }

    /// I9: capabilities do not reach a log.
    #[test]
    fn tokens_are_redacted() {
        assert_eq!(format!("{:?}", PushToken::from_bytes([7; 32])), "PushToken(redacted)");
        assert_eq!(format!("{:?}", SessionToken::from_bytes([7; 40])), "SessionToken(redacted)");
    }
}
