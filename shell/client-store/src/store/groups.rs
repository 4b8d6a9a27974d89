//! The SQL of groups, and of what is held of them.
//!
//! Owns the tables `people` and `held`.

use halcyon_client::ports::store::{Change, GroupQueries, GroupRecord, HeldMessage, StoreError};
use halcyon_types::{ConversationId, GroupId, SuiteId};
use rusqlite::{Connection, Row, params};

use super::{
    SqliteStore,
    apply::run,
    columns::{self, at, blob, id, millis, small_number},
};

pub(super) fn apply(db: &Connection, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::PutConversation(conversation) => run(
            db,
            "INSERT INTO conversation (id, members) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET members = ?2",
            params![conversation.id.as_bytes(), columns::join_members(&conversation.members)],
        ),
        Change::PutGroup(record) => run(
            db,
            "INSERT INTO people (id, conversation, log) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE SET log = ?3",
            params![record.group.as_bytes(), record.conversation.as_bytes(), &record.log[..]],
        ),
        Change::AddHeld { held, of_device, in_all } => add_held(db, held, *of_device, *in_all),
        Change::RemoveHeld(device, message) => {
            run(db, "DELETE FROM held WHERE device = ?1 AND id = ?2", params![device.as_bytes(), message.as_bytes()])
        }
        Change::ForgetHeldBefore(time) => run(db, "DELETE FROM held WHERE at < ?1", [at(*time)]),
        // The caller sends what is of groups.
        _ => Ok(()),
    }
}

fn add_held(db: &Connection, held: &HeldMessage, of_device: u64, in_all: u64) -> rusqlite::Result<()> {
    run(
        db,
        "INSERT OR IGNORE INTO held (people, id, account, device, suite, content, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            held.group.as_bytes(),
            held.id.as_bytes(),
            held.account.as_bytes(),
            held.device.as_bytes(),
            held.suite.as_u32(),
            &held.content[..],
            at(held.at),
        ],
    )?;
    let limit = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    run(
        db,
        "DELETE FROM held WHERE device = ?1 AND place NOT IN
         (SELECT place FROM held WHERE device = ?1 ORDER BY place DESC LIMIT ?2)",
        params![held.device.as_bytes(), limit(of_device)],
    )?;
    run(
        db,
        "DELETE FROM held WHERE place NOT IN (SELECT place FROM held ORDER BY place DESC LIMIT ?1)",
        [limit(in_all)],
    )
}

fn record(row: &Row<'_>) -> rusqlite::Result<GroupRecord> {
    Ok(GroupRecord { group: id(row, 0)?, conversation: id(row, 1)?, log: blob(row, 2)? })
}

fn held(row: &Row<'_>) -> rusqlite::Result<HeldMessage> {
    Ok(HeldMessage {
        group: id(row, 0)?,
        id: id(row, 1)?,
        account: id(row, 2)?,
        device: id(row, 3)?,
        suite: SuiteId::from_u32(small_number(row, 4)?),
        content: blob(row, 5)?,
        at: millis(row, 6)?,
    })
}

impl GroupQueries for SqliteStore {
    fn groups(&self) -> Result<Vec<GroupRecord>, StoreError> {
        self.all("SELECT id, conversation, log FROM people ORDER BY place", [], record)
    }

    fn group(&self, group: GroupId) -> Result<Option<GroupRecord>, StoreError> {
        self.one("SELECT id, conversation, log FROM people WHERE id = ?1", [group.as_bytes()], record)
    }

    fn group_in(&self, conversation: ConversationId) -> Result<Option<GroupId>, StoreError> {
        self.one("SELECT id FROM people WHERE conversation = ?1", [conversation.as_bytes()], |row| id(row, 0))
    }

    fn held(&self, group: Option<GroupId>) -> Result<Vec<HeldMessage>, StoreError> {
        self.all(
            "SELECT people, id, account, device, suite, content, at FROM held WHERE ?1 IS NULL OR people = ?1 ORDER BY place",
            [group.as_ref().map(|group| group.as_bytes().as_slice())],
            held,
        )
    }
}
