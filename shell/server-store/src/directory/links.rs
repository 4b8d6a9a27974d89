//! Tickets and links. Port: [`LinkStore`].

use bytes::Bytes;
use halcyon_server::ports::{
    Advanced, Aftermath, Completed, DirectoryStoreError, Link, LinkOpened, LinkState, LinkStore, ListChange,
    ListReplaced, NewDevice, NewLink, StoredPrekey,
};
use halcyon_types::{AccountId, DeviceId, LinkId, PushToken, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{account, array, bytes, device, millis, optional_array, push_token, timestamp};
use super::{DirectoryDb, aftermath, lists};

/// [`LinkState`] as a column. Numbers are never used again for something else.
#[derive(Clone, Copy)]
#[repr(u8)]
enum State {
    Waiting = 0,
    Challenged = 1,
    Revealed = 2,
    Approved = 3,
    Rejected = 4,
}

#[async_trait::async_trait]
impl LinkStore for DirectoryDb {
    async fn put_ticket(&self, hash: [u8; 32], id: AccountId, expires: Timestamp) -> Result<(), DirectoryStoreError> {
        self.write(move |connection| {
            connection
                .prepare_cached("INSERT INTO tickets (hash, account, expires_ms) VALUES (?1, ?2, ?3)")?
                .execute(params![hash, id.as_bytes(), millis(expires)])?;
            Ok(())
        })
        .await
    }

    async fn ticket(&self, hash: [u8; 32], now: Timestamp) -> Result<Option<AccountId>, DirectoryStoreError> {
        self.read(move |connection| {
            connection
                .prepare_cached("SELECT account FROM tickets WHERE hash = ?1 AND expires_ms > ?2")?
                .query_row(params![hash, millis(now)], |row| account(row, 0))
                .optional()
        })
        .await
    }

    async fn open(
        &self,
        new: NewLink,
        ticket_hash: [u8; 32],
        open_max: u32,
        wake: Vec<Aftermath>,
    ) -> Result<LinkOpened, DirectoryStoreError> {
        self.write(move |connection| open(connection, &new, ticket_hash, open_max, &wake)).await
    }

    async fn find(&self, id: LinkId) -> Result<Option<Link>, DirectoryStoreError> {
        self.read(move |connection| find(connection, id)).await
    }

    async fn open_links(&self, id: AccountId, now: Timestamp) -> Result<Vec<Link>, DirectoryStoreError> {
        self.read(move |connection| {
            let mut links: Vec<Link> = connection
                .prepare_cached(&format!(
                    "{COLUMNS} WHERE account = ?1 AND state <= {} AND expires_ms > ?2 ORDER BY created_ms, link",
                    State::Revealed as u8
                ))?
                .query_map(params![id.as_bytes(), millis(now)], link)?
                .collect::<rusqlite::Result<_>>()?;
            for link in &mut links {
                link.new.prekeys = prekeys(connection, link.new.id)?;
            }
            Ok(links)
        })
        .await
    }

    async fn challenge(
        &self,
        id: LinkId,
        approver: DeviceId,
        ephemeral: [u8; 32],
        nonce: [u8; 32],
        now: Timestamp,
    ) -> Result<Advanced, DirectoryStoreError> {
        self.write(move |connection| {
            let rows = connection
                .prepare_cached(&format!(
                    "UPDATE links SET state = {}, approver = ?2, approver_ephemeral = ?3, approver_nonce = ?4
                     WHERE link = ?1 AND state = {} AND expires_ms > ?5",
                    State::Challenged as u8,
                    State::Waiting as u8
                ))?
                .execute(params![id.as_bytes(), approver.as_bytes(), ephemeral, nonce, millis(now)])?;
            Ok(advanced(rows))
        })
        .await
    }

    async fn reveal(&self, id: LinkId, nonce: [u8; 32], now: Timestamp) -> Result<Advanced, DirectoryStoreError> {
        self.write(move |connection| {
            let rows = connection
                .prepare_cached(&format!(
                    "UPDATE links SET state = {}, revealed_nonce = ?2 WHERE link = ?1 AND state = {} AND expires_ms > ?3",
                    State::Revealed as u8,
                    State::Challenged as u8
                ))?
                .execute(params![id.as_bytes(), nonce, millis(now)])?;
            Ok(advanced(rows))
        })
        .await
    }

    async fn reject(&self, id: LinkId, now: Timestamp) -> Result<Advanced, DirectoryStoreError> {
        self.write(move |connection| {
            let rows = connection
                .prepare_cached(&format!(
                    "UPDATE links SET state = {} WHERE link = ?1 AND state <= {} AND expires_ms > ?2",
                    State::Rejected as u8,
                    State::Revealed as u8
                ))?
                .execute(params![id.as_bytes(), millis(now)])?;
            Ok(advanced(rows))
        })
        .await
    }

    async fn complete(
        &self,
        id: LinkId,
        change: ListChange,
        sealed: Bytes,
        token: PushToken,
        now: Timestamp,
        kept_until: Timestamp,
    ) -> Result<Completed, DirectoryStoreError> {
        self.write(move |connection| complete(connection, id, &change, &sealed, token, now, kept_until)).await
    }
}

const COLUMNS: &str = "SELECT link, account, device, device_key, entry, entry_signature, ephemeral, commitment, created_ms,
    expires_ms, state, approver, approver_ephemeral, approver_nonce, revealed_nonce, sealed, list, push_token FROM links";

/// LNK-1: one commit, so that a ticket opens one link.
fn open(
    connection: &Connection,
    new: &NewLink,
    ticket_hash: [u8; 32],
    open_max: u32,
    wake: &[Aftermath],
) -> rusqlite::Result<LinkOpened> {
    let now = millis(new.created);
    let live: u32 = connection
        .prepare_cached(&format!(
            "SELECT count(*) FROM links WHERE account = ?1 AND state <= {} AND expires_ms > ?2",
            State::Revealed as u8
        ))?
        .query_row(params![new.account.as_bytes(), now], |row| row.get(0))?;
    if live >= open_max {
        return Ok(LinkOpened::TooMany);
    }
    let known: bool = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM devices WHERE device = ?1)")?
        .query_row([new.device.as_bytes()], |row| row.get(0))?;
    if known {
        return Ok(LinkOpened::DeviceExists);
    }
    let used = connection
        .prepare_cached("DELETE FROM tickets WHERE hash = ?1 AND account = ?2 AND expires_ms > ?3")?
        .execute(params![ticket_hash, new.account.as_bytes(), now])?;
    if used == 0 {
        return Ok(LinkOpened::TicketInvalid);
    }
    connection
        .prepare_cached(
            "INSERT INTO links (link, account, device, device_key, entry, entry_signature, ephemeral, commitment,
                                created_ms, expires_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            new.id.as_bytes(),
            new.account.as_bytes(),
            new.device.as_bytes(),
            new.device_key,
            new.entry.as_ref(),
            new.entry_signature,
            new.ephemeral,
            new.commitment,
            now,
            millis(new.expires)
        ])?;
    let mut insert = connection.prepare_cached("INSERT INTO link_prekeys (link, suite, record) VALUES (?1, ?2, ?3)")?;
    for prekey in &new.prekeys {
        insert.execute(params![new.id.as_bytes(), prekey.suite, prekey.record.as_ref()])?;
    }
    aftermath::keep(connection, wake)?;
    Ok(LinkOpened::Opened)
}

