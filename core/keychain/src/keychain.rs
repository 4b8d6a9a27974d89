//! What of the keychain is unlocked. Spec: 70-keychain.md (KEY-5 to KEY-7).
//!
//! Owns the class keys in memory. Does not know how they were unwrapped.

use halcyon_crypto::{Rng, Secret, SecretBytes};

use crate::{
    class::{Class, Needs},
    item::{ItemError, ItemKeys, ItemTag, SealedItem},
};

/// A class whose key is not here was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the keychain is locked: unlock it with the passphrase")]
pub struct Locked;

/// How far it is unlocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody typed the passphrase since the process began: only what is readable always is.
    BeforeFirstUnlock,
    /// It was unlocked once, and is locked.
    Locked,
    /// All can be read.
    Unlocked,
}

/// A class key, and what is derived of it.
#[derive(Clone)]
pub(crate) struct ClassKey {
    pub(crate) key: Secret<32>,
    items: ItemKeys,
}

impl ClassKey {
    pub(crate) fn new(key: Secret<32>, class: Class) -> Self {
        Self { items: ItemKeys::of(&key, class), key }
    }
}

/// The keys of the classes that can be read now. Dropping it wipes them.
#[derive(Clone, Default)]
pub struct Keychain {
    keys: [Option<ClassKey>; Class::ALL.len()],
}

impl Keychain {
    /// Makes a key for each class.
    #[must_use]
    pub fn generate(rng: &mut dyn Rng) -> Self {
        let mut keychain = Self::default();
        for class in Class::ALL {
            keychain.put(class, Secret::random(rng));
        }
        keychain
    }

    /// Says how far it is unlocked.
    #[must_use]
    pub fn state(&self) -> State {
        let has = |needs: Needs| Class::ALL.iter().any(|class| class.needs() == needs && self.get(*class).is_some());
        match (has(Needs::Unlocked), has(Needs::FirstUnlock)) {
            (true, _) => State::Unlocked,
            (false, true) => State::Locked,
            (false, false) => State::BeforeFirstUnlock,
        }
    }

    /// Takes over the keys that another one has.
    pub fn unlock(&mut self, with: Self) {
        for (key, new) in self.keys.iter_mut().zip(with.keys) {
            *key = new.or(key.take());
        }
    }

    /// Wipes the keys of the classes *when unlocked* (KEY-6).
    pub fn lock(&mut self) {
        self.wipe(|class| class.needs() == Needs::Unlocked);
    }

    /// Wipes all keys but those of the class *always*, as a restart does (KEY-7).
    pub fn forget(&mut self) {
        self.wipe(|class| class.needs() != Needs::Device);
    }

    fn wipe(&mut self, goes: impl Fn(Class) -> bool) {
        for class in Class::ALL.into_iter().filter(|class| goes(*class)) {
            self.keys[class.index()] = None;
        }
    }

    /// Seals an item; names longer than 255 bytes are cut.
    ///
    /// # Errors
    /// [`Locked`]
    pub fn seal(&self, class: Class, name: &[u8], value: &[u8], rng: &mut dyn Rng) -> Result<SealedItem, Locked> {
        Ok(self.items(class)?.seal(class, name, value, rng))
    }

    /// Returns under what an item of a name is stored.
    ///
    /// # Errors
    /// [`Locked`]
    pub fn tag(&self, class: Class, name: &[u8]) -> Result<ItemTag, Locked> {
        Ok(self.items(class)?.tag(name))
    }

    /// Opens the item of a name.
    ///
    /// # Errors
    /// [`ItemError`]
    pub fn open(&self, item: &SealedItem, name: &[u8]) -> Result<SecretBytes, ItemError> {
        self.items(item.class).map_err(|Locked| ItemError::Locked)?.open(item, name)
    }

    fn items(&self, class: Class) -> Result<&ItemKeys, Locked> {
        self.get(class).map(|key| &key.items).ok_or(Locked)
    }

    pub(crate) fn get(&self, class: Class) -> Option<&ClassKey> {
        self.keys[class.index()].as_ref()
    }

    pub(crate) fn put(&mut self, class: Class, key: Secret<32>) {
        self.keys[class.index()] = Some(ClassKey::new(key, class));
    }
}

