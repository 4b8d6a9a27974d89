//! Hot functions, to be counted instruction by instruction: `cargo xtask instructions` runs each under callgrind.
//!
//! Owns what is counted. Does not count: only what runs inside of [`measured`] is collected, by its name.

use std::hint::black_box;

use halcyon_courier::send::Expiry;
use halcyon_courier::{ClientFrame, Deliver, Destination, Part, Sealed, SendRequest, ServerFrame};
use halcyon_crypto::SigningKey;
use halcyon_suites::pair_ec::{PrekeyRing, ReceiveState, SendState, SignedPrekey, open, seal};
use halcyon_suites::pq3::Sessions;
use halcyon_types::{EnvelopeId, Handle, PushToken, SuiteId, Topic};
use rand::{SeedableRng, rngs::StdRng};

use crate::suites::device::{Device, NOW, acquainted};

/// Calls that are counted together: enough for a rare branch to weigh what it weighs.
const ROUNDS: u32 = 20;
const TEXT_BYTES: usize = 256;

/// Options of `instructions`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What to run; without it, the names are printed, and how many calls are made of each.
    name: Option<String>,
}

/// Asks which processor the counts are of, in the place of an operation.
const FEATURES: &str = "features";

type Operation = Box<dyn FnMut() -> anyhow::Result<()>>;
type Prepare = fn(&mut StdRng) -> anyhow::Result<Operation>;

/// A name and how its operation is prepared.
const OPERATIONS: &[(&str, Prepare)] = &[
    ("frame-send-encode", send_encode),
    ("frame-send-decode", send_decode),
    ("frame-deliver-encode", deliver_encode),
    ("pair-ec-seal", pair_ec_seal),
    ("pair-ec-open", pair_ec_open),
    ("pq3-seal", pq3_seal),
    ("pq3-open", pq3_open),
    ("pq3-start-seal", pq3_start_seal),
    ("pq3-start-open", pq3_start_open),
    ("pq3-ratchet-seal", pq3_ratchet_seal),
    ("pq3-ratchet-open", pq3_ratchet_open),
];

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    use std::io::Write as _;
    let Some(name) = &arguments.name else {
        for (name, _) in OPERATIONS {
            writeln!(std::io::stdout(), "{name} {ROUNDS}")?;
        }
        return Ok(());
    };
    if name == FEATURES {
        writeln!(std::io::stdout(), "{}", features().join(" "))?;
        return Ok(());
    }
    let known = OPERATIONS.iter().find(|(known, _)| known == name);
    let (_, prepare) = known.ok_or_else(|| anyhow::anyhow!("there is no operation {name}"))?;
    let mut operation = prepare(&mut StdRng::seed_from_u64(1))?;
    // What is set up at the first call (dispatch by processor, tables) is not counted.
    operation()?;
    measured(&mut *operation)
}

/// Returns what the libraries below choose their code by. Callgrind shows a program fewer of them than the machine has.
fn features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let known = [
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("bmi2", std::is_x86_feature_detected!("bmi2")),
        ("adx", std::is_x86_feature_detected!("adx")),
        ("aes", std::is_x86_feature_detected!("aes")),
        ("sha", std::is_x86_feature_detected!("sha")),
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let known = [(std::env::consts::ARCH, true)];
    known.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect()
}

/// The frame that callgrind collects in.
#[inline(never)]
fn measured(operation: &mut dyn FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
    for _ in 0..ROUNDS {
        operation()?;
    }
    Ok(())
}

fn send_encode(_: &mut StdRng) -> anyhow::Result<Operation> {
    let frame = send_to_five()?;
    Ok(Box::new(move || {
        black_box(frame.clone().encode());
        Ok(())
    }))
}

fn send_decode(_: &mut StdRng) -> anyhow::Result<Operation> {
    let bytes = send_to_five()?.encode();
    Ok(Box::new(move || {
        black_box(ClientFrame::decode(black_box(bytes.clone()))?);
        Ok(())
    }))
}

fn deliver_encode(_: &mut StdRng) -> anyhow::Result<Operation> {
    let deliver = Deliver { seq: 1, envelope: vec![1; 1200].into(), from_storage: false, last_from_storage: false };
    Ok(Box::new(move || {
        black_box(ServerFrame::Deliver(deliver.clone()).encode());
        Ok(())
    }))
}

