//! Groups of people with several devices: who sees what, whatever is lost, late or made up. Spec: 51-groups.md.

use halcyon_client::{
    Act, Deed, Draft, Fault, GroupDeed, GroupName, SentMessage, ShownDeed, ShownGroup, Tapback, Target, Until,
    error::{GroupError, SendError},
    event::DeliveryState,
    ports::{Change, Clock, Commit, Store as _},
};
use halcyon_content::{Content, ConversationMembers, Kind, Message, group::GroupRef};
use halcyon_types::{Duration, GroupHash, GroupId, MessageId};

use crate::world::{Device, World, until};

mod chosen;
mod later;

fn name(text: &str) -> GroupName {
    GroupName::new(text).unwrap()
}

impl Device {
    async fn creates(&self, called: &str, others: &[&Device]) -> GroupId {
        let others: Vec<_> = others.iter().map(|device| device.handle.clone()).collect();
        let (group, sent) = self.client.create_group(name(called), &others, None).await.unwrap();
        self.wait(&sent, Until::Accepted).await;
        group
    }

    async fn changes(&self, group: GroupId, deed: GroupDeed) -> SentMessage {
        let sent = self.client.change_group(group, deed).await.unwrap();
        self.wait(&sent, Until::Accepted).await;
        sent
    }

    async fn refuses(&self, group: GroupId, deed: GroupDeed) -> GroupError {
        match self.client.change_group(group, deed).await.unwrap_err() {
            SendError::Group(error) => error,
            other => panic!("{other}"),
        }
    }

    async fn says(&self, group: GroupId, text: &str) -> SentMessage {
        let draft = Draft { group: Some(group), text: text.to_owned(), ..Draft::default() };
        let sent = self.client.send(draft).await.unwrap();
        self.wait(&sent, Until::Accepted).await;
        sent
    }

    fn group(&self, group: GroupId) -> Option<ShownGroup> {
        self.client.group(group).unwrap()
    }

    /// What the group looks like here: its name, who is in it, what stands for all that is known.
    fn sees(&self, group: GroupId) -> Option<(String, Vec<String>, GroupHash)> {
        let shown = self.group(group)?;
        let members = shown.members.iter().map(|member| member.handle.address().to_owned()).collect();
        Some((shown.name.as_str().to_owned(), members, shown.hash))
    }

    /// Everything in the group's conversation: texts, and changes that count in words.
    fn told(&self, group: GroupId) -> Vec<String> {
        let conversation = halcyon_content::group::group_conversation(group);
        let messages = self.client.history(conversation, u64::MAX, 1000).unwrap();
        let who = |handle: &halcyon_types::Handle| handle.address().split('@').next().unwrap().to_owned();
        let people = |handles: &[halcyon_types::Handle]| handles.iter().map(who).collect::<Vec<_>>().join(" ");
        let told = messages.into_iter().filter_map(|message| {
            assert_eq!(message.group.as_ref().unwrap().id, group);
            let Some(change) = message.change else { return message.text };
            let words = match &change.deed {
                ShownDeed::Created(called, others) => format!("created {} with {}", called.as_str(), people(others)),
                ShownDeed::Added(others) => format!("added {}", people(others)),
                ShownDeed::Removed(others) => format!("removed {}", people(others)),
                ShownDeed::Left => "left".to_owned(),
                ShownDeed::Renamed(to) => format!("renamed to {}", to.as_str()),
                ShownDeed::Photo(_) => "photo".to_owned(),
                ShownDeed::Other => "other".to_owned(),
            };
            change.counts.then(|| format!("* {} {words}", who(&message.sender)))
        });
        told.collect()
    }
}

