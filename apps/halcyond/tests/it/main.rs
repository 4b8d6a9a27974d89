//! `halcyond` as an operator meets it: the real program, its exit codes, its words.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod command_line;
mod process;
mod reports;
mod serving;
