//! Accounts, handles, password records. Port: [`AccountStore`].

use bytes::Bytes;
use halcyon_server::ports::{
    AccountProfile, AccountStore, Aftermath, Created, DirectoryStoreError, HandleRemoved, NewAccount, StoredList,
};
use halcyon_types::{AccountId, Handle};
use rusqlite::{Connection, OptionalExtension, params};

use super::columns::{account, bytes, handle, integer, millis, number, timestamp};
use super::verifications::State;
use super::{DirectoryDb, aftermath, lists};

#[async_trait::async_trait]
impl AccountStore for DirectoryDb {
    async fn create(&self, new: NewAccount) -> Result<Created, DirectoryStoreError> {
        self.write(move |connection| create(connection, &new)).await
    }

    async fn find(&self, handle: &Handle) -> Result<Option<AccountId>, DirectoryStoreError> {
        let handle = handle.clone();
        self.read(move |connection| owner(connection, handle.as_uri())).await
    }

    async fn password(&self, handle: &Handle) -> Result<Option<(AccountId, Bytes)>, DirectoryStoreError> {
        let handle = handle.clone();
        self.read(move |connection| {
            connection
                .prepare_cached(
                    "SELECT account, password FROM accounts JOIN handles USING (account) WHERE handle = ?1",
                )?
                .query_row([handle.as_uri()], |row| Ok((account(row, 0)?, bytes(row, 1)?)))
                .optional()
        })
        .await
    }

    async fn profile(&self, id: AccountId) -> Result<Option<AccountProfile>, DirectoryStoreError> {
        self.read(move |connection| {
            let list = connection
                .prepare_cached("SELECT list_version, list FROM accounts WHERE account = ?1")?
                .query_row([id.as_bytes()], |row| Ok(StoredList { version: number(row, 0)?, signed: bytes(row, 1)? }))
                .optional()?;
            let Some(list) = list else { return Ok(None) };
            let handles = connection
                .prepare_cached("SELECT handle, added_ms FROM handles WHERE account = ?1 ORDER BY added_ms, handle")?
                .query_map([id.as_bytes()], |row| Ok((handle(row, 0)?, timestamp(row, 1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(Some(AccountProfile { handles, list }))
        })
        .await
    }

    async fn remove_handle(
        &self,
        id: AccountId,
        handle: &Handle,
        wake: Vec<Aftermath>,
    ) -> Result<HandleRemoved, DirectoryStoreError> {
        let handle = handle.clone();
        self.write(move |connection| {
            if owner(connection, handle.as_uri())? != Some(id) {
                return Ok(HandleRemoved::NotFound);
            }
            // ACC-52: an account that nobody can find cannot be signed in to either.
            if count_handles(connection, id)? <= 1 {
                return Ok(HandleRemoved::Last);
            }
            connection.prepare_cached("DELETE FROM handles WHERE handle = ?1")?.execute([handle.as_uri()])?;
            aftermath::keep(connection, &wake)?;
            Ok(HandleRemoved::Removed)
        })
        .await
    }
}

/// ACC-32: one commit.
fn create(connection: &Connection, new: &NewAccount) -> rusqlite::Result<Created> {
    let verified: Option<String> = connection
        .prepare_cached(
            "SELECT handle FROM verifications
             WHERE verification = ?1 AND state = ?2 AND account IS NULL AND expires_ms > ?3",
        )?
        .query_row(params![new.verification.0, State::Verified as u8, millis(new.created)], |row| row.get(0))
        .optional()?;
    let Some(handle) = verified else { return Ok(Created::NotVerified) };
    if owner(connection, &handle)?.is_some() {
        return Ok(Created::HandleTaken);
    }
    let exists: bool = connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM accounts WHERE account = ?1) OR EXISTS (SELECT 1 FROM devices WHERE device = ?2)",
        )?
        .query_row(params![new.account.as_bytes(), new.device.device.as_bytes()], |row| row.get(0))?;
    if exists {
        return Ok(Created::AccountExists);
    }
    connection
        .prepare_cached(
            "INSERT INTO accounts (account, account_key, password, list_version, list, created_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            new.account.as_bytes(),
            new.account_key,
            new.password.as_ref(),
            integer(new.list.version),
            new.list.signed.as_ref(),
            millis(new.created)
        ])?;
    add_handle(connection, &handle, new.account, millis(new.created))?;
    lists::insert_device(connection, new.account, &new.device)?;
    connection
        .prepare_cached("UPDATE verifications SET state = ?2 WHERE verification = ?1")?
        .execute(params![new.verification.0, State::Ended as u8])?;
    Ok(Created::Created)
}

/// Returns whose handle this is.
pub(super) fn owner(connection: &Connection, handle: &str) -> rusqlite::Result<Option<AccountId>> {
    connection
        .prepare_cached("SELECT account FROM handles WHERE handle = ?1")?
        .query_row([handle], |row| account(row, 0))
        .optional()
}

/// Returns how many handles an account has.
pub(super) fn count_handles(connection: &Connection, account: AccountId) -> rusqlite::Result<u32> {
    connection
        .prepare_cached("SELECT count(*) FROM handles WHERE account = ?1")?
        .query_row([account.as_bytes()], |row| row.get(0))
}

/// Lets a handle that nobody has stand for an account.
pub(super) fn add_handle(
    connection: &Connection,
    handle: &str,
    account: AccountId,
    added_ms: i64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO handles (handle, account, added_ms) VALUES (?1, ?2, ?3)")?
        .execute(params![handle, account.as_bytes(), added_ms])?;
    Ok(())
}