fn pair_ec_seal(rng: &mut StdRng) -> anyhow::Result<Operation> {
    let (alice, bob) = (SigningKey::generate_compact(rng), SigningKey::generate_compact(rng));
    let ring = PrekeyRing::generate(rng, &bob, NOW);
    let prekey = SignedPrekey::verify(ring.record(), bob.verifying_key())?;
    let (mut rng, mut state, text) = (rng.clone(), SendState::default(), vec![b'x'; TEXT_BYTES]);
    Ok(Box::new(move || {
        let (sealed, next) = seal(std::mem::take(&mut state), &mut rng, &alice, &prekey, NOW, black_box(&text))?;
        black_box(sealed);
        state = next;
        Ok(())
    }))
}

fn pair_ec_open(rng: &mut StdRng) -> anyhow::Result<Operation> {
    let (alice, bob) = (SigningKey::generate_compact(rng), SigningKey::generate_compact(rng));
    let ring = PrekeyRing::generate(rng, &bob, NOW);
    let prekey = SignedPrekey::verify(ring.record(), bob.verifying_key())?;
    let (sealed, _) = seal(SendState::default(), rng, &alice, &prekey, NOW, &[b'x'; TEXT_BYTES])?;
    let (state, own) = (ReceiveState::default(), *bob.verifying_key().compact());
    Ok(Box::new(move || {
        black_box(open(&state, &ring, &own, alice.verifying_key(), black_box(&sealed))?);
        Ok(())
    }))
}

fn pq3_seal(rng: &mut StdRng) -> anyhow::Result<Operation> {
    let (mut alice, bob) = acquainted(rng)?;
    alice.seal(rng, &bob, b"the chain begins")?;
    let (mut rng, text) = (rng.clone(), vec![b'x'; TEXT_BYTES]);
    Ok(Box::new(move || {
        black_box(alice.seal(&mut rng, &bob, black_box(&text))?);
        Ok(())
    }))
}

fn pq3_open(rng: &mut StdRng) -> anyhow::Result<Operation> {
    let (mut alice, mut bob) = acquainted(rng)?;
    let first = alice.seal(rng, &bob, b"the chain begins")?;
    bob.receive(&alice, &first)?;
    let sealed = alice.seal(rng, &bob, &[b'x'; TEXT_BYTES])?;
    Ok(Box::new(move || {
        black_box(bob.open(&alice, black_box(&sealed))?);
        Ok(())
    }))
}

fn pq3_start_seal(rng: &mut StdRng) -> anyhow::Result<Operation> {
    let (alice, bob) = (Device::new(rng, 1), Device::new(rng, 2));
    let (mut rng, text) = (rng.clone(), vec![b'x'; TEXT_BYTES]);
    Ok(Box::new(move || {
        black_box(alice.seal_with(Sessions::default(), &mut rng, &bob, black_box(&text))?);
        Ok(())
    }))
}

fn pq3_start_open(rng: &mut StdRng) -> anyhow::Result<Operation> {
    let (mut alice, bob) = (Device::new(rng, 1), Device::new(rng, 2));
    let sealed = alice.seal(rng, &bob, &[b'x'; TEXT_BYTES])?;
    Ok(Box::new(move || {
        black_box(bob.open(&alice, black_box(&sealed))?);
        Ok(())
    }))
}

fn pq3_ratchet_seal(rng: &mut StdRng) -> anyhow::Result<Operation> {
    let (alice, bob) = acquainted(rng)?;
    let (mut rng, text) = (rng.clone(), vec![b'x'; TEXT_BYTES]);
    Ok(Box::new(move || {
        black_box(alice.seal_with(alice.sessions.clone(), &mut rng, &bob, black_box(&text))?);
        Ok(())
    }))
}

fn pq3_ratchet_open(rng: &mut StdRng) -> anyhow::Result<Operation> {
    let (mut alice, bob) = acquainted(rng)?;
    let sealed = alice.seal(rng, &bob, &[b'x'; TEXT_BYTES])?;
    Ok(Box::new(move || {
        black_box(bob.open(&alice, black_box(&sealed))?);
        Ok(())
    }))
}

/// A send to five devices of one account, 1 KiB each.
fn send_to_five() -> anyhow::Result<ClientFrame> {
    let sealed = |n: u8| Sealed {
        id: EnvelopeId::from_bytes([n; 16]),
        push_token: PushToken::from_bytes([n; 32]),
        suite: SuiteId::PQ3,
        payload: vec![n; 1024].into(),
    };
    let destination = Destination {
        session_token: vec![1; 40].into(),
        list_version: 1,
        parts: (0..5).map(|n| Part::new(sealed(n))).collect(),
    };
    let request = SendRequest {
        id: 1,
        topic: Topic::message(),
        sender_handle: Handle::parse("mailto:alice@example.org")?,
        sender_list_version: 1,
        expiry: Expiry::At(NOW),
        epoch: 0,
        destinations: vec![destination],
    };
    Ok(ClientFrame::Send(request.into_unchecked()))
}
