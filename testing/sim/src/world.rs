//! A whole world: a server, people with devices, what they do and what happens to them, and its end.
//!
//! Owns the order of things. Everything in it follows from the seed: what is done, when, how long it takes, and what breaks.
//!
//! Next: [`crate::acts`] says what may happen; [`crate::end`] what must be true when all is well again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use halcyon_client::Registration;
use halcyon_crypto::SecretBytes;
use halcyon_server::secrets::ServerSecrets;
use halcyon_server_store::directory::LastShutdown;
use halcyon_types::{DeviceId, Handle};
use rand::Rng;
use rand::rngs::StdRng;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::Options;
use crate::acts;
use crate::device::Device;
use crate::disk::{Crash, SimDisk};
use crate::ledger::{Ledger, Membership};
use crate::net::Net;
use crate::sabotage::Sabotage;
use crate::server::{Machine, Mails, Process};
use crate::time::{SimClock, SimRandom, fork};
use crate::watch::{HANDLE_MARK, PASSWORD_MARK, Watcher};

/// A world.
pub struct World {
    /// What it follows from.
    pub seed: u64,
    /// When it began.
    pub began: Instant,
    /// Decides what happens.
    pub rng: RefCell<StdRng>,
    /// What is true.
    pub ledger: Ledger,
    /// Looks for words.
    pub watcher: Watcher,
    /// Between them.
    pub net: Net,
    /// What is broken on purpose.
    pub sabotage: Sabotage,
    /// What kind of world it is.
    pub options: Options,
    machine: RefCell<Machine>,
    process: RefCell<Option<Arc<Process>>>,
    processes: Cell<u64>,
    /// Is being ended in good order, which takes a while.
    server_is_ending: Cell<bool>,
    /// Everybody.
    pub people: RefCell<Vec<Person>>,
    /// Every device there is or was.
    pub devices: RefCell<Vec<Rc<Device>>>,
    /// Texts written so far.
    pub texts: Cell<u64>,
    /// No more faults: it is the end.
    is_healed: Cell<bool>,
    healed: Notify,
    /// How long the server stays off when it dies next.
    pub server_off_for: Cell<Option<Duration>>,
    /// Devices that somebody began to remove.
    pub leaving: RefCell<Vec<(usize, DeviceId)>>,
}

/// Somebody.
#[derive(Clone)]
pub struct Person {
    /// Their name.
    pub name: &'static str,
    /// Handles that are theirs for sure.
    pub handles: Vec<Handle>,
}

const NAMES: [&str; 3] = ["alice", "bob", "carol"];
const DEVICE_NAMES: [&str; 6] = ["phone", "laptop", "tablet", "desktop", "watch", "old phone"];
/// How long a sync that is to fail is waited for: some databases are not written to in hours.
const FAILING_MAX: Duration = Duration::from_secs(600);
/// Within this a server says that a sync failed.
const NOTICE_MAX: Duration = Duration::from_secs(5);
/// How often a server is started that does not start.
const START_EVERY: Duration = Duration::from_secs(10);
/// Envelopes of one mailbox: few, so that it is full at times.
const MAILBOX_COUNT_MAX: usize = 40;
/// The same where there is something to repair: whoever is away for weeks is asked once a day by every device (REP-11), and each that
/// finds a mailbox full tries again every few minutes, for weeks.
const MAILBOX_COUNT_MAX_OF_REPAIRS: usize = 400;

