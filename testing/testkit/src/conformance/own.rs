//! What every client store must do for what was chosen, read and deleted. Port: `halcyon_client::ports::store::OwnQueries`.

use halcyon_client::ports::store::{
    Change, Delivery, DeliveryState, HeldCopy, KnownHandleRecord, MessageKind, NewMessage, Origin, OwnRecord,
    ReceiptKind, ReceiptRecord, ScheduledRecord, Store, deletion, early_read,
};
use halcyon_types::{HoldId, SuiteId};

use super::store::{World, account, alice, at, bob, conversation, conversation_id, device, message, message_id, put};

pub(super) fn run<W: World>(fresh: &mut impl FnMut() -> W) {
    what_was_chosen_is_found_by_its_key(&mut fresh());
    what_was_read_is_counted(&mut fresh());
    what_was_deleted_is_in_no_history(&mut fresh());
    marks_wait_for_their_message(&mut fresh());
    what_was_told_is_forgotten(&mut fresh());
    receipts_are_kept_per_person(&mut fresh());
    handles_are_found_by_their_account(&mut fresh());
    what_waits_for_its_time_is_kept(&mut fresh());
}

/// SCD-1: what is due first comes first, a record takes the place of its older self, and a wipe leaves none.
fn what_waits_for_its_time_is_kept(world: &mut impl World) {
    let copy = |n: u8| HeldCopy {
        account: account(n),
        device: device(n),
        list_version: u64::from(n),
        suite: SuiteId::from_u32(3),
        place: [n; 16],
    };
    let record = |n: u8, due: u64| ScheduledRecord {
        hold: HoldId::from_bytes([n; 16]),
        message: message_id(n),
        due: at(due),
        content: vec![n; 3].into(),
        held: n == 1,
        epoch: u64::from(n),
        copies: vec![copy(n), copy(n + 1)],
        attempts: 4,
        not_before: at(5),
        failure: "no".to_owned(),
    };
    let put_one = |record: ScheduledRecord| Change::PutScheduled(Box::new(record));
    let mut store = world.open();
    put(&mut store, [put_one(record(1, 9)), put_one(record(2, 7)), put_one(record(3, 8))]);
    put(&mut store, [put_one(record(2, 10)), Change::RemoveScheduled(record(3, 8).hold)]);
    drop(store);
    let mut store = world.open();
    assert_eq!(store.own().scheduled().unwrap(), [record(1, 9), record(2, 10)]);
    put(&mut store, [Change::Wipe]);
    assert_eq!(store.own().scheduled().unwrap(), []);
}

fn what_was_chosen_is_found_by_its_key(world: &mut impl World) {
    let mut store = world.open();
    let entry = |key: &str, value: &str, n: u8| OwnRecord {
        key: key.into(),
        value: value.into(),
        chosen: at(u64::MAX - u64::from(n)),
        device: device(n),
    };
    let [one, two] = [entry("muted/01", "on", 1), entry("muted/02", "", 2)];
    put(&mut store, [Change::PutOwnEntry(two.clone()), Change::PutOwnEntry(entry("mutes/01", "on", 3))]);
    put(&mut store, [Change::PutOwnEntry(entry("muted/01", "off", 3)), Change::PutOwnEntry(one.clone())]);
    drop(store);
    let mut store = world.open();
    assert_eq!(store.own().own_entry("muted/01").unwrap(), Some(one.clone()));
    assert_eq!(store.own().own_entry("muted/0").unwrap(), None);
    assert_eq!(store.own().own_entries("muted/").unwrap(), [one, two]);
    assert_eq!(store.own().own_entries("").unwrap().len(), 3);
    put(&mut store, [Change::Wipe]);
    assert_eq!(store.own().own_entries("").unwrap(), []);
}

