//! N-version: every operation through both backends, on random and on edge inputs.

use proptest::{collection::vec, prelude::*};
use rand::{SeedableRng, rngs::StdRng};

use super::{native, portable};
use crate::secret::Secret;

/// Scalars at and around every edge: zero, one, the order and its neighbors, all ones.
fn edge_scalars() -> Vec<[u8; 32]> {
    let order: [u8; 32] =
        hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap().try_into().unwrap();
    let (mut below, mut above) = (order, order);
    below[31] -= 1;
    above[31] += 1;
    let mut one = [0; 32];
    one[31] = 1;
    vec![[0; 32], one, below, order, above, [0xff; 32], [0x80; 32]]
}

fn secret(bytes: &[u8; 32]) -> Secret<32> {
    Secret::fill_with(|out| *out = *bytes)
}

fn compare_keys(a: &[u8; 32], b: &[u8; 32], message: &[u8]) {
    let native_key = native::P256Agreement::from_secret(&secret(a));
    let portable_key = portable::P256Agreement::from_secret(&secret(a));
    assert_eq!(native_key.as_ref().map(|k| k.1), portable_key.as_ref().map(|k| k.1), "public key of {a:?}");
    let signers = (native::P256Signer::from_secret(&secret(a)), portable::P256Signer::from_secret(&secret(a)));
    assert_eq!(signers.0.as_ref().map(|k| k.1), signers.1.as_ref().map(|k| k.1));
    let (Some((native_key, point)), Some((portable_key, _))) = (native_key, portable_key) else { return };
    let (Some((native_signer, _)), Some((portable_signer, _))) = signers else { panic!("a key agrees but not signs") };

    for signature in [native_signer.sign(&[message]), portable_signer.sign(&[message])] {
        let native_verifier = native::P256Verifier::from_point(&point).unwrap();
        let portable_verifier = portable::P256Verifier::from_point(&point).unwrap();
        assert!(native_verifier.verify(&[message], &signature));
        assert!(portable_verifier.verify(&[message], &signature));
        let mut bent = signature;
        bent[message.len() % 64] ^= 1;
        assert!(!native_verifier.verify(&[message], &bent));
        assert!(!portable_verifier.verify(&[message], &bent));
    }
    let Some((_, peer)) = native::P256Agreement::from_secret(&secret(b)) else { return };
    let x: [u8; 32] = peer[1..33].try_into().unwrap();
    let from_native = native_key.agree(&native::P256AgreementPublic::from_x(&x).unwrap());
    let from_portable = portable_key.agree(&portable::P256AgreementPublic::from_x(&x).unwrap());
    let from_point = native_key.agree(&native::P256AgreementPublic::from_point(&peer).unwrap());
    assert!(from_native.ct_eq(&from_portable) && from_native.ct_eq(&from_point));
}

#[test]
fn p256_agrees_at_the_edges() {
    for a in edge_scalars() {
        for b in edge_scalars() {
            compare_keys(&a, &b, b"edge");
        }
    }
}

/// Numbers that are no coordinate, signatures with r or s at 0, n, and beyond: both refuse the same.
#[test]
fn p256_refuses_alike() {
    let (_, point) = native::P256Signer::from_secret(&secret(&[7; 32])).unwrap();
    for r in edge_scalars() {
        for s in edge_scalars() {
            let signature: [u8; 64] = [r, s].concat().try_into().unwrap();
            assert!(!native::P256Verifier::from_point(&point).unwrap().verify(&[b"x"], &signature));
            assert!(!portable::P256Verifier::from_point(&point).unwrap().verify(&[b"x"], &signature));
        }
    }
    for x in edge_scalars() {
        let by_native = native::P256AgreementPublic::from_x(&x).is_some();
        assert_eq!(by_native, portable::P256AgreementPublic::from_x(&x).is_some(), "{x:?}");
    }
    for first in 0..=255u8 {
        let mut other = point;
        other[0] = first;
        let on_curve = first == 4;
        assert_eq!(native::P256Verifier::from_point(&other).is_some(), on_curve, "{first}");
        assert_eq!(portable::P256Verifier::from_point(&other).is_some(), on_curve, "{first}");
        assert_eq!(native::P256AgreementPublic::from_point(&other).is_some(), on_curve, "{first}");
        assert_eq!(portable::P256AgreementPublic::from_point(&other).is_some(), on_curve, "{first}");
    }
}

