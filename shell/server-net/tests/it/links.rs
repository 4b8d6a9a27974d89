//! Linking, the server's side (LNK-1 to LNK-5, LNK-7, LNK-8, LNK-10).

use std::time::{Duration as StdDuration, Instant};

use halcyon_directory::alert::{AlertEvent, DeviceNotice};
use halcyon_directory::link_approval::newcomer::Newcomer;
use halcyon_types::Duration;
use rand::rngs::OsRng;
use serde_json::{Value, json};

use crate::people::{Device, Linking, PASSWORD, Person, base64, sign_in};
use crate::world::World;

const ALICE: &str = "alice@example.org";

fn challenge() -> Value {
    let key = halcyon_crypto::AgreementKey::generate(&mut OsRng);
    json!({ "ephemeral": base64(key.compact().as_bytes()), "nonce": base64(&[3; 32]) })
}

/// LNK-1 to LNK-10, DIR-40: Alice's laptop joins: password, digits, account key. Every device hears of request and joining.
#[tokio::test]
async fn a_laptop_joins() {
    let mut world = World::start().await;
    let mut alice = Person::register(&world, ALICE, "phone").await;
    alice.link(&world, "laptop").await;
    let laptop = alice.device("laptop");
    let account = world.client().signed(laptop.signer(), "GET", "/v1/account", Value::Null).await.expect(200);
    assert_eq!(account.json()["list_version"], 2);
    let (phone, laptop) = (alice.devices[0].id, laptop.id);
    let alerts = world.alerts(phone).await;
    assert!(matches!(&alerts[0], AlertEvent::LinkRequested { name, .. } if name == "laptop"), "{alerts:?}");
    let joined = AlertEvent::DeviceAdded(DeviceNotice { device: laptop, name: "laptop".to_owned(), list_version: 2 });
    assert_eq!(&alerts[1..], std::slice::from_ref(&joined));
    assert_eq!(world.alerts(laptop).await, [joined]);
}

/// LNK-1, ACC-41: a ticket opens one link; none, used or late, it opens nothing.
#[tokio::test]
async fn a_ticket_opens_one_link() {
    let world = World::start().await;
    let alice = Person::register(&world, ALICE, "phone").await;
    let client = world.client();
    let open = async |ticket: &str| {
        let device = Device::new("laptop");
        let newcomer = Newcomer::begin(alice.account, device.entry(alice.account, &world), &mut OsRng);
        let body = Linking::body(ticket, &newcomer.request(), &device);
        client.signed(device.signer(), "POST", "/v1/links", body).await
    };
    let invalid = (403, "ticket_invalid".to_owned());
    assert_eq!(open(&base64(&[0; 32])).await.problem(), invalid);
    let ticket = sign_in(&world, ALICE, PASSWORD).await.unwrap();
    open(&ticket).await.expect(201);
    assert_eq!(open(&ticket).await.problem(), invalid);
    let late = sign_in(&world, ALICE, PASSWORD).await.unwrap();
    world.clock.forward(Duration::from_mins(15));
    assert_eq!(open(&late).await.problem(), invalid);
}

/// LNK-1: the request is signed by the device of the entry, and the entry counter-signed for this account.
#[tokio::test]
async fn a_foreign_entry_opens_no_link() {
    let world = World::start().await;
    let alice = Person::register(&world, ALICE, "phone").await;
    let bob = Person::register(&world, "bob@example.org", "phone").await;
    let ticket = sign_in(&world, ALICE, PASSWORD).await.unwrap();
    let device = Device::new("laptop");
    let newcomer = Newcomer::begin(alice.account, device.entry(alice.account, &world), &mut OsRng);
    let body = Linking::body(&ticket, &newcomer.request(), &device);
    let client = world.client();
    let forged = client.signed(Device::new("mallory").signer(), "POST", "/v1/links", body.clone()).await;
    assert_eq!(forged.problem(), (401, "unauthenticated".to_owned()));
    let elsewhere = Newcomer::begin(bob.account, device.entry(bob.account, &world), &mut OsRng);
    let misplaced = Linking::body(&ticket, &elsewhere.request(), &device);
    let refused = client.signed(device.signer(), "POST", "/v1/links", misplaced).await;
    assert_eq!(refused.problem(), (400, "invalid_entry".to_owned()));
    // Neither used the ticket up.
    client.signed(device.signer(), "POST", "/v1/links", body).await.expect(201);
}

