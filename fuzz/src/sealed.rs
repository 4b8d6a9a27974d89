//! What a suite reads of a stranger, of a peer that knows all its own keys, and of a damaged store.
//!
//! - What opens was sealed: a forger without the sender's key gets nothing (PAIR-14, PEC-18).
//! - A peer that signs what it likes gets no further than its own plaintext, and no counter opens twice (PEC-15, PEC-16).
//! - A state that is read is a state that can be used, and is stored as it was read (PEC-19).

mod pq3;

use std::collections::BTreeSet;

use halcyon_crypto::{
    AgreementKey, AgreementPublic, Secret, ctr, kdf,
    labels::fixed,
    p256::legacy::LegacySigningKey,
    rsa::{PUBLIC_DER_BYTES, RsaPublicKey},
};
use halcyon_suites::{
    DeviceKeys, OpenError, PairIdentity, PeerDevice, Session, Suite, choice,
    pair::PairKeys,
    pair_ec::{
        self, PrekeyRing, ReceiveState,
        replay::{ReplayWindow, WINDOW_COUNTERS},
    },
};
use halcyon_types::Duration;

use crate::{
    input::{Input, piece},
    people::{ALICE, BOB, NOW, incoming, outgoing, phone_of, rng},
};

/// Reads the first byte as the choice of an attack, and the rest as its material.
pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    match input.choice(11) {
        0 => from_a_stranger(&mut input),
        1 => pair_body_signed_by_its_sender(input.rest()),
        2 => pair_block_of_a_hostile_sender(&mut input),
        3 => pair_ec_of_a_hostile_sender(&mut input),
        4 => counters(&mut input),
        5 => stored_session(input.rest()),
        6 => stored_keys(&mut input),
        7 => identity(input.rest()),
        8 => pq3::bundle_of_a_stranger(input.rest()),
        9 => pq3::bundle_of_a_hostile_device(&mut input),
        _ => pq3::messages_of_a_hostile_sender(&mut input),
    }
}

/// What is honestly sealed in the seeds. Anything else that opens was forged.
const HONEST: &[u8] =
    b"honest words, and enough of them to leave the block that the legacy suite seals with RSA, which takes the first \
one hundred bytes of a message";

fn alice_to_bob() -> PeerDevice {
    phone_of(&ALICE)
}

fn bob_to_alice() -> PeerDevice {
    phone_of(&BOB)
}

/// Bytes that claim to be from Alice reach Bob.
fn from_a_stranger(input: &mut Input<'_>) {
    let suite = Suite::SPOKEN[input.choice(Suite::SPOKEN.len())];
    let session = Session::default();
    let opened =
        session.open(suite.id(), &BOB.phone.keys, &alice_to_bob(), &incoming(BOB.account(), NOW), input.rest());
    match opened {
        Ok(opened) => assert_eq!(opened.plaintext.expose(), HONEST, "forged"),
        Err(error) => assert_eq!(error, OpenError::Unauthentic),
    }
}

/// PAIR-12: the 2016 attack needs somebody who signs any body. Even Alice's own signature opens nothing that she did not
/// seal.
fn pair_body_signed_by_its_sender(body: &[u8]) {
    assert_opens_only_honest(body);
}

fn assert_opens_only_honest(body: &[u8]) {
    let Ok(body_len) = u16::try_from(body.len()) else { return };
    let signature = legacy_key().sign_sha1_der(body);
    let sealed = [&[2], &body_len.to_be_bytes()[..], body, &[signature.len() as u8], &signature].concat();
    let (bob, alice) = (BOB.phone.keys.pair.as_ref().unwrap(), ALICE.phone.keys.pair.as_ref().unwrap());
    match bob.open(alice.identity(), &sealed) {
        Ok(plaintext) => assert_eq!(plaintext.expose(), HONEST, "the tag does not hold"),
        Err(error) => assert_eq!(error, OpenError::Unauthentic),
    }
}

