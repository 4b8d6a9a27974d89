//! The SQL of repairs: numbers, gaps, what may be asked for again, counters. Spec: 61-repair.md.
//!
//! Owns the tables from `sent_end` to `counter`. Does not know what is asked of whom.

use std::ops::Range;

use halcyon_client::ports::store::{
    Change, Delivery, Heard, MessageRecord, RepairQueries, RepairRecord, SentEnd, SentEnvelope, StoreError,
    StreamPlace, UnopenedHead,
};
use halcyon_types::{ConversationId, DeviceId, EnvelopeId, Handle, MessageId, Timestamp};
use rusqlite::{Connection, Row, params};

use super::{
    SqliteStore,
    apply::run,
    columns::{self, at, count, counted, handle, id, millis, number, optional_id, optional_millis, small_number},
    deliveries, messages,
};

/// Applies a change of these tables; the caller rolls back on an error.
pub(super) fn apply(db: &Connection, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::PutSentEnd(end) => run(
            db,
            "INSERT OR REPLACE INTO sent_end (device, conversation, stream, last) VALUES (?1, ?2, ?3, ?4)",
            params![end.device.as_bytes(), end.conversation.as_bytes(), count(end.stream), count(end.last)],
        ),
        Change::PutHeard(heard) => run(
            db,
            "INSERT OR REPLACE INTO heard (device, conversation, stream, account, handle, high, missing, lost, since)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                heard.device.as_bytes(),
                heard.conversation.as_bytes(),
                count(heard.stream),
                heard.account.as_bytes(),
                heard.handle.as_uri(),
                count(heard.high),
                columns::join_ranges(&heard.missing),
                columns::join_ranges(&heard.lost),
                at(heard.since),
            ],
        ),
        Change::RaiseEpochSeen { device, epoch } => run(
            db,
            "INSERT INTO epoch_seen (device, epoch) VALUES (?1, ?2)
             ON CONFLICT (device) DO UPDATE SET epoch = max(epoch, ?2)",
            params![device.as_bytes(), count(*epoch)],
        ),
        Change::PutRepair(repair) => put_repair(db, repair),
        Change::RemoveRepair(device) => run(db, "DELETE FROM repair WHERE device = ?1", [device.as_bytes()]),
        Change::PutSentEnvelope(sent) => run(
            db,
            "INSERT OR REPLACE INTO sent_envelope (id, device, message, content, sender, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                sent.id.as_bytes(),
                sent.device.as_bytes(),
                sent.message.as_bytes(),
                sent.content.as_deref(),
                sent.sender.as_uri(),
                at(sent.at),
            ],
        ),
        Change::MarkSentEnvelopesHad { message, device } => run(
            db,
            "UPDATE sent_envelope SET had = 1 WHERE message = ?1 AND device = ?2",
            params![message.as_bytes(), device.as_bytes()],
        ),
        Change::ForgetSentEnvelopes { before, keep } => {
            run(db, "DELETE FROM sent_envelope WHERE at < ?1", [at(*before)])?;
            let keep = i64::try_from(*keep).unwrap_or(i64::MAX);
            let sql = "DELETE FROM sent_envelope WHERE place IN
                       (SELECT place FROM sent_envelope ORDER BY had, place DESC LIMIT -1 OFFSET ?1)";
            run(db, sql, [keep])
        }
        Change::BoundUnopened { device, of_device, in_all, asked } => {
            bound_unopened(db, *device, *of_device, *in_all, asked)
        }
        Change::CountUp(name) => run(
            db,
            "INSERT INTO counter (name, count) VALUES (?1, 1) ON CONFLICT (name) DO UPDATE SET count = count + 1",
            [name],
        ),
        _ => Ok(()),
    }
}

fn put_repair(db: &Connection, repair: &RepairRecord) -> rusqlite::Result<()> {
    run(
        db,
        "INSERT OR REPLACE INTO repair
         (device, account, handle, since, due, asked, attempts, job, counts_wanted, forward_since, wrote_to)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            repair.device.as_bytes(),
            repair.account.as_bytes(),
            repair.handle.as_uri(),
            at(repair.since),
            at(repair.due),
            repair.asked.map(at),
            repair.attempts,
            repair.job.as_ref().map(|job| job.as_bytes().as_slice()),
            repair.counts_wanted,
            repair.forward_since.map(at),
            repair.wrote_to.as_ref().map(Handle::as_uri),
        ],
    )
}

/// The columns of a repair in the order of [`repair`], with a condition.
macro_rules! repairs {
    ($condition:literal) => {
        concat!(
            "SELECT device, account, handle, since, due, asked, attempts, job, counts_wanted, forward_since,
             wrote_to FROM repair ",
            $condition
        )
    };
}

/// The columns of a stream in the order of [`heard`], with a condition.
macro_rules! heard {
    ($condition:literal) => {
        concat!(
            "SELECT device, conversation, stream, account, handle, high, missing, lost, since FROM heard ",
            $condition
        )
    };
}

