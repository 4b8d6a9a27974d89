//! What is done, while online, for messages that wait for their time. Spec: 60-client.md §4 (SCD-3 to SCD-7).
//!
//! Owns when a message is sealed for the server to hold, when anew, and what becomes of it when it is due.
//!
//! - What is sealed is committed before it leaves (SND-1), and nothing is sealed twice under one key: what is not answered is sealed anew.
//! - A message that somebody took back is not held again (COU-62).

use std::collections::BTreeMap;

use bytes::Bytes;
use halcyon_content::{Content, OwnKey, Place};
use halcyon_courier::{HeldAnswer, HoldQuestion, HoldState, Status, UncheckedHold};
use halcyon_suites::{Session, Suite, pq3::SealingPlace};
use halcyon_types::{DeviceId, Duration, SuiteId, Timestamp};
use tokio::sync::oneshot;

use super::{
    Asked,
    appear::{Made, appear},
    entry_value, is_taken_back, shown,
};
use crate::{
    client::Inner,
    error::{ProfileError, SendError},
    fanout::FanOut,
    outbox::{Targets, backoff, plan::PlannedSend},
    own::Choices,
    ports::{
        Change, Commit,
        store::{HeldCopy, OutboxEnvelope, OutboxJob, ScheduledRecord},
    },
    repair::{self, numbers::Numbering},
    resolve::{Freshness, Resolved},
    state::State,
};

/// SCD-4: how often it is looked whether what is held can still be opened.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// SCD-4: commits that sealed anything since, of which each may have begun a chain; half of what a receiver keeps (PQ3-30).
const SEALS_MAX: u64 = 8;
/// SCD-4: when, before it is due, its people are looked up once more.
const LOOK_UP_BEFORE: Duration = Duration::from_mins(5);
/// A server whose clock is behind ours is asked again so soon.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Payloads of one hold. A frame has 256 KiB (COU-3); who does not fit is sent to when it is due, by this device (SCD-5).
const HOLD_PAYLOAD_BYTES_MAX: usize = 192 * 1024;

impl Inner {
    /// Does what is due for everything that waits. Returns when to look again, by the server's clock; none if nothing waits.
    pub(crate) async fn tend_scheduled(&self) -> Result<Option<Timestamp>, ProfileError> {
        let records = self.state().store().own().scheduled()?;
        for record in records {
            self.tend(record).await?;
        }
        let now = self.server_now();
        let left = self.state().store().own().scheduled()?;
        let next = left.iter().filter(|record| record.failure.is_empty()).map(|record| {
            let retry = now.plus(record.not_before.since(self.now()));
            let soonest = if record.due > now { record.due.max(retry) } else { retry.max(now.plus(ASK_AGAIN)) };
            let look_up = record.due.minus(LOOK_UP_BEFORE);
            let retry = if retry > now { retry } else { now.plus(LOOK_EVERY) };
            let look_up = if look_up > now { look_up } else { now.plus(LOOK_EVERY) };
            soonest.min(retry).min(look_up).min(now.plus(LOOK_EVERY))
        });
        Ok(next.min())
    }

    async fn tend(&self, record: ScheduledRecord) -> Result<(), ProfileError> {
        let now = self.server_now();
        let (is_taken_back, is_stale) = {
            let mut state = self.state();
            if state.holds.cancelling.contains(&record.hold) {
                return Ok(());
            }
            (is_taken_back(&state, record.hold)?, is_stale(&mut state, &record, self.now())?)
        };
        if record.not_before > self.now() {
            return Ok(());
        }
        if is_taken_back {
            // The other device asked the server; it is asked again, so that nothing is dropped that is sent.
            return self.settle(record, true).await;
        }
        if !record.failure.is_empty() {
            return Ok(());
        }
        if record.due <= now {
            return self.settle(record, false).await;
        }
        let is_near = record.due <= now.plus(LOOK_UP_BEFORE) && self.state().holds.looked_up.insert(record.hold);
        if record.held && is_near {
            let Some(content) = self.content_of(&record)? else { return Ok(()) };
            // Who cannot be looked up now is sent to by the list that is kept.
            let handles = self.state().addressees(&content.members)?;
            self.resolve(&handles, Freshness::Fresh).await?;
            if is_stale_now(self, &record)? {
                return self.hold(record).await;
            }
            return Ok(());
        }
        if record.held && !is_stale { Ok(()) } else { self.hold(record).await }
    }

