//! Devices come and go in the middle of a talk: the sender's list is stale, and repairs itself.

use halcyon_client::{Act, ConnectionState, Deed, Event, Notice, Target, Text, Until, event::DeliveryState};
use halcyon_directory::resolver::Change;

use crate::world::{World, event, until, within};

/// SND-3, DIR-31, DIR-8: bob links a tablet that alice does not know of; her next message reaches it, and she is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_device_gets_the_message_that_was_not_sealed_for_it() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let sent = alice.say(&bob, "only the phone").await;
    alice.wait(&sent, Until::Delivered).await;
    let tablet = world.link(&bob, "tablet").await;

    let mut events = alice.client.subscribe();
    let sent = alice.say(&bob, "both").await;
    assert_eq!(sent.deliveries.len(), 1, "as far as alice knows");
    let changes = event(&mut events, |event| match event {
        Event::DevicesChanged { changes, .. } => Some(changes),
        _ => None,
    })
    .await;
    assert!(matches!(&changes[..], [Change::DeviceAdded { name, .. }] if name == "tablet"), "{changes:?}");
    within("both devices", async {
        loop {
            let deliveries = alice.client.deliveries(sent.message.id).unwrap();
            if deliveries.len() == 2 && deliveries.iter().all(|d| matches!(d.state, DeliveryState::Delivered(_))) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(tablet.texts(), ["both"]);
    assert_eq!(bob.texts(), ["only the phone", "both"], "the phone got it once");
}

/// DIR-5, COU-55: bob removes his tablet; it hears so, and gets nothing any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_removed_device_gets_nothing_any_more() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let tablet = world.link(&bob, "tablet").await;
    let sent = alice.say(&bob, "both").await;
    alice.wait(&sent, Until::Delivered).await;

    let id = tablet.client.account().unwrap().unwrap().device;
    bob.client.remove_device(id).await.unwrap();
    let state = within("the end of the connection", async {
        loop {
            match tablet.client.connection() {
                ConnectionState::Refused { cause } => return cause,
                _ => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        }
    })
    .await;
    assert!(state.contains("removed"), "{state}");
    assert!(tablet.client.account().unwrap().unwrap().removed);
    assert!(tablet.client.alerts().unwrap().iter().any(|alert| alert.notice == Notice::Removed));
    assert!(tablet.client.send(tablet.draft(&alice, "still here?")).await.is_err());

    let sent = alice.say(&bob, "only the phone").await;
    let deliveries = alice.wait(&sent, Until::Delivered).await;
    let failed = deliveries.iter().find(|delivery| delivery.device == id).unwrap();
    assert!(matches!(&failed.state, DeliveryState::Failed(reason) if reason.contains("does not belong")), "{failed:?}");
    assert_eq!(bob.texts(), ["both", "only the phone"]);
    assert_eq!(tablet.texts(), ["both"]);
}

/// DIR-4: two devices change the list at the same time; both changes are in it.
#[tokio::test(flavor = "multi_thread")]
async fn changes_at_the_same_time_are_both_made() {
    let world = World::start().await;
    let phone = world.register("alice", "phone").await;
    let laptop = world.link(&phone, "laptop").await;
    let (one, two) = tokio::join!(phone.client.rename_device("mobile"), laptop.client.rename_device("notebook"));
    one.unwrap();
    two.unwrap();
    let mut names: Vec<_> = phone.client.devices().await.unwrap().into_iter().map(|device| device.name).collect();
    names.sort();
    assert_eq!(names, ["mobile", "notebook"]);
    assert!(phone.client.rename_device("\u{1b}[2J").await.is_err(), "DIR-1");
    assert!(phone.client.remove_device(phone.client.account().unwrap().unwrap().device).await.is_err());
}

/// SND-7: Alice's phone does not know of her tablet, since its profile is from before the link. What it writes before it learns of it
/// reaches the tablet all the same, although no courier could refuse it: it was sealed for no own device.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_alone_reaches_a_device_that_was_not_known() {
    let world = World::start().await;
    let (mut alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let sent = alice.say(&bob, "before").await;
    alice.wait(&sent, Until::Delivered).await;
    alice.client.devices().await.unwrap();
    let before = alice.disk.copy();
    let tablet = world.link(&alice, "tablet").await;
    alice.offline().await;
    alice.disk = before;
    alice.restart(&world).await;
    alice.say(&bob, "alone").await;
    let last = alice.say(&bob, "alone, too").await;
    alice.online().await;
    alice.wait(&last, Until::Delivered).await;
    until("what was written alone", || tablet.texts().contains(&"alone, too".to_owned())).await;
    assert_eq!(tablet.texts(), ["alone", "alone, too"], "and nothing from before the link");
    bob.has(3).await;
    assert_eq!(bob.texts(), ["before", "alone", "alone, too"]);
}

/// SND-7: what Alice wrote when nothing told her of her own devices waits to be sealed for them, and her new tablet gets it; so it gets
/// the edit, too, which was sealed when she had no other device.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_device_gets_what_was_done_to_what_it_gets() {
    let mut world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    alice.client.lookup(&bob.handle).await.unwrap();
    alice.offline().await;
    world.stop_server().await;
    let sent = alice.say(&bob, "helo").await;
    world.start_server().await;
    alice.client.lookup(&alice.handle).await.unwrap();
    let target = Target { message: sent.message.id, device: sent.message.sender_device, part: 0 };
    alice.client.act(Act { target, deed: Deed::Edit(Text::plain("hello")) }).await.unwrap();
    let tablet = world.link(&alice, "tablet").await;
    alice.online().await;
    for device in [&bob, &tablet] {
        until("the edited message", || device.texts() == ["hello"]).await;
    }
}