fn repair(row: &Row<'_>) -> rusqlite::Result<RepairRecord> {
    Ok(RepairRecord {
        device: id(row, 0)?,
        account: id(row, 1)?,
        handle: handle(row, 2)?,
        since: millis(row, 3)?,
        due: millis(row, 4)?,
        asked: optional_millis(row, 5)?,
        attempts: small_number(row, 6)?,
        job: optional_id(row, 7)?,
        counts_wanted: row.get(8)?,
        forward_since: optional_millis(row, 9)?,
        wrote_to: row.get::<_, Option<String>>(10)?.is_some().then(|| handle(row, 10)).transpose()?,
    })
}

fn heard(row: &Row<'_>) -> rusqlite::Result<Heard> {
    Ok(Heard {
        device: id(row, 0)?,
        conversation: id(row, 1)?,
        stream: counted(row, 2)?,
        account: id(row, 3)?,
        handle: handle(row, 4)?,
        high: counted(row, 5)?,
        missing: columns::ranges(row, 6)?,
        lost: columns::ranges(row, 7)?,
        since: millis(row, 8)?,
    })
}

fn unopened_head(row: &Row<'_>) -> rusqlite::Result<UnopenedHead> {
    Ok(UnopenedHead {
        id: id(row, 0)?,
        device: optional_id(row, 1)?,
        cause: row.get(2)?,
        at: millis(row, 3)?,
        gone: row.get(4)?,
    })
}

/// What is asked for stays longest, then what is newest.
fn bound_unopened(
    db: &Connection,
    device: Option<DeviceId>,
    of_device: u64,
    in_all: u64,
    asked: &[String],
) -> rusqlite::Result<()> {
    let asked = asked.join(",");
    let limit = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let device = device.map(|device| *device.as_bytes());
    run(
        db,
        "DELETE FROM unopened WHERE device IS ?1 AND place NOT IN
         (SELECT place FROM unopened WHERE device IS ?1
          ORDER BY instr(?2, cause) > 0 DESC, place DESC LIMIT ?3)
         AND (SELECT count(*) FROM unopened WHERE device IS ?1) > ?3",
        params![device, asked, limit(of_device)],
    )?;
    run(
        db,
        "DELETE FROM unopened WHERE (SELECT count(*) FROM unopened) > ?2 AND place NOT IN
         (SELECT place FROM unopened ORDER BY instr(?1, cause) > 0 DESC, place DESC LIMIT ?2)",
        params![asked, limit(in_all)],
    )
}

fn sent_end(row: &Row<'_>) -> rusqlite::Result<SentEnd> {
    let (device, conversation) = (id(row, 0)?, id(row, 1)?);
    Ok(SentEnd { device, conversation, stream: counted(row, 2)?, last: counted(row, 3)? })
}

impl RepairQueries for SqliteStore {
    fn sent_end(&self, device: DeviceId, conversation: ConversationId, stream: u64) -> Result<u64, StoreError> {
        let sql = "SELECT last FROM sent_end WHERE device = ?1 AND conversation = ?2 AND stream = ?3";
        let params = params![device.as_bytes(), conversation.as_bytes(), count(stream)];
        Ok(self.one(sql, params, |row| counted(row, 0))?.unwrap_or(0))
    }

    fn sent_ends(&self, device: DeviceId) -> Result<Vec<SentEnd>, StoreError> {
        let sql = "SELECT device, conversation, stream, last FROM sent_end WHERE device = ?1
                   ORDER BY conversation, stream";
        self.all(sql, [device.as_bytes()], sent_end)
    }

    fn delivery(&self, message: MessageId, device: DeviceId) -> Result<Option<Delivery>, StoreError> {
        let sql = deliveries!("WHERE message = ?1 AND device = ?2");
        self.one(sql, params![message.as_bytes(), device.as_bytes()], columns::delivery)
    }

    fn delivery_at(
        &self,
        device: DeviceId,
        conversation: ConversationId,
        place: StreamPlace,
    ) -> Result<Option<Delivery>, StoreError> {
        let sql = deliveries!(
            "WHERE device = ?1 AND stream = ?2 AND number = ?3 AND EXISTS
             (SELECT 1 FROM message AS m WHERE m.id = delivery.message AND m.origin <> ?4 AND m.conversation = ?5) LIMIT 1"
        );
        let peer = columns::ORIGIN_PEER;
        let params =
            params![device.as_bytes(), count(place.stream), count(place.number), peer, conversation.as_bytes()];
        self.one(sql, params, columns::delivery)
    }

    fn unconfirmed(&self, device: DeviceId, when: Range<Timestamp>) -> Result<Vec<SentEnd>, StoreError> {
        self.all(
            "SELECT DISTINCT e.device, e.conversation, e.stream, e.last FROM delivery AS d
             JOIN message AS m ON m.id = d.message AND m.origin <> ?3
             JOIN sent_end AS e ON e.device = d.device AND e.conversation = m.conversation AND e.stream = d.stream
             WHERE d.device = ?1 AND d.state = 2 AND d.stream IS NOT NULL AND d.at >= ?2 AND d.at < ?4
             ORDER BY e.conversation, e.stream",
            params![device.as_bytes(), at(when.start), columns::ORIGIN_PEER, at(when.end)],
            sent_end,
        )
    }

