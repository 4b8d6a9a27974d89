//! Keyed hashes and key derivation: HMAC, HKDF (RFC 5869), and the labelled forms that new code uses.
//!
//! Does not know what the keys are for; a [`Label`] says it.
//!
//! HKDF is written here over the backend's HMAC, because the ratchet needs the extracted key itself, which one of
//! the backends does not hand out.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::{
    backend,
    labels::{self, Label},
    secret::Secret,
};

/// Returns HMAC-SHA-256 of the parts under `key`, into a secret.
#[must_use]
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Secret<32> {
    Secret::fill_with(|out| backend::hmac_sha256(key, parts, out))
}

/// Returns HMAC-SHA-384 of the parts under `key`, into a secret.
#[must_use]
pub fn hmac_sha384(key: &[u8], parts: &[&[u8]]) -> Secret<48> {
    Secret::fill_with(|out| backend::hmac_sha384(key, parts, out))
}

/// HKDF-SHA-256: extracts from `ikm` with `salt` and expands with `info` (in parts) to `N` bytes.
#[must_use]
pub fn hkdf_sha256<const N: usize>(salt: &[u8], ikm: &[u8], info: &[&[u8]]) -> Secret<N> {
    let prk = hmac_sha256(salt, &[ikm]);
    Secret::fill_with(|out| {
        expand(out, info, |parts, block: &mut [u8; 32]| backend::hmac_sha256(prk.expose(), parts, block))
    })
}

/// HKDF-SHA-384, first half: returns the 48-byte extracted key.
#[must_use]
pub fn hkdf_sha384_extract(salt: &[u8], ikm: &[u8]) -> Secret<48> {
    hmac_sha384(salt, &[ikm])
}

/// HKDF-SHA-384, second half: expands `prk` with `info` (in parts) to `N` bytes.
///
/// `prk` is usually [`hkdf_sha384_extract`]'s 48 bytes; the ratchet's chain also expands its 32-byte chain keys.
#[must_use]
pub fn hkdf_sha384_expand<const N: usize>(prk: &[u8], info: &[&[u8]]) -> Secret<N> {
    Secret::fill_with(|out| expand(out, info, |parts, block: &mut [u8; 48]| backend::hmac_sha384(prk, parts, block)))
}

/// RFC 5869 section 2.3: T(i) = HMAC(prk, T(i-1) ‖ info ‖ i), concatenated and cut.
pub(crate) fn expand<const N: usize, const H: usize>(
    out: &mut [u8; N],
    info: &[&[u8]],
    hmac: impl Fn(&[&[u8]], &mut [u8; H]),
) {
    const { assert!(N <= 255 * H, "RFC 5869 numbers at most 255 blocks") };
    let mut block = [0u8; H];
    for (i, chunk) in out.chunks_mut(H).enumerate() {
        let number = [i as u8 + 1];
        let mut parts: Vec<&[u8]> = Vec::with_capacity(info.len() + 2);
        let previous = block;
        if i > 0 {
            parts.push(&previous);
        }
        parts.extend_from_slice(info);
        parts.push(&number);
        hmac(&parts, &mut block);
        chunk.copy_from_slice(&block[..chunk.len()]);
    }
    block.zeroize();
}

/// Returns SHA-256 over `label` and `parts` in the product's labelled encoding. Public data only.
#[must_use]
pub fn labelled_hash(label: Label, parts: &[&[u8]]) -> [u8; 32] {
    labels::with_preimage(label, parts, backend::sha256)
}

/// Returns HMAC-SHA-256 under `key` over `label` and `parts` in the product's labelled encoding.
#[must_use]
pub fn labelled_mac(label: Label, key: &Secret<32>, parts: &[&[u8]]) -> Mac {
    let mut tag = [0; 32];
    labels::with_preimage(label, parts, |preimage| backend::hmac_sha256(key.expose(), preimage, &mut tag));
    Mac(tag)
}

/// Derives a key from `key` for the purpose that `label` and `parts` name.
#[must_use]
pub fn labelled_key(label: Label, key: &Secret<32>, parts: &[&[u8]]) -> Secret<32> {
    Secret::fill_with(|out| {
        labels::with_preimage(label, parts, |preimage| backend::hmac_sha256(key.expose(), preimage, out));
    })
}

/// A keyed hash that has not been shown to anybody. Comparing it is constant-time; `==` does not exist.
#[derive(Clone)]
pub struct Mac([u8; 32]);

impl Mac {
    /// Compares with what a peer sent, in constant time. A wrong length is unequal.
    #[must_use]
    pub fn ct_eq(&self, received: &[u8]) -> bool {
        self.0.as_slice().ct_eq(received).into()
    }

    /// Hands the bytes out to be sent or stored: from here on they are public.
    #[must_use]
    pub fn into_public(self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(32 bytes)")
    }
}

impl Drop for Mac {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use hkdf::Hkdf;
    use proptest::{collection::vec, prelude::*};
    use sha2::{Sha256, Sha384};

    use super::*;

    /// RFC 5869 appendix A.1.
    #[test]
    fn hkdf_sha256_gives_the_published_answer() {
        let okm = hkdf_sha256::<42>(
            &hex::decode("000102030405060708090a0b0c").unwrap(),
            &[0x0b; 22],
            &[&hex::decode("f0f1f2f3f4f5f6f7f8f9").unwrap()],
        );
        let expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
        assert_eq!(hex::encode(okm.expose()), expected);
    }

    #[test]
    fn a_mac_compares_with_exactly_its_bytes() {
        let key = Secret::fill_with(|b| *b = [1; 32]);
        let mac = labelled_mac(Label::SessionToken, &key, &[b"alice", b"bob"]);
        let bytes = mac.clone().into_public();
        assert!(mac.ct_eq(&bytes));
        assert!(!mac.ct_eq(&bytes[..31]) && !mac.ct_eq(&[]) && !mac.ct_eq(&[0; 32]));
        assert_eq!(format!("{mac:?}"), "Mac(32 bytes)");
        assert_eq!(&bytes, labelled_key(Label::SessionToken, &key, &[b"alice", b"bob"]).expose());
    }

    proptest! {
        /// Against another implementation, info in any number of parts, outputs longer than a block.
        #[test]
        fn hkdf_agrees(
            salt in vec(any::<u8>(), 0..150),
            ikm in vec(any::<u8>(), 0..150),
            info in vec(vec(any::<u8>(), 0..40), 0..4),
        ) {
            let parts: Vec<&[u8]> = info.iter().map(Vec::as_slice).collect();
            let mut expected = [0; 100];
            Hkdf::<Sha256>::new(Some(&salt), &ikm).expand(&parts.concat(), &mut expected).unwrap();
            let ours = hkdf_sha256::<100>(&salt, &ikm, &parts);
            prop_assert_eq!(ours.expose(), &expected);
            let (prk, theirs) = Hkdf::<Sha384>::extract(Some(&salt), &ikm);
            theirs.expand(&parts.concat(), &mut expected).unwrap();
            let ours = hkdf_sha384_extract(&salt, &ikm);
            prop_assert_eq!(ours.expose().as_slice(), prk.as_slice());
            let ours = hkdf_sha384_expand::<100>(ours.expose(), &parts);
            prop_assert_eq!(ours.expose(), &expected);
        }
    }
}
