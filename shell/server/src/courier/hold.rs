//! Holds sends until they are due, and makes them then. Spec: 30-courier.md §6 (COU-60 to COU-66).
//!
//! Owns when a send that is held is made, and what becomes of it then. Does not know who sealed what, or how holds are kept: they
//! are a port.
//!
//! - A hold is answered after stable storage, as a send is (COU-61).
//! - What is made is marked as such before anything of it is stored, and forgotten after: a crash in between makes it twice, which
//!   receivers drop (RCV-4), and never makes what was taken back.
//! - While nothing is held, nothing is read or written.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use halcyon_courier::hold::{HeldAnswer, HoldQuestion, HoldRequest};
use halcyon_courier::limits::{HOLDS_BYTES_MAX, HOLDS_MAX, HOLDS_REMEMBERED_MAX};
use halcyon_courier::send::UncheckedSend;
use halcyon_courier::{HoldState, Sent, Status};
use halcyon_types::{AccountId, Timestamp};
use tokio::sync::{Notify, oneshot};

use super::accept::{self, Checked, Sealed};
use super::commit::{Reply, Submission, Work};
use super::connection::Peer;
use super::epochs::UnderWay;
use super::{Shared, expire};
use crate::ports::{DirectoryStoreError, Held, HoldRoom};

/// When the next send that is held is due, for the one task that makes them.
#[derive(Clone, Default)]
pub(super) struct Timetable(Arc<Times>);

#[derive(Default)]
struct Times {
    next: Mutex<Option<Timestamp>>,
    earlier: Notify,
}

impl Timetable {
    fn next(&self) -> Option<Timestamp> {
        *self.0.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, next: Option<Timestamp>) {
        *self.0.next.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }

    /// Notes that something is due at a time.
    fn add(&self, due: Timestamp) {
        let mut next = self.0.next.lock().unwrap_or_else(PoisonError::into_inner);
        if next.is_none_or(|next| due < next) {
            *next = Some(due);
            self.0.earlier.notify_one();
        }
    }
}

/// Holds a send of an authenticated device, all of it or nothing (COU-61).
pub(super) async fn hold(shared: Arc<Shared>, request: HoldRequest, peer: Peer) -> HeldAnswer {
    let HoldRequest { hold, send } = request;
    let id = hold.id;
    // COU-61: before it is held, since what is made later shows none.
    if let Some(shown) = shared.epochs.show(peer.device, send.epoch)
        && !remember(&shared, shown).await
    {
        return HeldAnswer::refused(id, Vec::new());
    }
    let now = shared.ports.clock.now();
    let Checked { sent, entries } = accept::check(send, peer, &*shared.ports.recipients, now, Sealed::Now).await;
    if entries.len() < sent.parts.len() {
        return HeldAnswer::refused(id, sent.parts);
    }
    // COU-60: what is due already is made at once, and waits as long as what is sent now.
    let due = hold.due.max(now);
    let held = Held { hold: hold.hold, account: peer.account, device: peer.device, due, send: hold.send.to_bytes() };
    let room = HoldRoom { count: HOLDS_MAX, bytes: HOLDS_BYTES_MAX, remembered: HOLDS_REMEMBERED_MAX };
    match shared.ports.holds.hold(held, hold.replaces, room).await {
        Ok(state) => {
            if state == HoldState::Held {
                shared.timetable.add(due);
            }
            HeldAnswer::new(id, state)
        }
        Err(failure) => {
            tracing::warn!(%failure, "a send could not be held; its sender keeps it");
            HeldAnswer::refused(id, sent.parts)
        }
    }
}

/// Puts an epoch on stable storage; says whether it is there.
async fn remember(shared: &Shared, shown: UnderWay) -> bool {
    let (done, stored) = oneshot::channel();
    let submission = Submission { shown: Some(shown), entries: Vec::new(), reply: Reply::Notifier(done) };
    // The server stopping is an answer, too.
    shared.work.send(Work::Store(submission)).await.is_ok() && matches!(stored.await, Ok(Ok(())))
}

