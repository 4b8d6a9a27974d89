//! A copied device that goes on sending, beside the one that it was copied from: what Bob sees of the two.

use halcyon_suites::{
    OpenError, Session,
    pq3::{forks::REMEMBERED, start::STARTS_MAX},
};
use halcyon_types::Duration;
use rand::{SeedableRng, rngs::StdRng};

use super::{
    by_hand::signed,
    phones::{Phone, acquainted, parsed, restarted, turn},
};

/// PQ3-26: both go on in the chain that was copied, and so seal with the same keys. Of each key Bob opens one message, whoever was
/// first; the other is a fork, after a restart too, and not a replay that would be passed over in silence.
#[test]
fn two_messages_with_one_key_are_a_fork() {
    for alice_first in [true, false] {
        let (mut alice, mut bob) = acquainted();
        turn(&mut alice, &mut bob);
        let mut clone = alice.copied();
        let (hers, its) = (alice.seal(&bob, "from alice"), clone.seal(&bob, "from the copy"));
        assert_eq!(parsed(&hers).indicator, parsed(&its).indicator, "one key");
        let (first, second) = if alice_first { (hers, its) } else { (its, hers) };
        bob.open(&alice, &first).unwrap();
        bob = Phone { session: restarted(&bob.session), ..bob };
        assert_eq!(bob.open(&alice, &second).unwrap_err(), OpenError::Forked);
        assert_eq!(bob.open(&alice, &first).unwrap_err(), OpenError::Replayed, "the courier delivers twice");
        // The conversation goes on, and every later pair shows it again.
        let (hers, its) = (alice.seal(&bob, "again alice"), clone.seal(&bob, "again the copy"));
        bob.open(&alice, &its).unwrap();
        assert_eq!(bob.open(&alice, &hers).unwrap_err(), OpenError::Forked);
    }
}

/// PQ3-26: the copy runs ahead by more messages than are remembered; Alice's next few pass for replays, and then for forks.
#[test]
fn a_copy_that_runs_ahead_is_noticed_all_the_same() {
    let (mut alice, mut bob) = acquainted();
    turn(&mut alice, &mut bob);
    let mut clone = alice.copied();
    for _ in 0..REMEMBERED + 6 {
        turn(&mut clone, &mut bob);
    }
    let sealed: Vec<_> = (0..8).map(|_| alice.seal(&bob, "alice")).collect();
    let seen: Vec<_> = sealed.iter().map(|sealed| bob.open(&alice, sealed)).collect();
    assert!(seen[..6].iter().all(|seen| *seen == Err(OpenError::Replayed)), "{seen:?}");
    assert!(seen[6..].iter().all(|seen| *seen == Err(OpenError::Forked)), "{seen:?}");
}

/// PQ3-26: nobody but the sender's device makes a fork. A replay with a field that nobody knows, or with another signature over the
/// same, is a replay; whoever has not the key only makes what does not open.
#[test]
fn a_bent_replay_is_no_fork() {
    let (mut alice, mut bob) = acquainted();
    let sealed = turn(&mut alice, &mut bob);
    let unknown_field = [&sealed[..], &[0xf8, 0x07, 1]].concat();
    assert_eq!(bob.open(&alice, &unknown_field).unwrap_err(), OpenError::Replayed);
    let message = parsed(&sealed);
    let again = signed(&message, &alice.party(), &bob.party(), &alice.device.keys.device);
    assert_ne!(again, sealed, "another signature over the same");
    assert_eq!(bob.open(&alice, &again).unwrap_err(), OpenError::Replayed);
    let mut other = message;
    other.ciphertext[0] ^= 1;
    let eves = signed(&other, &alice.party(), &bob.party(), &Phone::new(3).device.keys.device);
    bob.refuses(&alice.public(), &eves, "eve's");
    let hers = signed(&other, &alice.party(), &bob.party(), &alice.device.keys.device);
    assert_eq!(bob.open(&alice, &hers).unwrap_err(), OpenError::Forked, "control: only her key makes one");
}

/// PQ3-12, PQ3-26: both take the turn after the copy. Bob follows whoever was first; the other's turn does not open, nor anything
/// after it, and Bob's answers open at one of the two only.
#[test]
fn of_two_that_take_one_turn_the_second_does_not_open() {
    for alice_first in [true, false] {
        let (alice, mut bob) = acquainted();
        let clone = alice.copied();
        let (mut first, mut second) = if alice_first { (alice, clone) } else { (clone, alice) };
        let losing = second.seal(&bob, "the second's turn");
        turn(&mut first, &mut bob);
        assert_eq!(bob.open(&second, &losing).unwrap_err(), OpenError::NoKey);
        let more = second.seal(&bob, "and more");
        assert_eq!(bob.open(&second, &more).unwrap_err(), OpenError::NoKey);
        for _ in 0..3 {
            let answer = bob.seal(&first, "bob answers");
            assert_eq!(second.open(&bob, &answer).unwrap_err(), OpenError::NoKey, "kept unopened, and shown");
            assert_eq!(first.open(&bob, &answer).unwrap(), "bob answers");
            turn(&mut first, &mut bob);
        }
        let late = second.seal(&bob, "still here");
        assert_eq!(bob.open(&second, &late).unwrap_err(), OpenError::NoKey);
    }
}

/// PQ3-26: a copy that starts anew has the device key, and is taken for Alice's device that lost its store; so much the spec says,
/// and no more: Bob's answers go to it, and Alice's device, which cannot open them, shows that. However many starts it makes, he takes
/// them up: what cannot be told from a device in trouble is not kept out by a bound.
#[test]
fn a_copy_that_starts_anew_shows_at_alices() {
    let (mut alice, mut bob) = acquainted();
    let mut clone = Phone { session: Session::default(), ..alice.copied() };
    turn(&mut clone, &mut bob);
    assert_eq!(bob.session.pq3().sessions().len(), 2);
    assert_eq!(bob.session.security().unwrap().rekeyed, None, "a session of its own, shown as new");
    let answer = bob.seal(&alice, "bob answers");
    assert_eq!(alice.open(&bob, &answer).unwrap_err(), OpenError::NoKey);
    assert_eq!(clone.open(&bob, &answer).unwrap(), "bob answers");
    // Alice goes on in the session that she has: Bob comes back to it.
    turn(&mut alice, &mut bob);
    let answer = bob.seal(&alice, "bob answers alice");
    assert_eq!(alice.open(&bob, &answer).unwrap(), "bob answers alice");
    assert_eq!(clone.open(&bob, &answer).unwrap_err(), OpenError::NoKey);
    let starts = (0..STARTS_MAX).filter(|number| {
        clone = Phone { session: Session::default(), ..alice.copied() };
        clone.device.rng = StdRng::seed_from_u64(700 + *number as u64);
        clone.now = clone.now.plus(Duration::from_millis(*number as u64));
        let start = clone.seal(&bob, "anew");
        bob.open(&clone, &start).is_ok()
    });
    assert_eq!(starts.count(), STARTS_MAX);
}
