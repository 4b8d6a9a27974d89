//! Alice asks about Bob; the server lies in every way that DIR-6 and DIR-7 name.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    lookup::{LookupRequest, ResponseError, ServedAddress, encode_response},
    prekeys::Prekey,
    testing::{Account, BOTH_SUITES, Device, NOW, answer, bobs_handle, identity, push_token, rng},
};

fn bob() -> Account {
    Account::with(&["phone", "tablet"], &mut rng(1))
}

fn first(bob: &Account) -> Acceptance {
    accept(Known::default(), &bobs_handle(), &bob.answer(&bob.list), NOW).unwrap()
}

fn again(before: &Acceptance, answer: &UnverifiedAccount) -> Result<Acceptance, Refusal> {
    let known = Known { handle: Some(&before.handle), account: Some(&before.known) };
    accept(known, &bobs_handle(), answer, NOW)
}

/// DIR-9, DIR-22: Alice meets Bob, and gets both of his devices with where and how to reach them.
#[test]
fn a_stranger_is_met() {
    let bob = bob();
    let met = first(&bob);
    assert_eq!(met.changes, [Change::FirstMet { devices: 2 }]);
    assert_eq!((met.devices.account(), met.devices.list_version()), (bob.id(), 2));
    assert_eq!(met.handle.account(), bob.id());
    let phone = met.devices.device(bob.devices[0].id()).unwrap();
    assert_eq!((phone.name(), phone.strongest_seen()), ("phone", SuiteId::PAIR_EC));
    assert_eq!(phone.push_token(), Some(&push_token(phone.device_id())));
    assert!(phone.prekey(SuiteId::PAIR_EC).is_some() && phone.prekey(SuiteId::PAIR).is_none());
    assert_eq!(met.devices.undeliverable().count(), 0);
    assert_eq!(bob.answer(&bob.list).claimed_account(), Some(bob.id()));
}

/// DIR-8: a device joins and another leaves: accepted, and shown.
#[test]
fn honest_changes_are_accepted_and_shown() {
    let mut bob = bob();
    let before = first(&bob);
    let laptop = Device::new(bob.id(), "laptop", &BOTH_SUITES, &mut rng(2));
    let renamed = bob.devices[0].entry.entry().renamed("old phone").unwrap();
    let renamed = crate::CountersignedEntry::sign(renamed, bob.id(), &bob.devices[0].key).unwrap();
    let next = bob
        .list
        .next()
        .with(laptop.entry.clone())
        .without(bob.devices[1].id())
        .with(renamed)
        .sign(&bob.key, NOW)
        .unwrap();
    bob.devices.push(laptop);
    let after = again(&before, &bob.answer(&next)).unwrap();
    assert_eq!(after.changes.len(), 3);
    let (phone, tablet, laptop) = (bob.devices[0].id(), bob.devices[1].id(), bob.devices[2].id());
    assert!(after.changes.contains(&Change::DeviceRemoved { device: tablet, name: "tablet".into() }));
    assert!(after.changes.contains(&Change::DeviceAdded { device: laptop, name: "laptop".into() }));
    assert!(after.changes.contains(&Change::DeviceRenamed {
        device: phone,
        was: "phone".into(),
        now: "old phone".into()
    }));
    assert_eq!(again(&after, &bob.answer(&next)).unwrap().changes, []);
}

/// DIR-6: the same list again is no news.
#[test]
fn the_same_answer_again_changes_nothing() {
    let bob = bob();
    let before = first(&bob);
    let after = again(&before, &bob.answer(&bob.list)).unwrap();
    assert_eq!((after.changes, after.known), (vec![], before.known));
}

/// DIR-6: the server goes back to the list before the tablet was removed.
#[test]
fn a_rolled_back_list_is_refused() {
    let bob = bob();
    let without_tablet = bob.list.next().without(bob.devices[1].id()).sign(&bob.key, NOW).unwrap();
    let before = accept(Known::default(), &bobs_handle(), &bob.answer(&without_tablet), NOW).unwrap();
    assert_eq!(again(&before, &bob.answer(&bob.list)).unwrap_err(), Refusal::RolledBack { kept: 3, offered: 2 });
}

