//! Ten thousand inputs an operation through both backends, random ones and ones at the edges, from one seed.
//!
//! Owns how inputs are drawn. The edges that are worth a name are in `tests.rs`.
//! No second provider: Argon2id and OPAQUE, whose only implementation is shared by both backends (RFC vectors stand in), and
//! RSA key generation, which costs tens of milliseconds a key.

use ::p256::ecdsa::{Signature as DerSignature, signature::hazmat::PrehashSigner};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use hkdf::Hkdf;
use rand::{Rng as _, SeedableRng, rngs::StdRng};
use sha2::{Sha256, Sha384};

use super::{native, portable};
use crate::{hash, kdf, p256::legacy::LegacyVerifyingKey, secret::Secret};

/// Inputs for each operation.
const INPUTS: u64 = 10_000;

/// Draws inputs, every fourth of them from an edge.
struct Draw(StdRng);

impl Draw {
    fn length(&mut self, max: usize) -> usize {
        const EDGES: [usize; 12] = [0, 1, 15, 16, 17, 55, 56, 63, 64, 65, 127, 128];
        match self.0.gen_range(0..4) {
            0 => EDGES[self.0.gen_range(0..EDGES.len())].min(max),
            _ => self.0.gen_range(0..=max),
        }
    }

    fn bytes(&mut self, max: usize) -> Vec<u8> {
        let mut bytes = vec![0; self.length(max)];
        self.fill(&mut bytes);
        bytes
    }

    /// Random, all zeros, all ones, or nearly so.
    fn fill(&mut self, bytes: &mut [u8]) {
        match self.0.gen_range(0..8) {
            0 => bytes.fill(0),
            1 => bytes.fill(0xff),
            _ => return self.0.fill(bytes),
        }
        if let Some(last) = bytes.last_mut() {
            *last ^= self.0.gen_range(0..3);
        }
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        self.fill(&mut array);
        array
    }

    /// A number at or beside 0, the field's prime, the group's order or 2^256, or a random one.
    fn number(&mut self) -> [u8; 32] {
        const EDGES: [&str; 5] = [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
            "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
            "7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8",
            "8000000000000000000000000000000000000000000000000000000000000000",
        ];
        if self.0.gen_range(0..4) > 0 {
            return self.0.r#gen();
        }
        let edge = hex::decode(EDGES[self.0.gen_range(0..EDGES.len())]).unwrap();
        let near = i16::from(self.0.gen_range(-3..=3i8));
        let mut number: [u8; 32] = edge.try_into().unwrap();
        let mut carry = near;
        for byte in number.iter_mut().rev() {
            let sum = i16::from(*byte) + carry;
            *byte = sum.rem_euclid(256) as u8;
            carry = sum.div_euclid(256);
        }
        number
    }

    fn parts(&mut self) -> Vec<Vec<u8>> {
        (0..self.0.gen_range(0..4)).map(|_| self.bytes(200)).collect()
    }

    /// Usually damages `bytes`: a bit, a byte cut, put in, or appended.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let at = self.0.gen_range(0..bytes.len());
        match self.0.gen_range(0..6) {
            0 => {}
            1 => bytes.truncate(at),
            2 => bytes.insert(at, self.0.r#gen()),
            3 => bytes.push(0),
            4 => drop(bytes.remove(at)),
            _ => bytes[at] ^= 1 << self.0.gen_range(0..8),
        }
    }
}

fn inputs(seed: u64, mut compare: impl FnMut(&mut Draw)) {
    let mut draw = Draw(StdRng::seed_from_u64(seed));
    for _ in 0..INPUTS {
        compare(&mut draw);
    }
}

fn secret(bytes: &[u8; 32]) -> Secret<32> {
    Secret::fill_with(|out| *out = *bytes)
}

#[test]
fn hashes_and_macs() {
    inputs(1, |draw| {
        let (key, parts) = (draw.bytes(300), draw.parts());
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        assert_eq!(native::sha1(&parts), portable::sha1(&parts));
        assert_eq!(native::sha256(&parts), portable::sha256(&parts));
        assert_eq!(native::sha384(&parts), portable::sha384(&parts));
        let (mut a, mut b) = ([0; 32], [0; 32]);
        native::hmac_sha256(&key, &parts, &mut a);
        portable::hmac_sha256(&key, &parts, &mut b);
        assert_eq!(a, b);
        let (mut a, mut b) = ([0; 48], [0; 48]);
        native::hmac_sha384(&key, &parts, &mut a);
        portable::hmac_sha384(&key, &parts, &mut b);
        assert_eq!(a, b);
    });
}

