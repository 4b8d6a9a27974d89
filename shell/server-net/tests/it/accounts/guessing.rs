//! Guessing codes, passwords and links, over restarts of the server on the same folder (ACC-4, ACC-21, ACC-41, LNK-2, LNK-7).

use halcyon_types::Duration;
use rand::rngs::OsRng;
use serde_json::{Value, json};

use crate::http::Answer;
use crate::people::{Linking, PARAMS, PASSWORD, Person, base64, from_base64, sign_in};
use crate::world::World;

const ALICE: &str = "alice@example.org";

fn wrong(code: &str, by: u32) -> String {
    format!("{:06}", (code.parse::<u32>().unwrap() + by) % 1_000_000)
}

async fn begin(world: &World, handle: &str) -> Answer {
    world.client().post("/v1/verifications", json!({ "handle": handle })).await
}

/// ACC-21: tries that were used stay used when the server starts again, and so does their end.
#[tokio::test]
async fn tries_at_a_code_survive_a_restart() {
    let mut world = World::start().await;
    let path = format!("/v1/verifications/{}/code", begin(&world, ALICE).await.expect(202).text("verification_id"));
    let code = world.mail(ALICE, 1).await.code().unwrap();
    for (by, left) in [(1, 4), (2, 3), (3, 2), (4, 1)] {
        let answer = world.client().post(&path, json!({ "code": wrong(&code, by) })).await;
        assert_eq!((answer.problem().0, answer.json()["tries_left"].as_u64()), (403, Some(left)));
        world.restart().await;
    }
    let ended = (410, "verification_ended".to_owned());
    assert_eq!(world.client().post(&path, json!({ "code": wrong(&code, 5) })).await.problem(), ended);
    world.restart().await;
    assert_eq!(world.client().post(&path, json!({ "code": code })).await.problem(), ended, "the right one, too late");
}

/// ACC-21: the 15 minutes go on while the server is down.
#[tokio::test]
async fn a_code_does_not_outlive_its_time_over_a_restart() {
    let mut world = World::start().await;
    let path = format!("/v1/verifications/{}/code", begin(&world, ALICE).await.expect(202).text("verification_id"));
    let code = world.mail(ALICE, 1).await.code().unwrap();
    world.stop().await;
    world.clock.forward(Duration::from_mins(15));
    world.open().await.unwrap();
    let late = world.client().post(&path, json!({ "code": code })).await;
    assert_eq!(late.problem(), (410, "verification_ended".to_owned()));
}

/// ACC-4, ACC-21: all that can be guessed at one handle in an hour, with as many restarts as one likes: five codes, five
/// tries each. It is one chance in 40,000.
#[tokio::test]
async fn an_hour_gives_25_guesses_at_a_handle() {
    let mut world = World::start().await;
    let (mut tries, mut refused) = (0, 0);
    for round in 0..8 {
        let begun = begin(&world, ALICE).await;
        if begun.status != 202 {
            assert_eq!(begun.problem(), (429, "verification_limit".to_owned()));
            refused += 1;
            world.restart().await;
            continue;
        }
        let path = format!("/v1/verifications/{}/code", begun.text("verification_id"));
        let code = world.mail(ALICE, round + 1).await.code().unwrap();
        loop {
            let answer = world.client().post(&path, json!({ "code": wrong(&code, 1) })).await;
            tries += 1;
            if answer.status == 410 {
                break;
            }
        }
        world.restart().await;
    }
    assert_eq!((tries, refused), (25, 3));
}

/// ACC-4, ACC-41: ten guesses an hour at a password, whether the server starts again after each of them or not. An answer
/// that was started and never finished is a guess, too: who has the server's half can test passwords on it alone.
#[tokio::test]
async fn guesses_at_a_password_survive_restarts() {
    let mut world = World::start().await;
    Person::register(&world, ALICE, "phone").await;
    let mut guesses = 0;
    for round in 0..14 {
        let (_, ke1) = halcyon_crypto::opaque::ClientLogin::start(&mut OsRng, b"guess").unwrap();
        let body = json!({ "handle": ALICE, "ke1": base64(&ke1) });
        let started = world.client().post("/v1/sign-ins/start", body).await;
        if started.status == 200 {
            guesses += 1;
            if round % 2 == 0 {
                let finish = json!({ "sign_in_id": started.text("sign_in_id"), "ke3": base64(&[7; 64]) });
                let refused = world.client().post("/v1/sign-ins/finish", finish).await;
                assert_eq!(refused.problem(), (403, "sign_in_failed".to_owned()));
            }
        } else {
            assert_eq!(started.problem(), (429, "sign_in_limit".to_owned()));
        }
        world.restart().await;
    }
    assert_eq!(guesses, 10);
    world.clock.forward(Duration::from_mins(6));
    assert!(sign_in(&world, ALICE, PASSWORD).await.is_ok(), "who knows the password waits six minutes");
}

