//! What is true in a world, whatever its parties believe; and the invariants that can be checked where something happens.
//!
//! Owns the truth: who has which device since when, what was sealed, accepted, committed and shown. Sees every commit of a client, every
//! frame that leaves one, and every answer of the mailboxes. Does not know how any of it is made.
//!
//! - What violates an invariant is noted at once, with the time, and ends the world.
//! - Its log holds nothing that is not the seed's: no keys, no signatures, no sizes that follow from them.

mod commits;
mod totals;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use halcyon_client::ports::store::{Commit, Delivery, KnownAccountRecord, OutboxEnvelope};
use halcyon_crypto::hash::sha256;
use halcyon_types::{AccountId, DeviceId, EnvelopeId, Handle, MessageId, SuiteId, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

pub use totals::Totals;

use crate::trouble::{Kept, Trouble};

/// A shared ledger.
#[derive(Clone)]
pub struct Ledger {
    state: Arc<Mutex<State>>,
    /// Rung when there is work without end.
    stuck: Arc<Notify>,
}

/// Commits of all clients at one moment of the world's clock, which goes on only when nobody has anything to do: a full outbox makes
/// some hundreds.
const COMMITS_AT_ONCE_MAX: u32 = 20_000;
/// REP-13: what was accepted before that is not counted any more.
pub const COUNTED_FOR: Duration = Duration::from_secs(29 * 86_400);
/// REP-13: from when on it is.
const COUNTED_AFTER: Duration = Duration::from_secs(3600);
/// How long what was sent can be asked for (REP-12).
const RESENT_FOR: Duration = Duration::from_secs(30 * 86_400);

/// Everything that is true.
pub struct State {
    began: Instant,
    /// The play so far, line by line.
    pub log: Vec<String>,
    /// What was violated, with when.
    pub violations: Vec<String>,
    /// Devices that a person really has, or had.
    pub devices: BTreeMap<DeviceId, Membership>,
    /// Whose handle it is.
    pub handles: BTreeMap<Handle, usize>,
    /// Messages that were committed by their senders.
    pub sends: BTreeMap<MessageId, Sent>,
    attempts: BTreeMap<MessageId, Sent>,
    /// What devices of one account tell each other (OWN-6): confirmed like a message, and kept as what follows from it.
    told: BTreeSet<MessageId>,
    sealed: BTreeMap<EnvelopeId, Sealed>,
    /// What has to be repaired, and what cannot be.
    pub trouble: Trouble,
    /// When the server accepted a message for a device.
    pub accepted: BTreeMap<(MessageId, DeviceId), Instant>,
    /// Messages that a sender gave up for a device, and why.
    pub given_up: BTreeMap<(MessageId, DeviceId), String>,
    /// Accepted envelopes that nobody saw expire yet, by when they do.
    waiting: BTreeSet<(Timestamp, EnvelopeId)>,
    /// Messages that the server deleted by age before their device took them.
    pub expired: BTreeSet<(MessageId, DeviceId)>,
    /// Since when a client is online, as it says itself.
    online: BTreeMap<usize, Instant>,
    /// From when to when clients were online before.
    was_online: BTreeMap<usize, Vec<(Instant, Instant)>>,
    clients: BTreeMap<usize, ClientTruth>,
    /// For a store that goes back: the first list that it was given of each account.
    pub first_lists: BTreeMap<(usize, AccountId), KnownAccountRecord>,
    /// Log lines that ask for a restart of the server.
    pub alarms: u64,
    /// Counts for the report.
    pub totals: Totals,
    /// Commits of all clients at the last moment.
    commits_at: (Instant, u32),
}

/// A device of somebody.
#[derive(Clone, Debug)]
pub struct Membership {
    /// Whose.
    pub person: usize,
    /// Its number in the world.
    pub client: usize,
    /// Its name in the play.
    pub name: String,
    /// Since when it knows that it is one; none while it is being linked, and for ever if it died over that.
    pub joined: Option<Instant>,
    /// Since when somebody began to remove it.
    pub removed: Option<Instant>,
}

/// A message that its sender has committed.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The device that it was written on.
    pub from: usize,
    /// When.
    pub at: Instant,
    /// Devices that must get it: those that the recipients and the sender had then, and did not lose since.
    pub entitled: BTreeSet<DeviceId>,
}

#[derive(Clone)]
struct Sealed {
    message: MessageId,
    device: DeviceId,
    payload: [u8; 32],
    at: Instant,
}