async fn all_see(devices: &[&Device], group: GroupId, called: &str, members: &[&Device]) {
    let expected: Vec<String> = members.iter().map(|device| device.handle.address().to_owned()).collect();
    for device in devices {
        until(&format!("{} of {} to see {called}", device.name, device.handle.address()), || {
            let seen = device.sees(group);
            seen.is_some_and(|(name, members, _)| (name.as_str(), &members) == (called, &expected))
        })
        .await;
    }
    until("all to know the same changes", || {
        let hashes: Vec<_> = devices.iter().map(|device| device.sees(group).unwrap().2).collect();
        hashes.windows(2).all(|pair| pair[0] == pair[1])
    })
    .await;
}

async fn all_told(devices: &[&Device], group: GroupId, expected: &[&str]) {
    for device in devices {
        let mut last = Vec::new();
        let wait = async {
            loop {
                last = device.told(group);
                if last == expected {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        let came = tokio::time::timeout(crate::world::PATIENCE, wait).await;
        assert!(came.is_ok(), "{} of {} was told {last:?}, not {expected:?}", device.name, device.handle.address());
    }
}

/// GRP-1, GRP-7, GRP-8, GRP-10: three people with five devices, and a fourth: create, talk, change, add, remove, leave.
#[tokio::test(flavor = "multi_thread")]
async fn three_people_with_five_devices() {
    let world = World::start().await;
    let (phone, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let (carol, dave) = (world.register("carol", "phone").await, world.register("dave", "phone").await);
    let (laptop, tablet) = (world.link(&phone, "laptop").await, world.link(&bob, "tablet").await);
    let five = [&phone, &laptop, &bob, &tablet, &carol];

    let group = phone.creates("friends", &[&bob, &carol]).await;
    all_see(&five, group, "friends", &[&phone, &bob, &carol]).await;
    let hello = phone.says(group, "hello").await;
    phone.wait(&hello, Until::Delivered).await;
    all_told(&five, group, &["* alice created friends with bob carol", "hello"]).await;
    let about = tablet.client.history(hello.message.conversation, u64::MAX, 10).unwrap().pop().unwrap();
    let target = Target { message: about.id, device: about.sender_device, part: 0 };
    let love = Act { target, deed: Deed::Tapback { tapback: Tapback::Love, removed: false } };
    let sent = tablet.client.act(love).await.unwrap();
    tablet.wait(&sent, Until::Delivered).await;
    for device in five {
        until("bob's heart", || {
            let said = device.client.history(hello.message.conversation, u64::MAX, 10).unwrap().pop().unwrap();
            said.parts[0].tapbacks.iter().any(|one| one.by == bob.handle)
        })
        .await;
    }
    carol.changes(group, GroupDeed::Rename(name("best friends"))).await;
    all_see(&five, group, "best friends", &[&phone, &bob, &carol]).await;
    laptop.says(group, "what a name").await;

    // A new member sees from then on.
    bob.changes(group, GroupDeed::Add(vec![dave.handle.clone()])).await;
    let six = [&phone, &laptop, &bob, &tablet, &carol, &dave];
    all_see(&six, group, "best friends", &[&phone, &bob, &carol, &dave]).await;
    carol.says(group, "welcome, dave").await;
    all_told(&[&dave], group, &["* bob added dave", "welcome, dave"]).await;
    dave.says(group, "thank you").await;
    let since = ["* bob added dave", "welcome, dave", "thank you"];
    all_told(&[&dave], group, &since).await;
    let all = [
        &["* alice created friends with bob carol", "hello", "* carol renamed to best friends", "what a name"][..],
        &since,
    ]
    .concat();
    all_told(&five, group, &all).await;

    // A removed one gets nothing more, and knows why.
    let before = carol.courier.sent().len();
    laptop.changes(group, GroupDeed::Remove(vec![carol.handle.clone()])).await;
    all_see(&[&phone, &laptop, &bob, &tablet, &dave], group, "best friends", &[&phone, &bob, &dave]).await;
    until("carol to know", || carol.group(group).is_some_and(|shown| !shown.is_member)).await;
    let secret = dave.says(group, "now that she is gone").await;
    let told = dave.wait(&secret, Until::Delivered).await;
    assert_eq!(told.len(), 4, "alice's and bob's devices: {told:?}");
    assert_eq!(carol.refuses(group, GroupDeed::Rename(name("mine"))).await, GroupError::NotAMember);
    let draft = Draft { group: Some(group), text: "let me in".to_owned(), ..Draft::default() };
    let error = carol.client.send(draft).await.unwrap_err();
    assert_eq!((error.fault(), error.to_string().contains("not a member")), (Fault::User, true));
    assert_eq!(carol.told(group).last().unwrap(), "* alice removed carol");
    assert!(carol.courier.sent().len() <= before + 1, "but for a receipt, she says nothing");

    // Nobody leaves two behind.
    assert_eq!(dave.refuses(group, GroupDeed::Leave).await, GroupError::TooFewStay);
    phone.changes(group, GroupDeed::Add(vec![carol.handle.clone()])).await;
    all_see(&six, group, "best friends", &[&phone, &bob, &dave, &carol]).await;
    dave.changes(group, GroupDeed::Leave).await;
    all_see(&five, group, "best friends", &[&phone, &bob, &carol]).await;
    carol.says(group, "back again").await;
    let end = ["* alice removed carol", "now that she is gone", "* alice added carol", "* dave left", "back again"];
    all_told(&[&phone, &laptop, &bob, &tablet], group, &[&all[..], &end].concat()).await;
    let carols = [&all[..], &end[..1], &end[2..]].concat();
    all_told(&[&carol], group, &carols).await;
    assert_eq!(phone.client.group(GroupId::from_bytes([9; 16])).unwrap(), None);
    for device in six {
        until("an empty outbox", || device.client.outbox_len().unwrap() == 0).await;
        assert_eq!(device.client.gaps().unwrap(), []);
    }
}

/// Takes what is sealed for somebody out of the outbox, as if a server had lost it on its way.
fn loses(device: &Device, sent: MessageId, to: &Device) {
    let mut disk = device.disk.open();
    let mut envelopes = disk.outbox_envelopes(sent).unwrap();
    envelopes.retain(|envelope| envelope.handle == to.handle);
    assert!(!envelopes.is_empty());
    let lost = envelopes.into_iter().map(|envelope| Change::RemoveOutboxEnvelope(envelope.id));
    disk.commit(&lost.fold(Commit::new(), Commit::with)).unwrap();
}

/// GRP-9: a change that did not come is noticed by the next thing that is said, whoever says it, and asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_change_is_made_up_for() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let (carol, dave) = (world.register("carol", "phone").await, world.register("dave", "phone").await);
    let group = alice.creates("", &[&bob, &carol]).await;
    all_see(&[&bob, &carol], group, "", &[&alice, &bob, &carol]).await;
    // Dave is looked up before, so that he can be added now.
    alice.client.lookup(&dave.handle).await.unwrap();
    alice.offline().await;
    let sent = alice.client.change_group(group, GroupDeed::Add(vec![dave.handle.clone()])).await.unwrap();
    loses(&alice, sent.message.id, &bob);
    alice.online().await;
    all_see(&[&alice, &carol, &dave], group, "", &[&alice, &bob, &carol, &dave]).await;
    assert_eq!(bob.group(group).unwrap().members.len(), 3);
    carol.says(group, "hello, dave").await;
    all_see(&[&bob], group, "", &[&alice, &bob, &carol, &dave]).await;
    dave.says(group, "hello, all").await;
    let since = ["* alice added dave", "hello, dave", "hello, all"];
    all_told(&[&alice, &carol], group, &[&["* alice created  with bob carol"], &since[..]].concat()).await;
    until("bob to be told all of it", || {
        let mut told = bob.told(group);
        told.sort();
        let mut expected = [&["* alice created  with bob carol"], &since[..]].concat();
        expected.sort_unstable();
        told == expected
    })
    .await;
}

/// GRP-11: what is said to somebody who does not know the group yet is kept aside, asked about, and shown.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_may_come_before_its_group() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let (carol, dave) = (world.register("carol", "phone").await, world.register("dave", "phone").await);
    let group = alice.creates("friends", &[&bob, &carol]).await;
    alice.client.lookup(&dave.handle).await.unwrap();
    alice.offline().await;
    let sent = alice.client.change_group(group, GroupDeed::Add(vec![dave.handle.clone()])).await.unwrap();
    // What tells dave of the group is lost.
    let mut commit = Commit::new();
    for job in alice.disk.open().outbox_jobs().unwrap().into_iter().filter(|job| job.message != sent.message.id) {
        commit.push(Change::RemoveOutboxJob(job.message));
    }
    alice.disk.open().commit(&commit).unwrap();
    alice.online().await;
    all_see(&[&alice, &bob, &carol], group, "friends", &[&alice, &bob, &carol, &dave]).await;
    assert!(dave.group(group).is_none());
    let hello = carol.says(group, "hello, dave").await;
    all_told(&[&dave], group, &["* alice added dave", "hello, dave"]).await;
    carol.wait(&hello, Until::Delivered).await;
    assert!(dave.disk.open().groups().held(None).unwrap().is_empty());
}

/// GRP-4: two who change the group at once, neither knowing of the other, end with the same group, and so does everybody else.
#[tokio::test(flavor = "multi_thread")]
async fn changes_at_once_end_the_same() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let (carol, dave) = (world.register("carol", "phone").await, world.register("dave", "phone").await);
    let laptop = world.link(&alice, "laptop").await;
    let group = alice.creates("friends", &[&bob, &carol, &dave]).await;
    let all = [&alice, &laptop, &bob, &carol, &dave];
    all_see(&all, group, "friends", &[&alice, &bob, &carol, &dave]).await;
    for device in [&laptop, &bob, &carol] {
        device.offline().await;
    }
    // The two remove each other; bob is the earlier member.
    bob.client.change_group(group, GroupDeed::Remove(vec![carol.handle.clone()])).await.unwrap();
    carol.client.change_group(group, GroupDeed::Remove(vec![bob.handle.clone()])).await.unwrap();
    carol.client.change_group(group, GroupDeed::Rename(name("carol's"))).await.unwrap();
    laptop.client.change_group(group, GroupDeed::Rename(name("alice's"))).await.unwrap();
    for device in [&carol, &laptop, &bob] {
        device.online().await;
    }
    let stay = [&alice, &laptop, &bob, &dave];
    for speaker in stay {
        until("to see who stays", || speaker.group(group).unwrap().members.len() == 3).await;
    }
    dave.says(group, "who is left?").await;
    all_see(&stay, group, "alice's", &[&alice, &bob, &dave]).await;
    until("carol to know that she is not", || !carol.group(group).unwrap().is_member).await;
}

/// GRP-12: a device that is linked later learns of the groups at once, and is a member's device like the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_device_learns_of_the_groups() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let carol = world.register("carol", "phone").await;
    let group = bob.creates("friends", &[&alice, &carol]).await;
    bob.says(group, "before").await;
    all_told(&[&alice, &carol], group, &["* bob created friends with alice carol", "before"]).await;
    let laptop = world.link(&alice, "laptop").await;
    all_see(&[&laptop], group, "friends", &[&bob, &alice, &carol]).await;
    laptop.says(group, "from the laptop").await;
    all_told(&[&alice, &bob], group, &["* bob created friends with alice carol", "before", "from the laptop"]).await;
    carol.says(group, "hello, laptop").await;
    all_told(&[&laptop], group, &["* bob created friends with alice carol", "from the laptop", "hello, laptop"]).await;
}

