//! Repair: what two devices do when one has lost what the other seals for. The device that has no key restarts and asks; the other
//! hears that, and seals anew (PQ3-25, PQ3-34, PQ3-35).

use std::collections::BTreeSet;

use halcyon_suites::{
    OpenError, SealError, Session,
    pq3::{session::Role, start::STARTS_MAX},
};

use halcyon_types::Duration;

use super::phones::{Phone, acquainted, alice_and_bob, parsed, turn};
use crate::people::days;

impl Phone {
    /// The session store is gone: what a client does that finds none.
    pub(crate) fn loses_its_sessions(&mut self) {
        self.session = Session::default();
        self.restarts();
    }

    pub(crate) fn restarts(&mut self) {
        self.session.restart(self.now);
        self.session = super::phones::restarted(&self.session);
        assert!(self.session.summary().restarts_next);
    }

    pub(crate) fn is_rejected(&mut self) {
        self.session.rejected();
        self.session = super::phones::restarted(&self.session);
    }
}

/// Brings `text` from one to the other as the repair layer does: if there is no key for it, the receiver restarts and asks, and the
/// sender seals it anew. Says whether that was needed.
pub(crate) fn brought(from: &mut Phone, to: &mut Phone, text: &str) -> bool {
    let sealed = from.seal(to, text);
    match to.open(from, &sealed) {
        Ok(opened) => {
            assert_eq!(opened, text);
            return false;
        }
        Err(error) => assert_eq!(error, OpenError::NoKey),
    }
    to.restarts();
    let request = to.seal(from, "say it again");
    assert_eq!(from.open(to, &request).unwrap(), "say it again");
    from.is_rejected();
    let anew = from.seal(to, text);
    assert_eq!(to.open(from, &anew).unwrap(), text);
    true
}

/// The name of a message key.
pub(crate) fn key_name(sealed: &[u8]) -> ([u8; 32], u32) {
    let message = parsed(sealed);
    (*message.ephemeral.as_bytes(), message.index)
}

/// PQ3-25, PQ3-34, PQ3-35: Bob's sessions are gone in the middle of a conversation. He has no key for what Alice writes, starts anew
/// with his request, and what she seals after it opens. Her side needs no change: his start is preferred (PQ3-16).
#[test]
fn bob_loses_his_sessions_in_the_middle() {
    for bob_spoke_last in [true, false] {
        let (mut alice, mut bob) = acquainted();
        if !bob_spoke_last {
            turn(&mut alice, &mut bob);
        }
        bob.loses_its_sessions();
        for text in ["one", "two"] {
            let lost = alice.seal(&bob, text);
            bob.has_no_key(&alice.public(), &lost, "session lost");
        }
        let request = bob.seal(&alice, "say it again");
        assert_eq!(alice.open(&bob, &request).unwrap(), "say it again");
        let before = alice.stored();
        alice.is_rejected();
        assert!(alice.stored().ct_eq(&before), "bob's start is preferred already");
        for text in ["one", "two"] {
            let anew = alice.seal(&bob, text);
            assert_eq!(bob.open(&alice, &anew).unwrap(), text);
        }
        assert!(!brought(&mut bob, &mut alice, "thanks") && !brought(&mut alice, &mut bob, "so"));
    }
}

/// PQ3-34, PQ3-35: both lose everything, and both ask. The starts cross; everything that they seal anew opens.
#[test]
fn both_lose_their_sessions_at_once() {
    for number in 0..6 {
        let (mut alice, mut bob) = acquainted();
        alice.device.rng = rand::SeedableRng::seed_from_u64(100 + number);
        let (hers, his) = (alice.seal(&bob, "hers"), bob.seal(&alice, "his"));
        alice.loses_its_sessions();
        bob.loses_its_sessions();
        alice.has_no_key(&bob.public(), &his, "lost");
        bob.has_no_key(&alice.public(), &hers, "lost");
        let (she_asks, he_asks) = (alice.seal(&bob, "again"), bob.seal(&alice, "again"));
        alice.open(&bob, &he_asks).unwrap();
        bob.open(&alice, &she_asks).unwrap();
        alice.is_rejected();
        bob.is_rejected();
        let (hers, his) = (alice.seal(&bob, "hers"), bob.seal(&alice, "his"));
        assert_eq!(alice.open(&bob, &his).unwrap(), "his");
        assert_eq!(bob.open(&alice, &hers).unwrap(), "hers");
        assert!(!brought(&mut alice, &mut bob, "on") && !brought(&mut bob, &mut alice, "and on"));
    }
}

