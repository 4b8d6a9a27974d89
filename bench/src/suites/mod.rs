//! Each suite beside its own primitives, in one run on one thread, and what a message costs on the wire.
//!
//! Owns the table: which operation is compared with what, and how far above it may be. The rounds are interleaved, so that a
//! busy machine slows both alike, and figures are medians; only the ratios mean something.

pub(crate) mod device;
mod pair_ec;
mod pq3;
mod primitives;

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;

/// Options of `suites`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Rounds of each comparison.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    /// Fails if a ratio is above its goal. For quiet machines.
    #[arg(long)]
    strict: bool,
}

/// One operation and its primitives.
#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) what: &'static str,
    /// Median, in microseconds.
    pub(crate) us: f64,
    /// The bare primitives that no implementation can do without, in the same rounds.
    primitives: &'static str,
    primitives_us: f64,
    pub(crate) ratio: f64,
    /// What the ratio may be at most, where there is a goal.
    pub(crate) goal: Option<f64>,
}

/// Everything measured.
#[derive(Serialize)]
pub(crate) struct Report {
    rounds: u32,
    pub(crate) comparisons: Vec<Row>,
    pub(crate) fan_out: pq3::FanOut,
    wire: pq3::WireBytes,
    state: pq3::StateBytes,
    olm_with_signature: Olm,
}

/// vodozemac's Olm with an Ed25519 signature over each message, for orientation: another ratchet, on another curve.
#[derive(Serialize)]
struct Olm {
    seal_us: f64,
    open_us: f64,
    message_bytes: usize,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let report = measure(arguments.rounds)?;
    let text = if arguments.json { serde_json::to_string(&report)? } else { report.table() };
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{text}").context("standard output is closed")?;
    let above = report.comparisons.iter().filter(|row| row.goal.is_some_and(|goal| row.ratio > goal)).count();
    anyhow::ensure!(!arguments.strict || above == 0, "{above} of the ratios are above their goals");
    Ok(())
}

/// Measures everything.
pub(crate) fn measure(rounds: u32) -> anyhow::Result<Report> {
    let mut comparisons = pq3::compare_suite(rounds)?;
    comparisons.extend(pair_ec::compare_suite(rounds)?);
    Ok(Report {
        rounds,
        comparisons,
        fan_out: pq3::fan_out(rounds.div_ceil(20))?,
        wire: pq3::wire_bytes()?,
        state: pq3::state_bytes()?,
        olm_with_signature: olm(rounds)?,
    })
}

/// Times two operations in turn and returns the medians of both as a row.
pub(crate) fn compare(
    what: &'static str,
    primitives: &'static str,
    goal: Option<f64>,
    rounds: u32,
    mut round: impl FnMut() -> anyhow::Result<(Duration, Duration)>,
) -> anyhow::Result<Row> {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (operation, primitive) = round()?;
        ours.push(operation);
        bare.push(primitive);
    }
    let (us, primitives_us) = (median_us(ours), median_us(bare));
    Ok(Row { what, us, primitives, primitives_us, ratio: us / primitives_us, goal })
}

/// Runs `operation` once and returns its result and how long it took.
pub(crate) fn timed<T>(operation: impl FnOnce() -> T) -> (T, Duration) {
    let begun = Instant::now();
    let result = black_box(operation());
    (result, begun.elapsed())
}

pub(crate) fn median_us(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
}

fn olm(rounds: u32) -> anyhow::Result<Olm> {
    use vodozemac::olm::{Account, OlmMessage, SessionConfig};
    let signer = Account::new();
    let (alice, mut bob) = (Account::new(), Account::new());
    bob.generate_one_time_keys(1);
    let one_time = bob.one_time_keys().values().next().copied().context("a one-time key")?;
    let config = SessionConfig::version_2();
    let mut sending = alice.create_outbound_session(config, bob.curve25519_key(), one_time);
    let OlmMessage::PreKey(first) = sending.encrypt(b"hello") else { anyhow::bail!("the first message has a prekey") };
    let mut receiving = bob.create_inbound_session(alice.curve25519_key(), &first)?.session;
    sending.decrypt(&receiving.encrypt(b"hello yourself"))?;
    let (text, verifying) = (vec![b'x'; 256], signer.ed25519_key());
    let (mut seals, mut opens, mut message_bytes) = (Vec::new(), Vec::new(), 0);
    for _ in 0..rounds {
        let ((message, bytes, signature), took) = timed(|| {
            let message = sending.encrypt(black_box(&text));
            let bytes = message.to_parts().1;
            let signature = signer.sign(&bytes);
            (message, bytes, signature)
        });
        seals.push(took);
        message_bytes = bytes.len() + 64;
        let (opened, took) = timed(|| verifying.verify(&bytes, &signature).map(|()| receiving.decrypt(&message)));
        opened.context("the signature")?.context("the message")?;
        opens.push(took);
    }
    Ok(Olm { seal_us: median_us(seals), open_us: median_us(opens), message_bytes })
}

impl Report {
    fn table(&self) -> String {
        let mut lines = vec![format!("medians of {} rounds, one thread", self.rounds)];
        for row in &self.comparisons {
            let goal = match row.goal {
                Some(goal) if row.ratio <= goal => format!("goal {goal}"),
                Some(goal) => format!("ABOVE its goal {goal}"),
                None => String::new(),
            };
            lines.push(format!(
                "{:<32} {:>8.1} us = {:>5.2} x {:>8.1} us  {goal:<20} ({})",
                row.what, row.us, row.ratio, row.primitives_us, row.primitives
            ));
        }
        let (fan_out, wire, state) = (&self.fan_out, &self.wire, &self.state);
        lines.push(format!(
            "fan-out of 256 B to {} devices: {:.2} ms in live sessions, {:.2} ms if each has to be started",
            fan_out.devices, fan_out.live_ms, fan_out.start_ms
        ));
        lines.push(format!(
            "on the wire, 256 B of text: {} B in a live chain, {} B in the first chain, {} B more for the chain that offers a KEM key, {} B more for the one that answers",
            wire.live, wire.first_chain, wire.offer_extra, wire.answer_extra
        ));
        lines.push(format!(
            "at rest: {} B for a live session, {} B for one that waits for its first answer",
            state.live, state.unanswered
        ));
        let olm = &self.olm_with_signature;
        lines.push(format!(
            "for orientation, Olm with Ed25519: seal {:.1} us, open {:.1} us, {} B",
            olm.seal_us, olm.open_us, olm.message_bytes
        ));
        lines.join("\n")
    }
}
