//! The WebSocket binding: one binary message a frame. Spec: 30-courier.md §1 (COU-2, COU-3).
//!
//! Owns the upgrade at `GET /v1/courier` and the frames in its messages. Does not know what a frame means.
//!
//! - After the upgrade nothing of HTTP is kept.
//! - A message is refused by its announced length, before it is in memory.
//! - What a device makes the protocol write (pongs, closes) is bounded, whether it reads or not.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use halcyon_courier::ServerFrame;
use halcyon_courier::connect::ChannelBinding;
use halcyon_courier::frame::FrameError;
use halcyon_server::courier::{Courier, Frames, Received};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::addresses::{Admission, Place, SourceAddresses};

/// The courier's WebSocket subprotocol (COU-2).
pub const SUBPROTOCOL: &str = "halcyon-courier.1";

/// Returns the route of the binding, to be merged into the router of the HTTPS listener.
///
/// The listener says in an extension [`ConnectInfo`] where a request is from; one that does not is not limited.
pub fn routes<S: Clone + Send + Sync + 'static>(courier: Courier, addresses: SourceAddresses) -> Router<S> {
    Router::new().route("/v1/courier", get(upgrade).with_state((courier, addresses)))
}

async fn upgrade(State((courier, addresses)): State<(Courier, SourceAddresses)>, mut request: Request) -> Response {
    let Some(key) = requested(request.headers()) else {
        let hint = "GET /v1/courier is a WebSocket with subprotocol halcyon-courier.1";
        return (StatusCode::UPGRADE_REQUIRED, [(UPGRADE, "websocket"), (SEC_WEBSOCKET_VERSION, "13")], hint)
            .into_response();
    };
    let accept = derive_accept_key(key.as_bytes());
    let Some(upgraded) = request.extensions_mut().remove::<OnUpgrade>() else {
        return StatusCode::UPGRADE_REQUIRED.into_response();
    };
    let source = request.extensions().get().map(|ConnectInfo(peer): &ConnectInfo<SocketAddr>| peer.ip());
    let place = match source.map(|source| addresses.admit(source)) {
        None => None,
        Some(Admission::Served(place)) => Some(place),
        // COU-14: HTTP has words of its own for it, which cost no upgrade.
        Some(Admission::Told(_) | Admission::Dropped) => return StatusCode::TOO_MANY_REQUESTS.into_response(),
        Some(Admission::Full) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    };
    tokio::spawn(async move {
        serve(courier, upgraded, place).await;
    });
    let headers = [
        (UPGRADE, HeaderValue::from_static("websocket")),
        (CONNECTION, HeaderValue::from_static("upgrade")),
        (SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL)),
    ];
    let Ok(accept) = HeaderValue::from_str(&accept) else { return StatusCode::BAD_REQUEST.into_response() };
    (StatusCode::SWITCHING_PROTOCOLS, headers, [(SEC_WEBSOCKET_ACCEPT, accept)]).into_response()
}

/// Returns the key of a request for our subprotocol (RFC 6455 §4.2.1).
fn requested(headers: &HeaderMap) -> Option<&HeaderValue> {
    let names = |name: HeaderName, wanted: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(wanted))
    };
    let asks = names(UPGRADE, "websocket") && names(CONNECTION, "upgrade") && names(SEC_WEBSOCKET_VERSION, "13");
    (asks && names(SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL)).then(|| headers.get(SEC_WEBSOCKET_KEY))?
}

async fn serve(courier: Courier, upgraded: OnUpgrade, place: Option<Place>) {
    let since = Instant::now();
    let Ok(upgraded) = upgraded.await else { return };
    let frames = MessageFrames::new(TokioIo::new(upgraded));
    // COU-11: a browser cannot see the exporter of its TLS connection.
    if let Some(connection) = courier.connect(frames, ChannelBinding::None, since).await {
        connection.await;
    }
    drop(place);
}

