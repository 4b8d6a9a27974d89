//! Accounts, directory and linking, put together from their ports.
//!
//! Owns nothing but the wiring.

use std::sync::Arc;

use crate::accounts::handles::Handles;
use crate::accounts::limits::{Limits, Meter};
use crate::accounts::mail::MailQueue;
use crate::accounts::registration::Registrations;
use crate::accounts::request::RequestAuth;
use crate::accounts::sign_in::SignIns;
use crate::accounts::verification::{Place, VerificationParts, Verifications};
use crate::alerts::Alerts;
use crate::directory::list::Lists;
use crate::directory::lookup::Lookups;
use crate::directory::prekeys::Prekeys;
use crate::directory::recipients::DirectoryCache;
use crate::housekeeping::Housekeeper;
use crate::linking::{LinkParts, Links};
use crate::ports::{Clock, DirectoryStore, Notifier, Random, Recipients};
use crate::query_log::QueryLog;
use crate::reports::Reports;
use crate::secrets::ServerSecrets;

/// What the services stand on.
pub struct Foundation {
    /// Everything durable.
    pub store: DirectoryStore,
    /// The courier.
    pub notifier: Arc<dyn Notifier>,
    /// The directory as the courier sees it, too.
    pub cache: Arc<DirectoryCache>,
    /// The server's keys.
    pub secrets: Arc<ServerSecrets>,
    /// Where mails are put.
    pub mails: MailQueue,
    /// Limits.
    pub limits: Limits,
    /// Host name, which is the audience of requests, and the start of links.
    pub place: Place,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}

/// Every service behind the HTTPS port.
pub struct Services {
    /// Who makes a request.
    pub auth: Arc<RequestAuth>,
    /// Verification of handles.
    pub verifications: Verifications,
    /// New accounts.
    pub registrations: Registrations,
    /// Passwords.
    pub sign_ins: Arc<SignIns>,
    /// Handles of an account.
    pub handles: Handles,
    /// Device lists.
    pub lists: Lists,
    /// Prekeys.
    pub prekeys: Prekeys,
    /// Lookups.
    pub lookups: Lookups,
    /// Linking.
    pub links: Links,
    /// Reports for the operator.
    pub reports: Reports,
    /// Alerts.
    pub alerts: Arc<Alerts>,
    /// Sweeping.
    pub housekeeper: Housekeeper,
}

impl Services {
    /// Wires everything.
    #[must_use]
    pub fn new(on: Foundation) -> Self {
        let Foundation { store, notifier, cache, secrets, mails, limits, place, clock, random } = on;
        let directory: Arc<dyn Recipients> = cache.clone();
        let meter = Arc::new(Meter::new(limits, secrets.limit_key(), store.limits.clone(), clock.clone()));
        let auth =
            Arc::new(RequestAuth::new(place.host.clone(), directory.clone(), store.limits.clone(), clock.clone()));
        let alerts = Arc::new(Alerts::new(
            store.lists.clone(),
            store.aftermath.clone(),
            notifier,
            clock.clone(),
            random.clone(),
        ));
        let sign_ins = Arc::new(SignIns::new(
            store.accounts.clone(),
            store.links.clone(),
            meter.clone(),
            secrets.clone(),
            clock.clone(),
            random.clone(),
        ));
        let log = QueryLog::new(store.lookups.clone(), meter.clone(), &secrets, clock.clone());
        let reports = Reports::new(store.reports, directory.clone(), meter.clone(), clock.clone(), random.clone());
        Self {
            verifications: Verifications::new(VerificationParts {
                store: store.verifications.clone(),
                accounts: store.accounts.clone(),
                meter,
                mails,
                alerts: alerts.clone(),
                cache: cache.clone(),
                clock: clock.clone(),
                random: random.clone(),
                key: secrets.verification.clone(),
                place,
            }),
            registrations: Registrations::new(
                store.accounts.clone(),
                store.verifications,
                auth.clone(),
                secrets.clone(),
                clock.clone(),
                random.clone(),
            ),
            handles: Handles::new(store.accounts, alerts.clone(), cache.clone()),
            lists: Lists::new(store.lists.clone(), alerts.clone(), cache.clone()),
            prekeys: Prekeys::new(store.lists.clone(), directory.clone()),
            lookups: Lookups::new(store.lists.clone(), directory, log, &secrets, clock.clone()),
            links: Links::new(LinkParts {
                store: store.links,
                lists: store.lists,
                auth: auth.clone(),
                alerts: alerts.clone(),
                cache,
                clock: clock.clone(),
                random,
                open_max: limits.open_links_per_account,
            }),
            housekeeper: Housekeeper::new(store.housekeeping, sign_ins.clone(), clock),
            auth,
            sign_ins,
            reports,
            alerts,
        }
    }
}
