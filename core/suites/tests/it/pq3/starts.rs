//! Starts that come again: after a restart, after what they started is gone, after the prekey was rolled; and starts without end.

use halcyon_suites::{
    DeviceKeys, Session,
    pq3::{session::RECEIVING_MAX, start::STARTS_MAX},
};
use halcyon_types::Duration;
use rand::{SeedableRng, rngs::StdRng};

use super::{
    by_hand::signed,
    phones::{Phone, alice_and_bob, parsed, restarted, turn},
};
use crate::people::{NOW, days};

/// Bob's phone is switched off and on: everything out of its stored form.
fn restart(phone: Phone) -> Phone {
    let keys = DeviceKeys::from_secret_bytes(phone.device.keys.to_secret_bytes().expose()).unwrap();
    let session = restarted(&phone.session);
    Phone { device: crate::people::Device { keys, ..phone.device }, session, now: phone.now }
}

/// Bob publishes a new bundle; the private halves of the one before are kept (PQ3-7).
fn roll(phone: &mut Phone) {
    let keys = DeviceKeys::from_secret_bytes(phone.device.keys.to_secret_bytes().expose()).unwrap();
    phone.device.keys = keys.with_rolled_prekey(&mut phone.device.rng, phone.now);
}

/// Alice's phone without its session, as after a loss of its store, the `time`th.
fn forgetful(alice: &Phone, time: usize) -> Phone {
    let mut forgetful = Phone { session: Session::default(), ..alice.copied() };
    forgetful.device.rng = StdRng::seed_from_u64(5000 + time as u64);
    forgetful
}

/// PQ3-11: a start, and another message of its chain that was kept back, come again: at once, after a restart, after the chain is no
/// longer kept, after the session was dropped, and after the prekey was rolled. None opens, none adds a session.
#[test]
fn a_start_is_taken_up_once_whatever_became_of_it() {
    let (mut alice, mut bob) = alice_and_bob();
    let kept_back = alice.seal(&bob, "kept back");
    let start = turn(&mut alice, &mut bob);
    let refused = |bob: &Phone, sessions: usize, what: &str| {
        bob.has_no_key(&alice.public(), &start, what);
        bob.has_no_key(&alice.public(), &kept_back, what);
        assert_eq!(bob.session.pq3().sessions().len(), sessions, "{what}");
    };
    let opened = bob.try_open(&alice.public(), &kept_back).unwrap();
    assert_eq!(opened.plaintext.expose(), b"kept back", "control: while its chain is kept, it is only late");
    let mut talking = alice.copied();
    for _ in 0..=RECEIVING_MAX {
        turn(&mut bob, &mut talking);
        turn(&mut talking, &mut bob);
    }
    refused(&bob, 1, "its chain is gone");
    bob = restart(bob);
    refused(&bob, 1, "after a restart");
    // Three more starts push the session out (PQ3-15).
    for (time, sessions) in [2, 3, 3].into_iter().enumerate() {
        turn(&mut forgetful(&alice, time), &mut bob);
        assert_eq!(bob.session.pq3().sessions().len(), sessions);
    }
    refused(&bob, 3, "the session was dropped");
    for week in 1..=4 {
        bob.now = days(7 * week);
        roll(&mut bob);
        bob = restart(bob);
        refused(&bob, 3, "the prekey was rolled, and lives");
    }
    assert_eq!(bob.device.keys.pq3.as_ref().unwrap().kept(), 5);
}

/// PQ3-11, PQ3-31: the session beside the preferred one outlives the private prekey of its start, so that what was on its way for
/// weeks opens, and is wiped for its age. Its start is not taken up again before or after.
#[test]
fn a_session_that_is_not_preferred_is_kept_for_61_days() {
    let (mut alice, mut bob) = alice_and_bob();
    let start = turn(&mut alice, &mut bob);
    turn(&mut forgetful(&alice, 0), &mut bob);
    bob.now = days(7);
    roll(&mut bob);
    for (day, sessions) in [(37, 2), (60, 2), (61, 1)] {
        bob.now = days(day);
        bob.seal(&alice, "to the newer session");
        bob = restart(bob);
        assert_eq!(bob.session.pq3().sessions().len(), sessions, "day {day}");
        assert!(bob.try_open(&alice.public(), &start).is_err(), "day {day}");
    }
}