/// Ours over the backend, against another implementation's.
#[test]
fn key_derivation() {
    inputs(2, |draw| {
        let (salt, ikm, info) = (draw.bytes(150), draw.bytes(150), draw.parts());
        let info: Vec<&[u8]> = info.iter().map(Vec::as_slice).collect();
        let mut theirs = [0; 100];
        Hkdf::<Sha256>::new(Some(&salt), &ikm).expand(&info.concat(), &mut theirs).unwrap();
        assert_eq!(kdf::hkdf_sha256::<100>(&salt, &ikm, &info).expose(), &theirs);
        let (prk, hkdf) = Hkdf::<Sha384>::extract(Some(&salt), &ikm);
        hkdf.expand(&info.concat(), &mut theirs).unwrap();
        let ours = kdf::hkdf_sha384_extract(&salt, &ikm);
        assert_eq!(ours.expose()[..], prk[..]);
        assert_eq!(kdf::hkdf_sha384_expand::<100>(ours.expose(), &info).expose(), &theirs);
    });
}

#[test]
fn counter_mode() {
    inputs(3, |draw| {
        let (key, counter, plain) = (draw.array::<32>(), draw.array(), draw.bytes(600));
        let (mut a, mut b) = (plain.clone(), plain);
        native::aes256_ctr(&key, &counter, &mut a);
        portable::aes256_ctr(&key, &counter, &mut b);
        assert_eq!(a, b);
        let short = key.first_chunk().unwrap();
        native::aes128_ctr(short, &counter, &mut a);
        portable::aes128_ctr(short, &counter, &mut b);
        assert_eq!(a, b);
    });
}

#[test]
fn gcm() {
    inputs(4, |draw| {
        let (key, nonce, aad, plain) = (draw.array(), draw.array(), draw.bytes(100), draw.bytes(600));
        let mut sealed = native::gcm_seal(&key, &nonce, &aad, &plain);
        assert_eq!(sealed, portable::gcm_seal(&key, &nonce, &aad, &plain));
        let whole = sealed.clone();
        draw.damage(&mut sealed);
        let opened = native::gcm_open(&key, &nonce, &aad, &sealed);
        assert_eq!(opened, portable::gcm_open(&key, &nonce, &aad, &sealed));
        assert_eq!(opened, (sealed == whole).then_some(plain));
    });
}

/// Keys from numbers in and out of range; each signs for the other's verifier; signatures are then damaged or made up.
#[test]
fn signatures() {
    let (mut keys, mut refused) = (0, 0);
    inputs(5, |draw| {
        let (scalar, message) = (draw.number(), draw.bytes(100));
        let (by_native, by_portable) =
            (native::P256Signer::from_secret(&secret(&scalar)), portable::P256Signer::from_secret(&secret(&scalar)));
        assert_eq!(by_native.as_ref().map(|key| key.1), by_portable.as_ref().map(|key| key.1));
        let (Some((by_native, point)), Some((by_portable, _))) = (by_native, by_portable) else {
            refused += 1;
            return;
        };
        keys += 1;
        let mut signature = if draw.0.r#gen() { by_native.sign(&[&message]) } else { by_portable.sign(&[&message]) };
        let expected = match draw.0.gen_range(0..3) {
            0 => Some(true),
            1 => {
                signature[draw.0.gen_range(0..64)] ^= 1 << draw.0.gen_range(0..8);
                Some(false)
            }
            _ => {
                signature = [draw.number(), draw.number()].concat().try_into().unwrap();
                None
            }
        };
        let a = native::P256Verifier::from_point(&point).unwrap().verify(&[&message], &signature);
        let b = portable::P256Verifier::from_point(&point).unwrap().verify(&[&message], &signature);
        assert_eq!(a, b);
        assert!(expected.is_none_or(|expected| expected == a));
    });
    assert!(keys > 8000 && refused > 100, "{keys} keys, {refused} refused");
}

