use halcyon_crypto::kdf::labelled_hash;
use halcyon_types::SuiteId;
use proptest::prelude::*;

use super::*;
use crate::{
    entry::DeviceEntry,
    testing::{Account, BOTH_SUITES, Device, NOW, fixed_key, padded, rng},
};

fn alice() -> Account {
    Account::with(&["phone", "laptop"], &mut rng(1))
}

/// Signs a list by Alice's key after `change` got at it, as a device with another program could.
fn altered(alice: &Account, change: impl FnOnce(&mut wire::DeviceList)) -> Result<SignedList, ListError> {
    let mut wire = wire::DeviceList::decode(alice.list.bytes().clone()).unwrap();
    change(&mut wire);
    let bytes = Bytes::from(wire.encode_to_vec());
    let signature = alice.key.sign(Label::DeviceList, &[&bytes]);
    SignedList::verify(bytes, signature.as_bytes())
}

/// DIR-3: a list is read as it was signed, and the next one counts on.
#[test]
fn a_list_grows_and_shrinks_by_versions() {
    let alice = alice();
    assert_eq!((alice.list.version(), alice.list.devices().len()), (2, 2));
    assert_eq!(SignedList::decode(alice.list.encode()), Ok(alice.list.clone()));
    assert!(alice.list.devices().is_sorted_by_key(|device| device.entry().id()));
    let later = NOW.plus(halcyon_types::Duration::from_secs(1));
    let third = alice.list.next().without(alice.devices[1].id()).sign(&alice.key, later).unwrap();
    assert_eq!((third.version(), third.devices().len()), (3, 1));
    assert_eq!(third.list().account_key(), alice.key.verifying_key());
    assert_eq!((third.list().version(), third.list().issued()), (3, later));
    assert_eq!(third.list().devices(), third.devices());
    assert!(third.device(alice.devices[1].id()).is_none());
}

/// DIR-3: each rule has its own refusal.
#[test]
fn each_rule_of_a_list_holds() {
    let alice = alice();
    assert!(altered(&alice, |_| {}).is_ok());
    assert_eq!(altered(&alice, |l| l.account_id = Bytes::from_static(&[0; 16])), Err(ListError::ForeignId));
    assert_eq!(altered(&alice, |l| l.account_key.clear()), Err(ListError::Key(KeyError::Length)));
    assert_eq!(altered(&alice, |l| l.version = 0), Err(ListError::Version));
    assert_eq!(altered(&alice, |l| l.devices.clear()), Err(ListError::Count { found: 0 }));
    assert_eq!(altered(&alice, |l| l.devices.reverse()), Err(ListError::Order));
    let twice = altered(&alice, |l| l.devices = vec![l.devices[0].clone(), l.devices[0].clone()]);
    assert_eq!(twice, Err(ListError::Order));
    let unsigned = altered(&alice, |l| l.devices[1].signature = l.devices[0].signature.clone());
    assert_eq!(unsigned, Err(ListError::Entry { index: 1, source: EntryError::Unsigned }));
    let crowd = altered(&alice, |l| l.devices = vec![l.devices[0].clone(); DEVICES_MAX + 1]);
    assert_eq!(crowd, Err(ListError::Count { found: DEVICES_MAX + 1 }));
    let large = SignedList::verify(vec![0; LIST_BYTES_MAX + 1].into(), &[0; 64]);
    assert_eq!(large, Err(ListError::TooLarge { found: LIST_BYTES_MAX + 1 }));
}

/// DIR-3, IDN-13: only the account key signs lists.
#[test]
fn a_list_that_the_account_did_not_sign_is_refused() {
    let alice = alice();
    let mallory = fixed_key(1);
    let bytes = alice.list.bytes().clone();
    let forged = mallory.sign(Label::DeviceList, &[&bytes]);
    assert_eq!(SignedList::verify(bytes.clone(), forged.as_bytes()), Err(ListError::Unsigned));
    let wrong_label = alice.key.sign(Label::DeviceEntry, &[&bytes]);
    assert_eq!(SignedList::verify(bytes.clone(), wrong_label.as_bytes()), Err(ListError::Unsigned));
    assert_eq!(SignedList::verify(bytes, &[]), Err(ListError::Unsigned));
    assert_eq!(alice.list.next().sign(&mallory, NOW), Err(ListError::Unsigned));
}

