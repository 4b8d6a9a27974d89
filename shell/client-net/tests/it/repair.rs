//! Nothing stays unreadable, and nothing stays missing: stores that are lost, copies that are brought back, servers that drop, devices
//! that were away. Spec: 61-repair.md.

use std::collections::HashMap;

use halcyon_client::{
    Client, Event, Finding, RepairStep, SessionHealth, Until,
    event::Notice,
    ports::{
        Change, Commit, Store as _,
        store::{OutboxTarget, TargetState},
    },
};
use halcyon_content::{Content, ConversationMembers, Kind, Repair, RepairCause, Unopened};
use halcyon_crypto::SecretBytes;
use halcyon_evil::Lie;
use halcyon_types::{Duration, EnvelopeId, MessageId};
use prost::Message as _;

use crate::world::{Device, World, event, until, within};

impl Device {
    /// What the one conversation of this device says, in the order in which it is shown.
    fn said(&self) -> Vec<String> {
        let mut said = Vec::new();
        for conversation in self.client.conversations().unwrap() {
            let history = self.client.history(conversation.id, u64::MAX, 1000).unwrap();
            said.extend(history.into_iter().map(|message| message.text.unwrap_or_default()));
        }
        said
    }

    async fn shows(&self, expected: &[&str]) {
        let shown = async {
            while self.said() != expected {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let found = tokio::time::timeout(crate::world::PATIENCE, shown).await;
        assert!(found.is_ok(), "{} shows {:?}, not {expected:?}", self.name, self.said());
    }

    async fn mended(&self) {
        until("the end of all repairs", || self.client.repairs().unwrap().is_empty()).await;
        assert!(self.client.gaps().unwrap().is_empty(), "{:?}", self.client.gaps());
    }

    /// Forgets the present connection, as a phone in a tunnel: what is due by the clock is done at the next.
    async fn reconnect(&self) {
        self.offline().await;
        self.online().await;
    }

    /// Goes away for longer than the server keeps what is written to it meanwhile, and than its prekeys live: whoever goes on after an
    /// answer that did not come needs one (PQ3-17).
    pub(crate) async fn is_away_for_weeks(&self, world: &World, writer: &Device, writes: &str) {
        self.offline().await;
        let unanswered = writer.say(self, writes).await;
        writer.wait(&unanswered, Until::Accepted).await;
        world.clock.advance(Duration::from_days(40));
        writer.reconnect().await;
    }
}

fn counted(client: &Client) -> HashMap<String, u64> {
    client.counters().unwrap().into_iter().map(|counter| (counter.name, counter.count)).collect()
}

/// REP-11, REP-12, REP-15, REP-16, REP-30, REP-31: Bob's sessions are lost in the middle of a conversation. His phone asks, Alice's
/// sends again, and it is shown once, in its place; while it lasts Bob sees that something is being repaired, and then nothing.
#[tokio::test(flavor = "multi_thread")]
async fn lost_sessions_mend() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let sent = alice.say(&bob, "one").await;
    alice.wait(&sent, Until::Delivered).await;
    let sent = bob.say(&alice, "two").await;
    bob.wait(&sent, Until::Delivered).await;
    bob.offline().await;
    assert_eq!(bob.client.dangerous_lose_sessions().unwrap(), 1);
    alice.say(&bob, "three").await;
    let sent = alice.say(&bob, "four").await;
    alice.wait(&sent, Until::Accepted).await;

    let mut events = bob.client.subscribe();
    bob.online().await;
    bob.shows(&["one", "two", "three", "four"]).await;
    let step = |wanted| {
        move |event| match event {
            Event::Repair { step, repair } if step == wanted => Some(repair),
            _ => None,
        }
    };
    let asked = event(&mut events, step(RepairStep::Asked)).await;
    assert_eq!((asked.unopened, asked.handle), (2, alice.handle.clone()));
    event(&mut events, step(RepairStep::Done)).await;
    alice.wait(&sent, Until::Delivered).await;
    bob.mended().await;

    let counted = counted(&bob.client);
    assert_eq!(counted["decrypt_failures_total{cause=\"no-key\"}"], 2);
    assert_eq!(counted["repairs_total{cause=\"no-key\",outcome=\"repaired\"}"], 2);
    let sent = bob.say(&alice, "five").await;
    bob.wait(&sent, Until::Delivered).await;
    alice.shows(&["one", "two", "three", "four", "five"]).await;
}

/// REP-16: a session record that cannot be read, as after a disk's fault or an upgrade that was taken back, is as good as lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_session_begins_anew() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let sent = alice.say(&bob, "one").await;
    alice.wait(&sent, Until::Delivered).await;
    let sent = bob.say(&alice, "two").await;
    bob.wait(&sent, Until::Delivered).await;
    let peer = bob.disk.open().repairs().session_devices().unwrap()[0];
    let garbage = Change::PutSession { device: peer, session: SecretBytes::copy_of(b"\xff from a later version") };
    bob.disk.open().commit(&Commit::new().with(garbage)).unwrap();
    let to_bob = alice.say(&bob, "three").await;
    bob.shows(&["one", "two", "three"]).await;
    alice.wait(&to_bob, Until::Delivered).await;
    let to_alice = bob.say(&alice, "four").await;
    bob.wait(&to_alice, Until::Delivered).await;
    bob.mended().await;
}

