//! Sends that are made later: COU-60 to COU-66.

use std::time::Duration as Span;

use halcyon_courier::limits::{HOLD_MAX, HOLDS_MAX};
use halcyon_courier::{Envelope, HoldState, Limits, Status};
use halcyon_server::ports::Mailboxes as _;
use halcyon_testkit::courier::{Phone, TestDevice};
use halcyon_types::{Duration, HoldId, Timestamp};
use tokio::io::DuplexStream;

use crate::world::World;

const HOLD: HoldId = HoldId::from_bytes([7; 16]);

/// Has a text held for somebody.
async fn hold(
    world: &World,
    phone: &mut Phone<DuplexStream>,
    to: &TestDevice,
    text: &str,
    due: Timestamp,
) -> HoldState {
    let request = phone.request(&world.town, &[to], text, world.now());
    phone.hold(HOLD, due, false, request).await.state
}

async fn next(phone: &mut Phone<DuplexStream>) -> Envelope {
    Envelope::decode(phone.delivery().await.envelope).unwrap()
}

/// COU-60, COU-61, COU-65: a send is held, and made when it is due, with the time of that moment; not a moment before.
#[tokio::test(start_paused = true)]
async fn a_send_is_made_when_it_is_due() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    let due = world.now().plus(Duration::from_days(3));
    let mut request = alice.request(&world.town, &[&world.bob], "happy birthday", world.now());
    request.epoch = 7;
    assert_eq!(alice.hold(HOLD, due, false, request).await.state, HoldState::Held);
    assert_eq!(
        world.store.memory.epoch(world.alice.device).await.unwrap(),
        7,
        "remembered, since what is made shows none"
    );
    tokio::time::sleep(Span::from_secs(3 * 86_400 - 1)).await;
    assert_eq!(world.store.memory.waiting(world.bob.device), 0);
    drop(alice);
    alice = world.online(&world.alice).await;
    assert_eq!(alice.ask(HOLD, false).await.state, HoldState::Held);
    tokio::time::sleep(Span::from_secs(2)).await;
    let mut bob = world.online(&world.bob).await;
    let envelope = next(&mut bob).await;
    assert_eq!(&envelope.payload[..], b"happy birthday");
    assert!(envelope.accepted >= due && envelope.accepted <= due.plus(Duration::from_secs(1)));
    assert_eq!(envelope.expires, due.plus(Duration::from_days(30)));
    assert_eq!(alice.ask(HOLD, true).await.state, HoldState::Released, "too late to take it back");
}

/// COU-60: 14 days and no more; what is due already is made at once.
#[tokio::test(start_paused = true)]
async fn a_send_is_held_for_14_days_at_most() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    let second = Duration::from_secs(1);
    let too_far = world.now().plus(HOLD_MAX).plus(second);
    assert_eq!(hold(&world, &mut alice, &world.bob, "too far", too_far).await, HoldState::TooFar);
    assert_eq!(alice.ask(HOLD, false).await.state, HoldState::NotKnown);
    let far = world.now().plus(HOLD_MAX).minus(second);
    assert_eq!(hold(&world, &mut alice, &world.bob, "far", far).await, HoldState::Held);
    let request = alice.request(&world.town, &[&world.bob], "late", world.now());
    let past = world.now().minus(Duration::from_days(40));
    assert_eq!(alice.hold(HoldId::from_bytes([8; 16]), past, false, request).await.state, HoldState::Held);
    let mut bob = world.online(&world.bob).await;
    assert_eq!(&next(&mut bob).await.payload[..], b"late");
}

/// COU-61: a part that cannot be held keeps the whole from being held, and says why.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_is_not_held() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    let due = world.now().plus(Duration::from_days(1));
    let mut request = alice.request(&world.town, &[&world.bob, &world.alice_laptop], "hi", world.now());
    request.destinations[0].list_version += 1;
    let answer = alice.hold(HOLD, due, false, request).await;
    assert_eq!((answer.state, answer.parts[0].status), (HoldState::Refused, Status::StaleList));
    let mut stranger = alice.request(&world.town, &[&world.bob], "hi", world.now());
    stranger.sender_handle = world.bob.handle.clone();
    let answer = alice.hold(HOLD, due, false, stranger).await;
    assert_eq!((answer.state, answer.parts[0].status), (HoldState::Refused, Status::Forbidden));
    assert_eq!(alice.ask(HOLD, false).await.state, HoldState::NotKnown);
}

