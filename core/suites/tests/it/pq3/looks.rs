//! Failures look alike: whoever has not the sender's device key gets one answer, whatever the receiver's state is.
//!
//! Cost: the signature is checked before the state is looked at (PQ3-24), so all that a forger can send fails after the same
//! work, and what comes after it can be reached by the sender's device alone. That order is what these tests show; they measure
//! no time.

use halcyon_crypto::CompactKey;
use halcyon_suites::{OpenError, Session, pq3::wire::Message};

use super::{
    by_hand::signed,
    phones::{Phone, parsed, turn},
};

/// A conversation with messages of every kind that Bob could be asked about again: by name, the sealed bytes.
fn conversation() -> (Phone, Phone, Vec<(&'static str, Vec<u8>)>) {
    let (mut alice, mut bob) = (Phone::new(1), Phone::new(2));
    let start = turn(&mut alice, &mut bob);
    turn(&mut bob, &mut alice);
    let opened = turn(&mut alice, &mut bob);
    let skipped = alice.seal(&bob, "skipped");
    let after = turn(&mut alice, &mut bob);
    turn(&mut bob, &mut alice);
    let new_chain = alice.seal(&bob, "a new chain");
    let mut other = Phone { session: Session::default(), ..alice.copied() };
    let new_start = other.seal(&bob, "a new start");
    let kinds = vec![
        ("a start that was taken up", start),
        ("one that was opened", opened),
        ("the newest that was opened", after),
        ("one that was skipped", skipped),
        ("a new chain", new_chain),
        ("a new start", new_start),
    ];
    (alice, bob, kinds)
}

/// PQ3-24, PQ3-25: each kind of message, without Alice's signature: one error for all, also where the true one would be told to be
/// a replay, or would open.
#[test]
fn without_the_senders_key_all_failures_are_one() {
    let (alice, bob, kinds) = conversation();
    let eve = Phone::new(3);
    let (from, to) = (alice.party(), bob.party());
    let mut answers = Vec::new();
    for (what, sealed) in &kinds {
        let forged = signed(&parsed(sealed), &from, &to, &eve.device.keys.device);
        bob.refuses(&alice.public(), &forged, what);
        bob.refuses(&eve.public(), sealed, what);
        answers.push(bob.try_open(&alice.public(), sealed).map(|_| ()));
    }
    // Control: signed by Alice, the same bytes do have different answers.
    let replayed = Err(OpenError::Replayed);
    assert_eq!(answers, [replayed, replayed, replayed, Ok(()), Ok(()), Ok(())]);
}

/// PQ3-25: what Alice's own device signed and Bob has no key for is one error, for whatever reason. What fails before that, and after
/// decryption, is the error that a forgery has; a used key alone has its own.
#[test]
fn the_senders_failures_are_one_but_for_replays() {
    let (alice, bob, kinds) = conversation();
    let (from, to) = (alice.party(), bob.party());
    let (_, live) = &kinds[4];
    let (_, start) = &kinds[5];
    let (_, opened) = &kinds[2];
    let resigned = |sealed: &[u8], alter: fn(&mut Message)| {
        let mut message = parsed(sealed);
        alter(&mut message);
        signed(&message, &from, &to, &alice.device.keys.device)
    };
    for (what, sealed) in [
        ("indicator", resigned(live, |message| message.indicator[0] ^= 1)),
        ("index of another key", resigned(live, |message| message.index += 1)),
        ("too far", resigned(opened, |message| message.index += 2000)),
        ("the end of all numbers", resigned(opened, |message| message.index = u32::MAX)),
        ("no point", resigned(live, |message| message.ephemeral = CompactKey::from_bytes([0xff; 32]))),
        ("an encapsulation to nothing", resigned(live, |message| message.head.encap = Some(vec![0; 1088]))),
        ("a key that fails the modulus", resigned(start, |message| message.head.kem_key = Some(vec![0xff; 1184]))),
        ("an unknown bundle", resigned(start, |message| message.head.prekey_hash = Some([0; 48]))),
        ("another encapsulation", resigned(start, |message| message.head.encap.as_mut().unwrap()[9] ^= 1)),
    ] {
        bob.has_no_key(&alice.public(), &sealed, what);
    }
    for (what, sealed) in [
        ("authData that is none", resigned(live, |message| message.auth_data.clear())),
        ("a pad that does not fit", resigned(live, |message| message.ciphertext.truncate(3))),
    ] {
        bob.refuses(&alice.public(), &sealed, what);
    }
    assert_eq!(bob.try_open(&alice.public(), opened).unwrap_err(), OpenError::Replayed);
}
