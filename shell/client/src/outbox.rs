//! The outbox: what was committed and is not yet with the server. Spec: 60-client.md §1 (SND-2 to SND-6).
//!
//! Owns the life of a job: sealed when devices are known, sent when online, repaired when the server says that it is stale, given up
//! when it cannot be helped. Does not know connections: [`plan`] says what to send next, and [`answer`] takes what the server said.
//!
//! - An envelope's id and bytes never change; it leaves the outbox only by an answer of the server, or by age (SND-2).
//! - A device that has a message is never sealed for again (`OutboxTarget::done`).

pub(crate) mod alone;
pub(crate) mod answer;
pub(crate) mod full;
mod pause;
pub(crate) mod plan;
pub(crate) mod unsealable;

use std::collections::{BTreeMap, BTreeSet};

use halcyon_content::{Content, Kind, Place};
use halcyon_directory::VerifiedDevices;
use halcyon_suites::Session;
use halcyon_types::{AccountId, DeviceId, Duration, Handle, MessageId, Timestamp};

use crate::{
    client::Inner,
    error::ProfileError,
    event::{Event, ShownDelivery},
    fanout::{FanOut, Fanned},
    ports::{
        Change, Commit,
        store::{Delivery, DeliveryState, OutboxEnvelope, OutboxJob, OutboxTarget, StreamPlace, TargetState},
    },
    repair::numbers::Numbering,
    resolve::{Freshness, Resolved},
    state::State,
};

pub(crate) use pause::backoff;

/// What became of the handles that a job is for.
pub(crate) type Targets = BTreeMap<Handle, Resolved>;

/// SND-6, and what the courier keeps for an offline device: a message that nobody got in this time is shown as failed.
pub(crate) const OUTBOX_AGE_MAX: Duration = Duration::from_days(30);
/// GRP-8
const NO_MEMBER: &str = "is not a member of the group any more, or this handle stands for somebody else now";

/// Shows every known device of targets that cannot be sealed for now as waiting, and returns the handles of these targets.
pub(crate) fn expect_devices(
    state: &mut State,
    job: &OutboxJob,
    resolved: &Targets,
    commit: &mut Commit,
) -> Result<Vec<Handle>, ProfileError> {
    let mut unsealed = Vec::new();
    let own_device = state.own()?.device;
    for target in &job.targets {
        if matches!(resolved.get(&target.handle), Some(Resolved::Devices(..))) {
            continue;
        }
        unsealed.push(target.handle.clone());
        let Some(kept) = state.kept(&target.handle)? else { continue };
        for device in kept.known.list().devices().iter().map(|device| device.entry().id()) {
            if device != own_device {
                let waiting = Delivery {
                    message: job.message,
                    account: kept.known.account(),
                    device,
                    suite: None,
                    place: None,
                    state: DeliveryState::Waiting,
                };
                commit.push(Change::PutDelivery(waiting));
            }
        }
    }
    Ok(unsealed)
}