/// DIR-6: a thief of the account key shows Alice one version 3 and Carol another.
#[test]
fn a_contradicting_list_is_refused() {
    let bob = bob();
    let (one, other) = (
        bob.list.next().sign(&bob.key, NOW).unwrap(),
        bob.list.next().without(bob.devices[1].id()).sign(&bob.key, NOW).unwrap(),
    );
    let before = accept(Known::default(), &bobs_handle(), &bob.answer(&one), NOW).unwrap();
    assert_eq!(again(&before, &bob.answer(&other)).unwrap_err(), Refusal::Contradicted { version: 3 });
}

/// DIR-6: a device that spoke `pair-ec` cannot be talked down to `pair`, not even after a pause from the list.
#[test]
fn a_weakened_device_is_refused() {
    let bob = bob();
    let before = first(&bob);
    let phone = &bob.devices[0];
    let blob = phone.entry.entry().pair_identity().cloned();
    let weak = Device::speaking(bob.id(), "phone", phone.key.clone(), &[SuiteId::PAIR], blob);
    let refusal = Refusal::Weakened { device: phone.id(), seen: SuiteId::PAIR_EC, offered: SuiteId::PAIR };
    let at_once = bob.list.next().with(weak.entry.clone()).sign(&bob.key, NOW).unwrap();
    assert_eq!(again(&before, &bob.answer(&at_once)).unwrap_err(), refusal);

    let gone = bob.list.next().without(phone.id()).sign(&bob.key, NOW).unwrap();
    let meanwhile = again(&before, &bob.answer(&gone)).unwrap();
    let back = gone.next().with(weak.entry).sign(&bob.key, NOW).unwrap();
    assert_eq!(again(&meanwhile, &bob.answer(&back)).unwrap_err(), refusal);
    assert_eq!(meanwhile.known.strongest_seen(phone.id()), Some(SuiteId::PAIR_EC));
}

/// DIR-6: what a device learned counts from then on: it cannot be talked back to what it was when Alice met it.
#[test]
fn a_device_that_grew_stronger_stays_so() {
    let mut rng = rng(6);
    let bob = bob();
    let (key, blob) = (bob.devices[0].key.clone(), identity(&mut rng));
    let speaking = |suites: &[SuiteId], blob: Option<&Bytes>| {
        Device::speaking(bob.id(), "phone", key.clone(), suites, blob.cloned())
    };
    let (old, modern) = (speaking(&[SuiteId::PAIR], Some(&blob)), speaking(&BOTH_SUITES, Some(&blob)));
    let without_blob = speaking(&[SuiteId::PAIR_EC], None);

    let list = bob.list.next().with(old.entry.clone()).sign(&bob.key, NOW).unwrap();
    let met = accept(Known::default(), &bobs_handle(), &bob.answer(&list), NOW).unwrap();
    let grown = list.next().with(modern.entry).sign(&bob.key, NOW).unwrap();
    let after = again(&met, &bob.answer(&grown)).unwrap();
    assert_eq!(after.known.strongest_seen(old.id()), Some(SuiteId::PAIR_EC));
    let weak = grown.next().with(old.entry.clone()).sign(&bob.key, NOW).unwrap();
    let refusal = Refusal::Weakened { device: old.id(), seen: SuiteId::PAIR_EC, offered: SuiteId::PAIR };
    assert_eq!(again(&after, &bob.answer(&weak)).unwrap_err(), refusal);

    // A `pair` identity that came later is remembered, too.
    let list = bob.list.next().with(without_blob.entry).sign(&bob.key, NOW).unwrap();
    let met = accept(Known::default(), &bobs_handle(), &bob.answer(&list), NOW).unwrap();
    let after = again(
        &met,
        &bob.answer(&list.next().with(speaking(&BOTH_SUITES, Some(&blob)).entry).sign(&bob.key, NOW).unwrap()),
    );
    let other = speaking(&BOTH_SUITES, Some(&identity(&mut rng)));
    let changed = list.next().sign(&bob.key, NOW).unwrap().next().with(other.entry).sign(&bob.key, NOW).unwrap();
    let refusal = Refusal::PairIdentityChanged { device: old.id() };
    assert_eq!(again(&after.unwrap(), &bob.answer(&changed)).unwrap_err(), refusal);
}

