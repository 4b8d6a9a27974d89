//! The file `profile.key`: a profile's data key, wrapped under passphrase and device secret together.
//!
//! Owns the file's layout and the wrapping. Does not know where the device secret is kept, or what the data key seals.
//!
//! - The data key is random and never changes; a new passphrase wraps it anew.
//! - Guessing passphrases takes the device secret as well as the file, and one Argon2id run a guess.
//! - The file tells damage, another device's secret and a wrong passphrase apart. What tells them apart helps nobody
//!   to guess: the digest covers public bytes, and the device secret's check is a hash of 32 random bytes.
//!
//! Version 1, integers big-endian:
//!
//! ```text
//! "HALCPKEY" ‖ version u8 ‖ Argon2id memory KiB u32 ‖ passes u32 ‖ salt 16 ‖ device secret check 16
//! ‖ nonce 12 ‖ data key sealed 32 ‖ tag 16 ‖ SHA-256 of all before 32
//! ```
//!
//! The wrapping key is HKDF-SHA-256 with that salt over Argon2id(passphrase, salt) ‖ device secret; everything before
//! the nonce is authenticated with the data key.

use halcyon_crypto::{
    Label, Rng, Secret, SecretBytes,
    aead::{self, NONCE_BYTES, TAG_BYTES},
    hash, kdf,
    password::{self, PasswordParams, SALT_BYTES},
};

/// The file's name in the profile folder.
pub const KEY_FILE: &str = "profile.key";

/// What the file begins with.
const MAGIC: &[u8; 8] = b"HALCPKEY";
/// The layout above.
const VERSION: u8 = 1;
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
pub(crate) const FILE_BYTES: usize = DIGEST_AT + DIGEST_BYTES;

/// Why `profile.key` did not give the data key. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file is whole and the device secret is the right one.
    #[error("wrong passphrase: try again")]
    WrongPassphrase,
    /// The device secret is not the one that this profile was made with.
    #[error(
        "the device secret is not this profile's: put back the device-secret file, or the keyring, that it was made with"
    )]
    ForeignDeviceSecret,
    /// The file is not what was written.
    #[error("profile.key is damaged: put it back from a copy; without it the profile cannot be opened")]
    Damaged,
    /// A later version of the program wrote the file.
    #[error("profile.key has version {0}, which this program does not know: update it")]
    Newer(u8),
    /// The file asks for less work a guess than is safe. No version of the program writes such a file.
    #[error("profile.key was weakened: put it back from a copy, and let nobody write to the profile folder")]
    Weakened,
}

/// Wraps `data_key` and returns the file's bytes.
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
pub(crate) fn unwrap(
    file: &[u8],
    passphrase: &SecretBytes,
    device_secret: &Secret<KEY_BYTES>,
    floor: PasswordParams,
) -> Result<Secret<KEY_BYTES>, KeyFileError> {
    let version = *file.strip_prefix(MAGIC).and_then(<[u8]>::first).ok_or(KeyFileError::Damaged)?;
    let file: &[u8; FILE_BYTES] = match file.try_into() {
        Ok(file) => file,
        // A later version may be of another length. A damaged one claims some version, too, and then the advice to
        // update is wrong but harmless.
        Err(_) if version > VERSION => return Err(KeyFileError::Newer(version)),
        Err(_) => return Err(KeyFileError::Damaged),
    };
    let (content, digest) = file.split_at(DIGEST_AT);
    if hash::sha256(&[content]) != digest {
        return Err(KeyFileError::Damaged);
    }
    if version != VERSION {
        return Err(KeyFileError::Newer(version));
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
#[path = "profile_key/tests.rs"]
mod tests;
