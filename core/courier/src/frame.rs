//! Frames: how they are cut out of a stream, read and written. Spec: 30-courier.md §1 (COU-1 to COU-4).
//!
//! Owns the length prefix, and the step from bytes to a checked frame. Does not know which frame may come when.
//!
//! - A length is checked before anything is allocated for it (COU-3).
//! - Bytes fields of a frame share memory with the buffer that it came in; writing copies each payload once.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use halcyon_crypto::{CompactKey, Signature};
use halcyon_types::{DeviceId, Duration, PushToken, Timestamp};
use prost::Message;

use crate::{
    connect::{Connect, Hello},
    grant::Grant,
    hold::{HeldAnswer, HoldQuestion, UncheckedHold},
    limits::{CLOSE_DETAIL_BYTES_MAX, PROTOCOL_VERSION},
    send::{Sent, UncheckedSend},
    topics::Topics,
    wire::{self, CloseCode, frame::Body},
};

/// Bytes of the length before each frame in the native binding (COU-1).
pub const LENGTH_BYTES: usize = 4;
/// A host name has at most 253 bytes (RFC 1035 §2.3.4).
const AUDIENCE_BYTES_MAX: usize = 253;

/// A frame from a device.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientFrame {
    /// The answer to hello (COU-11).
    Connect(Connect),
    /// Replaces the topics wanted (COU-34).
    Filter(Topics),
    /// A request to send (COU-40).
    Send(UncheckedSend),
    /// A send to be made later (COU-60). Apart, since it is larger than any other and rare.
    Hold(Box<UncheckedHold>),
    /// What became of one (COU-63).
    HoldQuestion(HoldQuestion),
    /// Everything up to `seq` is committed (COU-52).
    Ack {
        /// Number of a delivery on this connection.
        seq: u64,
    },
    /// Asks for a sign of life (COU-15).
    KeepAlive {
        /// Comes back in the answer.
        id: u64,
    },
    /// The device leaves.
    Close(Close),
}

/// A frame from a server.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerFrame {
    /// The first frame (COU-10).
    Hello(Hello),
    /// The device is connected (COU-13).
    Connected(Connected),
    /// The answer to a send (COU-41).
    Sent(Sent),
    /// The answer to a hold, or to a question about one (COU-61).
    Held(HeldAnswer),
    /// A notification (COU-50).
    Deliver(Deliver),
    /// A sign of life.
    KeepAliveAnswer {
        /// From the question.
        id: u64,
    },
    /// The server ends the connection.
    Close(Close),
}

/// What a connected device is told (COU-13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// Where this device is delivered to.
    pub push_token: PushToken,
    /// The server's clock.
    pub server_time: Timestamp,
    /// Largest frame that the server takes.
    pub frame_bytes_max: u32,
    /// Largest payload that the server takes.
    pub payload_bytes_max: u32,
    /// Deliveries that may be unacknowledged, in number.
    pub window_count: u32,
    /// Deliveries that may be unacknowledged, in bytes.
    pub window_bytes: u32,
    /// Shortest keep-alive interval.
    pub keep_alive_min: Duration,
    /// Longest keep-alive interval.
    pub keep_alive_max: Duration,
    /// The highest epoch that the server remembered of this device before this connect, 0 if none (COU-18). If it is
    /// higher than the device's own, the device is an older copy of itself.
    pub epoch: u64,
}

/// One notification (COU-50).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deliver {
    /// Number of the delivery on this connection, from 1.
    pub seq: u64,
    /// Encoded envelope, as stored.
    pub envelope: Bytes,
    /// It waited in storage.
    pub from_storage: bool,
    /// It is the last that waited.
    pub last_from_storage: bool,
}

/// Why a connection ends (COU-4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// For programs.
    pub code: CloseCode,
    /// For people; never parsed, cut at 256 bytes, control characters replaced.
    pub detail: String,
    /// The server's clock, where it helps.
    pub server_time: Option<Timestamp>,
    /// When to come back at the earliest, where it helps.
    pub retry_after: Option<Duration>,
}

