//! A profile folder: makes it, opens it, and gives the database that lies in it.
//!
//! Owns the order in which the files of a new profile come to be, and the lock that keeps a second process out.
//! Does not know tables.
//!
//! - One process a profile at a time.
//! - A crash while a profile is made leaves either no profile, to be made again, or a whole one.
//! - A profile that lacks a file is never silently replaced by an empty one.
//!
//! ```text
//! profile.lock    held while the profile is open
//! device-secret   32 bytes for the owner's eyes, or
//! device-secret.keyring  which item of the system's keyring has them
//! profile.key     the keybag, and the key of the store
//! receiver        by what the device receives before anybody unlocked it; inbox: what it received so
//! store.db        the database, sealed pages; store.db-log its write-ahead log, sealed frames
//! ```

use std::{io, path::Path, sync::Arc};

use halcyon_crypto::{Rng, Secret, SecretBytes, password::PasswordParams};
use halcyon_keychain::{Keychain, WrappingKey};

use crate::{
    database::{self, DatabaseError, EncryptedDb},
    device_secret::{DeviceSecretChoice, DeviceSecretError, DeviceSecretPlace, DeviceSecretStore, KeptDeviceSecret},
    disk::{self, Disk, Folder, Lock},
    keyring,
    keys::ProfileKeys,
    page_cipher::{self, Nonces},
    profile_key::{self, FILE_BYTES, KEY_FILE, KeyFile, KeyFileError, Unlocked},
    sealed_files::log_name,
};

/// The database's name in the profile folder.
pub const DATABASE_FILE: &str = "store.db";
/// The name of the file whose lock says that the profile is in use.
pub const LOCK_FILE: &str = "profile.lock";
/// The database's name until the profile is whole.
const UNFINISHED_DATABASE_FILE: &str = "store.db.new";

/// Why a profile could not be made or opened. What was there before is unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The folder holds no profile.
    #[error("there is no profile here: register or link this device first")]
    Missing,
    /// The folder holds a profile already.
    #[error("there is a profile here already: open it, or choose another folder")]
    Exists,
    /// Another process has the profile open.
    #[error("the profile is in use by another process: stop it, or choose another profile")]
    InUse,
    /// Passphrase or `profile.key`.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// There is a database but no `profile.key`.
    #[error("profile.key is gone: put it back from a copy; without it the profile cannot be opened")]
    KeyFileMissing,
    /// There is a `profile.key` but no device secret.
    #[error(
        "the device secret is gone: put back the file device-secret, or device-secret.keyring if the keyring had it; \
         without it the profile cannot be opened"
    )]
    DeviceSecretMissing,
    /// The device secret is there, but not usable.
    #[error(transparent)]
    DeviceSecret(DeviceSecretError),
    /// There is a `profile.key` but no database.
    #[error("store.db is gone: put it back from a copy, or make a new profile in another folder")]
    DatabaseMissing,
    /// The database belongs to another profile.
    #[error("store.db was not made with this profile.key: put back the two that belong together")]
    DatabaseForeign,
    /// The database did not open for another reason.
    #[error(transparent)]
    Database(DatabaseError),
    /// The folder may not be written.
    #[error("the profile folder cannot be written: check that it is a folder, who owns it, and its permissions")]
    Unwritable(#[source] io::Error),
    /// The device is full.
    #[error("no space left where the profile lies: make room and try again")]
    DiskFull(#[source] io::Error),
    /// Any other failure of the disk.
    #[error("the profile folder cannot be read or written: check the disk")]
    Io(#[source] io::Error),
}

impl From<io::Error> for ProfileError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            // A file stands where the folder, or one above it, should be.
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::AlreadyExists => Self::Unwritable(error),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull(error),
            _ => Self::Io(error),
        }
    }
}

impl From<DeviceSecretError> for ProfileError {
    fn from(error: DeviceSecretError) -> Self {
        match error {
            DeviceSecretError::Io(error) => error.into(),
            other => Self::DeviceSecret(other),
        }
    }
}

/// A folder that holds a profile, or is to hold one.
#[derive(Clone)]
pub struct Profile {
    disk: Arc<dyn Disk>,
    device_secrets: Arc<dyn DeviceSecretStore>,
    /// Where the key is kept that opens it without the passphrase (KEY-9), if it can be kept.
    unlock_keys: Option<Arc<dyn DeviceSecretStore>>,
    /// What a guess at the passphrase costs at least, and what it costs in what is made from here.
    work: PasswordParams,
    new_work: PasswordParams,
}

