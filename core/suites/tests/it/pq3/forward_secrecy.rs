//! Forward secrecy: a hundred messages, number 40 withheld. What is on Bob's disk after the other 99 opened.

use std::collections::BTreeSet;

use halcyon_crypto::{AgreementKey, AgreementPublic, CompactKey};
use halcyon_suites::{
    OpenError, Session,
    pq3::kdf::{ChainKey, MessageKey, RootKey},
};
use halcyon_types::Duration;
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::{
    phones::{Phone, acquainted, alice_and_bob, restarted, turn},
    stored::{self, secret},
};

const MESSAGES: usize = 100;
const WITHHELD: usize = 40;

/// A chain of a hundred messages, and every key that it has had.
struct Chain {
    sealed: Vec<Vec<u8>>,
    /// Chain keys before each message and after the last.
    chain_keys: Vec<[u8; 32]>,
    message_keys: Vec<[u8; 32]>,
}

/// Alice seals a hundred messages in one chain; her disk before the first tells all keys.
fn hundred(alice: &mut Phone, bob: &Phone, before: &str) -> Chain {
    let opener = alice.seal(bob, before);
    let mut key = ChainKey::from_secret(secret(stored::preferred(&alice.session).sending.unwrap().chain));
    let mut chain = Chain { sealed: vec![opener], chain_keys: vec![*key.expose()], message_keys: Vec::new() };
    for number in 0..MESSAGES {
        chain.sealed.push(alice.seal(bob, &format!("message {number}")));
        let (message, next) = key.step();
        key = next;
        chain.message_keys.push(*message.expose());
        chain.chain_keys.push(*key.expose());
    }
    assert_eq!(stored::preferred(&alice.session).sending.unwrap().chain, *key.expose(), "the keys are the chain's");
    chain
}

/// PQ3-30, PQ3-31, SUI-11: after 99 of 100, in order and shuffled, everything on Bob's disk (session, device key, prekeys) holds the
/// key of number 40 once and none of the other 99 message keys, none of the chain keys that gave them, none of their
/// indicators or content keys; nor are they derived from anything there.
#[test]
fn the_disk_has_the_withheld_key_and_no_other() {
    for shuffled in [false, true] {
        let (mut alice, mut bob) = acquainted();
        let chain = hundred(&mut alice, &bob, "opens the chain");
        bob.open(&alice, &chain.sealed[0]).unwrap();
        let before = disk(&bob);
        assert!(holds(&before, &chain.chain_keys[0]), "control: the search finds a key that is there");
        let mut order: Vec<usize> = (0..MESSAGES).filter(|number| *number != WITHHELD).collect();
        if shuffled {
            order.shuffle(&mut StdRng::seed_from_u64(1));
        }
        for number in order {
            assert_eq!(bob.open(&alice, &chain.sealed[1 + number]).unwrap(), format!("message {number}"));
        }
        none_but_the_withheld(&bob, &alice, &chain);
        // And when the conversation has gone on.
        turn(&mut bob, &mut alice);
        none_but_the_withheld(&bob, &alice, &chain);
        turn(&mut alice, &mut bob);
        none_but_the_withheld(&bob, &alice, &chain);
    }
}

/// Everything that Bob's device stores.
fn disk(bob: &Phone) -> Vec<u8> {
    [bob.stored().expose(), bob.device.keys.to_secret_bytes().expose()].concat()
}

fn holds(disk: &[u8], key: &[u8]) -> bool {
    disk.windows(key.len()).any(|window| window == key)
}

