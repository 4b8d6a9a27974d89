//! Who speaks to whom: an attacker with all of Bob's keys, one who forwards, one who registers another's keys as his own.

use halcyon_crypto::{Signature, SigningKey};
use halcyon_suites::{
    PeerDevice, SealError,
    pq3::{
        BundleError, PrekeyBundle,
        kdf::{ChainKey, MessageKey},
        wire::{Head, Message},
    },
};
use rand::{SeedableRng, rngs::StdRng};

use super::{
    by_hand::{sealed_with, signed, start},
    phones::{Phone, acquainted, alice_and_bob, parsed},
    stored::{self, secret},
};

fn bundle(of: &Phone) -> PrekeyBundle {
    let ring = of.device.keys.pq3.as_ref().unwrap();
    PrekeyBundle::verify(ring.record(), of.device.keys.device.verifying_key()).unwrap()
}

/// PQ3-10, PQ3-21: key-compromise impersonation. Mallory has everything of Bob's (device key, prekeys, session) and makes a
/// start that is right in all but the signature, which only Alice could give. Control: with hers, Bob opens it.
#[test]
fn all_of_bobs_keys_do_not_make_a_start_of_alices() {
    let (alice, bob) = alice_and_bob();
    let mallory = bob.copied();
    let (from, to) = (alice.party(), bob.party());
    let forged = start(&mut StdRng::seed_from_u64(1), &from, &to, &bundle(&bob), "from alice, honestly");
    for (what, signer) in [
        ("bob's key", &mallory.device.keys.device),
        ("a fresh key", &SigningKey::generate_compact(&mut StdRng::seed_from_u64(2))),
    ] {
        bob.refuses(&alice.public(), &signed(&forged, &from, &to, signer), what);
    }
    let by_alice = signed(&forged, &from, &to, &alice.device.keys.device);
    let opened = bob.try_open(&alice.public(), &by_alice).unwrap();
    assert_eq!(opened.plaintext.expose(), b"from alice, honestly", "control: only the signature was missing");
}

/// PQ3-12, PQ3-21: the same within a session. Bob's disk gives the keys of Alice's next messages; sealed with them, but signed by
/// Bob, by Eve, by a signature of Alice's over another message, or not at all, none opens. Control: signed by Alice, it does.
#[test]
fn all_of_bobs_keys_do_not_make_a_message_of_alices() {
    let (mut alice, mut bob) = acquainted();
    let eve = Phone::new(3);
    let earlier = alice.seal(&bob, "pay Eve nothing");
    bob.open(&alice, &earlier).unwrap();
    let disk = stored::preferred(&bob.session);
    let chain = &disk.receiving[0];
    let next: MessageKey = ChainKey::from_secret(secret(chain.chain)).step().0;
    let earlier = parsed(&earlier);
    let forged = sealed_with(&next, &earlier.ephemeral, chain.next, Head::default(), "pay Eve 100");
    let (from, to) = (alice.party(), bob.party());
    let by = |signer: &Phone| signed(&forged, &from, &to, &signer.device.keys.device);
    bob.refuses(&alice.public(), &by(&bob), "signed by bob's key");
    bob.refuses(&alice.public(), &by(&eve), "signed by eve");
    let with = |signature| Message { signature, ..forged.clone() }.encode();
    bob.refuses(&alice.public(), &with(earlier.signature), "alice's signature over another message");
    bob.refuses(&alice.public(), &with(Signature::from_bytes([0; 64])), "not signed");
    // Reflected: what Bob sealed for Alice, given back to him as hers.
    let bobs = bob.seal(&alice, "pay Eve 100");
    bob.refuses(&alice.public(), &bobs, "bob's own message");
    let turned = signed(&parsed(&bobs), &from, &to, &bob.device.keys.device);
    bob.refuses(&alice.public(), &turned, "bob's own message, turned round");
    let opened = bob.try_open(&alice.public(), &by(&alice)).unwrap();
    assert_eq!(opened.plaintext.expose(), b"pay Eve 100", "control: only the signature was missing");
}

