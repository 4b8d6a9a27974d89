//! A directory that lies. Every lie is refused, the person is alarmed, and nothing leaves.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use halcyon_client::{Fault, Notice, Until, event::DeliveryState, ports::HttpRequest};
use halcyon_directory::wire;
use prost::Message;

use crate::world::{Device, World};

fn is_lookup(request: &HttpRequest) -> bool {
    request.path == "/v1/lookup"
}

/// Changes every account in every answer to a lookup.
fn lie(device: &Device, mut how: impl FnMut(&mut wire::AccountAnswer) + Send + 'static) {
    device.http.tamper(move |request, answer| {
        let mut answer = answer?;
        if is_lookup(request) {
            let mut response = wire::LookupResponse::decode(answer.body).unwrap();
            for account in response.answers.iter_mut().filter_map(|answer| answer.account.as_mut()) {
                how(account);
            }
            answer.body = response.encode_to_vec().into();
        }
        Ok(answer)
    });
}

async fn refused(alice: &Device, bob: &Device) -> String {
    let error = alice.client.send(alice.draft(bob, "secret")).await.unwrap_err();
    assert_eq!(error.fault(), Fault::UntrustedKey, "{error}");
    let alarmed =
        alice.client.alerts().unwrap().into_iter().any(|alert| matches!(alert.notice, Notice::Refused { .. }));
    assert!(alarmed, "the person is alarmed");
    assert_eq!(alice.client.outbox_len().unwrap(), 0, "nothing leaves");
    error.to_string()
}

/// DIR-3, DIR-9: a ghost in the device list is not signed by the account.
#[tokio::test(flavor = "multi_thread")]
async fn a_ghost_device_is_refused() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let mallory = world.register("mallory", "ghost").await;
    // Mallory's entry, genuine in her own list, is put into everybody's.
    let ghost: Arc<Mutex<Option<wire::CountersignedEntry>>> = Arc::default();
    let seen = ghost.clone();
    lie(&alice, move |account| {
        let list = wire::DeviceList::decode(account.list.as_ref().unwrap().list.clone()).unwrap();
        *seen.lock().unwrap() = list.devices.into_iter().next();
    });
    alice.client.lookup(&mallory.handle).await.unwrap();
    lie(&alice, move |account| {
        let signed = account.list.as_mut().unwrap();
        let mut list = wire::DeviceList::decode(signed.list.clone()).unwrap();
        list.devices.extend(ghost.lock().unwrap().clone());
        signed.list = list.encode_to_vec().into();
    });
    refused(&alice, &bob).await;
    assert_eq!(bob.messages().len() + mallory.messages().len(), 0);
}

/// DIR-6: yesterday's list, genuine in its time, is refused today.
#[tokio::test(flavor = "multi_thread")]
async fn a_rolled_back_list_is_refused() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let old: Arc<Mutex<Option<wire::SignedDeviceList>>> = Arc::default();
    let seen = old.clone();
    lie(&alice, move |account| *seen.lock().unwrap() = account.list.clone());
    alice.client.lookup(&bob.handle).await.unwrap();
    let _tablet = world.link(&bob, "tablet").await;
    alice.http.leave_alone();
    assert_eq!(alice.client.lookup(&bob.handle).await.unwrap().devices.len(), 2);

    let replayed = old.lock().unwrap().clone();
    lie(&alice, move |account| account.list = replayed.clone());
    let error = alice.client.lookup(&bob.handle).await.unwrap_err();
    assert_eq!(error.fault(), Fault::UntrustedKey);
    assert!(error.to_string().contains("old device list (version 1"), "{error}");
    let alerts = alice.client.alerts().unwrap();
    assert_eq!(alerts.iter().filter(|alert| matches!(alert.notice, Notice::Refused { .. })).count(), 1);
    alice.client.lookup(&bob.handle).await.unwrap_err();
    assert_eq!(alice.client.alerts().unwrap().len(), alerts.len(), "the same alarm is not raised twice");
}

/// DIR-7: a handle that suddenly stands for another account is refused until the person says that it is right.
#[tokio::test(flavor = "multi_thread")]
async fn a_handle_that_moved_needs_consent() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let mallory = world.register("mallory", "phone").await;
    alice.client.lookup(&bob.handle).await.unwrap();
    let (asked, mallorys) = (bob.handle.clone(), mallory.handle.clone());
    // The server answers the question for bob with mallory's account, signed by mallory.
    let account: Arc<Mutex<Option<wire::AccountAnswer>>> = Arc::default();
    let seen = account.clone();
    lie(&alice, move |account| *seen.lock().unwrap() = Some(account.clone()));
    let hers = alice.client.lookup(&mallorys).await.unwrap();
    lie(&alice, move |answer| *answer = account.lock().unwrap().clone().unwrap());
    let error = alice.client.lookup(&asked).await.unwrap_err();
    assert!(error.to_string().contains("another account"), "{error}");
    let accepted = alice.client.dangerous_accept_new_account(&asked).await.unwrap();
    assert_eq!(accepted.account, hers.account);
}

/// SUI-8, SND-4: a directory without prekeys gets no weaker suite; the message is shown as failed for that device.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_prekey_is_no_downgrade() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    lie(&alice, |account| account.devices.iter_mut().for_each(|device| device.prekeys.clear()));
    let sent = alice.say(&bob, "no weaker, please").await;
    assert!(
        matches!(&sent.deliveries[..], [only] if matches!(&only.state, DeliveryState::Failed(why) if why.contains("prekey")))
    );
    assert_eq!(alice.client.outbox_len().unwrap(), 0);
    alice.http.leave_alone();
    alice.client.lookup(&bob.handle).await.unwrap();
    let sent = alice.say(&bob, "better").await;
    alice.wait(&sent, Until::Delivered).await;
    assert_eq!(bob.texts(), ["better"]);
}

/// DIR-22, SND-4: a listed device without an address is reported, and the others get the message.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_without_an_address_is_reported() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let tablet = world.link(&bob, "tablet").await;
    let hidden = tablet.client.account().unwrap().unwrap().device;
    lie(&alice, move |account| account.devices.retain(|device| device.device_id[..] != hidden.as_bytes()[..]));
    let sent = alice.say(&bob, "who gets this?").await;
    let deliveries = alice.wait(&sent, Until::Delivered).await;
    let failed = deliveries.iter().find(|delivery| delivery.device == hidden).unwrap();
    assert!(matches!(&failed.state, DeliveryState::Failed(reason) if reason.contains("no address")), "{failed:?}");
    assert_eq!(bob.has(1).await[0].text.as_deref(), Some("who gets this?"));
    assert_eq!(tablet.messages().len(), 0);
}

/// DIR-20: an answer to another question is no answer.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_another_question_is_malformed() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    alice.http.tamper(|request, answer| {
        let mut answer = answer?;
        if is_lookup(request) {
            answer.body = Bytes::from_static(b"\x0a\x02\x0a\x00");
        }
        Ok(answer)
    });
    let error = alice.client.lookup(&bob.handle).await.unwrap_err();
    assert_eq!(error.fault(), Fault::Unexpected, "{error}");
}
