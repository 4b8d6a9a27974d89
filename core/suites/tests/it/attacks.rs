//! What must not work. The table of attacks, for `pair` and `pair-ec`.

use std::collections::BTreeMap;

use halcyon_crypto::{
    AgreementKey, AgreementPublic, CompactKey, Label, Secret, Signature, hash, p256::legacy::LegacySigningKey,
};
use halcyon_suites::{
    OpenError, PairIdentity, PeerDevice, SealError, Session, Suite,
    pair_ec::{PrekeyRing, SignedPrekey},
};

use crate::people::{Device, NOW, alice_bob_eve};

const PAIR_BLOCK: usize = 160;

/// Opens a forgery in both suites' way and requires the one error, from a session that stays as it was.
fn refused(bob: &Device, suite: Suite, from: &PeerDevice, sealed: &[u8], what: &str) {
    let session = Session::default();
    let before = session.to_secret_bytes();
    assert_eq!(bob.open(&session, suite, from, sealed).unwrap_err(), OpenError::Unauthentic, "{what}");
    assert!(session.to_secret_bytes().ct_eq(&before));
}

/// PAIR-14, PEC-18: every bit of a sealed message flipped: one error for all.
#[test]
fn every_flipped_bit_is_refused() {
    let (mut alice, bob, _) = alice_bob_eve();
    let from_alice = alice.public();
    for suite in Suite::SPOKEN {
        let (sealed, _) = alice.seal(Session::default(), suite, &bob.public(), &[b'x'; 120]);
        for bit in 0..8 * sealed.len() {
            let mut bent = sealed.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            refused(&bob, suite, &from_alice, &bent, &format!("{suite} bit {bit}"));
        }
    }
}

/// PAIR-11, PEC-13: every truncation, and a byte more.
#[test]
fn every_truncation_is_refused() {
    let (mut alice, bob, _) = alice_bob_eve();
    let from_alice = alice.public();
    for suite in Suite::SPOKEN {
        let (sealed, _) = alice.seal(Session::default(), suite, &bob.public(), b"hello");
        for len in 0..sealed.len() {
            refused(&bob, suite, &from_alice, &sealed[..len], &format!("{suite} cut to {len}"));
        }
        let longer = [&sealed[..], &[0]].concat();
        refused(&bob, suite, &alice.public(), &longer, &format!("{suite} with a byte after it"));
    }
}

/// Splits a `pair` message into body and signature.
fn pair_parts(sealed: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let len = usize::from(u16::from_be_bytes([sealed[1], sealed[2]]));
    (sealed[3..3 + len].to_vec(), sealed[4 + len..].to_vec())
}

fn pair_frame(body: &[u8], signature: &[u8]) -> Vec<u8> {
    [&[2], &(body.len() as u16).to_be_bytes()[..], body, &[signature.len() as u8], signature].concat()
}

/// PAIR-12: the 2016 attack. Eve flips any bit of Alice's body, signs it with her own key and sends it as hers: each is
/// refused, whatever the bit would have done to the plaintext. Unflipped, it is refused too.
#[test]
fn flipped_and_re_signed_by_eve_is_refused() {
    let (mut alice, bob, eve) = alice_bob_eve();
    let (sealed, _) = alice.seal(Session::default(), Suite::Pair, &bob.public(), &[b'x'; 130]);
    let (body, _) = pair_parts(&sealed);
    let (eve_signs, from_eve) = (pair_signer(&eve), eve.public());
    refused(&bob, Suite::Pair, &eve.public(), &pair_frame(&body, &eve_signs(&body)), "re-signed as it was");
    for bit in 0..8 * body.len() {
        let mut bent = body.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        let re_signed = pair_frame(&bent, &eve_signs(&bent));
        refused(&bob, Suite::Pair, &from_eve, &re_signed, &format!("bit {bit}"));
    }
}

/// PAIR-12, PAIR-13: even the true sender's signature does not make a flipped body open: the tag decides.
#[test]
fn flipped_and_re_signed_by_alice_is_refused() {
    let (mut alice, bob, _) = alice_bob_eve();
    let (sealed, _) = alice.seal(Session::default(), Suite::Pair, &bob.public(), &[b'x'; 130]);
    let (body, _) = pair_parts(&sealed);
    let (alice_signs, from_alice) = (pair_signer(&alice), alice.public());
    for bit in 0..8 * body.len() {
        let mut bent = body.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        refused(&bob, Suite::Pair, &from_alice, &pair_frame(&bent, &alice_signs(&bent)), &format!("bit {bit}"));
    }
    let without_tail = &body[..PAIR_BLOCK];
    let cut = pair_frame(without_tail, &alice_signs(without_tail));
    refused(&bob, Suite::Pair, &alice.public(), &cut, "tail cut off");
}

