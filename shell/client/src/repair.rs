//! Nothing stays missing: what did not come or did not open is found, asked for, and sent again. Spec: 61-repair.md.
//!
//! Owns when a device is asked, and what it is asked. Does not know how messages are sealed or sent: what is asked and sent again
//! takes the way of every message, through the outbox.
//!
//! - Devices ask one another only in sealed messages, and only about what their sender's device authenticated. What does not
//!   authenticate is answered by nobody (RCV-3).
//! - A device is asked at most once in ten seconds, and ever less often while that does not help (REP-11).
//!
//! Next: [`numbers`] what was sealed for whom, [`gaps`] what did not come, [`answer`] what others ask, [`restored`] after an old copy
//! was brought back, [`forward`] between own devices, [`shown`] for people.

pub(crate) mod answer;
pub(crate) mod forward;
pub(crate) mod gaps;
pub(crate) mod numbers;
pub(crate) mod restored;
mod shown;

use halcyon_content::{Content, ConversationMembers, Kind, Repair, RepairCause, SPANS_MAX, Span, StreamEnd, Unopened};
use halcyon_courier::envelope::Sender;
use halcyon_types::{AccountId, DeviceId, Duration, Handle, MessageId, Timestamp};

pub(crate) use answer::Resent;
pub(crate) use shown::gap as shown_gap;
pub use shown::{Counter, SessionHealth, SessionShown, ShownGap, ShownRepair};

use crate::{
    client::Inner,
    error::ProfileError,
    event::{Event, RepairStep},
    handles,
    ports::{
        Change, Commit,
        store::{OutboxEnvelope, OutboxJob, OutboxTarget, RepairRecord, SentEnd, SentEnvelope, UnopenedHead},
    },
    state::State,
};

/// A message that did not open is asked for at once, but for those that come together with it.
const ASK_UNOPENED: Duration = Duration::from_secs(2);
/// What is missing may be on its way still: messages for one device leave in their order (SND-5), so it seldom is.
const ASK_MISSING: Duration = Duration::from_secs(10);
/// REP-13: how long a message waits for its receipt before its receiver is told that there is one.
pub(crate) const COUNT_AFTER: Duration = Duration::from_mins(60);
/// REP-11: the pauses after each time that a device was asked; the last one stays.
const PAUSES: [Duration; 7] = [
    Duration::from_secs(10),
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(15),
    Duration::from_mins(60),
    Duration::from_mins(6 * 60),
    Duration::from_days(1),
];
/// REP-14: how long is asked: as long as anybody keeps what was sent (REP-12).
pub(crate) const ASK_AGE_MAX: Duration = Duration::from_days(30);
/// After which a repair is shown with what is to be done.
const STUCK_AFTER: Duration = Duration::from_mins(60);
/// REP-17: requests that were followed by nothing, after which the sender is asked to begin anew.
const RESTART_AFTER: u32 = 3;
/// REP-12: envelopes that are kept to be sent again: some 16 MiB, since most are without content.
const SENT_KEPT_MAX: u64 = 65_536;

/// The names of the causes that are repaired (RCV-3).
pub(crate) const NO_KEY: &str = "no-key";
pub(crate) const FORKED: &str = "forked";

/// Which of a device's repairs is due first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Something did not open.
    Unopened,
    /// Something did not come.
    Missing,
    /// Something is not confirmed.
    Unconfirmed,
}

/// Whom a repair is about.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) device: DeviceId,
    pub(crate) account: AccountId,
    pub(crate) handle: Handle,
    /// The own handle that it wrote to, where no conversation says so.
    pub(crate) wrote_to: Option<Handle>,
}

impl Peer {
    /// Returns the device that sealed what an envelope carries.
    pub(crate) fn sender(sender: &Sender) -> Self {
        Self { device: sender.device, account: sender.account, handle: sender.handle.clone(), wrote_to: None }
    }

    fn of(record: &RepairRecord) -> Self {
        let (device, account, handle) = (record.device, record.account, record.handle.clone());
        Self { device, account, handle, wrote_to: record.wrote_to.clone() }
    }
}

/// Adds to a commit that a device is to be asked, if it is not already, or later (REP-11).
pub(crate) fn schedule(
    state: &State,
    peer: &Peer,
    why: Why,
    now: Timestamp,
    commit: &mut Commit,
) -> Result<(), ProfileError> {
    let due = now.plus(match why {
        Why::Unopened => ASK_UNOPENED,
        Why::Missing => ASK_MISSING,
        Why::Unconfirmed => COUNT_AFTER,
    });
    let record = match state.store().repairs().repair(peer.device)? {
        None => new_record(peer, now, due),
        Some(record) => {
            // What is new does not wait for the long pauses of what is old, but for the shortest.
            let earliest = record.asked.map_or(due, |asked| due.max(asked.plus(PAUSES[0])));
            let wrote_to = peer.wrote_to.clone().or(record.wrote_to.clone());
            if record.due <= earliest && wrote_to == record.wrote_to {
                return Ok(());
            }
            RepairRecord { due: record.due.min(earliest), wrote_to, ..record }
        }
    };
    commit.push(Change::PutRepair(record));
    Ok(())
}

