//! Every bit of a message, flipped by whoever carries it, by Eve who signs what she made of it, and by the sender herself.

use halcyon_crypto::CompactKey;
use halcyon_suites::{
    OpenError,
    pq3::{
        rekey::REKEY_AGE,
        wire::{AuthData, Message},
    },
};

use super::{
    by_hand::signed,
    phones::{Phone, acquainted, alice_and_bob, parsed, turn},
};
use crate::people::auth_data;

/// What a signature covers, field by field.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Field {
    Ciphertext,
    AuthData,
    Ephemeral,
    Index,
    Indicator,
    KemKey,
    Encap,
    PrekeyHash,
}

const FIELDS: [Field; 8] = [
    Field::Ciphertext,
    Field::AuthData,
    Field::Ephemeral,
    Field::Index,
    Field::Indicator,
    Field::KemKey,
    Field::Encap,
    Field::PrekeyHash,
];

/// Returns a field's bytes, to be bent.
fn bytes_of(message: &Message, field: Field) -> Vec<u8> {
    match field {
        Field::Ciphertext => message.ciphertext.clone(),
        Field::AuthData => message.auth_data.clone(),
        Field::Ephemeral => message.ephemeral.as_bytes().to_vec(),
        Field::Index => message.index.to_be_bytes().to_vec(),
        Field::Indicator => message.indicator.to_vec(),
        Field::KemKey => message.head.kem_key.clone().unwrap_or_default(),
        Field::Encap => message.head.encap.clone().unwrap_or_default(),
        Field::PrekeyHash => message.head.prekey_hash.map(|hash| hash.to_vec()).unwrap_or_default(),
    }
}

fn with_bytes(message: &Message, field: Field, bytes: Vec<u8>) -> Message {
    let mut bent = message.clone();
    match field {
        Field::Ciphertext => bent.ciphertext = bytes,
        Field::AuthData => bent.auth_data = bytes,
        Field::Ephemeral => bent.ephemeral = CompactKey::try_from(bytes.as_slice()).unwrap(),
        Field::Index => bent.index = u32::from_be_bytes(bytes.try_into().unwrap()),
        Field::Indicator => bent.indicator = bytes.try_into().unwrap(),
        Field::KemKey => bent.head.kem_key = Some(bytes),
        Field::Encap => bent.head.encap = Some(bytes),
        Field::PrekeyHash => bent.head.prekey_hash = Some(bytes.try_into().unwrap()),
    }
    bent
}

/// Every field of the message with one bit flipped: every bit of the short fields and every byte of the ciphertext; of the KEM
/// values, which are random all over, one bit of each fourth byte. (All of them, unsigned: [`every_flipped_bit_is_refused`].)
fn bent(message: &Message) -> impl Iterator<Item = (Field, usize, Message)> {
    FIELDS.into_iter().flat_map(move |field| {
        let bytes = bytes_of(message, field);
        let stride = match field {
            Field::Ciphertext => 1,
            Field::KemKey | Field::Encap => 4,
            _ => 0,
        };
        let bits = (0..8 * bytes.len())
            .filter(move |bit| stride == 0 || bit / 8 % stride == 0 && bit % 8 == bit / 8 / stride % 8);
        bits.map(move |bit| {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            (field, bit, with_bytes(message, field, bytes))
        })
    })
}

/// A start that Bob has not seen, and a live message that changes the direction and answers an offer.
fn start_and_live() -> [(Phone, Phone, Vec<u8>); 2] {
    let (mut alice, bob) = alice_and_bob();
    let start = alice.seal(&bob, "hello");
    assert!(parsed(&start).head.kem_key.is_some() && parsed(&start).head.prekey_hash.is_some());
    let (mut from, mut to) = acquainted();
    (from.now, to.now) = (from.now.plus(REKEY_AGE), to.now.plus(REKEY_AGE));
    turn(&mut from, &mut to); // It offers, since the last rekey is a week old.
    let live = to.seal(&from, "hello");
    assert!(parsed(&live).head.encap.is_some());
    [(alice, bob, start), (to, from, live)]
}

