//! A directory that lies about everything but the list: prekeys, addresses, sessions, and which question it answers. None of it
//! makes a message readable for anybody else; what cannot be sealed or sent is said, waits or is shown as failed.

use halcyon_client::{Draft, Fault, SentMessage, Until, event::DeliveryState, ports::Store};
use halcyon_evil::Lie;

use crate::scene::{Scene, keys_of, sealed};
use crate::world::{World, until};

fn failed<'a>(sent: &'a SentMessage, why: &str) -> Vec<&'a DeliveryState> {
    let fits = |state: &&DeliveryState| matches!(state, DeliveryState::Failed(reason) if reason.contains(why));
    sent.deliveries.iter().map(|delivery| &delivery.state).filter(fits).collect()
}

/// SUI-8, SND-4, PEC-3: without a prekey of the device's own making nothing is sealed, and no weaker suite is used instead. The
/// person is shown why.
#[tokio::test(flavor = "multi_thread")]
async fn prekeys_of_others_and_missing_ones_are_refused() {
    let scene = Scene::set().await;
    let (alice, bob) = (&scene.alice, &scene.bob);
    for (lie, why) in [(Lie::ForeignPrekeys, "not signed by the device"), (Lie::NoPrekeys, "prekey")] {
        let left = sealed(alice).len();
        alice.http.tell_about(&bob.handle, lie);
        alice.client.lookup(&bob.handle).await.unwrap();
        let sent = alice.say(bob, "no weaker, please").await;
        assert_eq!(failed(&sent, why).len(), 2, "{sent:?}");
        assert_eq!((alice.client.outbox_len().unwrap(), sealed(alice).len()), (1, left), "it waits for a prekey");
        scene.talks_with_carol("and you?").await;
        alice.http.be_honest();
        alice.client.lookup(&bob.handle).await.unwrap();
        scene.talks_with_bob_before("better", Some("no weaker, please")).await;
        // With the truth comes what waited for it.
        until("what waited", || alice.client.outbox_len().unwrap() == 0).await;
    }
    let texts = bob.has(7).await;
    let late = texts.iter().filter(|message| message.text.as_deref() == Some("no weaker, please")).count();
    assert_eq!(late, 2);
    scene.only_honest_devices_were_sealed_for();
}

/// PEC-5: prekeys of last week are refused once newer ones were seen, though Bob still has the keys that open them.
#[tokio::test(flavor = "multi_thread")]
async fn rolled_back_prekeys_are_refused() {
    let scene = Scene::set().await;
    let (alice, bob, tablet) = (&scene.alice, &scene.bob, &scene.tablet);
    let (old, old_of_tablet) = (keys_of(bob).2, keys_of(tablet).2);
    alice.offline().await;
    bob.offline().await;
    tablet.offline().await;
    scene.carol.offline().await;
    scene.world.clock.advance(halcyon_types::Duration::from_days(8));
    for device in [bob, tablet, alice, &scene.carol] {
        device.online().await;
    }
    let uploaded = |device: &crate::world::Device| device.disk.open().profile().unwrap().unwrap().prekeys_uploaded;
    let is_new = |device: &crate::world::Device, old: &_| keys_of(device).2 != *old && uploaded(device);
    until("new prekeys", || is_new(bob, &old) && is_new(tablet, &old_of_tablet)).await;
    alice.client.lookup(&bob.handle).await.unwrap();
    scene.talks_with_bob("a week later").await;

    let left = sealed(alice).len();
    alice.http.tell_about(&bob.handle, Lie::RolledBackPrekeys);
    alice.client.lookup(&bob.handle).await.unwrap();
    let sent = alice.say(bob, "to an old key?").await;
    // The oldest answer has the phone alone; the tablet's prekey is today's, and its copy arrives.
    assert_eq!(failed(&sent, "older prekey").len(), 1, "{sent:?}");
    alice.wait(&sent, Until::Delivered).await;
    let since: Vec<_> = sealed(alice).split_off(left);
    assert!(since.iter().all(|envelope| envelope.prekey != old[..2] && envelope.prekey != old_of_tablet[..2]));
    assert_eq!(tablet.texts().last().map(String::as_str), Some("to an old key?"));
    assert_ne!(bob.texts().last().map(String::as_str), Some("to an old key?"));

    alice.http.be_honest();
    alice.client.lookup(&bob.handle).await.unwrap();
    scene.talks_with_bob_before("to a new one", Some("to an old key?")).await;
    scene.only_honest_devices_were_sealed_for();
}

