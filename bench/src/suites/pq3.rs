//! `pq3` beside its primitives, its fan-out, and what it costs on the wire and at rest.

use anyhow::Context as _;
use halcyon_suites::pq3::Sessions;
use rand::{SeedableRng, rngs::StdRng};
use serde::Serialize;

use super::device::{Device, acquainted};
use super::primitives::{Bound, Primitives};
use super::{Row, compare, median_us, timed};

const TEXT_BYTES: usize = 256;
/// 32 people with 5 devices each: the largest usual group.
const DEVICES: usize = 160;
/// What a live message, or a start, may cost in multiples of its primitives.
const GOAL: f64 = 1.3;

/// One message to every device of a group.
#[derive(Serialize)]
pub(crate) struct FanOut {
    pub(crate) devices: usize,
    pub(crate) live_ms: f64,
    pub(crate) start_ms: f64,
}

/// Bytes of a sealed message with 256 bytes of text.
#[derive(Serialize)]
pub(super) struct WireBytes {
    pub(super) live: usize,
    /// With the start, and the first offer of a KEM key.
    pub(super) first_chain: usize,
    /// What a chain that offers a KEM key adds to each of its messages.
    pub(super) offer_extra: usize,
    /// What a chain that encapsulates to an offered key adds.
    pub(super) answer_extra: usize,
}

/// Bytes of the state between two devices as it is stored.
#[derive(Serialize)]
pub(super) struct StateBytes {
    pub(super) live: usize,
    pub(super) unanswered: usize,
}

pub(super) fn compare_suite(rounds: u32) -> anyhow::Result<Vec<Row>> {
    let mut rng = StdRng::seed_from_u64(2);
    let rng = &mut rng;
    let text = vec![b'x'; TEXT_BYTES];
    let mut bare = Primitives::new(rng, TEXT_BYTES)?;
    let (mut rows, mut sealed) = (Vec::new(), Vec::new());

    let (mut alice, mut bob) = acquainted(rng)?;
    rows.push(compare("pq3 live seal", "sign, symmetric part", Some(GOAL), rounds, || {
        let (message, ours) = timed(|| alice.seal(rng, &bob, &text));
        sealed.push(message?);
        let ((), bare) = timed(|| {
            bare.sign();
            bare.symmetric();
        });
        Ok((ours, bare))
    })?);
    let mut messages = sealed.iter();
    rows.push(compare("pq3 live open", "verify, symmetric part", Some(GOAL), rounds, || {
        let message = messages.next().context("one message a round")?;
        let (opened, ours) = timed(|| bob.open(&alice, message));
        bob.sessions = opened?.next;
        let ((), bare) = timed(|| {
            bare.verify();
            bare.symmetric();
        });
        Ok((ours, bare))
    })?);

    let (fresh, mut newcomer) = (Device::new(rng, 3), Device::new(rng, 4));
    let mut starts = Vec::new();
    rows.push(compare(
        "pq3 start, sealed",
        "verify the bundle, fresh ECDH, encapsulate 1024, root step, sign, symmetric part",
        Some(GOAL),
        rounds,
        || {
            let (result, ours) = timed(|| fresh.seal_with(Sessions::default(), rng, &newcomer, &text));
            starts.push(result?.0);
            let ((), bare) = timed(|| {
                bare.verify();
                bare.fresh_agree(rng);
                bare.encapsulate_1024(rng);
                bare.root_step(Bound::Kem1024);
                bare.sign();
                bare.symmetric();
            });
            Ok((ours, bare))
        },
    )?);
    let mut messages = starts.iter();
    rows.push(compare(
        "pq3 start, opened",
        "verify, ECDH, decapsulate 1024, root step, symmetric part",
        Some(GOAL),
        rounds,
        || {
            let message = messages.next().context("one message a round")?;
            newcomer.sessions = Sessions::default();
            let (opened, ours) = timed(|| newcomer.open(&fresh, message));
            opened?;
            let ((), bare) = timed(|| {
                bare.verify();
                bare.agree();
                bare.decapsulate_1024();
                bare.root_step(Bound::Kem1024);
                bare.symmetric();
            });
            Ok((ours, bare))
        },
    )?);
    rows.extend(turns(rng, rounds, &mut bare)?);
    Ok(rows)
}

