//! A disk in memory, made from the image of a folder.
//!
//! Owns the files. Does not lose anything: what is wrong with it, the fuzzer did.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use halcyon_client_store::disk::{Disk, DiskFile, Lock};

/// Files by name.
pub(super) type Image = BTreeMap<String, Vec<u8>>;

/// One file's bytes, shared by all who have it open.
type Content = Arc<Mutex<Vec<u8>>>;

/// A folder in memory.
#[derive(Clone, Default)]
pub(super) struct MemoryDisk(Arc<Mutex<BTreeMap<String, Content>>>);

struct MemoryFile(Content);

struct MemoryLock;

impl Lock for MemoryLock {}

impl MemoryDisk {
    pub(super) fn of(image: &Image) -> Self {
        let files = image.iter().map(|(name, content)| (name.clone(), Arc::new(Mutex::new(content.clone()))));
        Self(Arc::new(Mutex::new(files.collect())))
    }

    pub(super) fn image(&self) -> Image {
        self.files().iter().map(|(name, content)| (name.clone(), content.lock().unwrap().clone())).collect()
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Mutex<Vec<u8>>>>> {
        self.0.lock().unwrap()
    }
}

impl Disk for MemoryDisk {
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(MemoryFile(self.files().entry(name.to_owned()).or_default().clone())))
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        Ok(self.files().contains_key(name))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files().remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        Ok(())
    }

    fn others_access(&self, _: &str) -> io::Result<u32> {
        Ok(0)
    }

    fn lock(&self, _: &str) -> io::Result<Option<Box<dyn Lock>>> {
        Ok(Some(Box::new(MemoryLock)))
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let content = self.0.lock().unwrap();
        let rest = content.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut content = self.0.lock().unwrap();
        let at = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = at + bytes.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[at..end].copy_from_slice(bytes);
        Ok(())
    }

    fn set_size(&mut self, size: u64) -> io::Result<()> {
        let size = usize::try_from(size).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.0.lock().unwrap().resize(size, 0);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn size(&mut self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }
}
