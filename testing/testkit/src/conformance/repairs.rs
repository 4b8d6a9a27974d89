//! What every client store must do for repairs. Port: `halcyon_client::ports::store::RepairQueries`.

use halcyon_client::ports::store::{
    Change, Delivery, DeliveryState, Heard, MessageRecord, NewMessage, Origin, RepairRecord, SentEnd, SentEnvelope,
    Store, StreamPlace, UnopenedHead, UnopenedRecord,
};
use halcyon_crypto::SecretBytes;
use halcyon_types::SuiteId;

use super::store::{
    World, account, alice, at, bob, conversation, conversation_id, device, envelope_id, message, message_id, put,
};

pub(super) fn run<W: World>(fresh: &mut impl FnMut() -> W) {
    what_came_late_stands_in_its_place(&mut fresh());
    numbers_given_are_kept(&mut fresh());
    what_is_not_confirmed_is_found(&mut fresh());
    gaps_are_kept(&mut fresh());
    repairs_are_kept_by_device(&mut fresh());
    sent_envelopes_are_kept_and_forgotten(&mut fresh());
    epochs_only_rise_and_counters_count(&mut fresh());
    what_was_stored_since_is_found(&mut fresh());
    what_did_not_open_is_bounded(&mut fresh());
}

/// RCV-3, REP-16: what is asked for stays longest, then what is newest.
fn what_did_not_open_is_bounded(world: &mut impl World) {
    let mut store = world.open();
    let unopened = |n: u8, of: Option<u8>, cause: &str| UnopenedRecord {
        id: envelope_id(n),
        envelope: vec![n; 3].into(),
        device: of.map(device),
        cause: cause.into(),
        at: at(n.into()),
        gone: false,
    };
    let records = [
        unopened(1, Some(1), "no-key"),
        unopened(2, Some(1), "unauthentic"),
        unopened(3, Some(2), "unauthentic"),
        unopened(4, Some(1), "unauthentic"),
        unopened(5, None, "malformed"),
        unopened(6, Some(1), "no-key"),
    ];
    put(&mut store, records.map(Change::AddUnopened));
    let bound = |of: u64, in_all| Change::BoundUnopened {
        device: Some(device(1)),
        of_device: of,
        in_all,
        asked: vec!["no-key".into(), "forked".into()],
    };
    let kept = |store: &dyn Store| -> Vec<u8> {
        (1..=6).filter(|n| store.repairs().unopened_head(envelope_id(*n)).unwrap().is_some()).collect()
    };
    put(&mut store, [bound(4, 6)]);
    assert_eq!(kept(&*store), [1, 2, 3, 4, 5, 6]);
    put(&mut store, [bound(3, 6)]);
    assert_eq!(kept(&*store), [1, 3, 4, 5, 6]);
    put(&mut store, [bound(3, 3)]);
    assert_eq!(kept(&*store), [1, 5, 6]);
    put(&mut store, [bound(1, 3)]);
    assert_eq!(kept(&*store), [5, 6]);
    drop(store);
    let store = world.open();
    let head =
        UnopenedHead { id: envelope_id(6), device: Some(device(1)), cause: "no-key".into(), at: at(6), gone: false };
    assert_eq!(store.repairs().unopened_of(device(1)).unwrap(), std::slice::from_ref(&head));
    assert_eq!(store.repairs().unopened_head(envelope_id(6)).unwrap(), Some(head));
}

fn from_bob(n: u8, number: u64) -> NewMessage {
    let place = Some(StreamPlace { stream: 7, number });
    NewMessage { place, stored: at(n.into()), ..message(n, 1, Origin::Peer) }
}

fn numbers(history: &[MessageRecord]) -> Vec<u64> {
    history.iter().map(|record| record.number).collect()
}

