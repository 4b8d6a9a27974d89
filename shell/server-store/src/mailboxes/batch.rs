//! What the writer does inside one transaction.
//!
//! Owns the prepared statements, the loads of the mailboxes and the next position. Does not know when a transaction starts,
//! ends or is synced: that is [`super::writer`].
//!
//! - Positions that a failed transaction had given are skipped, never given again.

use halcyon_server::ports::{Append, AppendOutcome, ShownEpoch};
use halcyon_types::DeviceId;
use rusqlite::{Connection, OptionalExtension, Statement};

use super::Options;
use super::expiry::integer;
use super::quota::{Load, Loads};
use super::schema::TopicKey;

/// The writer's side of the tables.
pub(super) struct Tables<'c> {
    connection: &'c Connection,
    statements: Statements<'c>,
    loads: Loads,
    limit: Load,
    /// The position of the next append.
    next: u64,
    /// Positions below this are spoken for on disk; after a restart they start here.
    reserved: u64,
    /// What `reserved` becomes when the running transaction commits.
    reserved_by_commit: u64,
}

struct Statements<'c> {
    begin: Statement<'c>,
    commit: Statement<'c>,
    insert: Statement<'c>,
    replace_newest: Statement<'c>,
    bytes: Statement<'c>,
    remove: Statement<'c>,
    clear: Statement<'c>,
    show: Statement<'c>,
    forget: Statement<'c>,
    count: Statement<'c>,
    reserve: Statement<'c>,
}

impl<'c> Tables<'c> {
    pub(super) fn new(connection: &'c Connection, options: &Options) -> rusqlite::Result<Self> {
        let reserved =
            connection.query_row("SELECT reserved FROM positions", [], |row| row.get::<_, i64>(0))?.unsigned_abs();
        Ok(Self {
            connection,
            statements: Statements::prepare(connection)?,
            loads: Loads::default(),
            limit: Load { envelopes: options.envelopes_max, bytes: options.bytes_max },
            next: reserved,
            reserved,
            reserved_by_commit: reserved,
        })
    }

    /// Starts a transaction.
    pub(super) fn begin(&mut self) -> rusqlite::Result<()> {
        self.statements.begin.execute([]).map(drop)
    }

    /// Ends it; whether that syncs is a setting of the connection.
    pub(super) fn commit(&mut self) -> rusqlite::Result<()> {
        self.statements.commit.execute([])?;
        self.reserved = self.reserved_by_commit;
        Ok(())
    }

    /// Undoes it.
    pub(super) fn roll_back(&mut self) {
        self.loads.forget_all();
        self.reserved_by_commit = self.reserved;
        if !self.connection.is_autocommit() {
            // Fails only when there is nothing left to undo.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }

    /// Stores one envelope, unless its mailbox is full.
    pub(super) fn append(&mut self, append: &Append) -> rusqlite::Result<AppendOutcome> {
        let Self { statements, loads, .. } = self;
        let device = append.device.as_bytes();
        let bytes = append.envelope.len() as u64;
        let topic = TopicKey(&append.topic);
        let load = loads.of(append.device, || {
            statements.count.query_row([device], |row| {
                Ok(Load {
                    envelopes: row.get::<_, i64>(0)?.unsigned_abs(),
                    bytes: row.get::<_, i64>(1)?.unsigned_abs(),
                })
            })
        })?;
        let mut after = *load;
        let replaced =
            if topic.keeps_newest() { waiting_newest(&mut statements.replace_newest, device, &topic)? } else { None };
        if let Some((_, replaced_bytes)) = replaced {
            after.remove(replaced_bytes);
        }
        after.add(bytes);
        if after.envelopes > self.limit.envelopes || after.bytes > self.limit.bytes {
            return Ok(AppendOutcome::Quota); // COU-45
        }
        *load = after;
        if let Some((position, _)) = replaced {
            statements.remove.execute([integer(position)])?; // COU-32
        }
        let position = self.take_position()?;
        self.statements.insert.execute((
            integer(position),
            device,
            topic,
            integer(append.expires.as_millis()),
            integer(bytes),
            &append.envelope[..],
        ))?;
        Ok(AppendOutcome::Accepted(position))
    }

    /// Deletes one envelope of a device; returns whether it was there.
    pub(super) fn remove(&mut self, device: DeviceId, position: u64) -> rusqlite::Result<bool> {
        // Looked up first: `RETURNING` makes a table for its answer and keeps a journal of the statement, which is dearer than both.
        let bytes = self.statements.bytes.query_row((integer(position), device.as_bytes()), |row| row.get::<_, i64>(0));
        let Some(bytes) = bytes.optional()? else { return Ok(false) };
        self.statements.remove.execute([integer(position)])?;
        if let Some(load) = self.loads.known(&device) {
            load.remove(bytes.unsigned_abs());
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
        self.statements.clear.execute([device.as_bytes()])?;
        self.statements.forget.execute([device.as_bytes()]).map(drop)
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

fn waiting_newest(
    statement: &mut Statement<'_>,
    device: &[u8; 16],
    topic: &TopicKey<'_>,
) -> rusqlite::Result<Option<(u64, u64)>> {
    let mut rows = statement.query((device, topic))?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some((row.get::<_, i64>(0)?.unsigned_abs(), row.get::<_, i64>(1)?.unsigned_abs())))
}

impl<'c> Statements<'c> {
    fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            commit: connection.prepare("COMMIT")?,
            insert: connection.prepare("INSERT INTO envelopes (position, device, topic, expires, bytes, envelope) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?,
            replace_newest: connection.prepare("SELECT position, bytes FROM envelopes INDEXED BY newest WHERE device = ?1 AND topic = ?2 AND typeof(topic) = 'text'")?,
            bytes: connection.prepare("SELECT bytes FROM envelopes WHERE position = ?1 AND device = ?2")?,
            remove: connection.prepare("DELETE FROM envelopes WHERE position = ?1")?,
            clear: connection.prepare("DELETE FROM envelopes INDEXED BY waiting WHERE device = ?1")?,
            show: connection.prepare("INSERT INTO epochs (device, epoch) VALUES (?1, ?2) ON CONFLICT (device) DO UPDATE SET epoch = excluded.epoch WHERE excluded.epoch > epochs.epoch")?,
            forget: connection.prepare("DELETE FROM epochs WHERE device = ?1")?,
            count: connection.prepare("SELECT count(*), coalesce(sum(bytes), 0) FROM envelopes INDEXED BY waiting WHERE device = ?1")?,
            reserve: connection.prepare("UPDATE positions SET reserved = ?1")?,
        })
    }
}

/// Positions reserved in one write: enough that the write is never seen, few enough that restarts do not use up 63 bits.
const POSITIONS_AT_A_TIME: u64 = 1 << 20;
