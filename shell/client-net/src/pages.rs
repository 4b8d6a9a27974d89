//! Pages of the web, for previews. Port: `halcyon_client::ports::Pages`. Spec: 50-content.md (CON-48, CON-49).
//!
//! Owns how a stranger's server is asked without being led into the network that this device is in. Does not know what is taken of a page.
//!
//! - An address is connected to only after it was checked, and it is that very address: a name is not looked up a second time, and every
//!   redirect is checked like the first address.
//! - Nothing is told but the address that is asked for: no cookie, no referrer, no language.
//! - Whatever a server sends is bounded before it is kept.

mod reach;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use halcyon_client::{
    WebAddress,
    ports::pages::{Fetched, PageError, Pages, Wanted},
};
use halcyon_content::LINK_IMAGE_BYTES_MAX;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, client::conn::http1::handshake};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, crypto::aws_lc_rs};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

pub use reach::is_outside;

use crate::tls::{ALPN_HTTP, Trust, TrustError};

/// Redirects that are followed (CON-48).
const REDIRECTS_MAX: usize = 5;
/// Bytes of a page that are read; what a page says of itself stands at its beginning (CON-48).
const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Addresses of one name that are tried, as when one of two protocols does not work here.
const ADDRESSES_TRIED_MAX: usize = 3;
/// How long one of them may take: a part of the ten seconds that a preview has.
const CONNECT_PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);
const USER_AGENT: &str = concat!("halcyon/", env!("CARGO_PKG_VERSION"), " (link preview)");

/// Finds the addresses of a name.
#[async_trait::async_trait]
pub trait Names: Send + Sync {
    /// Returns the addresses of a host.
    ///
    /// # Errors
    /// What the resolver says.
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// Fetches pages (CON-48).
pub struct PageFetcher {
    tls: TlsConnector,
    names: Arc<dyn Names>,
    may_reach: fn(IpAddr) -> bool,
}

/// What a server says to a request.
enum Answer {
    Body(Bytes),
    /// Where it says that it is, as it says it.
    Elsewhere(String),
}

struct SystemNames;

#[async_trait::async_trait]
impl Names for SystemNames {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}

impl PageFetcher {
    /// Prepares to fetch pages of everybody's internet, by the names and authorities of this machine.
    ///
    /// # Errors
    /// [`TrustError`] when TLS cannot be set up.
    pub fn new() -> Result<Self, TrustError> {
        Self::dangerous_with(&Trust::Web, Arc::new(SystemNames), is_outside)
    }

    /// Prepares to fetch pages of another internet: for tests, whose servers are all on this machine.
    ///
    /// # Errors
    /// [`TrustError`] when the certificates to trust cannot be read.
    pub fn dangerous_with(
        trust: &Trust,
        names: Arc<dyn Names>,
        may_reach: fn(IpAddr) -> bool,
    ) -> Result<Self, TrustError> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(trust.roots()?)
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN_HTTP.to_vec()];
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), names, may_reach })
    }

    async fn ask(&self, address: &WebAddress, wanted: Wanted) -> Result<Answer, PageError> {
        let host = address.host();
        let stream = self.connect(host, address.port()).await?;
        if !address.is_https() {
            return exchange(stream, address, wanted).await;
        }
        let name = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(name.to_owned());
        let name = name.map_err(|_| PageError::Unreachable("this is not a host name".to_owned()))?;
        let stream = self.tls.connect(name, stream).await.map_err(|error| {
            match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(rustls::Error::InvalidCertificate(_)) => PageError::Untrusted,
                _ => PageError::Broken(error.to_string()),
            }
        })?;
        exchange(stream, address, wanted).await
    }

    /// CON-49: connects to an address that was checked, and to none that was not.
    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, PageError> {
        let literal = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
        let found = match literal.parse() {
            Ok(address) => vec![address],
            Err(_) => self.names.addresses(host).await.map_err(|error| PageError::Unreachable(error.to_string()))?,
        };
        let mut outside =
            found.into_iter().filter(|address| (self.may_reach)(*address)).take(ADDRESSES_TRIED_MAX).peekable();
        if outside.peek().is_none() {
            return Err(PageError::Inside);
        }
        let mut last = PageError::Inside;
        for address in outside {
            let connecting = TcpStream::connect(SocketAddr::new(address, port));
            match tokio::time::timeout(CONNECT_PATIENCE, connecting).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = PageError::Unreachable(error.to_string()),
                Err(_) => last = PageError::Unreachable("no answer in time".to_owned()),
            }
        }
        Err(last)
    }
}

#[async_trait::async_trait]
impl Pages for PageFetcher {
    async fn fetch(&self, address: &WebAddress, wanted: Wanted) -> Result<Fetched, PageError> {
        let mut address = address.clone();
        for _ in 0..=REDIRECTS_MAX {
            match self.ask(&address, wanted).await? {
                Answer::Body(body) => return Ok(Fetched { address, body }),
                // CON-48: what is no address of the web, or has a password in it, is not followed.
                Answer::Elsewhere(reference) => address = address.join(&reference).ok_or(PageError::Redirects)?,
            }
        }
        Err(PageError::Redirects)
    }
}

/// Sends the one request of a connection, and reads what it is answered with.
async fn exchange<S>(stream: S, address: &WebAddress, wanted: Wanted) -> Result<Answer, PageError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let _connection = Aborted(tokio::spawn(connection).abort_handle());
    let (accept, _) = accepted(wanted);
    let request = Request::get(address.path_and_query())
        .header(header::HOST, address.authority())
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, accept)
        .header(header::ACCEPT_ENCODING, "identity")
        .body(Empty::<Bytes>::new())
        .map_err(|error| PageError::Broken(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    if status.is_redirection() {
        let reference = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        return reference.map(|reference| Answer::Elsewhere(reference.to_owned())).ok_or(PageError::Redirects);
    }
    if status != StatusCode::OK {
        return Err(PageError::Status(status.as_u16()));
    }
    if !is_wanted(response.headers(), wanted) {
        return Err(PageError::NotWanted);
    }
    Ok(Answer::Body(read(response, wanted).await?))
}

/// Ends a connection with what it was for.
struct Aborted(tokio::task::AbortHandle);

impl Drop for Aborted {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What is asked for, and what it has to begin with.
fn accepted(wanted: Wanted) -> (&'static str, &'static str) {
    match wanted {
        Wanted::Page => ("text/html", "text/html"),
        Wanted::Image => ("image/webp,image/png,image/jpeg", "image/"),
    }
}

/// CON-48: of the wanted type, and not packed.
fn is_wanted(headers: &HeaderMap, wanted: Wanted) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_ascii_lowercase();
    let content_type = text(header::CONTENT_TYPE);
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let (_, expected) = accepted(wanted);
    let fits = if expected.ends_with('/') { essence.starts_with(expected) } else { essence == expected };
    fits && matches!(text(header::CONTENT_ENCODING).as_str(), "" | "identity")
}

async fn read(response: Response<Incoming>, wanted: Wanted) -> Result<Bytes, PageError> {
    let mut body = response.into_body();
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        match wanted {
            Wanted::Page => bytes.extend_from_slice(&data[..data.len().min(PAGE_BYTES_MAX - bytes.len())]),
            Wanted::Image if bytes.len() + data.len() > LINK_IMAGE_BYTES_MAX => return Err(PageError::TooLarge),
            Wanted::Image => bytes.extend_from_slice(&data),
        }
        if bytes.len() >= PAGE_BYTES_MAX {
            break;
        }
    }
    Ok(bytes.freeze())
}

fn broken(error: hyper::Error) -> PageError {
    PageError::Broken(error.to_string())
}
