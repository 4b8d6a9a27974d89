//! Numbers for what is sealed: one stream for each device, in each conversation. Spec: 61-repair.md §1 (REP-1), §4 (REP-20).
//!
//! Owns the next number and the next epoch. Gives nothing twice: both are committed together with what was sealed.

use halcyon_content::Place;
use halcyon_types::{ConversationId, DeviceId, Timestamp};

use crate::{
    error::ProfileError,
    ports::{
        Change, Commit,
        store::{OutboxJob, SentEnd, StreamPlace},
    },
    state::State,
};

/// The setting that holds this device's epoch (REP-20).
pub(super) const EPOCH: &str = "repair.epoch";
/// The setting that holds the epoch that this device had when it was last sure to be the newest copy of itself, if it sealed anything
/// since (REP-21).
pub(super) const EPOCH_CHECKED: &str = "repair.epoch-checked";
/// The setting that holds the stream that it numbers in now (REP-1).
pub(super) const STREAM: &str = "repair.stream";

/// What numbers a job's copies.
pub(crate) struct Numbering {
    /// None for what is not shown: it is not numbered.
    conversation: Option<ConversationId>,
    stream: u64,
    /// That of the commit that is being made.
    epoch: u64,
    known: Vec<(DeviceId, StreamPlace)>,
}

impl Numbering {
    /// Returns the numbering of a job.
    pub(crate) fn of(state: &State, job: &OutboxJob) -> Result<Self, ProfileError> {
        let conversation = match job.silent {
            true => None,
            false => halcyon_content::decode(&job.content).ok().map(|content| content.members.id()),
        };
        let deliveries = state.store().deliveries(job.message)?;
        let known = deliveries.iter().filter_map(|delivery| Some((delivery.device, delivery.place?))).collect();
        Ok(Self { conversation, stream: state.stream()?, epoch: state.epoch()?.saturating_add(1), known })
    }

    /// Returns the place of the copy for a device: the one that it was given, or the next.
    pub(crate) fn place(&self, state: &State, device: DeviceId) -> Result<Place, ProfileError> {
        let Some(conversation) = self.conversation else {
            return Ok(Place { epoch: self.epoch, ..Place::default() });
        };
        let known = self.known.iter().find(|(of, _)| *of == device).map(|(_, place)| *place);
        let place = match known {
            Some(place) => place,
            None => {
                let last = state.store().repairs().sent_end(device, conversation, self.stream)?;
                StreamPlace { stream: self.stream, number: last.saturating_add(1) }
            }
        };
        Ok(Place { stream: place.stream, number: place.number, epoch: self.epoch, mends: None })
    }

    /// Adds to the commit that a number was used, and returns it; none for what is not numbered.
    pub(crate) fn given(&self, device: DeviceId, place: &Place, commit: &mut Commit) -> Option<StreamPlace> {
        let conversation = self.conversation?;
        let given = StreamPlace { stream: place.stream, number: place.number };
        if !self.known.contains(&(device, given)) {
            commit.push(Change::PutSentEnd(SentEnd { device, conversation, stream: given.stream, last: given.number }));
        }
        Some(given)
    }

    /// REP-20: in the same commit as what is sealed.
    pub(crate) fn count(&self, state: &State, commit: &mut Commit) -> Result<(), ProfileError> {
        if !state.is_newest_copy && state.store().setting(EPOCH_CHECKED)?.is_none() {
            let value = state.epoch()?.to_string();
            commit.push(Change::PutSetting { name: EPOCH_CHECKED.to_owned(), value });
        }
        commit.push(epoch_change(self.epoch));
        Ok(())
    }
}

pub(super) fn epoch_change(epoch: u64) -> Change {
    Change::PutSetting { name: EPOCH.to_owned(), value: epoch.to_string() }
}

pub(super) fn stream_change(stream: Timestamp) -> Change {
    Change::PutSetting { name: STREAM.to_owned(), value: stream.as_millis().to_string() }
}

impl State {
    /// Returns how often this device sealed anything (REP-20).
    pub(crate) fn epoch(&self) -> Result<u64, ProfileError> {
        self.number(EPOCH)
    }

    /// Returns the epoch up to which this device was the newest copy of itself: what it sealed since may be what another did, and
    /// has not left (REP-21).
    pub(crate) fn epoch_checked(&self) -> Result<u64, ProfileError> {
        match self.store().setting(EPOCH_CHECKED)? {
            Some(_) => self.number(EPOCH_CHECKED),
            None => self.epoch(),
        }
    }

    /// Returns the stream that this device numbers in: 0, or when it was restored last (REP-21).
    pub(crate) fn stream(&self) -> Result<u64, ProfileError> {
        self.number(STREAM)
    }

    fn number(&self, setting: &str) -> Result<u64, ProfileError> {
        let value = self.store().setting(setting)?;
        let number = |value: String| value.parse().map_err(|_| ProfileError::Damaged("a number among the settings"));
        value.map_or(Ok(0), number)
    }
}