/// Seals a job for those of its targets that were resolved, and adds what follows to the commit: sessions, envelopes, deliveries, and
/// the job itself, or its removal if nothing is left to do. Returns what is to be told once it is committed.
pub(crate) fn seal_job(
    inner: &Inner,
    state: &mut State,
    job: &mut OutboxJob,
    resolved: &Targets,
    commit: &mut Commit,
) -> Result<Vec<Event>, ProfileError> {
    let mut events = Vec::new();
    let mut made = Commit::new();
    let kept = state.store().outbox_envelopes(job.message)?;
    let mut envelopes = kept.len();
    let content = halcyon_content::decode(&job.content).ok().filter(|content| content.members.group().is_some());
    // Sealed for already: two targets may cover one device, and what the store has of its session is used up by the first.
    let mut covered_devices: BTreeSet<DeviceId> = kept.iter().map(|envelope| envelope.device).collect();
    for at in 0..job.targets.len() {
        let target = &job.targets[at];
        if target.state != TargetState::ToSeal {
            continue;
        }
        match resolved.get(&target.handle) {
            None => {}
            Some(Resolved::Devices(devices, _)) if !may_hear(state, job, content.as_ref(), target, devices)? => {
                let account = Some(devices.account());
                let waiting = waiting_devices(state, job, account)?;
                fail(state, job, account, &waiting, NO_MEMBER, &mut made, &mut events)?;
                job.targets[at].state = TargetState::GivenUp;
            }
            Some(Resolved::Devices(devices, _)) => {
                let mut sealing =
                    Sealing { inner, state: &mut *state, job: &*job, commit: &mut made, events: &mut events };
                let mut sealed = target.clone();
                // A second handle of an account that has the message already adds nothing.
                let covers = |other: &OutboxTarget| {
                    other.only.is_none() && other.state == TargetState::Sealed(devices.account())
                };
                let covered = target.only.is_none() && job.targets.iter().any(covers);
                let mut waits = Vec::new();
                if !covered {
                    let made;
                    (made, waits) = sealing.seal(&mut sealed, devices, &mut covered_devices)?;
                    envelopes += made;
                }
                sealed.state = TargetState::Sealed(devices.account());
                unsealable::serve_newer(state, job, at, devices)?;
                let waits = waits.into_iter().map(|device| {
                    let pause = state.unsealable.failed(device, inner.now(), &mut inner.rng());
                    (device, inner.now().plus(pause))
                });
                unsealable::wait_for_prekeys(job, at, sealed, waits.collect());
            }
            Some(Resolved::Unknown) => {
                let account = state.known_handle(&target.handle)?.map(|pin| pin.account());
                let reason = "the server does not know this handle any more";
                let waiting = waiting_devices(state, job, account)?;
                fail(state, job, account, &waiting, reason, &mut made, &mut events)?;
                job.targets[at].state = TargetState::GivenUp;
            }
            // The person was alarmed, and may accept a new account; the server may be reachable again.
            Some(Resolved::Refused(_) | Resolved::Unanswered(_)) => {
                let target = &mut job.targets[at];
                target.not_before = inner.now().plus(backoff(target.attempts, &mut inner.rng()));
                target.attempts = target.attempts.saturating_add(1);
            }
        }
    }
    commit.push(if is_done(job, envelopes) {
        Change::RemoveOutboxJob(job.message)
    } else {
        Change::PutOutboxJob(job.clone())
    });
    commit.append(made); // An envelope is put behind its job.
    Ok(events)
}

/// GRP-8: whoever is no member any more gets nothing more; but again what was sealed for it before, if that did not come.
fn may_hear(
    state: &mut State,
    job: &OutboxJob,
    content: Option<&Content>,
    target: &OutboxTarget,
    devices: &VerifiedDevices,
) -> Result<bool, ProfileError> {
    let Some(content) = content else { return Ok(true) };
    if let Some(device) = target.only
        && state.store().repairs().delivery(job.message, device)?.is_some_and(|delivery| delivery.place.is_some())
    {
        return Ok(true);
    }
    state.may_hear(content, devices.account(), &target.handle)
}

/// Says whether nothing is left to do for a job that has so many envelopes.
fn is_done(job: &OutboxJob, envelopes: usize) -> bool {
    envelopes == 0 && job.targets.iter().all(|target| target.state != TargetState::ToSeal)
}

/// One target while it is sealed for.
struct Sealing<'a> {
    inner: &'a Inner,
    state: &'a mut State,
    job: &'a OutboxJob,
    commit: &'a mut Commit,
    events: &'a mut Vec<Event>,
}

