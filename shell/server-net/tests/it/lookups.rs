//! Lookups, their limits and their log (DIR-20 to DIR-24, DIR-30, DIR-50).

use halcyon_directory::lookup::LookupRequest;
use halcyon_directory::session::{SESSION_LIFETIME, SESSION_REFRESH};
use halcyon_directory::wire;
use halcyon_server::ports::Clock;
use halcyon_types::{Duration, Handle};
use prost::Message;

use crate::http::Answer;
use crate::people::Person;
use crate::world::World;

fn answers(answer: &Answer) -> Vec<wire::LookupAnswer> {
    assert_eq!(answer.headers["content-type"], "application/x-protobuf");
    wire::LookupResponse::decode(answer.body.clone()).unwrap().answers
}

/// DIR-20, DIR-22, DIR-30: Bob asks for Alice and gets her signed list, an address for each device, and a session token.
#[tokio::test]
async fn bob_finds_alice() {
    let world = World::start().await;
    let mut alice = Person::register(&world, "alice@example.org", "phone").await;
    alice.link(&world, "laptop").await;
    let bob = Person::register(&world, "bob@example.org", "phone").await;
    let found = bob.lookup(&world, &["nobody@example.org", "alice@example.org"]).await.expect(200);
    let answers = answers(&found);
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0].account, None);
    let account = answers[1].account.as_ref().unwrap();
    assert_eq!(account.list.as_ref().unwrap(), &alice.list.to_wire());
    let mut devices: Vec<_> = account.devices.iter().map(|device| device.device_id.to_vec()).collect();
    let mut expected: Vec<_> = alice.devices.iter().map(|device| device.id.as_bytes().to_vec()).collect();
    devices.sort();
    expected.sort();
    assert_eq!(devices, expected);
    assert!(account.devices.iter().all(|device| device.push_token.len() == 32 && device.prekeys.len() == 1));
    assert_eq!(account.session_token.len(), 40);
    let now = world.clock.now();
    assert_eq!(account.session_expires_ms, now.plus(SESSION_LIFETIME).as_millis());
    assert_eq!(account.session_refresh_ms, now.plus(SESSION_REFRESH).as_millis());
}

/// DIR-21: for a handle without an account the answer has the handle alone, in the same bytes for each cause.
#[tokio::test]
async fn unknown_handles_are_answered_uniformly() {
    let world = World::start().await;
    let bob = Person::register(&world, "bob@example.org", "phone").await;
    let asked = ["nobody1@example.org", "nobody2@example.org", "+491701234567"];
    let found = bob.lookup(&world, &asked).await.expect(200);
    for (answer, handle) in answers(&found).iter().zip(asked) {
        let uri = Handle::parse(handle).unwrap().as_uri().to_owned();
        let alone = wire::LookupAnswer { handle: uri, account: None };
        assert_eq!(answer.encode_to_vec(), alone.encode_to_vec());
    }
    assert_eq!(bob.lookup(&world, &asked).await.expect(200).body, found.body);
}

/// DIR-20: 20 handles at once, not 21, and what is no lookup is refused.
#[tokio::test]
async fn a_lookup_has_20_handles_at_most() {
    let world = World::start().await;
    let bob = Person::register(&world, "bob@example.org", "phone").await;
    let client = world.client();
    let request = |count: usize| {
        let handles = (0..count).map(|index| format!("mailto:n{index}@example.org")).collect();
        wire::LookupRequest { handles }.encode_to_vec().into()
    };
    let ask = |body| client.signed_protobuf(bob.first(), "POST", "/v1/lookup", body);
    ask(request(20)).await.expect(200);
    assert_eq!(ask(request(21)).await.problem(), (400, "too_many_handles".to_owned()));
    assert_eq!(ask(request(0)).await.problem(), (400, "malformed_lookup".to_owned()));
    assert_eq!(ask(vec![0xff].into()).await.problem(), (400, "malformed_lookup".to_owned()));
}

