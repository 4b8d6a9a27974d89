//! The server of a world: the real one, on a simulated disk, without sockets.
//!
//! Owns one process of it, and what a machine keeps between two. Watches the mailboxes (I7, I10).

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::ConnectInfo;
use halcyon_client::ports::{HttpRequest, HttpResponse};
use halcyon_client_store::disk::renew;
use halcyon_courier::connect::ChannelBinding;
use halcyon_courier::limits::Limits as CourierLimits;
use halcyon_courier::{Envelope, Origin};
use halcyon_server::accounts::Limits;
use halcyon_server::accounts::verification::Place;
use halcyon_server::courier::Courier;
use halcyon_server::ports::{
    Append, AppendOutcome, MailError, MailboxError, Mailboxes, Mailer, OutgoingMail, ReadLimit, ShownEpoch,
    StoredEnvelope,
};
use halcyon_server::secrets::ServerSecrets;
use halcyon_server_net::http::{self as routes, Api, server::About};
use halcyon_server_net::serve::World;
use halcyon_server_net::serve::assembly::{self, Assembled, Parts};
use halcyon_server_net::stop::{self, StopSender};
use halcyon_server_store::directory::{DirectoryDb, LastShutdown, Options as DirectoryOptions};
use halcyon_server_store::{Execution, MailboxOptions, MailboxStore};
use halcyon_sqlite_vfs::{Mount, NAME};
use halcyon_types::{DeviceId, EnvelopeId, Handle, Timestamp, Topic};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::disk::{DatabaseOn, SimDisk};
use crate::ledger::Ledger;
use crate::net::{ServerEnd, answer};
use crate::sabotage::Sabotage;
use crate::time::{SimClock, SimRandom};
use crate::watch::Watcher;

/// The name by which everybody knows the server.
pub const HOST: &str = "sea.example";
/// How long a commit takes here.
const SYNC: Duration = Duration::from_millis(3);
/// Bytes of the mailboxes' log before it is folded: some messages, so that a world sees them in the log and in the table.
const LOG_BYTES_MAX: u64 = 32 << 10;
/// The two databases.
const DATABASES: [&str; 2] = ["directory.db", "mailboxes.db"];
/// By how much a mailbox is ahead that deletes too early on purpose.
const EARLY: halcyon_types::Duration = halcyon_types::Duration::from_days(28);
/// COU-54: what expired is deleted within this; the server looks every ten minutes.
const EXPIRED_FOR_MAX: halcyon_types::Duration = halcyon_types::Duration::from_mins(21);

/// What outlives a process of the server.
pub struct Machine {
    /// Its disk.
    pub disk: SimDisk,
    /// `server.secrets`
    pub secrets: Arc<ServerSecrets>,
    /// Its clock.
    pub clock: Arc<SimClock>,
    /// Its randomness.
    pub random: Arc<SimRandom>,
    /// Mails that arrived.
    pub mails: Arc<Mails>,
    /// Limits of mailboxes and connections.
    pub limits: CourierLimits,
    /// What is true.
    pub ledger: Ledger,
    /// Reads logs.
    pub watcher: Watcher,
    /// What is broken on purpose.
    pub sabotage: Sabotage,
    /// How the last process ended.
    pub last: LastShutdown,
}

/// One process of the server.
pub struct Process {
    /// Dark when the process is dead.
    pub disk: SimDisk,
    courier: Courier,
    directory: DirectoryDb,
    router: axum::Router,
    /// Watched.
    pub mailboxes: Arc<WatchedMailboxes>,
    running: Mutex<Option<Running>>,
    // Dropped after everything that uses the files.
    _mounts: Vec<Mount>,
}

struct Running {
    stop: StopSender,
    tasks: JoinSet<()>,
    mails: JoinSet<()>,
}

