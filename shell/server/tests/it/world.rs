//! A courier over pipes, with mailboxes in memory and time that the test moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use halcyon_courier::connect::ChannelBinding;
use halcyon_courier::{Limits, Topics};
use halcyon_server::courier::{ByteFrames, Courier, Ports, Settings};
use halcyon_server::ports::{
    Append, AppendOutcome, Clock, KnownDevice, MailboxError, Mailboxes, ReadLimit, Recipient, Recipients,
    RecipientsError, ShownEpoch, StoredEnvelope,
};
use halcyon_testkit::courier::{CountingRandom, Phone, TestDevice, TokioClock, Town};
use halcyon_testkit::holds::MemoryHolds;
use halcyon_testkit::mailboxes::MemoryMailboxes;
use halcyon_types::{AccountId, DeviceId, Handle, PushToken, Timestamp, Topic};
use tokio::io::DuplexStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// The server's name.
pub(crate) const HOST: &str = "halcyon.test";

/// Alice with her phone and laptop, Bob with his phone, and the courier between them.
pub(crate) struct World {
    pub(crate) town: Town,
    pub(crate) courier: Courier,
    pub(crate) store: Arc<Store>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) clock: Arc<TokioClock>,
    pub(crate) alice: TestDevice,
    pub(crate) alice_laptop: TestDevice,
    pub(crate) bob: TestDevice,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        let town = Town::default();
        let store = Arc::new(Store::new(&limits));
        let clock = Arc::new(TokioClock::start());
        let directory = Arc::new(Directory { town: town.clone(), gate: Gate::open() });
        let ports = Ports {
            mailboxes: store.clone(),
            holds: Arc::new(MemoryHolds::default()),
            recipients: directory.clone(),
            clock: clock.clone(),
            random: Arc::new(CountingRandom::default()),
        };
        let courier = Courier::start(ports, Settings { limits, ..Settings::new(HOST) });
        let (alice, alice_laptop, bob) =
            (town.device("alice", "phone"), town.device("alice", "laptop"), town.device("bob", "phone"));
        Self { town, courier, store, directory, clock, alice, alice_laptop, bob }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lays a pipe to the courier. It holds as much as a socket would.
    pub(crate) fn pipe(&self) -> DuplexStream {
        self.pipe_of(64 * 1024)
    }

    /// Lays a pipe that holds so many bytes.
    pub(crate) fn pipe_of(&self, bytes: usize) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(bytes);
        let courier = self.courier.clone();
        tokio::spawn(async move { courier.serve(ByteFrames::new(theirs), BINDING, Instant::now()).await });
        ours
    }

    /// Connects a device for messages and alerts.
    pub(crate) async fn online(&self, owner: &TestDevice) -> Phone<DuplexStream> {
        Phone::dial(owner, self.pipe(), HOST, &BINDING, self.now()).await
    }

    /// Connects a device that shows this epoch from now on, and returns which one the server remembers of it.
    pub(crate) async fn online_at(&self, owner: &TestDevice, epoch: u64) -> (Phone<DuplexStream>, u64) {
        let mut phone = Phone::new(owner, self.pipe());
        phone.epoch = epoch;
        let hello = phone.hello().await;
        let topics = Topics::messages_and_alerts();
        let connected = phone.connect(HOST, &hello, &BINDING, topics, self.now()).await.unwrap();
        (phone, connected.epoch)
    }

    /// Connects a device for these topics.
    pub(crate) async fn online_for(&self, owner: &TestDevice, topics: &[&str]) -> Phone<DuplexStream> {
        let mut phone = Phone::new(owner, self.pipe());
        let hello = phone.hello().await;
        phone.connect(HOST, &hello, &BINDING, topics_of(topics), self.now()).await.unwrap();
        phone
    }
}

/// What the pipes are bound to, as a TLS connection to its exporter.
pub(crate) const BINDING: ChannelBinding = ChannelBinding::Exporter([4; 32]);

