//! Reports to the operator (ACC-60 to ACC-63).

use bytes::Bytes;
use halcyon_crypto::{CompactKey, VerifyingKey};
use halcyon_directory::report::{Report, ReportedPart, SignedReport};
use halcyon_server::ports::Clock;
use halcyon_server::reports::REPORT_KEPT_FOR;
use halcyon_server_store::directory::{KeptReport, ReportsFile};
use halcyon_types::{DeviceId, Duration, Handle, MessageId, SuiteId};

use crate::http::Answer;
use crate::people::{Device, Person};
use crate::world::World;

/// What a device of a person says of a message from Mallory.
pub fn report(world: &World, person: &Person, device: &Device, message: u8, note: &str) -> Report {
    Report {
        account: person.account,
        device: device.id,
        reported: world.clock.now(),
        note: note.to_owned(),
        message: MessageId::from_bytes([message; 16]),
        sender: Handle::parse("mallory@example.org").unwrap(),
        sender_account: person.account,
        sender_device: DeviceId::from_bytes([9; 16]),
        recipient: Some(Handle::parse(&person.address).unwrap()),
        suite: Some(SuiteId::PQ3),
        sent: world.clock.now(),
        received: world.clock.now(),
        subject: String::new(),
        parts: vec![ReportedPart { kind: "text".into(), text: "very-rude-words".into(), earlier: Vec::new() }],
    }
}

impl Person {
    pub async fn report(&self, world: &World, message: u8, note: &str) -> Answer {
        let device = &self.devices[0];
        let signed = SignedReport::sign(report(world, self, device, message, note), &device.key).unwrap();
        self.send_report(world, signed.encode()).await
    }

    async fn send_report(&self, world: &World, signed: Bytes) -> Answer {
        world.client().signed_protobuf(self.first(), "POST", "/v1/reports", signed).await
    }
}

/// What the operator finds, the server running or not.
fn kept(world: &World) -> Vec<KeptReport> {
    let mut found = Vec::new();
    ReportsFile::open(world.data()).unwrap().each(world.clock.now(), |report| found.push(report)).unwrap();
    found
}

fn said(report: &KeptReport) -> Report {
    let key = VerifyingKey::from_compact(&CompactKey::from_bytes(report.device_key)).unwrap();
    SignedReport::verify(report.signed.clone(), &key).unwrap().report().clone()
}

/// ACC-61, ACC-63: what Alice reports is on disk when she is answered, and the operator reads it, signed by her device, before and after
/// a restart. Mallory is told nothing.
#[tokio::test]
async fn alice_reports_a_message() {
    let mut world = World::start().await;
    let alice = Person::register(&world, "alice@example.org", "phone").await;
    let mallory = Person::register(&world, "mallory@example.org", "phone").await;
    let answer = alice.report(&world, 1, "again").await.expect(201);
    let answered = answer.json();
    assert_eq!(answered["kept_until_ms"], world.clock.now().plus(REPORT_KEPT_FOR).as_millis());
    for _ in 0..2 {
        let [report] = <[_; 1]>::try_from(kept(&world)).unwrap();
        assert_eq!(answered["report_id"], report.id.to_hex());
        assert_eq!((report.account, report.device), (alice.account, alice.devices[0].id));
        assert_eq!(said(&report), self::report(&world, &alice, &alice.devices[0], 1, "again"));
        world.restart().await;
    }
    // ACC-62: the same message again takes the place of what was said of it before, under its name.
    let again = alice.report(&world, 1, "and again").await.expect(201);
    assert_eq!(again.json()["report_id"], answered["report_id"]);
    let found = kept(&world);
    assert_eq!((found.len(), said(&found[0]).note.as_str()), (1, "and again"));
    assert_eq!(world.alerts(mallory.devices[0].id).await, []);
}

