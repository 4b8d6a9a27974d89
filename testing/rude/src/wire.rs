//! A connection to the server, from any address of this machine, and what is said on it byte by byte.
//!
//! Owns sockets, TLS and WebSocket framing as a rude client needs them: nothing is checked on the way out.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::BytesMut;
use halcyon_courier::frame::split_frame;
use halcyon_courier::limits::FRAME_BYTES_MAX;
use halcyon_courier::{ClientFrame, CloseCode, ServerFrame};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::server::{Addresses, Server};

/// ALPN name of the courier (COU-1).
pub const ALPN_COURIER: &[u8] = b"halcyon-courier/1";
/// This machine as everybody knows it.
pub const HOME: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// What any answer may take; everything slower is a finding.
pub const ANSWER_MAX: Duration = Duration::from_secs(20);

/// The way to one server.
#[derive(Clone)]
pub struct Way {
    /// Where it is.
    pub addresses: Addresses,
    courier: TlsConnector,
    https: TlsConnector,
}

/// A TLS connection with what was read of it.
pub struct Line {
    /// The connection.
    pub stream: TlsStream<TcpStream>,
    input: BytesMut,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With a frame that says why (COU-4).
    Said(CloseCode),
    /// Without a word.
    Silent,
}

impl Way {
    /// Finds a server.
    ///
    /// # Errors
    /// Its authority cannot be read.
    pub fn to(server: &Server) -> anyhow::Result<Self> {
        Self::new(server.addresses(), &server.authority())
    }

    /// Finds a server by its addresses and authority.
    ///
    /// # Errors
    /// The authority cannot be read.
    pub fn new(addresses: Addresses, authority: &Path) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority)?)?;
        let connector = |alpn: &[u8]| -> anyhow::Result<TlsConnector> {
            let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(&[&rustls::version::TLS13])?
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            config.alpn_protocols = vec![alpn.to_vec()];
            config.resumption = rustls::client::Resumption::disabled();
            Ok(TlsConnector::from(Arc::new(config)))
        };
        Ok(Self { addresses, courier: connector(ALPN_COURIER)?, https: connector(b"http/1.1")? })
    }

    /// Opens a TLS connection to the courier.
    ///
    /// # Errors
    /// It is refused.
    pub async fn courier(&self, from: Ipv4Addr) -> anyhow::Result<Line> {
        let stream = tcp(from, self.addresses.courier).await?;
        shake(&self.courier, stream).await
    }

    /// Opens a TLS connection to HTTPS.
    ///
    /// # Errors
    /// It is refused.
    pub async fn https(&self, from: Ipv4Addr) -> anyhow::Result<Line> {
        let stream = tcp(from, self.addresses.https).await?;
        shake(&self.https, stream).await
    }

    /// Opens a TLS connection to HTTPS whose own kernel keeps next to nothing that nobody reads.
    ///
    /// # Errors
    /// It is refused.
    pub async fn deaf_https(&self) -> anyhow::Result<Line> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4_096)?;
        shake(&self.https, connect(socket, HOME, self.addresses.https).await?).await
    }

    /// Opens a WebSocket to the courier (COU-2), up to the upgrade.
    ///
    /// # Errors
    /// It is refused; the error has the head of the answer.
    pub async fn websocket(&self, from: Ipv4Addr) -> anyhow::Result<Line> {
        let mut line = self.https(from).await?;
        line.write(
            b"GET /v1/courier HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
              sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
              sec-websocket-extensions: permessage-deflate\r\nsec-websocket-protocol: halcyon-courier.1\r\n\r\n",
        )
        .await?;
        let head = line.head().await?;
        ensure!(head.starts_with("HTTP/1.1 101"), "no upgrade: {head}");
        ensure!(!head.to_lowercase().contains("permessage-deflate"), "compression was agreed on");
        Ok(line)
    }
}

/// Opens a TCP connection from an address of this machine.
///
/// # Errors
/// It is refused.
pub async fn tcp(from: Ipv4Addr, to: SocketAddr) -> anyhow::Result<TcpStream> {
    connect(TcpSocket::new_v4()?, from, to).await
}