/// Why bytes are no frame. The peer is at fault, and the connection ends with [`close_code`](Self::close_code).
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// COU-3: longer than allowed. Nothing was allocated for it.
    #[error("a frame of {length} bytes was announced; {max} are allowed")]
    TooLarge {
        /// Bytes announced.
        length: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// COU-3: not protobuf of the schema.
    #[error("a frame does not decode")]
    Undecodable(#[source] prost::DecodeError),
    /// COU-3: no body, or one of a number that this version does not know.
    #[error("a frame has no body that is known here")]
    NoBody,
    /// COU-3: a body that only the other side sends.
    #[error("a frame is of a kind that this side does not expect")]
    WrongSide,
    /// COU-3: a field that must have a certain form has another.
    #[error("a frame has a malformed {0}")]
    Field(&'static str),
    /// COU-12: a version that this program does not speak.
    #[error("the peer speaks version {0} of the courier's protocol, this program version {PROTOCOL_VERSION}")]
    Version(u32),
}

impl FrameError {
    /// Returns the code with which the connection ends.
    #[must_use]
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::TooLarge { .. } => CloseCode::FrameTooLarge,
            Self::Version(_) => CloseCode::UnsupportedVersion,
            Self::Undecodable(_) | Self::NoBody | Self::WrongSide | Self::Field(_) => CloseCode::MalformedFrame,
        }
    }

    /// Returns the frame that tells the peer.
    #[must_use]
    pub fn to_close(&self) -> Close {
        Close::new(self.close_code(), &self.to_string())
    }
}

