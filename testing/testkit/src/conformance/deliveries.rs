//! What every client store must do with what waits: deliveries per device, and receipts. Called by [`store`](super::store).

use halcyon_client::ports::store::{Change, Delivery, DeliveryState, PendingReceipt, ReceiptKind, StreamPlace};
use halcyon_types::SuiteId;

use super::store::{World, account, alice, at, bob, device, message_id, put};

pub(super) fn run<W: World>(fresh: &mut impl FnMut() -> W) {
    deliveries_are_kept_per_device(&mut fresh());
    receipts_wait_once(&mut fresh());
}

/// SND-3, SND-4, RCV-7
fn deliveries_are_kept_per_device(world: &mut impl World) {
    let mut store = world.open();
    let delivery = |n: u8, state| Delivery {
        message: message_id(1),
        account: account(2),
        device: device(n),
        suite: Some(SuiteId::PAIR_EC),
        place: (n > 1).then_some(StreamPlace { stream: u64::MAX, number: n.into() }),
        state,
    };
    put(
        &mut store,
        [
            Change::PutDelivery(delivery(2, DeliveryState::Waiting)),
            Change::PutDelivery(delivery(1, DeliveryState::Accepted(at(7)))),
            Change::PutDelivery(delivery(3, DeliveryState::Failed("no prekey".into()))),
            Change::PutDelivery(delivery(2, DeliveryState::Delivered(at(8)))),
        ],
    );
    drop(store);
    let store = world.open();
    assert_eq!(
        store.deliveries(message_id(1)).unwrap(),
        [
            delivery(2, DeliveryState::Delivered(at(8))),
            delivery(1, DeliveryState::Accepted(at(7))),
            delivery(3, DeliveryState::Failed("no prekey".into())),
        ]
    );
    assert_eq!(store.deliveries(message_id(2)).unwrap(), []);
}

/// RCV-5
fn receipts_wait_once(world: &mut impl World) {
    let mut store = world.open();
    let receipt = |n| PendingReceipt {
        to: bob(),
        from: alice(),
        message: message_id(n),
        kind: ReceiptKind::Delivered,
        at: at(0),
    };
    put(
        &mut store,
        [
            Change::AddPendingReceipt(receipt(2)),
            Change::AddPendingReceipt(receipt(1)),
            Change::AddPendingReceipt(receipt(2)),
        ],
    );
    drop(store);
    let mut store = world.open();
    assert_eq!(store.pending_receipts().unwrap(), [receipt(2), receipt(1)]);
    put(&mut store, [Change::RemovePendingReceipt(receipt(2))]);
    assert_eq!(store.pending_receipts().unwrap(), [receipt(1)]);
}