/// Frames in the messages of a WebSocket.
///
/// The protocol itself is tungstenite's, which does no I/O of its own: so a message's limit can change when a device is let
/// in, and one poll reads only so much.
pub struct MessageFrames<S> {
    stream: S,
    protocol: Box<WebSocketContext>,
    output: VecDeque<Bytes>,
    queued_bytes: usize,
    /// Bytes were read since the last whole message.
    midway: bool,
    /// Something may sit in the buffers of the protocol or the stream.
    unflushed: bool,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> MessageFrames<S> {
    /// Speaks frames over `stream`, which is past its upgrade.
    #[must_use]
    pub fn new(stream: S) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX);
        let protocol = Box::new(WebSocketContext::new(Role::Server, Some(config)));
        Self { stream, protocol, output: VecDeque::new(), queued_bytes: 0, midway: false, unflushed: false }
    }

    /// Returns what the protocol makes of what can be read now.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Error>> {
        let mut turn = Turn { stream: &mut self.stream, cx, reads: 0, read_bytes: 0 };
        let read = self.protocol.read(&mut turn);
        let (reads, read_bytes) = (turn.reads, turn.read_bytes);
        // The protocol answers pings and closes while it reads.
        self.unflushed = true;
        match read {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.midway |= read_bytes > 0;
                if reads >= READS_AT_A_TIME {
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
            read => {
                self.midway = false;
                Poll::Ready(read)
            }
        }
    }

    /// Does something that writes, until it is done.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(&mut WebSocketContext, &mut Turn<'_, '_, S>) -> Result<(), Error>,
    ) -> Poll<io::Result<()>> {
        let mut turn = Turn { stream: &mut self.stream, cx, reads: 0, read_bytes: 0 };
        match write(&mut self.protocol, &mut turn) {
            Ok(()) | Err(Error::ConnectionClosed) => Poll::Ready(Ok(())),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(error) => Poll::Ready(Err(io::Error::other(error))),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Frames for MessageFrames<S> {
    fn poll_receive(&mut self, cx: &mut Context<'_>, frame_bytes_max: usize) -> Poll<Received> {
        if self.protocol.get_config().max_message_size != Some(frame_bytes_max) {
            self.protocol.set_config(|config| {
                config.max_message_size = Some(frame_bytes_max);
                config.max_frame_size = Some(frame_bytes_max);
            });
        }
        Poll::Ready(match ready!(self.poll_message(cx)) {
            Ok(Message::Binary(frame)) => Received::Frame(frame),
            // COU-2
            Ok(Message::Text(_)) => Received::Malformed(FrameError::Field("message type")),
            // Answered by the protocol itself.
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Received::Control,
            Err(Error::Capacity(CapacityError::MessageTooLong { size, .. })) => {
                Received::Malformed(FrameError::TooLarge { length: size, max: frame_bytes_max }) // COU-3
            }
            // COU-2: reserved bits, no mask, fragments of nothing, text that is none.
            Err(Error::Protocol(error)) if !matches!(error, ProtocolError::ResetWithoutClosingHandshake) => {
                Received::Malformed(FrameError::Field("WebSocket framing"))
            }
            Err(Error::Utf8(_)) => Received::Malformed(FrameError::Field("message type")),
            Ok(Message::Close(_)) | Err(_) => Received::Gone,
        })
    }

    fn is_midway(&self) -> bool {
        self.midway
    }

    fn queue(&mut self, frame: ServerFrame) {
        let frame = frame.encode();
        self.queued_bytes += frame.len();
        self.output.push_back(frame);
    }

    fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // One message at a time is in the protocol's buffer, which so has room for each.
        while self.unflushed || !self.output.is_empty() {
            if self.unflushed {
                ready!(self.poll_write(cx, |protocol, turn| protocol.flush(turn)))?;
                self.unflushed = false;
            }
            if let Some(frame) = self.output.pop_front() {
                self.queued_bytes -= frame.len();
                self.unflushed = true;
                // A message that is not written at once stays in the protocol's buffer: pending is no loss.
                if let Poll::Ready(Err(error)) =
                    self.poll_write(cx, |protocol, turn| protocol.write(turn, Message::Binary(frame)))
                {
                    return Poll::Ready(Err(error));
                }
            }
        }
        self.output = VecDeque::new();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write(cx, |protocol, turn| protocol.close(turn, None)))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The stream as the protocol sees it for the time of one poll.
struct Turn<'a, 'cx, S> {
    stream: &'a mut S,
    cx: &'a mut Context<'cx>,
    reads: usize,
    read_bytes: usize,
}

impl<S: AsyncRead + Unpin> io::Read for Turn<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.reads >= READS_AT_A_TIME {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut read = ReadBuf::new(buffer);
        match Pin::new(&mut *self.stream).poll_read(self.cx, &mut read) {
            Poll::Ready(done) => done?,
            Poll::Pending => return Err(io::ErrorKind::WouldBlock.into()),
        }
        let bytes = read.filled().len();
        self.reads += 1;
        self.read_bytes += bytes;
        Ok(bytes)
    }
}

impl<S: AsyncWrite + Unpin> io::Write for Turn<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match Pin::new(&mut *self.stream).poll_write(self.cx, bytes) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match Pin::new(&mut *self.stream).poll_flush(self.cx) {
            Poll::Ready(flushed) => flushed,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// Read buffer of a WebSocket. It stays allocated while the connection is idle, so it is as small as an ordinary frame.
const BUFFER_BYTES: usize = 2 * 1024;
/// Bytes that the protocol may hold to be written: the largest frame of a server (20 KiB) with room. Pongs to a device that does
/// not read stop there.
const WRITE_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Reads of one poll, so that fragments without end do not keep others waiting.
const READS_AT_A_TIME: usize = 32;
