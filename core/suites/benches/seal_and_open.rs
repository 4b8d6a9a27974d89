//! Seals and opens one `pair-ec` message beside its own primitives, in one run.
//!
//! The primitives are what no implementation can do without: one ECDH, one signature or verification, and the symmetric
//! part (HKDF and AES-256-CTR over the padded plaintext). A seal also makes an ephemeral key, which is counted against us.
//!
//! `cargo bench -p halcyon-suites --bench seal_and_open [-- --json] [-- --quick]`. The rounds are interleaved, so that a busy
//! machine slows both alike; the figures are medians.

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench reads the clock and prints its figures"
)]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use halcyon_crypto::{
    AgreementKey, AgreementPublic, Secret, SigningKey, VerifyingKey, ctr, kdf, labels::fixed, padding,
};
use halcyon_suites::{
    pair::PairKeys,
    pair_ec::{PrekeyRing, ReceiveState, SendState, SignedPrekey, open, seal},
};
use halcyon_types::Timestamp;
use rand::{SeedableRng, rngs::StdRng};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
/// Plaintext sizes: a short text, a kibibyte, the courier's largest envelope.
const SIZES: [usize; 3] = [40, 1024, 15_000];
/// What an operation may cost, in multiples of its primitives.
const RATIO_MAX: f64 = 1.5;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let rounds = if has("--quick") || has("--test") { 20 } else { 2000 };
    let rows: Vec<Row> = SIZES.iter().map(|size| pair_ec(*size, rounds)).collect();
    let legacy = pair(rounds.min(200));
    if has("--json") {
        let rows: Vec<String> = rows.iter().map(Row::json).collect();
        println!("{{\"rounds\":{rounds},\"pair_ec\":[{}],{legacy}}}", rows.join(","));
    } else {
        rows.iter().for_each(Row::print);
        println!("pair, for orientation: {legacy}");
    }
}

/// Medians in microseconds for one size of plaintext.
struct Row {
    bytes: usize,
    seal: f64,
    seal_primitives: f64,
    open: f64,
    open_primitives: f64,
}

impl Row {
    fn print(&self) {
        let (seal, open) = (self.seal / self.seal_primitives, self.open / self.open_primitives);
        println!(
            "{:>6} bytes  seal {:>6.1} us = {seal:.2} x primitives ({:.1} us)   open {:>6.1} us = {open:.2} x primitives ({:.1} us)   limit {RATIO_MAX}",
            self.bytes, self.seal, self.seal_primitives, self.open, self.open_primitives,
        );
    }

    fn json(&self) -> String {
        format!(
            "{{\"bytes\":{},\"seal_us\":{:.2},\"seal_primitives_us\":{:.2},\"seal_ratio\":{:.3},\"open_us\":{:.2},\"open_primitives_us\":{:.2},\"open_ratio\":{:.3}}}",
            self.bytes,
            self.seal,
            self.seal_primitives,
            self.seal / self.seal_primitives,
            self.open,
            self.open_primitives,
            self.open / self.open_primitives,
        )
    }
}

fn pair_ec(bytes: usize, rounds: usize) -> Row {
    let mut rng = StdRng::seed_from_u64(1);
    let (alice, bob) = (SigningKey::generate_compact(&mut rng), SigningKey::generate_compact(&mut rng));
    let ring = PrekeyRing::generate(&mut rng, &bob, NOW);
    let prekey = SignedPrekey::verify(ring.record(), bob.verifying_key()).unwrap();
    let own = *bob.verifying_key().compact();
    let plaintext = vec![b'x'; bytes];
    let mut primitives = Primitives::new(&mut rng, bytes);

    let (mut sending, mut receiving) = (SendState::default(), ReceiveState::default());
    let [mut seals, mut seal_primitives, mut opens, mut open_primitives] = [(); 4].map(|()| Vec::with_capacity(rounds));
    for _ in 0..rounds {
        let start = Instant::now();
        let (sealed, next) = seal(sending, &mut rng, &alice, &prekey, NOW, black_box(&plaintext)).unwrap();
        seals.push(start.elapsed());
        sending = next;
        seal_primitives.push(primitives.of_seal());
        let start = Instant::now();
        let opened = open(&receiving, &ring, &own, alice.verifying_key(), black_box(&sealed)).unwrap();
        opens.push(start.elapsed());
        receiving = opened.next;
        open_primitives.push(primitives.of_open());
    }
    Row {
        bytes,
        seal: median(seals),
        seal_primitives: median(seal_primitives),
        open: median(opens),
        open_primitives: median(open_primitives),
    }
}

/// The bare operations on keys that are parsed already.
struct Primitives {
    private: AgreementKey,
    public: AgreementPublic,
    signing: SigningKey,
    verifying: VerifyingKey,
    content: Vec<u8>,
}

impl Primitives {
    fn new(rng: &mut StdRng, bytes: usize) -> Self {
        let signing = SigningKey::generate_compact(rng);
        let peer = AgreementKey::generate(rng);
        Self {
            private: AgreementKey::generate(rng),
            public: AgreementPublic::from_compact(peer.compact()).unwrap(),
            verifying: signing.verifying_key().clone(),
            signing,
            content: vec![0; padding::padded_len(bytes + 14)],
        }
    }

    /// ECDH, symmetric part, sign.
    fn of_seal(&mut self) -> Duration {
        let start = Instant::now();
        let z = self.private.agree(&self.public);
        self.symmetric(&z);
        black_box(self.signing.sign_raw(&[&self.content]));
        start.elapsed()
    }

    /// ECDH, verify, symmetric part. Verifying a wrong signature costs what verifying a right one does; this one is right.
    fn of_open(&mut self) -> Duration {
        let signature = self.signing.sign_raw(&[&self.content]);
        let start = Instant::now();
        let z = self.private.agree(&self.public);
        self.verifying.verify_raw(&[&self.content], &signature).unwrap();
        self.symmetric(&z);
        start.elapsed()
    }

    fn symmetric(&mut self, z: &Secret<32>) {
        let okm = kdf::hkdf_sha256::<48>(fixed::PAIR_EC_MESSAGE_KEYS, z.expose(), &[]);
        let key = Secret::fill_with(|key: &mut [u8; 32]| key.copy_from_slice(&okm.expose()[..32]));
        ctr::apply_aes256(&key, &[0; 16], black_box(&mut self.content));
    }
}

/// The legacy suite, without a limit of its own.
fn pair(rounds: usize) -> String {
    let mut rng = StdRng::seed_from_u64(2);
    let (alice, bob) = (PairKeys::generate(&mut rng), PairKeys::generate(&mut rng));
    let (mut seals, mut opens) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let start = Instant::now();
        let sealed = alice.seal(&mut rng, bob.identity(), &[b'x'; 1024]).unwrap();
        seals.push(start.elapsed());
        let start = Instant::now();
        black_box(bob.open(alice.identity(), &sealed).unwrap());
        opens.push(start.elapsed());
    }
    format!("\"pair_seal_us\":{:.1},\"pair_open_us\":{:.1}", median(seals), median(opens))
}

/// Microseconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e6
}
