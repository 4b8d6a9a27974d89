//! The legacy suite: RSA-1280, AES-128-CTR, ECDSA over SHA-1. Spec: 40-pair.md.
//!
//! Owns the seal and the order of checks when opening. Keeps no state: duplicates are the client's to drop (PAIR-14).
//!
//! - A plaintext leaves [`open`] only after the tag matched both identities.
//! - A damaged key block costs the same as a good one, and ends in the same error (PAIR-13).

use halcyon_crypto::{
    Rng, Secret, SecretBytes, ctr, kdf,
    p256::legacy::LegacySigningKey,
    rsa::{BLOCK_BYTES, RsaPrivateKey},
};

use crate::{
    PLAINTEXT_BYTES_MAX,
    error::{OpenError, SealError},
    identity::PairIdentity,
    state::{Reader, StateError, Writer},
};

/// First byte of every message of this suite.
const VERSION: u8 = 2;
/// Bytes of the random part of the content key.
const SEED_BYTES: usize = 11;
/// Bytes of the tag, which is the rest of the content key.
const TAG_BYTES: usize = 5;
/// Bytes of the content key.
const KEY_BYTES: usize = SEED_BYTES + TAG_BYTES;
/// Bytes of ciphertext that travel inside the RSA block.
const HEAD_BYTES_MAX: usize = 100;
/// PAIR-6: the first counter block.
const COUNTER: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// Separates the plaintext from the identities in the tag (PAIR-5).
const TAG_SEPARATOR: [u8; 1] = [2];
const STATE_VERSION: u8 = 1;

/// A device's private keys for this suite, which it uses for nothing else (PAIR-1).
pub struct PairKeys {
    rsa: RsaPrivateKey,
    signing: LegacySigningKey,
    identity: PairIdentity,
}

impl PairKeys {
    /// Makes both key pairs. Takes tens of milliseconds, for the RSA key.
    pub fn generate(rng: &mut dyn Rng) -> Self {
        Self::from_keys(RsaPrivateKey::generate(rng), LegacySigningKey::generate(rng))
    }

    /// Joins two private keys.
    #[must_use]
    pub fn from_keys(rsa: RsaPrivateKey, signing: LegacySigningKey) -> Self {
        let identity = PairIdentity::new(signing.verifying_key(), rsa.public().clone());
        Self { rsa, signing, identity }
    }

    /// Returns the public identity.
    #[must_use]
    pub fn identity(&self) -> &PairIdentity {
        &self.identity
    }

    /// Returns the private keys, to be stored under protection.
    #[must_use]
    pub fn to_secret_bytes(&self) -> SecretBytes {
        let rsa = self.rsa.to_pkcs8();
        let mut writer = Writer::new(STATE_VERSION, 4 + rsa.len() + 32);
        writer.sized(rsa.expose());
        writer.raw(self.signing.to_secret().expose());
        writer.finish()
    }

    /// Reads what [`to_secret_bytes`](Self::to_secret_bytes) wrote.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn from_secret_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::new(bytes, STATE_VERSION)?;
        let rsa = RsaPrivateKey::from_pkcs8(reader.sized()?).map_err(|_| StateError::Damaged)?;
        let signing = LegacySigningKey::from_secret(reader.secret()?).map_err(|_| StateError::Damaged)?;
        reader.end()?;
        Ok(Self::from_keys(rsa, signing))
    }

    /// Seals `plaintext` for `recipient`. See [`seal`].
    ///
    /// # Errors
    /// [`SealError::TooLong`].
    pub fn seal(&self, rng: &mut dyn Rng, recipient: &PairIdentity, plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
        seal(rng, &self.signing, &self.identity, recipient, plaintext)
    }

    /// Opens a message from `sender`. See [`open`].
    ///
    /// # Errors
    /// [`OpenError::Unauthentic`].
    pub fn open(&self, sender: &PairIdentity, sealed: &[u8]) -> Result<SecretBytes, OpenError> {
        open(&self.rsa, &self.identity, sender, sealed)
    }
}

impl std::fmt::Debug for PairKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PairKeys(of {:?})", self.identity)
    }
}

/// Seals `plaintext` from the device that is `sender`, whose signing key is given, for `recipient`.
///
/// # Errors
/// [`SealError::TooLong`] above [`PLAINTEXT_BYTES_MAX`].
pub fn seal(
    rng: &mut dyn Rng,
    signing: &LegacySigningKey,
    sender: &PairIdentity,
    recipient: &PairIdentity,
    plaintext: &[u8],
) -> Result<Vec<u8>, SealError> {
    let too_long = SealError::TooLong { bytes: plaintext.len() };
    if plaintext.len() > PLAINTEXT_BYTES_MAX {
        return Err(too_long);
    }
    let key = content_key(&Secret::random(rng), plaintext, sender, recipient);
    let mut content = plaintext.to_vec();
    ctr::apply_aes128(&key, &COUNTER, &mut content); // PAIR-6

    // PAIR-7: the key and the first 100 bytes go into the RSA block, the rest follows it.
    let (head, tail) = content.split_at(content.len().min(HEAD_BYTES_MAX));
    let mut carried = Vec::with_capacity(KEY_BYTES + head.len());
    carried.extend_from_slice(key.expose());
    carried.extend_from_slice(head);
    let carried = SecretBytes::from_vec(carried);
    let block = recipient.rsa.seal_oaep(rng, carried.expose()).map_err(|_| too_long)?;
    let body = [&block[..], tail].concat();
    frame(&body, &signing.sign_sha1_der(&body), too_long)
}