/// What one device has durably, as far as its store said so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTruth {
    /// Messages in its history.
    pub messages: BTreeSet<MessageId>,
    /// Envelopes kept unopened.
    pub unopened: BTreeMap<EnvelopeId, Kept>,
    /// Alerts.
    pub alerts: BTreeSet<EnvelopeId>,
    /// The newest list that was accepted of each account: version, and a hash of it.
    pub lists: BTreeMap<AccountId, u64>,
}

/// What a client finds on its disk when it starts.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// What it has durably.
    pub truth: ClientTruth,
    /// What waits to be sent.
    pub outbox: Vec<OutboxEnvelope>,
    /// Messages that were written on it.
    pub own: Vec<MessageId>,
    /// How far these came.
    pub deliveries: Vec<Delivery>,
}

/// What becomes of a commit that was tried.
pub enum Outcome {
    /// The store said that it is durable.
    Committed,
    /// The store said that nothing happened, or the power failed.
    Failed,
}

impl Ledger {
    /// Returns the ledger of a world that begins now.
    #[must_use]
    pub fn new() -> Self {
        let state = State {
            began: Instant::now(),
            log: Vec::new(),
            violations: Vec::new(),
            devices: BTreeMap::new(),
            handles: BTreeMap::new(),
            sends: BTreeMap::new(),
            attempts: BTreeMap::new(),
            told: BTreeSet::new(),
            sealed: BTreeMap::new(),
            trouble: Trouble::default(),
            accepted: BTreeMap::new(),
            given_up: BTreeMap::new(),
            waiting: BTreeSet::new(),
            expired: BTreeSet::new(),
            online: BTreeMap::new(),
            was_online: BTreeMap::new(),
            clients: BTreeMap::new(),
            first_lists: BTreeMap::new(),
            alarms: 0,
            totals: Totals::default(),
            commits_at: (Instant::now(), 0),
        };
        Self { state: Arc::new(Mutex::new(state)), stuck: Arc::default() }
    }

    /// Returns everything.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line of the play.
    pub fn say(&self, line: &str) {
        self.state().say(line);
    }

    /// Notes that an invariant does not hold.
    pub fn violated(&self, invariant: &str, what: &str) {
        self.state().violated(invariant, what);
    }

    /// Says whether an invariant was violated.
    #[must_use]
    pub fn has_violations(&self) -> bool {
        !self.state().violations.is_empty()
    }

    /// Sees a commit before it is tried: what it would make true.
    pub fn before_commit(&self, client: usize, commit: &Commit) {
        let mut state = self.state();
        state.before_commit(client, commit);
        if state.time_stands_still() {
            state.violated("I3", &format!("client {client} and others have work without end, and time stands still"));
            self.stuck.notify_one();
        }
    }

    /// Waits until there is work without end, so that the clock of the world goes on no more.
    pub async fn stuck(&self) {
        self.stuck.notified().await;
    }

    /// Sees what became of a commit.
    pub fn after_commit(&self, client: usize, commit: &Commit, outcome: &Outcome) {
        if matches!(outcome, Outcome::Committed) {
            self.state().after_commit(client, commit);
        }
    }

    /// Sees what a client finds on its disk when it starts. Whatever it had committed must be there (I2), unless an older copy was put
    /// in its place.
    pub fn reopened(&self, client: usize, found: &Found) {
        self.state().reopened(client, found);
    }

    /// Returns every account that a client accepted a list of.
    #[must_use]
    pub fn accounts(&self) -> BTreeSet<AccountId> {
        self.state().clients.values().flat_map(|client| client.lists.keys().copied()).collect()
    }

    /// I1: sees an envelope leave a client.
    pub fn leaves(&self, client: usize, id: EnvelopeId, payload: &[u8], suite: SuiteId) {
        let mut state = self.state();
        let went_back = state.trouble.restored.contains(&client);
        match state.sealed.get(&id) {
            Some(sealed) if sealed.payload == sha256(&[payload]) => {
                *state.totals.by_suite.entry(suite.as_u32()).or_default() += 1;
                if suite == SuiteId::PQ3 && !state.trouble.key_leaves(payload, went_back) {
                    state.violated("REP-21", "a key is used twice");
                }
            }
            Some(_) => state.violated("I1", "an envelope leaves with other bytes than were committed"),
            None => state.violated("I1", "an envelope leaves that was not committed"),
        }
    }

    /// REP-21: sees the server remember the epoch that came with an envelope, whether that had room or not.
    pub fn remembered(&self, payload: &[u8], suite: SuiteId) {
        let mut state = self.state();
        if suite == SuiteId::PQ3 && !state.trouble.key_remembered(payload) {
            state.violated("REP-21", "the server remembers a key that is used twice");
        }
    }