/// PQ3-7, PQ3-11: whoever forgets the names (here: a new profile with old prekeys) takes the start up again: the names alone refuse
/// it. Once the private halves are wiped, nothing can.
#[test]
fn names_refuse_replays_while_the_prekey_lives_and_its_end_does_after() {
    let (mut alice, mut bob) = alice_and_bob();
    let start = turn(&mut alice, &mut bob);
    bob.session = Session::default();
    assert!(bob.try_open(&alice.public(), &start).is_ok(), "control: without the names it opens");
    bob.now = days(7);
    roll(&mut bob);
    bob.now = days(38).minus(Duration::from_millis(1));
    bob.device.keys = bob.copied().device.keys.without_expired_prekeys(bob.now);
    assert!(bob.try_open(&alice.public(), &start).is_ok(), "control: the private halves are here to the last moment");
    bob.now = days(38);
    bob.device.keys = bob.copied().device.keys.without_expired_prekeys(bob.now);
    bob.has_no_key(&alice.public(), &start, "the private halves are wiped");
}

/// PQ3-11, PQ3-33: starts without end, each later than the one before. All are taken up, once: 32 are remembered, and of what is
/// forgotten one time for each bundle. The state does not grow beyond that.
#[test]
fn starts_without_end_are_taken_up_once() {
    let (alice, mut bob) = alice_and_bob();
    let (mut sizes, mut starts, mut newest) = (Vec::new(), Vec::new(), None);
    for number in 0..STARTS_MAX + 8 {
        let mut again = forgetful(&alice, number);
        again.now = NOW.plus(Duration::from_millis(number as u64));
        let start = again.seal(&bob, "start");
        assert_eq!(bob.open(&again, &start).unwrap(), "start", "{number}");
        bob = restart(bob);
        sizes.push(bob.stored().len());
        starts.push(start);
        newest = Some(again);
    }
    assert_eq!(sizes[STARTS_MAX - 1] - sizes[3], (80 + 8 + 16) * (STARTS_MAX - 4));
    // 16 for each message that is remembered, up to 64 (PQ3-26).
    assert_eq!(sizes[STARTS_MAX] - sizes[STARTS_MAX - 1], 48 + 8 + 16);
    assert_eq!(sizes[STARTS_MAX + 7] - sizes[STARTS_MAX], 7 * 16);
    assert_eq!(bob.session.summary().starts_remembered, STARTS_MAX);
    assert_eq!(bob.session.pq3().sessions().len(), 3);
    // The last three have sessions.
    for start in &starts[..starts.len() - 3] {
        bob.has_no_key(&alice.public(), start, "taken up before, remembered or not");
    }
    let mut newest = newest.unwrap();
    turn(&mut bob, &mut newest);
    turn(&mut newest, &mut bob);
}

/// PQ3-11, PQ3-25: a start that was made no later than a forgotten one may be a replay, and is not taken up, whatever would come out
/// of it, which nobody looks at.
#[test]
fn a_start_as_old_as_a_forgotten_one_is_refused() {
    let (alice, mut bob) = alice_and_bob();
    for number in 0..STARTS_MAX + 1 {
        let mut again = forgetful(&alice, number);
        again.now = NOW.plus(Duration::from_millis(number as u64));
        turn(&mut again, &mut bob);
    }
    for (number, then, is_late) in [(100, NOW, true), (101, NOW.plus(Duration::from_millis(1)), true)] {
        let mut late = forgetful(&alice, number);
        late.now = then;
        let start = late.seal(&bob, "start");
        assert_eq!(bob.try_open(&alice.public(), &start).is_err(), is_late, "{number}");
        bob.has_no_key(&alice.public(), &start, "no later than what was forgotten");
        let mut cut = parsed(&start);
        cut.ciphertext.truncate(3);
        let cut = signed(&cut, &alice.party(), &bob.party(), &alice.device.keys.device);
        bob.has_no_key(&alice.public(), &cut, "and padded wrongly");
    }
    let mut later = forgetful(&alice, 102);
    later.now = NOW.plus(Duration::from_millis(2));
    turn(&mut later, &mut bob);
}

/// PQ3-11: a clock that ran ahead, and was set back, makes no start that is too early, as long as there is state; and without it
/// only as long as the peer's bundle.
#[test]
fn a_clock_that_was_set_back_keeps_nobody_from_starting_for_long() {
    let (mut alice, mut bob) = alice_and_bob();
    for number in 0..STARTS_MAX + 2 {
        alice.now = days(20).plus(Duration::from_millis(number as u64));
        alice.restarts();
        turn(&mut alice, &mut bob);
    }
    alice.now = days(1);
    alice.restarts();
    turn(&mut alice, &mut bob);
    let mut forgetful = forgetful(&alice, 0);
    let start = forgetful.seal(&bob, "start");
    bob.has_no_key(&alice.public(), &start, "with a clock that is right, and no memory of the other");
    bob.now = days(7);
    roll(&mut bob);
    forgetful.now = bob.now;
    forgetful.loses_its_sessions();
    turn(&mut forgetful, &mut bob);
}
