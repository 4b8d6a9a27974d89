//! Groups beside what each person chooses: receipts, typing, who is blocked or unknown, marks, what is deleted. Spec: 51-groups.md §4
//! (GRP-13 to GRP-16).

use halcyon_client::{Event, LocalContact, Mark, ReceiptKind, SealedMessage, Setting, ShownConversation, Typing};
use halcyon_content::Receipt;
use halcyon_types::{ConversationId, Handle};

use super::*;
use crate::world::event;

impl Device {
    fn listed(&self, group: GroupId) -> ShownConversation {
        let is_it = |one: &ShownConversation| one.group.as_ref().is_some_and(|shown| shown.id == group);
        self.client.overview().unwrap().into_iter().find(is_it).unwrap()
    }

    fn conversation(&self, group: GroupId) -> ConversationId {
        self.group(group).unwrap().conversation
    }

    fn shown(&self, group: GroupId, text: &str) -> Option<halcyon_client::ShownMessage> {
        let messages = self.client.history(self.conversation(group), u64::MAX, 100).unwrap();
        messages.into_iter().find(|message| message.text.as_deref() == Some(text))
    }

    /// Who read what it said.
    fn readers(&self, group: GroupId, text: &str) -> Vec<Handle> {
        self.shown(group, text).unwrap().receipts.into_iter().map(|one| one.by).collect()
    }

    fn reads(&self, group: GroupId) -> usize {
        self.client.read(self.conversation(group), u64::MAX).unwrap()
    }

    async fn sent_all(&self) {
        until("nothing waits", || self.client.outbox_len().unwrap() == 0).await;
    }

    /// What it said came to the server for this device, and the device said nothing of it.
    fn is_unanswered(&self, sent: &SentMessage, by: &Device) -> bool {
        let deliveries = self.client.deliveries(sent.message.id).unwrap();
        let account = by.disk.open().profile().unwrap().unwrap().account;
        let its: Vec<_> = deliveries.into_iter().filter(|one| one.account == account).collect();
        !its.is_empty() && its.iter().all(|one| matches!(one.state, DeliveryState::Accepted(_)))
    }
}

/// Commits a receipt to a device's outbox that its program would not write.
fn forge_receipt(device: &Device, world: &World, about: MessageId, to: &Device) {
    let members = ConversationMembers::new(device.handle.clone(), [to.handle.clone()]).unwrap();
    let kind =
        Kind::Receipt(Receipt { kind: ReceiptKind::Read, message_ids: vec![about], at: Some(world.clock.now()) });
    let message_id = MessageId::from_bytes([77; 16]);
    device.forges(&Content { message_id, sent: world.clock.now(), members, kind, place: None }, true, &[to]);
}

/// GRP-13, RCV-7: receipts count of those who are members, and of those who were when it was said; of nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn receipts_count_of_members() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let (carol, eve) = (world.register("carol", "phone").await, world.register("eve", "phone").await);
    for device in [&bob, &carol] {
        device.client.set_setting(Setting::ReadReceipts, Some("on")).unwrap();
    }
    let group = alice.creates("friends", &[&bob, &carol]).await;
    all_see(&[&bob, &carol], group, "friends", &[&alice, &bob, &carol]).await;
    let one = alice.says(group, "one").await;
    alice.wait(&one, Until::Delivered).await;
    assert_eq!(bob.reads(group), 1, "nobody has to read that a group was begun");
    until("bob's receipt", || alice.readers(group, "one") == [bob.handle.clone()]).await;
    assert_eq!(carol.shown(group, "one").unwrap().receipts, [], "it is told to whoever wrote it");

    // Carol reads it offline, and is removed before anybody hears of that.
    carol.offline().await;
    assert_eq!(carol.reads(group), 1);
    alice.changes(group, GroupDeed::Remove(vec![carol.handle.clone()])).await;
    carol.online().await;
    until("carol's receipt", || alice.readers(group, "one") == [bob.handle.clone(), carol.handle.clone()]).await;
    until("carol to know", || !carol.group(group).unwrap().is_member).await;

    // What is said after that she cannot have read, nor can eve, whoever told them its id.
    let two = bob.says(group, "two").await;
    bob.wait(&two, Until::Delivered).await;
    for device in [&carol, &eve] {
        device.offline().await;
        forge_receipt(device, &world, two.message.id, &bob);
        device.online().await;
        device.sent_all().await;
        let after = device.say(&bob, "I have read it").await;
        device.wait(&after, Until::Delivered).await;
    }
    assert_eq!(bob.readers(group, "two"), []);
    alice.client.set_read_receipts_in(alice.conversation(group), Some(true)).unwrap();
    assert_eq!(alice.reads(group), 1);
    until("alice's receipt", || bob.readers(group, "two") == [alice.handle.clone()]).await;
}

