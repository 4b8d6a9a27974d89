//! What `cargo run` starts: a complete server on loopback, two people with two devices each, and a place to type.

mod cast;
mod command;
mod folder;
mod screen;
mod tracker;

fn main() {}
