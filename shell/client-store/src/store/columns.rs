//! How values become columns, and back.
//!
//! Owns the numbers that stand for enums in the tables. They never change; new ones are added.
//!
//! - SQLite's integers are signed: a version or time is kept 2^63 lower, so that every u64 comes back as it was and
//!   the order stays.

use bytes::Bytes;
use halcyon_client::ports::store::{
    Conversation, Delivery, DeliveryState, LinkRecord, MessageKind, MessageRecord, NewMessage, Origin, OutboxEnvelope,
    OutboxJob, OutboxTarget, Profile, ReceiptKind, Stage, StreamPlace, TargetState,
};
use halcyon_crypto::SecretBytes;
use halcyon_keychain::ItemError;
use halcyon_types::{DeviceId, Handle, SuiteId, Timestamp};
use rusqlite::{
    Result, Row,
    types::{Type, ValueRef},
};

use crate::keys::{self, ItemName, Items};

const STAGE_REGISTERING: i64 = 1;
const STAGE_READY: i64 = 2;
const STAGE_REMOVED: i64 = 3;

pub(super) const ORIGIN_HERE: i64 = 1;
const ORIGIN_OWN_DEVICE: i64 = 2;
pub(super) const ORIGIN_PEER: i64 = 3;

/// Shown like a message, so it is among those below [`KIND_ACT`]; but never unread (GRP-16).
pub(super) const KIND_CHANGE: i64 = 0;
const KIND_MESSAGE: i64 = 1;
const KIND_UNSUPPORTED: i64 = 2;
/// Those from here on are no part of any history; indexes say so, too.
pub(super) const KIND_ACT: i64 = 3;
pub(super) const KIND_OWN: i64 = 4;
pub(super) const KIND_GONE: i64 = 5;

const RECEIPT_DELIVERED: i64 = 1;
const RECEIPT_READ: i64 = 2;
const RECEIPT_PLAYED: i64 = 3;

const DELIVERY_WAITING: i64 = 1;
const DELIVERY_ACCEPTED: i64 = 2;
const DELIVERY_DELIVERED: i64 = 3;
const DELIVERY_FAILED: i64 = 4;

pub(super) const TARGET_TO_SEAL: i64 = 1;
pub(super) const TARGET_SEALED: i64 = 2;
pub(super) const TARGET_GIVEN_UP: i64 = 3;

/// A column that does not have the form that we write.
#[derive(Debug, thiserror::Error)]
#[error("column {0} does not have the form that this program writes")]
struct Malformed(usize);

fn malformed(column: usize) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(Malformed(column)))
}

pub(super) fn at(time: Timestamp) -> i64 {
    count(time.as_millis())
}

pub(super) fn count(value: u64) -> i64 {
    (value ^ (1 << 63)).cast_signed()
}

/// Reads what [`count`] wrote.
pub(super) fn counted(row: &Row<'_>, column: usize) -> Result<u64> {
    Ok(row.get::<_, i64>(column)?.cast_unsigned() ^ (1 << 63))
}

/// Reads a number that SQLite made: of a row, or how many there are.
pub(super) fn number(row: &Row<'_>, column: usize) -> Result<u64> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|_| malformed(column))
}

pub(super) fn small_number(row: &Row<'_>, column: usize) -> Result<u32> {
    u32::try_from(row.get::<_, i64>(column)?).map_err(|_| malformed(column))
}

pub(super) fn millis(row: &Row<'_>, column: usize) -> Result<Timestamp> {
    counted(row, column).map(Timestamp::from_millis)
}

pub(super) fn id<T: for<'a> TryFrom<&'a [u8]>>(row: &Row<'_>, column: usize) -> Result<T> {
    let bytes = row.get_ref(column)?.as_blob().map_err(|_| malformed(column))?;
    T::try_from(bytes).map_err(|_| malformed(column))
}

/// Reads an id that may be absent.
pub(super) fn optional_id<T: for<'a> TryFrom<&'a [u8]>>(row: &Row<'_>, column: usize) -> Result<Option<T>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => id(row, column).map(Some),
    }
}

/// Reads a time that may be absent.
pub(super) fn optional_millis(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => millis(row, column).map(Some),
    }
}

/// Reads a stream and the number in it, which are absent together.
fn stream_place(row: &Row<'_>, column: usize) -> Result<Option<StreamPlace>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => Ok(Some(StreamPlace { stream: counted(row, column)?, number: counted(row, column + 1)? })),
    }
}

/// First and last number of each range, 8 bytes each.
pub(super) fn join_ranges(ranges: &[(u64, u64)]) -> Vec<u8> {
    ranges.iter().flat_map(|(first, last)| [first.to_be_bytes(), last.to_be_bytes()]).flatten().collect()
}

/// Reads what [`join_ranges`] wrote.
pub(super) fn ranges(row: &Row<'_>, column: usize) -> Result<Vec<(u64, u64)>> {
    let bytes = row.get_ref(column)?.as_blob().map_err(|_| malformed(column))?;
    let (numbers, rest) = bytes.as_chunks::<8>();
    let (pairs, odd) = numbers.as_chunks::<2>();
    if !rest.is_empty() || !odd.is_empty() {
        return Err(malformed(column));
    }
    Ok(pairs.iter().map(|[first, last]| (u64::from_be_bytes(*first), u64::from_be_bytes(*last))).collect())
}

