//! Getting in, staying in, being put out (COU-10 to COU-15, COU-55).

use std::time::Duration;

use halcyon_courier::connect::{ChannelBinding, Hello};
use halcyon_courier::{CloseCode, Topics};
use halcyon_server::ports::Notifier;
use halcyon_testkit::courier::Phone;
use tokio::time::Instant;

use crate::world::{BINDING, HOST, World};

/// COU-10, COU-11, COU-13: the server speaks first, the device proves itself, and learns what it may do.
#[tokio::test(start_paused = true)]
async fn a_device_gets_in() {
    let world = World::new();
    let mut phone = Phone::new(&world.alice, world.pipe());
    let hello = phone.hello().await;
    assert_eq!(hello.server_time, world.now());
    let connected = phone.connect(HOST, &hello, &BINDING, Topics::messages_and_alerts(), world.now()).await.unwrap();
    assert_eq!(connected.push_token, world.alice.push_token);
    assert_eq!((connected.window_count, connected.window_bytes), (64, 1 << 20));
    assert_eq!((connected.frame_bytes_max, connected.payload_bytes_max), (256 << 10, 20 << 10));
    assert_eq!(world.courier.connected(), 1);
}

/// COU-12: each thing wrong has its code, and a stranger learns nothing about who is known.
#[tokio::test(start_paused = true)]
async fn whoever_is_not_right_is_told_what_is_wrong() {
    let world = World::new();
    let refusal = async |mut phone: Phone<_>, audience: &str, skew_ms: i64, binding: ChannelBinding| {
        let hello = phone.hello().await;
        let now = halcyon_types::Timestamp::from_millis(world.now().as_millis().saturating_add_signed(skew_ms));
        let refused = phone.connect(audience, &hello, &binding, Topics::messages_and_alerts(), now).await.unwrap_err();
        assert!(phone.frame().await.is_none(), "the connection ends");
        refused
    };
    let alice = || Phone::new(&world.alice, world.pipe());
    let five_minutes = 5 * 60 * 1000;
    assert_eq!(refusal(alice(), "elsewhere.test", 0, BINDING).await.code, CloseCode::WrongAudience);
    for skew in [five_minutes + 1, -five_minutes - 1] {
        let skewed = refusal(alice(), HOST, skew, BINDING).await;
        assert_eq!(skewed.code, CloseCode::ClockSkew);
        assert_eq!(skewed.server_time, Some(world.now()), "the device can set its clock");
    }
    let foreign_channel = refusal(alice(), HOST, 0, ChannelBinding::Exporter([5; 32])).await;
    let mallory = world.town.device("mallory", "phone");
    world.town.remove(&mallory);
    let unknown = refusal(Phone::new(&mallory, world.pipe()), HOST, 0, BINDING).await;
    assert_eq!(foreign_channel.code, CloseCode::Unauthenticated);
    assert_eq!(foreign_channel, unknown, "one answer for both");
    assert_eq!(world.courier.connected(), 0);
}

/// COU-11: a connect is good on the connection that it was made for.
#[tokio::test(start_paused = true)]
async fn a_connect_cannot_be_replayed() {
    let world = World::new();
    let mut overheard = Phone::new(&world.alice, world.pipe());
    let hello: Hello = overheard.hello().await;
    let mut replay = Phone::new(&world.alice, world.pipe());
    replay.hello().await;
    // Signed over the nonce of the other connection.
    let refused = replay.connect(HOST, &hello, &BINDING, Topics::messages_and_alerts(), world.now()).await.unwrap_err();
    assert_eq!(refused.code, CloseCode::Unauthenticated);
    overheard.connect(HOST, &hello, &BINDING, Topics::messages_and_alerts(), world.now()).await.unwrap();
}

/// COU-13: a device that connects again takes over, and what was not acknowledged comes again.
#[tokio::test(start_paused = true)]
async fn a_newer_connection_replaces_the_older() {
    let world = World::new();
    let mut old = world.online(&world.bob).await;
    let mut alice = world.online(&world.alice).await;
    let hello = alice.request(&world.town, &[&world.bob], "hello", world.now());
    alice.send(hello).await;
    assert_eq!(old.texts(1).await, ["hello"]);
    let mut new = world.online(&world.bob).await;
    assert_eq!(old.closed().await, CloseCode::Replaced);
    assert_eq!(new.texts(1).await, ["hello"]);
    let again = alice.request(&world.town, &[&world.bob], "again", world.now());
    alice.send(again).await;
    assert_eq!(new.texts(1).await, ["again"]);
    assert_eq!(world.courier.connected(), 2);
}

/// COU-14: whoever does not connect within ten seconds is put out.
#[tokio::test(start_paused = true)]
async fn a_handshake_has_ten_seconds() {
    let world = World::new();
    let begun = Instant::now();
    let mut silent = Phone::new(&world.alice, world.pipe());
    silent.hello().await;
    assert_eq!(silent.closed().await, CloseCode::HandshakeTimeout);
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(10) && took < Duration::from_secs(11), "{took:?}");
}

/// COU-15: signs of life are answered, and keep a connection; silence ends it after the longest interval and a minute.
#[tokio::test(start_paused = true)]
async fn a_silent_connection_ends() {
    let world = World::new();
    let mut phone = world.online(&world.alice).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(30 * 60)).await;
        phone.keep_alive().await;
    }
    let last = Instant::now();
    assert_eq!(phone.closed().await, CloseCode::Idle);
    let took = last.elapsed();
    assert!(took >= Duration::from_secs(31 * 60) && took < Duration::from_secs(32 * 60), "{took:?}");
    assert_eq!(world.courier.connected(), 0);
}

/// COU-55: a removed device is put out, its mailbox is empty, and it does not get in again.
#[tokio::test(start_paused = true)]
async fn a_removed_device_is_put_out() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    let mut bob = world.online(&world.bob).await;
    let hello = alice.request(&world.town, &[&world.bob], "hello", world.now());
    let too_late = alice.request(&world.town, &[&world.bob], "too late", world.now());
    alice.send(hello).await;
    world.town.remove(&world.bob);
    world.courier.revoke(world.bob.device).await.unwrap();
    assert_eq!(bob.closed().await, CloseCode::Revoked);
    assert_eq!(world.store.memory.waiting(world.bob.device), 0);
    assert_eq!(alice.send(too_late).await, [halcyon_courier::Status::UnknownToken]);

    let mut again = Phone::new(&world.bob, world.pipe());
    let hello = again.hello().await;
    let refused = again.connect(HOST, &hello, &BINDING, Topics::messages_and_alerts(), world.now()).await.unwrap_err();
    assert_eq!(refused.code, CloseCode::Unauthenticated);
}
