//! The VFS itself: from a name that SQLite passes to the [`Files`] that it stands for.
//!
//! Owns the one registration with SQLite and the table of open databases.
//! Does not know what happens to a file once it is open.
//!
//! - A name stands for at most one database, for the life of the process.
//! - A name that is not in the table opens nothing.

use std::{
    collections::HashMap,
    ffi::{CStr, c_char, c_int, c_void},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use rusqlite::ffi;

use crate::{FileError, Files, Role, file};

/// The name under which the VFS is registered.
pub const NAME: &str = "halcyon";
const NAME_C: &CStr = c"halcyon";

/// Longest name of a file, with its closing zero: a number and a suffix.
const NAME_BYTES_MAX: c_int = 64;
/// What SQLite appends to a database's name for its write-ahead log.
const LOG_SUFFIX: &str = "-wal";

static DATABASES: Mutex<Option<HashMap<String, Arc<dyn Files>>>> = Mutex::new(None);
static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);

/// A database's place in the table. Leaves it when dropped.
#[derive(Debug)]
pub(crate) struct Entry(String);

impl Entry {
    pub(crate) fn name(&self) -> &str {
        &self.0
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // The lock is released at the semicolon: dropping the files may run anybody's code.
        let files = databases().as_mut().and_then(|table| table.remove(&self.0));
        drop(files);
    }
}

/// Enters `files` into the table under a new name.
pub(crate) fn enter(files: Arc<dyn Files>) -> rusqlite::Result<Entry> {
    enter_as(format!("halcyon-{}", NEXT_NUMBER.fetch_add(1, Ordering::Relaxed)), files)
}

/// Enters `files` into the table under a name that nobody has.
pub(crate) fn enter_as(name: String, files: Arc<dyn Files>) -> rusqlite::Result<Entry> {
    register()?;
    let mut databases = databases();
    let table = databases.get_or_insert_default();
    if table.contains_key(&name) || name.ends_with(LOG_SUFFIX) {
        return Err(rusqlite::Error::InvalidPath(name.into()));
    }
    table.insert(name.clone(), files);
    Ok(Entry(name))
}

fn databases() -> MutexGuard<'static, Option<HashMap<String, Arc<dyn Files>>>> {
    // Nothing is left half done under this lock, so a panic elsewhere does not spoil the table.
    DATABASES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registers the VFS, once.
fn register() -> rusqlite::Result<()> {
    static REGISTERED: OnceLock<c_int> = OnceLock::new();
    let code = *REGISTERED.get_or_init(|| {
        let vfs = Box::leak(Box::new(ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: size_of::<file::Slot>() as c_int,
            mxPathname: NAME_BYTES_MAX,
            pNext: ptr::null_mut(),
            zName: NAME_C.as_ptr(),
            pAppData: ptr::null_mut(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xDlOpen: Some(dl_open),
            xDlError: Some(dl_error),
            xDlSym: Some(dl_sym),
            xDlClose: Some(dl_close),
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: None,
            xCurrentTimeInt64: Some(current_time_int64),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        }));
        // SAFETY: the structure is complete and, being leaked, outlives every use; SQLite links it into its list
        // under its own lock. Zero: it does not become the default.
        unsafe { ffi::sqlite3_vfs_register(vfs, 0) }
    });
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)) }
}

/// Returns the files and the role that `name` stands for.
///
/// # Safety
/// `name` is null or points to a zero-terminated string.
unsafe fn find(name: *const c_char) -> Option<(Arc<dyn Files>, Role)> {
    if name.is_null() {
        // SQLite asks for a temporary file by giving no name. There are none here.
        return None;
    }
    // SAFETY: not null, and the caller's promise.
    let name = unsafe { CStr::from_ptr(name) }.to_str().ok()?;
    let (database, role) = match name.strip_suffix(LOG_SUFFIX) {
        Some(database) => (database, Role::Log),
        None => (name, Role::Database),
    };
    let files = databases().as_ref()?.get(database)?.clone();
    Some((files, role))
}

/// Runs what an implementation does, so that its panic ends here and not in C.
pub(crate) fn contain<T>(failed: T, f: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or(failed)
}

/// xOpen. SQLite's contract: `slot` points to `szOsFile` bytes, aligned for any type; `pMethods` must be set in any
/// case, null if the file did not open.
unsafe extern "C" fn open(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    slot: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let slot = slot.cast::<file::Slot>();
    // SAFETY: the memory is SQLite's, uninitialized and large enough; `write` drops nothing.
    unsafe { slot.write(file::Slot::closed()) };
    // SAFETY: SQLite passes null or a zero-terminated string.
    let Some((files, role)) = (unsafe { find(name) }) else {
        return ffi::SQLITE_CANTOPEN;
    };
    let expected = match role {
        Role::Database => ffi::SQLITE_OPEN_MAIN_DB,
        Role::Log => ffi::SQLITE_OPEN_WAL,
    };
    if flags & expected == 0 {
        return ffi::SQLITE_CANTOPEN;
    }
    let opened = contain(Err(FileError::Failed), || files.open(role));
    match opened {
        Ok(opened) => {
            // SAFETY: as above; what `write` overwrites is the closed slot, which holds nothing to drop.
            unsafe { slot.write(file::Slot::open(opened)) };
            if !out_flags.is_null() {
                // SAFETY: not null, so SQLite wants the flags in effect there.
                unsafe { out_flags.write(flags) };
            }
            ffi::SQLITE_OK
        }
        Err(error) => file::code(error, ffi::SQLITE_CANTOPEN),
    }
}

