//! A message reaches every device of both people, in either suite and over either binding.

use halcyon_client::{
    Draft, Fault, Suite, SuiteUse, Until,
    event::{DeliveryState, Origin},
};
use halcyon_client_net::{Binding, Network, Trust};
use halcyon_types::SuiteId;

use crate::world::{World, handle, until};

/// SND-1, RCV-1, RCV-5, RCV-6, RCV-7: alice's phone writes; bob's two devices and her laptop show it, and bob's say so.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_reaches_every_device() {
    let world = World::start().await;
    let (phone, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let (laptop, tablet) = (world.link(&phone, "laptop").await, world.link(&bob, "tablet").await);

    let sent = phone.say(&bob, "hello").await;
    let deliveries = phone.wait(&sent, Until::Delivered).await;
    assert_eq!(deliveries.len(), 3, "bob's two and the own laptop: {deliveries:?}");
    for delivery in &deliveries {
        assert_eq!(delivery.suite, Some(SuiteId::PQ3));
        let said_so = matches!(delivery.state, DeliveryState::Delivered(_));
        assert_eq!(said_so, !delivery.own, "RCV-6: own devices do not answer");
    }

    for device in [&bob, &tablet] {
        let message = device.has(1).await.remove(0);
        assert_eq!(message.text.as_deref(), Some("hello"));
        assert_eq!((&message.sender, message.origin), (&phone.handle, Origin::Peer));
        assert_eq!(message.sender_device_name.as_deref(), Some("phone"));
        assert_eq!(message.suite, Some(SuiteId::PQ3));
        assert_eq!(message.id, sent.message.id);
    }
    let copy = laptop.has(1).await.remove(0);
    assert_eq!((copy.text.as_deref(), copy.origin), (Some("hello"), Origin::OwnDevice));

    // RCV-7: the laptop did not send it, but its account did, so bob's receipts count there, too.
    let answer = tablet.say(&phone, "hi").await;
    tablet.wait(&answer, Until::Delivered).await;
    assert_eq!(phone.has(2).await.last().unwrap().text.as_deref(), Some("hi"));
    // Receipts are never answered, so the outbox empties; the server's last answer may come after the receipt itself.
    until("an empty outbox", || phone.client.outbox_len().unwrap() == 0).await;
}

/// SUI-5, SUI-6: `pair` is never picked where both speak more, and a person can force it for one message.
///
/// Everybody shares one thread here, as in a simulation: nothing waits for another thread to go on.
#[tokio::test]
async fn the_legacy_suite_is_used_only_when_it_is_asked_for() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let forced = Draft { suite: Some(SuiteId::PAIR), ..alice.draft(&bob, "an old friend") };
    let sent = alice.client.send(forced).await.unwrap();
    alice.wait(&sent, Until::Delivered).await;
    let sent = alice.say(&bob, "and now in the usual way").await;
    alice.wait(&sent, Until::Delivered).await;
    let suites: Vec<_> = bob.messages().iter().map(|message| message.suite).collect();
    assert_eq!(suites, [Some(SuiteId::PAIR), Some(SuiteId::PQ3)]);
}

/// PQ3-12, PQ3-14: a conversation, receipts alone coming back, is ratcheted and rekeyed, and both sides can say when.
#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_shows_how_it_is_protected() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    assert_eq!(alice.client.security(&bob.handle).unwrap(), None, "nothing is known of bob yet");
    for text in ["one", "two"] {
        let sent = alice.say(&bob, text).await;
        alice.wait(&sent, Until::Delivered).await;
    }
    let security = alice.client.security(&bob.handle).unwrap().unwrap();
    let [phone] = security.devices.as_slice() else { panic!("{security:?}") };
    assert_eq!((phone.suite, phone.name.as_str(), security.list_version), (Some(Suite::Pq3), "phone", 1));
    assert!(phone.ratcheted.is_some() && phone.rekeyed.is_some(), "{phone:?}");
}

