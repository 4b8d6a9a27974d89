//! What every implementation of [`Holds`] does. Spec: 30-courier.md §6.
//!
//! The devices named here have to be there, in one account, where the implementation knows devices.

use bytes::Bytes;
use halcyon_courier::HoldState;
use halcyon_server::ports::{Held, HoldRoom, Holds};
use halcyon_types::{AccountId, DeviceId, HoldId, Timestamp};

/// The account of the devices.
pub const ACCOUNT: AccountId = AccountId::from_bytes([1; 16]);
/// Its devices.
pub const DEVICES: [DeviceId; 2] = [DeviceId::from_bytes([2; 16]), DeviceId::from_bytes([3; 16])];

const ROOM: HoldRoom = HoldRoom { count: 3, bytes: 100, remembered: 2 };

fn hold_id(n: u8) -> HoldId {
    HoldId::from_bytes([n; 16])
}

fn held(n: u8, device: usize, due: u64, send: &'static [u8]) -> Held {
    Held {
        hold: hold_id(n),
        account: ACCOUNT,
        device: DEVICES[device],
        due: Timestamp::from_millis(due),
        send: Bytes::from_static(send),
    }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// COU-61 to COU-66, one after the other on one store.
///
/// # Panics
/// If the store does not do as it should.
pub async fn holds(store: &dyn Holds) {
    replaces_what_is_held(store).await;
    makes_in_order_and_once(store).await;
    takes_back_what_is_not_being_made(store).await;
    keeps_to_its_room(store).await;
}

async fn replaces_what_is_held(store: &dyn Holds) {
    assert_eq!(store.next().await.unwrap(), None);
    let replaced = store.hold(held(1, 0, 50, b"new"), true, ROOM).await.unwrap();
    assert_eq!(replaced, HoldState::NotKnown, "there is nothing to replace");
    assert_eq!(store.hold(held(1, 0, 50, b"old"), false, ROOM).await.unwrap(), HoldState::Held);
    assert_eq!(store.hold(held(1, 0, 40, b"new"), true, ROOM).await.unwrap(), HoldState::Held);
    // Another device of the account does not put its own in the place.
    assert_eq!(store.hold(held(1, 1, 30, b"other"), false, ROOM).await.unwrap(), HoldState::NotKnown);
    assert_eq!(store.next().await.unwrap(), Some(at(40)));
}

async fn makes_in_order_and_once(store: &dyn Holds) {
    assert_eq!(store.hold(held(2, 1, 20, b"first"), false, ROOM).await.unwrap(), HoldState::Held);
    assert!(store.take(at(19)).await.unwrap().is_none(), "not before its time");
    for _ in 0..2 {
        let taken = store.take(at(60)).await.unwrap().unwrap();
        assert_eq!((taken.hold, &taken.send[..]), (hold_id(2), &b"first"[..]), "until it is said to be made");
    }
    store.made(ACCOUNT, hold_id(2), Some((Bytes::from_static(b"rest"), at(80)))).await.unwrap();
    let taken = store.take(at(60)).await.unwrap().unwrap();
    assert_eq!((taken.hold, &taken.send[..], taken.due), (hold_id(1), &b"new"[..], at(40)));
    store.made(ACCOUNT, hold_id(1), None).await.unwrap();
    assert!(store.take(at(79)).await.unwrap().is_none());
    assert_eq!(store.next().await.unwrap(), Some(at(80)));
    assert_eq!(&store.take(at(80)).await.unwrap().unwrap().send[..], b"rest");
    store.made(ACCOUNT, hold_id(2), None).await.unwrap();
    assert_eq!(store.next().await.unwrap(), None);
    for made in [1, 2] {
        assert_eq!(store.ask(ACCOUNT, hold_id(made), true).await.unwrap(), HoldState::Released);
        assert_eq!(store.hold(held(made, 0, 90, b"again"), true, ROOM).await.unwrap(), HoldState::Released);
    }
}

async fn takes_back_what_is_not_being_made(store: &dyn Holds) {
    assert_eq!(store.ask(ACCOUNT, hold_id(9), true).await.unwrap(), HoldState::NotKnown);
    for hold in [3, 4] {
        assert_eq!(store.hold(held(hold, 0, 100, b"x"), false, ROOM).await.unwrap(), HoldState::Held);
    }
    assert_eq!(store.ask(AccountId::from_bytes([9; 16]), hold_id(3), true).await.unwrap(), HoldState::NotKnown);
    assert_eq!(store.ask(ACCOUNT, hold_id(3), false).await.unwrap(), HoldState::Held);
    assert_eq!(store.ask(ACCOUNT, hold_id(3), true).await.unwrap(), HoldState::Cancelled);
    assert_eq!(store.hold(held(3, 0, 100, b"x"), false, ROOM).await.unwrap(), HoldState::Cancelled, "it stays so");
    assert_eq!(store.take(at(200)).await.unwrap().unwrap().hold, hold_id(4));
    assert_eq!(store.ask(ACCOUNT, hold_id(4), true).await.unwrap(), HoldState::Released, "it is being made");
    store.made(ACCOUNT, hold_id(4), None).await.unwrap();
    assert!(store.take(at(200)).await.unwrap().is_none());
}

async fn keeps_to_its_room(store: &dyn Holds) {
    for hold in [11, 12, 13] {
        assert_eq!(store.hold(held(hold, 0, 500, &[0; 30]), false, ROOM).await.unwrap(), HoldState::Held);
    }
    assert_eq!(store.hold(held(14, 0, 500, b""), false, ROOM).await.unwrap(), HoldState::TooMany);
    assert_eq!(store.hold(held(14, 1, 500, &[0; 100]), false, ROOM).await.unwrap(), HoldState::Held, "each for itself");
    assert_eq!(store.hold(held(13, 0, 500, &[0; 41]), true, ROOM).await.unwrap(), HoldState::TooMany);
    assert_eq!(store.hold(held(13, 0, 500, &[0; 40]), true, ROOM).await.unwrap(), HoldState::Held);
    // What was due first is forgotten first.
    assert_eq!(store.ask(ACCOUNT, hold_id(1), false).await.unwrap(), HoldState::NotKnown);
    assert_eq!(store.ask(ACCOUNT, hold_id(4), false).await.unwrap(), HoldState::Released);
}