/// PAIR-1: two `pair` identities made of one device's halves are two identities; neither opens for the other.
#[test]
fn pair_messages_are_bound_to_both_identities() {
    let (mut alice, bob, eve) = alice_bob_eve();
    let (sealed, _) = alice.seal(Session::default(), Suite::Pair, &bob.public(), b"for bob");
    // Bob hands it on to Eve, and Eve claims that it is hers.
    refused(&eve, Suite::Pair, &alice.public(), &sealed, "handed on");
    refused(&bob, Suite::Pair, &eve.public(), &sealed, "claimed");
    // Unknown key share: Eve registers Alice's RSA key, or her signing key, beside her own.
    let identity = |device: &Device| device.keys.pair.as_ref().unwrap().identity().as_bytes().to_vec();
    let (of_alice, of_eve) = (identity(&alice), identity(&eve));
    let mixed = [[&of_alice[..72], &of_eve[72..]].concat(), [&of_eve[..72], &of_alice[72..]].concat()];
    for blob in mixed {
        let mixed = PairIdentity::from_bytes(&blob).unwrap();
        let keys = bob.keys.pair.as_ref().unwrap();
        assert_eq!(keys.open(&mixed, &sealed).unwrap_err(), OpenError::Unauthentic);
    }
}

/// PAIR-2, PAIR-3: an identity is read strictly, byte by byte.
#[test]
fn bent_identities_are_refused() {
    let (alice, _, _) = alice_bob_eve();
    let blob = alice.keys.pair.as_ref().unwrap().identity().as_bytes().to_vec();
    assert_eq!(blob.len(), 249);
    assert_eq!(blob[..8], [0x30, 0x81, 0xf6, 0x81, 0x43, 0x00, 0x41, 0x04]);
    for at in (0..8).chain(72..84).chain(244..249) {
        let mut bent = blob.clone();
        bent[at] ^= 1;
        assert!(PairIdentity::from_bytes(&bent).is_err(), "byte {at}");
    }
    for bit in 0..512 {
        let mut off_curve = blob.clone();
        off_curve[8 + bit / 8] ^= 1 << (bit % 8);
        assert!(PairIdentity::from_bytes(&off_curve).is_err(), "bit {bit} of the point");
    }
    assert!(PairIdentity::from_bytes(&blob[..248]).is_err());
    assert!(PairIdentity::from_bytes(&[&blob[..], &[0]].concat()).is_err());
}

/// PAIR-4: the hash is over lengths and keys, without DER.
#[test]
fn the_identity_hash_leaves_der_out() {
    let (alice, _, _) = alice_bob_eve();
    let identity = alice.keys.pair.as_ref().unwrap().identity();
    let blob = identity.as_bytes();
    assert_eq!(*identity.hash(), hash::sha256(&[&blob[5..72], &blob[75..]]));
}

/// PEC-11, PEC-12: forwarded to Carol, claimed by Eve, with the validator rewritten to fit: refused.
#[test]
fn pair_ec_messages_are_bound_to_both_devices() {
    let (mut alice, bob, eve) = alice_bob_eve();
    let (sealed, _) = alice.seal(Session::default(), Suite::PairEc, &bob.public(), b"for bob");
    refused(&eve, Suite::PairEc, &alice.public(), &sealed, "handed on");
    refused(&bob, Suite::PairEc, &eve.public(), &sealed, "claimed by eve");
    let at = sealed.len() - 7;
    let mut claimed = sealed.clone();
    claimed[at..at + 2].copy_from_slice(&compact(&eve).as_bytes()[..2]);
    refused(&bob, Suite::PairEc, &eve.public(), &claimed, "claimed by eve with her validator");
    let mut handed_on = sealed.clone();
    handed_on[at + 2..at + 4].copy_from_slice(&compact(&eve).as_bytes()[..2]);
    handed_on[at + 4..at + 6].copy_from_slice(&prekey_x(&eve).as_bytes()[..2]);
    refused(&eve, Suite::PairEc, &alice.public(), &handed_on, "handed on with eve's validator");
}

