use std::sync::OnceLock;

use halcyon_crypto::{Secret, SigningKey};
use halcyon_types::{AccountId, DeviceId, GroupChangeId, GroupId, Handle, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::{Content, ConversationMembers, Kind, decode, encode};

const PEOPLE: usize = 7;

/// Somebody with an account key. The first are alice, bob and carol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Person(usize);

const ALICE: Person = Person(0);
const BOB: Person = Person(1);
const CAROL: Person = Person(2);
const DAVE: Person = Person(3);
const ERIN: Person = Person(4);

fn keys() -> &'static [SigningKey] {
    static KEYS: OnceLock<Vec<SigningKey>> = OnceLock::new();
    // Secrets of which every second one is compact: those are taken.
    KEYS.get_or_init(|| {
        let keys = (1..=u8::MAX)
            .filter_map(|byte| SigningKey::from_secret(&Secret::fill_with(|secret| *secret = [byte; 32])).ok());
        keys.take(PEOPLE).collect()
    })
}

impl Person {
    fn key(self) -> &'static SigningKey {
        &keys()[self.0]
    }

    fn account(self) -> AccountId {
        static ACCOUNTS: OnceLock<Vec<AccountId>> = OnceLock::new();
        let account = |person: usize| SignedChange::sign(rename(None, &[], Person(person), "x"), Person(person).key());
        let accounts = || (0..PEOPLE).map(|person| account(person).unwrap().trusted().author()).collect();
        ACCOUNTS.get_or_init(accounts)[self.0]
    }

    fn handle(self) -> Handle {
        let names = ["alice", "bob", "carol", "dave", "erin", "frank", "grace"];
        Handle::parse(&format!("{}@example.org", names[self.0])).unwrap()
    }

    fn member(self) -> Member {
        Member { account: self.account(), handle: self.handle() }
    }

    /// Makes the next change as this person sees the group.
    fn next(self, log: &GroupLog, op: Op) -> Option<VerifiedChange> {
        let draft = Draft { account: self.account(), device: device(self), made: Timestamp::default(), nonce: [0; 16] };
        let change = log.next(draft, op)?;
        Some(SignedChange::sign(change, self.key()).unwrap().verify().expect("an own signature"))
    }

    /// Makes a change and adds it.
    fn does(self, log: &mut GroupLog, op: Op) -> VerifiedChange {
        let change = self.next(log, op).expect("it counts");
        assert_eq!(log.merge([change.clone()]), [change.id()]);
        assert_eq!(log.state().outcome(change.id()), Some(Outcome::Counts));
        change
    }

    /// Signs a change whatever it says, as a program that keeps no rule does.
    fn forges(self, group: GroupId, parents: &[GroupChangeId], op: Op, nonce: u8) -> VerifiedChange {
        let change = Change { op, nonce: [nonce; 16], ..rename(Some(group), parents, self, "") };
        SignedChange::sign(change, self.key()).unwrap().trusted()
    }
}

fn device(person: Person) -> DeviceId {
    DeviceId::from_bytes([person.0 as u8; 16])
}

fn name(text: &str) -> GroupName {
    GroupName::new(text).unwrap()
}

fn rename(group: Option<GroupId>, parents: &[GroupChangeId], author: Person, to: &str) -> Change {
    Change {
        group: Some(group.unwrap_or(GroupId::from_bytes([0; 16]))),
        parents: parents.to_vec(),
        author: author.handle(),
        device: device(author),
        made: Timestamp::default(),
        nonce: [0; 16],
        op: Op::Rename(name(to)),
    }
}

fn created(by: Person, others: &[Person]) -> GroupLog {
    let members = others.iter().map(|person| person.member()).collect();
    let create = Change { group: None, op: Op::Create { name: name("friends"), members }, ..rename(None, &[], by, "") };
    GroupLog::begin(SignedChange::sign(create, by.key()).unwrap().verify().unwrap()).unwrap()
}

fn members(log: &GroupLog) -> Vec<AccountId> {
    log.state().members.into_iter().map(|member| member.account).collect()
}

