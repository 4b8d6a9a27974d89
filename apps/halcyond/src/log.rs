//! The log: where it goes and in which form.
//!
//! Owns format and level. What may stand in a line is each caller's duty: never contents, handles, keys or tokens.

use tracing_subscriber::filter::LevelFilter;

use crate::config::Config;

/// Sends everything that is logged from here on to standard error.
pub(crate) fn start(config: &Config) {
    let level = match config.text("log.level") {
        Some("error") => LevelFilter::ERROR,
        Some("warn") => LevelFilter::WARN,
        Some("debug") => LevelFilter::DEBUG,
        Some("trace") => LevelFilter::TRACE,
        _ => LevelFilter::INFO,
    };
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level).with_target(true);
    // An error means that a log was started before, which then goes on.
    let _ = match config.text("log.format") {
        Some("json") => lines.json().flatten_event(true).try_init(),
        _ => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
    };
}
