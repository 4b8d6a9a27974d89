//! Two devices talking.

use std::collections::BTreeSet;

use halcyon_crypto::{AgreementKey, AgreementPublic, CompactKey, Secret, ctr, kdf};
use halcyon_suites::{OpenError, PLAINTEXT_BYTES_MAX, PeerDevice, SealError, Session, Suite, choice};
use halcyon_types::SuiteId;
use proptest::{collection::vec, prelude::*};

use crate::people::{Device, NOW, alice_bob_eve, days};

/// PAIR-12, PEC-14: Alice writes, Bob reads, in both suites.
#[test]
fn alice_writes_and_bob_reads() {
    let (mut alice, bob, _) = alice_bob_eve();
    for suite in Suite::SPOKEN {
        let (sealed, _) = alice.seal(Session::default(), suite, &bob.public(), b"hello");
        let opened = bob.open(&Session::default(), suite, &alice.public(), &sealed).unwrap();
        assert_eq!(opened.plaintext.expose(), b"hello");
        assert_eq!(opened.suite, suite);
    }
}

/// SUI-3: what Alice would use by herself is `pq3`.
#[test]
fn alice_picks_the_strongest_by_herself() {
    let (alice, bob, _) = alice_bob_eve();
    let offered: Vec<SuiteId> = bob.keys.suites().iter().map(|suite| suite.id()).collect();
    let chosen = choice::choose(&alice.keys.suites(), &offered, None).unwrap();
    assert_eq!(chosen.suite(), Suite::Pq3);
}

/// PAD-3: the longest plaintext fits every suite, one byte more fits none.
#[test]
fn the_limit_is_the_same_in_every_suite() {
    let (mut alice, bob, _) = alice_bob_eve();
    let longest = vec![7; PLAINTEXT_BYTES_MAX];
    for suite in Suite::SPOKEN {
        let (sealed, _) = alice.seal(Session::default(), suite, &bob.public(), &longest);
        let opened = bob.open(&Session::default(), suite, &alice.public(), &sealed).unwrap();
        assert_eq!(opened.plaintext.expose(), longest);
        let too_long = [&longest[..], &[7]].concat();
        let refused = alice.seal_at(Session::default(), suite, &bob.public(), NOW, &too_long);
        assert_eq!(refused.unwrap_err(), SealError::TooLong { bytes: PLAINTEXT_BYTES_MAX + 1 });
    }
}

/// PEC-16: the same ciphertext 1, 2, 100 times, after a restart, and in another order: each counts once.
#[test]
fn replays_and_reorder_count_once() {
    let (mut alice, bob, _) = alice_bob_eve();
    let mut sending = Session::default();
    let mut sealed = Vec::new();
    for i in 0..20u8 {
        let (message, next) = alice.seal(sending, Suite::PairEc, &bob.public(), &[i]);
        sending = next;
        sealed.push(message);
    }
    sealed.reverse();
    let mut receiving = Session::default();
    for message in &sealed {
        receiving = bob.open(&receiving, Suite::PairEc, &alice.public(), message).unwrap().next;
    }
    let restarted = Session::from_secret_bytes(receiving.to_secret_bytes().expose()).unwrap();
    for session in [&receiving, &restarted] {
        for message in sealed.iter().cycle().take(100) {
            let again = bob.open(session, Suite::PairEc, &alice.public(), message);
            assert_eq!(again.unwrap_err(), OpenError::Replayed);
        }
    }
}

/// PEC-16: a message that fails, then the good one: it opens.
#[test]
fn a_failed_message_does_not_spend_its_counter() {
    let (mut alice, bob, _) = alice_bob_eve();
    let (good, _) = alice.seal(Session::default(), Suite::PairEc, &bob.public(), b"hello");
    let mut bad = good.clone();
    bad[20] ^= 1;
    let session = Session::default();
    assert_eq!(bob.open(&session, Suite::PairEc, &alice.public(), &bad).unwrap_err(), OpenError::Unauthentic);
    assert_eq!(bob.open(&session, Suite::PairEc, &alice.public(), &good).unwrap().plaintext.expose(), b"hello");
}