/// DIR-22, SND-4: a listed device without an address is reported, and the others get the message.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_without_an_address_is_reported() {
    let scene = Scene::set().await;
    let (alice, bob) = (&scene.alice, &scene.bob);
    alice.http.tell_about(&bob.handle, Lie::HiddenAddress);
    alice.client.lookup(&bob.handle).await.unwrap();
    let sent = alice.say(bob, "who gets this?").await;
    assert_eq!(failed(&sent, "no address").len(), 1, "{sent:?}");
    alice.wait(&sent, Until::Delivered).await;
    let got = [bob, &scene.tablet].iter().filter(|device| device.texts().last().unwrap() == "who gets this?").count();
    assert_eq!(got, 1);
    alice.http.be_honest();
    alice.client.lookup(&bob.handle).await.unwrap();
    scene.talks_with_bob_before("both of you", Some("who gets this?")).await;
    // Whoever did not get it does now (SND-4).
    for device in [bob, &scene.tablet] {
        until("what waited for an address", || device.texts().iter().any(|text| text == "who gets this?")).await;
    }
}

/// DIR-31, SND-3, SND-2: a directory whose answers the courier does not take (an altered session, foreign addresses, an old list
/// for ever) delivers nothing and reads nothing. The message waits, the person is alarmed, and the truth delivers it, once.
async fn what_the_courier_refuses_waits(lie: Lie) {
    let mut scene = Scene::set().await;
    scene.see_all_alarms();
    scene.alice.http.tell_about(&scene.bob.handle, lie);
    scene.alice.client.lookup(&scene.bob.handle).await.unwrap();
    let before = (scene.bob.texts(), scene.tablet.texts());
    let sent = scene.alice.say(&scene.bob, "it can wait").await;
    scene.is_alarmed("refuses what was sealed by it").await;
    assert!(scene.alice.http.told() > 1, "she asked again each time");
    let deliveries = scene.alice.client.deliveries(sent.message.id).unwrap();
    assert!(deliveries.iter().all(|delivery| delivery.state == DeliveryState::Waiting), "{deliveries:?}");
    assert_eq!((scene.bob.texts(), scene.tablet.texts()), before);
    scene.talks_with_carol("i cannot reach bob").await;
    // Whatever it was addressed to, it was sealed for Bob's devices.
    let honest: Vec<_> = [&scene.bob, &scene.tablet, &scene.carol].iter().map(|device| keys_of(device).1).collect();
    for envelope in sealed(&scene.alice) {
        assert!(honest.iter().any(|key| key[..2] == envelope.device_key));
    }
    scene.alice.http.be_honest();
    let has_it = |device: &crate::world::Device| device.texts().last().unwrap() == "it can wait";
    until("the message that waited", || has_it(&scene.bob) && has_it(&scene.tablet)).await;
    scene.talks_with_bob("at last").await;
    for device in [&scene.bob, &scene.tablet] {
        assert_eq!(device.texts().iter().filter(|text| *text == "it can wait").count(), 1);
    }
}

/// DIR-30, DIR-31, SND-3: see [`what_the_courier_refuses_waits`].
#[tokio::test(flavor = "multi_thread")]
async fn an_altered_session_delivers_nothing() {
    what_the_courier_refuses_waits(Lie::AlteredSession).await;
}

/// DIR-22, COU-42, SND-3: see [`what_the_courier_refuses_waits`].
#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_address_delivers_nothing() {
    what_the_courier_refuses_waits(Lie::ForeignAddresses).await;
}