#[test]
fn pkcs8_is_read_alike() {
    let der = hex::decode(
        "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420a97ffedad24ddfafded320e286371f2f2f1eacc\
         039490c0721b17cfc066da631a1440342000479b709a290127b70c8e2a790df45b32a72dc38067e291514a9ff77c45f2ec45861be7b0aa1\
         1cc9221987a07fe8ddbf399eeaf1e9e4cb316e448d82926982525f",
    )
    .unwrap();
    let by_native = native::p256_secret_from_pkcs8(&der).unwrap();
    assert!(by_native.ct_eq(&portable::p256_secret_from_pkcs8(&der).unwrap()));
    for damaged in [&der[1..], &der[..der.len() - 1], &[]] {
        assert!(native::p256_secret_from_pkcs8(damaged).is_none());
        assert!(portable::p256_secret_from_pkcs8(damaged).is_none());
    }
}

/// Every length around a block, and counters that wrap.
#[test]
fn counter_mode_agrees() {
    let mut near_the_end = [0xff; 16];
    near_the_end[15] = 0xf8;
    for len in (0..70).chain([255, 256, 257, 4096, 16_384]) {
        for counter in [[0; 16], [0xff; 16], near_the_end] {
            let plain: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let (mut by_native, mut by_portable) = (plain.clone(), plain.clone());
            native::aes128_ctr(&[3; 16], &counter, &mut by_native);
            portable::aes128_ctr(&[3; 16], &counter, &mut by_portable);
            assert_eq!(by_native, by_portable, "{len} bytes");
            native::aes256_ctr(&[4; 32], &counter, &mut by_native);
            portable::aes256_ctr(&[4; 32], &counter, &mut by_portable);
            assert_eq!(by_native, by_portable, "{len} bytes");
        }
    }
}

#[test]
fn rsa_agrees() {
    let mut rng = StdRng::seed_from_u64(3);
    let blinding = Secret::random(&mut rng);
    let native_key = native::RsaPrivate::generate(&mut rng);
    let portable_key = portable::RsaPrivate::from_pkcs8(native_key.to_pkcs8().expose()).unwrap();
    assert_eq!(native_key.modulus(), portable_key.modulus());
    assert!(native_key.to_pkcs8().ct_eq(&portable_key.to_pkcs8()), "one PKCS#8 encoding of a key");
    let native_public = native::RsaPublic::from_modulus(&native_key.modulus()).unwrap();
    let portable_public = portable::RsaPublic::from_modulus(&native_key.modulus()).unwrap();

    let mut below = native_key.modulus();
    below[159] -= 1;
    let mut one = [0; 160];
    one[159] = 1;
    let mut blocks = vec![[0; 160], one, below, native_key.modulus(), [0xff; 160], [0x7f; 160]];
    blocks.extend((0..20u8).map(|i| {
        let mut block = [i; 160];
        block[1..21].copy_from_slice(&portable::sha1(&[&[i]]));
        block
    }));
    for block in blocks {
        assert_eq!(native_public.encrypt_block(&block), portable_public.encrypt_block(&block), "{block:?}");
        let plain = native_key.decrypt_block(&block, &blinding);
        let other = portable_key.decrypt_block(&block, &blinding);
        assert_eq!(plain.as_ref().map(|p| *p.expose()), other.as_ref().map(|p| *p.expose()), "{block:?}");
        if let Some(plain) = plain {
            assert_eq!(native_public.encrypt_block(plain.expose()), Some(block));
        }
    }
}

