//! What the writer does inside one transaction.
//!
//! Owns the prepared statements, the loads of the mailboxes and the next position. Does not know when a transaction starts,
//! ends or is synced: that is [`super::writer`].
//!
//! - What is accepted goes into the log. Only what nobody fetched for a while comes into the table, when the log is folded.
//! - Positions in the table are below those in the log, since the oldest are folded first.
//! - Positions that a failed transaction had given are skipped, never given again.

use std::collections::HashSet;
use std::sync::Arc;

use halcyon_failpoint::{Dial, dial};
use halcyon_server::ports::{Append, AppendOutcome, ShownEpoch};
use halcyon_types::{DeviceId, Topic};
use rusqlite::{Connection, OptionalExtension, Statement};

use super::expiry::integer;
use super::heavy::{self, Heavy, LIGHT};
use super::log::{self, Deletions, Log};
use super::quota::{Load, Loads};
use super::recent::Recent;
use super::schema::TopicKey;
use super::{OpenError, Options};

/// The writer's side of log and tables.
pub(super) struct Tables<'c> {
    connection: &'c Connection,
    statements: Statements<'c>,
    log: Log,
    heavy: Heavy,
    loads: Loads,
    limit: Load,
    log_bytes_max: u64,
    /// The position of the next append.
    next: u64,
    /// Positions below this are spoken for on disk; after a restart they start here.
    reserved: u64,
    /// What `reserved` becomes when the running transaction commits.
    reserved_by_commit: u64,
}

/// What is in memory of the files, read before it is known which thread writes.
pub(super) struct Loaded {
    log: Log,
    heavy: Heavy,
    reserved: u64,
}

struct Statements<'c> {
    begin: Statement<'c>,
    commit: Statement<'c>,
    insert: Statement<'c>,
    newest: Statement<'c>,
    bytes: Statement<'c>,
    remove: Statement<'c>,
    clear: Statement<'c>,
    show: Statement<'c>,
    forget: Statement<'c>,
    count: Statement<'c>,
    reserve: Statement<'c>,
    log: log::Statements<'c>,
    heavy: heavy::Statements<'c>,
}

impl Loaded {
    /// Reads it, and finds what a statement or the tables have against each other.
    pub(super) fn new(connection: &Connection) -> Result<Self, OpenError> {
        Statements::prepare(connection)?;
        let reserved =
            connection.query_row("SELECT reserved FROM positions", [], |row| row.get::<_, i64>(0))?.unsigned_abs();
        let log = Log::load(connection)?;
        log.recent().show_below(reserved);
        Ok(Self { log, heavy: Heavy::load(connection)?, reserved })
    }

    /// Returns what is shared with readers.
    pub(super) fn recent(&self) -> &Arc<Recent> {
        self.log.recent()
    }
}

impl<'c> Tables<'c> {
    pub(super) fn new(connection: &'c Connection, loaded: Loaded, options: &Options) -> rusqlite::Result<Self> {
        let Loaded { log, heavy, reserved } = loaded;
        Ok(Self {
            connection,
            statements: Statements::prepare(connection)?,
            log,
            heavy,
            loads: Loads::default(),
            limit: Load { envelopes: options.envelopes_max, bytes: options.bytes_max },
            log_bytes_max: dial(Dial::FoldBytes).unwrap_or(options.log_bytes_max),
            next: reserved,
            reserved,
            reserved_by_commit: reserved,
        })
    }

    /// Returns what is shared with readers.
    pub(super) fn recent(&self) -> &Arc<Recent> {
        self.log.recent()
    }

    /// Starts a transaction.
    pub(super) fn begin(&mut self, deletions: Deletions) -> rusqlite::Result<()> {
        self.log.begin(deletions);
        self.statements.begin.execute([]).map(drop)
    }

    /// Ends it; whether that syncs is a setting of the connection.
    pub(super) fn commit(&mut self) -> rusqlite::Result<()> {
        self.log.finish(&mut self.statements.log)?;
        self.statements.commit.execute([])?;
        self.reserved = self.reserved_by_commit;
        self.heavy.committed();
        self.log.committed(self.next);
        Ok(())
    }

