//! What suite `pq3` reads of a directory that shows anything, and of a device that signs anything.
//!
//! - A bundle is the one that its device made, or refused; one that its device signed, whatever is in it, can be sealed to or
//!   is refused (PQ3-5, PQ3-8).
//! - Whatever Alice signs, the keys decide: what opens stands in a chain that she really began, and opens once; the rest is one
//!   of three errors and leaves the session as it was (PQ3-23 to PQ3-25).

use std::sync::LazyLock;

use halcyon_crypto::{CompactKey, Signature, labels::fixed};
use halcyon_suites::{
    OpenError, SealError, Session, Suite, choice,
    pq3::{
        Party, PrekeyBundle,
        wire::{Head, Message},
    },
};

use super::{HONEST, alice_to_bob, bob_to_alice};
use crate::{
    input::Input,
    people::{ALICE, BOB, NOW, incoming, outgoing, phone_of, rng},
};

/// Messages of one run.
const MESSAGES_MAX: usize = 4;
/// Changes of one field.
const CHANGES_MAX: usize = 4;

fn honest_bundle() -> &'static [u8] {
    BOB.phone.keys.pq3.as_ref().unwrap().record()
}

/// PQ3-5: what is said to be Bob's bundle.
pub(super) fn bundle_of_a_stranger(bytes: &[u8]) {
    let device = BOB.phone.keys.device.verifying_key();
    let honest = PrekeyBundle::verify(honest_bundle(), device).unwrap();
    if let Ok(bundle) = PrekeyBundle::verify(bytes, device) {
        // Fields of a later version may stand beside these, and a signature has a twin.
        assert_eq!(bundle.prekey().compact(), honest.prekey().compact(), "forged");
        assert_eq!(bundle.kem_key().as_bytes(), honest.kem_key().as_bytes(), "forged");
        assert_eq!(bundle.time(), honest.time(), "forged");
    }
}

/// PQ3-5, PQ3-8: Bob signs what he likes as his bundle.
pub(super) fn bundle_of_a_hostile_device(input: &mut Input<'_>) {
    let device = &BOB.phone.keys.device;
    let honest = PrekeyBundle::verify(honest_bundle(), device.verifying_key()).unwrap();
    let kem_key = changed(input, honest.kem_key().as_bytes());
    let prekey = changed(input, honest.prekey().compact().as_bytes());
    let time_ms = match input.choice(3) {
        0 => NOW.as_millis(),
        1 => NOW.as_millis().wrapping_sub(input.u64()),
        _ => input.u64(),
    };
    let version = if input.choice(4) < 3 { 1 } else { u32::from(input.u16()) };
    let preimage: [&[u8]; 5] = [fixed::PQ3_PREKEY, &kem_key, &prekey, &time_ms.to_be_bytes(), &version.to_be_bytes()];
    let record = encoded(&kem_key, &prekey, time_ms, version, &device.sign_raw(&preimage));

    let verified = PrekeyBundle::verify(&record, device.verifying_key());
    let peer = phone_of(&BOB).with_pq3(BOB.account(), Some(&record));
    let all: Vec<_> = Suite::SPOKEN.iter().map(|suite| suite.id()).collect();
    let suite = choice::dangerous_force(Suite::Pq3, &Suite::SPOKEN, &all, None).unwrap();
    let sealed =
        Session::default().seal(suite, &ALICE.phone.keys, &peer, &outgoing(ALICE.account(), NOW), &mut rng(9), HONEST);
    match (verified, sealed) {
        (Ok(bundle), Ok((sealed, _))) => {
            assert!(bundle.is_fresh(NOW), "PQ3-8");
            let opened = open(&Session::default(), &sealed.bytes);
            let is_kept = BOB.phone.keys.pq3.as_ref().unwrap().contains(bundle.hash());
            assert_eq!(opened.is_ok(), is_kept, "what Bob has no private half of does not open");
        }
        (Ok(bundle), Err(error)) => {
            assert_eq!(error, SealError::StalePrekey);
            assert!(!bundle.is_fresh(NOW), "PQ3-8");
        }
        (Err(verified), sealed) => {
            assert_eq!(sealed.map(|_| ()), Err(SealError::BadBundle(verified)), "what is refused is not sealed to");
        }
    }
}

