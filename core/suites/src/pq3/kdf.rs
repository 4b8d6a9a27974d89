//! The ratchet's key schedule: root step, chain step, and what a message key gives. Spec: 42-padding-and-suites.md §3.
//!
//! Owns the derivations. Does not know the Diffie-Hellman and KEM exchanges that feed them, or when a step is due.
//!
//! - Each kind of key is its own type, so none can stand in another's place.
//! - A step takes `&self` and returns new keys; dropping the old ones, which wipes them, is the session's decision.

use halcyon_crypto::{Secret, kdf, labels::fixed};

/// Feeds the next root step; never a message.
#[derive(Clone, Debug)]
pub struct RootKey(Secret<32>);

impl RootKey {
    /// The root key before the first step: 32 zero bytes (SUI-10).
    #[must_use]
    pub fn initial() -> Self {
        Self(Secret::fill_with(|_| ()))
    }

    /// Takes a stored key.
    #[must_use]
    pub fn from_secret(secret: Secret<32>) -> Self {
        Self(secret)
    }

    /// Returns the bytes, to be stored under protection.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// Mixes a Diffie-Hellman secret, and a KEM secret if there is one, into the next root and chain key. `info`, in
    /// parts, binds the step to who talks and with which keys.
    #[must_use]
    pub fn step(&self, ecdh: &Secret<32>, kem: Option<&Secret<32>>, info: &[&[u8]]) -> (RootKey, ChainKey) {
        // SUI-10: extract twice, so that neither secret alone decides.
        let with_ecdh = kdf::hkdf_sha384_extract(self.0.expose(), ecdh.expose());
        let kem: &[u8] = kem.map_or(&[], |kem| kem.expose());
        let with_kem = kdf::hkdf_sha384_extract(kem, with_ecdh.expose());
        let mut parts: Vec<&[u8]> = Vec::with_capacity(info.len() + 1);
        parts.push(fixed::PQ3_ROOT);
        parts.extend_from_slice(info);
        let out = kdf::hkdf_sha384_expand::<64>(with_kem.expose(), &parts);
        let (root, chain) = out.expose().split_at(32);
        let half = |bytes: &[u8]| Secret::fill_with(|key: &mut [u8; 32]| key.copy_from_slice(bytes));
        (RootKey(half(root)), ChainKey(half(chain)))
    }
}

/// Gives one message key and the next chain key.
#[derive(Clone, Debug)]
pub struct ChainKey(Secret<32>);

impl ChainKey {
    /// Takes a stored key.
    #[must_use]
    pub fn from_secret(secret: Secret<32>) -> Self {
        Self(secret)
    }

    /// Returns the bytes, to be stored under protection.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// Returns this step's message key and the next chain key (SUI-11).
    #[must_use]
    pub fn step(&self) -> (MessageKey, ChainKey) {
        let expand = |info| kdf::hkdf_sha384_expand::<32>(self.0.expose(), &[info]);
        (MessageKey(expand(fixed::PQ3_MESSAGE_KEY)), ChainKey(expand(fixed::PQ3_CHAIN_KEY)))
    }
}

/// Opens one message.
#[derive(Clone, Debug)]
pub struct MessageKey(Secret<32>);

/// What encrypts one message's content.
#[derive(Clone, Debug)]
pub struct ContentKeys {
    /// AES-256 key.
    pub key: Secret<32>,
    /// First counter block.
    pub counter: Secret<16>,
}

impl MessageKey {
    /// Takes a stored key.
    #[must_use]
    pub fn from_secret(secret: Secret<32>) -> Self {
        Self(secret)
    }

    /// Returns the bytes, to be stored under protection.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// Returns the indicator, by which a receiver recognizes the right key before it decrypts (SUI-12). It travels
    /// with the message; compare it in constant time.
    #[must_use]
    pub fn indicator(&self) -> Secret<32> {
        kdf::hkdf_sha384_expand(self.0.expose(), &[fixed::PQ3_INDICATOR])
    }

    /// Returns the content key and counter block (SUI-12).
    #[must_use]
    pub fn content_keys(&self) -> ContentKeys {
        let okm = kdf::hkdf_sha384_expand::<48>(self.0.expose(), &[fixed::PQ3_CONTENT]);
        let (counter, key) = okm.expose().split_at(16);
        ContentKeys {
            key: Secret::fill_with(|out| out.copy_from_slice(key)),
            counter: Secret::fill_with(|out| out.copy_from_slice(counter)),
        }
    }
}
