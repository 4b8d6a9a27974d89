//! One device of a person: the real client on a simulated disk, which lives, dies and is started again.
//!
//! Owns the process and what it was doing. Does not decide when it dies: its world does, or its disk.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use halcyon_client::{Client, ConnectionState, Costs, Event, Notice, Parts};
use halcyon_client_store::{FileDeviceSecret, Profile, SqliteStore};
use halcyon_crypto::SecretBytes;
use halcyon_crypto::password::PasswordParams;
use halcyon_types::{DeviceId, MessageId};
use rand::rngs::StdRng;

use crate::disk::SimDisk;
use crate::keys;
use crate::server::HOST;
use crate::store::WatchedStore;
use crate::time::{SimClock, SimRandom, fork};
use crate::trouble::NO_KEY;
use crate::world::World;

/// One device.
pub struct Device {
    /// Its number in the world.
    pub index: usize,
    /// Whose.
    pub person: usize,
    /// Its name in the play.
    pub name: String,
    /// Its disk, the one of the present process.
    pub disk: RefCell<SimDisk>,
    /// The process, while it lives.
    pub client: RefCell<Option<Client>>,
    /// Its clock.
    pub clock: Arc<SimClock>,
    /// How often it was started.
    pub lives: Cell<u32>,
    /// Whether its person wants it to be online.
    pub wants_online: Cell<bool>,
    /// How long it stays off when its power fails next; as long as it takes, if nothing is said.
    pub off_for: Cell<Option<Duration>>,
    /// Who it is in the directory, once it is.
    pub id: Cell<Option<DeviceId>>,
    /// It was removed, or never became one: nothing is expected of it.
    pub is_gone: Cell<bool>,
    /// It is being registered or linked: nothing else is begun on it.
    pub is_joining: Cell<bool>,
    /// A copy of its disk that was made at some time.
    pub copy: RefCell<Option<SimDisk>>,
    /// What its disk is replaced by when it dies next.
    pub replacement: RefCell<Option<SimDisk>>,
    /// One of its sessions is damaged when it starts next.
    pub is_to_damage: Cell<bool>,
    tasks: RefCell<Vec<tokio::task::AbortHandle>>,
    told: RefCell<BTreeSet<MessageId>>,
}

/// What every profile's passphrase is.
const PASSPHRASE: &[u8] = b"clam~profile";

impl Device {
    /// Returns a device that is not started.
    #[must_use]
    pub fn new(index: usize, person: usize, name: String, clock: Arc<SimClock>, disk: SimDisk) -> Rc<Self> {
        Rc::new(Self {
            index,
            person,
            name,
            disk: RefCell::new(disk),
            client: RefCell::new(None),
            clock,
            lives: Cell::new(0),
            wants_online: Cell::new(true),
            off_for: Cell::new(None),
            id: Cell::new(None),
            is_gone: Cell::new(false),
            is_joining: Cell::new(false),
            copy: RefCell::default(),
            replacement: RefCell::default(),
            is_to_damage: Cell::new(false),
            tasks: RefCell::default(),
            told: RefCell::default(),
        })
    }

    /// Returns the process, if it lives.
    #[must_use]
    pub fn client(&self) -> Option<Client> {
        self.client.borrow().clone()
    }

