//! What was written while this device knew of no other own one. Spec: 60-client.md §1 (SND-7).
//!
//! Owns up to which message the own device list was known to be the newest, and what is sealed later for a device that was missing in
//! it. Everything else is the courier's to refuse (SND-3): where an own device is known, a message for it shows which list it was
//! sealed by.

use halcyon_directory::SignedList;
use halcyon_types::{DeviceId, Timestamp};

use crate::{
    client::Inner,
    error::ProfileError,
    ports::{
        Change, Commit,
        store::{MessageKind, MessageRecord, Origin, OutboxJob, OutboxTarget, TargetState},
    },
    state::State,
};

/// The setting that holds the number of the newest message when the server was last asked for the own list.
const LIST_CONFIRMED_AT: &str = "own-list.confirmed-at";

/// Says in a commit that the own list was the newest when this message was.
pub(crate) fn confirm(state: &State, number: u64, commit: &mut Commit) -> Result<(), ProfileError> {
    if confirmed_at(state)? != Some(number) {
        commit.push(Change::PutSetting { name: LIST_CONFIRMED_AT.to_owned(), value: number.to_string() });
    }
    Ok(())
}

/// Adds to the commit of a new own list that its new devices get what was sealed for none, and learn of all groups (GRP-12).
pub(crate) fn serve_new(
    inner: &Inner,
    state: &mut State,
    before: &SignedList,
    list: &SignedList,
    commit: &mut Commit,
) -> Result<(), ProfileError> {
    let (own, now) = (state.own()?.device, inner.now());
    let ids = list.devices().iter().map(|device| device.entry().id());
    let new: Vec<DeviceId> = ids.filter(|id| *id != own && before.device(*id).is_none()).collect();
    inner.introduce_groups(state, &new, commit)?;
    let Some(confirmed) = confirmed_at(state)?.filter(|_| !new.is_empty()) else { return Ok(()) };
    let after = first_to_seal(state)?.map_or(confirmed, |first| confirmed.min(first));
    for record in state.store().repairs().stored_since(Timestamp::default(), after, usize::MAX)? {
        if is_alone(state, &record)? {
            // Last, also if it is there: those that left the outbox are put behind it, and the new device gets all in their order.
            commit.push(Change::PutOutboxJobLast(job_for(state, record, &new, now)?));
        }
    }
    Ok(())
}

/// Returns the number of the first message of this device that is to be sealed for own devices still. A new one gets it with the
/// others, and so all that was done to it since.
fn first_to_seal(state: &State) -> Result<Option<u64>, ProfileError> {
    let (own, handles) = (state.own()?.device, state.store().own_handles()?);
    let mut first = None;
    for waiting in state.store().outbox().unsealed()? {
        if waiting.target.only.is_none() && handles.contains(&waiting.target.handle) {
            // Receipts have no number.
            let number = Some(state.store().repairs().number_of(own, waiting.message)?).filter(|number| *number > 0);
            first = first.into_iter().chain(number).min();
        }
    }
    Ok(first)
}

/// Says whether a message was written here and is sealed, or was, for no other own device.
fn is_alone(state: &State, record: &MessageRecord) -> Result<bool, ProfileError> {
    let (message, own) = (&record.message, state.own()?);
    if message.origin != Origin::Here || message.sender_device != own.device || message.kind == MessageKind::Gone {
        return Ok(false);
    }
    let waits = |target: &OutboxTarget| target.handle == message.sender && target.state == TargetState::ToSeal;
    let is_to_be_sealed = state.store().outbox_job(message.id)?.is_some_and(|job| job.targets.iter().any(waits));
    let deliveries = state.store().deliveries(message.id)?;
    Ok(!is_to_be_sealed && deliveries.iter().all(|delivery| delivery.account != own.account))
}

fn job_for(
    state: &State,
    record: MessageRecord,
    devices: &[DeviceId],
    now: Timestamp,
) -> Result<OutboxJob, ProfileError> {
    let message = record.message;
    let kept = state.store().outbox_job(message.id)?;
    let mut job = kept.unwrap_or_else(|| OutboxJob::again(message.id, message.sender.clone(), message.content, now));
    job.targets.extend(devices.iter().map(|device| OutboxTarget::only(message.sender.clone(), *device)));
    Ok(job)
}

fn confirmed_at(state: &State) -> Result<Option<u64>, ProfileError> {
    let number = state.store().setting(LIST_CONFIRMED_AT)?;
    number.map(|number| number.parse().map_err(|_| ProfileError::Damaged("a number among the settings"))).transpose()
}