/// GRP-13: who is there sees that a member types in the group, and of nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn members_see_who_types() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let (carol, dave) = (world.register("carol", "phone").await, world.register("dave", "phone").await);
    let group = alice.creates("friends", &[&bob, &carol, &dave]).await;
    let all = [&alice, &bob, &carol, &dave];
    all_see(&all, group, "friends", &all).await;
    let sent = alice.says(group, "hello").await;
    alice.wait(&sent, Until::Delivered).await;
    alice.sent_all().await;
    let conversation = alice.conversation(group);
    let typing = |event| match event {
        Event::Typing { conversation, by, typing } => Some((conversation, by, typing)),
        _ => None,
    };
    let (mut bobs, mut carols) = (bob.client.subscribe(), carol.client.subscribe());
    assert!(alice.client.typing_in_group(group, Typing::Started).await.unwrap());
    for events in [&mut bobs, &mut carols] {
        assert_eq!(event(events, typing).await, (conversation, alice.handle.clone(), Typing::Started));
    }
    let sent = alice.says(group, "that is what I typed").await;
    alice.wait(&sent, Until::Delivered).await;

    // Carol is removed while she is away, and her program says that she types as if she did not know.
    let log = carol.disk.open().groups().group(group).unwrap().unwrap();
    alice.changes(group, GroupDeed::Remove(vec![carol.handle.clone()])).await;
    all_see(&[&bob, &dave], group, "friends", &[&alice, &bob, &dave]).await;
    until("carol to know", || !carol.group(group).unwrap().is_member).await;
    let error = carol.client.typing_in_group(group, Typing::Started).await.unwrap_err();
    assert!(matches!(error, SendError::Group(GroupError::NotAMember)), "{error}");
    carol.offline().await;
    carol.disk.open().commit(&Commit::new().with(Change::PutGroup(log))).unwrap();
    let here = GroupRef { id: group, hash: bob.group(group).unwrap().hash };
    forge(&carol, &world, here, Kind::Typing(Typing::Started), 9, &[&bob]);
    let mut events = bob.client.subscribe();
    carol.online().await;
    carol.sent_all().await;
    carol.say(&bob, "hi").await;
    let seen = event(&mut events, |event| match event {
        Event::Typing { .. } => Some("typing"),
        Event::Message(_) => Some("message"),
        _ => None,
    })
    .await;
    assert_eq!(seen, "message", "carol types in no group of bob's");
}

