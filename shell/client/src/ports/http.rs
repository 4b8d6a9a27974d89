//! HTTPS requests to the one server of a profile. Spec: 20-accounts.md.
//!
//! Owns the shape of a request and its answer. Does not know what is asked: that is `api`.

use bytes::Bytes;
use halcyon_types::Duration;

pub use crate::api::discover_courier;

/// The methods in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Does.
    Post,
    /// Replaces.
    Put,
    /// Removes.
    Delete,
}

impl Method {
    /// Returns the name in upper case, as it is signed (ACC-1).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// One request.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// What to do.
    pub method: Method,
    /// Path with query, beginning with `/`, exactly as it is signed.
    pub path: String,
    /// Headers besides those that the transport adds.
    pub headers: Vec<(&'static str, String)>,
    /// The body; empty if there is none.
    pub body: Bytes,
    /// When to give up.
    pub timeout: Duration,
    /// Bytes of the answer's body that are read; a longer one is [`HttpError::TooLarge`].
    pub answer_bytes_max: usize,
}

/// One answer.
#[derive(Clone, Debug)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// The seconds of `Retry-After`, if it has some.
    pub retry_after_s: Option<u64>,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer. The request may have taken effect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// No connection: name, network, port.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// The server's certificate is not one that this client trusts.
    #[error("the server's certificate is not trusted: {0}")]
    Untrusted(String),
    /// No answer in time.
    #[error("the server did not answer in time")]
    TimedOut,
    /// The connection broke, or what came back is not HTTP.
    #[error("the connection to the server broke: {0}")]
    Broken(String),
    /// The answer has more bytes than asked for.
    #[error("the server's answer is too large")]
    TooLarge,
}

/// Sends requests to one server.
#[async_trait::async_trait]
pub trait Http: Send + Sync {
    /// Sends a request and returns the whole answer, whatever its status.
    ///
    /// # Errors
    /// [`HttpError`] when there is no answer.
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError>;
}
