//! Networks that fail, servers that stop, processes that end, acknowledgements that get lost: nothing is lost, and nothing comes twice.

use halcyon_client::{
    ConnectionState, Fault, Until,
    event::DeliveryState,
    ports::{Change, Clock, Commit, HttpError, Store as _, StoreError, store::OutboxEnvelope},
};
use halcyon_types::{Duration, Timestamp};

use crate::world::{World, until};

/// COU-50, SND-5: what waited arrives in the order in which it was sent.
#[tokio::test(flavor = "multi_thread")]
async fn an_offline_device_gets_everything_in_order() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    bob.offline().await;
    let mut last = None;
    for n in 0..20 {
        last = Some(alice.say(&bob, &n.to_string()).await);
    }
    let last = last.unwrap();
    alice.wait(&last, Until::Accepted).await;
    assert_eq!(bob.messages().len(), 0);
    bob.online().await;
    alice.wait(&last, Until::Delivered).await;
    let expected: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    assert_eq!(bob.texts(), expected);
}

/// SND-2: the server is gone and the process ends; the message is sent by the next one, and arrives once.
#[tokio::test(flavor = "multi_thread")]
async fn the_outbox_survives_server_and_process() {
    let mut world = World::start().await;
    let (mut alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let first = alice.say(&bob, "before").await;
    alice.wait(&first, Until::Delivered).await;
    world.stop_server().await;
    let sent = alice.say(&bob, "into the void").await;
    assert!(sent.deliveries.iter().all(|delivery| delivery.state == DeliveryState::Waiting), "{sent:?}");
    alice.restart(&world).await;
    assert_eq!(alice.client.outbox_len().unwrap(), 1);
    assert_eq!(alice.client.connection(), ConnectionState::Offline);
    world.start_server().await;
    alice.online().await;
    alice.wait(&sent, Until::Delivered).await;
    assert_eq!(bob.texts(), ["before", "into the void"]);
    assert_eq!(alice.client.outbox_len().unwrap(), 0);
}

/// SND-1: a stranger cannot be sealed for without the server; the person hears so, and nothing is committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_message_needs_the_server() {
    let mut world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    world.stop_server().await;
    let error = alice.client.send(alice.draft(&bob, "hello")).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Io, "{error}");
    assert_eq!(alice.messages().len(), 0);
}

/// RCV-4, COU-53: the acknowledgement got lost, so everything comes again, and is shown once.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_again_is_shown_once() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    bob.offline().await;
    bob.courier.lose_acks(true);
    bob.online().await;
    for text in ["one", "two"] {
        let sent = alice.say(&bob, text).await;
        alice.wait(&sent, Until::Delivered).await;
    }
    for _ in 0..2 {
        bob.offline().await;
        bob.online().await;
    }
    bob.courier.lose_acks(false);
    bob.offline().await;
    bob.online().await;
    let sent = alice.say(&bob, "three").await;
    alice.wait(&sent, Until::Delivered).await;
    assert_eq!(bob.texts(), ["one", "two", "three"]);
}

/// I2: a disk that takes nothing acknowledges nothing; when it works again, the message is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_acknowledges_nothing() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    bob.disk.fail_commits(Some(StoreError::Full));
    let sent = alice.say(&bob, "hold on").await;
    alice.wait(&sent, Until::Accepted).await;
    until("bob to give up the connection", || matches!(bob.client.connection(), ConnectionState::Waiting { .. })).await;
    bob.disk.fail_commits(None);
    alice.wait(&sent, Until::Delivered).await;
    assert_eq!(bob.texts(), ["hold on"]);
}

/// I1, SND-1: a disk that takes nothing sends nothing, and uses nothing up.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_sends_nothing() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let sent = alice.say(&bob, "first").await;
    alice.wait(&sent, Until::Delivered).await;
    alice.disk.fail_commits(Some(StoreError::Full));
    let error = alice.client.send(alice.draft(&bob, "never")).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Io);
    alice.disk.fail_commits(None);
    let sent = alice.say(&bob, "second").await;
    alice.wait(&sent, Until::Delivered).await;
    assert_eq!(bob.texts(), ["first", "second"]);
}

/// ACC-32: the answer to a registration gets lost; the account is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_does_not_lose_the_account() {
    let world = World::start().await;
    let mut alice = world.device("alice", "phone");
    let registration = world.verified(&alice).await;
    alice.http.tamper(|request, answer| match request.path.as_str() {
        "/v1/registrations/finish" | "/v1/account" => answer.and(Err(HttpError::Broken("gone".to_owned()))),
        _ => answer,
    });
    let error = alice.client.register(registration.clone()).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Io, "{error}");
    assert_eq!(alice.client.account().unwrap(), None);
    alice.http.be_honest();
    alice.restart(&world).await;
    // The verification was used up by the attempt whose answer got lost.
    let account = alice.client.register(registration).await.unwrap();
    assert_eq!(account.handles, [alice.handle.clone()]);
    alice.online().await;
}

/// RCV-2: a stranger's message waits, unacknowledged, until the stranger can be looked up.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_waits_for_the_directory() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    bob.http.tamper(|request, answer| match request.path.as_str() {
        "/v1/lookup" => Err(HttpError::TimedOut),
        _ => answer,
    });
    let sent = alice.say(&bob, "do you know me?").await;
    alice.wait(&sent, Until::Accepted).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(bob.messages().len(), 0);
    assert!(matches!(bob.client.connection(), ConnectionState::Online { .. }), "the connection is not at fault");
    // Not acknowledged: it is there for the next connection, too.
    bob.offline().await;
    bob.http.be_honest();
    bob.online().await;
    alice.wait(&sent, Until::Delivered).await;
    assert_eq!(bob.texts(), ["do you know me?"]);
}

/// SND-3: a full mailbox is tried ever more seldom, but whatever comes from its device shows that there is room.
#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_fit_leaves_when_the_device_is_back() {
    let world = World::start_with(|settings| settings.courier.mailbox_count_max = 2).await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    bob.offline().await;
    alice.say(&bob, "one").await;
    alice.say(&bob, "two").await;
    let last = alice.say(&bob, "three").await;
    let mut store = alice.disk.open();
    let refusals = || {
        let envelopes = alice.disk.open().outbox_envelopes(last.message.id).unwrap();
        envelopes.first().map_or(0, |envelope| envelope.attempts)
    };
    until("a refusal", || refusals() > 0).await;
    // As if it had been tried for a day.
    alice.offline().await;
    let envelope = store.outbox_envelopes(last.message.id).unwrap().remove(0);
    let tried = OutboxEnvelope { attempts: 20, not_before: Timestamp::default(), ..envelope };
    store.commit(&Commit::new().with(Change::PutOutboxEnvelope(tried))).unwrap();
    alice.online().await;
    until("another refusal", || refusals() > 20).await;
    let next = store.outbox_envelopes(last.message.id).unwrap()[0].not_before;
    assert!(next.since(Clock::now(&*world.clock)) > Duration::from_mins(25), "the longest pause, or half of it");

    bob.online().await;
    alice.wait(&last, Until::Delivered).await;
    assert_eq!(bob.texts(), ["one", "two", "three"]);
}
