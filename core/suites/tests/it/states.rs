//! What is written to disk, and what is not shown.

use halcyon_suites::{DeviceKeys, OpenError, Session, StateError, Suite, pair::PairKeys};
use proptest::{collection::vec, prelude::*};

use crate::people::{Device, NOW, alice_bob_eve};

/// PEC-19: a device's keys come back from disk and still open and seal.
#[test]
fn keys_survive_a_restart() {
    let (mut alice, mut bob, _) = alice_bob_eve();
    let mut sealed = Vec::new();
    for suite in Suite::SPOKEN {
        sealed.push((suite, alice.seal(Session::default(), suite, &bob.public(), b"hello").0));
    }
    bob.keys = DeviceKeys::from_secret_bytes(bob.keys.to_secret_bytes().expose()).unwrap();
    for (suite, sealed) in sealed {
        let opened = bob.open(&Session::default(), suite, &alice.public(), &sealed).unwrap();
        assert_eq!(opened.plaintext.expose(), b"hello");
    }
    let without_pair = DeviceKeys::generate(&mut bob.rng, &[Suite::PairEc], NOW);
    let again = DeviceKeys::from_secret_bytes(without_pair.to_secret_bytes().expose()).unwrap();
    assert!(again.pair.is_none());
}

/// PEC-19: another version and damage are errors that tell which.
#[test]
fn damaged_states_are_refused() {
    let (mut alice, bob, _) = alice_bob_eve();
    let (sealed, sending) = alice.seal(Session::default(), Suite::PairEc, &bob.public(), b"x");
    let receiving = bob.open(&Session::default(), Suite::PairEc, &alice.public(), &sealed).unwrap().next;
    for session in [sending, receiving] {
        let stored = session.to_secret_bytes();
        for cut in 0..stored.len() {
            let damaged = Session::from_secret_bytes(&stored.expose()[..cut]);
            assert_eq!(damaged.unwrap_err(), StateError::Damaged, "cut to {cut}");
        }
        let mut longer = stored.expose().to_vec();
        longer.push(0);
        assert_eq!(Session::from_secret_bytes(&longer).unwrap_err(), StateError::Damaged);
        longer[0] = 9;
        assert_eq!(Session::from_secret_bytes(&longer).unwrap_err(), StateError::Version(9));
        longer[0] = 0;
        assert_eq!(Session::from_secret_bytes(&longer).unwrap_err(), StateError::Damaged, "no version had it");
    }
    let keys = bob.keys.to_secret_bytes();
    for cut in 0..keys.len() {
        assert!(DeviceKeys::from_secret_bytes(&keys.expose()[..cut]).is_err(), "cut to {cut}");
    }
}

/// The stored bytes of sessions, pinned: a change here needs a new version and a way to read the old.
#[test]
fn the_stored_form_is_pinned() {
    insta::assert_snapshot!(hex::encode(Session::default().to_secret_bytes().expose()), @"050000000000000000000000000000000000000000000000000000000000000000000000000000000000000000");
    let (mut alice, bob, _) = alice_bob_eve();
    let (sealed, sending) = alice.seal(Session::default(), Suite::PairEc, &bob.public(), b"x");
    let receiving = bob.open(&Session::default(), Suite::PairEc, &alice.public(), &sealed).unwrap().next;
    let prekey = hex::encode(&bob.keys.prekeys.record()[2..34]);
    let shown = |session: &Session| hex::encode(session.to_secret_bytes().expose()).replace(&prekey, "{prekey}");
    insta::assert_snapshot!(shown(&sending), @"0500000001{prekey}41d954fc40000000000000000000000100000000000000000000000000000000000000000000000000000000000000000000000000000000");
    let window = shown(&receiving);
    insta::assert_snapshot!(window.trim_end_matches('0'), @"05000000000000000000000001{prekey}0000000000000001000000010000000001");
}

/// PEC-19, PQ3-32: what a version before `pq3` stored is read: no sessions, no prekeys of that suite, and everything else.
#[test]
fn states_from_before_pq3_are_read() {
    let (mut alice, bob, _) = alice_bob_eve();
    let (_, sending) = alice.seal(Session::default(), Suite::PairEc, &bob.public(), b"x");
    let stored = sending.to_secret_bytes();
    // A session without `pq3` ends in eight zeros of four bytes, which version 1 did not have, nor the one after the counters.
    let mut before = without_pair_ec_restart(&stored.expose()[..stored.len() - 32], 1);
    before[0] = 1;
    assert_eq!(Session::from_secret_bytes(&before).unwrap(), sending);
    let keys = DeviceKeys::generate(&mut alice.rng, &[Suite::PairEc], NOW).to_secret_bytes();
    let mut before = keys.expose()[..keys.len() - 4].to_vec();
    before[0] = 1;
    let read = DeviceKeys::from_secret_bytes(&before).unwrap();
    assert_eq!(read.suites(), [Suite::PairEc]);
    assert!(read.to_secret_bytes().ct_eq(&keys));
}

/// PQ3-26, PQ3-32: what a version before PQ3-26 stored is read, and remembers nothing: Bob's conversation goes on.
#[test]
fn states_from_before_forks_are_read() {
    let (mut alice, bob, _) = alice_bob_eve();
    let (first, sending) = alice.seal(Session::default(), Suite::Pq3, &bob.public(), b"one");
    let (second, _) = alice.seal(sending, Suite::Pq3, &bob.public(), b"two");
    let stored = bob.open(&Session::default(), Suite::Pq3, &alice.public(), &first).unwrap().next.to_secret_bytes();
    // One message is remembered, in 16 bytes after their number; then comes how many sessions are sealed in, and times.
    let mut before = without_pair_ec_restart(&stored.expose()[..stored.len() - times(1, 1) - 24], 0);
    before[0] = 2;
    let read = Session::from_secret_bytes(&before).unwrap();
    let stored_now = read.to_secret_bytes();
    assert_eq!((stored_now.expose()[0], stored_now.len()), (5, stored.len() - 16));
    assert_eq!(bob.open(&read, Suite::Pq3, &alice.public(), &second).unwrap().plaintext.expose(), b"two");
    assert_eq!(bob.open(&read, Suite::Pq3, &alice.public(), &first).unwrap_err(), OpenError::Replayed);
}