fn none_but_the_withheld(bob: &Phone, alice: &Phone, chain: &Chain) {
    let disk = disk(bob);
    let mut forbidden = BTreeSet::new();
    for (number, key) in chain.message_keys.iter().enumerate() {
        if number == WITHHELD {
            assert_eq!(disk.windows(32).filter(|window| window == key).count(), 1, "number 40 is kept, once");
            continue;
        }
        assert!(!holds(&disk, key), "key of message {number}");
        let key_of = MessageKey::from_secret(secret(*key));
        let content = key_of.content_keys();
        assert!(!holds(&disk, content.key.expose()) && !holds(&disk, key_of.indicator().expose()), "{number}");
        forbidden.insert(*key);
    }
    for (number, key) in chain.chain_keys[..MESSAGES].iter().enumerate() {
        assert!(!holds(&disk, key), "chain key {number}");
        forbidden.insert(*key);
    }
    // Derivable: every 32 bytes of the disk as a chain key, one step on.
    for window in disk.windows(32) {
        let (message, next) = ChainKey::from_secret(secret(window.try_into().unwrap())).step();
        assert!(!forbidden.contains(message.expose()) && !forbidden.contains(next.expose()));
    }
    // Everything that the session has as a chain or message key, a hundred steps on; every private key with every public one of
    // Alice's, from the root that is there.
    let disk = stored::preferred(&bob.session);
    let mut keys: Vec<[u8; 32]> = disk.receiving.iter().map(|chain| chain.chain).collect();
    keys.extend(disk.receiving.iter().flat_map(|chain| chain.skipped.iter().map(|(_, key)| *key)));
    keys.push(disk.root);
    if let Some(sending) = &disk.sending {
        keys.extend([sending.chain, sending.secret]);
        let own = AgreementKey::from_secret(secret(sending.secret)).unwrap();
        for chain in &disk.receiving {
            let public = AgreementPublic::from_compact(&CompactKey::from_bytes(chain.ephemeral)).unwrap();
            let (from, to) = (alice.party(), bob.party());
            for (from, to) in [(&from, &to), (&to, &from)] {
                let info: [&[u8]; 5] =
                    [from.as_bytes(), to.as_bytes(), b"pk_ratchet", &sending.ephemeral, &chain.ephemeral];
                let root = RootKey::from_secret(secret(disk.root));
                keys.push(*root.step(&own.agree(&public), None, &info).1.expose());
            }
        }
    }
    for key in keys {
        let mut key = ChainKey::from_secret(secret(key));
        for _ in 0..MESSAGES {
            let (message, next) = key.step();
            assert!(!forbidden.contains(message.expose()) && !forbidden.contains(next.expose()));
            key = next;
        }
    }
}

/// PQ3-25, PQ3-31: what was stored opens none of the 99 again, after a restart either; number 40 it opens, once. Thirty days later
/// that key is gone too.
#[test]
fn what_is_stored_opens_the_withheld_message_alone() {
    let (mut alice, mut bob) = acquainted();
    let chain = hundred(&mut alice, &bob, "opens the chain");
    for (number, sealed) in chain.sealed.iter().enumerate() {
        if number != 1 + WITHHELD {
            bob.open(&alice, sealed).unwrap();
        }
    }
    let mut thief = bob.copied();
    for (number, sealed) in chain.sealed.iter().enumerate().filter(|(number, _)| *number != 1 + WITHHELD) {
        assert_eq!(thief.open(&alice, sealed).unwrap_err(), OpenError::Replayed, "{number}");
    }
    let mut a_month_later = bob.copied();
    assert_eq!(thief.open(&alice, &chain.sealed[1 + WITHHELD]).unwrap(), "message 40");
    assert_eq!(thief.open(&alice, &chain.sealed[1 + WITHHELD]).unwrap_err(), OpenError::Replayed);
    assert!(!holds(&disk(&thief), &chain.message_keys[WITHHELD]));
    a_month_later.now = bob.now.plus(Duration::from_days(30));
    a_month_later.seal(&alice, "any commit wipes what is too old");
    assert!(holds(&disk(&bob), &chain.message_keys[WITHHELD]), "control");
    assert!(!holds(&disk(&a_month_later), &chain.message_keys[WITHHELD]));
    assert!(a_month_later.open(&alice, &chain.sealed[1 + WITHHELD]).is_err());
}

/// PQ3-7, PQ3-11: the first chain of a session is as safe as the prekey: the session holds none of its keys, but whoever gets the
/// private halves takes the start up anew. Once these are wiped, nobody can.
#[test]
fn a_first_chain_is_as_safe_as_the_prekey() {
    let (mut alice, mut bob) = alice_and_bob();
    let chain = hundred(&mut alice, &bob, "opens the chain");
    for sealed in &chain.sealed {
        bob.open(&alice, sealed).unwrap();
    }
    let of_keys = disk(&bob);
    assert!(chain.message_keys.iter().chain(&chain.chain_keys[..MESSAGES]).all(|key| !holds(&of_keys, key)));
    let mut thief = Phone { session: Session::default(), ..bob.copied() };
    assert_eq!(thief.open(&alice, &chain.sealed[7]).unwrap(), "message 6", "with the prekeys, and without the names");
    for week in 1..=6 {
        bob.now = bob.now.plus(Duration::from_days(7));
        bob.device.keys = bob.copied().device.keys.with_rolled_prekey(&mut bob.device.rng, bob.now);
        assert!(week < 6 || restarted(&bob.session) == bob.session);
    }
    let thief = Phone { session: Session::default(), ..bob.copied() };
    thief.has_no_key(&alice.public(), &chain.sealed[7], "the private halves are wiped");
}