/// Commits something to a device's outbox that its program would not write.
fn forge(device: &Device, world: &World, group: GroupRef, kind: Kind, id: u8, to: &[&Device]) {
    let now = world.clock.now();
    let message_id = MessageId::from_bytes([id; 16]);
    let members = ConversationMembers::in_group(device.handle.clone(), group);
    device.forges(&Content { message_id, sent: now, members, kind, place: None }, true, to);
}

/// GRP-8, GRP-11: whoever is no member is not shown, is told nothing, and changes nothing, whatever it makes up; and nobody is drawn into
/// a group by somebody who is not in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_nowhere() {
    let world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let (carol, eve) = (world.register("carol", "phone").await, world.register("eve", "phone").await);
    let group = alice.creates("friends", &[&bob, &carol]).await;
    all_see(&[&bob, &carol], group, "friends", &[&alice, &bob, &carol]).await;
    let here = GroupRef { id: group, hash: alice.group(group).unwrap().hash };
    let hi = eve.say(&bob, "hi").await;
    eve.wait(&hi, Until::Delivered).await;
    eve.offline().await;
    // Eve's own program would seal nothing for a group that it is not in: hers believes that it is.
    let log = alice.disk.open().groups().group(group).unwrap().unwrap();
    eve.disk.open().commit(&Commit::new().with(Change::PutGroup(log))).unwrap();
    forge(&eve, &world, here, Kind::Message(Message::text("I am one of you")), 1, &[&bob]);
    forge(&eve, &world, here, Kind::GroupAsk, 2, &[&bob]);
    eve.online().await;
    until("what eve says is kept aside", || bob.disk.open().groups().held(None).unwrap().len() == 1).await;
    alice.says(group, "hello").await;
    all_told(&[&bob, &carol], group, &["* alice created friends with bob carol", "hello"]).await;
    assert_eq!(bob.group(group).unwrap().members.len(), 3);
    assert_eq!(eve.sees(group).map(|seen| seen.1.len()), Some(3), "and eve knows no more than she did");

    // Made a member after all, what she said is shown, and she may speak.
    carol.changes(group, GroupDeed::Add(vec![eve.handle.clone()])).await;
    until("what was held", || bob.told(group).contains(&"I am one of you".to_owned())).await;
}

