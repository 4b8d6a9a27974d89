//! What the server is asked over HTTPS, typed. Spec: 20-accounts.md, 21-linking.md, 11-directory.md.
//!
//! Owns paths, JSON, and the reading of problem documents (ACC-3). Does not know what an answer is good for, and believes none:
//! lists and keys in it are checked where they are used.
//!
//! - An answer is bounded before it is read, and every field of it is checked before it is returned.

mod accounts;
mod codec;
mod directory;
mod links;
mod reports;
mod server;

use std::sync::Arc;

use bytes::Bytes;
use halcyon_crypto::{Rng, SigningKey};
use halcyon_directory::request::{RequestTarget, SignedRequest};
use halcyon_types::{DeviceId, Duration, Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub(crate) use accounts::{AccountAnswer, RegistrationUpload};
pub(crate) use links::{LinkListed, LinkState};
pub use server::discover_courier;

use crate::{
    error::{ApiError, Problem},
    ports::{Http, HttpRequest, HttpResponse, Method},
};

/// A server that does not answer in this time is as good as gone; a phone on a bad network needs seconds.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Answers in JSON have device lists and keys in base64, and nothing larger (ACC, 64 KiB a body each way).
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Details are for people, who read no more.
const DETAIL_CHARS_MAX: usize = 300;

/// The server's HTTPS half.
#[derive(Clone)]
pub(crate) struct Api {
    http: Arc<dyn Http>,
}

/// A request that is ready to be sent.
pub(crate) struct Request {
    http: HttpRequest,
}

/// Who signs a request, and when (ACC-1).
pub(crate) struct Signer<'a> {
    pub(crate) device: DeviceId,
    pub(crate) key: &'a SigningKey,
    pub(crate) audience: &'a str,
    pub(crate) now: Timestamp,
}

impl Request {
    fn new(method: Method, path: String, body: Bytes) -> Self {
        let http = HttpRequest {
            method,
            path,
            headers: Vec::new(),
            body,
            timeout: TIMEOUT,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        Self { http }
    }

    fn get(path: String) -> Self {
        Self::new(Method::Get, path, Bytes::new())
    }

    fn json(method: Method, path: String, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).expect("our own values have string keys and no errors of their own");
        let mut request = Self::new(method, path, body.into());
        request.http.headers.push(("content-type", "application/json".to_owned()));
        request
    }

    fn protobuf(method: Method, path: String, body: Bytes) -> Self {
        let mut request = Self::new(method, path, body);
        request.http.headers.push(("content-type", "application/x-protobuf".to_owned()));
        request
    }

    fn waiting(mut self, span: Duration) -> Self {
        self.http.timeout = Duration::from_millis(TIMEOUT.as_millis() + span.as_millis());
        self
    }

    fn answering(mut self, bytes_max: usize) -> Self {
        self.http.answer_bytes_max = bytes_max;
        self
    }

    /// Signs the request (ACC-1). Whatever is signed cannot change any more.
    pub(crate) fn signed(mut self, signer: &Signer<'_>, rng: &mut dyn Rng) -> Self {
        let target =
            RequestTarget { method: self.http.method.as_str(), path_and_query: &self.http.path, body: &self.http.body };
        let signed = SignedRequest::sign(signer.device, signer.key, signer.audience, target, signer.now, rng);
        // Signed again after a clock was corrected: the old headers go.
        self.http.headers.retain(|(name, _)| !name.starts_with("Halcyon-"));
        self.http.headers.extend(signed.headers());
        self
    }

    fn again(&self) -> Self {
        Self { http: self.http.clone() }
    }
}

impl Clone for Request {
    fn clone(&self) -> Self {
        self.again()
    }
}

impl Api {
    pub(crate) fn new(http: Arc<dyn Http>) -> Self {
        Self { http }
    }

    /// Sends a request and returns the body of a successful answer.
    ///
    /// # Errors
    /// [`ApiError`]
    pub(crate) async fn call(&self, request: Request) -> Result<Bytes, ApiError> {
        answer(self.http.call(request.http).await?)
    }
}

/// Returns the body of a successful answer.
fn answer(response: HttpResponse) -> Result<Bytes, ApiError> {
    if (200..300).contains(&response.status) { Ok(response.body) } else { Err(problem(&response)) }
}

fn read_json<T: DeserializeOwned>(body: &[u8], what: &'static str) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|_| ApiError::Malformed(what))
}

/// ACC-3. A status without a document, as a proxy gives it, is a problem without a code.
fn problem(response: &HttpResponse) -> ApiError {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Document {
        code: String,
        detail: String,
        title: String,
        retry_after_s: Option<u64>,
        server_time_ms: Option<u64>,
        tries_left: Option<u64>,
    }
    let document: Document = serde_json::from_slice(&response.body).unwrap_or_default();
    let detail = [document.detail, document.title].into_iter().find(|text| !text.is_empty());
    ApiError::Problem(Problem {
        status: response.status,
        code: document.code,
        detail: printable(&detail.unwrap_or_else(|| format!("the server answered {}", response.status))),
        retry_after_s: document.retry_after_s.or(response.retry_after_s),
        server_time_ms: document.server_time_ms,
        tries_left: document.tries_left,
    })
}

/// What a server says may end on a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(DETAIL_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> ApiError {
        problem(&HttpResponse { status, retry_after_s: Some(7), body: Bytes::copy_from_slice(body.as_bytes()) })
    }

    /// ACC-3: a problem document becomes a typed problem, and what it says cannot move a cursor.
    #[test]
    fn a_problem_document_is_read() {
        let body = "{\"code\":\"lookup_limit\",\"detail\":\"too \\u001b[2Jmany\",\"extra\":1,\"retry_after_s\":9}";
        let ApiError::Problem(problem) = answer(429, body) else { panic!("a problem") };
        assert_eq!((problem.code.as_str(), problem.retry_after_s), ("lookup_limit", Some(9)));
        assert_eq!(problem.detail, "too  [2Jmany");
        assert_eq!(ApiError::Problem(problem).fault(), crate::Fault::RateLimit);
    }

    /// ACC-3: a proxy's page is no document, and no panic.
    #[test]
    fn a_page_of_a_proxy_is_a_problem_without_code() {
        let ApiError::Problem(problem) = answer(502, "<html>") else { panic!("a problem") };
        assert_eq!((problem.code.as_str(), problem.detail.as_str()), ("", "the server answered 502"));
        assert_eq!(problem.retry_after_s, Some(7));
        assert_eq!(ApiError::Problem(problem).fault(), crate::Fault::Io);
    }
}
