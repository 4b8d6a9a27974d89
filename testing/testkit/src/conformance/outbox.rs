//! What every client store must do for the outbox. Port: `halcyon_client::ports::store::OutboxQueries`, and the changes of jobs and
//! envelopes.

use halcyon_client::ports::store::{
    Change, OutboxEnvelope, OutboxHead, OutboxJob, OutboxTarget, Store, TargetState, UnsealedTarget,
};

use super::store::{World, account, at, device, envelope, envelope_id, job, message_id, put};

pub(super) fn run<W: World>(fresh: &mut impl FnMut() -> W) {
    the_outbox_keeps_its_order(&mut fresh());
    removing_a_job_removes_its_envelopes(&mut fresh());
    each_device_has_a_first_envelope(&mut fresh());
    what_is_to_be_sealed_is_found(&mut fresh());
    old_jobs_are_found(&mut fresh());
}

/// SND-2, SND-5
fn the_outbox_keeps_its_order(world: &mut impl World) {
    let mut store = world.open();
    put(
        &mut store,
        [
            Change::PutOutboxJob(job(9, TargetState::ToSeal)),
            Change::PutOutboxJob(job(1, TargetState::ToSeal)),
            Change::PutOutboxEnvelope(envelope(7, 9, 0)),
            Change::PutOutboxEnvelope(envelope(3, 9, 0)),
        ],
    );
    drop(store);

    let mut store = world.open();
    put(
        &mut store,
        [
            Change::PutOutboxJob(job(4, TargetState::ToSeal)),
            Change::PutOutboxJob(job(9, TargetState::Sealed(account(2)))),
            Change::PutOutboxEnvelope(envelope(7, 9, 3)),
        ],
    );
    assert_eq!(
        store.outbox_jobs().unwrap(),
        [job(9, TargetState::Sealed(account(2))), job(1, TargetState::ToSeal), job(4, TargetState::ToSeal)]
    );
    assert_eq!(store.outbox_job(message_id(1)).unwrap(), Some(job(1, TargetState::ToSeal)));
    assert_eq!(store.outbox_envelopes(message_id(9)).unwrap(), [envelope(7, 9, 3), envelope(3, 9, 0)]);
    assert_eq!(store.outbox_envelope(envelope_id(3)).unwrap(), Some(envelope(3, 9, 0)));
    put(&mut store, [Change::RemoveOutboxEnvelope(envelope_id(7)), Change::RemoveOutboxEnvelope(envelope_id(77))]);
    assert_eq!(store.outbox_envelopes(message_id(9)).unwrap(), [envelope(3, 9, 0)]);
    assert_eq!(store.outbox_envelope(envelope_id(7)).unwrap(), None);
}

fn removing_a_job_removes_its_envelopes(world: &mut impl World) {
    let mut store = world.open();
    put(
        &mut store,
        [
            Change::PutOutboxJob(job(1, TargetState::ToSeal)),
            Change::PutOutboxJob(job(2, TargetState::ToSeal)),
            Change::PutOutboxEnvelope(envelope(1, 1, 0)),
            Change::PutOutboxEnvelope(envelope(2, 2, 0)),
        ],
    );
    put(&mut store, [Change::RemoveOutboxJob(message_id(1))]);
    assert_eq!(store.outbox_jobs().unwrap(), [job(2, TargetState::ToSeal)]);
    assert_eq!(store.outbox_envelopes(message_id(1)).unwrap(), []);
    assert_eq!(store.outbox_envelope(envelope_id(1)).unwrap(), None);
    assert_eq!(store.outbox_envelopes(message_id(2)).unwrap(), [envelope(2, 2, 0)]);
}

