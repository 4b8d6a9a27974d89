//! The write-ahead log: SQLite's log header and frames, each sealed in its own place.
//!
//! Owns the layout of the sealed log, and tells a log that a crash cut off, which SQLite mends, from one that was
//! damaged afterwards, which SQLite alone would silently shorten.
//! Does not know transactions, beyond which frame ends one.
//!
//! - SQLite sees its own format at its own offsets; on disk everything is 96 bytes later, behind two longer headers.
//! - While SQLite recovers, a frame that does not open reads as zeros: to SQLite, the end of the log. Afterwards it is
//!   an error.
//! - Every frame says, sealed, how many frames before it were durable when it was written. A log in which one of those
//!   does not open was damaged, and is refused.
//! - SQLite begins a new log over the old one, header first, and syncs the header before any frame. The header of the
//!   next generation goes to the other slot. So a crash leaves one of the two whole, and frames of a generation whose
//!   header does not open are damage too.
//!
//! ```text
//! at 0 and 64            (header 32 ‖ generation u32) sealed ‖ tag 16 ‖ nonce 12
//! at 128 + i * 4120      (frame header 24 ‖ page 4064 ‖ durable frames u32) sealed ‖ tag 16 ‖ nonce 12
//! ```
//!
//! A header is sealed for its slot, a frame for its generation and index.

use std::sync::Arc;

use halcyon_crypto::SecretBytes;
use halcyon_sqlite_vfs::{File, FileError};

use crate::{
    page_cipher::OVERHEAD_BYTES,
    sealed_files::{NamedFile, Shared, file_error},
    sealed_pages::{PAGE_BYTES, RESERVED_BYTES, USABLE_BYTES},
};

/// Bytes of SQLite's log header.
const HEADER_BYTES: usize = 32;
/// Bytes of the generation behind it.
const GENERATION_BYTES: usize = 4;
/// Bytes of a header on disk.
const SLOT_BYTES: usize = HEADER_BYTES + GENERATION_BYTES + OVERHEAD_BYTES;
/// Where the frames begin on disk.
const FRAMES_AT: u64 = 2 * SLOT_BYTES as u64;
/// By how much what SQLite writes lies further on.
const SHIFT_BYTES: u64 = FRAMES_AT - HEADER_BYTES as u64;

/// Bytes of a frame's own header: page number, database size if it ends a transaction, salts, checksums.
const FRAME_HEADER_BYTES: usize = 24;
/// Where a frame header holds the database size after the transaction that it ends, or zero (u32).
const FRAME_DATABASE_SIZE: std::ops::Range<usize> = 4..8;
/// Bytes of a frame, SQLite's and ours alike.
const FRAME_BYTES: usize = FRAME_HEADER_BYTES + PAGE_BYTES;
/// Bytes of the count of durable frames, behind what SQLite wrote.
const DURABLE_BYTES: usize = 4;
const FRAME_PLAIN_BYTES: usize = FRAME_HEADER_BYTES + USABLE_BYTES + DURABLE_BYTES;

// What the reserved bytes of a page leave room for is exactly what sealing a frame takes.
const _: () = assert!(FRAME_PLAIN_BYTES + OVERHEAD_BYTES == FRAME_BYTES);

/// A header that opened.
#[derive(Clone, Copy)]
struct Header {
    bytes: [u8; HEADER_BYTES],
    generation: u32,
}

/// The open log.
pub(crate) struct SealedLog {
    file: NamedFile,
    shared: Arc<Shared>,
    /// The newest header, unless the log is empty.
    header: Option<Header>,
    /// The generation that begins next, and so its slot.
    next_generation: u32,
    /// Nothing was written since the log was opened, so SQLite may be looking for its end.
    recovering: bool,
    /// A frame header that waits for its page, to be sealed together.
    pending: Option<(u32, [u8; FRAME_HEADER_BYTES])>,
    /// Frames up to the end of the last transaction that was written since the log was opened.
    committed: u32,
    /// Frames up to the end of the last transaction that was synced since the log was opened.
    durable: u32,
}