/// DIR-31, SND-3: the directory shows Alice for ever what Bob was before his tablet. She never saw the newer list, so it is no
/// step back; but the courier does not take what is sealed by it, and she hears of that.
#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_stale_for_ever_is_noticed() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let sent = alice.say(&bob, "hello").await;
    alice.wait(&sent, Until::Delivered).await;
    alice.http.tell_about(&bob.handle, Lie::Frozen);
    let tablet = world.link(&bob, "tablet").await;
    let mut events = alice.client.subscribe();
    let sent = alice.say(&bob, "do you have a tablet?").await;
    let reason = crate::world::event(&mut events, |event| match event {
        halcyon_client::Event::Alert(alert) => match alert.notice {
            halcyon_client::Notice::Refused { reason, .. } => Some(reason),
            _ => None,
        },
        _ => None,
    })
    .await;
    assert!(reason.contains("old or altered answers"), "{reason}");
    assert_eq!((bob.texts().len(), tablet.texts().len()), (1, 0));
    alice.http.be_honest();
    alice.wait(&sent, Until::Delivered).await;
    until("both", || tablet.texts() == ["do you have a tablet?"] && bob.texts().len() == 2).await;
}

/// DIR-20: an answer to another question, in another order, or none at all, is no answer, and the error says so. What is known
/// from before goes on.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_another_question_is_malformed() {
    let scene = Scene::set().await;
    let (alice, bob) = (&scene.alice, &scene.bob);
    for lie in [Lie::OtherAnswer, Lie::Garbage] {
        alice.http.tell_about(&bob.handle, lie);
        let error = alice.client.lookup(&bob.handle).await.unwrap_err();
        assert!(alice.http.told() > 0);
        assert_eq!(error.fault(), Fault::Unexpected, "{error}");
        scene.talks_with_bob("we know each other").await;
        scene.talks_with_carol("we, too").await;
    }
    scene.only_honest_devices_were_sealed_for();
}

/// DIR-20, DIR-24: two people in one question, their answers swapped: neither gets what is meant for the other.
#[tokio::test(flavor = "multi_thread")]
async fn swapped_answers_reach_nobody() {
    let world = World::start().await;
    let alice = world.register("alice", "phone").await;
    let (bob, carol) = (world.register("bob", "phone").await, world.register("carol", "phone").await);
    let draft = || Draft {
        recipients: vec![bob.handle.clone(), carol.handle.clone()],
        from: None,
        text: "to both".to_owned(),
        ..Draft::default()
    };
    alice.http.tell(Lie::Shuffled);
    let error = alice.client.send(draft()).await.unwrap_err();
    assert!(alice.http.told() > 0);
    assert_eq!(error.fault(), Fault::Unexpected, "{error}");
    assert_eq!((alice.courier.sent().len(), alice.messages().len()), (0, 0));
    alice.http.be_honest();
    let sent = alice.client.send(draft()).await.unwrap();
    alice.wait(&sent, Until::Delivered).await;
    assert_eq!((bob.texts(), carol.texts()), (vec!["to both".to_owned()], vec!["to both".to_owned()]));
}

/// DIR-21: a directory that denies somebody whom Alice knows is refused by name of the problem, and forgets nothing for her.
#[tokio::test(flavor = "multi_thread")]
async fn somebody_known_who_is_denied_is_not_replaced() {
    let scene = Scene::set().await;
    let (alice, bob) = (&scene.alice, &scene.bob);
    alice.http.tell_about(&bob.handle, Lie::Denied);
    let error = alice.client.lookup(&bob.handle).await.unwrap_err();
    assert!(error.to_string().contains("not known to the server"), "{error}");
    scene.still_hears_bob("i am here").await;
    scene.talks_with_carol("is bob gone?").await;
    alice.http.be_honest();
    alice.client.lookup(&bob.handle).await.unwrap();
    scene.talks_with_bob("there you are").await;
}
