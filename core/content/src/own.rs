//! What the person of an account chose, told from one device of it to the others. Spec: 52-own-devices.md (OWN-1 to OWN-4).
//!
//! Owns the keys, their one spelling, their bounds, and which of two entries counts. Does not know what a value means, or who may
//! say it.
//!
//! - Of any set of entries with one key the same one counts, in whatever order they came (OWN-3).

use std::{fmt, str::FromStr};

use halcyon_types::{ConversationId, DeviceId, Handle, HoldId, MessageId, Timestamp};

use crate::{
    decode::{DecodeError, decode_handle, decode_message_id},
    encode::EncodeError,
    wire,
};

/// Entries in one content (OWN-2): with keys and values of ordinary length they fit a plaintext.
pub const OWN_ENTRIES_MAX: usize = 64;
/// Messages that one content says were read (OWN-2), 36 bytes each.
pub const OWN_READ_MAX: usize = 256;
/// Bytes of a value (OWN-2): a name, and a handle.
pub const OWN_VALUE_BYTES_MAX: usize = 512;
/// Bytes of the name of a setting (OWN-2).
pub const NAME_BYTES_MAX: usize = 64;

/// What one device of an account tells the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// What was chosen, at most [`OWN_ENTRIES_MAX`].
    pub entries: Vec<OwnEntry>,
    /// What was read, at most [`OWN_READ_MAX`].
    pub read: Vec<SealedMessage>,
    /// When.
    pub read_at: Timestamp,
    /// The writer knows nothing: it is to be told everything (OWN-5).
    pub wanted: bool,
}

/// One thing that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnEntry {
    /// What it is about.
    pub key: OwnKey,
    /// What was chosen; empty: as if nothing ever had been.
    pub value: OwnValue,
    /// When, by the clock of the device, and later than what it knew of the key before (OWN-4).
    pub chosen: Timestamp,
    /// Where.
    pub device: DeviceId,
}

/// What an entry is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum OwnKey {
    /// A setting, by its name.
    Setting(String),
    /// Whether a conversation is silent.
    Muted(ConversationId),
    /// Whether it comes first.
    Pinned(ConversationId),
    /// Whether its senders are told what was read.
    ReadReceipts(ConversationId),
    /// Which own handle these people are written from.
    SendsFrom(ConversationId),
    /// Whether nothing of somebody is shown.
    Blocked(Handle),
    /// Whether somebody unknown was let in.
    Accepted(Handle),
    /// What somebody is called.
    Contact(Handle),
    /// Whether a message was deleted.
    Deleted(SealedMessage),
    /// What the server holds until its time.
    Scheduled(HoldId),
    /// For which account a handle stood when its safety code was compared.
    Compared(Handle),
}

/// A message by its id and the device that sealed it, since an id alone is anybody's to use (CON-10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealedMessage {
    /// The device.
    pub device: DeviceId,
    /// The id.
    pub message: MessageId,
}

/// A value, at most [`OWN_VALUE_BYTES_MAX`] bytes of UTF-8. It may be a name, so it is redacted (I9).
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnValue(String);

impl OwnValue {
    /// Returns a value; none if it is too long.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (text.len() <= OWN_VALUE_BYTES_MAX).then_some(Self(text))
    }

    /// Returns what it says.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Says whether nothing is chosen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for OwnValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnValue({} bytes, redacted)", self.0.len())
    }
}

impl OwnEntry {
    /// Says whether this entry counts, and not the other one of the same key (OWN-3): the later; at one time the one of the greater
    /// device; of one device, which says two things at one time only if its clock was set back, the greater value.
    #[must_use]
    pub fn beats(&self, other: &Self) -> bool {
        (self.chosen, self.device, &self.value) > (other.chosen, other.device, &other.value)
    }
}

/// Returns whether a setting may have this name.
fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