/// PEC-11: Eve strips Alice's signature and puts her own over the same bytes. She does not know Z, so she cannot.
#[test]
fn re_signing_needs_the_common_secret() {
    let (mut alice, bob, eve) = alice_bob_eve();
    let (sealed, _) = alice.seal(Session::default(), Suite::PairEc, &bob.public(), b"for bob");
    let ciphertext = &sealed[3..3 + 256];
    assert_eq!(sealed[..3], [0x0a, 0x80, 0x02], "256 bytes of ciphertext come first");
    let ephemeral = &sealed[261..293];
    for guess in [[0; 32], [0xff; 32], *compact(&bob).as_bytes()] {
        let forged = eve.keys.device.sign_raw(&[
            &guess,
            prekey_x(&bob).as_bytes(),
            ephemeral,
            compact(&bob).as_bytes(),
            ciphertext,
        ]);
        let mut re_signed = sealed.clone();
        re_signed[295..359].copy_from_slice(forged.as_bytes());
        let at = re_signed.len() - 7;
        re_signed[at..at + 2].copy_from_slice(&compact(&eve).as_bytes()[..2]);
        refused(&bob, Suite::PairEc, &eve.public(), &re_signed, "re-signed");
    }
}

/// PEC-11, PEC-18: Eve flips any bit of what Alice's signature covers, signs it with her own key as far as she can, and claims
/// it: the same error, whichever bit it was.
#[test]
fn flipped_and_re_signed_pair_ec_is_refused() {
    let (mut alice, bob, eve) = alice_bob_eve();
    let (sealed, _) = alice.seal(Session::default(), Suite::PairEc, &bob.public(), &[b'x'; 120]);
    let from_eve = eve.public();
    // 256 bytes of ciphertext and, after two bytes of head, the ephemeral key.
    for bit in (8 * 3..8 * 259).chain(8 * 261..8 * 293) {
        let mut bent = sealed.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        let (prekey, to) = (prekey_x(&bob), compact(&bob));
        let signed = [&[0; 32], &prekey.as_bytes()[..], &bent[261..293], to.as_bytes(), &bent[3..259]];
        let signature = eve.keys.device.sign_raw(&signed);
        bent[295..359].copy_from_slice(signature.as_bytes());
        let at = bent.len() - 7;
        bent[at..at + 2].copy_from_slice(&compact(&eve).as_bytes()[..2]);
        refused(&bob, Suite::PairEc, &from_eve, &bent, &format!("bit {bit}"));
    }
}

/// PEC-11: whoever is sent a message cannot turn it into one for somebody else. Bob, who knows the common secret, signs
/// Alice's bytes as his own to Carol, and as Alice's to Carol.
#[test]
fn a_recipient_cannot_forward_as_his_own() {
    let (mut alice, bob, carol) = alice_bob_eve();
    let (sealed, _) = alice.seal(Session::default(), Suite::PairEc, &bob.public(), b"for bob");
    let (ciphertext, ephemeral) = (&sealed[3..259], &sealed[261..293]);
    // The secret that Carol would compute is of her prekey: Bob cannot know it, only try his own.
    let ephemeral_key = CompactKey::try_from(ephemeral).unwrap();
    let stored = bob.keys.prekeys.to_secret_bytes();
    let own_prekey = AgreementKey::from_secret(Secret::try_from(&stored.expose()[5..37]).unwrap()).unwrap();
    assert_eq!(own_prekey.compact(), &prekey_x(&bob), "the helper reads the stored prekey");
    let z = own_prekey.agree(&AgreementPublic::from_compact(&ephemeral_key).unwrap());
    let (prekey, to) = (prekey_x(&carol), compact(&carol));
    let signed = [&z.expose()[..], prekey.as_bytes(), ephemeral, to.as_bytes(), ciphertext];
    let signature = bob.keys.device.sign_raw(&signed);
    let mut forwarded = sealed.clone();
    forwarded[295..359].copy_from_slice(signature.as_bytes());
    let at = forwarded.len() - 7;
    forwarded[at + 2..at + 4].copy_from_slice(&compact(&carol).as_bytes()[..2]);
    forwarded[at + 4..at + 6].copy_from_slice(&prekey_x(&carol).as_bytes()[..2]);
    refused(&carol, Suite::PairEc, &alice.public(), &forwarded, "as alice's");
    forwarded[at..at + 2].copy_from_slice(&compact(&bob).as_bytes()[..2]);
    refused(&carol, Suite::PairEc, &bob.public(), &forwarded, "as bob's");
}

