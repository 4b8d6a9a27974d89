//! What every client store keeps of groups.

use bytes::Bytes;
use halcyon_client::ports::store::{Change, Conversation, GroupRecord, HeldMessage};
use halcyon_types::{AccountId, ConversationId, DeviceId, GroupId, Handle, MessageId, SuiteId, Timestamp};

use super::store::{World, put};

pub(super) fn run<W: World>(fresh: &mut impl FnMut() -> W) {
    groups_and_their_members_are_replaced(&mut fresh());
    what_is_held_is_bounded_and_forgotten(&mut fresh());
}

fn group(n: u8) -> GroupId {
    GroupId::from_bytes([n; 16])
}

fn groups_and_their_members_are_replaced(world: &mut impl World) {
    let mut store = world.open();
    let id = ConversationId::from_bytes([7; 16]);
    let record = |n: u8, log: &'static str| GroupRecord {
        group: group(n),
        conversation: ConversationId::from_bytes([6 + n; 16]),
        log: Bytes::from_static(log.as_bytes()),
    };
    let handle = |name: &str| Handle::parse(&format!("{name}@example.org")).unwrap();
    let conversation = |names: &[&str]| Conversation { id, members: names.iter().map(|name| handle(name)).collect() };
    put(&mut store, [Change::PutGroup(record(1, "old")), Change::PutConversation(conversation(&["alice", "bob"]))]);
    put(&mut store, [Change::PutGroup(record(2, "other")), Change::PutGroup(record(1, "new"))]);
    put(&mut store, [Change::PutConversation(conversation(&["alice", "carol"]))]);
    // What a message brings does not change who is in a group.
    put(&mut store, [Change::AddConversation(conversation(&["alice"]))]);
    drop(store);
    let mut store = world.open();
    assert_eq!(store.groups().groups().unwrap(), [record(1, "new"), record(2, "other")]);
    assert_eq!(store.groups().group(group(1)).unwrap(), Some(record(1, "new")));
    assert_eq!(store.groups().group(group(3)).unwrap(), None);
    assert_eq!(store.groups().group_in(id).unwrap(), Some(group(1)));
    assert_eq!(store.groups().group_in(ConversationId::from_bytes([6; 16])).unwrap(), None);
    assert_eq!(store.conversation(id).unwrap(), Some(conversation(&["alice", "carol"])));
    put(&mut store, [Change::Wipe]);
    assert!(store.groups().groups().unwrap().is_empty());
}

fn what_is_held_is_bounded_and_forgotten(world: &mut impl World) {
    let mut store = world.open();
    let held = |n: u8, device: u8| HeldMessage {
        group: group(n % 2),
        id: MessageId::from_bytes([n; 16]),
        account: AccountId::from_bytes([3; 16]),
        device: DeviceId::from_bytes([device; 16]),
        suite: SuiteId::PQ3,
        content: Bytes::from_static(b"content"),
        at: Timestamp::from_millis(u64::from(n)),
    };
    let add = |n, device| Change::AddHeld { held: held(n, device), of_device: 3, in_all: 4 };
    put(&mut store, [add(1, 1), add(1, 1), add(2, 1), add(3, 1)]);
    drop(store);
    let mut store = world.open();
    assert_eq!(store.groups().held(None).unwrap(), [held(1, 1), held(2, 1), held(3, 1)]);
    assert_eq!(store.groups().held(Some(group(1))).unwrap(), [held(1, 1), held(3, 1)]);
    put(&mut store, [add(4, 1)]);
    assert_eq!(store.groups().held(None).unwrap(), [held(2, 1), held(3, 1), held(4, 1)], "of one device");
    put(&mut store, [add(5, 2), add(6, 2)]);
    assert_eq!(store.groups().held(None).unwrap(), [held(3, 1), held(4, 1), held(5, 2), held(6, 2)], "in all");
    put(&mut store, [Change::RemoveHeld(DeviceId::from_bytes([1; 16]), MessageId::from_bytes([4; 16]))]);
    put(&mut store, [Change::ForgetHeldBefore(Timestamp::from_millis(5))]);
    assert_eq!(store.groups().held(None).unwrap(), [held(5, 2), held(6, 2)]);
    put(&mut store, [Change::Wipe]);
    assert!(store.groups().held(None).unwrap().is_empty());
}