impl SealedLog {
    /// Opens the log and checks it as a whole.
    ///
    /// # Errors
    /// [`FileError::Damaged`] if something that had been durable does not open any more.
    pub(crate) fn open(file: NamedFile, shared: Arc<Shared>) -> Result<Self, FileError> {
        let mut log = Self {
            file,
            shared,
            header: None,
            next_generation: 1,
            recovering: true,
            pending: None,
            committed: 0,
            durable: 0,
        };
        let headers = [log.read_header(0)?, log.read_header(1)?];
        log.header = headers.into_iter().flatten().max_by_key(|header| header.generation);
        match log.header {
            Some(header) => {
                log.next_generation = header.generation.wrapping_add(1);
                log.check_frames(header.generation)?;
            }
            None if log.file.file.size().map_err(file_error)? > FRAMES_AT => return Err(FileError::Damaged),
            None => {}
        }
        Ok(log)
    }

    fn read_header(&mut self, slot: u32) -> Result<Option<Header>, FileError> {
        let mut sealed = [0; SLOT_BYTES];
        let got = self.file.file.read_at(slot_at(slot), &mut sealed).map_err(file_error)?;
        let opened = self.shared.frames.open(header_place(slot), &sealed[..got]);
        Ok(opened.and_then(|opened| {
            let (bytes, generation) = opened.expose().split_first_chunk()?;
            Some(Header { bytes: *bytes, generation: u32::from_be_bytes(generation.try_into().ok()?) })
        }))
    }

    /// Compares every frame's word on what was durable before it with what is there now.
    fn check_frames(&mut self, generation: u32) -> Result<(), FileError> {
        let size = self.file.file.size().map_err(file_error)?;
        let frames =
            u32::try_from(size.saturating_sub(FRAMES_AT) / FRAME_BYTES as u64).map_err(|_| FileError::Damaged)?;
        let mut first_bad = None;
        for index in 0..frames {
            match self.open_frame(generation, index)? {
                // A transaction that a crash left in pieces may have been written over by a shorter one, so bad frames
                // are followed by good ones now and then. But nothing durable is ever written over.
                Some(frame) => {
                    let durable = durable_frames(&frame);
                    if durable > index || first_bad.is_some_and(|bad| bad < durable) {
                        return Err(FileError::Damaged);
                    }
                }
                // Left from generations before, as a rule. One of the generation after was written under a header
                // that had been synced, and that is not there any more.
                None if self.open_frame(generation.wrapping_add(1), index)?.is_some() => {
                    return Err(FileError::Damaged);
                }
                None => first_bad = first_bad.or(Some(index)),
            }
        }
        Ok(())
    }

    /// Reads frame `index` and opens it as one of `generation`; `None` if it is not there whole, or does not open.
    fn open_frame(&mut self, generation: u32, index: u32) -> Result<Option<SecretBytes>, FileError> {
        let mut sealed = [0; FRAME_BYTES];
        let got = self.file.file.read_at(offset_of(index), &mut sealed).map_err(file_error)?;
        if got < FRAME_BYTES {
            return Ok(None);
        }
        Ok(self.shared.frames.open(frame_place(generation, index), &sealed))
    }

    /// Writes SQLite's header, which begins a new generation over the old one.
    fn begin(&mut self, bytes: [u8; HEADER_BYTES]) -> Result<(), FileError> {
        let header = Header { bytes, generation: self.next_generation };
        let slot = header.generation % 2;
        let mut plain = [0; HEADER_BYTES + GENERATION_BYTES];
        plain[..HEADER_BYTES].copy_from_slice(&header.bytes);
        plain[HEADER_BYTES..].copy_from_slice(&header.generation.to_be_bytes());
        let mut sealed = [0; SLOT_BYTES];
        self.shared.frames.seal(header_place(slot), &plain, &mut sealed);
        self.file.file.write_at(slot_at(slot), &sealed).map_err(file_error)?;
        self.header = Some(header);
        self.next_generation = header.generation.wrapping_add(1);
        self.recovering = false;
        self.committed = 0;
        self.durable = 0;
        Ok(())
    }