/// PEC-3, PEC-5, PEC-14: bad prekeys and bad ephemeral keys, in the order of the table: altered, wrong signer, expired,
/// post-dated, off the curve, all zero, above the prime, the identity's and other encodings. (Record by record:
/// `pair_ec/prekey.rs`.)
#[test]
fn bad_prekeys_are_refused() {
    let (mut alice, bob, eve) = alice_bob_eve();
    let of_bob = || PeerDevice::new(bob.keys.device.verifying_key().clone(), None);
    let record = bob.keys.prekeys.record().to_vec();
    for bit in 0..8 * record.len() {
        let mut altered = record.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(of_bob().with_prekey(&altered).is_err(), "bit {bit}");
    }
    assert!(of_bob().with_prekey(eve.keys.prekeys.record()).is_err(), "signed by eve");

    let x = *prekey_x(&bob).as_bytes();
    let signed = |x: &[u8], time_s: f64| {
        let signature = bob.keys.device.sign_raw(&[b"NGMPrekeySignature", x, &time_s.to_le_bytes()]);
        let head = [0x0a, x.len() as u8];
        [&head[..], x, &[0x12, 64], signature.as_bytes(), &[0x19], &time_s.to_le_bytes()].concat()
    };
    let now_s = NOW.as_millis() as f64 / 1000.0;
    let mut seal = |record: &[u8]| {
        let to_bob = of_bob().with_prekey(record).unwrap();
        alice.seal_at(Session::default(), Suite::PairEc, &to_bob, NOW, b"x").map(|_| ())
    };
    assert_eq!(seal(&signed(&x, now_s)), Ok(()));
    assert_eq!(seal(&signed(&x, now_s - 31.0 * 86_400.0 - 1.0)), Err(SealError::StalePrekey), "expired");
    assert_eq!(seal(&signed(&x, now_s + 86_400.0 + 1.0)), Err(SealError::StalePrekey), "post-dated");

    let off_curve = (1..=255u8).map(|last| [[0; 31].as_slice(), &[last]].concat());
    let off_curve =
        off_curve.filter(|x| AgreementPublic::from_compact(&CompactKey::try_from(&x[..]).unwrap()).is_err());
    let off_curve = off_curve.take(8).collect::<Vec<_>>();
    assert_eq!(off_curve.len(), 8);
    let uncompressed = [&[4], &[0; 64][..]].concat();
    let bad = [vec![0; 32], vec![0xff; 32], vec![0], uncompressed, Vec::new(), vec![0; 31], vec![0; 33]];
    let (sealed, _) = alice.seal(Session::default(), Suite::PairEc, &bob.public(), b"x");
    for x in off_curve.iter().chain(&bad) {
        assert!(of_bob().with_prekey(&signed(x, now_s)).is_err(), "{x:?} as a prekey");
        if x.len() == 32 {
            let mut bent = sealed.clone();
            bent[261..293].copy_from_slice(x);
            refused(&bob, Suite::PairEc, &alice.public(), &bent, "as an ephemeral key");
        }
    }
}

/// PAIR-9: the other signature that ECDSA has for every signature, s negated, opens the same message: who sees payloads
/// alone sees two. The client drops the second by what was said (RCV-4).
#[test]
fn a_negated_signature_is_the_same_message() {
    let (mut alice, bob, _) = alice_bob_eve();
    let (sealed, _) = alice.seal(Session::default(), Suite::Pair, &bob.public(), b"hello");
    let twin = negated(&sealed);
    assert_ne!(twin, sealed);
    let opened = bob.open(&Session::default(), Suite::Pair, &alice.public(), &twin).unwrap();
    assert_eq!(opened.plaintext.expose(), b"hello");
}

/// Puts n - s in the place of s, in minimal DER.
fn negated(sealed: &[u8]) -> Vec<u8> {
    let (body, der) = pair_parts(sealed);
    let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").unwrap();
    let r_end = 4 + usize::from(der[3]);
    let s = &der[r_end + 2..];
    let s = [&vec![0; 33 - s.len()][..], s].concat();
    let mut borrow = 0;
    let mut other = [0; 32];
    for i in (0..32).rev() {
        let difference = i16::from(order[i]) - i16::from(s[i + 1]) - borrow;
        borrow = i16::from(difference < 0);
        other[i] = difference.rem_euclid(256) as u8;
    }
    let significant = &other[other.iter().take_while(|byte| **byte == 0).count()..];
    let zero: &[u8] = if significant[0] >= 0x80 { &[0] } else { &[] };
    let integer = [&[2, (zero.len() + significant.len()) as u8], zero, significant].concat();
    let content = [&der[2..r_end], &integer].concat();
    pair_frame(&body, &[&[0x30, content.len() as u8], &content[..]].concat())
}

