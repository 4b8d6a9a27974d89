//! Reports: what a device tells its server's operator of a message that it got. Spec: 20-accounts.md §6 (ACC-60).
//!
//! Owns the statement, its signature, and what of it is well-formed. Does not know how a message is opened or shown, nor whether a
//! report is true: no client keeps a proof for others, so it is the reporter's word, and the signature says only whose.
//!
//! - A [`SignedReport`] was signed here, or verified: holding one is the proof that the device said so.
//! - Nothing in one can move a cursor or turn a reading direction, so that it can be printed as it is (CON-3).

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use halcyon_crypto::{Label, Signature, SigningKey, VerifyingKey};
use halcyon_types::{AccountId, DeviceId, Handle, MessageId, SuiteId, Timestamp, for_display};
use prost::Message;

use crate::{lookup::parse_normal, wire};

/// Bytes of an encoded `SignedReport`: the longest message, some of what it said before, and a note. Less than a body has (64 KiB), so
/// that who exceeds it is told so by this name.
pub const REPORT_BYTES_MAX: usize = 48 * 1024;
/// Bytes of a note: what a person writes beside a message, not another message.
pub const NOTE_BYTES_MAX: usize = 2_000;
/// Parts of a message (CON-1).
const PARTS_MAX: usize = 64;
/// Edits of a part (CON-13).
const EARLIER_MAX: usize = 5;
/// Bytes of the name of a kind of part.
const KIND_BYTES_MAX: usize = 32;

/// What a device says of a message.
#[derive(Clone, PartialEq, Eq)]
pub struct Report {
    /// The reporter's account.
    pub account: AccountId,
    /// The reporter's device.
    pub device: DeviceId,
    /// When it was made, by the reporter's clock.
    pub reported: Timestamp,
    /// What the reporter adds; empty: nothing.
    pub note: String,
    /// The message's id.
    pub message: MessageId,
    /// Whose handle it came from.
    pub sender: Handle,
    /// The account whose device sealed it.
    pub sender_account: AccountId,
    /// The device that sealed it.
    pub sender_device: DeviceId,
    /// To which of the reporter's handles it came; none if to a group, or to none that the reporter still has.
    pub recipient: Option<Handle>,
    /// The suite that it was opened in; none if that is not known.
    pub suite: Option<SuiteId>,
    /// When it was sent, by the sender's clock.
    pub sent: Timestamp,
    /// When it came, by the reporter's clock.
    pub received: Timestamp,
    /// The line above it; empty: none.
    pub subject: String,
    /// Its parts, as the device shows them.
    pub parts: Vec<ReportedPart>,
}

/// A part of a reported message.
#[derive(Clone, PartialEq, Eq)]
pub struct ReportedPart {
    /// What it is: `text`, `location`, `contact`, `link`, `unsent`, `unsupported`, or what a later version knows.
    pub kind: String,
    /// What the device shows of it.
    pub text: String,
    /// What it said before it was edited, oldest first.
    pub earlier: Vec<String>,
}

/// What somebody said is nobody's business but the operator's (I9).
impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Report({}, redacted)", self.message)
    }
}

impl fmt::Debug for ReportedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReportedPart(redacted)")
    }
}

/// A report with the signature of the device that makes it.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedReport {
    report: Report,
    bytes: Bytes,
    signature: Signature,
}

impl fmt::Debug for SignedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signed{:?}", self.report)
    }
}

/// Why bytes are no report, or a report cannot be made. Whoever made it is at fault.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReportError {
    /// Not a report, or one with ids, handles or names that are none.
    #[error("the report is malformed")]
    Malformed,
    /// More than anybody has to say.
    #[error("a report has at most {REPORT_BYTES_MAX} bytes, its note {NOTE_BYTES_MAX}")]
    TooLarge,
    /// A text that would change how other text is shown.
    #[error("a text of the report has characters that must not be shown")]
    Unsafe,
    /// The signature is not by this device, or over something else.
    #[error("the report is not signed by the device")]
    Unsigned,
}

impl SignedReport {
    /// Signs a report as the device that makes it (ACC-60).
    ///
    /// # Errors
    /// [`ReportError`] if no server would take it.
    pub fn sign(report: Report, device_key: &SigningKey) -> Result<Self, ReportError> {
        let bytes = Bytes::from(report.to_wire().encode_to_vec());
        let report = Report::decode(bytes.clone())?;
        let signature = device_key.sign(Label::Report, &[&bytes]);
        let signed = Self { report, bytes, signature };
        if signed.encode().len() > REPORT_BYTES_MAX { Err(ReportError::TooLarge) } else { Ok(signed) }
    }

