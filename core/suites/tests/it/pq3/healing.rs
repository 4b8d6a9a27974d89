//! Healing: all of Alice's state is copied. What the thief reads afterwards, and from which message on nothing.
//!
//! Two thieves: [`Phone::copied`] goes through our own `open`; [`Thief`] derives by the spec and so reads Alice's
//! own messages too, and can be told later private keys. Each story has its control: the same thief, with what the
//! healing took from it, reads on.

use halcyon_suites::OpenError;
use halcyon_types::Duration;
use rand::{Rng as _, SeedableRng, rngs::StdRng};

use super::{
    phones::{Phone, acquainted, parsed, turn},
    thief::Thief,
};

/// Messages after a round trip in which a thief tries its luck: past the next rekey by count (PQ3-14).
const LATER: usize = 60;

/// PQ3-12, PQ3-24: whoever copied Alice's session, device key and prekeys opens what comes next, as often as Bob goes on in
/// that chain; after one round trip it opens nothing, whoever spoke last before the copy was made.
#[test]
fn a_copy_of_everything_opens_nothing_after_a_round_trip() {
    for alice_spoke_last in [true, false] {
        let (mut alice, mut bob) = acquainted();
        turn(&mut alice, &mut bob);
        if !alice_spoke_last {
            turn(&mut bob, &mut alice);
        }
        let (mut copy, mut thief) = (alice.copied(), Thief::of(&alice));
        for _ in 0..3 {
            let next = bob.seal(&alice, "for alice");
            assert_eq!(copy.open(&bob, &next).unwrap(), "for alice", "control: the copy works");
            assert_eq!(thief.read(&bob, &alice, &next).unwrap(), "for alice", "control: the thief can read");
            assert_eq!(alice.open(&bob, &next).unwrap(), "for alice");
        }
        let closed = turn(&mut alice, &mut bob);
        assert_eq!(thief.read(&alice, &bob, &closed), None, "her first turn already");
        for _ in 0..LATER {
            let healed = bob.seal(&alice, "healed");
            assert_eq!(copy.open(&bob, &healed).unwrap_err(), OpenError::NoKey);
            assert_eq!(thief.read(&bob, &alice, &healed), None);
            assert_eq!(alice.open(&bob, &healed).unwrap(), "healed");
            let hers = turn(&mut alice, &mut bob);
            assert_eq!(thief.read(&alice, &bob, &hers), None);
        }
    }
}

/// PQ3-12: Alice only writes, and from Bob come only receipts of one byte. The first receipt that she answers with a text heals.
#[test]
fn receipts_alone_heal() {
    let (mut alice, mut bob) = acquainted();
    turn(&mut alice, &mut bob);
    let mut thief = Thief::of(&alice);
    let text = alice.seal(&bob, "before any receipt");
    assert_eq!(thief.read(&alice, &bob, &text).unwrap(), "before any receipt", "control");
    bob.open(&alice, &text).unwrap();
    for round in 0..LATER {
        let receipt = bob.seal(&alice, "r");
        let read = thief.read(&bob, &alice, &receipt);
        assert_eq!(read.is_some(), round == 0, "control: the receipt to the copied key can be read, no other");
        alice.open(&bob, &receipt).unwrap();
        let text = turn(&mut alice, &mut bob);
        assert_eq!(thief.read(&alice, &bob, &text), None, "round {round}");
    }
}

/// What a story of a thief with all elliptic-curve secrets came to.
struct Read {
    /// Of each message, in the order of sealing: read or not.
    read: Vec<bool>,
    /// Numbers of the messages that carried an offer made after the copy, and of those that answered it.
    offers: Vec<usize>,
    answers: Vec<usize>,
}

/// Two people talk in turns; the thief is told every P-256 private key of both, and every KEM key too if `also_kem`.
fn talk_with_all_ec_secrets_known(messages: usize, also_kem: bool) -> Read {
    let (mut alice, mut bob) = acquainted();
    turn(&mut alice, &mut bob);
    let mut thief = Thief::of(&alice);
    thief.learn_ec(&bob);
    let mut story = Read { read: Vec::new(), offers: Vec::new(), answers: Vec::new() };
    for number in 0..messages {
        let (from, to) = if number % 2 == 0 { (&mut bob, &mut alice) } else { (&mut alice, &mut bob) };
        let text = format!("message {number}");
        let sealed = from.seal(to, &text);
        thief.learn_ec(from);
        if also_kem {
            thief.learn_kem(from);
        }
        let head = parsed(&sealed).head;
        story.offers.extend(head.kem_key.map(|_| number));
        story.answers.extend(head.encap.map(|_| number));
        let read = thief.read(from, to, &sealed);
        assert!(read.is_none() || read == Some(text.clone()));
        story.read.push(read.is_some());
        assert_eq!(to.open(from, &sealed).unwrap(), text);
    }
    story
}

