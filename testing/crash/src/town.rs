//! The people and their devices, registered and linked as people do it.
//!
//! Owns the way from a new server to people who can talk. Does not know what happens to them then.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use halcyon_client::ports::Clock;
use halcyon_client::{Client, LinkDraft, Registration};
use halcyon_client_net::SystemClock;
use halcyon_crypto::SecretBytes;
use halcyon_types::{Handle, SuiteId, Timestamp};
use rand::Rng as _;

use crate::device::Device;
use crate::ledger::{Ledger, Verdict};
use crate::server::Setup;

/// People who are not there yet have devices here: the first registers, the others are linked.
pub const PEOPLE: &[(&str, &[&str])] =
    &[("alice", &["phone", "laptop"]), ("bob", &["phone", "tablet"]), ("carol", &["phone"])];
const PASSWORD: &[u8] = b"correct horse battery staple";
/// A mail that is not there by then was lost.
const MAIL_MAX: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// How long a message of dora's lives at the server: her clock is behind by the 30 days that a message has, less this.
const FLEETING_MS: u64 = 1_500;
const MESSAGE_LIFE: halcyon_types::Duration = halcyon_types::Duration::from_days(30);

/// Everybody.
pub struct Town {
    /// Every device that talks.
    pub devices: Vec<Device>,
    /// Dora, whose clock is a month behind, so that what she sends expires within seconds.
    pub dora: Device,
    /// Erin, who is never online while they talk: for her it expires.
    pub erin: Device,
    /// What they wrote down.
    pub ledger: Ledger,
}

impl Town {
    /// Registers [`PEOPLE`] at a server that runs, with profiles below `folder`, and brings them online.
    ///
    /// # Errors
    /// Whatever goes wrong: nothing may, here.
    pub async fn found(folder: &Path, setup: &Setup) -> anyhow::Result<Self> {
        let ledger = Ledger::default();
        let mut devices = Vec::new();
        for (person, names) in PEOPLE {
            let handle = handle(person)?;
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let new = |name: &str| Device::new(&format!("{person}-{name}"), &handle, folder, setup, clock.clone());
            let first = new(names[0])?;
            register(&first.client, &handle, &first.name, setup.mails()).await?;
            first.online().await?;
            for name in &names[1..] {
                let other = new(name)?;
                link(&first.client, &other.client, &handle, &other.name).await?;
                devices.push(other);
            }
            devices.push(first);
        }
        for device in &devices {
            device.watch(&ledger)?;
            device.online().await?;
        }
        // Whom one never wrote to cannot be written to while the server is away.
        let everybody: Vec<Handle> = PEOPLE.iter().map(|(person, _)| handle(person)).collect::<anyhow::Result<_>>()?;
        for device in &devices {
            let others: Vec<Handle> = everybody.iter().filter(|other| **other != device.handle).cloned().collect();
            let text = format!("{} is here", device.name);
            ledger.sent(device.say(&others, &text, None).await?, &text);
        }
        let single = async |person: &str, clock: Arc<dyn Clock>| {
            let handle = handle(person)?;
            let device = Device::new(&format!("{person}-phone"), &handle, folder, setup, clock)?;
            register(&device.client, &handle, &device.name, setup.mails()).await?;
            anyhow::Ok(device)
        };
        let erin = single("erin", Arc::new(SystemClock)).await?;
        let dora = single("dora", Arc::new(MonthBehind)).await?;
        erin.watch(&ledger)?;
        dora.watch(&ledger)?;
        dora.online().await?;
        let text = "dora is here";
        ledger.fleeting(text);
        dora.say(std::slice::from_ref(&erin.handle), text, Some(SuiteId::PAIR)).await?;
        Ok(Self { devices, dora, erin, ledger })
    }

    /// Some people do not wait until their client tries again by itself.
    pub async fn nudge(&self) {
        for device in self.talkers() {
            let at_once = rand::thread_rng().gen_bool(NUDGED);
            if at_once {
                device.reconnect().await;
            }
        }
    }

