//! Time: a wrong clock, a week that passes, tokens that end.

use std::sync::Arc;

use halcyon_client::{Finding, ShownDelivery, Until, event::DeliveryState};
use halcyon_client_net::Binding;
use halcyon_types::Duration;

use crate::world::{World, WorldClock, until};

fn finding(checks: &[halcyon_client::Check], name: &str) -> (Finding, String) {
    let check = checks.iter().find(|check| check.name == name).unwrap();
    (check.finding, check.detail.clone())
}

/// ACC-2, COU-12: a device whose clock is hours off corrects what it signs, and its person is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_is_corrected_for_the_server() {
    let world = World::start().await;
    let bob = world.register("bob", "phone").await;
    let wrong = Arc::new(WorldClock::default());
    wrong.advance(Duration::from_mins(180));
    let alice = world.device_with("alice", "phone", Binding::Native, wrong);
    world.register_on(&alice).await;
    let sent = alice.say(&bob, "what time is it?").await;
    alice.wait(&sent, Until::Delivered).await;
    let (found, detail) = finding(&alice.client.doctor().await, "clock");
    assert_eq!(found, Finding::Bad, "{detail}");
    assert_eq!(finding(&bob.client.doctor().await, "clock").0, Finding::Good);
}

/// DIR-11, DIR-31: after eight days prekeys rolled on their own, tokens ended, and the talk goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_week_passes() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let sent = alice.say(&bob, "see you in a week").await;
    alice.wait(&sent, Until::Delivered).await;
    alice.offline().await;
    bob.offline().await;
    world.clock.advance(Duration::from_days(8));
    let (found, detail) = finding(&bob.client.doctor().await, "prekeys");
    assert_eq!(found, Finding::Good, "8 days are no reason to worry: {detail}");
    bob.online().await;
    crate::world::within("the new prekey", async {
        while !finding(&bob.client.doctor().await, "prekeys").1.starts_with(|c: char| c.is_ascii_digit() && c < '8') {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    alice.online().await;
    let sent = alice.say(&bob, "there you are").await;
    alice.wait(&sent, Until::Delivered).await;
    assert_eq!(bob.texts(), ["see you in a week", "there you are"]);
}

/// SND-3, COU-40: by alice's clock a message has a minute left, by the server's it is over. It is shown as failed, not as
/// accepted, and leaves the outbox.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_expires_on_its_way_is_shown_as_failed() {
    let world = World::start().await;
    let bob = world.register("bob", "phone").await;
    let slow = Arc::new(WorldClock::default());
    let alice = world.device_with("alice", "phone", Binding::Native, slow.clone());
    world.register_on(&alice).await;
    let sent = alice.say(&bob, "hello").await;
    alice.wait(&sent, Until::Delivered).await;
    alice.offline().await;
    let late = alice.say(&bob, "almost too late").await;
    bob.offline().await;
    let month = Duration::from_days(30);
    slow.advance(Duration::from_millis(month.as_millis() - Duration::from_mins(1).as_millis()));
    world.clock.advance(Duration::from_millis(month.as_millis() + Duration::from_mins(2).as_millis()));
    alice.online().await;
    let deliveries = alice.wait(&late, Until::Delivered).await;
    assert!(
        matches!(&deliveries[..], [only] if matches!(&only.state, DeliveryState::Failed(why) if why.contains("time was over"))),
        "{deliveries:?}"
    );
    assert_eq!(alice.client.outbox_len().unwrap(), 0);
    bob.online().await;
    assert_eq!(bob.texts(), ["hello"]);
}

/// SND-6: what the server did not get within 30 days is shown as failed, and is not sent any more.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_month_a_message_is_given_up() {
    let mut world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let sent = alice.say(&bob, "hello").await;
    alice.wait(&sent, Until::Delivered).await;
    world.stop_server().await;
    let late = alice.say(&bob, "too late").await;
    alice.offline().await;
    bob.offline().await;
    world.clock.advance(Duration::from_days(31));
    world.start_server().await;
    alice.online().await;
    let deliveries = alice.wait(&late, Until::Delivered).await;
    assert!(
        matches!(&deliveries[0].state, DeliveryState::Failed(reason) if reason.contains("30 days")),
        "{deliveries:?}"
    );
    assert_eq!(alice.client.outbox_len().unwrap(), 0);
    // DIR-10: bob's prekey is a month old. SND-4: he makes a new one when he is back, and alice, who has the old one still, finds it.
    let sent = alice.say(&bob, "again").await;
    let deliveries = alice.wait(&sent, Until::Delivered).await;
    assert!(matches!(deliveries[0].state, DeliveryState::Failed(_)), "{deliveries:?}");
    bob.online().await;
    bob.has(2).await;
    assert_eq!(bob.texts(), ["hello", "again"]);
}

/// SND-4: Bob was away for weeks, so that nothing could be sealed for his phone; when he is back it is his laptop that he uses, and what
/// was written to him is there.
#[tokio::test(flavor = "multi_thread")]
async fn what_waited_for_one_device_goes_to_those_that_came_in_its_place() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let hello = alice.say(&bob, "hello").await;
    alice.wait(&hello, Until::Delivered).await;
    bob.is_away_for_weeks(&world, &alice, "sleep well").await;
    let sent = alice.say(&bob, "are you there?").await;
    let failed = |deliveries: &[ShownDelivery]| {
        matches!(deliveries[..], [ShownDelivery { state: DeliveryState::Failed(_), .. }])
    };
    until("a try in vain", || failed(&alice.client.deliveries(sent.message.id).unwrap())).await;
    alice.offline().await;

    bob.online().await;
    let laptop = world.link(&bob, "laptop").await;
    laptop.client.remove_device(bob.client.account().unwrap().unwrap().device).await.unwrap();
    alice.online().await;
    until("what waited", || laptop.texts().iter().any(|text| text == "are you there?")).await;
    assert_eq!(alice.wait(&sent, Until::Delivered).await.len(), 2);
}