/// SND-1, REP-12: a message that is sent again while it waits to be sealed anew for everybody is sealed once for the one who asked: a
/// commit reads a session once, and would use its key twice.
#[tokio::test(flavor = "multi_thread")]
async fn two_targets_for_one_device_make_one_envelope() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let sent = alice.say(&bob, "one").await;
    alice.wait(&sent, Until::Delivered).await;
    alice.offline().await;
    let sent = alice.say(&bob, "two").await;
    let (before, mut store) = (alice.courier.sent().len(), alice.disk.open());
    let envelope = store.outbox_envelopes(sent.message.id).unwrap().remove(0);
    let mut job = store.outbox_job(sent.message.id).unwrap().unwrap();
    job.targets[0].state = TargetState::ToSeal;
    job.targets.push(OutboxTarget { only: Some(envelope.device), ..job.targets[0].clone() });
    let changes = Commit::new().with(Change::RemoveOutboxEnvelope(envelope.id)).with(Change::PutOutboxJob(job));
    store.commit(&changes).unwrap();
    alice.online().await;
    alice.wait(&sent, Until::Delivered).await;
    bob.shows(&["one", "two"]).await;
    assert_eq!(alice.courier.sent().len() - before, 1);
    assert!(bob.client.alerts().unwrap().is_empty());
}

/// REP-18: Eve, with whom Bob never talked, asks for everything. She does not even learn that his phone is on.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_not_answered() {
    let world = World::start().await;
    let (eve, bob) = (world.register("eve", "phone").await, world.register("bob", "phone").await);
    let question = Repair {
        unopened: vec![Unopened { envelope: EnvelopeId::from_bytes([1; 16]), cause: RepairCause::NoKey }],
        counts_wanted: true,
        ..Repair::default()
    };
    let content = Content {
        message_id: MessageId::from_bytes([2; 16]),
        sent: eve.messages().first().map_or_else(Default::default, |message| message.sent),
        members: ConversationMembers::new(eve.handle.clone(), [bob.handle.clone()]).unwrap(),
        kind: Kind::Repair(question),
        place: None,
    };
    eve.offline().await;
    eve.forges(&content, true, &[&bob]);
    eve.online().await;
    until("the question", || !bob.disk.open().repairs().session_devices().unwrap().is_empty()).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert!(bob.courier.sent().is_empty());
}

/// REP-16: both lose everything, and write at once.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_lost_on_both_sides_mend() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let sent = alice.say(&bob, "one").await;
    alice.wait(&sent, Until::Delivered).await;
    alice.offline().await;
    bob.offline().await;
    let to_bob = alice.say(&bob, "two").await;
    let to_alice = bob.say(&alice, "three").await;
    alice.client.dangerous_lose_sessions().unwrap();
    bob.client.dangerous_lose_sessions().unwrap();
    alice.online().await;
    bob.online().await;
    alice.wait(&to_bob, Until::Delivered).await;
    bob.wait(&to_alice, Until::Delivered).await;
    let sent = alice.say(&bob, "four").await;
    alice.wait(&sent, Until::Delivered).await;
    alice.mended().await;
    bob.mended().await;
    assert_eq!((alice.said().len(), bob.said().len()), (4, 4));
}

