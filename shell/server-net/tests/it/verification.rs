//! Verification of handles (ACC-20 to ACC-24).

use halcyon_directory::alert::AlertEvent;
use halcyon_types::{Duration, Handle};
use serde_json::json;

use crate::people::{Person, verify};
use crate::world::World;

const ALICE: &str = "alice@example.org";

/// ACC-20, ACC-21, ACC-23: Alice asks, reads her mail, types the code. While she does, her client waits.
#[tokio::test]
async fn a_code_from_the_mail_verifies() {
    let mut world = World::start().await;
    let client = world.client();
    let begun = client.post("/v1/verifications", json!({ "handle": "Alice@Example.org" })).await.expect(202);
    let path = format!("/v1/verifications/{}", begun.text("verification_id"));
    assert_eq!(client.get(&path).await.expect(200).json(), json!({ "verified": false }));

    let code = world.mail(ALICE, 1).await.code().unwrap();
    let verified = client.post(&format!("{path}/code"), json!({ "code": code })).await.expect(200);
    assert_eq!(verified.json(), json!({ "verified": true }));
    assert_eq!(client.get(&path).await.expect(200).json(), json!({ "verified": true }));
    // Once: the same code again ends in the same way as any other.
    let again = client.post(&format!("{path}/code"), json!({ "code": code })).await;
    assert_eq!(again.problem(), (410, "verification_ended".to_owned()));
    world.stop().await;
}

/// ACC-21: five wrong codes end it; the right one comes too late then.
#[tokio::test]
async fn five_wrong_codes_end_a_verification() {
    let world = World::start().await;
    let client = world.client();
    let begun = client.post("/v1/verifications", json!({ "handle": ALICE })).await.expect(202);
    let path = format!("/v1/verifications/{}/code", begun.text("verification_id"));
    let code = world.mail(ALICE, 1).await.code().unwrap();
    let wrong = format!("{:06}", (code.parse::<u32>().unwrap() + 1) % 1_000_000);
    for tries_left in (1..5).rev() {
        let answer = client.post(&path, json!({ "code": wrong })).await;
        assert_eq!(answer.problem(), (403, "wrong_code".to_owned()));
        assert_eq!(answer.json()["tries_left"], tries_left);
    }
    let ended = (410, "verification_ended".to_owned());
    assert_eq!(client.post(&path, json!({ "code": wrong })).await.problem(), ended);
    assert_eq!(client.post(&path, json!({ "code": code })).await.problem(), ended);
}

/// ACC-21: tries at the same time are counted one after the other.
#[tokio::test]
async fn parallel_guesses_share_the_five_tries() {
    let world = World::start().await;
    let client = world.client();
    let begun = client.post("/v1/verifications", json!({ "handle": ALICE })).await.expect(202);
    let path = format!("/v1/verifications/{}/code", begun.text("verification_id"));
    let guesses = (0..20).map(|_| client.post(&path, json!({ "code": "not it" })));
    let answers = futures_util::future::join_all(guesses).await;
    let wrong = answers.iter().filter(|answer| answer.status == 403).count();
    assert_eq!((wrong, answers.len()), (4, 20));
}

/// ACC-21: after 15 minutes a code is worth nothing.
#[tokio::test]
async fn a_code_lives_15_minutes() {
    let world = World::start().await;
    let client = world.client();
    let begun = client.post("/v1/verifications", json!({ "handle": ALICE })).await.expect(202);
    let path = format!("/v1/verifications/{}", begun.text("verification_id"));
    let code = world.mail(ALICE, 1).await.code().unwrap();
    world.clock.forward(Duration::from_mins(15));
    let late = client.post(&format!("{path}/code"), json!({ "code": code })).await;
    assert_eq!(late.problem(), (410, "verification_ended".to_owned()));
    assert_eq!(client.get(&path).await.problem(), (410, "verification_ended".to_owned()));
}

