//! The data folder: who may use it, and the secrets in it.
//!
//! Owns `halcyond.lock`, `server.secrets` and the mark of an orderly shutdown. Does not know what the secrets are or what
//! the databases beside them hold.
//!
//! - One server at a time: the lock is the kernel's, so a killed server leaves none behind.
//! - Folder and files are for their owner alone (0700, 0600).

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use halcyon_crypto::SecretBytes;

use crate::directory::LastShutdown;

/// A data folder that this process holds.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    last: LastShutdown,
    // Held open: closing it gives the lock back.
    _lock: File,
}

/// Why the folder cannot be used. Nothing was started, and nothing in it was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// Another server has it.
    #[error("another server uses {path}; stop that one, or choose another data folder", path = .0.display())]
    Locked(PathBuf),
    /// The operating system refuses.
    #[error("the data folder cannot be used: {path}: {source}; check that it exists, and that this user may write to it", path = path.display())]
    Unusable {
        /// Which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The disk is full.
    #[error("the disk of the data folder {path} is full; make room and start again", path = .0.display())]
    Full(PathBuf),
    /// The databases are there and the secrets are not: made anew, every password would be wrong.
    #[error("{path} is missing but the folder has a directory in it; restore it from a backup, no password works without it", path = .0.display())]
    SecretsMissing(PathBuf),
}

const LOCK: &str = "halcyond.lock";
const SECRETS: &str = "server.secrets";
const CLEAN: &str = "clean-shutdown";