/// REP-10, REP-15: the server drops two messages in silence. Bob's phone sees the hole, shows it, asks, and fills it in its place.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_drops_is_found() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    bob.offline().await;
    for text in ["one", "two", "three", "four"] {
        alice.say(&bob, text).await;
    }
    let mut count = 0;
    bob.courier.relabel(move |envelope| {
        count += 1;
        if count == 2 || count == 3 {
            envelope.topic = "halcyon.nothing".to_owned();
        }
    });
    bob.online().await;
    until("the gap", || !bob.client.gaps().unwrap().is_empty()).await;
    let gap = bob.client.gaps().unwrap().remove(0);
    assert_eq!((&gap.missing[..], gap.handle), (&[(2, 3)][..], alice.handle.clone()));
    assert_eq!(bob.said(), ["one", "four"]);
    let before = |shown: halcyon_client::ShownMessage| (shown.missing_before, shown.lost_before);
    assert_eq!(bob.messages().into_iter().map(before).collect::<Vec<_>>(), [(0, 0), (2, 0)], "in its place (REP-31)");
    bob.shows(&["one", "two", "three", "four"]).await;
    assert!(bob.messages().into_iter().map(before).all(|before| before == (0, 0)));
    let late: Vec<_> =
        bob.client.history_since(2, 10).unwrap().into_iter().map(|message| message.text.unwrap()).collect();
    assert_eq!(late, ["two", "three"], "who shows each once finds what came late");
    bob.mended().await;
    assert_eq!(counted(&bob.client)["gaps_total"], 1);
}

/// REP-13: the very last message is dropped: nothing comes after it that would show the hole, but Alice's phone counts.
#[tokio::test(flavor = "multi_thread")]
async fn the_loss_of_the_last_message_is_found() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let sent = alice.say(&bob, "one").await;
    alice.wait(&sent, Until::Delivered).await;
    bob.courier.relabel(|envelope| envelope.topic = "halcyon.nothing".to_owned());
    let sent = alice.say(&bob, "two").await;
    alice.wait(&sent, Until::Accepted).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    bob.courier.leave_alone();
    assert_eq!(bob.said(), ["one"]);
    let deliveries = async || {
        let checks = alice.client.doctor().await;
        checks.into_iter().find(|check| check.name == "deliveries").unwrap().finding
    };
    assert_eq!(deliveries().await, Finding::Good);
    alice.offline().await;
    bob.offline().await;
    world.clock.advance(Duration::from_mins(25 * 60));
    assert_eq!(deliveries().await, Finding::Notable, "the sender sees that nobody confirmed it");
    alice.online().await;
    bob.online().await;
    bob.shows(&["one", "two"]).await;
    alice.wait(&sent, Until::Delivered).await;
    bob.mended().await;
    assert_eq!(deliveries().await, Finding::Good);
}

/// REP-13, REP-18: the very first message is dropped. To Bob's phone Alice is a stranger, whose counts it does not answer.
#[tokio::test(flavor = "multi_thread")]
async fn the_loss_of_the_first_message_is_made_good() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    bob.courier.relabel(|envelope| envelope.topic = "halcyon.nothing".to_owned());
    let sent = alice.say(&bob, "one").await;
    alice.wait(&sent, Until::Accepted).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    bob.courier.leave_alone();
    let sealed = || alice.courier.sent().len();
    for counts in 1..=5 {
        assert!(bob.said().is_empty(), "after {} counts", counts - 1);
        let before = sealed();
        alice.offline().await;
        world.clock.advance(Duration::from_mins(61));
        alice.online().await;
        until("the count", || sealed() > before && alice.client.outbox_len().unwrap() == 0).await;
    }
    bob.shows(&["one"]).await;
    alice.wait(&sent, Until::Delivered).await;
    bob.mended().await;
}

