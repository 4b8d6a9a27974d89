//! What a courier can do with sealed messages: damage, replay, forward, relabel. Spec: 40-pair.md, 41-pair-ec.md, 60-client.md §2.
//!
//! The courier here is real as far as it goes; beyond, it delivers whatever a test gives it, and records all that the client
//! says: a failure that looks different from another is an oracle.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use halcyon_client::{
    Client, Draft, Event, Events, Parts, Until,
    ports::{
        CourierChannel, CourierConnector, CourierSink, CourierSource, Http, HttpError, HttpRequest, HttpResponse,
        Store, courier::ConnectionError,
    },
};
use halcyon_client_net::{Binding, Network, SystemRandom};
use halcyon_courier::{ClientFrame, Deliver, ServerFrame, wire};
use halcyon_crypto::{Secret, SigningKey};
use halcyon_directory::{CountersignedEntry, DeviceEntry, SignedList, wire as directory_wire};
use halcyon_evil::{EvilCourier, EvilDirectory, Lie};
use halcyon_suites::{DeviceKeys, PairIdentity};
use halcyon_testkit::memory_store::MemoryDisk;
use halcyon_types::{Duration, SuiteId};
use prost::Message as _;
use rand::rngs::OsRng;
use tokio::sync::Notify;

use crate::world::{Device, World, handle, until, within};

const SUITES: [SuiteId; 2] = [SuiteId::PAIR, SuiteId::PAIR_EC];

/// All that a client says, and what else it is told.
#[derive(Default)]
struct Wiretap {
    said: Mutex<Vec<String>>,
    delivered: Mutex<Vec<wire::Envelope>>,
    queue: Mutex<VecDeque<Bytes>>,
    queued: Notify,
}

impl Wiretap {
    fn say(&self, what: impl Into<String>) {
        self.said.lock().unwrap().push(what.into());
    }

    fn take_said(&self) -> Vec<String> {
        std::mem::take(&mut self.said.lock().unwrap())
    }

    fn inject(&self, envelope: Bytes) {
        self.queue.lock().unwrap().push_back(envelope);
        self.queued.notify_one();
    }

    /// The newest envelope that really came.
    fn last(&self) -> wire::Envelope {
        self.delivered.lock().unwrap().last().cloned().unwrap()
    }

    /// Delivers one envelope, and returns all that the client says because of it.
    async fn answers_to(&self, envelope: &wire::Envelope) -> Vec<String> {
        self.answers_to_bytes(envelope.encode_to_vec().into()).await
    }

    async fn answers_to_bytes(&self, envelope: Bytes) -> Vec<String> {
        self.take_said();
        self.inject(envelope);
        within("an acknowledgement", self.silence()).await
    }

    /// Returns what was said once it was something and there is no more. A receipt leaves within milliseconds of the
    /// acknowledgement.
    async fn silence(&self) -> Vec<String> {
        loop {
            let count = self.said.lock().unwrap().len();
            tokio::time::sleep(std::time::Duration::from_millis(150)).await;
            if count > 0 && self.said.lock().unwrap().len() == count {
                return self.take_said();
            }
        }
    }
}

struct TappedHttp(Arc<dyn Http>, Arc<Wiretap>);

#[async_trait::async_trait]
impl Http for TappedHttp {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.1.say(format!("http {}", request.path));
        self.0.call(request).await
    }
}

struct TappedCourier(Arc<dyn CourierConnector>, Arc<Wiretap>);

/// Which of the deliveries of this connection are the server's: place in the list + 1 is the number that the client sees.
type Numbers = Arc<Mutex<Vec<Option<u64>>>>;

#[async_trait::async_trait]
impl CourierConnector for TappedCourier {
    async fn connect(&self) -> Result<CourierChannel, ConnectionError> {
        let channel = self.0.connect().await?;
        let numbers = Numbers::default();
        let sink = Box::new(TappedSink { inner: channel.sink, tap: self.1.clone(), numbers: numbers.clone() });
        let source = Box::new(TappedSource { inner: channel.source, tap: self.1.clone(), numbers });
        Ok(CourierChannel { binding: channel.binding, sink, source })
    }
}