/// ACC-60, ACC-61: nobody speaks for another account or device, and what is no report is refused.
#[tokio::test]
async fn a_report_is_its_devices_own() {
    let world = World::start().await;
    let mut alice = Person::register(&world, "alice@example.org", "phone").await;
    alice.link(&world, "laptop").await;
    let bob = Person::register(&world, "bob@example.org", "phone").await;
    let (phone, laptop) = (&alice.devices[0], &alice.devices[1]);
    let of = |account: &Person, device: &Device, signer: &Device| {
        SignedReport::sign(report(&world, account, device, 1, ""), &signer.key).unwrap().encode()
    };
    let refused = (400, "invalid_report".to_owned());
    // Another device's name, another account's name, another's signature.
    for signed in [of(&alice, laptop, phone), of(&bob, phone, phone), of(&alice, phone, laptop)] {
        assert_eq!(alice.send_report(&world, signed).await.problem(), refused);
    }
    assert_eq!(alice.send_report(&world, Bytes::from_static(b"no report")).await.problem(), refused);
    assert_eq!(alice.send_report(&world, Bytes::new()).await.problem(), refused);
    let large = vec![b' '; halcyon_directory::report::REPORT_BYTES_MAX + 1];
    assert_eq!(alice.send_report(&world, large.into()).await.problem(), refused);
    let json = world.client().signed(alice.first(), "POST", "/v1/reports", serde_json::json!({})).await;
    assert_eq!(json.problem(), (415, "wrong_media_type".to_owned()));
    assert_eq!(kept(&world), []);
}

/// ACC-62: so many a day and no more, also after a restart; another account has its own limit; what is refused for its form costs nothing.
#[tokio::test]
async fn reports_are_limited() {
    let mut world = World::start_with(|settings| settings.limits.reports_per_day = 2).await;
    let alice = Person::register(&world, "alice@example.org", "phone").await;
    let bob = Person::register(&world, "bob@example.org", "phone").await;
    assert_eq!(alice.send_report(&world, Bytes::from_static(b"no report")).await.problem().0, 400);
    alice.report(&world, 1, "").await.expect(201);
    alice.report(&world, 2, "").await.expect(201);
    world.restart().await;
    let limited = alice.report(&world, 3, "").await;
    assert_eq!(limited.problem(), (429, "report_limit".to_owned()));
    let wait = limited.json()["retry_after_s"].as_u64().unwrap();
    assert!((43_000..=43_200).contains(&wait), "2 a day is one in 12 hours: {wait}");
    bob.report(&world, 1, "").await.expect(201);
    world.clock.forward(Duration::from_secs(wait));
    alice.report(&world, 3, "").await.expect(201);
    assert_eq!(kept(&world).len(), 4);
}

/// ACC-62: after 90 days nobody is shown a report, and the sweep leaves nothing of it on the disk; nor does the operator's drop.
#[tokio::test]
async fn reports_are_forgotten() {
    let mut world = World::start().await;
    let alice = Person::register(&world, "alice@example.org", "phone").await;
    let on_disk = |world: &World, needle: &[u8]| {
        let files = std::fs::read_dir(world.data()).unwrap().map(|file| file.unwrap().path());
        files
            .filter(|file| file.is_file())
            .any(|file| std::fs::read(file).unwrap().windows(needle.len()).any(|bytes| bytes == needle))
    };
    alice.report(&world, 1, "the-first-note").await.expect(201);
    world.clock.forward(Duration::from_days(1));
    alice.report(&world, 2, "the-second-note").await.expect(201);
    alice.report(&world, 3, "the-third-note").await.expect(201);
    assert!(on_disk(&world, b"the-first-note") && on_disk(&world, b"the-third-note"));

    // The operator drops one while the server runs.
    let third = kept(&world).pop().unwrap();
    let file = ReportsFile::open(world.data()).unwrap();
    assert!(file.drop_report(third.id).unwrap() && !file.drop_report(third.id).unwrap());
    assert_eq!(file.find(third.id, world.clock.now()).unwrap(), None);
    assert!(!on_disk(&world, b"the-third-note"));

    world.clock.forward(Duration::from_millis(REPORT_KEPT_FOR.as_millis() - Duration::from_days(1).as_millis()));
    let [second] = <[_; 1]>::try_from(kept(&world)).unwrap();
    assert_eq!(said(&second).note, "the-second-note");
    assert!(on_disk(&world, b"the-first-note"), "it was not swept yet");
    world.server().services().housekeeper.sweep().await.unwrap();
    assert!(!on_disk(&world, b"the-first-note") && on_disk(&world, b"the-second-note"));
    drop(file);
    world.stop().await;
    assert_eq!(kept(&world), [second]);
}