async fn connect(socket: TcpSocket, from: Ipv4Addr, to: SocketAddr) -> anyhow::Result<TcpStream> {
    socket.bind(SocketAddr::from((from, 0)))?;
    let stream = tokio::time::timeout(ANSWER_MAX, socket.connect(to)).await.context("connecting")??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Waits until the server closes a bare connection, and returns what it said.
///
/// # Errors
/// It does not within `patience`.
pub async fn until_closed(stream: &mut TcpStream, patience: Duration) -> anyhow::Result<Vec<u8>> {
    let mut said = Vec::new();
    // A reset is an end as well.
    let _ = tokio::time::timeout(patience, stream.read_to_end(&mut said)).await.context("it stays open")?;
    Ok(said)
}

async fn shake(connector: &TlsConnector, stream: TcpStream) -> anyhow::Result<Line> {
    let name = ServerName::try_from("localhost")?;
    let stream = tokio::time::timeout(ANSWER_MAX, connector.connect(name, stream)).await.context("TLS")??;
    Ok(Line { stream, input: BytesMut::new() })
}

impl Line {
    /// Writes bytes as they are.
    ///
    /// # Errors
    /// The server is gone, or takes nothing for [`ANSWER_MAX`].
    pub async fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        Ok(tokio::time::timeout(ANSWER_MAX, written).await.context("the server takes nothing")??)
    }

    /// Writes a frame behind its length (COU-1).
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn say(&mut self, frame: ClientFrame) -> anyhow::Result<()> {
        let mut bytes = BytesMut::new();
        frame.write_to(&mut bytes);
        self.write(&bytes).await
    }

    /// Writes a frame in a WebSocket message (COU-2).
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn say_message(&mut self, frame: ClientFrame) -> anyhow::Result<()> {
        self.write(&message(0x82, &frame.encode())).await
    }

    /// Reads more; 0 is the end.
    async fn fill(&mut self) -> anyhow::Result<usize> {
        let read = tokio::time::timeout(ANSWER_MAX, self.stream.read_buf(&mut self.input)).await;
        // A reset, or an end without TLS's good-bye, is an end.
        Ok(read.context("the server does not answer")?.unwrap_or(0))
    }

    /// Returns the next frame, nothing at the end.
    ///
    /// # Errors
    /// What comes is none, or nothing comes.
    pub async fn frame(&mut self) -> anyhow::Result<Option<ServerFrame>> {
        loop {
            if let Some(frame) = split_frame(&mut self.input, FRAME_BYTES_MAX)? {
                return Ok(Some(ServerFrame::decode(frame)?));
            }
            if self.fill().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Returns the next frame of a WebSocket, nothing at the end or its close.
    ///
    /// # Errors
    /// What comes is none, or nothing comes.
    pub async fn message(&mut self) -> anyhow::Result<Option<ServerFrame>> {
        loop {
            match take_message(&mut self.input)? {
                Some((0x82, payload)) => return Ok(Some(ServerFrame::decode(payload.freeze())?)),
                Some((0x88, _)) => return Ok(None),
                Some((0x8a, _)) => {}
                Some((opcode, _)) => bail!("a message of kind {opcode:#x}"),
                None if self.fill().await? == 0 => return Ok(None),
                None => {}
            }
        }
    }

    /// Reads until the end, and returns how the server ended it.
    ///
    /// # Errors
    /// It does not.
    pub async fn end(&mut self) -> anyhow::Result<End> {
        while let Some(frame) = self.frame().await? {
            if let ServerFrame::Close(close) = frame {
                return Ok(End::Said(close.code));
            }
        }
        Ok(End::Silent)
    }

    /// Reads a WebSocket until the end, and returns how the server ended it.
    ///
    /// # Errors
    /// It does not.
    pub async fn end_of_messages(&mut self) -> anyhow::Result<End> {
        while let Some(frame) = self.message().await? {
            if let ServerFrame::Close(close) = frame {
                return Ok(End::Said(close.code));
            }
        }
        Ok(End::Silent)
    }

    /// Returns the head of the next HTTP answer.
    ///
    /// # Errors
    /// None comes; what came instead is in the error.
    pub async fn head(&mut self) -> anyhow::Result<String> {
        loop {
            if let Some(end) = self.input.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                return Ok(String::from_utf8_lossy(&self.input.split_to(end + 4)).into_owned());
            }
            ensure!(self.fill().await? > 0, "no answer, but: {}", String::from_utf8_lossy(&self.input));
        }
    }

    /// Returns status and body of the next HTTP answer.
    ///
    /// # Errors
    /// None comes.
    pub async fn answer(&mut self) -> anyhow::Result<(u16, Vec<u8>)> {
        let head = self.head().await?.to_lowercase();
        let status = head.split(' ').nth(1).context("a status")?.parse()?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.unwrap_or("0").trim().parse()?;
        while self.input.len() < length {
            ensure!(self.fill().await? > 0, "the body ends early");
        }
        Ok((status, self.input.split_to(length).to_vec()))
    }

    /// Waits until the server closes the connection, whatever it says before.
    ///
    /// # Errors
    /// It does not within `patience`.
    pub async fn until_closed(&mut self, patience: Duration) -> anyhow::Result<Vec<u8>> {
        let mut said = self.input.split().to_vec();
        let _ = tokio::time::timeout(patience, self.stream.read_to_end(&mut said)).await.context("it stays open")?;
        Ok(said)
    }
}

/// A WebSocket frame of a client, masked with zeros, which changes nothing: first byte and payload.
#[must_use]
pub fn message(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..=125 => bytes.push(0x80 | u8::try_from(short).unwrap_or(0)),
        middle @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(middle).unwrap_or(0).to_be_bytes());
        }
        long => {
            bytes.push(0x80 | 127);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

/// Takes one frame of a server, which masks nothing and fragments nothing.
fn take_message(input: &mut BytesMut) -> anyhow::Result<Option<(u8, BytesMut)>> {
    if input.len() < 2 {
        return Ok(None);
    }
    let (head, length) = match input[1] {
        short @ 0..=125 => (2, u64::from(short)),
        126 if input.len() >= 4 => (4, u64::from(u16::from_be_bytes([input[2], input[3]]))),
        127 if input.len() >= 10 => (10, u64::from_be_bytes(input[2..10].try_into()?)),
        126 | 127 => return Ok(None),
        _ => bail!("a masked frame from the server"),
    };
    let length = usize::try_from(length)?;
    if input.len() < head + length {
        return Ok(None);
    }
    let kind = input[0];
    let _ = input.split_to(head);
    Ok(Some((kind, input.split_to(length))))
}
