//! The calls into aws-lc, one small safe function each.
//!
//! Owns every foreign pointer of the crate. Each type below holds one non-null pointer that it alone frees.
//! After a failed call aws-lc's thread-local error queue is cleared, so that no later caller reads our error.

use std::ptr::{self, NonNull};

use aws_lc_sys as sys;
use zeroize::Zeroizing;

use crate::{BLOCK_BYTES, RsaError};

/// Bits of a modulus.
const MODULUS_BITS: u32 = 1280;
/// The public exponent of every key of the suite.
const EXPONENT: u64 = 65537;

/// An owned `RSA`.
pub(crate) struct Rsa(NonNull<sys::RSA>);

// SAFETY: an RSA object has no tie to the thread that made it; rsa.h states that objects may be used from any thread
// as long as mutating calls are not concurrent.
unsafe impl Send for Rsa {}
// SAFETY: through a shared reference this module calls only getters on const pointers, RSA_encrypt, RSA_decrypt and
// marshalling. rsa.h declares all of them non-mutating for thread-safety purposes ("Encryption / Decryption: these
// functions are considered non-mutating for thread-safety purposes and may be used concurrently").
unsafe impl Sync for Rsa {}

impl Rsa {
    pub(crate) fn generate() -> Result<Self, RsaError> {
        let exponent = BigNum::exponent()?;
        // SAFETY: RSA_new has no preconditions; null is handled by `own`.
        let rsa = Self::own(unsafe { sys::RSA_new() }).ok_or(RsaError::Backend)?;
        // SAFETY: both pointers are live and owned here, nobody else sees `rsa` yet, and a null callback is allowed.
        let done = unsafe {
            sys::RSA_generate_key_ex(rsa.0.as_ptr(), MODULUS_BITS as i32, exponent.0.as_ptr(), ptr::null_mut())
        };
        if done == 1 { Ok(rsa) } else { Err(failed(RsaError::Backend)) }
    }

    pub(crate) fn from_modulus(modulus: &[u8; BLOCK_BYTES]) -> Result<Self, RsaError> {
        let modulus = BigNum::from_bytes(modulus)?;
        let exponent = BigNum::exponent()?;
        // SAFETY: both numbers are live; RSA_new_public_key copies them and keeps no pointer.
        let rsa = unsafe { sys::RSA_new_public_key(modulus.0.as_ptr(), exponent.0.as_ptr()) };
        Self::own(rsa).ok_or_else(|| failed(RsaError::Malformed))
    }

    pub(crate) fn from_pkcs8(der: &[u8]) -> Result<Self, RsaError> {
        let mut reader = sys::CBS { data: der.as_ptr(), len: der.len() };
        // SAFETY: `reader` describes `der`, which outlives the call; EVP_parse_private_key advances it within its
        // length and keeps no pointer into it.
        let key = unsafe { sys::EVP_parse_private_key(&raw mut reader) };
        let key = EvpKey::own(key).ok_or_else(|| failed(RsaError::Malformed))?;
        if reader.len != 0 {
            return Err(RsaError::Malformed);
        }
        // SAFETY: `key` is live. The result is a new reference that we own, or null for a key of another kind.
        let rsa = unsafe { sys::EVP_PKEY_get1_RSA(key.0.as_ptr()) };
        Self::own(rsa).ok_or_else(|| failed(RsaError::Malformed))
    }

    /// Passes on a private key of exactly the suite's kind whose parts agree with each other.
    pub(crate) fn checked_private(self) -> Result<Self, RsaError> {
        // SAFETY: `self` holds a live key; the call reads it.
        let bits = unsafe { sys::RSA_bits(self.0.as_ptr()) };
        // SAFETY: as above; the returned number belongs to the key and is used while the key lives. A parsed key
        // always has an exponent.
        let exponent = unsafe { sys::RSA_get0_e(self.0.as_ptr()) };
        if bits != MODULUS_BITS || exponent.is_null() {
            return Err(RsaError::Malformed);
        }
        // SAFETY: `exponent` is non-null and lives as long as `self`.
        let exponent_fits = unsafe { sys::BN_is_word(exponent, EXPONENT) } == 1;
        // SAFETY: `self` holds a live key; the call reads it.
        let consistent = unsafe { sys::RSA_check_key(self.0.as_ptr()) } == 1;
        if exponent_fits && consistent { Ok(self) } else { Err(failed(RsaError::Malformed)) }
    }