/// OWN-10: messages of others that are part of the history, and no others.
fn what_was_read_is_counted(world: &mut impl World) {
    let mut store = world.open();
    put(&mut store, [Change::AddConversation(conversation(1)), Change::AddConversation(conversation(2))]);
    let act = NewMessage { kind: MessageKind::Act, target: Some(message_id(1)), ..message(9, 1, Origin::Peer) };
    put(
        &mut store,
        [
            Change::AddMessage(message(1, 1, Origin::Peer)),
            Change::AddMessage(message(3, 1, Origin::Here)),
            Change::AddMessage(message(4, 1, Origin::OwnDevice)),
            Change::AddMessage(message(5, 1, Origin::Peer)),
            Change::AddMessage(act),
            Change::AddMessage(message(6, 2, Origin::Peer)),
        ],
    );
    let unread = |store: &dyn Store, up_to| {
        let records = store.own().unread_messages(conversation_id(1), up_to, 10).unwrap();
        records.into_iter().map(|record| record.message.id).collect::<Vec<_>>()
    };
    assert_eq!(store.own().unread(conversation_id(1)).unwrap(), 2);
    assert_eq!(unread(&*store, u64::MAX), [message_id(1), message_id(5)]);
    assert_eq!(unread(&*store, 1), [message_id(1)]);
    assert_eq!(store.own().unread_messages(conversation_id(1), u64::MAX, 1).unwrap().len(), 1);
    let sender = message(1, 1, Origin::Peer).sender_device;
    let read = |n: u8, time| Change::MarkRead { device: sender, message: message_id(n), at: at(time) };
    put(&mut store, [read(1, 100), read(1, 200)]);
    drop(store);
    let mut store = world.open();
    assert_eq!((store.own().unread(conversation_id(1)).unwrap(), unread(&*store, u64::MAX)), (1, vec![message_id(5)]));
    assert_eq!(store.own().unread(conversation_id(2)).unwrap(), 1);
    let history = store.history(conversation_id(1), u64::MAX, 10).unwrap();
    assert_eq!(history[0].read, Some(at(100)), "read once");
    assert_eq!(history.last().unwrap().read, None);
    put(&mut store, [read(5, 300)]);
    assert_eq!(store.own().read_since(at(101), 10).unwrap(), [(sender, message_id(5))]);
    assert_eq!(store.own().read_since(at(0), 1).unwrap(), [(sender, message_id(5))], "the last ones");
    assert!(store.own().has_written(conversation_id(1)).unwrap());
    assert!(!store.own().has_written(conversation_id(2)).unwrap());
}

/// OWN-20 to OWN-22
fn what_was_deleted_is_in_no_history(world: &mut impl World) {
    let mut store = world.open();
    let act = NewMessage { kind: MessageKind::Act, target: Some(message_id(1)), ..message(9, 1, Origin::Peer) };
    put(
        &mut store,
        [
            Change::AddConversation(conversation(1)),
            Change::AddMessage(message(1, 1, Origin::Peer)),
            Change::AddMessage(message(3, 1, Origin::Peer)),
            Change::AddMessage(act.clone()),
            Change::IndexWords { entries: vec![(1, "fox".into()), (2, "fox".into()), (3, "foxes".into())], up_to: 3 },
        ],
    );
    let sender = message(1, 1, Origin::Peer).sender_device;
    let deleted =
        |n: u8, time: Option<u64>| Change::MarkDeleted { device: sender, message: message_id(n), at: time.map(at) };
    let history = |store: &dyn Store| {
        let records = store.history(conversation_id(1), u64::MAX, 10).unwrap();
        records.into_iter().map(|record| record.message.id).collect::<Vec<_>>()
    };
    let found = |store: &dyn Store| store.words().having(&["fox".into()], u64::MAX, 10).unwrap();
    put(&mut store, [deleted(1, Some(100)), deleted(77, Some(100))]);
    drop(store);
    let mut store = world.open();
    assert_eq!(history(&*store), [message_id(3)]);
    assert_eq!(found(&*store), [2], "neither it nor what was done to it is found");
    assert_eq!(store.own().unread(conversation_id(1)).unwrap(), 1);
    let kept = store.own().deleted().unwrap();
    assert_eq!((kept.len(), kept[0].message.id, kept[0].deleted), (1, message_id(1), Some(at(100))));
    put(&mut store, [deleted(1, None), Change::IndexWords { entries: vec![(1, "fox".into())], up_to: 3 }]);
    assert_eq!((history(&*store), found(&*store)), (vec![message_id(1), message_id(3)], vec![2, 1]));
    put(&mut store, [deleted(1, Some(100)), deleted(3, Some(200)), Change::ForgetDeletedBefore(at(200))]);
    drop(store);

    let mut store = world.open();
    assert_eq!(history(&*store), []);
    assert_eq!(store.own().deleted().unwrap().len(), 1);
    let gone = store.messages_with(message_id(1)).unwrap().remove(0);
    assert_eq!((gone.message.kind, gone.message.content.len()), (MessageKind::Gone, 0));
    let gone = store.acts_on(message_id(1)).unwrap().remove(0);
    assert_eq!((gone.message.kind, gone.message.content.len()), (MessageKind::Gone, 0), "an edit says what it said");
    put(&mut store, [deleted(1, None), Change::AddMessage(message(1, 1, Origin::Peer))]);
    assert_eq!(history(&*store), [], "it does not come back, however it comes");
    assert!(store.has_message(sender, message_id(1)).unwrap(), "RCV-4");
}