/// Two honest messages of Alice's first chain, to be bent and signed anew.
static STARTS: LazyLock<[Message; 2]> = LazyLock::new(|| {
    let all: Vec<_> = Suite::SPOKEN.iter().map(|suite| suite.id()).collect();
    let mut session = Session::default();
    [0, 1].map(|_| {
        let suite = choice::dangerous_force(Suite::Pq3, &Suite::SPOKEN, &all, None).unwrap();
        let (alice, outgoing) = (&ALICE.phone.keys, outgoing(ALICE.account(), NOW));
        let taken = std::mem::take(&mut session);
        let (sealed, next) = taken.seal(suite, alice, &bob_to_alice(), &outgoing, &mut rng(10), HONEST).unwrap();
        session = next;
        Message::decode(&sealed.bytes).unwrap()
    })
});

/// PQ3-23 to PQ3-25: Alice's device signs what it likes.
pub(super) fn messages_of_a_hostile_sender(input: &mut Input<'_>) {
    let mut session = Session::default();
    for _ in 0..MESSAGES_MAX {
        if input.is_empty() {
            break;
        }
        let honest = &STARTS[input.choice(STARTS.len())];
        let message = bent(input, honest);
        let sealed = signed(message.clone());
        let (before, is_first) = (session.to_secret_bytes(), session == Session::default());
        match open(&session, &sealed) {
            Ok(opened) => {
                let honest = STARTS.iter().find(|honest| honest.indicator == message.indicator);
                let honest = honest.expect("a key that she never derived");
                assert_eq!((message.ephemeral, message.index), (honest.ephemeral, honest.index));
                // What a chain that is known repeats is not looked at again.
                assert!(!is_first || message.head.encap == honest.head.encap, "the encapsulation is in the key");
                let again = open(&opened.next, &sealed).map(|_| ());
                assert_eq!(again.unwrap_err(), OpenError::Replayed, "PQ3-25");
                let stored = opened.next.to_secret_bytes();
                assert_eq!(Session::from_secret_bytes(stored.expose()).as_ref(), Ok(&opened.next), "PQ3-32");
                session = opened.next;
            }
            Err(error) => {
                use OpenError::{Forked, NoKey, Replayed, Unauthentic};
                assert!(matches!(error, Unauthentic | NoKey | Replayed | Forked), "{error}");
                assert!(!is_first || matches!(error, Unauthentic | NoKey), "nothing was used yet: {error}");
                assert!(session.to_secret_bytes().ct_eq(&before), "PQ3-24");
            }
        }
    }
}

fn open(session: &Session, sealed: &[u8]) -> Result<halcyon_suites::Opened, OpenError> {
    session.open(Suite::Pq3.id(), &BOB.phone.keys, &alice_to_bob(), &incoming(BOB.account(), NOW), sealed)
}

/// Takes an honest message and changes some of its fields.
fn bent(input: &mut Input<'_>, honest: &Message) -> Message {
    let fields = input.byte();
    let mut field = |bit: u8, honest: &[u8]| {
        if fields & (1 << bit) == 0 { honest.to_vec() } else { changed(input, honest) }
    };
    let option = |bytes: Vec<u8>| (!bytes.is_empty()).then_some(bytes);
    Message {
        ciphertext: field(0, &honest.ciphertext),
        auth_data: field(1, &honest.auth_data),
        signature: honest.signature,
        ephemeral: CompactKey::try_from(field(2, honest.ephemeral.as_bytes()).as_slice()).unwrap_or(honest.ephemeral),
        index: <[u8; 4]>::try_from(field(3, &honest.index.to_be_bytes())).map_or(honest.index, u32::from_be_bytes),
        indicator: field(4, &honest.indicator).try_into().unwrap_or(honest.indicator),
        head: Head {
            kem_key: option(field(5, honest.head.kem_key.as_deref().unwrap_or_default())),
            encap: option(field(6, honest.head.encap.as_deref().unwrap_or_default())),
            prekey_hash: field(7, honest.head.prekey_hash.as_ref().map_or(&[], |hash| &hash[..])).try_into().ok(),
        },
    }
}

