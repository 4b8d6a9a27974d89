//! The courier's server: takes what devices send, stores it, delivers it. Spec: 30-courier.md.
//!
//! Owns the order of things: check, store, answer, deliver. Does not know TLS, sockets or SQL: connections come as
//! [`Frames`], mailboxes and directory are ports.
//!
//! - An answer to a send goes out after stable storage, never before (COU-41, I10).
//! - One task a connection, none a mailbox. A connection that is idle holds no buffer.
//! - For one device, what is stored is offered in the order in which it was stored (COU-50).
//!
//! Next: [`connection`] is one device's loop; [`accept`] checks a send, [`commit`] stores what all connections accepted,
//! [`deliver`] takes it to those connected; [`hold`] makes sends that are due later.

mod accept;
mod admission;
mod commit;
mod connection;
mod connections;
mod deliver;
mod epochs;
mod expire;
mod frames;
mod handshake;
mod hold;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use halcyon_courier::bucket::SendBudgets;
use halcyon_courier::connect::ChannelBinding;
use halcyon_courier::limits::{EXPIRY_MAX, Limits};
use halcyon_courier::{Close, Envelope, Origin};
use halcyon_types::{DeviceId, EnvelopeId, Topic};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

pub use frames::{ByteFrames, Frames, Received};

use crate::ports::{Clock, Holds, MailboxError, Mailboxes, Notifier, Random, Recipients};
use admission::Admission;
use commit::{Entry, Reply, Submission, Work};
use connections::Connections;
use epochs::Epochs;
use hold::Timetable;

/// The courier of one server.
///
/// Cheap to clone; all clones are the same courier.
#[derive(Clone)]
pub struct Courier {
    shared: Arc<Shared>,
}

/// What the courier stands on.
pub struct Ports {
    /// What waits for each device.
    pub mailboxes: Arc<dyn Mailboxes>,
    /// Sends that wait for their time.
    pub holds: Arc<dyn Holds>,
    /// The directory.
    pub recipients: Arc<dyn Recipients>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}

/// What an operator chooses.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The host name that devices dial, in lower case (COU-11).
    pub audience: Arc<str>,
    /// Every limit.
    pub limits: Limits,
    /// How often what expired is looked for. Expired envelopes are never delivered; this is when their disk comes back.
    pub expire_every: Duration,
}

impl Settings {
    /// Returns the defaults for a host name.
    #[must_use]
    pub fn new(audience: &str) -> Self {
        Self { audience: audience.to_ascii_lowercase().into(), limits: Limits::default(), expire_every: expire::EVERY }
    }
}

/// What every connection knows.
struct Shared {
    ports: Ports,
    audience: Arc<str>,
    limits: Arc<Limits>,
    budgets: Arc<SendBudgets>,
    connections: Connections,
    admission: Admission,
    epochs: Arc<Epochs>,
    timetable: Timetable,
    work: mpsc::Sender<Work>,
    stopping: AtomicBool,
}

impl Courier {
    /// Starts the courier's own tasks on the current runtime.
    #[must_use]
    pub fn start(ports: Ports, settings: Settings) -> Self {
        let (work, inbox) = mpsc::channel(commit::WORK_MAX);
        let shared = Arc::new(Shared {
            ports,
            audience: settings.audience,
            limits: Arc::new(settings.limits),
            budgets: Arc::default(),
            connections: Connections::default(),
            admission: Admission::default(),
            epochs: Arc::default(),
            timetable: Timetable::default(),
            work,
            stopping: AtomicBool::new(false),
        });
        tokio::spawn(commit::run(shared.clone(), inbox));
        tokio::spawn(hold::run(Arc::downgrade(&shared), shared.timetable.clone()));
        tokio::spawn(expire::run(Arc::downgrade(&shared), settings.expire_every));
        Self { shared }
    }

    /// Speaks with one device until either side ends the connection.
    ///
    /// `since` is when its first byte came: the handshake has its time from there (COU-14).
    pub async fn serve(&self, frames: impl Frames, binding: ChannelBinding, since: Instant) {
        if let Some(connection) = self.connect(frames, binding, since).await {
            connection.await;
        }
    }

    /// Does the first half of [`Self::serve`]: lets a device in, or tells it why not. What is returned is the rest of its
    /// connection, so that a listener can count strangers apart.
    pub async fn connect<F: Frames>(
        &self,
        frames: F,
        binding: ChannelBinding,
        since: Instant,
    ) -> Option<impl Future<Output = ()> + use<F>> {
        let deadline = since + self.shared.limits.handshake_timeout.to_std();
        handshake::run(&self.shared, frames, binding, deadline).await
    }

    /// Returns the limits in force.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Returns how many devices are connected.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.shared.connections.count()
    }

    /// Ends all connections after what they sent is answered, and finishes what is being stored (COU-56).
    ///
    /// Returns within [`SHUTDOWN_MAX`]; connections that did not end by then are cut off when the runtime ends.
    pub async fn shut_down(&self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        let drained = async {
            self.shared.connections.close_all(&Close::going_away()).await;
            let (done, finished) = oneshot::channel();
            if self.shared.work.send(Work::Finish { done }).await.is_ok() {
                // No answer means that it had ended already.
                let _ = finished.await;
            }
        };
        if tokio::time::timeout(SHUTDOWN_MAX, drained).await.is_err() {
            tracing::warn!("some connections did not end in time and are cut off");
        }
    }
}

#[async_trait::async_trait]
impl Notifier for Courier {
    async fn alert(&self, devices: &[DeviceId], alert: Bytes) -> Result<(), MailboxError> {
        let shared = &self.shared;
        let admitted = shared.admission.enter().await;
        let accepted = shared.ports.clock.now();
        let expires = accepted.plus(EXPIRY_MAX);
        let mut present = Vec::with_capacity(devices.len());
        for device in devices {
            // COU-55: who was removed since the caller looked is not told any more.
            let known = shared.ports.recipients.device(*device).await;
            if known.map_err(|error| MailboxError::Failed(error.to_string()))?.is_some() {
                present.push(*device);
            }
        }
        let entries = present.into_iter().enumerate().map(|(part, device)| {
            let mut id = [0; EnvelopeId::LEN];
            shared.ports.random.fill(&mut id);
            let envelope = Envelope {
                id: EnvelopeId::from_bytes(id),
                topic: Topic::alert(),
                origin: Origin::Server,
                payload: alert.clone(),
                accepted,
                expires,
            };
            Entry { device, topic: Topic::alert(), expires: Some(expires), envelope: envelope.encode(), part }
        });
        let (reply, stored) = oneshot::channel();
        let submission = Submission { shown: None, entries: entries.collect(), reply: Reply::Notifier(reply) };
        shared.work.send(Work::Store(submission)).await.map_err(|_| MailboxError::Stopped)?;
        drop(admitted);
        stored.await.unwrap_or(Err(MailboxError::Stopped))
    }

    async fn revoke(&self, device: DeviceId) -> Result<(), MailboxError> {
        // COU-55: the directory does not know the device any more, so what is checked from now on does not find it. What
        // was checked before is let into the queue first, so that it is ahead of the clearing, and is cleared too.
        self.shared.connections.close(&device, Close::revoked());
        self.shared.admission.pass().await;
        let (done, cleared) = oneshot::channel();
        self.shared.work.send(Work::Clear { device, done }).await.map_err(|_| MailboxError::Stopped)?;
        cleared.await.unwrap_or(Err(MailboxError::Stopped))
    }
}

impl Shared {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}

/// Leaves two of the ten seconds of COU-56 to the rest of the process.
pub const SHUTDOWN_MAX: Duration = Duration::from_secs(8);