unsafe extern "C" fn delete(_vfs: *mut ffi::sqlite3_vfs, name: *const c_char, _sync_folder: c_int) -> c_int {
    // SAFETY: SQLite passes a zero-terminated string.
    let Some((files, role)) = (unsafe { find(name) }) else {
        return ffi::SQLITE_IOERR_DELETE_NOENT;
    };
    match contain(Err(FileError::Failed), || files.remove(role)) {
        Ok(()) => ffi::SQLITE_OK,
        Err(error) => file::code(error, ffi::SQLITE_IOERR_DELETE),
    }
}

unsafe extern "C" fn access(_vfs: *mut ffi::sqlite3_vfs, name: *const c_char, _flags: c_int, out: *mut c_int) -> c_int {
    // SAFETY: SQLite passes a zero-terminated string.
    let found = unsafe { find(name) };
    let exists = match found {
        Some((files, role)) => contain(Err(FileError::Failed), || files.exists(role)),
        None => Ok(false),
    };
    match exists {
        Ok(exists) => {
            // SAFETY: SQLite passes a place for the answer.
            unsafe { out.write(c_int::from(exists)) };
            ffi::SQLITE_OK
        }
        Err(error) => file::code(error, ffi::SQLITE_IOERR_ACCESS),
    }
}

/// xFullPathname: our names are full already.
unsafe extern "C" fn full_pathname(
    _vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    out_bytes: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite passes a zero-terminated string.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes_with_nul();
    if usize::try_from(out_bytes).map_or(true, |room| name.len() > room) {
        return ffi::SQLITE_CANTOPEN;
    }
    // SAFETY: `out` has room for `out_bytes`, the name fits, and the two do not overlap.
    unsafe { ptr::copy_nonoverlapping(name.as_ptr().cast(), out, name.len()) };
    ffi::SQLITE_OK
}

// Extensions are not loaded: opening one always fails, so the other three are never reached.

unsafe extern "C" fn dl_open(_vfs: *mut ffi::sqlite3_vfs, _name: *const c_char) -> *mut c_void {
    ptr::null_mut()
}

unsafe extern "C" fn dl_error(_vfs: *mut ffi::sqlite3_vfs, bytes: c_int, message: *mut c_char) {
    if bytes > 0 {
        // SAFETY: SQLite passes room for `bytes`; an empty string takes one.
        unsafe { message.write(0) };
    }
}

unsafe extern "C" fn dl_sym(
    _vfs: *mut ffi::sqlite3_vfs,
    _library: *mut c_void,
    _symbol: *const c_char,
) -> Option<unsafe extern "C" fn(*mut ffi::sqlite3_vfs, *mut c_void, *const c_char)> {
    None
}

unsafe extern "C" fn dl_close(_vfs: *mut ffi::sqlite3_vfs, _library: *mut c_void) {}

// Randomness, sleep and the clock are the default VFS's.

/// Returns the process's default VFS.
fn default_vfs() -> Option<*mut ffi::sqlite3_vfs> {
    // SAFETY: null asks for the default; SQLite searches its list under its own lock.
    let vfs = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
    if vfs.is_null() { None } else { Some(vfs) }
}

/// Calls one method of the default VFS with the same arguments.
macro_rules! delegate {
    ($method:ident, $missing:expr, $($argument:expr),*) => {{
        let Some(vfs) = default_vfs() else { return $missing };
        // SAFETY: a registered VFS is valid until it is unregistered, and nobody unregisters the default.
        let method = unsafe { (*vfs).$method };
        match method {
            // SAFETY: the arguments are those that SQLite gave us for the very same method.
            Some(method) => unsafe { method(vfs, $($argument),*) },
            None => $missing,
        }
    }};
}

unsafe extern "C" fn randomness(_vfs: *mut ffi::sqlite3_vfs, bytes: c_int, out: *mut c_char) -> c_int {
    delegate!(xRandomness, 0, bytes, out)
}

unsafe extern "C" fn sleep(_vfs: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    delegate!(xSleep, 0, microseconds)
}

unsafe extern "C" fn current_time(_vfs: *mut ffi::sqlite3_vfs, out: *mut f64) -> c_int {
    delegate!(xCurrentTime, ffi::SQLITE_ERROR, out)
}

unsafe extern "C" fn current_time_int64(_vfs: *mut ffi::sqlite3_vfs, out: *mut ffi::sqlite3_int64) -> c_int {
    delegate!(xCurrentTimeInt64, ffi::SQLITE_ERROR, out)
}
