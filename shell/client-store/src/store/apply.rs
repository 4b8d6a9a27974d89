//! Writes one change into the transaction of its commit.
//!
//! Owns the SQL of each [`Change`]. Does not know when the transaction ends.

use halcyon_client::ports::store::{Change, Delivery, LinkRecord, NewMessage, Profile};
use rusqlite::{Connection, OptionalExtension, Params, params};

use super::{
    columns::{self, at, count},
    groups, outbox, own, repairs,
    schema::TABLES,
    words,
};
use crate::keys::{self, Items};

/// Applies a change; the caller rolls back on an error.
pub(super) fn apply(db: &Connection, items: &Items<'_>, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::PutProfile(profile) => put_profile(db, items, profile),
        Change::Wipe => {
            TABLES.iter().try_for_each(|table| db.execute_batch(&format!("DELETE FROM {table}")))?;
            words::wipe(db)
        }
        Change::PutLink(link) => put_link(db, items, link),
        Change::RemoveLink => run(db, "DELETE FROM link", []),
        Change::AddOwnHandle(handle) => {
            run(db, "INSERT OR IGNORE INTO own_handle (handle) VALUES (?1)", [handle.as_uri()])
        }
        Change::RemoveOwnHandle(handle) => run(db, "DELETE FROM own_handle WHERE handle = ?1", [handle.as_uri()]),
        Change::PutSetting { name, value } => {
            run(db, "INSERT OR REPLACE INTO setting (name, value) VALUES (?1, ?2)", [name, value])
        }
        Change::RemoveSetting(name) => run(db, "DELETE FROM setting WHERE name = ?1", [name]),

        Change::PutKnownAccount(known) => run(
            db,
            "INSERT OR REPLACE INTO known_account (account, version, known) VALUES (?1, ?2, ?3)",
            params![known.account.as_bytes(), count(known.version), &known.known[..]],
        ),
        Change::PutKnownHandle(known) => run(
            db,
            "INSERT OR REPLACE INTO known_handle (handle, account, known) VALUES (?1, ?2, ?3)",
            params![known.handle.as_uri(), known.account.as_bytes(), &known.known[..]],
        ),
        Change::PutAddresses(record) => run(
            db,
            "INSERT OR REPLACE INTO addresses (account, addresses, refresh) VALUES (?1, ?2, ?3)",
            params![record.account.as_bytes(), &record.addresses[..], at(record.refresh)],
        ),
        Change::RemoveAddresses(account) => run(db, "DELETE FROM addresses WHERE account = ?1", [account.as_bytes()]),

        Change::AddConversation(conversation) => run(
            db,
            "INSERT OR IGNORE INTO conversation (id, members) VALUES (?1, ?2)",
            params![conversation.id.as_bytes(), columns::join_members(&conversation.members)],
        ),
        Change::PutConversation(_)
        | Change::PutGroup(_)
        | Change::AddHeld { .. }
        | Change::RemoveHeld(..)
        | Change::ForgetHeldBefore(_) => groups::apply(db, change),
        Change::AddMessage(message) => add_message(db, message),
        Change::IndexWords { entries, up_to } => words::index(db, entries, *up_to),
        Change::PutDelivery(delivery) => put_delivery(db, delivery),

        Change::PutOutboxJob(job) => outbox::put_job(db, job),
        Change::PutOutboxJobLast(job) => outbox::put_job_last(db, job),
        Change::RemoveOutboxJob(message) => outbox::remove_job(db, *message),
        Change::PutOutboxEnvelope(envelope) => outbox::put_envelope(db, envelope),
        Change::RemoveOutboxEnvelope(id) => run(db, "DELETE FROM outbox_envelope WHERE id = ?1", [id.as_bytes()]),
        Change::AddPendingReceipt(receipt) => run(
            db,
            "INSERT OR IGNORE INTO pending_receipt (recipient, sender, message, kind, at) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                receipt.to.as_uri(),
                receipt.from.as_uri(),
                receipt.message.as_bytes(),
                columns::receipt_kind(receipt.kind),
                at(receipt.at),
            ],
        ),
        Change::RemovePendingReceipt(receipt) => run(
            db,
            "DELETE FROM pending_receipt WHERE recipient = ?1 AND sender = ?2 AND message = ?3 AND kind = ?4",
            params![
                receipt.to.as_uri(),
                receipt.from.as_uri(),
                receipt.message.as_bytes(),
                columns::receipt_kind(receipt.kind),
            ],
        ),

        Change::PutSession { device, session } => run(
            db,
            "INSERT OR REPLACE INTO session (device, session) VALUES (?1, ?2)",
            params![device.as_bytes(), items.seal(&keys::session(*device), session)?],
        ),
        Change::RemoveSession(device) => run(db, "DELETE FROM session WHERE device = ?1", [device.as_bytes()]),

        Change::MarkSeen { mark, at: time } => {
            run(db, "INSERT OR IGNORE INTO seen (mark, at) VALUES (?1, ?2)", params![mark.0, at(*time)])
        }
        Change::ForgetSeenBefore(time) => run(db, "DELETE FROM seen WHERE at < ?1", [at(*time)]),
        Change::AddUnopened(record) => run(
            db,
            "INSERT OR IGNORE INTO unopened (id, envelope, device, cause, at, gone) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                record.id.as_bytes(),
                &record.envelope[..],
                record.device.as_ref().map(|device| device.as_bytes().as_slice()),
                record.cause,
                at(record.at),
                record.gone,
            ],
        ),
        Change::RemoveUnopened(id) => run(db, "DELETE FROM unopened WHERE id = ?1", [id.as_bytes()]),
        Change::ForgetUnopenedBefore(time) => run(db, "DELETE FROM unopened WHERE at < ?1", [at(*time)]),
        Change::MarkUnopenedGone(id) => run(db, "UPDATE unopened SET gone = 1 WHERE id = ?1", [id.as_bytes()]),
        Change::PutSentEnd(_)
        | Change::PutHeard(_)
        | Change::RaiseEpochSeen { .. }
        | Change::PutRepair(_)
        | Change::RemoveRepair(_)
        | Change::PutSentEnvelope(_)
        | Change::MarkSentEnvelopesHad { .. }
        | Change::ForgetSentEnvelopes { .. }
        | Change::BoundUnopened { .. }
        | Change::CountUp(_) => repairs::apply(db, change),
        Change::PutOwnEntry(_)
        | Change::PutScheduled(_)
        | Change::RemoveScheduled(_)
        | Change::MarkRead { .. }
        | Change::MarkDeleted { .. }
        | Change::ForgetDeletedBefore(_)
        | Change::ForgetOwnBefore(_)
        | Change::PutReceipt(_) => own::apply(db, change),
        Change::AddAlert(alert) => run(
            db,
            "INSERT OR IGNORE INTO alert (id, at, body, seen) VALUES (?1, ?2, ?3, ?4)",
            params![alert.id.as_bytes(), at(alert.at), &alert.body[..], alert.seen],
        ),
        Change::MarkAlertSeen(id) => run(db, "UPDATE alert SET seen = 1 WHERE id = ?1", [id.as_bytes()]),
    }
}

