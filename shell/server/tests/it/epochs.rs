//! Epochs: what a device shows of itself, and what a copy of it is told (COU-17 to COU-19).

use std::sync::atomic::Ordering;
use std::time::Duration;

use halcyon_courier::send::Expiry;
use halcyon_courier::{ClientFrame, Status};
use halcyon_server::ports::{Mailboxes, Notifier};
use halcyon_testkit::courier::TestDevice;

use crate::world::World;

/// Returns what is on stable storage.
async fn stored(world: &World, device: &TestDevice) -> u64 {
    world.store.memory.epoch(device.device).await.unwrap()
}

/// Everything that can happen without anybody's help has happened.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// COU-17, COU-18: Alice's phone shows 9. The copy of it that was made at 7 is let in and told 9, as often as it comes, and
/// lowers nothing, neither by connecting nor by sending.
#[tokio::test(start_paused = true)]
async fn a_copy_is_told_what_its_original_showed() {
    let world = World::new();
    let (mut phone, told) = world.online_at(&world.alice, 8).await;
    assert_eq!(told, 0, "nothing is remembered of a device that never showed anything");
    phone.epoch = 9;
    let hello = phone.request(&world.town, &[&world.bob], "hello", world.now());
    assert_eq!(phone.send(hello).await, [Status::Accepted]);
    assert_eq!(stored(&world, &world.alice).await, 9);

    for _ in 0..2 {
        let (mut copy, told) = world.online_at(&world.alice, 7).await;
        assert_eq!(told, 9);
        let again = copy.request(&world.town, &[&world.bob], "I am the copy", world.now());
        assert_eq!(copy.send(again).await, [Status::Accepted], "it is told, not refused");
    }
    assert_eq!(world.online_at(&world.alice, 10).await.1, 9, "the original itself goes on from where it was");
    assert_eq!(world.online_at(&world.alice_laptop, 1).await.1, 0, "each device its own");
}

/// COU-17: who tells no epoch is told one, and nothing of it is remembered.
#[tokio::test(start_paused = true)]
async fn zero_tells_nothing() {
    let world = World::new();
    let mut silent = world.online(&world.alice).await;
    let hello = silent.request(&world.town, &[&world.bob], "hello", world.now());
    silent.send(hello).await;
    assert_eq!(stored(&world, &world.alice).await, 0);
    let (mut phone, _) = world.online_at(&world.alice, 9).await;
    let hello = phone.request(&world.town, &[&world.bob], "hello", world.now());
    phone.send(hello).await;
    assert_eq!(world.online_at(&world.alice, 0).await.1, 9);
}

/// COU-18: what was shown a moment ago and is still on its way to the disk counts.
#[tokio::test(start_paused = true)]
async fn a_copy_is_told_what_is_being_stored() {
    let world = World::new();
    let (mut phone, _) = world.online_at(&world.alice, 8).await;
    world.store.hold();
    phone.epoch = 9;
    let hello = phone.request(&world.town, &[&world.bob], "hello", world.now());
    phone.write(ClientFrame::Send(hello.into_unchecked())).await;
    settle().await;
    assert_eq!(stored(&world, &world.alice).await, 0);
    assert_eq!(world.online_at(&world.alice, 7).await.1, 9);
    // Nor is it forgotten while it waits to ride along: the connects alone reach no disk.
    assert_eq!(world.online_at(&world.alice, 12).await.1, 9);
    assert_eq!(world.online_at(&world.alice, 7).await.1, 12);
}

/// COU-19: as many commits with epochs as without. Connects, and sends of which nothing is stored, cost none: what they
/// showed is in the commit that comes next.
#[tokio::test(start_paused = true)]
async fn an_epoch_costs_no_commit() {
    let world = World::new();
    let (mut alice, _) = world.online_at(&world.alice, 3).await;
    let (mut bob, _) = world.online_at(&world.bob, 5).await;
    alice.epoch = 4;
    let mut stale = alice.request(&world.town, &[&world.bob], "stale", world.now());
    stale.destinations[0].list_version = 0;
    assert_eq!(alice.send(stale).await, [Status::StaleList]);
    settle().await;
    assert_eq!(world.store.commits.load(Ordering::SeqCst), 0);

    for n in 6..=10 {
        bob.epoch = n;
        let request = bob.request(&world.town, &[&world.alice_laptop], "hello", world.now());
        assert_eq!(bob.send(request).await, [Status::Accepted]);
        assert_eq!(stored(&world, &world.bob).await, n, "it is on stable storage before the answer");
        assert_eq!(stored(&world, &world.alice).await, 4, "it rode along");
    }
    assert_eq!(world.store.commits.load(Ordering::SeqCst), 5);
}

