//! Who has an account is not to be learned from answers: the same bytes for a handle that somebody has and for one that
//! nobody has (ACC-2, ACC-20, ACC-40, ACC-41, ACC-51, DIR-21, LNK-3).
//!
//! Answers are compared whole: status, every header in its order, and the body byte for byte, after what the spec says is
//! random was replaced by its form.

use bytes::Bytes;
use halcyon_directory::lookup::LookupRequest;
use halcyon_types::{Duration, Handle};
use rand::rngs::OsRng;
use serde_json::{Value, json};

use crate::http::Answer;
use crate::people::{Person, base64, from_base64};
use crate::world::World;

/// Both have 17 letters, so that a handle that is repeated in an answer has the same length.
const KNOWN: &str = "alice@example.org";
const UNKNOWN: &str = "ghost@example.org";

/// Replaces a random member by its form: how long it is, and of which letters.
fn normalized(answer: &Answer, random: &[&str]) -> String {
    let mut body = String::from_utf8(answer.body.to_vec()).unwrap();
    if !random.is_empty() {
        let document = answer.json();
        for member in random {
            let value = document[*member].as_str().unwrap_or_else(|| panic!("no `{member}` in {body}"));
            let form = if value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                format!("hex {}", value.len())
            } else {
                format!("base64 {} = {} bytes", value.len(), from_base64(value).len())
            };
            body = body.replace(value, &form);
        }
    }
    let headers: Vec<String> = answer
        .headers
        .iter()
        // The time of day, which is the same for both but for the second in which it was asked.
        .map(|(name, value)| match name.as_str() {
            "date" => format!("date: {} bytes", value.len()),
            name => format!("{name}: {}", value.to_str().unwrap()),
        })
        .collect();
    format!("{}\n{}\n\n{body}", answer.status, headers.join("\n"))
}

#[track_caller]
fn look_alike(known: &Answer, unknown: &Answer, random: &[&str]) {
    assert_eq!(normalized(known, random), normalized(unknown, random));
}

/// A server where Alice has an account, and the same requests about her and about nobody.
struct Scene {
    world: World,
    alice: Person,
}

impl Scene {
    async fn set() -> Self {
        let world = World::start_with(|settings| settings.limits.verifications_per_handle_hour = 8).await;
        let alice = Person::register(&world, KNOWN, "phone").await;
        // Both begin the hour with all of their tries.
        world.clock.forward(Duration::from_mins(60));
        Self { world, alice }
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.world.client().post(path, body).await
    }
}

/// ACC-20, ACC-21, ACC-23, ACC-31: to begin a registration, to wait for it, to guess at its code, to go on without it, and
/// to run into the limit.
#[tokio::test]
async fn registration_does_not_tell() {
    let scene = Scene::set().await;
    let mut answers: Vec<Vec<(Answer, &[&str])>> = Vec::new();
    for handle in [KNOWN, UNKNOWN] {
        let mut said: Vec<(Answer, &[&str])> = Vec::new();
        let begun = scene.post("/v1/verifications", json!({ "handle": handle })).await.expect(202);
        let path = format!("/v1/verifications/{}", begun.text("verification_id"));
        let start = json!({
            "verification_id": begun.text("verification_id"),
            "account_id": scene.alice.account.to_hex(),
            "request": base64(&halcyon_crypto::opaque::ClientRegistration::start(&mut OsRng, b"mine").unwrap().1),
        });
        said.push((begun, &["verification_id"]));
        said.push((scene.world.client().get(&path).await.expect(200), &[]));
        said.push((scene.post("/v1/registrations/start", start).await.expect(403), &[]));
        for expected in [403, 403, 403, 403, 410, 410] {
            let guess = scene.post(&format!("{path}/code"), json!({ "code": "guess!" })).await.expect(expected);
            said.push((guess, &[]));
        }
        said.push((scene.world.client().get(&path).await.expect(410), &[]));
        for _ in 1..8 {
            let again = scene.post("/v1/verifications", json!({ "handle": handle })).await.expect(202);
            said.push((again, &["verification_id"]));
        }
        said.push((scene.post("/v1/verifications", json!({ "handle": handle })).await.expect(429), &[]));
        answers.push(said);
    }
    let unknown = answers.pop().unwrap();
    for ((known, random), (unknown, _)) in answers.pop().unwrap().iter().zip(&unknown) {
        look_alike(known, unknown, random);
    }
}

/// ACC-51: a member who adds a handle learns no more about it than somebody who registers.
#[tokio::test]
async fn adding_a_handle_does_not_tell() {
    let scene = Scene::set().await;
    let bob = Person::register(&scene.world, "bob@example.org", "phone").await;
    let mut said = Vec::new();
    for handle in [KNOWN, UNKNOWN] {
        said.push(bob.ask(&scene.world, "POST", "/v1/handles", json!({ "handle": handle })).await.expect(202));
    }
    look_alike(&said[0], &said[1], &["verification_id"]);
    let guess = async |begun: &Answer| {
        let path = format!("/v1/verifications/{}/code", begun.text("verification_id"));
        scene.post(&path, json!({ "code": "000000" })).await
    };
    look_alike(&guess(&said[0]).await.expect(403), &guess(&said[1]).await.expect(403), &[]);
}