fn accounts(people: &[Person]) -> Vec<AccountId> {
    people.iter().map(|person| person.account()).collect()
}

fn remove(person: Person) -> Op {
    Op::Remove(vec![person.account()])
}

fn add(person: Person) -> Op {
    Op::Add(vec![person.member()])
}

/// Returns a log with more changes.
fn with(log: &GroupLog, changes: &[&VerifiedChange]) -> GroupLog {
    let mut log = log.clone();
    log.merge(changes.iter().map(|change| (*change).clone()));
    log
}

/// GRP-4: members change the group, each in turn.
#[test]
fn members_change_the_group() {
    let mut log = created(ALICE, &[BOB, CAROL]);
    assert_eq!((log.state().version, members(&log)), (1, accounts(&[ALICE, BOB, CAROL])));
    BOB.does(&mut log, add(DAVE));
    DAVE.does(&mut log, Op::Rename(name("best friends")));
    CAROL.does(&mut log, Op::Photo(PhotoReference::new("https://example.org/us.jpeg")));
    ALICE.does(&mut log, remove(CAROL));
    let state = log.state();
    assert_eq!(state.name.as_str(), "best friends");
    assert_eq!(state.photo.unwrap().as_str(), "https://example.org/us.jpeg");
    assert_eq!((state.version, members(&log)), (5, accounts(&[ALICE, BOB, DAVE])));
    assert_eq!(GroupLog::decode(&log.encode()).unwrap(), log);
    assert!(GroupLog::decode(b"nonsense").is_err());
}

/// GRP-2: the group's id is that of its beginning, which nobody can put another in the place of; and a signature is its author's.
#[test]
fn what_was_signed_is_what_counts() {
    let log = created(ALICE, &[BOB, CAROL]);
    assert_ne!(created(BOB, &[ALICE, CAROL]).group(), log.group());
    let change = BOB.next(&log, Op::Rename(name("ours"))).unwrap();
    let mut wire = encode_signed(change.signed());
    wire.account_key = ALICE.key().verifying_key().compact().as_bytes().to_vec().into();
    assert!(decode_signed(wire.clone()).unwrap().verify().is_none(), "alice did not sign it");
    let mut wire = encode_signed(change.signed());
    let mut bytes = wire.change.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    wire.change = bytes.into();
    assert!(decode_signed(wire).is_ok_and(|changed| changed.verify().is_none()));
    assert_eq!(change.signed().clone().verify().unwrap().author(), BOB.account());
}

/// GRP-4: who is no member changes nothing, and who was never one is not even kept.
#[test]
fn strangers_change_nothing() {
    let mut log = created(ALICE, &[BOB, CAROL]);
    let before = log.hash();
    assert!(DAVE.next(&log, add(ERIN)).is_none());
    assert_eq!(log.merge([DAVE.forges(log.group(), &log.heads(), add(DAVE), 1)]), []);
    assert_eq!(log.hash(), before);
    ALICE.does(&mut log, add(DAVE));
    ALICE.does(&mut log, remove(DAVE));
    let late = DAVE.forges(log.group(), &log.heads(), add(ERIN), 1);
    assert_eq!(log.merge([late.clone()]), [late.id()], "kept, since another order may make it count");
    assert_eq!(log.state().outcome(late.id()), Some(Outcome::Void));
    assert_eq!(members(&log), accounts(&[ALICE, BOB, CAROL]));
    ALICE.does(&mut log, add(DAVE));
    DAVE.does(&mut log, add(ERIN));
}

/// GRP-4: nobody leaves two behind, and nobody is left alone.
#[test]
fn three_stay_when_one_leaves() {
    let mut log = created(ALICE, &[BOB, CAROL, DAVE]);
    DAVE.does(&mut log, Op::Leave);
    assert!(CAROL.next(&log, Op::Leave).is_none(), "two would stay");
    ALICE.does(&mut log, remove(CAROL));
    assert!(ALICE.next(&log, remove(BOB)).is_none(), "alice would be alone");
    // Two leave at once: the second in the order would leave two behind.
    let log = created(ALICE, &[BOB, CAROL, DAVE]);
    let (one, other) = (CAROL.next(&log, Op::Leave).unwrap(), DAVE.next(&log, Op::Leave).unwrap());
    let both = with(&log, &[&one, &other]);
    assert_eq!(both.state().members.len(), 3);
    assert_eq!(both, with(&log, &[&other, &one]));
}

