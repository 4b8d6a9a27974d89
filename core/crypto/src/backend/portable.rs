//! RustCrypto: the same operations as `native.rs`, for wasm32, and the second opinion in tests.

use ::p256::{
    EncodedPoint, PublicKey, SecretKey,
    ecdh::diffie_hellman,
    ecdsa::{
        Signature, SigningKey, VerifyingKey,
        signature::hazmat::{PrehashSigner, PrehashVerifier},
    },
    elliptic_curve::sec1::{FromEncodedPoint, ToEncodedPoint},
    pkcs8::DecodePrivateKey as _,
};
use ::rsa::{
    BigUint, RsaPrivateKey, RsaPublicKey,
    hazmat::{rsa_decrypt_and_check, rsa_encrypt},
    pkcs8::EncodePrivateKey as _,
    traits::PublicKeyParts,
};
use aes::{Aes128, Aes256};
use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{Aead, Payload},
};
use ctr::{
    Ctr128BE,
    cipher::{KeyIvInit as _, StreamCipher as _},
};
use hmac::{Hmac, Mac, digest::Digest};
use sha1::Sha1;
use sha2::{Sha256, Sha384};
use zeroize::Zeroize;

use crate::{
    rng::{CryptoRng, Rng, RngCore},
    secret::{Secret, SecretBytes},
};

pub(crate) fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    digest_of::<Sha1>(parts).into()
}

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    digest_of::<Sha256>(parts).into()
}

pub(crate) fn sha384(parts: &[&[u8]]) -> [u8; 48] {
    digest_of::<Sha384>(parts).into()
}

pub(crate) fn hmac_sha256(key: &[u8], parts: &[&[u8]], out: &mut [u8; 32]) {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    out.copy_from_slice(&mac.finalize().into_bytes());
}

pub(crate) fn hmac_sha384(key: &[u8], parts: &[&[u8]], out: &mut [u8; 48]) {
    let mut mac = <Hmac<Sha384> as Mac>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    out.copy_from_slice(&mac.finalize().into_bytes());
}

pub(crate) fn aes128_ctr(key: &[u8; 16], counter: &[u8; 16], buffer: &mut [u8]) {
    Ctr128BE::<Aes128>::new(key.into(), counter.into()).apply_keystream(buffer);
}

pub(crate) fn aes256_ctr(key: &[u8; 32], counter: &[u8; 16], buffer: &mut [u8]) {
    Ctr128BE::<Aes256>::new(key.into(), counter.into()).apply_keystream(buffer);
}

pub(crate) fn gcm_seal(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    Aes256Gcm::new(key.into())
        .encrypt(nonce.into(), Payload { msg: plaintext, aad })
        .expect("plaintexts here are far below AES-GCM's 64 GiB")
}

pub(crate) fn gcm_open(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    Aes256Gcm::new(key.into()).decrypt(nonce.into(), Payload { msg: sealed, aad }).ok()
}

/// A P-256 key that signs.
pub(crate) struct P256Signer(SigningKey);

impl P256Signer {
    /// Takes a big-endian scalar. Also returns the public point, uncompressed. `None` if zero or not below the order.
    pub(crate) fn from_secret(secret: &Secret<32>) -> Option<(Self, [u8; 65])> {
        let key = SigningKey::from_slice(secret.expose()).ok()?;
        let point = point_bytes(&key.verifying_key().to_encoded_point(false))?;
        Some((Self(key), point))
    }

    /// ECDSA-SHA-256, r ‖ s, with the deterministic nonce of RFC 6979.
    pub(crate) fn sign(&self, message: &[&[u8]]) -> [u8; 64] {
        let signature: Signature =
            self.0.sign_prehash(&sha256(message)).expect("a 32-byte digest is signed by any valid key");
        signature.to_bytes().into()
    }
}

/// A P-256 key that verifies.
#[derive(Clone)]
pub(crate) struct P256Verifier(VerifyingKey);

impl P256Verifier {
    /// Takes an uncompressed point and checks that it is on the curve.
    pub(crate) fn from_point(point: &[u8; 65]) -> Option<Self> {
        VerifyingKey::from_sec1_bytes(point).ok().map(Self)
    }

    pub(crate) fn verify(&self, message: &[&[u8]], signature: &[u8; 64]) -> bool {
        Signature::from_slice(signature).is_ok_and(|s| self.0.verify_prehash(&sha256(message), &s).is_ok())
    }
}

/// A P-256 key that agrees on secrets.
pub(crate) struct P256Agreement(SecretKey);

impl P256Agreement {
    /// Takes a big-endian scalar. Also returns the public point, uncompressed. `None` if zero or not below the order.
    pub(crate) fn from_secret(secret: &Secret<32>) -> Option<(Self, [u8; 65])> {
        let key = SecretKey::from_slice(secret.expose()).ok()?;
        let point = point_bytes(&key.public_key().to_encoded_point(false))?;
        Some((Self(key), point))
    }

    /// ECDH: the x coordinate of the common point.
    pub(crate) fn agree(&self, peer: &P256AgreementPublic) -> Secret<32> {
        let shared = diffie_hellman(self.0.to_nonzero_scalar(), peer.0.as_affine());
        Secret::fill_with(|out| out.copy_from_slice(shared.raw_secret_bytes()))
    }
}