/// PQ3-13, PQ3-14: the thief is given every P-256 private key of both, from now on. It reads until the next ML-KEM rekey, which
/// the rule brings within 50 messages, and nothing from there on. Controls: before the rekey it reads every message; told the KEM
/// keys too, it reads all of them for ever.
#[test]
fn a_rekey_heals_although_every_elliptic_curve_secret_is_known() {
    let story = talk_with_all_ec_secrets_known(160, false);
    let rekey = story.answers[0];
    assert_eq!(rekey, story.offers[0] + 1);
    assert!(rekey <= 52, "the rekey came with message {rekey}");
    assert!(story.read[..rekey].iter().all(|read| *read), "control: without the rekey the thief reads everything");
    assert!(story.read[rekey..].iter().all(|read| !read), "{:?}", story.read);
    assert!(story.answers.len() >= 3, "later rekeys do not help it either");
    assert!(
        talk_with_all_ec_secrets_known(160, true).read.iter().all(|read| *read),
        "control: with the KEM keys it reads on"
    );
}

/// PQ3-14: the same after a silence of a week, when the rekey is due by its age.
#[test]
fn a_rekey_by_age_heals_although_every_elliptic_curve_secret_is_known() {
    let (mut alice, mut bob) = acquainted();
    turn(&mut alice, &mut bob);
    let mut thief = Thief::of(&alice);
    let mut read = Vec::new();
    for day in 0..10 {
        for bobs in [true, false] {
            let (from, to) = if bobs { (&mut bob, &mut alice) } else { (&mut alice, &mut bob) };
            let now = from.now.plus(Duration::from_days(u64::from(bobs && day > 0)));
            (from.now, to.now) = (now, now);
            let sealed = turn(from, to);
            thief.learn_ec(from);
            read.push(thief.read(from, to, &sealed).is_some());
        }
    }
    let healed = read.iter().position(|read| !read).unwrap();
    assert_eq!(healed, 2 * 7 + 1, "Bob's offer on the seventh day, Alice's answer to it");
    assert!(read[healed..].iter().all(|read| !read));
}

/// PQ3-13: an offer whose private half was on the copied disk heals nothing; the next one does.
#[test]
fn a_kem_key_that_was_copied_does_not_heal() {
    let (mut alice, mut bob) = acquainted();
    let later = alice.now.plus(Duration::from_days(7));
    (alice.now, bob.now) = (later, later);
    let offer = alice.seal(&bob, "with an offer");
    assert!(parsed(&offer).head.kem_key.is_some());
    let mut thief = Thief::of(&alice);
    bob.open(&alice, &offer).unwrap();
    let answer = bob.seal(&alice, "to the copied key");
    assert!(parsed(&answer).head.encap.is_some());
    thief.learn_ec(&bob);
    assert_eq!(thief.read(&bob, &alice, &answer).unwrap(), "to the copied key", "control: it had that key");
    alice.open(&bob, &answer).unwrap();
    let mut read = Vec::new();
    for number in 0..120 {
        let (from, to) = if number % 2 == 0 { (&mut alice, &mut bob) } else { (&mut bob, &mut alice) };
        let sealed = turn(from, to);
        thief.learn_ec(from);
        read.push((thief.read(from, to, &sealed).is_some(), parsed(&sealed).head.encap.is_some()));
    }
    let rekey = read.iter().position(|(_, rekeyed)| *rekeyed).unwrap();
    assert!(read[..rekey].iter().all(|(read, _)| *read) && read[rekey..].iter().all(|(read, _)| !read));
}

/// A network that loses three of ten and lets a message be overtaken by up to a hundred others.
struct Network {
    dice: StdRng,
    /// When it arrives, and what; in the order of sending.
    flying: Vec<(usize, Flying)>,
    sent: usize,
}

struct Flying {
    to_bob: bool,
    sealed: Vec<u8>,
}