/// REP-15: late messages stand before the next of their sender, in their sender's order, and pages agree.
fn what_came_late_stands_in_its_place(world: &mut impl World) {
    let mut store = world.open();
    put(
        &mut store,
        [
            Change::AddConversation(conversation(1)),
            Change::AddMessage(from_bob(10, 1)),
            Change::AddMessage(message(11, 1, Origin::Here)),
            Change::AddMessage(from_bob(12, 5)),
            Change::AddMessage(message(13, 1, Origin::Here)),
            Change::AddMessage(from_bob(14, 6)),
            Change::AddMessage(from_bob(15, 4)),
            Change::AddMessage(from_bob(16, 2)),
            Change::AddMessage(from_bob(17, 3)),
            // Another stream of the same device orders nothing here.
            Change::AddMessage(NewMessage {
                place: Some(StreamPlace { stream: 8, number: 1 }),
                ..message(18, 1, Origin::Peer)
            }),
        ],
    );
    drop(store);
    let store = world.open();
    let all = store.history(conversation_id(1), u64::MAX, 100).unwrap();
    assert_eq!(numbers(&all), [1, 2, 7, 8, 6, 3, 4, 5, 9]);
    assert_eq!(all[2].message.place, Some(StreamPlace { stream: 7, number: 2 }));
    let mut paged = Vec::new();
    let mut before = u64::MAX;
    loop {
        let mut page = store.history(conversation_id(1), before, 2).unwrap();
        let Some(first) = page.first() else { break };
        before = first.number;
        page.append(&mut paged);
        paged = page;
    }
    assert_eq!(paged, all);
}

/// REP-1
fn numbers_given_are_kept(world: &mut impl World) {
    let end =
        |of, inside, stream, last| SentEnd { device: device(of), conversation: conversation_id(inside), stream, last };
    let mut store = world.open();
    put(
        &mut store,
        [
            Change::PutSentEnd(end(1, 1, 7, 1)),
            Change::PutSentEnd(end(1, 2, 7, 9)),
            Change::PutSentEnd(end(2, 1, 7, 3)),
            Change::PutSentEnd(end(1, 1, 7, 2)),
            Change::PutSentEnd(end(1, 1, u64::MAX, 4)),
        ],
    );
    drop(store);
    let store = world.open();
    let repairs = store.repairs();
    assert_eq!(repairs.sent_end(device(1), conversation_id(1), 7).unwrap(), 2);
    assert_eq!(repairs.sent_end(device(1), conversation_id(3), 7).unwrap(), 0);
    assert_eq!(repairs.sent_ends(device(1)).unwrap(), [end(1, 1, 7, 2), end(1, 1, u64::MAX, 4), end(1, 2, 7, 9)]);
    assert_eq!(repairs.sent_ends(device(3)).unwrap(), []);
}

