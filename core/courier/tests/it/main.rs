//! The courier's public behavior: both halves of the protocol, over bytes.

mod two_phones;