/// ACC-22: a mail scanner that follows the link changes nothing; Alice's button does, once.
#[tokio::test]
async fn a_link_verifies_by_its_button_alone() {
    let world = World::start().await;
    let client = world.client();
    let begun = client.post("/v1/verifications", json!({ "handle": ALICE })).await.expect(202);
    let path = format!("/v1/verifications/{}", begun.text("verification_id"));
    let link = world.mail(ALICE, 1).await.link().unwrap();
    for _ in 0..3 {
        let page = client.get(&link).await.expect(200);
        assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("form-action 'self'"), "{policy}");
        let html = String::from_utf8(page.body.to_vec()).unwrap();
        assert!(html.contains("<form method=\"post\">") && !html.contains("<script"), "{html}");
    }
    assert_eq!(client.get(&path).await.json(), json!({ "verified": false }));
    client.post(&link, json!(null)).await.expect(200);
    assert_eq!(client.get(&path).await.json(), json!({ "verified": true }));
    client.post(&link, json!(null)).await.expect(410);
    client.get(&link).await.expect(410);
    client.get("/verify/00").await.expect(410);
    client.post(&format!("/verify/{}", "0".repeat(64)), json!(null)).await.expect(410);
}

/// ACC-20: Mallory cannot tell from the answer whether Alice has an account; Alice's mail tells her that somebody tried.
#[tokio::test]
async fn a_taken_handle_looks_like_a_free_one() {
    let world = World::start().await;
    let client = world.client();
    Person::register(&world, ALICE, "phone").await;
    let taken = client.post("/v1/verifications", json!({ "handle": ALICE })).await.expect(202);
    let free = client.post("/v1/verifications", json!({ "handle": "nobody@example.org" })).await.expect(202);
    assert_eq!(taken.body.len(), free.body.len());
    let members = |answer: &crate::http::Answer| answer.json().as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(members(&taken), members(&free));
    let mail = world.mail(ALICE, 2).await;
    assert!(mail.text().contains("halcyon link") && mail.code().is_none() && mail.link().is_none(), "{}", mail.text());
    // And guessing goes as with any other: wrong, four left.
    let path = format!("/v1/verifications/{}/code", taken.text("verification_id"));
    assert_eq!(client.post(&path, json!({ "code": "000000" })).await.json()["tries_left"], 4);
}

/// ACC-20, IDN-4: phone numbers wait for an SMS gateway, and what is no handle is said to be none.
#[tokio::test]
async fn other_handles_are_refused() {
    let world = World::start().await;
    let client = world.client();
    let phone = client.post("/v1/verifications", json!({ "handle": "tel:+491701234567" })).await;
    assert_eq!(phone.problem(), (422, "handle_kind_unsupported".to_owned()));
    let neither = client.post("/v1/verifications", json!({ "handle": "alice" })).await;
    assert_eq!(neither.problem(), (400, "malformed_handle".to_owned()));
    let nothing = client.post("/v1/verifications", json!({ "hande": "alice" })).await;
    assert_eq!(nothing.problem(), (400, "malformed_request".to_owned()));
}

/// ACC-4: a sixth mail to one address within the hour is not sent, also not after a restart.
#[tokio::test]
async fn an_address_gets_five_mails_an_hour() {
    let mut world = World::start().await;
    for _ in 0..5 {
        world.client().post("/v1/verifications", json!({ "handle": ALICE })).await.expect(202);
    }
    world.restart().await;
    let refused = world.client().post("/v1/verifications", json!({ "handle": ALICE })).await;
    assert_eq!(refused.problem(), (429, "verification_limit".to_owned()));
    let wait = refused.json()["retry_after_s"].as_u64().unwrap();
    assert_eq!(refused.headers["retry-after"], wait.to_string());
    assert!((700..=720).contains(&wait), "one of five an hour comes back in 12 minutes: {wait}");
    world.client().post("/v1/verifications", json!({ "handle": "bob@example.org" })).await.expect(202);
    world.clock.forward(Duration::from_secs(wait));
    world.client().post("/v1/verifications", json!({ "handle": ALICE })).await.expect(202);
}

