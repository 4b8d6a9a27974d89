//! The methods of an open file: C arguments in, safe calls to [`File`], result codes out.
//!
//! Owns the `Box<dyn File>` while SQLite has the file open. Does not know which file it is.
//!
//! Every function here is called by SQLite only, with a pointer to a [`Slot`] that `xOpen` filled and `xClose` has
//! not emptied, and never for one file from two threads at once. That is what the `SAFETY` comments mean by
//! "SQLite's contract".

use std::{
    ffi::{c_int, c_void},
    ptr, slice,
};

use rusqlite::ffi;

use crate::{File, FileError, vfs::contain};

/// Size that SQLite takes as the unit of a torn write: a page's, so that each page stands alone.
const SECTOR_BYTES: c_int = 4096;

/// What SQLite allocates for an open file: its own header first, ours behind it.
#[repr(C)]
pub(crate) struct Slot {
    base: ffi::sqlite3_file,
    file: Option<Box<dyn File>>,
}

impl Slot {
    pub(crate) fn closed() -> Self {
        Self { base: ffi::sqlite3_file { pMethods: ptr::null() }, file: None }
    }

    pub(crate) fn open(file: Box<dyn File>) -> Self {
        Self { base: ffi::sqlite3_file { pMethods: &METHODS }, file: Some(file) }
    }
}

/// Version 1: no shared memory and no memory map, so SQLite uses neither.
static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 1,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(lock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: None,
    xShmLock: None,
    xShmBarrier: None,
    xShmUnmap: None,
    xFetch: None,
    xUnfetch: None,
};

/// Returns SQLite's result code for `error`; `otherwise` is the code of the operation that failed.
pub(crate) fn code(error: FileError, otherwise: c_int) -> c_int {
    match error {
        FileError::Damaged => ffi::SQLITE_IOERR_DATA,
        FileError::Full => ffi::SQLITE_FULL,
        FileError::Failed => otherwise,
    }
}

/// Calls `f` with the file behind `slot`; an error or a panic becomes a result code.
///
/// # Safety
/// SQLite's contract, see the module's head.
unsafe fn with(
    slot: *mut ffi::sqlite3_file,
    otherwise: c_int,
    f: impl FnOnce(&mut dyn File) -> Result<c_int, FileError>,
) -> c_int {
    // SAFETY: by the contract the pointer is to an initialized `Slot`, which nobody else uses during the call.
    let slot = unsafe { &mut *slot.cast::<Slot>() };
    let Some(file) = slot.file.as_mut() else {
        return otherwise;
    };
    match contain(Err(FileError::Failed), || f(file.as_mut())) {
        Ok(code) => code,
        Err(error) => code(error, otherwise),
    }
}

unsafe extern "C" fn close(slot: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite's contract; the slot is initialized and used by nobody else.
    let slot = unsafe { &mut *slot.cast::<Slot>() };
    slot.base.pMethods = ptr::null();
    let file = slot.file.take();
    contain((), || drop(file));
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    slot: *mut ffi::sqlite3_file,
    buffer: *mut c_void,
    bytes: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    let (Ok(bytes), Ok(offset)) = (usize::try_from(bytes), u64::try_from(offset)) else {
        return ffi::SQLITE_IOERR_READ;
    };
    // SAFETY: SQLite passes room for `bytes`, which nobody else uses during the call. It may be uninitialized, so it
    // is filled before it becomes a slice.
    unsafe { ptr::write_bytes(buffer.cast::<u8>(), 0, bytes) };
    // SAFETY: as above, and now initialized.
    let buffer = unsafe { slice::from_raw_parts_mut(buffer.cast::<u8>(), bytes) };
    let read = |file: &mut dyn File| {
        let got = file.read_at(offset, buffer)?;
        if got < buffer.len() {
            // The contract of a short read: the rest is zeros.
            buffer[got..].fill(0);
            return Ok(ffi::SQLITE_IOERR_SHORT_READ);
        }
        Ok(ffi::SQLITE_OK)
    };
    // SAFETY: SQLite's contract.
    unsafe { with(slot, ffi::SQLITE_IOERR_READ, read) }
}

unsafe extern "C" fn write(
    slot: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    count: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    let (Ok(count), Ok(offset)) = (usize::try_from(count), u64::try_from(offset)) else {
        return ffi::SQLITE_IOERR_WRITE;
    };
    // SAFETY: SQLite passes `count` initialized bytes, which nobody changes during the call.
    let bytes = unsafe { slice::from_raw_parts(bytes.cast::<u8>(), count) };
    let write = |file: &mut dyn File| file.write_at(offset, bytes).map(|()| ffi::SQLITE_OK);
    // SAFETY: SQLite's contract.
    unsafe { with(slot, ffi::SQLITE_IOERR_WRITE, write) }
}

unsafe extern "C" fn truncate(slot: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    let Ok(size) = u64::try_from(size) else {
        return ffi::SQLITE_IOERR_TRUNCATE;
    };
    let truncate = |file: &mut dyn File| file.truncate(size).map(|()| ffi::SQLITE_OK);
    // SAFETY: SQLite's contract.
    unsafe { with(slot, ffi::SQLITE_IOERR_TRUNCATE, truncate) }
}

/// xSync. The flags choose between weaker and stronger syncs; there is one here, the strong one.
unsafe extern "C" fn sync(slot: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    let sync = |file: &mut dyn File| file.sync().map(|()| ffi::SQLITE_OK);
    // SAFETY: SQLite's contract.
    unsafe { with(slot, ffi::SQLITE_IOERR_FSYNC, sync) }
}

unsafe extern "C" fn file_size(slot: *mut ffi::sqlite3_file, out: *mut ffi::sqlite3_int64) -> c_int {
    let file_size = |file: &mut dyn File| {
        let size = i64::try_from(file.size()?).map_err(|_| FileError::Failed)?;
        // SAFETY: SQLite passes a place for the answer.
        unsafe { out.write(size) };
        Ok(ffi::SQLITE_OK)
    };
    // SAFETY: SQLite's contract.
    unsafe { with(slot, ffi::SQLITE_IOERR_FSTAT, file_size) }
}

/// xLock and xUnlock: one connection a database, so every lock is free.
unsafe extern "C" fn lock(_slot: *mut ffi::sqlite3_file, _level: c_int) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn check_reserved_lock(_slot: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: SQLite passes a place for the answer.
    unsafe { out.write(0) };
    ffi::SQLITE_OK
}

/// xFileControl: hints and extensions, none of which we know.
unsafe extern "C" fn file_control(_slot: *mut ffi::sqlite3_file, _operation: c_int, _argument: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_slot: *mut ffi::sqlite3_file) -> c_int {
    SECTOR_BYTES
}

/// Exactly what SQLite's own Unix VFS assumes of a disk, and no more: a write that is cut off damages no byte outside
/// the range written.
unsafe extern "C" fn device_characteristics(_slot: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}