    /// I2: sees a client acknowledge an envelope.
    pub fn acknowledged(&self, client: usize, id: EnvelopeId) {
        let mut state = self.state();
        let Some(truth) = state.clients.get(&client) else { return };
        if truth.unopened.contains_key(&id) || truth.alerts.contains(&id) {
            return;
        }
        let Some(sealed) = state.sealed.get(&id).cloned() else { return };
        if state.sends.contains_key(&sealed.message) && !state.clients[&client].messages.contains(&sealed.message) {
            state.violated("I2", "a message is acknowledged that is not committed");
        }
    }

    /// Sees the server accept an envelope for a device, to be kept until it expires.
    pub fn accepted(&self, device: DeviceId, id: EnvelopeId, expires: Timestamp) {
        let mut state = self.state();
        let Some(sealed) = state.sealed.get(&id).cloned() else { return };
        state.waiting.insert((expires, id));
        if sealed.device != device {
            state.violated("I6", "an envelope is stored for another device than it was sealed for");
        }
        state.accepted.entry((sealed.message, device)).or_insert_with(Instant::now);
    }

    /// Returns the accepted envelopes whose time is over at `now` and of which it is not known whether they were deleted for it, with
    /// the device that they are for.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Vec<(Timestamp, EnvelopeId, DeviceId)> {
        let state = self.state();
        let due = state.waiting.iter().take_while(|(expires, _)| *expires <= now);
        due.filter_map(|(expires, id)| Some((*expires, *id, state.sealed.get(id)?.device))).collect()
    }

    /// Forgets to look after an envelope: its device took it, or it is gone.
    pub fn settled(&self, expires: Timestamp, id: EnvelopeId) {
        self.state().waiting.remove(&(expires, id));
    }

    /// Says whether an envelope is to be dropped on its way into a mailbox, of a server that lies.
    #[must_use]
    pub fn is_to_drop(&self, device: DeviceId) -> bool {
        self.state().trouble.is_to_drop(device)
    }

    /// Sees the server drop an envelope.
    pub fn dropped(&self, id: EnvelopeId) {
        let mut state = self.state();
        let Some(sealed) = state.sealed.get(&id).cloned() else { return };
        state.trouble.dropped.entry((sealed.message, sealed.device)).or_insert_with(Instant::now);
        state.totals.dropped += 1;
        let name = state.devices.get(&sealed.device).map(|member| member.name.clone()).unwrap_or_default();
        let what = if state.sends.contains_key(&sealed.message) { "a message" } else { "something" };
        state.say(&format!("the server drops {what} for {name}"));
    }

    /// Sees the mailboxes delete an envelope by age. Whoever is there had the time to take it (I3).
    pub fn expired(&self, expires: Timestamp, id: EnvelopeId) {
        let mut state = self.state();
        state.waiting.remove(&(expires, id));
        let Some(sealed) = state.sealed.get(&id).cloned() else { return };
        let Some(member) = state.devices.get(&sealed.device).cloned() else { return };
        state.expired.insert((sealed.message, sealed.device));
        if !state.sends.contains_key(&sealed.message) || state.has(member.client, sealed.message) {
            return;
        }
        state.totals.expired += 1;
        state.say(&format!("a message for {} expires in its mailbox", member.name));
        let online = state.online.get(&member.client).map(Instant::elapsed);
        if member.removed.is_none() && online.is_some_and(|online| online > TAKING_MAX) {
            state.violated("I3", &format!("{} was online and did not take what waited for it", member.name));
        }
    }

    /// Sees a client go online, or no longer be.
    pub fn is_online(&self, client: usize, online: bool) {
        let mut state = self.state();
        if online {
            state.online.entry(client).or_insert_with(Instant::now);
        } else if let Some(since) = state.online.remove(&client) {
            state.was_online.entry(client).or_default().push((since, Instant::now()));
        }
    }
}

/// Within this a device that is online takes what waits for it, however bad its network is, or finds out that it is not.
const TAKING_MAX: Duration = Duration::from_secs(6 * 3600);
/// Nothing is given up by age before this: 30 days (SND-6), but for the largest error of a clock, at both ends.
const GIVEN_UP_MIN: Duration = Duration::from_secs(30 * 86_400 - 4 * 3600);

impl Default for Ledger {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// Writes a line of the play.
    pub fn say(&mut self, line: &str) {
        let line = format!("{} {line}", self.time());
        self.log.push(line);
    }

    /// Counts a commit. Says, once, that there were too many at one moment.
    fn time_stands_still(&mut self) -> bool {
        let now = Instant::now();
        let (at, commits) = &mut self.commits_at;
        if *at != now {
            (*at, *commits) = (now, 0);
        }
        *commits += 1;
        *commits == COMMITS_AT_ONCE_MAX
    }