impl Sealing<'_> {
    /// Seals for the devices of one account that need the message still. Returns how many envelopes that made, and the devices that
    /// could not be sealed for now.
    fn seal(
        &mut self,
        target: &mut OutboxTarget,
        devices: &VerifiedDevices,
        covered: &mut BTreeSet<DeviceId>,
    ) -> Result<(usize, Vec<DeviceId>), ProfileError> {
        let numbering = Numbering::of(self.state, self.job)?;
        let copies = self.copies(&numbering, target, devices, covered)?;
        covered.extend(copies.keys());
        let places: BTreeMap<DeviceId, Place> = copies.iter().map(|(device, (_, place))| (*device, *place)).collect();
        if !places.is_empty() {
            numbering.count(self.state, self.commit)?; // REP-20
        }
        let own = self.state.own()?;
        let fan_out = FanOut {
            plaintext: &self.job.content,
            own: &own.keys,
            account: own.account,
            push_token: own.push_token,
            from: &self.job.sender,
            to: &target.handle,
            allowed: &self.state.suites(),
            forced: self.job.forced_suite,
            now: self.inner.now(),
        };
        let fanned = fan_out.seal(devices, copies, self.inner.rng().as_rng());
        let (mut envelopes, mut waits) = (0, Vec::new());
        for Fanned { device, outcome } in fanned {
            match outcome {
                Ok(sealed) => {
                    let session = sealed.next.to_secret_bytes();
                    let place = places.get(&device).copied().unwrap_or_default();
                    self.commit.push(Change::PutSession { device, session });
                    self.state.unsealable.sealed(device);
                    self.commit.push(Change::PutOutboxEnvelope(OutboxEnvelope {
                        id: sealed.envelope,
                        message: self.job.message,
                        handle: target.handle.clone(),
                        account: devices.account(),
                        list_version: devices.list_version(),
                        device,
                        push_token: sealed.push_token,
                        suite: sealed.suite,
                        payload: sealed.payload,
                        attempts: target.attempts,
                        // A target waits for a prekey (SND-4), an envelope only after a failure of its kind (SND-3).
                        not_before: if target.attempts > 0 { target.not_before } else { Timestamp::default() },
                    }));
                    envelopes += 1;
                    let place = numbering.given(device, &place, self.commit);
                    self.note(devices.account(), device, Some(sealed.suite), place, DeliveryState::Waiting)?;
                }
                // SND-4
                Err(unsealable) => {
                    match unsealable.may_pass() {
                        true => waits.push(device),
                        false => target.done.push(device),
                    }
                    let failed = DeliveryState::Failed(unsealable.to_string());
                    self.note(devices.account(), device, None, None, failed)?;
                }
            }
        }
        self.fail_those_that_left(devices)?;
        Ok((envelopes, waits))
    }

    /// Returns the session with each device that needs the message still, and the place of its copy (REP-1).
    fn copies(
        &self,
        numbering: &Numbering,
        target: &OutboxTarget,
        devices: &VerifiedDevices,
        covered: &BTreeSet<DeviceId>,
    ) -> Result<BTreeMap<DeviceId, (Session, Place)>, ProfileError> {
        let own_device = self.state.own()?.device;
        let done: BTreeSet<DeviceId> = target.done.iter().copied().collect();
        let wanted = |device: &DeviceId| {
            let chosen = target.only.is_none_or(|only| only == *device);
            chosen && *device != own_device && !covered.contains(device) && !done.contains(device)
        };
        let mut copies = BTreeMap::new();
        for device in devices.devices().iter().map(|device| device.device_id()).filter(wanted) {
            let place = Place { mends: target.mends, ..numbering.place(self.state, device)? };
            copies.insert(device, (self.state.session(device, self.inner.now())?, place));
        }
        Ok(copies)
    }

    fn note(
        &mut self,
        account: AccountId,
        device: DeviceId,
        suite: Option<halcyon_types::SuiteId>,
        place: Option<StreamPlace>,
        state: DeliveryState,
    ) -> Result<(), ProfileError> {
        let delivery = Delivery { message: self.job.message, account, device, suite, place, state };
        note(self.state, self.job, delivery, self.commit, self.events)
    }

    fn fail_those_that_left(&mut self, devices: &VerifiedDevices) -> Result<(), ProfileError> {
        let mut left = waiting_devices(self.state, self.job, Some(devices.account()))?;
        left.retain(|device| devices.device(*device).is_none());
        let (account, reason) = (Some(devices.account()), "this device does not belong to the account any more");
        fail(self.state, self.job, account, &left, reason, self.commit, self.events)
    }
}

