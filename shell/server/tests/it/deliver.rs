//! Delivering: order, window, acknowledgement, coming again, expiry, topics, alerts (COU-31 to COU-34, COU-50 to COU-54).

use bytes::Bytes;
use halcyon_courier::{ClientFrame, Envelope, Limits, Origin, Status};
use halcyon_server::ports::Notifier;
use halcyon_testkit::courier::{Phone, delivered_text};
use halcyon_types::Topic;
use tokio::io::DuplexStream;

use crate::world::{BINDING, HOST, World, topics_of};

/// Lets Alice send so many numbered texts to Bob.
async fn send_numbered(world: &World, alice: &mut Phone<DuplexStream>, numbers: std::ops::Range<u32>) {
    for n in numbers {
        let request = alice.request(&world.town, &[&world.bob], &n.to_string(), world.now());
        assert_eq!(alice.send(request).await, [Status::Accepted]);
    }
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

/// COU-31, COU-50: what waited comes in order, the last of it marked, and then what is new.
#[tokio::test(start_paused = true)]
async fn what_waited_comes_first() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    send_numbered(&world, &mut alice, 0..5).await;
    let mut bob = world.online(&world.bob).await;
    for n in 0..5 {
        let delivery = bob.delivery().await;
        assert_eq!((delivery.seq, delivered_text(&delivery)), (n + 1, n.to_string()));
        assert_eq!((delivery.from_storage, delivery.last_from_storage), (true, n == 4));
    }
    send_numbered(&world, &mut alice, 5..6).await;
    let delivery = bob.delivery().await;
    assert_eq!((delivery.seq, delivery.from_storage), (6, false));
}

/// COU-51: a device that does not acknowledge gets a window of 64, and the rest as it does; nothing is out of order.
#[tokio::test(start_paused = true)]
async fn a_window_bounds_what_is_under_way() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    let mut bob = world.online(&world.bob).await;
    send_numbered(&world, &mut alice, 0..200).await;
    assert_eq!(bob.texts(64).await, numbers(0..64));
    let more = tokio::time::timeout(std::time::Duration::from_secs(60), bob.delivery()).await;
    assert!(more.is_err(), "more than a window was delivered");
    // What is acknowledged makes room, whether it came live or from storage.
    let mut next = 64;
    while next < 200 {
        bob.acknowledge(next).await;
        let count = 64.min(200 - next);
        let (from, to) = (u32::try_from(next).unwrap(), u32::try_from(next + count).unwrap());
        assert_eq!(bob.texts(usize::try_from(count).unwrap()).await, numbers(from..to));
        next += count;
    }
    bob.acknowledge(200).await;
    send_numbered(&world, &mut alice, 200..203).await;
    assert_eq!(bob.texts(3).await, numbers(200..203));
    bob.acknowledge(203).await;
    bob.keep_alive().await;
    assert_eq!(world.store.memory.waiting(world.bob.device), 0);
}

/// COU-51: the window counts bytes, too.
#[tokio::test(start_paused = true)]
async fn a_window_bounds_bytes() {
    let world = World::with(Limits { window_bytes: 40_000, ..Limits::default() });
    let mut alice = world.online(&world.alice).await;
    for _ in 0..5 {
        let request = alice.request(&world.town, &[&world.bob], &"x".repeat(15_000), world.now());
        alice.send(request).await;
    }
    let mut bob = world.online(&world.bob).await;
    bob.texts(2).await;
    assert!(tokio::time::timeout(std::time::Duration::from_secs(60), bob.delivery()).await.is_err());
    bob.acknowledge(2).await;
    bob.texts(2).await;
    bob.acknowledge(4).await;
    bob.texts(1).await;
}

/// COU-51: a device that reads nothing costs bounded memory: it is put out, and what it did not acknowledge stays.
#[tokio::test(start_paused = true)]
async fn a_device_that_does_not_read_is_put_out() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    let mut bob =
        Phone::dial(&world.bob, world.pipe_of(4_096), crate::world::HOST, &crate::world::BINDING, world.now()).await;
    for _ in 0..20 {
        let request = alice.request(&world.town, &[&world.bob], &"x".repeat(15_000), world.now());
        alice.send(request).await;
    }
    tokio::time::sleep(std::time::Duration::from_secs(40)).await;
    assert_eq!(world.courier.connected(), 1, "only Alice is left");
    assert!(bob.frame().await.is_none());
    assert_eq!(world.store.memory.waiting(world.bob.device), 20);
}

/// COU-52, COU-53: an acknowledgement covers all before it; what has none comes again.
#[tokio::test(start_paused = true)]
async fn what_is_not_acknowledged_comes_again() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    let mut bob = world.online(&world.bob).await;
    send_numbered(&world, &mut alice, 0..6).await;
    bob.texts(6).await;
    bob.acknowledge(4).await;
    // An older one is no news.
    bob.acknowledge(2).await;
    bob.keep_alive().await;
    drop(bob.hang_up());
    let mut bob = world.online(&world.bob).await;
    let first = bob.delivery().await;
    assert_eq!((first.seq, delivered_text(&first), first.from_storage), (1, "4".into(), true));
    assert_eq!(bob.texts(1).await, ["5"]);
}