    /// Undoes it.
    pub(super) fn roll_back(&mut self) {
        self.loads.forget_all();
        self.heavy.rolled_back();
        self.log.rolled_back();
        self.reserved_by_commit = self.reserved;
        if !self.connection.is_autocommit() {
            // Fails only when there is nothing left to undo.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }

    /// Stores one envelope, unless its mailbox is full.
    pub(super) fn append(&mut self, append: &Append) -> rusqlite::Result<AppendOutcome> {
        let bytes = append.envelope.len() as u64;
        let replaced = self.replaced(append)?;
        if !self.has_room(append.device, bytes, replaced.map(|(_, bytes)| bytes))? {
            return Ok(AppendOutcome::Quota); // COU-45
        }
        if let Some((position, _)) = replaced {
            self.remove(append.device, position)?; // COU-32
        }
        let position = self.take_position()?;
        self.log.append(position, append);
        if let Some(load) = self.loads.known(&append.device) {
            load.add(bytes);
        }
        Ok(AppendOutcome::Accepted(position))
    }

    /// Deletes one envelope of a device; returns whether it was there.
    pub(super) fn remove(&mut self, device: DeviceId, position: u64) -> rusqlite::Result<bool> {
        let bytes = match self.log.remove(device, position) {
            Some(bytes) => bytes,
            None => {
                // Looked up first: `RETURNING` makes a table for its answer and keeps a journal of the statement, which is dearer than both.
                let key = (integer(position), device.as_bytes());
                let found = self.statements.bytes.query_row(key, |row| row.get::<_, i64>(0)).optional()?;
                let Some(bytes) = found else { return Ok(false) };
                self.statements.remove.execute([integer(position)])?;
                bytes.unsigned_abs()
            }
        };
        if let Some(load) = self.loads.known(&device) {
            load.remove(bytes);
        }
        Ok(true)
    }

    /// Remembers an epoch, unless a higher one is remembered (COU-18).
    pub(super) fn show(&mut self, shown: ShownEpoch) -> rusqlite::Result<()> {
        self.statements.show.execute((shown.device.as_bytes(), shown.epoch.to_be_bytes())).map(drop)
    }

    /// Deletes everything that waits for a device, and its epoch.
    pub(super) fn clear(&mut self, device: DeviceId) -> rusqlite::Result<()> {
        self.loads.forget(&device);
        self.log.clear(device);
        self.statements.clear.execute([device.as_bytes()])?;
        self.heavy.note(device, Load::default(), &mut self.statements.heavy)?;
        self.statements.forget.execute([device.as_bytes()]).map(drop)
    }

    /// Returns whether the log is to be folded.
    pub(super) fn log_is_long(&self) -> bool {
        self.log.bytes() > self.log_bytes_max
    }

    /// Moves what still waits in the oldest rows of the log to the table; returns how many bytes of envelopes.
    pub(super) fn fold(&mut self) -> rusqlite::Result<usize> {
        let mut devices = HashSet::new();
        let mut moved = 0;
        let waiting = self.log.fold();
        for (device, kept) in &waiting {
            self.statements.insert.execute((
                integer(kept.position),
                device.as_bytes(),
                TopicKey(&kept.topic),
                integer(kept.expires.as_millis()),
                integer(kept.bytes()),
                &kept.envelope[..],
            ))?;
            moved += kept.envelope.len();
            devices.insert(*device);
        }
        for (device, _) in &waiting {
            // In their order, each once: a simulation runs the same way twice.
            if devices.remove(device) && !self.loads.known(device).is_some_and(|load| load.fits(&LIGHT)) {
                let load = count(&mut self.statements.count, device)?;
                self.heavy.note(*device, load, &mut self.statements.heavy)?;
            }
        }
        Ok(moved)
    }

    /// Returns position and bytes of what an envelope takes the place of.
    fn replaced(&mut self, append: &Append) -> rusqlite::Result<Option<(u64, u64)>> {
        let topic = TopicKey(&append.topic);
        if !topic.keeps_newest() {
            return Ok(None);
        }
        match self.recent().of_topic(&append.device, &append.topic) {
            Some(found) => Ok(Some(found)),
            None => newest(&mut self.statements.newest, append.device, &append.topic),
        }
    }

    /// Returns whether a mailbox takes an envelope that replaces `replaced` bytes of another one (COU-45).
    fn has_room(&mut self, device: DeviceId, bytes: u64, replaced: Option<u64>) -> rusqlite::Result<bool> {
        let Self { log, heavy, loads, statements, limit, .. } = self;
        if loads.known(&device).is_none() && !heavy.contains(&device) {
            let mut most = log.recent().load(&device) + LIGHT;
            most.add(bytes);
            if most.fits(limit) {
                return Ok(true);
            }
        }
        let mut after = *loads.of(device, || {
            Ok::<_, rusqlite::Error>(log.recent().load(&device) + count(&mut statements.count, &device)?)
        })?;
        if let Some(replaced) = replaced {
            after.remove(replaced);
        }
        after.add(bytes);
        Ok(after.fits(limit))
    }

    fn take_position(&mut self) -> rusqlite::Result<u64> {
        let position = self.next;
        if position >= self.reserved_by_commit {
            self.reserved_by_commit = position + POSITIONS_AT_A_TIME;
            self.statements.reserve.execute([integer(self.reserved_by_commit)])?;
        }
        self.next += 1;
        Ok(position)
    }
}

/// Returns what a device has in the table.
fn count(statement: &mut Statement<'_>, device: &DeviceId) -> rusqlite::Result<Load> {
    statement.query_row([device.as_bytes()], |row| {
        Ok(Load { envelopes: row.get::<_, i64>(0)?.unsigned_abs(), bytes: row.get::<_, i64>(1)?.unsigned_abs() })
    })
}

fn newest(statement: &mut Statement<'_>, device: DeviceId, topic: &Topic) -> rusqlite::Result<Option<(u64, u64)>> {
    let mut rows = statement.query((device.as_bytes(), TopicKey(topic)))?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs())))
}

