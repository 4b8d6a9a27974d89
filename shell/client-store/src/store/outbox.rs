//! The SQL of the outbox: jobs with their targets, envelopes, and what is first for each device.
//!
//! Owns the tables from `outbox_job` to `outbox_envelope`. Does not know what is sent when.

use halcyon_client::ports::store::{
    OutboxEnvelope, OutboxHead, OutboxJob, OutboxQueries, StoreError, TargetState, UnsealedTarget,
};
use halcyon_types::{MessageId, Timestamp};
use rusqlite::{Connection, params};

use super::{
    SqliteStore,
    apply::run,
    columns::{self, at, count, handle, id, millis, number},
    jobs,
};

pub(super) fn put_job(db: &Connection, job: &OutboxJob) -> rusqlite::Result<()> {
    run(
        db,
        "INSERT INTO outbox_job (message, silent, sender, content, forced_suite, created)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (message) DO UPDATE SET
         silent = ?2, sender = ?3, content = ?4, forced_suite = ?5, created = ?6",
        params![
            job.message.as_bytes(),
            job.silent,
            job.sender.as_uri(),
            &job.content[..],
            job.forced_suite.map(|suite| suite.as_u32()),
            at(job.created),
        ],
    )?;
    run(db, "DELETE FROM outbox_target WHERE message = ?1", [job.message.as_bytes()])?;
    for (place, target) in (0_i64..).zip(&job.targets) {
        let (state, account) = match &target.state {
            TargetState::ToSeal => (columns::TARGET_TO_SEAL, None),
            TargetState::Sealed(account) => (columns::TARGET_SEALED, Some(account.as_bytes().as_slice())),
            TargetState::GivenUp => (columns::TARGET_GIVEN_UP, None),
        };
        run(
            db,
            "INSERT INTO outbox_target
             (message, place, handle, state, account, done, attempts, not_before, only_device, mends)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            params![
                job.message.as_bytes(),
                place,
                target.handle.as_uri(),
                state,
                account,
                columns::join_devices(&target.done),
                target.attempts,
                at(target.not_before),
                target.only.as_ref().map(|device| device.as_bytes().as_slice()),
                target.mends.as_ref().map(|envelope| envelope.as_bytes().as_slice()),
            ],
        )?;
    }
    Ok(())
}

pub(super) fn put_job_last(db: &Connection, job: &OutboxJob) -> rusqlite::Result<()> {
    put_job(db, job)?;
    let message = job.message.as_bytes();
    run(
        db,
        "UPDATE outbox_job SET place = (SELECT max(place) + 1 FROM outbox_job)
         WHERE message = ?1 AND place < (SELECT max(place) FROM outbox_job)",
        [message],
    )?;
    run(
        db,
        "UPDATE outbox_envelope SET job = (SELECT place FROM outbox_job WHERE message = ?1) WHERE message = ?1",
        [message],
    )
}

pub(super) fn remove_job(db: &Connection, message: MessageId) -> rusqlite::Result<()> {
    run(db, "DELETE FROM outbox_envelope WHERE message = ?1", [message.as_bytes()])?;
    run(db, "DELETE FROM outbox_target WHERE message = ?1", [message.as_bytes()])?;
    run(db, "DELETE FROM outbox_job WHERE message = ?1", [message.as_bytes()])
}

/// Its job must be there: the column `job` is not null.
pub(super) fn put_envelope(db: &Connection, envelope: &OutboxEnvelope) -> rusqlite::Result<()> {
    run(
        db,
        "INSERT INTO outbox_envelope
         (id, message, handle, account, list_version, device, push_token, suite, payload, attempts, not_before, job)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, (SELECT place FROM outbox_job WHERE message = ?2))
         ON CONFLICT (id) DO UPDATE SET message = ?2, handle = ?3, account = ?4, list_version = ?5, device = ?6,
         push_token = ?7, suite = ?8, payload = ?9, attempts = ?10, not_before = ?11",
        params![
            envelope.id.as_bytes(),
            envelope.message.as_bytes(),
            envelope.handle.as_uri(),
            envelope.account.as_bytes(),
            count(envelope.list_version),
            envelope.device.as_bytes(),
            envelope.push_token.as_bytes(),
            envelope.suite.as_u32(),
            &envelope.payload[..],
            envelope.attempts,
            at(envelope.not_before),
        ],
    )
}

/// One step a device, by its index: `min` alone would read every entry.
const HEADS: &str = "
    WITH RECURSIVE waiting (device) AS (
        SELECT min(device) FROM outbox_envelope
        UNION ALL
        SELECT (SELECT min(device) FROM outbox_envelope WHERE device > waiting.device)
        FROM waiting WHERE waiting.device IS NOT NULL
    )
    SELECT e.job, (SELECT max(job) FROM outbox_envelope WHERE device = waiting.device),
           e.id, e.message, e.account, e.device, e.handle, e.not_before
    FROM waiting CROSS JOIN outbox_envelope AS e ON e.place = (
        SELECT place FROM outbox_envelope WHERE device = waiting.device ORDER BY job, place LIMIT 1
    )
    ORDER BY e.job, e.place";

/// The state is written out, since a partial index serves no parameter.
const UNSEALED: &str = "
    SELECT t.handle, t.state, t.account, t.done, t.attempts, t.not_before, t.only_device, t.mends, j.place, t.message
    FROM outbox_target AS t JOIN outbox_job AS j ON j.message = t.message
    WHERE t.state = 1
    ORDER BY j.place, t.place";

impl OutboxQueries for SqliteStore {
    fn heads(&self) -> Result<Vec<OutboxHead>, StoreError> {
        self.all(HEADS, [], |row| {
            Ok(OutboxHead {
                place: number(row, 0)?,
                last_place: number(row, 1)?,
                envelope: id(row, 2)?,
                message: id(row, 3)?,
                account: id(row, 4)?,
                device: id(row, 5)?,
                handle: handle(row, 6)?,
                not_before: millis(row, 7)?,
            })
        })
    }

    fn unsealed(&self) -> Result<Vec<UnsealedTarget>, StoreError> {
        self.all(UNSEALED, [], |row| {
            Ok(UnsealedTarget { place: number(row, 8)?, message: id(row, 9)?, target: columns::outbox_target(row)? })
        })
    }

    fn created_before(&self, time: Timestamp) -> Result<Vec<OutboxJob>, StoreError> {
        self.jobs(jobs!("WHERE created < ?1 ORDER BY place"), [at(time)])
    }

    fn count(&self) -> Result<u64, StoreError> {
        let count = self.one("SELECT count(*) FROM outbox_job", [], |row| number(row, 0))?;
        Ok(count.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::schema;

    /// What a plan asks costs by devices and by what is to be sealed, however much waits: no step reads a whole table.
    #[test]
    fn a_plan_reads_no_table_whole() {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::tests::migrate(&mut connection).unwrap();
        for sql in [HEADS, UNSEALED] {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let steps = statement.query_map([], |row| row.get::<_, String>(3)).unwrap();
            for step in steps.map(Result::unwrap) {
                let by_index = step.contains("USING") || step.contains("waiting");
                assert!(by_index || !step.starts_with("SCAN"), "{step}");
            }
        }
        assert!(UNSEALED.contains(&format!("t.state = {}", columns::TARGET_TO_SEAL)));
    }
}
