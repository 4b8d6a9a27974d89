//! Stores what all connections accepted, answers, and offers it to who is connected. Spec: 30-courier.md (COU-41, COU-50).
//!
//! Owns the one line through which everything is stored, and so the order in which it is offered, and which epochs are
//! remembered with it (COU-19). Does not know connections beyond their inbox.
//!
//! - While one batch is being synced the next one gathers, so a commit is shared by whoever came meanwhile.
//! - Batches are offered in the order in which they were stored: for one device, positions rise (COU-50).
//! - Nothing is answered or offered before its batch is on stable storage (COU-41), and what its sender showed with it.
//! - An epoch that nobody waits for costs no commit of its own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use halcyon_courier::{Sent, Status};
use halcyon_failpoint::{Point, hit};
use halcyon_types::{DeviceId, Timestamp, Topic};
use tokio::sync::{mpsc, oneshot};

use super::connections::Handle;
use super::epochs::UnderWay;
use super::{Shared, deliver};
use crate::ports::{Append, AppendOutcome, MailboxError, ShownEpoch};

/// Something to be done in line.
pub(super) enum Work {
    /// Store, answer, offer.
    Store(Submission),
    /// Remember an epoch with the commit that comes next; nobody waits for it (COU-19).
    Show(UnderWay),
    /// Empty a mailbox (COU-55).
    Clear { device: DeviceId, done: oneshot::Sender<Result<(), MailboxError>> },
    /// Do what is in line, then end (COU-56).
    Finish { done: oneshot::Sender<()> },
}

/// What one request brought.
pub(super) struct Submission {
    /// The epoch that its sender showed, to be remembered before anything of it is accepted (COU-19).
    pub(super) shown: Option<UnderWay>,
    pub(super) entries: Vec<Entry>,
    pub(super) reply: Reply,
}

/// One envelope for one device.
pub(super) struct Entry {
    pub(super) device: DeviceId,
    pub(super) topic: Topic,
    /// Nothing: now or never, not stored (COU-40).
    pub(super) expires: Option<Timestamp>,
    pub(super) envelope: Bytes,
    /// Which part of the request it is.
    pub(super) part: usize,
}

/// Who wants to know.
pub(super) enum Reply {
    /// A connection whose device sent it.
    Connection { handle: Arc<Handle>, sent: Sent },
    /// The server itself, for a send that was held (COU-65).
    Hold { sent: Sent, done: oneshot::Sender<Sent> },
    /// The server itself, for an alert.
    Notifier(oneshot::Sender<Result<(), MailboxError>>),
}

/// What is under way, to be finished in order.
type Step = Pin<Box<dyn Future<Output = Finished> + Send>>;

/// One thing that is done.
enum Finished {
    Stored { batch: Batch, outcomes: Result<Vec<AppendOutcome>, MailboxError> },
    Cleared,
}

/// What one commit takes.
#[derive(Default)]
struct Batch {
    submissions: Vec<Submission>,
    /// Epochs that ride along (COU-19).
    riders: Vec<UnderWay>,
}

/// Works until it is told to finish or nobody can bring work any more.
pub(super) async fn run(shared: Arc<Shared>, mut inbox: mpsc::Receiver<Work>) {
    let mut under_way: FuturesOrdered<Step> = FuturesOrdered::new();
    let mut gathered = Vec::new();
    let mut riders = Vec::new();
    let mut finishing = None;
    loop {
        tokio::select! {
            biased;
            Some(finished) = under_way.next(), if !under_way.is_empty() => finish(&shared, finished),
            received = inbox.recv_many(&mut gathered, BATCH_SUBMISSIONS_MAX), if under_way.len() < BATCHES_UNDER_WAY && finishing.is_none() => {
                if received == 0 {
                    break;
                }
                finishing = start(&shared, &mut gathered, &mut riders, &mut under_way);
            }
            else => break,
        }
    }
    // The mailboxes are closed when the last one lets go of them, and whoever waits for the end waits for that.
    drop(shared);
    if let Some(done) = finishing {
        // Whoever waits for the end may have given up.
        let _: Result<(), ()> = oneshot::Sender::send(done, ());
    }
}

/// Puts what was gathered on its way, in order. Returns whom to tell when this was the last of it.
fn start(
    shared: &Arc<Shared>,
    gathered: &mut Vec<Work>,
    riders: &mut Vec<UnderWay>,
    under_way: &mut FuturesOrdered<Step>,
) -> Option<oneshot::Sender<()>> {
    let mut batch = Vec::with_capacity(gathered.len());
    let mut finishing = None;
    for work in gathered.drain(..) {
        match work {
            Work::Store(submission) => batch.push(submission),
            Work::Show(shown) => riders.push(shown),
            Work::Clear { device, done } => {
                store(shared, std::mem::take(&mut batch), riders, under_way);
                // COU-18: what still waits to ride along would bring its epoch back.
                riders.retain(|rider| rider.shown().device != device);
                let mailboxes = shared.ports.mailboxes.clone();
                under_way.push_back(Box::pin(async move {
                    let _: Result<(), _> = done.send(mailboxes.clear(device).await);
                    Finished::Cleared
                }));
            }
            Work::Finish { done } => finishing = Some(done),
        }
    }
    store(shared, batch, riders, under_way);
    if !riders.is_empty() && (finishing.is_some() || riders.len() >= RIDERS_MAX) {
        commit(shared, Batch { submissions: Vec::new(), riders: std::mem::take(riders) }, under_way);
    }
    finishing
}