/// PAIR-13: whatever is in the block, too little of it too, the tag decides.
fn pair_block_of_a_hostile_sender(input: &mut Input<'_>) {
    let blob = BOB.phone.keys.pair.as_ref().unwrap().identity().as_bytes();
    let der: &[u8; PUBLIC_DER_BYTES] = blob.last_chunk().unwrap();
    let bob = RsaPublicKey::from_der(der).unwrap();
    let Ok(block) = bob.seal_oaep(&mut rng(1), input.piece()) else { return };
    assert_opens_only_honest(&[&block[..], input.rest()].concat());
}

/// The signing key of Alice's legacy suite: the last 32 bytes of what she stores of it.
fn legacy_key() -> LegacySigningKey {
    let stored = ALICE.phone.keys.pair.as_ref().unwrap().to_secret_bytes();
    let secret = stored.expose().last_chunk::<32>().unwrap();
    LegacySigningKey::from_secret(Secret::fill_with(|bytes| bytes.copy_from_slice(secret))).unwrap()
}

/// A sender who does everything right but what is inside, and the padding of it (PEC-15).
fn pair_ec_of_a_hostile_sender(input: &mut Input<'_>) {
    let mut state = ReceiveState::default();
    for _ in 0..1 + input.choice(3) {
        let padded = input.piece();
        let sealed = sealed_as_padded(padded);
        let (keys, own) = (&BOB.phone.keys, BOB.phone.keys.device.verifying_key().compact());
        let alice = ALICE.phone.keys.device.verifying_key();
        match pair_ec::open(&state, &keys.prekeys, own, alice, &sealed) {
            Ok(opened) => {
                let (plaintext, pad) = (opened.plaintext.expose(), padded.last_chunk::<4>().copied());
                assert!(pad.is_some_and(|pad| u32::from_le_bytes(pad) as usize <= padded.len() - 4), "PEC-15");
                assert!(plaintext.is_empty() || padded.windows(plaintext.len()).any(|found| found == plaintext));
                let again = pair_ec::open(&opened.next, &keys.prekeys, own, alice, &sealed);
                assert_eq!(again.map(|_| ()).unwrap_err(), OpenError::Replayed, "PEC-16");
                state = opened.next;
            }
            Err(OpenError::Replayed) => assert_ne!(state, ReceiveState::default(), "the first is no replay"),
            Err(error) => assert_eq!(error, OpenError::Unauthentic),
        }
    }
}

/// Seals what is said to be the padded inner message from Alice's phone for Bob's (PEC-9 to PEC-12).
fn sealed_as_padded(padded: &[u8]) -> Vec<u8> {
    let (alice, bob) = (&ALICE.phone.keys.device, BOB.phone.keys.device.verifying_key().compact());
    let record = BOB.phone.keys.prekeys.record();
    let prekey = pair_ec::SignedPrekey::verify(record, BOB.phone.keys.device.verifying_key()).unwrap();
    let ephemeral = AgreementKey::generate(&mut rng(3));
    let z = ephemeral.agree(&AgreementPublic::from_compact(prekey.key().compact()).unwrap());
    let okm = kdf::hkdf_sha256::<48>(fixed::PAIR_EC_MESSAGE_KEYS, z.expose(), &[]);
    let (key, counter) = okm.expose().split_at(32);
    let mut ciphertext = padded.to_vec();
    let key = Secret::fill_with(|bytes| bytes.copy_from_slice(key));
    ctr::apply_aes256(&key, counter.first_chunk().unwrap(), &mut ciphertext);
    let (x_prekey, x_ephemeral) = (prekey.key().compact().as_bytes(), ephemeral.compact().as_bytes());
    let signature = alice.sign_raw(&[z.expose(), x_prekey, x_ephemeral, bob.as_bytes(), &ciphertext]);
    let own = alice.verifying_key().compact().as_bytes();
    let validator = [own[0], own[1], bob.as_bytes()[0], bob.as_bytes()[1], x_prekey[0], x_prekey[1], 0x0c];
    let mut sealed = vec![0x0a];
    prost::encoding::encode_varint(ciphertext.len() as u64, &mut sealed);
    let rest =
        [&ciphertext, &[0x12, 32][..], x_ephemeral, &[0x1a, 64], signature.as_bytes(), &[0x9a, 0x06, 7], &validator];
    sealed.extend(rest.concat());
    sealed
}

