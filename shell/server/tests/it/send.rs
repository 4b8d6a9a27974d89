//! Sending: who may, what becomes of each envelope, and when the answer comes (COU-33, COU-40 to COU-45).

use bytes::Bytes;
use halcyon_courier::send::Expiry;
use halcyon_courier::{ClientFrame, Envelope, Limits, Origin, Part, Status};
use halcyon_testkit::courier::Town;
use halcyon_types::{Duration, Handle, PushToken, Timestamp, Topic};

use crate::world::World;

/// COU-40, COU-41, COU-43: one request reaches all devices, own ones too, and each envelope names who really sent it.
#[tokio::test(start_paused = true)]
async fn one_send_reaches_every_device() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    let mut bob = world.online(&world.bob).await;
    let request = alice.request(&world.town, &[&world.bob, &world.alice_laptop], "hello", world.now());
    assert_eq!(alice.send(request).await, [Status::Accepted; 2]);

    let delivery = bob.delivery().await;
    assert_eq!((delivery.seq, delivery.from_storage), (1, false));
    let envelope = Envelope::decode(delivery.envelope).unwrap();
    let Origin::Device(sender) = &envelope.origin else { panic!("sent by the server?") };
    assert_eq!((sender.account, sender.device), (world.alice.account, world.alice.device));
    assert_eq!(sender.handle, world.alice.handle);
    assert_eq!((envelope.accepted, &envelope.payload[..]), (world.now(), &b"hello"[..]));
    // The laptop is offline: its copy waits.
    assert_eq!(world.store.memory.waiting(world.alice_laptop.device), 1);
}

/// COU-41, COU-42: what is wrong with one envelope is its own status, in the order sent; the others arrive.
#[tokio::test(start_paused = true)]
async fn each_envelope_has_its_own_status() {
    let world = World::new();
    let carol = world.town.device("carol", "phone");
    let mut alice = world.online(&world.alice).await;
    let to = [&world.bob; 9].map(|bob| bob.clone());
    let to: Vec<_> = to.iter().collect();
    let mut request = alice.request(&world.town, &to, "hello", world.now());
    let parts = &mut request.destinations;
    let sealed = |part: &mut Part, change: &dyn Fn(&mut halcyon_courier::Sealed)| change(part.sealed.as_mut().unwrap());
    sealed(&mut parts[1].parts[0], &|sealed| sealed.push_token = PushToken::from_bytes([0xee; 32]));
    parts[2].session_token =
        Town::session_token(world.bob.account, world.bob.account, world.now().plus(Duration::from_days(1)));
    parts[3].session_token = Town::session_token(world.alice.account, world.bob.account, world.now());
    parts[4].list_version = 0;
    parts[5].list_version = 2;
    sealed(&mut parts[6].parts[0], &|sealed| sealed.payload = vec![7; 20 * 1024 + 1].into());
    // Carol's phone with the right to send to Bob.
    sealed(&mut parts[7].parts[0], &|sealed| sealed.push_token = carol.push_token);
    let expected = [
        Status::Accepted,
        Status::UnknownToken,
        Status::StaleSession,
        Status::StaleSession,
        Status::StaleList,
        Status::StaleList,
        Status::TooLarge,
        Status::StaleSession,
        Status::Accepted,
    ];
    assert_eq!(alice.send(request).await, expected);
    assert_eq!(world.store.memory.waiting(world.bob.device), 2);
    assert_eq!(world.store.memory.waiting(carol.device), 0);
}

/// COU-40: the largest payload fits.
#[tokio::test(start_paused = true)]
async fn sixteen_kilobytes_fit() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    let request = alice.request(&world.town, &[&world.bob], &"x".repeat(20 * 1024), world.now());
    assert_eq!(alice.send(request).await, [Status::Accepted]);
}