impl World {
    /// Makes a world with a server that nobody uses yet.
    ///
    /// # Errors
    /// The server does not start.
    pub async fn new(seed: u64, options: Options) -> anyhow::Result<Rc<Self>> {
        let sabotage = options.sabotage;
        let began = Instant::now();
        let ledger = Ledger::new();
        let watcher = Watcher::new(ledger.clone());
        let disk = SimDisk::new(Some(watcher.clone()));
        let mut rng = fork(seed, "world");
        let mut limits = halcyon_courier::limits::Limits::default();
        let count_max = if options.has_repairs { MAILBOX_COUNT_MAX_OF_REPAIRS } else { MAILBOX_COUNT_MAX };
        limits.mailbox_count_max = if rng.gen_bool(0.5) { count_max } else { limits.mailbox_count_max };
        if sabotage == Sabotage::EndlessMailbox {
            limits.mailbox_count_max = 2;
        }
        let machine = Machine {
            disk,
            secrets: Arc::new(ServerSecrets::generate(&mut fork(seed, "server secrets"))),
            clock: SimClock::new(began),
            random: SimRandom::new(fork(seed, "server")),
            mails: Arc::new(Mails::default()),
            limits,
            ledger: ledger.clone(),
            watcher: watcher.clone(),
            sabotage,
            last: LastShutdown::Unclean,
        };
        let net = Net::new(fork(seed, "net"), ledger.clone(), watcher.clone(), sabotage);
        let world = Rc::new(Self {
            seed,
            began,
            rng: RefCell::new(rng),
            ledger,
            watcher,
            net,
            sabotage,
            options,
            machine: RefCell::new(machine),
            process: RefCell::new(None),
            processes: Cell::new(0),
            server_is_ending: Cell::new(false),
            people: RefCell::default(),
            devices: RefCell::default(),
            texts: Cell::new(0),
            is_healed: Cell::new(false),
            healed: Notify::new(),
            server_off_for: Cell::new(None),
            leaving: RefCell::default(),
        });
        world.start_server().await?;
        if sabotage == Sabotage::ServerDiskLies {
            world.machine.borrow().disk.lie_about_syncs();
        }
        if sabotage == Sabotage::FailedSyncIsIgnored {
            world.server_disk().fail_in_silence();
        }
        Ok(world)
    }