fn new_record(peer: &Peer, now: Timestamp, due: Timestamp) -> RepairRecord {
    RepairRecord {
        device: peer.device,
        account: peer.account,
        handle: peer.handle.clone(),
        since: now,
        due,
        asked: None,
        attempts: 0,
        job: None,
        counts_wanted: false,
        forward_since: None,
        wrote_to: peer.wrote_to.clone(),
    }
}

/// Says whether this device and another have anything to tell each other: they are of one account, or have talked (REP-18).
pub(crate) fn has_talked(state: &State, peer: &Peer) -> Result<bool, ProfileError> {
    let queries = state.store().repairs();
    Ok(state.own()?.account == peer.account
        || !queries.sent_ends(peer.device)?.is_empty()
        || !queries.heard(peer.device)?.is_empty())
}

/// Adds to a commit what follows from the server's having an envelope: it can be sent again (REP-12), and its device is told of it if
/// no receipt comes (REP-13).
pub(crate) fn expect_receipt(
    state: &State,
    job: &OutboxJob,
    envelope: &OutboxEnvelope,
    at: Timestamp,
    commit: &mut Commit,
) -> Result<(), ProfileError> {
    remember_sent(job, envelope, at, commit);
    if job.silent {
        return Ok(());
    }
    let (device, account, handle) = (envelope.device, envelope.account, envelope.handle.clone());
    let peer = Peer { device, account, handle, wrote_to: None };
    schedule(state, &peer, Why::Unconfirmed, at, commit)
}

/// Adds to a commit that an envelope may have reached its device: also one that was refused when it was sent again, since the first
/// time may have gone well and its answer been lost (REP-12).
pub(crate) fn remember_sent(job: &OutboxJob, envelope: &OutboxEnvelope, at: Timestamp, commit: &mut Commit) {
    commit.push(Change::PutSentEnvelope(SentEnvelope {
        id: envelope.id,
        device: envelope.device,
        message: job.message,
        content: job.silent.then(|| job.content.clone()),
        sender: job.sender.clone(),
        at,
    }));
}

impl Inner {
    /// Commits what is due to be asked, a job for each device, and returns when the next is (REP-11).
    pub(crate) fn ask_due(&self, now: Timestamp) -> Result<Option<Timestamp>, ProfileError> {
        let mut state = self.state();
        let mut events = Vec::new();
        let mut next = None;
        for record in state.store().repairs().repairs()? {
            if record.due > now {
                next = [next, Some(record.due)].into_iter().flatten().min();
                break;
            }
            let due = self.ask_device(&mut state, record, now, &mut events)?;
            next = [next, due].into_iter().flatten().min();
        }
        drop(state);
        self.tell_all(events);
        Ok(next)
    }

    fn ask_device(
        &self,
        state: &mut State,
        record: RepairRecord,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) -> Result<Option<Timestamp>, ProfileError> {
        if state.known(record.account)?.is_some_and(|known| known.list().device(record.device).is_none()) {
            return leave(state, &record, events);
        }
        let mut commit = Commit::new();
        let Some(repair) = compose(state, &record, now)? else {
            return finish(state, record, now, events);
        };
        let pause = PAUSES[usize::try_from(record.attempts).unwrap_or(usize::MAX).min(PAUSES.len() - 1)];
        let waits = match record.job {
            Some(job) => state.store().outbox_job(job)?.is_some(),
            None => false,
        };
        let mut asked = RepairRecord { due: now.plus(pause), ..record };
        // One that is still in the outbox says the same, or nearly.
        if !waits && let Some(job) = self.job(state, &asked, repair.clone(), now)? {
            if !repair.unopened.is_empty() {
                restart(state, &asked, now, &mut commit)?;
            }
            asked.attempts = asked.attempts.saturating_add(1);
            asked.asked = Some(now);
            asked.job = Some(job.message);
            commit.push(Change::PutOutboxJob(job));
        }
        let due = asked.due;
        commit.push(Change::PutRepair(asked.clone()));
        state.commit(&commit)?;
        if let Some(shown) = shown::repair(state, &asked, now)? {
            let step = if shown.stuck.is_some() { RepairStep::Stuck } else { RepairStep::Asked };
            events.push(Event::Repair { step, repair: shown });
        }
        Ok(Some(due))
    }

