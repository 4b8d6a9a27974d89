//! The command line as people and scripts use it: the built program against a real server.

mod failures;
mod interface;
mod linking;
mod talking;
mod world;
