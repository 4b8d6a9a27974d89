//! `halcyond` as an operator meets it: the real program, its exit codes, its words.

mod command_line;
mod process;
mod serving;