/// OWN-10, OWN-20: what is said of a message may come before it.
fn marks_wait_for_their_message(world: &mut impl World) {
    let mut store = world.open();
    let sender = message(1, 1, Origin::Peer).sender_device;
    let entry =
        OwnRecord { key: deletion(sender, message_id(3)), value: "on".into(), chosen: at(100), device: device(1) };
    put(
        &mut store,
        [
            Change::AddConversation(conversation(1)),
            Change::MarkRead { device: sender, message: message_id(1), at: at(50) },
            Change::PutOwnEntry(entry.clone()),
            Change::PutOwnEntry(OwnRecord { key: deletion(sender, message_id(4)), value: String::new(), ..entry }),
        ],
    );
    assert!(store.own().own_entry(&early_read(sender, message_id(1))).unwrap().is_some());
    drop(store);
    let mut store = world.open();
    put(&mut store, [1, 3, 4].map(|n| Change::AddMessage(message(n, 1, Origin::Peer))));
    let history = store.history(conversation_id(1), u64::MAX, 10).unwrap();
    let marks: Vec<_> = history.iter().map(|record| (record.message.id, record.read, record.deleted)).collect();
    assert_eq!(marks, [(message_id(1), Some(at(50)), None), (message_id(4), None, None)]);
    assert_eq!(store.own().deleted().unwrap().len(), 1);
    assert_eq!(store.own().own_entry(&early_read(sender, message_id(1))).unwrap(), None);
}

/// OWN-6
fn what_was_told_is_forgotten(world: &mut impl World) {
    let mut store = world.open();
    let told = |n: u8, stored| NewMessage { kind: MessageKind::Own, stored: at(stored), ..message(n, 7, Origin::Here) };
    let delivery = |n: u8| {
        let state = DeliveryState::Waiting;
        let (account, device) = (account(1), device(2));
        Change::PutDelivery(Delivery { message: message_id(n), account, device, suite: None, place: None, state })
    };
    let mark = |n: u8, time| Change::MarkRead { device: device(9), message: message_id(n), at: at(time) };
    put(&mut store, [Change::AddMessage(told(11, 10)), delivery(11), Change::AddMessage(told(12, 20)), delivery(12)]);
    put(&mut store, [mark(13, 10), mark(14, 20), Change::ForgetOwnBefore(at(20))]);
    drop(store);
    let store = world.open();
    assert_eq!(store.messages_with(message_id(11)).unwrap(), []);
    assert_eq!(
        (store.deliveries(message_id(11)).unwrap().len(), store.deliveries(message_id(12)).unwrap().len()),
        (0, 1)
    );
    assert_eq!(store.messages_with(message_id(12)).unwrap().len(), 1);
    assert_eq!(store.history(conversation_id(7), u64::MAX, 10).unwrap(), [], "nobody is shown it");
    assert_eq!(store.own().own_entries("read/").unwrap().len(), 1);
}

/// CON-21
fn receipts_are_kept_per_person(world: &mut impl World) {
    let mut store = world.open();
    let receipt = |n: u8, kind, time| ReceiptRecord {
        message: message_id(1),
        account: account(n),
        handle: if n == 2 { bob() } else { alice() },
        kind,
        at: at(time),
    };
    let all =
        [receipt(2, ReceiptKind::Read, 10), receipt(3, ReceiptKind::Read, 11), receipt(2, ReceiptKind::Played, 12)];
    put(&mut store, all.clone().map(Change::PutReceipt));
    put(&mut store, [Change::PutReceipt(receipt(2, ReceiptKind::Read, 99))]);
    drop(store);
    let store = world.open();
    assert_eq!(store.own().receipts(message_id(1)).unwrap(), all);
    assert_eq!(store.own().receipts(message_id(2)).unwrap(), []);
}

fn handles_are_found_by_their_account(world: &mut impl World) {
    let mut store = world.open();
    let known = |handle, n| KnownHandleRecord { handle, account: account(n), known: vec![n].into() };
    put(&mut store, [Change::PutKnownHandle(known(bob(), 1)), Change::PutKnownHandle(known(alice(), 1))]);
    assert_eq!(store.own().handles_of(account(1)).unwrap(), [alice(), bob()]);
    put(&mut store, [Change::PutKnownHandle(known(bob(), 2))]);
    assert_eq!(store.own().handles_of(account(1)).unwrap(), [alice()]);
}
