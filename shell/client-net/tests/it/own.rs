//! What one device of a person is told, the others know: read, deleted, muted, blocked, names, settings. Spec: 52-own-devices.md, and
//! 50-content.md (CON-20 to CON-31).

use halcyon_client::{
    Draft, Event, LocalContact, Mark, ReceiptKind, SafetyMark, SealedMessage, Setting, ShownConversation, Typing,
    Until,
    ports::{Clock, Store as _},
};
use halcyon_types::{ConversationId, Duration};

use crate::world::{Device, World, event, until};

fn sealed(shown: &halcyon_client::ShownMessage) -> SealedMessage {
    SealedMessage { device: shown.sender_device, message: shown.id }
}

impl Device {
    fn overview(&self) -> Vec<ShownConversation> {
        self.client.overview().unwrap()
    }

    fn unread(&self) -> u64 {
        self.overview().iter().map(|one| one.unread).sum()
    }

    fn read_everything(&self) -> usize {
        self.overview().iter().flat_map(|one| one.ids.clone()).map(|id| self.client.read(id, u64::MAX).unwrap()).sum()
    }

    /// The last number that it knows of what another device said in a conversation.
    pub(crate) fn heard(&self, of: &Self, conversation: ConversationId) -> u64 {
        let device = of.disk.open().profile().unwrap().unwrap().device;
        self.disk.open().repairs().heard_in(device, conversation, 0).unwrap().map_or(0, |heard| heard.high)
    }

    /// By whom, and how, what it sent last was read or played.
    fn receipts(&self) -> Vec<(String, ReceiptKind)> {
        let last = self.messages().pop().unwrap();
        last.receipts.into_iter().map(|one| (one.by.to_string(), one.kind)).collect()
    }
}

/// OWN-10, CON-20 to CON-23: what bob reads on one device is read on the other, and alice learns when, if bob wants that.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_is_read_everywhere() {
    let world = World::start().await;
    let (alice, phone) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let laptop = world.link(&phone, "laptop").await;
    for text in ["one", "two"] {
        let sent = alice.say(&phone, text).await;
        alice.wait(&sent, Until::Delivered).await;
    }
    until("both have both", || (phone.unread(), laptop.unread()) == (2, 2)).await;

    // Nobody learns it who was not to.
    assert_eq!(phone.read_everything(), 2);
    assert_eq!((phone.read_everything(), phone.unread()), (0, 0));
    until("the laptop knows", || laptop.unread() == 0).await;
    assert!(laptop.messages().iter().all(|message| message.read.is_some()));

    phone.client.set_setting(Setting::ReadReceipts, Some("on")).unwrap();
    until("the setting", || laptop.client.setting(Setting::ReadReceipts).unwrap() == "on").await;
    let mut events = alice.client.subscribe();
    let before = world.clock.now();
    let sent = alice.say(&phone, "three").await;
    until("it is there", || laptop.unread() == 1).await;
    assert_eq!(laptop.read_everything(), 1);
    let (message, receipt) = event(&mut events, |event| match event {
        Event::Receipt { message, receipt } => Some((message, receipt)),
        _ => None,
    })
    .await;
    assert_eq!((message, receipt.kind), (sent.message.id, ReceiptKind::Read));
    assert!(receipt.at >= before && receipt.at <= world.clock.now());
    assert_eq!(alice.receipts(), [(phone.handle.to_string(), ReceiptKind::Read)]);
    until("the phone knows", || phone.unread() == 0).await;

    // Played, once; and in a conversation where it is not wanted, nothing.
    let three = phone.messages().pop().unwrap();
    phone.client.played(sealed(&three)).unwrap();
    phone.client.played(sealed(&three)).unwrap();
    until("it was played", || alice.receipts().len() == 2).await;
    assert_eq!(alice.receipts()[1].1, ReceiptKind::Played);
    phone.client.set_read_receipts_in(three.conversation, Some(false)).unwrap();
    assert_eq!(phone.client.read_receipts_in(three.conversation).unwrap(), (false, true));
    let sent = alice.say(&phone, "four").await;
    alice.wait(&sent, Until::Delivered).await;
    until("four", || phone.unread() == 1).await;
    assert_eq!(phone.read_everything(), 1);
    until("nothing waits", || phone.client.outbox_len().unwrap() == 0).await;
    assert_eq!(alice.receipts(), [], "she is told nothing");
}

