//! One device's connection, from connected to its end. Spec: 30-courier.md §2 to §5.
//!
//! Owns the order in which one connection reads, stores, delivers and writes, and its timers. What a frame means and what
//! is due is [`Hub`]'s to say; this only does it.
//!
//! - One future, polled by hand: it waits for bytes, for its inbox, for storage and for time at once, and while it waits
//!   for bytes alone it holds no buffer.
//! - It reads no further frame while too much waits to be written or stored, so a device costs bounded memory.
//! - Sends of one connection are checked one after the other and stored in that order.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use halcyon_courier::bucket::TokenBucket;
use halcyon_courier::frame::ServerFrame;
use halcyon_courier::hold::HeldAnswer;
use halcyon_courier::hub::{Action, Hub, Stored};
use halcyon_courier::{ClientFrame, Close, CloseCode, SendRequest};
use halcyon_types::{AccountId, DeviceId};
use tokio::time::{Instant, Sleep};

use super::accept::{self, Checked};
use super::commit::{Reply, Submission, Work};
use super::connections::Handle;
use super::frames::{Frames, Received};
use super::{Shared, deliver, hold};
use crate::ports::MailboxError;

/// Who is at the other end, as authenticated.
#[derive(Clone, Copy)]
pub(super) struct Peer {
    pub(super) account: AccountId,
    pub(super) device: DeviceId,
}

/// The future of one connection.
pub(super) struct Connection<F: Frames> {
    shared: Arc<Shared>,
    frames: F,
    handle: Arc<Handle>,
    peer: Peer,
    hub: Hub,
    /// What the hub wants done. Empty between polls.
    actions: Vec<Action>,
    /// The read of the mailbox that is under way.
    reading: Option<Task<Result<Vec<Stored>, MailboxError>>>,
    /// The send that is being checked and put in line.
    accepting: Option<Task<()>>,
    /// The acknowledgement that is being handed over, and those that came meanwhile.
    acknowledging: Option<Task<()>>,
    /// A hold, or a question about one, that is not answered.
    holding: Option<Task<HeldAnswer>>,
    acknowledged: Vec<u64>,
    /// Sends that are not answered.
    unanswered: usize,
    /// The device said good-bye.
    left: bool,
    ending: Option<Ending>,
    /// Since when the device takes none of what waits to be written.
    stalled_since: Option<Instant>,
    /// Bytes that it took since then.
    taken_since: usize,
    /// Frames that it may still send at once (COU-16), and until when no more are taken from it.
    frame_rate: TokenBucket,
    paused_until: Option<Instant>,
    /// Since when a frame is here without its rest (COU-3).
    midway_since: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A connection on its way out.
enum Ending {
    /// Answers are outstanding; then the close is sent.
    Answering { close: Close, until: Instant },
    /// The close is being written.
    Closing { until: Instant },
}

impl<F: Frames> Connection<F> {
    pub(super) fn new(
        shared: Arc<Shared>,
        frames: F,
        handle: Arc<Handle>,
        peer: Peer,
        hub: Hub,
        actions: Vec<Action>,
    ) -> Self {
        let timer = Box::pin(tokio::time::sleep(shared.limits.idle_timeout().to_std()));
        let frame_rate = TokenBucket::full(shared.limits.frames_burst, shared.ports.clock.now());
        Self {
            shared,
            frames,
            handle,
            peer,
            hub,
            actions,
            reading: None,
            accepting: None,
            holding: None,
            acknowledging: None,
            acknowledged: Vec::new(),
            unanswered: 0,
            left: false,
            ending: None,
            stalled_since: None,
            taken_since: 0,
            frame_rate,
            paused_until: None,
            midway_since: None,
            timer,
        }
    }

    /// Does everything that can be done now. Ready when the connection is over.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.act();
        self.take_inbox(cx);
        self.advance_tasks(cx);
        if self.receive(cx).is_ready() {
            return Poll::Ready(());
        }
        let took_frames = self.may_receive();
        if self.flush(cx).is_ready() {
            return Poll::Ready(());
        }
        if !took_frames && self.may_receive() {
            // What was written made room: frames that are here already were not asked for, so nothing else wakes this.
            cx.waker().wake_by_ref();
        }
        self.watch(cx)
    }

    /// Takes what others have for this connection.
    fn take_inbox(&mut self, cx: &Context<'_>) {
        let inbox = self.handle.take(cx);
        for sent in inbox.sent {
            self.unanswered = self.unanswered.saturating_sub(1);
            self.hub.sent(sent, &mut self.actions);
        }
        for notification in inbox.notifications {
            self.hub.on_notification(notification, &mut self.actions);
        }
        if let Some(close) = inbox.close {
            self.end(close);
        }
        self.act();
    }

