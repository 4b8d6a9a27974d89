//! What a device is asked, and when that ends. Spec: 61-repair.md §2 (REP-11), §3 (REP-16, REP-17).
//!
//! Owns the composition of a question and the life of a [`RepairRecord`]. Does not answer.

use halcyon_content::{Content, ConversationMembers, Kind, Repair, RepairCause, SPANS_MAX, Span, Unopened};
use halcyon_types::{DeviceId, Handle, MessageId, Timestamp};

use super::{
    ASK_AGE_MAX, ASK_MISSING, COUNT_AFTER, FORKED, NOBODY_TO_ASK_PAUSE, PAUSES, Peer, RESTART_AFTER, counter, gaps,
    is_asked_for, shown, stream_end, unheard,
};
use crate::{
    client::Inner,
    error::ProfileError,
    event::{Event, RepairStep},
    handles,
    ports::{
        Change, Commit,
        store::{OutboxJob, OutboxTarget, RepairRecord},
    },
    state::State,
};

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
        // OWN-12, OWN-13: whoever is blocked or kept apart is asked nothing, for now.
        if state.tells_nothing(record.account, &record.handle)? {
            let due = now.plus(NOBODY_TO_ASK_PAUSE);
            state.commit(&Commit::new().with(Change::PutRepair(RepairRecord { due, ..record })))?;
            return Ok(Some(due));
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
            if let Some(first_words) = unheard::job(state, &asked, &repair.counts, now)? {
                commit.push(Change::PutOutboxJob(first_words));
            }
            asked.attempts = asked.attempts.saturating_add(1);
            asked.asked = Some(now);
            asked.job = Some(job.message);
            commit.push(Change::PutOutboxJob(job));
        } else if !waits {
            asked.due = now.plus(NOBODY_TO_ASK_PAUSE);
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
}

/// REP-16: the answer must not need what is not here. A start that waits for its answer serves the first question, and so does what
/// the other side has begun since; if that did not help, it may have given up what it had of it. Ever more seldom, since a device that
/// is away for weeks finds all of these starts at once.
fn restart(state: &State, asked: &RepairRecord, now: Timestamp, commit: &mut Commit) -> Result<(), ProfileError> {
    let device = asked.device;
    let mut session = state.session(device, now)?;
    let summary = session.summary();
    let unopened = state.store().repairs().unopened_of(device)?;
    let last_unopened = unopened.iter().filter(|head| is_asked_for(head)).map(|head| head.at).max();
    let serves = summary.unanswered || summary.restarts_next || summary.heard >= last_unopened;
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
