//! Seals one block of a file for one place in it.
//!
//! Owns the key of a file and the source of its nonces. Does not know pages from log frames.
//!
//! - A sealed block is ciphertext ‖ 16-byte tag ‖ 12-byte nonce; it opens only at the place that it was sealed for.
//! - Every sealing draws a fresh random nonce: what was written may or may not have reached the disk when a process
//!   dies, so no counter could be trusted to go on. With a key for each file, 2^28 blocks (a terabyte written) meet a
//!   repeated nonce with a chance of 2^-41.

use std::sync::{Arc, Mutex, PoisonError};

use halcyon_crypto::{
    Rng, Secret, SecretBytes,
    aead::{self, NONCE_BYTES, TAG_BYTES},
};

/// Bytes that a sealed block is longer than its plaintext.
pub(crate) const OVERHEAD_BYTES: usize = TAG_BYTES + NONCE_BYTES;

/// The generator that nonces come from, shared by a database and its log.
pub(crate) type Nonces = Arc<Mutex<Box<dyn Rng + Send>>>;

/// Takes `rng` to draw nonces from.
pub(crate) fn nonces(rng: Box<dyn Rng + Send>) -> Nonces {
    Arc::new(Mutex::new(rng))
}

/// Seals and opens the blocks of one file.
pub(crate) struct PageCipher {
    key: Secret<32>,
    nonces: Nonces,
}

impl PageCipher {
    pub(crate) fn new(key: Secret<32>, nonces: Nonces) -> Self {
        Self { key, nonces }
    }

    /// Seals `plain` for `place` into `sealed`, which is longer by [`OVERHEAD_BYTES`].
    pub(crate) fn seal(&self, place: u64, plain: &[u8], sealed: &mut [u8]) {
        let mut nonce = [0; NONCE_BYTES];
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut nonce);
        let (body, tail) = sealed.split_at_mut(plain.len() + TAG_BYTES);
        body.copy_from_slice(&aead::seal(&self.key, &nonce, &place.to_be_bytes(), plain));
        tail.copy_from_slice(&nonce);
    }

    /// Opens what [`seal`](Self::seal) made for `place`; `None` if a single bit of it, or the place, is another.
    pub(crate) fn open(&self, place: u64, sealed: &[u8]) -> Option<SecretBytes> {
        let (body, nonce) = sealed.split_last_chunk::<NONCE_BYTES>()?;
        aead::open(&self.key, nonce, &place.to_be_bytes(), body).ok()
    }
}