/// PEC-4, PEC-17: a message to last month's prekey opens until the private half is wiped, and its window goes too.
#[test]
fn a_late_message_opens_until_the_prekey_is_wiped() {
    let (mut alice, mut bob, _) = alice_bob_eve();
    let (sealed, _) = alice.seal(Session::default(), Suite::PairEc, &bob.public(), b"late");
    let sender = alice.public();
    bob.keys = bob.keys.with_rolled_prekey(&mut bob.rng, days(7));
    let opened = bob.open(&Session::default(), Suite::PairEc, &sender, &sealed).unwrap();
    assert_eq!(opened.plaintext.expose(), b"late");
    let with_window = opened.next.to_secret_bytes().len();

    for week in 2..=6 {
        bob.keys = bob.keys.with_rolled_prekey(&mut bob.rng, days(7 * week));
    }
    let gone = bob.open(&Session::default(), Suite::PairEc, &sender, &sealed);
    assert_eq!(gone.unwrap_err(), OpenError::Unauthentic);
    let mut newest = alice.seal(Session::default(), Suite::PairEc, &sender, b"x").1;
    let to_new = alice.seal_at(newest.clone(), Suite::PairEc, &bob.public(), days(42), b"now");
    let (sealed, _) = to_new.unwrap();
    newest = bob.open(&opened.next, Suite::PairEc, &sender, &sealed.bytes).unwrap().next;
    assert!(newest.to_secret_bytes().len() <= with_window, "one window, not two");
}

/// SUI-8: without a prekey, or with a stale one, nothing is sealed; `pair` does not step in.
#[test]
fn no_prekey_means_no_message() {
    let (mut alice, bob, _) = alice_bob_eve();
    let pair = bob.keys.pair.as_ref().map(|keys| keys.identity().clone());
    let without = PeerDevice::new(bob.keys.device.verifying_key().clone(), pair);
    let mut seal = |peer: &PeerDevice, now| {
        alice.seal_at(Session::default(), Suite::PairEc, peer, now, b"x").map(|_| ()).unwrap_err()
    };
    assert_eq!(seal(&without, NOW), SealError::NoPrekey);
    assert_eq!(seal(&bob.public(), days(32)), SealError::StalePrekey);
}

/// SUI-5, SUI-7: Bob left `pair` out, and a suite nobody knows is refused before the message is looked at.
#[test]
fn suites_that_are_not_spoken_are_refused() {
    let (mut alice, mut bob, _) = alice_bob_eve();
    let (sealed, _) = alice.seal(Session::default(), Suite::Pair, &bob.public(), b"hello");
    bob.keys.pair = None;
    assert_eq!(bob.keys.suites(), [Suite::PairEc, Suite::Pq3]);
    let refused = bob.open(&Session::default(), Suite::Pair, &alice.public(), &sealed);
    assert_eq!(refused.unwrap_err(), OpenError::NotSpoken);
    let no_identity = alice.seal_at(Session::default(), Suite::Pair, &bob.public(), NOW, b"x");
    assert_eq!(no_identity.unwrap_err(), SealError::NotSpoken(Suite::Pair));
    bob.keys.pq3 = None;
    for number in [0, 3, 4, u32::MAX] {
        let suite = SuiteId::from_u32(number);
        let refused = bob.open_at(&Session::default(), suite, &alice.public(), NOW, &sealed);
        assert_eq!(refused.unwrap_err(), OpenError::NotSpoken, "{number}");
    }
}