/// OWN-3 to OWN-6: choices made apart, on devices that are offline, end the same on all; and one that was lost on its way is sent again.
#[tokio::test(flavor = "multi_thread")]
async fn devices_agree_on_what_was_chosen() {
    let world = World::start().await;
    let (phone, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let laptop = world.link(&phone, "laptop").await;
    let sent = phone.say(&bob, "hello").await;
    phone.wait(&sent, Until::Delivered).await;
    laptop.has(1).await;
    let id = sent.message.conversation;

    phone.offline().await;
    laptop.offline().await;
    let call = |device: &Device, name: &str| {
        let contact = LocalContact { name: name.to_owned(), handles: vec![bob.handle.clone()] };
        device.client.set_contacts(&[contact]).unwrap();
    };
    call(&phone, "Bobby");
    world.clock.advance(Duration::from_secs(1));
    call(&laptop, "Robert");
    phone.client.mark(id, Mark::Muted, true).unwrap();
    laptop.client.mark(id, Mark::Pinned, true).unwrap();
    // What names the first of these is lost on its way to the phone.
    let mut count = 0;
    phone.courier.relabel(move |envelope| {
        count += 1;
        if count == 1 {
            envelope.topic = "halcyon.nothing".to_owned();
        }
    });
    laptop.online().await;
    phone.online().await;
    let names = |device: &Device| device.client.contacts().unwrap().into_iter().map(|one| one.name).collect::<Vec<_>>();
    let marks = |device: &Device| device.overview().iter().map(|one| (one.muted, one.pinned)).collect::<Vec<_>>();
    until("the marks", || [&phone, &laptop].iter().all(|device| marks(device) == [(true, true)])).await;
    until("the names", || [&phone, &laptop].iter().all(|device| names(device) == ["Robert"])).await;
    assert_eq!(phone.client.contacts().unwrap()[0].handles, std::slice::from_ref(&bob.handle));
    assert_eq!(phone.overview()[0].names, [Some("Robert".to_owned())]);
    assert!(
        phone.messages().iter().all(|message| message.text.is_some()),
        "nobody is shown what devices tell each other"
    );
    assert_eq!(bob.overview()[0].names, [None], "OWN-1: it concerns nobody else");

    // OWN-4: whoever knew of a choice is later, even with a clock that is behind.
    call(&laptop, "B.");
    until("the last name", || names(&phone) == ["B."]).await;
    assert!(laptop.client.remove_contact(&bob.handle).unwrap() && !laptop.client.remove_contact(&bob.handle).unwrap());
    until("no name", || names(&phone).is_empty()).await;
    until("nothing waits", || laptop.client.outbox_len().unwrap() == 0).await;
}

/// OWN-5: a new device learns what was chosen before it was there.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_device_is_told_everything() {
    let world = World::start().await;
    let (phone, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let sent = phone.say(&bob, "hello").await;
    phone.wait(&sent, Until::Delivered).await;
    let answer = bob.say(&phone, "hello").await;
    bob.wait(&answer, Until::Delivered).await;
    assert_eq!(phone.read_everything(), 1);
    let contact = LocalContact { name: "Bob".to_owned(), handles: vec![bob.handle.clone()] };
    phone.client.set_contacts(std::slice::from_ref(&contact)).unwrap();
    phone.client.set_setting(Setting::LinkPreviews, Some("off")).unwrap();
    phone.client.set_blocked(&"mallory@example.org".parse().unwrap(), true).unwrap();
    until("nothing waits", || phone.client.outbox_len().unwrap() == 0).await;

    // What was chosen long ago is not in the history of what was told any more.
    world.clock.advance(Duration::from_days(32));
    phone.offline().await;
    phone.online().await;
    let laptop = world.link(&phone, "laptop").await;
    until("the contact", || laptop.client.contacts().unwrap() == [contact.clone()]).await;
    assert_eq!(laptop.client.setting(Setting::LinkPreviews).unwrap(), "off");
    assert_eq!(laptop.client.blocked().unwrap().len(), 1);
}

/// OWN-12: whoever is blocked is not shown, gets no receipt, and is not asked for what was missed; it does not come back afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_blocked_is_not_heard() {
    let world = World::start().await;
    let (phone, mallory) = (world.register("alice", "phone").await, world.register("mallory", "phone").await);
    let laptop = world.link(&phone, "laptop").await;
    let sent = mallory.say(&phone, "hello").await;
    mallory.wait(&sent, Until::Delivered).await;
    laptop.has(1).await;
    phone.client.set_blocked(&mallory.handle, true).unwrap();
    until("both know", || laptop.client.blocked().unwrap().len() == 1).await;
    assert!(phone.overview()[0].blocked);

    let sent = mallory.say(&phone, "are you there?").await;
    mallory.wait(&sent, Until::Accepted).await;
    let mail = mallory.say(&phone, "answer me").await;
    mallory.wait(&mail, Until::Accepted).await;
    let conversation = mail.message.conversation;
    until("both took it", || [&phone, &laptop].iter().all(|device| device.heard(&mallory, conversation) == 3)).await;
    phone.client.set_blocked(&mallory.handle, false).unwrap();
    until("the laptop knows", || laptop.client.blocked().unwrap().is_empty()).await;
    let sent = mallory.say(&phone, "finally").await;
    mallory.wait(&sent, Until::Delivered).await;
    for device in [&phone, &laptop] {
        until("what came after", || device.texts().last().is_some_and(|text| text == "finally")).await;
        assert_eq!(device.texts(), ["hello", "finally"], "{}", device.name);
        assert!(device.client.gaps().unwrap().is_empty());
    }
    let deliveries = mallory.client.deliveries(mail.message.id).unwrap();
    assert!(
        deliveries.iter().all(|one| matches!(one.state, halcyon_client::event::DeliveryState::Accepted(_))),
        "{deliveries:?}"
    );
}