impl Profile {
    /// Takes the folder at `path`, made if need be. The device secret of a profile that is made becomes a file in it; the
    /// one of a profile that is there is found where it was put.
    ///
    /// `work` is what a guess at the passphrase costs in profiles made from here, and the least that is accepted of
    /// one that is opened: [`PasswordParams::PRODUCTION`], except in tests.
    ///
    /// # Errors
    /// [`ProfileError::Unwritable`], [`ProfileError::DiskFull`], [`ProfileError::Io`].
    pub fn at(path: &Path, work: PasswordParams) -> Result<Self, ProfileError> {
        Self::choosing(path, DeviceSecretChoice::File, work)
    }

    /// As [`at`](Self::at), with a choice where the device secret of a profile that is made is kept.
    ///
    /// # Errors
    /// As [`at`](Self::at).
    pub fn choosing(path: &Path, choice: DeviceSecretChoice, work: PasswordParams) -> Result<Self, ProfileError> {
        let disk: Arc<dyn Disk> = Arc::new(Folder::at(path)?);
        let device_secrets = Arc::new(KeptDeviceSecret::new(disk.clone(), path, choice, keyring::system())?);
        let unlock_keys = KeptDeviceSecret::unlock_key(disk.clone(), path, keyring::system())?;
        Ok(Self { unlock_keys: Some(Arc::new(unlock_keys)), ..Self::on(disk, device_secrets, work) })
    }

    /// Takes a folder on another disk, or with the device secret kept elsewhere.
    #[must_use]
    pub fn on(disk: Arc<dyn Disk>, device_secrets: Arc<dyn DeviceSecretStore>, work: PasswordParams) -> Self {
        Self { disk, device_secrets, unlock_keys: None, work, new_work: work }
    }

    /// The same, where a guess at a passphrase that is chosen from now on costs more (KEY-2).
    #[must_use]
    pub fn with_new_work(self, new_work: PasswordParams) -> Self {
        Self { new_work, ..self }
    }

    /// Says whether there is a profile, whole or not, so that [`open`](Self::open) is the call to make.
    ///
    /// # Errors
    /// [`ProfileError::Io`].
    pub fn exists(&self) -> Result<bool, ProfileError> {
        Ok(self.disk.exists(KEY_FILE)? || self.disk.exists(DATABASE_FILE)?)
    }

    /// Says where the device secret is; `None` if nothing says that there is one. Looks into the folder only.
    ///
    /// # Errors
    /// [`ProfileError::DeviceSecret`], [`ProfileError::Io`].
    pub fn device_secret_place(&self) -> Result<Option<DeviceSecretPlace>, ProfileError> {
        Ok(self.device_secrets.place()?)
    }

    /// Destroys the device secret, wherever it is: from then on nobody can open the profile. What else lies in the folder
    /// is the caller's to remove. No lock is asked for, since the caller may have the profile open.
    ///
    /// # Errors
    /// [`ProfileError::DeviceSecret`], and those of the disk.
    pub fn destroy_device_secret(&self) -> Result<(), ProfileError> {
        self.forget_unlock_key()?;
        Ok(self.device_secrets.remove()?) // STO-6
    }

    /// Makes a profile with an empty database, and opens it. Takes as long as one guess at a passphrase.
    ///
    /// `rng` stays with the database: every page that is written takes 12 bytes from it.
    ///
    /// # Errors
    /// [`ProfileError::Exists`], [`ProfileError::InUse`], and those of the disk.
    pub fn create(&self, passphrase: &SecretBytes, mut rng: Box<dyn Rng + Send>) -> Result<EncryptedDb, ProfileError> {
        let lock = self.lock()?;
        if self.exists()? {
            return Err(ProfileError::Exists);
        }
        let device_secret = match self.device_secrets.load()? {
            // Left by an attempt that was cut off, or kept for us by the system.
            Some(secret) => secret,
            None => {
                let secret = Secret::random(rng.as_mut());
                self.device_secrets.keep(&secret, rng.as_mut())?;
                secret
            }
        };
        let unlocked = Unlocked { data_key: Secret::random(rng.as_mut()), keychain: Keychain::generate(rng.as_mut()) };
        let key_file = profile_key::wrap(&unlocked, passphrase, &device_secret, self.new_work, rng.as_mut());
        // The database is whole and durable under its first name before the key file says that there is a profile,
        // and `open` gives it its real name if we do not come to it.
        self.remove_if_there(&log_name(UNFINISHED_DATABASE_FILE))?;
        self.remove_if_there(UNFINISHED_DATABASE_FILE)?;
        let nonces = page_cipher::nonces(rng);
        database::create(self.disk.clone(), UNFINISHED_DATABASE_FILE, &unlocked.data_key, nonces.clone())
            .map_err(database_error)?;
        disk::replace(self.disk.as_ref(), KEY_FILE, &key_file)?;
        self.finish()?;
        self.open_database(unlocked, nonces, lock)
    }

