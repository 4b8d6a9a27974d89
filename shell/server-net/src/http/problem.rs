//! Errors as people and programs read them: `application/problem+json`. Spec: 20-accounts.md §1 (ACC-3).
//!
//! Owns the codes, and which failure of a service becomes which. Whose fault it is and what comes next stands in `detail`.
//!
//! - Nothing that the asker did not send is in an answer: details are sentences of ours (ACC-3).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use halcyon_directory::request::RequestError;
use halcyon_server::accounts::handles::RemoveError;
use halcyon_server::accounts::limits::Limited;
use halcyon_server::accounts::registration::RegistrationError;
use halcyon_server::accounts::request::AuthError;
use halcyon_server::accounts::sign_in::{FinishError, StartError};
use halcyon_server::accounts::verification::{BeginError, VerifyError};
use halcyon_server::directory::list::ReplaceError;
use halcyon_server::directory::lookup::LookupError;
use halcyon_server::directory::prekeys::UploadError;
use halcyon_server::linking::LinkError;
use halcyon_server::ports::DirectoryStoreError;
use halcyon_server::reports::TakeError;
use halcyon_types::Timestamp;
use serde_json::{Map, Value, json};

/// One error.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    more: Map<String, Value>,
}

impl Problem {
    /// Makes a problem of a code and a sentence that says whose fault it is and what comes next.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, detail: impl ToString) -> Self {
        Self { status, code, detail: detail.to_string(), more: Map::new() }
    }

    /// The request's form is wrong.
    #[must_use]
    pub fn malformed(what: &str) -> Self {
        let detail = format!("The request is malformed: {what}. This is the client's fault.");
        Self::new(StatusCode::BAD_REQUEST, "malformed_request", detail)
    }

    /// There is nothing at this path.
    #[must_use]
    pub fn no_such_endpoint() -> Self {
        let detail = "There is no such endpoint; /v1/openapi.json lists them.";
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// There is something at this path, for another method.
    #[must_use]
    pub fn wrong_method() -> Self {
        let detail = "This endpoint has another method; /v1/openapi.json lists them.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", detail)
    }

    /// The request took too long.
    #[must_use]
    pub fn too_slow() -> Self {
        let detail = "The server could not answer in time. Try again later.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).retry_after(5)
    }

    /// The clock of the asker is off: says the server's (ACC-2).
    #[must_use]
    pub fn with_time(self, now: Timestamp) -> Self {
        if self.code == "clock_skew" { self.with("server_time_ms", json!(now.as_millis())) } else { self }
    }

    fn with(mut self, member: &str, value: Value) -> Self {
        self.more.insert(member.to_owned(), value);
        self
    }

    fn retry_after(self, seconds: u64) -> Self {
        self.with("retry_after_s", json!(seconds))
    }

    fn busy(detail: impl ToString, retry_after_s: u64) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).retry_after(retry_after_s)
    }

    fn directory(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "a request failed for a reason of ours");
        Self::busy("The server cannot reach its store at this moment. This is not your fault; try again later.", 30)
    }

    fn limited(code: &'static str, limited: Limited) -> Self {
        // Rounded up, so that who waits so long gets through.
        let seconds = limited.retry_after.as_millis().div_ceil(1000).max(1);
        Self::new(StatusCode::TOO_MANY_REQUESTS, code, limited).retry_after(seconds)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = self.more;
        let retry_after = body.get("retry_after_s").and_then(Value::as_u64);
        body.insert("type".to_owned(), json!(format!("halcyon:error:{}", self.code)));
        body.insert("title".to_owned(), json!(title(self.status)));
        body.insert("status".to_owned(), json!(self.status.as_u16()));
        body.insert("detail".to_owned(), json!(self.detail));
        body.insert("code".to_owned(), json!(self.code));
        let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
        let mut response = (self.status, headers, Value::Object(body).to_string()).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

fn title(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "Not authenticated",
        403 => "Not allowed",
        404 => "Not found",
        405 => "Wrong method",
        409 => "Conflict",
        410 => "Gone",
        413 => "Too large",
        422 => "Not supported",
        429 => "Too many requests",
        500.. => "Not available",
        _ => "Bad request",
    }
}