/// DIR-3: what is signed here is what others accept: no empty list, no 33 devices, no borrowed entry.
#[test]
fn a_list_that_others_would_refuse_is_not_signed() {
    let (alice, mut rng) = (alice(), rng(2));
    let emptied = alice.list.next().without(alice.devices[0].id()).without(alice.devices[1].id());
    assert_eq!(emptied.sign(&alice.key, NOW), Err(ListError::Count { found: 0 }));
    let devices = (0..DEVICES_MAX).map(|_| Device::new(alice.id(), "d", &BOTH_SUITES[1..], &mut rng).entry);
    let crowd = devices.fold(alice.list.next(), NextList::with);
    assert_eq!(crowd.sign(&alice.key, NOW), Err(ListError::Count { found: DEVICES_MAX + 2 }));
    let bob = Account::with(&["tablet"], &mut rng);
    let borrowed = alice.list.next().with(bob.devices[0].entry.clone()).sign(&alice.key, NOW);
    assert!(matches!(borrowed, Err(ListError::Entry { source: EntryError::Unsigned, .. })));
}

/// DIR-3: 32 devices with everything in their entries fit the limits.
#[test]
fn the_largest_list_fits() {
    let mut rng = rng(3);
    let alice = Account::with(&["phone"], &mut rng);
    let name = "n".repeat(64);
    let devices = (1..DEVICES_MAX).map(|_| Device::new(alice.id(), &name, &BOTH_SUITES, &mut rng).entry);
    let full = devices.fold(alice.list.next(), NextList::with).sign(&alice.key, NOW).unwrap();
    assert_eq!(full.devices().len(), DEVICES_MAX);
    assert_eq!(SignedList::decode(full.encode()), Ok(full));
}

/// DIR-3: the limits of bytes are allowed themselves; one byte more is refused before anything else is looked at.
#[test]
fn the_limits_of_bytes_are_exact() {
    let alice = alice();
    let limit = padded(&alice.list.encode(), LIST_BYTES_MAX);
    assert_eq!(SignedList::decode(limit), Ok(alice.list.clone()));
    let signed = |bytes: usize| {
        let list = padded(alice.list.bytes(), bytes);
        let signature = alice.key.sign(Label::DeviceList, &[&list]);
        SignedList::verify(list, signature.as_bytes())
    };
    assert!(signed(LIST_BYTES_MAX).is_ok());
    assert_eq!(signed(LIST_BYTES_MAX + 1), Err(ListError::TooLarge { found: LIST_BYTES_MAX + 1 }));
    let around = LIST_BYTES_MAX + SIGNED_OVERHEAD_BYTES_MAX;
    assert_eq!(SignedList::decode(padded(&alice.list.encode(), around)), Ok(alice.list.clone()));
    let over = SignedList::decode(padded(&alice.list.encode(), around + 1));
    assert_eq!(over, Err(ListError::TooLarge { found: around + 1 }));
}

/// DIR-3, IDN-11: the signed preimage, as its hash, pinned.
#[test]
fn the_bytes_are_pinned() {
    let (account_key, device_key) = (fixed_key(1), fixed_key(32));
    let account = account_id(account_key.verifying_key().compact());
    let entry = DeviceEntry::new(device_key.verifying_key(), "phone", &[SuiteId::PAIR_EC], None, NOW).unwrap();
    // ECDSA draws a number of its own, so a made-up signature stands for the device's.
    let list = wire::DeviceList {
        account_id: Bytes::copy_from_slice(account.as_bytes()),
        account_key: Bytes::copy_from_slice(account_key.verifying_key().compact().as_bytes()),
        version: 1,
        issued_ms: NOW.as_millis(),
        devices: vec![wire::CountersignedEntry { entry: entry.encode(), signature: Bytes::from_static(&[5; 64]) }],
    };
    let hash = labelled_hash(Label::DeviceList, &[&list.encode_to_vec()]);
    assert_eq!(hex::encode(hash), "0265fbf81894db733a6240f6dc6341dbdbe736ecd136b9802d4f2805ae562223");
}

proptest! {
    /// DIR-3: whatever arrives, it is judged without a panic.
    #[test]
    fn any_bytes_are_judged(bytes: Vec<u8>, signature: Vec<u8>) {
        prop_assert!(SignedList::decode(bytes.clone().into()).is_err());
        prop_assert!(SignedList::verify(bytes.into(), &signature).is_err());
    }

    /// DIR-3: one changed byte of a signed list is refused.
    #[test]
    fn any_changed_byte_is_refused(at: prop::sample::Index, change in 1u8..) {
        let list = alice().list;
        let mut bytes = list.bytes().to_vec();
        bytes[at.index(list.bytes().len())] ^= change;
        prop_assert!(SignedList::verify(bytes.into(), &list.to_wire().signature).is_err());
    }
}