struct TappedSource {
    inner: Box<dyn CourierSource>,
    tap: Arc<Wiretap>,
    numbers: Numbers,
}

impl TappedSource {
    fn numbered(&self, real: Option<u64>, mut deliver: Deliver) -> Bytes {
        let mut numbers = self.numbers.lock().unwrap();
        numbers.push(real);
        deliver.seq = numbers.len() as u64;
        ServerFrame::Deliver(deliver).encode()
    }
}

#[async_trait::async_trait]
impl CourierSource for TappedSource {
    async fn receive(&mut self) -> Result<Option<Bytes>, ConnectionError> {
        loop {
            if let Some(envelope) = self.tap.queue.lock().unwrap().pop_front() {
                let deliver = Deliver { seq: 0, envelope, from_storage: false, last_from_storage: false };
                return Ok(Some(self.numbered(None, deliver)));
            }
            let frame = tokio::select! {
                frame = self.inner.receive() => frame?,
                () = self.tap.queued.notified() => continue,
            };
            let Some(frame) = frame else { return Ok(None) };
            return Ok(Some(match ServerFrame::decode(frame.clone()) {
                Ok(ServerFrame::Deliver(deliver)) => {
                    let envelope = wire::Envelope::decode(deliver.envelope.clone()).unwrap();
                    self.tap.delivered.lock().unwrap().push(envelope);
                    self.numbered(Some(deliver.seq), deliver)
                }
                _ => frame,
            }));
        }
    }
}

struct TappedSink {
    inner: Box<dyn CourierSink>,
    tap: Arc<Wiretap>,
    numbers: Numbers,
}

#[async_trait::async_trait]
impl CourierSink for TappedSink {
    async fn send(&mut self, frame: Bytes) -> Result<(), ConnectionError> {
        match ClientFrame::decode(frame.clone()).unwrap() {
            ClientFrame::Ack { seq } => {
                self.tap.say("ack");
                // The server hears of its own alone.
                let seq = usize::try_from(seq).unwrap();
                let real = self.numbers.lock().unwrap()[..seq].iter().rev().find_map(|real| *real);
                let injected = self.numbers.lock().unwrap()[seq - 1].is_none();
                match real {
                    Some(seq) if !injected => self.inner.send(ClientFrame::Ack { seq }.encode()).await,
                    _ => Ok(()),
                }
            }
            said => {
                match said {
                    ClientFrame::Send(_) => self.tap.say("send"),
                    ClientFrame::KeepAlive { .. } | ClientFrame::Connect(_) => {}
                    _ => self.tap.say("something else"),
                }
                self.inner.send(frame).await
            }
        }
    }

    async fn close(&mut self) {
        self.inner.close().await;
    }
}

/// A device whose every word is on record.
struct Tapped {
    device: Device,
    tap: Arc<Wiretap>,
}

impl Tapped {
    async fn register(world: &World, person: &str) -> Self {
        let tap = Arc::<Wiretap>::default();
        let disk = MemoryDisk::new();
        let network = Network::new(world.address(), &world.trust(), Binding::Native).unwrap();
        let http = EvilDirectory::wrap(Arc::new(TappedHttp(network.http(), tap.clone())), Lie::Honest);
        let courier = EvilCourier::wrap(Arc::new(TappedCourier(network.courier(), tap.clone())));
        let clock = world.clock.clone();
        let client = open(world, &disk, &http, &courier);
        let device = Device { client, handle: handle(person), name: "phone".to_owned(), disk, http, courier, clock };
        world.register_on(&device).await;
        Self { device, tap }
    }

    /// Ends the process and starts it again on the same disk.
    async fn restart(&mut self, world: &World) {
        self.device.client.shutdown().await;
        self.device.client = open(world, &self.device.disk, &self.device.http, &self.device.courier);
        self.device.online().await;
    }

    /// What is shown, once all receipts are gone.
    async fn texts(&self) -> Vec<String> {
        let store = self.device.disk.open();
        until("an empty outbox", || {
            store.pending_receipts().unwrap().is_empty() && store.outbox_jobs().unwrap().is_empty()
        })
        .await;
        self.device.texts()
    }
}