/// GRP-4: adding somebody who is there, or giving the name that it has, is nothing; a group has no more than so many.
#[test]
fn what_changes_nothing_is_not_made() {
    let mut log = created(ALICE, &[BOB, CAROL]);
    for idle in [add(BOB), remove(DAVE), Op::Rename(name("friends")), Op::Photo(None), remove(ALICE)] {
        assert!(ALICE.next(&log, idle).is_none());
    }
    let many = |from: usize, count: usize| -> Vec<Member> {
        let member = |number: usize| Member {
            account: AccountId::from_bytes((number as u128).to_be_bytes()),
            handle: Handle::parse(&format!("member{number}@example.org")).unwrap(),
        };
        (from..from + count).map(member).collect()
    };
    let mut from = 1;
    while from < MEMBERS_MAX {
        ALICE.does(&mut log, Op::Add(many(from, 100)));
        from += 100;
    }
    assert_eq!(log.state().members.len(), MEMBERS_MAX);
    assert!(ALICE.next(&log, Op::Add(many(from, 1))).is_none());
    assert!(log.count() < 16 && log.encode().len() < 64 * 1024, "a log of 1,000 is small");
}

/// GRP-4: two changes of one version are ordered by author and id, and both count where they can.
#[test]
fn changes_at_once_have_one_order() {
    let log = created(ALICE, &[BOB, CAROL]);
    let (one, other) =
        (BOB.next(&log, Op::Rename(name("bob's"))).unwrap(), CAROL.next(&log, Op::Rename(name("carol's"))).unwrap());
    let both = with(&log, &[&one, &other]);
    let last = if BOB.account() < CAROL.account() { "carol's" } else { "bob's" };
    assert_eq!(both.state().name.as_str(), last);
    assert_eq!(both.state().past.len(), 3);
    let mut after = both.clone();
    let next = ALICE.does(&mut after, Op::Rename(name("alice's")));
    assert_eq!(next.change().parents.len(), 2, "it names both");
    assert_eq!((after.state().version, after.state().name.as_str()), (3, "alice's"));
}

/// GRP-4: of two who remove each other, the earlier member stays, and what the other did without knowing has no effect.
#[test]
fn an_earlier_member_prevails() {
    let log = created(ALICE, &[BOB, CAROL]);
    let (by_bob, by_carol) = (BOB.next(&log, remove(CAROL)).unwrap(), CAROL.next(&log, remove(BOB)).unwrap());
    let both = with(&log, &[&by_carol, &by_bob]);
    assert_eq!(members(&both), accounts(&[ALICE, BOB]));
    assert_eq!(both.state().outcome(by_carol.id()), Some(Outcome::Void));
    let added = CAROL.next(&log, add(DAVE)).unwrap();
    assert_eq!(
        members(&with(&log, &[&added, &by_bob])),
        accounts(&[ALICE, BOB]),
        "whom she added at once goes with her"
    );
}

/// GRP-4: whoever was removed does not come back by a change that it dates back, not even in many steps.
#[test]
fn a_removed_member_cannot_undo_it() {
    let mut log = created(ALICE, &[BOB, CAROL, DAVE]);
    let beginning = log.heads();
    for number in 0..3 {
        CAROL.does(&mut log, Op::Rename(name(&format!("number {number}"))));
    }
    BOB.does(&mut log, remove(DAVE));
    let dated_back = DAVE.forges(log.group(), &beginning, remove(BOB), 1);
    let (again, helper) = (
        DAVE.forges(log.group(), &[dated_back.id()], Op::Add(vec![DAVE.member(), ERIN.member()]), 2),
        ERIN.forges(log.group(), &[dated_back.id()], add(DAVE), 3),
    );
    log.merge([helper, again, dated_back]);
    assert_eq!(members(&log), accounts(&[ALICE, BOB, CAROL]));
    // Nor by saying that it knew of the removal.
    let heads = log.heads();
    let knowing = DAVE.forges(log.group(), &heads[..1], remove(BOB), 4);
    let all_heads = DAVE.forges(log.group(), &heads, remove(BOB), 5);
    log.merge([knowing, all_heads]);
    assert_eq!(members(&log), accounts(&[ALICE, BOB, CAROL]));
}