/// Says what became of a hold, and takes it back if that is asked for and not too late (COU-63).
pub(super) async fn ask(shared: Arc<Shared>, question: HoldQuestion, account: AccountId) -> HeldAnswer {
    match shared.ports.holds.ask(account, question.hold, question.cancel).await {
        Ok(state) => HeldAnswer::new(question.id, state),
        Err(failure) => {
            tracing::warn!(%failure, "holds cannot be read; whoever asked has to ask again");
            HeldAnswer::refused(question.id, Vec::new())
        }
    }
}

/// Makes what is due, until the courier is gone.
pub(super) async fn run(shared: Weak<Shared>, timetable: Timetable) {
    // COU-66: what came due while the server was down.
    timetable.set(Some(Timestamp::default()));
    loop {
        let pause = {
            let Some(shared) = shared.upgrade() else { return };
            let now = shared.ports.clock.now();
            if timetable.next().is_some_and(|next| next <= now) {
                timetable.set(None);
                let next = match make_due(&shared).await {
                    Ok(next) => next,
                    Err(failure) => {
                        tracing::warn!(%failure, "sends that are due could not be made; trying again later");
                        Some(shared.ports.clock.now().plus(TRY_AGAIN))
                    }
                };
                next.into_iter().for_each(|next| timetable.add(next));
            }
            let now = shared.ports.clock.now();
            timetable.next().map_or(expire::EVERY, |next| next.since(now).to_std().min(LOOK_EVERY))
        };
        tokio::select! {
            biased;
            () = timetable.0.earlier.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Makes everything that is due now. Returns when there is more to do.
async fn make_due(shared: &Shared) -> Result<Option<Timestamp>, DirectoryStoreError> {
    loop {
        // Asked first, since taking is a commit.
        let Some(next) = shared.ports.holds.next().await? else { return Ok(None) };
        let now = shared.ports.clock.now();
        if next > now {
            return Ok(Some(next));
        }
        let Some(held) = shared.ports.holds.take(now).await? else { continue };
        let (account, hold) = (held.account, held.hold);
        let Some(sent) = make(shared, &held).await else {
            // The server is stopping; it is taken again by the next one.
            return Ok(None);
        };
        shared.ports.holds.made(account, hold, rest(shared, held, &sent)).await?;
    }
}

/// Sends what was held. Returns what became of it; none if the server is stopping.
async fn make(shared: &Shared, held: &Held) -> Option<Sent> {
    let now = shared.ports.clock.now();
    let nothing = Sent { id: 0, parts: Vec::new() };
    let Some(send) = UncheckedSend::from_bytes(held.send.clone()) else { return Some(nothing) };
    let Ok(request) = send.held_until(held.due).check(&shared.limits, now) else { return Some(nothing) };
    let peer = Peer { account: held.account, device: held.device };
    let (done, made) = oneshot::channel();
    {
        let _admitted = shared.admission.enter().await; // COU-55
        let Checked { sent, entries } =
            accept::check(request, peer, &*shared.ports.recipients, now, Sealed::Earlier).await;
        if entries.is_empty() {
            return Some(sent);
        }
        let submission = Submission { shown: None, entries, reply: Reply::Hold { sent, done } };
        shared.work.send(Work::Store(submission)).await.ok()?;
    }
    made.await.ok()
}

/// COU-65: what found no room, or no disk, is tried again while a send would wait.
fn rest(shared: &Shared, held: Held, sent: &Sent) -> Option<(bytes::Bytes, Timestamp)> {
    let waits = |status| matches!(status, Status::Quota | Status::Unavailable);
    if !sent.parts.iter().any(|part| waits(part.status)) {
        return None;
    }
    let send = UncheckedSend::from_bytes(held.send)?;
    let rest = send.only(|place| sent.parts.get(place).is_some_and(|part| waits(part.status)));
    Some((rest.to_bytes(), shared.ports.clock.now().plus(TRY_AGAIN)))
}

/// A full mailbox stays so until its device comes; a disk, until somebody acts.
const TRY_AGAIN: halcyon_types::Duration = halcyon_types::Duration::from_mins(5);

/// How often the clock is looked at while something is held, since somebody may set it.
const LOOK_EVERY: Duration = Duration::from_secs(30);
