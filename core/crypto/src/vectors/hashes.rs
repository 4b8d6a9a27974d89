//! Hashes: the examples of FIPS 180-4 (NIST's "Example values"), each cut in parts in every way.

use super::unhex;
use crate::{backend::portable, hash};

/// Message, times it is repeated, SHA-1, SHA-256, SHA-384.
const EXAMPLES: [(&str, usize, &str, &str, &str); 4] = [
    (
        "",
        1,
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "38b060a751ac96384cd9327eb1b1e36a21fdb71114be07434c0cc7bf63f6e1da274edebfe76f65fbd51ad2f14898b95b",
    ),
    (
        "abc",
        1,
        "a9993e364706816aba3e25717850c26c9cd0d89d",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
    ),
    (
        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        1,
        "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        "3391fdddfc8dc7393707a65b1b4709397cf8b1d162af05abfe8f450de5f36bc6b0455a8520bc4e6f5fe95b1fe3c8452b",
    ),
    (
        "a",
        1_000_000,
        "34aa973cd4c4daa4f61eeb2bdbad27316534016f",
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
        "9d0e1809716474cb086e834e310a4a1ced149e9c00f248527972cec5704c2a5b07b8b3dc38ecc4ebae97ddd87f3d8985",
    ),
];

#[test]
fn nist_hash_examples() {
    for (message, times, sha1, sha256, sha384) in EXAMPLES {
        let message = message.repeat(times).into_bytes();
        for cut in 0..=message.len().min(64) {
            let (head, tail) = message.split_at(cut);
            let parts: [&[u8]; 3] = [head, &[], tail];
            assert_eq!((hash::sha1(&parts).to_vec(), portable::sha1(&parts).to_vec()), (unhex(sha1), unhex(sha1)));
            assert_eq!(
                (hash::sha256(&parts).to_vec(), portable::sha256(&parts).to_vec()),
                (unhex(sha256), unhex(sha256))
            );
            assert_eq!(
                (hash::sha384(&parts).to_vec(), portable::sha384(&parts).to_vec()),
                (unhex(sha384), unhex(sha384))
            );
        }
    }
}
