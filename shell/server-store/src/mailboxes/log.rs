//! The log: each commit adds one row with everything that it accepted and deleted, so that an envelope costs no page of its own.
//!
//! Owns the rows, and how many of the envelopes in each still wait. Does not know what waits in the table, or quotas.
//!
//! - Rows go in the order in which they came, so a record that deletes never goes before the one that stored.
//! - A row goes when nothing in it waits any more. When the log has grown too long, what still waits in its oldest rows is moved
//!   to the table first (folded).
//! - What a transaction did is undone in memory, too, when it fails.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use halcyon_server::ports::Append;
use halcyon_types::DeviceId;
use rusqlite::{Connection, Statement};

use super::OpenError;
use super::expiry::integer;
use super::recent::{Kept, Recent};
use super::record::{self, Record};

/// The writer's side of the log.
pub(super) struct Log {
    recent: Arc<Recent>,
    rows: VecDeque<Row>,
    /// The number of the next row.
    next: u64,
    /// Bytes of all rows.
    bytes: u64,
    running: Running,
}

/// One commit of the past.
struct Row {
    number: u64,
    /// What it stored, in order.
    stored: Vec<(DeviceId, u64)>,
    /// How many of these still wait.
    live: usize,
    bytes: u64,
}

/// What the running transaction did.
#[derive(Default)]
struct Running {
    records: Vec<u8>,
    stored: Vec<(DeviceId, u64)>,
    /// What it took out of memory, to be put back if it fails.
    removed: Vec<(DeviceId, Kept)>,
    /// What a record of its own deletes already.
    cleared: Vec<(DeviceId, Kept)>,
    /// Rows that went.
    dropped: Vec<Row>,
    /// New sizes of rows that were written anew.
    rewritten: Vec<(u64, u64)>,
    /// The newest row that is folded into the table.
    folded: Option<u64>,
    deletions: Deletions,
}

/// How deletions are written that leave other envelopes in their row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Deletions {
    /// As records of the new row: little to write.
    #[default]
    Recorded,
    /// By writing the old rows anew without them: needs no room, for when the disk is full.
    InPlace,
}