/// GRP-14: whoever is blocked is not heard in a group, which goes on with them; and draws nobody into another.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_goes_on_with_a_blocked_member() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let (carol, mallory) = (world.register("carol", "phone").await, world.register("mallory", "phone").await);
    let group = bob.creates("friends", &[&alice, &carol, &mallory]).await;
    let all = [&bob, &alice, &carol, &mallory];
    all_see(&all, group, "friends", &all).await;
    alice.client.set_blocked(&mallory.handle, true).unwrap();
    assert!(!alice.listed(group).blocked);
    let boo = mallory.says(group, "boo").await;
    let renamed = mallory.changes(group, GroupDeed::Rename(name("mallory's"))).await;
    all_see(&all, group, "mallory's", &all).await;
    let hello = bob.says(group, "hello").await;
    bob.wait(&hello, Until::Delivered).await;
    alice.says(group, "hello, bob").await;
    let begun = "* bob created friends with alice carol mallory";
    let rest = ["* mallory renamed to mallory's", "hello", "hello, bob"];
    all_told(&[&alice], group, &[&[begun], &rest[..]].concat()).await;
    all_told(&[&bob, &carol, &mallory], group, &[&[begun, "boo"], &rest[..]].concat()).await;
    alice.sent_all().await;
    assert!(mallory.is_unanswered(&boo, &alice) && mallory.is_unanswered(&renamed, &alice));

    let plot = mallory.creates("plot", &[&alice, &carol]).await;
    mallory.says(plot, "boo again").await;
    all_told(&[&carol], plot, &["* mallory created plot with alice carol", "boo again"]).await;
    let plot_conversation = halcyon_content::group::group_conversation(plot);
    until("alice to have it", || alice.heard(&mallory, plot_conversation) == 2).await;
    assert_eq!(alice.group(plot), None);
    carol.says(plot, "alice, do you want this?").await;
    all_told(&[&alice], plot, &["* mallory created plot with alice carol", "alice, do you want this?"]).await;
    assert!(alice.client.gaps().unwrap().is_empty());
}

/// GRP-14: what was held of somebody who was blocked before it was known that they are a member is not shown when it is.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_held_of_somebody_blocked_is_dropped() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let (carol, eve) = (world.register("carol", "phone").await, world.register("eve", "phone").await);
    let group = alice.creates("friends", &[&bob, &carol]).await;
    all_see(&[&bob, &carol], group, "friends", &[&alice, &bob, &carol]).await;
    let here = GroupRef { id: group, hash: alice.group(group).unwrap().hash };
    eve.offline().await;
    let log = alice.disk.open().groups().group(group).unwrap().unwrap();
    eve.disk.open().commit(&Commit::new().with(Change::PutGroup(log))).unwrap();
    forge(&eve, &world, here, Kind::Message(Message::text("I am one of you")), 1, &[&bob, &carol]);
    eve.online().await;
    for device in [&bob, &carol] {
        until("it is held", || device.disk.open().groups().held(None).unwrap().len() == 1).await;
    }
    bob.client.set_blocked(&eve.handle, true).unwrap();
    alice.changes(group, GroupDeed::Add(vec![eve.handle.clone()])).await;
    for device in [&bob, &carol] {
        until("nothing is held", || device.disk.open().groups().held(None).unwrap().is_empty()).await;
    }
    let begun = "* alice created friends with bob carol";
    all_told(&[&carol], group, &[begun, "* alice added eve", "I am one of you"]).await;
    all_told(&[&bob], group, &[begun, "* alice added eve"]).await;
}

/// GRP-15: a member is unknown unless they are known by themselves, or somebody known made this person a member.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_strangers_is_kept_apart() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let (dave, eve) = (world.register("dave", "phone").await, world.register("eve", "phone").await);
    alice.client.set_setting(Setting::UnknownSenders, Some("apart")).unwrap();
    let contact = LocalContact { name: "Bob".into(), handles: vec![bob.handle.clone()] };
    alice.client.set_contacts(&[contact]).unwrap();
    let deal = eve.creates("a deal", &[&alice, &bob]).await;
    let offer = eve.says(deal, "an offer").await;
    until("the offer", || alice.group(deal).is_some() && alice.shown(deal, "an offer").is_some()).await;
    assert!(alice.listed(deal).apart && alice.shown(deal, "an offer").unwrap().apart, "bob is in it, and did nothing");
    all_see(&[&bob], deal, "a deal", &[&eve, &alice, &bob]).await;
    let doubt = bob.says(deal, "who are you?").await;
    bob.wait(&doubt, Until::Delivered).await;
    assert!(!alice.shown(deal, "who are you?").unwrap().apart && alice.listed(deal).apart);
    alice.sent_all().await;
    assert!(eve.is_unanswered(&offer, &alice));

    // Bob may introduce whom he likes.
    let friends = bob.creates("friends", &[&alice, &dave]).await;
    all_see(&[&alice, &dave], friends, "friends", &[&bob, &alice, &dave]).await;
    let hello = dave.says(friends, "hello, alice").await;
    dave.wait(&hello, Until::Delivered).await;
    assert!(!alice.listed(friends).apart && !alice.shown(friends, "hello, alice").unwrap().apart);

    // Whoever was let in may, too.
    alice.client.accept_sender(&eve.handle).unwrap();
    assert!(!alice.listed(deal).apart && !alice.shown(deal, "an offer").unwrap().apart);
    let again = eve.says(deal, "a better offer").await;
    eve.wait(&again, Until::Delivered).await;
}

