//! Query log, limits, nonces, and the sweeping of what expired. Ports: [`LookupStore`], [`LimitStore`], [`Housekeeping`].
//!
//! A limit is kept as one number, the time at which it is full again (the generic cell rate algorithm): taking one
//! moves it by the interval, and a request passes when it would not move past the burst. So a row that lies in the past
//! says nothing, and is swept away.

use halcyon_server::ports::{Admitted, Charge, DirectoryStoreError, Housekeeping, LimitStore, LookupStore};
use halcyon_types::{DeviceId, Duration, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::columns::{integer, millis, timestamp};
use super::{DirectoryDb, holds};

#[async_trait::async_trait]
impl LimitStore for DirectoryDb {
    async fn charge(&self, charges: Vec<Charge>, now: Timestamp) -> Result<Admitted, DirectoryStoreError> {
        self.write(move |connection| charge(connection, &charges, now)).await
    }

    async fn use_nonce(
        &self,
        device: DeviceId,
        nonce: [u8; 16],
        until: Timestamp,
    ) -> Result<bool, DirectoryStoreError> {
        self.write(move |connection| {
            let rows = connection
                .prepare_cached("INSERT OR IGNORE INTO nonces (device, nonce, until_ms) VALUES (?1, ?2, ?3)")?
                .execute(params![device.as_bytes(), nonce, millis(until)])?;
            Ok(rows == 1)
        })
        .await
    }
}

#[async_trait::async_trait]
impl LookupStore for DirectoryDb {
    async fn admit(
        &self,
        records: Vec<[u8; 32]>,
        hour: u64,
        one: Charge,
        now: Timestamp,
    ) -> Result<Admitted, DirectoryStoreError> {
        self.write(move |connection| {
            let mut asked_before =
                connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM query_log WHERE mac = ?1)")?;
            let mut cost = 0;
            for (index, record) in records.iter().enumerate() {
                let before: bool = asked_before.query_row([record], |row| row.get(0))?;
                cost += u32::from(!before && !records[..index].contains(record));
            }
            if let limited @ Admitted::Limited { .. } = charge(connection, &[Charge { cost, ..one }], now)? {
                return Ok(limited);
            }
            let mut insert =
                connection.prepare_cached("INSERT OR IGNORE INTO query_log (mac, hour) VALUES (?1, ?2)")?;
            for record in &records {
                insert.execute(params![record, integer(hour)])?;
            }
            Ok(Admitted::Admitted)
        })
        .await
    }
}

#[async_trait::async_trait]
impl Housekeeping for DirectoryDb {
    async fn expire(&self, now: Timestamp, query_log_from_hour: u64) -> Result<u64, DirectoryStoreError> {
        let swept = self
            .write(move |connection| {
                let mut rows = 0;
                for sql in [
                    "DELETE FROM verifications WHERE expires_ms <= ?1",
                    "DELETE FROM tickets WHERE expires_ms <= ?1",
                    "DELETE FROM links WHERE expires_ms <= ?1",
                    "DELETE FROM reports WHERE expires_ms <= ?1",
                    "DELETE FROM limits WHERE full_ms <= ?1",
                    "DELETE FROM nonces WHERE until_ms <= ?1",
                ] {
                    rows += connection.execute(sql, [millis(now)])?;
                }
                rows += holds::forget(connection, now)?;
                rows += connection.execute("DELETE FROM query_log WHERE hour < ?1", [integer(query_log_from_hour)])?;
                Ok(rows as u64)
            })
            .await?;
        if swept > 0 {
            // DIR-50: what was deleted still stands in the write-ahead log until that is folded in and cut off.
            self.writer.checkpoint().await?;
        }
        Ok(swept)
    }
}

/// Takes from all limits or from none.
fn charge(connection: &Connection, charges: &[Charge], now: Timestamp) -> rusqlite::Result<Admitted> {
    let mut next = Vec::with_capacity(charges.len());
    let mut wait = Duration::default();
    for charge in charges.iter().filter(|charge| charge.cost > 0) {
        let full = connection
            .prepare_cached("SELECT full_ms FROM limits WHERE subject = ?1")?
            .query_row([charge.key.0], |row| timestamp(row, 0))
            .optional()?
            .unwrap_or(now)
            .max(now);
        let span =
            |count: u32| Duration::from_millis(charge.rate.interval.as_millis().saturating_mul(u64::from(count)));
        let after = full.plus(span(charge.cost.min(charge.rate.burst)));
        wait = wait.max(after.since(now.plus(span(charge.rate.burst))));
        next.push((charge.key, after));
    }
    if wait > Duration::default() {
        return Ok(Admitted::Limited { retry_after: wait });
    }
    let mut put = connection.prepare_cached("INSERT OR REPLACE INTO limits (subject, full_ms) VALUES (?1, ?2)")?;
    for (key, after) in next {
        put.execute(params![key.0, millis(after)])?;
    }
    Ok(Admitted::Admitted)
}
