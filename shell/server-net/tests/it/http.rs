//! A client without opinions: one TLS connection a request, headers and body as the test wants them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use halcyon_crypto::SigningKey;
use halcyon_directory::request::{RequestTarget, SignedRequest};
use halcyon_server::ports::Clock;
use halcyon_types::DeviceId;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rand::rngs::OsRng;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::world::TestClock;

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{self:?} is not JSON"))
    }

    pub fn text(&self, member: &str) -> String {
        self.json()[member].as_str().unwrap_or_else(|| panic!("no `{member}` in {self:?}")).to_owned()
    }

    /// Returns status and code of a problem, and checks its form (ACC-3).
    pub fn problem(&self) -> (u16, String) {
        let document = self.json();
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        assert_eq!(document["status"], self.status.as_u16());
        let code = self.text("code");
        assert_eq!(document["type"], format!("halcyon:error:{code}"));
        assert!(!self.text("title").is_empty() && self.text("detail").len() > 10, "{document}");
        (self.status.as_u16(), code)
    }

    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }
}

/// Asks one server.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    clock: TestClock,
    pub audience: String,
}

/// A key with the id of its device.
#[derive(Clone, Copy)]
pub struct Signer<'a> {
    pub device: DeviceId,
    pub key: &'a SigningKey,
}

impl Client {
    pub fn new(address: SocketAddr, authority: &Path, clock: TestClock) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Self { address, tls: Arc::new(config), clock, audience: "localhost".to_owned() }
    }

    /// The same client with a clock of its own.
    pub fn with_clock(&self, clock: TestClock) -> Self {
        Self { clock, ..self.clone() }
    }

    /// Makes a TLS connection that names a protocol, or none.
    pub async fn tls(&self, address: SocketAddr, alpn: Option<&[u8]>) -> TlsStream<TcpStream> {
        let mut config = (*self.tls).clone();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    pub async fn send(&self, request: Request<Bytes>) -> Answer {
        let stream = self.tls(self.address, None).await;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let response = sender.send_request(request.map(Full::new)).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub fn request(&self, method: &str, path: &str, media: &str, body: impl Into<Bytes>) -> Request<Bytes> {
        let builder = Request::builder().method(method).uri(path).header("host", "localhost");
        builder.header("content-type", media).body(body.into()).unwrap()
    }

    /// Signs a request as it stands.
    pub fn sign(&self, mut request: Request<Bytes>, signer: Signer<'_>) -> Request<Bytes> {
        let path = request.uri().path_and_query().unwrap().to_string();
        let method = request.method().to_string();
        let target = RequestTarget { method: &method, path_and_query: &path, body: request.body() };
        let signed =
            SignedRequest::sign(signer.device, signer.key, &self.audience, target, self.clock.now(), &mut OsRng);
        for (name, value) in signed.headers() {
            request.headers_mut().insert(http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        }
        request
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path, "application/json", Bytes::new())).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(self.request("POST", path, "application/json", body.to_string())).await
    }

    pub async fn signed(&self, signer: Signer<'_>, method: &str, path: &str, body: Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(self.sign(self.request(method, path, "application/json", body), signer)).await
    }

    pub async fn signed_protobuf(&self, signer: Signer<'_>, method: &str, path: &str, body: Bytes) -> Answer {
        self.send(self.sign(self.request(method, path, "application/x-protobuf", body), signer)).await
    }
}
