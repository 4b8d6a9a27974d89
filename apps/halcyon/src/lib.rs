//! The command-line client as a library, so that help, man pages and completions come from the one definition in [`args`].
//!
//! Owns what a person at a terminal, or a script, sees: arguments, prompts, output, exit codes.
//! Does not know protocols: everything that is done is done by `halcyon_client`.
//!
//! - Nothing secret is taken from an argument or an environment variable's value; only from files, descriptors, prompts.
//! - What peers wrote reaches a terminal through [`text::sanitize`] only (CON-3).
//! - Results go to standard output; prompts, progress and errors to standard error.
//!
//! Next: [`run()`] is the whole program.

#[cfg(unix)]
mod agent;
pub mod args;
mod blame;
pub mod calendar;
mod commands;
pub mod failure;
pub mod hosted;
#[cfg_attr(not(unix), allow(dead_code, reason = "there is no agent"))]
mod keeper;
mod kept;
pub mod line;
mod markup;
pub mod native;
pub mod output;
pub mod profile;
pub mod prompt;
mod session;
#[cfg_attr(not(unix), allow(dead_code, reason = "there is no agent"))]
mod stop;
pub mod text;

pub use commands::{Invocation, run};