impl Machine {
    /// Starts a process.
    ///
    /// # Errors
    /// What kept it from starting.
    pub async fn start(&self, number: u64) -> anyhow::Result<Arc<Process>> {
        // Databases of all worlds of this process of ours share one table of names.
        static WORLDS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let world = WORLDS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = std::path::PathBuf::from(format!("/sim/{world}/{number}"));
        let mut mounts = Vec::new();
        for name in DATABASES {
            // As a real folder is opened (COU-44).
            if self.last == LastShutdown::Unclean {
                renew(&self.disk, &format!("{name}-wal"))?;
            }
            let files = Arc::new(DatabaseOn { disk: self.disk.clone(), name });
            mounts.push(Mount::new(&folder.join(name).to_string_lossy(), files)?);
        }
        let execution = Execution::InPlace { sync: SYNC };
        let options = DirectoryOptions { vfs: Some(NAME.to_owned()), execution };
        let directory = DirectoryDb::open_with(&folder, self.last, &options)?;
        let store = directory.ports();
        let endless = self.sabotage == Sabotage::EndlessMailbox;
        let mailboxes = MailboxStore::open(
            &folder,
            MailboxOptions {
                envelopes_max: if endless { u64::MAX } else { self.limits.mailbox_count_max as u64 },
                bytes_max: if endless { u64::MAX } else { self.limits.mailbox_bytes_max as u64 },
                reserve_bytes: 0,
                log_bytes_max: LOG_BYTES_MAX,
                vfs: Some(NAME.to_owned()),
                execution,
                ..MailboxOptions::default()
            },
        )?;
        let mailboxes = Arc::new(WatchedMailboxes {
            inner: mailboxes,
            disk: self.disk.clone(),
            limits: self.limits.clone(),
            ledger: self.ledger.clone(),
            sabotage: self.sabotage,
            cleared: Mutex::default(),
        });
        let world = World { clock: self.clock.clone(), random: self.random.clone() };
        let Assembled { courier, services, mails } = assembly::assemble(Parts {
            store,
            mailboxes: mailboxes.clone(),
            secrets: self.secrets.clone(),
            mailer: Arc::new(SimMailer { disk: self.disk.clone(), mails: self.mails.clone() }),
            place: Place { host: HOST.to_owned(), public_url: format!("https://{HOST}") },
            limits: Limits::default(),
            courier: self.limits.clone(),
            world,
        })
        .await?;
        let (sender, stop) = stop::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(assembly::sweep(services.clone(), stop));
        let about = About { audience: HOST.to_owned(), courier: format!("{HOST}:7443") };
        let api = Api { services, clock: self.clock.clone(), about: Arc::new(about) };
        let router = routes::router(api, axum::Router::new());
        let running = Mutex::new(Some(Running { stop: sender, tasks, mails }));
        Ok(Arc::new(Process {
            disk: self.disk.clone(),
            courier,
            directory,
            router,
            mailboxes,
            running,
            _mounts: mounts,
        }))
    }
}

impl Process {
    /// Answers a request; nothing if the process died over it.
    pub async fn answer(&self, device: usize, request: HttpRequest) -> Option<HttpResponse> {
        let mut built = http::Request::builder()
            .method(request.method.as_str())
            .uri(&request.path)
            .header(http::header::HOST, HOST);
        for (name, value) in &request.headers {
            built = built.header(*name, value);
        }
        // Everybody has an address of their own, so that limits are those of people.
        let last = u8::try_from(device % 250).unwrap_or(0) + 1;
        let source = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)), 1);
        let request = built.extension(ConnectInfo(source)).body(axum::body::Body::from(request.body)).ok()?;
        // Once it is with the server it is done there, whether somebody waits for the answer or not.
        tokio::spawn(answer(self.router.clone(), request)).await.ok().flatten()
    }

    /// Says whether it takes nothing more because its disk failed: then it tells its operator that it is not ready.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.mailboxes.inner.is_stopped() || self.directory.is_stopped()
    }

    /// Serves a connection.
    pub fn accept(&self, frames: ServerEnd, binding: ChannelBinding) {
        let courier = self.courier.clone();
        tokio::spawn(async move { courier.serve(frames, binding, Instant::now()).await });
    }

    /// Ends the process in good order (COU-56).
    pub async fn shut_down(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { stop, mut tasks, mut mails }) = running else { return };
        stop.stop();
        self.courier.shut_down().await;
        while tasks.join_next().await.is_some() {}
        mails.shutdown().await;
    }

    /// Ends what would run on without it.
    pub fn abort(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Running { mut tasks, mut mails, .. }) = running {
            tasks.abort_all();
            mails.abort_all();
        }
    }
}