fn store(
    shared: &Shared,
    submissions: Vec<Submission>,
    riders: &mut Vec<UnderWay>,
    under_way: &mut FuturesOrdered<Step>,
) {
    if submissions.is_empty() {
        return;
    }
    let mut batch = Batch { submissions, riders: Vec::new() };
    if batch.is_written() {
        batch.riders = std::mem::take(riders);
    }
    commit(shared, batch, under_way);
}

fn commit(shared: &Shared, batch: Batch, under_way: &mut FuturesOrdered<Step>) {
    hit(Point::ServerAccept);
    let entries = batch.submissions.iter().flat_map(|submission| &submission.entries);
    let appends: Vec<Append> = entries
        .filter_map(|entry| {
            let expires = entry.expires?;
            Some(Append { device: entry.device, topic: entry.topic.clone(), expires, envelope: entry.envelope.clone() })
        })
        .collect();
    let riders = batch.riders.iter().chain(batch.submissions.iter().filter_map(|submission| submission.shown.as_ref()));
    let shown: Vec<ShownEpoch> = riders.map(UnderWay::shown).collect();
    let mailboxes = shared.ports.mailboxes.clone();
    under_way.push_back(Box::pin(async move {
        let nothing = appends.is_empty() && shown.is_empty();
        let outcomes = if nothing { Ok(Vec::new()) } else { mailboxes.append(appends, shown).await };
        Finished::Stored { batch, outcomes }
    }));
}

/// Answers and offers what is stored.
fn finish(shared: &Shared, finished: Finished) {
    let Finished::Stored { batch, outcomes } = finished else { return };
    let (outcomes, failure) = match outcomes {
        Ok(outcomes) => (outcomes, None),
        Err(failure) => {
            tracing::warn!(%failure, "envelopes could not be stored; their senders keep them");
            metrics::counter!("halcyon_courier_store_failures_total").increment(1);
            (Vec::new(), Some(failure))
        }
    };
    metrics::counter!("halcyon_courier_batches_total").increment(1);
    metrics::counter!("halcyon_courier_envelopes_stored_total").increment(outcomes.len() as u64);
    let mut outcomes = outcomes.into_iter();
    for Submission { shown, entries, mut reply } in batch.submissions {
        for entry in entries {
            let outcome = match entry.expires {
                // COU-19: it needs no storage, but the epoch that was shown with it does.
                None if failure.is_some() && shown.is_some() => Outcome::Failed,
                None => Outcome::NotStored,
                Some(_) => outcomes.next().map_or(Outcome::Failed, Outcome::from),
            };
            reply.note(entry.part, outcome);
            match outcome {
                Outcome::Stored(position) => deliver::offer(shared, entry, Some(position)),
                Outcome::NotStored => deliver::offer(shared, entry, None),
                Outcome::Full | Outcome::Failed => {}
            }
        }
        hit(Point::ServerAnswer);
        reply.answer(failure.as_ref());
    }
}

impl Batch {
    /// Says whether it goes to the store, so that epochs can ride along.
    fn is_written(&self) -> bool {
        let stored = |submission: &Submission| submission.entries.iter().any(|entry| entry.expires.is_some());
        self.submissions.iter().any(|submission| submission.shown.is_some() || stored(submission))
    }
}

/// What became of one entry.
#[derive(Clone, Copy)]
enum Outcome {
    Stored(u64),
    NotStored,
    Full,
    Failed,
}

impl From<AppendOutcome> for Outcome {
    fn from(outcome: AppendOutcome) -> Self {
        match outcome {
            AppendOutcome::Accepted(position) => Self::Stored(position),
            AppendOutcome::Quota => Self::Full,
        }
    }
}

impl Reply {
    fn note(&mut self, part: usize, outcome: Outcome) {
        let (Self::Connection { sent, .. } | Self::Hold { sent, .. }) = self else { return };
        if let Some(part) = sent.parts.get_mut(part) {
            part.status = match outcome {
                Outcome::Stored(_) | Outcome::NotStored => Status::Accepted,
                Outcome::Full => Status::Quota,
                Outcome::Failed => Status::Unavailable, // COU-44
            };
        }
    }

    fn answer(self, failure: Option<&MailboxError>) {
        match self {
            Self::Connection { handle, sent } => handle.sent(sent),
            // The server may be stopping: then it is made again, and dropped as a duplicate (RCV-4).
            Self::Hold { sent, done } => drop(done.send(sent)),
            // A full mailbox does not fail an alert: its owner sees the change in the device list all the same.
            Self::Notifier(reply) => drop(reply.send(failure.map_or(Ok(()), |failure| Err(failure.clone())))),
        }
    }
}

/// Requests that wait in line. A connection whose request does not fit stops reading, so this bounds memory.
pub(super) const WORK_MAX: usize = 1_024;

/// Requests of one batch. More would only make the first one wait longer.
const BATCH_SUBMISSIONS_MAX: usize = 512;

/// Epochs that wait for a commit to ride with; so many are worth one of their own.
const RIDERS_MAX: usize = 512;

/// One batch is being synced, one waits at the store for its turn, one gathers what came since: the store never waits for
/// us, and small batches do not each cost a round.
const BATCHES_UNDER_WAY: usize = 3;
