//! What to send next. Spec: 60-client.md §1 (SND-2, SND-5), 30-courier.md §4 (COU-40).
//!
//! Owns the order: an envelope for a device waits until every earlier one for it was answered. Costs by the devices that something
//! waits for, not by what waits.
//! Does not seal, look up or send.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use halcyon_courier::send::{Destination, Expiry, Part, Sealed, SendRequest};
use halcyon_types::{AccountId, DeviceId, Handle, SessionToken, Timestamp, Topic};

use super::OUTBOX_AGE_MAX;
use crate::{
    error::ProfileError,
    ports::store::{OutboxEnvelope, OutboxHead, OutboxJob, UnsealedTarget},
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
    let heads = state.store().outbox().heads()?;
    let mut planner = Planner { plan: Plan::default(), unsealed: Unsealed::default(), now };
    for target in state.store().outbox().unsealed()? {
        planner.wait(state, &heads, &target)?;
    }
    let mut ready = Vec::new();
    for head in heads.into_iter().filter(|head| !under_way.contains(&head.device)) {
        ready.extend(planner.ready(state, head)?);
    }
    planner.add_sends(state, ready, sends_max)?;
    Ok(planner.plan)
}

struct Planner {
    plan: Plan,
    unsealed: Unsealed,
    now: Timestamp,
}

/// The place of the first job that is not sealed yet (SND-5): what comes behind it waits.
#[derive(Default)]
struct Unsealed {
    devices: HashMap<DeviceId, u64>,
    accounts: HashMap<AccountId, u64>,
}

impl Unsealed {
    fn comes_before(&self, head: &OutboxHead) -> bool {
        let firsts = [self.devices.get(&head.device), self.accounts.get(&head.account)];
        firsts.into_iter().flatten().any(|place| *place < head.place)
    }
}

impl Planner {
    /// Takes a target that is not sealed for: it is looked up when it is time, and what is behind it waits for it.
    fn wait(&mut self, state: &State, heads: &[OutboxHead], waiting: &UnsealedTarget) -> Result<(), ProfileError> {
        let UnsealedTarget { place, target, .. } = waiting;
        let is_due = target.not_before <= self.now;
        match target.only {
            Some(device) if is_due => drop(self.unsealed.devices.entry(device).or_insert(*place)),
            // SND-4: nothing waits for a device without prekeys, until something later could be sealed for it.
            Some(device) if target.waits_for_prekey() => {
                let behind = heads.iter().find(|head| head.device == device && head.last_place > *place);
                let last_place = behind.map(|head| head.last_place);
                if state.unsealable.is_worth_a_try(device, &target.handle, last_place) {
                    self.plan.look_up.insert(target.handle.clone());
                }
            }
            Some(_) => {}
            None => {
                if let Some(pin) = state.known_handle(&target.handle)? {
                    self.unsealed.accounts.entry(pin.account()).or_insert(*place);
                }
            }
        }
        if is_due {
            self.plan.look_up.insert(target.handle.clone());
        } else {
            self.wake_at(target.not_before);
        }
        Ok(())
    }

    /// Returns the first envelope for a device with the right to send it, if nothing is in its way.
    fn ready(
        &mut self,
        state: &mut State,
        head: OutboxHead,
    ) -> Result<Option<(SessionToken, OutboxHead)>, ProfileError> {
        if self.unsealed.comes_before(&head) {
            return Ok(None);
        }
        if head.not_before > self.now && !state.full_mailboxes.may_have_room(head.device) {
            self.wake_at(head.not_before);
            return Ok(None);
        }
        let token = state.session_token(head.account)?;
        if token.is_none() {
            self.plan.look_up.insert(head.handle.clone());
        }
        Ok(token.map(|token| (token, head)))
    }

    /// Makes sends of what is ready, each of one job, up to so many.
    fn add_sends(
        &mut self,
        state: &mut State,
        ready: Vec<(SessionToken, OutboxHead)>,
        sends_max: usize,
    ) -> Result<(), ProfileError> {
        let own_account = state.own()?.account;
        let own_version = state.known(own_account)?.map_or(0, |known| known.version());
        let epoch = state.epoch()?;
        let sends = &mut self.plan.sends;
        for of_job in ready.chunk_by(|(_, a), (_, b)| a.message == b.message) {
            let Some(job) = state.store().outbox_job(of_job[0].1.message)? else { continue };
            let first_send = sends.len();
            let mut payload_bytes = 0;
            for (token, head) in of_job {
                let Some(envelope) = state.store().outbox_envelope(head.envelope)? else { continue };
                payload_bytes += envelope.payload.len();
                let fits = payload_bytes <= SEND_PAYLOAD_BYTES_MAX;
                if !sends[first_send..].last().is_some_and(|send| fits && send.devices.len() < SEND_ENVELOPES_MAX) {
                    if sends.len() >= sends_max {
                        return Ok(());
                    }
                    payload_bytes = envelope.payload.len();
                    sends.push(PlannedSend::new(&job, own_version, epoch));
                }
                let send = sends.last_mut().expect("one was pushed if there was none");
                send.add(token, envelope);
            }
        }
        Ok(())
    }

    fn wake_at(&mut self, time: Timestamp) {
        self.plan.next = Some(self.plan.next.map_or(time, |next| next.min(time)));
    }
}

impl PlannedSend {
    pub(crate) fn new(job: &OutboxJob, own_version: u64, epoch: u64) -> Self {
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

    pub(crate) fn add(&mut self, token: &SessionToken, envelope: OutboxEnvelope) {
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
