//! Making and opening a profile: who gets in, and what people are told who do not.

use halcyon_client_store::{DATABASE_FILE, DEVICE_SECRET_FILE, KEY_FILE, KeyFileError, Profile, ProfileError};
use halcyon_crypto::{SecretBytes, password::PasswordParams};

use crate::{
    diary::{self, CHEAP, passphrase, profile_on, rng},
    sim_disk::SimDisk,
};

fn alices() -> SimDisk {
    let disk = SimDisk::default();
    let mut diary = diary::open(&disk, 1).unwrap();
    diary.write(0).unwrap();
    drop(diary);
    disk
}

fn refusal(disk: &SimDisk) -> ProfileError {
    profile_on(disk).open(&passphrase(), rng(9)).unwrap_err()
}

#[test]
fn a_profile_is_made_once_and_opened_often() {
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::at(&folder.path().join("alice"), CHEAP).unwrap();
    assert!(!profile.exists().unwrap());
    assert!(matches!(profile.open(&passphrase(), rng(1)).unwrap_err(), ProfileError::Missing));
    let db = profile.create(&passphrase(), rng(1)).unwrap();
    db.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
    drop(db);
    assert!(profile.exists().unwrap());
    assert!(matches!(profile.create(&passphrase(), rng(2)).unwrap_err(), ProfileError::Exists));
    for seed in 3..6 {
        let db = profile.open(&passphrase(), rng(seed)).unwrap();
        assert_eq!(db.query_row("SELECT x FROM t", [], |row| row.get::<_, i64>(0)).unwrap(), 1);
    }
}

#[test]
fn one_process_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::at(folder.path(), CHEAP).unwrap();
    let db = profile.create(&passphrase(), rng(1)).unwrap();
    let second = Profile::at(folder.path(), CHEAP).unwrap();
    assert!(matches!(second.open(&passphrase(), rng(2)).unwrap_err(), ProfileError::InUse));
    drop(db);
    second.open(&passphrase(), rng(2)).unwrap();
}

#[test]
fn a_wrong_passphrase_is_told_from_all_else() {
    let disk = alices();
    let wrong = profile_on(&disk).open(&SecretBytes::copy_of(b"correct house"), rng(2)).unwrap_err();
    assert!(matches!(wrong, ProfileError::Key(KeyFileError::WrongPassphrase)));
    assert_eq!(wrong.to_string(), "wrong passphrase: try again");
    assert_eq!(diary::open(&disk, 3).unwrap().read().unwrap(), 1, "a wrong guess harms nothing");
}

#[test]
fn the_passphrase_can_be_changed() {
    let disk = alices();
    let new = SecretBytes::copy_of(b"battery staple");
    let db = profile_on(&disk).open(&passphrase(), rng(2)).unwrap();
    let wrong = db.change_passphrase(&new, &new, rng(3).as_mut()).unwrap_err();
    assert!(matches!(wrong, ProfileError::Key(KeyFileError::WrongPassphrase)));
    db.change_passphrase(&passphrase(), &new, rng(3).as_mut()).unwrap();
    db.execute_batch("CREATE TABLE still_open (x)").unwrap();
    drop(db);
    assert!(matches!(refusal(&disk), ProfileError::Key(KeyFileError::WrongPassphrase)));
    let db = profile_on(&disk).open(&new, rng(4)).unwrap();
    assert_eq!(diary::Diary { db }.read().unwrap(), 1);
}

#[test]
fn each_missing_file_has_its_own_error() {
    let disk = alices();
    disk.lose(DEVICE_SECRET_FILE);
    assert!(matches!(refusal(&disk), ProfileError::DeviceSecretMissing));

    let disk = alices();
    disk.lose(KEY_FILE);
    assert!(matches!(refusal(&disk), ProfileError::KeyFileMissing));
    let again = profile_on(&disk).create(&passphrase(), rng(2)).unwrap_err();
    assert!(matches!(again, ProfileError::Exists), "a profile in trouble is not written over");

    let disk = alices();
    disk.lose(DATABASE_FILE);
    assert!(matches!(refusal(&disk), ProfileError::DatabaseMissing));
}

/// STO-1: the passphrase does not open a profile whose device secret is another, and neither of the two is taken for the other.
#[test]
fn each_bad_file_has_its_own_error() {
    let disk = alices();
    disk.tamper(KEY_FILE, |bytes| bytes[40] ^= 1);
    assert!(matches!(refusal(&disk), ProfileError::Key(KeyFileError::Damaged)));
    disk.tamper(KEY_FILE, |bytes| bytes.resize(1 << 20, 0));
    assert!(matches!(refusal(&disk), ProfileError::Key(KeyFileError::Damaged)));

    let disk = alices();
    disk.tamper(DEVICE_SECRET_FILE, |bytes| bytes[0] ^= 1);
    assert!(matches!(refusal(&disk), ProfileError::Key(KeyFileError::ForeignDeviceSecret)));
    disk.tamper(DEVICE_SECRET_FILE, |bytes| bytes.truncate(31));
    assert!(refusal(&disk).to_string().starts_with("device-secret is damaged"));
}

/// Reading the passphrase off somebody's fingers is not enough, so the other half is for its owner alone.
#[test]
fn a_device_secret_that_others_can_read_is_refused() {
    let disk = alices();
    disk.let_others_access(0o040);
    let refused = refusal(&disk).to_string();
    assert!(refused.contains("040") && refused.contains("chmod 600"), "{refused}");
}

#[cfg(unix)]
#[test]
fn a_device_secret_that_others_can_read_is_refused_in_a_real_folder() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let profile = Profile::at(folder.path(), CHEAP).unwrap();
    drop(profile.create(&passphrase(), rng(1)).unwrap());
    let file = folder.path().join(DEVICE_SECRET_FILE);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(profile.open(&passphrase(), rng(2)).unwrap_err(), ProfileError::DeviceSecret(_)));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    profile.open(&passphrase(), rng(2)).unwrap();
}

#[test]
fn a_profile_made_too_cheaply_is_refused_in_production() {
    let folder = tempfile::tempdir().unwrap();
    drop(Profile::at(folder.path(), CHEAP).unwrap().create(&passphrase(), rng(1)).unwrap());
    let production = Profile::at(folder.path(), PasswordParams::PRODUCTION).unwrap();
    let refused = production.open(&passphrase(), rng(2)).unwrap_err();
    assert!(matches!(refused, ProfileError::Key(KeyFileError::Weakened)));
}

#[test]
fn a_folder_that_cannot_be_is_the_callers_to_mend() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for path in [file.path().to_owned(), file.path().join("profile")] {
        let Err(refused) = Profile::at(&path, CHEAP) else { panic!("a folder where a file is") };
        assert!(matches!(refused, ProfileError::Unwritable(_)), "{refused:?}");
    }

    let disk = SimDisk::default();
    disk.set_full(true);
    let refused = profile_on(&disk).create(&passphrase(), rng(1)).unwrap_err();
    assert!(matches!(refused, ProfileError::DiskFull(_)), "{refused:?}");
    disk.set_full(false);
    profile_on(&disk).create(&passphrase(), rng(1)).unwrap();
}