    /// Opens the profile. Takes as long as one guess at a passphrase.
    ///
    /// `rng` stays with the database: every page that is written takes 12 bytes from it.
    ///
    /// # Errors
    /// One variant of [`ProfileError`] for each cause, so that people learn what to mend.
    pub fn open(&self, passphrase: &SecretBytes, mut rng: Box<dyn Rng + Send>) -> Result<EncryptedDb, ProfileError> {
        let lock = self.lock()?;
        let (file, device_secret) = self.key_file()?;
        let unlocked = file.open(passphrase, &device_secret, self.work, rng.as_mut())?;
        if let KeyFile::First(_) = file {
            // Before anything is sealed with the class keys that it just got.
            let renewed = profile_key::wrap(&unlocked, passphrase, &device_secret, self.new_work, rng.as_mut());
            disk::replace(self.disk.as_ref(), KEY_FILE, &renewed)?;
        }
        self.finish()?;
        self.open_database(unlocked, page_cipher::nonces(rng), lock)
    }

    /// Opens the profile with what the passphrase was stretched to, which [`ProfileKeys::wrapping_key`] gave (KEY-9).
    ///
    /// # Errors
    /// As [`open`](Self::open); [`KeyFileError::WrongPassphrase`] if the passphrase is another one by now.
    pub fn open_with(&self, key: &WrappingKey, rng: Box<dyn Rng + Send>) -> Result<EncryptedDb, ProfileError> {
        let lock = self.lock()?;
        let (file, device_secret) = self.key_file()?;
        let unlocked = file.open_with(key, &device_secret)?;
        self.finish()?;
        self.open_database(unlocked, page_cipher::nonces(rng), lock)
    }

    /// Keeps what the passphrase is stretched to in the system's keyring, so that the profile opens without it from now on (KEY-9). Takes as
    /// long as one guess at the passphrase.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`ProfileError::DeviceSecret`] if the keyring cannot be used.
    pub fn keep_unlock_key(&self, passphrase: &SecretBytes, rng: &mut dyn Rng) -> Result<(), ProfileError> {
        let key = self.wrapping_key(passphrase)?;
        self.forget_unlock_key()?;
        match &self.unlock_keys {
            Some(keys) => Ok(keys.keep(key.as_secret(), rng)?),
            None => Ok(()),
        }
    }

    /// Removes it again. There being none is a success.
    ///
    /// # Errors
    /// [`ProfileError::DeviceSecret`]; it may then still be there.
    pub fn forget_unlock_key(&self) -> Result<(), ProfileError> {
        match &self.unlock_keys {
            Some(keys) => Ok(keys.remove()?),
            None => Ok(()),
        }
    }

    /// Returns what was kept; nothing if nothing says that there is any.
    ///
    /// # Errors
    /// [`ProfileError::DeviceSecret`] if the keyring has it, and does not give it.
    pub fn unlock_key(&self) -> Result<Option<WrappingKey>, ProfileError> {
        match &self.unlock_keys {
            Some(keys) => Ok(keys.load()?.map(WrappingKey::from_secret)),
            None => Ok(None),
        }
    }

    /// Returns the keys that can be read before anybody unlocked the profile (KEY-3); nothing in a profile that an older version of this
    /// program made, and that was not opened since.
    ///
    /// # Errors
    /// As [`open`](Self::open), but for the passphrase.
    pub fn locked_keys(&self) -> Result<Option<ProfileKeys>, ProfileError> {
        let (file, device_secret) = self.key_file()?;
        let keychain = file.open_always(&device_secret)?;
        Ok(keychain.map(|keychain| ProfileKeys::new(self.clone(), keychain)))
    }