impl From<DirectoryStoreError> for Problem {
    fn from(error: DirectoryStoreError) -> Self {
        match error {
            DirectoryStoreError::Full => {
                tracing::error!("the disk of the directory is full");
                Self::busy("The server's disk is full. Its operator has to act; try again later.", 300)
            }
            other => Self::directory(other),
        }
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Refused(refused) => {
                let next = match refused {
                    RequestError::ClockSkew => "Correct the clock, or use the time in this answer, and try again.",
                    RequestError::WrongAudience => "Use the host name that this server answers for.",
                    RequestError::Replayed => "Sign each request with a fresh nonce.",
                    _ => "The device may have been removed from its account, or the client is at fault.",
                };
                Self::new(StatusCode::UNAUTHORIZED, refused.code(), format!("{refused}. {next}"))
            }
            AuthError::Busy => Self::busy(error, 60),
            AuthError::Directory(error) => Self::directory(error),
            AuthError::Store(error) => error.into(),
            other => Self::directory(other),
        }
    }
}

impl From<BeginError> for Problem {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Handle(error) => Self::new(StatusCode::BAD_REQUEST, "malformed_handle", error),
            BeginError::KindUnsupported => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "handle_kind_unsupported", error)
            }
            BeginError::AlreadyYours => Self::new(StatusCode::CONFLICT, "handle_taken", error),
            BeginError::Limited(limited) => Self::limited("verification_limit", limited),
            BeginError::Store(error) => error.into(),
            other => Self::directory(other),
        }
    }
}

impl From<VerifyError> for Problem {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Wrong { tries_left } => {
                Self::new(StatusCode::FORBIDDEN, "wrong_code", &error).with("tries_left", json!(tries_left))
            }
            VerifyError::Ended => Self::new(StatusCode::GONE, "verification_ended", error),
            VerifyError::HandleTaken => Self::new(StatusCode::CONFLICT, "handle_taken", error),
            VerifyError::TooManyHandles => Self::new(StatusCode::CONFLICT, "too_many_handles", error),
            VerifyError::Store(error) => error.into(),
            other => Self::directory(other),
        }
    }
}

impl From<RegistrationError> for Problem {
    fn from(error: RegistrationError) -> Self {
        match error {
            RegistrationError::NotVerified => Self::new(StatusCode::FORBIDDEN, "not_verified", error),
            RegistrationError::Password => Self::new(StatusCode::BAD_REQUEST, "malformed_password_message", error),
            RegistrationError::List(error) => Self::new(StatusCode::BAD_REQUEST, "invalid_list", error),
            RegistrationError::NotFirst(error) => Self::new(StatusCode::BAD_REQUEST, "invalid_list", error),
            RegistrationError::Prekeys(error) => Self::new(StatusCode::BAD_REQUEST, "invalid_prekeys", error),
            RegistrationError::Auth(error) => error.into(),
            RegistrationError::HandleTaken => Self::new(StatusCode::CONFLICT, "handle_taken", error),
            RegistrationError::AccountExists => Self::new(StatusCode::CONFLICT, "account_exists", error),
            RegistrationError::Store(error) => error.into(),
            other => Self::directory(other),
        }
    }
}

impl From<StartError> for Problem {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Handle(error) => Self::new(StatusCode::BAD_REQUEST, "malformed_handle", error),
            StartError::Malformed => Self::new(StatusCode::BAD_REQUEST, "malformed_password_message", error),
            StartError::Limited(limited) => Self::limited("sign_in_limit", limited),
            StartError::Busy => Self::busy(error, 120),
            StartError::Store(error) => error.into(),
            other => Self::directory(other),
        }
    }
}

impl From<FinishError> for Problem {
    fn from(error: FinishError) -> Self {
        match error {
            FinishError::Failed => Self::new(StatusCode::FORBIDDEN, "sign_in_failed", error),
            FinishError::Store(error) => error.into(),
            other => Self::directory(other),
        }
    }
}

