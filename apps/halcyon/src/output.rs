//! Results on standard output, for people or as JSON, one object a line.
//!
//! Owns the choice of format, and colors. Does not know what a result means.
//!
//! - Every result has both forms, so no command works in one format only.
//! - A line is written whole and flushed, so that whoever reads along sees it at once.
//! - Colors, progress and prompts exist on a terminal only.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::args::Format;
use crate::failure::Failure;

/// How fast the sign of progress turns.
const TICK: Duration = Duration::from_millis(100);

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    format: Format,
    color: bool,
}

/// How a piece of text is emphasized on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// What the line is about.
    Strong,
    /// What one reads only when looking for it.
    Faint,
    /// What went well.
    Good,
    /// What needs attention.
    Bad,
}

impl Output {
    /// Returns the output of this process. Colors are used if standard output is a terminal and `NO_COLOR` is not set.
    #[must_use]
    pub fn new(format: Format) -> Self {
        let color = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { format, color }
    }

    /// Returns an output without colors, as in a pipe.
    #[must_use]
    pub fn plain(format: Format) -> Self {
        Self { format, color: false }
    }

    /// Returns the format.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Returns the text with the codes of a style around it, or as it is where there are no colors.
    #[must_use]
    pub fn styled(&self, style: Style, text: impl Display) -> String {
        if !self.color {
            return text.to_string();
        }
        let code = match style {
            Style::Strong => "1",
            Style::Faint => "2",
            Style::Good => "32",
            Style::Bad => "31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// Prints one result: the value as a line of JSON, or the text.
    ///
    /// # Errors
    /// [`Failure`] if standard output is closed or full.
    pub fn result<T: Serialize>(&self, value: &T, text: impl FnOnce(&Self) -> String) -> Result<(), Failure> {
        match self.format {
            Format::Json => {
                let line = serde_json::to_string(value)
                    .map_err(|error| Failure::unexpected(format!("a result cannot be encoded: {error}")))?;
                self.line(&line)
            }
            Format::Text => self.line(&text(self)),
        }
    }

    /// Prints a line as it is.
    ///
    /// # Errors
    /// As [`Self::result`].
    pub fn line(&self, line: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::reader_left(),
            _ => Failure::network(format!("standard output cannot be written: {error}")),
        })
    }

    /// Tells a person something that is no result, on standard error; nothing in JSON.
    pub fn note(&self, note: impl Display) {
        if self.format == Format::Text {
            // A closed standard error is no reason not to go on.
            let _ = writeln!(io::stderr().lock(), "{note}");
        }
    }

    /// Shows that something goes on, while the returned value lives; nothing where standard error is no terminal.
    #[must_use]
    pub fn progress(&self, doing: &'static str) -> Progress {
        if !io::stderr().is_terminal() {
            return Progress(ProgressBar::hidden());
        }
        let bar = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner()).with_message(doing);
        bar.enable_steady_tick(TICK);
        Progress(bar)
    }
}

/// A sign of progress, gone when dropped.
pub struct Progress(ProgressBar);

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe gets no codes.
    #[test]
    fn colors_are_for_terminals() {
        assert_eq!(Output::plain(Format::Text).styled(Style::Bad, "gone"), "gone");
        assert_eq!(Output { format: Format::Text, color: true }.styled(Style::Bad, "gone"), "\u{1b}[31mgone\u{1b}[0m");
    }
}
