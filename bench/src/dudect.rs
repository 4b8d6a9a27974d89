//! Does the time to open a `pair` message tell what was wrong with it? A dudect-style test, run by hand.
//!
//! `cargo run -p halcyon-bench --release -- dudect`
//!
//! Owns the classes, the order of the measurements and the statistic: Welch's t between each two classes, for all
//! measurements and for those below each of some percentiles of all (the slow ones are the machine's, not ours). The classes
//! take turns in a random order, and every message of a class is another one, so that neither caches nor drift tell them
//! apart. Does not prove that there is no leak; a |t| above 4.5 shows that there is one.

use std::{hint::black_box, io::Write as _, time::Instant};

use anyhow::Context as _;
use halcyon_crypto::{
    p256::legacy::LegacySigningKey,
    rsa::{BLOCK_BYTES, RsaPrivateKey},
};
use halcyon_suites::pair::PairKeys;
use num_bigint::BigUint;
use rand::{Rng as _, SeedableRng, rngs::StdRng, seq::SliceRandom as _};

/// Messages of a class; more than fit any cache would measure memory instead.
const MESSAGES: usize = 64;
/// Bytes of a text: with its key it fills the RSA block, as an ordinary message does.
const TEXT_BYTES: usize = 300;
/// Where |t| shows a leak (Reparaz, Balasch and Verbauwhede 2017).
const T_LEAK: f64 = 4.5;
/// Of all measurements of both classes, the part that is kept.
const PERCENTILES: [f64; 4] = [1.0, 0.95, 0.75, 0.5];

/// What is measured, and how often.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Measurements of each class.
    #[arg(long, default_value_t = 40_000)]
    samples: usize,
    /// Seed of everything but the RSA keys.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What is in a message. Every one of them has a good signature: a bad one ends earlier, and whoever made it knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Opens.
    Good,
    /// The block decodes, the tag does not fit: a bit of the content after the block is bent.
    BadTag,
    /// The block does not decode: the whole of it is random.
    BadBlock,
    /// The block begins with zero, as Manger's attack wants it, and does not decode: its label's hash is random.
    BadLabel,
}

const CLASSES: [(Class, &str); 4] = [
    (Class::Good, "valid tag"),
    (Class::BadTag, "valid OAEP, invalid tag"),
    (Class::BadBlock, "invalid OAEP, random"),
    (Class::BadLabel, "invalid OAEP, zero in front"),
];

/// Runs the measurement and prints it.
///
/// # Errors
/// If a message did not end as its class says, or nothing can be written.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let rng = &mut StdRng::seed_from_u64(arguments.seed);
    let signing = || LegacySigningKey::generate(&mut StdRng::seed_from_u64(arguments.seed + 1));
    let alice = PairKeys::from_keys(RsaPrivateKey::generate(rng), signing());
    let bob = PairKeys::generate(rng);

    let mut messages: Vec<Vec<Vec<u8>>> = Vec::new();
    for (class, name) in CLASSES {
        let made: Vec<Vec<u8>> = (0..MESSAGES)
            .map(|_| message(class, &alice, &bob, &signing(), rng))
            .collect::<anyhow::Result<_>>()
            .with_context(|| name)?;
        for message in &made {
            anyhow::ensure!(bob.open(alice.identity(), message).is_ok() == (class == Class::Good), "{name}");
        }
        messages.push(made);
    }

    let mut times: Vec<Vec<f64>> = vec![Vec::with_capacity(arguments.samples); CLASSES.len()];
    let mut turns: Vec<usize> = (0..CLASSES.len()).collect();
    for _ in 0..arguments.samples {
        turns.shuffle(rng);
        for class in &turns {
            let message = &messages[*class][rng.gen_range(0..MESSAGES)];
            let begun = Instant::now();
            let _ = black_box(bob.open(black_box(alice.identity()), black_box(message)));
            times[*class].push(begun.elapsed().as_nanos() as f64);
        }
    }
    print(&times)
}

