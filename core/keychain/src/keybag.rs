//! The keybag: a key for each class, wrapped. Spec: 70-keychain.md (KEY-2, KEY-3).
//!
//! Owns its layout and the wrapping. Does not know where it is stored, or what the classes protect.
//!
//! - Guessing a passphrase takes the device secret as well as the keybag, and one Argon2id run a guess.
//! - A keybag tells another device's secret and a wrong passphrase apart. That helps nobody to guess: the check is a keyed hash of a
//!   public salt under 32 random bytes.
//! - A class that the device may always read is wrapped under the device secret alone, all others under both.
//!
//! Integers big-endian:
//!
//! ```text
//! Argon2id memory KiB u32 ‖ passes u32 ‖ salt 16 ‖ device secret check 16 ‖ for each class in turn: nonce 12 ‖ class key sealed 32 ‖ tag 16
//! ```
//!
//! Everything before the first nonce, and the class's number, is authenticated with each class key.

use halcyon_crypto::{
    Label, Rng, Secret, SecretBytes,
    aead::{self, NONCE_BYTES, TAG_BYTES},
    kdf,
    password::{self, PasswordParams, SALT_BYTES},
};

use crate::{
    class::{Class, Needs},
    keychain::{Keychain, Locked},
};

const KEY_BYTES: usize = 32;
const PARAMS_BYTES: usize = 8;
const CHECK_BYTES: usize = 16;
const CHECK_AT: usize = PARAMS_BYTES + SALT_BYTES;
const HEADER_BYTES: usize = CHECK_AT + CHECK_BYTES;
const ENTRY_BYTES: usize = NONCE_BYTES + KEY_BYTES + TAG_BYTES;
/// Bytes of a keybag.
pub const KEYBAG_BYTES: usize = HEADER_BYTES + Class::ALL.len() * ENTRY_BYTES;

/// Why a keybag did not open. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeybagError {
    /// The keybag is whole and the device secret is the right one.
    #[error("wrong passphrase: try again")]
    WrongPassphrase,
    /// The device secret is not the one that it was made with.
    #[error("the device secret is not the one that the keybag was made with")]
    ForeignDeviceSecret,
    /// It is not what was written.
    #[error("the keybag is damaged")]
    Damaged,
    /// It asks for less work a guess than is safe.
    #[error("the keybag was weakened")]
    Weakened,
}

/// What unwraps the classes of a keybag that need a passphrase: made of it and the device secret, slowly.
pub struct WrappingKey(Secret<KEY_BYTES>);

/// A keybag as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keybag([u8; KEYBAG_BYTES]);

impl Keybag {
    /// Wraps all class keys under a passphrase and the device secret. Takes as long as one guess.
    ///
    /// # Errors
    /// [`Locked`]: all classes have to be unlocked.
    pub fn wrap(
        keychain: &Keychain,
        passphrase: &SecretBytes,
        device_secret: &Secret<KEY_BYTES>,
        work: PasswordParams,
        rng: &mut dyn Rng,
    ) -> Result<Self, Locked> {
        let mut salt = [0; SALT_BYTES];
        rng.fill_bytes(&mut salt);
        let mut bytes = [0; KEYBAG_BYTES];
        bytes[..PARAMS_BYTES].copy_from_slice(&work.to_bytes());
        bytes[PARAMS_BYTES..CHECK_AT].copy_from_slice(&salt);
        bytes[CHECK_AT..HEADER_BYTES].copy_from_slice(&device_check(device_secret, &salt));
        let by_passphrase = stretch(passphrase, device_secret, &salt, work);
        let by_device = by_device(device_secret, &salt);
        for class in Class::ALL {
            let under = if class.needs() == Needs::Device { &by_device } else { &by_passphrase.0 };
            let mut nonce = [0; NONCE_BYTES];
            rng.fill_bytes(&mut nonce);
            let key = &keychain.get(class).ok_or(Locked)?.key;
            let sealed = aead::seal(under, &nonce, &bound(&bytes, class), key.expose());
            let entry = &mut bytes[entry_at(class)..][..ENTRY_BYTES];
            entry[..NONCE_BYTES].copy_from_slice(&nonce);
            entry[NONCE_BYTES..].copy_from_slice(&sealed);
        }
        Ok(Self(bytes))
    }