/// GRP-15: whom this person writes to is not unknown.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_was_answered_is_known() {
    let world = World::start().await;
    let (alice, eve) = (world.register("alice", "phone").await, world.register("eve", "phone").await);
    let frank = world.register("frank", "phone").await;
    alice.client.set_setting(Setting::UnknownSenders, Some("apart")).unwrap();
    let deal = eve.creates("a deal", &[&alice, &frank]).await;
    all_see(&[&alice, &frank], deal, "a deal", &[&eve, &alice, &frank]).await;
    assert!(alice.listed(deal).apart);
    let answer = alice.says(deal, "what is it?").await;
    alice.wait(&answer, Until::Delivered).await;
    let offer = frank.says(deal, "an offer").await;
    frank.wait(&offer, Until::Delivered).await;
    assert!(!alice.listed(deal).apart && !alice.shown(deal, "an offer").unwrap().apart);
}

/// GRP-16, OWN-6: marks, what was read and deleted of a group, changes of it included, are the same on both devices.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_chosen_for_a_group_goes_for_all_devices() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let (carol, laptop) = (world.register("carol", "phone").await, world.link(&alice, "laptop").await);
    let both = [&alice, &laptop];
    let group = bob.creates("friends", &[&alice, &carol]).await;
    bob.says(group, "one").await;
    let two = bob.says(group, "two").await;
    let begun = "* bob created friends with alice carol";
    all_told(&both, group, &[begun, "one", "two"]).await;
    // With the same people, and no group.
    let recipients = vec![bob.handle.clone(), carol.handle.clone()];
    let sent =
        alice.client.send(Draft { recipients, text: "without a name".to_owned(), ..Draft::default() }).await.unwrap();
    alice.wait(&sent, Until::Delivered).await;
    let listed = alice.client.overview().unwrap();
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert_eq!((alice.listed(group).group.unwrap().name, alice.listed(group).unread), (name("friends"), 2));
    assert_eq!(alice.listed(group).last.unwrap().id, two.message.id);

    let conversation = alice.conversation(group);
    alice.client.mark(conversation, Mark::Muted, true).unwrap();
    laptop.client.mark(conversation, Mark::Pinned, true).unwrap();
    laptop.client.set_read_receipts_in(conversation, Some(true)).unwrap();
    for device in both {
        until("the marks", || (device.listed(group).muted, device.listed(group).pinned) == (true, true)).await;
        until("the choice", || device.client.read_receipts_in(conversation).unwrap() == (true, true)).await;
    }
    assert!(alice.shown(group, "two").unwrap().muted && !alice.client.overview().unwrap()[1].muted);
    assert_eq!(alice.reads(group), 2);
    until("it is read on both", || laptop.listed(group).unread == 0).await;
    until("bob knows", || bob.readers(group, "two") == [alice.handle.clone()]).await;

    // A change's line goes like a message; what it changed stays.
    let history = alice.client.history(conversation, u64::MAX, 100).unwrap();
    let sealed = |at: usize| SealedMessage { device: history[at].sender_device, message: history[at].id };
    alice.client.delete(sealed(0)).unwrap();
    laptop.client.delete(sealed(1)).unwrap();
    all_told(&both, group, &["two"]).await;
    assert_eq!(alice.sees(group), bob.sees(group));
    alice.client.restore(sealed(0)).unwrap();
    all_told(&both, group, &[begun, "two"]).await;
    laptop.client.delete(sealed(0)).unwrap();
    all_told(&both, group, &["two"]).await;
    carol.changes(group, GroupDeed::Rename(name("best friends"))).await;
    all_told(&[&bob], group, &[begun, "one", "two", "* carol renamed to best friends"]).await;
    all_told(&both, group, &["two", "* carol renamed to best friends"]).await;
    world.clock.advance(Duration::from_days(31));
    for device in both {
        device.offline().await;
        device.online().await;
        until("it is gone", || device.client.deleted().unwrap().is_empty()).await;
    }
    all_told(&both, group, &["two", "* carol renamed to best friends"]).await;
    assert_eq!(laptop.client.delete_conversation(conversation).unwrap(), 2);
    all_told(&both, group, &[]).await;
    assert_eq!(alice.sees(group), bob.sees(group));
    for device in both {
        assert_eq!(device.client.gaps().unwrap(), [], "what devices tell each other is numbered apart");
    }
}

