//! Tapbacks, edits, unsending and answers, on every device of everybody, in whatever order they come. Spec: 50-content.md (CON-10 to
//! CON-19).

use halcyon_client::{
    Act, Deed, Denied, Draft, Effect, Event, Fault, Location, Mention, Part, Range, Style, Styled, Subject, Tapback,
    Target, Text, Until,
    error::SendError,
    ports::{Clock, Store as _},
};
use halcyon_content::{Content, ConversationMembers, Kind};
use halcyon_types::{Duration, Handle, MessageId, SuiteId};

use crate::world::{Device, World, event, until};

/// A message as it is shown: its text, what it said before, who feels what about it, whether it was unsent.
type Line = (Option<String>, Vec<String>, Vec<(String, Tapback)>, bool);

fn on(sent: &halcyon_client::ShownMessage) -> Target {
    Target { message: sent.id, device: sent.sender_device, part: 0 }
}

fn edit(text: &str) -> Deed {
    Deed::Edit(Text::plain(text))
}

fn tapback(tapback: Tapback, removed: bool) -> Deed {
    Deed::Tapback { tapback, removed }
}

impl Device {
    async fn does(&self, target: Target, deed: Deed) {
        let sent = self.client.act(Act { target, deed }).await.unwrap();
        self.wait(&sent, Until::Delivered).await;
    }

    async fn is_denied(&self, target: Target, deed: Deed) -> Denied {
        match self.client.act(Act { target, deed }).await.unwrap_err() {
            SendError::Denied(denied) => denied,
            other => panic!("{other}"),
        }
    }

    fn transcript(&self) -> Vec<Line> {
        let line = |message: halcyon_client::ShownMessage| {
            let is_unsent = message.is_unsent();
            let part = message.parts.into_iter().next().unwrap();
            let tapbacks = part.tapbacks.into_iter().map(|one| (one.by.to_string(), one.tapback)).collect();
            (message.text, part.earlier.into_iter().map(|edit| edit.text).collect(), tapbacks, is_unsent)
        };
        self.messages().into_iter().map(line).collect()
    }
}

