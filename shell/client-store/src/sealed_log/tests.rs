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

/// Begins a generation as SQLite does: the header, synced before anything else.
fn begin(log: &mut dyn File) {
    log.write_at(0, &[7; HEADER_BYTES]).unwrap();
    log.sync().unwrap();
}

/// Writes a transaction of one frame, as SQLite does: header, page, sync.
fn commit(log: &mut dyn File, index: u32) {
    let mut header = [0; FRAME_HEADER_BYTES];
    header[FRAME_DATABASE_SIZE].copy_from_slice(&1_u32.to_be_bytes());
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

/// Where the header of the `n`th generation lies.
fn header_of(n: u32) -> u64 {
    slot_at(n % 2)
}

#[test]
fn a_bad_header_is_a_crash_before_the_first_frame_and_damage_after() {
    let disk = Log::new();
    let mut log = disk.open().unwrap();
    begin(log.as_mut());
    drop(log);
    disk.damage(header_of(1));
    let mut log = disk.open().unwrap();
    assert_eq!(log.size().unwrap(), 0);
    begin(log.as_mut());
    commit(log.as_mut(), 0);
    drop(log);
    disk.damage(header_of(1));
    assert!(matches!(disk.open(), Err(FileError::Damaged)));
}

/// The old generation is in the database by then, so going back to it changes nothing.
#[test]
fn a_crash_while_a_generation_begins_leaves_the_one_before() {
    let disk = Log::new();
    let mut log = disk.open().unwrap();
    begin(log.as_mut());
    commit(log.as_mut(), 0);
    begin(log.as_mut());
    drop(log);
    disk.damage(header_of(2));
    let mut log = disk.open().unwrap();
    assert_eq!(read_page(log.as_mut(), 0), Ok(page(0)));
}

/// Going back to the old generation would undo what was confirmed in the new one.
#[test]
fn a_header_lost_after_its_first_frame_is_damage() {
    let disk = Log::new();
    let mut log = disk.open().unwrap();
    begin(log.as_mut());
    commit(log.as_mut(), 0);
    begin(log.as_mut());
    commit(log.as_mut(), 0);
    drop(log);
    disk.open().unwrap();
    disk.damage(header_of(2));
    assert!(matches!(disk.open(), Err(FileError::Damaged)));
}

/// What is left of a generation behind the end of the next is not part of it.
#[test]
fn a_frame_of_the_generation_before_is_not_taken_for_one_of_this() {
    let disk = Log::new();
    let mut log = disk.open().unwrap();
    begin(log.as_mut());
    commit(log.as_mut(), 0);
    commit(log.as_mut(), 1);
    begin(log.as_mut());
    commit(log.as_mut(), 0);
    assert_eq!(read_frame(log.as_mut(), 1), Err(FileError::Damaged));
    drop(log);
    let mut log = disk.open().unwrap();
    assert_eq!(read_frame(log.as_mut(), 1), Ok([0; FRAME_BYTES]));
    assert_eq!(read_page(log.as_mut(), 0), Ok(page(0)));
}

/// SQLite writes a page over within a transaction, and then the headers with checksums anew.
#[test]
fn a_page_or_a_header_can_be_written_over() {
    let disk = Log::new();
    let mut log = disk.open().unwrap();
    begin(log.as_mut());
    commit(log.as_mut(), 0);
    log.write_at(place(1), &[0; FRAME_HEADER_BYTES]).unwrap();
    log.write_at(place(1) + FRAME_HEADER_BYTES as u64, &page(1)).unwrap();
    log.write_at(place(1) + FRAME_HEADER_BYTES as u64, &page(5)).unwrap();
    log.write_at(place(1), &[9; FRAME_HEADER_BYTES]).unwrap();
    log.sync().unwrap();
    drop(log);
    let frame = read_frame(disk.open().unwrap().as_mut(), 1).unwrap();
    assert_eq!(frame[..FRAME_HEADER_BYTES], [9; FRAME_HEADER_BYTES]);
    assert_eq!(frame[FRAME_HEADER_BYTES..], page(5));
}