/// PQ3-24, PQ3-25: every bit of a live message flipped, and nothing else done: one error, and what is stored is the same. (Of a
/// start: `attacks.rs`.)
#[test]
fn every_flipped_bit_is_refused() {
    let [_, (alice, bob, live)] = start_and_live();
    let from = alice.public();
    for bit in 0..8 * live.len() {
        let mut bent = live.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        bob.refuses(&from, &bent, &format!("bit {bit}"));
    }
    assert!(bob.try_open(&from, &live).is_ok(), "control: unflipped it opens");
}

/// PQ3-21, PQ3-25: Eve flips any bit of Alice's message, signs it and sends it as hers: for each there is no key, though her signature
/// is good. Unflipped, it is the same; and what she signed and calls Alice's is refused as a forgery.
#[test]
fn flipped_and_re_signed_by_eve_is_refused() {
    let eve = Phone::new(3);
    for (alice, bob, sealed) in start_and_live() {
        let (from_eve, from_alice, message) = (eve.public(), alice.public(), parsed(&sealed));
        let as_hers = |message: &Message| signed(message, &eve.party(), &bob.party(), &eve.device.keys.device);
        let as_alices = |message: &Message| signed(message, &alice.party(), &bob.party(), &eve.device.keys.device);
        bob.has_no_key(&from_eve, &as_hers(&message), "re-signed as it was");
        bob.refuses(&from_alice, &as_alices(&message), "re-signed as it was, as alice's");
        for (field, bit, bent) in bent(&message) {
            let what = format!("{field:?} bit {bit}");
            match bob.try_open(&from_eve, &as_hers(&bent)).map(|opened| opened.plaintext.len()) {
                Err(OpenError::Unauthentic) => assert_eq!(field, Field::AuthData, "{what}"),
                opened => assert_eq!(opened, Err(OpenError::NoKey), "{what}"),
            }
            bob.refuses(&from_alice, &as_alices(&bent), &what);
        }
    }
}

/// PQ3-24, SUI-12: Alice's own key signs the flipped message. What decides about keys still refuses every bit; ciphertext, the KEM
/// key that she offers, the handle that she writes to and when she started are hers to say, and say nothing but what she signed.
#[test]
fn flipped_and_re_signed_by_alice_opens_only_as_what_she_said() {
    for (alice, bob, sealed) in start_and_live() {
        let (from_alice, message) = (alice.public(), parsed(&sealed));
        let said = bob.try_open(&from_alice, &sealed).unwrap().plaintext.expose().to_vec();
        let mut opened = Vec::new();
        for (field, bit, bent) in bent(&message) {
            let resigned = signed(&bent, &alice.party(), &bob.party(), &alice.device.keys.device);
            let what = format!("{field:?} bit {bit}");
            match bob.try_open(&from_alice, &resigned) {
                // AuthData is checked before the state is looked at, the pad after decryption (PQ3-25).
                Err(OpenError::Unauthentic) => {
                    assert!([Field::AuthData, Field::Ciphertext].contains(&field), "{what}");
                }
                Err(error) => assert_eq!(error, OpenError::NoKey, "{what}"),
                Ok(heard) => {
                    let mut expected = said.clone();
                    if let (Field::Ciphertext, Some(byte)) = (field, expected.get_mut(bit / 8)) {
                        *byte ^= 1 << (bit % 8);
                    }
                    assert!(heard.plaintext.expose().starts_with(&expected), "{what}");
                    let other_recipient = heard.recipient != Some(auth_data().recipient);
                    let started = |message: &Message| AuthData::decode(&message.auth_data).map(|(_, started)| started);
                    let other_time = started(&bent) != started(&message);
                    assert_eq!(other_recipient || other_time, field == Field::AuthData, "{what}");
                    opened.push(field);
                }
            }
        }
        opened.dedup();
        assert!(opened.iter().all(|field| [Field::Ciphertext, Field::AuthData, Field::KemKey].contains(field)));
        assert!(opened.contains(&Field::Ciphertext), "control: the test signs as Alice does");
    }
}