fn open(world: &World, disk: &MemoryDisk, http: &Arc<EvilDirectory>, courier: &Arc<EvilCourier>) -> Client {
    let parts = Parts {
        store: Box::new(disk.open()),
        http: http.clone(),
        courier: courier.clone(),
        clock: world.clock.clone(),
        random: Arc::new(SystemRandom),
        server: world.address(),
    };
    Client::open(parts).unwrap()
}

/// Says something in a suite and waits until the other side has it and said so.
async fn say(from: &Device, to: &Device, text: &str, suite: SuiteId) {
    let draft = Draft { suite: Some(suite), ..from.draft(to, text) };
    let sent = from.client.send(draft).await.unwrap();
    from.wait(&sent, Until::Delivered).await;
}

/// Counts the messages that were announced since.
async fn shown(events: &mut Events) -> usize {
    let mut messages = 0;
    let moment = std::time::Duration::from_millis(50);
    while let Ok(Some(event)) = tokio::time::timeout(moment, events.next()).await {
        messages += usize::from(matches!(event, Event::Message(_)));
    }
    messages
}

/// RCV-4, PAIR-14, PEC-16: the same ciphertext 1, 2, 100 times, under the same label and a new one, in another order, over
/// restarts: one message, one receipt, and an acknowledgement for each.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_counts_once() {
    let world = World::start().await;
    let alice = world.register("alice", "phone").await;
    let mut bob = Tapped::register(&world, "bob").await;
    let mut sealed = Vec::new();
    for suite in SUITES {
        for text in ["one", "two"] {
            say(&alice, &bob.device, text, suite).await;
            sealed.push(bob.tap.last());
        }
    }
    let before = bob.texts().await;
    assert_eq!(before.len(), 4);
    for times in [1, 2, 100] {
        let mut events = bob.device.client.subscribe();
        bob.tap.take_said();
        for turn in 0..times {
            for envelope in sealed.iter().rev() {
                let mut again = envelope.clone();
                // As it was, and as a server would disguise it.
                if turn % 2 == 1 {
                    again.envelope_id = Bytes::copy_from_slice(&rand::random::<[u8; 16]>());
                    again.accepted_ms += 1;
                }
                bob.tap.inject(again.encode_to_vec().into());
            }
        }
        let said = within("an acknowledgement", bob.tap.silence()).await;
        assert!(said.iter().all(|said| said == "ack"), "{times} times: {said:?}");
        assert_eq!(shown(&mut events).await, 0, "{times} times");
        assert_eq!(bob.texts().await, before, "{times} times");
        bob.restart(&world).await;
        // What a start calls for is over.
        within("a start", bob.tap.silence()).await;
    }
}

/// RCV-4: a server that keeps what `pair` sealed until the marks are forgotten has no more of it: no second message, no second
/// receipt. `pair-ec` does not open it at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_after_the_marks_are_forgotten_counts_once() {
    let world = World::start().await;
    let alice = world.register("alice", "phone").await;
    let mut bob = Tapped::register(&world, "bob").await;
    let mut sealed = Vec::new();
    for suite in SUITES {
        say(&alice, &bob.device, "long ago", suite).await;
        sealed.push(bob.tap.last());
    }
    bob.device.offline().await;
    world.clock.advance(Duration::from_days(40));
    bob.restart(&world).await;
    // Upkeep comes a moment after the connection; without it this story tells nothing.
    let store = bob.device.disk.open();
    until("upkeep", || store.seen_before(halcyon_client::ports::Clock::now(&*world.clock)).unwrap() == 0).await;
    let before = bob.texts().await;
    let mut events = bob.device.client.subscribe();
    for envelope in &sealed {
        let said = bob.tap.answers_to(envelope).await;
        assert!(!said.iter().any(|said| said == "send"), "a receipt: {said:?}");
    }
    assert_eq!(shown(&mut events).await, 0);
    assert_eq!(bob.texts().await, before);
}

