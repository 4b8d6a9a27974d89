//! A copied device: whoever has all of its state writes as it does, but not unnoticed.

use halcyon_client::{
    Event, Until,
    event::Notice,
    ports::{Change, Commit, Store as _},
};

use crate::world::{World, event};

/// PQ3-26: a thief copies Alice's disk, and both go on; the thief makes the copy look newer than it is (REP-20), so that the server
/// has nothing to say. Bob shows what came first, keeps the other sealed, and is told that her
/// phone was copied.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_device_that_goes_on_sending_alarms() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    bob.offline().await;
    let sent = alice.say(&bob, "one").await;
    alice.wait(&sent, Until::Accepted).await;
    alice.offline().await;
    let mut thief = world.device("alice", "phone");
    thief.disk = alice.disk.copy();
    let newer = Change::PutSetting { name: "repair.epoch".to_owned(), value: "1000".to_owned() };
    thief.disk.open().commit(&Commit::new().with(newer)).unwrap();
    thief.restart(&world).await;

    alice.online().await;
    let sent = alice.say(&bob, "two").await;
    alice.wait(&sent, Until::Accepted).await;
    alice.offline().await;
    thief.online().await;
    let forged = thief.say(&bob, "send the money to eve").await;
    thief.wait(&forged, Until::Accepted).await;
    thief.offline().await;

    let mut events = bob.client.subscribe();
    bob.online().await;
    let alarmed = event(&mut events, |event| match event {
        Event::Alert(alert) => match alert.notice {
            Notice::DeviceCopied { handle, name } => Some((handle, name)),
            _ => None,
        },
        _ => None,
    });
    assert_eq!(alarmed.await, (alice.handle.clone(), "phone".to_owned()));
    assert_eq!(bob.texts(), ["one", "two"]);
    assert_eq!(bob.client.alerts().unwrap().len(), 1, "it is still there when Bob looks");
}