/// ACC-4: one source address asks for 30 verifications an hour.
#[tokio::test]
async fn a_source_address_is_limited() {
    let world = World::start_with(|settings| {
        settings.limits.limit_loopback = true;
        settings.limits.verifications_per_address_hour = 2;
        settings.limits.sign_ins_per_address_hour = 1;
    })
    .await;
    let client = world.client();
    let ask = |name: &str| client.post("/v1/verifications", json!({ "handle": format!("{name}@example.org") }));
    ask("a").await.expect(202);
    ask("b").await.expect(202);
    assert_eq!(ask("c").await.problem(), (429, "verification_limit".to_owned()));
    assert!(crate::people::sign_in(&world, "a@example.org", b"guess").await.unwrap_err().problem().0 == 403);
    let limited = crate::people::sign_in(&world, "b@example.org", b"guess").await.unwrap_err();
    assert_eq!(limited.problem(), (429, "sign_in_limit".to_owned()));
}

/// ACC-51, DIR-40: a second handle joins when it is verified, by link too, and every device hears of it.
#[tokio::test]
async fn a_further_handle_joins_and_is_announced() {
    let mut world = World::start().await;
    let alice = Person::register(&world, ALICE, "phone").await;
    world.clock.forward(Duration::from_secs(1));
    let begun = alice.ask(&world, "POST", "/v1/handles", json!({ "handle": "al@example.net" })).await.expect(202);
    assert_eq!(begun.json().as_object().unwrap().len(), 2);
    let link = world.mail("al@example.net", 1).await.link().unwrap();
    world.client().post(&link, json!(null)).await.expect(200);
    let account = alice.ask(&world, "GET", "/v1/account", json!(null)).await.expect(200).json();
    let handles: Vec<_> = account["handles"].as_array().unwrap().iter().map(|one| one["handle"].clone()).collect();
    assert_eq!(handles, ["mailto:alice@example.org", "mailto:al@example.net"]);
    // Again: she has it.
    let again = alice.ask(&world, "POST", "/v1/handles", json!({ "handle": "al@example.net" })).await;
    assert_eq!(again.problem(), (409, "handle_taken".to_owned()));
    // A verification for a further handle registers nobody.
    let id = begun.text("verification_id");
    let body = json!({ "verification_id": id, "account_id": "00".repeat(16), "request": "" });
    let refused = world.client().post("/v1/registrations/start", body).await;
    assert_eq!(refused.problem(), (403, "not_verified".to_owned()));
    let alerts = world.alerts(alice.devices[0].id).await;
    assert_eq!(alerts, [AlertEvent::HandleAdded(Handle::parse("al@example.net").unwrap())]);
}

/// ACC-51: who is slower finds the handle taken.
#[tokio::test]
async fn a_handle_that_was_taken_meanwhile_does_not_join() {
    let world = World::start().await;
    let alice = Person::register(&world, ALICE, "phone").await;
    let begun = alice.ask(&world, "POST", "/v1/handles", json!({ "handle": "bob@example.org" })).await.expect(202);
    let code = world.mail("bob@example.org", 1).await.code().unwrap();
    // Bob verifies and registers between her request and her code.
    let verification = verify(&world, "bob@example.org").await;
    let bob = crate::people::Registration::with_verification(&world, "bob@example.org", "phone", verification).await;
    bob.send(&world).await.expect(201);
    let path = format!("/v1/verifications/{}/code", begun.text("verification_id"));
    let late = world.client().post(&path, json!({ "code": code })).await;
    assert_eq!(late.problem(), (409, "handle_taken".to_owned()));
}

/// ACC-51: an account has 20 handles at most.
#[tokio::test]
async fn handles_are_bounded() {
    let world = World::start_with(|settings| settings.limits.handles_per_account = 1).await;
    let alice = Person::register(&world, ALICE, "phone").await;
    let begun = alice.ask(&world, "POST", "/v1/handles", json!({ "handle": "al@example.net" })).await.expect(202);
    let code = world.mail("al@example.net", 1).await.code().unwrap();
    let path = format!("/v1/verifications/{}/code", begun.text("verification_id"));
    let refused = world.client().post(&path, json!({ "code": code })).await;
    assert_eq!(refused.problem(), (409, "too_many_handles".to_owned()));
}
