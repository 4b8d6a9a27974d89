//! Pages of the web, for previews of links. Spec: 50-content.md (CON-48, CON-49).
//!
//! Owns the shape of a request. Does not know what is taken of a page: that is [`halcyon_content::Page`]'s. Only whoever sends a link asks,
//! and only for that link (CON-47).

use bytes::Bytes;
use halcyon_content::WebAddress;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A page: `text/html`. Of a long one its beginning is enough.
    Page,
    /// An image that fits a link as it is.
    Image,
}

/// What came.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Where it was in the end.
    pub address: WebAddress,
    /// What was there.
    pub body: Bytes,
}

/// Why nothing came. Nothing of the address is repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageError {
    /// CON-49.
    #[error("it leads into a private network")]
    Inside,
    /// Name, network, port.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// The certificate is not one that browsers trust.
    #[error("its certificate is not trusted")]
    Untrusted,
    /// CON-48.
    #[error("it leads on too often, or to what is no page of the web")]
    Redirects,
    /// The server has nothing there, or not for us.
    #[error("its server answers with {0}")]
    Status(u16),
    /// CON-48: something else than what was asked for.
    #[error("it is no page")]
    NotWanted,
    /// CON-48.
    #[error("it is too large")]
    TooLarge,
    /// The connection broke, or what came back is not HTTP.
    #[error("the connection broke: {0}")]
    Broken(String),
}

/// Fetches pages (CON-48).
#[async_trait::async_trait]
pub trait Pages: Send + Sync {
    /// Returns what is at an address. Whoever calls limits the time.
    ///
    /// # Errors
    /// [`PageError`]
    async fn fetch(&self, address: &WebAddress, wanted: Wanted) -> Result<Fetched, PageError>;
}