    /// A sealed message to one device, which nobody is shown.
    fn job(
        &self,
        state: &State,
        record: &RepairRecord,
        repair: Repair,
        now: Timestamp,
    ) -> Result<Option<OutboxJob>, ProfileError> {
        self.note_to(state, &Peer::of(record), Kind::Repair(repair), now)
    }

    /// None if it cannot be written, as when this account has no handle.
    pub(crate) fn note_to(
        &self,
        state: &State,
        peer: &Peer,
        kind: Kind,
        now: Timestamp,
    ) -> Result<Option<OutboxJob>, ProfileError> {
        let Some((from, members)) = members(state, peer)? else { return Ok(None) };
        // An own device is written to under the handle that it is written from: only that one is a member (PQ3-22).
        let to = if state.own()?.account == peer.account { from.clone() } else { peer.handle.clone() };
        let content =
            Content { message_id: MessageId::from_bytes(self.rng().array()), sent: now, members, kind, place: None };
        let Ok(encoded) = halcyon_content::encode(&content) else { return Ok(None) };
        Ok(Some(OutboxJob {
            message: content.message_id,
            silent: true,
            sender: from,
            content: encoded.into(),
            forced_suite: None,
            targets: vec![OutboxTarget::only(to, peer.device)],
            created: now,
        }))
    }

    /// After something was received from a device: ends its repair if nothing is left of it, and asks for the rest soon if there was
    /// some progress.
    pub(crate) fn repaired(&self, device: DeviceId, progress: bool) -> Result<(), ProfileError> {
        let now = self.now();
        let mut state = self.state();
        let Some(record) = state.store().repairs().repair(device)? else { return Ok(()) };
        let mut events = Vec::new();
        if compose(&state, &record, now)?.is_none() {
            finish(&mut state, record, now, &mut events)?;
        } else if progress && record.attempts > 0 {
            let soon = record.asked.map_or(now, |asked| asked.plus(PAUSES[0])).max(now.plus(ASK_MISSING));
            let record = RepairRecord { attempts: 0, due: record.due.min(soon), ..record };
            state.commit(&Commit::new().with(Change::PutRepair(record)))?;
        }
        drop(state);
        self.tell_all(events);
        self.outbox.notify_one(); // What is due may have changed.
        Ok(())
    }

    /// Forgets what nobody asks for any more (REP-12, REP-14).
    pub(crate) fn forget_sent(&self, now: Timestamp) -> Result<(), ProfileError> {
        let before = now.minus(ASK_AGE_MAX);
        let mut state = self.state();
        let mut commit = Commit::new().with(Change::ForgetSentEnvelopes { before, keep: SENT_KEPT_MAX });
        for mut heard in state.store().repairs().gaps()? {
            if !heard.missing.is_empty() && heard.since < before {
                commit.push(Change::CountUp(counter("gap", "given-up")));
                gaps::lose_all(&mut heard);
                commit.push(Change::PutHeard(heard));
            }
        }
        Ok(state.commit(&commit)?)
    }
}

/// REP-16: the answer must not need what is not here. A start that waits for its answer serves the first question; if that did not
/// help, the other side may have given up what it took up of it. Ever more seldom, since a device that is away for weeks finds all
/// of these starts at once, and takes up 32 (PQ3-11).
fn restart(state: &State, asked: &RepairRecord, now: Timestamp, commit: &mut Commit) -> Result<(), ProfileError> {
    let device = asked.device;
    let mut session = state.session(device, now)?;
    let summary = session.summary();
    let serves = summary.unanswered || summary.restarts_next;
    if asked.attempts.is_power_of_two() || !serves {
        session.restart(now);
        commit.push(Change::PutSession { device, session: session.to_secret_bytes() });
    }
    Ok(())
}

/// Returns what a device is to be asked and told; none if nothing is left.
fn compose(state: &State, record: &RepairRecord, now: Timestamp) -> Result<Option<Repair>, ProfileError> {
    let queries = state.store().repairs();
    let asks_still = now.since(record.since) < ASK_AGE_MAX; // REP-23
    let mut repair = Repair {
        unopened: unopened(state, record.device)?,
        counts_wanted: record.counts_wanted && asks_still,
        forward_since: record.forward_since.filter(|_| asks_still),
        epoch_seen: queries.epoch_seen(record.device)?,
        ..Repair::default()
    };
    for heard in queries.heard(record.device)? {
        let span =
            |&(first, last): &(u64, u64)| Span { conversation: heard.conversation, stream: heard.stream, first, last };
        repair.wanted.extend(heard.missing.iter().map(span));
    }
    repair.wanted.truncate(SPANS_MAX);
    let ends = queries.unconfirmed(record.device, now.minus(ASK_AGE_MAX)..now.minus(COUNT_AFTER))?;
    repair.counts = ends.iter().take(SPANS_MAX).map(stream_end).collect();
    repair.restart = record.attempts >= RESTART_AFTER && !repair.wanted.is_empty();
    Ok((!repair.is_empty()).then_some(repair))
}