/// A peer's P-256 key to agree with.
#[derive(Clone)]
pub(crate) struct P256AgreementPublic(PublicKey);

impl P256AgreementPublic {
    /// Takes an x coordinate; `None` if no point has it. Which of the two points is meant does not matter to ECDH.
    pub(crate) fn from_x(x: &[u8; 32]) -> Option<Self> {
        let mut compressed = [2; 33];
        compressed[1..].copy_from_slice(x);
        PublicKey::from_sec1_bytes(&compressed).ok().map(Self)
    }

    /// Takes an uncompressed point and checks that it is on the curve.
    pub(crate) fn from_point(point: &[u8; 65]) -> Option<Self> {
        let point = EncodedPoint::from_bytes(point).ok().filter(|point| !point.is_compressed())?;
        Option::from(PublicKey::from_encoded_point(&point)).map(Self)
    }
}

/// Reads the scalar out of a PKCS#8 P-256 key.
pub(crate) fn p256_secret_from_pkcs8(der: &[u8]) -> Option<Secret<32>> {
    let key = SecretKey::from_pkcs8_der(der).ok()?;
    Some(Secret::fill_with(|out| out.copy_from_slice(&key.to_bytes())))
}

/// A raw RSA-1280 private key.
pub(crate) struct RsaPrivate(RsaPrivateKey);

impl RsaPrivate {
    pub(crate) fn generate(mut rng: &mut dyn Rng) -> Self {
        Self(RsaPrivateKey::new(&mut rng, 1280).expect("1280 bits and the default exponent are a valid request"))
    }

    pub(crate) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let key = RsaPrivateKey::from_pkcs8_der(der).ok()?;
        let fits = key.n().bits() == 1280 && *key.e() == BigUint::from(65537u32) && key.validate().is_ok();
        fits.then_some(Self(key))
    }

    pub(crate) fn to_pkcs8(&self) -> SecretBytes {
        let der = self.0.to_pkcs8_der().expect("a valid key encodes");
        SecretBytes::copy_of(der.as_bytes())
    }

    pub(crate) fn modulus(&self) -> [u8; 160] {
        fixed(&self.0.n().to_bytes_be())
    }

    /// `None` unless 1 < block < modulus - 1 (SP 800-56B section 7.1.2). `blinding` seeds the blinding factor; it must be
    /// unknown to whoever chose the block.
    pub(crate) fn decrypt_block(&self, block: &[u8; 160], blinding: &Secret<32>) -> Option<Secret<160>> {
        let number = BigUint::from_bytes_be(block);
        let one = BigUint::from(1u32);
        if number <= one || number >= self.0.n() - one {
            return None;
        }
        let mut rng = HashRng { seed: blinding.clone(), counter: 0 };
        let mut plain = rsa_decrypt_and_check(&self.0, Some(&mut rng), &number).ok()?;
        let mut bytes = plain.to_bytes_be();
        let secret = Secret::fill_with(|out| out[160 - bytes.len()..].copy_from_slice(&bytes));
        bytes.zeroize();
        plain.zeroize();
        Some(secret)
    }
}

/// A raw RSA-1280 public key.
pub(crate) struct RsaPublic(RsaPublicKey);

impl RsaPublic {
    pub(crate) fn from_modulus(modulus: &[u8; 160]) -> Option<Self> {
        if modulus[0] & 0x80 == 0 || modulus[159] & 1 == 0 {
            return None;
        }
        RsaPublicKey::new(BigUint::from_bytes_be(modulus), BigUint::from(65537u32)).ok().map(Self)
    }

    /// `None` if the block is not below the modulus.
    pub(crate) fn encrypt_block(&self, block: &[u8; 160]) -> Option<[u8; 160]> {
        let number = BigUint::from_bytes_be(block);
        if number >= *self.0.n() {
            return None;
        }
        rsa_encrypt(&self.0, &number).ok().map(|sealed| fixed(&sealed.to_bytes_be()))
    }
}

/// Expands a secret seed into blinding factors: SHA-256 of seed and counter.
struct HashRng {
    seed: Secret<32>,
    counter: u64,
}

impl RngCore for HashRng {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let block = sha256(&[self.seed.expose(), &self.counter.to_be_bytes()]);
            self.counter += 1;
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for HashRng {}

fn digest_of<D: Digest>(parts: &[&[u8]]) -> hmac::digest::Output<D> {
    let mut digest = D::new();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize()
}

fn point_bytes(point: &EncodedPoint) -> Option<[u8; 65]> {
    point.as_bytes().try_into().ok()
}

/// Pads a big-endian number of at most 160 bytes on the left.
fn fixed(bytes: &[u8]) -> [u8; 160] {
    let mut out = [0; 160];
    out[160 - bytes.len()..].copy_from_slice(bytes);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever asks a generator that might fail gets the same bytes: zeros would blind nothing.
    #[test]
    fn blinding_factors_are_drawn_either_way() {
        let rng = || HashRng { seed: Secret::fill_with(|bytes| *bytes = [7; 32]), counter: 0 };
        let (mut filled, mut tried) = ([0; 40], [0; 40]);
        rng().fill_bytes(&mut filled);
        rng().try_fill_bytes(&mut tried).unwrap();
        assert_eq!(filled, tried);
        assert_ne!(filled, [0; 40]);
        assert_ne!(filled[..8], filled[32..], "the counter rises");
    }
}
