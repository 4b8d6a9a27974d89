//! Being connected before anybody unlocked the profile: what comes is kept, sealed as it is, and acknowledged once it is on stable storage.
//! Spec: 70-keychain.md (KEY-11), 30-courier.md (COU-20 to COU-22).
//!
//! Owns when to connect, and the order of keeping and acknowledging. Does not know what a delivery is, or where it is kept.
//!
//! - Nothing is acknowledged that was not kept: what cannot be kept stays at the server.

use std::sync::Arc;

use halcyon_courier::{
    ServerFrame, Topics,
    link::{KeepAliveInterval, Link, LinkConfig, LinkEvent},
};
use halcyon_types::{Duration, Timestamp};
use tokio::{sync::watch, task::JoinHandle};

use super::{Ended, Verdict, until_stopped, verdict, writer::Writer};
use crate::{
    event::ConnectionState,
    outbox::backoff,
    ports::{Clock, CourierConnector, Inbox, Random, StoreError},
    receiver::Receiver,
    state::PortRng,
};

/// When nothing is due, a look at the clock now and then does no harm.
const NOTHING_DUE: Duration = Duration::from_mins(60);
/// After the profile was online elsewhere, or its disk failed, there is no hurry.
const PAUSE_LONG: Duration = Duration::from_mins(1);

/// What receiving needs of the world.
pub struct ReceiverParts {
    /// Connections to the courier of the receiver's server.
    pub courier: Arc<dyn CourierConnector>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where randomness comes from.
    pub random: Arc<dyn Random>,
    /// Where deliveries go.
    pub inbox: Box<dyn Inbox>,
}

/// Receives for a device whose profile is locked, until it is stopped. Needs a tokio runtime with time.
pub struct LockedConnection {
    stop: watch::Sender<bool>,
    state: watch::Receiver<ConnectionState>,
    kept: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

impl LockedConnection {
    /// Connects, and stays connected.
    #[must_use]
    pub fn start(receiver: Receiver, parts: ReceiverParts) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (state_told, state) = watch::channel(ConnectionState::Connecting);
        let (kept_told, kept) = watch::channel(0);
        let server_ahead_ms = 0;
        let mut locked = Locked { receiver, parts, state: state_told, kept: kept_told, server_ahead_ms };
        let task = tokio::spawn(async move { locked.run(stopped).await });
        Self { stop, state, kept, task }
    }

    /// Returns how it stands with the courier now.
    #[must_use]
    pub fn connection(&self) -> ConnectionState {
        self.state.borrow().clone()
    }

    /// Returns how many deliveries were kept since it was started.
    #[must_use]
    pub fn kept(&self) -> u64 {
        *self.kept.borrow()
    }

    /// Ends it, and returns when nothing is added any more.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        // A task that panicked has ended, too.
        let _ = (&mut self.task).await;
    }
}

impl Drop for LockedConnection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Locked {
    receiver: Receiver,
    parts: ReceiverParts,
    state: watch::Sender<ConnectionState>,
    kept: watch::Sender<u64>,
    server_ahead_ms: i64,
}

impl Locked {
    async fn run(&mut self, mut stopped: watch::Receiver<bool>) {
        let (mut keep_alive, mut attempts, mut clock_was_set) = (KeepAliveInterval::default(), 0, false);
        loop {
            self.state.send_replace(ConnectionState::Connecting);
            let (ended, was_online) = self.connect(&mut keep_alive, &mut stopped).await;
            if was_online {
                (attempts, clock_was_set) = (0, false);
            }
            let (cause, at_least) = match ended {
                Ended::Stopped => break,
                Ended::Lost(cause) => (cause, Duration::default()),
                Ended::Profile(error) => (error.to_string(), PAUSE_LONG),
                Ended::Closed(close) => match verdict(&close) {
                    Verdict::ClockSkew(Some(server_time)) if !clock_was_set => {
                        clock_was_set = true;
                        let ahead =
                            i128::from(server_time.as_millis()) - i128::from(self.parts.clock.now().as_millis());
                        self.server_ahead_ms = i64::try_from(ahead).unwrap_or(0);
                        continue;
                    }
                    Verdict::ClockSkew(_) => ("this device's clock is wrong".to_owned(), Duration::default()),
                    // Another process of this profile has its turn, and whoever unlocks it ends this.
                    Verdict::Replaced(cause) => (cause.to_owned(), PAUSE_LONG),
                    Verdict::Revoked(cause) | Verdict::Refused(cause) => {
                        self.state.send_replace(ConnectionState::Refused { cause: cause.to_owned() });
                        return until_stopped(&mut stopped).await;
                    }
                    Verdict::Other => (
                        format!("the server ended the connection: {}", close.detail),
                        close.retry_after.unwrap_or_default(),
                    ),
                },
            };
            let pause = backoff(attempts, &mut PortRng(&*self.parts.random)).max(at_least);
            attempts = attempts.saturating_add(1);
            let until = self.parts.clock.now().plus(pause);
            self.state.send_replace(ConnectionState::Waiting { cause, until });
            tokio::select! {
                biased;
                () = until_stopped(&mut stopped) => break,
                () = tokio::time::sleep(pause.to_std()) => {}
            }
        }
        self.state.send_replace(ConnectionState::Offline);
    }