fn stream_end(end: &SentEnd) -> StreamEnd {
    StreamEnd { conversation: end.conversation, stream: end.stream, last: end.last }
}

/// Says whether its sender is to send it again.
fn is_asked_for(head: &UnopenedHead) -> bool {
    [NO_KEY, FORKED].contains(&head.cause.as_str()) && !head.gone
}

fn unopened(state: &State, device: DeviceId) -> Result<Vec<Unopened>, ProfileError> {
    let heads = state.store().repairs().unopened_of(device)?;
    let unopened = heads.iter().filter(|head| is_asked_for(head)).map(|head| Unopened {
        envelope: head.id,
        cause: if head.cause == FORKED { RepairCause::Forked } else { RepairCause::NoKey },
    });
    Ok(unopened.take(halcyon_content::ENVELOPES_MAX).collect())
}

/// Nothing is left to ask now. What is accepted and not confirmed keeps the record until its time comes.
fn finish(
    state: &mut State,
    record: RepairRecord,
    now: Timestamp,
    events: &mut Vec<Event>,
) -> Result<Option<Timestamp>, ProfileError> {
    let was_shown = state.shown_repairs.remove(&record.device);
    if was_shown {
        events.push(Event::Repair { step: RepairStep::Done, repair: shown::done(state, &record)? });
    }
    // REP-13: 30 days after, the server has forgotten it, too, and the next message shows the gap.
    match state.store().repairs().oldest_unconfirmed(record.device, now.minus(ASK_AGE_MAX))? {
        Some(oldest) => {
            let due = oldest.plus(COUNT_AFTER).max(now.plus(PAUSES[0]));
            let waiting = RepairRecord {
                since: now,
                due,
                attempts: 0,
                job: None,
                counts_wanted: false,
                forward_since: None,
                ..record
            };
            state.commit(&Commit::new().with(Change::PutRepair(waiting)))?;
            Ok(Some(due))
        }
        None => {
            state.commit(&Commit::new().with(Change::RemoveRepair(record.device)))?;
            Ok(None)
        }
    }
}

/// REP-14: a device that left its account is asked nothing more: what it sealed cannot be attributed any longer.
fn leave(state: &mut State, record: &RepairRecord, events: &mut Vec<Event>) -> Result<Option<Timestamp>, ProfileError> {
    let mut commit = Commit::new().with(Change::RemoveRepair(record.device));
    for mut heard in state.store().repairs().heard(record.device)? {
        if !heard.missing.is_empty() {
            commit.push(Change::CountUp(counter("gap", "gone")));
            gaps::lose_all(&mut heard);
            commit.push(Change::PutHeard(heard));
        }
    }
    for one in state.store().repairs().unopened_of(record.device)?.iter().filter(|head| is_asked_for(head)) {
        commit.push(Change::CountUp(counter(&one.cause, "gone")));
        commit.push(Change::MarkUnopenedGone(one.id));
    }
    if state.shown_repairs.remove(&record.device) {
        events.push(Event::Repair { step: RepairStep::Done, repair: shown::done(state, record)? });
    }
    state.commit(&commit)?;
    Ok(None)
}

/// Returns the own handle by which a device is talked to, and the members of what is told it (CON-9).
fn members(state: &State, peer: &Peer) -> Result<Option<(Handle, ConversationMembers)>, ProfileError> {
    let own_handles = handles::own_handles(state.store())?;
    if state.own()?.account == peer.account {
        return Ok(own_handles.first().map(|own| (own.clone(), ConversationMembers::own(own.clone()))));
    }
    // The one that this person knows, so that no other is told.
    let conversations = state.store().conversations()?;
    let shared = conversations.iter().filter(|conversation| conversation.members.contains(&peer.handle));
    let known = shared.flat_map(|conversation| &conversation.members).find(|member| own_handles.contains(member));
    let known = known.or(peer.wrote_to.as_ref().filter(|handle| own_handles.contains(handle)));
    let Some(from) = known.cloned() else { return Ok(None) };
    let members = ConversationMembers::new(from.clone(), [peer.handle.clone()]).ok();
    Ok(members.map(|members| (from, members)))
}

/// The name of a counter of repairs (REP-30).
pub(crate) fn counter(cause: &str, outcome: &str) -> String {
    format!("repairs_total{{cause=\"{cause}\",outcome=\"{outcome}\"}}")
}
