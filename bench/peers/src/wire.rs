//! One TLS connection to a peer, with what was read and what is to be written.
//!
//! Does not know any protocol. Reads and writes as Halcyon's bench does: all that is there at once.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What it takes to connect to one peer.
#[derive(Clone)]
pub(crate) struct Door {
    tls: TlsConnector,
    port: u16,
}

impl Door {
    /// Trusts the one certificate that [`write_identity`] made.
    pub(crate) fn new(folder: &Path, port: u16) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(folder.join(CERTIFICATE_FILE))?)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), port })
    }

    pub(crate) async fn open(&self) -> Result<Wire> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        stream.set_nodelay(true)?;
        let stream = self.tls.connect(ServerName::try_from(HOST)?, stream).await.context("no TLS")?;
        Ok(Wire { stream, input: BytesMut::new(), output: BytesMut::new() })
    }

    /// Returns the version of TLS that a connection gets.
    pub(crate) async fn tls_version(&self) -> Result<String> {
        let wire = self.open().await?;
        let version = wire.stream.get_ref().1.protocol_version().context("no version of TLS")?;
        Ok(match version {
            rustls::ProtocolVersion::TLSv1_2 => "TLS 1.2".to_owned(),
            rustls::ProtocolVersion::TLSv1_3 => "TLS 1.3".to_owned(),
            other => format!("{other:?}"),
        })
    }
}

/// An open connection.
pub(crate) struct Wire {
    stream: TlsStream<TcpStream>,
    /// What was read and not yet taken.
    pub(crate) input: BytesMut,
    /// What is to be written.
    pub(crate) output: BytesMut,
}

impl Wire {
    /// Reads what comes next.
    pub(crate) async fn fill(&mut self) -> Result<()> {
        self.input.reserve(READ_BYTES);
        let read = self.stream.read_buf(&mut self.input).await?;
        ensure!(read > 0, "the peer hung up");
        Ok(())
    }

    pub(crate) async fn flush(&mut self) -> Result<()> {
        if !self.output.is_empty() {
            self.stream.write_all(&self.output).await?;
            self.stream.flush().await?;
            self.output.clear();
        }
        Ok(())
    }

    /// Writes what is queued, then reads until `take` finds what it looks for.
    pub(crate) async fn until<T>(&mut self, mut take: impl FnMut(&mut Self) -> Result<Option<T>>) -> Result<T> {
        let steps = async {
            self.flush().await?;
            loop {
                if let Some(found) = take(self)? {
                    self.flush().await?;
                    return Ok(found);
                }
                self.fill().await?;
            }
        };
        tokio::time::timeout(ANSWER, steps).await.context("no answer in a minute")?
    }
}

/// Makes the certificate that a peer shows: in files of its own, and with its key in one.
pub(crate) fn write_identity(folder: &Path) -> Result<()> {
    let key = rcgen::KeyPair::generate()?;
    let mut identity = rcgen::CertificateParams::new([HOST.to_owned()])?;
    identity.distinguished_name.push(rcgen::DnType::CommonName, HOST);
    // ejabberd's timers do not reach to the end that it has otherwise, the year 4096.
    let now = SystemTime::now();
    (identity.not_before, identity.not_after) = ((now - VALID).into(), (now + VALID).into());
    let (certificate, key) = (identity.self_signed(&key)?.pem(), key.serialize_pem());
    std::fs::write(folder.join(CERTIFICATE_FILE), &certificate).context("the folder cannot be written")?;
    std::fs::write(folder.join(KEY_FILE), &key)?;
    std::fs::write(folder.join(IDENTITY_FILE), certificate + &key)?;
    Ok(())
}

/// The name of every peer.
pub(crate) const HOST: &str = "localhost";
const CERTIFICATE_FILE: &str = "certificate.pem";
const KEY_FILE: &str = "key.pem";
const IDENTITY_FILE: &str = "identity.pem";

const READ_BYTES: usize = 16 * 1024;
/// More than any server takes for one answer while it is not under load.
const ANSWER: Duration = Duration::from_secs(60);
const VALID: Duration = Duration::from_secs(30 * 24 * 60 * 60);
