//! The data folder of the quickstart: server, mails, and the four profiles.
//!
//! Owns making it, keeping others out, and emptying it. Does not know what server and profiles write into their parts.
//!
//! ```text
//! halcyon-quickstart.txt   says what the folder is, and whether the people in it are complete; locked while it is in use
//! server/                  the server's data, its certificate authority, its mails
//! alice-phone/ …           one profile each
//! ```
//!
//! - A folder that is not ours is never emptied: only one with the marker is.
//! - A start that was cut off before everybody was there is begun anew by the next one; nobody said anything by then.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::cast::Device;

const MARKER: &str = "halcyon-quickstart.txt";
const MARKER_FIRST_LINE: &str = "Data of Halcyon's quickstart. Made by the program, and deleted by `--fresh`.\n";
const COMPLETE_LINE: &str = "complete\n";
const SERVER: &str = "server";

/// Why the folder cannot be used. The person's move.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    #[error("{path} is not the quickstart's: it has files and no {MARKER}; choose another folder with --data FOLDER", path = .0.display())]
    Foreign(PathBuf),
    #[error("another quickstart runs in {path}; end it, or choose another folder with --data FOLDER", path = .0.display())]
    InUse(PathBuf),
    #[error("{path}: {source}; check its permissions and the disk, or choose another folder with --data FOLDER", path = path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// The folder, ours alone while the value lives.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    marker: File,
}

/// Whether the people were there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing was there, or nothing that counts.
    New,
    /// Server, accounts and profiles of an earlier start.
    Complete,
}

/// Whether an earlier start's data are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Earlier {
    Keep,
    Delete,
}

impl DataFolder {
    /// Makes the folder if need be, locks it, and empties it if asked or if an earlier start was cut off.
    pub(crate) fn open(path: &Path, earlier: Earlier) -> Result<(Self, Found), FolderError> {
        let failed = |source| FolderError::Io { path: path.to_owned(), source };
        make(path).map_err(failed)?;
        let marker_path = path.join(MARKER);
        if !marker_path.exists() && fs::read_dir(path).map_err(failed)?.next().is_some() {
            return Err(FolderError::Foreign(path.to_owned()));
        }
        let mut marker = File::options().read(true).append(true).create(true).open(&marker_path).map_err(failed)?;
        match marker.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(FolderError::InUse(path.to_owned())),
            Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
        }
        let mut text = String::new();
        marker.read_to_string(&mut text).map_err(failed)?;
        let found =
            if text.ends_with(COMPLETE_LINE) && earlier == Earlier::Keep { Found::Complete } else { Found::New };
        if found == Found::New {
            marker.set_len(0).and_then(|()| marker.write_all(MARKER_FIRST_LINE.as_bytes())).map_err(failed)?;
            empty(path).map_err(failed)?;
        }
        Ok((Self { path: path.to_owned(), marker }, found))
    }

    /// Notes that everybody is there, so that the next start goes on with them.
    pub(crate) fn set_complete(&mut self) -> Result<(), FolderError> {
        let noted = self.marker.write_all(COMPLETE_LINE.as_bytes()).and_then(|()| self.marker.sync_all());
        noted.map_err(|source| FolderError::Io { path: self.path.clone(), source })
    }

    /// The server's part.
    pub(crate) fn server(&self) -> PathBuf {
        self.path.join(SERVER)
    }

    /// A device's part.
    pub(crate) fn profile(&self, device: Device) -> PathBuf {
        self.path.join(device.folder())
    }
}

/// The folder holds keys, so it is for its owner alone.
fn make(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Deletes what the quickstart makes, by name, and nothing else.
fn empty(path: &Path) -> io::Result<()> {
    let profiles = Device::ALL.into_iter().map(Device::folder);
    for part in profiles.chain([SERVER.to_owned()]) {
        match fs::remove_dir_all(path.join(part)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_folder_is_kept_until_fresh_is_asked_for() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("data");
        let (mut folder, found) = DataFolder::open(&path, Earlier::Keep).unwrap();
        assert_eq!(found, Found::New);
        fs::create_dir(folder.server()).unwrap();
        folder.set_complete().unwrap();
        drop(folder);

        let (folder, found) = DataFolder::open(&path, Earlier::Keep).unwrap();
        assert_eq!(found, Found::Complete);
        assert!(folder.server().exists());
        drop(folder);

        let (folder, found) = DataFolder::open(&path, Earlier::Delete).unwrap();
        assert_eq!(found, Found::New);
        assert!(!folder.server().exists());
    }

    #[test]
    fn a_start_that_was_cut_off_is_begun_anew() {
        let above = tempfile::tempdir().unwrap();
        let (folder, _) = DataFolder::open(above.path(), Earlier::Keep).unwrap();
        fs::create_dir(folder.profile(Device::BobTablet)).unwrap();
        drop(folder);
        let (folder, found) = DataFolder::open(above.path(), Earlier::Keep).unwrap();
        assert_eq!(found, Found::New);
        assert!(!folder.profile(Device::BobTablet).exists());
    }

    /// `--fresh` in the wrong folder deletes nothing.
    #[test]
    fn a_strangers_folder_is_left_alone() {
        let strangers = tempfile::tempdir().unwrap();
        fs::create_dir(strangers.path().join("server")).unwrap();
        let refused = DataFolder::open(strangers.path(), Earlier::Delete);
        assert!(matches!(refused, Err(FolderError::Foreign(_))), "{refused:?}");
        assert!(strangers.path().join("server").exists());
    }

    #[test]
    fn a_second_quickstart_in_the_folder_is_refused() {
        let above = tempfile::tempdir().unwrap();
        let _first = DataFolder::open(above.path(), Earlier::Keep).unwrap();
        let second = DataFolder::open(above.path(), Earlier::Delete);
        assert!(matches!(second, Err(FolderError::InUse(_))), "{second:?}");
    }
}