/// Keys are not printed.
impl std::fmt::Debug for Keychain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keychain({:?})", self.state())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn rng() -> StdRng {
        StdRng::seed_from_u64(1)
    }

    fn keychain() -> Keychain {
        Keychain::generate(&mut rng())
    }

    fn readable(keychain: &Keychain, items: &[SealedItem]) -> Vec<u8> {
        let opened = items.iter().filter(|item| keychain.open(item, b"name").is_ok());
        opened.map(|item| item.class.number()).collect()
    }

    /// KEY-1, KEY-6, KEY-7: what can be read in each state, and that it can be read again.
    #[test]
    fn each_class_is_readable_when_it_says() {
        let mut keychain = keychain();
        let whole = keychain.clone();
        let seal = |class| whole.seal(class, b"name", b"value", &mut rng()).unwrap();
        let items = Class::ALL.map(seal);
        assert_eq!((keychain.state(), readable(&keychain, &items)), (State::Unlocked, vec![1, 2, 3, 4, 5]));
        keychain.lock();
        assert_eq!((keychain.state(), readable(&keychain, &items)), (State::Locked, vec![2, 4, 5]));
        keychain.unlock(whole.clone());
        assert_eq!((keychain.state(), readable(&keychain, &items)), (State::Unlocked, vec![1, 2, 3, 4, 5]));
        keychain.forget();
        assert_eq!((keychain.state(), readable(&keychain, &items)), (State::BeforeFirstUnlock, vec![5]));
        assert_eq!(keychain.open(&items[1], b"name").unwrap_err(), ItemError::Locked);
        assert_eq!(keychain.seal(Class::WhenUnlocked, b"n", b"v", &mut rng()), Err(Locked));
        assert_eq!(keychain.tag(Class::AfterFirstUnlock, b"n"), Err(Locked));
        assert_eq!(Keychain::default().state(), State::BeforeFirstUnlock);
    }

    /// KEY-4: an item is for its name, its class and its keychain, to the last bit.
    #[test]
    fn an_item_is_for_one_name_and_class() {
        let keychain = keychain();
        let item = keychain.seal(Class::AfterFirstUnlock, b"account key", &[7; 32], &mut rng()).unwrap();
        assert_eq!(keychain.open(&item, b"account key").unwrap().expose(), [7; 32]);
        assert_eq!(item.tag, keychain.tag(Class::AfterFirstUnlock, b"account key").unwrap());
        let damaged = |item: &SealedItem, name: &[u8]| {
            assert_eq!(keychain.open(item, name).unwrap_err(), ItemError::Damaged);
        };
        damaged(&item, b"account kez");
        damaged(&SealedItem { class: Class::WhenUnlocked, ..item.clone() }, b"account key");
        let other = keychain.seal(Class::AfterFirstUnlock, b"other", b"", &mut rng()).unwrap();
        damaged(&SealedItem { tag: other.tag, ..item.clone() }, b"account key");
        for bit in 0..8 * item.sealed.len() {
            let mut bent = item.clone();
            bent.sealed[bit / 8] ^= 1 << (bit % 8);
            damaged(&bent, b"account key");
        }
        for length in 0..item.sealed.len() {
            damaged(&SealedItem { sealed: item.sealed[..length].to_vec(), ..item.clone() }, b"account key");
        }
        let another = Keychain::generate(&mut StdRng::seed_from_u64(2));
        assert_eq!(another.open(&item, b"account key").unwrap_err(), ItemError::Damaged);
        assert_ne!(another.tag(Class::AfterFirstUnlock, b"account key"), Ok(item.tag));
        assert_ne!(keychain.tag(Class::WhenUnlocked, b"account key"), Ok(item.tag));
    }

    /// KEY-4: nothing of name or value can be read in what is stored, and nothing of the keys in what is printed.
    #[test]
    fn nothing_shows() {
        let keychain = keychain();
        let item = keychain.seal(Class::WhenUnlocked, b"attack at dawn", b"the secret itself", &mut rng()).unwrap();
        let stored = [&item.tag.as_bytes()[..], &item.sealed].concat();
        for shown in [&b"attack"[..], b"secret"] {
            assert!(!stored.windows(shown.len()).any(|bytes| bytes == shown));
        }
        assert_eq!(format!("{keychain:?}"), "Keychain(Unlocked)");
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(name in proptest::collection::vec(any::<u8>(), 0..300), value: Vec<u8>) {
            let keychain = keychain();
            let item = keychain.seal(Class::AlwaysThisDeviceOnly, &name, &value, &mut rng()).unwrap();
            let cut = &name[..name.len().min(crate::ITEM_NAME_BYTES_MAX)];
            let opened = keychain.open(&item, cut).unwrap();
            prop_assert_eq!(opened.expose(), &value[..]);
        }
    }
}