    /// Seals a message anew, and has the server hold it in the place of what it holds already (SCD-3).
    async fn hold(&self, record: ScheduledRecord) -> Result<(), ProfileError> {
        let Some(content) = self.content_of(&record)? else { return Ok(()) };
        let Some((content, encoded)) = self.said_now(&record, content)? else {
            return self.withdraw(record, "this account is not a member of the group any more").await;
        };
        let in_group = content.members.group().is_some();
        let handles = self.state().addressees(&content.members)?;
        let found = self.resolve(&handles, Freshness::Kept).await?;
        if !in_group && found.iter().any(|found| matches!(found, Resolved::Unknown)) && !record.held {
            return self.fail(record, "the server does not know everybody it is for any more");
        }
        let mut resolved: Targets = handles.into_iter().zip(found).collect();
        let is_found = |found: &Resolved| matches!(found, Resolved::Devices(..));
        // In a group, who cannot be found now is sent to when it is due (SCD-5).
        if in_group {
            resolved.retain(|_, found| is_found(found));
        }
        if resolved.is_empty() || !resolved.values().all(is_found) {
            return self.try_later(record);
        }
        let (asked, sealed) = {
            let mut state = self.state();
            state.drop_overtaken(&mut resolved)?;
            let waits = state.store().own().scheduled()?.contains(&record);
            if !waits || state.holds.cancelling.contains(&record.hold) || is_taken_back(&state, record.hold)? {
                return Ok(());
            }
            let now = ScheduledRecord { content: encoded, ..record.clone() };
            match seal(self, &mut state, &now, &content, &resolved)? {
                Some(sealed) => sealed,
                None => {
                    drop(state);
                    return self.try_later(record);
                }
            }
        };
        self.outbox.notify_one();
        // Without an answer it is sealed anew on the next connection: what the server has then is replaced.
        let Ok(answer) = asked.await else { return Ok(()) };
        self.held(record, sealed, &answer).await
    }

    /// Returns what is sealed now, and its form: what is said in a group says how its writer knows the group (GRP-7). None if this
    /// account is no member.
    fn said_now(&self, record: &ScheduledRecord, content: Content) -> Result<Option<(Content, Bytes)>, ProfileError> {
        let Some(group) = content.members.group() else { return Ok(Some((content, record.content.clone()))) };
        let members = match self.state().members_in(group.id) {
            Ok(members) => members,
            Err(SendError::Profile(error)) => return Err(error),
            Err(_) => return Ok(None),
        };
        let content = Content { members, ..content };
        let encoded = halcyon_content::encode(&content);
        let encoded = encoded.map_err(|_| ProfileError::Damaged("a message that waits for its time"))?;
        Ok(Some((content, encoded.into())))
    }

    /// Takes back what would be shown by nobody; what it says stays, for the person to see that it was not sent.
    async fn withdraw(&self, record: ScheduledRecord, why: &str) -> Result<(), ProfileError> {
        let question = HoldQuestion { id: 0, hold: record.hold, cancel: true };
        let asked = self.state().holds.ask(Asked::Question(question));
        self.outbox.notify_one();
        let Ok(answer) = asked.await else { return Ok(()) };
        match answer.state {
            HoldState::Cancelled | HoldState::NotKnown => self.fail(record, why),
            HoldState::Released => self.settle(record, false).await,
            _ => self.try_later(record),
        }
    }

    /// Takes the server's answer to a hold.
    async fn held(
        &self,
        before: ScheduledRecord,
        sealed: ScheduledRecord,
        answer: &HeldAnswer,
    ) -> Result<(), ProfileError> {
        match answer.state {
            HoldState::Held => self.note_held(sealed),
            // What was held before it was made meanwhile.
            HoldState::Released => self.settle(before, false).await,
            HoldState::Cancelled => self.forget_scheduled(sealed.hold),
            // The server lost what it held: the next one replaces nothing.
            HoldState::NotKnown => self.try_later(ScheduledRecord { held: false, ..before }),
            HoldState::TooFar => self.fail(sealed, "the server's clock says that it is more than 14 days ahead"),
            HoldState::TooMany => self.fail(sealed, "the server holds as much for this device as it may"),
            HoldState::Refused | HoldState::HoldUnspecified => {
                let is = |wanted: &[Status]| answer.parts.iter().any(|part| wanted.contains(&part.status));
                if is(&[Status::StaleList, Status::StaleSession, Status::UnknownToken]) {
                    let mut commit = Commit::new();
                    for copy in &sealed.copies {
                        commit.push(Change::RemoveAddresses(copy.account));
                    }
                    self.state().commit(&commit)?;
                } else if is(&[Status::Malformed, Status::Forbidden, Status::TooLarge]) && !before.held {
                    return self.fail(sealed, "the server does not take it from this address");
                }
                // What it held before it holds still.
                self.try_later(before)
            }
        }
    }

