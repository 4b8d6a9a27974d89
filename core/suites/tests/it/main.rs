//! The suites from outside: Alice's phone, Bob's phone, and Eve who wants to be either.

mod attacks;
mod people;
mod sessions;
mod states;