impl<'c> Statements<'c> {
    fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            commit: connection.prepare("COMMIT")?,
            // Whatever is there already: nothing may keep the log from being folded, or it grows without end.
            insert: connection.prepare("INSERT OR REPLACE INTO envelopes (position, device, topic, expires, bytes, envelope) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?,
            newest: connection.prepare("SELECT position, bytes FROM envelopes INDEXED BY newest WHERE device = ?1 AND topic = ?2 AND typeof(topic) = 'text'")?,
            bytes: connection.prepare("SELECT bytes FROM envelopes WHERE position = ?1 AND device = ?2")?,
            remove: connection.prepare("DELETE FROM envelopes WHERE position = ?1")?,
            clear: connection.prepare("DELETE FROM envelopes INDEXED BY waiting WHERE device = ?1")?,
            show: connection.prepare("INSERT INTO epochs (device, epoch) VALUES (?1, ?2) ON CONFLICT (device) DO UPDATE SET epoch = excluded.epoch WHERE excluded.epoch > epochs.epoch")?,
            forget: connection.prepare("DELETE FROM epochs WHERE device = ?1")?,
            count: connection.prepare("SELECT count(*), coalesce(sum(bytes), 0) FROM envelopes INDEXED BY waiting WHERE device = ?1")?,
            reserve: connection.prepare("UPDATE positions SET reserved = ?1")?,
            log: log::Statements::prepare(connection)?,
            heavy: heavy::Statements::prepare(connection)?,
        })
    }
}

/// Positions reserved in one write: enough that the write is never seen, few enough that restarts do not use up 63 bits.
const POSITIONS_AT_A_TIME: u64 = 1 << 20;
