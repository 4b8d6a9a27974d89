//! Space held back on the disk, so that a full one does not stop acknowledging and expiry (COU-44).
//!
//! Deleting from a database needs room in its log first. This file keeps that room while there is space, and gives it up
//! when there is none.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The file that holds the space.
pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
}

impl Reserve {
    /// Takes the space if the disk has it.
    ///
    /// # Errors
    /// Whatever the operating system says, except that the disk is full: the mailboxes can still be read and emptied.
    pub(super) fn take(folder: &Path, bytes: u64) -> io::Result<Self> {
        let reserve = Self { path: folder.join(FILE_NAME), bytes };
        match reserve.fill() {
            Err(error) if error.kind() != io::ErrorKind::StorageFull => Err(error),
            _ => Ok(reserve),
        }
    }

    /// Takes the space again; succeeds when there is enough of it.
    pub(super) fn fill(&self) -> io::Result<()> {
        if self.bytes == 0 {
            return Ok(());
        }
        if std::fs::metadata(&self.path).is_ok_and(|found| found.len() == self.bytes) {
            return Ok(());
        }
        self.fits().and_then(|()| self.write()).inspect_err(|_| self.release())
    }

    /// Gives the space to the database.
    pub(super) fn release(&self) {
        // If there is no such file, the space is free already.
        let _ = std::fs::remove_file(&self.path);
    }

    /// A full disk is asked again every second: to write until it refuses would wear it out, and leave no space for others meanwhile.
    /// Where the disk does not say how much is left, or a quota allows less, writing shows it.
    fn fits(&self) -> io::Result<()> {
        let Ok(disk) = rustix::fs::statvfs(self.path.parent().unwrap_or(&self.path)) else { return Ok(()) };
        let held = std::fs::metadata(&self.path).map_or(0, |found| found.len());
        let room = disk.f_bavail.saturating_mul(disk.f_frsize).saturating_add(held);
        if disk.f_blocks > 0 && room < self.bytes { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn write(&self) -> io::Result<()> {
        let mut file = File::create(&self.path)?;
        let zeros = vec![0; CHUNK_BYTES];
        let mut left = self.bytes;
        while left > 0 {
            let step = left.min(CHUNK_BYTES as u64);
            file.write_all(&zeros[..usize::try_from(step).unwrap_or(CHUNK_BYTES)])?;
            left -= step;
        }
        // Some file systems find out only here that the space is not there.
        file.sync_all()
    }
}

/// Twice what the log holds before it is written back into the database, and so enough to do that and to go on deleting.
pub(super) const RESERVE_BYTES: u64 = 32 << 20;

const FILE_NAME: &str = "mailboxes.reserve";
const CHUNK_BYTES: usize = 1 << 20;