/// PQ3-34: both restart at once with everything there. What was under way still opens, nothing is sealed in an old chain, also not
/// after a late message opened in an old session, and both go on in one new session.
#[test]
fn both_restart_at_once() {
    for number in 0..6 {
        let (mut alice, mut bob) = acquainted();
        bob.device.rng = rand::SeedableRng::seed_from_u64(100 + number);
        turn(&mut alice, &mut bob);
        let under_way = [alice.seal(&bob, "under way"), alice.seal(&bob, "and late")];
        let his = bob.seal(&alice, "his, under way");
        let old: BTreeSet<_> = under_way.iter().chain([&his]).map(|sealed| key_name(sealed).0).collect();
        let id = *alice.session.pq3().sessions()[0].id();
        alice.restarts();
        bob.restarts();
        bob.open(&alice, &under_way[0]).unwrap();
        let (hers, bobs) = (alice.seal(&bob, "new"), bob.seal(&alice, "new"));
        for sealed in [&hers, &bobs] {
            assert!(parsed(sealed).head.prekey_hash.is_some() && !old.contains(&key_name(sealed).0));
        }
        alice.open(&bob, &bobs).unwrap();
        alice.open(&bob, &his).unwrap();
        bob.open(&alice, &hers).unwrap();
        bob.open(&alice, &under_way[1]).unwrap();
        for _ in 0..3 {
            assert!(!brought(&mut alice, &mut bob, "on") && !brought(&mut bob, &mut alice, "and on"));
        }
        let preferred = |phone: &Phone| *phone.session.pq3().sessions()[0].id();
        assert!(preferred(&alice) == preferred(&bob) && preferred(&alice) != id);
    }
}

/// PQ3-34: Alice's phone is brought back from an old copy and restarts. Over the original and the copy no message key is used twice,
/// Bob opens everything once, and sees no fork. Control: without the restart he does.
#[test]
fn a_restored_copy_uses_no_key_twice() {
    for with_restart in [true, false] {
        let (mut alice, mut bob) = acquainted();
        turn(&mut alice, &mut bob);
        let copy = alice.copied();
        let mut sealed: Vec<_> = (0..3).map(|_| alice.seal(&bob, "original")).collect();
        for sealed in &sealed {
            bob.open(&alice, sealed).unwrap();
        }
        let mut alice = copy;
        if with_restart {
            alice.restarts();
        }
        let after: Vec<_> = (0..3).map(|_| alice.seal(&bob, "restored")).collect();
        let opened: Vec<_> = after.iter().map(|sealed| bob.open(&alice, sealed)).collect();
        sealed.extend(after);
        let keys: BTreeSet<_> = sealed.iter().map(|sealed| key_name(sealed)).collect();
        if with_restart {
            assert_eq!(keys.len(), sealed.len());
            assert!(opened.iter().all(Result::is_ok));
            assert!(!brought(&mut bob, &mut alice, "on") && !brought(&mut alice, &mut bob, "and on"));
        } else {
            assert_eq!(keys.len(), 3, "control: the test sees keys that are used twice");
            assert!(opened.iter().all(|opened| *opened == Err(OpenError::Forked)), "{opened:?}");
        }
    }
}

/// PQ3-34: what Bob sealed for the original opens at the copy or has no key; either way one request heals, whoever speaks first.
#[test]
fn a_restored_copy_is_reached() {
    for bob_first in [true, false] {
        let (mut alice, mut bob) = acquainted();
        let copy = alice.copied();
        for _ in 0..5 {
            turn(&mut alice, &mut bob);
            turn(&mut bob, &mut alice);
        }
        let mut alice = copy;
        alice.restarts();
        if bob_first {
            assert!(brought(&mut bob, &mut alice, "for the original"), "sealed in a chain that the copy never saw");
        } else {
            assert!(!brought(&mut alice, &mut bob, "restored"));
        }
        assert!(!brought(&mut bob, &mut alice, "on") && !brought(&mut alice, &mut bob, "and on"));
    }
}

/// PQ3-34, PQ3-11: the first messages after a restart are lost; the next carries the start. Until then Bob goes on in the old session:
/// Alice opens it, and does not go back to it.
#[test]
fn a_lost_start_does_not_matter() {
    let (mut alice, mut bob) = acquainted();
    alice.restarts();
    alice.seal(&bob, "lost");
    for _ in 0..3 {
        turn(&mut bob, &mut alice);
        alice.seal(&bob, "lost too");
        assert!(alice.session.summary().unanswered && !alice.session.summary().restarts_next);
    }
    turn(&mut alice, &mut bob);
    turn(&mut bob, &mut alice);
    assert!(!alice.session.summary().unanswered);
}

