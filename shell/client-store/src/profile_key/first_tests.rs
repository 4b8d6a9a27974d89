//! What version 1 of `profile.key` tells apart, and its bytes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use rand::{SeedableRng, rngs::StdRng};

use super::*;

const CHEAP: PasswordParams = PasswordParams::dangerous_cheap();

struct Alice {
    passphrase: SecretBytes,
    device_secret: Secret<32>,
    data_key: Secret<32>,
    file: Vec<u8>,
}

fn alice() -> Alice {
    let mut rng = StdRng::seed_from_u64(1);
    let passphrase = SecretBytes::copy_of(b"correct horse");
    let device_secret = Secret::random(&mut rng);
    let data_key = Secret::random(&mut rng);
    let file = wrap(&data_key, &passphrase, &device_secret, CHEAP, &mut rng);
    Alice { passphrase, device_secret, data_key, file }
}

impl Alice {
    fn unwrap(&self, file: &[u8]) -> Result<Secret<32>, KeyFileError> {
        unwrap(file, &self.passphrase, &self.device_secret, CHEAP)
    }

    /// Puts the digest right, as somebody would who changes the file on purpose.
    fn forged(&self, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let mut file = self.file.clone();
        change(&mut file[..DIGEST_AT]);
        let digest = hash::sha256(&[&file[..DIGEST_AT]]);
        file[DIGEST_AT..].copy_from_slice(&digest);
        file
    }
}

#[test]
fn passphrase_and_device_secret_give_the_data_key() {
    let alice = alice();
    assert!(alice.unwrap(&alice.file).unwrap().ct_eq(&alice.data_key));
}

#[test]
fn each_cause_has_its_own_error() {
    let alice = alice();
    let wrong = SecretBytes::copy_of(b"correct horsf");
    let refused = unwrap(&alice.file, &wrong, &alice.device_secret, CHEAP).map(|_| ());
    assert_eq!(refused, Err(KeyFileError::WrongPassphrase));

    let other = Secret::fill_with(|bytes| *bytes = [7; 32]);
    let refused = unwrap(&alice.file, &alice.passphrase, &other, CHEAP).map(|_| ());
    assert_eq!(refused, Err(KeyFileError::ForeignDeviceSecret));

    let refused = unwrap(&alice.file, &alice.passphrase, &alice.device_secret, PasswordParams::PRODUCTION).map(|_| ());
    assert_eq!(refused, Err(KeyFileError::Weakened));
}

/// But for those of the version, by which the reader was chosen.
#[test]
fn every_flipped_bit_and_every_cut_is_damage() {
    let alice = alice();
    for bit in 0..alice.file.len() * 8 {
        let mut file = alice.file.clone();
        file[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(alice.unwrap(&file).map(|_| ()), Err(KeyFileError::Damaged), "bit {bit}");
    }
    for len in 0..alice.file.len() {
        assert_eq!(alice.unwrap(&alice.file[..len]).map(|_| ()), Err(KeyFileError::Damaged), "{len} bytes");
    }
}

/// Whoever can write the file can put its digest right, but gets no other data key out of it.
#[test]
fn a_forged_file_gives_no_key() {
    let alice = alice();
    for at in PARAMS_AT..DIGEST_AT {
        // The work asked for stays within what a test can do.
        if (PARAMS_AT..SALT_AT).contains(&at) && at % 4 != SALT_AT % 4 + 3 {
            continue;
        }
        assert!(alice.unwrap(&alice.forged(|file| file[at] ^= 1)).is_err(), "byte {at}");
    }
}

/// Files like this one are on people's disks: if it stops opening, they are locked out.
#[test]
fn a_file_of_version_1_opens() {
    let device_secret = Secret::fill_with(|bytes| *bytes = [0x11; 32]);
    let data_key = Secret::fill_with(|bytes| *bytes = [0x22; 32]);
    let passphrase = SecretBytes::copy_of(b"correct horse");
    let file = hex::decode(include_str!("v1.hex").trim()).unwrap();
    assert_eq!(file.len(), 141);
    assert!(unwrap(&file, &passphrase, &device_secret, CHEAP).unwrap().ct_eq(&data_key));
}