/// The one spelling of a key, for those who store it.
impl fmt::Display for OwnKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting(name) => write!(f, "setting/{name}"),
            Self::Muted(id) => write!(f, "muted/{}", id.to_hex()),
            Self::Pinned(id) => write!(f, "pinned/{}", id.to_hex()),
            Self::ReadReceipts(id) => write!(f, "read-receipts/{}", id.to_hex()),
            Self::SendsFrom(id) => write!(f, "sends-from/{}", id.to_hex()),
            Self::Blocked(handle) => write!(f, "blocked/{handle}"),
            Self::Accepted(handle) => write!(f, "accepted/{handle}"),
            Self::Contact(handle) => write!(f, "contact/{handle}"),
            Self::Deleted(SealedMessage { device, message }) => {
                write!(f, "deleted/{}/{}", device.to_hex(), message.to_hex())
            }
            Self::Scheduled(id) => write!(f, "scheduled/{}", id.to_hex()),
            Self::Compared(handle) => write!(f, "compared/{handle}"),
        }
    }
}

/// A text that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no key of what was chosen")]
pub struct OwnKeyError;

impl FromStr for OwnKey {
    type Err = OwnKeyError;

    fn from_str(text: &str) -> Result<Self, OwnKeyError> {
        let (kind, about) = text.split_once('/').ok_or(OwnKeyError)?;
        let conversation = || about.parse::<ConversationId>().map_err(|_| OwnKeyError);
        let handle = || decode_handle(about).map_err(|_| OwnKeyError);
        Ok(match kind {
            "setting" if is_name(about) => Self::Setting(about.to_owned()),
            "muted" => Self::Muted(conversation()?),
            "pinned" => Self::Pinned(conversation()?),
            "read-receipts" => Self::ReadReceipts(conversation()?),
            "sends-from" => Self::SendsFrom(conversation()?),
            "blocked" => Self::Blocked(handle()?),
            "accepted" => Self::Accepted(handle()?),
            "contact" => Self::Contact(handle()?),
            "deleted" => {
                let (device, message) = about.split_once('/').ok_or(OwnKeyError)?;
                let device = device.parse().map_err(|_| OwnKeyError)?;
                Self::Deleted(SealedMessage { device, message: message.parse().map_err(|_| OwnKeyError)? })
            }
            "compared" => Self::Compared(handle()?),
            "scheduled" => Self::Scheduled(about.parse().map_err(|_| OwnKeyError)?),
            _ => return Err(OwnKeyError),
        })
    }
}

pub(crate) fn decode(wire: wire::Own) -> Result<Own, DecodeError> {
    // OWN-2: the lengths first.
    if wire.entries.len() > OWN_ENTRIES_MAX {
        return Err(DecodeError::Own("entries"));
    }
    if wire.read.len() > OWN_READ_MAX {
        return Err(DecodeError::Own("read"));
    }
    let entries: Result<Vec<Option<OwnEntry>>, _> = wire.entries.into_iter().map(decode_entry).collect();
    Ok(Own {
        entries: entries?.into_iter().flatten().collect(),
        read: wire.read.iter().map(decode_sealed).collect::<Result<_, _>>()?,
        read_at: Timestamp::from_millis(wire.read_ms),
        wanted: wire.wanted,
    })
}