/// ACC-4: the limit of a source address survives a restart, for codes and for passwords.
#[tokio::test]
async fn limits_of_an_address_survive_a_restart() {
    let mut world = World::start_with(|settings| {
        settings.limits.limit_loopback = true;
        settings.limits.verifications_per_address_hour = 2;
        settings.limits.sign_ins_per_address_hour = 2;
    })
    .await;
    for n in 0..2 {
        begin(&world, &format!("a{n}@example.org")).await.expect(202);
        assert_eq!(sign_in(&world, &format!("a{n}@example.org"), b"guess").await.unwrap_err().problem().0, 403);
        world.restart().await;
    }
    assert_eq!(begin(&world, "b@example.org").await.problem(), (429, "verification_limit".to_owned()));
    let limited = sign_in(&world, "b@example.org", b"guess").await.unwrap_err();
    assert_eq!(limited.problem(), (429, "sign_in_limit".to_owned()));
}

/// ACC-41: a sign-in and a ticket are good once, and a restart does not make either good again.
#[tokio::test]
async fn a_used_sign_in_stays_used_over_a_restart() {
    let mut world = World::start().await;
    Person::register(&world, ALICE, "phone").await;
    let (login, ke1) = halcyon_crypto::opaque::ClientLogin::start(&mut OsRng, PASSWORD).unwrap();
    let start = json!({ "handle": ALICE, "ke1": base64(&ke1) });
    let started = world.client().post("/v1/sign-ins/start", start).await.expect(200);
    let ke3 = login.finish(&mut OsRng, &from_base64(&started.text("ke2")), PARAMS).unwrap().finalization;
    let finish = json!({ "sign_in_id": started.text("sign_in_id"), "ke3": base64(&ke3) });
    world.client().post("/v1/sign-ins/finish", finish.clone()).await.expect(200);
    world.restart().await;
    let again = world.client().post("/v1/sign-ins/finish", finish).await;
    assert_eq!(again.problem(), (403, "sign_in_failed".to_owned()));
}

/// LNK-2, LNK-7: a link has one challenge, and so one set of digits, whatever restarts come between; one that was ended by
/// wrong digits stays ended.
#[tokio::test]
async fn a_link_gives_one_set_of_digits_over_restarts() {
    let mut world = World::start().await;
    let alice = Person::register(&world, ALICE, "phone").await;
    let linking = Linking::open(&world, &alice, "laptop").await;
    let challenge = || {
        let key = halcyon_crypto::AgreementKey::generate(&mut OsRng);
        json!({ "ephemeral": base64(key.compact().as_bytes()), "nonce": base64(&[3; 32]) })
    };
    alice.ask(&world, "POST", &linking.path("/challenge"), challenge()).await.expect(204);
    world.restart().await;
    let second = alice.ask(&world, "POST", &linking.path("/challenge"), challenge()).await;
    assert_eq!(second.problem(), (409, "link_state".to_owned()));
    let reveal = |nonce: u8| json!({ "nonce": base64(&[nonce; 32]) });
    let newcomer = linking.device.signer();
    world.client().signed(newcomer, "POST", &linking.path("/reveal"), reveal(1)).await.expect(204);
    world.restart().await;
    let other = world.client().signed(newcomer, "POST", &linking.path("/reveal"), reveal(2)).await;
    assert_eq!(other.problem(), (409, "link_state".to_owned()), "no second nonce, and so no other digits");
    // The person typed wrong digits three times.
    alice.ask(&world, "POST", &linking.path("/reject"), Value::Null).await.expect(204);
    world.restart().await;
    let late = alice.ask(&world, "POST", &linking.path("/challenge"), challenge()).await;
    assert_eq!(late.problem(), (410, "link_ended".to_owned()));
    assert_eq!(linking.look(&world, "").await.text("state"), "rejected");
}

/// LNK-1, ACC-4: all the digits that somebody with the password can have compared in an hour: each link costs a sign-in, of
/// which there are ten, and three tries. Restarts add none.
#[tokio::test]
async fn an_hour_gives_ten_links_to_who_has_the_password() {
    let mut world = World::start().await;
    let alice = Person::register(&world, ALICE, "phone").await;
    let mut links = 0;
    for _ in 0..13 {
        let Ok(ticket) = sign_in(&world, ALICE, PASSWORD).await else {
            world.restart().await;
            continue;
        };
        let device = crate::people::Device::new("laptop");
        let entry = device.entry(alice.account, &world);
        let newcomer = halcyon_directory::link_approval::newcomer::Newcomer::begin(alice.account, entry, &mut OsRng);
        let body = Linking::body(&ticket, &newcomer.request(), &device);
        let opened = world.client().signed(device.signer(), "POST", "/v1/links", body).await.expect(201);
        links += 1;
        let reject = format!("/v1/links/{}/reject", opened.text("link_id"));
        alice.ask(&world, "POST", &reject, Value::Null).await.expect(204);
        world.restart().await;
    }
    assert_eq!(links, 10);
}