/// PQ3-34: a restart without a bundle seals nothing, and a session that the peer starts serves as well as an own one.
#[test]
fn a_restart_needs_a_bundle_or_the_peers_start() {
    let (mut alice, mut bob) = acquainted();
    alice.restarts();
    let mut to_bob = bob.public();
    to_bob = to_bob.with_pq3(bob.device.account, None);
    assert_eq!(alice.try_seal(&to_bob, "x").unwrap_err(), SealError::NoPrekey);
    turn(&mut bob, &mut alice);
    assert_eq!(alice.try_seal(&to_bob, "x").unwrap_err(), SealError::NoPrekey, "an old session is none");
    bob.restarts();
    turn(&mut bob, &mut alice);
    let sealed = alice.try_seal(&to_bob, "in bob's session").unwrap();
    assert_eq!(bob.open(&alice, &sealed).unwrap(), "in bob's session");
}

/// PQ3-34: what is on the disk after a restart seals nothing: the chain key is wiped, and the next index is the end.
#[test]
fn a_restart_wipes_what_would_be_sealed_with() {
    let (mut alice, mut bob) = acquainted();
    turn(&mut alice, &mut bob);
    let before = super::stored::preferred(&alice.session).sending.unwrap();
    let holds = |phone: &Phone| phone.stored().expose().windows(32).any(|window| window == before.chain);
    assert!(holds(&alice), "control");
    alice.restarts();
    let after = super::stored::preferred(&alice.session).sending.unwrap();
    assert!(!holds(&alice));
    assert_eq!((after.chain, after.next, after.secret), ([0; 32], u32::MAX, before.secret), "Bob's answer still opens");
    turn(&mut bob, &mut alice);
}

/// PQ3-35: Alice's start does not open (Bob's prekeys are new), and Bob's request lost against it by PQ3-16. She gives her start up, and
/// goes on in Bob's session; were she to keep it, she would not be heard.
#[test]
fn a_start_that_does_not_open_is_given_up() {
    let (mut kept_back, mut taken) = (0, 0);
    for number in 0..12 {
        let (mut alice, mut bob) = alice_and_bob();
        alice.device.rng = rand::SeedableRng::seed_from_u64(100 + number);
        let start = alice.seal(&bob, "to the prekey that is gone");
        let mut newer = Phone::new(20 + number as u8);
        newer.device.keys = halcyon_suites::DeviceKeys { device: bob.device.keys.device.clone(), ..newer.device.keys };
        newer.device.account = bob.device.account;
        bob = newer;
        bob.has_no_key(&alice.public(), &start, "prekey gone");
        bob.restarts();
        let request = bob.seal(&alice, "say it again");
        alice.open(&bob, &request).unwrap();
        let lost_against = alice.session.pq3().sessions()[0].role() == Role::Starter;
        kept_back += usize::from(lost_against);
        taken += usize::from(!lost_against);
        let unheard = alice.copied().seal(&bob, "x");
        assert_eq!(bob.try_open(&alice.public(), &unheard).is_err(), lost_against, "control");
        alice.is_rejected();
        let anew = alice.seal(&bob, "anew");
        assert_eq!(bob.open(&alice, &anew).unwrap(), "anew");
        assert!(!brought(&mut bob, &mut alice, "on") && !brought(&mut alice, &mut bob, "and on"));
    }
    assert!(kept_back > 0 && taken > 0, "{kept_back}, {taken}");
}

/// PQ3-35: a start that nobody answered, and a request that came in an older session of both: the next message starts anew.
#[test]
fn a_rejected_start_alone_leaves_nothing_to_seal_in() {
    let (mut alice, bob) = alice_and_bob();
    let first = alice.seal(&bob, "start");
    alice.is_rejected();
    assert!(alice.session.summary().restarts_next);
    let second = alice.seal(&bob, "another start");
    assert_ne!(key_name(&first).0, key_name(&second).0);
    assert!(bob.try_open(&alice.public(), &first).is_ok() && bob.try_open(&alice.public(), &second).is_ok());
}

