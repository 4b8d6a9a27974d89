//! One connection, from its first frame to its last.
//!
//! The driver of `courier::link`: it owns the order of receiving, acknowledging, planning and sending on one connection. Does not know
//! what a frame means (the link does), what a delivery does (`receive`) or what to send (`outbox`).
//!
//! - Deliveries are taken one after the other, in their order, and reported to the link only after their commit (RCV-1, I2).
//! - An envelope is given to the link only if the outbox holds it, and stays there until its answer (SND-2, I1).

use std::{
    collections::{HashMap, HashSet, VecDeque},
    future::Future,
    pin::Pin,
    sync::Arc,
};

use halcyon_courier::{
    HeldAnswer, ServerFrame, Topics,
    link::{Delivery, KeepAliveInterval, Link, LinkConfig, LinkEvent},
};
use halcyon_failpoint::{Point, hit};
use halcyon_types::{DeviceId, Duration, Handle, Timestamp};
use tokio::sync::{oneshot, watch};

use super::{Ended, until_stopped, writer::Writer};
use crate::{
    client::Inner,
    error::ProfileError,
    outbox::{backoff, plan},
    ports::CourierSource,
    receive::Received,
    scheduled::{Asked, ToAsk},
    typing::NowOrNever,
};

type Work<T> = Option<Pin<Box<dyn Future<Output = T> + Send>>>;

/// Deliveries that may wait here. The server stops at its window (COU-51); one that does not is broken.
const WAITING_MAX: usize = 4096;
/// How often old marks are forgotten and prekeys looked at, besides at each connect.
const HOUSEKEEPING: Duration = Duration::from_mins(60);

/// Connects and stays until something ends it. Says whether the device was online.
pub(super) async fn run(
    inner: &Arc<Inner>,
    keep_alive: &mut KeepAliveInterval,
    stopped: &mut watch::Receiver<bool>,
) -> (Ended, bool) {
    let connecting = inner.courier.connect();
    let channel = tokio::select! {
        biased;
        () = until_stopped(stopped) => return (Ended::Stopped, false),
        channel = connecting => channel,
    };
    let channel = match channel {
        Ok(channel) => channel,
        Err(error) => return (error.into(), false),
    };
    let (device, epoch) = {
        let state = inner.state();
        match (state.any_own(), state.epoch_checked()) {
            (Some(own), Ok(epoch)) => (own.device, epoch),
            (None, _) => return (ProfileError::NoAccount.into(), false),
            (_, Err(error)) => return (error.into(), false),
        }
    };
    let config = LinkConfig {
        device,
        epoch, // REP-21
        audience: inner.server.host().to_owned(),
        binding: channel.binding,
        topics: Topics::messages_and_alerts(),
        grant: None,
        keep_alive: *keep_alive,
    };
    let link = Link::begin(config, inner.server_now());
    let mut session = Session::new(inner.clone(), link, Writer::new(channel.sink));
    let mut ended = session.run(channel.source, stopped).await;
    inner.state().is_newest_copy = false;
    // What came before the connection broke may say why.
    if let Some(close) = session.closed.take() {
        ended = Ended::Closed(close);
    }
    *keep_alive = session.link.keep_alive();
    if matches!(ended, Ended::Lost(_)) && session.was_online {
        *keep_alive = keep_alive.lost();
    }
    let Session { writer, was_online, .. } = session;
    writer.close().await;
    (ended, was_online)
}

struct Session {
    inner: Arc<Inner>,
    link: Link,
    writer: Writer,
    was_online: bool,
    closed: Option<halcyon_courier::Close>,
    /// Deliveries that came and were not taken yet.
    deliveries: VecDeque<Delivery>,
    /// The first of these, being taken.
    receiving: Work<(Delivery, Result<Received, ProfileError>)>,
    receive_attempts: u32,
    /// Sends without an answer, with the devices that they address.
    under_way: HashMap<u64, Vec<DeviceId>>,
    /// Who waits for the answer to one of them.
    answered: HashMap<u64, oneshot::Sender<()>>,
    /// Handles being looked up for jobs that wait.
    sealing: Work<Result<bool, ProfileError>>,
    housekeeping: Work<Result<(), ProfileError>>,
    /// Messages that wait for their time being held, and when they are looked at next.
    tending: Work<Result<Option<Timestamp>, ProfileError>>,
    tend_at: Option<tokio::time::Instant>,
    /// Who waits for the answer to a hold, or to a question about one.
    asked: HashMap<u64, oneshot::Sender<HeldAnswer>>,
    housekeeping_at: tokio::time::Instant,
    /// Lookups for the outbox do not begin before this.
    look_up_at: Option<tokio::time::Instant>,
    look_up_attempts: u32,
    /// When the outbox is to be planned again.
    plan_at: Option<tokio::time::Instant>,
    plan_due: bool,
}