/// None if its key is one that a later version knows (OWN-2).
fn decode_entry(wire: wire::OwnEntry) -> Result<Option<OwnEntry>, DecodeError> {
    use wire::own_entry::Key;
    let conversation = |bytes: &[u8]| ConversationId::try_from(bytes).map_err(|_| DecodeError::Own("a conversation"));
    let key = match wire.key {
        None => return Ok(None),
        Some(Key::Setting(name)) if is_name(&name) => OwnKey::Setting(name),
        Some(Key::Setting(_)) => return Err(DecodeError::Own("the name of a setting")),
        Some(Key::Muted(id)) => OwnKey::Muted(conversation(&id)?),
        Some(Key::Pinned(id)) => OwnKey::Pinned(conversation(&id)?),
        Some(Key::ReadReceipts(id)) => OwnKey::ReadReceipts(conversation(&id)?),
        Some(Key::SendsFrom(id)) => OwnKey::SendsFrom(conversation(&id)?),
        Some(Key::Blocked(uri)) => OwnKey::Blocked(decode_handle(&uri)?),
        Some(Key::Accepted(uri)) => OwnKey::Accepted(decode_handle(&uri)?),
        Some(Key::Contact(uri)) => OwnKey::Contact(decode_handle(&uri)?),
        Some(Key::Compared(uri)) => OwnKey::Compared(decode_handle(&uri)?),
        Some(Key::Deleted(sealed)) => OwnKey::Deleted(decode_sealed(&sealed)?),
        Some(Key::Scheduled(id)) => {
            OwnKey::Scheduled(HoldId::try_from(&id[..]).map_err(|_| DecodeError::Own("what is held"))?)
        }
    };
    let value = OwnValue::new(wire.value).ok_or(DecodeError::Own("a value"))?;
    let device = decode_device(&wire.device)?;
    Ok(Some(OwnEntry { key, value, chosen: Timestamp::from_millis(wire.chosen_ms), device }))
}

fn decode_device(bytes: &[u8]) -> Result<DeviceId, DecodeError> {
    DeviceId::try_from(bytes).map_err(|_| DecodeError::Own("a device"))
}

fn decode_sealed(wire: &wire::Sealed) -> Result<SealedMessage, DecodeError> {
    Ok(SealedMessage { device: decode_device(&wire.device)?, message: decode_message_id(&wire.message_id)? })
}

pub(crate) fn encode(own: &Own) -> Result<wire::Own, EncodeError> {
    if own.entries.len() > OWN_ENTRIES_MAX {
        return Err(EncodeError::Own("entries"));
    }
    if own.read.len() > OWN_READ_MAX {
        return Err(EncodeError::Own("read"));
    }
    Ok(wire::Own {
        entries: own.entries.iter().map(encode_entry).collect::<Result<_, _>>()?,
        read: own.read.iter().map(encode_sealed).collect(),
        read_ms: own.read_at.as_millis(),
        wanted: own.wanted,
    })
}

fn encode_entry(entry: &OwnEntry) -> Result<wire::OwnEntry, EncodeError> {
    use wire::own_entry::Key;
    let conversation = |id: &ConversationId| id.as_bytes().to_vec().into();
    let handle = |handle: &Handle| handle.as_uri().to_owned();
    let key = match &entry.key {
        OwnKey::Setting(name) if is_name(name) => Key::Setting(name.clone()),
        OwnKey::Setting(_) => return Err(EncodeError::Own("the name of a setting")),
        OwnKey::Muted(id) => Key::Muted(conversation(id)),
        OwnKey::Pinned(id) => Key::Pinned(conversation(id)),
        OwnKey::ReadReceipts(id) => Key::ReadReceipts(conversation(id)),
        OwnKey::SendsFrom(id) => Key::SendsFrom(conversation(id)),
        OwnKey::Blocked(whom) => Key::Blocked(handle(whom)),
        OwnKey::Accepted(whom) => Key::Accepted(handle(whom)),
        OwnKey::Contact(whom) => Key::Contact(handle(whom)),
        OwnKey::Compared(whom) => Key::Compared(handle(whom)),
        OwnKey::Deleted(sealed) => Key::Deleted(encode_sealed(sealed)),
        OwnKey::Scheduled(id) => Key::Scheduled(id.as_bytes().to_vec().into()),
    };
    Ok(wire::OwnEntry {
        chosen_ms: entry.chosen.as_millis(),
        device: entry.device.as_bytes().to_vec().into(),
        key: Some(key),
        value: entry.value.as_str().to_owned(),
    })
}

fn encode_sealed(sealed: &SealedMessage) -> wire::Sealed {
    wire::Sealed {
        message_id: sealed.message.as_bytes().to_vec().into(),
        device: sealed.device.as_bytes().to_vec().into(),
    }
}
