//! The files of one profile folder, as the store asks for them: the seam where a simulated disk goes in.
//!
//! Owns the real folder ([`Folder`]) and the one safe way to replace a small file ([`replace`]).
//! Does not know what is in the files.
//!
//! - Names are plain file names; nothing here leaves the folder.
//! - Nothing counts as stored until it is synced, and no file counts as created, renamed or removed until the folder
//!   is synced. A disk may lose or tear everything else in a crash, but no byte outside a range being written.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// A folder in which files can be made, and made durable.
pub trait Disk: Send + Sync + 'static {
    /// Opens `name` for reading and writing; creates it, empty and for its owner only, if there is none.
    ///
    /// # Errors
    /// The operating system's.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Says whether `name` exists.
    ///
    /// # Errors
    /// The operating system's.
    fn exists(&self, name: &str) -> io::Result<bool>;

    /// Removes `name`. Durable after [`sync_folder`](Self::sync_folder).
    ///
    /// # Errors
    /// The operating system's, also if there is none.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Renames `from` to `to` in one step, in place of what was there. Durable after
    /// [`sync_folder`](Self::sync_folder).
    ///
    /// # Errors
    /// The operating system's.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Returns when every creation, renaming and removal so far is on stable storage.
    ///
    /// # Errors
    /// The operating system's.
    fn sync_folder(&self) -> io::Result<()>;

    /// Returns the permission bits that let others than the owner at `name`; 0 where there is no such notion.
    ///
    /// # Errors
    /// The operating system's.
    fn others_access(&self, name: &str) -> io::Result<u32>;

    /// Locks `name` against every other process, or says that another has it by returning `None`. The lock ends when
    /// the value is dropped or the process ends.
    ///
    /// # Errors
    /// The operating system's.
    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Lock>>>;
}

/// One open file of a [`Disk`].
pub trait DiskFile: Send {
    /// Reads at `offset` until `buffer` is full or the file ends; returns how many bytes.
    ///
    /// # Errors
    /// The operating system's.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`. Durable after [`sync`](Self::sync).
    ///
    /// # Errors
    /// The operating system's; part of the bytes may have been written.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file, or extends it with zeros. Durable after [`sync`](Self::sync).
    ///
    /// # Errors
    /// The operating system's.
    fn set_size(&mut self, len: u64) -> io::Result<()>;

    /// Returns the size in bytes.
    ///
    /// # Errors
    /// The operating system's.
    fn size(&mut self) -> io::Result<u64>;

    /// Returns when content and length are on stable storage. Not the file's name: see [`Disk::sync_folder`].
    ///
    /// # Errors
    /// The operating system's. What was written since the last sync may then be lost, and a second try proves
    /// nothing: the system may have dropped the bytes and call them clean.
    fn sync(&mut self) -> io::Result<()>;
}

/// Holds a lock until dropped.
pub trait Lock: Send + Sync {}

/// Replaces the content of `name` so that after a crash either the old or the new content is there, whole. Returns
/// when the new one is durable.
///
/// # Errors
/// The disk's. The old content is then still there, or the new one already.
pub fn replace(disk: &dyn Disk, name: &str, content: &[u8]) -> io::Result<()> {
    let fresh = format!("{name}.new");
    let mut file = disk.open(&fresh)?;
    file.set_size(0)?;
    file.write_at(0, content)?;
    file.sync()?;
    drop(file);
    disk.rename(&fresh, name)?;
    disk.sync_folder()
}

/// Writes what is read of a file over itself and syncs it, if there is one. After a failed sync the system may show bytes that are not on
/// the disk and that no later sync writes, since it believes them written: what is to be built upon is made durable first.
///
/// # Errors
/// The disk's. The content reads as before.
pub fn renew(disk: &dyn Disk, name: &str) -> io::Result<()> {
    if !disk.exists(name)? {
        return Ok(());
    }
    let mut file = disk.open(name)?;
    let mut buffer = vec![0; RENEW_BYTES];
    let mut at = 0;
    loop {
        let got = file.read_at(at, &mut buffer)?;
        if got == 0 {
            break;
        }
        file.write_at(at, &buffer[..got])?;
        at += got as u64;
    }
    if at == 0 { Ok(()) } else { file.sync() }
}

