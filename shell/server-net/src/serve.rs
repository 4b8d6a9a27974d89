//! A whole server: put together, started, drained, closed.
//!
//! Owns the order. Start: folder and lock, store, certificate, listeners, what a crash left undone, and only then the
//! first connection. End: no new connections, answers to what was begun, mails, store, lock (COU-56).
//!
//! - A server that did not start leaves nothing running and nothing locked.

pub mod assembly;
mod https;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use halcyon_server::accounts::verification::Place;
use halcyon_server::ports::{Clock, DirectoryStoreError, Mailer, Random, RandomRng};
use halcyon_server::secrets::{SecretsError, ServerSecrets};
use halcyon_server::services::Services;
use halcyon_server_store::directory::{DirectoryDb, OpenError};
use halcyon_server_store::folder::{Folder, FolderError};
use halcyon_server_store::{MailboxOptions, MailboxStore};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

use assembly::{Assembled, Parts};

use crate::courier::addresses::{AddressLimits, Loopback, SourceAddresses};
use crate::courier::native::{self, ALPN_COURIER};
use crate::courier::websocket;
use crate::dev_authority::{self, AuthorityError};
use crate::door::Door;
use crate::http::private::{self, Private};
use crate::http::server::About;
use crate::http::{self, Api};
use crate::mail::folder::MailFolder;
use crate::mail::smtp::{SmtpError, SmtpMailer};
use crate::open_files::{self, Shares};
use crate::settings::{MailSource, Settings, TlsSource};
use crate::stop::{self, StopSender};
use crate::tls::{ALPN_HTTP, Identity, TlsError};
use crate::world::{SystemClock, SystemRandom};

/// COU-56: what has not ended by then is cut off.
const DRAIN_MAX: Duration = Duration::from_secs(8);
/// Bytes that the kernel keeps of a connection each way (Linux doubles it for its own accounts). By default it is several megabytes,
/// which a peer that reads nothing fills; this carries the largest frame, and a megabyte a second around the world.
const KERNEL_BYTES_MAX: u32 = 256 * 1024;
/// Connections that wait in the kernel's queue to be accepted: all devices come at once after a restart. The kernel's own
/// limit (`somaxconn`) may be lower.
const BACKLOG: u32 = 4_096;
/// Mails that wait for a slow relay are lost after this; their people ask again.
const MAILS_MAX: Duration = Duration::from_millis(500);

