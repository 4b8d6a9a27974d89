//! The tables, and how an older file becomes a newer one.
//!
//! - `user_version` of the file is the number of migrations that ran; each runs in one transaction with its mark.
//! - Times are milliseconds since the epoch. Integers of SQLite are signed, which is enough for 292 million years.

use rusqlite::Connection;

use super::{FILE, OpenError, opening};

/// The newest schema that this program knows.
pub const SCHEMA_VERSION: u32 = MIGRATIONS.len() as u32;

/// Never edited, only appended to.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE accounts (
        account      BLOB PRIMARY KEY CHECK (length(account) = 16),
        account_key  BLOB NOT NULL CHECK (length(account_key) = 32),
        password     BLOB NOT NULL,
        list_version INTEGER NOT NULL,
        list         BLOB NOT NULL,
        created_ms   INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE handles (
        handle   TEXT PRIMARY KEY,
        account  BLOB NOT NULL REFERENCES accounts ON DELETE CASCADE,
        added_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX handles_of_account ON handles (account);
    CREATE TABLE devices (
        device     BLOB PRIMARY KEY CHECK (length(device) = 16),
        account    BLOB NOT NULL REFERENCES accounts ON DELETE CASCADE,
        device_key BLOB NOT NULL CHECK (length(device_key) = 32),
        push_token BLOB NOT NULL UNIQUE CHECK (length(push_token) = 32)
    ) WITHOUT ROWID;
    CREATE INDEX devices_of_account ON devices (account);
    CREATE TABLE prekeys (
        device BLOB NOT NULL REFERENCES devices ON DELETE CASCADE,
        suite  INTEGER NOT NULL,
        record BLOB NOT NULL,
        PRIMARY KEY (device, suite)
    ) WITHOUT ROWID;
    CREATE TABLE verifications (
        verification BLOB PRIMARY KEY CHECK (length(verification) = 16),
        handle       TEXT NOT NULL,
        account      BLOB,
        code_mac     BLOB NOT NULL,
        link_hash    BLOB NOT NULL UNIQUE,
        wrong_tries  INTEGER NOT NULL DEFAULT 0,
        state        INTEGER NOT NULL DEFAULT 0,
        expires_ms   INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE tickets (
        hash       BLOB PRIMARY KEY,
        account    BLOB NOT NULL REFERENCES accounts ON DELETE CASCADE,
        expires_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE links (
        link            BLOB PRIMARY KEY CHECK (length(link) = 16),
        account         BLOB NOT NULL REFERENCES accounts ON DELETE CASCADE,
        device          BLOB NOT NULL,
        device_key      BLOB NOT NULL,
        entry           BLOB NOT NULL,
        entry_signature BLOB NOT NULL,
        ephemeral       BLOB NOT NULL,
        commitment      BLOB NOT NULL,
        created_ms      INTEGER NOT NULL,
        expires_ms      INTEGER NOT NULL,
        state           INTEGER NOT NULL DEFAULT 0,
        approver        BLOB,
        approver_ephemeral BLOB,
        approver_nonce  BLOB,
        revealed_nonce  BLOB,
        sealed          BLOB,
        list            BLOB,
        push_token      BLOB
    ) WITHOUT ROWID;
    CREATE INDEX links_of_account ON links (account);
    CREATE TABLE link_prekeys (
        link   BLOB NOT NULL REFERENCES links ON DELETE CASCADE,
        suite  INTEGER NOT NULL,
        record BLOB NOT NULL,
        PRIMARY KEY (link, suite)
    ) WITHOUT ROWID;
    CREATE TABLE query_log (
        mac  BLOB NOT NULL CHECK (length(mac) = 32),
        hour INTEGER NOT NULL,
        PRIMARY KEY (mac, hour)
    ) WITHOUT ROWID;
    CREATE INDEX query_log_by_hour ON query_log (hour);
    CREATE TABLE limits (
        subject BLOB PRIMARY KEY CHECK (length(subject) = 32),
        full_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE nonces (
        device   BLOB NOT NULL,
        nonce    BLOB NOT NULL,
        until_ms INTEGER NOT NULL,
        PRIMARY KEY (device, nonce)
    ) WITHOUT ROWID;
    CREATE TABLE aftermath (
        position  INTEGER PRIMARY KEY,
        aftermath BLOB NOT NULL UNIQUE CHECK (length(aftermath) = 16),
        account   BLOB,
        alert     BLOB,
        device    BLOB
    );
",
    "
    CREATE TABLE reports (
        position      INTEGER PRIMARY KEY,
        report        BLOB NOT NULL UNIQUE CHECK (length(report) = 16),
        account       BLOB NOT NULL,
        device        BLOB NOT NULL,
        device_key    BLOB NOT NULL CHECK (length(device_key) = 32),
        message       BLOB NOT NULL,
        sender_device BLOB NOT NULL,
        signed        BLOB NOT NULL,
        stored_ms     INTEGER NOT NULL,
        expires_ms    INTEGER NOT NULL,
        UNIQUE (account, sender_device, message)
    );
    CREATE INDEX reports_by_expiry ON reports (expires_ms);
",
    "
    CREATE TABLE holds (
        account BLOB NOT NULL,
        hold    BLOB NOT NULL CHECK (length(hold) = 16),
        device  BLOB NOT NULL REFERENCES devices ON DELETE CASCADE,
        due_ms  INTEGER NOT NULL,
        take_ms INTEGER NOT NULL,
        state   INTEGER NOT NULL DEFAULT 0,
        send    BLOB,
        UNIQUE (account, hold)
    );
    CREATE INDEX holds_to_take ON holds (take_ms) WHERE send IS NOT NULL;
    CREATE INDEX holds_of_device ON holds (device);
",
];

/// Brings a file to [`SCHEMA_VERSION`].
pub(super) fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(opening)?;
    if found > SCHEMA_VERSION {
        return Err(OpenError::Newer { file: FILE, found, known: SCHEMA_VERSION });
    }
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(found as usize) {
        let transaction = connection.transaction().map_err(opening)?;
        transaction.execute_batch(migration).map_err(opening)?;
        transaction.pragma_update(None, "user_version", index as u32 + 1).map_err(opening)?;
        transaction.commit().map_err(opening)?;
    }
    Ok(())
}