    /// Waits until nothing waits in any outbox and everything accepted is shown, at most this long; says whether that was in time.
    ///
    /// # Errors
    /// Somebody cannot come online.
    pub async fn catch_up(&self, patience: Duration) -> anyhow::Result<bool> {
        for device in self.talkers() {
            device.reconnect().await;
            device.online().await?;
        }
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if self.waiting()? == 0 && self.ledger.outstanding() == 0 {
                return Ok(true);
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(false)
    }

    /// Returns how much waits in the outboxes of those who talk.
    ///
    /// # Errors
    /// A profile cannot be read.
    pub fn waiting(&self) -> anyhow::Result<usize> {
        self.devices.iter().try_fold(0, |waiting, device| Ok(waiting + device.client.outbox_len()?))
    }

    /// Returns what the ledger and all histories come to.
    ///
    /// # Errors
    /// A profile cannot be read.
    pub fn verdict(&self) -> anyhow::Result<Verdict> {
        let mut histories = BTreeMap::new();
        for device in &self.devices {
            histories.insert(device.id()?, crate::device::texts(&device.client)?);
        }
        Ok(self.ledger.verdict(&histories))
    }

    /// Ends everybody's clients.
    pub async fn leave(&self) {
        for device in self.talkers().chain([&self.erin]) {
            device.client.shutdown().await;
        }
    }

    fn talkers(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter().chain([&self.dora])
    }

    /// Returns everybody but the person of a device.
    #[must_use]
    pub fn others(&self, device: &Device) -> Vec<Handle> {
        let mut handles: Vec<Handle> = self
            .devices
            .iter()
            .map(|other| &other.handle)
            .filter(|handle| **handle != device.handle)
            .cloned()
            .collect();
        handles.sort();
        handles.dedup();
        handles
    }
}

/// A clock that is behind by nearly all of a message's life.
struct MonthBehind;

impl Clock for MonthBehind {
    fn now(&self) -> Timestamp {
        let fleeting = halcyon_types::Duration::from_millis(FLEETING_MS);
        SystemClock.now().minus(MESSAGE_LIFE).plus(fleeting)
    }
}

/// How long everybody gets to catch up once all is well again.
pub const CATCH_UP_MAX: Duration = Duration::from_secs(120);
/// How many do not wait until their client tries again by itself.
const NUDGED: f64 = 0.6;

/// Returns a person's handle.
///
/// # Errors
/// The name does not fit into one.
pub fn handle(person: &str) -> anyhow::Result<Handle> {
    Ok(Handle::parse(&format!("{person}@example.org"))?)
}

/// Makes an account with its first device.
///
/// # Errors
/// Whatever goes wrong.
pub async fn register(client: &Client, handle: &Handle, name: &str, mails: &Path) -> anyhow::Result<()> {
    let verification = client.request_verification(handle).await?;
    client.verify_code(&verification, &code_for(handle, mails).await?).await?;
    let registration =
        Registration { verification, password: SecretBytes::copy_of(PASSWORD), device_name: name.to_owned() };
    client.register(registration).await?;
    Ok(())
}

/// Links a further device, by the six digits that a person types.
///
/// # Errors
/// Whatever goes wrong.
pub async fn link(trusted: &Client, new: &Client, handle: &Handle, name: &str) -> anyhow::Result<()> {
    let mut pending = new.link_start(link_draft(handle, name)).await?;
    let id = pending.id();
    let approver = trusted.clone();
    let approval = tokio::spawn(async move { approver.approve_start(id).await });
    let digits = pending.digits().await?;
    approval.await??.type_digits(&digits).await?;
    pending.finish().await?;
    Ok(())
}

/// Returns what a new device of a person says to be let in.
#[must_use]
pub fn link_draft(handle: &Handle, name: &str) -> LinkDraft {
    LinkDraft { handle: handle.clone(), password: SecretBytes::copy_of(PASSWORD), device_name: name.to_owned() }
}

/// Waits for the newest code that was mailed to somebody, and takes its mail away.
///
/// # Errors
/// There is none in 10 seconds.
pub async fn code_for(handle: &Handle, mails: &Path) -> anyhow::Result<String> {
    let found = async {
        loop {
            if let Some((mail, code)) = newest_code(handle, mails)? {
                std::fs::remove_file(mail)?;
                return anyhow::Ok(code);
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(MAIL_MAX, found).await.with_context(|| format!("no mail for {handle:?}"))?
}

fn newest_code(handle: &Handle, mails: &Path) -> anyhow::Result<Option<(PathBuf, String)>> {
    let to = format!("To: {}", handle.address());
    let mut files = Vec::new();
    for file in std::fs::read_dir(mails)? {
        files.push(file?.path());
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
    files.sort();
    for mail in files.into_iter().rev() {
        let text = std::fs::read_to_string(&mail)?;
        let code = text.lines().find_map(|line| line.strip_prefix("Code: "));
        if let Some(code) = code.filter(|_| text.lines().any(|line| line == to)) {
            let code = code.to_owned();
            return Ok(Some((mail, code)));
        }
    }
    Ok(None)
}