/// Why a server did not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// `server.secrets`
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The directory's database.
    #[error(transparent)]
    Directory(#[from] OpenError),
    /// The mailboxes' database.
    #[error(transparent)]
    Mailboxes(#[from] halcyon_server_store::MailboxOpenError),
    /// Certificate files.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The development authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The relay.
    #[error(transparent)]
    Smtp(#[from] SmtpError),
    /// The mail folder.
    #[error("the mail folder {path} cannot be used: {source}", path = path.display())]
    MailFolder {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A port is taken, or the address is not this machine's.
    #[error("cannot listen on {address} for {what}: {source}; stop what listens there, or choose another address")]
    Listen {
        /// Which listener.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// What a crash left undone cannot be read.
    #[error(transparent)]
    Store(#[from] DirectoryStoreError),
}

/// The time and the randomness of a server.
#[derive(Clone)]
pub struct World {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}

impl Default for World {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), random: Arc::new(SystemRandom) }
    }
}

/// Where a server listens, with the ports that it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Courier over TLS.
    pub courier: SocketAddr,
    /// HTTPS.
    pub https: SocketAddr,
    /// Operator's listener.
    pub private: Option<SocketAddr>,
}

/// A server that runs until [`RunningServer::shutdown`]. Dropping it ends it without draining.
pub struct RunningServer {
    addresses: Addresses,
    services: Arc<Services>,
    stop: StopSender,
    tasks: JoinSet<()>,
    mails: JoinSet<()>,
    folder: Folder,
}

/// Starts a server of the real world.
///
/// # Errors
/// [`StartError`]
pub async fn start(settings: Settings) -> Result<RunningServer, StartError> {
    start_in(settings, World::default()).await
}

/// Starts a server with another time and randomness.
///
/// # Errors
/// [`StartError`]
pub async fn start_in(settings: Settings, world: World) -> Result<RunningServer, StartError> {
    let folder = Folder::open(&settings.data)?;
    let fresh = || ServerSecrets::generate(&mut RandomRng(&*world.random)).to_secret_bytes();
    let secrets = Arc::new(ServerSecrets::from_secret_bytes(&folder.secrets(fresh)?)?);
    let directory = DirectoryDb::open(folder.path(), folder.last_shutdown())?;
    let store = directory.ports();
    let mailboxes = Arc::new(MailboxStore::open(folder.path(), mailbox_options(&settings.courier))?);
    let identity = identity(&settings.tls)?;
    let (courier_tls, https_tls) = (identity.server_config(ALPN_COURIER)?, identity.server_config(ALPN_HTTP)?);
    let mailer = mailer(&settings)?;

    let courier_listener = listen("the courier", settings.courier_listen)?;
    let https_listener = listen("HTTPS", settings.https_listen)?;
    let private_listener = match settings.private_listen {
        Some(address) => Some(listen("the operator", address)?),
        None => None,
    };
    let addresses = Addresses {
        courier: bound("the courier", settings.courier_listen, &courier_listener)?,
        https: bound("HTTPS", settings.https_listen, &https_listener)?,
        private: private_listener.as_ref().and_then(|listener| listener.local_addr().ok()),
    };

    let public_url = settings.public_url.clone().unwrap_or_else(|| default_url(&settings.host, addresses.https));
    let Assembled { courier, services, mails } = assembly::assemble(Parts {
        store: store.clone(),
        mailboxes: mailboxes.clone(),
        secrets,
        mailer,
        place: Place { host: settings.host.clone(), public_url },
        limits: settings.limits,
        courier: settings.courier.clone(),
        world: world.clone(),
    })
    .await?;

    let (stop_sender, stop) = stop::channel();
    let mut tasks = JoinSet::new();
    // COU-14: both bindings count together.
    let limits = &settings.courier;
    let shares = open_files::share(Shares { courier: limits.connections_max, https: https::CONNECTIONS_MAX });
    let loopback = if settings.limits.limit_loopback { Loopback::Limited } else { Loopback::Trusted };
    let sources = SourceAddresses::new(AddressLimits::new(limits, shares.courier, loopback));
    let courier_door = Door::new(courier_tls, sources.clone(), limits);
    tasks.spawn(native::run(courier_listener, courier_door, courier.clone(), stop.clone()));
    let about =
        About { audience: settings.host.clone(), courier: format!("{}:{}", settings.host, addresses.courier.port()) };
    let api = Api { services: services.clone(), clock: world.clock, about: Arc::new(about) };
    // Requests are counted apart: a crowd that talks must not keep its own devices from looking people up.
    let https_sources = SourceAddresses::new(AddressLimits::new(limits, shares.https, loopback));
    let https_door = Door::new(https_tls, https_sources, limits);
    let router = http::router(api, websocket::routes(courier, sources));
    tasks.spawn(https::run(https_listener, Some(https_door), router, stop.clone()));
    if let Some(listener) = private_listener {
        let metrics = private::recorder();
        let private = Private { store: Arc::new(store), directory, mailboxes, stop: stop.clone(), metrics };
        tasks.spawn(https::run(listener, None, private::router(private), stop.clone()));
    }
    tasks.spawn(assembly::sweep(services.clone(), stop.clone()));
    Ok(RunningServer { addresses, services, stop: stop_sender, tasks, mails, folder })
}

impl RunningServer {
    /// Returns where the server listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Returns the services, for whoever shares a process with the server.
    #[must_use]
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// Ends the server: nothing new is accepted, what was begun is answered, and everything is closed within 10 seconds
    /// (COU-56).
    pub async fn shutdown(self) {
        let Self { services, stop, mut tasks, mut mails, folder, .. } = self;
        stop.stop();
        let drained = tokio::time::timeout(DRAIN_MAX, async { while tasks.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!(tasks = tasks.len(), "some connections did not end in time and were cut off");
            tasks.shutdown().await;
        }
        // With the services goes the last way to put a mail; what waits gets a moment.
        drop(services);
        let _ = tokio::time::timeout(MAILS_MAX, async { while mails.join_next().await.is_some() {} }).await;
        mails.shutdown().await;
        if let Err(error) = folder.close() {
            tracing::warn!(%error, "the shutdown could not be marked as orderly; the next start checks the store");
        }
    }
}

/// COU-45
fn mailbox_options(limits: &halcyon_courier::limits::Limits) -> MailboxOptions {
    MailboxOptions {
        envelopes_max: limits.mailbox_count_max as u64,
        bytes_max: limits.mailbox_bytes_max as u64,
        ..MailboxOptions::default()
    }
}

fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let listening = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A server that starts again does not wait for the connections that it had.
        socket.set_reuseaddr(true)?;
        // What is accepted has the same.
        socket.set_send_buffer_size(KERNEL_BYTES_MAX)?;
        socket.set_recv_buffer_size(KERNEL_BYTES_MAX)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listening().map_err(|source| StartError::Listen { what, address, source })
}

fn bound(what: &'static str, address: SocketAddr, listener: &TcpListener) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|source| StartError::Listen { what, address, source })
}

fn identity(source: &TlsSource) -> Result<Identity, StartError> {
    Ok(match source {
        TlsSource::Files { chain, key } => Identity::from_files(chain, key)?,
        TlsSource::DevelopmentAuthority { folder, names } => {
            dev_authority::load_or_make(folder, names, SystemTime::now())?
        }
    })
}

fn mailer(settings: &Settings) -> Result<Arc<dyn Mailer>, StartError> {
    Ok(match &settings.mail {
        MailSource::Folder(path) => {
            let opened = MailFolder::open(path, &settings.host);
            Arc::new(opened.map_err(|source| StartError::MailFolder { path: path.clone(), source })?)
        }
        MailSource::Smtp(smtp) => Arc::new(SmtpMailer::new(smtp)?),
    })
}

/// ACC-22: the port is in the link when it is not the usual one.
fn default_url(host: &str, https: SocketAddr) -> String {
    match https.port() {
        443 => format!("https://{host}"),
        port => format!("https://{host}:{port}"),
    }
}
