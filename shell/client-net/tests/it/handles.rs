//! More than one handle.

use halcyon_client::{
    Draft, Fault, Until,
    error::{HandlesError, VerificationError},
    ports::{Change, Commit, HttpError, Store as _},
};
use halcyon_types::Handle;

use crate::world::{Device, World, handle};

/// A further address of a device's person, verified.
async fn add_handle(world: &World, device: &Device, name: &str) -> Handle {
    let added = handle(name);
    let verification = device.client.add_handle(&added).await.unwrap();
    device.client.verify_code(&verification, &world.code_for(&added).await).await.unwrap();
    added
}

/// ACC-50 to ACC-52, CON-7: a second handle is verified, written from and to, and removed again.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_handle_can_be_used_and_removed() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let work = add_handle(&world, &alice, "alice.work").await;
    let handles = alice.client.handles().await.unwrap();
    assert_eq!(
        handles.iter().map(|added| (&added.handle, added.default)).collect::<Vec<_>>(),
        [(&alice.handle, true), (&work, false)]
    );

    alice.client.set_default_handle(&work).unwrap();
    let sent = alice.say(&bob, "from work").await;
    alice.wait(&sent, Until::Delivered).await;
    assert_eq!(bob.messages()[0].sender, work);
    let answer = Draft { recipients: vec![work.clone()], ..bob.draft(&alice, "to work") };
    let answer = bob.client.send(answer).await.unwrap();
    bob.wait(&answer, Until::Delivered).await;
    assert_eq!(alice.client.conversations().unwrap().len(), 1, "CON-6: one conversation");

    alice.client.remove_handle(&work).await.unwrap();
    assert!(matches!(alice.client.remove_handle(&alice.handle).await.unwrap_err(), HandlesError::Last));
    let error = alice.client.send(Draft { from: Some(work), ..alice.draft(&bob, "again") }).await.unwrap_err();
    assert_eq!(error.fault(), Fault::User);
}

/// CON-7: Alice's phone does not know of an address of hers yet: another device added it, or the profile is from before. What is written
/// to it is not taken for somebody else's mail.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_to_a_new_address_of_ones_own_is_taken() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let work = add_handle(&world, &alice, "alice.work").await;
    alice.client.handles().await.unwrap();
    let forget = Commit::new().with(Change::RemoveOwnHandle(work.clone()));
    alice.disk.open().commit(&forget).unwrap();
    let sent = bob.client.send(Draft { recipients: vec![work.clone()], ..bob.draft(&alice, "to work") }).await.unwrap();
    bob.wait(&sent, Until::Delivered).await;
    assert_eq!(alice.texts(), ["to work"]);
    assert!(alice.disk.open().own_handles().unwrap().contains(&work));

    // Without an answer it waits, and is not acknowledged (RCV-2).
    alice.disk.open().commit(&forget).unwrap();
    alice.http.tamper(|request, answer| match request.path.as_str() {
        "/v1/account" => Err(HttpError::TimedOut),
        _ => answer,
    });
    let sent = bob.client.send(Draft { recipients: vec![work], ..bob.draft(&alice, "again") }).await.unwrap();
    bob.wait(&sent, Until::Accepted).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(alice.texts(), ["to work"]);
    alice.http.be_honest();
    bob.wait(&sent, Until::Delivered).await;
    assert_eq!(alice.texts(), ["to work", "again"]);
}

/// ACC-21: five wrong codes end a verification, and each says how many are left.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_codes_are_counted() {
    let world = World::start().await;
    let alice = world.device("alice", "phone");
    let verification = alice.client.request_verification(&alice.handle).await.unwrap();
    let code = world.code_for(&alice.handle).await;
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for left in [4, 3, 2, 1] {
        let error = alice.client.verify_code(&verification, wrong).await.unwrap_err();
        assert!(matches!(error, VerificationError::WrongCode { tries_left } if tries_left == left), "{error}");
    }
    alice.client.verify_code(&verification, wrong).await.unwrap_err();
    let error = alice.client.verify_code(&verification, &code).await.unwrap_err();
    assert!(matches!(error, VerificationError::Ended), "{error}");
    assert!(!alice.client.is_verified(&verification).await.unwrap_or(false));
}
