//! The two sealed files of a database, as SQLite opens them. Format: docs/decisions/0003-client-store-encryption.md.
//!
//! Owns the names, the keys made from the profile's data key, and the rule that a failed sync ends all writing.
//! Does not know SQLite's formats; [`SealedPages`] and [`SealedLog`] do.
//!
//! - A data key has one database, so its pages and frames open in no other.
//! - After a failed sync nothing is written any more: what the disk holds is then unknown, and only opening the
//!   database anew finds out.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use halcyon_crypto::{Label, Secret, kdf};
use halcyon_sqlite_vfs::{File, FileError, Files, Role};

use crate::{
    disk::{self, Disk, DiskFile},
    page_cipher::{Nonces, PageCipher},
    sealed_log::SealedLog,
    sealed_pages::{PAGE_BYTES, SealedPages},
};

/// Bytes by which a database recognizes its key. Four are enough to tell a mistake from damage; the pages' own tags
/// are what nobody gets past.
pub(crate) const CHECK_BYTES: usize = 4;

/// What both files of a database share.
pub(crate) struct Shared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) check: [u8; CHECK_BYTES],
    pub(crate) pages: PageCipher,
    pub(crate) frames: PageCipher,
    name: String,
    stopped: AtomicBool,
}

impl Shared {
    /// Refuses if a sync has failed.
    pub(crate) fn running(&self) -> Result<(), FileError> {
        if self.stopped.load(Ordering::SeqCst) { Err(FileError::Failed) } else { Ok(()) }
    }

    /// Syncs `file`; a failure ends all writing.
    pub(crate) fn sync(&self, file: &mut dyn DiskFile) -> Result<(), FileError> {
        self.running()?;
        file.sync().map_err(|error| self.stop(error))
    }

    /// Syncs the folder; a failure ends all writing.
    pub(crate) fn sync_folder(&self) -> Result<(), FileError> {
        self.running()?;
        self.disk.sync_folder().map_err(|error| self.stop(error))
    }

    fn stop(&self, error: io::Error) -> FileError {
        self.stopped.store(true, Ordering::SeqCst);
        file_error(error)
    }

    fn file_name(&self, role: Role) -> String {
        match role {
            Role::Database => self.name.clone(),
            Role::Log => log_name(&self.name),
        }
    }
}

/// Returns the name of the log beside the database `name`.
pub(crate) fn log_name(name: &str) -> String {
    format!("{name}-log")
}

/// Keeps of an I/O error what SQLite can pass on.
pub(crate) fn file_error(error: io::Error) -> FileError {
    if is_full(&error) { FileError::Full } else { FileError::Failed }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// The sealed files of one database.
#[derive(Clone)]
pub(crate) struct SealedFiles(Arc<Shared>);

impl SealedFiles {
    /// Prepares the database `name` under `data_key`, which has no other. Touches no file yet.
    pub(crate) fn new(disk: Arc<dyn Disk>, name: &str, data_key: &Secret<32>, nonces: Nonces) -> Self {
        let key = |purpose: &[u8]| kdf::labelled_key(Label::ClientStore, data_key, &[purpose]);
        let mut check = [0; CHECK_BYTES];
        check.copy_from_slice(&key(b"check").expose()[..CHECK_BYTES]);
        Self(Arc::new(Shared {
            disk,
            check,
            pages: PageCipher::new(key(b"pages"), nonces.clone()),
            frames: PageCipher::new(key(b"log"), nonces),
            name: name.to_owned(),
            stopped: AtomicBool::new(false),
        }))
    }

    /// Makes durable what is in the log, if there is one: the process before may have ended over a failed sync (STO-7).
    /// On a full disk it stays as it is.
    pub(crate) fn renew_log(&self) -> io::Result<()> {
        match disk::renew(&*self.0.disk, &log_name(&self.0.name)) {
            Err(error) if is_full(&error) => Ok(()),
            renewed => renewed,
        }
    }

    /// Says whether the database has no page at all. Making it ended with a page, so that is damage.
    pub(crate) fn is_empty(&self) -> io::Result<bool> {
        Ok(self.0.disk.open(&self.0.name)?.size()? == 0)
    }

    /// Says whether the database's first page shows another key's check. That is the likelier cause when it does not
    /// open; a damaged page seldom shows exactly this.
    pub(crate) fn first_page_is_foreign(&self) -> io::Result<bool> {
        let mut page = [0; PAGE_BYTES];
        let got = self.0.disk.open(&self.0.name)?.read_at(0, &mut page)?;
        Ok(got == PAGE_BYTES && !page.ends_with(&self.0.check))
    }
}

impl Files for SealedFiles {
    fn open(&self, role: Role) -> Result<Box<dyn File>, FileError> {
        let shared = &self.0;
        let name = shared.file_name(role);
        let existed = shared.disk.exists(&name).map_err(file_error)?;
        let file = shared.disk.open(&name).map_err(file_error)?;
        let file = NamedFile { file, unsynced_name: !existed };
        Ok(match role {
            Role::Database => Box::new(SealedPages::open(file, shared.clone())),
            Role::Log => Box::new(SealedLog::open(file, shared.clone())?),
        })
    }

    fn exists(&self, role: Role) -> Result<bool, FileError> {
        self.0.disk.exists(&self.0.file_name(role)).map_err(file_error)
    }

    fn remove(&self, role: Role) -> Result<(), FileError> {
        self.0.running()?;
        self.0.disk.remove(&self.0.file_name(role)).map_err(file_error)
    }
}

/// An open file, and whether its name in the folder is durable yet.
pub(crate) struct NamedFile {
    pub(crate) file: Box<dyn DiskFile>,
    unsynced_name: bool,
}

impl NamedFile {
    /// Syncs content, and the first time the name too.
    pub(crate) fn sync(&mut self, shared: &Shared) -> Result<(), FileError> {
        shared.sync(self.file.as_mut())?;
        if self.unsynced_name {
            shared.sync_folder()?;
            self.unsynced_name = false;
        }
        Ok(())
    }
}
