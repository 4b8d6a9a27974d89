//! What of a keychain may leave the device. Spec: 70-keychain.md (KEY-8).
//!
//! Owns the choice of classes, and their wrapping under another key. Does not know what a backup is.

use halcyon_crypto::{
    Label, Rng, Secret,
    aead::{self, NONCE_BYTES, TAG_BYTES},
    kdf,
};

use crate::{
    class::Class,
    keychain::{Keychain, Locked},
};

const KEY_BYTES: usize = 32;
const ENTRY_BYTES: usize = 1 + NONCE_BYTES + KEY_BYTES + TAG_BYTES;

/// The keys of the classes that may leave the device, wrapped under a key that is not the device's. There is no other way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortableBag(Vec<u8>);

impl PortableBag {
    /// Wraps what may leave, under a key that whoever restores has.
    ///
    /// # Errors
    /// [`Locked`]: all of it has to be unlocked.
    pub fn wrap(keychain: &Keychain, under: &Secret<32>, rng: &mut dyn Rng) -> Result<Self, Locked> {
        let key = wrapping(under);
        let mut bytes = Vec::new();
        for class in Class::ALL.into_iter().filter(|class| class.is_portable()) {
            let mut nonce = [0; NONCE_BYTES];
            rng.fill_bytes(&mut nonce);
            bytes.push(class.number());
            bytes.extend_from_slice(&nonce);
            let class_key = &keychain.get(class).ok_or(Locked)?.key;
            bytes.extend(aead::seal(&key, &nonce, &[class.number()], class_key.expose()));
        }
        Ok(Self(bytes))
    }

    /// Returns the bytes, for [`PortableBag::from_bytes`].
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes bytes; [`unwrap`](Self::unwrap) judges them.
    #[must_use]
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Returns a keychain of the classes in it; nothing if it was wrapped under another key, or is damaged.
    #[must_use]
    pub fn unwrap(&self, under: &Secret<32>) -> Option<Keychain> {
        let key = wrapping(under);
        let mut keychain = Keychain::default();
        let entries = self.0.chunks(ENTRY_BYTES);
        for entry in entries {
            let (number, rest) = entry.split_first()?;
            let class = Class::from_number(*number).filter(|class| class.is_portable())?;
            let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
            let opened = aead::open(&key, nonce, &[*number], sealed).ok()?;
            keychain.put(class, Secret::try_from(opened.expose()).ok()?);
        }
        Some(keychain)
    }
}

fn wrapping(under: &Secret<32>) -> Secret<32> {
    kdf::labelled_key(Label::KeychainPortable, under, &[])
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    /// KEY-8: what is of this device only cannot be read with what left it; the rest can.
    #[test]
    fn this_device_only_stays() {
        let mut rng = StdRng::seed_from_u64(1);
        let keychain = Keychain::generate(&mut rng);
        let items = Class::ALL.map(|class| keychain.seal(class, b"name", b"value", &mut rng).unwrap());
        let under = Secret::random(&mut rng);
        let bag = PortableBag::wrap(&keychain, &under, &mut rng).unwrap();
        let elsewhere = PortableBag::from_bytes(bag.as_bytes().to_vec()).unwrap(&under).unwrap();
        let readable: Vec<Class> =
            items.iter().filter(|item| elsewhere.open(item, b"name").is_ok()).map(|item| item.class).collect();
        assert_eq!(readable, [Class::WhenUnlocked, Class::AfterFirstUnlock]);
        for class in Class::ALL.into_iter().filter(|class| !class.is_portable()) {
            let key = &keychain.get(class).unwrap().key;
            assert!(!bag.as_bytes().windows(32).any(|bytes| bytes == key.expose()));
        }
    }

    /// KEY-8: under another key, damaged, or made up to bring a key of a class that does not travel, it gives nothing.
    #[test]
    fn a_damaged_bag_gives_nothing() {
        let mut rng = StdRng::seed_from_u64(1);
        let keychain = Keychain::generate(&mut rng);
        let under = Secret::random(&mut rng);
        let bag = PortableBag::wrap(&keychain, &under, &mut rng).unwrap();
        assert!(bag.unwrap(&Secret::random(&mut rng)).is_none());
        for bit in 0..8 * bag.as_bytes().len() {
            let mut bytes = bag.as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(PortableBag::from_bytes(bytes).unwrap(&under).is_none(), "bit {bit}");
        }
        let class = Class::AlwaysThisDeviceOnly.number();
        let forged = [&[class][..], &[0; 12], &aead::seal(&wrapping(&under), &[0; 12], &[class], &[1; 32])].concat();
        assert!(PortableBag::from_bytes(forged).unwrap(&under).is_none());
        let mut locked = keychain;
        locked.lock();
        assert_eq!(PortableBag::wrap(&locked, &under, &mut rng), Err(Locked));
    }
}
