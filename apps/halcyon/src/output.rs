//! Results on standard output, for people or as JSON, one object a line.
//!
//! Owns the choice of format, and colors. Does not know what a result means.
//!
//! - Every result has both forms, so no command works in one format only.
//! - A line is written whole and flushed, so that whoever reads along sees it at once.
//! - Colors, progress and prompts exist on a terminal only.
//! - Where the reader is another process (a call to the agent), each result goes there in both forms, and nothing to this process's.

use std::fmt::{self, Display};
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::args::Format;
use crate::failure::Failure;

/// How fast the sign of progress turns.
const TICK: Duration = Duration::from_millis(100);

/// Where results go.
#[derive(Clone)]
pub struct Output {
    format: Format,
    color: bool,
    /// Who reads, if it is not this process's standard output.
    reader: Option<Arc<dyn Reader>>,
}

/// Somebody elsewhere who reads results, in the order in which they are given. Each call may block until there is room.
pub trait Reader: Send + Sync {
    /// Takes a result: its value, and its words if the reader wants words.
    ///
    /// # Errors
    /// [`Failure`] if the reader is gone or takes too much time.
    fn result(&self, value: serde_json::Value, words: Option<String>) -> Result<(), Failure>;

    /// Takes what is said beside the results.
    fn note(&self, note: String);

    /// Is told what goes on, or that it is over.
    fn doing(&self, doing: Option<&'static str>);
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
        Self { format, color, reader: None }
    }

    /// Returns an output that somebody elsewhere reads.
    #[must_use]
    pub fn to(reader: Arc<dyn Reader>, format: Format, color: bool) -> Self {
        Self { format, color, reader: Some(reader) }
    }

    /// Returns an output without colors, as in a pipe.
    #[must_use]
    pub fn plain(format: Format) -> Self {
        Self { format, color: false, reader: None }
    }

    /// Returns the format.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Returns whether words have colors.
    #[must_use]
    pub fn has_color(&self) -> bool {
        self.color
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

    /// Returns a stretch of somebody's text with the codes of its styles around it, by their names; a name of a person is strong.
    #[must_use]
    pub fn looking(&self, styles: &[&str], is_mention: bool, text: &str) -> String {
        let code = |style: &&str| match *style {
            "bold" => Some("1"),
            "italic" => Some("3"),
            "underline" => Some("4"),
            "strikethrough" => Some("9"),
            _ => None,
        };
        let mut codes: Vec<&str> = styles.iter().filter_map(code).collect();
        if is_mention && !codes.contains(&"1") {
            codes.push("1");
        }
        if self.color && !codes.is_empty() {
            format!("\u{1b}[{}m{text}\u{1b}[0m", codes.join(";"))
        } else {
            text.to_owned()
        }
    }

    /// Prints one result: the value as a line of JSON, or the text.
    ///
    /// # Errors
    /// [`Failure`] if standard output is closed or full.
    pub fn result<T: Serialize>(&self, value: &T, text: impl FnOnce(&Self) -> String) -> Result<(), Failure> {
        let encode = |error| Failure::unexpected(format!("a result cannot be encoded: {error}"));
        match (&self.reader, self.format) {
            (Some(reader), format) => {
                let words = (format == Format::Text).then(|| text(self));
                reader.result(serde_json::to_value(value).map_err(encode)?, words)
            }
            (None, Format::Json) => self.line(&serde_json::to_string(value).map_err(encode)?),
            (None, Format::Text) => self.line(&text(self)),
        }
    }

    /// Prints a line as it is, on standard output.
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
        if self.format == Format::Json {
            return;
        }
        if let Some(reader) = &self.reader {
            reader.note(note.to_string());
        } else {
            // A closed standard error is no reason not to go on.
            let _ = writeln!(io::stderr().lock(), "{note}");
        }
    }

    /// Shows that something goes on, while the returned value lives; nothing where standard error is no terminal.
    pub fn progress(&self, doing: &'static str) -> Progress {
        if let Some(reader) = &self.reader {
            reader.doing(Some(doing));
            return Progress::Elsewhere(Arc::clone(reader));
        }
        Progress::Here(spinner(doing.to_owned()))
    }
}

/// A sign on the terminal that something goes on; nothing where standard error is no terminal.
pub(crate) fn spinner(doing: String) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner()).with_message(doing);
    bar.enable_steady_tick(TICK);
    bar
}

/// A sign of progress, gone when dropped.
#[must_use]
pub enum Progress {
    /// On this process's terminal.
    Here(ProgressBar),
    /// Where the reader of the results is.
    Elsewhere(Arc<dyn Reader>),
}

impl Drop for Progress {
    fn drop(&mut self) {
        match self {
            Self::Here(bar) => bar.finish_and_clear(),
            Self::Elsewhere(reader) => reader.doing(None),
        }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { format, color, reader } = self;
        f.debug_struct("Output")
            .field("format", format)
            .field("color", color)
            .field("reader", &reader.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe gets no codes.
    #[test]
    fn colors_are_for_terminals() {
        assert_eq!(Output::plain(Format::Text).styled(Style::Bad, "gone"), "gone");
        assert_eq!(
            Output { format: Format::Text, color: true, reader: None }.styled(Style::Bad, "gone"),
            "\u{1b}[31mgone\u{1b}[0m"
        );
    }
}