/// CON-11 to CON-15: whatever is done, on whatever device, all devices show the same.
#[tokio::test(flavor = "multi_thread")]
async fn everybody_sees_what_is_done() {
    let world = World::start().await;
    let (phone, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let laptop = world.link(&phone, "laptop").await;
    let sent = phone.say(&bob, "helo").await;
    phone.wait(&sent, Until::Delivered).await;
    let helo = on(&laptop.has(1).await[0]);
    assert_eq!(helo, on(&sent.message), "every device names it in the same way");

    let mut events = bob.client.subscribe();
    laptop.does(helo, edit("hello")).await; // From another device than the one that wrote it.
    let edited = event(&mut events, |event| match event {
        Event::Acted { act, message } => Some((act, message)),
        _ => None,
    });
    let (act, message) = edited.await;
    assert_eq!((act.text, act.sender), (None, phone.handle.clone()));
    assert_eq!(message.unwrap().text.as_deref(), Some("hello"));

    bob.does(helo, tapback(Tapback::Love, false)).await;
    bob.does(helo, tapback(Tapback::emoji("🦊").unwrap(), false)).await;
    phone.does(helo, tapback(Tapback::Like, false)).await;
    phone.does(helo, tapback(Tapback::Like, true)).await;
    let answer = Draft { reply_to: Some(helo), ..bob.draft(&phone, "hello yourself") };
    let answer = bob.client.send(answer).await.unwrap();
    bob.wait(&answer, Until::Delivered).await;
    assert_eq!(phone.has(2).await[1].reply_to, Some(helo));
    let oops = phone.say(&bob, "oops").await;
    phone.does(on(&oops.message), Deed::Unsend).await;

    let fox = vec![(bob.handle.to_string(), Tapback::emoji("🦊").unwrap())];
    let expected = [
        (Some("hello".to_owned()), vec!["helo".to_owned()], fox, false),
        (Some("hello yourself".to_owned()), vec![], vec![], false),
        (None, vec![], vec![], true),
    ];
    for device in [&phone, &laptop, &bob] {
        until("equal transcripts", || device.transcript() == expected).await;
    }
    until("an empty outbox", || phone.client.outbox_len().unwrap() == 0).await;
}

/// CON-16 to CON-19: styles, mentions, subject and effect arrive on every device; an edit brings its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_text_looks_the_same_everywhere() {
    let world = World::start().await;
    let (phone, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let laptop = world.link(&phone, "laptop").await;
    let range = |start, length| Range { start, length };
    let bold = Styled { range: range(0, 2), style: Style { bold: true, ..Style::default() } };
    let mention = Mention { range: range(3, 4), handle: bob.handle.clone() };
    let draft = Draft {
        styles: vec![bold],
        mentions: vec![mention.clone()],
        subject: Subject::new("greetings"),
        effect: Some(Effect::Fireworks),
        ..phone.draft(&bob, "hi @bob")
    };
    let sent = phone.client.send(draft).await.unwrap();
    phone.wait(&sent, Until::Delivered).await;
    let text = Text { text: "hi @bob".into(), styles: vec![bold], mentions: vec![mention.clone()] };
    for (device, is_named) in [(&phone, false), (&laptop, false), (&bob, true)] {
        let shown = device.has(1).await.remove(0);
        assert_eq!(shown.parts[0].text.as_ref(), Some(&text));
        assert_eq!(shown.subject.as_ref().map(Subject::as_str), Some("greetings"));
        assert_eq!((shown.effect, shown.mentions_me), (Some(Effect::Fireworks), is_named));
    }
    let edited = Text { mentions: Vec::new(), ..Text::plain("ho everybody") };
    phone.does(on(&sent.message), Deed::Edit(edited.clone())).await;
    until("the edit", || bob.messages().remove(0).parts[0].text.as_ref() == Some(&edited)).await;
    assert!(!bob.messages().remove(0).mentions_me);

    // Whom a conversation does not have, a text in it does not name.
    let stranger = Mention { handle: Handle::parse("carol@example.org").unwrap(), ..mention };
    let error =
        phone.client.send(Draft { mentions: vec![stranger], ..phone.draft(&bob, "hi @bob") }).await.unwrap_err();
    assert_eq!(error.fault(), Fault::User, "{error}");
}

/// CON-1, SUI-1: what a message says does not depend on the suite that it is sealed in.
#[tokio::test(flavor = "multi_thread")]
async fn every_suite_carries_everything() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let sent = alice.say(&bob, "which suite?").await;
    alice.wait(&sent, Until::Delivered).await;
    let place = Part::Location(Location::parse("52.5163,13.3777,Brandenburg Gate").unwrap());
    for suite in [SuiteId::PAIR, SuiteId::PAIR_EC, SuiteId::PQ3] {
        let draft = Draft {
            parts: vec![place.clone()],
            subject: Subject::new("greetings"),
            effect: Some(Effect::Echo),
            reply_to: Some(on(&sent.message)),
            suite: Some(suite),
            ..alice.draft(&bob, &format!("in {suite}"))
        };
        let said = alice.client.send(draft).await.unwrap();
        alice.wait(&said, Until::Delivered).await;
        let shown = bob.messages().pop().unwrap();
        assert_eq!((shown.suite, shown.text), (Some(suite), Some(format!("in {suite}"))));
        assert_eq!((shown.effect, shown.reply_to), (Some(Effect::Echo), Some(on(&sent.message))));
        assert_eq!(shown.subject.as_ref().map(Subject::as_str), Some("greetings"));
        assert_eq!(shown.parts[1].carried.as_ref(), Some(&place));
        bob.does(on(&said.message), tapback(Tapback::Love, false)).await;
        until("the tapback", || alice.messages().pop().unwrap().parts[0].tapbacks.len() == 1).await;
    }
}