impl Folder {
    /// Takes a folder, making it if it is not there.
    ///
    /// # Errors
    /// [`FolderError`]
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        make_durably(path).map_err(|error| unusable(path, error))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(|error| unusable(path, error))?;
        let lock_path = path.join(LOCK);
        let lock =
            private().create(true).truncate(false).open(&lock_path).map_err(|error| unusable(&lock_path, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FolderError::Locked(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(unusable(&lock_path, error)),
        }
        let mark = path.join(CLEAN);
        let last = if mark.exists() { LastShutdown::Clean } else { LastShutdown::Unclean };
        if last == LastShutdown::Unclean {
            renew_logs(path)?;
        }
        // From here on the shutdown counts as unclean until `close`.
        if last == LastShutdown::Clean {
            fs::remove_file(&mark).and_then(|()| sync_folder(path)).map_err(|error| unusable(&mark, error))?;
        }
        Ok(Self { path: path.to_owned(), last, _lock: lock })
    }

    /// Returns the path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns how the server before this one ended, which decides whether the databases are checked.
    #[must_use]
    pub fn last_shutdown(&self) -> LastShutdown {
        self.last
    }

    /// Returns the server's secrets, made by `make` and stored when the folder is new.
    ///
    /// # Errors
    /// [`FolderError`]
    pub fn secrets(&self, make: impl FnOnce() -> SecretBytes) -> Result<SecretBytes, FolderError> {
        let path = self.path.join(SECRETS);
        match fs::read(&path) {
            Ok(bytes) => return Ok(SecretBytes::from_vec(bytes)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(&path, error)),
            Err(_) => {}
        }
        if self.path.join("directory.db").exists() {
            return Err(FolderError::SecretsMissing(path));
        }
        let secrets = make();
        write_atomically(&path, secrets.expose()).map_err(|error| unusable(&path, error))?;
        Ok(secrets)
    }

    /// Marks the shutdown as orderly and gives the folder back. To be called after the databases were closed.
    ///
    /// # Errors
    /// [`FolderError`]; the next start checks the databases, and nothing else is lost.
    pub fn close(self) -> Result<(), FolderError> {
        let mark = self.path.join(CLEAN);
        write_atomically(&mark, b"").map_err(|error| unusable(&mark, error))
    }
}

/// Makes a folder and those above it. Durable files in a folder whose own name is not would be lost with it (I10).
fn make_durably(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
    // A folder that was there may have been made by a server that was killed before it came to this.
    let named = if missing.is_empty() { vec![path.as_path()] } else { missing };
    for parent in named.iter().rev().filter_map(|folder| folder.parent()) {
        match sync_folder(parent) {
            // Whoever may not look into the folder above did not make this one.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced?,
        }
    }
    Ok(())
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

/// Writes beside, syncs and renames, so that a crash leaves nothing or all.
fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = private().create(true).truncate(true).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Writes every write-ahead log over itself and syncs it. After a failed sync the system may show bytes that are not on the disk
/// and that no later sync writes, since it believes them written; a log that goes on behind them would end there after a power
/// cut, with everything that was accepted since (COU-44, STO-7).
fn renew_logs(folder: &Path) -> Result<(), FolderError> {
    let entries = fs::read_dir(folder).map_err(|error| unusable(folder, error))?;
    for entry in entries {
        let path = entry.map_err(|error| unusable(folder, error))?.path();
        if path.to_string_lossy().ends_with(LOG_SUFFIX) {
            match renew(&path) {
                // Reading and deleting go on where nothing can be written; no new bytes come to stand behind the old.
                Err(error) if is_full(&error) => {}
                renewed => renewed.map_err(|error| unusable(&path, error))?,
            }
        }
    }
    Ok(())
}

fn renew(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut buffer = vec![0; RENEW_BYTES];
    let mut at = 0;
    loop {
        let got = file.read_at(&mut buffer, at)?;
        if got == 0 {
            break;
        }
        file.write_all_at(&buffer[..got], at)?;
        at += got as u64;
    }
    if at == 0 { Ok(()) } else { file.sync_all() }
}

/// What SQLite calls the log beside a database.
const LOG_SUFFIX: &str = "-wal";
/// Bytes of a log that are read and written at once.
const RENEW_BYTES: usize = 1 << 20;

fn unusable(path: &Path, source: io::Error) -> FolderError {
    if is_full(&source) {
        FolderError::Full(path.to_owned())
    } else {
        FolderError::Unusable { path: path.to_owned(), source }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: u8) -> SecretBytes {
        SecretBytes::copy_of(&[byte; 4])
    }

    /// Two servers on one folder would overwrite each other.
    #[test]
    fn a_second_server_is_refused_until_the_first_ends() {
        let root = tempfile::tempdir().unwrap();
        let first = Folder::open(root.path()).unwrap();
        assert!(matches!(Folder::open(root.path()), Err(FolderError::Locked(_))));
        drop(first);
        assert!(Folder::open(root.path()).is_ok());
    }

    #[test]
    fn secrets_are_made_once_and_are_private() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        assert_eq!(folder.secrets(|| secret(1)).unwrap().expose(), [1; 4]);
        assert_eq!(folder.secrets(|| secret(2)).unwrap().expose(), [1; 4]);
        let mode = |name: &str| fs::metadata(root.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("server.secrets"), mode("halcyond.lock"), mode(".")), (0o600, 0o600, 0o700));
    }

    /// An operator who restored half a backup is told, before people find their passwords wrong.
    #[test]
    fn lost_secrets_are_not_replaced_by_new_ones() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        fs::write(root.path().join("directory.db"), "").unwrap();
        assert!(matches!(folder.secrets(|| secret(1)), Err(FolderError::SecretsMissing(_))));
    }

    #[test]
    fn only_an_orderly_shutdown_is_clean() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        assert_eq!(folder.last_shutdown(), LastShutdown::Unclean);
        folder.close().unwrap();
        let again = Folder::open(root.path()).unwrap();
        assert_eq!(again.last_shutdown(), LastShutdown::Clean);
        drop(again);
        assert_eq!(Folder::open(root.path()).unwrap().last_shutdown(), LastShutdown::Unclean);
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        fs::write(&path, "").unwrap();
        let error = Folder::open(&path).unwrap_err();
        assert!(error.to_string().contains("data"), "{error}");
    }
}