/// Opens a message that the device `own`, whose RSA key is given, has received from `sender`.
///
/// The order of the steps is PAIR-12's. A frame or signature that is wrong ends it early: both are public, and whoever
/// sent them knows already. From the RSA block on, the work does not depend on what was found.
///
/// # Errors
/// [`OpenError::Unauthentic`] whatever the difference (PAIR-14).
pub fn open(
    rsa: &RsaPrivateKey,
    own: &PairIdentity,
    sender: &PairIdentity,
    sealed: &[u8],
) -> Result<SecretBytes, OpenError> {
    let (body, signature) = unframe(sealed).ok_or(OpenError::Unauthentic)?;
    sender.signing.verify_sha1_der(body, signature).map_err(|_| OpenError::Unauthentic)?; // PAIR-10
    let (block, tail) = body.split_first_chunk::<BLOCK_BYTES>().ok_or(OpenError::Unauthentic)?;

    let carried = rsa.open_oaep(block); // PAIR-13: always gives bytes
    let (key, head) = carried.expose().split_at(carried.len().min(KEY_BYTES));
    let has_key = key.len() == KEY_BYTES;
    let key = Secret::<KEY_BYTES>::fill_with(|out| out[..key.len()].copy_from_slice(key));

    let mut content = Vec::with_capacity(head.len() + tail.len());
    content.extend_from_slice(head);
    content.extend_from_slice(tail);
    ctr::apply_aes128(&key, &COUNTER, &mut content);
    let plaintext = SecretBytes::from_vec(content);

    // PAIR-12: without this comparison a receiver is the oracle of the 2016 attack.
    let seed = Secret::fill_with(|seed: &mut [u8; SEED_BYTES]| seed.copy_from_slice(&key.expose()[..SEED_BYTES]));
    let expected = content_key(&seed, plaintext.expose(), sender, own);
    if expected.ct_eq(&key) && has_key { Ok(plaintext) } else { Err(OpenError::Unauthentic) }
}

/// Returns seed ‖ tag (PAIR-5).
fn content_key(
    seed: &Secret<SEED_BYTES>,
    plaintext: &[u8],
    sender: &PairIdentity,
    recipient: &PairIdentity,
) -> Secret<KEY_BYTES> {
    let mac = kdf::hmac_sha256(seed.expose(), &[plaintext, &TAG_SEPARATOR, sender.hash(), recipient.hash()]);
    Secret::fill_with(|key| {
        key[..SEED_BYTES].copy_from_slice(seed.expose());
        key[SEED_BYTES..].copy_from_slice(&mac.expose()[..TAG_BYTES]);
    })
}

/// PAIR-8: `02 ‖ u16 |body| ‖ body ‖ u8 |signature| ‖ signature`. The signature is PAIR-9's.
fn frame(body: &[u8], signature: &[u8], too_long: SealError) -> Result<Vec<u8>, SealError> {
    let body_len = u16::try_from(body.len()).map_err(|_| too_long)?;
    let signature_len = u8::try_from(signature.len()).map_err(|_| too_long)?;
    let mut sealed = Vec::with_capacity(4 + body.len() + signature.len());
    sealed.push(VERSION);
    sealed.extend_from_slice(&body_len.to_be_bytes());
    sealed.extend_from_slice(body);
    sealed.push(signature_len);
    sealed.extend_from_slice(signature);
    Ok(sealed)
}

/// PAIR-11: returns body and signature.
fn unframe(sealed: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = sealed.strip_prefix(&[VERSION])?;
    let (len, rest) = rest.split_first_chunk::<2>()?;
    let (body, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
    let (len, signature) = rest.split_first()?;
    (signature.len() == usize::from(*len) && body.len() >= BLOCK_BYTES).then_some((body, signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PAIR-11: a body has at least an RSA block, and the signature is all that follows it.
    #[test]
    fn frames_have_no_slack() {
        let framed = |body: usize, signature: &[u8], said: u8| {
            let body = vec![7; body];
            let length = u16::try_from(body.len()).unwrap().to_be_bytes();
            [&[VERSION], &length[..], &body, &[said], signature].concat()
        };
        let is_read = |sealed: Vec<u8>| unframe(&sealed).is_some();
        assert!(is_read(framed(BLOCK_BYTES, &[1; 70], 70)));
        assert!(is_read(framed(BLOCK_BYTES + 1, &[], 0)));
        assert!(!is_read(framed(BLOCK_BYTES - 1, &[1; 70], 70)), "no room for a block");
        for said in [69, 71] {
            assert!(!is_read(framed(BLOCK_BYTES, &[1; 70], said)), "another length than it says");
        }
        let other_version = [&[VERSION + 1], &framed(BLOCK_BYTES, &[1; 70], 70)[1..]].concat();
        assert!(!is_read(other_version));
    }
}
