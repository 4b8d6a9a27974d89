//! The client's [`Store`] port on the encrypted database.
//!
//! Owns the tables. Does not know protocols, or how pages are sealed and synced: that is [`EncryptedDb`]'s.
//!
//! - One commit is one transaction, and `Ok` comes after SQLite synced it (SND-1, RCV-1).
//! - What is read back and does not parse is damage, said so, never guessed at.
//!
//! Next: [`schema`] for the tables, [`apply`] for writing, [`columns`] for how values become columns.

mod apply;
mod columns;
mod groups;
mod outbox;
mod own;
mod repairs;
mod schema;
mod words;

use bytes::Bytes;
use halcyon_client::ports::store::{
    AddressesRecord, AlertRecord, Commit, Conversation, Delivery, GroupQueries, KnownAccountRecord, KnownHandleRecord,
    LinkRecord, MessageRecord, OutboxEnvelope, OutboxJob, OutboxQueries, OutboxTarget, OwnQueries, PendingReceipt,
    Profile, RepairQueries, SeenMark, Store, StoreError, UnopenedRecord, WordIndex,
};
use halcyon_crypto::SecretBytes;
use halcyon_types::{AccountId, ConversationId, DeviceId, EnvelopeId, Handle, MessageId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Params, Row};

use self::columns::{counted, handle, id, millis, number};
use crate::{DatabaseError, EncryptedDb, keys};

/// The columns of a message in the order of [`columns::message`], with a condition.
macro_rules! messages {
    ($condition:literal) => {
        concat!(
            "SELECT number, id, conversation, origin, kind, sender, sender_account, sender_device, suite, sent, stored,
             content, stream, place, target, read, deleted FROM message ",
            $condition
        )
    };
}
/// The columns of a job in the order of [`columns::outbox_job`], with a condition.
macro_rules! jobs {
    ($condition:literal) => {
        concat!("SELECT message, silent, sender, content, forced_suite, created FROM outbox_job ", $condition)
    };
}
/// The columns of an envelope in the order of [`columns::outbox_envelope`], with a condition.
macro_rules! envelopes {
    ($condition:literal) => {
        concat!(
            "SELECT id, message, handle, account, list_version, device, push_token, suite, payload, attempts,
             not_before FROM outbox_envelope ",
            $condition
        )
    };
}
/// The columns of a delivery in the order of [`columns::delivery`], with a condition.
macro_rules! deliveries {
    ($condition:literal) => {
        concat!("SELECT message, account, device, suite, state, at, reason, stream, number FROM delivery ", $condition)
    };
}
pub(crate) use {deliveries, jobs, messages};

/// The store of one profile. Dropping it closes the profile.
#[derive(Debug)]
pub struct SqliteStore {
    database: EncryptedDb,
}

impl SqliteStore {
    /// Brings the tables of an open profile to this version, and returns its store.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the tables were made by a newer version: update the program.
    pub fn new(mut database: EncryptedDb) -> Result<Self, StoreError> {
        let (connection, items) = database.with_items();
        schema::migrate(connection, &items)?;
        Ok(Self { database })
    }

    /// Returns the database, as to change its passphrase.
    #[must_use]
    pub fn database(&self) -> &EncryptedDb {
        &self.database
    }

    fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let mut statement = self.database.prepare_cached(sql).map_err(store_error)?;
        statement.query_row(params, read).optional().map_err(store_error)
    }

    fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let connection: &Connection = &self.database;
        let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
        let rows = statement.query_map(params, read).map_err(store_error)?;
        rows.collect::<rusqlite::Result<_>>().map_err(store_error)
    }

    fn targets(&self, message: MessageId) -> Result<Vec<OutboxTarget>, StoreError> {
        self.all(
            "SELECT handle, state, account, done, attempts, not_before, only_device, mends FROM outbox_target
             WHERE message = ?1 ORDER BY place",
            [message.as_bytes()],
            columns::outbox_target,
        )
    }

    fn jobs(&self, sql: &str, params: impl Params) -> Result<Vec<OutboxJob>, StoreError> {
        let jobs = self.all(sql, params, columns::outbox_job)?;
        jobs.into_iter().map(|job| self.with_targets(job)).collect()
    }

    fn with_targets(&self, mut job: OutboxJob) -> Result<OutboxJob, StoreError> {
        job.targets = self.targets(job.message)?;
        Ok(job)
    }
}

impl Store for SqliteStore {
    fn commit(&mut self, commit: &Commit) -> Result<(), StoreError> {
        // SND-1, RCV-1: dropped without `commit`, a transaction is rolled back.
        let (database, items) = self.database.with_items();
        let transaction = database.transaction().map_err(store_error)?;
        for change in commit.changes() {
            apply::apply(&transaction, &items, change).map_err(store_error)?;
        }
        transaction.commit().map_err(store_error)
    }

