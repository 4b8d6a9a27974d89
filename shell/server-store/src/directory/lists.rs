//! Device lists, push tokens, prekeys. Port: [`ListStore`].

use halcyon_server::ports::{
    AccountSnapshot, DeviceAddress, DeviceRow, DirectoryStoreError, FoundAccount, ListChange, ListReplaced, ListStore,
    NewDevice, SnapshotOf, StoredList, StoredPrekey,
};
use halcyon_types::{AccountId, DeviceId, Handle};
use rusqlite::{Connection, OptionalExtension, params};

use super::columns::{account, array, bytes, device, handle, integer, number, push_token};
use super::{DirectoryDb, accounts, aftermath};

#[async_trait::async_trait]
impl ListStore for DirectoryDb {
    async fn replace(&self, change: ListChange) -> Result<ListReplaced, DirectoryStoreError> {
        self.write(move |connection| replace(connection, &change)).await
    }

    async fn snapshot(&self, of: SnapshotOf) -> Result<Option<AccountSnapshot>, DirectoryStoreError> {
        self.read(move |connection| snapshot(connection, of)).await
    }

    async fn put_prekeys(&self, id: DeviceId, prekeys: Vec<StoredPrekey>) -> Result<bool, DirectoryStoreError> {
        self.write(move |connection| {
            let there: bool = connection
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM devices WHERE device = ?1)")?
                .query_row([id.as_bytes()], |row| row.get(0))?;
            if there {
                put_prekeys(connection, id, &prekeys)?;
            }
            Ok(there)
        })
        .await
    }

    async fn find_all(&self, handles: Vec<Handle>) -> Result<Vec<Option<FoundAccount>>, DirectoryStoreError> {
        self.read(move |connection| handles.iter().map(|handle| find(connection, handle)).collect()).await
    }
}

/// DIR-4, DIR-5: one step forward, or nothing.
pub(super) fn replace(connection: &Connection, change: &ListChange) -> rusqlite::Result<ListReplaced> {
    let changed = connection
        .prepare_cached(
            "UPDATE accounts SET list_version = ?2, list = ?3 WHERE account = ?1 AND list_version = ?2 - 1",
        )?
        .execute(params![change.account.as_bytes(), integer(change.list.version), change.list.signed.as_ref()])?;
    if changed == 0 {
        return Ok(ListReplaced::Conflict);
    }
    let mut delete = connection.prepare_cached("DELETE FROM devices WHERE device = ?1 AND account = ?2")?;
    for removed in &change.removed {
        delete.execute(params![removed.as_bytes(), change.account.as_bytes()])?;
    }
    aftermath::keep(connection, &change.aftermath)?;
    Ok(ListReplaced::Replaced)
}

/// Lets a device enter an account.
pub(super) fn insert_device(connection: &Connection, account: AccountId, new: &NewDevice) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO devices (device, account, device_key, push_token) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![new.device.as_bytes(), account.as_bytes(), new.key, new.push_token.as_bytes()])?;
    put_prekeys(connection, new.device, &new.prekeys)
}

fn put_prekeys(connection: &Connection, id: DeviceId, prekeys: &[StoredPrekey]) -> rusqlite::Result<()> {
    let mut insert =
        connection.prepare_cached("INSERT OR REPLACE INTO prekeys (device, suite, record) VALUES (?1, ?2, ?3)")?;
    for prekey in prekeys {
        insert.execute(params![id.as_bytes(), prekey.suite, prekey.record.as_ref()])?;
    }
    Ok(())
}

fn snapshot(connection: &Connection, of: SnapshotOf) -> rusqlite::Result<Option<AccountSnapshot>> {
    let Some(id) = account_of(connection, of)? else { return Ok(None) };
    let found = connection
        .prepare_cached("SELECT account_key, list_version, list FROM accounts WHERE account = ?1")?
        .query_row([id.as_bytes()], |row| {
            Ok((array(row, 0)?, StoredList { version: number(row, 1)?, signed: bytes(row, 2)? }))
        })
        .optional()?;
    let Some((account_key, list)) = found else { return Ok(None) };
    let devices = connection
        .prepare_cached("SELECT device, device_key, push_token FROM devices WHERE account = ?1 ORDER BY device")?
        .query_map([id.as_bytes()], |row| {
            Ok(DeviceRow { device: device(row, 0)?, key: array(row, 1)?, push_token: push_token(row, 2)? })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let handles = connection
        .prepare_cached("SELECT handle FROM handles WHERE account = ?1")?
        .query_map([id.as_bytes()], |row| handle(row, 0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(AccountSnapshot { account: id, account_key, list, devices, handles }))
}

fn account_of(connection: &Connection, of: SnapshotOf) -> rusqlite::Result<Option<AccountId>> {
    let by = |sql, key: &[u8]| connection.prepare_cached(sql)?.query_row([key], |row| account(row, 0)).optional();
    match of {
        SnapshotOf::Account(id) => Ok(Some(id)),
        SnapshotOf::Device(id) => by("SELECT account FROM devices WHERE device = ?1", id.as_bytes()),
        SnapshotOf::PushToken(token) => by("SELECT account FROM devices WHERE push_token = ?1", token.as_bytes()),
    }
}

fn find(connection: &Connection, handle: &Handle) -> rusqlite::Result<Option<FoundAccount>> {
    let Some(id) = accounts::owner(connection, handle.as_uri())? else { return Ok(None) };
    let list = connection
        .prepare_cached("SELECT list_version, list FROM accounts WHERE account = ?1")?
        .query_row([id.as_bytes()], |row| Ok(StoredList { version: number(row, 0)?, signed: bytes(row, 1)? }))?;
    let mut devices: Vec<DeviceAddress> = connection
        .prepare_cached("SELECT device, push_token FROM devices WHERE account = ?1 ORDER BY device")?
        .query_map([id.as_bytes()], |row| {
            Ok(DeviceAddress { device: device(row, 0)?, push_token: push_token(row, 1)?, prekeys: Vec::new() })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut newest = connection.prepare_cached("SELECT suite, record FROM prekeys WHERE device = ?1 ORDER BY suite")?;
    for address in &mut devices {
        address.prekeys = newest
            .query_map([address.device.as_bytes()], |row| {
                Ok(StoredPrekey { suite: row.get(0)?, record: bytes(row, 1)? })
            })?
            .collect::<rusqlite::Result<_>>()?;
    }
    Ok(Some(FoundAccount { account: id, list, devices }))
}
