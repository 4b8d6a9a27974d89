//! What to send next. Spec: 60-client.md §1 (SND-2, SND-5), 30-courier.md §4 (COU-40).
//!
//! Owns the order: an envelope for a device waits until every earlier one for it was answered.
//! Does not seal, look up or send.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use halcyon_courier::send::{Destination, Expiry, Part, Sealed, SendRequest};
use halcyon_types::{AccountId, DeviceId, Handle, SessionToken, Timestamp, Topic};

use super::OUTBOX_AGE_MAX;
use crate::{
    error::ProfileError,
    ports::store::{OutboxEnvelope, OutboxJob, TargetState},
    state::State,
};

/// Payloads of one send. A frame has 256 KiB (COU-3); the rest is for ids, tokens and tags.
const SEND_PAYLOAD_BYTES_MAX: usize = 192 * 1024;
/// Envelopes of one send (COU-40), in a frame with small payloads: 512 of 100 bytes besides the payload fit.
const SEND_ENVELOPES_MAX: usize = 512;

/// What the outbox has to do now.
#[derive(Default)]
pub(crate) struct Plan {
    /// To be sent, in this order.
    pub(crate) sends: Vec<PlannedSend>,
    /// To be looked up, for jobs that wait for it.
    pub(crate) look_up: BTreeSet<Handle>,
    /// When to plan again, if nothing happens before.
    pub(crate) next: Option<Timestamp>,
}

/// One send and whom it is for.
pub(crate) struct PlannedSend {
    pub(crate) request: SendRequest,
    /// The devices that it addresses, one an envelope.
    pub(crate) devices: Vec<DeviceId>,
}

/// Plans up to `sends_max` sends. `under_way` holds the devices that an unanswered send addresses.
pub(crate) fn plan(
    state: &mut State,
    under_way: &HashSet<DeviceId>,
    sends_max: usize,
    now: Timestamp,
) -> Result<Plan, ProfileError> {
    let mut planner = Planner {
        plan: Plan::default(),
        blocked_devices: under_way.clone(),
        blocked_accounts: HashSet::new(),
        waiting: HashMap::new(),
        sends_max,
        now,
    };
    for job in state.store().outbox_jobs()? {
        planner.add(state, &job)?;
    }
    Ok(planner.plan)
}

struct Planner {
    plan: Plan,
    /// Devices for which something earlier is not answered yet (SND-5).
    blocked_devices: HashSet<DeviceId>,
    /// Accounts for which something earlier is not even sealed yet.
    blocked_accounts: HashSet<AccountId>,
    /// Devices that could not be sealed for, with their handles.
    waiting: HashMap<DeviceId, Handle>,
    sends_max: usize,
    now: Timestamp,
}

impl Planner {
    fn add(&mut self, state: &mut State, job: &OutboxJob) -> Result<(), ProfileError> {
        let mut ready = Vec::new();
        for envelope in state.store().outbox_envelopes(job.message)? {
            if let Some(handle) = self.waiting.remove(&envelope.device) {
                self.plan.look_up.insert(handle);
            }
            let free =
                !self.blocked_accounts.contains(&envelope.account) && self.blocked_devices.insert(envelope.device);
            if !free {
                continue;
            }
            if envelope.not_before > self.now {
                self.wake_at(envelope.not_before);
                continue;
            }
            match state.session_token(envelope.account)? {
                Some(token) => ready.push((token, envelope)),
                None => drop(self.plan.look_up.insert(envelope.handle)),
            }
        }
        self.add_sends(state, job, ready)?;
        for target in job.targets.iter().filter(|target| target.state == TargetState::ToSeal) {
            match target.only {
                // SND-4: nothing waits for a device without prekeys, until something later could be sealed for it.
                Some(device) if target.not_before > self.now => {
                    drop(self.waiting.insert(device, target.handle.clone()))
                }
                Some(device) => drop(self.blocked_devices.insert(device)),
                None => {
                    if let Some(pin) = state.known_handle(&target.handle)? {
                        self.blocked_accounts.insert(pin.account());
                    }
                }
            }
            if target.not_before > self.now {
                self.wake_at(target.not_before);
            } else {
                self.plan.look_up.insert(target.handle.clone());
            }
        }
        Ok(())
    }

    fn add_sends(
        &mut self,
        state: &mut State,
        job: &OutboxJob,
        ready: Vec<(SessionToken, OutboxEnvelope)>,
    ) -> Result<(), ProfileError> {
        let own_account = state.own()?.account;
        let own_version = state.known(own_account)?.map_or(0, |known| known.version());
        let epoch = state.epoch()?;
        let mut sends: Vec<PlannedSend> = Vec::new();
        let mut payload_bytes = 0;
        for (token, envelope) in ready {
            payload_bytes += envelope.payload.len();
            let fits =
                |send: &PlannedSend| payload_bytes <= SEND_PAYLOAD_BYTES_MAX && send.devices.len() < SEND_ENVELOPES_MAX;
            if !sends.last().is_some_and(fits) {
                payload_bytes = envelope.payload.len();
                sends.push(PlannedSend::new(job, own_version, epoch));
            }
            let send = sends.last_mut().expect("one was pushed if there was none");
            send.add(token, envelope);
        }
        let room = self.sends_max.saturating_sub(self.plan.sends.len());
        self.plan.sends.extend(sends.into_iter().take(room));
        Ok(())
    }

    fn wake_at(&mut self, time: Timestamp) {
        self.plan.next = Some(self.plan.next.map_or(time, |next| next.min(time)));
    }
}

impl PlannedSend {
    fn new(job: &OutboxJob, own_version: u64, epoch: u64) -> Self {
        let request = SendRequest {
            id: 0, // set by the link
            topic: Topic::message(),
            sender_handle: job.sender.clone(),
            sender_list_version: own_version,
            expiry: Expiry::At(job.created.plus(OUTBOX_AGE_MAX)),
            epoch, // REP-20
            destinations: Vec::new(),
        };
        Self { request, devices: Vec::new() }
    }

    fn add(&mut self, token: SessionToken, envelope: OutboxEnvelope) {
        self.devices.push(envelope.device);
        let token = Bytes::copy_from_slice(token.as_bytes());
        let part = Part::new(Sealed {
            id: envelope.id,
            push_token: envelope.push_token,
            suite: envelope.suite,
            payload: envelope.payload,
        });
        let destinations = &mut self.request.destinations;
        let same = |destination: &&mut Destination| {
            destination.session_token == token && destination.list_version == envelope.list_version
        };
        match destinations.iter_mut().find(same) {
            Some(destination) => destination.parts.push(part),
            None => destinations.push(Destination {
                session_token: token,
                list_version: envelope.list_version,
                parts: vec![part],
            }),
        }
    }
}