    /// Takes stored bytes.
    ///
    /// # Errors
    /// [`KeybagError::Damaged`] if they have another length, or ask for work that nobody asks for.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeybagError> {
        let keybag = Self(bytes.try_into().map_err(|_| KeybagError::Damaged)?);
        keybag.work()?;
        Ok(keybag)
    }

    /// Returns the bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; KEYBAG_BYTES] {
        &self.0
    }

    /// Returns what a guess at the passphrase costs.
    ///
    /// # Errors
    /// [`KeybagError::Damaged`]
    pub fn work(&self) -> Result<PasswordParams, KeybagError> {
        PasswordParams::from_bytes(array(&self.0, 0)).map_err(|_| KeybagError::Damaged)
    }

    /// Stretches a passphrase to what unwraps this keybag, if it is the right one. Takes as long as one guess. Keybags made with less
    /// work than `floor` are refused.
    ///
    /// # Errors
    /// [`KeybagError`]; the passphrase is tried only when all else is in order.
    pub fn wrapping_key(
        &self,
        passphrase: &SecretBytes,
        device_secret: &Secret<KEY_BYTES>,
        floor: PasswordParams,
    ) -> Result<WrappingKey, KeybagError> {
        let work = self.work()?;
        let (is, least) = (work.to_bytes(), floor.to_bytes());
        // Both are two big-endian integers, and those compare like their bytes.
        if is[..4] < least[..4] || is[4..] < least[4..] {
            return Err(KeybagError::Weakened);
        }
        self.check_device(device_secret)?;
        Ok(stretch(passphrase, device_secret, &self.salt(), work))
    }

    /// Unwraps all classes.
    ///
    /// # Errors
    /// [`KeybagError::WrongPassphrase`] if the wrapping key was made of another passphrase; [`KeybagError::ForeignDeviceSecret`].
    pub fn unwrap(&self, key: &WrappingKey, device_secret: &Secret<KEY_BYTES>) -> Result<Keychain, KeybagError> {
        let mut keychain = self.unwrap_always(device_secret)?;
        for class in Class::ALL.into_iter().filter(|class| class.needs() != Needs::Device) {
            keychain.put(class, self.open(class, &key.0).ok_or(KeybagError::WrongPassphrase)?);
        }
        Ok(keychain)
    }

    /// Unwraps what needs no passphrase (KEY-3).
    ///
    /// # Errors
    /// [`KeybagError::ForeignDeviceSecret`], [`KeybagError::Damaged`]
    pub fn unwrap_always(&self, device_secret: &Secret<KEY_BYTES>) -> Result<Keychain, KeybagError> {
        self.check_device(device_secret)?;
        let key = by_device(device_secret, &self.salt());
        let mut keychain = Keychain::default();
        for class in Class::ALL.into_iter().filter(|class| class.needs() == Needs::Device) {
            keychain.put(class, self.open(class, &key).ok_or(KeybagError::Damaged)?);
        }
        Ok(keychain)
    }

    fn check_device(&self, device_secret: &Secret<KEY_BYTES>) -> Result<(), KeybagError> {
        let is_it = device_check(device_secret, &self.salt()) == array(&self.0, CHECK_AT);
        if is_it { Ok(()) } else { Err(KeybagError::ForeignDeviceSecret) }
    }

    fn open(&self, class: Class, under: &Secret<KEY_BYTES>) -> Option<Secret<KEY_BYTES>> {
        let entry = &self.0[entry_at(class)..][..ENTRY_BYTES];
        let (nonce, sealed) = entry.split_first_chunk::<NONCE_BYTES>()?;
        let opened = aead::open(under, nonce, &bound(&self.0, class), sealed).ok()?;
        Secret::try_from(opened.expose()).ok()
    }

    fn salt(&self) -> [u8; SALT_BYTES] {
        array(&self.0, PARAMS_BYTES)
    }
}