    /// Says whether something can be done on it.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.client.borrow().is_some() && self.id.get().is_some() && !self.is_gone.get() && !self.is_joining.get()
    }

    /// Does something on the device that ends with its process.
    pub fn act(&self, doing: impl Future<Output = ()> + 'static) {
        let handle = tokio::task::spawn_local(doing).abort_handle();
        let mut tasks = self.tasks.borrow_mut();
        tasks.retain(|task| !task.is_finished());
        tasks.push(handle);
    }

    /// Starts the process on what its disk holds.
    ///
    /// # Errors
    /// What kept it from starting; the power may have failed.
    pub fn start(self: &Rc<Self>, world: &Rc<World>) -> anyhow::Result<()> {
        let life = self.lives.get() + 1;
        self.lives.set(life);
        let disk = self.disk.borrow().clone();
        let purpose = |what: &str| fork(world.seed, &format!("device {} life {life} {what}", self.index));
        let shared: Arc<dyn halcyon_client_store::disk::Disk> = Arc::new(disk.clone());
        let profile =
            Profile::on(shared.clone(), Arc::new(FileDeviceSecret::new(shared)), PasswordParams::dangerous_cheap());
        let passphrase = SecretBytes::copy_of(PASSPHRASE);
        let pages: Box<StdRng> = Box::new(purpose("pages"));
        let database =
            if profile.exists()? { profile.open(&passphrase, pages)? } else { profile.create(&passphrase, pages)? };
        let mut store = WatchedStore {
            inner: Box::new(SqliteStore::new(database)?),
            client: self.index,
            disk: disk.clone(),
            ledger: world.ledger.clone(),
            watcher: world.watcher.clone(),
            sabotage: world.sabotage,
        };
        let is_restored = world.ledger.state().trouble.restoring.contains(&self.index);
        let found = store.reopened()?;
        if is_restored {
            self.told.borrow_mut().retain(|message| found.contains(message));
        }
        if self.is_to_damage.take() && store.damage_session(&mut purpose("damage"))? {
            world.ledger.say(&format!("a session of {} is damaged", self.name));
        }
        let way = Arc::new(world.net.of(self.index, disk));
        let parts = Parts {
            store: Box::new(store),
            http: way.clone(),
            courier: way,
            clock: self.clock.clone(),
            random: SimRandom::new(purpose("random")),
            server: format!("https://{HOST}").parse().map_err(|_| anyhow::anyhow!("the server's name"))?,
        };
        let costs = Costs { password: PasswordParams::dangerous_cheap(), device_keys: keys::device_keys };
        let client = Client::dangerous_open_with(parts, costs)?;
        let mut events = client.subscribe();
        let (this, there) = (self.clone(), world.clone());
        self.act(async move {
            while let Some(event) = events.next().await {
                this.told(&there, event);
            }
        });
        if let Some(account) = client.account()? {
            world.joined(self, account.device);
            if self.wants_online.get() {
                client.go_online();
            }
        }
        *self.client.borrow_mut() = Some(client);
        Ok(())
    }

    /// Ends what the process did, without asking it.
    pub fn die(&self) {
        for task in self.tasks.borrow_mut().drain(..) {
            task.abort();
        }
        *self.client.borrow_mut() = None;
    }

    /// Hears what the client tells its person (I3).
    fn told(&self, world: &World, event: Event) {
        let ledger = &world.ledger;
        match event {
            Event::Message(message) => {
                let text = message.text.as_deref().map(number).unwrap_or_default();
                if !self.told.borrow_mut().insert(message.id) {
                    ledger.violated("I3", &format!("{} tells of message {text} a second time", self.name));
                }
                ledger.say(&format!("{} shows message {text}", self.name));
            }
            Event::Unopened { device, cause } => {
                let sender = device.and_then(|device| world.member(device));
                let who = sender.as_ref().map_or("somebody", |sender| &sender.name);
                ledger.say(&format!("{} cannot open something from {who}: {cause}", self.name));
                // Whoever was away for weeks comes back to prekeys and chains that nobody keeps any more, too.
                let may_be = world.options.has_repairs || ledger.state().totals.holidays > 0;
                let is_repaired = may_be && cause == NO_KEY;
                if sender.as_ref().is_none_or(|sender| sender.removed.is_none()) && !is_repaired {
                    ledger.violated("I3", &format!("{} cannot open something from {who}: {cause}", self.name));
                }
            }
            Event::Alert(alert) => match alert.notice {
                Notice::Refused { reason, .. } => {
                    ledger.violated("I8", &format!("{} refuses what an honest server says: {reason}", self.name));
                }
                Notice::LinkTampered { .. } => {
                    ledger.violated("I6", &format!("{} finds a link tampered with", self.name));
                }
                Notice::DeviceCopied { .. } => {
                    ledger.violated("REP-21", &format!("{} finds that a device was copied", self.name));
                }
                Notice::Removed if !self.was_removed(world) => {
                    ledger.violated("I8", &format!("{} is told that it was removed", self.name));
                }
                _ => {}
            },
            Event::Connection(ConnectionState::Refused { cause }) => {
                ledger.is_online(self.index, false);
                ledger.say(&format!("{} is refused: {cause}", self.name));
                if !self.was_removed(world) {
                    ledger.violated("I3", &format!("{} is refused for ever: {cause}", self.name));
                }
            }
            Event::Connection(ConnectionState::Online { .. }) => {
                ledger.is_online(self.index, true);
                ledger.say(&format!("{} is online", self.name));
            }
            Event::Connection(_) => ledger.is_online(self.index, false),
            Event::Missed(count) => ledger.violated("I3", &format!("{} missed {count} events", self.name)),
            _ => {}
        }
    }

    fn was_removed(&self, world: &World) -> bool {
        self.id.get().and_then(|id| world.member(id)).is_some_and(|member| member.removed.is_some())
    }
}

/// Returns the number of a text, which is all of it that the play may say.
#[must_use]
pub fn number(text: &str) -> String {
    text.rsplit(' ').next().unwrap_or_default().to_owned()
}