pub(crate) fn topics_of(names: &[&str]) -> Topics {
    Topics::new(names.iter().map(|name| Topic::parse(name).unwrap())).unwrap()
}

/// Mailboxes in memory whose disk can be stopped, filled and broken.
pub(crate) struct Store {
    pub(crate) memory: MemoryMailboxes,
    /// Appends wait here, as they would for the disk.
    disk: Gate,
    full: AtomicBool,
    /// Commits so far.
    pub(crate) commits: AtomicUsize,
}

/// Holds up whoever comes while it is shut.
pub(crate) struct Gate {
    permits: Semaphore,
}

impl Gate {
    fn open() -> Self {
        Self { permits: Semaphore::new(Semaphore::MAX_PERMITS) }
    }

    /// Lets nobody through until [`Gate::release`].
    pub(crate) fn hold(&self) {
        self.permits.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Lets everybody through again.
    pub(crate) fn release(&self) {
        self.permits.add_permits(Semaphore::MAX_PERMITS - self.permits.available_permits());
    }

    async fn pass(&self) {
        drop(self.permits.acquire().await.unwrap());
    }
}

/// The directory, whose answers about recipients can be held up on their way to the courier.
pub(crate) struct Directory {
    town: Town,
    /// An answer waits here after it was made: what changes meanwhile is not in it.
    pub(crate) gate: Gate,
}

#[async_trait::async_trait]
impl Recipients for Directory {
    async fn device(&self, device: DeviceId) -> Result<Option<KnownDevice>, RecipientsError> {
        let found = Recipients::device(&self.town, device).await;
        self.gate.pass().await;
        found
    }

    async fn recipient(&self, token: &PushToken) -> Result<Option<Recipient>, RecipientsError> {
        let found = self.town.recipient(token).await;
        self.gate.pass().await;
        found
    }

    async fn owns_handle(&self, account: AccountId, handle: &Handle) -> Result<bool, RecipientsError> {
        self.town.owns_handle(account, handle).await
    }

    fn session_is_valid(&self, token: &[u8], asker: AccountId, recipient: AccountId, now: Timestamp) -> bool {
        self.town.session_is_valid(token, asker, recipient, now)
    }
}

impl Store {
    fn new(limits: &Limits) -> Self {
        let memory = MemoryMailboxes::new(limits.mailbox_count_max as u64, limits.mailbox_bytes_max as u64);
        Self { memory, disk: Gate::open(), full: AtomicBool::new(false), commits: AtomicUsize::new(0) }
    }

    /// Lets no append through until [`Store::release`].
    pub(crate) fn hold(&self) {
        self.disk.hold();
    }

    /// Lets everything through again.
    pub(crate) fn release(&self) {
        self.disk.release();
    }

    pub(crate) fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }
}

#[async_trait::async_trait]
impl Mailboxes for Store {
    async fn append(&self, batch: Vec<Append>, shown: Vec<ShownEpoch>) -> Result<Vec<AppendOutcome>, MailboxError> {
        self.disk.pass().await;
        if self.full.load(Ordering::SeqCst) {
            return Err(MailboxError::Full);
        }
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.memory.append(batch, shown).await
    }

    async fn epoch(&self, device: DeviceId) -> Result<u64, MailboxError> {
        self.memory.epoch(device).await
    }

    async fn read(
        &self,
        device: DeviceId,
        topics: &[Topic],
        after: u64,
        now: Timestamp,
        limit: ReadLimit,
    ) -> Result<Vec<StoredEnvelope>, MailboxError> {
        self.memory.read(device, topics, after, now, limit).await
    }

    async fn acknowledge(&self, device: DeviceId, positions: Vec<u64>) -> Result<(), MailboxError> {
        self.memory.acknowledge(device, positions).await
    }

    async fn clear(&self, device: DeviceId) -> Result<(), MailboxError> {
        self.memory.clear(device).await
    }

    async fn expire(&self, now: Timestamp) -> Result<usize, MailboxError> {
        self.memory.expire(now).await
    }
}