    /// Returns the generation in which frames are read and written.
    fn generation(&self) -> Result<u32, FileError> {
        // SQLite writes and reads a header before any frame.
        self.header.map(|header| header.generation).ok_or(FileError::Failed)
    }

    /// Seals and writes a frame whole.
    fn write_frame(&mut self, index: u32, frame: &[u8; FRAME_BYTES]) -> Result<(), FileError> {
        let (used, reserved) = frame.split_at(FRAME_HEADER_BYTES + USABLE_BYTES);
        let place = frame_place(self.generation()?, index);
        // SQLite leaves the reserved bytes alone; storing anything else would lose it, and fail SQLite's checksum.
        if reserved != [0; RESERVED_BYTES] {
            return Err(FileError::Failed);
        }
        self.recovering = false;
        self.note_commits(index, used);
        let mut plain = [0; FRAME_PLAIN_BYTES];
        plain[..used.len()].copy_from_slice(used);
        plain[used.len()..].copy_from_slice(&self.durable.to_be_bytes());
        let mut sealed = [0; FRAME_BYTES];
        self.shared.frames.seal(place, &plain, &mut sealed);
        self.file.file.write_at(offset_of(index), &sealed).map_err(file_error)
    }

    /// Keeps count of the transactions written.
    fn note_commits(&mut self, index: u32, frame: &[u8]) {
        let ends_transaction = frame[FRAME_DATABASE_SIZE] != [0; 4];
        if ends_transaction {
            self.committed = index.saturating_add(1);
        } else if index < self.committed {
            // The transaction that had ended here was given up, and its place is used again.
            self.durable = self.durable.min(index);
            self.committed = self.durable;
        }
    }

    /// Changes part of a frame: SQLite writes a changed page over, and checksums anew, within one transaction.
    fn patch_frame(&mut self, index: u32, start: usize, bytes: &[u8]) -> Result<(), FileError> {
        let mut frame = [0; FRAME_BYTES];
        if let Some(opened) = self.open_frame(self.generation()?, index)? {
            let used = FRAME_HEADER_BYTES + USABLE_BYTES;
            frame[..used].copy_from_slice(&opened.expose()[..used]);
        }
        frame.get_mut(start..start + bytes.len()).ok_or(FileError::Failed)?.copy_from_slice(bytes);
        self.write_frame(index, &frame)
    }

    /// Writes a frame header whose page did not follow: only the header has changed.
    fn flush(&mut self) -> Result<(), FileError> {
        match self.pending.take() {
            Some((index, header)) => self.patch_frame(index, 0, &header),
            None => Ok(()),
        }
    }

    /// Reads `buffer.len()` bytes of frame `index` from `start`.
    fn read_frame_part(&mut self, index: u32, start: usize, buffer: &mut [u8]) -> Result<(), FileError> {
        let Some(opened) = self.open_frame(self.generation()?, index)? else {
            // Looking for the end of the log, SQLite reads frames from their header on. A read of the page alone
            // follows an index that says the page is there.
            if self.recovering && start == 0 && buffer.len() >= FRAME_HEADER_BYTES {
                buffer.fill(0);
                return Ok(());
            }
            return Err(FileError::Damaged);
        };
        let mut frame = [0; FRAME_BYTES];
        let used = FRAME_HEADER_BYTES + USABLE_BYTES;
        frame[..used].copy_from_slice(&opened.expose()[..used]);
        buffer.copy_from_slice(frame.get(start..start + buffer.len()).ok_or(FileError::Failed)?);
        Ok(())
    }
}