    /// Notes that an invariant does not hold.
    pub fn violated(&mut self, invariant: &str, what: &str) {
        let line = format!("{} {invariant} is violated: {what}", self.time());
        self.log.push(line.clone());
        self.violations.push(line);
    }

    /// Since when the world is, in milliseconds.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn time(&self) -> String {
        let ms = self.elapsed_ms();
        let (days, hours, minutes, seconds) = (ms / 86_400_000, ms / 3_600_000 % 24, ms / 60_000 % 60, ms / 1000 % 60);
        format!("{days:2}d {hours:02}:{minutes:02}:{seconds:02}.{:03}", ms % 1000)
    }

    /// Returns the devices that a person has now.
    pub fn devices_of(&self, person: usize) -> impl Iterator<Item = DeviceId> + '_ {
        let theirs = move |(_, member): &(&DeviceId, &Membership)| {
            member.person == person && member.joined.is_some() && member.removed.is_none()
        };
        self.devices.iter().filter(theirs).map(|(device, _)| *device)
    }

    /// SND-6: says whether the sender of a message was told that it did not come to a device; or, where it never knew of that device,
    /// that the message was too old when it could have learnt of it.
    #[must_use]
    pub fn is_given_up(&self, message: MessageId, device: DeviceId) -> bool {
        let person = |device| self.devices.get(&device).map(|member: &Membership| member.person);
        let is_theirs = |other| person(other) == person(device);
        let given_up = self.given_up.range((message, DeviceId::from_bytes([0; DeviceId::LEN]))..);
        let mut of_message = given_up.take_while(|((of, _), _)| *of == message);
        of_message.any(|((_, other), why)| *other == device || is_theirs(*other) && why.contains("within 30 days"))
    }

    /// REP-13: says whether the server dropped a message for a device, and whoever wrote it was hardly there for as long as it could tell of it.
    #[must_use]
    pub fn is_dropped_unnoticed(&self, message: MessageId, device: DeviceId) -> bool {
        let Some(dropped) = self.trouble.dropped.get(&(message, device)).copied() else { return false };
        let Some(sent) = self.sends.get(&message).filter(|sent| sent.at.elapsed() > RESENT_FOR) else { return false };
        let (from, to) = (dropped + COUNTED_AFTER, sent.at + COUNTED_FOR);
        let now = self.online.get(&sent.from).map(|since| (*since, Instant::now()));
        let spans = self.was_online.get(&sent.from).into_iter().flatten().copied().chain(now);
        let within = |(since, until): (Instant, Instant)| until.min(to).saturating_duration_since(since.max(from));
        spans.map(within).sum::<Duration>() < TAKING_MAX
    }

    /// RCV-3: says whether a client has more unopened deliveries than it keeps.
    #[must_use]
    pub fn keeps_more(&self, client: usize, device: Option<DeviceId>, of_device: u64, in_all: u64) -> bool {
        let unopened = || self.truth(client).into_iter().flat_map(|truth| truth.unopened.values());
        unopened().count() as u64 > in_all || unopened().filter(|kept| kept.device == device).count() as u64 > of_device
    }

    /// RCV-3: forgets what a client does not keep unopened any more.
    pub fn keeps(&mut self, client: usize, unopened: &BTreeSet<EnvelopeId>) {
        if let Some(truth) = self.clients.get_mut(&client) {
            truth.unopened.retain(|id, _| unopened.contains(id));
        }
    }

    /// Returns the message in an envelope.
    #[must_use]
    pub fn message_of(&self, envelope: EnvelopeId) -> Option<MessageId> {
        self.sealed.get(&envelope).map(|sealed| sealed.message)
    }

    /// Returns what a client has.
    #[must_use]
    pub fn truth(&self, client: usize) -> Option<&ClientTruth> {
        self.clients.get(&client)
    }

    /// Says whether a device has a message.
    fn has(&self, client: usize, message: MessageId) -> bool {
        self.clients.get(&client).is_some_and(|truth| truth.messages.contains(&message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Work without end at one moment is found out, once; the same in time is not.
    #[test]
    fn time_that_stands_still_is_seen() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let ledger = Ledger::new();
            for _ in 0..3 {
                (1..COMMITS_AT_ONCE_MAX).for_each(|_| ledger.before_commit(0, &Commit::new()));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert!(!ledger.has_violations());
            (0..2 * COMMITS_AT_ONCE_MAX).for_each(|_| ledger.before_commit(0, &Commit::new()));
            ledger.stuck().await;
            assert_eq!(ledger.state().violations.len(), 1);
        });
    }
}