    /// Polls what is under way until none of it gets further.
    fn advance_tasks(&mut self, cx: &mut Context<'_>) {
        while let Some(found) = poll_task(&mut self.reading, cx) {
            match found {
                Ok(found) => self.hub.read(found, &mut self.actions),
                Err(failure) => {
                    tracing::warn!(%failure, "a mailbox could not be read");
                    self.hub.read_failed();
                }
            }
            self.act();
        }
        while poll_task(&mut self.acknowledging, cx).is_some() {
            self.act();
        }
        let _ = poll_task(&mut self.accepting, cx);
        if let Some(answer) = poll_task(&mut self.holding, cx) {
            self.hub.held(answer, &mut self.actions);
            self.act();
        }
    }

    /// Takes frames while there is room for what follows from them. Ready when the device is gone.
    fn receive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..FRAMES_AT_A_TIME {
            if !self.may_receive() {
                // The rest of a frame may be here, unread for our reasons.
                self.midway_since = None;
                return Poll::Pending;
            }
            let received = self.frames.poll_receive(cx, self.shared.limits.frame_bytes_max);
            self.note_time(received.is_ready());
            match received {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Received::Control) => {}
                Poll::Ready(Received::Gone) => return Poll::Ready(()),
                Poll::Ready(Received::Malformed(error)) => self.end(error.to_close()),
                Poll::Ready(Received::Frame(frame)) => match ClientFrame::decode(frame) {
                    Ok(frame) => self.hub.on_frame(frame, self.shared.ports.clock.now(), &mut self.actions),
                    Err(error) => self.end(error.to_close()),
                },
            }
            self.act();
            if self.left {
                return Poll::Ready(());
            }
            self.advance_tasks(cx);
        }
        // There may be more at hand: others have their turn first.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn may_receive(&self) -> bool {
        let room = self.frames.queued_bytes() < QUEUED_BYTES_MAX;
        let rested = self.paused_until.is_none_or(|until| Instant::now() >= until);
        self.ending.is_none()
            && self.accepting.is_none()
            && self.holding.is_none()
            && self.hub.wants_frames()
            && room
            && rested
    }

    /// Notes what a look at the device's bytes says about time.
    fn note_time(&mut self, received: bool) {
        if received {
            // COU-16: what comes faster than this waits in the network, and costs nobody else anything.
            let limits = &self.shared.limits;
            if !self.frame_rate.take(limits.frames_per_s, limits.frames_burst, self.shared.ports.clock.now()) {
                self.paused_until = Some(Instant::now() + FRAMES_PAUSE);
            }
            self.midway_since = None;
        } else if !self.frames.is_midway() {
            self.midway_since = None;
        } else if self.midway_since.is_none() {
            self.midway_since = Some(Instant::now());
        }
    }

    /// Does what the hub wants done.
    fn act(&mut self) {
        if self.actions.is_empty() {
            return;
        }
        for action in std::mem::take(&mut self.actions) {
            match action {
                Action::Write(frame) if !self.is_closing() => self.frames.queue(frame),
                Action::Write(_) => {}
                Action::Accept(request) => self.accept(request),
                Action::Hold(request) => {
                    self.holding = Some(Box::pin(hold::hold(self.shared.clone(), *request, self.peer)));
                }
                Action::Ask(question) => {
                    self.holding = Some(Box::pin(hold::ask(self.shared.clone(), question, self.peer.account)));
                }
                Action::Read(read) => {
                    let read = deliver::read(self.shared.clone(), self.peer.device, self.hub.topics().clone(), read);
                    self.reading = Some(Box::pin(read));
                }
                Action::Acknowledge(positions) => self.acknowledged.extend(positions),
                Action::Close(close) => self.end(close),
                Action::Left(_) => self.left = true,
            }
        }
        if !self.acknowledged.is_empty() && self.acknowledging.is_none() {
            let (shared, device, positions) =
                (self.shared.clone(), self.peer.device, std::mem::take(&mut self.acknowledged));
            self.acknowledging = Some(Box::pin(async move {
                if let Err(failure) = shared.ports.mailboxes.acknowledge(device, positions).await {
                    // They come again after the next connect, and are dropped there (COU-53).
                    tracing::debug!(%failure, "an acknowledgement could not be stored");
                }
            }));
        }
    }

    fn accept(&mut self, request: SendRequest) {
        self.unanswered += 1;
        let (shared, handle, peer) = (self.shared.clone(), self.handle.clone(), self.peer);
        let shown = shared.epochs.show(peer.device, request.epoch);
        self.accepting = Some(Box::pin(async move {
            let _admitted = shared.admission.enter().await;
            let Checked { sent, entries } =
                accept::check(request, peer, &*shared.ports.recipients, shared.ports.clock.now(), accept::Sealed::Now)
                    .await;
            if entries.is_empty() {
                handle.sent(sent);
                if let Some(shown) = shown {
                    // COU-19: what was sealed is used, even if nobody gets it. The server stopping is all that is in its way.
                    let _ = shared.work.send(Work::Show(shown)).await;
                }
                return;
            }
            let submission = Submission { shown, entries, reply: Reply::Connection { handle, sent } };
            if let Err(refused) = shared.work.send(Work::Store(submission)).await
                && let Work::Store(Submission { reply: Reply::Connection { handle, sent }, .. }) = refused.0
            {
                // The server is stopping, and this did not get in line: its envelopes stand as unavailable.
                handle.sent(sent);
            }
        }));
    }

    /// Begins the end, unless it began already.
    fn end(&mut self, close: Close) {
        if self.ending.is_none() {
            self.ending = Some(Ending::Answering { close, until: Instant::now() + ENDING_MAX });
        }
    }

    fn is_closing(&self) -> bool {
        matches!(self.ending, Some(Ending::Closing { .. }))
    }

    /// Writes what waits; ready when the last frame is out, or the device cannot be reached.
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // COU-56: what was stored is answered before the end.
        let answered = self.unanswered == 0 && self.accepting.is_none() && self.holding.is_none();
        if let Some(Ending::Answering { close, until }) =
            self.ending.take_if(|ending| answered && matches!(ending, Ending::Answering { .. }))
        {
            self.frames.queue(ServerFrame::Close(close));
            self.ending = Some(Ending::Closing { until });
        }
        let before = self.frames.queued_bytes();
        match self.frames.poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.stalled_since = None;
                self.taken_since = 0;
                if self.is_closing() {
                    return self.frames.poll_shutdown(cx).map(drop);
                }
                Poll::Pending
            }
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Pending => {
                // A byte now and then is no progress.
                self.taken_since += before.saturating_sub(self.frames.queued_bytes());
                if self.stalled_since.is_none() || self.taken_since >= STALLED_BYTES_MIN {
                    self.stalled_since = Some(Instant::now());
                    self.taken_since = 0;
                }
                Poll::Pending
            }
        }
    }

    /// Looks at the time; ready when it is up.
    fn watch(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let soonest = self.soonest();
            if soonest < self.timer.deadline() {
                self.timer.as_mut().reset(soonest);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            let gave_up = match &self.ending {
                Some(Ending::Answering { until, .. } | Ending::Closing { until }) => now >= *until,
                // A reader that stopped holds buffers.
                None => self.stalled_since.is_some_and(|since| now >= since + STALLED_MAX),
            };
            if gave_up {
                return Poll::Ready(());
            }
            if self.paused_until.is_some_and(|until| now >= until) {
                // Frames may wait that nothing else would wake this for.
                self.paused_until = None;
                cx.waker().wake_by_ref();
            }
            let present = self.shared.ports.clock.now();
            self.hub.on_deadline(present, &mut self.actions); // COU-15
            if self.midway_since.is_some_and(|since| now >= since + self.shared.limits.frame_timeout.to_std()) {
                // COU-3
                self.midway_since = None;
                self.actions.push(Action::Close(Close::new(CloseCode::Idle, "the rest of a frame did not come")));
            }
            let silent_for = self.hub.deadline().since(present).to_std().max(TIMER_STEP);
            self.timer.as_mut().reset(now + silent_for);
            if !self.actions.is_empty() {
                // The close of a silent connection is to be written.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// When the timer must fire at the latest for what is short-lived. The idle deadline only moves away, so the timer is
    /// set for it anew when it fires, not at every frame.
    fn soonest(&self) -> Instant {
        if let Some(Ending::Answering { until, .. } | Ending::Closing { until }) = self.ending {
            return until;
        }
        let stalled = self.stalled_since.map(|since| since + STALLED_MAX);
        let midway = self.midway_since.map(|since| since + self.shared.limits.frame_timeout.to_std());
        let soon = [stalled, midway, self.paused_until].into_iter().flatten().min();
        soon.unwrap_or_else(|| self.timer.deadline())
    }
}

impl<F: Frames> Future for Connection<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.get_mut().advance(cx)
    }
}