pub(super) fn handle(row: &Row<'_>, column: usize) -> Result<Handle> {
    let uri = row.get_ref(column)?.as_str().map_err(|_| malformed(column))?;
    Handle::parse(uri).map_err(|_| malformed(column))
}

/// SQLite's copy of a secret lies in its page cache until it is overwritten; ours is wiped.
/// Opens a private key (KEY-5).
pub(super) fn secret(row: &Row<'_>, column: usize, items: &Items<'_>, name: &ItemName) -> Result<SecretBytes> {
    let sealed = row.get_ref(column)?.as_blob().map_err(|_| malformed(column))?;
    match items.open(name, sealed) {
        Ok(value) => Ok(value),
        Err(ItemError::Damaged) => Err(malformed(column)),
        Err(error) => Err(keys::locked(error)),
    }
}

pub(super) fn blob(row: &Row<'_>, column: usize) -> Result<Bytes> {
    row.get::<_, Vec<u8>>(column).map(Bytes::from)
}

fn suite(row: &Row<'_>, column: usize) -> Result<Option<SuiteId>> {
    row.get::<_, Option<u32>>(column).map(|number| number.map(SuiteId::from_u32))
}

pub(super) fn join_members(members: &[Handle]) -> String {
    members.iter().map(Handle::as_uri).collect::<Vec<_>>().join("\n")
}

pub(super) fn join_devices(devices: &[DeviceId]) -> Vec<u8> {
    devices.iter().flat_map(|device| *device.as_bytes()).collect()
}

pub(super) const fn stage(stage: Stage) -> i64 {
    match stage {
        Stage::Registering => STAGE_REGISTERING,
        Stage::Ready => STAGE_READY,
        Stage::Removed => STAGE_REMOVED,
    }
}

pub(super) const fn origin(origin: Origin) -> i64 {
    match origin {
        Origin::Here => ORIGIN_HERE,
        Origin::OwnDevice => ORIGIN_OWN_DEVICE,
        Origin::Peer => ORIGIN_PEER,
    }
}

pub(super) const fn kind(kind: MessageKind) -> i64 {
    match kind {
        MessageKind::Message => KIND_MESSAGE,
        MessageKind::Unsupported => KIND_UNSUPPORTED,
        MessageKind::Act => KIND_ACT,
        MessageKind::Change => KIND_CHANGE,
        MessageKind::Own => KIND_OWN,
        MessageKind::Gone => KIND_GONE,
    }
}

pub(super) const fn receipt_kind(kind: ReceiptKind) -> i64 {
    match kind {
        ReceiptKind::Read => RECEIPT_READ,
        ReceiptKind::Played => RECEIPT_PLAYED,
        // The enum may grow; whatever is said of a message, it is there.
        _ => RECEIPT_DELIVERED,
    }
}

pub(super) fn read_receipt_kind(row: &Row<'_>, column: usize) -> Result<ReceiptKind> {
    match row.get(column)? {
        RECEIPT_DELIVERED => Ok(ReceiptKind::Delivered),
        RECEIPT_READ => Ok(ReceiptKind::Read),
        RECEIPT_PLAYED => Ok(ReceiptKind::Played),
        _ => Err(malformed(column)),
    }
}

/// Returns the columns `state`, `at`, `reason`.
pub(super) fn delivery_state(state: &DeliveryState) -> (i64, Option<i64>, Option<&str>) {
    match state {
        DeliveryState::Accepted(time) => (DELIVERY_ACCEPTED, Some(at(*time)), None),
        DeliveryState::Delivered(time) => (DELIVERY_DELIVERED, Some(at(*time)), None),
        DeliveryState::Failed(reason) => (DELIVERY_FAILED, None, Some(reason)),
        // The enum may grow; a state that has no column yet is as good as waiting, since the outbox decides.
        _ => (DELIVERY_WAITING, None, None),
    }
}

pub(super) fn profile(row: &Row<'_>, items: &Items<'_>) -> Result<Profile> {
    let stage = match row.get(0)? {
        STAGE_REGISTERING => Stage::Registering,
        STAGE_READY => Stage::Ready,
        STAGE_REMOVED => Stage::Removed,
        _ => return Err(malformed(0)),
    };
    let has_token = row.get::<_, Option<Vec<u8>>>(7)?.is_some();
    Ok(Profile {
        stage,
        server: row.get(1)?,
        account: id(row, 2)?,
        device: id(row, 3)?,
        device_keys: secret(row, 4, items, &keys::DEVICE_KEYS)?,
        prekeys_uploaded: row.get(5)?,
        account_key: secret(row, 6, items, &keys::ACCOUNT_KEY)?,
        push_token: has_token.then(|| id(row, 7)).transpose()?,
    })
}

