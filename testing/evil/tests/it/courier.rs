//! A courier that relabels what it carries. Nothing of it is shown, everything is acknowledged, and the talk goes on.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use halcyon_client::{Event, Until};
use halcyon_courier::wire::Envelope;

use crate::world::{Device, World, event, until};

/// Bob is told of a message that did not open, and why; the next one arrives.
async fn is_kept_unopened(
    alice: &Device,
    bob: &Device,
    why: &str,
    relabel: impl FnMut(&mut Envelope) + Send + 'static,
) {
    let shown = bob.messages().len();
    let mut events = bob.client.subscribe();
    bob.courier.relabel(relabel);
    alice.say(bob, "tampered").await;
    let cause = event(&mut events, |event| match event {
        Event::Unopened { cause, .. } => Some(cause),
        _ => None,
    })
    .await;
    assert_eq!(cause, why);
    bob.courier.leave_alone();
    let sent = alice.say(bob, "good").await;
    alice.wait(&sent, Until::Delivered).await;
    assert_eq!(bob.messages().len(), shown + 1, "only the good one is shown");
}

/// RCV-3: altered bytes, another sender, another suite, an unknown device: kept sealed, acknowledged, counted, not answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_relabelled_message_is_kept_unopened() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let mallory = world.register("mallory", "phone").await;
    let sent = mallory.say(&bob, "hello").await;
    mallory.wait(&sent, Until::Delivered).await;

    is_kept_unopened(&alice, &bob, "unauthentic", |envelope| {
        let mut payload = envelope.payload.to_vec();
        payload[40] ^= 1;
        envelope.payload = payload.into();
    })
    .await;
    let account = mallory.client.account().unwrap().unwrap();
    let (id, device, handle) = (account.account, account.device, mallory.handle.as_uri().to_owned());
    is_kept_unopened(&alice, &bob, "unauthentic", move |envelope| {
        envelope.sender_account = Bytes::copy_from_slice(id.as_bytes());
        envelope.sender_device = Bytes::copy_from_slice(device.as_bytes());
        envelope.sender_handle.clone_from(&handle);
    })
    .await;
    is_kept_unopened(&alice, &bob, "suite-not-spoken", |envelope| envelope.suite = 9).await;
    is_kept_unopened(&alice, &bob, "unknown-device", |envelope| envelope.sender_device = vec![7; 16].into()).await;
    is_kept_unopened(&alice, &bob, "unknown-sender", |envelope| {
        envelope.sender_handle = "mailto:nobody@example.org".to_owned();
    })
    .await;
    is_kept_unopened(&alice, &bob, "malformed", |envelope| envelope.sender_device = vec![7; 3].into()).await;

    let doctor = bob.client.doctor().await;
    let unopened = doctor.iter().find(|check| check.name == "unopened").unwrap();
    for cause in ["2 unauthentic", "1 suite-not-spoken", "1 unknown-device", "1 unknown-sender", "1 malformed"] {
        assert!(unopened.detail.contains(cause), "{}", unopened.detail);
    }
}

/// CON-7: a genuine message of alice under a handle that is not the one she wrote from is dropped, and acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_under_another_handle_is_dropped() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let work = crate::world::handle("alice.work");
    let verification = alice.client.add_handle(&work).await.unwrap();
    alice.client.verify_code(&verification, &world.code_for(&work).await).await.unwrap();

    let uri = work.as_uri().to_owned();
    let came = Arc::new(AtomicBool::new(false));
    let seen = came.clone();
    bob.courier.relabel(move |envelope| {
        envelope.sender_handle.clone_from(&uri);
        seen.store(true, Ordering::Release);
    });
    let dropped = alice.say(&bob, "as myself").await;
    alice.wait(&dropped, Until::Accepted).await;
    until("the relabelled message", || came.load(Ordering::Acquire)).await;
    bob.courier.leave_alone();
    let sent = alice.say(&bob, "as myself again").await;
    alice.wait(&sent, Until::Delivered).await;
    assert_eq!(bob.texts(), ["as myself again"]);
}
