//! aws-lc: hashes, HMAC, AES-CTR, AES-GCM, P-256 and raw RSA-1280.
//!
//! Keys are parsed once, on construction, and reused; nothing here parses per operation except a peer's key that is
//! new.

use aws_lc_rs::{
    aead, agreement,
    cipher::{AES_128, AES_256, Algorithm, DecryptingKey, DecryptionContext, UnboundCipherKey},
    digest::{self, Digest},
    encoding::AsBigEndian,
    hmac,
    signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey},
};
use halcyon_rsa_legacy as rsa_legacy;
use p256::{
    AffinePoint,
    elliptic_curve::{point::DecompressPoint, sec1::ToEncodedPoint},
};

use crate::{
    rng::Rng,
    secret::{Secret, SecretBytes},
};

pub(crate) fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    digest_of(&digest::SHA1_FOR_LEGACY_USE_ONLY, parts)
}

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    digest_of(&digest::SHA256, parts)
}

pub(crate) fn sha384(parts: &[&[u8]]) -> [u8; 48] {
    digest_of(&digest::SHA384, parts)
}

pub(crate) fn hmac_sha256(key: &[u8], parts: &[&[u8]], out: &mut [u8; 32]) {
    hmac_of(hmac::HMAC_SHA256, key, parts, out);
}

pub(crate) fn hmac_sha384(key: &[u8], parts: &[&[u8]], out: &mut [u8; 48]) {
    hmac_of(hmac::HMAC_SHA384, key, parts, out);
}

pub(crate) fn aes128_ctr(key: &[u8; 16], counter: &[u8; 16], buffer: &mut [u8]) {
    apply_ctr(&AES_128, key, counter, buffer);
}

pub(crate) fn aes256_ctr(key: &[u8; 32], counter: &[u8; 16], buffer: &mut [u8]) {
    apply_ctr(&AES_256, key, counter, buffer);
}

pub(crate) fn gcm_seal(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    // The final capacity at once: a vector that grew would leave plaintext behind.
    let mut sealed = Vec::with_capacity(plaintext.len() + aead::MAX_TAG_LEN);
    sealed.extend_from_slice(plaintext);
    gcm_key(key)
        .seal_in_place_append_tag(aead::Nonce::assume_unique_for_key(*nonce), aead::Aad::from(aad), &mut sealed)
        .expect("plaintexts here are far below AES-GCM's 64 GiB");
    sealed
}

pub(crate) fn gcm_open(key: &[u8; 32], nonce: &[u8; 12], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let mut buffer = sealed.to_vec();
    let nonce = aead::Nonce::assume_unique_for_key(*nonce);
    let len = gcm_key(key).open_in_place(nonce, aead::Aad::from(aad), &mut buffer).ok()?.len();
    buffer.truncate(len);
    Some(buffer)
}

/// A P-256 key that signs.
pub(crate) struct P256Signer(EcdsaKeyPair);

impl P256Signer {
    /// Takes a big-endian scalar. Also returns the public point, uncompressed. `None` if zero or not below the order.
    pub(crate) fn from_secret(secret: &Secret<32>) -> Option<(Self, [u8; 65])> {
        let (_, point) = P256Agreement::from_secret(secret)?;
        let signing = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_private_key_and_public_key(signing, secret.expose(), &point).ok()?;
        let point = pair.public_key().as_ref().try_into().ok()?;
        Some((Self(pair), point))
    }

    /// ECDSA-SHA-256, r ‖ s. The nonce is random, so two signatures of one message differ.
    pub(crate) fn sign(&self, message: &[&[u8]]) -> [u8; 64] {
        let signature =
            self.0.sign_digest(&digest_context(&digest::SHA256, message)).expect("a parsed key signs any digest");
        signature.as_ref().try_into().expect("the fixed format has 64 bytes")
    }
}

/// A P-256 key that verifies.
#[derive(Clone)]
pub(crate) struct P256Verifier(ParsedPublicKey);

impl P256Verifier {
    /// Takes an uncompressed point and checks that it is on the curve.
    pub(crate) fn from_point(point: &[u8; 65]) -> Option<Self> {
        ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, uncompressed(point)?).ok().map(Self)
    }

    pub(crate) fn verify(&self, message: &[&[u8]], signature: &[u8; 64]) -> bool {
        self.0.verify_digest_sig(&digest_context(&digest::SHA256, message), signature).is_ok()
    }
}

/// A P-256 key that agrees on secrets.
pub(crate) struct P256Agreement(agreement::PrivateKey);

impl P256Agreement {
    /// Takes a big-endian scalar. Also returns the public point, uncompressed. `None` if zero or not below the order.
    pub(crate) fn from_secret(secret: &Secret<32>) -> Option<(Self, [u8; 65])> {
        let key = agreement::PrivateKey::from_private_key(&agreement::ECDH_P256, secret.expose()).ok()?;
        let point = key.compute_public_key().ok()?.as_ref().try_into().ok()?;
        Some((Self(key), point))
    }