/// GRP-4: somebody who was removed and is added again may do what members do, and what it did before stays void.
#[test]
fn a_member_can_come_back() {
    let mut log = created(ALICE, &[BOB, CAROL]);
    let at_once = CAROL.next(&log, Op::Rename(name("carol's"))).unwrap();
    BOB.does(&mut log, remove(CAROL));
    assert_eq!(log.state().joined_at(&log, CAROL.account()), Some(1));
    ALICE.does(&mut log, add(CAROL));
    assert_eq!(log.state().joined_at(&log, CAROL.account()), Some(3));
    log.merge([at_once]);
    assert_eq!((log.state().name.as_str(), members(&log)), ("friends", accounts(&[ALICE, BOB, CAROL])));
    CAROL.does(&mut log, remove(BOB));
}

/// GRP-3: a change may come before the one that it names; that one is seen to be missing, and both count in the end.
#[test]
fn a_change_may_come_before_the_one_it_builds_on() {
    let log = created(ALICE, &[BOB, CAROL]);
    let mut bobs = log.clone();
    let first = BOB.does(&mut bobs, add(DAVE));
    let second = DAVE.does(&mut bobs, add(ERIN));
    let mut carols = log.clone();
    assert_eq!(carols.merge([second.clone()]), [], "nobody made dave a member yet");
    let third = BOB.does(&mut bobs, Op::Rename(name("more friends")));
    assert_eq!(carols.merge([third]).len(), 1);
    assert!(carols.lacks_some());
    carols.merge([second, first]);
    assert!(!carols.lacks_some());
    assert_eq!(carols, bobs);
    assert_eq!(carols.state(), bobs.state());
}

/// GRP-5: what one member writes is bounded, the same is kept whatever came first, and others go on.
#[test]
fn one_member_cannot_fill_the_group() {
    let log = created(ALICE, &[BOB, CAROL]);
    let flood = |number: usize| {
        let change = Change { nonce: (number as u128).to_be_bytes(), ..rename(Some(log.group()), &[], CAROL, "") };
        // The signature is not looked at here, and takes long.
        let one = FLOOD.get_or_init(|| SignedChange::sign(rename(None, &[], CAROL, ""), CAROL.key()).unwrap());
        resigned(one, change).trusted()
    };
    static FLOOD: OnceLock<SignedChange> = OnceLock::new();
    let changes: Vec<VerifiedChange> = (0..2 * CHANGES_OF_ONE_MAX).map(flood).collect();
    let (mut forwards, mut backwards) = (log.clone(), log.clone());
    changes.iter().for_each(|change| drop(forwards.merge([change.clone()])));
    for half in changes.chunks(100).rev() {
        backwards.merge(half.iter().rev().cloned());
    }
    assert_eq!(forwards, backwards);
    assert_eq!((forwards.count_of(CAROL.account()), forwards.count()), (CHANGES_OF_ONE_MAX, CHANGES_OF_ONE_MAX + 1));
    assert!(CAROL.next(&forwards, add(DAVE)).is_none(), "her share is used up");
    ALICE.does(&mut forwards, remove(CAROL));
}

/// Puts another change under a signature.
fn resigned(signed: &SignedChange, change: Change) -> SignedChange {
    let mut wire = encode_signed(signed);
    let other = SignedChange::sign(change, CAROL.key()).unwrap();
    wire.change = encode_signed(&other).change;
    decode_signed(wire).unwrap()
}