/// LNK-8: list, device, push token, prekeys and state in one commit.
fn complete(
    connection: &Connection,
    id: LinkId,
    change: &ListChange,
    sealed: &Bytes,
    token: PushToken,
    now: Timestamp,
    kept_until: Timestamp,
) -> rusqlite::Result<Completed> {
    let Some(link) = find(connection, id)? else { return Ok(Completed::WrongState) };
    let ready = matches!(link.state, LinkState::Revealed { .. }) && link.new.expires > now;
    if !ready || link.new.account != change.account {
        return Ok(Completed::WrongState);
    }
    if lists::replace(connection, change)? == ListReplaced::Conflict {
        return Ok(Completed::Conflict);
    }
    let new =
        NewDevice { device: link.new.device, key: link.new.device_key, push_token: token, prekeys: link.new.prekeys };
    lists::insert_device(connection, change.account, &new)?;
    connection
        .prepare_cached(&format!(
            "UPDATE links SET state = {}, sealed = ?2, list = ?3, push_token = ?4, expires_ms = ?5 WHERE link = ?1",
            State::Approved as u8
        ))?
        .execute(params![
            id.as_bytes(),
            sealed.as_ref(),
            change.list.signed.as_ref(),
            token.as_bytes(),
            millis(kept_until)
        ])?;
    Ok(Completed::Completed)
}

fn find(connection: &Connection, id: LinkId) -> rusqlite::Result<Option<Link>> {
    let found = connection
        .prepare_cached(&format!("{COLUMNS} WHERE link = ?1"))?
        .query_row([id.as_bytes()], link)
        .optional()?;
    let Some(mut link) = found else { return Ok(None) };
    link.new.prekeys = prekeys(connection, id)?;
    Ok(Some(link))
}

fn prekeys(connection: &Connection, id: LinkId) -> rusqlite::Result<Vec<StoredPrekey>> {
    connection
        .prepare_cached("SELECT suite, record FROM link_prekeys WHERE link = ?1 ORDER BY suite")?
        .query_map([id.as_bytes()], |row| Ok(StoredPrekey { suite: row.get(0)?, record: bytes(row, 1)? }))?
        .collect()
}

fn link(row: &Row<'_>) -> rusqlite::Result<Link> {
    let new = NewLink {
        id: LinkId::from_bytes(array(row, 0)?),
        account: account(row, 1)?,
        device: device(row, 2)?,
        device_key: array(row, 3)?,
        entry: bytes(row, 4)?,
        entry_signature: array(row, 5)?,
        prekeys: Vec::new(),
        ephemeral: array(row, 6)?,
        commitment: array(row, 7)?,
        created: timestamp(row, 8)?,
        expires: timestamp(row, 9)?,
    };
    let challenge = match optional_array(row, 11)? {
        Some(approver) => Some((DeviceId::from_bytes(approver), array(row, 12)?, array(row, 13)?)),
        None => None,
    };
    let state = match row.get::<_, u8>(10)? {
        state if state == State::Waiting as u8 => LinkState::Waiting,
        state if state == State::Challenged as u8 => LinkState::Challenged,
        state if state == State::Revealed as u8 => LinkState::Revealed { nonce: array(row, 14)? },
        state if state == State::Approved as u8 => {
            LinkState::Approved { sealed: bytes(row, 15)?, list: bytes(row, 16)?, push_token: push_token(row, 17)? }
        }
        _ => LinkState::Rejected,
    };
    Ok(Link { new, challenge, state })
}

fn advanced(rows: usize) -> Advanced {
    if rows == 0 { Advanced::WrongState } else { Advanced::Advanced }
}