/// OWN-13: who is unknown is kept apart where that is wanted, and learns nothing until somebody lets them in.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_kept_apart() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let carol = world.register("carol", "phone").await;
    alice.client.set_setting(Setting::UnknownSenders, Some("apart")).unwrap();
    alice.client.set_setting(Setting::ReadReceipts, Some("on")).unwrap();
    let mut events = alice.client.subscribe();
    let sent = bob.say(&alice, "you do not know me").await;
    bob.wait(&sent, Until::Accepted).await;
    let shown = event(&mut events, |event| if let Event::Message(shown) = event { Some(shown) } else { None }).await;
    assert!(shown.apart && alice.overview()[0].apart);
    assert_eq!(alice.read_everything(), 1);
    until("nothing waits", || alice.client.outbox_len().unwrap() == 0).await;
    assert_eq!(bob.receipts(), []);
    let state = |device: &Device, id| device.client.deliveries(id).unwrap().remove(0).state;
    assert!(matches!(state(&bob, sent.message.id), halcyon_client::event::DeliveryState::Accepted(_)));

    // Somebody whom she wrote to is none.
    let hello = alice.say(&carol, "hello, carol").await;
    alice.wait(&hello, Until::Delivered).await;
    let answer = carol.say(&alice, "hello, alice").await;
    carol.wait(&answer, Until::Delivered).await;
    assert_eq!(alice.overview().iter().filter(|one| one.apart).count(), 1);

    alice.client.accept_sender(&bob.handle).unwrap();
    assert!(!alice.overview().iter().any(|one| one.apart));
    let again = bob.say(&alice, "thank you").await;
    bob.wait(&again, Until::Delivered).await;
    assert_eq!(alice.read_everything(), 2);
    until("bob knows", || bob.receipts().len() == 1).await;
}

/// OWN-20 to OWN-22: what is deleted is deleted for this person alone, on all devices, can be restored for 30 days, and is then gone.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_can_be_restored_for_thirty_days() {
    let world = World::start().await;
    let (phone, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let laptop = world.link(&phone, "laptop").await;
    for text in ["keep this", "delete this", "delete that"] {
        let sent = bob.say(&phone, text).await;
        bob.wait(&sent, Until::Delivered).await;
    }
    let [_, this, that] = <[_; 3]>::try_from(phone.has(3).await).unwrap();
    laptop.has(3).await;
    let found = |device: &Device| device.client.search("delete", 10).unwrap().len();
    assert_eq!((found(&phone), found(&laptop)), (2, 2));
    phone.client.delete(sealed(&this)).unwrap();
    laptop.client.delete(sealed(&that)).unwrap();
    for device in [&phone, &laptop] {
        until("both are deleted", || device.texts() == ["keep this"]).await;
        assert_eq!((found(device), device.client.deleted().unwrap().len()), (0, 2));
    }
    assert_eq!(bob.texts().len(), 3, "bob keeps his");

    world.clock.advance(Duration::from_days(30));
    laptop.client.restore(sealed(&that)).unwrap();
    for device in [&phone, &laptop] {
        until("it is back", || device.texts() == ["keep this", "delete that"]).await;
        assert_eq!(found(device), 1);
    }
    phone.client.delete(sealed(&that)).unwrap();
    until("again", || laptop.texts() == ["keep this"]).await;
    world.clock.advance(Duration::from_millis(1));
    for device in [&phone, &laptop] {
        // Housekeeping is done at each connect.
        device.offline().await;
        device.online().await;
        until("one is gone", || device.client.deleted().unwrap().len() == 1).await;
        let error = device.client.restore(sealed(&this)).unwrap_err();
        assert!(matches!(error, halcyon_client::error::ChooseError::NoSuchMessage));
    }
    world.clock.advance(Duration::from_days(30));
    phone.offline().await;
    phone.online().await;
    until("all are gone", || phone.client.deleted().unwrap().is_empty()).await;
    assert!(phone.disk.open().messages_with(this.id).unwrap()[0].message.content.is_empty());
    assert_eq!(phone.client.delete_conversation(this.conversation).unwrap(), 1);
    assert_eq!(phone.texts(), [] as [&str; 0]);
}