/// GRP-2: the bounds of a change, on both sides.
#[test]
fn a_change_has_bounds() {
    let log = created(ALICE, &[BOB, CAROL]);
    let sign = |op| SignedChange::sign(Change { op, ..rename(Some(log.group()), &[], ALICE, "") }, ALICE.key());
    assert_eq!(sign(Op::Add(Vec::new())).unwrap_err(), ChangeError::Accounts(0));
    assert!(sign(Op::Remove(vec![BOB.account(); ACCOUNTS_A_CHANGE_MAX])).is_ok());
    assert_eq!(
        sign(Op::Remove(vec![BOB.account(); ACCOUNTS_A_CHANGE_MAX + 1])).unwrap_err(),
        ChangeError::Accounts(ACCOUNTS_A_CHANGE_MAX + 1)
    );
    let long = Handle::parse(&format!("{}@{}.example.org", "a".repeat(64), "b".repeat(60))).unwrap();
    let member = Member { account: BOB.account(), handle: long };
    assert!(matches!(sign(Op::Add(vec![member; 60])).unwrap_err(), ChangeError::TooLarge(_)));
    let alone = Op::Create { name: name(""), members: vec![BOB.member()] };
    assert_eq!(sign(alone).unwrap_err(), ChangeError::TooFew);
    assert!(GroupName::new("a".repeat(NAME_BYTES_MAX)).is_some() && GroupName::new("a".repeat(257)).is_none());
    assert!(GroupName::new("two\nlines").is_none() && PhotoReference::new("").is_none());
    assert!(PhotoReference::new("a".repeat(PHOTO_BYTES_MAX)).is_some());
    assert!(PhotoReference::new("a".repeat(PHOTO_BYTES_MAX + 1)).is_none());
}

/// GRP-2, GRP-7, GRP-9: contents of a group go there and back; whatever is said of another group, or to somebody besides, does not
/// decode.
#[test]
fn contents_of_a_group_are_told_in_it() {
    let log = created(ALICE, &[BOB, CAROL]);
    let here = GroupRef { id: log.group(), hash: log.hash() };
    let content = |kind| Content {
        message_id: halcyon_types::MessageId::from_bytes([1; 16]),
        sent: Timestamp::from_millis(1),
        members: ConversationMembers::in_group(ALICE.handle(), here),
        kind,
        place: None,
    };
    let signed = || log.beginning().signed().clone();
    for kind in [
        Kind::Message(crate::Message::text("hello")),
        Kind::GroupChange(Box::new(signed())),
        Kind::GroupState(vec![signed()]),
        Kind::GroupAsk,
    ] {
        let content = content(kind);
        assert_eq!(decode(&encode(&content).unwrap()).unwrap(), content);
        assert_eq!(content.members.id(), group_conversation(log.group()));
    }
    let elsewhere = GroupRef { id: GroupId::from_bytes([9; 16]), ..here };
    let members = ConversationMembers::in_group(ALICE.handle(), elsewhere);
    let told_elsewhere = Content { members, ..content(Kind::GroupChange(Box::new(signed()))) };
    assert!(decode(&encode(&told_elsewhere).unwrap()).is_err());
    let members = ConversationMembers::new(ALICE.handle(), [BOB.handle()]).unwrap();
    assert!(decode(&encode(&Content { members, ..content(Kind::GroupAsk) }).unwrap()).is_err());
    let receipt = crate::Receipt {
        kind: crate::ReceiptKind::Delivered,
        message_ids: vec![halcyon_types::MessageId::from_bytes([1; 16])],
        at: None,
    };
    assert!(decode(&encode(&content(Kind::Receipt(receipt))).unwrap()).is_err());
    assert!(decode(&encode(&content(Kind::Own(crate::Own::default()))).unwrap()).is_err());
    let typing = content(Kind::Typing(crate::Typing::Started));
    assert_eq!(decode(&encode(&typing).unwrap()), Ok(typing));
    assert!(decode(&encode(&content(Kind::GroupState(Vec::new()))).unwrap()).is_err());
}