    /// COU-61: now it is the server's, and the other devices may know of it (OWN-30).
    fn note_held(&self, sealed: ScheduledRecord) -> Result<(), ProfileError> {
        let mut state = self.state();
        if !is_there(&state, &sealed)? {
            return Ok(());
        }
        let record = ScheduledRecord { held: true, attempts: 0, ..sealed };
        let mut choices = Choices::default();
        if state.own_entry(&OwnKey::Scheduled(record.hold))?.is_none() {
            let value = entry_value(&shown(&record, state.own()?.device));
            choices.choose(self, &state, OwnKey::Scheduled(record.hold), value)?;
        }
        let commit = Commit::new().with(Change::PutScheduled(Box::new(record)));
        self.commit_choices(&mut state, choices, commit)?;
        drop(state);
        self.note_scheduled();
        Ok(())
    }

    /// Asks what became of a message that is due, or that another device took back (SCD-5).
    async fn settle(&self, record: ScheduledRecord, cancel: bool) -> Result<(), ProfileError> {
        let question = HoldQuestion { id: 0, hold: record.hold, cancel };
        let asked = self.state().holds.ask(Asked::Question(question));
        self.outbox.notify_one();
        let Ok(answer) = asked.await else { return Ok(()) };
        let made = match answer.state {
            HoldState::Cancelled => return self.forget_scheduled(record.hold),
            HoldState::NotKnown if cancel => return self.forget_scheduled(record.hold),
            HoldState::Held => return self.put(ScheduledRecord { not_before: self.now().plus(ASK_AGAIN), ..record }),
            HoldState::Released if record.held => Made::ForThese,
            // It never got there, or what was sealed last did not.
            HoldState::Released | HoldState::NotKnown => Made::Unknown,
            _ => return self.try_later(record),
        };
        let Some(content) = self.content_of(&record)? else { return Ok(()) };
        // Devices that came since it was sealed are sent to by this one; if nobody answers, when they are heard of.
        let handles = self.state().addressees(&content.members)?;
        self.resolve(&handles, Freshness::Fresh).await?;
        let mut state = self.state();
        if !is_there(&state, &record)? {
            return Ok(());
        }
        let events = appear(&mut state, &record, made, self.now())?;
        drop(state);
        self.tell_all(events);
        self.outbox.notify_one();
        self.note_scheduled();
        Ok(())
    }

    fn content_of(&self, record: &ScheduledRecord) -> Result<Option<Content>, ProfileError> {
        match halcyon_content::decode(&record.content) {
            Ok(content) => Ok(Some(content)),
            Err(_) => self.fail(record.clone(), "this version cannot read it").map(|()| None),
        }
    }

    fn try_later(&self, record: ScheduledRecord) -> Result<(), ProfileError> {
        let not_before = self.now().plus(backoff(record.attempts, &mut self.rng()));
        self.put(ScheduledRecord { not_before, attempts: record.attempts.saturating_add(1), ..record })
    }

    fn fail(&self, record: ScheduledRecord, failure: &str) -> Result<(), ProfileError> {
        self.put(ScheduledRecord { failure: failure.to_owned(), held: false, ..record })
    }

    fn put(&self, record: ScheduledRecord) -> Result<(), ProfileError> {
        let mut state = self.state();
        if is_there(&state, &record)? {
            state.commit(&Commit::new().with(Change::PutScheduled(Box::new(record))))?;
        }
        drop(state);
        self.note_scheduled();
        Ok(())
    }
}

fn is_there(state: &State, record: &ScheduledRecord) -> Result<bool, ProfileError> {
    Ok(state.store().own().scheduled()?.iter().any(|one| one.hold == record.hold))
}

fn is_stale_now(inner: &Inner, record: &ScheduledRecord) -> Result<bool, ProfileError> {
    is_stale(&mut inner.state(), record, inner.now())
}

/// Says whether what is held may soon be opened by nobody, or not by everybody (SCD-4): a list changed, a session began anew, or
/// there may be so many new chains that a receiver forgets the one that it was sealed in.
fn is_stale(state: &mut State, record: &ScheduledRecord, now: Timestamp) -> Result<bool, ProfileError> {
    if let Some(group) = halcyon_content::decode(&record.content).ok().and_then(|content| content.members.group())
        && state.group(group.id)?.is_none_or(|known| known.reference() != group)
    {
        return Ok(true);
    }
    let seals = state.epoch()?.saturating_sub(record.epoch);
    let own_device = state.own()?.device;
    for copy in &record.copies {
        if state.known_version(copy.account)? != copy.list_version {
            return Ok(true);
        }
        if copy.device == own_device || copy.suite != Suite::Pq3.id() {
            continue;
        }
        let present = state.session(copy.device, now)?.sealing_place();
        let place = place_bytes(&present);
        if place[..8] != copy.place[..8] || (place != copy.place && seals >= SEALS_MAX) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn place_bytes(place: &SealingPlace) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&place.session);
    bytes[8..].copy_from_slice(&place.chain);
    bytes
}

