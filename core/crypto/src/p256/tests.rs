use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};

use super::{legacy::LegacySigningKey, *};

fn rng() -> StdRng {
    StdRng::seed_from_u64(11)
}

fn compact(hex: &str) -> CompactKey {
    CompactKey::try_from(hex::decode(hex).unwrap().as_slice()).unwrap()
}

/// IDN-10: generated keys have the smaller y, and their x alone brings the whole point back.
#[test]
fn generated_keys_are_compact() {
    let mut rng = rng();
    for _ in 0..20 {
        let key = SigningKey::generate_compact(&mut rng);
        let lifted = VerifyingKey::from_compact(key.verifying_key().compact()).unwrap();
        let signature = key.sign(Label::Request, &[b"hello"]);
        assert_eq!(lifted.verify(Label::Request, &[b"hello"], &signature), Ok(()));
    }
}

/// IDN-10: a scalar whose point has the larger y cannot sign under its x.
#[test]
fn a_key_without_compact_form_is_refused() {
    let mut rng = rng();
    let refused =
        (0..40).filter(|_| matches!(SigningKey::from_secret(&Secret::random(&mut rng)), Err(KeyError::NotCompact)));
    let refused = refused.count();
    assert!((5..=35).contains(&refused), "about half, not {refused} of 40");
}

/// IDN-10: lifting an x that is not on the curve, or not below p, is an error and not a crash.
#[test]
fn points_off_the_curve_are_refused() {
    let p = "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff";
    let p_plus_gx_like = "ffffffff00000001000000000000000000000001000000000000000000000004";
    let all_ones = "ff".repeat(32);
    // Zero is on the curve, and nobody's key.
    let zero = "00".repeat(32);
    for x in [p, p_plus_gx_like, all_ones.as_str(), zero.as_str()] {
        assert_eq!(VerifyingKey::from_compact(&compact(x)).unwrap_err(), KeyError::NotOnCurve, "{x}");
        assert_eq!(AgreementPublic::from_compact(&compact(x)).unwrap_err(), KeyError::NotOnCurve, "{x}");
    }
    // About half of all numbers are no x coordinate; both parsers agree on which.
    let mut off = 0;
    for i in 0u8..64 {
        let mut bytes = [0; 32];
        bytes[31] = i;
        let key = CompactKey::from_bytes(bytes);
        let verifies = VerifyingKey::from_compact(&key).is_ok();
        assert_eq!(verifies, AgreementPublic::from_compact(&key).is_ok(), "x = {i}");
        off += usize::from(!verifies);
    }
    assert!((16..48).contains(&off), "{off} of 64");
}

#[test]
fn an_uncompressed_point_off_the_curve_is_refused() {
    let key = AgreementKey::generate(&mut rng());
    let public = AgreementPublic::from_compact(key.compact()).unwrap();
    let mut point = public.to_uncompressed().unwrap();
    assert_eq!(AgreementPublic::from_uncompressed(&point), Ok(public));
    point[64] ^= 1;
    assert_eq!(AgreementPublic::from_uncompressed(&point).unwrap_err(), KeyError::NotOnCurve);
    for first in [0, 2, 3, 5, 6, 7] {
        let mut point = AgreementPublic::from_compact(key.compact()).unwrap().to_uncompressed().unwrap();
        point[0] = first;
        assert_eq!(AgreementPublic::from_uncompressed(&point).unwrap_err(), KeyError::NotOnCurve, "{first}");
    }
}

#[test]
fn scalars_out_of_range_are_refused() {
    let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
    for scalar in [vec![0; 32], order, vec![0xff; 32]] {
        let secret = Secret::try_from(scalar.as_slice()).unwrap();
        assert_eq!(SigningKey::from_secret(&secret).unwrap_err(), KeyError::OutOfRange);
        assert_eq!(AgreementKey::from_secret(secret.clone()).unwrap_err(), KeyError::OutOfRange);
        assert_eq!(LegacySigningKey::from_secret(secret).unwrap_err(), KeyError::OutOfRange);
    }
}

#[test]
fn both_sides_agree_on_one_secret() {
    let (alice, bob) = (AgreementKey::generate(&mut rng()), AgreementKey::generate(&mut StdRng::seed_from_u64(12)));
    let of_alice = AgreementPublic::from_compact(alice.compact()).unwrap();
    let of_bob = AgreementPublic::from_compact(bob.compact()).unwrap();
    assert!(alice.agree(&of_bob).ct_eq(&bob.agree(&of_alice)));
}

/// Whether two keys are one decides whom a client believes.
#[test]
fn other_keys_are_not_equal() {
    let agreement =
        |seed| AgreementPublic::from_compact(AgreementKey::generate(&mut StdRng::seed_from_u64(seed)).compact());
    assert_eq!(agreement(1), agreement(1));
    assert_ne!(agreement(1), agreement(2));
    let verifying = |seed| SigningKey::generate_compact(&mut StdRng::seed_from_u64(seed)).verifying_key().clone();
    assert_eq!(verifying(1), verifying(1));
    assert_ne!(verifying(1), verifying(2));
}

