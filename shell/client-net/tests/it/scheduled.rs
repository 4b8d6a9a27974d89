//! Messages that are sent at a time, with the real server: 60-client.md §4 (SCD), 30-courier.md §6, 52-own-devices.md (OWN-30).

use halcyon_client::ports::{Clock as _, Store as _};
use halcyon_client::{Cancelled, Draft, Event, RepairStep, ScheduledMessage, ScheduledState, Until, error::SendError};
use halcyon_types::{Duration, Timestamp};

use crate::world::{Device, PATIENCE, World, event, until};

impl Device {
    /// Schedules a text, and waits until the server holds it.
    async fn schedule(&self, to: &Device, text: &str, due: Timestamp) -> ScheduledMessage {
        let waiting = self.client.schedule(draft(to, text), due).await.unwrap();
        let held = tokio::time::timeout(PATIENCE, self.client.wait_held(waiting.hold)).await;
        let held = held.expect("the server holds it").unwrap().expect("it is there");
        assert_eq!(held.state, ScheduledState::Held);
        held
    }

    fn scheduled(&self) -> Vec<ScheduledMessage> {
        self.client.scheduled().unwrap()
    }

    fn holds_text(&self, text: &str) -> bool {
        self.times(text) > 0
    }

    fn times(&self, text: &str) -> usize {
        self.texts().iter().filter(|shown| *shown == text).count()
    }
}

fn draft(to: &Device, text: &str) -> Draft {
    Draft { recipients: vec![to.handle.clone()], text: text.to_owned(), ..Draft::default() }
}

fn soon(world: &World) -> Timestamp {
    world.clock.now().plus(Duration::from_secs(2))
}

/// SCD-1, SCD-3, SCD-5, SCD-6: a scheduled message comes when it is due, with that time, while its writer is offline; it is in nobody's
/// history before, and then in that of all of the writer's devices.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_comes_when_it_is_due_without_its_writer() {
    let world = World::start().await;
    let (phone, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let laptop = world.link(&phone, "laptop").await;
    let due = world.clock.now().plus(Duration::from_days(3));
    phone.schedule(&bob, "happy birthday", due).await;
    until("the laptop knows", || laptop.scheduled().len() == 1).await;
    phone.client.go_offline().await;
    assert!([&phone, &laptop, &bob].iter().all(|device| !device.holds_text("happy birthday")));

    world.clock.advance(Duration::from_days(3));
    until("it comes", || bob.holds_text("happy birthday")).await;
    until("the laptop has it, too", || laptop.holds_text("happy birthday")).await;
    assert_eq!(bob.messages().last().unwrap().sent, due);
    assert!(laptop.scheduled().is_empty());
    assert!(!phone.holds_text("happy birthday"));
    phone.client.go_online();
    until("the phone shows it as sent", || phone.holds_text("happy birthday") && phone.scheduled().is_empty()).await;
    assert_eq!(bob.times("happy birthday"), 1);
}

/// SCD-6: a writer that is online sees it as delivered, and goes on talking.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_is_online_learns_that_it_came() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let scheduled = alice.schedule(&bob, "later", soon(&world)).await;
    let now = alice.say(&bob, "now").await;
    alice.wait(&now, Until::Delivered).await;
    until("it comes", || bob.holds_text("later")).await;
    until("alice has it", || alice.holds_text("later")).await;
    let place = alice.texts().iter().position(|text| text == "later").unwrap();
    let id = alice.messages()[place].id;
    let delivered = alice.client.wait_delivered(id, Until::Delivered);
    tokio::time::timeout(PATIENCE, delivered).await.unwrap().unwrap();
    assert_eq!(alice.client.cancel_scheduled(scheduled.hold).await.unwrap(), Cancelled::SentAlready);
    let again = bob.say(&alice, "and again").await;
    bob.wait(&again, Until::Delivered).await;
    until("the outbox is empty", || alice.client.outbox_len().unwrap() == 0).await;
}

