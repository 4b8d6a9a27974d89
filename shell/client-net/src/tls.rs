//! TLS 1.3 to a server whose certificate is trusted. Spec: 30-courier.md §1 (COU-1).
//!
//! Owns which authorities are trusted, and tells a certificate that is not from a network that does not work.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// ALPN of the HTTPS port.
pub(crate) const ALPN_HTTP: &[u8] = b"http/1.1";
/// ALPN of the native courier (COU-1).
pub(crate) const ALPN_COURIER: &[u8] = b"halcyon-courier/1";

/// Name resolution, TCP and TLS; a phone on a bad network needs seconds.
pub(crate) const CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Which authorities vouch for the server.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// Those that browsers trust.
    #[default]
    Web,
    /// Those in a PEM file and no others, as for a server with an authority of its own.
    File(PathBuf),
    /// Those in a PEM text and no others.
    Pem(Vec<u8>),
}

/// Why the authorities to trust cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The file cannot be read.
    #[error("the authority file {path} cannot be read: {source}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Nothing in it can be used.
    #[error("there is no certificate of an authority in what is to be trusted")]
    Empty,
    /// TLS cannot be set up. Nobody's doing but ours.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

impl Trust {
    pub(crate) fn roots(&self) -> Result<Arc<RootCertStore>, TrustError> {
        let pem = match self {
            Self::Web => return Ok(Arc::new(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())),
            Self::File(path) => {
                std::fs::read(path).map_err(|source| TrustError::File { path: path.clone(), source })?
            }
            Self::Pem(pem) => pem.clone(),
        };
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
        let (added, _) = roots.add_parsable_certificates(certificates);
        if added == 0 { Err(TrustError::Empty) } else { Ok(Arc::new(roots)) }
    }
}

/// Why there is no TLS connection.
#[derive(Debug)]
pub(crate) enum ConnectError {
    Unreachable(String),
    Untrusted(String),
}

/// Makes TLS connections that speak one protocol.
pub(crate) struct Connector(TlsConnector);

impl Connector {
    pub(crate) fn new(roots: &Arc<RootCertStore>, alpn: &[u8]) -> Result<Self, TrustError> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// Connects within [`CONNECT_TIMEOUT`].
    pub(crate) async fn connect(&self, host: &str, port: u16) -> Result<TlsStream<TcpStream>, ConnectError> {
        let connecting = Box::pin(self.connect_patiently(host, port));
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
        connected.unwrap_or_else(|_| Err(ConnectError::Unreachable("no answer in time".to_owned())))
    }

    async fn connect_patiently(&self, host: &str, port: u16) -> Result<TlsStream<TcpStream>, ConnectError> {
        let unreachable = |error: io::Error| ConnectError::Unreachable(error.to_string());
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| ConnectError::Unreachable("this is not a host name".to_owned()))?;
        let stream = TcpStream::connect((host, port)).await.map_err(unreachable)?;
        // Frames and requests are written whole, so there is nothing to gain from waiting for more.
        stream.set_nodelay(true).map_err(unreachable)?;
        let connected = self.0.connect(name, stream).await.map_err(tls_error)?;
        let agreed = connected.get_ref().1.alpn_protocol().is_some();
        if agreed { Ok(connected) } else { Err(ConnectError::Unreachable("another service listens there".to_owned())) }
    }
}

fn tls_error(error: io::Error) -> ConnectError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(reason)) => ConnectError::Untrusted(reason.to_string()),
        _ => ConnectError::Unreachable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A person who names the wrong file reads which one, and what is missing in it.
    #[test]
    fn what_cannot_be_trusted_is_named() {
        let missing = Trust::File("/nowhere/authority.pem".into()).roots().unwrap_err();
        assert!(missing.to_string().contains("/nowhere/authority.pem"), "{missing}");
        assert!(matches!(Trust::Pem(b"no certificate".to_vec()).roots(), Err(TrustError::Empty)));
        assert!(!Trust::Web.roots().unwrap().is_empty());
    }
}
