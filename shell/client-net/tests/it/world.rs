//! A server in this process and devices that reach it over TLS, with the seams that the stories pull at.

use std::path::PathBuf;
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};
use std::time::Duration;

use halcyon_client::{
    Client, ConnectionState, Draft, Event, Events, LinkDraft, Parts, Registration, SentMessage, ServerAddress,
    ShownMessage, Until,
    ports::{
        Change, Clock, Commit, Store as _,
        store::{OutboxJob, OutboxTarget, TargetState},
    },
};
use halcyon_client_net::{Binding, Network, SystemClock, SystemRandom, Trust};
use halcyon_content::Content;
use halcyon_crypto::SecretBytes;
use halcyon_evil::{EvilCourier, EvilDirectory, Lie};
use halcyon_server_net::{
    serve::{self, RunningServer},
    settings::Settings,
};
use halcyon_testkit::memory_store::MemoryDisk;
use halcyon_types::{Handle, Timestamp};

/// Long enough for a busy machine; a story that goes well needs none of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &[u8] = b"correct horse battery staple";

/// One server and its clock. Devices keep their own disks.
pub(crate) struct World {
    folder: tempfile::TempDir,
    settings: Settings,
    server: Option<RunningServer>,
    pub(crate) clock: Arc<WorldClock>,
}

/// A clock that can be moved, for everybody or for one device.
#[derive(Default)]
pub(crate) struct WorldClock {
    ahead_ms: AtomicI64,
}

