//! What people call themselves: told to whom they chose, kept by what counts, and never more than a claim. Spec: 50-content.md (CON-51 to
//! CON-53).

use halcyon_client::{
    Event, Image, Naming, Until,
    ports::{Clock, Store as _},
};
use halcyon_content::{Content, ConversationMembers, Kind};
use halcyon_types::{Duration, MessageId, Timestamp};

use crate::world::{Device, World, event, until};

impl Device {
    fn calls(&self, other: &Device) -> Option<String> {
        let shared = self.client.shared_name(&other.handle).unwrap();
        shared.and_then(|shared| shared.naming.name().map(str::to_owned))
    }

    /// Tells somebody a name at another time than now, as what came late does.
    async fn tells(&self, to: &Device, naming: Naming, sent: Timestamp, id: u8) {
        self.offline().await;
        let members = ConversationMembers::new(self.handle.clone(), [to.handle.clone()]).unwrap();
        let message_id = MessageId::from_bytes([id; 16]);
        let content = Content { message_id, sent, members, kind: Kind::Naming(naming), place: None };
        self.forges(&content, true, &[to]);
        self.online().await;
        until("the name left", || self.disk.open().outbox_job(message_id).unwrap().is_none()).await;
    }
}

/// CON-52, CON-53: whom it is told to knows it, with the photo, and nobody else; own devices do, too. It stands beside the handle of what
/// they write, is no message, and is gone when it is taken back.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_told_to_chosen_people() {
    let world = World::start().await;
    let (phone, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let (laptop, carol) = (world.link(&phone, "laptop").await, world.register("carol", "phone").await);
    let photo = Image::new(*b"\x89PNG\r\n\x1a\n").unwrap();
    let naming = Naming::new("Al").unwrap().with_photo(photo).unwrap();
    let mut events = bob.client.subscribe();
    phone.client.share_name(std::slice::from_ref(&bob.handle), None, &naming).await.unwrap();
    let named = event(&mut events, |event| match event {
        Event::Named { handle, naming } => Some((handle, naming)),
        _ => None,
    });
    assert_eq!(named.await, (phone.handle.clone(), naming.clone()));
    assert_eq!(bob.client.shared_name(&phone.handle).unwrap().unwrap().naming, naming);
    until("the laptop", || laptop.calls(&phone).as_deref() == Some("Al")).await;
    assert_eq!(phone.calls(&phone).as_deref(), Some("Al"));

    for other in [&bob, &carol] {
        let sent = phone.say(other, "hello").await;
        phone.wait(&sent, Until::Delivered).await;
    }
    assert_eq!(carol.calls(&phone), None);
    let maybe = |device: &Device| device.messages().into_iter().map(|message| message.sender_maybe).collect::<Vec<_>>();
    assert_eq!((maybe(&bob), maybe(&carol)), (vec![Some("Al".to_owned())], vec![None]));
    laptop.has(2).await;
    assert_eq!(maybe(&laptop), [None, None], "one's own name is no news");

    phone.client.share_name(std::slice::from_ref(&bob.handle), None, &Naming::nothing()).await.unwrap();
    until("it is taken back", || bob.calls(&phone).is_none()).await;
    assert_eq!(maybe(&bob), [None]);
    assert_eq!(bob.client.outbox_len().unwrap() + bob.client.gaps().unwrap().len(), 0);
}

/// CON-52: the newest by its sender's clock counts, in whatever order they come, and also if it takes the name back.
#[tokio::test(flavor = "multi_thread")]
async fn the_newest_name_counts() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let now = world.clock.now();
    let before = now.minus(Duration::from_mins(1));
    let name = |name| Naming::new(name).unwrap();
    let settled = |expected: Option<&str>| {
        let (expected, alice, bob) = (expected.map(str::to_owned), &alice, &bob);
        async move {
            // What comes behind it shows that it was taken.
            let sent = alice.say(bob, "done").await;
            alice.wait(&sent, Until::Delivered).await;
            assert_eq!(bob.calls(alice), expected);
        }
    };
    alice.tells(&bob, name("Alice"), now, 2).await;
    settled(Some("Alice")).await;
    alice.tells(&bob, name("Older"), before, 9).await;
    settled(Some("Alice")).await;
    alice.tells(&bob, name("Same time, lower id"), now, 1).await;
    settled(Some("Alice")).await;
    alice.tells(&bob, name("Same time, higher id"), now, 3).await;
    settled(Some("Same time, higher id")).await;
    alice.tells(&bob, Naming::nothing(), now.plus(Duration::from_mins(1)), 4).await;
    settled(None).await;
    alice.tells(&bob, name("Back again"), now, 8).await;
    settled(None).await;
}
