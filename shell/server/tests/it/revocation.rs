//! What is under way in the moment in which a device is removed (COU-55).

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use halcyon_courier::{ClientFrame, Status};
use halcyon_server::ports::Notifier;
use tokio::task::JoinHandle;

use crate::world::World;

/// Everything that can happen without anybody's help has happened.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Removes Bob's phone as the directory does: first from the list, then from the courier.
fn remove_bob(world: &World) -> JoinHandle<()> {
    world.town.remove(&world.bob);
    let (courier, bob) = (world.courier.clone(), world.bob.device);
    tokio::spawn(async move { courier.revoke(bob).await.unwrap() })
}

/// Begins something that asks the directory about Bob's phone, removes the phone while the answer is on its way, and lets
/// the answer come.
async fn removed_while(world: &World, something: impl Future<Output = ()>) {
    world.directory.gate.hold();
    something.await;
    settle().await;
    let removal = remove_bob(world);
    settle().await;
    world.directory.gate.release();
    removal.await.unwrap();
    settle().await;
    assert_eq!(world.store.memory.waiting(world.bob.device), 0, "an envelope that nobody reads or deletes");
}

/// COU-55: a send that was checked before the phone was removed, and stored after, leaves nothing in its mailbox. The
/// laptop, which nobody removed, gets its copy.
#[tokio::test(start_paused = true)]
async fn a_send_in_the_moment_of_removal_leaves_nothing_behind() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    let request = alice.request(&world.town, &[&world.bob, &world.alice_laptop], "too late?", world.now());
    removed_while(&world, alice.write(ClientFrame::Send(request.into_unchecked()))).await;
    assert_eq!(alice.sent().await.parts[1].status, Status::Accepted);
    assert_eq!(world.store.memory.waiting(world.alice_laptop.device), 1);

    let again = alice.request(&world.town, &[&world.bob], "now surely", world.now());
    assert_eq!(alice.send(again).await, [Status::UnknownToken]);
}

/// COU-55: nor does an alert that was addressed before.
#[tokio::test(start_paused = true)]
async fn an_alert_in_the_moment_of_removal_leaves_nothing_behind() {
    let world = World::new();
    let (courier, devices) = (world.courier.clone(), [world.bob.device, world.alice_laptop.device]);
    removed_while(&world, async {
        tokio::spawn(async move { courier.alert(&devices, Bytes::from_static(b"hear, hear")).await.unwrap() });
    })
    .await;
    assert_eq!(world.store.memory.waiting(world.alice_laptop.device), 1);
    // An alert whose addresses were looked up before the removal, and which comes after it.
    world.courier.alert(&[world.bob.device], Bytes::from_static(b"late")).await.unwrap();
    assert_eq!(world.store.memory.waiting(world.bob.device), 0);
}

/// COU-55: a removal does not wait for a slow disk to let other sends begin, nor for anything but what was being checked.
#[tokio::test(start_paused = true)]
async fn a_removal_does_not_stop_the_others() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    world.store.hold();
    let request = alice.request(&world.town, &[&world.alice_laptop], "under way", world.now());
    alice.write(ClientFrame::Send(request.into_unchecked())).await;
    settle().await;
    let removal = remove_bob(&world);
    settle().await;
    let second = alice.request(&world.town, &[&world.alice_laptop], "after it", world.now());
    alice.write(ClientFrame::Send(second.into_unchecked())).await;
    settle().await;
    world.store.release();
    removal.await.unwrap();
    assert_eq!(
        (alice.sent().await.parts[0].status, alice.sent().await.parts[0].status),
        (Status::Accepted, Status::Accepted)
    );
}
