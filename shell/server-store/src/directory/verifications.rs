//! Verifications of handles. Port: [`VerificationStore`].

use halcyon_crypto::Secret;
use halcyon_server::ports::{
    Aftermath, DirectoryStoreError, NewVerification, Verification, VerificationId, VerificationPurpose,
    VerificationState, VerificationStore, VerifyAttempt, VerifyOutcome,
};
use halcyon_types::{AccountId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{array, handle, millis, optional_array, timestamp};
use super::{DirectoryDb, accounts, aftermath};

/// [`VerificationState`] as a column. Numbers are never used again for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    Open = 0,
    Verified = 1,
    Ended = 2,
}

#[async_trait::async_trait]
impl VerificationStore for DirectoryDb {
    async fn begin(&self, new: NewVerification) -> Result<(), DirectoryStoreError> {
        self.write(move |connection| {
            let account = match new.purpose {
                VerificationPurpose::Registration => None,
                VerificationPurpose::AddHandle(account) => Some(*account.as_bytes()),
            };
            connection
                .prepare_cached(
                    "INSERT INTO verifications (verification, handle, account, code_mac, link_hash, expires_ms)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![
                    new.id.0,
                    new.handle.as_uri(),
                    account,
                    new.code_mac,
                    new.link_hash,
                    millis(new.expires)
                ])?;
            Ok(())
        })
        .await
    }

    async fn find(&self, id: VerificationId) -> Result<Option<Verification>, DirectoryStoreError> {
        self.read(move |connection| {
            connection
                .prepare_cached(&format!("{COLUMNS} WHERE verification = ?1"))?
                .query_row([id.0], verification)
                .optional()
        })
        .await
    }

    async fn find_by_link(&self, link_hash: [u8; 32]) -> Result<Option<Verification>, DirectoryStoreError> {
        self.read(move |connection| {
            connection
                .prepare_cached(&format!("{COLUMNS} WHERE link_hash = ?1"))?
                .query_row([link_hash], verification)
                .optional()
        })
        .await
    }

    async fn verify(
        &self,
        id: VerificationId,
        attempt: VerifyAttempt,
        tries_max: u32,
        handles_max: u32,
        now: Timestamp,
        wake: Vec<Aftermath>,
    ) -> Result<VerifyOutcome, DirectoryStoreError> {
        self.write(move |connection| {
            let Some(open) = open(connection, id, now)? else { return Ok(VerifyOutcome::Ended) };
            if let VerifyAttempt::Code(presented) = &attempt
                && !same(presented, &open.code_mac)
            {
                return wrong_code(connection, id, open.wrong_tries + 1, tries_max);
            }
            let outcome = match open.account {
                Some(account) => join(connection, &open.handle, account, handles_max, now, &wake)?,
                None => VerifyOutcome::Verified,
            };
            let state = if outcome == VerifyOutcome::Verified { State::Verified } else { State::Ended };
            set_state(connection, id, state)?;
            Ok(outcome)
        })
        .await
    }
}

const COLUMNS: &str = "SELECT verification, handle, account, state, expires_ms FROM verifications";

fn verification(row: &Row<'_>) -> rusqlite::Result<Verification> {
    let purpose = optional_array(row, 2)?
        .map_or(VerificationPurpose::Registration, |id| VerificationPurpose::AddHandle(AccountId::from_bytes(id)));
    let state = match row.get::<_, u8>(3)? {
        state if state == State::Open as u8 => VerificationState::Open,
        state if state == State::Verified as u8 => VerificationState::Verified,
        _ => VerificationState::Ended,
    };
    Ok(Verification {
        id: VerificationId(array(row, 0)?),
        handle: handle(row, 1)?,
        purpose,
        state,
        expires: timestamp(row, 4)?,
    })
}

/// A verification that still waits.
struct Open {
    handle: String,
    account: Option<AccountId>,
    code_mac: [u8; 32],
    wrong_tries: u32,
}

fn open(connection: &Connection, id: VerificationId, now: Timestamp) -> rusqlite::Result<Option<Open>> {
    connection
        .prepare_cached(
            "SELECT handle, account, code_mac, wrong_tries FROM verifications
             WHERE verification = ?1 AND state = ?2 AND expires_ms > ?3",
        )?
        .query_row(params![id.0, State::Open as u8, millis(now)], |row| {
            Ok(Open {
                handle: row.get(0)?,
                account: optional_array(row, 1)?.map(AccountId::from_bytes),
                code_mac: array(row, 2)?,
                wrong_tries: row.get(3)?,
            })
        })
        .optional()
}

/// ACC-24: constant time.
fn same(presented: &[u8; 32], kept: &[u8; 32]) -> bool {
    let secret = |bytes: &[u8; 32]| Secret::<32>::fill_with(|secret| *secret = *bytes);
    secret(presented).ct_eq(&secret(kept))
}

/// ACC-21: counted in the transaction that compared, so that tries at the same time do not share a count.
fn wrong_code(
    connection: &Connection,
    id: VerificationId,
    tries: u32,
    tries_max: u32,
) -> rusqlite::Result<VerifyOutcome> {
    connection
        .prepare_cached("UPDATE verifications SET wrong_tries = ?2 WHERE verification = ?1")?
        .execute(params![id.0, tries])?;
    if tries >= tries_max {
        set_state(connection, id, State::Ended)?;
        return Ok(VerifyOutcome::Ended);
    }
    Ok(VerifyOutcome::Wrong { tries_left: tries_max - tries })
}

/// ACC-51: the handle joins the account that asked, unless somebody was faster.
fn join(
    connection: &Connection,
    handle: &str,
    account: AccountId,
    handles_max: u32,
    now: Timestamp,
    wake: &[Aftermath],
) -> rusqlite::Result<VerifyOutcome> {
    match accounts::owner(connection, handle)? {
        Some(owner) if owner == account => return Ok(VerifyOutcome::Verified),
        Some(_) => return Ok(VerifyOutcome::HandleTaken),
        None => {}
    }
    if accounts::count_handles(connection, account)? >= handles_max {
        return Ok(VerifyOutcome::TooManyHandles);
    }
    accounts::add_handle(connection, handle, account, millis(now))?;
    aftermath::keep(connection, wake)?;
    Ok(VerifyOutcome::Verified)
}

fn set_state(connection: &Connection, id: VerificationId, state: State) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE verifications SET state = ?2 WHERE verification = ?1")?
        .execute(params![id.0, state as u8])?;
    Ok(())
}