/// REP-20 to REP-24: Alice's phone is brought back from yesterday's copy. It notices at its next connect, before anything leaves; what
/// was said since comes back, what it said itself from her laptop, and no key is used a second time.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_from_yesterday_catches_up() {
    let world = World::start().await;
    let mut alice = world.register("alice", "phone").await;
    let laptop = world.link(&alice, "laptop").await;
    let bob = world.register("bob", "phone").await;
    let sent = alice.say(&bob, "one").await;
    alice.wait(&sent, Until::Delivered).await;
    let sent = bob.say(&alice, "two").await;
    bob.wait(&sent, Until::Delivered).await;
    alice.has(2).await;
    let yesterday = alice.disk.copy();
    world.clock.advance(Duration::from_days(1));
    for text in ["three", "four"] {
        let sent = alice.say(&bob, text).await;
        alice.wait(&sent, Until::Delivered).await;
    }
    let sent = bob.say(&alice, "five").await;
    bob.wait(&sent, Until::Delivered).await;
    alice.has(5).await;
    laptop.has(5).await;
    alice.offline().await;

    alice.disk = yesterday;
    alice.restart(&world).await;
    assert_eq!(alice.said(), ["one", "two"]);
    let six = alice.say(&bob, "six").await;
    let mut events = alice.client.subscribe();
    alice.online().await;
    event(&mut events, |event| match event {
        Event::Alert(alert) => (alert.notice == Notice::ProfileRestored).then_some(()),
        _ => None,
    })
    .await;
    alice.wait(&six, Until::Delivered).await;
    let mut expected = ["one", "two", "three", "four", "five", "six"];
    expected.sort_unstable();
    for device in [&alice, &laptop, &bob] {
        device.has(6).await;
        let mut said = device.said();
        said.sort_unstable();
        assert_eq!(said, expected, "{}", device.name);
        device.mended().await;
    }
    assert_eq!(bob.said(), ["one", "two", "three", "four", "five", "six"]);
    assert!(bob.client.alerts().unwrap().is_empty(), "nobody saw a key twice (PQ3-26)");
    no_key_twice(&alice, &bob);
}

/// REP-20, REP-21: an older copy of Alice's phone writes so much before it connects that it has sealed more often than the original.
/// It is found out all the same: what counts is what it had before.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_does_not_catch_up() {
    let world = World::start().await;
    let (mut alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let sent = alice.say(&bob, "one").await;
    alice.wait(&sent, Until::Delivered).await;
    let sent = bob.say(&alice, "two").await;
    bob.wait(&sent, Until::Delivered).await;
    let yesterday = alice.disk.copy();
    let sent = alice.say(&bob, "three").await;
    alice.wait(&sent, Until::Delivered).await;
    alice.offline().await;

    alice.disk = yesterday;
    alice.restart(&world).await;
    for n in 0..8 {
        alice.say(&bob, &n.to_string()).await;
        // The second half by another process, which finds what the first sealed.
        if n == 3 {
            alice.restart(&world).await;
        }
    }
    let last = alice.say(&bob, "last").await;
    alice.online().await;
    alice.wait(&last, Until::Delivered).await;
    assert!(alice.client.alerts().unwrap().iter().any(|alert| alert.notice == Notice::ProfileRestored));
    assert_eq!(bob.has(12).await.len(), 12);
    assert!(bob.client.alerts().unwrap().is_empty(), "nobody saw a key twice (PQ3-26)");
    no_key_twice(&alice, &bob);
}

/// No two different messages of a device share x(E) and index (PQ3-20).
fn no_key_twice(device: &Device, other: &Device) {
    #[derive(prost::Message)]
    struct Message {
        #[prost(bytes = "vec", tag = "4")]
        ephemeral: Vec<u8>,
        #[prost(uint32, tag = "5")]
        index: u32,
    }
    let mut seen: HashMap<(Vec<u8>, u32), Vec<u8>> = HashMap::new();
    for sent in device.courier.sent().into_iter().chain(other.courier.sent()) {
        let message = Message::decode(&sent.payload[..]).unwrap();
        let known = seen.entry((message.ephemeral, message.index)).or_insert_with(|| sent.payload.to_vec());
        assert_eq!(*known, sent.payload, "a key was used twice");
    }
    assert!(seen.len() > 8);
}

/// REP-12, REP-14, SND-4: Bob's phone is away for 40 days. The server has dropped what waited for it, its prekeys are stale, and its
/// history is complete soon after it is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_was_away_for_weeks_misses_nothing() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let sent = alice.say(&bob, "one").await;
    alice.wait(&sent, Until::Delivered).await;
    bob.is_away_for_weeks(&world, &alice, "two").await;
    let sent = alice.say(&bob, "three").await;
    alice.wait(&sent, Until::Accepted).await;
    bob.online().await;
    bob.shows(&["one", "two", "three"]).await;
    bob.mended().await;
}

