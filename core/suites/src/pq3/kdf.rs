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

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(hex: &str) -> Secret<32> {
        Secret::try_from(hex::decode(hex).unwrap().as_slice()).unwrap()
    }

    /// SUI-10: a step with a KEM secret, and one without. The other rows are in spec/vectors/pq3-kdf.json.
    #[test]
    fn root_steps_give_the_published_keys() {
        let info = hex::decode(concat!(
            "126097bf46a090f8ee09a1beaa7484eec5675dfdd6ffe6ede98854170f1e31b6912290593ad8ab67334f20714d155f",
            "5d16d5ff6b1443dceabfa01fad08acaa81e3996c701249ec7fab9b6a604d4a6a89a03737070305bcd76b8e430cf0d3"
        ))
        .unwrap();
        let ecdh = secret("154ddd3e1307b06db801c8415d611421c40c31e2dbd365852eecc077dfa35491");
        let kem = secret("a910c8dd0a842ac3a5c0218caa160e5e86cd7d40303fbfe586d2011ff64170e0");
        let (first, chain) = RootKey::initial().step(&ecdh, Some(&kem), &[&info]);
        assert_eq!(hex::encode(first.expose()), "ce9f738ffb6f984c84681d306f048ade6b6ddf79967e5c5ae9e2233d8353a76d");
        assert_eq!(hex::encode(chain.expose()), "c08cab469b5516a46ca8d82561ab5e42357e6e08e218060565d9d784e1d64f4b");
        let ecdh = secret("5f0cec7c7d2378d9d3639752506f71c3f7f1233b2eb0651a0a1b020545999459");
        let (second, chain) = first.step(&ecdh, None, &[&hex::decode("3f171fb7159cf82db1").unwrap()]);
        assert_eq!(hex::encode(second.expose()), "63f4d8c6821690c30e1ae4d3527d5e52748b75de050eaf241941ced5a66cf096");
        assert_eq!(hex::encode(chain.expose()), "b030b3e344c0fa8d08bc04989294ae540780d2d3fa901aaa857ac8dd66d4a60d");
    }

    /// SUI-11, SUI-12: message key, next chain key, indicator, content key and counter block.
    #[test]
    fn a_chain_step_gives_the_published_keys() {
        let chain = ChainKey::from_secret(secret("c08cab469b5516a46ca8d82561ab5e42357e6e08e218060565d9d784e1d64f4b"));
        let (message, next) = chain.step();
        assert_eq!(hex::encode(message.expose()), "3284bcb507b63d949421f818cfa21af49080ec74cf24d50ecad7d4d581bac0d4");
        assert_eq!(hex::encode(next.expose()), "f44ccdaddd0b212e895c13b61c956af16442c02d3329aa9cbf68a273705dff59");
        assert_eq!(
            hex::encode(message.indicator().expose()),
            "c8ed0190e6ffff4eb305223d112a11f158222b6778eb0339977c315a90bd5e62"
        );
        let content = message.content_keys();
        assert_eq!(
            hex::encode(content.key.expose()),
            "0f3240dbc0f4fc40c71f668da9c39ce49433e22155eaffb21c158d9a99d037e7"
        );
        assert_eq!(hex::encode(content.counter.expose()), "c71f12d24b57db1b102ec39bf2c93739");
    }

    /// SUI-10: the parts of info are one string, and every byte of every input counts.
    #[test]
    fn every_input_of_a_root_step_counts() {
        let (root, ecdh, kem) = (RootKey::initial(), secret(&"11".repeat(32)), secret(&"22".repeat(32)));
        let step = |ecdh: &Secret<32>, kem: Option<&Secret<32>>, info: &[&[u8]]| *root.step(ecdh, kem, info).0.expose();
        let base = step(&ecdh, Some(&kem), &[b"ab", b"c"]);
        assert_eq!(base, step(&ecdh, Some(&kem), &[b"a", b"bc"]));
        assert_ne!(base, step(&kem, Some(&ecdh), &[b"abc"]));
        assert_ne!(base, step(&ecdh, None, &[b"abc"]));
        assert_ne!(base, step(&ecdh, Some(&kem), &[b"abd"]));
    }
}
