//! Keys of simulated devices. RSA keys take tens of milliseconds and follow from no seed, so they come from a fixed pool.
//!
//! Owns the pool. Everything else of a device's keys is made as always, from the world's randomness.

use std::sync::OnceLock;

use halcyon_crypto::Rng;
use halcyon_crypto::p256::legacy::LegacySigningKey;
use halcyon_crypto::rsa::RsaPrivateKey;
use halcyon_suites::{DeviceKeys, Suite};
use halcyon_types::Timestamp;

/// PKCS #8 in hex, one a line. They protect nobody: they are published here.
const POOL: &str = include_str!("../keys/rsa1280.txt");

/// Makes a device's keys, with an RSA key from the pool.
///
/// # Panics
/// If the pool is damaged.
#[must_use]
pub fn device_keys(rng: &mut dyn Rng, suites: &[Suite], now: Timestamp) -> DeviceKeys {
    static PARSED: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let pool = PARSED.get_or_init(|| POOL.lines().map(|line| hex::decode(line).expect("our own file")).collect());
    let without: Vec<Suite> = suites.iter().copied().filter(|suite| *suite != Suite::Pair).collect();
    let mut keys = DeviceKeys::generate(rng, &without, now);
    if suites.contains(&Suite::Pair) {
        let at = rng.next_u32() as usize % pool.len();
        let rsa = RsaPrivateKey::from_pkcs8(&pool[at]).expect("our own file");
        keys.pair = Some(halcyon_suites::pair::PairKeys::from_keys(rsa, LegacySigningKey::generate(rng)));
    }
    keys
}

/// Makes lines for the pool.
#[must_use]
pub fn make_pool(count: usize, rng: &mut dyn Rng) -> String {
    let line = |_| hex::encode(RsaPrivateKey::generate(rng).to_pkcs8().expose()) + "\n";
    (0..count).map(line).collect()
}
