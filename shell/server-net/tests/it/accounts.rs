//! Attacks on accounts: who may call what, what guessing costs, and what answers give away.

mod callers;
mod connects;
mod enumeration;
mod guessing;
mod matrix;