/// COU-62: a replacement takes the place of what is held, and never of what was taken back.
#[tokio::test(start_paused = true)]
async fn a_replacement_does_not_bring_back_what_was_taken_back() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    let due = world.now().plus(Duration::from_secs(60));
    assert_eq!(hold(&world, &mut alice, &world.bob, "old", due).await, HoldState::Held);
    let request = alice.request(&world.town, &[&world.bob], "new", world.now());
    assert_eq!(alice.hold(HOLD, due, true, request).await.state, HoldState::Held);
    tokio::time::sleep(Span::from_secs(61)).await;
    let mut bob = world.online(&world.bob).await;
    assert_eq!(&next(&mut bob).await.payload[..], b"new");
    assert_eq!(world.store.memory.waiting(world.bob.device), 1);

    let other = HoldId::from_bytes([8; 16]);
    let due = world.now().plus(Duration::from_secs(60));
    let request = alice.request(&world.town, &[&world.bob], "never", world.now());
    assert_eq!(alice.hold(other, due, false, request.clone()).await.state, HoldState::Held);
    // COU-63: any device of the account, and nobody else.
    let mut laptop = world.online(&world.alice_laptop).await;
    assert_eq!(bob.ask(other, true).await.state, HoldState::NotKnown);
    assert_eq!(laptop.ask(other, true).await.state, HoldState::Cancelled);
    for replaces in [true, false] {
        let request = alice.request(&world.town, &[&world.bob], "never", world.now());
        assert_eq!(alice.hold(other, due, replaces, request).await.state, HoldState::Cancelled);
    }
    tokio::time::sleep(Span::from_secs(120)).await;
    assert_eq!(world.store.memory.waiting(world.bob.device), 1, "nothing came");
}

/// COU-64: a device has only so much held.
#[tokio::test(start_paused = true)]
async fn a_device_has_only_so_much_held() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    let due = world.now().plus(Duration::from_days(1));
    for n in 0..=HOLDS_MAX {
        let request = alice.request(&world.town, &[&world.bob], "x", world.now());
        let mut id = [0; 16];
        id[0] = u8::try_from(n).unwrap();
        let expected = if n < HOLDS_MAX { HoldState::Held } else { HoldState::TooMany };
        assert_eq!(alice.hold(HoldId::from_bytes(id), due, false, request).await.state, expected);
    }
}

/// COU-65: devices that came or went since do not keep it from the others, and a full mailbox gets it when there is room.
#[tokio::test(start_paused = true)]
async fn what_changed_since_keeps_it_from_nobody_who_is_there() {
    let world = World::with(Limits { mailbox_count_max: 1, ..Limits::default() });
    let mut alice = world.online(&world.alice).await;
    let due = world.now().plus(Duration::from_secs(60));
    let request = alice.request(&world.town, &[&world.bob, &world.alice_laptop], "later", world.now());
    assert_eq!(alice.hold(HOLD, due, false, request).await.state, HoldState::Held);
    world.town.remove(&world.alice_laptop);
    let request = alice.request(&world.town, &[&world.bob], "now", world.now());
    assert_eq!(alice.send(request).await, [Status::Accepted]);
    tokio::time::sleep(Span::from_secs(120)).await;
    assert_eq!(world.store.memory.waiting(world.bob.device), 1, "there is no room for another");
    assert_eq!(alice.ask(HOLD, true).await.state, HoldState::Released);
    let mut bob = world.online(&world.bob).await;
    let first = next(&mut bob).await;
    assert_eq!(&first.payload[..], b"now");
    bob.acknowledge(1).await;
    tokio::time::sleep(Span::from_secs(600)).await;
    assert_eq!(&next(&mut bob).await.payload[..], b"later");
}
