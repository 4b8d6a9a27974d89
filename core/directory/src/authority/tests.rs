use super::*;
use crate::testing::{Account, BOTH_SUITES, Device, NOW, rng};

fn alice() -> Account {
    Account::with(&["phone", "laptop"], &mut rng(1))
}

/// DIR-4, ACC-32: an account begins with version 1 and one device.
#[test]
fn a_first_list_has_one_device() {
    let phone_only = Account::with(&["phone"], &mut rng(1));
    let update = register(phone_only.list.clone()).unwrap();
    assert_eq!(update.added, [DeviceNews { device: phone_only.devices[0].id(), name: "phone".into() }]);
    assert_eq!(register(alice().list), Err(UpdateError::NotFirst));
    let second = phone_only.list.next().sign(&phone_only.key, NOW).unwrap();
    assert_eq!(register(second), Err(UpdateError::NotFirst));
}

/// DIR-4: two devices change the list at once; one wins, the other is told the version.
#[test]
fn only_the_next_version_is_taken() {
    let alice = alice();
    let (phone, laptop) = (&alice.devices[0], &alice.devices[1]);
    let renamed = alice.list.next().sign(&alice.key, NOW).unwrap();
    assert!(update(&alice.list, renamed.clone(), phone.id()).is_ok());
    let late = alice.list.next().without(phone.id()).sign(&alice.key, NOW).unwrap();
    assert_eq!(update(&renamed, late, laptop.id()), Err(UpdateError::Conflict { current: 3, offered: 3 }));
    let ahead = renamed.next().sign(&alice.key, NOW).unwrap();
    assert_eq!(update(&alice.list, ahead, phone.id()), Err(UpdateError::Conflict { current: 2, offered: 4 }));
    assert_eq!(
        update(&alice.list, alice.list.clone(), phone.id()),
        Err(UpdateError::Conflict { current: 2, offered: 2 })
    );
}

/// DIR-5: a device that the new list lacks is to be revoked.
#[test]
fn a_missing_device_is_revoked() {
    let alice = alice();
    let laptop = &alice.devices[1];
    let without = alice.list.next().without(laptop.id()).sign(&alice.key, NOW).unwrap();
    let update = update(&alice.list, without.clone(), alice.devices[0].id()).unwrap();
    assert_eq!(update.removed, [DeviceNews { device: laptop.id(), name: "laptop".into() }]);
    assert_eq!((update.added, update.list), (vec![], without));
}

/// DIR-5: strangers change nothing, and a removed device is a stranger.
#[test]
fn only_devices_of_the_account_change_its_list() {
    let alice = alice();
    let mallory = Account::with(&["phone"], &mut rng(2));
    let next = alice.list.next().sign(&alice.key, NOW).unwrap();
    assert_eq!(update(&alice.list, next, mallory.devices[0].id()), Err(UpdateError::ForeignAuthor));
    let foreign = mallory.list.next().sign(&mallory.key, NOW).unwrap();
    assert_eq!(update(&alice.list, foreign, alice.devices[0].id()), Err(UpdateError::ForeignAccount));
}

/// DIR-5, LNK-8: a device enters through its link, byte for byte, and in no other way.
#[test]
fn a_device_enters_through_its_link_alone() {
    let (alice, mut rng) = (alice(), rng(3));
    let phone = alice.devices[0].id();
    let tablet = Device::new(alice.id(), "tablet", &BOTH_SUITES, &mut rng);
    let ghost = Device::new(alice.id(), "ghost", &BOTH_SUITES, &mut rng);
    let with = |devices: &[&Device]| {
        let next = devices.iter().fold(alice.list.next(), |next, device| next.with(device.entry.clone()));
        next.sign(&alice.key, NOW).unwrap()
    };
    let joined = complete_link(&alice.list, with(&[&tablet]), phone, &tablet.entry).unwrap();
    assert_eq!(joined.added, [DeviceNews { device: tablet.id(), name: "tablet".into() }]);

    assert_eq!(update(&alice.list, with(&[&ghost]), phone), Err(UpdateError::NotLinked { device: ghost.id() }));
    let both = complete_link(&alice.list, with(&[&tablet, &ghost]), phone, &tablet.entry);
    assert_eq!(both, Err(UpdateError::NotLinked { device: ghost.id() }));
    assert_eq!(complete_link(&alice.list, with(&[]), phone, &tablet.entry), Err(UpdateError::LinkMissing));
    let renamed = tablet.entry.entry().renamed("other").unwrap();
    let renamed = CountersignedEntry::sign(renamed, alice.id(), &tablet.key).unwrap();
    let swapped = alice.list.next().with(renamed).sign(&alice.key, NOW).unwrap();
    assert_eq!(complete_link(&alice.list, swapped, phone, &tablet.entry), Err(UpdateError::LinkMissing));
}
