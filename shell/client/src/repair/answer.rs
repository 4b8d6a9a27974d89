//! What a device asks and tells in a repair, and what follows. Spec: 61-repair.md §3 (REP-12 to REP-18).
//!
//! Owns the answer: what is sent again, what is gone, what is confirmed. Does not decide when to ask.
//!
//! - Only what this device sealed for the asking device is sent to it, so nobody learns what was not for them.
//! - The work of one request is bounded, and what is left is asked for again (REP-18).

use std::collections::BTreeMap;

use halcyon_content::{Kind, Repair, RepairCause, SPANS_MAX, Span, StreamEnd};
use halcyon_suites::Session;
use halcyon_types::{ConversationId, EnvelopeId, Handle, MessageId, Timestamp};

use super::{Peer, Why, counter, forward, gaps, has_talked, remember_sent, schedule, stream_end};
use crate::{
    client::Inner,
    error::ProfileError,
    event::Event,
    ports::{
        Change, Commit,
        store::{DeliveryState, Heard, MessageKind, OutboxJob, OutboxTarget, SentEnd, StreamPlace, TargetState},
    },
    receipts, scheduled,
    state::State,
};

/// REP-18: what one request makes.
const RESENDS_A_REQUEST: usize = 256;
/// Stands for all counts among what was sent again.
const ALL_COUNTS: MessageId = MessageId::from_bytes([0; MessageId::LEN]);
/// Streams of one device that are kept: a conversation each, and one more for each time that it was restored.
const STREAMS_MAX: usize = 1024;

/// What became of one thing that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// It is put into the outbox again.
    Again,
    /// It is on its way still, or was sent again a moment ago.
    Still,
    /// It cannot be sent again.
    Gone,
}

/// One repair while it is answered.
struct Answering<'a> {
    inner: &'a Inner,
    state: &'a mut State,
    from: &'a Peer,
    now: Timestamp,
    commit: &'a mut Commit,
    jobs: BTreeMap<MessageId, OutboxJob>,
    reply: Repair,
    events: Vec<Event>,
    /// Streams as this repair leaves them.
    heard: BTreeMap<(ConversationId, u64), Heard>,
    /// Whether something is missing, to be asked for.
    missing: bool,
    /// Whether the peer saw one key of this device on two messages (REP-22).
    forked: bool,
}

/// What a repair led to.
pub(crate) struct Answered {
    /// To be told once it is committed.
    pub(crate) events: Vec<Event>,
    /// The highest epoch that this device must have shown (REP-22).
    pub(crate) epoch: u64,
}

impl Inner {
    /// Adds to a commit what follows from a device's repair. `session` is the one in which it came, and changes where the peer
    /// cannot open what was sealed (REP-16, REP-17).
    pub(crate) fn take_repair(
        &self,
        state: &mut State,
        repair: &Repair,
        from: &Peer,
        session: &mut Session,
        commit: &mut Commit,
    ) -> Result<Answered, ProfileError> {
        let now = self.now();
        // OWN-12, OWN-13: neither does whoever is blocked, or kept apart.
        let is_silent = state.tells_nothing(from.account, &from.handle)?;
        if is_silent || (!has_talked(state, from)? && !knows_one(state, repair, from)?) {
            return Ok(Answered { events: Vec::new(), epoch: 0 }); // REP-18: a stranger learns nothing, not even that somebody is there
        }
        if repair.restart || repair.unopened.iter().any(|one| one.cause == RepairCause::NoKey) {
            session.rejected();
        }
        // REP-17: what the asker has just begun is as new as can be, and needs no bundle of its, which it may not be able to publish.
        if repair.restart && !session.summary().new_from_peer {
            session.restart(now);
        }
        let mut answering = Answering {
            inner: self,
            state,
            from,
            now,
            commit,
            jobs: BTreeMap::new(),
            reply: Repair::default(),
            events: Vec::new(),
            heard: BTreeMap::new(),
            missing: false,
            forked: false,
        };
        answering.unopened(repair)?;
        answering.wanted(&repair.wanted)?;
        answering.counts(&repair.counts)?;
        answering.confirmed(&repair.had)?;
        answering.gone(repair)?;
        answering.all_counts(repair)?;
        answering.forwards(repair)?;
        let forked = answering.forked;
        let events = answering.finish(repair.answered)?;
        // REP-22: a peer's word is enough to begin anew with that peer, and no more.
        let own = state.own()?.account == from.account;
        if forked && !own {
            session.restart(now);
        }
        let told = if forked { state.epoch()?.saturating_add(1) } else { 0 };
        Ok(Answered { events, epoch: if own { repair.epoch_seen.max(told) } else { 0 } })
    }
}