/// PQ3-34, PEC-20, PQ3-32: what a version before restarts stored is read, and goes on where it was.
#[test]
fn states_from_before_restarts_are_read() {
    let (mut alice, mut bob, _) = alice_bob_eve();
    let (first, sending) = alice.seal(Session::default(), Suite::Pq3, &bob.public(), b"one");
    let (_, sending) = alice.seal(sending, Suite::PairEc, &bob.public(), b"by the other suite");
    let stored = sending.to_secret_bytes();
    let mut before = without_pair_ec_restart(&stored.expose()[..stored.len() - times(1, 0) - 4], 1);
    before[0] = 3;
    let read = Session::from_secret_bytes(&before).unwrap();
    assert!(!read.summary().restarts_next);
    let opened = bob.open(&Session::default(), Suite::Pq3, &alice.public(), &first).unwrap();
    let (answer, _) = bob.seal(opened.next, Suite::Pq3, &alice.public(), b"two");
    assert_eq!(alice.open(&read, Suite::Pq3, &bob.public(), &answer).unwrap().plaintext.expose(), b"two");
}

/// PQ3-11, PQ3-32: what a version whose starts had no times stored is read, and goes on where it was. Starts that it remembers are
/// the earliest.
#[test]
fn states_from_before_times_are_read() {
    let (mut alice, mut bob, _) = alice_bob_eve();
    let (first, sending) = alice.seal(Session::default(), Suite::Pq3, &bob.public(), b"one");
    let before = |session: &Session, times: usize| {
        let stored = session.to_secret_bytes();
        let mut before = stored.expose()[..stored.len() - times].to_vec();
        before[0] = 4;
        Session::from_secret_bytes(&before).unwrap()
    };
    let opened = bob.open(&Session::default(), Suite::Pq3, &alice.public(), &first).unwrap();
    assert_eq!(opened.next.summary().heard, Some(NOW));
    let receiving = before(&opened.next, times(1, 1));
    assert_eq!((receiving.summary().heard, receiving.summary().starts_remembered), (None, 1));
    assert_eq!(bob.open(&receiving, Suite::Pq3, &alice.public(), &first).unwrap_err(), OpenError::Replayed);
    let (second, _) = alice.seal(before(&sending, times(1, 0)), Suite::Pq3, &bob.public(), b"two");
    assert_eq!(bob.open(&receiving, Suite::Pq3, &alice.public(), &second).unwrap().plaintext.expose(), b"two");
    let (answer, _) = bob.seal(receiving, Suite::Pq3, &alice.public(), b"three");
    let read = before(&sending, times(1, 0));
    assert_eq!(alice.open(&read, Suite::Pq3, &bob.public(), &answer).unwrap().plaintext.expose(), b"three");
}

/// Bytes that version 5 added for so many sessions and starts of the peer's.
fn times(sessions: usize, starts: usize) -> usize {
    16 * sessions + 8 + 8 * starts + 4
}

/// Cuts out the mark that version 4 has after the counters of so many prekeys.
fn without_pair_ec_restart(stored: &[u8], prekeys: usize) -> Vec<u8> {
    let at = 1 + 4 + prekeys * 48;
    assert_eq!(stored[at..at + 4], [0; 4], "no restart");
    [&stored[..at], &stored[at + 4..]].concat()
}

/// What a log or a panic would show of the types that hold keys.
#[test]
fn debug_shows_no_secret() {
    let device = Device::new(4);
    let shown = format!("{:?}", device.keys);
    let stored = device.keys.to_secret_bytes();
    let scalar = hex::encode(&stored.expose()[1..33]);
    assert!(!shown.contains(&scalar));
    let pair = device.keys.pair.as_ref().unwrap();
    assert_eq!(format!("{pair:?}"), format!("PairKeys(of {:?})", pair.identity()));
    insta::assert_snapshot!(format!("{:?}", halcyon_suites::pq3::kdf::RootKey::initial()), @"RootKey(Secret(32 bytes))");
    let (chain, message) = {
        let (_, chain) = halcyon_suites::pq3::kdf::RootKey::initial().step(
            &halcyon_crypto::Secret::fill_with(|_| ()),
            None,
            &[b"info"],
        );
        (chain.clone(), chain.step().0)
    };
    insta::assert_snapshot!(
        format!("{chain:?} {message:?} {:?}", message.content_keys()),
        @"ChainKey(Secret(32 bytes)) MessageKey(Secret(32 bytes)) ContentKeys { key: Secret(32 bytes), counter: Secret(16 bytes) }"
    );
}

proptest! {
    #[test]
    fn stored_bytes_never_panic(mut bytes in vec(any::<u8>(), 0..300)) {
        for version in [5, 4, 3, 2] {
            if let Some(first) = bytes.first_mut() {
                *first = version;
            }
            let _ = Session::from_secret_bytes(&bytes);
            let _ = DeviceKeys::from_secret_bytes(&bytes);
        }
        let _ = PairKeys::from_secret_bytes(&bytes);
    }
}
