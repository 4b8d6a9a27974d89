//! A directory that lies about the bundles of suite 3, which are looked into when a session starts.

use halcyon_client::{Until, event::DeliveryState};
use halcyon_evil::Lie;

use crate::world::{World, until};

/// PQ3-5, SUI-8, SND-4: without a bundle of the device's own making no session starts, and no weaker suite is used instead, though
/// both speak them and the directory offers their prekeys. The person is shown why; the truth helps.
#[tokio::test(flavor = "multi_thread")]
async fn bundles_of_others_and_missing_ones_start_nothing() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    for (waiting, lie, why) in [(1, Lie::ForeignPrekeys, "not signed by the device"), (2, Lie::NoPrekeys, "prekey")] {
        alice.http.tell_about(&bob.handle, lie);
        alice.client.lookup(&bob.handle).await.unwrap();
        let sent = alice.say(&bob, "only for bob").await;
        let failed = |state: &DeliveryState| matches!(state, DeliveryState::Failed(reason) if reason.contains(why));
        assert!(sent.deliveries.iter().any(|delivery| failed(&delivery.state)), "{sent:?}");
        let (outbox, left) = (alice.client.outbox_len().unwrap(), alice.courier.sent().len());
        assert_eq!((outbox, left), (waiting, 0), "it waits for a bundle, and nothing left the device");
    }
    alice.http.be_honest();
    alice.client.lookup(&bob.handle).await.unwrap();
    let sent = alice.say(&bob, "the truth").await;
    alice.wait(&sent, Until::Delivered).await;
    assert!(alice.courier.sent().iter().all(|envelope| envelope.suite == 3));
    // What waited for a bundle comes too, behind it or before (SND-4).
    bob.has(3).await;
    let mut texts = bob.texts();
    texts.sort();
    assert_eq!(texts, ["only for bob", "only for bob", "the truth"]);
    until("an empty outbox", || alice.client.outbox_len().unwrap() == 0).await;

    // A session that is there asks for no bundle: lies come too late.
    alice.http.tell_about(&bob.handle, Lie::ForeignPrekeys);
    alice.client.lookup(&bob.handle).await.unwrap();
    let sent = alice.say(&bob, "still for bob").await;
    alice.wait(&sent, Until::Delivered).await;
    assert_eq!(bob.texts()[3..], ["still for bob"]);
}
