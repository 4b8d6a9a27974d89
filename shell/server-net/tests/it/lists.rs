//! Device lists and prekeys (DIR-4, DIR-5, DIR-10).

use bytes::Bytes;
use halcyon_directory::alert::{AlertEvent, DeviceNotice};
use halcyon_directory::lookup::LookupRequest;
use halcyon_directory::prekeys::Prekey;
use halcyon_directory::{CountersignedEntry, SignedList};
use halcyon_server::ports::Clock;
use halcyon_types::Handle;
use serde_json::Value;

use crate::people::{Device, Person, from_base64};
use crate::world::World;

const ALICE: &str = "alice@example.org";

fn renamed(person: &Person, world: &World, name: &str) -> SignedList {
    let device = &person.devices[0];
    let entry = person.list.device(device.id).unwrap().entry().renamed(name).unwrap();
    let entry = CountersignedEntry::sign(entry, person.account, &device.key).unwrap();
    person.list.next().with(entry).sign(&person.account_key, world.clock.now()).unwrap()
}

/// DIR-4: version + 1 is taken; the same again, or a list made from an old one, is a conflict that shows the current.
#[tokio::test]
async fn a_list_follows_exactly_the_one_before() {
    let world = World::start().await;
    let mut alice = Person::register(&world, ALICE, "phone").await;
    let second = renamed(&alice, &world, "pocket");
    let rival = renamed(&alice, &world, "purse");
    alice.put_list(&world, &second).await.expect(204);
    let conflict = alice.put_list(&world, &rival).await;
    assert_eq!(conflict.problem(), (409, "list_conflict".to_owned()));
    let current = SignedList::decode(from_base64(&conflict.text("device_list")).into()).unwrap();
    assert_eq!(current, second);
    // She applies her change again, to the current one.
    alice.list = current;
    alice.put_list(&world, &renamed(&alice, &world, "purse")).await.expect(204);
    let account = alice.ask(&world, "GET", "/v1/account", Value::Null).await.expect(200).json();
    assert_eq!(account["list_version"], 3);
}

/// DIR-4: of two lists at the same time, one wins.
#[tokio::test]
async fn of_two_rivals_one_wins() {
    let world = World::start().await;
    let alice = Person::register(&world, ALICE, "phone").await;
    let lists: Vec<_> = (0..8).map(|index| renamed(&alice, &world, &format!("phone {index}"))).collect();
    let answers = futures_util::future::join_all(lists.iter().map(|list| alice.put_list(&world, list))).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [204, 409, 409, 409, 409, 409, 409, 409]);
}

/// DIR-4, DIR-5: another account's list, a list of another account's device, and a damaged one are refused.
#[tokio::test]
async fn foreign_and_damaged_lists_are_refused() {
    let world = World::start().await;
    let alice = Person::register(&world, ALICE, "phone").await;
    let bob = Person::register(&world, "bob@example.org", "phone").await;
    let foreign = bob.put_list(&world, &renamed(&alice, &world, "x")).await;
    assert_eq!(foreign.problem(), (403, "list_refused".to_owned()));
    let mut damaged = renamed(&alice, &world, "x").encode().to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let client = world.client();
    let refused = client.signed_protobuf(alice.first(), "PUT", "/v1/device-list", damaged.into()).await;
    assert_eq!(refused.problem(), (400, "invalid_list".to_owned()));
    let as_json = client.signed(alice.first(), "PUT", "/v1/device-list", Value::Null).await;
    assert_eq!(as_json.problem(), (415, "wrong_media_type".to_owned()));
}

/// DIR-5, LNK-8: a device gets into a list through linking, and in no other way.
#[tokio::test]
async fn a_device_without_a_link_is_refused() {
    let world = World::start().await;
    let alice = Person::register(&world, ALICE, "phone").await;
    let stranger = Device::new("stranger").entry(alice.account, &world);
    let list = alice.list.next().with(stranger).sign(&alice.account_key, world.clock.now()).unwrap();
    assert_eq!(alice.put_list(&world, &list).await.problem(), (403, "list_refused".to_owned()));
}

/// DIR-5, DIR-40: Alice removes her lost laptop: it can ask nothing any more, is found no more, and the rest hear of it.
#[tokio::test]
async fn a_removed_device_is_revoked() {
    let mut world = World::start().await;
    let mut alice = Person::register(&world, ALICE, "phone").await;
    alice.link(&world, "laptop").await;
    let (laptop, laptop_key) = (alice.device("laptop").id, alice.device("laptop").key.to_secret());
    let laptop_key = halcyon_crypto::SigningKey::from_secret(&laptop_key).unwrap();
    let signer = crate::http::Signer { device: laptop, key: &laptop_key };
    world.client().signed(signer, "GET", "/v1/account", Value::Null).await.expect(200);

    let list = alice.list.next().without(laptop).sign(&alice.account_key, world.clock.now()).unwrap();
    alice.put_list(&world, &list).await.expect(204);
    let refused = world.client().signed(signer, "GET", "/v1/account", Value::Null).await;
    assert_eq!(refused.problem(), (401, "unauthenticated".to_owned()));
    let bob = Person::register(&world, "bob@example.org", "phone").await;
    let found = bob.lookup(&world, &[ALICE]).await.expect(200);
    assert!(!found.body.windows(6).any(|bytes| bytes == b"laptop"));

    let notice = DeviceNotice { device: laptop, name: "laptop".to_owned(), list_version: 3 };
    let phone = world.alerts(alice.devices[0].id).await;
    assert_eq!(phone.last(), Some(&AlertEvent::DeviceRemoved(notice)));
    assert_eq!(world.alerts(laptop).await, [], "its mailbox is empty");
}

/// DIR-10, DIR-22: the newest prekey is what lookups give out; one that another key signed is refused.
#[tokio::test]
async fn the_newest_prekey_is_given_out() {
    let world = World::start().await;
    let alice = Person::register(&world, ALICE, "phone").await;
    let bob = Person::register(&world, "bob@example.org", "phone").await;
    let client = world.client();
    let fresh = alice.devices[0].prekey();
    let upload = Prekey::encode_upload(std::slice::from_ref(&fresh));
    client.signed_protobuf(alice.first(), "PUT", "/v1/prekeys", upload).await.expect(204);
    let request = LookupRequest::new(vec![Handle::parse(ALICE).unwrap()]).unwrap();
    let found = client.signed_protobuf(bob.first(), "POST", "/v1/lookup", request.encode()).await.expect(200);
    assert!(found.body.windows(fresh.record.len()).any(|bytes| bytes == fresh.record));

    let foreign = Prekey::encode_upload(&[bob.devices[0].prekey()]);
    let refused = client.signed_protobuf(alice.first(), "PUT", "/v1/prekeys", foreign).await;
    assert_eq!(refused.problem(), (400, "invalid_prekeys".to_owned()));
    let garbage = client.signed_protobuf(alice.first(), "PUT", "/v1/prekeys", Bytes::from_static(b"\xff")).await;
    assert_eq!(garbage.problem(), (400, "invalid_prekeys".to_owned()));
}