fn entry_at(class: Class) -> usize {
    HEADER_BYTES + class.index() * ENTRY_BYTES
}

/// What a class key is bound to: the header, and its class.
fn bound(bytes: &[u8; KEYBAG_BYTES], class: Class) -> [u8; HEADER_BYTES + 1] {
    let mut bound = [class.number(); HEADER_BYTES + 1];
    bound[..HEADER_BYTES].copy_from_slice(&bytes[..HEADER_BYTES]);
    bound
}

fn device_check(device_secret: &Secret<KEY_BYTES>, salt: &[u8; SALT_BYTES]) -> [u8; CHECK_BYTES] {
    array(&kdf::labelled_mac(Label::DeviceSecretCheck, device_secret, &[salt]).into_public(), 0)
}

/// KEY-3
fn by_device(device_secret: &Secret<KEY_BYTES>, salt: &[u8; SALT_BYTES]) -> Secret<KEY_BYTES> {
    kdf::labelled_key(Label::Keybag, device_secret, &[b"device", salt])
}

/// KEY-2
fn stretch(
    passphrase: &SecretBytes,
    device_secret: &Secret<KEY_BYTES>,
    salt: &[u8; SALT_BYTES],
    work: PasswordParams,
) -> WrappingKey {
    let stretched = password::stretch(passphrase.expose(), salt, work);
    let both = Secret::<{ 2 * KEY_BYTES }>::fill_with(|both| {
        both[..KEY_BYTES].copy_from_slice(stretched.expose());
        both[KEY_BYTES..].copy_from_slice(device_secret.expose());
    });
    WrappingKey(kdf::hkdf_sha256(salt, both.expose(), &[Label::Keybag.as_bytes()]))
}

impl WrappingKey {
    /// Returns its bytes, for a place that the person chose to be asked no more (KEY-9).
    #[must_use]
    pub fn as_secret(&self) -> &Secret<KEY_BYTES> {
        &self.0
    }

    /// Takes it back from there.
    #[must_use]
    pub fn from_secret(secret: Secret<KEY_BYTES>) -> Self {
        Self(secret)
    }
}