    /// Wraps the data key under another passphrase. The database stays open and is not rewritten, so copies of
    /// `profile.key` from before still open with the old passphrase: destroy them.
    ///
    /// # Errors
    /// As [`open`](Self::open). The old passphrase is then still the one, unless the disk failed at the very end.
    pub(crate) fn change_passphrase(
        &self,
        current: &SecretBytes,
        new: &SecretBytes,
        rng: &mut dyn Rng,
    ) -> Result<(), ProfileError> {
        let (file, device_secret) = self.key_file()?;
        let unlocked = file.open(current, &device_secret, self.work, rng)?;
        let key_file = profile_key::wrap(&unlocked, new, &device_secret, self.new_work, rng);
        Ok(disk::replace(self.disk.as_ref(), KEY_FILE, &key_file)?)
    }

    fn lock(&self) -> Result<Box<dyn Lock>, ProfileError> {
        self.disk.lock(LOCK_FILE)?.ok_or(ProfileError::InUse)
    }

    /// Returns the keys of all classes.
    pub(crate) fn unlock(&self, passphrase: &SecretBytes, rng: &mut dyn Rng) -> Result<Keychain, ProfileError> {
        let (file, device_secret) = self.key_file()?;
        Ok(file.open(passphrase, &device_secret, self.work, rng)?.keychain)
    }

    pub(crate) fn unlock_with(&self, key: &WrappingKey) -> Result<Keychain, ProfileError> {
        let (file, device_secret) = self.key_file()?;
        Ok(file.open_with(key, &device_secret)?.keychain)
    }

    /// Returns what a passphrase is stretched to, if it is the right one.
    pub(crate) fn wrapping_key(&self, passphrase: &SecretBytes) -> Result<WrappingKey, ProfileError> {
        let (file, device_secret) = self.key_file()?;
        let KeyFile::Bag(keybag, _) = file else { return Err(KeyFileError::Damaged.into()) };
        let key = keybag.wrapping_key(passphrase, &device_secret, self.work).map_err(KeyFileError::from)?;
        keybag.unwrap(&key, &device_secret).map_err(KeyFileError::from)?;
        Ok(key)
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    fn key_file(&self) -> Result<(KeyFile, Secret<32>), ProfileError> {
        let key_file = match disk::read(self.disk.as_ref(), KEY_FILE, KEY_FILE_BYTES_MAX) {
            Ok(Some(key_file)) => key_file,
            Ok(None) if self.disk.exists(DATABASE_FILE)? => return Err(ProfileError::KeyFileMissing),
            Ok(None) => return Err(ProfileError::Missing),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => return Err(KeyFileError::Damaged.into()),
            Err(error) => return Err(error.into()),
        };
        let file = KeyFile::read(&key_file)?;
        let device_secret = self.device_secrets.load()?.ok_or(ProfileError::DeviceSecretMissing)?;
        Ok((file, device_secret))
    }

    /// Gives the database its real name if making the profile was cut off just before.
    fn finish(&self) -> Result<(), ProfileError> {
        if self.disk.exists(DATABASE_FILE)? {
            return Ok(());
        }
        if !self.disk.exists(UNFINISHED_DATABASE_FILE)? {
            return Err(ProfileError::DatabaseMissing);
        }
        self.disk.rename(UNFINISHED_DATABASE_FILE, DATABASE_FILE)?;
        Ok(self.disk.sync_folder()?)
    }

    fn open_database(
        &self,
        unlocked: Unlocked,
        nonces: Nonces,
        lock: Box<dyn Lock>,
    ) -> Result<EncryptedDb, ProfileError> {
        let Unlocked { keychain, data_key } = unlocked;
        let keys = ProfileKeys::new(self.clone(), keychain);
        EncryptedDb::open(keys, self.disk.clone(), DATABASE_FILE, &data_key, nonces, lock).map_err(database_error)
    }

    fn remove_if_there(&self, name: &str) -> Result<(), ProfileError> {
        if self.disk.exists(name)? {
            self.disk.remove(name)?;
        }
        Ok(())
    }
}

/// Longest `profile.key` that is read: several times ours, so that a later version is recognized as one.
const KEY_FILE_BYTES_MAX: u64 = 16 * FILE_BYTES as u64;

fn database_error(error: database::OpenError) -> ProfileError {
    match error {
        database::OpenError::Foreign => ProfileError::DatabaseForeign,
        database::OpenError::Io(error) => error.into(),
        database::OpenError::Database(error) => ProfileError::Database(error),
    }
}
