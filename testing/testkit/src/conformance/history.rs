//! What every client store must do with messages: keep them once and in order, and find them again. Called by [`store`](super::store).

use halcyon_client::ports::store::{Change, MessageKind, NewMessage, Origin, Store};

use super::store::{World, at, conversation, conversation_id, device, message, message_id, put};

pub(super) fn run<W: World>(fresh: &mut impl FnMut() -> W) {
    messages_are_numbered_once_and_in_order(&mut fresh());
    acts_are_found_by_their_message(&mut fresh());
    a_conversation_is_read_page_by_page(&mut fresh());
    words_are_found(&mut fresh());
    conversations_come_newest_first(&mut fresh());
}

/// RCV-4: the second arrival of a message has no effect.
fn messages_are_numbered_once_and_in_order(world: &mut impl World) {
    let mut store = world.open();
    put(&mut store, [Change::AddConversation(conversation(1)), Change::AddConversation(conversation(1))]);
    put(&mut store, [Change::AddMessage(message(1, 1, Origin::Here)), Change::AddMessage(message(2, 1, Origin::Peer))]);
    put(&mut store, [Change::AddMessage(message(2, 1, Origin::Peer))]);
    drop(store);

    let mut store = world.open();
    put(&mut store, [Change::AddMessage(message(3, 1, Origin::OwnDevice))]);
    let history = store.history(conversation_id(1), u64::MAX, 10).unwrap();
    assert_eq!(
        history.iter().map(|record| record.message.clone()).collect::<Vec<_>>(),
        [message(1, 1, Origin::Here), message(2, 1, Origin::Peer), message(3, 1, Origin::OwnDevice)]
    );
    assert!(history[0].number >= 1);
    assert!(history.windows(2).all(|pair| pair[0].number < pair[1].number));

    assert_eq!(store.own_message(message_id(1)).unwrap().map(|record| record.message.id), Some(message_id(1)));
    assert_eq!(
        store.own_message(message_id(3)).unwrap().map(|record| record.message.id),
        Some(message_id(3)),
        "a copy is one's own, too"
    );
    assert_eq!(store.own_message(message_id(2)).unwrap(), None, "RCV-7: a peer's message is not one's own");

    // A peer that takes the id of somebody else's message adds a message of its own, and touches no other.
    let mut impostor = message(1, 1, Origin::Peer);
    impostor.sender_device = device(66);
    put(&mut store, [Change::AddMessage(impostor.clone())]);
    assert_eq!(store.own_message(message_id(1)).unwrap().unwrap().message, message(1, 1, Origin::Here));
    assert_eq!(store.history(conversation_id(1), u64::MAX, 1).unwrap()[0].message, impostor);

    // Had before: by who sent it and what they called it, both.
    let has = |sender, id| store.has_message(sender, message_id(id)).unwrap();
    let sender = message(2, 1, Origin::Peer).sender_device;
    assert!(has(sender, 2) && has(device(66), 1));
    assert!(!has(device(66), 2) && !has(sender, 99));
}

/// CON-11: an act is no part of the history, and is found by what it was done to.
fn acts_are_found_by_their_message(world: &mut impl World) {
    let mut store = world.open();
    let act = |n, target| NewMessage {
        kind: MessageKind::Act,
        target: Some(message_id(target)),
        ..message(n, 1, Origin::Peer)
    };
    put(&mut store, [Change::AddConversation(conversation(1)), Change::AddMessage(act(10, 1))]);
    put(&mut store, [Change::AddMessage(message(1, 1, Origin::Here)), Change::AddMessage(act(11, 1))]);
    put(&mut store, [Change::AddMessage(act(12, 3)), Change::AddMessage(message(3, 1, Origin::Peer))]);
    let mut impostor = message(1, 1, Origin::Peer);
    impostor.sender_device = device(66);
    put(&mut store, [Change::AddMessage(impostor.clone())]);
    drop(store);

    let store = world.open();
    let messages = |records: Vec<halcyon_client::ports::store::MessageRecord>| {
        records.into_iter().map(|record| record.message).collect::<Vec<_>>()
    };
    assert_eq!(messages(store.acts_on(message_id(1)).unwrap()), [act(10, 1), act(11, 1)]);
    assert_eq!(messages(store.acts_on(message_id(2)).unwrap()), []);
    assert_eq!(messages(store.messages_with(message_id(1)).unwrap()), [message(1, 1, Origin::Here), impostor.clone()]);
    let history = [message(1, 1, Origin::Here), message(3, 1, Origin::Peer), impostor];
    assert_eq!(messages(store.history(conversation_id(1), u64::MAX, 10).unwrap()), history);
    assert_eq!(messages(store.history(conversation_id(1), u64::MAX, 2).unwrap()), history[1..], "a page is full");
    let since = store.repairs().stored_since(at(0), 0, 10).unwrap();
    assert_eq!(since.len(), 6, "forwarded like messages (REP-24)");
}