/// OWN-23: a conversation that was deleted is listed as such, with what is left of it; it comes back at once, on all devices.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_conversation_is_restored_at_once() {
    let world = World::start().await;
    let (phone, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let carol = world.register("carol", "phone").await;
    let laptop = world.link(&phone, "laptop").await;
    for (from, said) in [(&bob, "one"), (&bob, "two"), (&carol, "three")] {
        let sent = from.say(&phone, said).await;
        from.wait(&sent, Until::Delivered).await;
    }
    let [one, two, three] = <[_; 3]>::try_from(phone.has(3).await).unwrap();
    laptop.has(3).await;
    let deleted = |device: &Device| device.client.deleted_conversations().unwrap();
    assert_eq!(deleted(&phone), []);
    let at = world.clock.now();
    phone.client.delete(sealed(&one)).unwrap();
    world.clock.advance(Duration::from_mins(1));
    assert_eq!(phone.client.delete_conversation(three.conversation).unwrap(), 1);
    world.clock.advance(Duration::from_mins(1));
    assert_eq!(phone.client.delete_conversation(two.conversation).unwrap(), 1);
    for device in [&phone, &laptop] {
        until("both conversations are deleted", || device.texts().is_empty()).await;
        let listed = deleted(device);
        let of = |one: &halcyon_client::DeletedConversation| {
            (one.conversation.others.clone(), one.messages.iter().map(|one| one.id).collect::<Vec<_>>())
        };
        let [bobs, carols] = listed.as_slice() else { panic!("{listed:?}") };
        assert_eq!(of(bobs), (vec![bob.handle.clone()], vec![one.id, two.id]));
        assert_eq!(of(carols), (vec![carol.handle.clone()], vec![three.id]));
        assert!(bobs.conversation.last.is_none() && bobs.deleted > carols.deleted);
        assert_eq!(bobs.until.since(at), Duration::from_days(30), "as long as its first one");
    }

    // What is said anew stays when the rest comes back, and when it does not.
    let again = bob.say(&phone, "four").await;
    bob.wait(&again, Until::Delivered).await;
    laptop.has(1).await;
    assert!(deleted(&laptop)[0].conversation.last.is_some());
    assert_eq!(laptop.client.restore_conversation(two.conversation).unwrap(), 2);
    assert_eq!(laptop.client.restore_conversation(two.conversation).unwrap(), 0);
    for device in [&phone, &laptop] {
        until("it is back", || device.texts() == ["one", "two", "four"]).await;
        assert_eq!(deleted(device).len(), 1, "carol's stays where it is");
    }
}

/// CON-28 to CON-31: who is there sees that somebody types; it ends by itself; it leaves nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn typing_is_seen_and_ends() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let to = [bob.handle.clone()];
    assert!(!alice.client.typing(&to, None, Typing::Started).await.unwrap(), "nobody heard of bob");
    let sent = alice.say(&bob, "hello").await;
    alice.wait(&sent, Until::Delivered).await;
    until("nothing waits", || alice.client.outbox_len().unwrap() == 0).await;

    let mut events = bob.client.subscribe();
    let typing = |event| match event {
        Event::Typing { by, typing, .. } => Some((by, typing)),
        _ => None,
    };
    assert!(alice.client.typing(&to, None, Typing::Started).await.unwrap());
    assert_eq!(event(&mut events, typing).await, (alice.handle.clone(), Typing::Started));
    assert!(!alice.client.typing(&to, None, Typing::Started).await.unwrap(), "not so soon again");
    assert!(alice.client.typing(&to, None, Typing::Stopped).await.unwrap());
    assert_eq!(event(&mut events, typing).await.1, Typing::Stopped);
    assert!(alice.client.typing(&to, None, Typing::Started).await.unwrap());
    assert_eq!(event(&mut events, typing).await.1, Typing::Started);
    // Said nothing more: after a minute it is over, without a word of anybody.
    world.clock.advance(Duration::from_secs(30));
    bob.say(&alice, "hm").await;
    let nothing = tokio::time::timeout(std::time::Duration::from_millis(300), event(&mut events, typing)).await;
    assert!(nothing.is_err());
    world.clock.advance(Duration::from_secs(31));
    bob.say(&alice, "well").await;
    assert_eq!(event(&mut events, typing).await.1, Typing::Stopped);
    assert!(bob.texts().iter().all(|text| !text.is_empty()) && bob.messages().len() == 3, "nothing of it is kept");

    // Who was not heard for a while is not told, nor anybody when it is switched off.
    let sent = alice.say(&bob, "?").await;
    alice.wait(&sent, Until::Delivered).await;
    until("nothing waits", || alice.client.outbox_len().unwrap() == 0).await;
    alice.client.set_setting(Setting::Typing, Some("off")).unwrap();
    until("nothing waits", || alice.client.outbox_len().unwrap() == 0).await;
    assert!(!alice.client.typing(&to, None, Typing::Started).await.unwrap());
    alice.client.set_setting(Setting::Typing, None).unwrap();
    until("nothing waits", || alice.client.outbox_len().unwrap() == 0).await;
    assert!(alice.client.typing(&to, None, Typing::Started).await.unwrap());
    world.clock.advance(Duration::from_mins(11));
    assert!(!alice.client.typing(&to, None, Typing::Started).await.unwrap());
}