    fn profile(&self) -> Result<Option<Profile>, StoreError> {
        self.one(
            "SELECT stage, server, account, device, device_keys, prekeys_uploaded, account_key, push_token FROM profile",
            [],
            |row| columns::profile(row, &self.database.items()),
        )
    }

    fn link(&self) -> Result<Option<LinkRecord>, StoreError> {
        self.one(
            "SELECT id, handle, account, device_keys, entry, entry_signature, ephemeral, nonce,
             approver, approver_ephemeral, approver_nonce FROM link",
            [],
            |row| columns::link(row, &self.database.items()),
        )
    }

    fn own_handles(&self) -> Result<Vec<Handle>, StoreError> {
        self.all("SELECT handle FROM own_handle ORDER BY place", [], |row| handle(row, 0))
    }

    fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.one("SELECT value FROM setting WHERE name = ?1", [name], |row| row.get(0))
    }

    fn known_account(&self, account: AccountId) -> Result<Option<KnownAccountRecord>, StoreError> {
        let sql = "SELECT version, known FROM known_account WHERE account = ?1";
        self.one(sql, [account.as_bytes()], |row| {
            let known = Bytes::from(row.get::<_, Vec<u8>>(1)?);
            Ok(KnownAccountRecord { account, version: counted(row, 0)?, known })
        })
    }

    fn known_handle(&self, handle: &Handle) -> Result<Option<KnownHandleRecord>, StoreError> {
        let sql = "SELECT account, known FROM known_handle WHERE handle = ?1";
        self.one(sql, [handle.as_uri()], |row| {
            let known = Bytes::from(row.get::<_, Vec<u8>>(1)?);
            Ok(KnownHandleRecord { handle: handle.clone(), account: id(row, 0)?, known })
        })
    }

    fn addresses(&self, account: AccountId) -> Result<Option<AddressesRecord>, StoreError> {
        let sql = "SELECT addresses, refresh FROM addresses WHERE account = ?1";
        self.one(sql, [account.as_bytes()], |row| {
            let addresses = Bytes::from(row.get::<_, Vec<u8>>(0)?);
            Ok(AddressesRecord { account, addresses, refresh: millis(row, 1)? })
        })
    }

    fn conversations(&self) -> Result<Vec<Conversation>, StoreError> {
        self.all(
            "SELECT id, members FROM conversation AS c
             ORDER BY (SELECT max(m.anchor) FROM message AS m WHERE m.conversation = c.id) DESC NULLS LAST, place",
            [],
            columns::conversation,
        )
    }

    fn conversation(&self, id: ConversationId) -> Result<Option<Conversation>, StoreError> {
        self.one("SELECT id, members FROM conversation WHERE id = ?1", [id.as_bytes()], columns::conversation)
    }

    fn history(
        &self,
        conversation: ConversationId,
        before: u64,
        limit: usize,
    ) -> Result<Vec<MessageRecord>, StoreError> {
        let sql = messages!(
            "WHERE conversation = ?1 AND (anchor, rank, number) < (?2, ?3, ?4) AND kind < ?6 AND deleted IS NULL
             ORDER BY anchor DESC, rank DESC, number DESC LIMIT ?5"
        );
        let before = i64::try_from(before).unwrap_or(i64::MAX);
        let order = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let found = self.one("SELECT anchor, rank FROM message WHERE number = ?1", [before], order)?;
        let (anchor, rank): (i64, i64) = found.unwrap_or((before, 0));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let params = rusqlite::params![conversation.as_bytes(), anchor, rank, before, limit, columns::KIND_ACT];
        let mut newest = self.all(sql, params, columns::message)?;
        newest.reverse();
        Ok(newest)
    }

    fn messages_with(&self, id: MessageId) -> Result<Vec<MessageRecord>, StoreError> {
        self.all(messages!("WHERE id = ?1 ORDER BY number"), [id.as_bytes()], columns::message)
    }

    fn acts_on(&self, id: MessageId) -> Result<Vec<MessageRecord>, StoreError> {
        self.all(messages!("WHERE target = ?1 ORDER BY number"), [id.as_bytes()], columns::message)
    }

    fn own_message(&self, id: MessageId) -> Result<Option<MessageRecord>, StoreError> {
        let sql = messages!("WHERE id = ?1 AND origin <> ?2 LIMIT 1");
        self.one(sql, rusqlite::params![id.as_bytes(), columns::ORIGIN_PEER], columns::message)
    }

    fn has_message(&self, sender_device: DeviceId, id: MessageId) -> Result<bool, StoreError> {
        let found = self.one(
            "SELECT 1 FROM message WHERE id = ?1 AND sender_device = ?2",
            [id.as_bytes(), sender_device.as_bytes()],
            |_| Ok(()),
        );
        Ok(found?.is_some())
    }

    fn newest_number(&self) -> Result<u64, StoreError> {
        let newest = self.one("SELECT coalesce(max(number), 0) FROM message", [], |row| number(row, 0))?;
        Ok(newest.unwrap_or(0))
    }

    fn deliveries(&self, message: MessageId) -> Result<Vec<Delivery>, StoreError> {
        self.all(deliveries!("WHERE message = ?1 ORDER BY place"), [message.as_bytes()], columns::delivery)
    }

    fn outbox(&self) -> &dyn OutboxQueries {
        self
    }

    fn outbox_jobs(&self) -> Result<Vec<OutboxJob>, StoreError> {
        self.jobs(jobs!("ORDER BY place"), [])
    }

    fn outbox_job(&self, message: MessageId) -> Result<Option<OutboxJob>, StoreError> {
        let job = self.one(jobs!("WHERE message = ?1"), [message.as_bytes()], columns::outbox_job)?;
        job.map(|job| self.with_targets(job)).transpose()
    }

    fn outbox_envelopes(&self, message: MessageId) -> Result<Vec<OutboxEnvelope>, StoreError> {
        let sql = envelopes!("WHERE message = ?1 ORDER BY place");
        self.all(sql, [message.as_bytes()], columns::outbox_envelope)
    }

    fn outbox_envelope(&self, id: EnvelopeId) -> Result<Option<OutboxEnvelope>, StoreError> {
        self.one(envelopes!("WHERE id = ?1"), [id.as_bytes()], columns::outbox_envelope)
    }

    fn pending_receipts(&self) -> Result<Vec<PendingReceipt>, StoreError> {
        self.all("SELECT recipient, sender, message, kind, at FROM pending_receipt ORDER BY place", [], |row| {
            let (to, from, message) = (handle(row, 0)?, handle(row, 1)?, id(row, 2)?);
            Ok(PendingReceipt { to, from, message, kind: columns::read_receipt_kind(row, 3)?, at: millis(row, 4)? })
        })
    }

    fn repairs(&self) -> &dyn RepairQueries {
        self
    }

    fn groups(&self) -> &dyn GroupQueries {
        self
    }

    fn own(&self) -> &dyn OwnQueries {
        self
    }

    fn words(&self) -> &dyn WordIndex {
        self
    }

    fn session(&self, device: DeviceId) -> Result<Option<SecretBytes>, StoreError> {
        let sql = "SELECT session FROM session WHERE device = ?1";
        let name = keys::session(device);
        self.one(sql, [device.as_bytes()], |row| columns::secret(row, 0, &self.database.items(), &name))
    }

    fn has_seen(&self, mark: &SeenMark) -> Result<bool, StoreError> {
        Ok(self.one("SELECT 1 FROM seen WHERE mark = ?1", [&mark.0], |_| Ok(()))?.is_some())
    }

    fn unopened(&self) -> Result<Vec<UnopenedRecord>, StoreError> {
        self.all("SELECT id, envelope, device, cause, at, gone FROM unopened ORDER BY place", [], |row| {
            Ok(UnopenedRecord {
                id: id(row, 0)?,
                envelope: columns::blob(row, 1)?,
                device: columns::optional_id(row, 2)?,
                cause: row.get(3)?,
                at: millis(row, 4)?,
                gone: row.get(5)?,
            })
        })
    }

    fn alerts(&self) -> Result<Vec<AlertRecord>, StoreError> {
        self.all("SELECT id, at, body, seen FROM alert ORDER BY place", [], |row| {
            let body = Bytes::from(row.get::<_, Vec<u8>>(2)?);
            Ok(AlertRecord { id: id(row, 0)?, at: millis(row, 1)?, body, seen: row.get(3)? })
        })
    }

    fn seen_before(&self, time: Timestamp) -> Result<u64, StoreError> {
        let count = self.one("SELECT count(*) FROM seen WHERE at < ?1", [columns::at(time)], |row| number(row, 0))?;
        Ok(count.unwrap_or(0))
    }
}

/// Says what failed without the values that were in the statement.
fn store_error(error: rusqlite::Error) -> StoreError {
    if let rusqlite::Error::FromSqlConversionFailure(..)
    | rusqlite::Error::InvalidColumnType(..)
    | rusqlite::Error::IntegralValueOutOfRange(..) = &error
    {
        return StoreError::Damaged("a record does not have the form that this program writes".to_owned());
    }
    match DatabaseError::from(error) {
        DatabaseError::DiskFull(_) => StoreError::Full,
        damaged @ DatabaseError::Damaged(_) => StoreError::Damaged(damaged.to_string()),
        DatabaseError::Statement(source) => StoreError::Failed(format!("the store refused a statement: {source}")),
        other => StoreError::Failed(other.to_string()),
    }
}