/// PQ3-11, PQ3-34: Bob loses his sessions forty times within one prekey's life, and Alice writes each time. She takes up all his
/// starts, and nothing wedges. What was opened opens no second time.
#[test]
fn forty_losses_in_a_row_are_repaired() {
    let (mut alice, mut bob) = acquainted();
    for loss in 0..40 {
        bob.now = bob.now.plus(Duration::from_millis(1));
        bob.loses_its_sessions();
        let lost = alice.seal(&bob, "text");
        bob.has_no_key(&alice.public(), &lost, "lost");
        let request = bob.seal(&alice, "say it again");
        assert_eq!(alice.open(&bob, &request).unwrap(), "say it again", "{loss}");
        alice.is_rejected();
        let anew = alice.seal(&bob, &format!("text {loss}"));
        assert_eq!(bob.open(&alice, &anew).unwrap(), format!("text {loss}"));
        assert_eq!(bob.open(&alice, &anew).unwrap_err(), OpenError::Replayed);
        assert_eq!(alice.open(&bob, &request).unwrap_err(), OpenError::Replayed);
    }
    assert_eq!(alice.session.summary().starts_remembered, STARTS_MAX);
}

/// PQ3-11, PQ3-34: the same without a loss, by needless restarts, while the clock stands still: all are taken up.
#[test]
fn forty_restarts_in_a_row_need_no_repair() {
    let (mut alice, mut bob) = acquainted();
    for _ in 0..40 {
        alice.restarts();
        assert!(!brought(&mut alice, &mut bob, "text"));
    }
    assert!(!brought(&mut bob, &mut alice, "on") && !brought(&mut alice, &mut bob, "and on"));
}

/// PQ3-11, PQ3-35: Bob's clock stands still while he loses his sessions, so that his 33rd start is not taken up. Alice's, which
/// answers it, he takes.
#[test]
fn a_start_that_is_not_taken_up_is_answered_with_one() {
    let (mut alice, mut bob) = acquainted();
    for loss in 0..40 {
        bob.loses_its_sessions();
        let request = bob.seal(&alice, "say it again");
        let opened = alice.open(&bob, &request);
        assert_eq!(opened.is_ok(), loss < STARTS_MAX, "{loss}");
        if opened.is_ok() {
            continue;
        }
        assert_eq!(opened.unwrap_err(), OpenError::NoKey);
        alice.now = alice.now.plus(Duration::from_millis(1));
        alice.restarts();
        let request = alice.seal(&bob, "say that again");
        assert_eq!(bob.open(&alice, &request).unwrap(), "say that again");
        bob.is_rejected();
        let again = bob.seal(&alice, "say it again");
        assert_eq!(alice.open(&bob, &again).unwrap(), "say it again");
    }
}

/// REP-17: what the peer has just begun is new until something was sealed in it, whatever it says in it; and not once it was given up.
#[test]
fn a_start_of_the_peers_is_new_until_it_is_used() {
    let (mut alice, mut bob) = acquainted();
    let is_new = |phone: &Phone| phone.session.summary().new_from_peer;
    assert!(!is_new(&alice) && !is_new(&bob));
    alice.restarts();
    for _ in 0..2 {
        let sealed = alice.seal(&bob, "anew");
        bob.open(&alice, &sealed).unwrap();
        assert!(is_new(&bob) && !is_new(&alice));
    }
    let mut given_up = bob.copied();
    given_up.restarts();
    assert!(!is_new(&given_up));
    let answer = bob.seal(&alice, "answer");
    assert!(!is_new(&bob));
    alice.open(&bob, &answer).unwrap();
    assert!(!is_new(&alice), "its own");
    turn(&mut alice, &mut bob);
    assert!(!is_new(&bob), "answered before");
}

/// A summary says how a session stands, and nothing that is secret.
#[test]
fn a_summary_says_how_it_stands() {
    let (mut alice, mut bob) = alice_and_bob();
    let summary = alice.session.summary();
    assert_eq!((summary.pq3_sessions, summary.last_used, summary.restarts_next), (0, None, true));
    alice.seal(&bob, "lost");
    alice.seal(&bob, "lost");
    assert!(alice.session.summary().unanswered && !alice.session.summary().restarts_next);
    turn(&mut alice, &mut bob);
    let summary = bob.session.summary();
    assert_eq!((summary.pq3_sessions, summary.skipped_keys, summary.starts_remembered), (1, 2, 1));
    (alice.now, bob.now) = (days(3), days(3));
    turn(&mut bob, &mut alice);
    let summary = alice.session.summary();
    assert!(!summary.unanswered);
    assert_eq!((summary.last_used, summary.ratcheted), (Some(days(3)), Some(days(3))));
    // Her own turn is a ratchet, too.
    (alice.now, bob.now) = (days(5), days(5));
    turn(&mut alice, &mut bob);
    assert_eq!(alice.session.summary().ratcheted, Some(days(5)));
    alice.restarts();
    assert!(alice.session.summary().restarts_next && !alice.session.summary().unanswered);
}
