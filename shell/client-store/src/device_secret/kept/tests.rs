use std::{collections::BTreeMap, path::PathBuf, sync::Mutex};

use halcyon_crypto::rng::RngCore;
use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::disk::Folder;

/// A keyring in memory that can fail in the ways that a real one does not at our command.
#[derive(Default)]
struct Desktop {
    items: Mutex<BTreeMap<String, SecretBytes>>,
    trouble: Mutex<Option<Trouble>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    Silent,
    /// Says yes, and keeps nothing.
    Forgets,
}

impl Desktop {
    fn have(&self, trouble: Option<Trouble>) {
        *self.trouble.lock().unwrap() = trouble;
    }

    fn count(&self) -> usize {
        self.items.lock().unwrap().len()
    }

    fn answer(&self) -> Result<(), KeyringError> {
        let silent = *self.trouble.lock().unwrap() == Some(Trouble::Silent);
        if silent { Err(KeyringError::Silent(3)) } else { Ok(()) }
    }
}

impl Keyring for Desktop {
    fn find(&self, id: &str) -> Result<Option<SecretBytes>, KeyringError> {
        self.answer()?;
        Ok(self.items.lock().unwrap().get(id).map(|value| SecretBytes::copy_of(value.expose())))
    }

    fn keep(&self, item: &Item<'_>, value: &SecretBytes) -> Result<(), KeyringError> {
        self.answer()?;
        if *self.trouble.lock().unwrap() != Some(Trouble::Forgets) {
            self.items.lock().unwrap().insert(item.id.to_owned(), SecretBytes::copy_of(value.expose()));
        }
        Ok(())
    }

    fn remove(&self, id: &str) -> Result<(), KeyringError> {
        self.answer()?;
        self.items.lock().unwrap().remove(id);
        Ok(())
    }
}

struct Alice {
    home: tempfile::TempDir,
    desktop: Arc<Desktop>,
}

impl Alice {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), desktop: Arc::new(Desktop::default()) }
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn secrets(&self, name: &str, choice: DeviceSecretChoice) -> KeptDeviceSecret {
        let folder = self.folder(name);
        let disk = Arc::new(Folder::at(&folder).unwrap());
        KeptDeviceSecret::new(disk, &folder, choice, self.desktop.clone()).unwrap()
    }

    fn has(&self, name: &str, file: &str) -> bool {
        self.folder(name).join(file).exists()
    }
}

fn secret(seed: u64) -> Secret<32> {
    Secret::random(&mut rng(seed))
}

fn rng(seed: u64) -> StdRng {
    let mut rng = StdRng::seed_from_u64(seed);
    rng.next_u64();
    rng
}

fn place(secrets: &KeptDeviceSecret) -> Option<DeviceSecretPlace> {
    secrets.place().unwrap()
}

/// STO-2, STO-3: with a keyring the secret is there and not in the folder, and whoever opens later finds it without choosing.
#[test]
fn the_keyring_is_taken_and_remembered() {
    let alice = Alice::new();
    alice.secrets("phone", DeviceSecretChoice::Auto).keep(&secret(1), &mut rng(9)).unwrap();
    assert!(alice.has("phone", KEYRING_ITEM_FILE) && !alice.has("phone", super::super::DEVICE_SECRET_FILE));
    for choice in [DeviceSecretChoice::Auto, DeviceSecretChoice::File, DeviceSecretChoice::Keyring] {
        let later = alice.secrets("phone", choice);
        assert!(later.load().unwrap().unwrap().ct_eq(&secret(1)));
        assert!(matches!(place(&later), Some(DeviceSecretPlace::Keyring { label }) if label.contains("phone")));
    }
}

/// STO-2: a keyring that is silent, or forgets, is none; who asked for it is told so.
#[test]
fn without_a_keyring_it_is_a_file_unless_a_keyring_was_asked_for() {
    for trouble in [Trouble::Silent, Trouble::Forgets] {
        let alice = Alice::new();
        alice.desktop.have(Some(trouble));
        assert!(alice.secrets("asked", DeviceSecretChoice::Keyring).keep(&secret(1), &mut rng(9)).is_err());
        assert_eq!(place(&alice.secrets("asked", DeviceSecretChoice::Keyring)), None, "nothing was made");
        let auto = alice.secrets("auto", DeviceSecretChoice::Auto);
        auto.keep(&secret(2), &mut rng(9)).unwrap();
        assert_eq!(place(&auto), Some(DeviceSecretPlace::File));
        // STO-3: it stays there when the keyring is back.
        alice.desktop.have(None);
        assert!(alice.secrets("auto", DeviceSecretChoice::Keyring).load().unwrap().unwrap().ct_eq(&secret(2)));
        assert_eq!(alice.desktop.count(), 0);
    }
}