impl Answering<'_> {
    /// REP-12
    fn unopened(&mut self, repair: &Repair) -> Result<(), ProfileError> {
        for one in &repair.unopened {
            match self.resend_envelope(one.envelope)? {
                // What somebody else sealed with a copy of this device's keys is not known here.
                Asked::Again | Asked::Still => self.forked |= one.cause == RepairCause::Forked,
                Asked::Gone => self.reply.gone_envelopes.push(one.envelope), // REP-14; as many as were asked for at most
            }
        }
        Ok(())
    }

    fn resend_envelope(&mut self, id: EnvelopeId) -> Result<Asked, ProfileError> {
        // The server delivered it, and its answer is on its way still: then it is not the one that helps.
        if let Some(waiting) = self.state.store().outbox_envelope(id)?.filter(|one| one.device == self.from.device) {
            let asked = self.resend(waiting.message, None, Some(id))?;
            if asked == Asked::Again {
                // Asked for once more if what mends it does not open either.
                if let Some(job) = self.jobs.get(&waiting.message) {
                    remember_sent(job, &waiting, self.now, self.commit);
                }
                self.commit.push(Change::RemoveOutboxEnvelope(id));
            }
            return Ok(asked);
        }
        let sent = self.state.store().repairs().sent_envelope(id)?.filter(|sent| sent.device == self.from.device);
        match sent {
            None => Ok(Asked::Gone),
            Some(sent) => {
                self.made(sent.message)?;
                self.resend(sent.message, sent.content.map(|content| (content, sent.sender)), Some(id))
            }
        }
    }

    /// SCD-6: an envelope of something that waited for its time came to somebody, so its time is over, and it can be sent again.
    fn made(&mut self, message: MessageId) -> Result<(), ProfileError> {
        if self.state.store().own_message(message)?.is_none() {
            self.events.extend(scheduled::appear_as_made(self.state, message, self.now)?);
        }
        Ok(())
    }

    /// REP-10, REP-12
    fn wanted(&mut self, wanted: &[Span]) -> Result<(), ProfileError> {
        let mut left = RESENDS_A_REQUEST;
        for span in wanted {
            let last = self.state.store().repairs().sent_end(self.from.device, span.conversation, span.stream)?;
            for number in span.first..=span.last.min(last) {
                if left == 0 {
                    return Ok(());
                }
                left -= 1;
                let place = StreamPlace { stream: span.stream, number };
                let delivery = self.state.store().repairs().delivery_at(self.from.device, span.conversation, place)?;
                let asked = match delivery {
                    Some(delivery) => self.resend(delivery.message, None, None)?,
                    None => Asked::Gone,
                };
                if let Asked::Gone = asked {
                    self.tell_gone(Span { first: number, last: number, ..*span });
                }
            }
            if span.last > last {
                self.tell_gone(Span { first: span.first.max(last + 1), ..*span }); // never sealed, or forgotten
            }
        }
        Ok(())
    }

    fn tell_gone(&mut self, span: Span) {
        if let Some(before) = self.reply.gone.last_mut()
            && (before.conversation, before.stream) == (span.conversation, span.stream)
            && before.last.saturating_add(1) == span.first
        {
            before.last = span.last;
        } else if self.reply.gone.len() < SPANS_MAX {
            self.reply.gone.push(span);
        }
    }

    /// Puts a message into the outbox again, for the asking device alone, under the same id and number.
    fn resend(
        &mut self,
        message: MessageId,
        silent: Option<(bytes::Bytes, Handle)>,
        mends: Option<EnvelopeId>,
    ) -> Result<Asked, ProfileError> {
        let device = self.from.device;
        let kept = match self.jobs.remove(&message) {
            Some(job) => Some(job),
            None => self.state.store().outbox_job(message)?,
        };
        let mut job = match kept {
            Some(job) => job,
            None => match self.new_job(message, silent)? {
                Some(job) => job,
                None => return Ok(Asked::Gone),
            },
        };
        let waits = |target: &OutboxTarget| target.only == Some(device) && target.state == TargetState::ToSeal;
        let queued = self.state.store().outbox_envelopes(message)?;
        let under_way = queued.iter().any(|one| one.device == device && Some(one.id) != mends);
        let comes = under_way || job.targets.iter().any(waits);
        if comes || !self.state.resent.may(message, device, self.now) {
            self.jobs.insert(message, job);
            return Ok(Asked::Still);
        }
        let handle = address(self.state, &job, self.from)?;
        address_again(&mut job, OutboxTarget { mends, ..OutboxTarget::only(handle, device) });
        self.commit.push(Change::PutOutboxJob(job.clone()));
        self.jobs.insert(message, job);
        Ok(Asked::Again)
    }

    fn new_job(
        &self,
        message: MessageId,
        silent: Option<(bytes::Bytes, Handle)>,
    ) -> Result<Option<OutboxJob>, ProfileError> {
        match silent {
            Some((content, sender)) => {
                let again = OutboxJob::again(message, sender, content, self.now);
                Ok(Some(OutboxJob { silent: true, ..again }))
            }
            None => written_here(self.state, message, self.now),
        }
    }

    /// REP-13: what the sender counted and did not come is asked for; what is all here is said to be.
    fn counts(&mut self, counts: &[StreamEnd]) -> Result<(), ProfileError> {
        for count in counts {
            let Some(mut heard) = self.heard(count)? else { continue };
            gaps::hear_of(&mut heard, count.last, self.now);
            self.missing |= !heard.missing.is_empty();
            let last = gaps::complete_to(&heard).min(count.last);
            if last > 0 {
                self.reply.had.push(StreamEnd { last, ..*count });
            }
            self.heard.insert((count.conversation, count.stream), heard);
        }
        Ok(())
    }

    /// None if the device has more streams than anybody needs.
    fn heard(&mut self, end: &StreamEnd) -> Result<Option<Heard>, ProfileError> {
        if let Some(heard) = self.heard.remove(&(end.conversation, end.stream)) {
            return Ok(Some(heard));
        }
        let queries = self.state.store().repairs();
        if let Some(heard) = queries.heard_in(self.from.device, end.conversation, end.stream)? {
            return Ok(Some(heard));
        }
        let many = queries.heard(self.from.device)?.len() + self.heard.len() >= STREAMS_MAX;
        Ok((!many).then(|| new_heard(self.from, end, self.now)))
    }

    /// REP-13: as good as a receipt for each.
    fn confirmed(&mut self, had: &[StreamEnd]) -> Result<(), ProfileError> {
        for end in had {
            let StreamEnd { conversation, stream, last } = *end;
            let end = SentEnd { device: self.from.device, conversation, stream, last };
            for mut delivery in self.state.store().repairs().unconfirmed_up_to(&end)? {
                delivery.state = DeliveryState::Delivered(self.now);
                self.events.push(receipts::delivered(self.state, delivery, self.commit)?);
            }
        }
        Ok(())
    }

    /// REP-14
    fn gone(&mut self, repair: &Repair) -> Result<(), ProfileError> {
        for span in &repair.gone {
            let end = StreamEnd { conversation: span.conversation, stream: span.stream, last: span.last };
            let Some(mut heard) = self.heard(&end)? else { continue };
            // Of a stream that nobody heard of nothing is missing.
            if heard.high == 0 {
                continue;
            }
            if gaps::lose(&mut heard, span.first, span.last) {
                self.commit.push(Change::CountUp(counter("gap", "gone")));
            }
            self.heard.insert((span.conversation, span.stream), heard);
        }
        if repair.gone_envelopes.is_empty() {
            return Ok(());
        }
        for record in self.state.store().repairs().unopened_of(self.from.device)?.iter().filter(|record| !record.gone) {
            if repair.gone_envelopes.contains(&record.id) {
                self.commit.push(Change::MarkUnopenedGone(record.id));
                self.commit.push(Change::CountUp(counter(&record.cause, "gone")));
            }
        }
        Ok(())
    }

    /// REP-23
    fn all_counts(&mut self, repair: &Repair) -> Result<(), ProfileError> {
        // REP-18: at most once a minute, like a message.
        if !repair.counts_wanted || !self.state.resent.may(ALL_COUNTS, self.from.device, self.now) {
            return Ok(());
        }
        let ends = self.state.store().repairs().sent_ends(self.from.device)?;
        let ends: Vec<StreamEnd> = ends.iter().map(stream_end).collect();
        for chunk in ends.chunks(SPANS_MAX) {
            self.tell(Repair { counts: chunk.to_vec(), ..Repair::default() })?;
        }
        self.reply.answered = repair.forward_since.is_none();
        Ok(())
    }

    /// REP-24
    fn forwards(&mut self, repair: &Repair) -> Result<(), ProfileError> {
        let Some(since) = repair.forward_since else { return Ok(()) };
        // What was put into the outbox before goes first; whoever asks again meanwhile gets no second copy.
        if self.state.own()?.account != self.from.account || self.has_waiting()? {
            return Ok(());
        }
        let (jobs, all) = forward::jobs(self.inner, self.state, self.from, since, self.now)?;
        self.commit.append(jobs);
        self.reply.answered = all;
        Ok(())
    }

    fn has_waiting(&self) -> Result<bool, ProfileError> {
        let device = Some(self.from.device);
        let jobs = self.state.store().outbox_jobs()?;
        Ok(jobs.iter().any(|job| job.silent && job.targets.iter().any(|target| target.only == device)))
    }

    fn tell(&mut self, repair: Repair) -> Result<(), ProfileError> {
        let epoch_seen = self.state.store().repairs().epoch_seen(self.from.device)?;
        let repair = Repair { epoch_seen, ..repair };
        if let Some(job) = self.inner.note_to(self.state, self.from, Kind::Repair(repair), self.now)? {
            self.commit.push(Change::PutOutboxJob(job));
        }
        Ok(())
    }

    fn finish(mut self, answered: bool) -> Result<Vec<Event>, ProfileError> {
        for heard in std::mem::take(&mut self.heard).into_values() {
            self.commit.push(Change::PutHeard(heard));
        }
        let mut scheduled = Commit::new();
        if self.missing {
            schedule(self.state, self.from, Why::Missing, self.now, &mut scheduled)?;
        }
        let put = scheduled.changes().iter().find_map(|change| match change {
            Change::PutRepair(record) => Some(record.clone()),
            _ => None,
        });
        let record = match put {
            Some(record) => Some(record),
            None if answered => self.state.store().repairs().repair(self.from.device)?,
            None => None,
        };
        if let Some(mut record) = record {
            if answered {
                // What this device asked for is told, or on its way.
                (record.counts_wanted, record.forward_since) = (false, None);
            }
            self.commit.push(Change::PutRepair(record));
        }
        let reply = std::mem::take(&mut self.reply);
        if !reply.is_empty() {
            self.tell(reply)?;
        }
        Ok(self.events)
    }
}

