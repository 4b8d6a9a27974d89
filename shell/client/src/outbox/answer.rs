//! What the server's answer to a send does to the outbox. Spec: 60-client.md §1 (SND-3).
//!
//! Owns the meaning of each status. One commit takes a whole answer.

use std::collections::{BTreeMap, BTreeSet};

use halcyon_courier::{Status, send::Sent};
use halcyon_failpoint::{Point, hit};
use halcyon_types::{AccountId, Duration, EnvelopeId, Handle, MessageId};

use super::{
    backoff, is_done, note,
    pause::{RETRY_LONGEST, ROOM_RETRY_LONGEST, pause},
};
use crate::{
    alerts,
    client::Inner,
    error::ProfileError,
    event::{Event, Notice},
    ports::{
        Change, Commit,
        store::{Delivery, DeliveryState, OutboxEnvelope, OutboxJob, TargetState},
    },
    repair,
    state::State,
};

/// What a status asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The server has it on stable storage.
    Accepted,
    /// Look up again, seal anew.
    Stale,
    /// The same bytes, later.
    Later,
    /// The same bytes, when the device has made room.
    Full,
    /// No use, with the reason for people.
    GivenUp(&'static str),
}

/// SND-3
fn verdict(status: Status) -> Verdict {
    match status {
        Status::Accepted => Verdict::Accepted,
        Status::StaleList | Status::StaleSession | Status::UnknownToken => Verdict::Stale,
        // A status from a later version is no answer that we can act upon.
        Status::Quota => Verdict::Full,
        Status::RateLimited | Status::Unavailable | Status::Unspecified => Verdict::Later,
        Status::TooLarge => Verdict::GivenUp("the server says that it is too large"),
        Status::Malformed => Verdict::GivenUp("the server says that it is malformed"),
        Status::Forbidden => Verdict::GivenUp("the server does not let this handle send"),
        Status::Expired => Verdict::GivenUp("its time was over before the server had it; it was not delivered"),
    }
}

impl Inner {
    /// Takes the answer to a send: one commit, then what is to be told.
    ///
    /// # Errors
    /// [`ProfileError`]; the outbox is as before, and the envelopes will be sent again.
    pub(crate) fn take_answer(&self, sent: &Sent) -> Result<(), ProfileError> {
        let mut state = self.state();
        let mut answer = Answer {
            inner: self,
            commit: Commit::new(),
            events: Vec::new(),
            jobs: BTreeMap::new(),
            stale: BTreeMap::new(),
            accepted: BTreeSet::new(),
            answered: sent.parts.iter().filter_map(|part| EnvelopeId::try_from(&part.envelope_id[..]).ok()).collect(),
            dropped: BTreeSet::new(),
        };
        let mut taken = BTreeSet::new();
        for part in &sent.parts {
            let Ok(id) = EnvelopeId::try_from(&part.envelope_id[..]) else { continue };
            // A server that answers twice for one must not make a job look done.
            if !taken.insert(id) {
                continue;
            }
            let Some(envelope) = state.store().outbox_envelope(id)? else { continue };
            answer.take(&mut state, envelope, verdict(part.status))?;
        }
        let (stale, accepted) = (std::mem::take(&mut answer.stale), std::mem::take(&mut answer.accepted));
        let (commit, events) = answer.finish(&state)?;
        hit(Point::ClientAnswer);
        state.commit(&commit)?;
        hit(Point::ClientAnswered);
        let doubtful = state.note_answers(&accepted, stale);
        drop(state);
        self.tell_all(events);
        for handle in doubtful {
            alerts::raise(self, Notice::Refused { handle, reason: CONTRADICTION.to_owned() })?;
        }
        Ok(())
    }
}