/// COU-33, COU-40: nobody sends alerts or from another one's handle.
#[tokio::test(start_paused = true)]
async fn alerts_and_foreign_handles_are_forbidden() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    let mut alert = alice.request(&world.town, &[&world.bob], "hello", world.now());
    alert.topic = Topic::alert();
    let mut foreign = alice.request(&world.town, &[&world.bob, &world.bob], "hello", world.now());
    foreign.sender_handle = Handle::parse("bob@example.org").unwrap();
    assert_eq!(alice.send(alert).await, [Status::Forbidden]);
    assert_eq!(alice.send(foreign).await, [Status::Forbidden; 2]);
    assert_eq!(world.store.memory.waiting(world.bob.device), 0);
}

/// COU-40: more than 512 envelopes are no request.
#[tokio::test(start_paused = true)]
async fn a_send_has_at_most_512_envelopes() {
    let world = World::with(Limits { mailbox_count_max: 100_000, ..Limits::default() });
    let mut alice = world.online(&world.alice).await;
    let mut request = alice.request(&world.town, &[&world.bob], "x", world.now());
    let part = request.destinations[0].parts[0].clone();
    request.destinations[0].parts = vec![part.clone(); 512];
    assert_eq!(alice.send(request.clone()).await, vec![Status::Accepted; 512]);
    request.destinations[0].parts.push(part);
    assert_eq!(alice.send(request).await, vec![Status::Malformed; 513]);
}

/// COU-40: an expiry is at most 30 days ahead, and what never lasts is delivered now or not at all.
#[tokio::test(start_paused = true)]
async fn expiry_is_bounded_and_zero_means_now_or_never() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    let mut bob = world.online(&world.bob).await;
    let mut far = alice.request(&world.town, &[&world.bob], "far", world.now());
    far.expiry = Expiry::At(Timestamp::from_millis(u64::MAX));
    let mut typing = alice.request(&world.town, &[&world.bob, &world.alice_laptop], "typing", world.now());
    typing.expiry = Expiry::NowOrNever;
    assert_eq!(alice.send(far).await, [Status::Accepted]);
    assert_eq!(alice.send(typing).await, [Status::Accepted; 2]);

    let far = Envelope::decode(bob.delivery().await.envelope).unwrap();
    assert_eq!(far.expires, world.now().plus(Duration::from_days(30)));
    assert_eq!(bob.texts(1).await, ["typing"]);
    // COU-52: both count.
    bob.acknowledge(2).await;
    bob.keep_alive().await;
    assert_eq!(world.store.memory.waiting(world.bob.device), 0);
    assert_eq!(world.store.memory.waiting(world.alice_laptop.device), 0, "it is not stored for who is offline");
}

/// COU-41, I10: no answer before the disk has it, and nothing is delivered before either.
#[tokio::test(start_paused = true)]
async fn accepted_means_stored() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    let mut bob = world.online(&world.bob).await;
    world.store.hold();
    let request = alice.request(&world.town, &[&world.bob], "hello", world.now());
    alice.write(ClientFrame::Send(request.into_unchecked())).await;
    let early = tokio::time::timeout(std::time::Duration::from_secs(60), async {
        tokio::select! { _ = alice.sent() => {}, _ = bob.delivery() => {} }
    });
    assert!(early.await.is_err(), "somebody heard of it before it was stored");
    world.store.release();
    assert_eq!(alice.sent().await.parts[0].status, Status::Accepted);
    assert_eq!(bob.texts(1).await, ["hello"]);
}

/// COU-41, COU-50: sends that are under way together are answered and delivered in their order.
#[tokio::test(start_paused = true)]
async fn sends_under_way_keep_their_order() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    let mut bob = world.online(&world.bob).await;
    world.store.hold();
    for n in 0..40 {
        let request = alice.request(&world.town, &[&world.bob], &n.to_string(), world.now());
        alice.write(ClientFrame::Send(request.into_unchecked())).await;
    }
    world.store.release();
    for id in 1..=40 {
        assert_eq!(alice.sent().await.id, id);
    }
    let expected: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    assert_eq!(bob.texts(40).await, expected);
}

