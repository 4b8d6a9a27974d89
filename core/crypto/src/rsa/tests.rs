use ::rsa::{Oaep, RsaPublicKey as OtherPublicKey, pkcs1::DecodeRsaPublicKey};
use rand::{SeedableRng, rngs::StdRng};

use super::*;

fn rng() -> StdRng {
    StdRng::seed_from_u64(7)
}

#[test]
fn every_length_of_message_comes_back() {
    let key = RsaPrivateKey::generate(&mut rng());
    for len in 0..=MESSAGE_BYTES_MAX {
        let message: Vec<u8> = (0..len as u8).collect();
        let block = key.public().seal_oaep(&mut rng(), &message).unwrap();
        assert_eq!(key.open_oaep(&block).expose(), message, "{len} bytes");
    }
    let too_long = key.public().seal_oaep(&mut rng(), &[0; MESSAGE_BYTES_MAX + 1]);
    assert_eq!(too_long, Err(RsaMessageTooLong));
}

/// Another library's OAEP-SHA1 opens ours and is opened by ours.
#[test]
fn another_implementation_agrees() {
    let key = RsaPrivateKey::generate(&mut rng());
    let theirs = OtherPublicKey::from_pkcs1_der(&key.public().to_der()).unwrap();
    for len in [0usize, 1, 16, 100, 116, 118] {
        let message = vec![0xa5; len];
        let block = theirs.encrypt(&mut rng(), Oaep::new::<sha1::Sha1>(), &message).unwrap();
        assert_eq!(key.open_oaep(&block.try_into().unwrap()).expose(), message);
    }
    let labelled = theirs.encrypt(&mut rng(), Oaep::new_with_label::<sha1::Sha1, _>("x"), b"hello").unwrap();
    assert_eq!(key.open_oaep(&labelled.try_into().unwrap()).len(), oaep::REJECTED_BYTES);
}

/// PAIR-13: a block that does not decode turns into bytes, the same each time, that another key would not make.
#[test]
fn a_damaged_block_becomes_noise_and_not_an_error() {
    let (key, other) = (RsaPrivateKey::generate(&mut rng()), RsaPrivateKey::generate(&mut rng()));
    let block = key.public().seal_oaep(&mut rng(), b"hello").unwrap();
    for bit in 0..8 * BLOCK_BYTES {
        let mut bent = block;
        bent[bit / 8] ^= 1 << (bit % 8);
        let noise = key.open_oaep(&bent);
        assert_eq!(noise.len(), oaep::REJECTED_BYTES, "bit {bit}");
        if bit % 101 == 0 {
            assert!(noise.ct_eq(&key.open_oaep(&bent)));
            assert!(!noise.ct_eq(&other.open_oaep(&bent)));
        }
    }
    for outside in [[0; BLOCK_BYTES], [0xff; BLOCK_BYTES]] {
        assert_eq!(key.open_oaep(&outside).len(), oaep::REJECTED_BYTES);
    }
}

#[test]
fn keys_survive_their_encodings() {
    let key = RsaPrivateKey::generate(&mut rng());
    let again = RsaPrivateKey::from_pkcs8(key.to_pkcs8().expose()).unwrap();
    assert_eq!(again.public(), key.public());
    let block = key.public().seal_oaep(&mut rng(), b"hello").unwrap();
    assert_eq!(again.open_oaep(&block).expose(), b"hello");
    assert_eq!(&RsaPublicKey::from_der(&key.public().to_der()).unwrap(), key.public());
}

/// PAIR-2: of each public key there is one encoding, and nothing near it is taken.
#[test]
fn public_keys_are_read_strictly() {
    let der = RsaPrivateKey::generate(&mut rng()).public().to_der();
    for i in (0..7).chain(BLOCK_BYTES + 7..PUBLIC_DER_BYTES) {
        let mut bent = der;
        bent[i] ^= 1;
        assert_eq!(RsaPublicKey::from_der(&bent).map(|_| ()), Err(RsaKeyError), "byte {i}");
    }
    let mut short = der;
    short[7] &= 0x7f;
    assert_eq!(RsaPublicKey::from_der(&short).map(|_| ()), Err(RsaKeyError));
    let mut even = der;
    even[BLOCK_BYTES + 6] &= 0xfe;
    assert_eq!(RsaPublicKey::from_der(&even).map(|_| ()), Err(RsaKeyError));
}

#[test]
fn other_keys_are_not_equal() {
    let [one, other] = [1, 2].map(|_| RsaPrivateKey::generate(&mut rng()).public().clone());
    assert_eq!(one, RsaPublicKey::from_der(&one.to_der()).unwrap());
    assert_ne!(one, other);
}

#[test]
fn debug_shows_no_key() {
    let key = RsaPrivateKey::generate(&mut rng());
    insta::assert_snapshot!(format!("{key:?} {:?}", key.public()), @"RsaPrivateKey(1280 bits) RsaPublicKey(1280 bits)");
}
