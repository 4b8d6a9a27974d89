//! What a row of the log holds: the records of one commit, one behind the other.
//!
//! Owns their encoding, which no other program reads. Does not know tables or what is in memory.
//!
//! - Whatever the bytes are, reading them ends with records or with [`Damaged`], never with a panic.

use bytes::Bytes;
use halcyon_types::{DeviceId, Timestamp, Topic};

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// An envelope that was accepted.
    Stored { position: u64, device: DeviceId, topic: Topic, expires: Timestamp, envelope: Bytes },
    /// The envelope at this position, of an earlier record, is deleted.
    Removed { position: u64 },
    /// So is everything of a device that earlier records stored.
    Cleared { device: DeviceId },
}

/// Bytes that are no records: the file was damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

const STORED: u8 = 1;
const REMOVED: u8 = 2;
const CLEARED: u8 = 3;

/// In place of the length of a topic's name: the two topics that nearly all envelopes have.
const TOPIC_MESSAGE: u8 = 0;
const TOPIC_ALERT: u8 = u8::MAX;

/// Writes an envelope behind the records before it.
pub(super) fn put_stored(
    into: &mut Vec<u8>,
    position: u64,
    device: DeviceId,
    topic: &Topic,
    expires: Timestamp,
    envelope: &[u8],
) {
    into.push(STORED);
    into.extend_from_slice(&position.to_le_bytes());
    into.extend_from_slice(device.as_bytes());
    into.extend_from_slice(&expires.as_millis().to_le_bytes());
    match topic.as_str() {
        Topic::MESSAGE => into.push(TOPIC_MESSAGE),
        Topic::ALERT => into.push(TOPIC_ALERT),
        name => {
            // COU-30: 1 to 64 bytes.
            into.push(u8::try_from(name.len()).unwrap_or(TOPIC_MESSAGE));
            into.extend_from_slice(name.as_bytes());
        }
    }
    into.extend_from_slice(&(envelope.len() as u64).to_le_bytes());
    into.extend_from_slice(envelope);
}

/// Writes that an envelope is deleted.
pub(super) fn put_removed(into: &mut Vec<u8>, position: u64) {
    into.push(REMOVED);
    into.extend_from_slice(&position.to_le_bytes());
}

/// Writes that a mailbox was emptied.
pub(super) fn put_cleared(into: &mut Vec<u8>, device: DeviceId) {
    into.push(CLEARED);
    into.extend_from_slice(device.as_bytes());
}

/// Returns the records of a row. Envelopes have bytes of their own, so that one that waits for long does not keep the others.
pub(super) fn read(row: &[u8]) -> Result<Vec<Record>, Damaged> {
    let mut rest = row;
    let mut records = Vec::new();
    while let Some((tag, behind)) = rest.split_first() {
        rest = behind;
        records.push(match *tag {
            STORED => stored(&mut rest)?,
            REMOVED => Record::Removed { position: number(&mut rest)? },
            CLEARED => Record::Cleared { device: device(&mut rest)? },
            _ => return Err(Damaged),
        });
    }
    Ok(records)
}

/// Returns a row without the envelopes that are gone.
pub(super) fn without(row: &[u8], is_gone: impl Fn(&DeviceId, u64) -> bool) -> Result<Vec<u8>, Damaged> {
    let mut kept = Vec::with_capacity(row.len());
    for record in read(row)? {
        match record {
            Record::Stored { position, device, .. } if is_gone(&device, position) => {}
            Record::Stored { position, device, topic, expires, envelope } => {
                put_stored(&mut kept, position, device, &topic, expires, &envelope);
            }
            Record::Removed { position } => put_removed(&mut kept, position),
            Record::Cleared { device } => put_cleared(&mut kept, device),
        }
    }
    Ok(kept)
}

fn stored(rest: &mut &[u8]) -> Result<Record, Damaged> {
    let position = number(rest)?;
    let device = device(rest)?;
    let expires = Timestamp::from_millis(number(rest)?);
    let [topic] = take(rest)?;
    let topic = match topic {
        TOPIC_MESSAGE => Topic::message(),
        TOPIC_ALERT => Topic::alert(),
        length => {
            let name = rest.split_off(..usize::from(length)).ok_or(Damaged)?;
            std::str::from_utf8(name).ok().and_then(|name| Topic::parse(name).ok()).ok_or(Damaged)?
        }
    };
    let length = usize::try_from(number(rest)?).map_err(|_| Damaged)?;
    let envelope = Bytes::copy_from_slice(rest.split_off(..length).ok_or(Damaged)?);
    Ok(Record::Stored { position, device, topic, expires, envelope })
}

fn number(rest: &mut &[u8]) -> Result<u64, Damaged> {
    take(rest).map(u64::from_le_bytes)
}

fn device(rest: &mut &[u8]) -> Result<DeviceId, Damaged> {
    take(rest).map(DeviceId::from_bytes)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Damaged> {
    let (head, behind) = rest.split_first_chunk().ok_or(Damaged)?;
    *rest = behind;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHONE: DeviceId = DeviceId::from_bytes([1; 16]);
    const LATER: Timestamp = Timestamp::from_millis(9_000);

    fn row() -> Vec<u8> {
        let mut row = Vec::new();
        put_stored(&mut row, 7, PHONE, &Topic::message(), LATER, b"first");
        put_stored(&mut row, 8, PHONE, &Topic::alert(), LATER, b"");
        put_stored(&mut row, 9, PHONE, &Topic::parse("weather").unwrap(), LATER, b"rain");
        put_removed(&mut row, 3);
        put_cleared(&mut row, PHONE);
        row
    }

    /// COU-41: what is written is what is read, in its order.
    #[test]
    fn records_are_read_as_they_were_written() {
        let stored = |position, topic, envelope: &'static [u8]| Record::Stored {
            position,
            device: PHONE,
            topic,
            expires: LATER,
            envelope: Bytes::from_static(envelope),
        };
        let expected = [
            stored(7, Topic::message(), b"first"),
            stored(8, Topic::alert(), b""),
            stored(9, Topic::parse("weather").unwrap(), b"rain"),
            Record::Removed { position: 3 },
            Record::Cleared { device: PHONE },
        ];
        assert_eq!(read(&row()).unwrap(), expected);
        let kept = without(&row(), |device, position| *device == PHONE && position == 8).unwrap();
        let left: Vec<Record> =
            expected.into_iter().filter(|record| !matches!(record, Record::Stored { position: 8, .. })).collect();
        assert_eq!(read(&kept).unwrap(), left);
    }

    /// A row that was cut off or altered is damage or other records, and never a panic.
    #[test]
    fn damage_is_told() {
        let row = row();
        let whole: Vec<usize> = (0..=row.len()).filter(|length| read(&row[..*length]).is_ok()).collect();
        assert_eq!(whole.len(), 6, "only between two records: {whole:?}");
        for at in 0..row.len() {
            for bit in 0..8 {
                let mut bent = row.clone();
                bent[at] ^= 1 << bit;
                let _: Result<Vec<Record>, Damaged> = read(&bent);
            }
        }
        assert_eq!(read(&[9]), Err(Damaged));
    }
}