/// COU-54: what expired while it waited is not delivered, and is deleted in time.
#[tokio::test(start_paused = true)]
async fn what_expired_is_not_delivered() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    send_numbered(&world, &mut alice, 0..3).await;
    // Seven days is what these letters have.
    tokio::time::sleep(std::time::Duration::from_secs(7 * 86_400 - 60)).await;
    assert_eq!(world.store.memory.waiting(world.bob.device), 3);
    tokio::time::sleep(std::time::Duration::from_secs(20 * 60)).await;
    assert_eq!(world.store.memory.waiting(world.bob.device), 0);
    let mut alice = world.online(&world.alice).await;
    let mut bob = world.online(&world.bob).await;
    send_numbered(&world, &mut alice, 3..4).await;
    assert_eq!(bob.texts(1).await, ["3"]);
}

/// COU-32: of other topics the newest waits alone.
#[tokio::test(start_paused = true)]
async fn of_other_topics_the_newest_waits() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    for text in ["rain", "sun", "snow"] {
        let mut request = alice.request(&world.town, &[&world.bob], text, world.now());
        request.topic = Topic::parse("weather").unwrap();
        alice.send(request).await;
    }
    let mut bob = world.online_for(&world.bob, &["weather"]).await;
    let delivery = bob.delivery().await;
    assert_eq!((delivered_text(&delivery), delivery.last_from_storage), ("snow".into(), true));
}

/// COU-34: what is not wanted waits until it is; what was delivered is not delivered twice for that.
#[tokio::test(start_paused = true)]
async fn a_filter_changes_what_is_wanted() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    let mut bob = world.online_for(&world.bob, &["weather"]).await;
    send_numbered(&world, &mut alice, 0..2).await;
    let mut weather = alice.request(&world.town, &[&world.bob], "sun", world.now());
    weather.topic = Topic::parse("weather").unwrap();
    alice.send(weather).await;
    assert_eq!(bob.texts(1).await, ["sun"]);
    bob.write(ClientFrame::Filter(topics_of(&["weather", Topic::MESSAGE]))).await;
    assert_eq!(bob.texts(2).await, ["0", "1"]);
    bob.write(ClientFrame::Filter(topics_of(&["weather"]))).await;
    bob.keep_alive().await;
    send_numbered(&world, &mut alice, 2..3).await;
    assert!(tokio::time::timeout(std::time::Duration::from_secs(60), bob.delivery()).await.is_err());
    assert_eq!(world.store.memory.waiting(world.bob.device), 4);
}

/// COU-31, COU-50: an alert of the server reaches those connected and waits for the others.
#[tokio::test(start_paused = true)]
async fn alerts_reach_every_device() {
    let world = World::new();
    let mut phone = world.online(&world.alice).await;
    world
        .courier
        .alert(&[world.alice.device, world.alice_laptop.device], Bytes::from_static(b"new device"))
        .await
        .unwrap();
    let envelope = Envelope::decode(phone.delivery().await.envelope).unwrap();
    assert_eq!((envelope.origin, envelope.topic), (Origin::Server, Topic::alert()));
    let mut laptop = world.online(&world.alice_laptop).await;
    assert_eq!(laptop.texts(1).await, ["new device"]);
}

/// COU-44: when it cannot be stored, whoever raised the alert is told.
#[tokio::test(start_paused = true)]
async fn an_alert_that_is_not_stored_is_not_forgotten() {
    let world = World::new();
    world.store.set_full(true);
    assert!(world.courier.alert(&[world.alice.device], Bytes::from_static(b"new device")).await.is_err());
}

/// COU-51: a whole window that is larger than what may wait to be written, and that the network takes at once: the
/// acknowledgements that follow are read, though nothing else happens.
#[tokio::test(start_paused = true)]
async fn a_window_that_was_written_at_once_goes_on() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    for n in 0..100 {
        let text = format!("{n}:{}", "x".repeat(8_000));
        let request = alice.request(&world.town, &[&world.bob], &text, world.now());
        assert_eq!(alice.send(request).await, [Status::Accepted]);
    }
    let mut bob = Phone::dial(&world.bob, world.pipe_of(4 << 20), HOST, &BINDING, world.now()).await;
    for n in 0..100 {
        let delivery = tokio::time::timeout(std::time::Duration::from_secs(60), bob.delivery()).await;
        let delivery = delivery.expect("the server reads on");
        assert_eq!(delivered_text(&delivery).split(':').next(), Some(n.to_string().as_str()));
        bob.acknowledge(delivery.seq).await;
    }
}