/// PAIR-13, PAIR-14, PEC-18, RCV-3: whatever is wrong with a message, the client acknowledges it, once, and says nothing else
/// to anybody: no answer, no lookup, no receipt. Nothing is shown, and the next good message arrives.
#[tokio::test(flavor = "multi_thread")]
async fn no_failure_looks_different() {
    let world = World::start().await;
    let alice = world.register("alice", "phone").await;
    let mallory = world.register("mallory", "phone").await;
    let bob = Tapped::register(&world, "bob").await;
    for suite in SUITES {
        say(&mallory, &bob.device, "hello", suite).await;
        let from_mallory = bob.tap.last();
        say(&alice, &bob.device, "hello", suite).await;
        let good = bob.tap.last();
        let before = bob.texts().await;
        let mut events = bob.device.client.subscribe();

        let mut forged: Vec<(String, wire::Envelope)> = Vec::new();
        let mut add = |what: String, change: &dyn Fn(&mut wire::Envelope)| {
            let mut envelope = good.clone();
            change(&mut envelope);
            forged.push((what, envelope));
        };
        let len = good.payload.len();
        for at in [0, 1, 2, 3, 10, 80, 163, 164, len / 2, len - 70, len - 8, len - 1] {
            add(format!("byte {at} bent"), &|envelope| {
                let mut payload = envelope.payload.to_vec();
                payload[at] ^= 1;
                envelope.payload = payload.into();
            });
        }
        for cut in [0, 1, 100, len - 1] {
            add(format!("cut to {cut}"), &|envelope| envelope.payload = envelope.payload.slice(..cut));
        }
        add("a byte after it".into(), &|envelope| {
            envelope.payload = [&envelope.payload[..], &[0]].concat().into();
        });
        add("another suite".into(), &|envelope| envelope.suite = if envelope.suite == 1 { 2 } else { 1 });
        add("no such suite".into(), &|envelope| envelope.suite = 77);
        add("said to be mallory's".into(), &|envelope| {
            envelope.sender_account = from_mallory.sender_account.clone();
            envelope.sender_device = from_mallory.sender_device.clone();
            envelope.sender_handle = from_mallory.sender_handle.clone();
            envelope.sender_list_version = from_mallory.sender_list_version;
        });
        add("mallory's, said to be alice's".into(), &|envelope| envelope.payload = from_mallory.payload.clone());
        add("a replay".into(), &|_| {});
        for (what, payload) in sealed_by(&alice, &bob.device, suite) {
            add(what.to_owned(), &|envelope| envelope.payload = payload.clone().into());
        }
        for (what, envelope) in &forged {
            let said = bob.tap.answers_to(envelope).await;
            assert_eq!(said, ["ack"], "{suite}: {what}");
        }
        assert_eq!(bob.tap.answers_to_bytes(Bytes::from_static(b"\xff\xff no envelope")).await, ["ack"]);
        assert_eq!(shown(&mut events).await, 0, "{suite}");
        assert_eq!(bob.texts().await, before, "{suite}");
        say(&alice, &bob.device, "and on it goes", suite).await;
        assert_eq!(bob.texts().await.len(), before.len() + 1, "{suite}");
    }
}

fn keys_of(device: &Device) -> (DeviceKeys, SigningKey) {
    let profile = device.disk.open().profile().unwrap().unwrap();
    let account_key = Secret::try_from(profile.account_key.expose()).unwrap();
    (
        DeviceKeys::from_secret_bytes(profile.device_keys.expose()).unwrap(),
        SigningKey::from_secret(&account_key).unwrap(),
    )
}

/// What only the true sender could seal: nonsense, and in `pair` a message for somebody else in a good signature.
fn sealed_by(alice: &Device, bob: &Device, suite: SuiteId) -> Vec<(&'static str, Vec<u8>)> {
    if suite != SuiteId::PAIR {
        return Vec::new();
    }
    let (alices, _) = keys_of(alice);
    let (bobs, _) = keys_of(bob);
    let (from, to) = (alices.pair.as_ref().unwrap(), bobs.pair.as_ref().unwrap());
    vec![
        ("sealed nonsense", from.seal(&mut OsRng, to.identity(), b"\xff\xff\xff").unwrap()),
        ("sealed nothing", from.seal(&mut OsRng, to.identity(), b"").unwrap()),
        ("sealed for herself", from.seal(&mut OsRng, from.identity(), b"hello").unwrap()),
    ]
}

