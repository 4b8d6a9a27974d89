//! Between rows and the ports' types.
//!
//! - Bytes of a wrong length in a row are damage and become an error, never a panic.

use bytes::Bytes;
use halcyon_types::{AccountId, DeviceId, Handle, PushToken, Timestamp};
use rusqlite::types::Type;
use rusqlite::{Error, Row};

/// Returns a blob of fixed length.
pub(super) fn array<const N: usize>(row: &Row<'_>, column: usize) -> rusqlite::Result<[u8; N]> {
    let blob = row.get_ref(column)?.as_blob().map_err(|error| conversion(column, error))?;
    blob.try_into().map_err(|error| conversion(column, error))
}

/// Returns a blob of fixed length, or nothing for NULL.
pub(super) fn optional_array<const N: usize>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<[u8; N]>> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => array(row, column).map(Some),
    }
}

/// Returns a blob.
pub(super) fn bytes(row: &Row<'_>, column: usize) -> rusqlite::Result<Bytes> {
    row.get::<_, Vec<u8>>(column).map(Bytes::from)
}

/// Returns an account id.
pub(super) fn account(row: &Row<'_>, column: usize) -> rusqlite::Result<AccountId> {
    array(row, column).map(AccountId::from_bytes)
}

/// Returns a device id.
pub(super) fn device(row: &Row<'_>, column: usize) -> rusqlite::Result<DeviceId> {
    array(row, column).map(DeviceId::from_bytes)
}

/// Returns a push token.
pub(super) fn push_token(row: &Row<'_>, column: usize) -> rusqlite::Result<PushToken> {
    array(row, column).map(PushToken::from_bytes)
}

/// Returns a handle.
pub(super) fn handle(row: &Row<'_>, column: usize) -> rusqlite::Result<Handle> {
    let text: String = row.get(column)?;
    Handle::parse(&text).map_err(|error| conversion(column, error))
}

/// Returns a time.
pub(super) fn timestamp(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    number(row, column).map(Timestamp::from_millis)
}

/// Returns an unsigned number.
pub(super) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|error| conversion(column, error))
}

/// Returns a time as SQLite keeps it. A time past 2^63 is as good as the end of time.
pub(super) fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Returns a number as SQLite keeps it.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn conversion(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error))
}