/// PEC-14: two of Bob's prekeys begin with the same two bytes: the signature finds the right one.
#[test]
fn prekeys_that_look_alike_are_told_apart() {
    let (mut alice, mut bob, _) = alice_bob_eve();
    let (first, second) = two_keys_alike(&mut bob);
    let time = 1_700_000_000f64.to_le_bytes();
    let mut stored = vec![1, 0, 0, 0, 2];
    let mut records = Vec::new();
    for key in [&first, &second] {
        let signature = bob.keys.device.sign_raw(&[b"NGMPrekeySignature", key.compact().as_bytes(), &time]);
        let record = prekey_record(key.compact(), &signature, time);
        let times = [NOW.as_millis().to_be_bytes(), NOW.as_millis().to_be_bytes()].concat();
        stored.extend([key.to_secret().expose(), &times[..], &[0, 0, 0, record.len() as u8], &record].concat());
        records.push(record);
    }
    bob.keys.prekeys = PrekeyRing::from_secret_bytes(&stored).unwrap();
    for record in records {
        let to_bob = PeerDevice::new(bob.keys.device.verifying_key().clone(), None).with_prekey(&record).unwrap();
        let (sealed, _) = alice.seal(Session::default(), Suite::PairEc, &to_bob, b"hello");
        let opened = bob.open(&Session::default(), Suite::PairEc, &alice.public(), &sealed).unwrap();
        assert_eq!(opened.plaintext.expose(), b"hello");
    }
}

/// Draws keys until two begin with the same two bytes: some hundreds.
fn two_keys_alike(device: &mut Device) -> (AgreementKey, AgreementKey) {
    let mut seen: BTreeMap<[u8; 2], AgreementKey> = BTreeMap::new();
    loop {
        let key = AgreementKey::generate(&mut device.rng);
        let [a, b, ..] = *key.compact().as_bytes();
        if let Some(other) = seen.insert([a, b], key.clone()) {
            return (other, key);
        }
    }
}

/// PEC-3: a prekey that another device signed does not become Bob's, and Bob's own key signed for something else is no
/// prekey.
#[test]
fn only_a_prekey_signature_makes_a_prekey() {
    let (_, bob, eve) = alice_bob_eve();
    let record = eve.keys.prekeys.record();
    assert!(SignedPrekey::verify(record, bob.keys.device.verifying_key()).is_err());
    let key = AgreementKey::generate(&mut Device::new(9).rng);
    let time = 1_700_000_000f64.to_le_bytes();
    for label in Label::ALL {
        let signature = bob.keys.device.sign(label, &[key.compact().as_bytes(), &time]);
        let record = prekey_record(key.compact(), &signature, time);
        assert!(SignedPrekey::verify(&record, bob.keys.device.verifying_key()).is_err(), "{label:?}");
    }
}

/// The domain matrix over what the device key signs (labels, prekeys, messages): only the diagonal verifies.
/// PEC-3, PEC-11, IDN-11.
#[test]
fn signatures_are_good_for_one_thing_only() {
    let (mut alice, bob, _) = alice_bob_eve();
    let key = alice.keys.device.verifying_key().clone();
    let record = alice.keys.prekeys.record().to_vec();
    let prekey_signature = Signature::try_from(&record[36..100]).unwrap();
    let prekey_parts: [&[u8]; 2] = [&record[2..34], &record[101..109]];
    assert!(SignedPrekey::verify(&record, &key).is_ok());
    let (sealed, _) = alice.seal(Session::default(), Suite::PairEc, &bob.public(), b"x");
    let message_signature = Signature::try_from(&sealed[295..359]).unwrap();
    for label in Label::ALL {
        for signature in [&prekey_signature, &message_signature] {
            assert!(key.verify(label, &prekey_parts, signature).is_err(), "{label:?}");
            assert!(key.verify(label, &[&prekey_parts.concat()], signature).is_err(), "{label:?}");
        }
    }
    let as_prekey = prekey_record(
        &CompactKey::try_from(&record[2..34]).unwrap(),
        &message_signature,
        record[101..109].try_into().unwrap(),
    );
    assert!(SignedPrekey::verify(&as_prekey, &key).is_err());
    let mut as_message = sealed.clone();
    as_message[295..359].copy_from_slice(prekey_signature.as_bytes());
    refused(&bob, Suite::PairEc, &alice.public(), &as_message, "a prekey's signature on a message");
}