pub(super) fn link(row: &Row<'_>, items: &Items<'_>) -> Result<LinkRecord> {
    let bytes = |column: usize| row.get::<_, Vec<u8>>(column).map(Bytes::from);
    Ok(LinkRecord {
        id: id(row, 0)?,
        handle: handle(row, 1)?,
        account: id(row, 2)?,
        device_keys: secret(row, 3, items, &keys::LINK_DEVICE_KEYS)?,
        entry: bytes(4)?,
        entry_signature: bytes(5)?,
        ephemeral: secret(row, 6, items, &keys::LINK_EPHEMERAL)?,
        nonce: secret(row, 7, items, &keys::LINK_NONCE)?,
        approver: id(row, 8)?,
        approver_ephemeral: row.get(9)?,
        approver_nonce: row.get(10)?,
    })
}

pub(super) fn conversation(row: &Row<'_>) -> Result<Conversation> {
    let members: String = row.get(1)?;
    let members = members.lines().map(|uri| Handle::parse(uri).map_err(|_| malformed(1))).collect::<Result<_>>()?;
    Ok(Conversation { id: id(row, 0)?, members })
}

pub(super) fn message(row: &Row<'_>) -> Result<MessageRecord> {
    let origin = match row.get(3)? {
        ORIGIN_HERE => Origin::Here,
        ORIGIN_OWN_DEVICE => Origin::OwnDevice,
        ORIGIN_PEER => Origin::Peer,
        _ => return Err(malformed(3)),
    };
    let kind = match row.get(4)? {
        KIND_MESSAGE => MessageKind::Message,
        KIND_UNSUPPORTED => MessageKind::Unsupported,
        KIND_ACT => MessageKind::Act,
        KIND_CHANGE => MessageKind::Change,
        KIND_OWN => MessageKind::Own,
        KIND_GONE => MessageKind::Gone,
        _ => return Err(malformed(4)),
    };
    let message = NewMessage {
        id: id(row, 1)?,
        conversation: id(row, 2)?,
        origin,
        kind,
        sender: handle(row, 5)?,
        sender_account: id(row, 6)?,
        sender_device: id(row, 7)?,
        suite: suite(row, 8)?,
        sent: millis(row, 9)?,
        stored: millis(row, 10)?,
        content: blob(row, 11)?,
        place: stream_place(row, 12)?,
        target: optional_id(row, 14)?,
    };
    let (read, deleted) = (optional_millis(row, 15)?, optional_millis(row, 16)?);
    Ok(MessageRecord { number: number(row, 0)?, message, read, deleted })
}

pub(super) fn delivery(row: &Row<'_>) -> Result<Delivery> {
    let state = match row.get(4)? {
        DELIVERY_WAITING => DeliveryState::Waiting,
        DELIVERY_ACCEPTED => DeliveryState::Accepted(millis(row, 5)?),
        DELIVERY_DELIVERED => DeliveryState::Delivered(millis(row, 5)?),
        DELIVERY_FAILED => DeliveryState::Failed(row.get(6)?),
        _ => return Err(malformed(4)),
    };
    Ok(Delivery {
        message: id(row, 0)?,
        account: id(row, 1)?,
        device: id(row, 2)?,
        suite: suite(row, 3)?,
        place: stream_place(row, 7)?,
        state,
    })
}

/// Reads a job without its targets, which are rows of their own.
pub(super) fn outbox_job(row: &Row<'_>) -> Result<OutboxJob> {
    Ok(OutboxJob {
        message: id(row, 0)?,
        silent: row.get(1)?,
        sender: handle(row, 2)?,
        content: blob(row, 3)?,
        forced_suite: suite(row, 4)?,
        targets: Vec::new(),
        created: millis(row, 5)?,
    })
}

pub(super) fn outbox_target(row: &Row<'_>) -> Result<OutboxTarget> {
    let state = match row.get(1)? {
        TARGET_TO_SEAL => TargetState::ToSeal,
        TARGET_SEALED => TargetState::Sealed(id(row, 2)?),
        TARGET_GIVEN_UP => TargetState::GivenUp,
        _ => return Err(malformed(1)),
    };
    let done = row.get_ref(3)?.as_blob().map_err(|_| malformed(3))?;
    let (done, rest) = done.as_chunks::<{ DeviceId::LEN }>();
    if !rest.is_empty() {
        return Err(malformed(3));
    }
    Ok(OutboxTarget {
        handle: handle(row, 0)?,
        state,
        done: done.iter().copied().map(DeviceId::from_bytes).collect(),
        attempts: small_number(row, 4)?,
        not_before: millis(row, 5)?,
        only: optional_id(row, 6)?,
        mends: optional_id(row, 7)?,
    })
}

pub(super) fn outbox_envelope(row: &Row<'_>) -> Result<OutboxEnvelope> {
    Ok(OutboxEnvelope {
        id: id(row, 0)?,
        message: id(row, 1)?,
        handle: handle(row, 2)?,
        account: id(row, 3)?,
        list_version: counted(row, 4)?,
        device: id(row, 5)?,
        push_token: id(row, 6)?,
        suite: SuiteId::from_u32(small_number(row, 7)?),
        payload: blob(row, 8)?,
        attempts: small_number(row, 9)?,
        not_before: millis(row, 10)?,
    })
}