    /// Draws from the world's randomness.
    pub fn draw<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.rng.borrow_mut())
    }

    /// Returns how things stand with a device of the directory.
    #[must_use]
    pub fn member(&self, device: DeviceId) -> Option<Membership> {
        self.ledger.state().devices.get(&device).cloned()
    }

    // The server.

    /// Returns the server's process, if it lives.
    #[must_use]
    pub fn server(&self) -> Option<Arc<Process>> {
        self.process.borrow().clone()
    }

    /// Returns the server's disk.
    #[must_use]
    pub fn server_disk(&self) -> SimDisk {
        self.machine.borrow().disk.clone()
    }

    /// Returns the mails that arrived.
    #[must_use]
    pub fn mails(&self) -> Arc<Mails> {
        self.machine.borrow().mails.clone()
    }

    /// Starts the server.
    ///
    /// # Errors
    /// Why it does not.
    #[expect(
        clippy::await_holding_refcell_ref,
        reason = "one server starts at a time, and only a crash borrows it mutably"
    )]
    pub async fn start_server(self: &Rc<Self>) -> anyhow::Result<()> {
        let number = self.processes.get() + 1;
        self.processes.set(number);
        let process = self.machine.borrow().start(number).await?;
        self.ledger.say("the server starts");
        *self.process.borrow_mut() = Some(process.clone());
        self.net.serve(Some(process.clone()));
        let this = self.clone();
        tokio::task::spawn_local(async move {
            let dark = process.disk.dark.notified();
            if !process.disk.is_dark() {
                dark.await;
            }
            this.server_died().await;
        });
        Ok(())
    }

    /// Ends the server's process at once, or cuts its machine's power.
    pub fn kill_server(&self) {
        self.server_disk().cut_power();
    }

    async fn server_died(self: Rc<Self>) {
        let Some(process) = self.process.borrow_mut().take() else { return };
        self.net.serve(None);
        process.abort();
        let crash = self.draw(crash);
        let down = self.draw(|rng| Duration::from_millis(rng.gen_range(10..60_000)));
        let down = self.server_off_for.take().unwrap_or(down);
        let broken = if crash == Crash::Kill { self.net.reset_all() } else { self.net.stall_all() };
        self.ledger.say(&format!("the server dies ({crash:?}) with {broken} connections"));
        self.ledger.state().totals.crashes += 1;
        self.sleep_unless_healed(down).await;
        self.restart_server(crash).await;
    }

    /// Sleeps, but not longer than the world is as it is.
    async fn sleep_unless_healed(&self, span: Duration) {
        let healed = self.healed.notified();
        if !self.is_healed.get() {
            let _ = tokio::time::timeout(span, healed).await;
        }
    }

    /// Ends the kindness.
    pub fn heal(&self) {
        self.ledger.state().trouble.drops.clear();
        self.is_healed.set(true);
        self.healed.notify_waiters();
    }

    /// Lets one sync of the server's disk fail, and does what its operator does when the server says so: starts it again.
    pub async fn fail_sync(self: Rc<Self>, file: &'static str) {
        let Some(process) = self.server() else { return };
        let alarms = self.ledger.state().alarms;
        let failed = process.disk.failed_syncs();
        process.disk.fail_sync_of(file);
        let began = Instant::now();
        // Another act may take it back, so this is not the same as that nothing is to fail.
        while process.disk.failed_syncs() == failed {
            if process.disk.is_dark() {
                return;
            }
            if began.elapsed() > FAILING_MAX || self.is_healed.get() {
                process.disk.do_not_fail();
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.ledger.state().totals.disk_faults += 1;
        self.ledger.say(&format!("a sync of {file} failed"));
        tokio::time::sleep(NOTICE_MAX).await;
        if process.disk.is_dark() || self.server_is_ending.get() {
            return;
        }
        if !process.is_stopped() {
            self.ledger.violated("I10", "the server takes more after a failed sync");
        }
        if self.ledger.state().alarms == alarms {
            self.ledger.violated("I10", "the server does not say in its log that a sync failed");
        }
        let noticed = self.draw(|rng| Duration::from_secs(rng.gen_range(1..600)));
        self.sleep_unless_healed(noticed).await;
        if !process.disk.is_dark() {
            self.ledger.say("the server's operator starts it again");
            process.disk.cut_power();
        }
    }

    async fn restart_server(self: &Rc<Self>, crash: Crash) {
        {
            let mut machine = self.machine.borrow_mut();
            let disk = self.draw(|rng| machine.disk.after(crash, rng));
            machine.disk = disk;
            machine.last = LastShutdown::Unclean;
        }
        while let Err(error) = self.start_server().await {
            // Whoever keeps it running tries again while there is no room for that.
            if self.server_disk().is_limited() {
                self.ledger.say("the server does not start on a full disk");
                self.sleep_unless_healed(START_EVERY).await;
                continue;
            }
            if self.server_disk().is_dark() {
                self.ledger.say("the server dies while it starts");
                let disk = self.draw(|rng| self.server_disk().after(crash, rng));
                self.machine.borrow_mut().disk = disk;
                continue;
            }
            // Its files have names that only this process of ours knows.
            let error = format!("{error:#}");
            let error = error.split("/sim/").next().unwrap_or_default();
            self.ledger.violated("I10", &format!("the server does not start after a crash: {error}"));
            return;
        }
    }

    /// Ends the server in good order, and starts it again.
    pub async fn upgrade_server(self: Rc<Self>) {
        if self.server_is_ending.get() {
            return;
        }
        let Some(process) = self.server() else { return };
        self.server_is_ending.set(true);
        self.ledger.say("the server is told to end");
        let disk = process.disk.clone();
        let died = disk.dark.notified();
        tokio::select! {
            biased;
            () = died => {}
            () = process.shut_down() => {
                *self.process.borrow_mut() = None;
                self.net.serve(None);
                self.net.reset_all();
                drop(process);
                self.ledger.say("the server ended");
                tokio::time::sleep(Duration::from_secs(3)).await;
                // What is still in memory of the last process must not write any more.
                self.restart_server(Crash::Kill).await;
            }
        }
        self.server_is_ending.set(false);
    }

    // Devices.

    /// Returns a device of somebody that can be used.
    #[must_use]
    pub fn usable(&self, person: usize) -> Option<Rc<Device>> {
        let devices = self.devices.borrow();
        let usable: Vec<_> = devices.iter().filter(|device| device.person == person && device.is_usable()).collect();
        if usable.is_empty() {
            return None;
        }
        let at = self.draw(|rng| rng.gen_range(0..usable.len()));
        Some(usable[at].clone())
    }

    /// Gives somebody a new device, switched on.
    ///
    /// # Errors
    /// It does not start.
    pub fn add_device(self: &Rc<Self>, person: usize) -> anyhow::Result<Rc<Device>> {
        let index = self.devices.borrow().len();
        self.net.add_device();
        let theirs = self.devices.borrow().iter().filter(|device| device.person == person).count();
        let name = format!("{}'s {}", NAMES[person], DEVICE_NAMES[theirs % DEVICE_NAMES.len()]);
        let clock = SimClock::new(self.began);
        let disk = SimDisk::new(None);
        if self.sabotage == Sabotage::DeviceDisksLie {
            disk.lie_about_syncs();
        }
        let device = Device::new(index, person, name, clock, disk);
        self.devices.borrow_mut().push(device.clone());
        device.start(self)?;
        self.watch_power(&device);
        Ok(device)
    }

    fn watch_power(self: &Rc<Self>, device: &Rc<Device>) {
        let (this, device) = (self.clone(), device.clone());
        let disk = device.disk.borrow().clone();
        tokio::task::spawn_local(async move {
            let dark = disk.dark.notified();
            if !disk.is_dark() {
                dark.await;
            }
            this.device_died(device).await;
        });
    }

    async fn device_died(self: Rc<Self>, device: Rc<Device>) {
        device.die();
        self.ledger.is_online(device.index, false);
        let crash = self.draw(crash);
        let down = self.draw(|rng| Duration::from_millis(rng.gen_range(10..120_000)));
        let down = device.off_for.take().unwrap_or(down);
        if crash == Crash::Kill {
            self.net.reset(device.index)
        } else {
            self.net.stall(device.index)
        };
        self.ledger.say(&format!("{} dies ({crash:?})", device.name));
        self.ledger.state().totals.crashes += 1;
        self.sleep_unless_healed(down).await;
        let disk = self.draw(|rng| device.disk.borrow().after(crash, rng));
        *device.disk.borrow_mut() = disk;
        if let Some(older) = device.replacement.take() {
            self.ledger.say(&format!("{}'s disk is replaced by an older copy", device.name));
            let mut state = self.ledger.state();
            state.trouble.restoring.insert(device.index);
            state.trouble.restored.insert(device.index);
            *device.disk.borrow_mut() = older;
        }
        self.ledger.say(&format!("{} starts again", device.name));
        if let Err(error) = device.start(&self) {
            if device.disk.borrow().is_dark() {
                self.ledger.say(&format!("{} dies while it starts", device.name));
            } else {
                self.ledger.violated("I2", &format!("{} does not start after a crash: {error:#}", device.name));
                return;
            }
        }
        device.is_joining.set(false);
        if device.id.get().is_none() {
            let again = device.client().and_then(|client| Some((client.link_again().ok()??, client)));
            match again {
                Some((pending, client)) => acts::link_again(&self, &device, client, pending),
                // It never came so far that it could be approved.
                None => device.is_gone.set(true),
            }
        }
        self.watch_power(&device);
    }

    /// Notes that a device belongs to an account.
    pub fn joined(&self, device: &Device, id: DeviceId) {
        device.id.set(Some(id));
        let mut state = self.ledger.state();
        let member = state.devices.entry(id).or_insert_with(|| Membership {
            person: device.person,
            client: device.index,
            name: device.name.clone(),
            joined: None,
            removed: None,
        });
        member.joined.get_or_insert_with(Instant::now);
    }

    /// Lets somebody make an account, while the world is still kind.
    ///
    /// # Errors
    /// It did not work.
    pub async fn register(self: &Rc<Self>, person: usize) -> anyhow::Result<()> {
        let device = self.add_device(person)?;
        device.is_joining.set(true);
        let handle = self.people.borrow()[person].handles[0].clone();
        self.ledger.state().handles.insert(handle.clone(), person);
        let client = device.client().ok_or_else(|| anyhow::anyhow!("no process"))?;
        let verification = client.request_verification(&handle).await?;
        let code = self.await_code(&handle).await.ok_or_else(|| anyhow::anyhow!("no mail came"))?;
        client.verify_code(&verification, &code).await?;
        let registration = Registration { verification, password: password(person), device_name: device.name.clone() };
        let account = client.register(registration).await?;
        self.joined(&device, account.device);
        device.is_joining.set(false);
        client.go_online();
        self.ledger.say(&format!("{} registers on {}", NAMES[person], device.name));
        Ok(())
    }

    /// Adds somebody.
    pub fn add_person(&self) -> usize {
        let mut people = self.people.borrow_mut();
        let person = people.len();
        people.push(Person { name: NAMES[person], handles: handle(person, 0).into_iter().collect() });
        person
    }

    /// Waits for the code of a mail; nothing if it was lost.
    pub async fn await_code(&self, handle: &Handle) -> Option<String> {
        for _ in 0..60 {
            if let Some(code) = self.mails().take_code(handle) {
                return Some(code);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        None
    }
}

/// Returns one of somebody's handles.
#[must_use]
pub fn handle(person: usize, number: usize) -> Option<Handle> {
    Handle::parse(&format!("{}{number}@{HANDLE_MARK}", NAMES[person])).ok()
}

/// Returns somebody's password.
#[must_use]
pub fn password(person: usize) -> SecretBytes {
    SecretBytes::copy_of(format!("{PASSWORD_MARK}{}", NAMES[person]).as_bytes())
}

/// Draws how a machine dies.
fn crash(rng: &mut StdRng) -> Crash {
    match rng.gen_range(0..4) {
        0 | 1 => Crash::PowerCut,
        2 => Crash::PowerCutNothingKept,
        _ => Crash::Kill,
    }
}
