//! AES-256-CTR at message sizes, through our API (aws-lc) beside RustCrypto: the measurement behind the native backend's choice.
//!
//! Key setup is inside the measured part, since every message has its own key. `cargo bench -p halcyon-crypto --bench
//! counter_mode [-- --quick]`. The two take turns, and turns in going first, in samples of some microseconds, so that what else the
//! machine does hits both; the least of all samples is what the code takes when nothing disturbs it, and the median of the ratios of
//! neighbors says who is faster on a busy machine, too. (Instruction counts would be of other code: valgrind hides the wide AES
//! instructions that aws-lc picks at run time.)

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "a bench reads the clock and prints its figures"
)]

use std::{hint::black_box, time::Instant};

use ::ctr::{
    Ctr128BE,
    cipher::{KeyIvInit, StreamCipher},
};
use aes::Aes256;
use halcyon_crypto::{Secret, ctr};

/// Operations in one sample: at 256 bytes some microseconds, a hundred times what reading the clock takes.
const OPERATIONS: u32 = 16;

fn main() {
    let asked = |flag| std::env::args().any(|arg| arg == flag);
    // `cargo test` runs it, too, and says nothing of it.
    let quick = asked("--quick") || !asked("--bench");
    let rounds = if quick { 20 } else { 20_000 };
    for bytes in [256, 1024, 4096, 16_384] {
        let mut buffer = vec![0u8; bytes];
        let mut samples: [Vec<f64>; 2] = Default::default();
        for round in 0..rounds {
            for turn in 0..2 {
                let who = (round + turn) % 2;
                let key = Secret::fill_with(|key: &mut [u8; 32]| *key = [round as u8; 32]);
                samples[who].push(if who == 0 { ours(&key, &mut buffer) } else { theirs(&key, &mut buffer) });
            }
        }
        let ratios = samples[0].iter().zip(&samples[1]).map(|(ours, theirs)| ours / theirs).collect();
        let [ours, theirs] = samples.map(|samples| samples.into_iter().fold(f64::INFINITY, f64::min));
        println!(
            "{bytes:>6} bytes  least: aws-lc {ours:>6.0} ns   RustCrypto {theirs:>6.0} ns   median of ratios {:.2}",
            median(ratios)
        );
    }
}

/// Nanoseconds an operation, through our API.
fn ours(key: &Secret<32>, buffer: &mut [u8]) -> f64 {
    timed(|| ctr::apply_aes256(black_box(key), &[1; 16], black_box(&mut *buffer)))
}

/// Nanoseconds an operation, of RustCrypto.
fn theirs(key: &Secret<32>, buffer: &mut [u8]) -> f64 {
    timed(|| {
        let mut cipher = Ctr128BE::<Aes256>::new(black_box(key).expose().into(), &[1; 16].into());
        cipher.apply_keystream(black_box(&mut *buffer));
    })
}

fn timed(mut operation: impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..OPERATIONS).for_each(|_| operation());
    start.elapsed().as_secs_f64() * 1e9 / f64::from(OPERATIONS)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