/// Returns `N` bytes of `bytes` from `at`.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a range of N bytes has N bytes")
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::State;

    const CHEAP: PasswordParams = PasswordParams::dangerous_cheap();

    struct Alice {
        passphrase: SecretBytes,
        device_secret: Secret<32>,
        keychain: Keychain,
        keybag: Keybag,
    }

    fn alice() -> Alice {
        let mut rng = StdRng::seed_from_u64(1);
        let passphrase = SecretBytes::copy_of(b"correct horse");
        let device_secret = Secret::random(&mut rng);
        let keychain = Keychain::generate(&mut rng);
        let keybag = Keybag::wrap(&keychain, &passphrase, &device_secret, CHEAP, &mut rng).unwrap();
        Alice { passphrase, device_secret, keychain, keybag }
    }

    impl Alice {
        fn open(&self, keybag: &Keybag) -> Result<Keychain, KeybagError> {
            let key = keybag.wrapping_key(&self.passphrase, &self.device_secret, CHEAP)?;
            keybag.unwrap(&key, &self.device_secret)
        }
    }

    fn same(one: &Keychain, other: &Keychain) -> bool {
        Class::ALL.iter().all(|class| match (one.get(*class), other.get(*class)) {
            (Some(one), Some(other)) => one.key.ct_eq(&other.key),
            (one, other) => one.is_none() && other.is_none(),
        })
    }

    /// KEY-2: both open it, also from its stored form.
    #[test]
    fn passphrase_and_device_secret_open_a_keybag() {
        let alice = alice();
        let stored = Keybag::from_bytes(alice.keybag.as_bytes()).unwrap();
        assert!(same(&alice.open(&stored).unwrap(), &alice.keychain));
        assert_eq!(stored.work(), Ok(CHEAP));
        // KEY-9: and what was made of them, kept elsewhere.
        let key = stored.wrapping_key(&alice.passphrase, &alice.device_secret, CHEAP).unwrap();
        let kept = WrappingKey::from_secret(key.as_secret().clone());
        assert!(same(&stored.unwrap(&kept, &alice.device_secret).unwrap(), &alice.keychain));
    }

    /// KEY-3: the device alone opens what is always readable, and nothing else.
    #[test]
    fn the_device_secret_opens_one_class() {
        let alice = alice();
        let keychain = alice.keybag.unwrap_always(&alice.device_secret).unwrap();
        assert_eq!(keychain.state(), State::BeforeFirstUnlock);
        let has = |class: &Class| keychain.get(*class).is_some();
        assert_eq!(Class::ALL.into_iter().filter(has).collect::<Vec<_>>(), [Class::AlwaysThisDeviceOnly]);
        let mut rest = alice.keychain.clone();
        rest.forget();
        assert!(same(&keychain, &rest));
    }

    /// KEY-2: what is wrong is told apart, and no work is done for a keybag that asks for too little.
    #[test]
    fn each_cause_has_its_own_error() {
        let alice = alice();
        let wrong = SecretBytes::copy_of(b"correct horsf");
        let key = alice.keybag.wrapping_key(&wrong, &alice.device_secret, CHEAP).unwrap();
        assert_eq!(alice.keybag.unwrap(&key, &alice.device_secret).unwrap_err(), KeybagError::WrongPassphrase);
        let other = Secret::fill_with(|bytes| *bytes = [7; 32]);
        let refused = alice.keybag.wrapping_key(&alice.passphrase, &other, CHEAP).map(|_| ());
        assert_eq!(refused, Err(KeybagError::ForeignDeviceSecret));
        assert_eq!(alice.keybag.unwrap_always(&other).unwrap_err(), KeybagError::ForeignDeviceSecret);
        let floor = PasswordParams::PRODUCTION;
        let refused = alice.keybag.wrapping_key(&alice.passphrase, &alice.device_secret, floor).map(|_| ());
        assert_eq!(refused, Err(KeybagError::Weakened));
        assert_eq!(Keybag::from_bytes(&alice.keybag.as_bytes()[1..]), Err(KeybagError::Damaged));
        let mut greedy = *alice.keybag.as_bytes();
        greedy[..8].fill(0xff);
        assert_eq!(Keybag::from_bytes(&greedy), Err(KeybagError::Damaged));
        let mut locked = alice.keychain.clone();
        locked.lock();
        let mut rng = StdRng::seed_from_u64(2);
        assert_eq!(Keybag::wrap(&locked, &alice.passphrase, &alice.device_secret, CHEAP, &mut rng), Err(Locked));
    }

    /// KEY-2: whoever can write it gets no other keys out of it.
    #[test]
    fn a_changed_keybag_gives_no_keys() {
        let alice = alice();
        for at in 0..KEYBAG_BYTES {
            // The work asked for stays within what a test can do.
            if at < PARAMS_BYTES && at % 4 != 3 {
                continue;
            }
            let mut bytes = *alice.keybag.as_bytes();
            bytes[at] ^= 1;
            let opened = Keybag::from_bytes(&bytes).and_then(|keybag| alice.open(&keybag));
            assert!(opened.is_err(), "byte {at}");
        }
        // The keys of two classes, in each other's place.
        let mut bytes = *alice.keybag.as_bytes();
        let (first, second) = bytes[HEADER_BYTES..].split_at_mut(ENTRY_BYTES);
        first.swap_with_slice(&mut second[..ENTRY_BYTES]);
        assert!(alice.open(&Keybag::from_bytes(&bytes).unwrap()).is_err());
    }
}
