//! The first message to a device that never said anything. Spec: 61-repair.md §2 (REP-13).
//!
//! Owns whether one goes along with its count. A stranger's count is not answered (REP-18), so if the first message is lost, only the
//! message itself helps. Once it opened, numbers and counts do the rest.

use halcyon_content::StreamEnd;
use halcyon_types::Timestamp;

use super::{
    Peer,
    answer::{address, address_again, written_here},
};
use crate::{
    error::ProfileError,
    ports::store::{OutboxJob, OutboxTarget, RepairRecord, StreamPlace, TargetState},
    state::State,
};

/// REP-13: counts that are followed by nothing before a message goes along with the next, and then twice as many each time: a device may
/// be off for weeks, and finds all of them.
const COUNTS_IN_VAIN: u32 = 4;

/// Returns a job for a message that a device did not confirm, if it never said anything; none if that is on its way already.
pub(super) fn job(
    state: &State,
    record: &RepairRecord,
    counts: &[StreamEnd],
    now: Timestamp,
) -> Result<Option<OutboxJob>, ProfileError> {
    let is_time = record.attempts >= COUNTS_IN_VAIN && record.attempts.is_power_of_two();
    let Some(count) = counts.first().filter(|_| is_time) else { return Ok(None) };
    let is_own = state.own()?.account == record.account;
    if is_own || state.session(record.device, now)?.summary().heard.is_some() {
        return Ok(None);
    }
    let place = StreamPlace { stream: count.stream, number: count.last };
    let Some(delivery) = state.store().repairs().delivery_at(record.device, count.conversation, place)? else {
        return Ok(None);
    };
    let message = delivery.message;
    let job = match state.store().outbox_job(message)? {
        Some(job) => Some(job),
        None => written_here(state, message, now)?,
    };
    let waits = |target: &OutboxTarget| target.only == Some(record.device) && target.state == TargetState::ToSeal;
    let is_queued = state.store().outbox_envelopes(message)?.iter().any(|one| one.device == record.device);
    let Some(mut job) = job.filter(|job| !is_queued && !job.targets.iter().any(waits)) else { return Ok(None) };
    let handle = address(state, &job, &Peer::of(record))?;
    address_again(&mut job, OutboxTarget::only(handle, record.device));
    Ok(Some(job))
}