    pub(crate) fn modulus(&self) -> [u8; BLOCK_BYTES] {
        let mut out = [0; BLOCK_BYTES];
        // SAFETY: `self` holds a live key that has a modulus, since every constructor sets or checks it.
        let modulus = unsafe { sys::RSA_get0_n(self.0.as_ptr()) };
        // SAFETY: `out` has room for BLOCK_BYTES bytes, and the number belongs to `self`.
        let done = unsafe { sys::BN_bn2bin_padded(out.as_mut_ptr(), out.len(), modulus) };
        assert_eq!(done, 1, "a 1280-bit modulus fits 160 bytes");
        out
    }

    pub(crate) fn encrypt_block(&self, block: &[u8; BLOCK_BYTES]) -> Result<[u8; BLOCK_BYTES], RsaError> {
        let mut out = [0; BLOCK_BYTES];
        let mut written = 0;
        // SAFETY: `self` is live, `out` has room for `out.len()` bytes, `block` holds `block.len()`, and neither
        // overlaps the other. The call is non-mutating for thread safety (see `Sync` above).
        let done = unsafe {
            sys::RSA_encrypt(
                self.0.as_ptr(),
                &raw mut written,
                out.as_mut_ptr(),
                out.len(),
                block.as_ptr(),
                block.len(),
                sys::RSA_NO_PADDING,
            )
        };
        if done == 1 && written == BLOCK_BYTES { Ok(out) } else { Err(failed(RsaError::OutOfRange)) }
    }

    pub(crate) fn decrypt_block(&self, block: &[u8; BLOCK_BYTES]) -> Result<Zeroizing<[u8; BLOCK_BYTES]>, RsaError> {
        let mut out = Zeroizing::new([0; BLOCK_BYTES]);
        let mut written = 0;
        // SAFETY: as in `encrypt_block`. Blinding is on: no constructor sets RSA_FLAG_NO_BLINDING, and every key has
        // the public exponent that blinding needs.
        let done = unsafe {
            sys::RSA_decrypt(
                self.0.as_ptr(),
                &raw mut written,
                out.as_mut_ptr(),
                out.len(),
                block.as_ptr(),
                block.len(),
                sys::RSA_NO_PADDING,
            )
        };
        if done == 1 && written == BLOCK_BYTES { Ok(out) } else { Err(failed(RsaError::OutOfRange)) }
    }

    fn own(rsa: *mut sys::RSA) -> Option<Self> {
        NonNull::new(rsa).map(Self)
    }
}

impl Drop for Rsa {
    fn drop(&mut self) {
        // SAFETY: this is the one owner of one reference, and it is gone after this.
        unsafe { sys::RSA_free(self.0.as_ptr()) }
    }
}

/// An owned `EVP_PKEY`.
struct EvpKey(NonNull<sys::EVP_PKEY>);

impl EvpKey {
    fn own(key: *mut sys::EVP_PKEY) -> Option<Self> {
        NonNull::new(key).map(Self)
    }
}

impl Drop for EvpKey {
    fn drop(&mut self) {
        // SAFETY: this is the one owner of one reference, and it is gone after this.
        unsafe { sys::EVP_PKEY_free(self.0.as_ptr()) }
    }
}

/// An owned `BIGNUM`, for public numbers.
struct BigNum(NonNull<sys::BIGNUM>);