pub(super) fn run(db: &Connection, sql: &str, params: impl Params) -> rusqlite::Result<()> {
    db.prepare_cached(sql)?.execute(params).map(drop)
}

fn put_profile(db: &Connection, items: &Items<'_>, profile: &Profile) -> rusqlite::Result<()> {
    run(
        db,
        "INSERT OR REPLACE INTO profile
         (only, stage, server, account, device, device_keys, prekeys_uploaded, account_key, push_token)
         VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            columns::stage(profile.stage),
            profile.server,
            profile.account.as_bytes(),
            profile.device.as_bytes(),
            items.seal(&keys::DEVICE_KEYS, &profile.device_keys)?,
            profile.prekeys_uploaded,
            items.seal(&keys::ACCOUNT_KEY, &profile.account_key)?,
            profile.push_token.as_ref().map(|token| token.as_bytes().as_slice()),
        ],
    )
}

fn put_link(db: &Connection, items: &Items<'_>, link: &LinkRecord) -> rusqlite::Result<()> {
    run(
        db,
        "INSERT OR REPLACE INTO link (only, id, handle, account, device_keys, entry, entry_signature, ephemeral, nonce,
         approver, approver_ephemeral, approver_nonce)
         VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            link.id.as_bytes(),
            link.handle.as_uri(),
            link.account.as_bytes(),
            items.seal(&keys::LINK_DEVICE_KEYS, &link.device_keys)?,
            &link.entry[..],
            &link.entry_signature[..],
            items.seal(&keys::LINK_EPHEMERAL, &link.ephemeral)?,
            items.seal(&keys::LINK_NONCE, &link.nonce)?,
            link.approver.as_bytes(),
            &link.approver_ephemeral,
            &link.approver_nonce,
        ],
    )
}

