//! The handles of an account (ACC-50, ACC-52).

use halcyon_directory::alert::AlertEvent;
use halcyon_types::Handle;
use serde_json::{Value, json};

use crate::people::{Person, verify};
use crate::world::World;

/// ACC-52, DIR-40: one of two handles goes, and is free for others then; the last one stays.
#[tokio::test]
async fn a_handle_is_removed_but_not_the_last() {
    let mut world = World::start().await;
    let alice = Person::register(&world, "alice@example.org", "phone").await;
    let last = alice.ask(&world, "DELETE", "/v1/handles/mailto%3Aalice%40example.org", Value::Null).await;
    assert_eq!(last.problem(), (409, "last_handle".to_owned()));

    let begun = alice.ask(&world, "POST", "/v1/handles", json!({ "handle": "al@example.net" })).await.expect(202);
    let code = world.mail("al@example.net", 1).await.code().unwrap();
    let path = format!("/v1/verifications/{}/code", begun.text("verification_id"));
    world.client().post(&path, json!({ "code": code })).await.expect(200);

    alice.ask(&world, "DELETE", "/v1/handles/mailto%3Aalice%40example.org", Value::Null).await.expect(204);
    let account = alice.ask(&world, "GET", "/v1/account", Value::Null).await.expect(200).json();
    assert_eq!(account["handles"].as_array().unwrap().len(), 1);
    // Found no more, and free: the mail has a code again.
    let bob = Person::register(&world, "bob@example.org", "phone").await;
    let found = bob.lookup(&world, &["alice@example.org", "nobody@example.org"]).await.expect(200);
    assert_eq!(found.body.windows(5).filter(|bytes| bytes == b"phone").count(), 0);
    verify(&world, "alice@example.org").await;

    let handle = |text: &str| Handle::parse(text).unwrap();
    let alerts = world.alerts(alice.devices[0].id).await;
    let expected =
        [AlertEvent::HandleAdded(handle("al@example.net")), AlertEvent::HandleRemoved(handle("alice@example.org"))];
    assert_eq!(alerts, expected);
}

/// ACC-52: somebody else's handle is not there for Alice to remove, whether it exists or not.
#[tokio::test]
async fn a_foreign_handle_is_not_removed() {
    let world = World::start().await;
    let alice = Person::register(&world, "alice@example.org", "phone").await;
    let bob = Person::register(&world, "bob@example.org", "phone").await;
    let foreign = alice.ask(&world, "DELETE", "/v1/handles/mailto%3Abob%40example.org", Value::Null).await;
    let nobody = alice.ask(&world, "DELETE", "/v1/handles/mailto%3Anobody%40example.org", Value::Null).await;
    assert_eq!(foreign.problem(), (404, "no_such_handle".to_owned()));
    assert_eq!(foreign.body, nobody.body);
    bob.ask(&world, "GET", "/v1/account", Value::Null).await.expect(200);
}
