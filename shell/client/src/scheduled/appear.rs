//! A message whose time came appears among what was sent. Spec: 60-client.md §4 (SCD-5, SCD-6).
//!
//! Owns the step from what waits to the history, in one commit. What the server did not deliver is left to the outbox.

use halcyon_types::{MessageId, Timestamp};

use crate::{
    error::ProfileError,
    event::Event,
    history,
    ports::{
        Change, Commit,
        store::{Delivery, DeliveryState, MessageRecord, ScheduledRecord},
    },
    send,
    state::State,
};

/// For whom the server made a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// For those that it was sealed for last.
    ForThese,
    /// That is not known: it is sent to all, and whoever has it drops the second one (RCV-4).
    Unknown,
}

/// Commits a message as sent, with a job for every device that does not have it.
pub(super) fn appear(
    state: &mut State,
    record: &ScheduledRecord,
    made: Made,
    now: Timestamp,
) -> Result<Vec<Event>, ProfileError> {
    let Ok(content) = halcyon_content::decode(&record.content) else {
        return Err(ProfileError::Damaged("a message that waits for its time"));
    };
    let addressees = state.addressees(&content.members)?;
    let mut job = send::new_job(&content, record.content.to_vec(), None, addressees, now);
    let message = send::new_message(state, &job, &content, now)?;
    let mut commit = Commit::new();
    send::add_conversation(&content.members, &mut commit);
    commit.push(Change::AddMessage(message.clone()));
    commit.push(Change::RemoveScheduled(record.hold));
    if made == Made::ForThese {
        for copy in record.copies.iter().filter(|copy| copy.device != message.sender_device) {
            for target in &mut job.targets {
                target.done.push(copy.device);
            }
            commit.push(Change::PutDelivery(Delivery {
                message: record.message,
                account: copy.account,
                device: copy.device,
                suite: Some(copy.suite),
                place: None,
                state: DeliveryState::Accepted(now),
            }));
        }
    }
    commit.push(Change::PutOutboxJob(job));
    state.commit(&commit)?;
    state.holds.looked_up.remove(&record.hold);
    let number = state.store().own_message(record.message)?.map_or(0, |record| record.number);
    let shown = history::shown(state, MessageRecord { number, message, read: None, deleted: None }, &[])?;
    Ok(vec![history::told(state, shown)?])
}

/// Has a message appear of which somebody says that they have it, or an envelope of it: the server made it, before it could be asked
/// (SCD-6).
pub(crate) fn appear_as_made(
    state: &mut State,
    message: MessageId,
    now: Timestamp,
) -> Result<Vec<Event>, ProfileError> {
    let waiting = state.store().own().scheduled()?;
    match waiting.into_iter().find(|record| record.message == message && record.epoch > 0) {
        Some(record) => {
            let made = if record.held { Made::ForThese } else { Made::Unknown };
            appear(state, &record, made, now)
        }
        None => Ok(Vec::new()),
    }
}