/// SUI-9: alice switches the older suites off: her entry says so, nothing uses them, and the newest goes on.
#[tokio::test(flavor = "multi_thread")]
async fn older_suites_can_be_switched_off() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    for suite in [Suite::Pair, Suite::PairEc] {
        alice.client.switch_suite(suite, SuiteUse::Off).await.unwrap();
    }
    assert!(alice.client.switch_suite(Suite::Pq3, SuiteUse::Off).await.is_err(), "one has to stay");
    let seen = bob.client.lookup(&alice.handle).await.unwrap();
    assert_eq!(seen.devices[0].suites, [SuiteId::PQ3]);
    let sent = alice.say(&bob, "to you").await;
    alice.wait(&sent, Until::Delivered).await;
    let sent = bob.say(&alice, "and to you").await;
    bob.wait(&sent, Until::Delivered).await;
    assert_eq!(alice.messages().last().unwrap().suite, Some(SuiteId::PQ3));
    let forced = Draft { suite: Some(SuiteId::PAIR_EC), ..alice.draft(&bob, "not like this") };
    let sent = alice.client.send(forced).await.unwrap();
    assert!(matches!(sent.deliveries[0].state, DeliveryState::Failed(_)), "{:?}", sent.deliveries);
    alice.client.switch_suite(Suite::PairEc, SuiteUse::On).await.unwrap();
    let seen = bob.client.lookup(&alice.handle).await.unwrap();
    assert_eq!(seen.devices[0].suites, [SuiteId::PAIR_EC, SuiteId::PQ3]);
}

/// COU-2: where only HTTPS gets through, the courier does, too.
#[tokio::test(flavor = "multi_thread")]
async fn websocket_carries_the_same_frames() {
    let world = World::start().await;
    let alice = world.device_with("alice", "browser", Binding::WebSocket, world.clock.clone());
    world.register_on(&alice).await;
    let bob = world.register("bob", "phone").await;
    let sent = alice.say(&bob, "through the other door").await;
    alice.wait(&sent, Until::Delivered).await;
    let sent = bob.say(&alice, "and back").await;
    bob.wait(&sent, Until::Delivered).await;
    assert_eq!(alice.texts(), ["through the other door", "and back"]);
}

/// SND-1: what cannot be sent is refused before anything is committed, and says whose move is next.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_commits_nothing() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let commits = alice.disk.commits();
    let to = |recipients| Draft { recipients, ..alice.draft(&bob, "hello") };
    let drafts = [
        to(Vec::new()),
        to(vec![alice.handle.clone()]),
        Draft { text: "x".repeat(12_001), ..alice.draft(&bob, "") },
        Draft { from: Some(bob.handle.clone()), ..alice.draft(&bob, "hello") },
    ];
    for draft in drafts {
        let error = alice.client.send(draft).await.unwrap_err();
        assert_eq!(error.fault(), Fault::User, "{error}");
    }
    assert_eq!(alice.disk.commits(), commits);
    let unknown = alice.client.send(to(vec![bob.handle.clone(), handle("nobody")])).await.unwrap_err();
    assert!(unknown.to_string().starts_with("recipient 2 "), "DIR-21: {unknown}");
    assert_eq!(alice.messages().len(), 0);
    assert_eq!(alice.client.outbox_len().unwrap(), 0);
}

/// A server with an authority of its own is not trusted by those who were not told of it, and waiting is not the advice.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_authority_is_an_untrusted_key() {
    let world = World::start().await;
    let network = Network::new(world.address(), &Trust::Web, Binding::Native).unwrap();
    let mut alice = world.device("alice", "phone");
    alice.client = halcyon_client::Client::open(halcyon_client::Parts {
        store: Box::new(alice.disk.open()),
        http: network.http(),
        courier: network.courier(),
        clock: alice.clock.clone(),
        random: std::sync::Arc::new(halcyon_client_net::SystemRandom),
        server: world.address(),
    })
    .unwrap();
    let error = alice.client.request_verification(&alice.handle).await.unwrap_err();
    assert_eq!(error.fault(), Fault::UntrustedKey, "{error}");
    assert_eq!(error.fault().exit_code(), 4);
}

/// RCV-5: the tenth receipt of a connection is as quick as the first; only what does not help is tried later each time (SND-3).
#[tokio::test(flavor = "multi_thread")]
async fn receipts_do_not_become_slower() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    alice.online().await;
    bob.online().await;
    let talk = async {
        for number in 0..10 {
            let sent = alice.client.send(alice.draft(&bob, &format!("number {number}"))).await.unwrap();
            alice.client.wait_delivered(sent.message.id, Until::Delivered).await.unwrap();
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), talk).await.expect("a pause that grows takes minutes");
}
