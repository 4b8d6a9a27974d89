//! Finds what expired (COU-54).
//!
//! What is in memory is looked through first, whenever the walk starts. Then it goes through the index `waiting` with a reading connection and remembers how far it came. An index by expiry would find
//! the same faster, but every append and every acknowledgement would pay for it, while nearly all envelopes are
//! acknowledged within moments and never expire.

use std::sync::{Arc, Mutex, PoisonError};

use halcyon_server::ports::MailboxError;
use halcyon_types::{DeviceId, Timestamp};
use rusqlite::Connection;
use rusqlite::types::Value;

use super::readers::Readers;

/// The walk through the index.
pub(super) struct Sweep {
    readers: Arc<Readers>,
    /// Where the walk goes on.
    cursor: Mutex<Cursor>,
}

type Cursor = (DeviceId, u64);

impl Sweep {
    pub(super) fn new(readers: Arc<Readers>) -> Self {
        Self { readers, cursor: Mutex::new(START) }
    }

    /// Returns some envelopes that expired by `now`; none when the walk reached the end, after which it starts anew.
    pub(super) async fn next(&self, now: Timestamp) -> Result<Vec<(DeviceId, u64)>, MailboxError> {
        loop {
            let from = *self.cursor.lock().unwrap_or_else(PoisonError::into_inner);
            if from == START {
                let recent = self.readers.recent().expired(now, STEP_FOUND_MAX);
                if !recent.is_empty() {
                    return Ok(recent);
                }
            }
            let step = self.readers.run(move |connection| look(connection, from, now)).await?;
            *self.cursor.lock().unwrap_or_else(PoisonError::into_inner) = step.end.unwrap_or(START);
            if !step.found.is_empty() || step.end.is_none() {
                return Ok(step.found);
            }
        }
    }
}

struct Step {
    found: Vec<(DeviceId, u64)>,
    /// Where the next step starts; `None` at the end of the index.
    end: Option<Cursor>,
}

fn look(connection: &Connection, (device, position): Cursor, now: Timestamp) -> rusqlite::Result<Step> {
    let mut statement = connection.prepare_cached(
        "SELECT device, position, expires FROM envelopes INDEXED BY waiting WHERE (device, position) > (?1, ?2) ORDER BY device, position LIMIT ?3",
    )?;
    let mut rows = statement.query((device.as_bytes(), integer(position), STEP_LOOKED_AT_MAX))?;
    let mut step = Step { found: Vec::new(), end: None };
    let mut looked_at = 0;
    while let Some(row) = rows.next()? {
        let device = DeviceId::from_bytes(row.get(0)?);
        let position = row.get::<_, i64>(1)?.unsigned_abs();
        looked_at += 1;
        if row.get::<_, i64>(2)?.unsigned_abs() <= now.as_millis() {
            step.found.push((device, position));
        }
        if looked_at == STEP_LOOKED_AT_MAX || step.found.len() == STEP_FOUND_MAX {
            step.end = Some((device, position));
            break;
        }
    }
    Ok(step)
}

/// Returns a number as SQLite holds it. Times and positions beyond its range are at its end.
pub(super) fn integer(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Before every device: ids are hashes, and position 0 is never given.
const START: Cursor = (DeviceId::from_bytes([0; 16]), 0);

/// Index entries that one statement passes: some milliseconds, during which the log cannot start anew.
const STEP_LOOKED_AT_MAX: i64 = 50_000;

/// Envelopes deleted in one step: appends that come meanwhile wait for it.
const STEP_FOUND_MAX: usize = 1_000;