impl<F: Frames> Drop for Connection<F> {
    fn drop(&mut self) {
        self.shared.connections.remove(&self.handle);
    }
}

/// Returns what a task came to, and takes it away.
fn poll_task<T>(task: &mut Option<Task<T>>, cx: &mut Context<'_>) -> Option<T> {
    match task.as_mut()?.as_mut().poll(cx) {
        Poll::Ready(done) => {
            *task = None;
            Some(done)
        }
        Poll::Pending => None,
    }
}

/// Frames that one connection takes before others have their turn.
const FRAMES_AT_A_TIME: usize = 64;

/// Bytes that may wait to be written before no more frames are taken. Deliveries are bounded by the window as well.
const QUEUED_BYTES_MAX: usize = 256 * 1024;

/// How long a device may take none of what waits for it, or next to none.
const STALLED_MAX: Duration = Duration::from_secs(30);

/// What counts as taking some of it: 270 bytes a second, which any telephone network carries.
const STALLED_BYTES_MIN: usize = 8 * 1024;

/// How long frames of a device that was too fast are left unread; long enough that waking up for them costs little.
const FRAMES_PAUSE: Duration = Duration::from_millis(20);

/// How long an ending connection waits for answers and for the device to take them: inside the time of a shutdown.
const ENDING_MAX: Duration = Duration::from_secs(5);

/// A timer is never set for less, whatever two clocks say.
const TIMER_STEP: Duration = Duration::from_millis(1);
