//! What is being repaired, as people see it. Spec: 61-repair.md §5 (REP-30, REP-31).
//!
//! Owns the words. Reads only, but for [`Client::reset_sessions`].

use halcyon_suites::SessionSummary;
use halcyon_types::{ConversationId, DeviceId, Handle, Timestamp};

use super::{RepairRecord, STUCK_AFTER, gaps, is_asked_for};
use crate::{
    client::{Client, Inner},
    error::ProfileError,
    ports::{Change, Commit, store::Heard},
    state::State,
};

/// Something that is being repaired with one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownRepair {
    /// The device that is asked.
    pub device: DeviceId,
    /// A handle of it.
    pub handle: Handle,
    /// What it is called, if its account's list is known.
    pub device_name: Option<String>,
    /// Messages that came and did not open.
    pub unopened: usize,
    /// Messages that did not come.
    pub missing: u64,
    /// Messages of the device that it said it cannot send again, all that there ever were (REP-14).
    pub lost: u64,
    /// Since when.
    pub since: Timestamp,
    /// How often the device was asked.
    pub asked: u32,
    /// When it is asked next.
    pub next: Timestamp,
    /// If it takes longer than an hour: why, and what to do.
    pub stuck: Option<String>,
}

/// Messages of one device that did not come, in one conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownGap {
    /// The conversation.
    pub conversation: ConversationId,
    /// The device that sent them.
    pub device: DeviceId,
    /// Its handle.
    pub handle: Handle,
    /// What it is called, if its account's list is known.
    pub device_name: Option<String>,
    /// Which numbers of which of its streams are asked for, first and last.
    pub missing: Vec<(u64, u64)>,
    /// Which cannot be sent again.
    pub lost: Vec<(u64, u64)>,
    /// The stream (REP-1).
    pub stream: u64,
    /// Since when.
    pub since: Timestamp,
}

impl ShownGap {
    /// Returns how many messages are asked for.
    #[must_use]
    pub fn missing_count(&self) -> u64 {
        gaps::count(&self.missing)
    }

    /// Returns how many cannot be sent again.
    #[must_use]
    pub fn lost_count(&self) -> u64 {
        gaps::count(&self.lost)
    }
}

/// The session with one device, for those who look closely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionShown {
    /// The device.
    pub device: DeviceId,
    /// Its account's handle and what it is called, if they are known.
    pub name: Option<(Handle, String)>,
    /// Its state.
    pub summary: SessionSummary,
    /// What is being repaired with it.
    pub repair: Option<ShownRepair>,
}

/// How a session is, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionHealth {
    /// As it should be.
    Good,
    /// Something is being asked for again, which ends by itself.
    Repairing,
    /// Something that does not end by itself, or takes longer than an hour.
    Stuck,
}

impl SessionShown {
    /// Returns how it is.
    #[must_use]
    pub fn health(&self) -> SessionHealth {
        match (&self.repair, self.advice()) {
            (_, Some(_)) => SessionHealth::Stuck,
            (Some(_), None) => SessionHealth::Repairing,
            (None, None) => SessionHealth::Good,
        }
    }

    /// Returns why it is stuck, and what to do; none if it is not.
    #[must_use]
    pub fn advice(&self) -> Option<String> {
        self.repair.as_ref().and_then(|repair| repair.stuck.clone())
    }
}

/// Something that this device counted. Nothing of it is ever sent anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// What, with its labels, as in `decrypt_failures_total{cause="no-key"}`.
    pub name: String,
    /// How often.
    pub count: u64,
}

impl Client {
    /// Returns what is being repaired.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn repairs(&self) -> Result<Vec<ShownRepair>, ProfileError> {
        let now = self.inner.now();
        let mut state = self.inner.state();
        let records = state.store().repairs().repairs()?;
        records.iter().filter_map(|record| repair(&mut state, record, now).transpose()).collect()
    }

    /// Returns what is missing, or is lost, of every conversation.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn gaps(&self) -> Result<Vec<ShownGap>, ProfileError> {
        let mut state = self.inner.state();
        let heard = state.store().repairs().gaps()?;
        Ok(heard.into_iter().map(|heard| gap(&mut state, heard)).collect())
    }

    /// Returns the counters, by name.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn counters(&self) -> Result<Vec<Counter>, ProfileError> {
        let counters = self.inner.state().store().repairs().counters()?;
        Ok(counters.into_iter().map(|(name, count)| Counter { name, count }).collect())
    }

    /// Returns the session with every device.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn sessions(&self) -> Result<Vec<SessionShown>, ProfileError> {
        self.inner.sessions(None)
    }

    /// Returns the sessions with one person's devices.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn sessions_with(&self, handle: &Handle) -> Result<Vec<SessionShown>, ProfileError> {
        self.inner.sessions(Some(handle))
    }

    /// Begins every session anew, or those with one person's devices: what is sealed from now on needs nothing of what was. What is on
    /// its way still opens. Returns how many.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn reset_sessions(&self, with: Option<&Handle>) -> Result<usize, ProfileError> {
        let now = self.inner.now();
        let mut state = self.inner.state();
        let mut commit = Commit::new();
        let devices = session_devices(&mut state, with)?;
        for device in &devices {
            let mut session = state.session(*device, now)?;
            session.restart(now);
            commit.push(Change::PutSession { device: *device, session: session.to_secret_bytes() });
        }
        state.commit(&commit)?;
        Ok(devices.len())
    }

    /// Deletes every session, as a damaged disk would: for those who want to see it mend.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn dangerous_lose_sessions(&self) -> Result<usize, ProfileError> {
        let mut state = self.inner.state();
        let devices = state.store().repairs().session_devices()?;
        let commit = devices.iter().map(|device| Change::RemoveSession(*device)).fold(Commit::new(), Commit::with);
        state.commit(&commit)?;
        Ok(devices.len())
    }
}

