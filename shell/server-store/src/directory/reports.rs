//! Reports for the operator. Port: [`ReportStore`].
//!
//! The server writes them; the operator reads and drops them through a connection of their own ([`ReportsFile`]), beside a server that
//! runs or without one. Expired ones are shown to nobody, swept away or not (ACC-62).

use std::path::Path;

use bytes::Bytes;
use halcyon_server::ports::{DirectoryStoreError, NewReport, ReportKept, ReportRoom, ReportStore};
use halcyon_types::{AccountId, DeviceId, ReportId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{account, array, bytes, device, millis, timestamp};
use super::{DirectoryDb, FILE, Options, SCHEMA_VERSION, connect};

#[async_trait::async_trait]
impl ReportStore for DirectoryDb {
    async fn keep(&self, report: NewReport, room: ReportRoom) -> Result<ReportKept, DirectoryStoreError> {
        self.write(move |connection| keep(connection, &report, room)).await
    }
}

fn keep(connection: &Connection, new: &NewReport, room: ReportRoom) -> rusqlite::Result<ReportKept> {
    let (reporter, sender, message) = (new.account.as_bytes(), new.sender_device.as_bytes(), new.message.as_bytes());
    let before: Option<ReportId> = connection
        .prepare_cached("SELECT report FROM reports WHERE account = ?1 AND sender_device = ?2 AND message = ?3")?
        .query_row(params![reporter, sender, message], |row| array(row, 0).map(ReportId::from_bytes))
        .optional()?;
    if before.is_none() {
        // What expired and waits for the sweep takes nobody's room.
        let (all, own): (u32, u32) = connection
            .prepare_cached("SELECT count(*), count(*) FILTER (WHERE account = ?1) FROM reports WHERE expires_ms > ?2")?
            .query_row(params![reporter, millis(new.stored)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if own >= room.per_account {
            return Ok(ReportKept::TooMany);
        }
        if all >= room.in_all {
            return Ok(ReportKept::Full);
        }
    }
    let id = before.unwrap_or(new.id);
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO reports
             (report, account, device, device_key, message, sender_device, signed, stored_ms, expires_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            id.as_bytes(),
            reporter,
            new.device.as_bytes(),
            new.device_key,
            message,
            sender,
            new.signed.as_ref(),
            millis(new.stored),
            millis(new.expires),
        ])?;
    Ok(ReportKept::Kept(id))
}

/// A report as it is kept. What it says is for the operator alone, so `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeptReport {
    /// Its name.
    pub id: ReportId,
    /// Whose it is.
    pub account: AccountId,
    /// The device that signed it.
    pub device: DeviceId,
    /// Its key, compact.
    pub device_key: [u8; 32],
    /// The encoded `SignedReport`.
    pub signed: Bytes,
    /// When it came.
    pub stored: Timestamp,
    /// When it is forgotten.
    pub expires: Timestamp,
}

impl std::fmt::Debug for KeptReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeptReport({}, redacted)", self.device)
    }
}

/// Why the operator cannot read or drop reports. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportsError {
    /// No server ever ran on this folder.
    #[error("there is no {FILE} in this folder; check data_folder")]
    Missing,
    /// The file is another version's.
    #[error(
        "{FILE} has schema version {found} and this program wants {SCHEMA_VERSION}; use the halcyond that serves this folder"
    )]
    OtherVersion {
        /// Version in the file.
        found: u32,
    },
    /// What SQLite said.
    #[error("{FILE} cannot be read or changed: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// The operator's way to the reports of a data folder.
#[derive(Debug)]
pub struct ReportsFile {
    connection: Connection,
}

impl ReportsFile {
    /// Opens the reports of a data folder. A server may run on it at the same time.
    ///
    /// # Errors
    /// [`ReportsError`]
    pub fn open(folder: &Path) -> Result<Self, ReportsError> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Err(ReportsError::Missing);
        }
        let connection = connect(&path, &Options::default())?;
        // The server alone brings its file to another version.
        match connection.query_row("PRAGMA user_version", [], |row| row.get(0))? {
            SCHEMA_VERSION => Ok(Self { connection }),
            found => Err(ReportsError::OtherVersion { found }),
        }
    }

    /// Calls `each` with every report that has not expired, oldest first, one at a time.
    ///
    /// # Errors
    /// [`ReportsError`]
    pub fn each(&self, now: Timestamp, mut each: impl FnMut(KeptReport)) -> Result<(), ReportsError> {
        let mut all =
            self.connection.prepare(&format!("{COLUMNS} WHERE expires_ms > ?1 ORDER BY stored_ms, position"))?;
        for report in all.query_map([millis(now)], kept)? {
            each(report?);
        }
        Ok(())
    }

    /// Returns the report with a name, if there is one that has not expired.
    ///
    /// # Errors
    /// [`ReportsError`]
    pub fn find(&self, id: ReportId, now: Timestamp) -> Result<Option<KeptReport>, ReportsError> {
        let sql = format!("{COLUMNS} WHERE report = ?1 AND expires_ms > ?2");
        Ok(self.connection.query_row(&sql, params![id.as_bytes(), millis(now)], kept).optional()?)
    }

    /// Forgets a report, on disk too. Returns whether it was there.
    ///
    /// # Errors
    /// [`ReportsError`]
    pub fn drop_report(&self, id: ReportId) -> Result<bool, ReportsError> {
        let there = self.connection.execute("DELETE FROM reports WHERE report = ?1", [id.as_bytes()])? == 1;
        // Until the log is folded in and cut off, what was deleted stands in it. A server in the middle of a commit does it later.
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(there)
    }
}

const COLUMNS: &str = "SELECT report, account, device, device_key, signed, stored_ms, expires_ms FROM reports";

fn kept(row: &Row<'_>) -> rusqlite::Result<KeptReport> {
    Ok(KeptReport {
        id: ReportId::from_bytes(array(row, 0)?),
        account: account(row, 1)?,
        device: device(row, 2)?,
        device_key: array(row, 3)?,
        signed: bytes(row, 4)?,
        stored: timestamp(row, 5)?,
        expires: timestamp(row, 6)?,
    })
}