/// REP-13
fn what_is_not_confirmed_is_found(world: &mut impl World) {
    let mut store = world.open();
    let delivery = |n: u8, number: u64, state| Delivery {
        message: message_id(n),
        account: account(2),
        device: device(2),
        suite: Some(SuiteId::PQ3),
        place: Some(StreamPlace { stream: 7, number }),
        state,
    };
    let end = |inside, last| SentEnd { device: device(2), conversation: conversation_id(inside), stream: 7, last };
    put(
        &mut store,
        [
            Change::AddMessage(message(21, 1, Origin::Here)),
            Change::AddMessage(message(22, 1, Origin::Here)),
            Change::AddMessage(message(23, 1, Origin::Here)),
            Change::AddMessage(message(24, 2, Origin::Here)),
            Change::PutDelivery(delivery(21, 1, DeliveryState::Delivered(at(5)))),
            Change::PutDelivery(delivery(22, 2, DeliveryState::Accepted(at(10)))),
            Change::PutDelivery(delivery(23, 3, DeliveryState::Waiting)),
            Change::PutDelivery(delivery(24, 1, DeliveryState::Accepted(at(20)))),
            Change::PutSentEnd(end(1, 3)),
            Change::PutSentEnd(end(2, 1)),
        ],
    );
    let repairs = store.repairs();
    assert_eq!(repairs.unconfirmed(device(2), at(0)..at(10)).unwrap(), []);
    assert_eq!(repairs.unconfirmed(device(2), at(0)..at(11)).unwrap(), [end(1, 3)]);
    assert_eq!(repairs.unconfirmed(device(2), at(0)..at(21)).unwrap(), [end(1, 3), end(2, 1)]);
    assert_eq!(repairs.unconfirmed(device(1), at(0)..at(21)).unwrap(), []);
    assert_eq!(repairs.oldest_unconfirmed(device(2), at(10)).unwrap(), Some(at(10)));
    assert_eq!(repairs.oldest_unconfirmed(device(2), at(11)).unwrap(), Some(at(20)));
    assert_eq!(repairs.unconfirmed(device(2), at(11)..at(21)).unwrap(), [end(2, 1)]);
    assert_eq!(repairs.oldest_unconfirmed(device(1), at(0)).unwrap(), None);
    let second = delivery(22, 2, DeliveryState::Accepted(at(10)));
    assert_eq!(repairs.unconfirmed_up_to(&end(1, 3)).unwrap(), std::slice::from_ref(&second));
    assert_eq!(repairs.unconfirmed_up_to(&end(1, 1)).unwrap(), []);
    assert_eq!(repairs.delivery(message_id(22), device(2)).unwrap(), Some(second.clone()));
    assert_eq!(repairs.delivery(message_id(22), device(1)).unwrap(), None);
    let place = |number| StreamPlace { stream: 7, number };
    assert_eq!(repairs.delivery_at(device(2), conversation_id(1), place(2)).unwrap(), Some(second));
    let other = delivery(24, 1, DeliveryState::Accepted(at(20)));
    assert_eq!(repairs.delivery_at(device(2), conversation_id(2), place(1)).unwrap(), Some(other));
    assert_eq!(repairs.delivery_at(device(2), conversation_id(2), place(2)).unwrap(), None);
    assert_eq!(repairs.delivery_at(device(1), conversation_id(1), place(2)).unwrap(), None);
}

/// REP-10
fn gaps_are_kept(world: &mut impl World) {
    let heard = |of, missing: &[(u64, u64)], lost: &[(u64, u64)]| Heard {
        device: device(of),
        account: account(2),
        conversation: conversation_id(1),
        stream: 7,
        handle: bob(),
        high: u64::MAX,
        missing: missing.to_vec(),
        lost: lost.to_vec(),
        since: at(3),
    };
    let mut store = world.open();
    put(
        &mut store,
        [
            Change::PutHeard(heard(1, &[(1, 2)], &[])),
            Change::PutHeard(heard(1, &[(2, 2), (5, u64::MAX)], &[(3, 3)])),
            Change::PutHeard(heard(2, &[], &[])),
            Change::PutHeard(heard(3, &[], &[(1, 1)])),
        ],
    );
    drop(store);
    let store = world.open();
    let first = heard(1, &[(2, 2), (5, u64::MAX)], &[(3, 3)]);
    assert_eq!(store.repairs().heard_in(device(1), conversation_id(1), 7).unwrap(), Some(first.clone()));
    assert_eq!(store.repairs().heard_in(device(1), conversation_id(1), 8).unwrap(), None);
    assert_eq!(store.repairs().heard(device(2)).unwrap(), [heard(2, &[], &[])]);
    assert_eq!(store.repairs().gaps().unwrap(), [first, heard(3, &[], &[(1, 1)])]);
}

/// REP-11
fn repairs_are_kept_by_device(world: &mut impl World) {
    let repair = |of: u8, due| RepairRecord {
        device: device(of),
        account: account(2),
        handle: bob(),
        since: at(1),
        due: at(due),
        asked: (of == 1).then(|| at(2)),
        attempts: of.into(),
        job: (of == 1).then(|| message_id(3)),
        counts_wanted: of == 1,
        forward_since: (of == 1).then(|| at(4)),
        wrote_to: (of == 1).then(alice),
    };
    let mut store = world.open();
    put(
        &mut store,
        [
            Change::PutRepair(repair(1, 20)),
            Change::PutRepair(repair(2, 10)),
            Change::PutRepair(repair(3, 30)),
            Change::PutRepair(repair(1, 40)),
            Change::RemoveRepair(device(3)),
        ],
    );
    drop(store);
    let store = world.open();
    assert_eq!(store.repairs().repairs().unwrap(), [repair(2, 10), repair(1, 40)]);
    assert_eq!(store.repairs().repair(device(1)).unwrap(), Some(repair(1, 40)));
    assert_eq!(store.repairs().repair(device(3)).unwrap(), None);
}