fn message(
    class: Class,
    alice: &PairKeys,
    bob: &PairKeys,
    signing: &LegacySigningKey,
    rng: &mut StdRng,
) -> anyhow::Result<Vec<u8>> {
    let mut text = vec![0; TEXT_BYTES];
    rng.fill(&mut text[..]);
    let sealed = alice.seal(rng, bob.identity(), &text)?;
    let len = usize::from(u16::from_be_bytes([sealed[1], sealed[2]]));
    let mut body = sealed[3..3 + len].to_vec();
    match class {
        Class::Good => {}
        Class::BadTag => body[BLOCK_BYTES + 10] ^= 1,
        // Below the modulus, whose top bit is set.
        Class::BadBlock => {
            rng.fill(&mut body[..BLOCK_BYTES]);
            body[0] &= 0x7f;
        }
        Class::BadLabel => body[..BLOCK_BYTES].copy_from_slice(&other_label(bob, rng)),
    }
    let signature = signing.sign_sha1_der(&body);
    let head = [2, sealed[1], sealed[2]];
    Ok([&head[..], &body, &[signature.len() as u8], &signature].concat())
}

/// A number with a zero in front and random bytes after it, encrypted.
fn other_label(bob: &PairKeys, rng: &mut StdRng) -> [u8; BLOCK_BYTES] {
    let mut padded = [0; BLOCK_BYTES];
    rng.fill(&mut padded[1..]);
    let der = bob.identity().as_bytes();
    let modulus = &der[der.len() - BLOCK_BYTES - 5..der.len() - 5];
    let number = BigUint::from_bytes_be;
    let block = number(&padded).modpow(&BigUint::from(65_537_u32), &number(modulus)).to_bytes_be();
    let mut encrypted = [0; BLOCK_BYTES];
    encrypted[BLOCK_BYTES - block.len()..].copy_from_slice(&block);
    encrypted
}

fn print(times: &[Vec<f64>]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for ((_, name), times) in CLASSES.iter().zip(times) {
        let (mean, variance) = moments(times);
        writeln!(out, "{name:28} {:9.0} ns ± {:6.0}  ({} samples)", mean, variance.sqrt(), times.len())?;
    }
    let mut worst: f64 = 0.0;
    for a in 0..CLASSES.len() {
        for b in a + 1..CLASSES.len() {
            write!(out, "{} / {}:", CLASSES[a].1, CLASSES[b].1)?;
            for kept in PERCENTILES {
                let t = welch(&cropped(&times[a], &times[b], kept));
                worst = worst.max(t.abs());
                write!(out, "  t({:.0} %) = {t:+.2}", 100.0 * kept)?;
            }
            writeln!(out)?;
        }
    }
    let verdict = if worst > T_LEAK { "a difference" } else { "no difference shown" };
    writeln!(out, "largest |t| = {worst:.2} (limit {T_LEAK}): {verdict}")?;
    Ok(())
}

/// Both classes below the same time, which keeps this part of them together.
fn cropped(a: &[f64], b: &[f64], kept: f64) -> [Vec<f64>; 2] {
    let mut all = [a, b].concat();
    all.sort_by(f64::total_cmp);
    let last = ((all.len() as f64 * kept) as usize).clamp(1, all.len()) - 1;
    let limit = all[last];
    [a, b].map(|times| times.iter().copied().filter(|time| *time <= limit).collect())
}

/// Welch's t of two samples.
fn welch([a, b]: &[Vec<f64>; 2]) -> f64 {
    let ((mean_a, var_a), (mean_b, var_b)) = (moments(a), moments(b));
    (mean_a - mean_b) / (var_a / a.len() as f64 + var_b / b.len() as f64).sqrt()
}

/// Mean and variance.
fn moments(times: &[f64]) -> (f64, f64) {
    let mean = times.iter().sum::<f64>() / times.len() as f64;
    let squares: f64 = times.iter().map(|time| (time - mean).powi(2)).sum();
    (mean, squares / (times.len() - 1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The statistic sees a difference of a percent, and none where there is none.
    #[test]
    fn the_statistic_tells_classes_apart() {
        let rng = &mut StdRng::seed_from_u64(1);
        let mut draw = |around: f64| (0..20_000).map(|_| around + rng.gen_range(-100.0..100.0)).collect::<Vec<f64>>();
        let same = welch(&[draw(1000.0), draw(1000.0)]);
        let other = welch(&[draw(1000.0), draw(1010.0)]);
        assert!(same.abs() < T_LEAK && other < -T_LEAK, "{same} {other}");
    }
}