impl State {
    /// Counts for each account the answers in a row that called stale what was sealed after a fresh lookup. Returns the
    /// handles of those of which there are too many to be chance (SND-3).
    fn note_answers(&mut self, accepted: &BTreeSet<AccountId>, stale: BTreeMap<AccountId, Handle>) -> Vec<Handle> {
        for account in accepted {
            self.stale_in_a_row.remove(account);
        }
        let mut doubtful = Vec::new();
        for (account, handle) in stale.into_iter().filter(|(account, _)| !accepted.contains(account)) {
            let count = self.stale_in_a_row.entry(account).or_default();
            *count = count.saturating_add(1);
            if *count >= STALE_IN_A_ROW_MAX {
                doubtful.push(handle);
            }
        }
        doubtful
    }
}

/// A device list that changes between a lookup and the send after it makes one stale answer, and hardly ever two; a
/// directory that gives what the courier does not take makes them without end (SND-3).
const STALE_IN_A_ROW_MAX: u32 = 3;
/// What the person is told then.
const CONTRADICTION: &str = "the server gives an answer about this person and then refuses what was sealed by it, again and \
                             again; nothing was delivered, and the message waits. The server gives old or altered answers, or \
                             it is broken: ask its operator";

struct Answer<'a> {
    inner: &'a Inner,
    commit: Commit,
    events: Vec<Event>,
    /// Jobs that the answer touches, and how many of their envelopes it removed.
    jobs: BTreeMap<MessageId, (OutboxJob, usize)>,
    /// Accounts whose newest addresses the answer calls stale.
    stale: BTreeMap<AccountId, Handle>,
    accepted: BTreeSet<AccountId>,
    /// What the answer is about.
    answered: BTreeSet<EnvelopeId>,
    /// What it is not about, and was dropped with it.
    dropped: BTreeSet<EnvelopeId>,
}

