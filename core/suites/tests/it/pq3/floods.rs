//! Floods: a device that jumps as far as it may, again and again, in one chain, in many and in several sessions.
//!
//! Memory is what is stored. Work is compared with other work in the same run: the least of several measurements, and
//! generous factors, so that a busy machine does not fail them; deriving without bound would miss them by orders.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "costs are compared within one run, and no time is told"
)]

use std::time::{Duration, Instant};

use halcyon_suites::{
    OpenError, Session, Suite,
    pq3::{
        kdf::ChainKey,
        skipped::{CHAIN_MAX, SESSION_MAX},
    },
};
use rand::{SeedableRng, rngs::StdRng};

use super::{
    by_hand::signed,
    phones::{Phone, acquainted, parsed, turn},
    stored::{self, secret},
};

/// PQ3-33: three sessions without skipped keys; remembered starts and messages; 2,000 keys of 40 bytes.
const THREE_SESSIONS: usize = 16 * 1024;
const REMEMBERED: usize = 2560 + 1024;
const SKIPPED: usize = 80_000;

/// Returns the message that is `ahead` further than the next. Those between are not sealed: their steps are taken on Alice's disk,
/// which is what a device does that wants to flood and not to talk.
fn jump(from: &mut Phone, to: &Phone, ahead: usize) -> Vec<u8> {
    if stored::sessions(&from.session).first().is_none_or(|session| session.sending.is_none()) {
        from.seal(to, "lost"); // Begins the chain.
    }
    let sending = stored::preferred(&from.session).sending.unwrap();
    let last = (0..ahead).fold(ChainKey::from_secret(secret(sending.chain)), |key, _| key.step().1);
    let mut disk = from.stored().expose().to_vec();
    let at = disk.windows(32).position(|window| window == sending.chain).unwrap();
    disk[at..at + 32].copy_from_slice(last.expose());
    disk[at + 32..at + 36].copy_from_slice(&(sending.next + ahead as u32).to_be_bytes());
    from.session = Session::from_secret_bytes(&disk).unwrap();
    from.seal(to, "far ahead")
}

/// The least time that something took.
fn least(times: usize, mut work: impl FnMut()) -> Duration {
    let timed = (0..times).map(|_| {
        let begun = Instant::now();
        work();
        begun.elapsed()
    });
    timed.min().unwrap()
}

/// PQ3-30: jumps of a thousand in one chain, chain after chain, and in three sessions: the keys stay within their two bounds and the
/// stored state within PQ3-33's; and the conversation goes on.
#[test]
fn the_stored_state_stays_bounded() {
    let (mut alice, mut bob) = acquainted();
    let mut largest = 0;
    for round in 0..6 {
        for _ in 0..2 {
            let far = jump(&mut alice, &bob, CHAIN_MAX - 1);
            assert_eq!(bob.open(&alice, &far).unwrap(), "far ahead");
            assert!(bob.session.pq3().skipped() <= SESSION_MAX);
            largest = largest.max(bob.stored().len());
        }
        if round % 2 == 1 {
            // The device starts anew, as if it had lost its store.
            alice = Phone { session: Session::default(), ..alice.copied() };
            alice.device.rng = StdRng::seed_from_u64(round);
        } else {
            turn(&mut bob, &mut alice);
        }
    }
    assert_eq!(bob.session.pq3().skipped(), SESSION_MAX);
    let skipped = stored_keys(&bob);
    assert!(skipped.iter().all(|keys| *keys <= CHAIN_MAX), "{skipped:?}");
    assert!((SKIPPED..=SKIPPED + THREE_SESSIONS + REMEMBERED).contains(&largest), "{largest}");
    turn(&mut alice, &mut bob);
    turn(&mut bob, &mut alice);
}

fn stored_keys(phone: &Phone) -> Vec<usize> {
    let sessions = stored::sessions(&phone.session);
    sessions.iter().flat_map(|session| &session.receiving).map(|chain| chain.skipped.len()).collect()
}

/// PQ3-30: an index that is too far is refused before anything is derived: by 1,001, by 2^31, by all, signed by the true device,
/// it costs what a message with a wrong indicator costs that takes one step.
#[test]
fn a_jump_that_is_too_far_costs_nothing() {
    let (mut alice, mut bob) = acquainted();
    turn(&mut alice, &mut bob);
    let next = parsed(&alice.seal(&bob, "next"));
    let resigned = |index, indicator| {
        let mut message = next.clone();
        (message.index, message.indicator) = (index, indicator);
        signed(&message, &alice.party(), &bob.party(), &alice.device.keys.device)
    };
    let cost = |sealed: &[u8]| least(20, || bob.has_no_key(&alice.public(), sealed, "refused"));
    let one_step = cost(&resigned(next.index, [0; 32]));
    let a_thousand_steps = cost(&resigned(next.index + 1000, [0; 32]));
    for index in [next.index + 1001, next.index + (1 << 31), u32::MAX - 1, u32::MAX] {
        let too_far = cost(&resigned(index, next.indicator));
        assert!(too_far < 3 * one_step, "{index}: {too_far:?}, one step {one_step:?}");
    }
    assert!(a_thousand_steps > 3 * one_step, "control: deriving shows: {a_thousand_steps:?}, one step {one_step:?}");
}

/// PQ3-30: once as many keys are kept as may be, the next jump of a thousand costs what the one before did, and so does an ordinary
/// message: work follows the bounds, and not what the sender did before.
#[test]
fn work_does_not_grow_with_what_was_skipped() {
    let (mut alice, mut bob) = acquainted();
    let cost = |bob: &Phone, alice: &Phone, sealed: &[u8]| {
        let from = alice.public();
        least(5, || drop(bob.device.open_at(&bob.session, Suite::Pq3.id(), &from, bob.now, sealed).unwrap()))
    };
    let (mut jumps, mut ordinary) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        let far = jump(&mut alice, &bob, CHAIN_MAX - 1);
        jumps.push(cost(&bob, &alice, &far));
        bob.open(&alice, &far).unwrap();
        let next = alice.seal(&bob, "ordinary");
        ordinary.push(cost(&bob, &alice, &next));
        bob.open(&alice, &next).unwrap();
        turn(&mut bob, &mut alice);
    }
    assert_eq!(bob.session.pq3().skipped(), SESSION_MAX);
    for costs in [&jumps, &ordinary] {
        let (early, late) = (costs[2..5].iter().min(), costs[6..].iter().min());
        assert!(late.unwrap() < &(4 * *early.unwrap()), "{costs:?}");
    }
}

/// PQ3-24, PQ3-30: two hundred chains that nobody can have begun, each signed by the true device: refused, and nothing is kept.
#[test]
fn chains_out_of_nothing_leave_no_trace() {
    let (mut alice, mut bob) = acquainted();
    turn(&mut alice, &mut bob);
    turn(&mut bob, &mut alice);
    let live = parsed(&alice.seal(&bob, "live"));
    let mut rng = StdRng::seed_from_u64(3);
    let size = bob.stored().len();
    for number in 0..200 {
        let mut message = live.clone();
        message.ephemeral = *halcyon_crypto::AgreementKey::generate(&mut rng).compact();
        message.index = number * 5_000_000;
        let forged = signed(&message, &alice.party(), &bob.party(), &alice.device.keys.device);
        assert_eq!(bob.open(&alice, &forged).unwrap_err(), OpenError::NoKey);
    }
    assert_eq!(bob.stored().len(), size);
}