/// LNK-1: five devices may ask at a time; when a link ends there is room again.
#[tokio::test]
async fn open_links_are_bounded() {
    let world = World::start_with(|settings| settings.limits.open_links_per_account = 1).await;
    let alice = Person::register(&world, ALICE, "phone").await;
    let first = Linking::open(&world, &alice, "laptop").await;
    let ticket = sign_in(&world, ALICE, PASSWORD).await.unwrap();
    let device = Device::new("tablet");
    let newcomer = Newcomer::begin(alice.account, device.entry(alice.account, &world), &mut OsRng);
    let body = Linking::body(&ticket, &newcomer.request(), &device);
    let client = world.client();
    let refused = client.signed(device.signer(), "POST", "/v1/links", body.clone()).await;
    assert_eq!(refused.problem(), (409, "too_many_links".to_owned()));
    alice.ask(&world, "POST", &first.path("/reject"), Value::Null).await.expect(204);
    client.signed(device.signer(), "POST", "/v1/links", body).await.expect(201);
}

/// LNK-2: a link takes one challenge, from a device of its account; to others it is not there.
#[tokio::test]
async fn a_link_takes_one_challenge() {
    let world = World::start().await;
    let alice = Person::register(&world, ALICE, "phone").await;
    let bob = Person::register(&world, "bob@example.org", "phone").await;
    let linking = Linking::open(&world, &alice, "laptop").await;
    let path = linking.path("/challenge");
    assert_eq!(bob.ask(&world, "POST", &path, challenge()).await.problem(), (404, "no_such_link".to_owned()));
    let by_itself = world.client().signed(linking.device.signer(), "POST", &path, challenge()).await;
    assert_eq!(by_itself.problem(), (401, "unauthenticated".to_owned()));
    let mut malformed = challenge();
    malformed["ephemeral"] = json!(base64(&[0xff; 32]));
    assert_eq!(alice.ask(&world, "POST", &path, malformed).await.problem(), (400, "malformed_request".to_owned()));
    alice.ask(&world, "POST", &path, challenge()).await.expect(204);
    assert_eq!(alice.ask(&world, "POST", &path, challenge()).await.problem(), (409, "link_state".to_owned()));
}

/// LNK-3: the new device's poll waits, and ends as soon as it was challenged. Its own key is enough.
#[tokio::test]
async fn a_poll_waits_for_the_other_side() {
    let world = World::start().await;
    let alice = Person::register(&world, ALICE, "phone").await;
    let linking = Linking::open(&world, &alice, "laptop").await;
    let begun = Instant::now();
    assert_eq!(linking.look(&world, "?wait_s=1").await.text("state"), "waiting");
    assert!(begun.elapsed() >= StdDuration::from_millis(900));

    let begun = Instant::now();
    let (seen, ()) = tokio::join!(linking.look(&world, "?wait_s=20"), async {
        tokio::time::sleep(StdDuration::from_millis(300)).await;
        alice.ask(&world, "POST", &linking.path("/challenge"), challenge()).await.expect(204);
    });
    assert_eq!(seen.text("state"), "challenged");
    assert_eq!(seen.text("approver_device"), alice.devices[0].id.to_hex());
    assert!(begun.elapsed() < StdDuration::from_secs(10));
}

/// LNK-3: a link is nobody else's business.
#[tokio::test]
async fn a_stranger_sees_no_link() {
    let world = World::start().await;
    let alice = Person::register(&world, ALICE, "phone").await;
    let bob = Person::register(&world, "bob@example.org", "phone").await;
    let linking = Linking::open(&world, &alice, "laptop").await;
    assert_eq!(bob.ask(&world, "GET", &linking.path(""), Value::Null).await.problem().0, 404);
    let stranger = Device::new("stranger");
    let refused = world.client().signed(stranger.signer(), "GET", &linking.path(""), Value::Null).await;
    assert_eq!(refused.problem(), (401, "unauthenticated".to_owned()));
    assert_eq!(world.client().get(&linking.path("")).await.problem().0, 401);
}