impl File for SealedLog {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, FileError> {
        self.flush()?;
        let size = self.size()?;
        let rest = usize::try_from(size.saturating_sub(offset)).map_err(|_| FileError::Failed)?;
        let count = buffer.len().min(rest);
        let buffer = &mut buffer[..count];
        match frame_at(offset)? {
            None => {
                let header = self.header.map_or([0; HEADER_BYTES], |header| header.bytes);
                let start = offset as usize;
                buffer.copy_from_slice(header.get(start..start + count).ok_or(FileError::Failed)?);
            }
            Some((index, start)) if count > 0 => self.read_frame_part(index, start, buffer)?,
            Some(_) => {}
        }
        Ok(count)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), FileError> {
        self.shared.running()?;
        let Some((index, start)) = frame_at(offset)? else {
            self.pending = None;
            let header = bytes.try_into().map_err(|_| FileError::Failed)?;
            return if offset == 0 { self.begin(header) } else { Err(FileError::Failed) };
        };
        if start == FRAME_HEADER_BYTES
            && bytes.len() == PAGE_BYTES
            && let Some((_, header)) = self.pending.take_if(|(pending, _)| *pending == index)
        {
            let mut frame = [0; FRAME_BYTES];
            frame[..FRAME_HEADER_BYTES].copy_from_slice(&header);
            frame[FRAME_HEADER_BYTES..].copy_from_slice(bytes);
            return self.write_frame(index, &frame);
        }
        self.flush()?;
        if start == 0 && bytes.len() == FRAME_HEADER_BYTES {
            let mut header = [0; FRAME_HEADER_BYTES];
            header.copy_from_slice(bytes);
            self.pending = Some((index, header));
            return Ok(());
        }
        self.patch_frame(index, start, bytes)
    }

    fn truncate(&mut self, size: u64) -> Result<(), FileError> {
        self.shared.running()?;
        self.flush()?;
        if size < HEADER_BYTES as u64 {
            self.header = None;
            return self.file.file.set_size(0).map_err(file_error);
        }
        self.file.file.set_size(size + SHIFT_BYTES).map_err(file_error)
    }

    fn sync(&mut self) -> Result<(), FileError> {
        self.flush()?;
        self.file.sync(&self.shared)?;
        self.durable = self.committed;
        Ok(())
    }

    fn size(&mut self) -> Result<u64, FileError> {
        self.flush()?;
        let len = self.file.file.size().map_err(file_error)?;
        // A log without its header is empty to SQLite, whatever is left of it.
        Ok(if self.header.is_some() { len.saturating_sub(SHIFT_BYTES) } else { 0 })
    }
}

/// Returns the frame that SQLite's `offset` lies in, and where in it; `None` in the header.
fn frame_at(offset: u64) -> Result<Option<(u32, usize)>, FileError> {
    let Some(offset) = offset.checked_sub(HEADER_BYTES as u64) else { return Ok(None) };
    let index = u32::try_from(offset / FRAME_BYTES as u64).map_err(|_| FileError::Full)?;
    Ok(Some((index, (offset % FRAME_BYTES as u64) as usize)))
}

/// Returns where frame `index` lies on disk.
fn offset_of(index: u32) -> u64 {
    FRAMES_AT + u64::from(index) * FRAME_BYTES as u64
}

/// Returns where the header of `slot` lies on disk.
fn slot_at(slot: u32) -> u64 {
    u64::from(slot) * SLOT_BYTES as u64
}

/// Returns the place that a frame is sealed for.
fn frame_place(generation: u32, index: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(index)
}

/// Returns the place that a header is sealed for: one that no frame has, because no log has so many frames.
fn header_place(slot: u32) -> u64 {
    u64::MAX - u64::from(slot)
}

/// Returns how many frames were durable when `frame` was written.
fn durable_frames(frame: &SecretBytes) -> u32 {
    frame.expose().last_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

#[cfg(test)]
#[path = "sealed_log/tests.rs"]
mod tests;
