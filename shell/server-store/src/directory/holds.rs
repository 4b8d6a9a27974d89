//! Sends that wait for their time. Port: [`Holds`].
//!
//! Owns the table `holds`. A row without a send is one that was made or taken back, and is remembered.

use bytes::Bytes;
use halcyon_server::ports::{DirectoryStoreError, HOLDS_REMEMBERED_FOR, Held, HoldRoom, HoldState, Holds};
use halcyon_types::{AccountId, DeviceId, HoldId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::DirectoryDb;
use super::columns::{account, array, bytes, device, millis, timestamp};

/// It waits for its time.
const HELD: i64 = 0;
/// It is being made: it is not taken back any more.
const BEING_MADE: i64 = 1;
const MADE: i64 = 2;
const CANCELLED: i64 = 3;

#[async_trait::async_trait]
impl Holds for DirectoryDb {
    async fn hold(&self, held: Held, replaces: bool, room: HoldRoom) -> Result<HoldState, DirectoryStoreError> {
        self.write(move |connection| hold(connection, &held, replaces, room)).await
    }

    async fn ask(&self, account: AccountId, id: HoldId, cancel: bool) -> Result<HoldState, DirectoryStoreError> {
        if !cancel {
            let found = self.read(move |connection| find(connection, account, id)).await?;
            return Ok(found.map_or(HoldState::NotKnown, |(state, _)| shown(state)));
        }
        self.write(move |connection| {
            connection
                .prepare_cached(
                    "UPDATE holds SET state = ?3, send = NULL WHERE account = ?1 AND hold = ?2 AND state = ?4",
                )?
                .execute(params![account.as_bytes(), id.as_bytes(), CANCELLED, HELD])?;
            Ok(find(connection, account, id)?.map_or(HoldState::NotKnown, |(state, _)| shown(state)))
        })
        .await
    }

    async fn next(&self) -> Result<Option<Timestamp>, DirectoryStoreError> {
        self.read(|connection| {
            let sql = "SELECT take_ms FROM holds WHERE send IS NOT NULL ORDER BY take_ms LIMIT 1";
            connection.prepare_cached(sql)?.query_row([], |row| timestamp(row, 0)).optional()
        })
        .await
    }

    async fn take(&self, now: Timestamp) -> Result<Option<Held>, DirectoryStoreError> {
        self.write(move |connection| {
            let found = connection
                .prepare_cached(
                    "SELECT hold, account, device, due_ms, send FROM holds
                     WHERE send IS NOT NULL AND take_ms <= ?1 ORDER BY take_ms, rowid LIMIT 1",
                )?
                .query_row([millis(now)], |row| {
                    Ok(Held {
                        hold: HoldId::from_bytes(array(row, 0)?),
                        account: account(row, 1)?,
                        device: device(row, 2)?,
                        due: timestamp(row, 3)?,
                        send: bytes(row, 4)?,
                    })
                })
                .optional()?;
            if let Some(held) = &found {
                connection
                    .prepare_cached("UPDATE holds SET state = ?3 WHERE account = ?1 AND hold = ?2")?
                    .execute(params![held.account.as_bytes(), held.hold.as_bytes(), BEING_MADE])?;
            }
            Ok(found)
        })
        .await
    }

    async fn made(
        &self,
        account: AccountId,
        hold: HoldId,
        rest: Option<(Bytes, Timestamp)>,
    ) -> Result<(), DirectoryStoreError> {
        self.write(move |connection| {
            let (send, at) = rest.unzip();
            connection
                .prepare_cached(
                    "UPDATE holds SET state = iif(?3 IS NULL, ?5, state), send = ?3, take_ms = coalesce(?4, take_ms)
                     WHERE account = ?1 AND hold = ?2",
                )?
                .execute(params![account.as_bytes(), hold.as_bytes(), send.as_deref(), at.map(millis), MADE])?;
            Ok(())
        })
        .await
    }
}

/// COU-61, COU-62, COU-64
fn hold(connection: &Connection, held: &Held, replaces: bool, room: HoldRoom) -> rusqlite::Result<HoldState> {
    match find(connection, held.account, held.hold)? {
        Some((state, _)) if state != HELD => return Ok(shown(state)),
        Some((_, of)) if of != held.device => return Ok(HoldState::NotKnown),
        None if replaces => return Ok(HoldState::NotKnown),
        Some(_) | None => {}
    }
    if !has_room(connection, held, room)? {
        return Ok(HoldState::TooMany);
    }
    connection
        .prepare_cached(
            "INSERT INTO holds (account, hold, device, due_ms, take_ms, state, send) VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6)
             ON CONFLICT (account, hold) DO UPDATE SET due_ms = ?4, take_ms = ?4, send = ?6",
        )?
        .execute(params![
            held.account.as_bytes(),
            held.hold.as_bytes(),
            held.device.as_bytes(),
            millis(held.due),
            HELD,
            held.send.as_ref(),
        ])?;
    connection
        .prepare_cached(
            "DELETE FROM holds WHERE rowid IN (
                 SELECT rowid FROM holds WHERE device = ?1 AND send IS NULL ORDER BY due_ms DESC, rowid DESC
                 LIMIT -1 OFFSET ?2)",
        )?
        .execute(params![held.device.as_bytes(), room.remembered as i64])?;
    Ok(HoldState::Held)
}

/// Says whether there is room for it beside the others of its device.
fn has_room(connection: &Connection, held: &Held, room: HoldRoom) -> rusqlite::Result<bool> {
    let (count, kept): (i64, i64) = connection
        .prepare_cached(
            "SELECT count(*), coalesce(sum(length(send)), 0) FROM holds
             WHERE device = ?1 AND send IS NOT NULL AND NOT (account = ?2 AND hold = ?3)",
        )?
        .query_row(params![held.device.as_bytes(), held.account.as_bytes(), held.hold.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let bytes = kept.saturating_add(held.send.len() as i64);
    Ok(count < room.count as i64 && bytes <= room.bytes as i64)
}

fn find(connection: &Connection, account: AccountId, hold: HoldId) -> rusqlite::Result<Option<(i64, DeviceId)>> {
    connection
        .prepare_cached("SELECT state, device FROM holds WHERE account = ?1 AND hold = ?2")?
        .query_row(params![account.as_bytes(), hold.as_bytes()], |row| Ok((row.get(0)?, device(row, 1)?)))
        .optional()
}

fn shown(state: i64) -> HoldState {
    match state {
        HELD => HoldState::Held,
        CANCELLED => HoldState::Cancelled,
        _ => HoldState::Released,
    }
}

/// COU-64: what became of holds is forgotten after a while.
pub(super) fn forget(connection: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    connection
        .prepare_cached("DELETE FROM holds WHERE send IS NULL AND due_ms <= ?1")?
        .execute([millis(now.minus(HOLDS_REMEMBERED_FOR))])
}