/// GRP-9: what is said right after a change, before anything of it left, stands behind it on every device.
#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_change_stands_behind_it() {
    let world = World::start().await;
    let alice = world.register("alice", "phone").await;
    let laptop = world.link(&alice, "laptop").await;
    let (bob, carol) = (world.register("bob", "phone").await, world.register("carol", "phone").await);
    // Everybody can be sealed for, and nothing leaves until all of it is said.
    for known in [&alice, &bob, &carol] {
        alice.client.lookup(&known.handle).await.unwrap();
    }
    alice.offline().await;
    let others = [bob.handle.clone(), carol.handle.clone()];
    let (group, _) = alice.client.create_group(name("friends"), &others, None).await.unwrap();
    let draft = |text: &str| Draft { group: Some(group), text: text.to_owned(), ..Draft::default() };
    alice.client.send(draft("hello")).await.unwrap();
    alice.client.change_group(group, GroupDeed::Rename(name("best friends"))).await.unwrap();
    alice.client.send(draft("is that all right?")).await.unwrap();
    alice.online().await;
    let story =
        ["* alice created friends with bob carol", "hello", "* alice renamed to best friends", "is that all right?"];
    all_told(&[&alice, &laptop, &bob, &carol], group, &story).await;
}

/// GRP-8: what waits in the outbox of somebody who was offline is not sealed for one who was removed meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_not_sealed_for_a_removed_member() {
    let mut world = World::start().await;
    let (alice, bob) = (world.register("alice", "phone").await, world.register("bob", "phone").await);
    let carol = world.register("carol", "phone").await;
    let dave = world.register("dave", "phone").await;
    let group = alice.creates("friends", &[&bob, &carol, &dave]).await;
    all_see(&[&bob, &carol, &dave], group, "friends", &[&alice, &bob, &carol, &dave]).await;
    // Alice cannot look carol up any more, so what she says waits.
    alice.offline().await;
    world.stop_server().await;
    let known = alice.disk.open().known_handle(&carol.handle).unwrap().unwrap();
    world.clock.advance(Duration::from_days(2));
    alice.disk.open().commit(&Commit::new().with(Change::RemoveAddresses(known.account))).unwrap();
    let draft = Draft { group: Some(group), text: "carol is so slow".to_owned(), ..Draft::default() };
    let sent = alice.client.send(draft).await.unwrap();
    assert!(sent.unsealed.contains(&carol.handle));
    alice.client.change_group(group, GroupDeed::Remove(vec![carol.handle.clone()])).await.unwrap();
    world.start_server().await;
    alice.online().await;
    until("the message to be given up for carol alone", || {
        let deliveries = alice.client.deliveries(sent.message.id).unwrap();
        let failed = deliveries.iter().filter(|one| matches!(one.state, DeliveryState::Failed(_))).count();
        failed == 1 && alice.client.outbox_len().unwrap() == 0
    })
    .await;
    until("carol to know", || !carol.group(group).unwrap().is_member).await;
    let told = carol.told(group);
    assert_eq!(told, ["* alice created friends with bob carol dave", "* alice removed carol"]);
    all_told(
        &[&bob],
        group,
        &["* alice created friends with bob carol dave", "carol is so slow", "* alice removed carol"],
    )
    .await;
}

