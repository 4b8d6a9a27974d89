//! What was delivered before anybody unlocked the profile. Spec: 70-keychain.md (KEY-11, KEY-12).
//!
//! Owns the file and its records. Does not know what a delivery says, or when it is acknowledged.
//!
//! - A delivery that was added is on stable storage.
//! - A record that is cut off, or does not open, ends the inbox: what it would have held was never acknowledged.
//! - After a failed sync nothing is added until the inbox is opened anew (STO-7).
//!
//! A record is `u32BE length ‖ item`, sealed for the class that can always be read, under the name `inbox` ‖ its place in the file as
//! u64BE, so that records can neither be moved nor left out in the middle.

use std::io;

use halcyon_crypto::{Rng, SecretBytes};

use crate::{
    disk::{self, DiskFile},
    keys::ProfileKeys,
};

/// The file's name in the profile folder.
pub const INBOX_FILE: &str = "inbox";
/// Deliveries that are kept; more wait at the server.
const DELIVERIES_MAX: u64 = 10_000;
/// Bytes of the file.
const INBOX_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of a record: a delivery is at most one frame.
const RECORD_BYTES_MAX: usize = 512 * 1024;
const LENGTH_BYTES: u64 = 4;

/// The inbox of a profile that is, or was, locked. One at a time has it open.
pub struct Inbox {
    keys: ProfileKeys,
    /// None while nothing was ever kept.
    file: Option<Box<dyn DiskFile>>,
    /// Where the next record goes.
    end: u64,
    count: u64,
    /// Bytes behind the end, which a crash left there.
    has_rest: bool,
    /// A sync failed.
    is_broken: bool,
}

impl Inbox {
    /// Opens the inbox, and finds its end.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn open(keys: ProfileKeys) -> io::Result<Self> {
        let disk = keys.profile().disk().clone();
        disk::renew(disk.as_ref(), INBOX_FILE)?; // STO-7
        let file = if disk.exists(INBOX_FILE)? { Some(disk.open(INBOX_FILE)?) } else { None };
        let mut inbox = Self { keys, file, end: 0, count: 0, has_rest: false, is_broken: false };
        while let Some((_, next)) = inbox.read_at(inbox.end)? {
            inbox.end = next;
            inbox.count += 1;
        }
        inbox.has_rest = inbox.size()? > inbox.end;
        Ok(inbox)
    }

    /// Returns how many deliveries wait.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Says whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a delivery; it is durable when this returns.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] if as many wait as may, and those of the disk. The delivery is then not to be acknowledged.
    pub fn add(&mut self, delivery: &[u8], rng: &mut dyn Rng) -> io::Result<()> {
        let sealed = self.keys.seal_always(&name(self.end), delivery, rng);
        let length = u32::try_from(sealed.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let next = self.end + LENGTH_BYTES + u64::from(length);
        if self.count >= DELIVERIES_MAX || next > INBOX_BYTES_MAX || sealed.len() > RECORD_BYTES_MAX {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.is_broken {
            return Err(io::Error::other("a sync failed: check the disk, and start again"));
        }
        let is_new = self.file.is_none();
        let disk = self.keys.profile().disk().clone();
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(disk.open(INBOX_FILE)?),
        };
        if self.has_rest {
            // What a crash left must not continue what is written over its beginning.
            file.set_size(self.end)?;
            self.has_rest = false;
        }
        let record = [&length.to_be_bytes()[..], &sealed].concat();
        // Whatever comes of it, what is behind the end is not a record.
        self.has_rest = true;
        file.write_at(self.end, &record)?;
        let synced = file.sync().and_then(|()| if is_new { disk.sync_folder() } else { Ok(()) });
        self.is_broken = synced.is_err();
        synced?;
        (self.end, self.has_rest) = (next, false);
        self.count += 1;
        Ok(())
    }

    /// Returns the first delivery from a place in the file on, 0 for the first of all, and the place of the next; nothing at the end.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn read_at(&mut self, place: u64) -> io::Result<Option<(SecretBytes, u64)>> {
        let Some(file) = &mut self.file else { return Ok(None) };
        let mut length = [0; LENGTH_BYTES as usize];
        if file.read_at(place, &mut length)? < length.len() {
            return Ok(None);
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > RECORD_BYTES_MAX {
            return Ok(None);
        }
        let mut sealed = vec![0; length];
        if file.read_at(place + LENGTH_BYTES, &mut sealed)? < length {
            return Ok(None);
        }
        let next = place + LENGTH_BYTES + length as u64;
        Ok(self.keys.open_always(&name(place), &sealed).map(|delivery| (delivery, next)))
    }

    /// Empties the inbox, when all of it was committed elsewhere.
    ///
    /// # Errors
    /// Those of the disk; what was in it may then still be.
    pub fn clear(&mut self) -> io::Result<()> {
        let disk = self.keys.profile().disk().clone();
        self.file = None;
        if disk.exists(INBOX_FILE)? {
            disk.remove(INBOX_FILE)?;
            disk.sync_folder()?;
        }
        (self.end, self.count, self.has_rest) = (0, 0, false);
        Ok(())
    }

    fn size(&mut self) -> io::Result<u64> {
        self.file.as_mut().map_or(Ok(0), |file| file.size())
    }
}

fn name(place: u64) -> Vec<u8> {
    [INBOX_FILE.as_bytes(), &place.to_be_bytes()].concat()
}