/// REP-12
fn sent_envelopes_are_kept_and_forgotten(world: &mut impl World) {
    let sent = |n: u8, of: u8| SentEnvelope {
        id: envelope_id(n),
        device: device(of),
        message: message_id(if n == 7 { 2 } else { 1 }),
        content: (n == 2).then(|| vec![9; 9].into()),
        sender: alice(),
        at: at(n.into()),
    };
    let mut store = world.open();
    put(&mut store, (1..=7).map(|n| Change::PutSentEnvelope(sent(n, n % 2))));
    assert_eq!(store.repairs().sent_envelope(envelope_id(2)).unwrap(), Some(sent(2, 0)));
    let kept = |store: &dyn Store| -> Vec<u8> {
        (1..=7).filter(|n| store.repairs().sent_envelope(envelope_id(*n)).unwrap().is_some()).collect()
    };
    // Each may be asked for still.
    put(&mut store, [Change::MarkSentEnvelopesHad { message: message_id(1), device: device(1) }]);
    assert_eq!(kept(&*store), [1, 2, 3, 4, 5, 6, 7]);
    put(&mut store, [Change::ForgetSentEnvelopes { before: at(4), keep: 5 }]);
    assert_eq!(kept(&*store), [4, 5, 6, 7]);
    put(&mut store, [Change::ForgetSentEnvelopes { before: at(0), keep: 3 }]);
    assert_eq!(kept(&*store), [4, 6, 7], "what its device has goes first");
    put(&mut store, [Change::ForgetSentEnvelopes { before: at(0), keep: 1 }]);
    assert_eq!(kept(&*store), [7]);
}

/// REP-22, REP-30
fn epochs_only_rise_and_counters_count(world: &mut impl World) {
    let mut store = world.open();
    let epoch = |of, epoch| Change::RaiseEpochSeen { device: device(of), epoch };
    put(&mut store, [epoch(1, 5), epoch(1, 3), epoch(2, 1), epoch(2, u64::MAX)]);
    assert_eq!(store.repairs().epoch_seen(device(1)).unwrap(), 5);
    assert_eq!(store.repairs().epoch_seen(device(2)).unwrap(), u64::MAX);
    assert_eq!(store.repairs().epoch_seen(device(3)).unwrap(), 0);
    put(&mut store, ["b", "a", "b"].map(|name| Change::CountUp(name.to_owned())));
    assert_eq!(store.repairs().counters().unwrap(), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
}

/// REP-21, REP-24
fn what_was_stored_since_is_found(world: &mut impl World) {
    let mut store = world.open();
    assert_eq!(store.repairs().newest_received().unwrap(), None);
    put(&mut store, (1..=5).map(|n| Change::AddMessage(from_bob(n, n.into()))));
    put(&mut store, [Change::AddMessage(message(6, 1, Origin::Here))]);
    assert_eq!(store.repairs().newest_received().unwrap(), Some(at(5)));
    put(
        &mut store,
        [2, 1].map(|n| Change::PutSession { device: device(n), session: SecretBytes::copy_of(b"session") }),
    );
    assert_eq!(store.repairs().session_devices().unwrap(), [device(1), device(2)]);
    assert_eq!(numbers(&store.repairs().stored_since(at(2), 0, 10).unwrap()), [2, 3, 4, 5, 6]);
    assert_eq!(numbers(&store.repairs().stored_since(at(2), 3, 1).unwrap()), [4]);
}
