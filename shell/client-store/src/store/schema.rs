//! The tables and their versions.
//!
//! Owns the steps from each version to the next. A step, once released, never changes.
//!
//! - `place` keeps the order in which rows were put; AUTOINCREMENT never gives a number twice.
//! - Ids are blobs of their own size, handles are URIs, times are milliseconds.

use halcyon_client::ports::store::StoreError;
use halcyon_crypto::SecretBytes;
use halcyon_types::DeviceId;
use rusqlite::{Connection, OptionalExtension, params};

use super::{columns, store_error};
use crate::keys::{self, Items};

/// Step `n` leads from version `n` to `n + 1` (`PRAGMA user_version`).
const STEPS: [&str; 10] = [FIRST, REPAIRS, QUEUES, LINK, HAD, ACTS, KEYCHAIN, OWN, GROUPS, SCHEDULED];

const FIRST: &str = "
CREATE TABLE profile (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    stage INTEGER NOT NULL, server TEXT NOT NULL, account BLOB NOT NULL, device BLOB NOT NULL,
    device_keys BLOB NOT NULL, prekeys_uploaded INTEGER NOT NULL, account_key BLOB NOT NULL, push_token BLOB
) STRICT;
CREATE TABLE own_handle (place INTEGER PRIMARY KEY AUTOINCREMENT, handle TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE known_account (account BLOB PRIMARY KEY, version INTEGER NOT NULL, known BLOB NOT NULL) STRICT;
CREATE TABLE known_handle (handle TEXT PRIMARY KEY, account BLOB NOT NULL, known BLOB NOT NULL) STRICT;
CREATE TABLE addresses (account BLOB PRIMARY KEY, addresses BLOB NOT NULL, refresh INTEGER NOT NULL) STRICT;

CREATE TABLE conversation (
    place INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, members TEXT NOT NULL
) STRICT;
CREATE TABLE message (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL, conversation BLOB NOT NULL, origin INTEGER NOT NULL, kind INTEGER NOT NULL,
    sender TEXT NOT NULL, sender_account BLOB NOT NULL, sender_device BLOB NOT NULL, suite INTEGER,
    sent INTEGER NOT NULL, stored INTEGER NOT NULL, content BLOB NOT NULL,
    UNIQUE (id, sender_device)
) STRICT;
CREATE INDEX message_by_conversation ON message (conversation, number);
CREATE TABLE delivery (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    message BLOB NOT NULL, account BLOB NOT NULL, device BLOB NOT NULL, suite INTEGER,
    state INTEGER NOT NULL, at INTEGER, reason TEXT,
    UNIQUE (message, device)
) STRICT;

CREATE TABLE outbox_job (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    message BLOB NOT NULL UNIQUE, receipt INTEGER NOT NULL, sender TEXT NOT NULL, content BLOB NOT NULL,
    forced_suite INTEGER, created INTEGER NOT NULL
) STRICT;
CREATE TABLE outbox_target (
    message BLOB NOT NULL, place INTEGER NOT NULL, handle TEXT NOT NULL, state INTEGER NOT NULL, account BLOB,
    done BLOB NOT NULL, attempts INTEGER NOT NULL, not_before INTEGER NOT NULL,
    PRIMARY KEY (message, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE outbox_envelope (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE, message BLOB NOT NULL, handle TEXT NOT NULL, account BLOB NOT NULL,
    list_version INTEGER NOT NULL, device BLOB NOT NULL, push_token BLOB NOT NULL, suite INTEGER NOT NULL,
    payload BLOB NOT NULL, attempts INTEGER NOT NULL, not_before INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_envelope_by_message ON outbox_envelope (message, place);
CREATE TABLE pending_receipt (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    recipient TEXT NOT NULL, sender TEXT NOT NULL, message BLOB NOT NULL, UNIQUE (message, recipient, sender)
) STRICT;

CREATE TABLE session (device BLOB PRIMARY KEY, session BLOB NOT NULL) STRICT;
CREATE TABLE seen (mark BLOB PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX seen_by_time ON seen (at);
CREATE TABLE unopened (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE, envelope BLOB NOT NULL, cause TEXT NOT NULL, at INTEGER NOT NULL
) STRICT;
CREATE TABLE alert (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE, at INTEGER NOT NULL, body BLOB NOT NULL, seen INTEGER NOT NULL
) STRICT;
";

/// Numbers, gaps and what may be asked for again (61-repair.md). `anchor` and `rank` are a message's order in its conversation: its
/// own number and the highest rank, or, if it came late, those of the one that it stands before.
const REPAIRS: &str = "
ALTER TABLE message ADD COLUMN stream INTEGER;
ALTER TABLE message ADD COLUMN place INTEGER;
ALTER TABLE message ADD COLUMN anchor INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN rank INTEGER NOT NULL DEFAULT 9223372036854775807;
UPDATE message SET anchor = number;
DROP INDEX message_by_conversation;
CREATE INDEX message_by_order ON message (conversation, anchor, rank, number);
CREATE INDEX message_by_place ON message (sender_device, conversation, stream, place) WHERE stream IS NOT NULL;
CREATE INDEX message_by_time ON message (stored);

ALTER TABLE delivery ADD COLUMN stream INTEGER;
ALTER TABLE delivery ADD COLUMN number INTEGER;
CREATE INDEX delivery_by_place ON delivery (device, stream, number) WHERE stream IS NOT NULL;
CREATE INDEX delivery_unconfirmed ON delivery (device, at) WHERE state = 2 AND stream IS NOT NULL;

ALTER TABLE outbox_job RENAME COLUMN receipt TO silent;
ALTER TABLE outbox_target ADD COLUMN only_device BLOB;
ALTER TABLE outbox_target ADD COLUMN mends BLOB;
ALTER TABLE unopened ADD COLUMN device BLOB;
ALTER TABLE unopened ADD COLUMN gone INTEGER NOT NULL DEFAULT 0;
CREATE INDEX unopened_by_device ON unopened (device, place);

CREATE TABLE sent_end (
    device BLOB NOT NULL, conversation BLOB NOT NULL, stream INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (device, conversation, stream)
) STRICT, WITHOUT ROWID;
CREATE TABLE heard (
    device BLOB NOT NULL, conversation BLOB NOT NULL, stream INTEGER NOT NULL,
    account BLOB NOT NULL, handle TEXT NOT NULL, high INTEGER NOT NULL,
    missing BLOB NOT NULL, lost BLOB NOT NULL, since INTEGER NOT NULL,
    PRIMARY KEY (device, conversation, stream)
) STRICT, WITHOUT ROWID;
CREATE TABLE epoch_seen (device BLOB PRIMARY KEY, epoch INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE repair (
    device BLOB PRIMARY KEY, account BLOB NOT NULL, handle TEXT NOT NULL,
    since INTEGER NOT NULL, due INTEGER NOT NULL, asked INTEGER, attempts INTEGER NOT NULL, job BLOB,
    counts_wanted INTEGER NOT NULL, forward_since INTEGER, wrote_to TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE sent_envelope (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE, device BLOB NOT NULL, message BLOB NOT NULL, content BLOB, sender TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX sent_envelope_by_message ON sent_envelope (message, device);
CREATE INDEX sent_envelope_by_time ON sent_envelope (at);
CREATE TABLE counter (name TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// What waits, by what it waits for, so that a plan does not read the whole outbox. `job` is the place of the envelope's job.
const QUEUES: &str = "
ALTER TABLE outbox_envelope ADD COLUMN job INTEGER NOT NULL DEFAULT 0;
UPDATE outbox_envelope
    SET job = coalesce((SELECT place FROM outbox_job WHERE outbox_job.message = outbox_envelope.message), 0);
CREATE INDEX outbox_envelope_by_device ON outbox_envelope (device, job, place);
CREATE INDEX outbox_target_unsealed ON outbox_target (message, place) WHERE state = 1;
CREATE INDEX outbox_job_by_time ON outbox_job (created);
";

/// A link that may be approved at any moment (LNK-11).
const LINK: &str = "
CREATE TABLE link (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    id BLOB NOT NULL, handle TEXT NOT NULL, account BLOB NOT NULL, device_keys BLOB NOT NULL,
    entry BLOB NOT NULL, entry_signature BLOB NOT NULL, ephemeral BLOB NOT NULL, nonce BLOB NOT NULL,
    approver BLOB NOT NULL, approver_ephemeral BLOB NOT NULL, approver_nonce BLOB NOT NULL
) STRICT;
";

/// Whether the device of a sent envelope said that it has the message (REP-12).
const HAD: &str = "ALTER TABLE sent_envelope ADD COLUMN had INTEGER NOT NULL DEFAULT 0;";

/// What was done to a message is found by it (CON-11).
const ACTS: &str = "
ALTER TABLE message ADD COLUMN target BLOB;
CREATE INDEX message_by_target ON message (target) WHERE target IS NOT NULL;
";

/// Private keys become items of the keychain (KEY-5): see [`seal_keys`], which goes with this step.
const KEYCHAIN: &str = "-- No table changes.";

/// What was chosen, read and deleted (52-own-devices.md). What is there is taken for read. The index of words is made anew, in a form that
/// things can be taken out of. The time of a receipt that waits already is 0, as `columns::at` writes it.
const OWN: &str = "
CREATE TABLE own_entry (key TEXT PRIMARY KEY, value TEXT NOT NULL, chosen INTEGER NOT NULL, device BLOB NOT NULL)
    STRICT, WITHOUT ROWID;
CREATE TABLE receipt (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    message BLOB NOT NULL, account BLOB NOT NULL, kind INTEGER NOT NULL, handle TEXT NOT NULL, at INTEGER NOT NULL,
    UNIQUE (message, account, kind)
) STRICT;
ALTER TABLE message ADD COLUMN read INTEGER;
ALTER TABLE message ADD COLUMN deleted INTEGER;
UPDATE message SET read = stored WHERE origin = 3;
CREATE INDEX message_unread ON message (conversation, number)
    WHERE origin = 3 AND kind < 3 AND read IS NULL AND deleted IS NULL;
CREATE INDEX message_read ON message (read) WHERE read IS NOT NULL;
CREATE INDEX message_deleted ON message (deleted) WHERE deleted IS NOT NULL;
CREATE INDEX message_own ON message (conversation) WHERE origin <> 3 AND kind < 3;
CREATE INDEX message_told ON message (stored) WHERE kind = 4;
CREATE INDEX known_handle_by_account ON known_handle (account, handle);
ALTER TABLE pending_receipt RENAME TO pending_receipt_before;
CREATE TABLE pending_receipt (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    recipient TEXT NOT NULL, sender TEXT NOT NULL, message BLOB NOT NULL, kind INTEGER NOT NULL, at INTEGER NOT NULL,
    UNIQUE (message, recipient, sender, kind)
) STRICT;
INSERT INTO pending_receipt (recipient, sender, message, kind, at)
    SELECT recipient, sender, message, 1, -9223372036854775808 FROM pending_receipt_before ORDER BY place;
DROP TABLE pending_receipt_before;
DROP TABLE IF EXISTS words;
DELETE FROM setting WHERE name = 'words.indexed';
";

/// Groups, and what was said in them by somebody who is not known as a member yet (GRP-11). Not `group`: that is a word of SQL.
const GROUPS: &str = "
CREATE TABLE people (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE, conversation BLOB NOT NULL UNIQUE, log BLOB NOT NULL
) STRICT;
CREATE TABLE held (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    people BLOB NOT NULL, id BLOB NOT NULL, account BLOB NOT NULL, device BLOB NOT NULL, suite INTEGER NOT NULL,
    content BLOB NOT NULL, at INTEGER NOT NULL, UNIQUE (device, id)
) STRICT;
CREATE INDEX held_by_people ON held (people, place);
CREATE INDEX held_by_device ON held (device, place);
";

/// What waits for its time (SCD-1).
const SCHEDULED: &str = "
CREATE TABLE scheduled (
    hold BLOB PRIMARY KEY, message BLOB NOT NULL, due INTEGER NOT NULL, content BLOB NOT NULL, held INTEGER NOT NULL,
    epoch INTEGER NOT NULL, copies BLOB NOT NULL, attempts INTEGER NOT NULL, not_before INTEGER NOT NULL,
    failure TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Every table, for [`Change::Wipe`](halcyon_client::ports::store::Change::Wipe).
pub(super) const TABLES: [&str; 29] = [
    "profile",
    "link",
    "own_handle",
    "setting",
    "known_account",
    "known_handle",
    "addresses",
    "conversation",
    "message",
    "delivery",
    "outbox_job",
    "outbox_target",
    "outbox_envelope",
    "pending_receipt",
    "session",
    "seen",
    "unopened",
    "alert",
    "sent_end",
    "heard",
    "epoch_seen",
    "repair",
    "sent_envelope",
    "counter",
    "own_entry",
    "receipt",
    "people",
    "held",
    "scheduled",
];

/// Takes the steps that are missing, each in its own transaction.
pub(super) fn migrate(connection: &mut Connection, items: &Items<'_>) -> Result<(), StoreError> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(store_error)?;
    let newer = || StoreError::Damaged("it was written by a newer version of this program: update".to_owned());
    let done = usize::try_from(version).map_err(|_| newer())?;
    let missing = STEPS.get(done..).ok_or_else(newer)?;
    for (step, sql) in (done + 1..).zip(missing) {
        let transaction = connection.transaction().map_err(store_error)?;
        transaction.execute_batch(sql).map_err(store_error)?;
        if *sql == KEYCHAIN {
            seal_keys(&transaction, items).map_err(store_error)?;
        }
        let version = i64::try_from(step).unwrap_or(i64::MAX);
        transaction.pragma_update(None, "user_version", version).map_err(store_error)?;
        transaction.commit().map_err(store_error)?;
    }
    Ok(())
}

/// Seals the private keys that stood in their columns as they are.
fn seal_keys(db: &Connection, items: &Items<'_>) -> rusqlite::Result<()> {
    for (table, column, name) in [
        ("profile", "device_keys", keys::DEVICE_KEYS),
        ("profile", "account_key", keys::ACCOUNT_KEY),
        ("link", "device_keys", keys::LINK_DEVICE_KEYS),
        ("link", "ephemeral", keys::LINK_EPHEMERAL),
        ("link", "nonce", keys::LINK_NONCE),
    ] {
        let plain = db.query_row(&format!("SELECT {column} FROM {table}"), [], |row| row.get(0)).optional()?;
        if let Some(plain) = plain.map(SecretBytes::from_vec) {
            db.execute(&format!("UPDATE {table} SET {column} = ?1"), [items.seal(&name, &plain)?])?;
        }
    }
    let mut sessions = db.prepare("SELECT device FROM session")?;
    let devices: Vec<DeviceId> = sessions.query_map([], |row| columns::id(row, 0))?.collect::<rusqlite::Result<_>>()?;
    for device in devices {
        let by_device = [device.as_bytes()];
        let plain = db.query_row("SELECT session FROM session WHERE device = ?1", by_device, |row| row.get(0))?;
        let sealed = items.seal(&keys::session(device), &SecretBytes::from_vec(plain))?;
        db.execute("UPDATE session SET session = ?2 WHERE device = ?1", params![device.as_bytes(), sealed])?;
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use halcyon_crypto::password::PasswordParams;
    use halcyon_keychain::{ItemError, Keychain};
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::page_cipher;

    /// A profile of the first version, with one message, one delivery and one that did not open.
    fn first_version() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(FIRST).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        connection
            .execute_batch(
                "INSERT INTO message (id, conversation, origin, kind, sender, sender_account, sender_device, sent, stored, content)
                 VALUES (x'01', x'02', 1, 1, 'mailto:alice@example.org', x'03', x'04', 0, 0, x'05'),
                        (x'06', x'02', 3, 1, 'mailto:bob@example.org', x'07', x'08', 0, 0, x'09');
                 INSERT INTO delivery (message, account, device, state) VALUES (x'01', x'03', x'04', 2);
                 INSERT INTO outbox_job (message, receipt, sender, content, created)
                 VALUES (x'00', 0, 'a', x'05', 0), (x'01', 1, 'a', x'05', 0);
                 INSERT INTO outbox_envelope (id, message, handle, account, list_version, device, push_token, suite, payload,
                                              attempts, not_before)
                 VALUES (x'0c', x'01', 'b', x'03', 1, x'04', x'0d', 3, x'0e', 0, 0);
                 INSERT INTO unopened (id, envelope, cause, at) VALUES (x'0a', x'0b', 'unauthentic', 0);
                 INSERT INTO pending_receipt (recipient, sender, message) VALUES ('b', 'a', x'06');",
            )
            .unwrap();
        connection
    }

    fn nonces() -> page_cipher::Nonces {
        page_cipher::nonces(Box::new(StdRng::seed_from_u64(2)))
    }

    fn profile_keys(folder: &std::path::Path) -> keys::ProfileKeys {
        let profile = crate::Profile::at(folder, PasswordParams::dangerous_cheap()).unwrap();
        keys::ProfileKeys::new(profile, Keychain::generate(&mut StdRng::seed_from_u64(1)))
    }

    fn session(byte: u8) -> keys::ItemName {
        keys::session(DeviceId::from_bytes([byte; 16]))
    }

    /// Brings a database to this version, with keys that nobody has later.
    pub(in crate::store) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
        let folder = tempfile::TempDir::new().unwrap();
        super::migrate(connection, &Items::new(&profile_keys(folder.path()), &nonces()))
    }

    fn version(connection: &Connection) -> i64 {
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    /// A profile of an older version keeps everything, in its order.
    #[test]
    fn an_older_profile_is_brought_to_this_version() {
        let mut connection = first_version();
        migrate(&mut connection).unwrap();
        assert_eq!(version(&connection), i64::try_from(STEPS.len()).unwrap());
        let mut statement =
            connection.prepare("SELECT number, anchor, rank, place FROM message ORDER BY anchor, rank").unwrap();
        let rows: Vec<(i64, i64, i64, Option<i64>)> = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(rows, [(1, 1, i64::MAX, None), (2, 2, i64::MAX, None)]);
        let silent: bool =
            connection.query_row("SELECT silent FROM outbox_job WHERE message = x'01'", [], |row| row.get(0)).unwrap();
        let job: i64 = connection.query_row("SELECT job FROM outbox_envelope", [], |row| row.get(0)).unwrap();
        assert_eq!(job, 2, "an envelope has the place of its job");
        let gone: bool = connection.query_row("SELECT gone FROM unopened", [], |row| row.get(0)).unwrap();
        assert!(silent && !gone);
        let receipt = "SELECT kind, at FROM pending_receipt WHERE message = x'06' AND recipient = 'b' AND sender = 'a'";
        let receipt: (i64, i64) = connection.query_row(receipt, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(receipt, (1, super::super::columns::at(halcyon_types::Timestamp::default())));
        let unread = "SELECT count(*) FROM message WHERE origin = 3 AND read IS NULL";
        let unread: i64 = connection.query_row(unread, [], |row| row.get(0)).unwrap();
        assert_eq!(unread, 0, "what was there before anybody counted is not new");
    }

    /// KEY-5: the private keys of a profile from before there were classes are sealed for theirs, and say what they said.
    #[test]
    fn private_keys_become_items() {
        let mut connection = first_version();
        connection
            .execute_batch(
                "INSERT INTO profile VALUES (1, 2, 'https://h', x'01', x'02', x'0a0b', 1, x'0c0d', NULL);
                 INSERT INTO session VALUES (x'11111111111111111111111111111111', x'0e0f'),
                                            (x'22222222222222222222222222222222', x'');",
            )
            .unwrap();
        let (mut kept, mut opened): (Vec<Vec<u8>>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
        let names = [
            ("SELECT device_keys FROM profile", keys::DEVICE_KEYS),
            ("SELECT account_key FROM profile", keys::ACCOUNT_KEY),
            ("SELECT session FROM session WHERE device = x'11111111111111111111111111111111'", session(0x11)),
            ("SELECT session FROM session WHERE device = x'22222222222222222222222222222222'", session(0x22)),
        ];
        let (folder, nonces) = (tempfile::TempDir::new().unwrap(), nonces());
        let keys = profile_keys(folder.path());
        let items = Items::new(&keys, &nonces);
        super::migrate(&mut connection, &items).unwrap();
        for (sql, name) in names {
            let sealed: Vec<u8> = connection.query_row(sql, [], |row| row.get(0)).unwrap();
            opened.push(items.open(&name, &sealed).unwrap().expose().to_vec());
            // For one name and class: a session is not another one's.
            assert!(items.open(&session(0x33), &sealed).is_err());
            kept.push(sealed);
        }
        assert_eq!(opened, [&[0x0a, 0x0b][..], &[0x0c, 0x0d], &[0x0e, 0x0f], &[]]);
        // Locked, the device goes on; before the first unlock, nothing opens.
        keys.lock();
        assert!(items.open(&keys::DEVICE_KEYS, &kept[0]).is_ok());
        keys.forget();
        assert_eq!(items.open(&keys::DEVICE_KEYS, &kept[0]).unwrap_err(), ItemError::Locked);
    }

    /// An upgrade that was interrupted is begun again: a step happens wholly, with its version, or not at all.
    #[test]
    fn an_interrupted_step_leaves_the_profile_as_it_was() {
        let mut connection = first_version();
        // The last table of the step is in its way, so it breaks when nearly all of it is done.
        connection.execute_batch("CREATE TABLE counter (other INTEGER)").unwrap();
        assert!(migrate(&mut connection).is_err());
        assert_eq!(version(&connection), 1);
        assert!(connection.prepare("SELECT receipt FROM outbox_job").is_ok(), "nothing of the step is left");
        connection.execute_batch("DROP TABLE counter").unwrap();
        migrate(&mut connection).unwrap();
        assert_eq!(version(&connection), i64::try_from(STEPS.len()).unwrap());
    }
}