fn add_message(db: &Connection, message: &NewMessage) -> rusqlite::Result<()> {
    // Not OR IGNORE: AUTOINCREMENT would take a number for a row that is then not there.
    let added = db
        .prepare_cached(
            "INSERT INTO message (id, conversation, origin, kind, sender, sender_account, sender_device, suite, sent,
             stored, content, stream, place, target)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14
             WHERE NOT EXISTS (SELECT 1 FROM message WHERE id = ?1 AND sender_device = ?7)",
        )?
        .execute(params![
            message.id.as_bytes(),
            message.conversation.as_bytes(),
            columns::origin(message.origin),
            columns::kind(message.kind),
            message.sender.as_uri(),
            message.sender_account.as_bytes(),
            message.sender_device.as_bytes(),
            message.suite.map(|suite| suite.as_u32()),
            at(message.sent),
            at(message.stored),
            &message.content[..],
            message.place.map(|place| count(place.stream)),
            message.place.map(|place| count(place.number)),
            message.target.as_ref().map(|target| target.as_bytes().as_slice()),
        ])?;
    if added == 0 {
        return Ok(());
    }
    let number = db.last_insert_rowid();
    put_in_order(db, message, number)?;
    own::mark_late(db, message.sender_device, message.id, number)
}

/// REP-15: right before the next of its sender's stream, if that is there already; else at the end.
fn put_in_order(db: &Connection, message: &NewMessage, number: i64) -> rusqlite::Result<()> {
    let mut next = None;
    if let Some(place) = message.place {
        let sql =
            "SELECT anchor FROM message WHERE sender_device = ?1 AND conversation = ?2 AND stream = ?3 AND place > ?4
                   ORDER BY place LIMIT 1";
        let (device, conversation) = (message.sender_device.as_bytes(), message.conversation.as_bytes());
        let params = params![device, conversation, count(place.stream), count(place.number)];
        let anchor: Option<i64> = db.prepare_cached(sql)?.query_row(params, |row| row.get(0)).optional()?;
        next = anchor.map(|anchor| (anchor, i64::try_from(place.number).unwrap_or(i64::MAX - 1)));
    }
    let (anchor, rank) = next.unwrap_or((number, i64::MAX));
    run(db, "UPDATE message SET anchor = ?2, rank = ?3 WHERE number = ?1", [number, anchor, rank])
}

fn put_delivery(db: &Connection, delivery: &Delivery) -> rusqlite::Result<()> {
    let (state, time, reason) = columns::delivery_state(&delivery.state);
    run(
        db,
        "INSERT INTO delivery (message, account, device, suite, state, at, reason, stream, number)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (message, device) DO UPDATE SET account = ?2, suite = ?4, state = ?5, at = ?6, reason = ?7,
         stream = ?8, number = ?9",
        params![
            delivery.message.as_bytes(),
            delivery.account.as_bytes(),
            delivery.device.as_bytes(),
            delivery.suite.map(|suite| suite.as_u32()),
            state,
            time,
            reason,
            delivery.place.map(|place| count(place.stream)),
            delivery.place.map(|place| count(place.number)),
        ],
    )
}