    fn oldest_unconfirmed(&self, device: DeviceId, since: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT min(at) FROM delivery WHERE device = ?1 AND state = 2 AND stream IS NOT NULL AND at >= ?2";
        Ok(self.one(sql, params![device.as_bytes(), at(since)], |row| optional_millis(row, 0))?.flatten())
    }

    fn unconfirmed_up_to(&self, end: &SentEnd) -> Result<Vec<Delivery>, StoreError> {
        let sql = deliveries!(
            "WHERE device = ?1 AND stream = ?2 AND number <= ?3 AND state = 2 AND EXISTS
             (SELECT 1 FROM message AS m WHERE m.id = delivery.message AND m.origin <> ?4 AND m.conversation = ?5)
             ORDER BY number"
        );
        let (device, conversation) = (end.device.as_bytes(), end.conversation.as_bytes());
        let params = params![device, count(end.stream), count(end.last), columns::ORIGIN_PEER, conversation];
        self.all(sql, params, columns::delivery)
    }

    fn sent_envelope(&self, envelope: EnvelopeId) -> Result<Option<SentEnvelope>, StoreError> {
        let sql = "SELECT id, device, message, content, sender, at FROM sent_envelope WHERE id = ?1";
        self.one(sql, [envelope.as_bytes()], |row| {
            Ok(SentEnvelope {
                id: id(row, 0)?,
                device: id(row, 1)?,
                message: id(row, 2)?,
                content: row.get::<_, Option<Vec<u8>>>(3)?.map(bytes::Bytes::from),
                sender: handle(row, 4)?,
                at: millis(row, 5)?,
            })
        })
    }

    fn heard(&self, device: DeviceId) -> Result<Vec<Heard>, StoreError> {
        self.all(heard!("WHERE device = ?1 ORDER BY conversation, stream"), [device.as_bytes()], heard)
    }

    fn heard_in(
        &self,
        device: DeviceId,
        conversation: ConversationId,
        stream: u64,
    ) -> Result<Option<Heard>, StoreError> {
        let sql = heard!("WHERE device = ?1 AND conversation = ?2 AND stream = ?3");
        self.one(sql, params![device.as_bytes(), conversation.as_bytes(), count(stream)], heard)
    }

    fn gaps(&self) -> Result<Vec<Heard>, StoreError> {
        let sql = heard!("WHERE length(missing) > 0 OR length(lost) > 0 ORDER BY device, conversation, stream");
        self.all(sql, [], heard)
    }

    fn epoch_seen(&self, device: DeviceId) -> Result<u64, StoreError> {
        let sql = "SELECT epoch FROM epoch_seen WHERE device = ?1";
        Ok(self.one(sql, [device.as_bytes()], |row| counted(row, 0))?.unwrap_or(0))
    }

    fn unopened_of(&self, device: DeviceId) -> Result<Vec<UnopenedHead>, StoreError> {
        let sql = "SELECT id, device, cause, at, gone FROM unopened WHERE device = ?1 ORDER BY place";
        self.all(sql, [device.as_bytes()], unopened_head)
    }

    fn unopened_head(&self, envelope: EnvelopeId) -> Result<Option<UnopenedHead>, StoreError> {
        let sql = "SELECT id, device, cause, at, gone FROM unopened WHERE id = ?1";
        self.one(sql, [envelope.as_bytes()], unopened_head)
    }

    fn repairs(&self) -> Result<Vec<RepairRecord>, StoreError> {
        self.all(repairs!("ORDER BY due, device"), [], repair)
    }

    fn repair(&self, device: DeviceId) -> Result<Option<RepairRecord>, StoreError> {
        self.one(repairs!("WHERE device = ?1"), [device.as_bytes()], repair)
    }

    fn session_devices(&self) -> Result<Vec<DeviceId>, StoreError> {
        self.all("SELECT device FROM session ORDER BY device", [], |row| id(row, 0))
    }

    fn stored_since(&self, time: Timestamp, after: u64, limit: usize) -> Result<Vec<MessageRecord>, StoreError> {
        let sql = messages!("WHERE stored >= ?1 AND number > ?2 ORDER BY number LIMIT ?3");
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.all(sql, params![at(time), after, limit], columns::message)
    }

    fn number_of(&self, sender_device: DeviceId, message: MessageId) -> Result<u64, StoreError> {
        let sql = "SELECT number FROM message WHERE id = ?1 AND sender_device = ?2";
        let found = self.one(sql, params![message.as_bytes(), sender_device.as_bytes()], |row| number(row, 0))?;
        Ok(found.unwrap_or(0))
    }

    fn newest_received(&self) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT max(stored) FROM message WHERE origin <> ?1";
        Ok(self.one(sql, [columns::ORIGIN_HERE], |row| optional_millis(row, 0))?.flatten())
    }

    fn counters(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.all("SELECT name, count FROM counter ORDER BY name", [], |row| Ok((row.get(0)?, number(row, 1)?)))
    }
}