impl Inner {
    pub(crate) fn sessions(&self, with: Option<&Handle>) -> Result<Vec<SessionShown>, ProfileError> {
        let now = self.now();
        let mut state = self.state();
        let mut sessions = Vec::new();
        let names = names(&mut state)?;
        for device in session_devices(&mut state, with)? {
            let summary = state.session(device, now)?.summary();
            let record = state.store().repairs().repair(device)?;
            let repair = record.map(|record| repair(&mut state, &record, now)).transpose()?.flatten();
            let name =
                names.iter().find(|(of, ..)| *of == device).map(|(_, handle, name)| (handle.clone(), name.clone()));
            sessions.push(SessionShown { device, name, summary, repair });
        }
        Ok(sessions)
    }
}

/// Returns the devices with which there is a session; of one person, those in the list that was accepted last.
fn session_devices(state: &mut State, with: Option<&Handle>) -> Result<Vec<DeviceId>, ProfileError> {
    let mut devices = state.store().repairs().session_devices()?;
    let Some(with) = with else { return Ok(devices) };
    let Some(kept) = state.kept(with)? else { return Ok(Vec::new()) };
    devices.retain(|device| kept.known.list().device(*device).is_some());
    Ok(devices)
}

fn names(state: &mut State) -> Result<Vec<(DeviceId, Handle, String)>, ProfileError> {
    let mut names = Vec::new();
    for peer in super::restored::known_devices(state)? {
        if let Some(name) = state.device_name(peer.account, peer.device) {
            names.push((peer.device, peer.handle, name));
        }
    }
    Ok(names)
}

/// Returns a repair as it is shown; none if nothing that a person would miss is part of it.
pub(super) fn repair(
    state: &mut State,
    record: &RepairRecord,
    now: Timestamp,
) -> Result<Option<ShownRepair>, ProfileError> {
    let unopened = state.store().repairs().unopened_of(record.device)?.iter().filter(|head| is_asked_for(head)).count();
    let heard = state.store().repairs().heard(record.device)?;
    let missing = heard.iter().fold(0_u64, |sum, heard| sum.saturating_add(gaps::count(&heard.missing)));
    if unopened == 0 && missing == 0 && !record.counts_wanted && record.forward_since.is_none() {
        return Ok(None);
    }
    let mut shown = ShownRepair { unopened, missing, ..done(state, record)? };
    shown.stuck = (now.since(record.since) > STUCK_AFTER).then(|| advice(record));
    if shown.asked > 0 {
        state.shown_repairs.insert(record.device);
    }
    Ok(Some(shown))
}

/// Returns a repair of which nothing is left.
pub(super) fn done(state: &mut State, record: &RepairRecord) -> Result<ShownRepair, ProfileError> {
    let gone = state.store().repairs().unopened_of(record.device)?.iter().filter(|head| head.gone).count();
    let heard = state.store().repairs().heard(record.device)?;
    let lost = heard.iter().fold(gone as u64, |sum, heard| sum.saturating_add(gaps::count(&heard.lost)));
    Ok(ShownRepair {
        device: record.device,
        handle: record.handle.clone(),
        device_name: state.device_name(record.account, record.device),
        unopened: 0,
        missing: 0,
        lost,
        since: record.since,
        asked: record.attempts,
        next: record.due,
        stuck: None,
    })
}

fn advice(record: &RepairRecord) -> String {
    match record.attempts {
        0 => "this device was not online long enough to ask; stay online".to_owned(),
        _ => "the device that sent them does not answer: it is offline, or was removed. They come when it is back; \
              if it does not come back, ask the sender to send them again"
            .to_owned(),
    }
}

/// Returns a stream of which something is missing or lost as it is shown.
pub(crate) fn gap(state: &mut State, heard: Heard) -> ShownGap {
    ShownGap {
        conversation: heard.conversation,
        device: heard.device,
        device_name: state.device_name(heard.account, heard.device),
        handle: heard.handle,
        missing: heard.missing,
        lost: heard.lost,
        stream: heard.stream,
        since: heard.since,
    }
}