/// Cuts the next frame out of what was read from a stream (COU-1, COU-3). Nothing yet: read more.
///
/// The bytes of the frame share `buffer`'s memory, which is freed when the last of them is dropped.
///
/// # Errors
/// [`FrameError::TooLarge`], before the frame arrived and before anything is allocated for it.
pub fn split_frame(buffer: &mut BytesMut, frame_bytes_max: usize) -> Result<Option<Bytes>, FrameError> {
    let Some(head) = buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
    check_length(length, frame_bytes_max)?;
    if buffer.len() < LENGTH_BYTES + length {
        return Ok(None);
    }
    buffer.advance(LENGTH_BYTES);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// Checks the length of a WebSocket message (COU-2, COU-3).
///
/// # Errors
/// [`FrameError::TooLarge`]
pub fn check_length(length: usize, frame_bytes_max: usize) -> Result<(), FrameError> {
    if length > frame_bytes_max { Err(FrameError::TooLarge { length, max: frame_bytes_max }) } else { Ok(()) }
}

impl ClientFrame {
    /// Reads a frame as a server.
    ///
    /// # Errors
    /// [`FrameError`]
    pub fn decode(bytes: Bytes) -> Result<Self, FrameError> {
        match decode_body(bytes)? {
            Body::Connect(connect) => connect_from_wire(*connect).map(Self::Connect),
            Body::Filter(filter) => {
                Topics::from_wire(&filter.topics).map(Self::Filter).map_err(|_| FrameError::Field("topic"))
            }
            Body::Send(send) => Ok(Self::Send(UncheckedSend(send))),
            Body::Hold(hold) => UncheckedHold::from_wire(*hold).map(|hold| Self::Hold(Box::new(hold))),
            Body::HoldQuestion(question) => HoldQuestion::from_wire(&question).map(Self::HoldQuestion),
            Body::Ack(ack) => Ok(Self::Ack { seq: ack.seq }),
            Body::KeepAlive(keep_alive) => Ok(Self::KeepAlive { id: keep_alive.id }),
            Body::Close(close) => Ok(Self::Close(Close::from_wire(close))),
            Body::Hello(_)
            | Body::Connected(_)
            | Body::Sent(_)
            | Body::Held(_)
            | Body::Deliver(_)
            | Body::KeepAliveAnswer(_) => Err(FrameError::WrongSide),
        }
    }

    /// Appends the frame with its length, for a stream (COU-1).
    pub fn write_to(self, out: &mut BytesMut) {
        write_framed(self.into_body(), out);
    }

    /// Returns the frame alone, for a WebSocket message (COU-2).
    #[must_use]
    pub fn encode(self) -> Bytes {
        encode(self.into_body())
    }

    fn into_body(self) -> Body {
        match self {
            Self::Connect(connect) => Body::Connect(Box::new(connect_to_wire(&connect))),
            Self::Filter(topics) => Body::Filter(wire::Filter { topics: topics.to_wire() }),
            Self::Send(send) => Body::Send(send.0),
            Self::Hold(hold) => Body::Hold(Box::new(hold.into_wire())),
            Self::HoldQuestion(question) => Body::HoldQuestion(question.to_wire()),
            Self::Ack { seq } => Body::Ack(wire::Ack { seq }),
            Self::KeepAlive { id } => Body::KeepAlive(wire::KeepAlive { id }),
            Self::Close(close) => Body::Close(close.into_wire()),
        }
    }
}

impl ServerFrame {
    /// Reads a frame as a device.
    ///
    /// # Errors
    /// [`FrameError`]
    pub fn decode(bytes: Bytes) -> Result<Self, FrameError> {
        match decode_body(bytes)? {
            Body::Hello(hello) => hello_from_wire(&hello).map(Self::Hello),
            Body::Connected(connected) => connected_from_wire(&connected).map(Self::Connected),
            Body::Sent(sent) => Ok(Self::Sent(Sent::from_wire(sent))),
            Body::Held(held) => Ok(Self::Held(HeldAnswer::from_wire(held))),
            Body::Deliver(deliver) => Ok(Self::Deliver(Deliver {
                seq: deliver.seq,
                envelope: deliver.envelope,
                from_storage: deliver.from_storage,
                last_from_storage: deliver.last_from_storage,
            })),
            Body::KeepAliveAnswer(answer) => Ok(Self::KeepAliveAnswer { id: answer.id }),
            Body::Close(close) => Ok(Self::Close(Close::from_wire(close))),
            Body::Connect(_)
            | Body::Filter(_)
            | Body::Send(_)
            | Body::Hold(_)
            | Body::HoldQuestion(_)
            | Body::Ack(_)
            | Body::KeepAlive(_) => Err(FrameError::WrongSide),
        }
    }

    /// Appends the frame with its length, for a stream (COU-1).
    pub fn write_to(self, out: &mut BytesMut) {
        write_framed(self.into_body(), out);
    }

    /// Returns the frame alone, for a WebSocket message (COU-2).
    #[must_use]
    pub fn encode(self) -> Bytes {
        encode(self.into_body())
    }

    fn into_body(self) -> Body {
        match self {
            Self::Hello(hello) => Body::Hello(wire::Hello {
                nonce: Bytes::copy_from_slice(&hello.nonce),
                server_time_ms: hello.server_time.as_millis(),
                version: PROTOCOL_VERSION,
            }),
            Self::Connected(connected) => Body::Connected(connected_to_wire(&connected)),
            Self::Sent(sent) => Body::Sent(sent.to_wire()),
            Self::Held(held) => Body::Held(held.to_wire()),
            Self::Deliver(deliver) => Body::Deliver(wire::Deliver {
                seq: deliver.seq,
                envelope: deliver.envelope,
                from_storage: deliver.from_storage,
                last_from_storage: deliver.last_from_storage,
            }),
            Self::KeepAliveAnswer { id } => Body::KeepAliveAnswer(wire::KeepAliveAnswer { id }),
            Self::Close(close) => Body::Close(close.into_wire()),
        }
    }
}

impl Close {
    /// Ends a connection with a code and a sentence that says whose fault it is and what to do.
    #[must_use]
    pub fn new(code: CloseCode, detail: &str) -> Self {
        Self { code, detail: printable(detail), server_time: None, retry_after: None }
    }

    /// A newer connection of the same device took over (COU-13).
    #[must_use]
    pub fn replaced() -> Self {
        Self::new(CloseCode::Replaced, "this device connected again; this connection is not needed any more")
    }

    /// The device was removed from its account (COU-55).
    #[must_use]
    pub fn revoked() -> Self {
        Self::new(CloseCode::Revoked, "this device was removed from its account; link it again to use it")
    }

    /// The server stops (COU-56).
    #[must_use]
    pub fn going_away() -> Self {
        Self::new(CloseCode::GoingAway, "the server is stopping; connect again in a moment")
    }

    /// Too many connections from one address (COU-14).
    #[must_use]
    pub fn too_many_connections(retry_after: Duration) -> Self {
        let detail = "too many connections from this network; try again later";
        Self::new(CloseCode::TooManyConnections, detail).retry_after(retry_after)
    }

    /// The server cannot reach its storage (COU-44).
    #[must_use]
    pub fn storage() -> Self {
        Self::new(CloseCode::Storage, "the server cannot reach its storage; its operator must act, nothing was lost")
    }

    /// Adds the server's time, so that a device can set its clock right.
    #[must_use]
    pub fn at(self, server_time: Timestamp) -> Self {
        Self { server_time: Some(server_time), ..self }
    }

    /// Adds when to come back at the earliest.
    #[must_use]
    pub fn retry_after(self, span: Duration) -> Self {
        Self { retry_after: Some(span), ..self }
    }

    fn from_wire(wire: wire::Close) -> Self {
        Self {
            code: wire.code(),
            detail: printable(&wire.detail),
            server_time: (wire.server_time_ms > 0).then_some(Timestamp::from_millis(wire.server_time_ms)),
            retry_after: (wire.retry_after_s > 0).then_some(Duration::from_secs(wire.retry_after_s.into())),
        }
    }

    fn into_wire(self) -> wire::Close {
        wire::Close {
            code: self.code.into(),
            detail: self.detail,
            server_time_ms: self.server_time.map_or(0, Timestamp::as_millis),
            retry_after_s: self.retry_after.map_or(0, |span| u32::try_from(span.as_secs()).unwrap_or(u32::MAX)),
        }
    }
}

/// A peer's sentence reaches terminals and logs, so it is short and cannot move a cursor.
fn printable(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        let letter = if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter };
        if out.len() + letter.len_utf8() > CLOSE_DETAIL_BYTES_MAX {
            break;
        }
        out.push(letter);
    }
    out
}