/// SCD-7, OWN-30: any own device sees it and takes it back; then it never comes, and the one that wrote it forgets it.
#[tokio::test(flavor = "multi_thread")]
async fn another_device_takes_it_back() {
    let world = World::start().await;
    let (phone, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let laptop = world.link(&phone, "laptop").await;
    let due = world.clock.now().plus(Duration::from_days(1));
    let held = phone.schedule(&bob, "never", due).await;
    until("the laptop knows", || laptop.scheduled().len() == 1).await;
    let seen = laptop.scheduled().remove(0);
    assert_eq!((seen.hold, seen.due, seen.text.as_str()), (held.hold, due, "never"));
    assert_eq!((seen.recipients, seen.here), (vec![bob.handle.clone()], false));
    assert_eq!(laptop.client.cancel_scheduled(held.hold).await.unwrap(), Cancelled::TakenBack);
    assert!(laptop.scheduled().is_empty());
    until("the phone knows", || phone.scheduled().is_empty()).await;
    world.clock.advance(Duration::from_days(2));
    let after = phone.say(&bob, "after").await;
    phone.wait(&after, Until::Delivered).await;
    assert!(![&phone, &laptop, &bob].iter().any(|device| device.holds_text("never")));
}

/// SCD-2: not in the past, not further than 14 days.
#[tokio::test(flavor = "multi_thread")]
async fn a_time_is_within_14_days() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let refused = |due| alice.client.schedule(draft(&bob, "x"), due);
    let now = world.clock.now();
    assert!(matches!(refused(now).await, Err(SendError::TimeIsOver)));
    let too_far = now.plus(Duration::from_days(14)).plus(Duration::from_secs(60));
    assert!(matches!(refused(too_far).await, Err(SendError::TooFarAhead)));
    assert!(alice.scheduled().is_empty());
    alice.schedule(&bob, "far", now.plus(Duration::from_days(14)).minus(Duration::from_secs(1))).await;
}

/// SCD-4: what is held opens although its conversation went on for more turns than a receiver keeps the keys of, and although
/// a device came since.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_sealed_anew_when_the_conversation_goes_on() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let due = world.clock.now().plus(Duration::from_days(2));
    alice.schedule(&bob, "held", due).await;
    let epoch = |device: &Device| device.disk.open().own().scheduled().unwrap().remove(0).epoch;
    let first = epoch(&alice);
    for turn in 0..10 {
        for (from, to) in [(&alice, &bob), (&bob, &alice)] {
            let sent = from.say(to, &format!("turn {turn}")).await;
            from.wait(&sent, Until::Delivered).await;
        }
    }
    world.clock.advance(Duration::from_secs(120));
    alice.client.go_offline().await;
    alice.client.go_online();
    until("it is sealed anew", || epoch(&alice) > first && alice.scheduled()[0].state == ScheduledState::Held).await;
    let laptop = world.link(&bob, "laptop").await;
    alice.client.lookup(&bob.handle).await.unwrap();
    let second = epoch(&alice);
    alice.client.go_offline().await;
    alice.client.go_online();
    until("it is sealed for the laptop", || {
        epoch(&alice) > second && alice.scheduled()[0].state == ScheduledState::Held
    })
    .await;
    alice.client.go_offline().await;
    world.clock.advance(Duration::from_days(2));
    for device in [&bob, &laptop] {
        until("it comes", || device.holds_text("held")).await;
    }
}

/// SCD-6, REP-12: whoever has no key for what was held asks for it, and gets it as soon as its writer is there.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_open_is_sent_again() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let talked = alice.say(&bob, "hello").await;
    alice.wait(&talked, Until::Delivered).await;
    let answered = bob.say(&alice, "hello yourself").await;
    bob.wait(&answered, Until::Delivered).await;
    let laptop = world.link(&alice, "laptop").await;
    alice.schedule(&bob, "held", world.clock.now().plus(Duration::from_days(1))).await;
    alice.client.go_offline().await;
    bob.offline().await;
    assert_eq!(bob.client.dangerous_lose_sessions().unwrap(), 1);
    world.clock.advance(Duration::from_days(1));
    until("the server makes it", || laptop.holds_text("held")).await;
    let mut events = bob.client.subscribe();
    bob.online().await;
    event(&mut events, |event| matches!(event, Event::Repair { step: RepairStep::Asked, .. }).then_some(())).await;
    assert!(!bob.holds_text("held"));
    alice.client.go_online();
    until("bob has it", || bob.holds_text("held")).await;
    until("alice has it", || alice.holds_text("held") && alice.scheduled().is_empty()).await;
    assert_eq!(bob.times("held"), 1);
}

/// COU-61, COU-66: what the server holds outlives it, and what came due while it was down is sent when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_server_loses_nothing() {
    let mut world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    alice.schedule(&bob, "after the restart", world.clock.now().plus(Duration::from_days(1))).await;
    alice.client.go_offline().await;
    world.stop_server().await;
    world.clock.advance(Duration::from_days(2));
    world.start_server().await;
    until("it comes", || bob.holds_text("after the restart")).await;
}

/// COU-66: what a device had held goes with it.
#[tokio::test(flavor = "multi_thread")]
async fn it_goes_with_its_device() {
    let world = World::start().await;
    let (phone, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let laptop = world.link(&phone, "laptop").await;
    laptop.schedule(&bob, "from a lost laptop", world.clock.now().plus(Duration::from_days(1))).await;
    let device = laptop.client.account().unwrap().unwrap().device;
    phone.client.remove_device(device).await.unwrap();
    world.clock.advance(Duration::from_days(2));
    let after = phone.say(&bob, "after").await;
    phone.wait(&after, Until::Delivered).await;
    assert!(!bob.holds_text("from a lost laptop"));
}
