//! Version 1 of `profile.key`, which is read and not written any more: the data key alone, wrapped under passphrase and device secret.
//!
//! Owns its layout. Whatever it opens is written anew as the version that [`super`] describes.
//!
//! Integers big-endian:
//!
//! ```text
//! "HALCPKEY" ‖ version u8 ‖ Argon2id memory KiB u32 ‖ passes u32 ‖ salt 16 ‖ device secret check 16
//! ‖ nonce 12 ‖ data key sealed 32 ‖ tag 16 ‖ SHA-256 of all before 32
//! ```
//!
//! The wrapping key is HKDF-SHA-256 with that salt over Argon2id(passphrase, salt) ‖ device secret; everything before
//! the nonce is authenticated with the data key.

#[cfg(test)]
use halcyon_crypto::Rng;
use halcyon_crypto::{
    Label, Secret, SecretBytes,
    aead::{self, NONCE_BYTES, TAG_BYTES},
    hash, kdf,
    password::{self, PasswordParams, SALT_BYTES},
};

use super::{KeyFileError, MAGIC};

/// The layout above.
pub(super) const VERSION: u8 = 1;
/// Bytes of the device secret's check.
const CHECK_BYTES: usize = 16;
/// Bytes of the data key and of the device secret.
const KEY_BYTES: usize = 32;
const DIGEST_BYTES: usize = 32;
/// Bytes of Argon2id's parameters.
const PARAMS_BYTES: usize = 8;

const PARAMS_AT: usize = MAGIC.len() + 1;
const SALT_AT: usize = PARAMS_AT + PARAMS_BYTES;
const CHECK_AT: usize = SALT_AT + SALT_BYTES;
const NONCE_AT: usize = CHECK_AT + CHECK_BYTES;
const SEALED_AT: usize = NONCE_AT + NONCE_BYTES;
const DIGEST_AT: usize = SEALED_AT + KEY_BYTES + TAG_BYTES;
/// Bytes of the file.
pub(super) const FILE_BYTES: usize = DIGEST_AT + DIGEST_BYTES;

/// Wraps `data_key` and returns the file's bytes, as the first versions of the program did.
#[cfg(test)]
pub(crate) fn wrap(
    data_key: &Secret<KEY_BYTES>,
    passphrase: &SecretBytes,
    device_secret: &Secret<KEY_BYTES>,
    params: PasswordParams,
    rng: &mut dyn Rng,
) -> Vec<u8> {
    let mut salt = [0; SALT_BYTES];
    rng.fill_bytes(&mut salt);
    let mut nonce = [0; NONCE_BYTES];
    rng.fill_bytes(&mut nonce);
    let mut file = Vec::with_capacity(FILE_BYTES);
    file.extend_from_slice(MAGIC);
    file.push(VERSION);
    file.extend_from_slice(&params.to_bytes());
    file.extend_from_slice(&salt);
    file.extend_from_slice(&device_check(device_secret, &salt));
    let key = wrapping_key(passphrase, device_secret, &salt, params);
    let sealed = aead::seal(&key, &nonce, &file, data_key.expose());
    file.extend_from_slice(&nonce);
    file.extend_from_slice(&sealed);
    let digest = hash::sha256(&[&file]);
    file.extend_from_slice(&digest);
    file
}

/// Unwraps the data key from the file's bytes. Files made with less work than `floor` are refused.
///
/// # Errors
/// [`KeyFileError`]; the passphrase is tried only when all else is in order.
pub(super) fn unwrap(
    file: &[u8],
    passphrase: &SecretBytes,
    device_secret: &Secret<KEY_BYTES>,
    floor: PasswordParams,
) -> Result<Secret<KEY_BYTES>, KeyFileError> {
    let file: &[u8; FILE_BYTES] = file.try_into().map_err(|_| KeyFileError::Damaged)?;
    let (content, digest) = file.split_at(DIGEST_AT);
    if hash::sha256(&[content]) != digest {
        return Err(KeyFileError::Damaged);
    }
    let params = read_params(&array(file, PARAMS_AT), floor)?;
    let salt: [u8; SALT_BYTES] = array(file, SALT_AT);
    if device_check(device_secret, &salt) != array(file, CHECK_AT) {
        return Err(KeyFileError::ForeignDeviceSecret);
    }
    let key = wrapping_key(passphrase, device_secret, &salt, params);
    let nonce = array(file, NONCE_AT);
    let opened = aead::open(&key, &nonce, &file[..NONCE_AT], &file[SEALED_AT..DIGEST_AT])
        .map_err(|_| KeyFileError::WrongPassphrase)?;
    Secret::try_from(opened.expose()).map_err(|_| KeyFileError::Damaged)
}

/// Reads the parameters, and refuses less than `floor` in either.
fn read_params(bytes: &[u8; PARAMS_BYTES], floor: PasswordParams) -> Result<PasswordParams, KeyFileError> {
    let params = PasswordParams::from_bytes(*bytes).map_err(|_| KeyFileError::Damaged)?;
    let floor = floor.to_bytes();
    // Both are two big-endian integers, and those compare like their bytes.
    let enough = bytes[..4] >= floor[..4] && bytes[4..] >= floor[4..];
    if enough { Ok(params) } else { Err(KeyFileError::Weakened) }
}

fn device_check(device_secret: &Secret<KEY_BYTES>, salt: &[u8; SALT_BYTES]) -> [u8; CHECK_BYTES] {
    let mac = kdf::labelled_mac(Label::DeviceSecretCheck, device_secret, &[salt]).into_public();
    array(&mac, 0)
}

fn wrapping_key(
    passphrase: &SecretBytes,
    device_secret: &Secret<KEY_BYTES>,
    salt: &[u8; SALT_BYTES],
    params: PasswordParams,
) -> Secret<32> {
    let stretched = password::stretch(passphrase.expose(), salt, params);
    // STO-1
    let both = Secret::<{ 2 * KEY_BYTES }>::fill_with(|both| {
        both[..KEY_BYTES].copy_from_slice(stretched.expose());
        both[KEY_BYTES..].copy_from_slice(device_secret.expose());
    });
    kdf::hkdf_sha256(salt, both.expose(), &[Label::ProfileKeyWrap.as_bytes()])
}

/// Returns `N` bytes of `bytes` from `at`.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a range of N bytes has N bytes")
}

#[cfg(test)]
#[path = "first_tests.rs"]
mod tests;
