//! The SQL of what was chosen, read and deleted. Spec: 52-own-devices.md.
//!
//! Owns the tables `own_entry`, `receipt` and `scheduled`, and the columns `read` and `deleted` of messages.

use halcyon_client::ports::store::{
    Change, EARLY_READ, HeldCopy, MessageRecord, OwnQueries, OwnRecord, ReceiptRecord, ScheduledRecord, StoreError,
    deletion, early_read,
};
use halcyon_types::{AccountId, ConversationId, DeviceId, Handle, MessageId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{
    SqliteStore,
    apply::run,
    columns::{self, at, handle, id, millis, number},
    messages, words,
};

/// Applies a change of these tables; the caller rolls back on an error.
pub(super) fn apply(db: &Connection, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::PutOwnEntry(entry) => run(
            db,
            "INSERT OR REPLACE INTO own_entry (key, value, chosen, device) VALUES (?1, ?2, ?3, ?4)",
            params![entry.key, entry.value, at(entry.chosen), entry.device.as_bytes()],
        ),
        Change::PutScheduled(record) => run(
            db,
            "INSERT OR REPLACE INTO scheduled
             (hold, message, due, content, held, epoch, copies, attempts, not_before, failure)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                record.hold.as_bytes(),
                record.message.as_bytes(),
                at(record.due),
                &record.content[..],
                record.held,
                columns::count(record.epoch),
                HeldCopy::encode(&record.copies),
                record.attempts,
                at(record.not_before),
                record.failure,
            ],
        ),
        Change::RemoveScheduled(hold) => run(db, "DELETE FROM scheduled WHERE hold = ?1", [hold.as_bytes()]),
        Change::MarkRead { device, message, at: time } => mark_read(db, *device, *message, *time),
        Change::MarkDeleted { device, message, at: time } => mark_deleted(db, *device, *message, *time),
        Change::ForgetDeletedBefore(time) => forget_deleted(db, *time),
        Change::ForgetOwnBefore(time) => {
            let own = "SELECT id FROM message WHERE kind = ?1 AND stored < ?2";
            let params = params![columns::KIND_OWN, at(*time)];
            run(db, &format!("DELETE FROM delivery WHERE message IN ({own})"), params)?;
            run(db, "DELETE FROM message WHERE kind = ?1 AND stored < ?2", params)?;
            run(
                db,
                "DELETE FROM own_entry WHERE key >= ?1 AND key < ?2 AND chosen < ?3",
                params![EARLY_READ, after(EARLY_READ), at(*time)],
            )
        }
        Change::PutReceipt(receipt) => run(
            db,
            "INSERT OR IGNORE INTO receipt (message, account, kind, handle, at) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                receipt.message.as_bytes(),
                receipt.account.as_bytes(),
                columns::receipt_kind(receipt.kind),
                receipt.handle.as_uri(),
                at(receipt.at),
            ],
        ),
        _ => Ok(()),
    }
}

/// Marks a message that was just added as what was said of it before it came.
pub(super) fn mark_late(db: &Connection, device: DeviceId, message: MessageId, number: i64) -> rusqlite::Result<()> {
    let chosen = |key: String| -> rusqlite::Result<Option<i64>> {
        let sql = "SELECT chosen FROM own_entry WHERE key = ?1 AND value <> ''";
        db.prepare_cached(sql)?.query_row([key], |row| row.get(0)).optional()
    };
    let (read, deleted) = (chosen(early_read(device, message))?, chosen(deletion(device, message))?);
    if read.is_none() && deleted.is_none() {
        return Ok(());
    }
    run(db, "UPDATE message SET read = ?2, deleted = ?3 WHERE number = ?1", params![number, read, deleted])?;
    run(db, "DELETE FROM own_entry WHERE key = ?1", [early_read(device, message)])
}

fn mark_read(db: &Connection, device: DeviceId, message: MessageId, time: Timestamp) -> rusqlite::Result<()> {
    let sql = "UPDATE message SET read = coalesce(read, ?3) WHERE id = ?1 AND sender_device = ?2";
    let marked = db.prepare_cached(sql)?.execute(params![message.as_bytes(), device.as_bytes(), at(time)])?;
    if marked > 0 {
        return Ok(());
    }
    run(
        db,
        "INSERT OR IGNORE INTO own_entry (key, value, chosen, device) VALUES (?1, 'read', ?2, ?3)",
        params![early_read(device, message), at(time), device.as_bytes()],
    )
}

fn mark_deleted(
    db: &Connection,
    device: DeviceId,
    message: MessageId,
    time: Option<Timestamp>,
) -> rusqlite::Result<()> {
    run(
        db,
        "UPDATE message SET deleted = ?3 WHERE id = ?1 AND sender_device = ?2 AND kind < 3",
        params![message.as_bytes(), device.as_bytes(), time.map(at)],
    )?;
    if time.is_none() {
        return Ok(());
    }
    words::remove(
        db,
        "SELECT number FROM message WHERE id = ?1 AND sender_device = ?2 UNION
         SELECT a.number FROM message AS a JOIN message AS m ON a.target = m.id AND a.conversation = m.conversation
         WHERE m.id = ?1 AND m.sender_device = ?2",
        params![message.as_bytes(), device.as_bytes()],
    )
}