impl BigNum {
    fn exponent() -> Result<Self, RsaError> {
        Self::from_bytes(&EXPONENT.to_be_bytes())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, RsaError> {
        // SAFETY: `bytes` holds `bytes.len()` bytes; a null third argument asks for a new number, which we own.
        let number = unsafe { sys::BN_bin2bn(bytes.as_ptr(), bytes.len(), ptr::null_mut()) };
        NonNull::new(number).map(Self).ok_or_else(|| failed(RsaError::Backend))
    }
}

impl Drop for BigNum {
    fn drop(&mut self) {
        // SAFETY: this is the one owner, and it is gone after this.
        unsafe { sys::BN_free(self.0.as_ptr()) }
    }
}

/// A PKCS#8 encoding in aws-lc's memory, which OPENSSL_free wipes.
pub(crate) struct RsaPkcs8 {
    bytes: NonNull<u8>,
    len: usize,
}

impl RsaPkcs8 {
    pub(crate) fn of(rsa: &Rsa) -> Result<Self, RsaError> {
        // SAFETY: EVP_PKEY_new has no preconditions.
        let key = EvpKey::own(unsafe { sys::EVP_PKEY_new() }).ok_or_else(|| failed(RsaError::Backend))?;
        // SAFETY: both are live; `set1` takes a reference of its own, so each owner still frees once.
        if unsafe { sys::EVP_PKEY_set1_RSA(key.0.as_ptr(), rsa.0.as_ptr()) } != 1 {
            return Err(failed(RsaError::Backend));
        }
        let mut writer = Writer::new()?;
        // SAFETY: `writer` was initialized and `key` is live.
        if unsafe { sys::EVP_marshal_private_key(&raw mut *writer.0, key.0.as_ptr()) } != 1 {
            return Err(failed(RsaError::Backend));
        }
        writer.finish()
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        // SAFETY: CBB_finish gave us this buffer of exactly `len` initialized bytes, and we own it until drop.
        unsafe { std::slice::from_raw_parts(self.bytes.as_ptr(), self.len) }
    }
}

impl Drop for RsaPkcs8 {
    fn drop(&mut self) {
        // SAFETY: the buffer came from CBB_finish, is freed once, and not used after.
        unsafe { sys::OPENSSL_free(self.bytes.as_ptr().cast()) }
    }
}

/// An initialized `CBB`. Boxed, because a CBB must not move while it is written to.
struct Writer(Box<sys::CBB>);

impl Writer {
    /// Room that a 1280-bit PKCS#8 key fits, so that the buffer need not grow and leave copies.
    const CAPACITY: usize = 1024;

    fn new() -> Result<Self, RsaError> {
        let mut writer = Box::new(std::mem::MaybeUninit::<sys::CBB>::zeroed());
        // SAFETY: CBB_init writes to the memory given and reads nothing from it; the memory is a CBB's in size and
        // alignment.
        if unsafe { sys::CBB_init(writer.as_mut_ptr(), Self::CAPACITY) } != 1 {
            return Err(failed(RsaError::Backend));
        }
        // SAFETY: CBB_init succeeded, so the value is initialized (and all-zero before that).
        Ok(Self(unsafe { writer.assume_init() }))
    }

    fn finish(mut self) -> Result<RsaPkcs8, RsaError> {
        let mut bytes = ptr::null_mut();
        let mut len = 0;
        // SAFETY: the writer is initialized; on success the buffer is ours, and the CBB is left empty so that the
        // cleanup in drop has nothing to free.
        let done = unsafe { sys::CBB_finish(&raw mut *self.0, &raw mut bytes, &raw mut len) };
        match NonNull::new(bytes) {
            Some(bytes) if done == 1 => Ok(RsaPkcs8 { bytes, len }),
            _ => Err(failed(RsaError::Backend)),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // SAFETY: the CBB was initialized; cleaning up after CBB_finish is allowed and does nothing.
        unsafe { sys::CBB_cleanup(&raw mut *self.0) }
    }
}

/// Clears aws-lc's error queue for this thread and returns `error`.
fn failed(error: RsaError) -> RsaError {
    // SAFETY: no preconditions.
    unsafe { sys::ERR_clear_error() };
    error
}