impl Answer<'_> {
    fn take(&mut self, state: &mut State, envelope: OutboxEnvelope, verdict: Verdict) -> Result<(), ProfileError> {
        match verdict {
            Verdict::Full => state.full_mailboxes.refused(envelope.device),
            _ => state.full_mailboxes.answered(envelope.device),
        }
        let mut job = match self.jobs.remove(&envelope.message) {
            Some(touched) => touched,
            None => match state.store().outbox_job(envelope.message)? {
                Some(job) => (job, 0),
                None => return Ok(()),
            },
        };
        match verdict {
            Verdict::Accepted => {
                job.1 += 1;
                self.accepted.insert(envelope.account);
                self.settle(state, &mut job.0, &envelope, DeliveryState::Accepted(self.inner.now()))?;
            }
            Verdict::GivenUp(reason) => {
                job.1 += 1;
                self.settle(state, &mut job.0, &envelope, DeliveryState::Failed(reason.to_owned()))?;
            }
            Verdict::Later => self.try_later(&envelope, RETRY_LONGEST),
            Verdict::Full => self.try_later(&envelope, ROOM_RETRY_LONGEST),
            Verdict::Stale => {
                job.1 += 1;
                // What was sealed before the newest lookup, as several under way at once are, says nothing of it.
                // Nor does a right to send that has run out since, while the mailbox was full for days.
                let now = self.inner.now();
                let kept = state.kept(&envelope.handle)?;
                let fresh = kept.filter(|kept| kept.addresses.as_ref().is_some_and(|(_, refresh)| now < *refresh));
                if fresh.is_some_and(|kept| kept.known.version() == envelope.list_version) {
                    self.stale.insert(envelope.account, envelope.handle.clone());
                }
                repair::remember_sent(&job.0, &envelope, now, &mut self.commit);
                self.commit.push(Change::RemoveOutboxEnvelope(envelope.id));
                self.commit.push(Change::RemoveAddresses(envelope.account));
                self.seal_anew(&mut job.0, envelope.account);
                self.jobs.insert(envelope.message, job);
                return self.drop_older(state, &envelope);
            }
        }
        self.jobs.insert(envelope.message, job);
        Ok(())
    }

    fn try_later(&mut self, envelope: &OutboxEnvelope, longest: Duration) {
        let not_before = self.inner.now().plus(pause(envelope.attempts, longest, &mut self.inner.rng()));
        let attempts = envelope.attempts.saturating_add(1);
        self.commit.push(Change::PutOutboxEnvelope(OutboxEnvelope { not_before, attempts, ..envelope.clone() }));
    }

    /// Drops what else is queued for an account and was sealed by the list that the server refused: it would be refused one by
    /// one. Sealed anew together, in the order of the outbox, messages leave in the order of their keys; one by one, with answers
    /// in between, the last would lie more turns of the ratchet back than a receiver keeps (PQ3-30).
    fn drop_older(&mut self, state: &State, refused: &OutboxEnvelope) -> Result<(), ProfileError> {
        for job in state.store().outbox_jobs()? {
            let queued = state.store().outbox_envelopes(job.message)?;
            let is_older = |other: &&OutboxEnvelope| {
                other.account == refused.account
                    && other.list_version <= refused.list_version
                    && !self.answered.contains(&other.id)
                    && !self.dropped.contains(&other.id)
            };
            let older: Vec<OutboxEnvelope> = queued.into_iter().filter(|other| is_older(&other)).collect();
            if older.is_empty() {
                continue;
            }
            let (mut job, removed) = self.jobs.remove(&job.message).unwrap_or((job, 0));
            self.seal_anew(&mut job, refused.account);
            for older in &older {
                repair::remember_sent(&job, older, self.inner.now(), &mut self.commit);
                self.commit.push(Change::RemoveOutboxEnvelope(older.id));
                self.dropped.insert(older.id);
            }
            self.jobs.insert(job.message, (job, removed + older.len()));
        }
        Ok(())
    }

    /// The server said its last word about an envelope.
    fn settle(
        &mut self,
        state: &mut State,
        job: &mut OutboxJob,
        envelope: &OutboxEnvelope,
        reached: DeliveryState,
    ) -> Result<(), ProfileError> {
        self.commit.push(Change::RemoveOutboxEnvelope(envelope.id));
        for target in job.targets.iter_mut().filter(|target| target.handle == envelope.handle) {
            target.done.push(envelope.device);
        }
        if let DeliveryState::Accepted(at) = reached {
            repair::expect_receipt(state, job, envelope, at, &mut self.commit)?; // REP-12, REP-13
        }
        let delivery = Delivery {
            message: job.message,
            account: envelope.account,
            device: envelope.device,
            suite: Some(envelope.suite),
            place: None,
            state: reached,
        };
        // A receipt may have overtaken the answer: `note` leaves it.
        note(state, job, delivery, &mut self.commit, &mut self.events)
    }

    /// The first repair is made at once; if it does not help, the next ones take their time.
    fn seal_anew(&mut self, job: &mut OutboxJob, account: AccountId) {
        for target in job.targets.iter_mut().filter(|target| target.state == TargetState::Sealed(account)) {
            target.state = TargetState::ToSeal;
            if target.attempts > 0 {
                target.not_before = self.inner.now().plus(backoff(target.attempts, &mut self.inner.rng()));
            }
            target.attempts = target.attempts.saturating_add(1);
        }
    }

    fn finish(mut self, state: &State) -> Result<(Commit, Vec<Event>), ProfileError> {
        for (message, (job, removed)) in self.jobs {
            let left = state.store().outbox_envelopes(message)?.len().saturating_sub(removed);
            self.commit.push(if is_done(&job, left) {
                Change::RemoveOutboxJob(message)
            } else {
                Change::PutOutboxJob(job)
            });
        }
        Ok((self.commit, self.events))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SND-3: every status has its consequence, and only the server's yes empties the outbox as sent.
    #[test]
    fn every_status_has_its_consequence() {
        use Status::*;
        assert_eq!(verdict(Accepted), Verdict::Accepted);
        for stale in [StaleList, StaleSession, UnknownToken] {
            assert_eq!(verdict(stale), Verdict::Stale);
        }
        assert_eq!(verdict(Quota), Verdict::Full);
        for later in [RateLimited, Unavailable, Unspecified] {
            assert_eq!(verdict(later), Verdict::Later);
        }
        for hopeless in [TooLarge, Malformed, Forbidden, Expired] {
            assert!(matches!(verdict(hopeless), Verdict::GivenUp(_)));
        }
    }
}