/// DIR-6, DIR-7: what is shown of an acquaintance is what was accepted, and when.
#[test]
fn an_acquaintance_has_its_dates() {
    let bob = bob();
    let before = first(&bob);
    let later = NOW.plus(halcyon_types::Duration::from_days(3));
    let known = Known { handle: Some(&before.handle), account: Some(&before.known) };
    let list = bob.list.next().sign(&bob.key, NOW).unwrap();
    let after = accept(known, &bobs_handle(), &bob.answer(&list), later).unwrap();
    assert_eq!((after.known.first_met(), after.known.accepted(), after.handle.first_met()), (NOW, later, NOW));
    let phone = after.devices.device(bob.devices[0].id()).unwrap();
    let entry = bob.devices[0].entry.entry();
    assert_eq!(
        (phone.list_version(), phone.suites(), phone.pair_identity()),
        (3, entry.suites(), entry.pair_identity())
    );
    assert!(phone.pair_identity().is_some());
}

/// DIR-6: a device may give suite 1 up, but not come back under another `pair` identity.
#[test]
fn a_changed_pair_identity_is_refused() {
    let bob = bob();
    let before = first(&bob);
    let phone = &bob.devices[0];
    let device = |suites: &[SuiteId], blob| Device::speaking(bob.id(), "phone", phone.key.clone(), suites, blob).entry;
    let refusal = Refusal::PairIdentityChanged { device: phone.id() };
    let other = device(&BOTH_SUITES, Some(identity(&mut rng(5))));
    let at_once = bob.list.next().with(other.clone()).sign(&bob.key, NOW).unwrap();
    assert_eq!(again(&before, &bob.answer(&at_once)).unwrap_err(), refusal);

    let modern = bob.list.next().with(device(&[SuiteId::PAIR_EC], None)).sign(&bob.key, NOW).unwrap();
    let meanwhile = again(&before, &bob.answer(&modern)).unwrap();
    assert_eq!(meanwhile.changes, [Change::SuitesChanged { device: phone.id(), strongest: SuiteId::PAIR_EC }]);
    let back = modern.next().with(other).sign(&bob.key, NOW).unwrap();
    assert_eq!(again(&meanwhile, &bob.answer(&back)).unwrap_err(), refusal);
}

/// DIR-6: one id, another key. Only a broken hash could bring it about, so the memory is bent here.
#[test]
fn a_changed_device_key_is_refused() {
    let bob = bob();
    let mut before = first(&bob);
    let phone = bob.devices[0].id();
    before.known.forge_key(phone, *bob.devices[1].entry.entry().key().compact());
    assert_eq!(again(&before, &bob.answer(&bob.list)).unwrap_err(), Refusal::DeviceKeyChanged { device: phone });
}

/// DIR-7: Bob's handle suddenly stands for Mallory's account; Alice decides.
#[test]
fn a_moved_handle_is_refused_until_the_user_agrees() {
    let (bob, mallory) = (bob(), Account::with(&["phone"], &mut rng(7)));
    let before = first(&bob);
    let moved = mallory.answer(&mallory.list);
    let known = Known { handle: Some(&before.handle), account: None };
    let refused = accept(known, &bobs_handle(), &moved, NOW).unwrap_err();
    assert_eq!(refused, Refusal::HandleMoved { was: bob.id(), now: mallory.id() });
    let agreed = KnownHandle::first(bobs_handle(), mallory.id(), NOW);
    let known = Known { handle: Some(&agreed), account: None };
    assert_eq!(accept(known, &bobs_handle(), &moved, NOW).unwrap().devices.account(), mallory.id());
}