/// PAD-1: on the wire, a short text and an empty one have one size in `pair-ec`.
#[test]
fn short_messages_have_one_size_on_the_wire() {
    let (mut alice, bob, _) = alice_bob_eve();
    let mut session = Session::default();
    let mut sizes = Vec::new();
    for text in [&b""[..], b"ok", &[b'x'; 200]] {
        let (sealed, next) = alice.seal(session, Suite::PairEc, &bob.public(), text);
        session = next;
        sizes.push(sealed.len());
    }
    assert!(sizes.iter().all(|size| *size == sizes[0]), "{sizes:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// PAIR-5 to PAIR-9, PEC-6 to PEC-12: any plaintext makes the round trip, over stored sessions.
    #[test]
    fn any_plaintext_makes_the_round_trip(texts in vec(vec(any::<u8>(), 0..700), 1..4)) {
        let (mut alice, bob, _) = alice_bob_eve();
        let (mut sending, mut receiving) = (Session::default(), Session::default());
        for text in &texts {
            for suite in Suite::SPOKEN {
                let (sealed, next) = alice.seal(sending, suite, &bob.public(), text);
                sending = Session::from_secret_bytes(next.to_secret_bytes().expose()).unwrap();
                let opened = bob.open(&receiving, suite, &alice.public(), &sealed).unwrap();
                prop_assert_eq!(opened.plaintext.expose(), &text[..]);
                receiving = Session::from_secret_bytes(opened.next.to_secret_bytes().expose()).unwrap();
            }
        }
    }

    /// PAIR-11, PEC-13: bytes from anywhere are an error and never a panic.
    #[test]
    fn garbage_does_not_open(bytes in vec(any::<u8>(), 0..600)) {
        let (alice, bob, _) = alice_bob_eve();
        for suite in Suite::SPOKEN {
            let refused = bob.open(&Session::default(), suite, &alice.public(), &bytes);
            prop_assert_eq!(refused.unwrap_err(), OpenError::Unauthentic);
        }
    }
}

/// PEC-8, PEC-20: Alice's phone is brought back from a copy. Restarted, it uses no counter twice, and Bob opens everything once; by
/// both prekeys, the one that the copy knows and the one that Bob published after it was made. Control: without the restart her messages
/// pass for replays, which nobody would ever read.
#[test]
fn a_restored_copy_does_not_pass_for_replays() {
    for with_restart in [true, false] {
        let (mut alice, mut bob, _) = alice_bob_eve();
        let (known, known_secret) = (bob.public(), prekey_secret(&bob));
        let (_, copy) = alice.seal(Session::default(), Suite::PairEc, &known, b"before");
        bob.keys = bob.keys.with_rolled_prekey(&mut bob.rng, NOW);
        let (newer, newer_secret) = (bob.public(), prekey_secret(&bob));
        let mut restored = Session::from_secret_bytes(copy.to_secret_bytes().expose()).unwrap();
        if with_restart {
            restored.restart(NOW);
            restored = Session::from_secret_bytes(restored.to_secret_bytes().expose()).unwrap();
        }
        let mut sealed = Vec::new();
        let mut used = Vec::new();
        for mut session in [copy, restored] {
            for (to_bob, secret) in
                [(&known, &known_secret), (&known, &known_secret), (&newer, &newer_secret), (&newer, &newer_secret)]
            {
                let bytes;
                (bytes, session) = alice.seal(session, Suite::PairEc, to_bob, b"hello");
                used.push((*secret.compact(), counter(secret, &bytes)));
                sealed.push(bytes);
            }
        }
        let mut bobs = Session::default();
        let mut replays = 0;
        for bytes in &sealed {
            match bob.open(&bobs, Suite::PairEc, &alice.public(), bytes) {
                Ok(opened) => bobs = opened.next,
                Err(error) => {
                    assert_eq!(error, OpenError::Replayed);
                    replays += 1;
                }
            }
        }
        assert_eq!(replays, if with_restart { 0 } else { 4 });
        let distinct: BTreeSet<_> = used.iter().collect();
        assert_eq!((used.len(), distinct.len()), (8, if with_restart { 8 } else { 4 }));
    }
}

/// The private half of a device's current prekey, from its stored form.
fn prekey_secret(device: &Device) -> AgreementKey {
    let stored = device.keys.prekeys.to_secret_bytes();
    let secret = AgreementKey::from_secret(Secret::try_from(&stored.expose()[5..37]).unwrap()).unwrap();
    assert_eq!(secret.compact().as_bytes(), &device.keys.prekeys.record()[2..34], "the helper reads the stored prekey");
    secret
}

/// Opens a sealed `hello` by PEC-9 to PEC-12 alone and returns its counter.
fn counter(prekey: &AgreementKey, sealed: &[u8]) -> u64 {
    let ephemeral = AgreementPublic::from_compact(&CompactKey::try_from(&sealed[261..293]).unwrap()).unwrap();
    let okm = kdf::hkdf_sha256::<48>(b"LastPawn-MessageKeys", prekey.agree(&ephemeral).expose(), &[]);
    let key = Secret::try_from(&okm.expose()[..32]).unwrap();
    let mut padded = sealed[3..259].to_vec();
    ctr::apply_aes256(&key, okm.expose()[32..].try_into().unwrap(), &mut padded);
    let varint = padded.strip_prefix(b"\x0a\x05hello\x10").unwrap();
    let len = varint.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    varint[..len].iter().rev().fold(0, |counter, byte| counter << 7 | u64::from(byte & 0x7f))
}