/// REP-14: what Alice's phone cannot send again, since it was brought back from before it was written, it says; Bob sees that it is
/// lost, and nobody asks for ever.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_gone_is_said_to_be() {
    let world = World::start().await;
    let (mut alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let sent = alice.say(&bob, "one").await;
    alice.wait(&sent, Until::Delivered).await;
    bob.offline().await;
    let before = alice.disk.copy();
    alice.say(&bob, "two").await;
    let sent = alice.say(&bob, "three").await;
    alice.wait(&sent, Until::Accepted).await;
    alice.offline().await;
    let mut count = 0;
    bob.courier.relabel(move |envelope| {
        count += 1;
        if count == 1 {
            envelope.topic = "halcyon.nothing".to_owned();
        }
    });
    bob.online().await;
    bob.shows(&["one", "three"]).await;
    assert_eq!(bob.client.gaps().unwrap()[0].missing, [(2, 2)]);
    alice.disk = before;
    alice.restart(&world).await;
    alice.online().await;
    until("the answer", || bob.client.gaps().unwrap()[0].lost == [(2, 2)]).await;
    assert!(bob.client.repairs().unwrap().is_empty());
    assert_eq!(counted(&bob.client)["repairs_total{cause=\"gap\",outcome=\"gone\"}"], 1);
}

/// REP-22: server and profile are both from yesterday, so the server has nothing to say; Bob's phone has: a key came twice. It asks,
/// and Alice's phone begins its session with Bob anew. His word is not enough to make it give up those with everybody.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_remembers_what_the_server_forgot() {
    let mut world = World::start().await;
    let (mut alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let sent = alice.say(&bob, "one").await;
    alice.wait(&sent, Until::Delivered).await;
    bob.offline().await;
    // The copy is in the middle of a chain, whose next key it has.
    let sent = alice.say(&bob, "two").await;
    alice.wait(&sent, Until::Accepted).await;
    alice.offline().await;
    let (server, profile) = (world.copy_of_server().await, alice.disk.copy());
    alice.online().await;
    let sent = alice.say(&bob, "three").await;
    alice.wait(&sent, Until::Accepted).await;
    bob.online().await;
    alice.wait(&sent, Until::Delivered).await;
    alice.offline().await;
    world.bring_back_server(server).await;
    alice.disk = profile;
    alice.restart(&world).await;
    alice.online().await;
    let sent = alice.say(&bob, "four").await;
    alice.wait(&sent, Until::Delivered).await;
    let mut said = bob.said();
    said.sort_unstable();
    assert_eq!(said, ["four", "one", "three", "two"]);
    bob.mended().await;
    assert_eq!(counted(&bob.client)["repairs_total{cause=\"forked\",outcome=\"repaired\"}"], 1);
    assert!(alice.client.alerts().unwrap().is_empty());
}

/// REP-17: whatever Alice's phone sends again is lost, too; then it is asked to begin anew.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_get_through_begins_anew() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let sent = alice.say(&bob, "one").await;
    alice.wait(&sent, Until::Delivered).await;
    bob.offline().await;
    alice.say(&bob, "two").await;
    let sent = alice.say(&bob, "three").await;
    alice.wait(&sent, Until::Accepted).await;
    let mut count = 0;
    bob.courier.relabel(move |envelope| {
        count += 1;
        if count != 2 {
            envelope.topic = "halcyon.nothing".to_owned();
        }
    });
    bob.online().await;
    bob.shows(&["one", "three"]).await;
    let asked = async |times: u32| {
        within("a question", async {
            while bob.client.repairs().unwrap()[0].asked < times {
                world.clock.advance(Duration::from_mins(1));
                bob.reconnect().await;
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
        })
        .await;
    };
    asked(3).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let begins_anew = || alice.client.sessions().unwrap()[0].summary;
    assert!(!begins_anew().unanswered && !begins_anew().restarts_next, "{:?}", begins_anew());
    asked(4).await;
    until("a new session", || begins_anew().unanswered).await;
    bob.courier.leave_alone();
    within("what was asked for", async {
        while bob.said().len() < 3 {
            world.clock.advance(Duration::from_mins(1));
            bob.reconnect().await;
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    })
    .await;
    bob.shows(&["one", "two", "three"]).await;
}

/// REP-19: Bob is shown an old device list, so what Alice's new laptop says does not open; when he is told the truth it does.
#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_attributed_opens_later() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let sent = bob.say(&alice, "one").await;
    bob.wait(&sent, Until::Delivered).await;
    bob.http.tell(Lie::Frozen);
    bob.client.lookup(&alice.handle).await.unwrap();
    let laptop = world.link(&alice, "laptop").await;
    let mut events = bob.client.subscribe();
    laptop.say(&bob, "two").await;
    let cause = event(&mut events, |event| match event {
        Event::Unopened { cause, .. } => Some(cause),
        _ => None,
    });
    assert_eq!(cause.await, "unknown-device");
    bob.http.be_honest();
    bob.reconnect().await;
    bob.shows(&["one", "two"]).await;
}

