//! From the client's errors to failures: what happened, whose move, what next.
//!
//! Owns the advice. Does not decide whose fault an error is: the error says it.

use std::error::Error;

use halcyon_client::Fault;
use halcyon_client::error::{
    ApiError, ApproveError, ChooseError, DevicesError, HandlesError, LinkError, LookupError, ProfileError,
    RegisterError, ReportError, SendError, VerificationError,
};

use crate::failure::{Failure, Kind};
use crate::text::one_line;

impl From<Fault> for Kind {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::User => Self::User,
            Fault::Unexpected => Self::Unexpected,
            Fault::Io => Self::Network,
            Fault::UntrustedKey => Self::UntrustedKey,
            Fault::RateLimit => Self::RateLimit,
        }
    }
}

/// What is the same for every error of one fault.
fn advice(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Network => Some("look at the address, the connection and the disk; `halcyon doctor` looks further"),
        Kind::UntrustedKey => {
            Some("do not go on before you know why: ask the other person, or the server's operator, over another way")
        }
        Kind::Unexpected => Some("try again; if it stays, report it with the output of `halcyon doctor`"),
        Kind::RateLimit => Some("wait, then try again"),
        Kind::User | Kind::ReaderLeft => None,
    }
}

/// Returns the failure of an error: its words and those of its causes, so far as they say more.
pub(crate) fn failure(error: &dyn Error, kind: Kind) -> Failure {
    let mut what = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !what.contains(&words) {
            what = format!("{what}: {words}");
        }
        cause = error.source();
    }
    let failure = Failure::new(kind, one_line(&what));
    match advice(kind) {
        Some(next) => failure.next(next),
        None => failure,
    }
}

/// Errors that may hold what the server said.
trait Answer {
    fn api(&self) -> Option<&ApiError>;
}

macro_rules! failures {
    ($($error:ident $(=> $api:pat => $inner:expr)?),+ $(,)?) => { $(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                let failure = failure(&error, error.fault().into());
                match error.api() {
                    Some(ApiError::Problem(problem)) => match problem.retry_after_s {
                        Some(seconds) => failure.next(format!("wait {}, then try again", halcyon_types::Duration::from_secs(seconds))),
                        None => failure,
                    },
                    _ => failure,
                }
            }
        }
        impl Answer for $error {
            fn api(&self) -> Option<&ApiError> {
                match self {
                    $($api => Some($inner),)?
                    _ => None,
                }
            }
        }
    )+ };
}

failures!(
    ProfileError,
    SendError,
    ChooseError,
    VerificationError => Self::Api(error) => error,
    RegisterError => Self::Api(error) => error,
    LinkError => Self::Api(error) => error,
    ApproveError => Self::Api(error) => error,
    LookupError => Self::Api(error) => error,
    DevicesError => Self::Api(error) => error,
    HandlesError => Self::Api(error) => error,
    ReportError => Self::Api(error) => error,
);

impl From<halcyon_client_store::ProfileError> for Failure {
    fn from(error: halcyon_client_store::ProfileError) -> Self {
        use halcyon_client_store::{KeyFileError, ProfileError as E};
        let kind = match &error {
            E::Missing | E::Exists | E::InUse | E::Key(KeyFileError::WrongPassphrase) => Kind::User,
            _ => Kind::Network,
        };
        let mut failure = failure(&error, kind);
        // These messages say what next on their own.
        failure.next = match error {
            E::Missing => Some("`halcyon register` makes an account, `halcyon link` joins one; `--profile NAME` chooses another profile".to_owned()),
            _ => None,
        };
        failure
    }
}

#[cfg(test)]
mod tests {
    use halcyon_client::error::Problem;
    use halcyon_client::ports::HttpError;

    use super::*;

    #[test]
    fn a_rate_limit_says_how_long_to_wait() {
        let problem = Problem {
            status: 429,
            code: "rate_limited".into(),
            detail: "too many verifications".into(),
            retry_after_s: Some(600),
            server_time_ms: None,
            tries_left: None,
        };
        let failure = Failure::from(VerificationError::Api(ApiError::Problem(problem)));
        assert_eq!(failure.kind, Kind::RateLimit);
        assert_eq!(failure.next.as_deref(), Some("wait 10 min, then try again"));
    }

    #[test]
    fn every_fault_has_its_exit_code() {
        for fault in [Fault::User, Fault::Unexpected, Fault::Io, Fault::UntrustedKey, Fault::RateLimit] {
            assert_eq!(Kind::from(fault).exit_code(), fault.exit_code());
        }
        let untrusted = Failure::from(LookupError::Api(ApiError::Http(HttpError::Untrusted("unknown issuer".into()))));
        assert_eq!(untrusted.kind.exit_code(), 4);
        assert!(untrusted.what.contains("unknown issuer"), "{untrusted}");
    }

    /// CON-3: what the server says is shown on one line, without control characters.
    #[test]
    fn the_servers_words_are_sanitized() {
        let away = Failure::from(LookupError::Api(ApiError::Http(HttpError::Broken("a\u{1b}[2J\nb".into()))));
        assert!(!away.to_string().contains('\u{1b}'));
        assert!(!away.what.contains('\n'));
    }
}