impl From<RemoveError> for Problem {
    fn from(error: RemoveError) -> Self {
        match error {
            RemoveError::Handle(error) => Self::new(StatusCode::BAD_REQUEST, "malformed_handle", error),
            RemoveError::NotFound => Self::new(StatusCode::NOT_FOUND, "no_such_handle", error),
            RemoveError::Last => Self::new(StatusCode::CONFLICT, "last_handle", error),
            RemoveError::Store(error) => error.into(),
            other => Self::directory(other),
        }
    }
}

impl From<ReplaceError> for Problem {
    fn from(error: ReplaceError) -> Self {
        match error {
            ReplaceError::Invalid(error) => Self::new(StatusCode::BAD_REQUEST, "invalid_list", error),
            ReplaceError::Refused(error) => Self::new(StatusCode::FORBIDDEN, "list_refused", error),
            // DIR-4: with the current list, so that the client can go on at once.
            ReplaceError::Conflict { ref current } => {
                let list = STANDARD.encode(current);
                Self::new(StatusCode::CONFLICT, "list_conflict", &error).with("device_list", json!(list))
            }
            ReplaceError::Store(error) => error.into(),
            other => Self::directory(other),
        }
    }
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Invalid(error) => Self::new(StatusCode::BAD_REQUEST, "invalid_prekeys", error),
            UploadError::Revoked => AuthError::Refused(RequestError::Unauthenticated).into(),
            UploadError::Directory(error) => Self::directory(error),
            UploadError::Store(error) => error.into(),
            other => Self::directory(other),
        }
    }
}

impl From<TakeError> for Problem {
    fn from(error: TakeError) -> Self {
        match error {
            TakeError::Invalid(_) | TakeError::Foreign => Self::new(StatusCode::BAD_REQUEST, "invalid_report", error),
            TakeError::Revoked => AuthError::Refused(RequestError::Unauthenticated).into(),
            TakeError::Limited(limited) => Self::limited("report_limit", limited),
            TakeError::TooMany => Self::new(StatusCode::CONFLICT, "too_many_reports", error),
            TakeError::Full => Self::busy(error, 86_400),
            TakeError::Directory(error) => Self::directory(error),
            TakeError::Store(error) => error.into(),
            other => Self::directory(other),
        }
    }
}

impl From<LookupError> for Problem {
    fn from(error: LookupError) -> Self {
        use halcyon_directory::lookup::RequestError as Malformed;
        match error {
            LookupError::Request(Malformed::Count { found: 1.. }) => {
                Self::new(StatusCode::BAD_REQUEST, "too_many_handles", error)
            }
            LookupError::Request(error) => Self::new(StatusCode::BAD_REQUEST, "malformed_lookup", error),
            LookupError::Limited(limited) => Self::limited("lookup_limit", limited),
            LookupError::Directory(error) => Self::directory(error),
            LookupError::Store(error) => error.into(),
            other => Self::directory(other),
        }
    }
}

impl From<LinkError> for Problem {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::NotFound => Self::new(StatusCode::NOT_FOUND, "no_such_link", error),
            LinkError::TicketInvalid => Self::new(StatusCode::FORBIDDEN, "ticket_invalid", error),
            LinkError::TooMany => Self::new(StatusCode::CONFLICT, "too_many_links", error),
            LinkError::DeviceExists => Self::new(StatusCode::CONFLICT, "device_exists", error),
            LinkError::Entry(error) => Self::new(StatusCode::BAD_REQUEST, "invalid_entry", error),
            LinkError::Prekeys(error) => Self::new(StatusCode::BAD_REQUEST, "invalid_prekeys", error),
            LinkError::Ephemeral | LinkError::Sealed => Self::new(StatusCode::BAD_REQUEST, "malformed_request", error),
            LinkError::WrongState => Self::new(StatusCode::CONFLICT, "link_state", error),
            LinkError::Ended => Self::new(StatusCode::GONE, "link_ended", error),
            LinkError::OtherApprover => Self::new(StatusCode::CONFLICT, "link_state", error),
            LinkError::List(error) => error.into(),
            LinkError::Auth(error) => error.into(),
            LinkError::Store(error) => error.into(),
            other => Self::directory(other),
        }
    }
}