/// REP-31: what takes longer than an hour says why and what to do: as an event, among the sessions, and to the doctor. Once Alice's
/// phone is back, nothing of it is left.
#[tokio::test(flavor = "multi_thread")]
async fn what_takes_long_says_why() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let sent = alice.say(&bob, "one").await;
    alice.wait(&sent, Until::Delivered).await;
    let sent = bob.say(&alice, "two").await;
    bob.wait(&sent, Until::Delivered).await;
    bob.offline().await;
    bob.client.dangerous_lose_sessions().unwrap();
    let sent = alice.say(&bob, "three").await;
    alice.wait(&sent, Until::Accepted).await;
    alice.offline().await;
    bob.online().await;
    until("a question", || bob.client.repairs().unwrap().iter().any(|repair| repair.asked > 0)).await;
    let health = || bob.client.sessions().unwrap()[0].health();
    assert_eq!(health(), SessionHealth::Repairing);

    world.clock.advance(Duration::from_mins(61));
    let mut events = bob.client.subscribe();
    bob.reconnect().await;
    let stuck = event(&mut events, |event| match event {
        Event::Repair { step: RepairStep::Stuck, repair } => repair.stuck,
        _ => None,
    });
    assert!(stuck.await.contains("does not answer"));
    assert_eq!(health(), SessionHealth::Stuck);
    let checks = bob.client.doctor().await;
    let found = checks.iter().find(|check| check.name == "sessions").unwrap();
    assert!(found.finding == Finding::Notable && found.detail.contains("1 of 1 stuck"), "{found:?}");
    let handle = alice.handle.to_string();
    assert!(checks.iter().all(|check| !check.detail.contains(&handle)), "what is sent to those who help names nobody");

    alice.online().await;
    bob.shows(&["one", "two", "three"]).await;
    bob.mended().await;
    assert_eq!(health(), SessionHealth::Good);
}

/// REP-18, RCV-3: what does not authenticate is answered by nobody.
#[tokio::test(flavor = "multi_thread")]
async fn forgeries_are_not_answered() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let sent = alice.say(&bob, "one").await;
    alice.wait(&sent, Until::Delivered).await;
    let before = bob.courier.sent().len();
    bob.courier.relabel(|envelope| {
        let mut payload = envelope.payload.to_vec();
        let middle = payload.len() / 2;
        payload[middle] ^= 1;
        envelope.payload = payload.into();
    });
    let mut events = bob.client.subscribe();
    let sent = alice.say(&bob, "two").await;
    alice.wait(&sent, Until::Accepted).await;
    let cause = event(&mut events, |event| match event {
        Event::Unopened { cause, .. } => Some(cause),
        _ => None,
    });
    assert_eq!(cause.await, "unauthentic");
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    assert_eq!(bob.courier.sent().len(), before, "no answer left");
    assert!(bob.client.repairs().unwrap().is_empty());
}

/// REP-25: the server is brought back from yesterday's copy: prekeys are uploaded anew, and what it lost is found by counting.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_from_yesterday_is_told_again() {
    let mut world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let sent = alice.say(&bob, "one").await;
    alice.wait(&sent, Until::Delivered).await;
    alice.offline().await;
    bob.offline().await;
    let yesterday = world.copy_of_server().await;
    alice.online().await;
    let sent = alice.say(&bob, "two").await;
    alice.wait(&sent, Until::Accepted).await;
    alice.reconnect().await;
    alice.offline().await;
    world.bring_back_server(yesterday).await;
    let mut events = alice.client.subscribe();
    alice.online().await;
    event(&mut events, |event| match event {
        Event::Alert(alert) => (alert.notice == Notice::ServerWentBack).then_some(()),
        _ => None,
    })
    .await;
    bob.online().await;
    assert_eq!(bob.said(), ["one"]);
    world.clock.advance(Duration::from_mins(61));
    alice.reconnect().await;
    bob.shows(&["one", "two"]).await;
    alice.wait(&sent, Until::Delivered).await;
}