/// COU-19: what is delivered now or never is not accepted either before the epoch of its sender is stored.
#[tokio::test(start_paused = true)]
async fn now_or_never_waits_for_its_epoch() {
    let world = World::new();
    let (mut alice, _) = world.online_at(&world.alice, 8).await;
    let mut bob = world.online(&world.bob).await;
    let typing = |alice: &mut halcyon_testkit::courier::Phone<_>| {
        let mut typing = alice.request(&world.town, &[&world.bob], "typing", world.now());
        typing.expiry = Expiry::NowOrNever;
        typing
    };
    alice.epoch = 9;
    let request = typing(&mut alice);
    assert_eq!(alice.send(request).await, [Status::Accepted]);
    assert_eq!((bob.texts(1).await, stored(&world, &world.alice).await), (vec!["typing".to_owned()], 9));

    world.store.set_full(true);
    alice.epoch = 10;
    let request = typing(&mut alice);
    assert_eq!(alice.send(request).await, [Status::Unavailable]);
    assert_eq!(stored(&world, &world.alice).await, 9);
    alice.epoch = 0;
    let request = typing(&mut alice);
    assert_eq!(alice.send(request).await, [Status::Accepted], "who tells none needs no storage");
    assert_eq!(bob.delivery().await.seq, 2);
}

/// COU-19: a full mailbox refuses the envelope, and its sender's epoch is remembered; a full disk remembers nothing and
/// accepts nothing.
#[tokio::test(start_paused = true)]
async fn what_is_refused_was_shown() {
    let world = World::with(halcyon_courier::Limits { mailbox_count_max: 1, ..halcyon_courier::Limits::default() });
    let (mut alice, _) = world.online_at(&world.alice, 1).await;
    for (epoch, status) in [(2, Status::Accepted), (3, Status::Quota)] {
        alice.epoch = epoch;
        let request = alice.request(&world.town, &[&world.bob], "x", world.now());
        assert_eq!(alice.send(request).await, [status]);
        assert_eq!(stored(&world, &world.alice).await, epoch);
    }
    world.store.set_full(true);
    alice.epoch = 4;
    let request = alice.request(&world.town, &[&world.alice_laptop], "x", world.now());
    assert_eq!(alice.send(request).await, [Status::Unavailable]);
    assert_eq!(stored(&world, &world.alice).await, 3);
}

/// COU-18, COU-55: a device that is removed leaves no epoch behind, not even one that was waiting to ride along.
#[tokio::test(start_paused = true)]
async fn a_removed_device_is_forgotten() {
    let world = World::new();
    let (mut bob, _) = world.online_at(&world.bob, 8).await;
    let hello = bob.request(&world.town, &[&world.alice], "hello", world.now());
    bob.send(hello).await;
    assert_eq!(stored(&world, &world.bob).await, 8);
    let (_bob, _) = world.online_at(&world.bob, 9).await;
    world.town.remove(&world.bob);
    world.courier.revoke(world.bob.device).await.unwrap();
    let mut alice = world.online(&world.alice).await;
    let later = alice.request(&world.town, &[&world.alice_laptop], "later", world.now());
    assert_eq!(alice.send(later).await, [Status::Accepted]);
    assert_eq!(stored(&world, &world.bob).await, 0);
}

/// COU-19, COU-56: what only connects showed is stored when the server stops.
#[tokio::test(start_paused = true)]
async fn a_shutdown_stores_what_waits() {
    let world = World::new();
    let (_alice, _) = world.online_at(&world.alice, 9).await;
    assert_eq!(stored(&world, &world.alice).await, 0);
    world.courier.shut_down().await;
    assert_eq!(stored(&world, &world.alice).await, 9);
}