impl Session {
    fn new(inner: Arc<Inner>, link: Link, writer: Writer) -> Self {
        Self {
            inner,
            link,
            writer,
            was_online: false,
            closed: None,
            deliveries: VecDeque::new(),
            receiving: None,
            receive_attempts: 0,
            under_way: HashMap::new(),
            answered: HashMap::new(),
            sealing: None,
            housekeeping: None,
            tending: None,
            tend_at: Some(tokio::time::Instant::now()),
            asked: HashMap::new(),
            housekeeping_at: tokio::time::Instant::now(),
            look_up_at: None,
            look_up_attempts: 0,
            plan_at: None,
            plan_due: false,
        }
    }

    async fn run(&mut self, mut source: Box<dyn CourierSource>, stopped: &mut watch::Receiver<bool>) -> Ended {
        let inner = self.inner.clone();
        loop {
            self.begin_work();
            if self.plan_due && self.link.is_open() {
                self.plan_due = false;
                if let Err(error) = self.send_planned() {
                    return error.into();
                }
                continue;
            }
            let deadline = self.deadline();
            // In this order, so that a run with the same seed is the same run. Nothing starves: what comes first ends, and is begun
            // again only by what comes after it.
            let outcome = tokio::select! {
                biased;
                () = until_stopped(stopped) => {
                    let mut out = Vec::new();
                    self.link.close(&mut out);
                    let _ = self.act(out);
                    Err(Ended::Stopped)
                }
                taken = work(&mut self.receiving) => self.took_delivery(taken),
                sealed = work(&mut self.sealing) => self.sealed(sealed),
                kept = work(&mut self.housekeeping) => self.kept_house(kept),
                tended = work(&mut self.tending) => self.tended(tended),
                error = self.writer.broken() => Err(error.into()),
                frame = source.receive() => match frame {
                    Ok(Some(frame)) => self.take_frame(frame),
                    Ok(None) => Err(Ended::Lost("the server ended the connection".to_owned())),
                    Err(error) => Err(error.into()),
                },
                () = inner.outbox.notified() => { self.plan_due = true; Ok(()) }
                () = inner.scheduled.notified() => { self.tend_at = Some(tokio::time::Instant::now()); Ok(()) }
                () = tokio::time::sleep_until(deadline) => self.on_deadline(),
            };
            if let Err(ended) = outcome {
                return ended;
            }
        }
    }

    /// Begins what is to be done and is not being done.
    fn begin_work(&mut self) {
        if self.receiving.is_none()
            && let Some(delivery) = self.deliveries.pop_front()
        {
            let inner = self.inner.clone();
            self.receiving = Some(Box::pin(async move {
                let received = inner.receive(&delivery).await;
                (delivery, received)
            }));
        }
        if self.housekeeping.is_none() && self.link.is_open() && tokio::time::Instant::now() >= self.housekeeping_at {
            let inner = self.inner.clone();
            self.housekeeping = Some(Box::pin(async move { inner.keep_house().await }));
        }
        let is_due = self.tend_at.is_some_and(|at| tokio::time::Instant::now() >= at);
        if self.tending.is_none() && self.link.is_open() && is_due {
            self.tend_at = None;
            let inner = self.inner.clone();
            self.tending = Some(Box::pin(async move { inner.tend_scheduled().await }));
        }
    }

    fn take_frame(&mut self, frame: bytes::Bytes) -> Result<(), Ended> {
        let broken = |error: String| Ended::Lost(error);
        let frame = ServerFrame::decode(frame).map_err(|error| broken(error.to_string()))?;
        let now = self.inner.server_now();
        let mut out = Vec::new();
        let taken = {
            let state = self.inner.state();
            let Some(own) = state.any_own() else { return Err(ProfileError::NoAccount.into()) };
            self.link.on_frame(frame, &own.keys.device, now, &mut out)
        };
        self.act(out)?;
        taken.map_err(|error| broken(error.to_string()))
    }

