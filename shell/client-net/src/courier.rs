//! Courier connections. Port: `halcyon_client::ports::CourierConnector`. Spec: 30-courier.md §1 (COU-1 to COU-3), ACC-5.
//!
//! Owns where the courier listens, which binding is used, and the bytes between frames of the native one.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};
use halcyon_client::{
    ServerAddress,
    ports::{
        CourierChannel, CourierConnector, CourierSink, CourierSource, courier::ConnectionError, http::discover_courier,
    },
};
use halcyon_courier::{
    connect::{ChannelBinding, EXPORTER_LABEL},
    frame::split_frame,
    limits::FRAME_BYTES_MAX,
};
use rustls::RootCertStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::{
    http::HttpsClient,
    tls::{self, ALPN_COURIER, ALPN_HTTP, ConnectError, TrustError},
    websocket,
};

/// Which binding of the courier to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Binding {
    /// The native one, and WebSocket where its port cannot be reached.
    #[default]
    Auto,
    /// The native one only (COU-1).
    Native,
    /// WebSocket only (COU-2).
    WebSocket,
}

/// What is read at once: most deliveries are smaller.
const READ_BYTES: usize = 8 * 1024;

/// Opens connections to one server's courier.
pub(crate) struct Connector {
    server: ServerAddress,
    http: Arc<HttpsClient>,
    native: tls::Connector,
    https: tls::Connector,
    binding: Binding,
    /// Where the courier listens, as the server said (ACC-5).
    address: Mutex<Option<(String, u16)>>,
}

impl Connector {
    pub(crate) fn new(
        server: ServerAddress,
        http: Arc<HttpsClient>,
        roots: &Arc<RootCertStore>,
        binding: Binding,
    ) -> Result<Self, TrustError> {
        Ok(Self {
            server,
            http,
            native: tls::Connector::new(roots, ALPN_COURIER)?,
            https: tls::Connector::new(roots, ALPN_HTTP)?,
            binding,
            address: Mutex::new(None),
        })
    }

    async fn connect_native(&self) -> Result<CourierChannel, ConnectionError> {
        let (host, port) = self.address().await?;
        let stream = match self.native.connect(&host, port).await {
            Ok(stream) => stream,
            Err(error) => {
                // It may listen elsewhere by now: ask again next time.
                *self.address.lock().unwrap_or_else(PoisonError::into_inner) = None;
                return Err(connection_error(error));
            }
        };
        let exported = stream.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, None);
        let exported = exported.map_err(|error| ConnectionError::Broken(error.to_string()))?;
        let (read, write) = tokio::io::split(stream);
        Ok(CourierChannel {
            binding: ChannelBinding::Exporter(exported), // COU-11
            sink: Box::new(NativeSink(write)),
            source: Box::new(NativeSource { stream: read, buffer: BytesMut::new() }),
        })
    }

    async fn connect_websocket(&self) -> Result<CourierChannel, ConnectionError> {
        let stream = self.https.connect(self.server.host(), self.server.port()).await.map_err(connection_error)?;
        let (sink, source) = websocket::open(stream, &self.server).await?;
        Ok(CourierChannel { binding: ChannelBinding::None, sink: Box::new(sink), source: Box::new(source) })
    }

    /// ACC-5
    async fn address(&self) -> Result<(String, u16), ConnectionError> {
        if let Some(address) = self.address.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(address);
        }
        let found =
            discover_courier(&*self.http).await.map_err(|error| ConnectionError::Unreachable(error.to_string()))?;
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
        Ok(found)
    }
}

#[async_trait::async_trait]
impl CourierConnector for Connector {
    async fn connect(&self) -> Result<CourierChannel, ConnectionError> {
        match self.binding {
            Binding::Native => self.connect_native().await,
            Binding::WebSocket => self.connect_websocket().await,
            Binding::Auto => match self.connect_native().await {
                Err(ConnectionError::Unreachable(reason)) => {
                    tracing::debug!("the native courier cannot be reached, trying WebSocket");
                    // If neither works, the native one's reason is the one to be read.
                    self.connect_websocket().await.map_err(|_| ConnectionError::Unreachable(reason))
                }
                connected => connected,
            },
        }
    }
}

struct NativeSink(WriteHalf<TlsStream<TcpStream>>);

#[async_trait::async_trait]
impl CourierSink for NativeSink {
    async fn send(&mut self, frame: Bytes) -> Result<(), ConnectionError> {
        let length = u32::try_from(frame.len()).map_err(|_| ConnectionError::FrameTooLarge)?;
        // One write, so one TLS record where it fits.
        let mut framed = BytesMut::with_capacity(4 + frame.len());
        framed.put_u32(length);
        framed.put(frame);
        self.0.write_all(&framed).await.map_err(broken)?;
        self.0.flush().await.map_err(broken)
    }

    async fn close(&mut self) {
        // The connection ends in any case.
        let _ = self.0.shutdown().await;
    }
}

struct NativeSource {
    stream: ReadHalf<TlsStream<TcpStream>>,
    buffer: BytesMut,
}

#[async_trait::async_trait]
impl CourierSource for NativeSource {
    async fn receive(&mut self) -> Result<Option<Bytes>, ConnectionError> {
        loop {
            // COU-3: the length is checked before anything is allocated for it.
            match split_frame(&mut self.buffer, FRAME_BYTES_MAX) {
                Ok(Some(frame)) => return Ok(Some(frame)),
                Ok(None) => {}
                Err(_) => return Err(ConnectionError::FrameTooLarge),
            }
            self.buffer.reserve(READ_BYTES);
            // Safe to cancel: bytes are in the buffer or still in the stream.
            if self.stream.read_buf(&mut self.buffer).await.map_err(broken)? == 0 {
                return Ok(None);
            }
        }
    }
}

pub(crate) fn connection_error(error: ConnectError) -> ConnectionError {
    match error {
        ConnectError::Unreachable(reason) => ConnectionError::Unreachable(reason),
        ConnectError::Untrusted(reason) => ConnectionError::Untrusted(reason),
    }
}

pub(crate) fn broken(error: std::io::Error) -> ConnectionError {
    ConnectionError::Broken(error.to_string())
}
