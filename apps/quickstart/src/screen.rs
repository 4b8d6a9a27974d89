//! What is shown: one line an event, the same words on a terminal and in a pipe.
//!
//! Owns the format, which the README documents and scripts may rely on, the prompt, and colors. Does not know why something happened.
//!
//! - An event is one line, whatever a peer wrote (CON-3).
//! - The prompt and colors exist on a terminal only.

use std::io::{self, IsTerminal, Write};

use halcyon::text::one_line;

use crate::cast::Device;

/// Standard output.
#[derive(Debug)]
pub(crate) struct Screen {
    terminal: bool,
    prompt: Option<String>,
}

/// An event to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// A device sealed a message and put it into its outbox.
    Sent { from: Device, text: &'a str },
    /// A message arrived. The sender's device goes by the name that its verified list has.
    Arrived { at: Device, from: &'a str, suite: &'a str, text: &'a str },
    /// A receipt of a device arrived at the sender.
    Delivered { to: Device, at: Device, text: &'a str },
    /// Something stored: what `/history` shows.
    History { at: Device, from: &'a str, text: &'a str },
    /// An answer to a question, as `/devices` is one.
    Note(&'a str),
    /// Something that went wrong.
    Problem(&'a str),
}

impl Screen {
    /// Returns the screen. It is a conversation with a person if both ends are a terminal.
    pub(crate) fn new() -> Self {
        Self { terminal: io::stdin().is_terminal() && io::stdout().is_terminal(), prompt: None }
    }

    /// Returns whether a person types.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Shows an event.
    pub(crate) fn show(&mut self, line: &Line<'_>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.terminal {
            // The prompt is on this line, perhaps with half a line typed: clear it, and show it again below.
            write!(out, "\r\u{1b}[K{}{line}\u{1b}[0m\n", color(line))?;
            if let Some(prompt) = &self.prompt {
                write!(out, "{prompt}")?;
            }
        } else {
            writeln!(out, "{line}")?;
        }
        out.flush()
    }

    /// Tells something that is no event: on standard error, so that a pipe has events only.
    pub(crate) fn note(&self, note: &str) -> io::Result<()> {
        let mut err = io::stderr().lock();
        if self.prompt.is_some() {
            write!(err, "\r\u{1b}[K")?;
        }
        writeln!(err, "{note}")?;
        if let Some(prompt) = &self.prompt {
            write!(err, "{prompt}")?;
        }
        err.flush()
    }

    /// Shows who speaks, and that a line can be typed.
    pub(crate) fn ask(&mut self, speaker: Device, suite: &str) -> io::Result<()> {
        if !self.terminal || self.prompt.is_some() {
            return Ok(());
        }
        let prompt = format!("{speaker} [{suite}]> ");
        let mut out = io::stdout().lock();
        write!(out, "{prompt}")?;
        self.prompt = Some(prompt);
        out.flush()
    }

    /// Takes note that a line was typed, which ended the prompt.
    pub(crate) fn answered(&mut self) {
        self.prompt = None;
    }
}

impl std::fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sent { from, text } => write!(f, "sent from {from}: {}", one_line(text)),
            Self::Arrived { at, from, suite, text } => {
                write!(f, "arrived at {at} from {} ({suite}): {}", one_line(from), one_line(text))
            }
            Self::Delivered { to, at, text } => {
                write!(f, "delivered to {to}, says its receipt at {at}: {}", one_line(text))
            }
            Self::History { at, from, text } => write!(f, "history of {at}: {}: {}", one_line(from), one_line(text)),
            Self::Note(note) => write!(f, "{note}"),
            Self::Problem(problem) => write!(f, "problem: {problem}"),
        }
    }
}

fn color(line: &Line<'_>) -> &'static str {
    match line {
        Line::Sent { .. } | Line::Note(_) | Line::History { .. } => "\u{1b}[2m",
        Line::Arrived { .. } => "",
        Line::Delivered { .. } => "\u{1b}[32m",
        Line::Problem(_) => "\u{1b}[31m",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The README documents these lines.
    #[test]
    fn the_format_is_stable() {
        let lines = [
            Line::Sent { from: Device::AlicePhone, text: "hello" },
            Line::Arrived { at: Device::BobTablet, from: "alice phone", suite: "pair-ec", text: "hello" },
            Line::Delivered { to: Device::BobTablet, at: Device::AlicePhone, text: "hello" },
            Line::History { at: Device::BobPhone, from: "alice phone", text: "hello" },
        ];
        let shown: Vec<String> = lines.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "sent from alice phone: hello",
                "arrived at bob tablet from alice phone (pair-ec): hello",
                "delivered to bob tablet, says its receipt at alice phone: hello",
                "history of bob phone: alice phone: hello",
            ]
        );
    }

    /// CON-3: what a peer wrote stays on its line.
    #[test]
    fn a_message_cannot_forge_a_line() {
        let line = Line::Arrived {
            at: Device::BobPhone,
            from: "alice phone",
            suite: "pair",
            text: "x\ndelivered to bob tablet\u{1b}[2J",
        };
        assert_eq!(
            line.to_string(),
            "arrived at bob phone from alice phone (pair): x⏎delivered to bob tablet\u{fffd}[2J"
        );
    }
}
