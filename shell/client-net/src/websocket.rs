//! The WebSocket binding: one binary message a frame. Spec: 30-courier.md §1 (COU-2, COU-3).

use bytes::Bytes;
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use halcyon_client::{
    ServerAddress,
    ports::{CourierSink, CourierSource, courier::ConnectionError},
};
use halcyon_courier::limits::FRAME_BYTES_MAX;
use http::{Request, header};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Error, Message, handshake::client::generate_key, protocol::WebSocketConfig},
};

use crate::tls::CONNECT_TIMEOUT;

const SUBPROTOCOL: &str = "halcyon-courier.1";
const PATH: &str = "/v1/courier";

type Socket = WebSocketStream<TlsStream<TcpStream>>;

pub(crate) struct WebSocketSink(SplitSink<Socket, Message>);

pub(crate) struct WebSocketSource(SplitStream<Socket>);

/// Upgrades a connection to the HTTPS port.
pub(crate) async fn open(
    stream: TlsStream<TcpStream>,
    server: &ServerAddress,
) -> Result<(WebSocketSink, WebSocketSource), ConnectionError> {
    let request = Request::get(format!("wss://{}{PATH}", server.authority()))
        .header(header::HOST, server.authority())
        .header(header::UPGRADE, "websocket")
        .header(header::CONNECTION, "upgrade")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, generate_key())
        .header(header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL)
        .body(())
        .map_err(|error| ConnectionError::Broken(error.to_string()))?;
    // COU-3
    let config =
        WebSocketConfig::default().max_message_size(Some(FRAME_BYTES_MAX)).max_frame_size(Some(FRAME_BYTES_MAX));
    let upgrading = Box::pin(client_async_with_config(request, stream, Some(config)));
    let upgraded = tokio::time::timeout(CONNECT_TIMEOUT, upgrading).await;
    let upgraded = upgraded.map_err(|_| ConnectionError::Unreachable("no answer in time".to_owned()))?;
    let (socket, response) = upgraded.map_err(|error| ConnectionError::Unreachable(error.to_string()))?;
    if response.headers().get(header::SEC_WEBSOCKET_PROTOCOL).is_none_or(|name| name != SUBPROTOCOL) {
        return Err(ConnectionError::Unreachable("another service answers there".to_owned()));
    }
    let (sink, source) = socket.split();
    Ok((WebSocketSink(sink), WebSocketSource(source)))
}

#[async_trait::async_trait]
impl CourierSink for WebSocketSink {
    async fn send(&mut self, frame: Bytes) -> Result<(), ConnectionError> {
        self.0.send(Message::Binary(frame)).await.map_err(broken)
    }

    async fn close(&mut self) {
        // The connection ends in any case.
        let _ = self.0.close().await;
    }
}

#[async_trait::async_trait]
impl CourierSource for WebSocketSource {
    async fn receive(&mut self) -> Result<Option<Bytes>, ConnectionError> {
        loop {
            return match self.0.next().await {
                Some(Ok(Message::Binary(frame))) => Ok(Some(frame)),
                // Answered by the socket itself.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                // COU-2
                Some(Ok(Message::Text(_))) => Err(ConnectionError::Broken("the server sent text".to_owned())),
                Some(Ok(Message::Close(_))) | None => Ok(None),
                Some(Err(Error::Capacity(_))) => Err(ConnectionError::FrameTooLarge),
                Some(Err(error)) => Err(broken(error)),
            };
        }
    }
}

fn broken(error: Error) -> ConnectionError {
    ConnectionError::Broken(error.to_string())
}