    /// Reads an encoded `SignedReport` of the device that has this key (ACC-60).
    ///
    /// # Errors
    /// [`ReportError`]
    pub fn verify(bytes: Bytes, device_key: &VerifyingKey) -> Result<Self, ReportError> {
        if bytes.len() > REPORT_BYTES_MAX {
            return Err(ReportError::TooLarge);
        }
        let wire = wire::SignedReport::decode(bytes).map_err(|_| ReportError::Malformed)?;
        let signature = Signature::try_from(&wire.signature[..]).map_err(|_| ReportError::Malformed)?;
        device_key.verify(Label::Report, &[&wire.report], &signature).map_err(|_| ReportError::Unsigned)?;
        Ok(Self { report: Report::decode(wire.report.clone())?, bytes: wire.report, signature })
    }

    /// Returns an encoded `SignedReport`.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let signature = Bytes::copy_from_slice(self.signature.as_bytes());
        wire::SignedReport { report: self.bytes.clone(), signature }.encode_to_vec().into()
    }

    /// Returns what is said.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }
}

impl Report {
    fn to_wire(&self) -> wire::Report {
        let part = |part: &ReportedPart| wire::ReportedPart {
            kind: part.kind.clone(),
            text: part.text.clone(),
            earlier: part.earlier.clone(),
        };
        wire::Report {
            account_id: Bytes::copy_from_slice(self.account.as_bytes()),
            device_id: Bytes::copy_from_slice(self.device.as_bytes()),
            reported_ms: self.reported.as_millis(),
            note: self.note.clone(),
            message_id: Bytes::copy_from_slice(self.message.as_bytes()),
            sender: self.sender.as_uri().to_owned(),
            sender_account: Bytes::copy_from_slice(self.sender_account.as_bytes()),
            sender_device: Bytes::copy_from_slice(self.sender_device.as_bytes()),
            recipient: self.recipient.as_ref().map(|handle| handle.as_uri().to_owned()).unwrap_or_default(),
            suite: self.suite.map(SuiteId::as_u32).unwrap_or_default(),
            sent_ms: self.sent.as_millis(),
            received_ms: self.received.as_millis(),
            subject: self.subject.clone(),
            parts: self.parts.iter().map(part).collect(),
        }
    }

    fn decode(bytes: Bytes) -> Result<Self, ReportError> {
        let wire = wire::Report::decode(bytes).map_err(|_| ReportError::Malformed)?;
        if wire.note.len() > NOTE_BYTES_MAX {
            return Err(ReportError::TooLarge);
        }
        if wire.parts.len() > PARTS_MAX {
            return Err(ReportError::Malformed);
        }
        let recipient = match wire.recipient.as_str() {
            "" => None,
            uri => Some(parse_normal(uri).ok_or(ReportError::Malformed)?),
        };
        Ok(Self {
            account: id(&wire.account_id)?,
            device: id(&wire.device_id)?,
            reported: Timestamp::from_millis(wire.reported_ms),
            note: plain(wire.note)?,
            message: id(&wire.message_id)?,
            sender: parse_normal(&wire.sender).ok_or(ReportError::Malformed)?,
            sender_account: id(&wire.sender_account)?,
            sender_device: id(&wire.sender_device)?,
            recipient,
            suite: (wire.suite != 0).then(|| SuiteId::from_u32(wire.suite)),
            sent: Timestamp::from_millis(wire.sent_ms),
            received: Timestamp::from_millis(wire.received_ms),
            subject: plain(wire.subject)?,
            parts: wire.parts.into_iter().map(ReportedPart::from_wire).collect::<Result<_, _>>()?,
        })
    }
}

impl ReportedPart {
    fn from_wire(wire: wire::ReportedPart) -> Result<Self, ReportError> {
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
        let is_kind = (1..=KIND_BYTES_MAX).contains(&wire.kind.len()) && wire.kind.bytes().all(is_name);
        if !is_kind || wire.earlier.len() > EARLIER_MAX {
            return Err(ReportError::Malformed);
        }
        let earlier = wire.earlier.into_iter().map(plain).collect::<Result<_, _>>()?;
        Ok(Self { kind: wire.kind, text: plain(wire.text)?, earlier })
    }
}

fn id<'a, T: TryFrom<&'a [u8]>>(bytes: &'a [u8]) -> Result<T, ReportError> {
    T::try_from(bytes).map_err(|_| ReportError::Malformed)
}

/// CON-3
fn plain(text: String) -> Result<String, ReportError> {
    match for_display(&text) {
        Cow::Borrowed(_) => Ok(text),
        Cow::Owned(_) => Err(ReportError::Unsafe),
    }
}

#[cfg(test)]
mod tests;
