//! The server's end (COU-56).

use std::time::Duration;

use halcyon_courier::{ClientFrame, CloseCode, Status};
use halcyon_testkit::courier::Phone;
use tokio::time::Instant;

use crate::world::{BINDING, HOST, World};

/// COU-56: what was sent is answered, then everybody is told; nobody gets in any more.
#[tokio::test(start_paused = true)]
async fn what_was_begun_is_answered() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    let mut bob = world.online(&world.bob).await;
    world.store.hold();
    let request = alice.request(&world.town, &[&world.bob], "just in time", world.now());
    alice.write(ClientFrame::Send(request.into_unchecked())).await;
    // Let the request arrive before the end begins.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let (courier, begun) = (world.courier.clone(), Instant::now());
    let ending = tokio::spawn(async move { courier.shut_down().await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.store.release();
    assert_eq!(alice.sent().await.parts[0].status, Status::Accepted);
    assert_eq!(alice.closed().await, CloseCode::GoingAway);
    assert_eq!(bob.closed().await, CloseCode::GoingAway);
    ending.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert_eq!(world.store.memory.waiting(world.bob.device), 1);

    let mut late = Phone::new(&world.alice, world.pipe());
    let hello = late.hello().await;
    let refused =
        late.connect(HOST, &hello, &BINDING, halcyon_courier::Topics::messages_and_alerts(), world.now()).await;
    assert_eq!(refused.unwrap_err().code, CloseCode::GoingAway);
}

/// COU-56: a device that does not read, and a disk that does not answer, do not hold the end up.
#[tokio::test(start_paused = true)]
async fn the_end_comes_within_ten_seconds() {
    let world = World::new();
    let mut alice = world.online(&world.alice).await;
    let _deaf = Phone::dial(&world.bob, world.pipe_of(200), HOST, &BINDING, world.now()).await;
    let request = alice.request(&world.town, &[&world.bob], &"x".repeat(10_000), world.now());
    alice.send(request).await;
    world.store.hold();
    let request = alice.request(&world.town, &[&world.bob], "never stored", world.now());
    alice.write(ClientFrame::Send(request.into_unchecked())).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let begun = Instant::now();
    world.courier.shut_down().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