type Sealed = (oneshot::Receiver<HeldAnswer>, ScheduledRecord);

/// Seals a message for every device, commits, and has the server asked. None if somebody has no address now.
fn seal(
    inner: &Inner,
    state: &mut State,
    record: &ScheduledRecord,
    content: &Content,
    resolved: &Targets,
) -> Result<Option<Sealed>, ProfileError> {
    let now = inner.now();
    // SCD-3: not numbered, so that nobody sees a gap meanwhile.
    let job = OutboxJob {
        silent: true,
        ..OutboxJob::again(record.message, content.members.sender().clone(), record.content.clone(), now)
    };
    let shown_later = OutboxJob { silent: false, ..job.clone() };
    let numbering = Numbering::of(state, &job)?;
    let mut commit = Commit::new();
    numbering.count(state, &mut commit)?;
    let (own_device, own_account) = (state.own()?.device, state.own()?.account);
    let own_version = state.known(own_account)?.map_or(0, |known| known.version());
    let mut send = PlannedSend::new(&job, own_version, state.epoch()?.saturating_add(1));
    // Itself, so that a change of the own list is seen.
    let mut copies = vec![HeldCopy {
        account: own_account,
        device: own_device,
        list_version: own_version,
        suite: SuiteId::from_u32(0),
        place: [0; 16],
    }];
    let mut bytes = 0;
    for (handle, found) in resolved {
        let Resolved::Devices(devices, _) = found else { return Ok(None) };
        if !state.may_hear(content, devices.account(), handle)? {
            continue; // GRP-8
        }
        let Some(token) = state.session_token(devices.account())? else { return Ok(None) };
        let mut wanted: BTreeMap<DeviceId, (Session, Place)> = BTreeMap::new();
        for device in devices.devices().iter().map(|device| device.device_id()) {
            if !copies.iter().any(|copy| copy.device == device) {
                wanted.insert(device, (state.session(device, now)?, numbering.place(state, device)?));
            }
        }
        let own = state.own()?;
        let fan_out = FanOut {
            plaintext: &record.content,
            own: &own.keys,
            account: own_account,
            push_token: own.push_token,
            from: content.members.sender(),
            to: handle,
            allowed: &state.suites(),
            forced: None,
            now,
        };
        for fanned in fan_out.seal(devices, wanted, inner.rng().as_rng()) {
            // Who cannot be sealed for now is sent to when it is due (SCD-5).
            let Ok(sealed) = fanned.outcome else { continue };
            bytes += sealed.payload.len();
            if bytes > HOLD_PAYLOAD_BYTES_MAX {
                break;
            }
            let place = place_bytes(&sealed.next.sealing_place());
            commit.push(Change::PutSession { device: fanned.device, session: sealed.next.to_secret_bytes() });
            copies.push(HeldCopy {
                account: devices.account(),
                device: fanned.device,
                list_version: devices.list_version(),
                suite: sealed.suite,
                place,
            });
            let envelope = OutboxEnvelope {
                id: sealed.envelope,
                message: record.message,
                handle: handle.clone(),
                account: devices.account(),
                list_version: devices.list_version(),
                device: fanned.device,
                push_token: sealed.push_token,
                suite: sealed.suite,
                payload: sealed.payload,
                attempts: 0,
                not_before: Timestamp::default(),
            };
            // REP-11: whoever has no key for it asks by the envelope.
            repair::remember_sent(&shown_later, &envelope, record.due, &mut commit);
            send.add(&token, envelope);
        }
    }
    if send.devices.is_empty() {
        return Ok(None);
    }
    let sealed = ScheduledRecord { held: false, epoch: state.epoch()?.saturating_add(1), copies, ..record.clone() };
    commit.push(Change::PutScheduled(Box::new(sealed.clone())));
    state.commit(&commit)?;
    let replaces = record.held;
    let hold = UncheckedHold::new(record.hold, record.due, replaces, send.request);
    Ok(Some((state.holds.ask(Asked::Hold(Box::new(hold))), sealed)))
}
