//! What is logged, and what is not (I9, ACC-24).

use std::io;
use std::sync::{Mutex, Once};

use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use crate::people::{Person, sign_in};
use crate::world::World;

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Captured;

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

/// Captures everything that our crates log in this process, in every test.
pub fn capture() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let filter = "halcyon_server=trace,halcyon_server_net=trace,halcyon_server_store=trace,halcyon_courier=trace";
        let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Captured).with_ansi(false);
        subscriber.init();
    });
}

/// I9, ACC-24, ACC-63: a whole life of an account at the loudest setting, and no handle, code, token or id of anybody in the log.
#[tokio::test]
async fn nobody_is_named_in_the_log() {
    const ADDRESS: &str = "very-private-person@example.org";
    let mut world = World::start().await;
    let mut alice = Person::register(&world, ADDRESS, "phone").await;
    alice.link(&world, "laptop").await;
    let begun = alice.ask(&world, "POST", "/v1/handles", json!({ "handle": "second-private@example.org" })).await;
    let mail = world.mail("second-private@example.org", 1).await;
    let (code, link) = (mail.code().unwrap(), mail.link().unwrap());
    let id = begun.expect(202).text("verification_id");
    let path = format!("/v1/verifications/{id}/code");
    let wrong = format!("{:06}", (code.parse::<u32>().unwrap() + 1) % 1_000_000);
    world.client().post(&path, json!({ "code": wrong })).await.expect(403);
    world.client().post(&path, json!({ "code": code })).await.expect(200);
    alice.ask(&world, "DELETE", "/v1/handles/mailto%3Asecond-private%40example.org", Value::Null).await.expect(204);
    alice.lookup(&world, &["third-private@example.org"]).await.expect(200);
    sign_in(&world, ADDRESS, b"wrong").await.unwrap_err();
    alice.report(&world, 1, "a-note-for-the-operator").await.expect(201);
    alice.report(&world, 1, "\u{1f4a5}-more-of-it").await.expect(201);
    let ticket = sign_in(&world, ADDRESS, crate::people::PASSWORD).await.unwrap();
    world.stop().await;

    let log = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
    assert!(log.contains("/v1/registrations/finish"), "the log was captured");
    let token = link.strip_prefix("/verify/").unwrap();
    let report = ["very-rude-words", "note-for-the-operator", "more-of-it", "mallory"];
    let secrets = ["private-person", "second-private", "third-private", token, &ticket, &id].into_iter().chain(report);
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    // Six digits may stand in a number by chance, so they count as a word.
    assert!(!log.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == code), "the code is in the log");
    for device in &alice.devices {
        assert!(!log.contains(&device.id.to_hex()), "a device is in the log");
    }
    assert!(!log.contains(&alice.account.to_hex()), "an account is in the log");
}
