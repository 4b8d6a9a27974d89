//! Two devices talking, with everything between them lost, late, doubled or copied.

use halcyon_crypto::{CompactKey, Signature};
use halcyon_types::{AccountId, Duration};
use proptest::{collection::vec, prelude::*};
use rand::{Rng as _, SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::*;
use crate::pq3::session::RECEIVING_MAX;
use crate::pq3::skipped;
use crate::pq3::{
    rekey::{REKEY_AGE, REKEY_MESSAGES},
    session::Role,
    skipped::CHAIN_MAX,
};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A device with its keys and its sessions with the one peer of the story.
struct Device {
    key: SigningKey,
    party: Party,
    ring: PrekeyRing,
    rng: StdRng,
    sessions: Sessions,
    now: Timestamp,
}

fn handle(name: &str) -> Handle {
    Handle::parse(&format!("mailto:{name}@example.org")).unwrap()
}

fn auth_data() -> AuthData {
    AuthData {
        envelope: EnvelopeId::from_bytes([9; 16]),
        sender: handle("sender"),
        recipient: handle("recipient"),
        sender_push_token: Some(PushToken::from_bytes([2; 32])),
        recipient_push_token: PushToken::from_bytes([1; 32]),
    }
}

impl Device {
    fn new(seed: u8) -> Self {
        let mut rng = StdRng::seed_from_u64(u64::from(seed));
        let key = SigningKey::generate_compact(&mut rng);
        let party = Party::new(AccountId::from_bytes([seed; 16]), key.verifying_key().compact());
        let ring = PrekeyRing::generate(&mut rng, &key, NOW);
        Self { key, party, ring, rng, sessions: Sessions::default(), now: NOW }
    }

    fn try_seal(&mut self, peer: &Device, text: &[u8]) -> Result<Vec<u8>, SealError> {
        let sealing = Sealing {
            key: &self.key,
            from: &self.party,
            to: &peer.party,
            recipient: peer.key.verifying_key(),
            bundle: Some(peer.ring.record()),
            auth_data: &auth_data(),
        };
        let (sealed, next) = self.sessions.clone().seal(&sealing, &mut self.rng, self.now, text)?;
        self.sessions = stored(&next);
        Ok(sealed)
    }

    fn seal(&mut self, peer: &Device, text: &str) -> Vec<u8> {
        self.try_seal(peer, text.as_bytes()).unwrap()
    }

    fn try_open(&self, peer: &Device, sealed: &[u8]) -> Result<Opened, OpenError> {
        let bound = auth_data();
        let opening = Opening {
            ring: &self.ring,
            from: &peer.party,
            to: &self.party,
            sender: peer.key.verifying_key(),
            envelope: bound.envelope,
            sender_handle: &bound.sender,
            push_token: Some(bound.recipient_push_token),
        };
        self.sessions.open(&opening, self.now, sealed)
    }

    /// Opens and commits.
    fn open(&mut self, peer: &Device, sealed: &[u8]) -> Result<String, OpenError> {
        let before = stored(&self.sessions);
        let opened = self.try_open(peer, sealed);
        assert!(self.sessions == before, "opening changes nothing by itself");
        let opened = opened?;
        self.sessions = stored(&opened.next);
        Ok(String::from_utf8(opened.plaintext.expose().to_vec()).unwrap())
    }

    /// What the copier of this device's state has.
    fn copy(&self) -> Device {
        Device {
            key: self.key.clone(),
            party: self.party.clone(),
            ring: self.ring.clone(),
            rng: StdRng::seed_from_u64(666),
            sessions: self.sessions.clone(),
            now: self.now,
        }
    }

    fn security(&self) -> Security {
        self.sessions.security().unwrap()
    }

    fn bytes_at_rest(&self) -> usize {
        bytes(&self.sessions).len()
    }
}

fn bytes(sessions: &Sessions) -> SecretBytes {
    let mut writer = Writer::new(1, sessions.encoded_len());
    sessions.write(&mut writer);
    let bytes = writer.finish();
    assert!(bytes.len() <= 1 + sessions.encoded_len(), "the estimate holds, so that no copy is left behind");
    bytes
}

/// Through the disk, as every session goes.
fn stored(sessions: &Sessions) -> Sessions {
    let bytes = bytes(sessions);
    let mut reader = Reader::new(bytes.expose(), 1).unwrap();
    let again = Sessions::read(&mut reader).unwrap();
    reader.end().unwrap();
    again
}

fn alice_and_bob() -> (Device, Device) {
    (Device::new(1), Device::new(2))
}

/// Alice and Bob after a first exchange.
fn acquainted() -> (Device, Device) {
    let (mut alice, mut bob) = alice_and_bob();
    let hello = alice.seal(&bob, "hello");
    assert_eq!(bob.open(&alice, &hello).unwrap(), "hello");
    let hi = bob.seal(&alice, "hi");
    assert_eq!(alice.open(&bob, &hi).unwrap(), "hi");
    (alice, bob)
}

fn turn(from: &mut Device, to: &mut Device) {
    let sealed = from.seal(to, "a turn");
    assert_eq!(to.open(from, &sealed).unwrap(), "a turn");
}

/// PQ3-32: sessions are the same if what is stored of them is.
#[test]
fn sessions_are_compared_by_what_is_stored() {
    let (mut alice, bob) = acquainted();
    let before = alice.sessions.clone();
    assert!(before == alice.sessions && before == stored(&alice.sessions));
    alice.seal(&bob, "one more");
    assert!(before != alice.sessions);
}

/// PQ3-16: only a message that is ahead of all before counts as the last one heard: not one that was late in the newest chain, nor
/// the end of an older chain.
#[test]
fn what_is_late_is_not_ahead() {
    let (mut alice, mut bob) = acquainted();
    let [first, second, last] = ["first", "second", "last"].map(|text| alice.seal(&bob, text));
    let open = |bob: &mut Device, alice: &Device, sealed: &[u8]| {
        bob.now = bob.now.plus(Duration::from_mins(1));
        bob.open(alice, sealed).unwrap();
        bob.sessions.sessions()[0].heard().unwrap()
    };
    let ahead = open(&mut bob, &alice, &second);
    assert_eq!(ahead, bob.now);
    assert_eq!(open(&mut bob, &alice, &first), ahead, "late in the newest chain");
    turn(&mut bob, &mut alice);
    let next = alice.seal(&bob, "in the next chain");
    let ahead = open(&mut bob, &alice, &next);
    assert_eq!(ahead, bob.now);
    assert_eq!(open(&mut bob, &alice, &last), ahead, "ahead in an older chain");
}

/// PQ3-10, PQ3-12: a talk back and forth; each change of direction has its own key.
#[test]
fn a_conversation_ratchets_with_each_turn() {
    let (mut alice, mut bob) = acquainted();
    let mut seen = Vec::new();
    for _ in 0..5 {
        for (from, to) in [(0, 1), (1, 0)] {
            let mut pair = [&mut alice, &mut bob];
            let [first, second] = &mut pair;
            let (from, to) = if from < to { (first, second) } else { (second, first) };
            for text in ["one", "two"] {
                let sealed = from.seal(to, text);
                seen.push(Message::decode(&sealed).unwrap().ephemeral);
                assert_eq!(to.open(from, &sealed).unwrap(), text);
            }
        }
    }
    assert!(seen.chunks(2).all(|chain| chain[0] == chain[1]));
    seen.dedup();
    assert_eq!(seen.len(), 10);
}

/// PQ3-11: the first message is lost, the others come in any order; each carries the start until an answer opened.
#[test]
fn the_start_rides_on_every_message_until_the_answer() {
    let (mut alice, mut bob) = alice_and_bob();
    let sealed: Vec<_> = ["one", "two", "three"].iter().map(|text| alice.seal(&bob, text)).collect();
    assert!(sealed.iter().all(|sealed| Message::decode(sealed).unwrap().head.prekey_hash.is_some()));
    assert!(!alice.security().answered);
    assert_eq!(bob.open(&alice, &sealed[2]).unwrap(), "three");
    assert_eq!(bob.open(&alice, &sealed[1]).unwrap(), "two");
    turn(&mut bob, &mut alice);
    assert!(alice.security().answered);
    let next = alice.seal(&bob, "four");
    assert!(Message::decode(&next).unwrap().head.prekey_hash.is_none());
    assert_eq!(bob.open(&alice, &next).unwrap(), "four");
    assert_eq!(bob.open(&alice, &sealed[0]).unwrap(), "one", "late, and still in a chain that is kept");
}

/// PQ3-9, PQ3-16: both write first. Both sessions open, and from then on both use the one with the larger id.
#[test]
fn both_start_at_once_and_agree() {
    for seed in 0..6 {
        let (mut alice, mut bob) = alice_and_bob();
        alice.rng = StdRng::seed_from_u64(seed);
        let (from_alice, from_bob) = (alice.seal(&bob, "from alice"), bob.seal(&alice, "from bob"));
        assert_eq!(alice.open(&bob, &from_bob).unwrap(), "from bob");
        assert_eq!(bob.open(&alice, &from_alice).unwrap(), "from alice");
        assert_eq!(alice.sessions.sessions().len(), 2);
        let chosen = *alice.sessions.sessions()[0].id();
        assert_eq!(chosen, *bob.sessions.sessions()[0].id(), "seed {seed}");
        assert_eq!(chosen, *alice.sessions.sessions().iter().map(Session::id).max().unwrap());
        for _ in 0..3 {
            turn(&mut alice, &mut bob);
            turn(&mut bob, &mut alice);
        }
        assert!(alice.security().answered && bob.security().answered);
    }
}

/// PQ3-16: both start, and every message crosses another. Whatever is chosen, everything opens, and it settles.
#[test]
fn crossing_messages_settle() {
    for seed in 0..20 {
        let (mut alice, mut bob) = alice_and_bob();
        alice.rng = StdRng::seed_from_u64(seed);
        for _ in 0..6 {
            let (from_alice, from_bob) = (alice.seal(&bob, "a"), bob.seal(&alice, "b"));
            assert_eq!(bob.open(&alice, &from_alice).unwrap(), "a");
            assert_eq!(alice.open(&bob, &from_bob).unwrap(), "b");
        }
        turn(&mut alice, &mut bob);
        turn(&mut bob, &mut alice);
        assert_eq!(alice.sessions.sessions()[0].id(), bob.sessions.sessions()[0].id(), "seed {seed}");
    }
}

/// PQ3-15, PQ3-16: Bob's device lost its sessions and starts anew; Alice goes with him, and a late message of old changes nothing.
#[test]
fn a_peer_that_lost_its_state_is_followed() {
    let (mut alice, mut bob) = acquainted();
    turn(&mut alice, &mut bob);
    let late = bob.seal(&alice, "from before");
    bob.sessions = Sessions::default();
    let anew = bob.seal(&alice, "anew");
    assert_eq!(alice.open(&bob, &anew).unwrap(), "anew");
    turn(&mut alice, &mut bob);
    turn(&mut bob, &mut alice);
    assert_eq!(alice.open(&bob, &late).unwrap(), "from before");
    let anew = *bob.sessions.sessions()[0].id();
    let reply = bob.seal(&alice, "still here");
    assert_eq!(alice.open(&bob, &reply).unwrap(), "still here");
    assert_eq!(*alice.sessions.sessions()[0].id(), anew);
    turn(&mut alice, &mut bob);
}

/// PQ3-24, PQ3-30: 60 messages both ways, a third lost, in any order, some twice: what arrives opens once.
#[test]
fn loss_reorder_and_duplicates() {
    for seed in 0..8 {
        let mut dice = StdRng::seed_from_u64(seed);
        let (mut alice, mut bob) = acquainted();
        let mut to_bob = Vec::new();
        for number in 0..60 {
            let text = format!("message {number}");
            to_bob.push((text.clone(), alice.seal(&bob, &text)));
            if number % 10 == 9 {
                to_bob.shuffle(&mut dice);
                for (text, sealed) in to_bob.drain(..) {
                    if dice.gen_ratio(1, 3) {
                        continue;
                    }
                    assert_eq!(bob.open(&alice, &sealed).unwrap(), text);
                    assert_eq!(bob.open(&alice, &sealed).unwrap_err(), OpenError::Replayed);
                }
                turn(&mut bob, &mut alice);
            }
        }
    }
}

/// PQ3-30: messages of the fifteen chains before open still; those of older chains do not.
#[test]
fn previous_chains_are_kept() {
    let (mut alice, mut bob) = acquainted();
    let mut late = Vec::new();
    for chain in 0..=RECEIVING_MAX {
        late.push(alice.seal(&bob, &format!("late {chain}")));
        turn(&mut alice, &mut bob);
        turn(&mut bob, &mut alice);
    }
    assert_eq!(bob.open(&alice, &late[0]).unwrap_err(), OpenError::NoKey);
    for (chain, sealed) in late.iter().enumerate().skip(1) {
        assert_eq!(bob.open(&alice, sealed).unwrap(), format!("late {chain}"));
    }
}

/// PQ3-30, PQ3-31: too far ahead is refused; a chain with a thousand gaps goes on; a month later the gaps are closed.
#[test]
fn skipped_keys_are_bounded_and_expire() {
    let (mut alice, mut bob) = acquainted();
    let sealed: Vec<_> = (0..CHAIN_MAX + 3).map(|number| alice.seal(&bob, &number.to_string())).collect();
    assert_eq!(bob.open(&alice, &sealed[CHAIN_MAX + 1]).unwrap_err(), OpenError::NoKey);
    assert_eq!(bob.open(&alice, &sealed[CHAIN_MAX]).unwrap(), CHAIN_MAX.to_string());
    assert_eq!(bob.sessions.skipped(), CHAIN_MAX);
    assert_eq!(bob.open(&alice, &sealed[CHAIN_MAX + 2]).unwrap(), (CHAIN_MAX + 2).to_string());
    assert_eq!(bob.sessions.skipped(), CHAIN_MAX, "the oldest made room");
    assert_eq!(bob.open(&alice, &sealed[0]).unwrap_err(), OpenError::Replayed);
    assert_eq!(bob.open(&alice, &sealed[1]).unwrap(), "1");
    bob.now = NOW.plus(skipped::KEEP);
    alice.now = bob.now;
    turn(&mut bob, &mut alice);
    assert_eq!(bob.sessions.skipped(), 0);
}

/// PQ3-30: gaps in many chains: the bound holds for all together.
#[test]
fn all_chains_share_one_bound() {
    let (mut alice, mut bob) = acquainted();
    for _ in 0..4 {
        for _ in 0..CHAIN_MAX {
            alice.seal(&bob, "lost");
        }
        turn(&mut alice, &mut bob);
        turn(&mut bob, &mut alice);
        assert!(bob.sessions.skipped() <= SESSION_MAX, "{}", bob.sessions.skipped());
    }
    assert_eq!(bob.sessions.skipped(), SESSION_MAX);
    assert!(bob.bytes_at_rest() < 2000 * 40 + 4096, "{}", bob.bytes_at_rest());
}

/// PQ3-14: a KEM key is offered with the start, then after 50 messages, then after a week; each is answered at once.
#[test]
fn rekeys_come_at_first_by_count_and_by_age() {
    let (mut alice, mut bob) = alice_and_bob();
    let hello = alice.seal(&bob, "hello");
    assert!(Message::decode(&hello).unwrap().head.kem_key.is_some());
    bob.open(&alice, &hello).unwrap();
    assert_eq!(bob.security().rekeyed, None);
    let hi = bob.seal(&alice, "hi");
    assert_eq!(Message::decode(&hi).unwrap().head.encap.unwrap().len(), 1088);
    alice.open(&bob, &hi).unwrap();
    assert_eq!((alice.security().rekeyed, bob.security().rekeyed), (Some(NOW), Some(NOW)));

    let mut offers = 0;
    for message in 0..4 * REKEY_MESSAGES {
        let (from, to) = if message % 2 == 0 { (&mut alice, &mut bob) } else { (&mut bob, &mut alice) };
        let sealed = from.seal(to, "x");
        offers += usize::from(Message::decode(&sealed).unwrap().head.kem_key.is_some());
        to.open(from, &sealed).unwrap();
    }
    assert!((3..=4).contains(&offers), "{offers}");

    let week_later = NOW.plus(REKEY_AGE);
    (alice.now, bob.now) = (week_later, week_later);
    turn(&mut alice, &mut bob);
    turn(&mut bob, &mut alice);
    assert_eq!(alice.security().rekeyed, Some(week_later));
    assert_eq!(bob.security().ratcheted, week_later);
}

/// PQ3-13: every message of a chain carries its KEM values, so a rekey survives the loss of any of them.
#[test]
fn a_rekey_survives_loss() {
    let (mut alice, mut bob) = acquainted();
    (alice.now, bob.now) = (NOW.plus(REKEY_AGE), NOW.plus(REKEY_AGE));
    for _ in 0..3 {
        alice.seal(&bob, "lost with the offer");
    }
    turn(&mut alice, &mut bob);
    for _ in 0..3 {
        bob.seal(&alice, "lost with the encapsulation");
    }
    turn(&mut bob, &mut alice);
    assert_eq!(alice.security().rekeyed, Some(alice.now));
    turn(&mut alice, &mut bob);
}

/// Takes a message apart, lets `alter` change it, and signs it again with the sender's key.
fn resigned(from: &Device, to: &Device, sealed: &[u8], alter: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut message = Message::decode(sealed).unwrap();
    alter(&mut message);
    message.signature = message.signed(&from.party, &to.party, |parts| from.key.sign_raw(parts));
    message.encode()
}

/// PQ3-13: an offer that is not taken up, and an encapsulation to nothing, do not open, even signed.
#[test]
fn kem_values_that_do_not_fit_are_refused() {
    let (mut alice, mut bob) = alice_and_bob();
    let hello = alice.seal(&bob, "hello");
    bob.open(&alice, &hello).unwrap();
    let hi = bob.seal(&alice, "hi");
    let without = resigned(&bob, &alice, &hi, |message| message.head.encap = None);
    assert_eq!(alice.open(&bob, &without).unwrap_err(), OpenError::NoKey);
    let other = resigned(&bob, &alice, &hi, |message| message.head.encap.as_mut().unwrap()[7] ^= 1);
    assert_eq!(alice.open(&bob, &other).unwrap_err(), OpenError::NoKey);
    let bad_key = resigned(&bob, &alice, &hi, |message| message.head.kem_key = Some(vec![0xff; 1184]));
    assert_eq!(alice.open(&bob, &bad_key).unwrap_err(), OpenError::NoKey);
    assert_eq!(alice.open(&bob, &hi).unwrap(), "hi");
    let next = alice.seal(&bob, "next");
    let extra = resigned(&alice, &bob, &next, |message| message.head.encap = Some(vec![1; 1088]));
    assert_eq!(bob.open(&alice, &extra).unwrap_err(), OpenError::NoKey);
    assert_eq!(bob.open(&alice, &next).unwrap(), "next");
}

/// PQ3-19, PQ3-25, SUI-12: signed, but with another indicator, index or chain: there is no key, and nothing is decrypted.
#[test]
fn the_indicator_is_compared() {
    let (mut alice, mut bob) = acquainted();
    let sealed = alice.seal(&bob, "hello");
    for alter in [
        (|message: &mut Message| message.indicator[0] ^= 1) as fn(&mut Message),
        |message| message.index = 1,
        |message| message.ephemeral = CompactKey::from_bytes([0; 32]),
        |message| message.ephemeral = CompactKey::from_bytes([0xff; 32]),
    ] {
        assert_eq!(bob.open(&alice, &resigned(&alice, &bob, &sealed, alter)).unwrap_err(), OpenError::NoKey);
    }
    // PQ3-25: the key is here, and what it gives has no padding: an answer could tell something of the plaintext.
    let cut = resigned(&alice, &bob, &sealed, |message| message.ciphertext.clear());
    assert_eq!(bob.open(&alice, &cut).unwrap_err(), OpenError::Unauthentic);
    assert_eq!(bob.open(&alice, &sealed).unwrap(), "hello");
}

/// PQ3-22: another envelope, handle or push token: the message does not open.
#[test]
fn a_message_is_bound_to_its_envelope() {
    let (mut alice, bob) = acquainted();
    let sealed = alice.seal(&bob, "hello");
    let bound = auth_data();
    let opening = Opening {
        ring: &bob.ring,
        from: &alice.party,
        to: &bob.party,
        sender: alice.key.verifying_key(),
        envelope: bound.envelope,
        sender_handle: &bound.sender,
        push_token: None,
    };
    assert_eq!(bob.sessions.open(&opening, NOW, &sealed).unwrap().auth_data, bound);
    let carol = Device::new(3);
    for (what, other) in [
        ("envelope", Opening { envelope: EnvelopeId::from_bytes([8; 16]), ..opening }),
        ("handle", Opening { sender_handle: &handle("eve"), ..opening }),
        ("push token", Opening { push_token: Some(PushToken::from_bytes([5; 32])), ..opening }),
        ("sender's account", Opening { from: &carol.party, ..opening }),
        ("recipient", Opening { to: &carol.party, ..opening }),
        ("signer", Opening { sender: carol.key.verifying_key(), ..opening }),
    ] {
        assert_eq!(bob.sessions.open(&other, NOW, &sealed).unwrap_err(), OpenError::Unauthentic, "{what}");
    }
}

/// PQ3-11: a start that was taken up is not taken up again, while its private prekey lives; also after a restart.
#[test]
fn starts_are_not_replayed() {
    let (mut alice, mut bob) = alice_and_bob();
    let unopened = alice.seal(&bob, "kept back");
    let hello = alice.seal(&bob, "hello");
    bob.open(&alice, &hello).unwrap();
    for _ in 0..=RECEIVING_MAX {
        turn(&mut bob, &mut alice);
        turn(&mut alice, &mut bob);
    }
    // Its chain is long gone; only the start could open it.
    for sealed in [&hello, &unopened] {
        assert_eq!(bob.open(&alice, sealed).unwrap_err(), OpenError::NoKey);
    }
    // The memory does not grow without bound, and what is forgotten is no later than what is refused.
    let (mut mallory, mut bob) = (Device::new(7), Device::new(2));
    let mut taken = 0;
    for _ in 0..40 {
        mallory.sessions = Sessions::default();
        let start = mallory.seal(&bob, "start");
        taken += usize::from(bob.open(&mallory, &start).is_ok());
    }
    assert_eq!(taken, crate::pq3::start::STARTS_MAX, "while its clock stands still");
    for week in 1..=6 {
        bob.now = NOW.plus(Duration::from_days(7 * week));
        bob.ring = bob.ring.rolled(&mut bob.rng, &bob.key, bob.now);
    }
    mallory.sessions = Sessions::default();
    mallory.now = bob.now;
    let start = mallory.seal(&bob, "start");
    assert_eq!(bob.open(&mallory, &start).unwrap(), "start");
}

/// PQ3-8: no bundle, a foreign, stale or rolled back one: no start; a session that is there needs none.
#[test]
fn a_start_needs_a_good_bundle() {
    let (mut alice, mut bob) = alice_and_bob();
    let eve = Device::new(9);
    let older = PrekeyRing::generate(&mut bob.rng, &bob.key, NOW.minus(Duration::from_days(3)));
    let mut seal = |sessions: &Sessions, bundle: Option<&[u8]>, now| {
        let sealing = Sealing {
            key: &alice.key,
            from: &alice.party,
            to: &bob.party,
            recipient: bob.key.verifying_key(),
            bundle,
            auth_data: &auth_data(),
        };
        sessions.clone().seal(&sealing, &mut alice.rng, now, b"x").map(|(_, next)| next)
    };
    let fresh = Sessions::default();
    assert_eq!(seal(&fresh, None, NOW).unwrap_err(), SealError::NoPrekey);
    let foreign = seal(&fresh, Some(eve.ring.record()), NOW).unwrap_err();
    assert_eq!(foreign, SealError::BadBundle(crate::pq3::BundleError::Unsigned));
    let month = NOW.plus(Duration::from_days(32));
    assert_eq!(seal(&fresh, Some(bob.ring.record()), month).unwrap_err(), SealError::StalePrekey);
    let before = NOW.minus(Duration::from_days(2));
    assert_eq!(seal(&fresh, Some(bob.ring.record()), before).unwrap_err(), SealError::StalePrekey);
    let started = seal(&fresh, Some(bob.ring.record()), NOW).unwrap();
    assert!(seal(&started, None, NOW).is_ok(), "the session that is there");
    let late = NOW.plus(Duration::from_days(20));
    assert!(!started.needs_bundle(late));
    // PQ3-17: a chain that nobody answered for 30 days is not gone on with.
    let late = NOW.plus(Duration::from_days(30));
    assert!(started.needs_bundle(late));
    let rolled_back = seal(&started, Some(older.record()), NOW.plus(Duration::from_days(30)));
    assert_eq!(rolled_back.unwrap_err(), SealError::StalePrekey);
    let anew = seal(&started, Some(bob.ring.record()), late).unwrap();
    assert_eq!(anew.sessions().len(), 2);
    let forgotten = Sessions { sessions: Vec::new(), ..seal(&fresh, Some(bob.ring.record()), NOW).unwrap() };
    assert_eq!(seal(&forgotten, Some(older.record()), NOW).unwrap_err(), SealError::PrekeyRolledBack);
}

/// PQ3-17: Bob was away for five weeks, and everything meant for him has expired; Alice's next message opens.
#[test]
fn a_device_that_comes_back_late_is_reached() {
    let (mut alice, mut bob) = alice_and_bob();
    for _ in 0..CHAIN_MAX + 50 {
        alice.seal(&bob, "expired");
    }
    let back = NOW.plus(Duration::from_days(31));
    (alice.now, bob.now) = (back, back);
    let sealed = alice.seal(&bob, "welcome back");
    assert_eq!(bob.open(&alice, &sealed).unwrap(), "welcome back");
    turn(&mut bob, &mut alice);
}

/// PQ3-31: a session in which Alice only wrote is in use as long as she writes, so the late answer to it opens 62 days after it began.
#[test]
fn writing_keeps_a_session() {
    let (mut alice, mut bob) = alice_and_bob();
    alice.seal(&bob, "lost");
    alice.now = NOW.plus(Duration::from_days(29));
    bob.now = alice.now;
    let sealed = alice.seal(&bob, "is anybody there?");
    assert_eq!(bob.open(&alice, &sealed).unwrap(), "is anybody there?");
    let late = bob.seal(&alice, "yes");
    // PQ3-17: she begins anew, and Bob goes with her.
    (alice.now, bob.now) = (NOW.plus(Duration::from_days(30)), NOW.plus(Duration::from_days(30)));
    let anew = alice.seal(&bob, "anew");
    assert_eq!(bob.open(&alice, &anew).unwrap(), "anew");
    let answer = bob.seal(&alice, "here");
    alice.now = NOW.plus(Duration::from_days(62));
    assert_eq!(alice.open(&bob, &answer).unwrap(), "here");
    assert_eq!(alice.open(&bob, &late).unwrap(), "yes");
}

/// PQ3-8, PQ3-32: a state of before forks were looked for remembers the newest bundle, too: the directory cannot go back over an upgrade.
#[test]
fn an_old_state_remembers_the_newest_bundle() {
    let (mut alice, mut bob) = alice_and_bob();
    alice.seal(&bob, "hello");
    let stored = bytes(&alice.sessions);
    // What that version wrote ends where the rest begins.
    alice.sessions = Sessions::read_without_opened(&mut Reader::new(stored.expose(), 1).unwrap()).unwrap();
    alice.sessions.restart();
    bob.ring = PrekeyRing::generate(&mut bob.rng, &bob.key, NOW.minus(Duration::from_days(3)));
    assert_eq!(alice.try_seal(&bob, b"x").unwrap_err(), SealError::PrekeyRolledBack);
}

/// A crash after sealing, before the commit: the old state seals again, and both copies open once.
#[test]
fn an_old_state_goes_on() {
    let (mut alice, mut bob) = acquainted();
    let before = alice.sessions.clone();
    let never_left = alice.seal(&bob, "never left");
    alice.sessions = before;
    let sealed = alice.seal(&bob, "left");
    assert_eq!(bob.open(&alice, &sealed).unwrap(), "left");
    assert_ne!(never_left, sealed);
    // Bob crashed before his commit: the message comes again, and opens again.
    let again = alice.seal(&bob, "again");
    let opened = bob.try_open(&alice, &again).unwrap();
    drop(opened);
    assert_eq!(bob.open(&alice, &again).unwrap(), "again");
    turn(&mut bob, &mut alice);
}

/// PQ3-12: whoever copied Alice's state reads the next message and, after one round trip, nothing more.
#[test]
fn a_copied_state_heals_after_a_round_trip() {
    let (mut alice, mut bob) = acquainted();
    turn(&mut alice, &mut bob);
    let mut copy = alice.copy();
    let next = bob.seal(&alice, "next");
    assert_eq!(copy.open(&bob, &next).unwrap(), "next", "control: the copy works");
    alice.open(&bob, &next).unwrap();
    turn(&mut alice, &mut bob);
    let healed = bob.seal(&alice, "healed");
    assert_eq!(copy.open(&bob, &healed).unwrap_err(), OpenError::NoKey);
    assert_eq!(alice.open(&bob, &healed).unwrap(), "healed");
}

/// PQ3-33: 8 KiB at rest hold an ordinary session at every stage, and two at once.
#[test]
fn the_state_at_rest_is_small() {
    let (mut alice, mut bob) = alice_and_bob();
    let mut largest = (0, 0);
    let (a, b) = (alice.seal(&bob, "a"), bob.seal(&alice, "b"));
    alice.open(&bob, &b).unwrap();
    bob.open(&alice, &a).unwrap();
    for message in 0..300 {
        let (from, to) = if message % 3 == 0 { (&mut bob, &mut alice) } else { (&mut alice, &mut bob) };
        turn(from, to);
        largest.0 = largest.0.max(from.bytes_at_rest());
        largest.1 = largest.1.max(to.bytes_at_rest());
    }
    assert!(largest.0 <= 8192 && largest.1 <= 8192, "{largest:?}");
    assert!(alice.sessions.sessions().iter().any(|session| session.role() == Role::Starter));
}

/// PQ3-32: every cut of a stored state is damage.
#[test]
fn damaged_states_are_refused() {
    let (mut alice, mut bob) = acquainted();
    let lost = alice.seal(&bob, "late");
    turn(&mut alice, &mut bob);
    drop(lost);
    for sessions in [&alice.sessions, &bob.sessions] {
        let bytes = bytes(sessions);
        for cut in 1..bytes.len() {
            let mut reader = Reader::new(&bytes.expose()[..cut], 1).unwrap();
            assert!(Sessions::read(&mut reader).is_err(), "cut to {cut}");
        }
    }
}

#[test]
fn debug_shows_no_key() {
    let (alice, _) = acquainted();
    let shown = format!("{:?}", alice.sessions);
    let root = bytes(&alice.sessions).expose()[5 + 80 + 4..][..32].to_vec();
    assert!(shown.contains("RootKey(Secret(32 bytes))") && !shown.contains(&format!("{root:?}")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// PQ3-24: any order of sealing, losing, keeping back and delivering: everything delivered opens once, both ways.
    #[test]
    fn any_schedule_is_survived(steps in vec((any::<bool>(), 0..4u8, any::<prop::sample::Index>()), 1..60)) {
        let (alice, bob) = alice_and_bob();
        let mut devices = [alice, bob];
        let mut flying: [Vec<(String, Vec<u8>)>; 2] = [Vec::new(), Vec::new()];
        for (number, (who, what, which)) in steps.into_iter().enumerate() {
            let (from, to) = if who { (0, 1) } else { (1, 0) };
            let [alice, bob] = &mut devices;
            let (sender, receiver) = if who { (alice, bob) } else { (bob, alice) };
            match what {
                0 | 1 => {
                    let text = format!("message {number}");
                    let sealed = sender.seal(receiver, &text);
                    flying[to].push((text, sealed));
                }
                _ if flying[to].is_empty() => {}
                2 => {
                    let at = which.index(flying[to].len());
                    let (text, sealed) = flying[to].remove(at);
                    // A message of a chain that is more than two turns old may be lost; nothing else.
                    if let Ok(opened) = receiver.open(sender, &sealed) {
                        prop_assert_eq!(opened, text);
                        prop_assert_eq!(receiver.open(sender, &sealed).unwrap_err(), OpenError::Replayed);
                    }
                }
                _ => {
                    let (text, sealed) = flying[to].pop().unwrap();
                    prop_assert_eq!(receiver.open(sender, &sealed).unwrap(), text, "the newest always opens");
                }
            }
            let _ = from;
        }
    }

    /// PQ3-25: bytes from anywhere are one error and never a panic.
    #[test]
    fn garbage_does_not_open(bytes in vec(any::<u8>(), 0..600), byte: u8) {
        let (mut alice, bob) = alice_and_bob();
        prop_assert_eq!(bob.try_open(&alice, &bytes).unwrap_err(), OpenError::Unauthentic);
        let sealed = alice.seal(&bob, "x");
        let garbled = resigned(&alice, &bob, &sealed, |message| message.ciphertext = vec![byte; bytes.len()]);
        let _ = bob.try_open(&alice, &garbled);
        let unsigned = Message { signature: Signature::from_bytes([byte; 64]), ..Message::decode(&sealed).unwrap() };
        prop_assert_eq!(bob.try_open(&alice, &unsigned.encode()).unwrap_err(), OpenError::Unauthentic);
    }
}