/// ACC-40, ACC-41: both steps of a sign-in, what is malformed, and the limit.
#[tokio::test]
async fn sign_in_does_not_tell() {
    let scene = Scene::set().await;
    let mut answers: Vec<Vec<(Answer, &[&str])>> = Vec::new();
    for handle in [KNOWN, UNKNOWN] {
        let mut said: Vec<(Answer, &[&str])> = Vec::new();
        for guess in 0..10 {
            let (login, ke1) = halcyon_crypto::opaque::ClientLogin::start(&mut OsRng, b"guess").unwrap();
            let body = json!({ "handle": handle, "ke1": base64(&ke1) });
            let started = scene.post("/v1/sign-ins/start", body).await.expect(200);
            // What a person with the wrong password can compute from it fails in the same way, too.
            let opened = login.finish(&mut OsRng, &from_base64(&started.text("ke2")), crate::people::PARAMS);
            assert!(opened.is_err(), "a password that was guessed");
            let finish = |ke3: &[u8]| json!({ "sign_in_id": started.text("sign_in_id"), "ke3": base64(ke3) });
            let ke3: &[u8] = if guess % 2 == 0 { &[7; 64] } else { b"short" };
            said.push((scene.post("/v1/sign-ins/finish", finish(ke3)).await, &[]));
            said.push((scene.post("/v1/sign-ins/finish", finish(&[7; 64])).await.expect(403), &[]));
            said.push((started, &["sign_in_id", "ke2"]));
        }
        let (_, ke1) = halcyon_crypto::opaque::ClientLogin::start(&mut OsRng, b"guess").unwrap();
        let limited = scene.post("/v1/sign-ins/start", json!({ "handle": handle, "ke1": base64(&ke1) })).await;
        said.push((limited.expect(429), &[]));
        answers.push(said);
    }
    let unknown = answers.pop().unwrap();
    for ((known, random), (unknown, _)) in answers.pop().unwrap().iter().zip(&unknown) {
        look_alike(known, unknown, random);
    }
}

/// ACC-40: a sign-in message that is malformed is refused alike.
#[tokio::test]
async fn a_malformed_sign_in_does_not_tell() {
    let scene = Scene::set().await;
    for ke1 in [base64(&[0xff; 96]), base64(b""), base64(&[0; 96]), "not base64".to_owned()] {
        let ask = |handle: &str| scene.post("/v1/sign-ins/start", json!({ "handle": handle, "ke1": ke1 }));
        look_alike(&ask(KNOWN).await.expect(400), &ask(UNKNOWN).await.expect(400), &[]);
    }
}

/// DIR-21, DIR-23: what nobody has is answered with the handle alone, to a member; others get the same refusal for any
/// handle.
#[tokio::test]
async fn a_lookup_tells_members_what_is_specified_and_others_nothing() {
    let scene = Scene::set().await;
    let bob = Person::register(&scene.world, "bob@example.org", "phone").await;
    let request = |handle: &str| LookupRequest::new(vec![Handle::parse(handle).unwrap()]).unwrap().encode();
    let stranger = crate::people::Device::new("stranger");
    let client = scene.world.client();
    let as_stranger = |handle: &str| client.signed_protobuf(stranger.signer(), "POST", "/v1/lookup", request(handle));
    look_alike(&as_stranger(KNOWN).await.expect(401), &as_stranger(UNKNOWN).await.expect(401), &[]);

    let unknown = bob.lookup(&scene.world, &[UNKNOWN]).await.expect(200);
    let mut expected = vec![0x0a, 26, 0x0a, 24];
    expected.extend_from_slice(format!("mailto:{UNKNOWN}").as_bytes());
    assert_eq!(unknown.body, Bytes::from(expected));
    // A handle of another kind, and one that was removed from its account, look like one that never was.
    let alias = "older@example.org";
    let begun = scene.alice.ask(&scene.world, "POST", "/v1/handles", json!({ "handle": alias })).await.expect(202);
    let code = scene.world.mail(alias, 1).await.code().unwrap();
    let path = format!("/v1/verifications/{}/code", begun.text("verification_id"));
    scene.post(&path, json!({ "code": code })).await.expect(200);
    assert!(bob.lookup(&scene.world, &[alias]).await.expect(200).body.len() > 100);
    scene.alice.ask(&scene.world, "DELETE", "/v1/handles/mailto%3Aolder%40example.org", Value::Null).await.expect(204);
    let removed = bob.lookup(&scene.world, &[alias]).await.expect(200);
    let as_text = |answer: &Answer| String::from_utf8(answer.body.to_vec()).unwrap();
    assert_eq!(as_text(&removed).replace("older", "ghost"), as_text(&unknown));
    assert_eq!(removed.headers.keys().collect::<Vec<_>>(), unknown.headers.keys().collect::<Vec<_>>());
}

/// LNK-3, LNK-2: somebody else's link looks like one that never was, at every step.
#[tokio::test]
async fn links_do_not_tell() {
    let scene = Scene::set().await;
    let bob = Person::register(&scene.world, "bob@example.org", "phone").await;
    let linking = crate::people::Linking::open(&scene.world, &scene.alice, "laptop").await;
    let nobodys = "0".repeat(linking.id.len());
    let key = halcyon_crypto::AgreementKey::generate(&mut OsRng);
    let challenge = json!({ "ephemeral": base64(key.compact().as_bytes()), "nonce": base64(&[3; 32]) });
    let reveal = json!({ "nonce": base64(&[3; 32]) });
    let complete = json!({ "device_list": base64(&bob.list.encode()), "sealed": base64(&[1; 50]) });
    let stranger = crate::people::Device::new("stranger");
    let steps = [
        ("GET", "", Value::Null),
        ("POST", "/challenge", challenge),
        ("POST", "/reveal", reveal),
        ("POST", "/reject", Value::Null),
        ("POST", "/complete", complete),
    ];
    for (method, step, body) in steps {
        for signer in [bob.first(), stranger.signer()] {
            let ask = async |id: &str| {
                let path = format!("/v1/links/{id}{step}");
                scene.world.client().signed(signer, method, &path, body.clone()).await
            };
            look_alike(&ask(&linking.id).await, &ask(&nobodys).await, &[]);
        }
    }
}