/// OWN-7, OWN-11: several handles of one person are one conversation in the list; and these people are written from a handle of choice.
#[tokio::test(flavor = "multi_thread")]
async fn several_handles_are_one_person() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let work: halcyon_types::Handle = "bob@work.example.org".parse().unwrap();
    let verification = bob.client.add_handle(&work).await.unwrap();
    bob.client.verify_code(&verification, &world.code_for(&work).await).await.unwrap();
    assert_eq!(bob.client.handles().await.unwrap().len(), 2);
    for to in [&bob.handle, &work] {
        let draft = Draft { recipients: vec![to.clone()], text: format!("to {to}"), ..Draft::default() };
        let sent = alice.client.send(draft).await.unwrap();
        alice.wait(&sent, Until::Delivered).await;
    }
    assert_eq!(alice.client.conversations().unwrap().len(), 2);
    let shown = alice.overview();
    assert_eq!((shown.len(), shown[0].ids.len(), &shown[0].others[..]), (1, 2, &[work.clone()][..]));
    // A contact joins what the directory does not.
    let carol = world.register("carol", "phone").await;
    let sent = alice.say(&carol, "hello").await;
    alice.wait(&sent, Until::Delivered).await;
    assert_eq!(alice.overview().len(), 2);
    let contact = LocalContact { name: "Bob or Carol".into(), handles: vec![carol.handle.clone(), bob.handle.clone()] };
    alice.client.set_contacts(&[contact]).unwrap();
    let shown = alice.overview();
    assert_eq!((shown.len(), shown[0].ids.len()), (1, 3));
    assert_eq!(shown[0].names, [Some("Bob or Carol".to_owned())]);

    let to_alice = [alice.handle.clone()];
    bob.client.set_sends_from(&to_alice, Some(&work)).unwrap();
    assert!(bob.client.set_sends_from(&to_alice, Some(&alice.handle)).is_err());
    assert_eq!(bob.say(&alice, "from work").await.message.sender, work);
    bob.client.set_sends_from(&to_alice, None).unwrap();
    assert_eq!(bob.say(&alice, "from home").await.message.sender, bob.handle);
}

/// DIR-60, OWN-31: both see one code; who compared it sees so on all devices, by whatever handle, until it is taken back.
#[tokio::test(flavor = "multi_thread")]
async fn a_safety_code_is_compared_for_all_devices() {
    let world = World::start().await;
    let (phone, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let laptop = world.link(&phone, "laptop").await;
    assert_eq!(phone.client.safety(&bob.handle).unwrap(), None);
    assert!(phone.client.set_compared(&bob.handle, true).is_err(), "nobody knows whom");
    for device in [&phone, &laptop] {
        device.client.lookup(&bob.handle).await.unwrap();
    }
    bob.client.lookup(&phone.handle).await.unwrap();
    let safety = |device: &Device| device.client.safety(&bob.handle).unwrap().unwrap();
    assert_eq!(safety(&phone).code, bob.client.safety(&phone.handle).unwrap().unwrap().code);
    assert_eq!((safety(&phone).mark, safety(&laptop).mark), (SafetyMark::None, SafetyMark::None));
    phone.client.set_compared(&bob.handle, true).unwrap();
    until("the laptop knows", || safety(&laptop).mark == SafetyMark::Compared).await;
    laptop.client.set_compared(&bob.handle, false).unwrap();
    until("the phone knows", || safety(&phone).mark == SafetyMark::None).await;
}