/// GRP-9, REP-24: what a device changed since its copy was made comes back: from another own device, or from any other member.
#[tokio::test(flavor = "multi_thread")]
async fn own_changes_of_a_restored_device_come_back() {
    let world = World::start().await;
    let (mut alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let (mut carol, laptop) = (world.register("carol", "phone").await, world.link(&alice, "laptop").await);
    let group = bob.creates("friends", &[&alice, &carol]).await;
    all_see(&[&alice, &laptop, &carol], group, "friends", &[&bob, &alice, &carol]).await;
    let sent = bob.says(group, "hello").await;
    bob.wait(&sent, Until::Delivered).await;
    for device in [&alice, &carol, &bob, &laptop] {
        device.sent_all().await;
    }
    let yesterday = (alice.disk.copy(), carol.disk.copy());
    world.clock.advance(Duration::from_days(1));
    alice.changes(group, GroupDeed::Rename(name("alice's"))).await;
    all_see(&[&laptop, &bob, &carol], group, "alice's", &[&bob, &alice, &carol]).await;
    carol.changes(group, GroupDeed::Rename(name("carol's"))).await;
    all_see(&[&alice, &laptop, &bob], group, "carol's", &[&bob, &alice, &carol]).await;

    alice.offline().await;
    alice.disk = yesterday.0;
    alice.restart(&world).await;
    assert_eq!(alice.sees(group).unwrap().0, "friends");
    alice.online().await;
    all_see(&[&alice, &laptop, &bob], group, "carol's", &[&bob, &alice, &carol]).await;
    let own = |device: &Device, words: &str| {
        let messages = device.client.history(device.conversation(group), u64::MAX, 100).unwrap();
        let shown = messages.into_iter().find(|message| match &message.change {
            Some(change) => matches!(&change.deed, ShownDeed::Renamed(to) if to.as_str() == words),
            None => false,
        });
        shown.map(|message| (message.origin, message.sender))
    };
    let here = halcyon_client::event::Origin::Here;
    until("her own change", || own(&alice, "alice's") == Some((here, alice.handle.clone()))).await;

    // Carol has no other device.
    carol.offline().await;
    carol.disk = yesterday.1;
    carol.restart(&world).await;
    assert_eq!(carol.sees(group).unwrap().0, "friends");
    carol.online().await;
    bob.says(group, "carol, who named it so?").await;
    all_see(&[&carol, &alice, &laptop, &bob], group, "carol's", &[&bob, &alice, &carol]).await;
    until("her own change", || own(&carol, "carol's") == Some((here, carol.handle.clone()))).await;
    carol.changes(group, GroupDeed::Rename(name("ours"))).await;
    all_see(&[&carol, &alice, &laptop, &bob], group, "ours", &[&bob, &alice, &carol]).await;
}
