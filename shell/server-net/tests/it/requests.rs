//! Authenticated requests (ACC-1 to ACC-3).

use bytes::Bytes;
use halcyon_types::Duration;
use serde_json::{Value, json};

use crate::people::{Device, Person};
use crate::world::World;

const ALICE: &str = "alice@example.org";

/// ACC-2: a request that was recorded is good once, also after a restart if it changes something.
#[tokio::test]
async fn a_replayed_request_is_refused() {
    let mut world = World::start().await;
    let alice = Person::register(&world, ALICE, "phone").await;
    let client = world.client();
    let read = client.sign(client.request("GET", "/v1/account", "application/json", Bytes::new()), alice.first());
    client.send(read.clone()).await.expect(200);
    assert_eq!(client.send(read).await.problem(), (401, "replayed".to_owned()));

    let body = json!({ "handle": "al@example.net" }).to_string();
    let change = client.sign(client.request("POST", "/v1/handles", "application/json", body), alice.first());
    client.send(change.clone()).await.expect(202);
    assert_eq!(client.send(change.clone()).await.problem(), (401, "replayed".to_owned()));
    world.restart().await;
    assert_eq!(world.client().send(change).await.problem(), (401, "replayed".to_owned()));
}

/// ACC-2: a clock that is off is told the time; five minutes are allowed.
#[tokio::test]
async fn clock_skew_is_refused_with_the_time() {
    let world = World::start().await;
    let alice = Person::register(&world, ALICE, "phone").await;
    let client = world.client();
    let sign = || client.sign(client.request("GET", "/v1/account", "application/json", Bytes::new()), alice.first());
    let (early, edge) = (sign(), sign());
    world.clock.forward(Duration::from_mins(5));
    client.send(edge).await.expect(200);
    world.clock.forward(Duration::from_millis(1));
    let refused = client.send(early).await;
    assert_eq!(refused.problem(), (401, "clock_skew".to_owned()));
    use halcyon_server::ports::Clock;
    assert_eq!(refused.json()["server_time_ms"], world.clock.now().as_millis());
}

/// ACC-2: a request made for another server is not good here.
#[tokio::test]
async fn a_foreign_audience_is_refused() {
    let world = World::start().await;
    let alice = Person::register(&world, ALICE, "phone").await;
    let mut client = world.client();
    client.audience = "mallory.example".to_owned();
    let refused = client.signed(alice.first(), "GET", "/v1/account", Value::Null).await;
    assert_eq!(refused.problem(), (401, "wrong_audience".to_owned()));
}

/// ACC-2: an unknown device and a wrong signature get the same answer, byte for byte; so do missing headers.
#[tokio::test]
async fn strangers_and_forgers_look_alike() {
    let world = World::start().await;
    let alice = Person::register(&world, ALICE, "phone").await;
    let client = world.client();
    let stranger = Device::new("stranger");
    let unknown = client.signed(stranger.signer(), "GET", "/v1/account", Value::Null).await;
    let forger = crate::http::Signer { device: alice.devices[0].id, key: &stranger.key };
    let forged = client.signed(forger, "GET", "/v1/account", Value::Null).await;
    let bare = client.get("/v1/account").await;
    assert_eq!(unknown.problem(), (401, "unauthenticated".to_owned()));
    assert_eq!(unknown.body, forged.body);
    assert_eq!(unknown.body, bare.body);
}

/// ACC-1: method, path, query and body are what was signed.
#[tokio::test]
async fn what_was_signed_is_what_counts() {
    let world = World::start().await;
    let alice = Person::register(&world, ALICE, "phone").await;
    let client = world.client();
    let body = json!({ "handle": "al@example.net" }).to_string();
    let signed = || client.sign(client.request("POST", "/v1/handles", "application/json", body.clone()), alice.first());

    let mut other_body = signed();
    *other_body.body_mut() = json!({ "handle": "mallory@example.net" }).to_string().into();
    let mut other_query = signed();
    *other_query.uri_mut() = "/v1/handles?x=1".parse().unwrap();
    for altered in [other_body, other_query] {
        assert_eq!(client.send(altered).await.problem(), (401, "unauthenticated".to_owned()));
    }
    client.send(signed()).await.expect(202);
}

/// ACC-3: a body of more than 64 KiB is refused, and what is not there is said to be not there.
#[tokio::test]
async fn bounds_and_missing_endpoints_are_problems() {
    let world = World::start().await;
    let client = world.client();
    let large = client.request("POST", "/v1/verifications", "application/json", vec![b' '; 64 * 1024 + 1]);
    assert_eq!(client.send(large).await.problem(), (413, "too_large".to_owned()));
    let fits = client.request("POST", "/v1/verifications", "application/json", vec![b' '; 64 * 1024]);
    assert_eq!(client.send(fits).await.problem(), (400, "malformed_request".to_owned()));
    assert_eq!(client.get("/v1/nothing").await.problem(), (404, "not_found".to_owned()));
    assert_eq!(client.get("/v1/lookup").await.problem(), (405, "wrong_method".to_owned()));
}

/// ACC-3: a path or a query that says nothing is refused as every other mistake is, and after the question who asks.
#[tokio::test]
async fn nonsense_in_path_and_query_is_a_problem_too() {
    let world = World::start().await;
    let alice = Person::register(&world, ALICE, "phone").await;
    let client = world.client();
    let asked = async |path: &str| client.signed(alice.first(), "GET", path, Value::Null).await.problem();
    assert_eq!(asked("/v1/links/%f0").await, (400, "malformed_request".to_owned()));
    let nobody = "/v1/links/00000000000000000000000000000000?wait_s=soon";
    assert_eq!(asked(nobody).await, (404, "no_such_link".to_owned()));
    assert_eq!(client.get("/v1/verifications/%ff").await.problem().0, 400);
    let removed = client.request("DELETE", "/v1/handles/%f0", "application/json", Bytes::new());
    assert_eq!(client.send(removed).await.problem().0, 401);
}