/// Returns bytes with some of them changed, or others altogether.
fn changed(input: &mut Input<'_>, honest: &[u8]) -> Vec<u8> {
    let changes = input.choice(CHANGES_MAX + 1);
    if changes == CHANGES_MAX {
        return input.piece().to_vec();
    }
    let mut bytes = honest.to_vec();
    for _ in 0..changes {
        let at = usize::from(input.u16());
        if let Some(byte) = bytes.len().checked_sub(1).and_then(|last| bytes.get_mut(at.min(last))) {
            *byte ^= input.byte();
        }
    }
    bytes
}

/// Signs a message from Alice's phone to Bob's over a preimage that is spelled out here (PQ3-21).
fn signed(message: Message) -> Vec<u8> {
    let part = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat();
    let party = |person: &crate::people::Person| {
        Party::new(person.account(), person.phone.keys.device.verifying_key().compact())
    };
    let head = &message.head;
    let signature = ALICE.phone.keys.device.sign_raw(&[
        fixed::PQ3_MESSAGE,
        &part(&message.ciphertext),
        &part(&message.auth_data),
        &message.indicator,
        message.ephemeral.as_bytes(),
        &message.index.to_be_bytes(),
        party(&ALICE).as_bytes(),
        party(&BOB).as_bytes(),
        &part(head.kem_key.as_deref().unwrap_or_default()),
        &part(head.encap.as_deref().unwrap_or_default()),
        head.prekey_hash.as_ref().map_or(&[], |hash| &hash[..]),
    ]);
    Message { signature, ..message }.encode()
}

/// Spells out a bundle as proto/halcyon/pq3.proto has it.
fn encoded(kem_key: &[u8], prekey: &[u8], time_ms: u64, version: u32, signature: &Signature) -> Vec<u8> {
    let mut record = Vec::new();
    let mut field = |key: u8, bytes: &[u8]| {
        record.push(key);
        prost::encoding::encode_varint(bytes.len() as u64, &mut record);
        record.extend_from_slice(bytes);
    };
    field(0x0a, kem_key);
    field(0x12, prekey);
    record.push(0x18);
    prost::encoding::encode_varint(time_ms, &mut record);
    record.push(0x20);
    prost::encoding::encode_varint(u64::from(version), &mut record);
    record.push(0x2a);
    prost::encoding::encode_varint(64, &mut record);
    record.extend_from_slice(signature.as_bytes());
    record
}

/// The material of each of the three, honest and bent.
pub(super) fn seeds() -> [(u8, Vec<Vec<u8>>); 3] {
    let twisted = |at: usize| {
        let mut bundle = honest_bundle().to_vec();
        bundle[at] ^= 1;
        bundle
    };
    let strangers = vec![honest_bundle().to_vec(), twisted(40), twisted(1_600)];
    // Unchanged; a bit of the KEM key; another prekey altogether; a stale time; another version.
    let hostile: [&[u8]; 5] = [
        &[0, 0, 0, 0],
        &[1, 0, 9, 1, 0, 0, 0],
        &[0, 4, 0, 2, 7, 7, 0, 0],
        &[0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 9, 0],
        &[0, 0, 0, 3, 0, 2],
    ];
    // Both messages, and the first again; then fields bent one after the other.
    let whole: &[u8] = &[1, 0, 0, 0, 1, 0];
    let mut messages = vec![whole.to_vec()];
    for bit in 0..8 {
        messages.push([&[0, 1 << bit, 1, 0, 3, 1][..], &[0, 0]].concat());
    }
    [(8, strangers), (9, hostile.map(<[u8]>::to_vec).to_vec()), (10, messages)]
}
