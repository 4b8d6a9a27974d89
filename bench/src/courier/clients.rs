//! Connections of the bench's devices: TLS as any client makes it, and the courier's handshake.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use halcyon_courier::connect::{ChannelBinding, Connect, EXPORTER_LABEL, Introduction};
use halcyon_courier::frame::split_frame;
use halcyon_courier::limits::FRAME_BYTES_MAX;
use halcyon_courier::{ClientFrame, ServerFrame, Topics};
use halcyon_crypto::SigningKey;
use halcyon_server::ports::Clock;
use halcyon_server_net::courier::native::ALPN_COURIER;
use halcyon_server_net::world::SystemClock;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::people::{self, Person};
use super::server::ListeningPorts;

/// What all connections share.
#[derive(Clone)]
pub(crate) struct Clients {
    courier: TlsConnector,
    echo: TlsConnector,
    ports: ListeningPorts,
    key: SigningKey,
}

impl Clients {
    pub(crate) fn new(folder: &Path, ports: ListeningPorts) -> Result<Self> {
        let certificate = CertificateDer::from_pem_file(folder.join(CERTIFICATE_FILE))?;
        let connector = |alpn: &[u8]| -> Result<TlsConnector> {
            let mut roots = RootCertStore::empty();
            roots.add(certificate.clone())?;
            let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(&[&rustls::version::TLS13])?
                .with_root_certificates(roots)
                .with_no_client_auth();
            config.alpn_protocols = vec![alpn.to_vec()];
            config.resumption = rustls::client::Resumption::disabled();
            Ok(TlsConnector::from(Arc::new(config)))
        };
        Ok(Self { courier: connector(ALPN_COURIER)?, echo: connector(ALPN_ECHO)?, ports, key: people::device_key()? })
    }

    pub(crate) async fn echo(&self) -> Result<TlsStream<TcpStream>> {
        dial(&self.echo, Ipv4Addr::LOCALHOST, self.ports.echo).await
    }

    /// Connects a device and makes the courier's handshake (COU-10 to COU-13).
    pub(crate) async fn connect(&self, person: Person) -> Result<Device> {
        self.connect_from(Ipv4Addr::LOCALHOST, person).await
    }

    /// Connects a device from one of the many addresses of this machine: one address has 28,000 ports.
    pub(crate) async fn connect_from(&self, source: Ipv4Addr, person: Person) -> Result<Device> {
        let stream = dial(&self.courier, source, self.ports.courier).await?;
        let exported = stream.get_ref().1.export_keying_material([0; 32], EXPORTER_LABEL, None)?;
        let mut device = Device { stream, input: BytesMut::new(), output: BytesMut::new() };
        let ServerFrame::Hello(hello) = device.receive().await? else { bail!("no hello") };
        let binding = ChannelBinding::Exporter(exported);
        let introduction = Introduction { device: person.device, epoch: 0, topics: Topics::messages_and_alerts() };
        let connect = Connect::sign(introduction, &self.key, HOST, &hello, &binding, SystemClock.now());
        device.queue(ClientFrame::Connect(connect));
        device.flush().await?;
        match device.receive().await? {
            ServerFrame::Connected(_) => Ok(device),
            other => bail!("not connected: {other:?}"),
        }
    }
}

async fn dial(connector: &TlsConnector, source: Ipv4Addr, port: u16) -> Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    if source != Ipv4Addr::LOCALHOST {
        socket.bind((source, 0).into())?;
    }
    let stream = socket.connect((Ipv4Addr::LOCALHOST, port).into()).await?;
    stream.set_nodelay(true)?;
    Ok(connector.connect(ServerName::try_from(HOST)?, stream).await?)
}

/// A connected device.
pub(crate) struct Device {
    stream: TlsStream<TcpStream>,
    input: BytesMut,
    output: BytesMut,
}

impl Device {
    /// Returns the next frame, waiting for it.
    pub(crate) async fn receive(&mut self) -> Result<ServerFrame> {
        loop {
            if let Some(frame) = self.received()? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    /// Returns a frame that is here already.
    pub(crate) fn received(&mut self) -> Result<Option<ServerFrame>> {
        let frame = split_frame(&mut self.input, FRAME_BYTES_MAX)?;
        Ok(frame.map(ServerFrame::decode).transpose()?)
    }

    /// Reads what comes next.
    pub(crate) async fn fill(&mut self) -> Result<()> {
        self.input.reserve(READ_BYTES);
        let read = self.stream.read_buf(&mut self.input).await?;
        if read == 0 { Err(anyhow::anyhow!("the server hung up")) } else { Ok(()) }
    }

    pub(crate) fn queue(&mut self, frame: ClientFrame) {
        frame.write_to(&mut self.output);
    }

    pub(crate) async fn flush(&mut self) -> Result<()> {
        if !self.output.is_empty() {
            self.stream.write_all(&self.output).await?;
            self.stream.flush().await?;
            self.output.clear();
        }
        Ok(())
    }
}

/// Makes the certificate that server and clients agree on.
pub(crate) fn write_identity(folder: &Path) -> Result<()> {
    let identity = rcgen::generate_simple_self_signed([HOST.to_owned()])?;
    std::fs::write(folder.join(CERTIFICATE_FILE), identity.cert.pem()).context("the data folder cannot be written")?;
    std::fs::write(folder.join(KEY_FILE), identity.signing_key.serialize_pem())?;
    Ok(())
}

/// The server's name in its certificate, and its audience (COU-11).
pub(crate) const HOST: &str = "localhost";
/// Certificate file in the data folder.
pub(crate) const CERTIFICATE_FILE: &str = "certificate.pem";
/// Key file in the data folder.
pub(crate) const KEY_FILE: &str = "key.pem";
/// The ALPN name of the bare echo.
pub(crate) const ALPN_ECHO: &[u8] = b"echo";

const READ_BYTES: usize = 16 * 1024;
