//! A server without its listeners: courier, services and mail, in the order in which they are started.
//!
//! Owns that order. Does not know where the stores are, nor how anybody connects: a process adds listeners, a simulation
//! its own network.

use std::sync::Arc;

use halcyon_courier::limits::Limits as CourierLimits;
use halcyon_server::accounts::verification::Place;
use halcyon_server::accounts::{Limits, mail};
use halcyon_server::courier::{self, Courier};
use halcyon_server::directory::recipients::DirectoryCache;
use halcyon_server::housekeeping::SWEEP_EVERY;
use halcyon_server::ports::{DirectoryStore, DirectoryStoreError, Mailboxes, Mailer};
use halcyon_server::secrets::ServerSecrets;
use halcyon_server::services::{Foundation, Services};
use tokio::task::JoinSet;

use super::World;
use crate::stop::Stop;

/// What a server is made of.
pub struct Parts {
    /// Accounts, lists, links.
    pub store: DirectoryStore,
    /// What waits for each device.
    pub mailboxes: Arc<dyn Mailboxes>,
    /// The server's keys.
    pub secrets: Arc<ServerSecrets>,
    /// Where mails go.
    pub mailer: Arc<dyn Mailer>,
    /// Host name, and the start of links in mails.
    pub place: Place,
    /// Limits of accounts and directory.
    pub limits: Limits,
    /// Limits of the courier.
    pub courier: CourierLimits,
    /// Time and randomness.
    pub world: World,
}

/// A server that nobody can connect to yet.
pub struct Assembled {
    /// Speaks with devices.
    pub courier: Courier,
    /// Answers requests.
    pub services: Arc<Services>,
    /// The mails on their way out. They end when the services are gone.
    pub mails: JoinSet<()>,
}

/// Puts a server together, and finishes what a crash left undone: after this anybody may connect.
///
/// # Errors
/// [`DirectoryStoreError`]: what was left undone cannot be read.
pub async fn assemble(parts: Parts) -> Result<Assembled, DirectoryStoreError> {
    let Parts { store, mailboxes, secrets, mailer, place, limits, courier: courier_limits, world } = parts;
    let cache = Arc::new(DirectoryCache::new(store.lists.clone(), secrets.session.clone()));
    let mut settings = courier::Settings::new(&place.host);
    settings.limits = courier_limits;
    let courier = Courier::start(
        courier::Ports {
            mailboxes,
            holds: store.holds.clone(),
            recipients: cache.clone(),
            clock: world.clock.clone(),
            random: world.random.clone(),
        },
        settings,
    );
    let (mail_queue, mail_bag) = mail::queue();
    let services = Arc::new(Services::new(Foundation {
        cache,
        notifier: Arc::new(courier.clone()),
        store,
        secrets,
        mails: mail_queue,
        limits,
        place,
        clock: world.clock,
        random: world.random,
    }));
    // DIR-5, DIR-40: before anybody connects.
    services.alerts.resume().await?;
    let mut mails = JoinSet::new();
    mails.spawn(mail::deliver(mail_bag, mailer));
    Ok(Assembled { courier, services, mails })
}

/// How often alerts and revocations that failed are tried again: soon enough for an alarm, rare enough for a disk that stays full.
const CATCH_UP_EVERY: std::time::Duration = std::time::Duration::from_secs(60);

/// Removes what expired and does what failed, from time to time, until the end is asked for.
pub async fn sweep(services: Arc<Services>, mut stop: Stop) {
    let mut sweep_at = tokio::time::Instant::now();
    loop {
        if tokio::time::Instant::now() >= sweep_at {
            sweep_at += SWEEP_EVERY;
            match services.housekeeper.sweep().await {
                Ok(rows) => tracing::debug!(rows, "swept"),
                Err(error) => tracing::error!(%error, "could not sweep what expired; trying again later"),
            }
        }
        if let Err(error) = services.alerts.catch_up().await {
            tracing::error!(%error, "alerts and revocations that failed cannot be read; trying again later");
        }
        tokio::select! {
            biased;
            () = stop.requested() => return,
            () = tokio::time::sleep(CATCH_UP_EVERY) => {}
        }
    }
}
