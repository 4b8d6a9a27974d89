//! Replays every input that is kept, through every target, without a fuzzer.

mod replay;
