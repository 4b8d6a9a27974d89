//! Open files of the disk: those of a client's store, and those below the server's databases.
//!
//! Owns the ports that they are behind. Does not know what a power cut leaves.

use std::io;

use halcyon_client_store::disk::{Disk, DiskFile};
use halcyon_sqlite_vfs::{File, FileError, Files, Role};
use tokio::time::Instant;

use super::{SimDisk, change::Change};

pub(super) struct OpenSimFile {
    pub(super) disk: SimDisk,
    pub(super) id: usize,
}

impl OpenSimFile {
    fn change(&mut self, change: Change) -> io::Result<()> {
        let mut state = self.disk.state();
        state.powered()?;
        if let (Some(watcher), Change::Write { bytes, .. }) = (&state.watcher, &change) {
            watcher.written(bytes);
        }
        if !state.has_room(self.id, change.end()) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = &mut state.files[self.id];
        change.apply(&mut file.content);
        file.pending.push((Instant::now(), change));
        Ok(())
    }
}

impl DiskFile for OpenSimFile {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.state();
        state.powered()?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = state.files[self.id].content.get(offset..).unwrap_or_default();
        let got = rest.len().min(buffer.len());
        buffer[..got].copy_from_slice(&rest[..got]);
        Ok(got)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.change(Change::Write { offset, bytes: bytes.to_vec() })
    }

    fn set_size(&mut self, size: u64) -> io::Result<()> {
        let size = usize::try_from(size).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.change(Change::Resize(size))
    }

    fn size(&mut self) -> io::Result<u64> {
        let state = self.disk.state();
        state.powered()?;
        Ok(state.files[self.id].content.len() as u64)
    }

    fn sync(&mut self) -> io::Result<()> {
        let id = self.id;
        self.disk.synced(Some(id), |state| {
            let file = &mut state.files[id];
            file.settle();
        })
    }
}

/// One of the server's databases on a disk.
pub struct DatabaseOn {
    /// The disk.
    pub disk: SimDisk,
    /// The database's name on it.
    pub name: &'static str,
}

impl DatabaseOn {
    fn file(&self, role: Role) -> String {
        match role {
            Role::Database => self.name.to_owned(),
            Role::Log => format!("{}-wal", self.name),
        }
    }
}

impl Files for DatabaseOn {
    fn open(&self, role: Role) -> Result<Box<dyn File>, FileError> {
        let file = self.disk.open_file(&self.file(role)).map_err(failure)?;
        // Its name goes to the disk with its first sync, as where SQLite syncs the folder itself.
        Ok(Box::new(DatabaseFile(file)))
    }

    fn exists(&self, role: Role) -> Result<bool, FileError> {
        self.disk.file_exists(&self.file(role)).map_err(failure)
    }

    fn remove(&self, role: Role) -> Result<(), FileError> {
        Disk::remove(&self.disk, &self.file(role)).map_err(failure)
    }
}

/// What a failure of the disk is to SQLite.
fn failure(error: io::Error) -> FileError {
    if error.kind() == io::ErrorKind::StorageFull { FileError::Full } else { FileError::Failed }
}

struct DatabaseFile(OpenSimFile);

impl File for DatabaseFile {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, FileError> {
        self.0.read_at(offset, buffer).map_err(failure)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), FileError> {
        DiskFile::write_at(&mut self.0, offset, bytes).map_err(failure)
    }

    fn truncate(&mut self, size: u64) -> Result<(), FileError> {
        self.0.set_size(size).map_err(failure)
    }

    fn sync(&mut self) -> Result<(), FileError> {
        let id = self.0.id;
        let synced = self.0.disk.synced(Some(id), |state| {
            let file = &mut state.files[id];
            file.settle();
            state.durable_names = state.names.clone();
            state.pending_names.clear();
        });
        synced.map_err(failure)
    }

    fn size(&mut self) -> Result<u64, FileError> {
        DiskFile::size(&mut self.0).map_err(failure)
    }
}