impl Network {
    fn send(&mut self, to_bob: bool, sealed: Vec<u8>) {
        self.sent += 1;
        if !self.dice.gen_ratio(3, 10) {
            let arrives = self.sent + self.dice.gen_range(0..=100);
            self.flying.push((arrives, Flying { to_bob, sealed }));
        }
    }

    fn arrived(&mut self) -> Vec<Flying> {
        let sent = self.sent;
        let mut arrived: Vec<_> = self.flying.extract_if(.., |(arrives, _)| *arrives <= sent).collect();
        arrived.sort_by_key(|(arrives, _)| *arrives);
        arrived.into_iter().map(|(_, flying)| flying).collect()
    }
}

/// A message as the thief heard it.
struct Heard {
    /// Number of its chain, both sides' in turn; the copied one is 0.
    chain: usize,
    /// Whether it answers an offer (PQ3-13).
    rekeyed: bool,
    read: bool,
}

/// What the thief of a bad network is told beside what was on Alice's disk.
#[derive(Clone, Copy, PartialEq)]
enum Told {
    Nothing,
    /// Every P-256 private key of both.
    Ec,
    /// The KEM keys too.
    All,
}

/// Alice writes texts, Bob answers every one that arrives with a receipt, over a network that loses and reorders. The thief copied
/// Alice's disk at the beginning and hears everything, also what is lost.
fn talk_in_bad_weather(seed: u64, texts: usize, told: Told) -> Vec<Heard> {
    let (mut alice, mut bob) = acquainted();
    let copied = parsed(&turn(&mut alice, &mut bob)).ephemeral;
    let mut thief = Thief::of(&alice);
    let mut network = Network { dice: StdRng::seed_from_u64(seed), flying: Vec::new(), sent: 0 };
    let (mut chains, mut heard) = (vec![copied], Vec::new());
    let mut hear = |from: &Phone, to: &Phone, sealed: &[u8]| {
        if told != Told::Nothing {
            thief.learn_ec(from);
        }
        if told == Told::All {
            thief.learn_kem(from);
        }
        let message = parsed(sealed);
        let chain = chains.iter().position(|chain| *chain == message.ephemeral).unwrap_or_else(|| {
            chains.push(message.ephemeral);
            chains.len() - 1
        });
        let read = thief.read(from, to, sealed).is_some();
        heard.push(Heard { chain, rekeyed: message.head.encap.is_some(), read });
    };
    for number in 0..texts {
        let text = alice.seal(&bob, &format!("text {number}"));
        hear(&alice, &bob, &text);
        network.send(true, text);
        for Flying { to_bob, sealed } in network.arrived() {
            let (from, to) = if to_bob { (&mut alice, &mut bob) } else { (&mut bob, &mut alice) };
            to.open(from, &sealed).unwrap();
            if to_bob {
                let receipt = bob.seal(&alice, "r");
                hear(&bob, &alice, &receipt);
                network.send(false, receipt);
            }
        }
    }
    heard
}

/// Requires that the thief read what was sealed in chains before `healed`, and nothing else, and that there was plenty of either.
fn read_until(heard: &[Heard], healed: usize, what: &str) {
    for (number, heard) in heard.iter().enumerate() {
        assert_eq!(heard.read, heard.chain < healed, "{what}: message {number} in chain {}", heard.chain);
    }
    let read = heard.iter().filter(|heard| heard.read).count();
    assert!(read > 5 && heard.len() - read > 100, "{what}: {read} of {} read", heard.len());
}

/// PQ3-12 to PQ3-14, PQ3-30: three of ten messages are lost and any may be a hundred late. A copy of Alice's disk still reads
/// nothing from her next chain on; with every P-256 key of both, nothing from the rekey on. Control: with the KEM keys too,
/// everything.
#[test]
fn loss_and_reorder_do_not_stop_healing() {
    for seed in 0..2 {
        // Alice's copied chain, and Bob's answers to it.
        read_until(&talk_in_bad_weather(seed, 150, Told::Nothing), 2, &format!("seed {seed}"));
        let with_ec = talk_in_bad_weather(seed, 220, Told::Ec);
        let rekey = with_ec.iter().find(|heard| heard.rekeyed).unwrap().chain;
        read_until(&with_ec, rekey, &format!("seed {seed}, with every P-256 key"));
        let with_all = talk_in_bad_weather(seed, 160, Told::All);
        assert!(with_all.iter().all(|heard| heard.read), "control, seed {seed}");
    }
}