/// Points on the curve, beside it, negated, and in other encodings; x coordinates at every edge.
#[test]
fn agreement() {
    let mut agreed = 0;
    inputs(6, |draw| {
        let (scalar, other) = (draw.number(), draw.number());
        let by_native = native::P256Agreement::from_secret(&secret(&scalar));
        let by_portable = portable::P256Agreement::from_secret(&secret(&scalar));
        assert_eq!(by_native.as_ref().map(|key| key.1), by_portable.as_ref().map(|key| key.1));
        let x = draw.number();
        let mut peers = vec![(native::P256AgreementPublic::from_x(&x), portable::P256AgreementPublic::from_x(&x))];
        if let Some((_, mut point)) = native::P256Agreement::from_secret(&secret(&other)) {
            match draw.0.gen_range(0..4) {
                0 => point[draw.0.gen_range(0..65)] ^= 1 << draw.0.gen_range(0..8),
                1 => point[33..].copy_from_slice(&draw.number()),
                _ => {}
            }
            peers.push((
                native::P256AgreementPublic::from_point(&point),
                portable::P256AgreementPublic::from_point(&point),
            ));
            let verifies = native::P256Verifier::from_point(&point).is_some();
            assert_eq!(verifies, portable::P256Verifier::from_point(&point).is_some());
            assert_eq!(verifies, LegacyVerifyingKey::from_uncompressed(&point).is_ok());
        }
        for (a, b) in peers {
            assert_eq!(a.is_some(), b.is_some());
            if let (Some(a), Some(b), Some((key, _)), Some((other, _))) = (a, b, &by_native, &by_portable) {
                assert!(key.agree(&a).ct_eq(&other.agree(&b)));
                agreed += 1;
            }
        }
    });
    assert!(agreed > 5000, "{agreed} agreed");
}

/// What the suite `pair` reads of DER, against another parser and other arithmetic. The hash is SHA-256, since aws-lc offers
/// no other for P-256 that both have.
#[test]
fn der_signatures() {
    let (mut good, mut bad) = (0, 0);
    let scalar = [0x5a; 32];
    let key = ::p256::ecdsa::SigningKey::from_slice(&scalar).unwrap();
    let point: [u8; 65] = key.verifying_key().to_encoded_point(false).as_bytes().try_into().unwrap();
    let (ours, theirs) = (
        LegacyVerifyingKey::from_uncompressed(&point).unwrap(),
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point),
    );
    inputs(7, |draw| {
        let message = draw.bytes(100);
        let digest = hash::sha256(&[&message]);
        let signature: DerSignature = if draw.0.gen_range(0..4) == 0 {
            let Ok(made_up) = DerSignature::from_scalars(draw.number(), draw.number()) else { return };
            made_up
        } else {
            key.sign_prehash(&digest).unwrap()
        };
        let mut der = signature.to_der().as_bytes().to_vec();
        draw.damage(&mut der);
        let verified = ours.verify_digest_der(&digest, &der).is_ok();
        assert_eq!(verified, theirs.verify(&message, &der).is_ok(), "{}", hex::encode(&der));
        if verified { good += 1 } else { bad += 1 }
    });
    assert!(good > 1000 && bad > 5000, "{good} good, {bad} bad");
}

/// Blocks below, at and above the modulus, of four keys.
#[test]
fn rsa_blocks() {
    let keys: Vec<_> = (0..4)
        .map(|seed| {
            let by_native = native::RsaPrivate::generate(&mut StdRng::seed_from_u64(seed));
            let by_portable = portable::RsaPrivate::from_pkcs8(by_native.to_pkcs8().expose()).unwrap();
            (by_native, by_portable)
        })
        .collect();
    let mut decrypted = 0;
    inputs(8, |draw| {
        let (by_native, by_portable) = &keys[draw.0.gen_range(0..keys.len())];
        let modulus = by_native.modulus();
        let (a, b) =
            (native::RsaPublic::from_modulus(&modulus).unwrap(), portable::RsaPublic::from_modulus(&modulus).unwrap());
        let mut block: [u8; 160] = match draw.0.gen_range(0..6) {
            0 => modulus,
            _ => draw.array(),
        };
        block[159] = block[159].wrapping_add(draw.0.gen_range(0..3)).wrapping_sub(1);
        assert_eq!(a.encrypt_block(&block), b.encrypt_block(&block));
        let blinding = Secret::random(&mut draw.0);
        let (a, b) = (by_native.decrypt_block(&block, &blinding), by_portable.decrypt_block(&block, &blinding));
        assert_eq!(a.as_ref().map(|plain| *plain.expose()), b.map(|plain| *plain.expose()));
        decrypted += usize::from(a.is_some());
    });
    assert!(decrypted > 3000, "{decrypted} decrypted");
}

#[test]
fn rsa_moduli() {
    inputs(9, |draw| {
        let modulus = draw.array();
        let taken = native::RsaPublic::from_modulus(&modulus).is_some();
        assert_eq!(taken, portable::RsaPublic::from_modulus(&modulus).is_some(), "{}", hex::encode(modulus));
    });
}