    /// Does what the link asks for.
    fn act(&mut self, out: Vec<LinkEvent>) -> Result<(), Ended> {
        for event in out {
            match event {
                LinkEvent::Write(frame) => self.writer.write(frame.encode()),
                LinkEvent::Connected(connected) => {
                    let now = self.inner.now();
                    self.inner.compare_epochs(connected.epoch)?; // REP-21: before anything leaves
                    self.inner.connected(now)?;
                    // SND-6: what is too old is not sent any more, however long this device was away.
                    self.inner.give_up_old_jobs(now)?;
                    self.was_online = true;
                    self.plan_due = true;
                }
                LinkEvent::Sent(sent) => {
                    self.under_way.remove(&sent.id);
                    if let Some(answered) = self.answered.remove(&sent.id) {
                        // Whoever asked may not wait any more.
                        let _ = answered.send(());
                    }
                    self.inner.take_answer(&sent)?;
                    self.plan_due = true;
                }
                LinkEvent::Held(held) => {
                    if let Some(asked) = self.asked.remove(&held.id) {
                        // Whoever asked may not wait any more.
                        let _ = asked.send(held);
                    }
                    self.plan_due = true;
                }
                LinkEvent::Delivered(delivery) => {
                    if self.deliveries.len() >= WAITING_MAX {
                        return Err(Ended::Lost("the server delivers more than its window".to_owned()));
                    }
                    self.deliveries.push_back(delivery);
                }
                LinkEvent::Closed(close) => {
                    self.closed = Some(close.clone());
                    return Err(Ended::Closed(close));
                }
            }
        }
        Ok(())
    }

