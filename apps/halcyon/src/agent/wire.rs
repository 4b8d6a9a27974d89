//! JSON-RPC 2.0 in both directions, one object a line.
//!
//! Owns what a line may look like, its limits and error codes. Does not know what methods there are.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::failure::{Failure, Kind};

/// A longer line is no request: a message has at most 12,000 bytes (CON-3).
pub(super) const LINE_BYTES_MAX: usize = 1024 * 1024;
/// The version that every line names.
pub(super) const VERSION: &str = "2.0";

/// Codes of the protocol, beside those of [`Failure`], which are exit codes.
pub(super) mod code {
    /// The line is no JSON.
    pub(crate) const PARSE: i64 = -32_700;
    /// It is JSON and no request, or one too many.
    pub(crate) const INVALID_REQUEST: i64 = -32_600;
    /// There is no such method.
    pub(crate) const METHOD_NOT_FOUND: i64 = -32_601;
    /// The method takes no such parameters.
    pub(crate) const INVALID_PARAMS: i64 = -32_602;
    /// The profile is locked: unlock it, and ask again.
    pub(crate) const LOCKED: i64 = -32_001;
    /// The caller cancelled the call, or the agent ended it.
    pub(crate) const CANCELLED: i64 = -32_002;
}

/// What a caller names its call by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Id {
    Number(i64),
    Text(String),
}

/// Any line.
#[derive(Debug, Deserialize)]
pub(super) struct Incoming {
    pub(super) jsonrpc: Option<String>,
    pub(super) id: Option<Id>,
    pub(super) method: Option<String>,
    pub(super) params: Option<Map<String, Value>>,
    pub(super) result: Option<Value>,
    pub(super) error: Option<RpcError>,
}

/// An error as it is on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RpcError {
    /// 1 to 5: the exit code of the command that failed so. Below zero: see [`code`].
    pub(super) code: i64,
    pub(super) message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<ErrorData>,
}

/// What else there is to say of a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ErrorData {
    pub(super) next: Option<String>,
}

impl RpcError {
    pub(super) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// Returns what the error says to whoever typed the command.
    pub(super) fn into_failure(self) -> Failure {
        let kinds =
            [Kind::User, Kind::Unexpected, Kind::Network, Kind::UntrustedKey, Kind::RateLimit, Kind::ReaderLeft];
        let is_it = |kind: &Kind| i64::from(kind.exit_code()) == self.code;
        let kind = match self.code {
            code::LOCKED | code::CANCELLED | code::INVALID_PARAMS => Kind::User,
            // Agent and command come from one program, so anything else is a mistake of its.
            _ => kinds.into_iter().find(is_it).unwrap_or(Kind::Unexpected),
        };
        Failure { kind, what: self.message, next: self.data.and_then(|data| data.next) }
    }
}

impl From<Failure> for RpcError {
    fn from(failure: Failure) -> Self {
        let Failure { kind, what, next } = failure;
        Self { code: i64::from(kind.exit_code()), message: what, data: Some(ErrorData { next }) }
    }
}

/// A request or, without an id, a notification.
#[derive(Debug, Serialize)]
pub(super) struct Request<'a, P> {
    pub(super) jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Id>,
    pub(super) method: &'a str,
    pub(super) params: P,
}

/// An answer.
#[derive(Debug, Serialize)]
pub(super) struct Response<R> {
    jsonrpc: &'static str,
    id: Option<Id>,
    #[serde(flatten)]
    outcome: Outcome<R>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome<R> {
    Result(R),
    Error(RpcError),
}

impl<R> Response<R> {
    pub(super) fn new(id: Option<Id>, outcome: Result<R, RpcError>) -> Self {
        let outcome = match outcome {
            Ok(result) => Outcome::Result(result),
            Err(error) => Outcome::Error(error),
        };
        Self { jsonrpc: VERSION, id, outcome }
    }
}

/// Returns a line, with its end.
///
/// # Errors
/// A [`Failure`] that nobody foresaw.
pub(super) fn line(message: &impl Serialize) -> Result<Vec<u8>, Failure> {
    let mut line = serde_json::to_vec(message)
        .map_err(|error| Failure::unexpected(format!("a line for the agent's socket cannot be encoded: {error}")))?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command ends with the same words and exit code whether or not an agent ran it.
    #[test]
    fn failures_survive_the_wire() {
        let failures = [
            Failure::user("a").next("b"),
            Failure::unexpected("c"),
            Failure::network("d"),
            Failure::new(Kind::UntrustedKey, "e"),
            Failure::new(Kind::RateLimit, "f"),
            Failure::reader_left(),
        ];
        for failure in failures {
            assert_eq!(RpcError::from(failure.clone()).into_failure(), failure);
        }
        let locked = RpcError { code: code::LOCKED, ..Failure::locked().into() };
        assert_eq!(locked.into_failure(), Failure::locked());
    }
}