fn a_conversation_is_read_page_by_page(world: &mut impl World) {
    let mut store = world.open();
    put(&mut store, [Change::AddConversation(conversation(1)), Change::AddConversation(conversation(2))]);
    for n in 1..=5 {
        put(
            &mut store,
            [Change::AddMessage(message(n, 1, Origin::Peer)), Change::AddMessage(message(n + 100, 2, Origin::Peer))],
        );
    }
    let ids = |page: &[halcyon_client::ports::store::MessageRecord]| {
        page.iter().map(|record| record.message.id).collect::<Vec<_>>()
    };
    let newest = store.history(conversation_id(1), u64::MAX, 2).unwrap();
    assert_eq!(ids(&newest), [message_id(4), message_id(5)], "the newest, oldest first");
    let older = store.history(conversation_id(1), newest[0].number, 2).unwrap();
    assert_eq!(ids(&older), [message_id(2), message_id(3)]);
    let oldest = store.history(conversation_id(1), older[0].number, 2).unwrap();
    assert_eq!(ids(&oldest), [message_id(1)]);
}

fn words_are_found(world: &mut impl World) {
    let mut store = world.open();
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(store.words().indexed().unwrap(), 0);
    assert_eq!(store.words().having(&words("a"), u64::MAX, 10).unwrap(), [] as [u64; 0], "there is no index yet");
    let first = vec![(1, "The quick brown fox".into()), (3, "quick, Quick: QUICK!\nand slow".into())];
    put(&mut store, [Change::IndexWords { entries: first, up_to: 4 }]);
    put(&mut store, [Change::IndexWords { entries: vec![(7, "brownish \"foxes\" AND NOT".into())], up_to: 8 }]);
    drop(store);

    let mut store = world.open();
    assert_eq!(store.words().indexed().unwrap(), 8);
    let having = |store: &dyn Store, text: &str| store.words().having(&words(text), u64::MAX, 10).unwrap();
    assert_eq!(having(&*store, "quick"), [3, 1], "newest first, each once");
    assert_eq!(having(&*store, "quick brown"), [1]);
    assert_eq!(having(&*store, "brown fo"), [1], "a beginning is enough for the last word alone");
    assert_eq!(having(&*store, "FOX"), [7, 1]);
    assert_eq!(having(&*store, "and not"), [7], "words mean nothing but themselves");
    assert_eq!(having(&*store, "wolf"), [] as [u64; 0]);
    assert_eq!(store.words().having(&words("quick"), 3, 10).unwrap(), [1]);
    assert_eq!(store.words().having(&words("quick"), u64::MAX, 1).unwrap(), [3]);
    put(&mut store, [Change::Wipe]);
    assert_eq!(store.words().indexed().unwrap(), 0);
    assert_eq!(having(&*store, "quick"), [] as [u64; 0]);
    put(&mut store, [Change::IndexWords { entries: vec![(1, "anew".into())], up_to: 1 }]);
    assert_eq!(having(&*store, "anew"), [1], "as in a new profile");
}

fn conversations_come_newest_first(world: &mut impl World) {
    let mut store = world.open();
    put(&mut store, [Change::AddConversation(conversation(1)), Change::AddConversation(conversation(2))]);
    put(&mut store, [Change::AddMessage(message(1, 2, Origin::Peer))]);
    put(&mut store, [Change::AddMessage(message(2, 1, Origin::Peer))]);
    assert_eq!(store.conversations().unwrap(), [conversation(1), conversation(2)]);
    put(&mut store, [Change::AddMessage(message(3, 2, Origin::Peer))]);
    assert_eq!(store.conversations().unwrap(), [conversation(2), conversation(1)]);
    assert_eq!(store.conversation(conversation_id(2)).unwrap(), Some(conversation(2)));
    assert_eq!(store.conversation(conversation_id(9)).unwrap(), None);
}
