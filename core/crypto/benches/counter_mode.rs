//! AES-256-CTR at message sizes, through our API (aws-lc) beside RustCrypto: the measurement behind the native backend's choice.
//!
//! Key setup is inside the measured part, since every message has its own key. `cargo bench -p halcyon-crypto --bench
//! counter_mode [-- --quick]`. The rounds are interleaved; the figures are medians.

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a bench reads the clock and prints its figures"
)]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use ::ctr::{
    Ctr128BE,
    cipher::{KeyIvInit, StreamCipher},
};
use aes::Aes256;
use halcyon_crypto::{Secret, ctr};

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick" || arg == "--test");
    let rounds = if quick { 20 } else { 5000 };
    for bytes in [256, 1024, 4096, 16_384] {
        let (mut ours, mut theirs) = (Vec::with_capacity(rounds), Vec::with_capacity(rounds));
        let mut buffer = vec![0u8; bytes];
        for round in 0..rounds {
            let key = Secret::fill_with(|key: &mut [u8; 32]| *key = [round as u8; 32]);
            let start = Instant::now();
            ctr::apply_aes256(&key, &[1; 16], black_box(&mut buffer));
            ours.push(start.elapsed());
            let start = Instant::now();
            Ctr128BE::<Aes256>::new(key.expose().into(), &[1; 16].into()).apply_keystream(black_box(&mut buffer));
            theirs.push(start.elapsed());
        }
        println!("{bytes:>6} bytes  aws-lc {:>8.0} ns   RustCrypto {:>8.0} ns", median(ours), median(theirs));
    }
}

/// Nanoseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e9
}