fn decode_body(bytes: Bytes) -> Result<Body, FrameError> {
    wire::Frame::decode(bytes).map_err(FrameError::Undecodable)?.body.ok_or(FrameError::NoBody)
}

fn write_framed(body: Body, out: &mut BytesMut) {
    let frame = wire::Frame { body: Some(body) };
    let length = frame.encoded_len();
    out.reserve(LENGTH_BYTES + length);
    out.put_u32(u32::try_from(length).expect("frames are bounded by what a peer or a mailbox gave, far below 4 GiB"));
    frame.encode_raw(out);
}

fn encode(body: Body) -> Bytes {
    wire::Frame { body: Some(body) }.encode_to_vec().into()
}

fn hello_from_wire(wire: &wire::Hello) -> Result<Hello, FrameError> {
    if wire.version != PROTOCOL_VERSION {
        return Err(FrameError::Version(wire.version));
    }
    let nonce = wire.nonce[..].try_into().map_err(|_| FrameError::Field("nonce"))?;
    Ok(Hello { nonce, server_time: Timestamp::from_millis(wire.server_time_ms) })
}

/// COU-12: the version is looked at before anything else, since another version may mean other fields.
fn connect_from_wire(wire: wire::Connect) -> Result<Connect, FrameError> {
    if wire.version != PROTOCOL_VERSION {
        return Err(FrameError::Version(wire.version));
    }
    if wire.audience.len() > AUDIENCE_BYTES_MAX {
        return Err(FrameError::Field("audience"));
    }
    let grant = wire.grant.map(grant_from_wire).transpose()?.map(Box::new);
    if grant.is_some() && wire.epoch != 0 {
        return Err(FrameError::Field("epoch")); // COU-20
    }
    Ok(Connect {
        device: DeviceId::try_from(&wire.device_id[..]).map_err(|_| FrameError::Field("device id"))?,
        time: Timestamp::from_millis(wire.time_ms),
        audience: wire.audience,
        signature: Signature::try_from(&wire.signature[..]).map_err(|_| FrameError::Field("signature"))?,
        topics: Topics::from_wire(&wire.topics).map_err(|_| FrameError::Field("topic"))?,
        epoch: wire.epoch,
        grant,
    })
}

fn grant_from_wire(wire: wire::Grant) -> Result<Grant, FrameError> {
    Ok(Grant {
        key: CompactKey::try_from(&wire.key[..]).map_err(|_| FrameError::Field("granted key"))?,
        until: Timestamp::from_millis(wire.until_ms),
        signature: Signature::try_from(&wire.signature[..]).map_err(|_| FrameError::Field("signature"))?,
    })
}

fn connect_to_wire(connect: &Connect) -> wire::Connect {
    wire::Connect {
        version: PROTOCOL_VERSION,
        device_id: Bytes::copy_from_slice(connect.device.as_bytes()),
        time_ms: connect.time.as_millis(),
        audience: connect.audience.clone(),
        signature: Bytes::copy_from_slice(connect.signature.as_bytes()),
        topics: connect.topics.to_wire(),
        epoch: connect.epoch,
        grant: connect.grant.as_ref().map(|grant| wire::Grant {
            key: Bytes::copy_from_slice(grant.key.as_bytes()),
            until_ms: grant.until.as_millis(),
            signature: Bytes::copy_from_slice(grant.signature.as_bytes()),
        }),
    }
}

fn connected_from_wire(wire: &wire::Connected) -> Result<Connected, FrameError> {
    Ok(Connected {
        push_token: PushToken::try_from(&wire.push_token[..]).map_err(|_| FrameError::Field("push token"))?,
        server_time: Timestamp::from_millis(wire.server_time_ms),
        frame_bytes_max: wire.frame_bytes_max,
        payload_bytes_max: wire.payload_bytes_max,
        window_count: wire.window_count,
        window_bytes: wire.window_bytes,
        keep_alive_min: Duration::from_secs(wire.keep_alive_min_s.into()),
        keep_alive_max: Duration::from_secs(wire.keep_alive_max_s.into()),
        epoch: wire.epoch,
    })
}

fn connected_to_wire(connected: &Connected) -> wire::Connected {
    let seconds = |span: Duration| u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
    wire::Connected {
        push_token: Bytes::copy_from_slice(connected.push_token.as_bytes()),
        server_time_ms: connected.server_time.as_millis(),
        frame_bytes_max: connected.frame_bytes_max,
        payload_bytes_max: connected.payload_bytes_max,
        window_count: connected.window_count,
        window_bytes: connected.window_bytes,
        keep_alive_min_s: seconds(connected.keep_alive_min),
        keep_alive_max_s: seconds(connected.keep_alive_max),
        epoch: connected.epoch,
    }
}

#[cfg(test)]
pub(crate) mod tests;