    fn took_delivery(&mut self, taken: (Delivery, Result<Received, ProfileError>)) -> Result<(), Ended> {
        let (delivery, received) = taken;
        match received {
            Ok(Received::Committed) => {
                self.receive_attempts = 0;
                let mut out = Vec::new();
                self.link.committed(delivery.seq, self.inner.server_now(), &mut out);
                self.act(out)?;
                hit(Point::ClientAcknowledged);
                Ok(())
            }
            // RCV-2: it waits here, and what came after it behind it.
            Ok(Received::NotNow) => {
                let pause = backoff(self.receive_attempts, &mut self.inner.rng());
                self.receive_attempts = self.receive_attempts.saturating_add(1);
                let inner = self.inner.clone();
                self.receiving = Some(Box::pin(async move {
                    tokio::time::sleep(pause.to_std()).await;
                    let received = inner.receive(&delivery).await;
                    (delivery, received)
                }));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Sends what the outbox has for now, and begins the lookups that it needs.
    fn send_planned(&mut self) -> Result<(), ProfileError> {
        self.inner.gather_receipts()?;
        let now = self.inner.now();
        let next_question = self.inner.ask_due(now)?; // REP-11
        let under_way: HashSet<DeviceId> = self.under_way.values().flatten().copied().collect();
        let room = halcyon_courier::link::SENDS_UNANSWERED_MAX.saturating_sub(self.under_way.len());
        let planned = plan::plan(&mut self.inner.state(), &under_way, room, now)?;
        for send in planned.sends {
            let mut out = Vec::new();
            let Ok(id) = self.link.send(send.request, self.inner.server_now(), &mut out) else { break };
            self.under_way.insert(id, send.devices);
            for event in out {
                if let LinkEvent::Write(frame) = event {
                    self.writer.write(frame.encode());
                }
            }
        }
        self.send_now_or_never();
        self.ask_about_holds();
        let typing_ends = self.inner.end_typing(now); // CON-29
        let next = [planned.next, next_question, typing_ends].into_iter().flatten().min();
        self.plan_at = next.map(|next| tokio::time::Instant::now() + next.since(now).to_std());
        self.begin_sealing(planned.look_up.into_iter().collect());
        Ok(())
    }

    /// What is for those who are there leaves on this connection, or not at all (CON-30).
    fn send_now_or_never(&mut self) {
        let to_send = std::mem::take(&mut self.inner.state().typists.to_send);
        for NowOrNever { send, answered } in to_send {
            let mut out = Vec::new();
            let Ok(id) = self.link.send(send.request, self.inner.server_now(), &mut out) else { continue };
            self.under_way.insert(id, send.devices);
            self.answered.insert(id, answered);
            for event in out {
                if let LinkEvent::Write(frame) = event {
                    self.writer.write(frame.encode());
                }
            }
        }
    }

    /// SCD-3: in the order in which it was asked, so that what is taken back is not held after.
    fn ask_about_holds(&mut self) {
        while self.link.can_send() {
            let Some(ToAsk { what, answer }) = self.inner.state().holds.next() else { return };
            let (mut out, now) = (Vec::new(), self.inner.server_now());
            let asked = match what {
                Asked::Hold(hold) => self.link.hold(*hold, now, &mut out),
                Asked::Question(question) => self.link.ask(question, now, &mut out),
            };
            let Ok(id) = asked else { return };
            self.asked.insert(id, answer);
            for event in out {
                if let LinkEvent::Write(frame) = event {
                    self.writer.write(frame.encode());
                }
            }
        }
    }

    fn tended(&mut self, tended: Result<Option<Timestamp>, ProfileError>) -> Result<(), Ended> {
        if let Some(next) = tended? {
            let at = tokio::time::Instant::now() + next.since(self.inner.server_now()).to_std();
            self.tend_at = Some(self.tend_at.map_or(at, |before| before.min(at)));
        }
        Ok(())
    }

    fn begin_sealing(&mut self, handles: Vec<Handle>) {
        if handles.is_empty() || self.sealing.is_some() {
            return;
        }
        let inner = self.inner.clone();
        let pause = self.look_up_at.take();
        self.sealing = Some(Box::pin(async move {
            if let Some(pause) = pause {
                tokio::time::sleep_until(pause).await;
            }
            inner.seal_waiting(handles).await
        }));
    }

    fn sealed(&mut self, sealed: Result<bool, ProfileError>) -> Result<(), Ended> {
        let all_resolved = sealed?;
        self.plan_due = true;
        if all_resolved {
            // What the next plan asks for is new, as a receipt that was gathered in the meantime.
            self.look_up_attempts = 0;
            self.look_up_at = None;
            return Ok(());
        }
        // The next plan may ask for the same again; that takes its time.
        let pause = backoff(self.look_up_attempts, &mut self.inner.rng());
        self.look_up_attempts = self.look_up_attempts.saturating_add(1);
        self.look_up_at = Some(tokio::time::Instant::now() + pause.to_std());
        Ok(())
    }

    fn kept_house(&mut self, kept: Result<(), ProfileError>) -> Result<(), Ended> {
        kept?;
        self.housekeeping_at = tokio::time::Instant::now() + HOUSEKEEPING.to_std();
        self.plan_due = true;
        Ok(())
    }

    fn on_deadline(&mut self) -> Result<(), Ended> {
        let now = tokio::time::Instant::now();
        if self.plan_at.is_some_and(|at| now >= at) {
            self.plan_at = None;
            self.plan_due = true;
        }
        let mut out = Vec::new();
        let due = self.link.on_deadline(self.inner.server_now(), &mut out);
        self.act(out)?;
        due.map_err(|error| Ended::Lost(error.to_string()))
    }

    /// When to wake up if nothing happens.
    fn deadline(&self) -> tokio::time::Instant {
        let now = tokio::time::Instant::now();
        let server_now = self.inner.server_now();
        let link = self.link.deadline().map(|at: Timestamp| now + at.since(server_now).to_std());
        // Not before the device is let in: what is due and cannot be begun yet is no reason to wake up at once, again and again.
        let house = (self.housekeeping.is_none() && self.link.is_open()).then_some(self.housekeeping_at);
        let tend = self.tend_at.filter(|_| self.tending.is_none() && self.link.is_open());
        [link, self.plan_at, house, tend].into_iter().flatten().min().unwrap_or(now + HOUSEKEEPING.to_std())
    }
}

/// Waits for work that is being done, and takes its result; for ever if there is none.
async fn work<T>(slot: &mut Work<T>) -> T {
    match slot {
        Some(future) => {
            let done = future.await;
            *slot = None;
            done
        }
        None => std::future::pending().await,
    }
}

impl Inner {
    /// What is done at each connect and every hour: the own account, prekeys, and what is old.
    async fn keep_house(&self) -> Result<(), ProfileError> {
        let now = self.now();
        self.forget_old(now)?;
        self.give_up_old_jobs(now)?;
        self.forget_sent(now)?;
        // The server may be busy, or its word is not believed: then the person was alarmed, and the next hour comes.
        if let Ok(own) = self.fetch_own().await {
            self.keep_handles(&own.answer.handles)?;
            let _ = self.accept_answer(own);
        }
        self.ask_for_choices()?;
        let _ = self.roll_prekeys().await?;
        self.open_again().await
    }
}