/// PEC-16 against a set: a counter is accepted once, and never 100,000 below the highest.
fn counters(input: &mut Input<'_>) {
    let (mut window, mut seen, mut highest) = (ReplayWindow::default(), BTreeSet::new(), None);
    let mut counter = 0u32;
    for _ in 0..200 {
        if input.is_empty() {
            break;
        }
        // Mostly near the one before, sometimes anywhere.
        counter = match input.choice(6) {
            0 => counter.wrapping_add(1),
            1 => counter.wrapping_sub(u32::from(input.byte())),
            2 => counter.wrapping_add(u32::from(input.u16()) * 2),
            3 => counter.wrapping_sub(u32::from(input.u16()) * 2),
            4 => u32::from_be_bytes(input.array()),
            _ => highest.unwrap_or(0u32).wrapping_sub(WINDOW_COUNTERS as u32 + 2).wrapping_add(u32::from(input.byte())),
        };
        let too_old = highest.is_some_and(|highest| u64::from(counter) + WINDOW_COUNTERS <= u64::from(highest));
        let fresh = !seen.contains(&counter) && !too_old;
        assert_eq!(window.is_seen(counter), !fresh, "counter {counter}");
        let next = window.accepted(counter);
        assert_eq!(next.is_some(), fresh, "counter {counter}");
        if let Some(next) = next {
            seen.insert(counter);
            highest = highest.max(Some(counter));
            window = next;
        }
    }
}

/// A session that a store gives back is used as any other, whatever is in it.
fn stored_session(bytes: &[u8]) {
    let Ok(session) = Session::from_secret_bytes(bytes) else { return };
    let stored = session.to_secret_bytes();
    // A state of an older version is read, and written as this one's.
    let is_current = bytes.first() == stored.expose().first();
    assert!(!is_current || stored.len() == bytes.len(), "a state takes the room that it took");
    assert_eq!(Session::from_secret_bytes(stored.expose()).as_ref(), Ok(&session), "a state reads as it was stored");
    let (alice, bob) = (&ALICE.phone.keys, &BOB.phone.keys);
    let suite = choice::choose(&[Suite::PairEc], &[Suite::PairEc.id()], None).unwrap();
    // Alice's state, or Bob's: it serves as either.
    let _ = session.clone().seal(suite, alice, &bob_to_alice(), &outgoing(ALICE.account(), NOW), &mut rng(4), HONEST);
    let sealed = sealed_as_padded(&[0x0a, 1, b'x', 0x10, 7, 0, 0, 0, 0]);
    if let Ok(opened) = session.open(Suite::PairEc.id(), bob, &alice_to_bob(), &incoming(BOB.account(), NOW), &sealed) {
        let again = opened.next.open(Suite::PairEc.id(), bob, &alice_to_bob(), &incoming(BOB.account(), NOW), &sealed);
        assert_eq!(again.map(|_| ()).unwrap_err(), OpenError::Replayed);
        let next = opened.next.to_secret_bytes();
        assert_eq!(Session::from_secret_bytes(next.expose()), Ok(opened.next), "so does the next one");
    }
}

fn stored_keys(input: &mut Input<'_>) {
    let kind = input.choice(3);
    let bytes = input.rest();
    match kind {
        0 => {
            let Ok(keys) = DeviceKeys::from_secret_bytes(bytes) else { return };
            let stored = keys.to_secret_bytes();
            assert!(DeviceKeys::from_secret_bytes(stored.expose()).unwrap().to_secret_bytes().ct_eq(&stored));
            let _ = keys.with_rolled_prekey(&mut rng(5), NOW);
        }
        1 => {
            let Ok(ring) = PrekeyRing::from_secret_bytes(bytes) else { return };
            assert_eq!(ring.to_secret_bytes().expose(), bytes, "a ring has one form");
            let device = &ALICE.phone.keys.device;
            let later = NOW.plus(Duration::from_days(8));
            let rolled = ring.rolled(&mut rng(5), device, NOW).rolled(&mut rng(6), device, later);
            let stored = rolled.to_secret_bytes();
            assert!(PrekeyRing::from_secret_bytes(stored.expose()).unwrap().to_secret_bytes().ct_eq(&stored));
            assert!(!rolled.is_due(later) && rolled.made() == later);
        }
        _ => {
            let Ok(keys) = PairKeys::from_secret_bytes(bytes) else { return };
            let stored = keys.to_secret_bytes();
            assert!(PairKeys::from_secret_bytes(stored.expose()).unwrap().to_secret_bytes().ct_eq(&stored));
        }
    }
}