    /// ECDH: the x coordinate of the common point.
    pub(crate) fn agree(&self, peer: &P256AgreementPublic) -> Secret<32> {
        Secret::try_fill_with(|out| {
            agreement::agree(&self.0, peer.0.clone(), (), |shared| {
                out.copy_from_slice(shared);
                Ok(())
            })
        })
        .expect("both keys were checked to be on the curve, whose order is prime")
    }
}

/// A peer's P-256 key to agree with.
#[derive(Clone)]
pub(crate) struct P256AgreementPublic(agreement::ParsedPublicKey);

impl P256AgreementPublic {
    /// Takes an x coordinate; `None` if no point has it. Which of the two points is meant does not matter to ECDH.
    ///
    /// The square root is the other library's: aws-lc's is its general one for big numbers and takes several times as long.
    /// aws-lc checks the point that comes of it.
    pub(crate) fn from_x(x: &[u8; 32]) -> Option<Self> {
        let even: Option<AffinePoint> = AffinePoint::decompress(x.into(), 0.into()).into();
        Self::from_point(even?.to_encoded_point(false).as_bytes().try_into().ok()?)
    }

    /// Takes an uncompressed point and checks that it is on the curve.
    pub(crate) fn from_point(point: &[u8; 65]) -> Option<Self> {
        let unparsed = agreement::UnparsedPublicKey::new(&agreement::ECDH_P256, uncompressed(point)?);
        agreement::ParsedPublicKey::try_from(&unparsed).ok().map(Self)
    }
}

/// Passes on a point in uncompressed form only: aws-lc would also take the hybrid forms 6 and 7.
fn uncompressed(point: &[u8; 65]) -> Option<&[u8; 65]> {
    (point[0] == 4).then_some(point)
}

/// Reads the scalar out of a PKCS#8 P-256 key.
pub(crate) fn p256_secret_from_pkcs8(der: &[u8]) -> Option<Secret<32>> {
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).ok()?;
    let scalar = pair.private_key().as_be_bytes().ok()?;
    Secret::try_from(scalar.as_ref()).ok()
}

/// A raw RSA-1280 private key.
pub(crate) struct RsaPrivate(rsa_legacy::PrivateKey);

impl RsaPrivate {
    /// aws-lc draws from the operating system; `_rng` is the portable backend's.
    pub(crate) fn generate(_rng: &mut dyn Rng) -> Self {
        Self(rsa_legacy::PrivateKey::generate().expect("memory and the system's randomness are there"))
    }

    pub(crate) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        rsa_legacy::PrivateKey::from_pkcs8(der).ok().map(Self)
    }

    pub(crate) fn to_pkcs8(&self) -> SecretBytes {
        let der = self.0.to_pkcs8().expect("memory for 800 bytes is there");
        SecretBytes::copy_of(&der)
    }

    pub(crate) fn modulus(&self) -> [u8; 160] {
        self.0.modulus()
    }

    /// `None` unless 1 < block < modulus - 1 (SP 800-56B section 7.1.2). aws-lc blinds with its own randomness.
    pub(crate) fn decrypt_block(&self, block: &[u8; 160], _blinding: &Secret<32>) -> Option<Secret<160>> {
        let plain = self.0.decrypt_block(block).ok()?;
        Some(Secret::fill_with(|out| out.copy_from_slice(plain.as_slice())))
    }
}

/// A raw RSA-1280 public key.
pub(crate) struct RsaPublic(rsa_legacy::PublicKey);

impl RsaPublic {
    pub(crate) fn from_modulus(modulus: &[u8; 160]) -> Option<Self> {
        rsa_legacy::PublicKey::from_modulus(modulus).ok().map(Self)
    }

    /// `None` if the block is not below the modulus.
    pub(crate) fn encrypt_block(&self, block: &[u8; 160]) -> Option<[u8; 160]> {
        self.0.encrypt_block(block).ok()
    }
}

fn digest_context(algorithm: &'static digest::Algorithm, parts: &[&[u8]]) -> Digest {
    let mut context = digest::Context::new(algorithm);
    for part in parts {
        context.update(part);
    }
    context.finish()
}

fn digest_of<const N: usize>(algorithm: &'static digest::Algorithm, parts: &[&[u8]]) -> [u8; N] {
    digest_context(algorithm, parts).as_ref().try_into().expect("each caller names its algorithm's length")
}

fn hmac_of(algorithm: hmac::Algorithm, key: &[u8], parts: &[&[u8]], out: &mut [u8]) {
    let mut context = hmac::Context::with_key(&hmac::Key::new(algorithm, key));
    for part in parts {
        context.update(part);
    }
    out.copy_from_slice(context.sign().as_ref());
}

/// In counter mode decrypting is encrypting; the decrypting key is the one that takes a counter from outside.
fn apply_ctr(algorithm: &'static Algorithm, key: &[u8], counter: &[u8; 16], buffer: &mut [u8]) {
    UnboundCipherKey::new(algorithm, key)
        .and_then(DecryptingKey::ctr)
        .and_then(|key| key.decrypt(buffer, DecryptionContext::Iv128(counter.into())).map(|_| ()))
        .expect("the key has its algorithm's length, and counter mode takes any buffer");
}

fn gcm_key(key: &[u8; 32]) -> aead::LessSafeKey {
    aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, key).expect("32 bytes are AES-256's key"))
}