/// COU-44: on a full disk a send is unavailable, and the next one succeeds when there is room.
#[tokio::test(start_paused = true)]
async fn a_full_disk_is_unavailable() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    let mut bob = world.online(&world.bob).await;
    world.store.set_full(true);
    let first = alice.request(&world.town, &[&world.bob], "lost", world.now());
    assert_eq!(alice.send(first.clone()).await, [Status::Unavailable]);
    world.store.set_full(false);
    assert_eq!(alice.send(first).await, [Status::Accepted]);
    assert_eq!(bob.texts(1).await, ["lost"]);
}

/// COU-45: a full mailbox refuses for itself alone.
#[tokio::test(start_paused = true)]
async fn a_full_mailbox_refuses() {
    let world = World::with(Limits { mailbox_count_max: 2, ..Limits::default() });
    let mut alice = world.online(&world.alice).await;
    let request =
        alice.request(&world.town, &[&world.bob, &world.bob, &world.bob, &world.alice_laptop], "x", world.now());
    assert_eq!(alice.send(request).await, [Status::Accepted, Status::Accepted, Status::Quota, Status::Accepted]);
}

/// COU-45: a burst, then so many a second.
#[tokio::test(start_paused = true)]
async fn sends_are_limited_in_rate() {
    let world = World::with(Limits { sends_burst: 3, sends_per_s: 2, ..Limits::default() });
    let mut alice = world.online(&world.alice).await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        let request = alice.request(&world.town, &[&world.bob], "x", world.now());
        statuses.extend(alice.send(request).await);
    }
    assert_eq!(
        statuses,
        [Status::Accepted, Status::Accepted, Status::Accepted, Status::RateLimited, Status::RateLimited]
    );
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let request = alice.request(&world.town, &[&world.bob], "x", world.now());
    assert_eq!(alice.send(request).await, [Status::Accepted]);
}

/// COU-45: connecting again gives nothing back: the budget is the device's, not the connection's. Others have their own.
#[tokio::test(start_paused = true)]
async fn a_reconnect_does_not_refill_the_budget() {
    let world = World::with(Limits { sends_burst: 3, sends_per_s: 2, ..Limits::default() });
    let mut accepted = 0;
    for _ in 0..4 {
        let mut alice = world.online(&world.alice).await;
        for _ in 0..3 {
            let request = alice.request(&world.town, &[&world.bob], "x", world.now());
            accepted += usize::from(alice.send(request).await == [Status::Accepted]);
        }
    }
    assert_eq!(accepted, 3);
    let mut bob = world.online(&world.bob).await;
    let request = bob.request(&world.town, &[&world.alice], "x", world.now());
    assert_eq!(bob.send(request).await, [Status::Accepted]);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let mut alice = world.online(&world.alice).await;
    let request = alice.request(&world.town, &[&world.bob], "x", world.now());
    assert_eq!(alice.send(request).await, [Status::Accepted]);
}

/// COU-40: what is too old is not called accepted: nothing of it is stored, and nobody gets it, connected or not.
#[tokio::test(start_paused = true)]
async fn what_expired_on_its_way_is_said_to_be_expired() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    let mut bob = world.online(&world.bob).await;
    let mut late = alice.request(&world.town, &[&world.bob, &world.alice_laptop], "late", world.now());
    late.expiry = Expiry::At(world.now());
    assert_eq!(alice.send(late.clone()).await, [Status::Expired; 2]);
    late.expiry = Expiry::At(world.now().plus(Duration::from_millis(1)));
    assert_eq!(alice.send(late).await, [Status::Accepted; 2]);
    assert_eq!(bob.delivery().await.seq, 1, "only what was accepted is delivered");
    assert_eq!(world.store.memory.waiting(world.alice_laptop.device), 1);
}

/// COU-42: a malformed part is answered as such, with what it called itself.
#[tokio::test(start_paused = true)]
async fn malformed_parts_are_answered() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    let mut request = alice.request(&world.town, &[&world.bob], "x", world.now());
    request.destinations[0].parts[0].envelope_id = Bytes::from_static(b"short");
    assert_eq!(alice.send(request).await, [Status::Malformed]);
}
