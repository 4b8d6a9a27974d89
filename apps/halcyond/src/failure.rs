//! Why the process ends with another code than 0, and which.
//!
//! Owns the exit codes. Every failure says whose move is next.

use std::fmt;

use halcyon_server_net::serve::StartError;
use halcyon_server_store::directory::ReportsError;
use halcyon_types::ReportId;

use crate::config::Problem;

/// The operator has to change an argument or the configuration.
pub(crate) const USER: u8 = 1;
/// A bug, or a state that nobody foresaw.
const UNEXPECTED: u8 = 2;
/// The machine: a port, a folder, a disk.
const MACHINE: u8 = 3;

/// Why `halcyond` ends.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What is wrong with the configuration, all of it. Nothing was started.
    Configuration(Vec<Problem>),
    /// The server did not start. Nothing was changed.
    Start(StartError),
    /// The operating system refused.
    Machine(std::io::Error),
    /// The reports cannot be read or changed.
    Reports(ReportsError),
    /// There is none of this name, or it expired.
    NoSuchReport(ReportId),
    /// The server did not end in time. Everything that it accepted is on disk.
    Stuck,
}

impl Failure {
    /// Returns the exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Configuration(_) | Self::NoSuchReport(_) => USER,
            Self::Reports(ReportsError::Missing | ReportsError::OtherVersion { .. }) => USER,
            // Files that are there, but are not what the configuration says they are.
            Self::Start(StartError::Tls(_) | StartError::Smtp(_)) => USER,
            Self::Start(_) | Self::Machine(_) | Self::Reports(_) => MACHINE,
            Self::Stuck => UNEXPECTED,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(problems) => {
                let count = problems.len();
                writeln!(f, "halcyond: the configuration has {count} problem{}:", if count == 1 { "" } else { "s" })?;
                for problem in problems {
                    writeln!(f, "\n  {}", problem.to_string().replace('\n', "\n  "))?;
                }
                Ok(())
            }
            Self::Start(error) => write!(f, "halcyond: {error}"),
            Self::Machine(error) => write!(f, "halcyond: the operating system refused: {error}"),
            Self::Reports(error) => write!(f, "halcyond: {error}"),
            Self::NoSuchReport(id) => {
                write!(
                    f,
                    "halcyond: there is no report {id}, or its 90 days are over; `halcyond reports list` has those that are there"
                )
            }
            Self::Stuck => write!(
                f,
                "halcyond: some connections did not end in time; what was accepted is on disk, and the next start goes on"
            ),
        }
    }
}