/// What was done to a message holds what it said, too. Of an id that two devices used, both are deleted or neither loses its acts.
fn forget_deleted(db: &Connection, time: Timestamp) -> rusqlite::Result<()> {
    let params = params![at(time), columns::KIND_GONE];
    run(
        db,
        "UPDATE message SET content = x'', kind = ?2 WHERE target IS NOT NULL AND kind = 3 AND EXISTS
         (SELECT 1 FROM message AS m WHERE m.id = message.target AND m.conversation = message.conversation
          AND m.deleted < ?1 AND m.kind < 3)
         AND NOT EXISTS (SELECT 1 FROM message AS m WHERE m.id = message.target AND m.conversation = message.conversation
          AND (m.deleted IS NULL OR m.deleted >= ?1) AND m.kind < 3)",
        params,
    )?;
    run(db, "UPDATE message SET content = x'', kind = ?2 WHERE deleted < ?1 AND kind < 3", params)
}

/// Returns the first text behind all that begin with a prefix.
fn after(prefix: &str) -> String {
    format!("{prefix}\u{10ffff}")
}

fn own_record(row: &Row<'_>) -> rusqlite::Result<OwnRecord> {
    Ok(OwnRecord { key: row.get(0)?, value: row.get(1)?, chosen: millis(row, 2)?, device: id(row, 3)? })
}

impl OwnQueries for SqliteStore {
    fn scheduled(&self) -> Result<Vec<ScheduledRecord>, StoreError> {
        self.all(
            "SELECT hold, message, due, content, held, epoch, copies, attempts, not_before, failure FROM scheduled
             ORDER BY due, hold",
            [],
            scheduled,
        )
    }

    fn own_entry(&self, key: &str) -> Result<Option<OwnRecord>, StoreError> {
        self.one("SELECT key, value, chosen, device FROM own_entry WHERE key = ?1", [key], own_record)
    }

    fn own_entries(&self, prefix: &str) -> Result<Vec<OwnRecord>, StoreError> {
        let sql = "SELECT key, value, chosen, device FROM own_entry WHERE key >= ?1 AND key < ?2 ORDER BY key";
        self.all(sql, [prefix, &after(prefix)], own_record)
    }

    fn unread(&self, conversation: ConversationId) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM message WHERE conversation = ?1
                   AND origin = 3 AND kind < 3 AND kind > 0 AND read IS NULL AND deleted IS NULL";
        Ok(self.one(sql, [conversation.as_bytes()], |row| number(row, 0))?.unwrap_or(0))
    }

    fn unread_messages(
        &self,
        conversation: ConversationId,
        up_to: u64,
        limit: usize,
    ) -> Result<Vec<MessageRecord>, StoreError> {
        let sql = messages!(
            "WHERE conversation = ?1 AND origin = 3 AND kind < 3 AND kind > 0 AND read IS NULL AND deleted IS NULL
             AND number <= ?2 ORDER BY number LIMIT ?3"
        );
        let (up_to, limit) = (i64::try_from(up_to).unwrap_or(i64::MAX), i64::try_from(limit).unwrap_or(i64::MAX));
        self.all(sql, params![conversation.as_bytes(), up_to, limit], columns::message)
    }

    fn deleted(&self) -> Result<Vec<MessageRecord>, StoreError> {
        self.all(messages!("WHERE deleted IS NOT NULL AND kind < 3 ORDER BY number"), [], columns::message)
    }

    fn read_since(&self, time: Timestamp, limit: usize) -> Result<Vec<(DeviceId, MessageId)>, StoreError> {
        let sql = "SELECT sender_device, id FROM message WHERE read >= ?1 ORDER BY read DESC LIMIT ?2";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.all(sql, params![at(time), limit], |row| Ok((id(row, 0)?, id(row, 1)?)))
    }

    fn receipts(&self, message: MessageId) -> Result<Vec<ReceiptRecord>, StoreError> {
        let sql = "SELECT account, kind, handle, at FROM receipt WHERE message = ?1 ORDER BY place";
        self.all(sql, [message.as_bytes()], |row| {
            let kind = columns::read_receipt_kind(row, 1)?;
            Ok(ReceiptRecord { message, account: id(row, 0)?, kind, handle: handle(row, 2)?, at: millis(row, 3)? })
        })
    }

    fn has_written(&self, conversation: ConversationId) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM message WHERE conversation = ?1 AND origin <> 3 AND kind < 3 LIMIT 1";
        Ok(self.one(sql, [conversation.as_bytes()], |_| Ok(()))?.is_some())
    }

    fn handles_of(&self, account: AccountId) -> Result<Vec<Handle>, StoreError> {
        let sql = "SELECT handle FROM known_handle WHERE account = ?1 ORDER BY handle";
        self.all(sql, [account.as_bytes()], |row| handle(row, 0))
    }
}

fn scheduled(row: &Row<'_>) -> rusqlite::Result<ScheduledRecord> {
    let copies: Vec<u8> = row.get(6)?;
    Ok(ScheduledRecord {
        hold: id(row, 0)?,
        message: id(row, 1)?,
        due: millis(row, 2)?,
        content: row.get::<_, Vec<u8>>(3)?.into(),
        held: row.get(4)?,
        epoch: columns::counted(row, 5)?,
        copies: HeldCopy::decode(&copies).ok_or(rusqlite::Error::InvalidQuery)?,
        attempts: row.get(7)?,
        not_before: millis(row, 8)?,
        failure: row.get(9)?,
    })
}
