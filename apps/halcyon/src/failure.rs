//! How a command ends when it does not do what was asked: what happened, whose move it is, what to do next.
//!
//! Owns the exit codes, which scripts rely on, and the two forms in which a failure is printed.
//! Does not know what any command does.

use std::fmt;

use serde::Serialize;

/// Why a command failed, as its exit code says it. The numbers are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// 1: what was asked cannot be done as asked.
    User,
    /// 2: a defect here or at the server.
    Unexpected,
    /// 3: a disk, the network, or a server that is away.
    Network,
    /// 4: keys are not those that were accepted before, or do not prove what they should.
    UntrustedKey,
    /// 5: asked too often.
    RateLimit,
    /// 0: whoever read the results has seen enough, as `head` does. Nothing is printed.
    ReaderLeft,
}

impl Kind {
    /// Returns the exit code.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::User => 1,
            Self::Unexpected => 2,
            Self::Network => 3,
            Self::UntrustedKey => 4,
            Self::RateLimit => 5,
            Self::ReaderLeft => 0,
        }
    }

    /// Returns whose move it is.
    const fn whose(self) -> &'static str {
        match self {
            Self::User => "yours",
            Self::Unexpected => "a defect of Halcyon, here or at the server",
            Self::Network => "this machine, the network or the server",
            Self::UntrustedKey => "the server or the other person; perhaps an attacker",
            Self::RateLimit => "yours: asked too often",
            Self::ReaderLeft => "nobody's",
        }
    }
}

/// A command that failed. Nothing in it is secret, and nothing in it is a peer's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Decides the exit code.
    pub kind: Kind,
    /// What happened: one sentence without a full stop.
    pub what: String,
    /// What to do next, or nothing if that goes without saying.
    pub next: Option<String>,
}

impl Failure {
    /// Returns a failure that says no more than what happened.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), next: None }
    }

    /// Returns a failure of the person's doing.
    pub fn user(what: impl Into<String>) -> Self {
        Self::new(Kind::User, what)
    }

    /// Returns a failure of disk, network or server.
    pub fn network(what: impl Into<String>) -> Self {
        Self::new(Kind::Network, what)
    }

    /// Returns what ends a command whose reader closed the pipe.
    #[must_use]
    pub fn reader_left() -> Self {
        Self::new(Kind::ReaderLeft, "standard output was closed")
    }

    /// Returns a failure that nobody foresaw.
    pub fn unexpected(what: impl Into<String>) -> Self {
        Self::new(Kind::Unexpected, what)
    }

    /// Returns the failure of a call to an agent whose profile is locked.
    #[must_use]
    pub fn locked() -> Self {
        Self::user("the agent is locked").next("run `halcyon unlock`")
    }

    /// Adds what to do next.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    /// Returns the one-line JSON form for `--output json`.
    #[must_use]
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            #[serde(rename = "type")]
            kind: &'static str,
            fault: Kind,
            exit_code: u8,
            what: &'a str,
            next: Option<&'a str>,
        }
        let line = Line {
            kind: "error",
            fault: self.kind,
            exit_code: self.kind.exit_code(),
            what: &self.what,
            next: self.next.as_deref(),
        };
        serde_json::to_string(&line).expect("a struct of strings and numbers always encodes")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "halcyon: {}\n  whose move: {}", self.what, self.kind.whose())?;
        match &self.next {
            Some(next) => write!(f, "\n  what next:  {next}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scripts decide by these numbers.
    #[test]
    fn exit_codes_are_those_of_the_help() {
        let kinds =
            [Kind::ReaderLeft, Kind::User, Kind::Unexpected, Kind::Network, Kind::UntrustedKey, Kind::RateLimit];
        assert_eq!(kinds.map(Kind::exit_code), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_failure_says_what_whose_and_next() {
        let failure = Failure::network("the server does not answer").next("run `halcyon doctor`");
        insta::assert_snapshot!(failure.to_string(), @r"
        halcyon: the server does not answer
          whose move: this machine, the network or the server
          what next:  run `halcyon doctor`
        ");
        insta::assert_snapshot!(
            failure.to_json(),
            @r#"{"type":"error","fault":"network","exit_code":3,"what":"the server does not answer","next":"run `halcyon doctor`"}"#
        );
    }
}