/// PEC-14: the right message, said to be of the other suite.
#[test]
fn a_message_of_one_suite_is_none_of_the_other() {
    let (mut alice, bob, _) = alice_bob_eve();
    let (ec, _) = alice.seal(Session::default(), Suite::PairEc, &bob.public(), b"x");
    let (rsa, _) = alice.seal(Session::default(), Suite::Pair, &bob.public(), b"x");
    refused(&bob, Suite::Pair, &alice.public(), &ec, "pair-ec read as pair");
    refused(&bob, Suite::PairEc, &alice.public(), &rsa, "pair read as pair-ec");
}

/// PEC-13: a length that lies asks for no memory and is refused.
#[test]
fn lying_lengths_are_refused() {
    let (alice, bob, _) = alice_bob_eve();
    for bytes in [
        vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f],
        vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        vec![0; 67_585],
        [&[0x0a, 0x80, 0x90, 0x04][..], &[0; 67_584]].concat(),
        vec![0x0b; 60_000], // groups within groups
    ] {
        refused(&bob, Suite::PairEc, &alice.public(), &bytes, "lying length");
    }
    for bytes in [vec![2, 0xff, 0xff], vec![2, 0, 0, 0], vec![2, 0, 160]] {
        refused(&bob, Suite::Pair, &alice.public(), &bytes, "lying length");
    }
}

fn compact(device: &Device) -> CompactKey {
    *device.keys.device.verifying_key().compact()
}

fn prekey_x(device: &Device) -> CompactKey {
    CompactKey::try_from(&device.keys.prekeys.record()[2..34]).unwrap()
}

/// The record's bytes as proto/halcyon/pair_ec.proto has them.
fn prekey_record(key: &CompactKey, signature: &Signature, time: [u8; 8]) -> Vec<u8> {
    [&[0x0a, 32], &key.as_bytes()[..], &[0x12, 64], signature.as_bytes(), &[0x19], &time].concat()
}

/// Signs `pair` bodies with a device's own `pair` key, which the public API does only for messages that it sealed.
fn pair_signer(device: &Device) -> impl Fn(&[u8]) -> Vec<u8> + use<> {
    let bytes = device.keys.pair.as_ref().unwrap().to_secret_bytes();
    // The stored form ends with the signing key's 32 bytes.
    let secret = Secret::try_from(&bytes.expose()[bytes.len() - 32..]).unwrap();
    let key = LegacySigningKey::from_secret(secret).unwrap();
    move |body| key.sign_sha1_der(body)
}

/// PAIR-10: an honest message whose signature is r ‖ s, or over SHA-256, is refused like any other.
#[test]
fn other_forms_of_signature_are_refused() {
    let (mut alice, bob, _) = alice_bob_eve();
    let (sealed, _) = alice.seal(Session::default(), Suite::Pair, &bob.public(), b"hello");
    let (body, der) = pair_parts(&sealed);
    let raw = alice.keys.device.sign_raw(&[&body]);
    for signature in [raw.as_bytes().to_vec(), Vec::new(), vec![0; 255], [&der[..], &[0]].concat()] {
        refused(&bob, Suite::Pair, &alice.public(), &pair_frame(&body, &signature), "another form");
    }
    let opened = pair_open(&bob, &alice, &pair_frame(&body, &der));
    assert!(opened, "the frame that the test builds is a frame");
}

fn pair_open(bob: &Device, alice: &Device, sealed: &[u8]) -> bool {
    let keys = bob.keys.pair.as_ref().unwrap();
    keys.open(alice.keys.pair.as_ref().unwrap().identity(), sealed).is_ok()
}

/// PAIR-8: the longest body fits the frame's length exactly.
#[test]
fn a_body_that_does_not_fit_its_length_is_refused_by_the_sealer() {
    let (mut alice, bob, _) = alice_bob_eve();
    let keys = alice.keys.pair.as_ref().unwrap();
    let recipient = bob.keys.pair.as_ref().unwrap().identity();
    let longest = keys.seal(&mut alice.rng, recipient, &vec![0; 65_475]).unwrap();
    assert_eq!(longest[..3], [2, 0xff, 0xff]);
    assert!(keys.seal(&mut alice.rng, recipient, &vec![0; 65_476]).is_err());
}
