//! The log by itself: what it hides from SQLite while recovering, and what it never hides.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use halcyon_crypto::Secret;
use halcyon_sqlite_vfs::{Files, Role};
use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::{
    disk::{Disk, Folder},
    page_cipher,
    sealed_files::SealedFiles,
};

const SALTS: [u8; SALTS_BYTES] = [7; SALTS_BYTES];

struct Log {
    folder: tempfile::TempDir,
}

impl Log {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn open(&self) -> Result<Box<dyn File>, FileError> {
        let disk = Arc::new(Folder::at(self.folder.path()).unwrap());
        let key = Secret::fill_with(|bytes| *bytes = [1; 32]);
        let nonces = page_cipher::nonces(Box::new(StdRng::seed_from_u64(1)));
        SealedFiles::new(disk, "db", &key, nonces).open(Role::Log)
    }

    /// Flips a bit on the disk.
    fn damage(&self, at: u64) {
        let mut file = Folder::at(self.folder.path()).unwrap().open("db-log").unwrap();
        let mut byte = [0];
        assert_eq!(file.read_at(at, &mut byte).unwrap(), 1);
        file.write_at(at, &[byte[0] ^ 1]).unwrap();
    }
}

fn begin(log: &mut dyn File) {
    let mut header = [0; HEADER_BYTES];
    header[HEADER_SALTS..HEADER_SALTS + SALTS_BYTES].copy_from_slice(&SALTS);
    log.write_at(0, &header).unwrap();
}

/// Writes a transaction of one frame, as SQLite does: header, page, sync.
fn commit(log: &mut dyn File, index: u32) {
    let mut header = [0; FRAME_HEADER_BYTES];
    header[FRAME_DATABASE_SIZE..FRAME_SALTS].copy_from_slice(&1_u32.to_be_bytes());
    header[FRAME_SALTS..FRAME_SALTS + SALTS_BYTES].copy_from_slice(&SALTS);
    log.write_at(place(index), &header).unwrap();
    log.write_at(place(index) + FRAME_HEADER_BYTES as u64, &page(index)).unwrap();
    log.sync().unwrap();
}

fn page(index: u32) -> [u8; PAGE_BYTES] {
    let mut page = [0; PAGE_BYTES];
    page[..USABLE_BYTES].fill(index as u8 + 1);
    page
}

fn place(index: u32) -> u64 {
    (HEADER_BYTES + index as usize * FRAME_BYTES) as u64
}

fn read_frame(log: &mut dyn File, index: u32) -> Result<[u8; FRAME_BYTES], FileError> {
    let mut frame = [0xff; FRAME_BYTES];
    assert_eq!(log.read_at(place(index), &mut frame)?, FRAME_BYTES);
    Ok(frame)
}

fn read_page(log: &mut dyn File, index: u32) -> Result<[u8; PAGE_BYTES], FileError> {
    let mut page = [0xff; PAGE_BYTES];
    log.read_at(place(index) + FRAME_HEADER_BYTES as u64, &mut page)?;
    Ok(page)
}

#[test]
fn what_was_written_is_read_at_sqlites_own_offsets() {
    let disk = Log::new();
    let mut log = disk.open().unwrap();
    begin(log.as_mut());
    for index in 0..3 {
        commit(log.as_mut(), index);
    }
    assert_eq!(log.size().unwrap(), place(3));
    drop(log);
    let mut log = disk.open().unwrap();
    assert_eq!(log.size().unwrap(), place(3));
    for index in 0..3 {
        assert_eq!(read_frame(log.as_mut(), index).unwrap()[FRAME_HEADER_BYTES..], page(index));
        assert_eq!(read_page(log.as_mut(), index), Ok(page(index)));
    }
}

/// The last transaction may have been cut off by a crash, and SQLite mends that. Its page alone is never made up.
#[test]
fn while_recovering_the_last_frame_may_be_torn() {
    let disk = Log::new();
    let mut log = disk.open().unwrap();
    begin(log.as_mut());
    commit(log.as_mut(), 0);
    commit(log.as_mut(), 1);
    drop(log);
    disk.damage(offset_of(1) + 100);
    let mut log = disk.open().unwrap();
    assert_eq!(read_frame(log.as_mut(), 1).unwrap(), [0; FRAME_BYTES]);
    assert_eq!(read_page(log.as_mut(), 1), Err(FileError::Damaged));
    assert_eq!(read_page(log.as_mut(), 0), Ok(page(0)));
}

/// What this process wrote itself cannot have been cut off.
#[test]
fn after_the_first_write_a_bad_frame_is_an_error() {
    let disk = Log::new();
    let mut log = disk.open().unwrap();
    begin(log.as_mut());
    commit(log.as_mut(), 0);
    disk.damage(offset_of(0) + 100);
    assert_eq!(read_frame(log.as_mut(), 0), Err(FileError::Damaged));
    assert_eq!(read_page(log.as_mut(), 0), Err(FileError::Damaged));
}

#[test]
fn a_bad_frame_that_had_been_durable_is_refused() {
    let disk = Log::new();
    let mut log = disk.open().unwrap();
    begin(log.as_mut());
    for index in 0..3 {
        commit(log.as_mut(), index);
    }
    drop(log);
    disk.damage(offset_of(1) + 100);
    assert!(matches!(disk.open(), Err(FileError::Damaged)));
}

#[test]
fn a_bad_header_is_a_crash_before_the_first_frame_and_damage_after() {
    let disk = Log::new();
    let mut log = disk.open().unwrap();
    begin(log.as_mut());
    drop(log);
    disk.damage(3);
    let mut log = disk.open().unwrap();
    assert_eq!(log.size().unwrap(), 0);
    begin(log.as_mut());
    commit(log.as_mut(), 0);
    drop(log);
    disk.damage(3);
    assert!(matches!(disk.open(), Err(FileError::Damaged)));
}

/// A frame of the log before must not be taken for one of this.
#[test]
fn a_new_log_begins_empty() {
    let disk = Log::new();
    let mut log = disk.open().unwrap();
    begin(log.as_mut());
    commit(log.as_mut(), 0);
    begin(log.as_mut());
    assert_eq!(log.size().unwrap(), HEADER_BYTES as u64);
}