#[test]
fn generated_rsa_keys_are_taken_by_the_other_side() {
    let mut rng = StdRng::seed_from_u64(4);
    let portable_key = portable::RsaPrivate::generate(&mut rng);
    let native_key = native::RsaPrivate::from_pkcs8(portable_key.to_pkcs8().expose()).unwrap();
    assert_eq!(native_key.modulus(), portable_key.modulus());
    for damaged in [&[][..], &portable_key.to_pkcs8().expose()[1..]] {
        assert!(native::RsaPrivate::from_pkcs8(damaged).is_none());
        assert!(portable::RsaPrivate::from_pkcs8(damaged).is_none());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn hashes_agree(parts in vec(vec(any::<u8>(), 0..300), 0..5)) {
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(native::sha1(&parts), portable::sha1(&parts));
        prop_assert_eq!(native::sha256(&parts), portable::sha256(&parts));
        prop_assert_eq!(native::sha384(&parts), portable::sha384(&parts));
    }

    #[test]
    fn hmac_agrees(key in vec(any::<u8>(), 0..300), parts in vec(vec(any::<u8>(), 0..200), 0..4)) {
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let (mut a, mut b) = ([0; 32], [0; 32]);
        native::hmac_sha256(&key, &parts, &mut a);
        portable::hmac_sha256(&key, &parts, &mut b);
        prop_assert_eq!(a, b);
        let (mut a, mut b) = ([0; 48], [0; 48]);
        native::hmac_sha384(&key, &parts, &mut a);
        portable::hmac_sha384(&key, &parts, &mut b);
        prop_assert_eq!(a, b);
    }

    #[test]
    fn gcm_agrees(
        key in any::<[u8; 32]>(),
        nonce in any::<[u8; 12]>(),
        aad in vec(any::<u8>(), 0..100),
        plain in vec(any::<u8>(), 0..2000),
        bit in any::<prop::sample::Index>(),
    ) {
        let sealed = native::gcm_seal(&key, &nonce, &aad, &plain);
        prop_assert_eq!(&sealed, &portable::gcm_seal(&key, &nonce, &aad, &plain));
        prop_assert_eq!(native::gcm_open(&key, &nonce, &aad, &sealed), Some(plain.clone()));
        prop_assert_eq!(portable::gcm_open(&key, &nonce, &aad, &sealed), Some(plain));
        let mut bent = sealed.clone();
        let bit = bit.index(8 * bent.len());
        bent[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(native::gcm_open(&key, &nonce, &aad, &bent), None);
        prop_assert_eq!(portable::gcm_open(&key, &nonce, &aad, &bent), None);
        prop_assert_eq!(native::gcm_open(&key, &nonce, &aad, &sealed[..15]), None);
        prop_assert_eq!(portable::gcm_open(&key, &nonce, &aad, &sealed[..15]), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn p256_agrees(a in any::<[u8; 32]>(), b in any::<[u8; 32]>(), message in vec(any::<u8>(), 0..200)) {
        compare_keys(&a, &b, &message);
    }

    #[test]
    fn x_coordinates_are_judged_alike(x in any::<[u8; 32]>()) {
        prop_assert_eq!(
            native::P256AgreementPublic::from_x(&x).is_some(),
            portable::P256AgreementPublic::from_x(&x).is_some()
        );
    }
}

/// PAIR-1: a key of another size, or with another exponent, is none, however sound it is otherwise.
#[test]
fn other_rsa_keys_are_refused_alike() {
    use rsa::pkcs8::EncodePrivateKey;
    let mut rng = StdRng::seed_from_u64(5);
    let small = rsa::RsaPrivateKey::new(&mut rng, 1024).unwrap();
    let exponent = rsa::RsaPrivateKey::new_with_exp(&mut rng, 1280, &rsa::BigUint::from(3_u32)).unwrap();
    for key in [small, exponent] {
        let der = key.to_pkcs8_der().unwrap();
        assert!(native::RsaPrivate::from_pkcs8(der.as_bytes()).is_none());
        assert!(portable::RsaPrivate::from_pkcs8(der.as_bytes()).is_none());
    }
}