/// DIR-3, DIR-6: an invalid list, a missing one and a missing session are refused, each by its name.
#[test]
fn an_invalid_answer_is_refused() {
    let bob = bob();
    let met = first(&bob);
    let mut no_list = bob.answer(&bob.list);
    no_list.wire.list = None;
    assert_eq!(again(&met, &no_list).unwrap_err(), Refusal::Incomplete);
    assert_eq!(no_list.claimed_account(), None);
    let mut no_session = bob.answer(&bob.list);
    no_session.wire.session_token = Bytes::from_static(&[0; 39]);
    assert_eq!(again(&met, &no_session).unwrap_err(), Refusal::Incomplete);
    let mut forged = bob.answer(&bob.list);
    forged.wire.list.as_mut().unwrap().signature = Bytes::from_static(&[1; 64]);
    assert_eq!(again(&met, &forged).unwrap_err(), Refusal::NotValid(ListError::Unsigned));
    let mallory = Account::with(&["phone"], &mut rng(7));
    let known = Known { handle: None, account: Some(&met.known) };
    let mixed_up = accept(known, &bobs_handle(), &mallory.answer(&mallory.list), NOW).unwrap_err();
    assert_eq!(mixed_up, Refusal::ForeignMemory);
}

/// DIR-22, DIR-9: addresses of strangers are never used, and a device without one is reported.
#[test]
fn the_list_decides_and_not_the_addresses() {
    let bob = bob();
    let mut served = bob.served(&bob.list, &mut rng(9));
    let ghost = DeviceId::from_bytes([0x66; 16]);
    let tablet = bob.devices[1].id();
    served.addresses.retain(|address| address.device != tablet);
    served.addresses.push(ServedAddress { device: ghost, push_token: push_token(ghost), prekeys: vec![] });
    let met = accept(Known::default(), &bobs_handle(), &answer(served), NOW).unwrap();
    assert_eq!(met.devices.devices().len(), 2);
    assert!(met.devices.device(ghost).is_none());
    assert_eq!(met.devices.undeliverable().map(VerifiedDevice::device_id).collect::<Vec<_>>(), [tablet]);
}

/// DIR-24: after a restart the kept memory and addresses give the same devices, without asking.
#[test]
fn kept_devices_are_the_same() {
    let bob = bob();
    let met = first(&bob);
    let known = KnownAccount::decode(&met.known.encode()).unwrap();
    let addresses = Addresses::decode(&met.addresses.encode()).unwrap();
    assert_eq!((&known, &addresses), (&met.known, &met.addresses));
    let kept = VerifiedDevices::from_kept(&known, &addresses);
    assert_eq!(format!("{kept:?}"), format!("{:?}", met.devices));
    assert_eq!(KnownHandle::decode(&met.handle.encode()), Ok(met.handle));
    assert_eq!(met.devices.session().expires, NOW.plus(crate::session::SESSION_LIFETIME));
}

/// DIR-6: damaged memory is not taken for no memory.
#[test]
fn damaged_memory_is_an_error() {
    let stored = first(&bob()).known.encode();
    assert_eq!(KnownAccount::decode(&[]), Err(KnownError::Version { found: 0 }));
    assert_eq!(KnownAccount::decode(&stored[..10]), Err(KnownError::Damaged));
    let mut newer = stored.clone();
    newer[1] = 2;
    assert_eq!(KnownAccount::decode(&newer), Err(KnownError::Version { found: 2 }));
    let mut altered = stored;
    altered[100] ^= 1;
    assert!(matches!(KnownAccount::decode(&altered), Err(KnownError::List(_))));
}

/// DIR-6: an account that churns through devices makes Alice forget old ones only.
#[test]
fn memory_is_bounded_and_keeps_the_present() {
    let mut rng = rng(11);
    let bob = Account::with(&["phone"], &mut rng);
    let mut known = first(&bob).known;
    let mut list = bob.list.clone();
    let mut guests: Vec<DeviceId> = Vec::new();
    for _ in 0..9 {
        let mut next = list.next();
        for guest in guests.drain(..) {
            next = next.without(guest);
        }
        for _ in 0..31 {
            let guest = Device::new(bob.id(), "guest", &[SuiteId::PAIR_EC], &mut rng);
            guests.push(guest.id());
            next = next.with(guest.entry);
        }
        list = next.sign(&bob.key, NOW).unwrap();
        known = accept_list(Some(&known), list.clone(), NOW).unwrap().0;
    }
    assert!(known.strongest_seen(bob.devices[0].id()).is_some());
    assert_eq!(KnownAccount::decode(&known.encode()).as_ref(), Ok(&known));
    assert!(known.encode().len() < 64 * 1024);
}

