//! Elliptic-curve encryption to a signed prekey that changes every week. Spec: 41-pair-ec.md.
//!
//! - [`prekey`]: records, own private halves and their lifetimes.
//! - [`seal`] and [`open`]: one message each way, and the counter state that goes with it.
//! - [`replay`]: which counters were opened.
//! - [`wire`]: the bytes.
//!
//! A sealed message is bound by its signature to both device keys, the prekey and the common secret, so it cannot be
//! handed on, re-signed, or moved to another device.

pub mod open;
pub mod prekey;
pub mod replay;
pub mod seal;
mod wire;

pub use open::{Opened, ReceiveState, open};
pub use prekey::{PREKEY_KEEP, PREKEY_ROLL, PrekeyError, PrekeyRing, SignedPrekey};
pub use seal::{SendState, seal};

use halcyon_crypto::{CompactKey, Secret, SecretBytes, kdf, labels::fixed};

/// Longest sealed message in bytes that is read at all (PEC-13): the longest plaintext, padded, and the fields around.
pub const SEALED_BYTES_MAX: usize = 67_584;

/// Content key and first counter block of one message.
struct MessageKeys {
    key: Secret<32>,
    counter: Secret<16>,
}

impl MessageKeys {
    /// PEC-9: from the common secret Z.
    fn derive(z: &Secret<32>) -> Self {
        let okm = kdf::hkdf_sha256::<48>(fixed::PAIR_EC_MESSAGE_KEYS, z.expose(), &[]);
        let (key, counter) = okm.expose().split_at(32);
        Self {
            key: Secret::fill_with(|out| out.copy_from_slice(key)),
            counter: Secret::fill_with(|out| out.copy_from_slice(counter)),
        }
    }

    /// PEC-10: encrypts and decrypts in place.
    fn apply(&self, content: &mut [u8]) {
        halcyon_crypto::ctr::apply_aes256(&self.key, self.counter.expose(), content);
    }
}

/// PEC-11: what a message's signature is over.
fn signed_parts<'a>(
    z: &'a Secret<32>,
    prekey: &'a CompactKey,
    ephemeral: &'a CompactKey,
    recipient: &'a CompactKey,
    ciphertext: &'a [u8],
) -> [&'a [u8]; 5] {
    [z.expose(), prekey.as_bytes(), ephemeral.as_bytes(), recipient.as_bytes(), ciphertext]
}

/// PEC-12: names sender, recipient and prekey by two bytes each, then the version.
fn validator(sender: &CompactKey, recipient: &CompactKey, prekey: &CompactKey) -> [u8; 7] {
    let ([s0, s1, ..], [r0, r1, ..], [p0, p1, ..]) = (sender.as_bytes(), recipient.as_bytes(), prekey.as_bytes());
    [*s0, *s1, *r0, *r1, *p0, *p1, VALIDATOR_VERSION]
}

/// Last byte of a validator.
const VALIDATOR_VERSION: u8 = 0x0c;

/// Wipes a decrypted buffer when dropped, while it is still being decrypted.
fn decrypted(keys: &MessageKeys, ciphertext: Vec<u8>) -> SecretBytes {
    let mut content = ciphertext;
    keys.apply(&mut content);
    SecretBytes::from_vec(content)
}