impl Log {
    /// Reads the log as the server before left it.
    pub(super) fn load(connection: &Connection) -> Result<Self, OpenError> {
        let recent = Arc::new(Recent::default());
        let mut log = Self { recent, rows: VecDeque::new(), next: 1, bytes: 0, running: Running::default() };
        let mut devices = HashMap::new();
        let mut statement = connection.prepare("SELECT number, records FROM log ORDER BY number")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let number = row.get::<_, i64>(0)?.unsigned_abs();
            let bytes = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
            log.replay(number, bytes, &mut devices).map_err(|record::Damaged| OpenError::Damaged)?;
        }
        Ok(log)
    }

    fn replay(
        &mut self,
        number: u64,
        bytes: &[u8],
        devices: &mut HashMap<u64, DeviceId>,
    ) -> Result<(), record::Damaged> {
        self.rows.push_back(Row { number, stored: Vec::new(), live: 0, bytes: bytes.len() as u64 });
        for record in record::read(bytes)? {
            match record {
                Record::Stored { position, device, topic, expires, envelope } => {
                    devices.insert(position, device);
                    self.recent.put(device, Kept { position, row: number, topic, expires, envelope });
                    if let Some(row) = self.rows.back_mut() {
                        row.stored.push((device, position));
                        row.live += 1;
                    }
                }
                // What was moved to the table since is not here, and was deleted there by the same commit.
                Record::Removed { position } => {
                    let found = devices.get(&position).and_then(|device| self.recent.take(device, position));
                    self.count_off(found.iter());
                }
                Record::Cleared { device } => self.count_off(self.recent.take_all(&device).iter()),
            }
        }
        self.next = number + 1;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Returns what is shared with readers.
    pub(super) fn recent(&self) -> &Arc<Recent> {
        &self.recent
    }

    /// Starts a transaction.
    pub(super) fn begin(&mut self, deletions: Deletions) {
        self.running.deletions = deletions;
    }

    /// Stores an envelope.
    pub(super) fn append(&mut self, position: u64, append: &Append) {
        let Append { device, topic, expires, envelope } = append;
        record::put_stored(&mut self.running.records, position, *device, topic, *expires, envelope);
        self.running.stored.push((*device, position));
        let kept =
            Kept { position, row: self.next, topic: topic.clone(), expires: *expires, envelope: envelope.clone() };
        self.recent.put(*device, kept);
    }

    /// Deletes an envelope if it is in the log; returns its bytes if so.
    pub(super) fn remove(&mut self, device: DeviceId, position: u64) -> Option<u64> {
        let kept = self.recent.take(&device, position)?;
        let bytes = kept.bytes();
        self.count_off(std::iter::once(&kept));
        self.running.removed.push((device, kept));
        Some(bytes)
    }

    /// Deletes everything of a device.
    pub(super) fn clear(&mut self, device: DeviceId) {
        let found = self.recent.take_all(&device);
        if found.is_empty() {
            return;
        }
        self.count_off(found.iter());
        let found = found.into_iter().map(|kept| (device, kept));
        match self.running.deletions {
            Deletions::Recorded => {
                record::put_cleared(&mut self.running.records, device);
                self.running.cleared.extend(found);
            }
            Deletions::InPlace => self.running.removed.extend(found),
        }
    }

    /// Returns the bytes of all rows: what a start reads.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns what still waits in the oldest rows, some hundreds of envelopes, to be put into the table by the running transaction.
    pub(super) fn fold(&mut self) -> Vec<(DeviceId, Kept)> {
        let mut found = Vec::new();
        for row in &self.rows {
            let waiting =
                row.stored.iter().filter_map(|(device, position)| Some((*device, self.recent.get(device, *position)?)));
            found.extend(waiting);
            self.running.folded = Some(row.number);
            if found.len() >= FOLDED_AT_ONCE {
                break;
            }
        }
        found
    }

    /// Writes what the running transaction did.
    pub(super) fn finish(&mut self, statements: &mut Statements<'_>) -> rusqlite::Result<()> {
        if let Some(newest) = self.running.folded {
            statements.drop.execute([integer(newest)])?;
        }
        self.drop_empty(statements)?;
        let oldest = self.rows.front().map_or(self.next, |row| row.number);
        let left = self.running.removed.iter().map(|(_, kept)| kept).filter(|kept| kept.row >= oldest);
        match self.running.deletions {
            Deletions::Recorded => {
                for kept in left {
                    record::put_removed(&mut self.running.records, kept.position);
                }
            }
            Deletions::InPlace => {
                let mut rows: Vec<u64> = left.map(|kept| kept.row).filter(|row| *row < self.next).collect();
                rows.sort_unstable();
                rows.dedup();
                for row in rows {
                    self.rewrite(row, statements)?;
                }
            }
        }
        if !self.running.records.is_empty() {
            statements.insert.execute((integer(self.next), &self.running.records[..]))?;
        }
        Ok(())
    }

    /// Makes what the transaction did the past. `next_position` is the first position that it did not use.
    pub(super) fn committed(&mut self, next_position: u64) {
        let done = std::mem::take(&mut self.running);
        for (number, bytes) in done.rewritten {
            if let Some(row) = self.row(number) {
                let before = std::mem::replace(&mut row.bytes, bytes);
                self.bytes = self.bytes - before + bytes;
            }
        }
        self.bytes -= done.dropped.iter().map(|row| row.bytes).sum::<u64>();
        if let Some(newest) = done.folded {
            while let Some(row) = self.rows.pop_front_if(|row| row.number <= newest) {
                self.bytes -= row.bytes;
                for (device, position) in row.stored {
                    self.recent.take(&device, position);
                }
            }
        }
        if !done.records.is_empty() {
            let bytes = done.records.len() as u64;
            // What was replaced by a later part of the same commit does not wait.
            let own = |(_, kept): &&(DeviceId, Kept)| kept.row == self.next;
            let gone = done.removed.iter().chain(&done.cleared).filter(own).count();
            self.rows.push_back(Row { number: self.next, live: done.stored.len() - gone, stored: done.stored, bytes });
            self.bytes += bytes;
            self.next += 1;
        }
        self.recent.show_below(next_position);
    }

    /// Undoes what the transaction did.
    pub(super) fn rolled_back(&mut self) {
        let undone = std::mem::take(&mut self.running);
        for row in undone.dropped.into_iter().rev() {
            self.rows.push_front(row);
        }
        for (device, kept) in undone.removed.into_iter().chain(undone.cleared) {
            if kept.row < self.next {
                if let Some(row) = self.row(kept.row) {
                    row.live += 1;
                }
                self.recent.put(device, kept);
            }
        }
        for (device, position) in undone.stored {
            self.recent.take(&device, position);
        }
    }

    /// Drops the oldest rows as far as nothing in them waits.
    fn drop_empty(&mut self, statements: &mut Statements<'_>) -> rusqlite::Result<()> {
        let folded = self.running.folded;
        let mut newest = None;
        while let Some(row) =
            self.rows.pop_front_if(|row| row.live == 0 && folded.is_none_or(|folded| row.number > folded))
        {
            newest = Some(row.number);
            self.running.dropped.push(row);
        }
        match newest {
            Some(newest) => statements.drop.execute([integer(newest)]).map(drop),
            None => Ok(()),
        }
    }

    fn rewrite(&mut self, number: u64, statements: &mut Statements<'_>) -> rusqlite::Result<()> {
        let row: Vec<u8> = statements.row.query_row([integer(number)], |row| row.get(0))?;
        let recent = &self.recent;
        // Damage was looked for when the log was loaded; what became damaged since is found at the next start.
        let Ok(kept) = record::without(&row, |device, position| recent.get(device, position).is_none()) else {
            return Ok(());
        };
        statements.rewrite.execute((integer(number), &kept[..]))?;
        self.running.rewritten.push((number, kept.len() as u64));
        Ok(())
    }

    /// Counts envelopes as waiting no more in the rows that hold them.
    fn count_off<'k>(&mut self, gone: impl Iterator<Item = &'k Kept>) {
        for kept in gone {
            if let Some(row) = self.row(kept.row) {
                row.live -= 1;
            }
        }
    }

    /// Returns a row that is in the log: numbers go up by one, but for rows that a failed transaction would have written.
    fn row(&mut self, number: u64) -> Option<&mut Row> {
        let at = self.rows.binary_search_by_key(&number, |row| row.number).ok()?;
        self.rows.get_mut(at)
    }
}

/// What the log says to its table.
pub(super) struct Statements<'c> {
    insert: Statement<'c>,
    drop: Statement<'c>,
    row: Statement<'c>,
    rewrite: Statement<'c>,
}

impl<'c> Statements<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            insert: connection.prepare("INSERT INTO log (number, records) VALUES (?1, ?2)")?,
            drop: connection.prepare("DELETE FROM log WHERE number <= ?1")?,
            row: connection.prepare("SELECT records FROM log WHERE number = ?1")?,
            rewrite: connection.prepare("UPDATE log SET records = ?2 WHERE number = ?1")?,
        })
    }
}

/// Envelopes that are moved to the table by one transaction, at least: appends that come meanwhile wait for it.
const FOLDED_AT_ONCE: usize = 512;