    /// One connection. Says whether the device was online.
    async fn connect(
        &mut self,
        keep_alive: &mut KeepAliveInterval,
        stopped: &mut watch::Receiver<bool>,
    ) -> (Ended, bool) {
        let connecting = self.parts.courier.connect();
        let channel = tokio::select! {
            biased;
            () = until_stopped(stopped) => return (Ended::Stopped, false),
            channel = connecting => channel,
        };
        let channel = match channel {
            Ok(channel) => channel,
            Err(error) => return (error.into(), false),
        };
        let config = LinkConfig {
            device: self.receiver.device,
            epoch: 0,
            audience: self.receiver.server.host().to_owned(),
            binding: channel.binding,
            topics: Topics::messages_and_alerts(),
            grant: Some(self.receiver.grant.clone()),
            keep_alive: *keep_alive,
        };
        let mut link = Link::begin(config, self.server_now());
        let (mut writer, mut source) = (Writer::new(channel.sink), channel.source);
        let mut was_online = false;
        let ended = loop {
            let now = self.server_now();
            let wake = link.deadline().map_or(NOTHING_DUE, |at| at.since(now)).to_std();
            let mut out = Vec::new();
            let stepped = tokio::select! {
                biased;
                () = until_stopped(stopped) => {
                    link.close(&mut out);
                    let _ = self.act(&mut link, &writer, out, &mut was_online);
                    break Ended::Stopped;
                }
                error = writer.broken() => Err(error.into()),
                frame = source.receive() => match frame {
                    Ok(Some(frame)) => self.take_frame(&mut link, frame, &mut out),
                    Ok(None) => Err(Ended::Lost("the server ended the connection".to_owned())),
                    Err(error) => Err(error.into()),
                },
                () = tokio::time::sleep(wake) => {
                    link.on_deadline(self.server_now(), &mut out).map_err(|error| Ended::Lost(error.to_string()))
                }
            };
            let acted = self.act(&mut link, &writer, out, &mut was_online);
            if let Err(ended) = acted.and(stepped) {
                break ended;
            }
        };
        *keep_alive = link.keep_alive();
        if matches!(ended, Ended::Lost(_)) && was_online {
            *keep_alive = keep_alive.lost();
        }
        writer.close().await;
        (ended, was_online)
    }

    fn take_frame(&self, link: &mut Link, frame: bytes::Bytes, out: &mut Vec<LinkEvent>) -> Result<(), Ended> {
        let frame = ServerFrame::decode(frame).map_err(|error| Ended::Lost(error.to_string()))?;
        let taken = link.on_frame(frame, &self.receiver.key, self.server_now(), out);
        taken.map_err(|error| Ended::Lost(error.to_string()))
    }

    /// Does what the link asks for.
    fn act(
        &mut self,
        link: &mut Link,
        writer: &Writer,
        out: Vec<LinkEvent>,
        was_online: &mut bool,
    ) -> Result<(), Ended> {
        for event in out {
            match event {
                LinkEvent::Write(frame) => writer.write(frame.encode()),
                LinkEvent::Connected(_) => {
                    *was_online = true;
                    self.state.send_replace(ConnectionState::Online { since: self.parts.clock.now() });
                }
                LinkEvent::Delivered(delivery) => {
                    // KEY-11: first kept, then acknowledged.
                    self.parts.inbox.add(&delivery.bytes).map_err(|error: StoreError| Ended::Profile(error.into()))?;
                    self.kept.send_modify(|kept| *kept += 1);
                    let mut acknowledged = Vec::new();
                    link.committed(delivery.seq, self.server_now(), &mut acknowledged);
                    for event in acknowledged {
                        if let LinkEvent::Write(frame) = event {
                            writer.write(frame.encode());
                        }
                    }
                }
                LinkEvent::Closed(close) => return Err(Ended::Closed(close)),
                // Nothing was sent.
                LinkEvent::Sent(_) | LinkEvent::Held(_) => {}
            }
        }
        Ok(())
    }

    fn server_now(&self) -> Timestamp {
        Timestamp::from_millis(self.parts.clock.now().as_millis().saturating_add_signed(self.server_ahead_ms))
    }
}