/// Whatever identity a list names, a message is sealed to it or refused, and one from it is refused.
fn identity(blob: &[u8]) {
    let Ok(identity) = PairIdentity::from_bytes(blob) else { return };
    let alice = ALICE.phone.keys.pair.as_ref().unwrap();
    let sealed = alice.seal(&mut rng(7), &identity, HONEST);
    if let Ok(sealed) = sealed {
        let opened = BOB.phone.keys.pair.as_ref().unwrap().open(&identity, &sealed);
        assert!(opened.is_err() || identity == *alice.identity(), "signed by another");
    }
}

/// Honest messages and states, whole and taken apart.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let (alice, bob) = (&ALICE.phone.keys, &BOB.phone.keys);
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    let mut add = |kind: u8, parts: &[&[u8]]| seeds.push([&[kind], &parts.concat()[..]].concat());
    let all: Vec<_> = Suite::SPOKEN.iter().map(|suite| suite.id()).collect();
    let mut session = Session::default();
    for (index, suite) in (0u8..).zip(Suite::SPOKEN) {
        let forced = choice::dangerous_force(suite, &Suite::SPOKEN, &all, None).unwrap();
        let (sealed, next) = session
            .clone()
            .seal(forced, alice, &bob_to_alice(), &outgoing(ALICE.account(), NOW), &mut rng(8), HONEST)
            .unwrap();
        let opened =
            session.open(suite.id(), bob, &alice_to_bob(), &incoming(BOB.account(), NOW), &sealed.bytes).unwrap();
        add(0, &[&[index], &sealed.bytes]);
        if suite == Suite::Pair {
            let body = usize::from(u16::from_be_bytes([sealed.bytes[1], sealed.bytes[2]]));
            add(1, &[&sealed.bytes[3..3 + body]]);
        }
        add(5, &[next.to_secret_bytes().expose()]);
        add(5, &[opened.next.to_secret_bytes().expose()]);
        session = next;
    }
    add(2, &[&piece(&[7; 16]), b"rest"]);
    add(2, &[&piece(&[7; 5])]);
    let inner = [0x0a, 2, b'h', b'i', 0x10, 0xac, 0x02];
    let padded = |pad: &[u8], length: u32| piece(&[&inner[..], pad, &length.to_le_bytes()].concat());
    add(3, &[&[0], &padded(&[0; 245], 245)]);
    add(3, &[&[1], &padded(&[1, 2, 3], 3), &padded(&[], 7)]);
    add(3, &[&[2], &padded(&[], 8), &piece(&[1, 2]), &padded(&[], u32::MAX)]);
    add(4, &[&[0, 0, 0, 2, 1, 0, 3, 0, 9, 4, 0, 1, 0x86, 0xa0, 5, 1, 5, 2, 5, 3, 1, 7]]);
    add(4, &[&[4, 0xff, 0xff, 0xff, 0xff, 0, 0, 5, 0, 5, 200]]);
    add(6, &[&[0], ALICE.laptop.keys.to_secret_bytes().expose()]);
    add(6, &[&[0], alice.to_secret_bytes().expose()]);
    add(6, &[&[1], alice.prekeys.to_secret_bytes().expose()]);
    add(6, &[&[2], alice.pair.as_ref().unwrap().to_secret_bytes().expose()]);
    add(7, &[alice.pair.as_ref().unwrap().identity().as_bytes()]);
    add(7, &[bob.pair.as_ref().unwrap().identity().as_bytes()]);
    for (kind, material) in pq3::seeds() {
        material.iter().for_each(|bytes| add(kind, &[bytes]));
    }
    seeds
}
