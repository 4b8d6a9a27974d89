//! New accounts (ACC-30 to ACC-32).

use halcyon_crypto::SigningKey;
use halcyon_directory::SignedList;
use rand::rngs::OsRng;
use serde_json::{Value, json};

use crate::people::{Device, Person, Registration, base64, from_base64, verify};
use crate::world::World;

const ALICE: &str = "alice@example.org";

/// ACC-31, ACC-32, ACC-50: from a mail address to an account that knows its device.
#[tokio::test]
async fn alice_registers() {
    let world = World::start().await;
    let registration = Registration::prepare(&world, ALICE, "phone").await;
    let answer = registration.send(&world).await.expect(201);
    let alice = registration.person;
    assert_eq!(answer.text("account_id"), alice.account.to_hex());
    assert_eq!(answer.text("push_token").len(), 64);

    let account = alice.ask(&world, "GET", "/v1/account", Value::Null).await.expect(200).json();
    assert_eq!(account["account_id"], alice.account.to_hex());
    assert_eq!(account["handles"][0]["handle"], "mailto:alice@example.org");
    assert_eq!(account["list_version"], 1);
    let list = SignedList::decode(from_base64(account["device_list"].as_str().unwrap()).into()).unwrap();
    assert_eq!(list, alice.list);
}

/// ACC-31: a password can be set only for a verified handle.
#[tokio::test]
async fn an_unverified_handle_registers_nobody() {
    let world = World::start().await;
    let begun = world.client().post("/v1/verifications", json!({ "handle": ALICE })).await.expect(202);
    let body = json!({
        "verification_id": begun.text("verification_id"), "account_id": "00".repeat(16), "request": base64(&[0; 32])
    });
    let refused = world.client().post("/v1/registrations/start", body).await;
    assert_eq!(refused.problem(), (403, "not_verified".to_owned()));
}

/// ACC-32: the verification is used up by the account; a second one does not follow from it.
#[tokio::test]
async fn a_verification_makes_one_account() {
    let world = World::start().await;
    let registration = Registration::prepare(&world, ALICE, "phone").await;
    let verification = registration.verification.clone();
    let again = Registration::with_verification(&world, ALICE, "laptop", verification).await;
    registration.send(&world).await.expect(201);
    assert_eq!(again.send(&world).await.problem(), (403, "not_verified".to_owned()));
}

/// ACC-32: two people verified one address; the second finds it taken.
#[tokio::test]
async fn the_slower_of_two_finds_the_handle_taken() {
    let world = World::start().await;
    let first = Registration::prepare(&world, ALICE, "phone").await;
    let second = Registration::prepare(&world, ALICE, "laptop").await;
    first.send(&world).await.expect(201);
    assert_eq!(second.send(&world).await.problem(), (409, "handle_taken".to_owned()));
}

/// ACC-32: an account exists once, whatever handle is verified for it.
#[tokio::test]
async fn an_account_exists_once() {
    let world = World::start().await;
    let alice = Registration::prepare(&world, ALICE, "phone").await;
    alice.send(&world).await.expect(201);
    let verification = verify(&world, "other@example.org").await;
    let again = Registration { verification, upload: alice.upload, person: alice.person };
    assert_eq!(again.send(&world).await.problem(), (409, "account_exists".to_owned()));
}

/// ACC-32: Mallory copied Alice's list, and cannot register with it: the request is not signed by the device in it.
#[tokio::test]
async fn a_list_without_its_device_registers_nobody() {
    let world = World::start().await;
    let alice = Registration::prepare(&world, ALICE, "phone").await;
    let mallory = Device::new("mallory");
    let client = world.client();
    let forged = client.signed(mallory.signer(), "POST", "/v1/registrations/finish", alice.body()).await;
    assert_eq!(forged.problem(), (401, "unauthenticated".to_owned()));
    let unsigned = client.post("/v1/registrations/finish", alice.body()).await;
    assert_eq!(unsigned.problem(), (401, "unauthenticated".to_owned()));
    // What was refused used nothing up.
    alice.send(&world).await.expect(201);
}

/// ACC-32, DIR-3: the first list has version 1 and one device, and is valid.
#[tokio::test]
async fn another_list_is_no_first_list() {
    let world = World::start().await;
    let mut registration = Registration::prepare(&world, ALICE, "phone").await;
    let person = &mut registration.person;
    let first = person.list.clone();
    person.list = first.next().sign(&person.account_key, first.list().issued()).unwrap();
    assert_eq!(registration.send(&world).await.problem(), (400, "invalid_list".to_owned()));
    let mut body = registration.body();
    body["device_list"] = json!(base64(b"no list"));
    let signer = registration.person.devices[0].signer();
    let garbage = world.client().signed(signer, "POST", "/v1/registrations/finish", body).await;
    assert_eq!(garbage.problem(), (400, "invalid_list".to_owned()));
}

/// DIR-10: prekeys that another key signed are refused at registration too.
#[tokio::test]
async fn foreign_prekeys_are_refused() {
    let world = World::start().await;
    let registration = Registration::prepare(&world, ALICE, "phone").await;
    let mut body = registration.body();
    body["prekeys"] = Device::new("other").prekeys_json();
    let signer = registration.person.devices[0].signer();
    let refused = world.client().signed(signer, "POST", "/v1/registrations/finish", body).await;
    assert_eq!(refused.problem(), (400, "invalid_prekeys".to_owned()));
}

/// ACC-30: what is not OPAQUE's message is refused, and panics nobody.
#[tokio::test]
async fn malformed_password_messages_are_refused() {
    let world = World::start().await;
    let verification = verify(&world, ALICE).await;
    for request in [vec![], vec![0xff; 32], vec![1; 5000]] {
        let body = json!({
            "verification_id": verification, "account_id": "00".repeat(16), "request": base64(&request)
        });
        let refused = world.client().post("/v1/registrations/start", body).await;
        assert_eq!(refused.problem(), (400, "malformed_password_message".to_owned()));
    }
    let mut registration = Registration::with_verification(&world, ALICE, "phone", verification).await;
    registration.upload.truncate(10);
    assert_eq!(registration.send(&world).await.problem(), (400, "malformed_password_message".to_owned()));
}

/// ACC-32, I10: what was answered with 201 is there after a restart.
#[tokio::test]
async fn an_account_survives_a_restart() {
    let mut world = World::start().await;
    let alice = Person::register(&world, ALICE, "phone").await;
    world.restart().await;
    alice.ask(&world, "GET", "/v1/account", Value::Null).await.expect(200);
    let other = SigningKey::generate_compact(&mut OsRng);
    assert_ne!(other.verifying_key(), alice.account_key.verifying_key());
    assert!(crate::people::sign_in(&world, ALICE, crate::people::PASSWORD).await.is_ok());
}
