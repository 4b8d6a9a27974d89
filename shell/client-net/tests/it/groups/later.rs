//! What is said in a group at a time: who hears it is who is a member then, as far as its writer knows. Spec: 60-client.md §4 (SCD-3 to
//! SCD-5).

use halcyon_client::{ScheduledMessage, ScheduledState};
use halcyon_types::Timestamp;

use super::*;

impl Device {
    /// Has something said at a time, and waits until the server holds it.
    async fn says_later(&self, group: GroupId, text: &str, due: Timestamp) -> ScheduledMessage {
        let draft = Draft { group: Some(group), text: text.to_owned(), ..Draft::default() };
        let waiting = self.client.schedule(draft, due).await.unwrap();
        until("the server holds it", || self.waits()[0].state == ScheduledState::Held).await;
        waiting
    }

    fn waits(&self) -> Vec<ScheduledMessage> {
        self.client.scheduled().unwrap()
    }

    fn epoch(&self) -> u64 {
        self.disk.open().own().scheduled().unwrap().remove(0).epoch
    }

    /// Comes back after a pause in which it looks at everything that waits.
    async fn comes_back(&self, world: &World) {
        self.client.go_offline().await;
        world.clock.advance(Duration::from_secs(120));
        self.client.go_online();
    }
}

/// SCD-3, SCD-4, OWN-30: it comes for whoever was a member when its writer was online last, and for nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_later_is_for_who_is_a_member_then() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let (carol, dave) = (world.register("carol", "phone").await, world.register("dave", "phone").await);
    let laptop = world.link(&alice, "laptop").await;
    let group = alice.creates("friends", &[&bob, &carol]).await;
    all_see(&[&laptop, &bob, &carol], group, "friends", &[&alice, &bob, &carol]).await;
    let due = world.clock.now().plus(Duration::from_days(3));
    let waiting = alice.says_later(group, "happy birthday", due).await;
    assert_eq!((waiting.group, waiting.recipients.len()), (Some(group), 0));
    until("the laptop knows", || laptop.waits().iter().any(|one| one.group == Some(group) && one.due == due)).await;

    let first = alice.epoch();
    bob.changes(group, GroupDeed::Remove(vec![carol.handle.clone()])).await;
    bob.changes(group, GroupDeed::Add(vec![dave.handle.clone()])).await;
    all_see(&[&alice, &laptop, &bob, &dave], group, "friends", &[&alice, &bob, &dave]).await;
    alice.comes_back(&world).await;
    let is_anew = || alice.epoch() > first && alice.waits()[0].state == ScheduledState::Held;
    until("it is sealed anew", is_anew).await;
    alice.client.go_offline().await;
    world.clock.advance(Duration::from_days(3));
    let has = |device: &Device| device.told(group).contains(&"happy birthday".to_owned());
    for device in [&bob, &dave, &laptop] {
        until("it comes", || has(device)).await;
    }
    alice.client.go_online();
    until("it is said", || has(&alice) && alice.waits().is_empty()).await;
    let after = alice.says(group, "after it").await;
    alice.wait(&after, Until::Delivered).await;
    assert!(!has(&carol));
}

/// SCD-4: whoever is no member any more says nothing later, and sees that.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_removed_says_nothing_later() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let carol = world.register("carol", "phone").await;
    let group = alice.creates("friends", &[&bob, &carol]).await;
    all_see(&[&bob, &carol], group, "friends", &[&alice, &bob, &carol]).await;
    carol.says_later(group, "my last word", world.clock.now().plus(Duration::from_days(1))).await;
    alice.changes(group, GroupDeed::Remove(vec![carol.handle.clone()])).await;
    all_see(&[&bob, &carol], group, "friends", &[&alice, &bob]).await;
    carol.comes_back(&world).await;
    until(
        "carol sees why",
        || matches!(&carol.waits()[0].state, ScheduledState::Failed(why) if why.contains("member")),
    )
    .await;
    world.clock.advance(Duration::from_days(2));
    let after = alice.says(group, "after it").await;
    alice.wait(&after, Until::Delivered).await;
    assert!(!bob.told(group).contains(&"my last word".to_owned()));
    let draft = Draft { group: Some(group), text: "let me in".to_owned(), ..Draft::default() };
    let refused = carol.client.schedule(draft, world.clock.now().plus(Duration::from_days(1))).await.unwrap_err();
    assert!(matches!(refused, SendError::Group(GroupError::NotAMember)));
}
