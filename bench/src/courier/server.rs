//! The server's process: the real courier over the real store and TLS, and a bare echo beside it.
//!
//! Says its ports in one line, answers each line that it is sent with what it counted, and ends when its input does.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use clap::Args;
use halcyon_courier::Limits;
use halcyon_server::courier::{Courier, Ports, Settings};
use halcyon_server::ports::{Append, AppendOutcome, MailboxError, Mailboxes, ReadLimit, ShownEpoch, StoredEnvelope};
use halcyon_server_net::courier::addresses::{AddressLimits, Loopback, SourceAddresses};
use halcyon_server_net::courier::native::{self, ALPN_COURIER};
use halcyon_server_net::door::Door;
use halcyon_server_net::stop;
use halcyon_server_net::tls::Identity;
use halcyon_server_net::world::{SystemClock, SystemRandom};
use halcyon_server_store::directory::{DirectoryDb, LastShutdown};
use halcyon_server_store::{MailboxOptions, MailboxStore};
use halcyon_types::{DeviceId, Timestamp, Topic};
use rustls::ServerConfig;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::clients::{ALPN_ECHO, CERTIFICATE_FILE, HOST, KEY_FILE};
use super::people::Directory;

/// How the process is started.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The data folder, with certificate and key.
    #[arg(long)]
    folder: PathBuf,
    /// Devices that the directory knows.
    #[arg(long)]
    people: u32,
    /// Bytes of one echo.
    #[arg(long)]
    echo_bytes: usize,
}

/// Where the process listens.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct ListeningPorts {
    pub(crate) courier: u16,
    pub(crate) echo: u16,
}

/// What the process counted since it started.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Stats {
    pub(crate) commits: u64,
    pub(crate) envelopes: u64,
    pub(crate) reads: u64,
    pub(crate) cpu_ms: u64,
    /// Of it, in user code and in the kernel for the one thread that writes the mailboxes.
    pub(crate) writer_ms: (u64, u64),
    /// Bytes written to the disk.
    pub(crate) written_bytes: u64,
}

impl Stats {
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            commits: self.commits - before.commits,
            envelopes: self.envelopes - before.envelopes,
            reads: self.reads - before.reads,
            cpu_ms: self.cpu_ms - before.cpu_ms,
            writer_ms: (self.writer_ms.0 - before.writer_ms.0, self.writer_ms.1 - before.writer_ms.1),
            written_bytes: self.written_bytes - before.written_bytes,
        }
    }

    pub(crate) fn envelopes_per_commit(&self) -> u64 {
        (self.envelopes / self.commits.max(1)).max(1)
    }
}

/// Runs the process.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(arguments))
}

async fn serve(arguments: &Arguments) -> Result<()> {
    let identity = Identity::from_files(&arguments.folder.join(CERTIFICATE_FILE), &arguments.folder.join(KEY_FILE))?;
    // Honest devices of the bench are faster than people: no rate holds for them.
    let limits = Limits {
        sends_per_s: u32::MAX,
        sends_burst: u32::MAX,
        frames_per_s: u32::MAX,
        frames_burst: u32::MAX,
        bytes_per_s: u32::MAX,
        ..Limits::default()
    };
    let options = MailboxOptions { envelopes_max: u64::MAX, bytes_max: u64::MAX, ..MailboxOptions::default() };
    let store = MailboxStore::open(&arguments.folder, options)?;
    let mailboxes = Arc::new(Counted { store, envelopes: AtomicU64::new(0), reads: AtomicU64::new(0) });
    let ports = Ports {
        mailboxes: mailboxes.clone(),
        holds: DirectoryDb::open(&arguments.folder, LastShutdown::Clean)?.ports().holds,
        recipients: Arc::new(Directory::of(arguments.people)?),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
    };
    let courier = Courier::start(ports, Settings { limits, ..Settings::new(HOST) });

    let (stop, stopped) = stop::channel();
    let (courier_listener, echo_listener) =
        (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
    let ports =
        ListeningPorts { courier: courier_listener.local_addr()?.port(), echo: echo_listener.local_addr()?.port() };
    let limits = courier.limits();
    let sources = SourceAddresses::new(AddressLimits::new(limits, limits.connections_max, Loopback::Trusted));
    let door = Door::new(identity.server_config(ALPN_COURIER)?, sources, limits);
    let serving = tokio::spawn(native::run(courier_listener, door, courier, stopped));
    tokio::spawn(echo(echo_listener, identity.server_config(ALPN_ECHO)?, arguments.echo_bytes));

    let mut out = tokio::io::stdout();
    say(&mut out, &ports).await?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while lines.next_line().await?.is_some() {
        say(&mut out, &mailboxes.stats()?).await?;
    }
    stop.stop();
    serving.await.context("the courier did not end well")
}

async fn say(out: &mut tokio::io::Stdout, what: &impl Serialize) -> Result<()> {
    out.write_all(format!("{}\n", serde_json::to_string(what)?).as_bytes()).await?;
    out.flush().await.context("nobody listens")
}

/// Sends everything back, with no more than TLS between.
async fn echo(listener: TcpListener, tls: Arc<ServerConfig>, bytes: usize) {
    let acceptor = TlsAcceptor::from(tls);
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // A connection that breaks ends; the clients notice.
            let _ = echo_one(stream, acceptor, bytes).await;
        });
    }
}

async fn echo_one(stream: TcpStream, acceptor: TlsAcceptor, bytes: usize) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    // What came together goes back together, as the courier does.
    let mut buffer = vec![0; 16 * bytes];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let whole = filled - filled % bytes;
        stream.write_all(&buffer[..whole]).await?;
        stream.flush().await?;
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
}

/// The store, counted.
struct Counted {
    store: MailboxStore,
    envelopes: AtomicU64,
    reads: AtomicU64,
}

impl Counted {
    fn stats(&self) -> Result<Stats> {
        Ok(Stats {
            commits: self.store.synced_commits(),
            envelopes: self.envelopes.load(Ordering::Relaxed),
            reads: self.reads.load(Ordering::Relaxed),
            cpu_ms: super::process::own_cpu_ms()?,
            writer_ms: super::process::own_thread_cpu_ms(WRITER_THREAD)?,
            written_bytes: super::process::own_written_bytes()?,
        })
    }
}

#[async_trait::async_trait]
impl Mailboxes for Counted {
    async fn append(&self, batch: Vec<Append>, shown: Vec<ShownEpoch>) -> Result<Vec<AppendOutcome>, MailboxError> {
        self.envelopes.fetch_add(batch.len() as u64, Ordering::Relaxed);
        self.store.append(batch, shown).await
    }

    async fn epoch(&self, device: DeviceId) -> Result<u64, MailboxError> {
        self.store.epoch(device).await
    }

    async fn read(
        &self,
        device: DeviceId,
        topics: &[Topic],
        after: u64,
        now: Timestamp,
        limit: ReadLimit,
    ) -> Result<Vec<StoredEnvelope>, MailboxError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.store.read(device, topics, after, now, limit).await
    }

    async fn acknowledge(&self, device: DeviceId, positions: Vec<u64>) -> Result<(), MailboxError> {
        self.store.acknowledge(device, positions).await
    }

    async fn clear(&self, device: DeviceId) -> Result<(), MailboxError> {
        self.store.clear(device).await
    }

    async fn expire(&self, now: Timestamp) -> Result<usize, MailboxError> {
        self.store.expire(now).await
    }
}

/// The name of the thread that writes the mailboxes (`halcyon_server_store`).
const WRITER_THREAD: &str = "mailboxes";