/// The real mailboxes, watched.
pub struct WatchedMailboxes {
    inner: MailboxStore,
    disk: SimDisk,
    limits: CourierLimits,
    ledger: Ledger,
    sabotage: Sabotage,
    /// Devices that were removed, whose epochs are forgotten with them (COU-55). None comes back.
    cleared: Mutex<BTreeSet<DeviceId>>,
}

/// All of a mailbox at once.
const ALL: ReadLimit = ReadLimit { count: 1 << 20, bytes: 1 << 30 };

impl WatchedMailboxes {
    /// Returns everything that is stored for a device, expired or not.
    ///
    /// # Errors
    /// The store's.
    pub async fn stored(&self, device: DeviceId) -> Result<Vec<StoredEnvelope>, MailboxError> {
        let topics = [Topic::message(), Topic::alert()];
        self.inner.read(device, &topics, 0, Timestamp::from_millis(0), ALL).await
    }

    /// Drops one of the messages that wait for a device, as a server does that lies.
    pub async fn drop_one(&self, device: DeviceId, which: usize) {
        let Ok(mut stored) = self.inner.read(device, &[Topic::message()], 0, Timestamp::from_millis(0), ALL).await
        else {
            return;
        };
        if stored.is_empty() || self.disk.is_dark() {
            return;
        }
        let stored = stored.swap_remove(which % stored.len());
        if let (Ok(()), Ok(envelope)) =
            (self.inner.acknowledge(device, vec![stored.position]).await, Envelope::decode(stored.envelope))
        {
            self.ledger.dropped(envelope.id);
        }
    }

    /// Returns what is stored for the devices of these envelopes.
    async fn stored_of(&self, due: &[(Timestamp, EnvelopeId, DeviceId)]) -> Result<BTreeSet<EnvelopeId>, MailboxError> {
        let devices: BTreeSet<DeviceId> = due.iter().map(|(_, _, device)| *device).collect();
        let mut ids = BTreeSet::new();
        for device in devices {
            let stored = self.stored(device).await?;
            ids.extend(stored.into_iter().filter_map(|stored| Some(Envelope::decode(stored.envelope).ok()?.id)));
        }
        Ok(ids)
    }

    /// I7: count and bytes.
    async fn check_bounds(&self, device: DeviceId) {
        let Ok(stored) = self.stored(device).await else { return };
        let bytes: usize = stored.iter().map(|stored| stored.envelope.len()).sum();
        if stored.len() > self.limits.mailbox_count_max || bytes > self.limits.mailbox_bytes_max {
            self.ledger.violated("I7", "a mailbox has more than it may have");
        }
    }

    fn cleared(&self) -> MutexGuard<'_, BTreeSet<DeviceId>> {
        self.cleared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// I10: what is answered as accepted must be there when the power fails now.
    fn check_durable(&self, envelope: &Envelope) {
        if !self.disk.is_dark() && !self.disk.keeps("mailboxes.db", envelope.id.as_bytes()) {
            self.ledger.violated("I10", "the server accepts an envelope that a power cut would lose");
        }
    }

    /// COU-19: so must be the epoch that was shown with it, unless a higher one is there.
    async fn check_remembered(&self, ShownEpoch { device, epoch }: ShownEpoch) {
        let Ok(remembered) = self.inner.epoch(device).await else { return };
        // A row of the table, as SQLite lays it out: the columns follow each other.
        let row = [&device.as_bytes()[..], &epoch.to_be_bytes()].concat();
        let kept = remembered > epoch || remembered == epoch && self.disk.keeps("mailboxes.db", &row);
        if !kept && !self.disk.is_dark() && !self.cleared().contains(&device) {
            self.ledger.violated("I10", "the server accepts a send whose epoch a power cut would lose");
        }
    }
}