/// Bytes that are read and written at once: few enough for small memories.
const RENEW_BYTES: usize = 256 * 1024;

/// Reads a small file whole; `None` if there is none.
///
/// # Errors
/// The disk's, and [`io::ErrorKind::FileTooLarge`] beyond `bytes_max`.
pub fn read(disk: &dyn Disk, name: &str, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    if !disk.exists(name)? {
        return Ok(None);
    }
    let mut file = disk.open(name)?;
    let len = file.size()?;
    if len > bytes_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut content = vec![0; usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?];
    let got = file.read_at(0, &mut content)?;
    content.truncate(got);
    Ok(Some(content))
}

/// A folder of the operating system.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Takes the folder at `path`, and makes it, for its owner only, if there is none.
    ///
    /// # Errors
    /// The operating system's.
    pub fn at(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = std::path::absolute(path.into())?;
        let mut missing = Vec::new();
        for folder in path.ancestors() {
            if folder.try_exists()? {
                break;
            }
            missing.push(folder);
        }
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path)?;
        // Durable files in a folder whose own name is not would be lost with it.
        for made in missing.iter().rev() {
            if let Some(parent) = made.parent() {
                sync_folder(parent)?;
            }
        }
        Ok(Self { path })
    }

    fn open_file(&self, name: &str) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(self.path.join(name))
    }
}

impl Disk for Folder {
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FolderFile { file: self.open_file(name)?, resized: false }))
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.path.join(name).try_exists()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn sync_folder(&self) -> io::Result<()> {
        sync_folder(&self.path)
    }

    #[cfg(unix)]
    fn others_access(&self, name: &str) -> io::Result<u32> {
        use std::os::unix::fs::PermissionsExt;
        Ok(self.path.join(name).metadata()?.permissions().mode() & 0o077)
    }

    #[cfg(not(unix))]
    fn others_access(&self, _name: &str) -> io::Result<u32> {
        Ok(0)
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Lock>>> {
        let file = self.open_file(name)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(LockedFile(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Windows has no such call; its file systems log names on their own.
#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Closing the file ends the lock.
struct LockedFile(#[expect(dead_code, reason = "held, never read")] File);

impl Lock for LockedFile {}

struct FolderFile {
    file: File,
    /// The length was set since the last sync. Cheaper syncs may leave a mere change of length behind.
    resized: bool,
}

impl DiskFile for FolderFile {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut got = 0;
        while got < buffer.len() {
            match positioned::read(&mut self.file, offset + got as u64, &mut buffer[got..]) {
                Ok(0) => break,
                Ok(more) => got += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(got)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        positioned::write_all(&mut self.file, offset, bytes)
    }

    fn set_size(&mut self, len: u64) -> io::Result<()> {
        self.resized = true;
        self.file.set_len(len)
    }

    fn size(&mut self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.resized {
            self.file.sync_all()?;
            self.resized = false;
            Ok(())
        } else {
            self.file.sync_data()
        }
    }
}

#[cfg(unix)]
mod positioned {
    use std::{fs::File, io, os::unix::fs::FileExt};

    pub(super) fn read(file: &mut File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        file.read_at(buffer, offset)
    }

    pub(super) fn write_all(file: &mut File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }
}

#[cfg(not(unix))]
mod positioned {
    use std::{
        fs::File,
        io::{self, Read, Seek, SeekFrom, Write},
    };

    pub(super) fn read(file: &mut File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        file.seek(SeekFrom::Start(offset))?;
        file.read(buffer)
    }

    pub(super) fn write_all(file: &mut File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }
}