impl WorldClock {
    pub(crate) fn advance(&self, span: halcyon_types::Duration) {
        self.ahead_ms.fetch_add(i64::try_from(span.as_millis()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        let now = Clock::now(&SystemClock).as_millis();
        Timestamp::from_millis(now.saturating_add_signed(self.ahead_ms.load(Ordering::Relaxed)))
    }
}

impl halcyon_server::ports::Clock for WorldClock {
    fn now(&self) -> Timestamp {
        Clock::now(self)
    }
}

/// One device of one person.
pub(crate) struct Device {
    pub(crate) client: Client,
    pub(crate) handle: Handle,
    pub(crate) name: String,
    pub(crate) disk: MemoryDisk,
    pub(crate) http: Arc<EvilDirectory>,
    pub(crate) courier: Arc<EvilCourier>,
    pub(crate) clock: Arc<WorldClock>,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// One with other settings than those of `--loopback`.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::loopback(folder.path().to_owned());
        change(&mut settings);
        let mut world = Self { folder, settings, server: None, clock: Arc::default() };
        world.start_server().await;
        world
    }

    pub(crate) async fn start_server(&mut self) {
        let random = Arc::new(halcyon_server_net::world::SystemRandom);
        let real = serve::World { clock: self.clock.clone(), random };
        let server = serve::start_in(self.settings.clone(), real).await.unwrap();
        // The next start listens where this one did.
        self.settings.courier_listen = server.addresses().courier;
        self.settings.https_listen = server.addresses().https;
        self.settings.private_listen = None;
        self.server = Some(server);
    }

    pub(crate) async fn stop_server(&mut self) {
        self.server.take().expect("the server runs").shutdown().await;
    }

    /// Stops the server for as long as its folder is copied.
    pub(crate) async fn copy_of_server(&mut self) -> tempfile::TempDir {
        self.stop_server().await;
        let copy = tempfile::tempdir().unwrap();
        copy_folder(self.folder.path(), copy.path());
        self.start_server().await;
        copy
    }

    /// Goes on with an older folder.
    pub(crate) async fn bring_back_server(&mut self, older: tempfile::TempDir) {
        self.stop_server().await;
        std::fs::remove_dir_all(self.folder.path()).unwrap();
        copy_folder(older.path(), self.folder.path());
        self.start_server().await;
    }

    pub(crate) fn address(&self) -> ServerAddress {
        format!("https://localhost:{}", self.settings.https_listen.port()).parse().unwrap()
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::File(self.folder.path().join("authority").join("authority.pem"))
    }

    /// An empty profile of somebody.
    pub(crate) fn device(&self, person: &str, name: &str) -> Device {
        self.device_with(person, name, Binding::Native, self.clock.clone())
    }

    pub(crate) fn device_with(&self, person: &str, name: &str, binding: Binding, clock: Arc<WorldClock>) -> Device {
        let network = Network::new(self.address(), &self.trust(), binding).unwrap();
        let http = EvilDirectory::wrap(network.http(), Lie::Honest);
        let courier = EvilCourier::wrap(network.courier());
        let disk = MemoryDisk::new();
        let client = open(self.address(), &disk, &http, &courier, clock.clone());
        Device { client, handle: handle(person), name: name.to_owned(), disk, http, courier, clock }
    }

    /// A person's first device, registered and online.
    pub(crate) async fn register(&self, person: &str, name: &str) -> Device {
        let device = self.device(person, name);
        self.register_on(&device).await;
        device
    }

    pub(crate) async fn register_on(&self, device: &Device) {
        let registration = self.verified(device).await;
        device.client.register(registration).await.unwrap();
        device.online().await;
    }

    /// Follows the mail up to the point where the account can be made.
    pub(crate) async fn verified(&self, device: &Device) -> Registration {
        let verification = device.client.request_verification(&device.handle).await.unwrap();
        device.client.verify_code(&verification, &self.code_for(&device.handle).await).await.unwrap();
        Registration { verification, password: password(), device_name: device.name.clone() }
    }

    /// A further device of the person of `trusted`, linked by six digits, and online.
    pub(crate) async fn link(&self, trusted: &Device, name: &str) -> Device {
        let device = self.device(trusted.handle.address(), name);
        let mut pending = device.client.link_start(link_draft(&device, PASSWORD)).await.unwrap();
        let mut approval = trusted.approve(pending.id()).await;
        let digits = pending.digits().await.unwrap();
        approval.await_ready().await.type_digits(&digits).await.unwrap();
        pending.finish().await.unwrap();
        device.online().await;
        device
    }

    /// The newest code that was mailed to somebody.
    pub(crate) async fn code_for(&self, handle: &Handle) -> String {
        let to = format!("To: {}", handle.address());
        within("a mail", async {
            loop {
                let mut mails: Vec<PathBuf> = std::fs::read_dir(self.folder.path().join("mail"))
                    .unwrap()
                    .map(|file| file.unwrap().path())
                    .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
                    .collect();
                mails.sort();
                for mail in mails.iter().rev() {
                    let text = std::fs::read_to_string(mail).unwrap();
                    if text.lines().any(|line| line == to)
                        && let Some(code) = text.lines().find_map(|line| line.strip_prefix("Code: "))
                    {
                        let code = code.to_owned();
                        std::fs::remove_file(mail).unwrap();
                        return code;
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &to.join(entry.file_name())),
            false => drop(std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// The approver's half runs while the newcomer's does, as two people would.
pub(crate) struct Approving(tokio::task::JoinHandle<halcyon_client::Approval>);

impl Approving {
    pub(crate) async fn await_ready(&mut self) -> halcyon_client::Approval {
        within("the reveal", &mut self.0).await.unwrap()
    }
}

impl Device {
    pub(crate) async fn online(&self) {
        self.client.go_online();
        let state = within("being online", self.client.wait_online()).await;
        assert!(matches!(state, ConnectionState::Online { .. }), "{}: {state:?}", self.name);
    }

    pub(crate) async fn offline(&self) {
        self.client.go_offline().await;
    }

    /// Ends the process of this device and starts it again on the same disk.
    pub(crate) async fn restart(&mut self, world: &World) {
        self.client.shutdown().await;
        self.client = open(world.address(), &self.disk, &self.http, &self.courier, self.clock.clone());
    }

    pub(crate) async fn approve(&self, link: halcyon_types::LinkId) -> Approving {
        let client = self.client.clone();
        Approving(tokio::spawn(async move { client.approve_start(link).await.unwrap() }))
    }

    pub(crate) fn draft(&self, to: &Device, text: &str) -> Draft {
        Draft { recipients: vec![to.handle.clone()], text: text.to_owned(), ..Draft::default() }
    }

    pub(crate) async fn say(&self, to: &Device, text: &str) -> SentMessage {
        self.client.send(self.draft(to, text)).await.unwrap()
    }

    pub(crate) async fn wait(&self, sent: &SentMessage, until: Until) -> Vec<halcyon_client::ShownDelivery> {
        within("the delivery", self.client.wait_delivered(sent.message.id, until)).await.unwrap()
    }

    /// Everything that this device shows, in its order.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.messages().into_iter().map(|message| message.text.unwrap_or_default()).collect()
    }

    pub(crate) fn messages(&self) -> Vec<ShownMessage> {
        let mut messages = Vec::new();
        for conversation in self.client.conversations().unwrap() {
            messages.extend(self.client.history(conversation.id, u64::MAX, 1000).unwrap());
        }
        messages.sort_by_key(|message| message.number);
        messages
    }

    /// Waits until this device shows this many messages.
    pub(crate) async fn has(&self, count: usize) -> Vec<ShownMessage> {
        let come = async {
            while self.messages().len() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let came = tokio::time::timeout(PATIENCE, come).await;
        assert!(
            came.is_ok(),
            "{} has {:?}, not {count} messages; {:?} {:?}",
            self.name,
            self.texts(),
            self.client.repairs(),
            self.client.outbox_len()
        );
        self.messages()
    }
}

/// Waits for an event that fits.
pub(crate) async fn event<T>(events: &mut Events, mut fits: impl FnMut(Event) -> Option<T>) -> T {
    within("an event", async {
        loop {
            if let Some(found) = fits(events.next().await.expect("the client is there")) {
                return found;
            }
        }
    })
    .await
}

/// What never comes is a failure that says so.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} did not come"))
}

/// Waits for what no event tells.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    within(what, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

pub(crate) fn handle(person: &str) -> Handle {
    let address = if person.contains('@') { person.to_owned() } else { format!("{person}@example.org") };
    Handle::parse(&address).unwrap()
}

pub(crate) fn password() -> SecretBytes {
    SecretBytes::copy_of(PASSWORD)
}

pub(crate) fn link_draft(device: &Device, password: &[u8]) -> LinkDraft {
    LinkDraft {
        handle: device.handle.clone(),
        password: SecretBytes::copy_of(password),
        device_name: device.name.clone(),
    }
}

fn open(
    server: ServerAddress,
    disk: &MemoryDisk,
    http: &Arc<EvilDirectory>,
    courier: &Arc<EvilCourier>,
    clock: Arc<WorldClock>,
) -> Client {
    let parts = Parts {
        store: Box::new(disk.open()),
        http: http.clone(),
        courier: courier.clone(),
        clock,
        random: Arc::new(SystemRandom),
        server,
    };
    Client::open(parts).unwrap()
}

impl Device {
    /// Puts something into the outbox that a client would not say by itself. It is offline meanwhile.
    pub(crate) fn forges(&self, content: &Content, silent: bool, to: &[&Device]) {
        let target = |to: &&Device| OutboxTarget {
            handle: to.handle.clone(),
            state: TargetState::ToSeal,
            done: Vec::new(),
            attempts: 0,
            not_before: Timestamp::default(),
            only: None,
            mends: None,
        };
        let job = OutboxJob {
            message: content.message_id,
            silent,
            sender: self.handle.clone(),
            content: halcyon_content::encode(content).unwrap().into(),
            forced_suite: None,
            targets: to.iter().map(target).collect(),
            created: self.clock.now(),
        };
        self.disk.open().commit(&Commit::new().with(Change::PutOutboxJob(job))).unwrap();
    }
}
