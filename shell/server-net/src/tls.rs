//! TLS as every listener uses it: version 1.3 only, X25519MLKEM768 first. Spec: 30-courier.md §1 (COU-1).
//!
//! Owns reading certificates and keys, and the server configuration. Does not know what runs inside a connection, other
//! than its ALPN name.
//!
//! - A client that speaks none of a listener's ALPN names is refused in the handshake.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// ALPN name of the HTTPS listener.
pub const ALPN_HTTP: &[u8] = b"http/1.1";

/// A certificate chain with its private key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// Why a certificate or key is not usable. The operator's move; nothing was started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("{what} {path} is not usable: {source}; expected PEM with BEGIN CERTIFICATE or BEGIN PRIVATE KEY", path = path.display())]
    Pem {
        /// Which of the two.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the reader said.
        source: rustls_pki_types::pem::Error,
    },
    /// The chain file has no certificate.
    #[error("certificate file {path} has no certificate in it", path = .0.display())]
    EmptyChain(PathBuf),
    /// Key and certificate do not fit, or the key is of a kind that TLS does not use.
    #[error("certificate and key do not make a TLS identity: {0}; check that the key belongs to the first certificate")]
    Identity(#[source] rustls::Error),
}

impl Identity {
    /// Takes over a chain and its key.
    #[must_use]
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Self {
        Self { chain, key }
    }

    /// Reads a PEM chain and a PEM key.
    ///
    /// # Errors
    /// [`TlsError::Pem`] or [`TlsError::EmptyChain`], naming the file.
    pub fn from_files(chain: &Path, key: &Path) -> Result<Self, TlsError> {
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| TlsError::Pem { what, path, source }
        };
        let certificates = CertificateDer::pem_file_iter(chain)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(failed("certificate file", chain))?;
        if certificates.is_empty() {
            return Err(TlsError::EmptyChain(chain.to_owned()));
        }
        let key = PrivateKeyDer::from_pem_file(key).map_err(failed("key file", key))?;
        Ok(Self { chain: certificates, key })
    }

    /// Returns the configuration of a listener that speaks one ALPN name.
    ///
    /// # Errors
    /// [`TlsError::Identity`]
    pub fn server_config(&self, alpn: &[u8]) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::Identity)?
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .map_err(TlsError::Identity)?;
        config.alpn_protocols = vec![alpn.to_vec()];
        // One ticket is enough for a client that reconnects; each costs a write in the first flight.
        config.send_tls13_tickets = 1;
        Ok(Arc::new(config))
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity({} certificates, key redacted)", self.chain.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// COU-1: the hybrid group comes first, so that what is recorded today stays closed to a later quantum computer.
    #[test]
    fn the_hybrid_group_is_preferred() {
        let first = aws_lc_rs::default_provider().kx_groups[0].name();
        assert_eq!(first, rustls::NamedGroup::X25519MLKEM768);
    }

    /// An operator who swapped or forgot a file reads which one.
    #[test]
    fn bad_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        let missing = Identity::from_files(&chain, &key).unwrap_err();
        assert!(missing.to_string().contains("chain.pem"), "{missing}");
        std::fs::write(&chain, "no certificate here").unwrap();
        assert!(matches!(Identity::from_files(&chain, &key), Err(TlsError::EmptyChain(_))));
    }
}