/// DIR-23: 50 new handles at once; the 51st waits, also after a restart. Asked before is free, and so are one's own.
#[tokio::test]
async fn new_handles_are_limited() {
    let mut world = World::start().await;
    let bob = Person::register(&world, "bob@example.org", "phone").await;
    let names: Vec<String> = (0..51).map(|index| format!("n{index}@example.org")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for batch in names[..50].chunks(20) {
        bob.lookup(&world, batch).await.expect(200);
    }
    world.restart().await;
    let limited = bob.lookup(&world, &names[50..]).await;
    assert_eq!(limited.problem(), (429, "lookup_limit".to_owned()));
    let wait = limited.json()["retry_after_s"].as_u64().unwrap();
    assert!((400..=432).contains(&wait), "200 a day is one in 432 seconds: {wait}");
    assert_eq!(limited.headers["retry-after"], wait.to_string());
    // A request with one new handle in it is refused whole; without it, it is free.
    assert_eq!(bob.lookup(&world, &[names[0], names[50]]).await.problem().0, 429);
    for _ in 0..5 {
        bob.lookup(&world, &names[..20]).await.expect(200);
    }
    bob.lookup(&world, &["bob@example.org"]).await.expect(200);
    // Another account has its own limit.
    let carol = Person::register(&world, "carol@example.org", "phone").await;
    carol.lookup(&world, &names[50..]).await.expect(200);
    world.clock.forward(Duration::from_secs(wait));
    bob.lookup(&world, &names[50..]).await.expect(200);
}

/// DIR-23: what was asked for stays free for as long as the log knows it.
#[tokio::test]
async fn asked_before_is_free_after_a_restart() {
    let mut world = World::start_with(|settings| {
        settings.limits.lookups_per_day = 1;
        settings.limits.lookups_burst = 1;
    })
    .await;
    let bob = Person::register(&world, "bob@example.org", "phone").await;
    bob.lookup(&world, &["alice@example.org"]).await.expect(200);
    world.restart().await;
    bob.lookup(&world, &["alice@example.org"]).await.expect(200);
    assert_eq!(bob.lookup(&world, &["carol@example.org"]).await.problem().0, 429);
}

/// DIR-50: the log holds keyed hashes only, forgets after 30 days, and then not even the file remembers.
#[tokio::test]
async fn the_query_log_forgets_after_30_days() {
    let mut world = World::start().await;
    let bob = Person::register(&world, "bob@example.org", "phone").await;
    let carol = Handle::parse("carol@example.org").unwrap();
    bob.lookup(&world, &["carol@example.org", "bob@example.org"]).await.expect(200);
    world.clock.forward(Duration::from_days(20));
    bob.lookup(&world, &["dave@example.org"]).await.expect(200);

    let secrets = std::fs::read(world.data().join("server.secrets")).unwrap();
    let secrets = halcyon_crypto::SecretBytes::from_vec(secrets);
    let key = halcyon_server::secrets::ServerSecrets::from_secret_bytes(&secrets).unwrap().query_log;
    let record = key.record(bob.account, &carol, world.clock.now()).mac;
    let on_disk = |world: &World, needle: &[u8]| {
        let files = std::fs::read_dir(world.data()).unwrap().map(|file| file.unwrap().path());
        let databases = files.filter(|file| file.to_string_lossy().contains("directory.db"));
        databases.map(|file| std::fs::read(file).unwrap()).any(|file| file.windows(needle.len()).any(|w| w == needle))
    };
    assert!(on_disk(&world, &record), "one's own handle leaves no record, others do");
    assert!(!on_disk(
        &world,
        &key.record(bob.account, &Handle::parse("bob@example.org").unwrap(), world.clock.now()).mac
    ));
    assert!(!on_disk(&world, carol.as_uri().as_bytes()));

    world.clock.forward(Duration::from_days(11));
    world.server().services().housekeeper.sweep().await.unwrap();
    assert!(!on_disk(&world, &record));
    let dave = Handle::parse("dave@example.org").unwrap();
    assert!(on_disk(&world, &key.record(bob.account, &dave, world.clock.now()).mac));
    world.stop().await;
    assert!(!on_disk(&world, &record));
}

/// DIR-20: a handle in another than its normal form is refused, so that one person has one answer.
#[tokio::test]
async fn other_spellings_are_refused() {
    let world = World::start().await;
    let bob = Person::register(&world, "bob@example.org", "phone").await;
    let request = wire::LookupRequest { handles: vec!["mailto:Alice@example.org".to_owned()] }.encode_to_vec();
    let refused = world.client().signed_protobuf(bob.first(), "POST", "/v1/lookup", request.into()).await;
    assert_eq!(refused.problem(), (400, "malformed_lookup".to_owned()));
    assert!(LookupRequest::new(Vec::new()).is_err());
}
