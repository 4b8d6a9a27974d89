//! The database file: SQLite's pages, each sealed in its own place.
//!
//! Owns the layout of a sealed page. Does not know what is on a page.
//!
//! - A sealed page is as long as SQLite's, so pages lie where SQLite thinks and as aligned as SQLite wants them. The
//!   room for tag and nonce is SQLite's own "reserved space" at the end of a page, which it never touches.
//! - A page opens only as the page that it was sealed as (its number is authenticated), and only in this database.
//! - What does not open is an error. It is never read as zeros or skipped.
//!
//! Page n, from (n - 1) * 4096:
//!
//! ```text
//! ciphertext 4064 ‖ tag 16 ‖ nonce 12 ‖ key check 4
//! ```

use std::sync::Arc;

use halcyon_sqlite_vfs::{File, FileError};

use crate::{
    page_cipher::OVERHEAD_BYTES,
    sealed_files::{CHECK_BYTES, NamedFile, Shared, file_error},
};

/// Bytes of a page, SQLite's default: one write to what nearly every disk and file system has as its unit.
pub(crate) const PAGE_BYTES: usize = 4096;
/// Bytes at the end of each page that SQLite leaves to us.
pub(crate) const RESERVED_BYTES: usize = OVERHEAD_BYTES + CHECK_BYTES;
/// Bytes of a page that SQLite uses.
pub(crate) const USABLE_BYTES: usize = PAGE_BYTES - RESERVED_BYTES;

/// What the first page of every SQLite database begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// How much SQLite reads of a file before anything else, to learn its page size.
const HEADER_BYTES: usize = 100;
/// Where a database header holds the page size (u16, big-endian) and the reserved bytes (u8).
const HEADER_PAGE_SIZE: usize = 16;
const HEADER_RESERVED: usize = 20;

/// The open database file.
pub(crate) struct SealedPages {
    file: NamedFile,
    shared: Arc<Shared>,
}

impl SealedPages {
    pub(crate) fn open(file: NamedFile, shared: Arc<Shared>) -> Self {
        Self { file, shared }
    }

    /// Reads and opens page `number`, counted from 1.
    fn read_page(&mut self, number: u32) -> Result<[u8; PAGE_BYTES], FileError> {
        let mut sealed = [0; PAGE_BYTES];
        let got = self.file.file.read_at(offset_of(number), &mut sealed).map_err(file_error)?;
        // With a log, every page that SQLite asks the database for was written whole: one that is missing was cut off.
        if got < PAGE_BYTES {
            return Err(FileError::Damaged);
        }
        let body = sealed.strip_suffix(&self.shared.check).ok_or(FileError::Damaged)?;
        let opened = self.shared.pages.open(number.into(), body).ok_or(FileError::Damaged)?;
        let mut page = [0; PAGE_BYTES];
        page[..USABLE_BYTES].copy_from_slice(opened.expose());
        Ok(page)
    }

    /// Returns what SQLite is to take as the header of a database that has no first page, or none that opens.
    ///
    /// A new database takes page size and reserved bytes from here. A first page can be torn when the machine stopped
    /// while the log was moved into the database; SQLite needs to know no more than this to find the page in the log
    /// again, and where the log does not have it, reading the page itself is the error.
    fn bare_header() -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..MAGIC.len()].copy_from_slice(MAGIC);
        header[HEADER_PAGE_SIZE..HEADER_PAGE_SIZE + 2].copy_from_slice(&(PAGE_BYTES as u16).to_be_bytes());
        header[HEADER_RESERVED] = RESERVED_BYTES as u8;
        header
    }
}

impl File for SealedPages {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, FileError> {
        if offset == 0 && buffer.len() == HEADER_BYTES {
            match self.read_page(1) {
                Ok(page) => buffer.copy_from_slice(&page[..HEADER_BYTES]),
                Err(FileError::Damaged) => buffer.copy_from_slice(&Self::bare_header()),
                Err(error) => return Err(error),
            }
            return Ok(buffer.len());
        }
        if self.size()? == 0 {
            return Ok(0);
        }
        // Within one page always: a whole page, or a part of it.
        let number = u32::try_from(offset / PAGE_BYTES as u64 + 1).map_err(|_| FileError::Damaged)?;
        let start = (offset % PAGE_BYTES as u64) as usize;
        let page = self.read_page(number)?;
        let part = page.get(start..start + buffer.len()).ok_or(FileError::Failed)?;
        buffer.copy_from_slice(part);
        Ok(buffer.len())
    }

    fn write_at(&mut self, offset: u64, page: &[u8]) -> Result<(), FileError> {
        self.shared.running()?;
        // SQLite writes whole pages, and nothing into the reserved bytes; storing anything else would lose it.
        let whole = offset.is_multiple_of(PAGE_BYTES as u64) && page.len() == PAGE_BYTES;
        if !whole || page[USABLE_BYTES..] != [0; RESERVED_BYTES] {
            return Err(FileError::Failed);
        }
        let number = u32::try_from(offset / PAGE_BYTES as u64 + 1).map_err(|_| FileError::Full)?;
        let mut sealed = [0; PAGE_BYTES];
        let (body, check) = sealed.split_at_mut(PAGE_BYTES - CHECK_BYTES);
        self.shared.pages.seal(number.into(), &page[..USABLE_BYTES], body);
        check.copy_from_slice(&self.shared.check);
        self.file.file.write_at(offset, &sealed).map_err(file_error)
    }

    fn truncate(&mut self, size: u64) -> Result<(), FileError> {
        self.shared.running()?;
        self.file.file.set_size(size).map_err(file_error)
    }

    fn sync(&mut self) -> Result<(), FileError> {
        self.file.sync(&self.shared)
    }

    fn size(&mut self) -> Result<u64, FileError> {
        self.file.file.size().map_err(file_error)
    }
}

fn offset_of(number: u32) -> u64 {
    (u64::from(number) - 1) * PAGE_BYTES as u64
}
