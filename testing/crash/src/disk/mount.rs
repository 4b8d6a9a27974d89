//! Translates between the kernel and the [`Image`].
//!
//! Owns nothing but the translation. Locks and memory maps are the kernel's own.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::image::{Attributes, BLOCK, Image, Refusal};

/// Everything goes through this mount, so the kernel may believe itself.
const FRESH: Duration = Duration::from_secs(3_600);
const FLAGS: FopenFlags = FopenFlags::FOPEN_KEEP_CACHE;
/// Space that a disk without a bound says it has, in blocks.
const PLENTY: u64 = 1 << 20;

/// The image as the kernel sees it.
pub(super) struct Files {
    image: Arc<Mutex<Image>>,
    owner: (u32, u32),
}

impl Files {
    pub(super) fn new(image: Arc<Mutex<Image>>, mountpoint: &Path) -> std::io::Result<Self> {
        let folder = std::fs::metadata(mountpoint)?;
        Ok(Self { image, owner: (folder.uid(), folder.gid()) })
    }

    fn image(&self) -> MutexGuard<'_, Image> {
        self.image.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attr(&self, attributes: Attributes) -> FileAttr {
        let Attributes { number, size, mode, is_folder } = attributes;
        FileAttr {
            ino: INodeNo(number),
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: kind(is_folder),
            perm: mode,
            nlink: if is_folder { 2 } else { 1 },
            uid: self.owner.0,
            gid: self.owner.1,
            rdev: 0,
            blksize: BLOCK as u32,
            flags: 0,
        }
    }

    fn reply_entry(&self, found: Result<Attributes, Refusal>, reply: ReplyEntry) {
        match found {
            Ok(attributes) => reply.entry(&FRESH, &self.attr(attributes), Generation(0)),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }
}

impl Filesystem for Files {
    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.reply_entry(self.image().find(parent.0, &text(name)), reply);
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.image().attributes(ino.0) {
            Ok(attributes) => reply.attr(&FRESH, &self.attr(attributes)),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut image = self.image();
        let done = match (size, mode) {
            (Some(size), _) => image.set_size(ino.0, size),
            (None, Some(mode)) => image.set_mode(ino.0, mode as u16),
            (None, None) => Ok(()),
        };
        match done.and_then(|()| image.attributes(ino.0)) {
            Ok(attributes) => reply.attr(&FRESH, &self.attr(attributes)),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn mkdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, mode: u32, _umask: u32, reply: ReplyEntry) {
        self.reply_entry(self.image().make(parent.0, &text(name), mode as u16, true), reply);
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(self.image().remove(parent.0, &text(name)), reply);
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        reply_empty(self.image().remove(parent.0, &text(name)), reply);
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        reply_empty(self.image().rename(parent.0, &text(name), newparent.0, &text(newname)), reply);
    }

    fn open(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FLAGS);
    }

    fn create(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match self.image().make(parent.0, &text(name), mode as u16, false) {
            Ok(attributes) => reply.created(&FRESH, &self.attr(attributes), Generation(0), FileHandle(0), FLAGS),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.image().read(ino.0, offset, size as usize) {
            Ok(bytes) => reply.data(bytes),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn write(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.image().write(ino.0, offset, data) {
            Ok(()) => reply.written(data.len() as u32),
            Err(refusal) => reply.error(errno(refusal)),
        }
    }

    fn flush(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _lock_owner: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        reply_empty(self.image().sync(ino.0), reply);
    }

    fn fsyncdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        reply_empty(self.image().sync(ino.0), reply);
    }

    fn readdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let image = self.image();
        let found = match image.list(ino.0) {
            Ok(found) => found,
            Err(refusal) => return reply.error(errno(refusal)),
        };
        let dots = [".", ".."].map(|name| (name.to_owned(), ino, FileType::Directory));
        let entries = found.into_iter().map(|(name, found)| (name, INodeNo(found.number), kind(found.is_folder)));
        let all = dots.into_iter().chain(entries).enumerate();
        for (place, (name, number, kind)) in all.skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
            if reply.add(number, place as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let image = self.image();
        let used = image.used() / BLOCK;
        let blocks = image.capacity.map_or(used + PLENTY, |capacity| capacity / BLOCK);
        let free = blocks.saturating_sub(used);
        reply.statfs(blocks, free, free, 1_000_000, 1_000_000, BLOCK as u32, 255, BLOCK as u32);
    }
}

/// Unmounts; false while somebody still uses it.
pub(super) fn unmount(path: &Path) -> std::io::Result<bool> {
    let output = Command::new("fusermount3").arg("-u").arg(path).output()?;
    Ok(output.status.success())
}

fn reply_empty(done: Result<(), Refusal>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(refusal) => reply.error(errno(refusal)),
    }
}

fn errno(refusal: Refusal) -> Errno {
    match refusal {
        Refusal::NotFound => Errno::ENOENT,
        Refusal::Exists => Errno::EEXIST,
        Refusal::NotEmpty => Errno::ENOTEMPTY,
        Refusal::WrongKind => Errno::EINVAL,
        Refusal::Full => Errno::ENOSPC,
        Refusal::Failed => Errno::EIO,
        Refusal::TwoFolders => Errno::EXDEV,
    }
}

fn kind(is_folder: bool) -> FileType {
    if is_folder { FileType::Directory } else { FileType::RegularFile }
}

fn text(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}