/// SND-5: the first is that of the earliest job, also if it was sealed last.
fn each_device_has_a_first_envelope(world: &mut impl World) {
    let mut store = world.open();
    assert_eq!(store.outbox().heads().unwrap(), []);
    let sealed = |n| Change::PutOutboxJob(job(n, TargetState::Sealed(account(2))));
    let to = |of: u8, number: u8, to: u8| {
        Change::PutOutboxEnvelope(OutboxEnvelope { device: device(to), ..envelope(number, of, 0) })
    };
    put(&mut store, [sealed(9), sealed(1), sealed(4), to(4, 1, 2), to(1, 2, 3), to(1, 3, 2), to(4, 4, 3), to(4, 5, 7)]);
    // Job 9 was refused, and is sealed anew; job 1 is replaced in its place.
    put(&mut store, [sealed(1), to(9, 6, 3)]);
    let heads = |store: &dyn Store| -> Vec<(u8, u8, u8)> {
        let heads = store.outbox().heads().unwrap();
        let first_byte =
            |head: &OutboxHead| (head.message.as_bytes()[0], head.envelope.as_bytes()[0], head.device.as_bytes()[0]);
        heads.iter().map(first_byte).collect()
    };
    let of = |n: u8| message_id(n).as_bytes()[0];
    let envelope_byte = |n: u8| envelope_id(n).as_bytes()[0];
    let named = |job: u8, envelope: u8, to: u8| (of(job), envelope_byte(envelope), device(to).as_bytes()[0]);
    assert_eq!(heads(&*store), [named(9, 6, 3), named(1, 3, 2), named(4, 5, 7)]);

    let all = store.outbox().heads().unwrap();
    assert_eq!(all[0].last_place, all[2].place, "its last envelope is one of job 4");
    assert_eq!(all[2].last_place, all[2].place);
    assert!(all[0].place < all[1].place && all[1].place < all[2].place);
    let expected = envelope(5, 4, 0);
    assert_eq!(
        (&all[2].handle, all[2].account, all[2].not_before),
        (&expected.handle, expected.account, expected.not_before)
    );

    // Job 9 is moved to the end, with its envelope: job 1 has one for the same device.
    put(&mut store, [Change::PutOutboxJobLast(job(9, TargetState::Sealed(account(2))))]);
    assert_eq!(heads(&*store), [named(1, 2, 3), named(1, 3, 2), named(4, 5, 7)]);
    assert_eq!(store.outbox_jobs().unwrap().last().unwrap().message, message_id(9));
    put(&mut store, [Change::RemoveOutboxEnvelope(envelope_id(6)), Change::RemoveOutboxJob(message_id(1))]);
    drop(store);
    assert_eq!(heads(&*world.open()), [named(4, 1, 2), named(4, 4, 3), named(4, 5, 7)]);
}

/// SND-3, SND-4
fn what_is_to_be_sealed_is_found(world: &mut impl World) {
    let mut store = world.open();
    let target = |n: u8, state| OutboxTarget { state, ..job(n, state).targets[0].clone() };
    let of_two =
        |n: u8, first, second| OutboxJob { targets: vec![target(n, first), target(1, second)], ..job(n, first) };
    let sealed = TargetState::Sealed(account(2));
    put(
        &mut store,
        [
            Change::PutOutboxJob(of_two(9, sealed, TargetState::ToSeal)),
            Change::PutOutboxJob(of_two(1, sealed, TargetState::GivenUp)),
            Change::PutOutboxJob(of_two(4, TargetState::ToSeal, TargetState::ToSeal)),
        ],
    );
    let found = |store: &dyn Store| -> Vec<_> {
        let unsealed = store.outbox().unsealed().unwrap();
        unsealed.into_iter().map(|UnsealedTarget { message, target, .. }| (message, target)).collect()
    };
    let (nine, four) = (message_id(9), message_id(4));
    let to_seal = |n| target(n, TargetState::ToSeal);
    assert_eq!(found(&*store), [(nine, to_seal(1)), (four, to_seal(4)), (four, to_seal(1))]);
    let places: Vec<u64> = store.outbox().unsealed().unwrap().iter().map(|unsealed| unsealed.place).collect();
    assert!(places[0] < places[1] && places[1] == places[2], "{places:?}");
    put(&mut store, [Change::PutOutboxJob(of_two(9, sealed, sealed)), Change::RemoveOutboxJob(four)]);
    assert_eq!(found(&*store), []);
}

/// SND-6
fn old_jobs_are_found(world: &mut impl World) {
    let mut store = world.open();
    assert_eq!(store.outbox().count().unwrap(), 0);
    let jobs = [9, 1, 4].map(|n| job(n, TargetState::ToSeal));
    put(&mut store, jobs.clone().map(Change::PutOutboxJob));
    assert_eq!(store.outbox().created_before(at(4)).unwrap(), [jobs[1].clone()]);
    assert_eq!(store.outbox().created_before(at(100)).unwrap(), jobs);
    assert_eq!(store.outbox().count().unwrap(), 3);
}