/// STO-4: trouble with the keyring is an error, never "there is none", which would let a second secret be made.
#[test]
fn trouble_is_not_taken_for_absence() {
    let alice = Alice::new();
    let secrets = alice.secrets("phone", DeviceSecretChoice::Auto);
    secrets.keep(&secret(1), &mut rng(9)).unwrap();
    alice.desktop.have(Some(Trouble::Silent));
    assert!(matches!(secrets.load(), Err(DeviceSecretError::Keyring(KeyringError::Silent(3)))));
    assert!(matches!(secrets.remove(), Err(DeviceSecretError::Keyring(_))));
    alice.desktop.have(None);
    assert!(secrets.load().unwrap().is_some());
    alice.desktop.items.lock().unwrap().clear();
    assert!(matches!(secrets.load(), Err(DeviceSecretError::NotInKeyring)));
}

/// STO-4: what is damaged says so.
#[test]
fn damage_is_told() {
    let alice = Alice::new();
    let secrets = alice.secrets("phone", DeviceSecretChoice::Auto);
    secrets.keep(&secret(1), &mut rng(9)).unwrap();
    for value in alice.desktop.items.lock().unwrap().values_mut() {
        *value = SecretBytes::copy_of(b"too short");
    }
    assert!(matches!(secrets.load(), Err(DeviceSecretError::ItemDamaged)));
    let pointer = alice.folder("phone").join(KEYRING_ITEM_FILE);
    let written = std::fs::read_to_string(&pointer).unwrap();
    for bad in
        ["", "keyring 2 00\n", "keyring 1 ../x\n", written.trim_end(), &written.to_uppercase(), &"k".repeat(5000)]
    {
        std::fs::write(&pointer, bad).unwrap();
        assert!(matches!(secrets.load(), Err(DeviceSecretError::PointerDamaged)), "{bad}");
    }
}

/// STO-5: two profiles have two items, a copy does not open, and does not take the original's item along when it is removed.
#[test]
fn a_copy_is_another_folder() {
    let alice = Alice::new();
    let phone = alice.secrets("phone", DeviceSecretChoice::Auto);
    phone.keep(&secret(1), &mut rng(8)).unwrap();
    alice.secrets("work", DeviceSecretChoice::Auto).keep(&secret(2), &mut rng(9)).unwrap();
    assert_eq!(alice.desktop.count(), 2);
    assert!(phone.load().unwrap().unwrap().ct_eq(&secret(1)));

    let copy = alice.secrets("copy", DeviceSecretChoice::Auto);
    std::fs::copy(alice.folder("phone").join(KEYRING_ITEM_FILE), alice.folder("copy").join(KEYRING_ITEM_FILE)).unwrap();
    let Err(DeviceSecretError::Moved { made_in }) = copy.load() else { panic!("a copy has the secret") };
    assert!(made_in.ends_with("phone"), "{made_in}");
    assert!(matches!(copy.remove(), Err(DeviceSecretError::Moved { .. })));
    assert!(phone.load().unwrap().is_some());
}

/// STO-5: a link to the folder is the folder.
#[cfg(unix)]
#[test]
fn a_link_is_the_same_folder() {
    let alice = Alice::new();
    alice.secrets("phone", DeviceSecretChoice::Auto).keep(&secret(1), &mut rng(8)).unwrap();
    std::os::unix::fs::symlink(alice.folder("phone"), alice.folder("link")).unwrap();
    assert!(alice.secrets("link", DeviceSecretChoice::Auto).load().unwrap().is_some());
}

/// STO-6: the item goes, and then what names it.
#[test]
fn a_removed_secret_is_gone_everywhere() {
    let alice = Alice::new();
    let secrets = alice.secrets("phone", DeviceSecretChoice::Auto);
    secrets.keep(&secret(1), &mut rng(9)).unwrap();
    secrets.remove().unwrap();
    assert_eq!(alice.desktop.count(), 0);
    assert_eq!(place(&secrets), None);
    secrets.remove().unwrap();
}

/// No error holds a byte of the secret.
#[test]
fn errors_hold_no_secret() {
    let alice = Alice::new();
    let secrets = alice.secrets("phone", DeviceSecretChoice::Auto);
    secrets.keep(&Secret::try_from(&[b'x'; 32][..]).unwrap(), &mut rng(8)).unwrap();
    let folder = alice.folder("elsewhere");
    std::fs::rename(alice.folder("phone"), &folder).unwrap();
    let error = alice.secrets("elsewhere", DeviceSecretChoice::Auto).load().unwrap_err();
    assert!(!format!("{error} {error:?}").contains("xxx"), "{error:?}");
}