/// Puts a delivery into the commit and among what is to be told. Receipts are not shown.
fn note(
    state: &mut State,
    job: &OutboxJob,
    delivery: Delivery,
    commit: &mut Commit,
    events: &mut Vec<Event>,
) -> Result<(), ProfileError> {
    if job.silent {
        return Ok(());
    }
    let before = state.store().repairs().delivery(job.message, delivery.device)?;
    // What the device said that it has stays so, whatever is sent again (REP-12); and a number is given once (REP-1).
    if before.as_ref().is_some_and(|before| matches!(before.state, DeliveryState::Delivered(_))) {
        return Ok(());
    }
    let place = delivery.place.or(before.as_ref().and_then(|before| before.place));
    // What the server had it had, whatever is sent again: from then on it is waited for (REP-13).
    let reached = match (before.as_ref().map(|before| before.state.clone()), delivery.state) {
        (Some(first @ DeliveryState::Accepted(_)), DeliveryState::Waiting | DeliveryState::Accepted(_)) => first,
        (_, reached) => reached,
    };
    let delivery = Delivery { place, state: reached, ..delivery };
    if before.as_ref() == Some(&delivery) {
        return Ok(()); // It was tried again, in vain (SND-4).
    }
    if !is_own(job) {
        events.push(Event::Delivery { message: job.message, delivery: shown_delivery(state, &delivery)? });
    }
    commit.push(Change::PutDelivery(delivery));
    Ok(())
}

/// Whether a job takes to own devices what their person chose (OWN-6): nobody is shown how far it came.
fn is_own(job: &OutboxJob) -> bool {
    let is_for_own = job.targets.iter().all(|target| target.handle == job.sender);
    is_for_own && matches!(halcyon_content::decode(&job.content), Ok(Content { kind: Kind::Own(_), .. }))
}

/// The devices of an account that a message still waits for.
fn waiting_devices(state: &State, job: &OutboxJob, account: Option<AccountId>) -> Result<Vec<DeviceId>, ProfileError> {
    let deliveries = state.store().deliveries(job.message)?;
    let waiting = |delivery: &Delivery| Some(delivery.account) == account && delivery.state == DeliveryState::Waiting;
    Ok(deliveries.into_iter().filter(waiting).map(|delivery| delivery.device).collect())
}

/// Shows a message as failed for some devices of an account.
fn fail(
    state: &mut State,
    job: &OutboxJob,
    account: Option<AccountId>,
    devices: &[DeviceId],
    reason: &str,
    commit: &mut Commit,
    events: &mut Vec<Event>,
) -> Result<(), ProfileError> {
    let Some(account) = account else { return Ok(()) };
    for device in devices {
        let failed = DeliveryState::Failed(reason.to_owned());
        let delivery =
            Delivery { message: job.message, account, device: *device, suite: None, place: None, state: failed };
        note(state, job, delivery, commit, events)?;
    }
    Ok(())
}

/// Returns how far a message came, device by device.
pub(crate) fn shown_deliveries(state: &mut State, message: MessageId) -> Result<Vec<ShownDelivery>, ProfileError> {
    let deliveries = state.store().deliveries(message)?;
    deliveries.iter().map(|delivery| shown_delivery(state, delivery)).collect()
}

pub(crate) fn shown_delivery(state: &mut State, delivery: &Delivery) -> Result<ShownDelivery, ProfileError> {
    Ok(ShownDelivery {
        account: delivery.account,
        device: delivery.device,
        device_name: state.device_name(delivery.account, delivery.device),
        own: state.any_own().is_some_and(|own| own.account == delivery.account),
        suite: delivery.suite,
        state: delivery.state.clone(),
    })
}

