//! The WebSocket binding: one binary message a frame. Spec: 30-courier.md §1 (COU-2, COU-3).
//!
//! Owns the upgrade at `GET /v1/courier` and the frames in its messages. Does not know what a frame means.
//!
//! - After the upgrade nothing of HTTP is kept.
//! - A message is refused by its announced length, before it is in memory.

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
use futures_util::{Sink, Stream};
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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::addresses::{Admission, SourceAddresses};

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
    };
    tokio::spawn(async move {
        serve(courier, upgraded).await;
        drop(place);
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

async fn serve(courier: Courier, upgraded: OnUpgrade) {
    let since = Instant::now();
    let Ok(upgraded) = upgraded.await else { return };
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(courier.limits().frame_bytes_max))
        .max_frame_size(Some(courier.limits().frame_bytes_max));
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    // COU-11: a browser cannot see the exporter of its TLS connection.
    courier.serve(MessageFrames::new(Box::new(socket)), ChannelBinding::None, since).await;
}

/// Frames in the messages of a WebSocket.
pub struct MessageFrames<S> {
    socket: Box<WebSocketStream<S>>,
    output: VecDeque<Bytes>,
    queued_bytes: usize,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> MessageFrames<S> {
    /// Speaks frames over `socket`.
    #[must_use]
    pub fn new(socket: Box<WebSocketStream<S>>) -> Self {
        Self { socket, output: VecDeque::new(), queued_bytes: 0 }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Frames for MessageFrames<S> {
    fn poll_receive(&mut self, cx: &mut Context<'_>, frame_bytes_max: usize) -> Poll<Received> {
        loop {
            let message = ready!(Pin::new(&mut *self.socket).poll_next(cx));
            return Poll::Ready(match message {
                Some(Ok(Message::Binary(frame))) => Received::Frame(frame),
                // COU-2
                Some(Ok(Message::Text(_))) => Received::Malformed(FrameError::Field("message type")),
                // Answered by the socket itself.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Err(Error::Capacity(CapacityError::MessageTooLong { size, .. }))) => {
                    Received::Malformed(FrameError::TooLarge { length: size, max: frame_bytes_max }) // COU-3
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => Received::Gone,
            });
        }
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
        while !self.output.is_empty() {
            ready!(Pin::new(&mut *self.socket).poll_ready(cx)).map_err(io::Error::other)?;
            if let Some(frame) = self.output.pop_front() {
                self.queued_bytes -= frame.len();
                Pin::new(&mut *self.socket).start_send(Message::Binary(frame)).map_err(io::Error::other)?;
            }
        }
        self.output = VecDeque::new();
        Pin::new(&mut *self.socket).poll_flush(cx).map_err(io::Error::other)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.socket).poll_close(cx).map_err(io::Error::other)
    }
}

/// Read buffer of a WebSocket. It stays allocated while the connection is idle, so it is as small as an ordinary frame.
const BUFFER_BYTES: usize = 2 * 1024;