#[async_trait::async_trait]
impl Mailboxes for WatchedMailboxes {
    async fn append(&self, batch: Vec<Append>, shown: Vec<ShownEpoch>) -> Result<Vec<AppendOutcome>, MailboxError> {
        let envelopes: Vec<(DeviceId, Option<Envelope>)> =
            batch.iter().map(|append| (append.device, Envelope::decode(append.envelope.clone()).ok())).collect();
        let outcomes = if self.sabotage == Sabotage::MailboxForgets {
            batch.iter().map(|_| AppendOutcome::Accepted(1)).collect()
        } else {
            self.inner.append(batch, shown.clone()).await?
        };
        for shown in shown {
            self.check_remembered(shown).await;
        }
        for envelope in envelopes.iter().filter_map(|(_, envelope)| envelope.as_ref()) {
            if let Origin::Device(sender) = &envelope.origin {
                self.ledger.remembered(&envelope.payload, sender.suite);
            }
        }
        for ((device, envelope), outcome) in envelopes.iter().zip(&outcomes) {
            if let (AppendOutcome::Accepted(_), Some(envelope)) = (outcome, envelope) {
                self.check_durable(envelope);
                self.ledger.accepted(*device, envelope.id, envelope.expires);
            }
            if let (AppendOutcome::Accepted(position), Some(envelope)) = (outcome, envelope)
                && envelope.topic == Topic::message()
                && self.ledger.is_to_drop(*device)
            {
                self.inner.acknowledge(*device, vec![*position]).await?;
                self.ledger.dropped(envelope.id);
            }
        }
        let devices: BTreeSet<DeviceId> = envelopes.iter().map(|(device, _)| *device).collect();
        for device in devices {
            self.check_bounds(device).await;
        }
        Ok(outcomes)
    }

    async fn epoch(&self, device: DeviceId) -> Result<u64, MailboxError> {
        if self.sabotage == Sabotage::EpochIsHidden {
            return Ok(0);
        }
        self.inner.epoch(device).await
    }

    async fn read(
        &self,
        device: DeviceId,
        topics: &[Topic],
        after: u64,
        now: Timestamp,
        limit: ReadLimit,
    ) -> Result<Vec<StoredEnvelope>, MailboxError> {
        self.inner.read(device, topics, after, now, limit).await
    }

    async fn acknowledge(&self, device: DeviceId, positions: Vec<u64>) -> Result<(), MailboxError> {
        self.inner.acknowledge(device, positions).await
    }

    async fn clear(&self, device: DeviceId) -> Result<(), MailboxError> {
        self.cleared().insert(device);
        self.inner.clear(device).await
    }

    async fn expire(&self, now: Timestamp) -> Result<usize, MailboxError> {
        if self.disk.is_dark() {
            // A process that ended: what it still remembers of its files is nobody's truth.
            return Err(MailboxError::Stopped);
        }
        let early =
            if self.sabotage == Sabotage::MailboxExpiresEarly { EARLY } else { halcyon_types::Duration::default() };
        let due = self.ledger.due(now);
        let before = self.stored_of(&due).await?;
        let expired =
            if self.sabotage == Sabotage::MailboxKeepsExpired { 0 } else { self.inner.expire(now.plus(early)).await? };
        let after = self.stored_of(&due).await?;
        for (expires, id, _) in due {
            match (before.contains(&id), after.contains(&id)) {
                (true, false) => self.ledger.expired(expires, id),
                (_, true) if expired == 0 && now.since(expires) > EXPIRED_FOR_MAX => {
                    self.ledger.violated("I7", "a mailbox keeps what expired");
                }
                (_, true) => {}
                (false, false) => self.ledger.settled(expires, id),
            }
        }
        Ok(expired)
    }
}

/// Mails that arrived, newest last.
#[derive(Default)]
pub struct Mails {
    mails: Mutex<Vec<(Handle, String)>>,
}

impl Mails {
    /// Takes the newest code that was sent to a handle.
    #[must_use]
    pub fn take_code(&self, handle: &Handle) -> Option<String> {
        let mut mails = self.mails.lock().unwrap_or_else(PoisonError::into_inner);
        let at = mails.iter().rposition(|(to, text)| to == handle && text.contains("Code: "))?;
        let (_, text) = mails.remove(at);
        text.lines().find_map(|line| line.trim().strip_prefix("Code: ").map(str::to_owned))
    }
}

struct SimMailer {
    disk: SimDisk,
    mails: Arc<Mails>,
}

#[async_trait::async_trait]
impl Mailer for SimMailer {
    async fn send(&self, mail: OutgoingMail) -> Result<(), MailError> {
        tokio::time::sleep(Duration::from_millis(200)).await;
        if self.disk.is_dark() {
            return Err(MailError::Unavailable { reason: "the power is out".to_owned() });
        }
        self.mails.mails.lock().unwrap_or_else(PoisonError::into_inner).push((mail.to, mail.text));
        Ok(())
    }
}