/// PQ3-3, PQ3-21: a message for Bob is handed on to Carol, or claimed by Eve, from the start on and in a session that goes on, and
/// in both directions.
#[test]
fn what_is_for_bob_is_for_nobody_else() {
    let (mut alice, mut bob, mut carol, mut eve) = (Phone::new(1), Phone::new(2), Phone::new(4), Phone::new(3));
    let start = alice.seal(&bob, "for bob");
    carol.refuses(&alice.public(), &start, "handed on");
    bob.refuses(&eve.public(), &start, "claimed");
    bob.open(&alice, &start).unwrap();
    let answer = bob.seal(&alice, "for alice");
    eve.refuses(&bob.public(), &answer, "handed on");
    alice.refuses(&carol.public(), &answer, "claimed");
    alice.open(&bob, &answer).unwrap();
    // Carol and Eve have sessions of their own with the two.
    let mut with_carol = Phone { session: Default::default(), ..alice.copied() };
    let hello = with_carol.seal(&carol, "for carol");
    carol.open(&with_carol, &hello).unwrap();
    let hello = eve.seal(&bob, "from eve");
    let mut bob_with_eve = Phone { session: Default::default(), ..bob.copied() };
    bob_with_eve.open(&eve, &hello).unwrap();
    let live = alice.seal(&bob, "for bob");
    carol.refuses(&alice.public(), &live, "handed on within a session");
    bob_with_eve.refuses(&eve.public(), &live, "claimed within a session");
    let to_eve = signed(&parsed(&live), &eve.party(), &bob.party(), &eve.device.keys.device);
    // She is the sender of what she signs, and has no session in which it opens.
    bob_with_eve.has_no_key(&eve.public(), &to_eve, "claimed and signed");
    bob.has_no_key(&eve.public(), &to_eve, "claimed and signed, in alice's session");
    assert_eq!(bob.open(&alice, &live).unwrap(), "for bob", "control");
}

/// PQ3-3: unknown key share. Eve puts Alice's device key into a list of her own account; Bob takes a message of Alice's for one of
/// that account, or Alice takes that account for Bob. The accounts are in what is signed and derived: nothing opens.
#[test]
fn a_device_key_in_another_account_is_another_party() {
    let (mut alice, mut bob) = acquainted();
    let eve = Phone::new(3);
    let in_eves_account = |phone: &Phone| {
        let ring = phone.device.keys.pq3.as_ref().unwrap();
        PeerDevice::new(phone.device.keys.device.verifying_key().clone(), None)
            .with_pq3(eve.device.account, Some(ring.record()))
    };
    let live = alice.seal(&bob, "from alice");
    bob.refuses(&in_eves_account(&alice), &live, "alice's device, said to be eve's");
    assert_eq!(bob.open(&alice, &live).unwrap(), "from alice");
    // Alice believes that Bob's device is Eve's, and writes to it: Bob does not take it for his.
    let mut misled = Phone { session: Default::default(), ..alice.copied() };
    let start = misled.try_seal(&in_eves_account(&bob), "for eve").unwrap();
    bob.refuses(&alice.public(), &start, "meant for eve's account");
    // And in the session that there is: the account is asked for message by message.
    let live = alice.try_seal(&in_eves_account(&bob), "for eve").unwrap();
    bob.refuses(&alice.public(), &live, "meant for eve's account, in bob's session");
}

/// PQ3-5, PQ3-6: unknown key share by prekeys. Eve publishes Bob's prekeys as hers: with his signature nobody takes them; with her
/// own, Alice starts a session with Eve that Eve cannot read, and Bob does not take it for one with him.
#[test]
fn bobs_prekeys_do_not_become_eves() {
    let (mut alice, bob, eve) = (Phone::new(1), Phone::new(2), Phone::new(3));
    let bobs = bob.device.keys.pq3.as_ref().unwrap().record().to_vec();
    let eves_key = &eve.device.keys.device;
    let as_eves = |record: &[u8]| {
        PeerDevice::new(eves_key.verifying_key().clone(), None).with_pq3(eve.device.account, Some(record))
    };
    let refused = alice.try_seal(&as_eves(&bobs), "for eve");
    assert_eq!(refused.unwrap_err(), SealError::BadBundle(BundleError::Unsigned));
    // The bundle ends in the signature, over everything before it in another form (PQ3-4, PQ3-5).
    let known = bundle(&bob);
    let (time, version) = (known.time().as_millis().to_be_bytes(), 1u32.to_be_bytes());
    let preimage: [&[u8]; 5] =
        [b"halcyon pq3 prekey v1", known.kem_key().as_bytes(), known.prekey().compact().as_bytes(), &time, &version];
    let signature = eves_key.sign_raw(&preimage);
    let stolen = [&bobs[..bobs.len() - 64], signature.as_bytes()].concat();
    let sealed = alice.try_seal(&as_eves(&stolen), "for eve").unwrap();
    eve.has_no_key(&alice.public(), &sealed, "eve has no private half");
    bob.refuses(&alice.public(), &sealed, "bob is not whom it is for");
    // Eve, who cannot sign as Alice, makes it Bob's: the bundle that it names is not his either.
    let handed_on = signed(&parsed(&sealed), &eve.party(), &bob.party(), eves_key);
    bob.has_no_key(&eve.public(), &handed_on, "handed on as eve's own");
    // Control: the same bundle with Bob's own signature is one that he answers to.
    let mut alice = Phone::new(1);
    let sealed = alice.seal(&bob, "for bob");
    assert!(bob.try_open(&alice.public(), &sealed).is_ok());
}