/// GRP-1, GRP-8: a group as large as the original's, with five devices each: everybody sees what is said and who is in it.
#[tokio::test(flavor = "multi_thread")]
async fn thirty_two_people_with_five_devices() {
    const PEOPLE: usize = 32;
    const DEVICES: usize = 5;
    let world = World::start().await;
    let join = async |person: usize| {
        let first = world.register(&format!("person{person}"), "device 0").await;
        let mut devices = vec![first];
        for number in 1..DEVICES {
            let linked = world.link(&devices[0], &format!("device {number}")).await;
            devices.push(linked);
        }
        devices
    };
    let some = async |which: usize| {
        let mut people = Vec::new();
        for person in (which..PEOPLE).step_by(4) {
            people.push((person, join(person).await));
        }
        people
    };
    // Four at a time, as many as can do something while others wait.
    let (a, b, c, d) = tokio::join!(some(0), some(1), some(2), some(3));
    let mut people: Vec<(usize, Vec<Device>)> = [a, b, c, d].into_iter().flatten().collect();
    people.sort_by_key(|(person, _)| *person);
    let people: Vec<Vec<Device>> = people.into_iter().map(|(_, devices)| devices).collect();
    let all: Vec<&Device> = people.iter().flatten().collect();
    assert_eq!(all.len(), PEOPLE * DEVICES);

    let firsts: Vec<&Device> = people.iter().map(|devices| &devices[0]).collect();
    let group = firsts[0].creates("everybody", &firsts[1..PEOPLE - 1]).await;
    let members = &firsts[..PEOPLE - 1];
    let theirs: Vec<&Device> = people[..PEOPLE - 1].iter().flatten().collect();
    all_see(&theirs, group, "everybody", members).await;
    let begun = std::time::Instant::now();
    let sent = people[1][4].says(group, "hello, everybody").await;
    println!("{} devices, call to accepted: {:?}", sent.deliveries.len(), begun.elapsed());
    assert_eq!(sent.deliveries.len(), (PEOPLE - 1) * DEVICES - 1);
    for device in &theirs {
        until("hello", || device.told(group).last().is_some_and(|last| last == "hello, everybody")).await;
    }
    // The last one comes in, and one goes.
    people[30][2].changes(group, GroupDeed::Add(vec![firsts[31].handle.clone()])).await;
    all_see(&all, group, "everybody", &firsts).await;
    people[31][3].changes(group, GroupDeed::Remove(vec![firsts[0].handle.clone()])).await;
    let left: Vec<&Device> = people[1..].iter().flatten().collect();
    all_see(&left, group, "everybody", &firsts[1..]).await;
    people[5][1].says(group, "we are 31").await;
    for device in &left {
        until("the end", || device.told(group).last().is_some_and(|last| last == "we are 31")).await;
    }
    for device in &people[0] {
        assert!(!device.told(group).contains(&"we are 31".to_owned()));
    }
}