impl Inner {
    /// Looks up what unsealed jobs wait for, and seals them in their order, a commit each (SND-3, SND-5). Says whether every handle
    /// was resolved to devices.
    pub(crate) async fn seal_waiting(&self, handles: Vec<Handle>) -> Result<bool, ProfileError> {
        let mut resolved = self.resolve_waiting(handles).await?;
        let all_resolved = resolved.values().all(|found| matches!(found, Resolved::Devices(..)));
        let mut jobs = self.state().store().outbox().unsealed()?;
        jobs.retain(|unsealed| resolved.contains_key(&unsealed.target.handle));
        jobs.dedup_by_key(|unsealed| unsealed.message);
        for message in jobs.into_iter().map(|unsealed| unsealed.message) {
            let mut state = self.state();
            state.drop_overtaken(&mut resolved)?;
            let Some(mut job) = state.store().outbox_job(message)? else { continue };
            let waits =
                |target: &OutboxTarget| target.state == TargetState::ToSeal && resolved.contains_key(&target.handle);
            if !job.targets.iter().any(waits) {
                continue;
            }
            let mut commit = Commit::new();
            let events = seal_job(self, &mut state, &mut job, &resolved, &mut commit)?;
            state.commit(&commit)?;
            drop(state);
            self.tell_all(events);
        }
        self.note_in_vain(&resolved)?;
        Ok(all_resolved)
    }

    /// A stale answer was dropped when the server refused it, so what is kept now is newer; but it has no prekey that a device
    /// uploaded since (SND-4).
    async fn resolve_waiting(&self, handles: Vec<Handle>) -> Result<Targets, ProfileError> {
        let unsealed = self.state().store().outbox().unsealed()?;
        let wants_prekey = |handle: &Handle| {
            unsealed.iter().any(|waiting| waiting.target.handle == *handle && waiting.target.waits_for_prekey())
        };
        let (anew, kept): (Vec<Handle>, Vec<Handle>) = handles.into_iter().partition(wants_prekey);
        let mut found = self.resolve(&anew, Freshness::Asked).await?;
        found.extend(self.resolve(&kept, Freshness::Kept).await?);
        Ok(anew.into_iter().chain(kept).zip(found).collect())
    }

    /// SND-4: remembers what waits for a prekey still, after it was tried.
    fn note_in_vain(&self, resolved: &Targets) -> Result<(), ProfileError> {
        let mut state = self.state();
        let mut waiting = state.store().outbox().unsealed()?;
        waiting.retain(|waiting| waiting.target.only.is_some() && resolved.contains_key(&waiting.target.handle));
        if waiting.is_empty() {
            return Ok(());
        }
        let heads = state.store().outbox().heads()?;
        for target in waiting.into_iter().map(|waiting| waiting.target) {
            if let Some(head) = heads.iter().find(|head| Some(head.device) == target.only) {
                state.unsealable.tried_behind(head.device, target.handle, head.last_place);
            }
        }
        Ok(())
    }

    /// SND-6
    pub(crate) fn give_up_old_jobs(&self, now: Timestamp) -> Result<(), ProfileError> {
        let jobs = self.state().store().outbox().created_before(now.minus(OUTBOX_AGE_MAX))?;
        for job in jobs {
            let mut state = self.state();
            let mut commit = Commit::new().with(Change::RemoveOutboxJob(job.message));
            let mut events = Vec::new();
            for mut delivery in state.store().deliveries(job.message)? {
                if delivery.state == DeliveryState::Waiting {
                    delivery.state = DeliveryState::Failed("the server did not take it within 30 days".to_owned());
                    note(&mut state, &job, delivery, &mut commit, &mut events)?;
                }
            }
            state.commit(&commit)?;
            drop(state);
            self.tell_all(events);
        }
        Ok(())
    }
}