/// IDN-11: the N by N matrix. What one label signed or keyed, only that label verifies.
#[test]
fn only_the_diagonal_of_labels_verifies() {
    let key = SigningKey::generate_compact(&mut rng());
    let mac_key = Secret::random(&mut rng());
    let parts: [&[u8]; 2] = [b"one", b"two"];
    for made_for in Label::ALL {
        let signature = key.sign(made_for, &parts);
        let mac = crate::kdf::labelled_mac(made_for, &mac_key, &parts).into_public();
        for read_as in Label::ALL {
            let verified = key.verifying_key().verify(read_as, &parts, &signature).is_ok();
            assert_eq!(verified, made_for == read_as, "{made_for:?} read as {read_as:?}");
            let matches = crate::kdf::labelled_mac(read_as, &mac_key, &parts).ct_eq(&mac);
            assert_eq!(matches, made_for == read_as, "{made_for:?} read as {read_as:?}");
        }
    }
}

#[test]
fn every_bent_bit_of_a_signature_is_noticed() {
    let key = SigningKey::generate_compact(&mut rng());
    let signature = key.sign(Label::Request, &[b"hello"]);
    for bit in 0..512 {
        let mut bent = *signature.as_bytes();
        bent[bit / 8] ^= 1 << (bit % 8);
        let verified = key.verifying_key().verify(Label::Request, &[b"hello"], &Signature::from_bytes(bent));
        assert_eq!(verified, Err(SignatureError), "bit {bit}");
    }
}

/// PAIR-10: DER is read strictly; what other parsers shrug at is refused.
#[test]
fn lax_der_is_refused() {
    let key = LegacySigningKey::generate(&mut rng());
    let public = key.verifying_key();
    let der = key.sign_sha1_der(b"hello");
    assert_eq!(public.verify_sha1_der(b"hello", &der), Ok(()));
    let r_len = usize::from(der[3]);
    let (r, s) = (&der[4..4 + r_len], &der[6 + r_len..]);
    let integer = |bytes: &[u8]| [&[2, bytes.len() as u8], bytes].concat();
    let sequence = |content: &[u8]| [&[0x30, content.len() as u8], content].concat();
    assert_eq!(sequence(&[integer(r), integer(s)].concat()), der, "the helper builds what the key made");

    let padded_r = [&[0], r].concat();
    let lax = [
        ("a byte after it", [der.as_slice(), &[0]].concat()),
        ("a byte after s, inside", sequence(&[integer(r), integer(s), vec![0]].concat())),
        ("r padded with a zero", sequence(&[integer(&padded_r), integer(s)].concat())),
        ("length in long form", [&[0x30, 0x81, der[1]], &der[2..]].concat()),
        ("indefinite length", [&[0x30, 0x80], &der[2..], &[0, 0]].concat()),
        ("a set instead of a sequence", [&[0x31], &der[1..]].concat()),
        ("r missing", sequence(&integer(s))),
        ("a third integer", sequence(&[integer(r), integer(s), integer(&[1])].concat())),
        ("r empty", sequence(&[integer(&[]), integer(s)].concat())),
        ("r zero", sequence(&[integer(&[0]), integer(s)].concat())),
        ("s negative", sequence(&[integer(r), integer(&[&[0xff], s].concat())].concat())),
        ("cut short", der[..der.len() - 1].to_vec()),
        ("empty", Vec::new()),
    ];
    for (what, bytes) in lax {
        assert_eq!(public.verify_sha1_der(b"hello", &bytes), Err(SignatureError), "{what}");
    }
}

#[test]
fn debug_shows_no_private_key() {
    let mut rng = rng();
    let signing = SigningKey::generate_compact(&mut rng);
    let agreement = AgreementKey::generate(&mut rng);
    let legacy = LegacySigningKey::generate(&mut rng);
    insta::assert_snapshot!(format!("{legacy:?} {:?}", legacy.verifying_key()), @"LegacySigningKey(32 bytes) LegacyVerifyingKey(65 bytes)");
    assert_eq!(format!("{signing:?}"), format!("SigningKey(of {})", signing.verifying_key().compact()));
    assert_eq!(format!("{agreement:?}"), format!("AgreementKey(of {})", agreement.compact()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Keys come back from their stored form and are the same keys.
    #[test]
    fn keys_survive_storing(seed in any::<u64>()) {
        let mut rng = StdRng::seed_from_u64(seed);
        let key = SigningKey::generate_compact(&mut rng);
        let again = SigningKey::from_secret(&key.to_secret()).unwrap();
        prop_assert_eq!(again.verifying_key(), key.verifying_key());
        let agreement = AgreementKey::generate(&mut rng);
        let again = AgreementKey::from_secret(agreement.to_secret()).unwrap();
        prop_assert_eq!(again.compact(), agreement.compact());
    }
}

/// RFC 6979 appendix A.2.5, P-256 with SHA-256, message "sample": for vectors, the signature is the published one.
#[test]
fn deterministic_signatures_are_the_published_ones() {
    let scalar = hex::decode("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721").unwrap();
    let scalar = Secret::try_from(scalar.as_slice()).unwrap();
    let key = SigningKey::from_secret(&scalar).unwrap().with_deterministic_nonces().unwrap();
    assert_eq!(
        hex::encode(key.sign_raw(&[b"sample"]).as_bytes()),
        concat!(
            "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716",
            "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
        )
    );
    key.verifying_key().verify_raw(&[b"sample"], &key.sign_raw(&[b"sam", b"ple"])).unwrap();
}