/// CON-7, COU-43: Alice's message to Bob, handed to Carol, and under another device of hers: each is acknowledged and nothing
/// else. (Under another handle of hers: `testing/evil/tests/it/courier.rs`; another account's: [`no_failure_looks_different`].)
#[tokio::test(flavor = "multi_thread")]
async fn a_message_belongs_to_its_sender_and_its_recipient() {
    let world = World::start().await;
    let alice = world.register("alice", "phone").await;
    let tablet = world.link(&alice, "tablet").await;
    let (bob, carol) = (Tapped::register(&world, "bob").await, Tapped::register(&world, "carol").await);
    for suite in SUITES {
        // Carol knows both of Alice's devices, so that no lookup is called for.
        say(&alice, &carol.device, "hi carol", suite).await;
        say(&tablet, &carol.device, "hi carol, too", suite).await;
        say(&tablet, &bob.device, "hi bob", suite).await;
        let tablets = bob.tap.last();
        say(&alice, &bob.device, "for bob", suite).await;
        let for_bob = bob.tap.last();
        let (bob_before, carol_before) = (bob.texts().await, carol.texts().await);

        assert_eq!(carol.tap.answers_to(&for_bob).await, ["ack"], "{suite}: handed to carol, by her push token");
        let mut other_device = for_bob.clone();
        other_device.sender_device = tablets.sender_device.clone();
        assert_eq!(bob.tap.answers_to(&other_device).await, ["ack"], "{suite}: another device of hers");
        assert_eq!(bob.texts().await, bob_before, "{suite}");
        assert_eq!(carol.texts().await, carol_before, "{suite}");
    }
}

/// Unknown key share. Mallory registers Alice's `pair` identity as that of her own device, and with the server's help has
/// Alice's message to Bob delivered as hers: it opens, since the keys are right, and is dropped, since it says who wrote it
/// (CON-7). In `pair-ec` the device key is the identity, and an entry with Alice's is not counter-signed by her for Mallory
/// (DIR-2).
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_another_are_no_identity() {
    let world = World::start().await;
    let (alice, mallory) = (world.register("alice", "phone").await, world.register("mallory", "phone").await);
    let bob = Tapped::register(&world, "bob").await;
    say(&alice, &bob.device, "it is me", SuiteId::PAIR).await;
    let from_alice = bob.tap.last();
    say(&alice, &bob.device, "it is me again", SuiteId::PAIR_EC).await;
    let ec_from_alice = bob.tap.last();

    let alices: PairIdentity = keys_of(&alice).0.pair.as_ref().unwrap().identity().clone();
    let (keys, account_key) = keys_of(&mallory);
    let who = mallory.client.account().unwrap().unwrap();
    let now = halcyon_client::ports::Clock::now(&*world.clock);
    let blob = Bytes::copy_from_slice(alices.as_bytes());
    let entry = DeviceEntry::new(keys.device.verifying_key(), "phone", &SUITES, Some(blob), now).unwrap();
    let entry = CountersignedEntry::sign(entry, who.account, &keys.device).unwrap();
    let list = SignedList::first(&account_key, entry, now).unwrap();
    let (forged, mallorys): (directory_wire::SignedDeviceList, _) = (list.to_wire(), who.account);
    bob.device.http.tamper_accounts(move |account| {
        let list = directory_wire::DeviceList::decode(account.list.as_ref().unwrap().list.clone()).unwrap();
        if list.account_id[..] == mallorys.as_bytes()[..] {
            account.list = Some(forged.clone());
        }
    });
    let found = bob.device.client.lookup(&mallory.handle).await.unwrap();
    assert_eq!(found.devices.len(), 1, "Bob believes the list: Mallory signed it");

    let before = bob.texts().await;
    for envelope in [from_alice, ec_from_alice] {
        let mut claimed = envelope;
        claimed.sender_account = Bytes::copy_from_slice(who.account.as_bytes());
        claimed.sender_device = Bytes::copy_from_slice(who.device.as_bytes());
        claimed.sender_handle = mallory.handle.as_uri().to_owned();
        claimed.sender_list_version = 1;
        assert_eq!(bob.tap.answers_to(&claimed).await, ["ack"]);
    }
    assert_eq!(bob.texts().await, before);
}