/// LNK-4: the new device reveals after a challenge, not before, and only itself.
#[tokio::test]
async fn nothing_is_revealed_before_a_challenge() {
    let world = World::start().await;
    let alice = Person::register(&world, ALICE, "phone").await;
    let linking = Linking::open(&world, &alice, "laptop").await;
    let client = world.client();
    let body = json!({ "nonce": base64(&[9; 32]) });
    let path = linking.path("/reveal");
    let early = client.signed(linking.device.signer(), "POST", &path, body.clone()).await;
    assert_eq!(early.problem(), (409, "link_state".to_owned()));
    alice.ask(&world, "POST", &linking.path("/challenge"), challenge()).await.expect(204);
    assert_eq!(alice.ask(&world, "POST", &path, body.clone()).await.problem(), (409, "link_state".to_owned()));
    client.signed(linking.device.signer(), "POST", &path, body).await.expect(204);
    // LNK-5: the trusted device reads it.
    let seen = alice.ask(&world, "GET", &linking.path(""), Value::Null).await.expect(200);
    assert_eq!((seen.text("state"), seen.text("nonce")), ("revealed".to_owned(), base64(&[9; 32])));
}

/// LNK-7: a rejected link is over for both.
#[tokio::test]
async fn a_rejected_link_is_over() {
    let world = World::start().await;
    let alice = Person::register(&world, ALICE, "phone").await;
    let linking = Linking::open(&world, &alice, "laptop").await;
    alice.ask(&world, "POST", &linking.path("/reject"), Value::Null).await.expect(204);
    assert_eq!(linking.look(&world, "?wait_s=20").await.text("state"), "rejected");
    let late = alice.ask(&world, "POST", &linking.path("/challenge"), challenge()).await;
    assert_eq!(late.problem(), (410, "link_ended".to_owned()));
    let links = alice.ask(&world, "GET", "/v1/links", Value::Null).await.expect(200);
    assert_eq!(links.json(), json!({ "links": [] }));
}

/// LNK-1, LNK-3: after 15 minutes a link has expired.
#[tokio::test]
async fn a_link_lives_15_minutes() {
    let world = World::start().await;
    let alice = Person::register(&world, ALICE, "phone").await;
    let linking = Linking::open(&world, &alice, "laptop").await;
    world.clock.forward(Duration::from_mins(15));
    assert_eq!(linking.look(&world, "").await.text("state"), "expired");
    let late = alice.ask(&world, "POST", &linking.path("/challenge"), challenge()).await;
    assert_eq!(late.problem(), (410, "link_ended".to_owned()));
}

/// LNK-8: completion needs the reveal, the link's own entry, and the version after the current one.
#[tokio::test]
async fn completion_takes_the_entry_of_the_link_alone() {
    use halcyon_server::ports::Clock;
    let world = World::start().await;
    let alice = Person::register(&world, ALICE, "phone").await;
    let linking = Linking::open(&world, &alice, "laptop").await;
    let path = linking.path("/complete");
    let listed = |device: &Device| {
        let entry = device.entry(alice.account, &world);
        alice.list.next().with(entry).sign(&alice.account_key, world.clock.now()).unwrap()
    };
    let body = |list: &halcyon_directory::SignedList| json!({ "device_list": base64(&list.encode()), "sealed": base64(&[1; 50]) });
    let right = listed(&linking.device);
    let early = alice.ask(&world, "POST", &path, body(&right)).await;
    assert_eq!(early.problem(), (409, "link_state".to_owned()));
    alice.ask(&world, "POST", &linking.path("/challenge"), challenge()).await.expect(204);
    let unrevealed = alice.ask(&world, "POST", &path, body(&right)).await;
    assert_eq!(unrevealed.problem(), (409, "link_state".to_owned()));
    let nonce = json!({ "nonce": base64(&[9; 32]) });
    let revealed = world.client().signed(linking.device.signer(), "POST", &linking.path("/reveal"), nonce).await;
    revealed.expect(204);

    let stranger = alice.ask(&world, "POST", &path, body(&listed(&Device::new("mallory")))).await;
    assert_eq!(stranger.problem(), (403, "list_refused".to_owned()));
    let without = alice.list.next().sign(&alice.account_key, world.clock.now()).unwrap();
    assert_eq!(alice.ask(&world, "POST", &path, body(&without)).await.problem(), (403, "list_refused".to_owned()));
    let conflict = alice.ask(&world, "POST", &path, body(&alice.list)).await;
    assert_eq!(conflict.problem(), (409, "list_conflict".to_owned()));
    let nothing = json!({ "device_list": base64(&right.encode()), "sealed": "" });
    assert_eq!(alice.ask(&world, "POST", &path, nothing).await.problem(), (400, "malformed_request".to_owned()));
}