/// Returns a job, without targets, for what this device wrote; none if it did not, or does not have it any more.
pub(super) fn written_here(
    state: &State,
    message: MessageId,
    now: Timestamp,
) -> Result<Option<OutboxJob>, ProfileError> {
    let own_device = state.own()?.device;
    let own = state.store().own_message(message)?.map(|own| own.message);
    let own = own.filter(|message| message.sender_device == own_device && message.kind != MessageKind::Gone);
    Ok(own.map(|own| OutboxJob::again(own.id, own.sender, own.content, now)))
}

/// Returns the handle of a device's account among the members of a message, since it counts only for a member (CON-7).
pub(super) fn address(state: &State, job: &OutboxJob, to: &Peer) -> Result<Handle, ProfileError> {
    let Ok(content) = halcyon_content::decode(&job.content) else { return Ok(to.handle.clone()) };
    if state.own()?.account == to.account {
        return Ok(content.members.sender().clone());
    }
    for handle in content.members.recipients() {
        if state.known_handle(handle)?.is_some_and(|pin| pin.account() == to.account) {
            return Ok(handle.clone());
        }
    }
    Ok(to.handle.clone())
}

/// Adds the target for one device to a job. From here on the device is that target's alone: no other may seal for it, too.
pub(super) fn address_again(job: &mut OutboxJob, again: OutboxTarget) {
    let Some(device) = again.only else { return };
    let others = |target: &&mut OutboxTarget| target.only.is_none() && !target.done.contains(&device);
    for target in job.targets.iter_mut().filter(others) {
        target.done.push(device);
    }
    job.targets.retain(|target| target.only != Some(device));
    job.targets.push(again);
}

/// Says whether this device sent one of the envelopes that did not open, as a receipt.
fn knows_one(state: &State, repair: &Repair, from: &Peer) -> Result<bool, ProfileError> {
    for one in &repair.unopened {
        let sent = state.store().repairs().sent_envelope(one.envelope)?;
        if sent.is_some_and(|sent| sent.device == from.device) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A stream of which nothing came yet.
pub(crate) fn new_heard(from: &Peer, end: &StreamEnd, now: Timestamp) -> Heard {
    Heard {
        device: from.device,
        account: from.account,
        conversation: end.conversation,
        stream: end.stream,
        handle: from.handle.clone(),
        high: 0,
        missing: Vec::new(),
        lost: Vec::new(),
        since: now,
    }
}