/// CON-13, CON-14: what its receivers would not count is refused before it leaves, with the reason.
#[tokio::test(flavor = "multi_thread")]
async fn what_would_not_count_is_not_sent() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let sent = alice.say(&bob, "hello").await;
    alice.wait(&sent, Until::Delivered).await;
    let hello = on(&sent.message);
    assert_eq!(bob.is_denied(hello, edit("I owe you")).await, Denied::NotYours);
    assert_eq!(bob.is_denied(hello, Deed::Unsend).await, Denied::NotYours);
    assert_eq!(alice.is_denied(Target { part: 1, ..hello }, Deed::Unsend).await, Denied::NoSuchPart);
    let nothing = Target { message: MessageId::from_bytes([9; 16]), ..hello };
    let error = alice.client.act(Act { target: nothing, deed: Deed::Unsend }).await.unwrap_err();
    assert!(matches!(error, SendError::NoSuchMessage) && error.fault() == Fault::User, "{error}");
    world.clock.advance(Duration::from_millis(2 * 60_000 + 1));
    assert_eq!(alice.is_denied(hello, Deed::Unsend).await, Denied::UnsendTooLate);
    alice.does(hello, edit("1")).await;
    for text in ["2", "3", "4", "5"] {
        alice.does(hello, edit(text)).await;
    }
    assert_eq!(alice.is_denied(hello, edit("6")).await, Denied::EditTooOften);
    let later = alice.say(&bob, "another").await;
    world.clock.advance(Duration::from_millis(15 * 60_000 + 1));
    assert_eq!(alice.is_denied(on(&later.message), edit("late")).await, Denied::EditTooLate);
    assert_eq!(bob.transcript().remove(0).0.as_deref(), Some("5"));
}

/// CON-11, REP-10: the edit comes, and what it edits does not. It waits, and counts as soon as the message was repaired; and an act that
/// is lost is repaired like a message.
#[tokio::test(flavor = "multi_thread")]
async fn an_act_waits_for_its_message() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let sent = alice.say(&bob, "zero").await;
    alice.wait(&sent, Until::Delivered).await;
    bob.offline().await;
    let one = alice.say(&bob, "one").await;
    let two = alice.say(&bob, "two").await;
    for (sent, deed) in [(&one, edit("one!")), (&two, Deed::Unsend)] {
        let act = alice.client.act(Act { target: on(&sent.message), deed }).await.unwrap();
        alice.wait(&act, Until::Accepted).await;
    }
    let last = alice.say(&bob, "three").await;
    alice.wait(&last, Until::Accepted).await;
    let mut count = 0;
    bob.courier.relabel(move |envelope| {
        count += 1;
        // "one", and that "two" was unsent.
        if count == 1 || count == 4 {
            envelope.topic = "halcyon.nothing".to_owned();
        }
    });
    bob.online().await;
    let texts = |device: &Device| device.transcript().into_iter().map(|line| line.0).collect::<Vec<_>>();
    let text = |text: &str| Some(text.to_owned());
    let mut came = Vec::new();
    until("the last one", || {
        came = texts(&bob);
        came.contains(&text("three"))
    })
    .await;
    // On a slow machine the repair may have begun.
    assert!(came.len() > 3 || came == [text("zero"), text("two"), text("three")], "{came:?}");
    bob.courier.leave_alone();
    until("the repair", || texts(&bob).len() == 4 && bob.client.gaps().unwrap().is_empty()).await;
    let mut shown = texts(&bob);
    shown.sort();
    assert_eq!(shown, [None, text("one!"), text("three"), text("zero")]);
}

/// CON-11, CON-13: the receiver enforces the rules. A client that does not ask, and somebody who is not in the conversation, change
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn receivers_enforce_the_rules() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let eve = world.register("eve", "phone").await;
    let sent = alice.say(&bob, "hello").await;
    alice.wait(&sent, Until::Delivered).await;
    let deeds = [edit("I owe you"), Deed::Unsend];
    for (device, id) in [(&bob, 1_u8), (&eve, 11)] {
        device.offline().await;
        for (deed, id) in deeds.iter().zip(id..) {
            let members = ConversationMembers::new(device.handle.clone(), [alice.handle.clone()]).unwrap();
            let now = world.clock.now();
            let content = Content {
                message_id: MessageId::from_bytes([id; 16]),
                sent: now,
                members,
                kind: Kind::Act(Act { target: on(&sent.message), deed: deed.clone() }),
                place: None,
            };
            device.forges(&content, false, &[&alice]);
        }
        device.online().await;
    }
    until("all acts", || alice.disk.open().acts_on(sent.message.id).unwrap().len() == 4).await;
    assert_eq!(alice.transcript(), [(Some("hello".to_owned()), vec![], vec![], false)]);
}