/// What happens in one world.
#[derive(Clone, Debug)]
enum Step {
    /// Somebody changes the group, as it is on one of its two devices.
    Change { device: usize, op: usize, whom: usize },
    /// One device hears of some changes that another knows; the others are lost, for now.
    Tell { from: usize, to: usize, lost: u64 },
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..2 * PEOPLE, 0..5_usize, 0..PEOPLE).prop_map(|(device, op, whom)| Step::Change { device, op, whom }),
        (0..2 * PEOPLE, 0..2 * PEOPLE, any::<u64>()).prop_map(|(from, to, lost)| Step::Tell { from, to, lost }),
    ]
}

fn any_op(op: usize, whom: Person, nonce: usize) -> Op {
    match op {
        0 => add(whom),
        1 => remove(whom),
        2 => Op::Leave,
        3 => Op::Rename(name(&format!("name {nonce}"))),
        _ => Op::Photo(PhotoReference::new(format!("photo {nonce}"))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// GRP-4, GRP-6: whatever members do at once, on whatever devices, and whatever of it is lost, doubled or comes in another order: who hears of
    /// everything in the end sees the same group.
    #[test]
    fn everybody_sees_the_same_in_the_end(
        (steps, order) in (proptest::collection::vec(any_step(), 1..40), any::<u64>())
    ) {
        let log = created(ALICE, &[BOB, CAROL, DAVE]);
        let mut devices = vec![log.clone(); 2 * PEOPLE];
        let mut all: Vec<VerifiedChange> = Vec::new();
        for (nonce, step) in steps.iter().enumerate() {
            match *step {
                Step::Change { device, op, whom } => {
                    let made = Person(device / 2).next(&devices[device], any_op(op, Person(whom), nonce));
                    devices[device].merge(made.clone());
                    all.extend(made);
                }
                Step::Tell { from, to, lost } => {
                    let told = devices[from].changes().zip(0..).filter(|(_, at)| lost >> (at % 64) & 1 == 0);
                    let told: Vec<VerifiedChange> = told.map(|(change, _)| change.clone()).collect();
                    devices[to].merge(told);
                }
            }
        }
        // Each hears the rest in another order, some of it twice.
        for (at, device) in devices.iter_mut().enumerate() {
            let mut rest = all.clone();
            let turn = usize::try_from(order).unwrap_or(0).wrapping_add(at) % (all.len().max(1));
            rest.rotate_left(turn);
            rest.extend(all.iter().take(turn).cloned());
            while rest.iter().any(|change| device.change(change.id()).is_none()) {
                rest.iter().for_each(|change| drop(device.merge([change.clone()])));
            }
        }
        let state = devices[0].state();
        for device in &devices {
            prop_assert_eq!(device.hash(), devices[0].hash());
            prop_assert_eq!(&device.state(), &state);
            prop_assert!(!device.lacks_some());
        }
        holds(&devices[0], &state);
    }
}

/// What is so of every group, in whatever way it came about.
fn holds(log: &GroupLog, state: &GroupState) {
    assert!(state.members.len() >= REMOVED_FROM_MIN && state.past.len() == log.count());
    let accounts: std::collections::BTreeSet<AccountId> = state.members.iter().map(|member| member.account).collect();
    assert_eq!(accounts.len(), state.members.len(), "nobody is a member twice");
    // Played again by what counts alone, each by a member of that time, it comes to the same.
    let mut members: Vec<AccountId> = Vec::new();
    for past in state.past.iter().filter(|past| past.outcome == Outcome::Counts) {
        let change = log.change(past.change).unwrap();
        match &change.change().op {
            Op::Create { members: others, .. } => {
                members.push(change.author());
                members.extend(others.iter().map(|member| member.account));
                continue;
            }
            _ => assert!(members.contains(&change.author()), "changed by somebody who is no member"),
        }
        match &change.change().op {
            Op::Add(added) => {
                let new = added.iter().map(|member| member.account).filter(|account| !members.contains(account));
                let new: Vec<AccountId> = new.collect();
                members.extend(new);
            }
            Op::Remove(removed) => members.retain(|account| !removed.contains(account)),
            Op::Leave => {
                assert!(members.len() > LEFT_BEHIND_MIN);
                members.retain(|account| *account != change.author());
            }
            _ => {}
        }
    }
    assert_eq!(members, state.members.iter().map(|member| member.account).collect::<Vec<_>>());
}
