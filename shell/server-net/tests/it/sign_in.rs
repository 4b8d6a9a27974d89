//! Sign-in with handle and password (ACC-40, ACC-41).

use halcyon_crypto::opaque::ClientLogin;
use halcyon_types::Duration;
use rand::rngs::OsRng;
use serde_json::json;

use crate::http::Answer;
use crate::people::{PARAMS, PASSWORD, Person, base64, from_base64, sign_in};
use crate::world::World;

const ALICE: &str = "alice@example.org";

fn members(answer: &Answer) -> Vec<(String, usize)> {
    let object = answer.json();
    object.as_object().unwrap().iter().map(|(name, value)| (name.clone(), value.as_str().map_or(0, str::len))).collect()
}

/// ACC-41: the right password gives a ticket, which is not the account.
#[tokio::test]
async fn the_right_password_gives_a_ticket() {
    let world = World::start().await;
    Person::register(&world, ALICE, "phone").await;
    let ticket = sign_in(&world, ALICE, PASSWORD).await.unwrap();
    assert_eq!(from_base64(&ticket).len(), 32);
}

/// ACC-40, ACC-41: neither step tells a wrong password from a handle that nobody has.
#[tokio::test]
async fn an_unknown_handle_looks_like_a_wrong_password() {
    let world = World::start().await;
    Person::register(&world, ALICE, "phone").await;
    let (_, ke1) = ClientLogin::start(&mut OsRng, b"guess").unwrap();
    let start = |handle: &str| json!({ "handle": handle, "ke1": base64(&ke1) });
    let client = world.client();
    let known = client.post("/v1/sign-ins/start", start(ALICE)).await.expect(200);
    let unknown = client.post("/v1/sign-ins/start", start("nobody@example.org")).await.expect(200);
    assert_eq!(members(&known), members(&unknown));
    let finish = |id: String| json!({ "sign_in_id": id, "ke3": base64(&[7; 64]) });
    let wrong = client.post("/v1/sign-ins/finish", finish(known.text("sign_in_id"))).await;
    let nobody = client.post("/v1/sign-ins/finish", finish(unknown.text("sign_in_id"))).await;
    assert_eq!(wrong.problem(), (403, "sign_in_failed".to_owned()));
    assert_eq!(wrong.body, nobody.body);
}

/// ACC-40: the part of the answer that depends on the handle is the same each time, for a handle that somebody has and
/// for one that nobody has, also after a restart. Otherwise asking twice would tell them apart.
#[tokio::test]
async fn answers_are_stable() {
    let mut world = World::start().await;
    Person::register(&world, ALICE, "phone").await;
    let (_, ke1) = ClientLogin::start(&mut OsRng, b"guess").unwrap();
    let mut evaluated = Vec::new();
    for _ in 0..2 {
        for handle in [ALICE, "nobody@example.org", "another@example.org"] {
            let body = json!({ "handle": handle, "ke1": base64(&ke1) });
            let answer = world.client().post("/v1/sign-ins/start", body).await.expect(200);
            // RFC 9807: the evaluated element comes first; what follows is fresh each time for everybody.
            evaluated.push(from_base64(&answer.text("ke2"))[..32].to_vec());
        }
        world.restart().await;
    }
    assert_eq!(evaluated[..3], evaluated[3..]);
    assert_ne!(evaluated[1], evaluated[2]);
}

/// ACC-41: a sign-in is good for one try.
#[tokio::test]
async fn a_sign_in_is_used_once() {
    let world = World::start().await;
    Person::register(&world, ALICE, "phone").await;
    let client = world.client();
    let (login, ke1) = ClientLogin::start(&mut OsRng, PASSWORD).unwrap();
    let started = client.post("/v1/sign-ins/start", json!({ "handle": ALICE, "ke1": base64(&ke1) })).await.expect(200);
    let ke3 = login.finish(&mut OsRng, &from_base64(&started.text("ke2")), PARAMS).unwrap().finalization;
    let finish = json!({ "sign_in_id": started.text("sign_in_id"), "ke3": base64(&ke3) });
    client.post("/v1/sign-ins/finish", finish.clone()).await.expect(200);
    assert_eq!(client.post("/v1/sign-ins/finish", finish).await.problem(), (403, "sign_in_failed".to_owned()));
}

/// ACC-41: after two minutes a sign-in is over, whatever is proven then.
#[tokio::test]
async fn a_sign_in_lives_two_minutes() {
    let world = World::start().await;
    Person::register(&world, ALICE, "phone").await;
    let client = world.client();
    let (login, ke1) = ClientLogin::start(&mut OsRng, PASSWORD).unwrap();
    let started = client.post("/v1/sign-ins/start", json!({ "handle": ALICE, "ke1": base64(&ke1) })).await.expect(200);
    let ke3 = login.finish(&mut OsRng, &from_base64(&started.text("ke2")), PARAMS).unwrap().finalization;
    world.clock.forward(Duration::from_mins(2));
    let finish = json!({ "sign_in_id": started.text("sign_in_id"), "ke3": base64(&ke3) });
    assert_eq!(client.post("/v1/sign-ins/finish", finish).await.problem(), (403, "sign_in_failed".to_owned()));
}

/// ACC-4: ten tries an hour at one handle's password, whether somebody has the handle or not, also over a restart.
#[tokio::test]
async fn guessing_is_limited() {
    let mut world = World::start().await;
    Person::register(&world, ALICE, "phone").await;
    for handle in [ALICE, "nobody@example.org"] {
        for _ in 0..10 {
            assert_eq!(sign_in(&world, handle, b"guess").await.unwrap_err().problem().0, 403);
        }
    }
    world.restart().await;
    for handle in [ALICE, "nobody@example.org"] {
        let limited = sign_in(&world, handle, PASSWORD).await.unwrap_err();
        assert_eq!(limited.problem(), (429, "sign_in_limit".to_owned()));
    }
    world.clock.forward(Duration::from_mins(6));
    assert!(sign_in(&world, ALICE, PASSWORD).await.is_ok());
}

/// ACC-40: what is not OPAQUE's message is refused, for known and unknown alike.
#[tokio::test]
async fn malformed_messages_are_refused() {
    let world = World::start().await;
    Person::register(&world, ALICE, "phone").await;
    for handle in [ALICE, "nobody@example.org"] {
        let body = json!({ "handle": handle, "ke1": base64(&[0xff; 96]) });
        let refused = world.client().post("/v1/sign-ins/start", body).await;
        assert_eq!(refused.problem(), (400, "malformed_password_message".to_owned()));
    }
}