/// RCV-2 needs the sender's key from an accepted list, and nothing of an address.
#[test]
fn a_sender_is_found_in_the_kept_list() {
    let bob = bob();
    let met = first(&bob);
    let sender = VerifiedDevice::sender(&met.known, bob.devices[0].id()).unwrap();
    assert_eq!(sender.key(), bob.devices[0].key.verifying_key());
    assert!(sender.push_token().is_none());
    assert!(VerifiedDevice::sender(&met.known, DeviceId::from_bytes([0; 16])).is_none());
}

/// DIR-20: as many answers as handles, for those handles, in their order.
#[test]
fn an_answer_to_another_question_is_refused() {
    let (bob, carol) = (bobs_handle(), Handle::parse("carol@example.org").unwrap());
    let request = LookupRequest::new(vec![bob.clone(), carol.clone()]).unwrap();
    assert_eq!(LookupRequest::decode(request.encode()), Ok(request.clone()));
    let read =
        |answers: &[(Handle, Option<_>)]| request.read_response(encode_response(answers)).map(|answers| answers.len());
    assert_eq!(read(&[(bob.clone(), None), (carol.clone(), None)]), Ok(2));
    assert_eq!(read(&[(carol.clone(), None), (bob.clone(), None)]), Err(ResponseError::OtherHandles));
    assert_eq!(read(&[(bob.clone(), None)]), Err(ResponseError::OtherHandles));
    assert_eq!(request.read_response(Bytes::from_static(b"?")).unwrap_err(), ResponseError::Malformed);
    use crate::lookup::RequestError;
    assert_eq!(LookupRequest::new(vec![]), Err(RequestError::Count { found: 0 }));
    assert_eq!(LookupRequest::new(vec![bob; 21]), Err(RequestError::Count { found: 21 }));
    let odd = prost::Message::encode_to_vec(&crate::wire::LookupRequest { handles: vec!["Bob@example.org".into()] });
    assert_eq!(LookupRequest::decode(odd.into()), Err(RequestError::Handle { index: 0 }));
}

/// DIR-21: who is not there is answered with the handle alone, and without a cause.
#[test]
fn who_is_not_there_has_no_cause() {
    let response = encode_response(&[(bobs_handle(), None)]);
    assert_eq!(hex::encode(response), "0a180a166d61696c746f3a626f62406578616d706c652e6f7267");
}

/// I9: no handle and no token in what a log might print.
#[test]
fn debug_names_nobody() {
    let met = first(&bob());
    let text = format!("{:?} {:?}", met.devices, met.handle);
    assert!(!text.contains("bob@") && text.contains("PushToken(redacted)") && text.contains("SessionToken(redacted)"));
    let prekey = Prekey { suite: SuiteId::PAIR_EC, record: Bytes::new() };
    assert!(format!("{prekey:?}").contains("pair-ec"));
}

proptest! {
    #[test]
    fn any_bytes_are_judged(bytes: Vec<u8>) {
        let request = LookupRequest::new(vec![bobs_handle()]).unwrap();
        let _ = request.read_response(bytes.clone().into());
        let _ = LookupRequest::decode(bytes.clone().into());
        let _ = Addresses::decode(&bytes);
        let _ = KnownAccount::decode(&bytes);
        let _ = KnownHandle::decode(&bytes);
    }

    /// DIR-6: one changed byte of an answer never gives other devices.
    #[test]
    fn a_changed_byte_never_gives_another_device(at: prop::sample::Index, change in 1u8..) {
        let bob = bob();
        let before = first(&bob);
        let request = LookupRequest::new(vec![bobs_handle()]).unwrap();
        let mut response = encode_response(&[(bobs_handle(), Some(bob.served(&bob.list, &mut rng(9))))]).to_vec();
        let at = at.index(response.len());
        response[at] ^= change;
        if let Ok(answers) = request.read_response(response.into())
            && let Some(account) = &answers[0].account
            && let Ok(after) = again(&before, account)
        {
            prop_assert_eq!(after.known, before.known);
        }
    }
}