/// Changes of direction, without KEM values and with them. A conversation is rewound, so that each round is the same.
fn turns(rng: &mut StdRng, rounds: u32, bare: &mut Primitives) -> anyhow::Result<Vec<Row>> {
    let text = vec![b'x'; TEXT_BYTES];
    let (alice, bob) = acquainted(rng)?;
    let mut rows =
        vec![compare("pq3 ratchet, sealed", "fresh ECDH, root step, sign, symmetric part", None, rounds, || {
            let (result, ours) = timed(|| alice.seal_with(alice.sessions.clone(), rng, &bob, &text));
            result?;
            let ((), bare) = timed(|| {
                bare.fresh_agree(rng);
                bare.root_step(Bound::Keys);
                bare.sign();
                bare.symmetric();
            });
            Ok((ours, bare))
        })?];
    let (message, _) = alice.seal_with(alice.sessions.clone(), rng, &bob, &text)?;
    rows.push(compare("pq3 ratchet, opened", "verify, ECDH, root step, symmetric part", None, rounds, || {
        let (opened, ours) = timed(|| bob.open(&alice, &message));
        opened?;
        let ((), bare) = timed(|| {
            bare.verify();
            bare.agree();
            bare.root_step(Bound::Keys);
            bare.symmetric();
        });
        Ok((ours, bare))
    })?);
    // The first answer to a start takes the starter's offer up and makes one of its own: a whole rekey.
    let (mut starter, mut answerer) = (Device::new(rng, 5), Device::new(rng, 6));
    let start = starter.seal(rng, &answerer, &text)?;
    answerer.receive(&starter, &start)?;
    rows.push(compare(
        "pq3 rekey, sealed",
        "fresh ECDH, encapsulate 768, root step, sign, symmetric part",
        None,
        rounds,
        || {
            let (result, ours) = timed(|| answerer.seal_with(answerer.sessions.clone(), rng, &starter, &text));
            result?;
            let ((), bare) = timed(|| {
                bare.fresh_agree(rng);
                bare.encapsulate_768(rng);
                bare.root_step(Bound::Kem768);
                bare.sign();
                bare.symmetric();
            });
            Ok((ours, bare))
        },
    )?);
    let (answer, _) = answerer.seal_with(answerer.sessions.clone(), rng, &starter, &text)?;
    rows.push(compare(
        "pq3 rekey, opened",
        "verify, generate and decapsulate 768, ECDH, root step, symmetric part",
        None,
        rounds,
        || {
            let (opened, ours) = timed(|| starter.open(&answerer, &answer));
            opened?;
            let ((), bare) = timed(|| {
                bare.verify();
                bare.generate_768(rng);
                bare.decapsulate_768();
                bare.agree();
                bare.root_step(Bound::Kem768);
                bare.symmetric();
            });
            Ok((ours, bare))
        },
    )?);
    Ok(rows)
}

pub(super) fn fan_out(rounds: u32) -> anyhow::Result<FanOut> {
    let mut rng = StdRng::seed_from_u64(3);
    let text = vec![b'x'; TEXT_BYTES];
    let sender = Device::new(&mut rng, 1);
    let mut live = Vec::new();
    let mut others = Vec::new();
    for _ in 0..DEVICES {
        let (mut alice, bob) = acquainted(&mut rng)?;
        // The chain has begun, as it has after the first line of a turn.
        alice.seal(&mut rng, &bob, &text)?;
        live.push((alice, bob));
        others.push(Device::new(&mut rng, 2));
    }
    let (mut live_times, mut start_times) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (result, took) = timed(|| -> anyhow::Result<()> {
            for (alice, bob) in &mut live {
                alice.seal(&mut rng, bob, &text)?;
            }
            Ok(())
        });
        result?;
        live_times.push(took);
        let (result, took) = timed(|| -> anyhow::Result<()> {
            for other in &others {
                sender.seal_with(Sessions::default(), &mut rng, other, &text)?;
            }
            Ok(())
        });
        result?;
        start_times.push(took);
    }
    Ok(FanOut { devices: DEVICES, live_ms: median_us(live_times) / 1e3, start_ms: median_us(start_times) / 1e3 })
}

pub(super) fn wire_bytes() -> anyhow::Result<WireBytes> {
    let mut rng = StdRng::seed_from_u64(4);
    let text = vec![b'x'; TEXT_BYTES];
    let (mut alice, mut bob) = acquainted(&mut rng)?;
    let live = alice.seal(&mut rng, &bob, &text)?.len();
    let (mut newcomer, other) = (Device::new(&mut rng, 5), Device::new(&mut rng, 6));
    let first_chain = newcomer.seal(&mut rng, &other, &text)?.len();
    // Talk until a rekey comes by itself: one chain offers, the next answers.
    let mut sizes = Vec::new();
    for _ in 0..60 {
        let message = alice.seal(&mut rng, &bob, &text)?;
        bob.receive(&alice, &message)?;
        let answer = bob.seal(&mut rng, &alice, &text)?;
        alice.receive(&bob, &answer)?;
        sizes.extend([message.len(), answer.len()]);
    }
    let mut extra: Vec<usize> =
        sizes.iter().map(|size| size.saturating_sub(live)).filter(|extra| *extra > 500).collect();
    extra.sort_unstable();
    extra.dedup();
    let (answer_extra, offer_extra) =
        (*extra.first().context("a rekey in 120 messages")?, *extra.get(1).or(extra.first()).context("a rekey")?);
    Ok(WireBytes { live, first_chain, offer_extra, answer_extra })
}

pub(super) fn state_bytes() -> anyhow::Result<StateBytes> {
    let mut rng = StdRng::seed_from_u64(5);
    let (alice, bob) = acquainted(&mut rng)?;
    let mut newcomer = Device::new(&mut rng, 7);
    newcomer.seal(&mut rng, &bob, b"hello")?;
    Ok(StateBytes { live: alice.sessions.encoded_len(), unanswered: newcomer.sessions.encoded_len() })
}
