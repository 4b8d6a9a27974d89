//! One server on loopback in a folder of its own, with a clock that the test moves.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration as StdDuration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use halcyon_courier::Envelope;
use halcyon_directory::alert::{Alert, AlertEvent};
use halcyon_server::ports::{Clock, Mailboxes, ReadLimit};
use halcyon_server_net::serve::{self, RunningServer, StartError, World as Foundation};
use halcyon_server_net::settings::{MailSource, Settings};
use halcyon_server_net::world::SystemRandom;
use halcyon_server_store::{MailboxOptions, MailboxStore};
use halcyon_types::{DeviceId, Duration, Timestamp, Topic};

use crate::http::Client;

/// A clock that begins at the present and moves when it is told to.
#[derive(Clone)]
pub struct TestClock(Arc<AtomicU64>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

impl TestClock {
    fn begin() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        Self(Arc::new(AtomicU64::new(now as u64)))
    }

    /// A clock that goes on its own from a time before this one's.
    pub fn behind(&self, span: Duration) -> Self {
        Self(Arc::new(AtomicU64::new(self.0.load(Ordering::SeqCst) - span.as_millis())))
    }

    pub fn forward(&self, span: Duration) {
        self.0.fetch_add(span.as_millis(), Ordering::SeqCst);
    }
}

/// A server with everything around it.
pub struct World {
    pub settings: Settings,
    pub clock: TestClock,
    server: Option<RunningServer>,
    _folder: tempfile::TempDir,
}

impl World {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(choose: impl FnOnce(&mut Settings)) -> Self {
        crate::logs::capture();
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::loopback(folder.path().join("data"));
        choose(&mut settings);
        let mut world = Self { settings, clock: TestClock::begin(), server: None, _folder: folder };
        world.open().await.unwrap();
        world
    }

    pub async fn open(&mut self) -> Result<(), StartError> {
        let foundation = Foundation { clock: Arc::new(self.clock.clone()), random: Arc::new(SystemRandom) };
        self.server = Some(serve::start_in(self.settings.clone(), foundation).await?);
        Ok(())
    }

    /// Ends the server and starts it again on the same folder; ports may change.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.open().await.unwrap();
    }

    pub async fn stop(&mut self) {
        self.server.take().unwrap().shutdown().await;
    }

    pub fn server(&self) -> &RunningServer {
        self.server.as_ref().unwrap()
    }

    pub fn data(&self) -> &Path {
        &self.settings.data
    }

    pub fn client(&self) -> Client {
        Client::new(self.server().addresses().https, &self.data().join("authority/authority.pem"), self.clock.clone())
    }

    /// Returns the mails to an address so far, oldest first.
    pub fn mails(&self, address: &str) -> Vec<Mail> {
        let MailSource::Folder(folder) = &self.settings.mail else { panic!("these tests keep mails in a folder") };
        let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "eml"));
        files.sort();
        let to = format!("To: {address}");
        let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
        texts.filter(|text| text.lines().any(|line| line == to)).map(Mail).collect()
    }

    /// Waits for the `count`th mail to an address: it leaves after the answer.
    pub async fn mail(&self, address: &str, count: usize) -> Mail {
        for _ in 0..500 {
            if let Some(mail) = self.mails(address).into_iter().nth(count - 1) {
                return mail;
            }
            tokio::time::sleep(StdDuration::from_millis(10)).await;
        }
        panic!("no mail arrived");
    }

    /// Stops the server and returns what alerts wait for a device.
    pub async fn alerts(&mut self, device: DeviceId) -> Vec<AlertEvent> {
        if self.server.is_some() {
            self.stop().await;
        }
        let mailboxes = MailboxStore::open(self.data(), MailboxOptions::default()).unwrap();
        let limit = ReadLimit { count: 100, bytes: 1 << 20 };
        let stored = mailboxes.read(device, &[Topic::alert()], 0, self.clock.now(), limit).await.unwrap();
        let payload = |envelope: Bytes| Envelope::decode(envelope).unwrap().payload;
        stored.into_iter().map(|stored| Alert::decode(payload(stored.envelope)).unwrap().event).collect()
    }
}

/// A mail as the person reads it.
pub struct Mail(String);

impl Mail {
    pub fn text(&self) -> &str {
        &self.0
    }

    pub fn code(&self) -> Option<String> {
        self.0.lines().find_map(|line| line.strip_prefix("Code: ")).map(str::to_owned)
    }

    /// Returns the path of the link.
    pub fn link(&self) -> Option<String> {
        let line = self.0.lines().find(|line| line.starts_with("https://"))?;
        line.find("/verify/").map(|at| line[at..].to_owned())
    }
}
