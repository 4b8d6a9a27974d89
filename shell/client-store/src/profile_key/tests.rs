//! What `profile.key` tells apart.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use halcyon_keychain::State;
use rand::{SeedableRng, rngs::StdRng};

use super::*;

const CHEAP: PasswordParams = PasswordParams::dangerous_cheap();

struct Alice {
    passphrase: SecretBytes,
    device_secret: Secret<32>,
    data_key: Secret<32>,
    file: Vec<u8>,
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(1)
}

fn alice() -> Alice {
    let mut rng = rng();
    let passphrase = SecretBytes::copy_of(b"correct horse");
    let device_secret = Secret::random(&mut rng);
    let data_key = Secret::random(&mut rng);
    let unlocked = Unlocked { keychain: Keychain::generate(&mut rng), data_key: data_key.clone() };
    let file = wrap(&unlocked, &passphrase, &device_secret, CHEAP, &mut rng);
    Alice { passphrase, device_secret, data_key, file }
}

impl Alice {
    fn open(&self, file: &[u8]) -> Result<Unlocked, KeyFileError> {
        KeyFile::read(file)?.open(&self.passphrase, &self.device_secret, CHEAP, &mut rng())
    }

    fn refused(&self, file: &[u8]) -> Option<KeyFileError> {
        self.open(file).err()
    }
}

/// Puts the digest right, as somebody would who changes the file on purpose.
fn forged(file: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut file = file.to_vec();
    change(&mut file[..DIGEST_AT]);
    let digest = hash::sha256(&[&file[..DIGEST_AT]]);
    file[DIGEST_AT..].copy_from_slice(&digest);
    file
}

/// STO-1, KEY-2, KEY-3: with the passphrase all of it opens, without it what is always readable.
#[test]
fn passphrase_and_device_secret_give_the_keys() {
    let alice = alice();
    assert_eq!(alice.file.len(), FILE_BYTES);
    let unlocked = alice.open(&alice.file).unwrap();
    assert!(unlocked.data_key.ct_eq(&alice.data_key));
    assert_eq!(unlocked.keychain.state(), State::Unlocked);
    let always = KeyFile::read(&alice.file).unwrap().open_always(&alice.device_secret).unwrap().unwrap();
    assert_eq!(always.state(), State::BeforeFirstUnlock);
    let item = unlocked.keychain.seal(Class::AlwaysThisDeviceOnly, b"n", b"v", &mut rng()).unwrap();
    assert_eq!(always.open(&item, b"n").unwrap().expose(), b"v");
}

#[test]
fn each_cause_has_its_own_error() {
    let alice = alice();
    let wrong = Alice { passphrase: SecretBytes::copy_of(b"correct horsf"), ..self::alice() };
    assert_eq!(wrong.refused(&alice.file), Some(KeyFileError::WrongPassphrase));
    let other = Alice { device_secret: Secret::fill_with(|bytes| *bytes = [7; 32]), ..self::alice() };
    assert_eq!(other.refused(&alice.file), Some(KeyFileError::ForeignDeviceSecret));
    let file = KeyFile::read(&alice.file).unwrap();
    let weak = file.open(&alice.passphrase, &alice.device_secret, PasswordParams::PRODUCTION, &mut rng());
    assert_eq!(weak.err(), Some(KeyFileError::Weakened));
    let newer = forged(&alice.file, |file| file[MAGIC.len()] = 3);
    assert_eq!(alice.refused(&newer), Some(KeyFileError::Newer(3)));
    assert_eq!(alice.refused(&[&newer[..], b"more"].concat()), Some(KeyFileError::Newer(3)));
}

#[test]
fn every_flipped_bit_and_every_cut_is_damage() {
    let alice = alice();
    for bit in 0..alice.file.len() * 8 {
        let mut file = alice.file.clone();
        file[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(alice.refused(&file), Some(KeyFileError::Damaged), "bit {bit}");
    }
    for len in 0..alice.file.len() {
        assert_eq!(alice.refused(&alice.file[..len]), Some(KeyFileError::Damaged), "{len} bytes");
    }
}

/// Whoever can write the file can put its digest right, but gets no other keys out of it.
#[test]
fn a_forged_file_gives_no_key() {
    let alice = alice();
    let after_work = KEYBAG_AT + 8;
    for at in after_work..DIGEST_AT {
        let forged = forged(&alice.file, |file| file[at] ^= 1);
        assert!(alice.open(&forged).is_err(), "byte {at}");
    }
}

/// KEY-2: profiles of the first version open, and get class keys of their own.
#[test]
fn a_file_of_version_1_opens() {
    let alice = alice();
    let file = first::wrap(&alice.data_key, &alice.passphrase, &alice.device_secret, CHEAP, &mut rng());
    let unlocked = alice.open(&file).unwrap();
    assert!(unlocked.data_key.ct_eq(&alice.data_key));
    assert_eq!(unlocked.keychain.state(), State::Unlocked);
    assert!(KeyFile::read(&file).unwrap().open_always(&alice.device_secret).unwrap().is_none());
    let wrong = Alice { passphrase: SecretBytes::copy_of(b"correct horsf"), ..self::alice() };
    assert_eq!(wrong.refused(&file), Some(KeyFileError::WrongPassphrase));
    for cut in [1, file.len() - 1] {
        assert_eq!(alice.refused(&file[..cut]), Some(KeyFileError::Damaged));
    }
}
