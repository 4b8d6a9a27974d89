//! The directory over its real store: registrations, lookups by handles asked for first and again, changed lists.
//!
//! - Everything behind the HTTPS port but the check of the request's signature; passwords cost their owner, not the server.
//! - Device lists are signed and verified as everywhere.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use halcyon_crypto::SigningKey;
use halcyon_directory::lookup::LookupRequest;
use halcyon_directory::{CountersignedEntry, DeviceEntry, SignedList, account_id, authority, device_id};
use halcyon_server::accounts::limits::{Limits, Meter};
use halcyon_server::accounts::request::Member;
use halcyon_server::alerts::Alerts;
use halcyon_server::courier::{Courier, Ports, Settings};
use halcyon_server::directory::list::Lists;
use halcyon_server::directory::lookup::Lookups;
use halcyon_server::directory::recipients::DirectoryCache;
use halcyon_server::ports::{
    Clock, Created, DirectoryStore, NewAccount, NewDevice, NewVerification, RandomRng, StoredList, VerificationId,
    VerificationPurpose, VerifyAttempt, VerifyOutcome,
};
use halcyon_server::query_log::QueryLog;
use halcyon_server::secrets::ServerSecrets;
use halcyon_server_net::world::{SystemClock, SystemRandom};
use halcyon_server_store::directory::{DirectoryDb, LastShutdown};
use halcyon_server_store::{MailboxOptions, MailboxStore};
use halcyon_types::{Duration as Span, Handle, PushToken, SuiteId};
use rand::rngs::OsRng;

use super::table::Figure;
use super::{Scale, scratch};

pub(super) async fn measure(scale: &Scale, home: &Path) -> Result<Vec<Figure>> {
    let folder = scratch(home)?;
    let people: Vec<Person> = (0..scale.accounts).map(Person::new).collect::<Result<_>>()?;
    let count = f64::from(scale.accounts);
    let mut figures = Vec::new();
    {
        let store = open(folder.path(), LastShutdown::Clean)?;
        let per_s = rate(count, stream::iter(&people).map(|person| person.register(&store))).await?;
        figures.push(Figure::new("registrations, each of three synced steps", per_s, "/s"));
    }
    // Opened again: nothing is in the caches of this process.
    let services = Services::over(open(folder.path(), LastShutdown::Unclean)?, folder.path())?;
    for what in ["lookups of one handle, cold: the first of each asker", "lookups of one handle, warm: the same again"]
    {
        let asked = people.iter().zip(people.iter().skip(1).chain(people.first()));
        let lookups =
            stream::iter(asked).map(|(asker, other)| services.look_up(asker, std::slice::from_ref(&other.handle)));
        figures.push(Figure::new(what, rate(count, lookups).await?, "/s"));
    }
    let groups = people.chunks_exact(GROUP).map(|group| group.iter().map(|person| person.handle.clone()).collect());
    let groups: Vec<Vec<Handle>> = groups.collect();
    let asked = people.iter().zip(groups.iter().cycle()).take(people.len() / GROUP);
    let handles = (people.len() / GROUP * GROUP) as f64;
    let lookups = stream::iter(asked).map(|(asker, group)| services.look_up(asker, group));
    figures.push(Figure::new(format!("handles looked up, {GROUP} at once"), rate(handles, lookups).await?, "/s"));
    let renamed: Vec<Bytes> = people.iter().map(Person::renamed).collect::<Result<_>>()?;
    let updates = people.iter().zip(renamed);
    let updates = stream::iter(updates).map(|(person, list)| services.update(person, list));
    figures.push(Figure::new("list updates", rate(count, updates).await?, "/s"));
    Ok(figures)
}

/// Somebody with one device.
struct Person {
    handle: Handle,
    account_key: SigningKey,
    device_key: SigningKey,
    list: SignedList,
    number: u32,
}

impl Person {
    fn new(number: u32) -> Result<Self> {
        let account_key = SigningKey::generate_compact(&mut OsRng);
        let device_key = SigningKey::generate_compact(&mut OsRng);
        let account = account_id(account_key.verifying_key().compact());
        let entry =
            DeviceEntry::new(device_key.verifying_key(), "phone", &[SuiteId::PAIR_EC], None, SystemClock.now())?;
        let entry = CountersignedEntry::sign(entry, account, &device_key)?;
        let list = SignedList::first(&account_key, entry, SystemClock.now())?;
        let handle = Handle::parse(&format!("person{number}@example.org"))?;
        Ok(Self { handle, account_key, device_key, list, number })
    }

    fn member(&self) -> Member {
        Member { device: device_id(self.device_key.verifying_key().compact()), account: self.list.account() }
    }

    /// Verifies the handle and makes the account, as a registration does (ACC-20 to ACC-32).
    async fn register(&self, store: &DirectoryStore) -> Result<()> {
        let now = SystemClock.now();
        let id = VerificationId(wide(self.number));
        let verification = NewVerification {
            id,
            handle: self.handle.clone(),
            purpose: VerificationPurpose::Registration,
            code_mac: wide(self.number),
            link_hash: wide(self.number),
            expires: now.plus(Span::from_mins(15)),
        };
        store.verifications.begin(verification).await?;
        let attempt = VerifyAttempt::Code(wide(self.number));
        let verified = store.verifications.verify(id, attempt, 5, 20, now, Vec::new()).await?;
        ensure!(verified == VerifyOutcome::Verified, "not verified: {verified:?}");
        // The server reads and verifies what it is sent.
        let update = authority::register(SignedList::decode(self.list.encode())?)?;
        let new = NewAccount {
            account: update.list.account(),
            account_key: *self.account_key.verifying_key().compact().as_bytes(),
            password: Bytes::from(vec![7; PASSWORD_RECORD_BYTES]),
            verification: id,
            list: StoredList { version: update.list.version(), signed: update.list.encode() },
            device: NewDevice {
                device: self.member().device,
                key: *self.device_key.verifying_key().compact().as_bytes(),
                push_token: PushToken::from_bytes(wide(self.number)),
                prekeys: Vec::new(),
            },
            created: now,
        };
        let created = store.accounts.create(new).await?;
        ensure!(created == Created::Created, "no account: {created:?}");
        Ok(())
    }

    /// Returns the next list, in which the device has another name.
    fn renamed(&self) -> Result<Bytes> {
        let device = self.list.device(self.member().device).context("a list with its device")?;
        let entry = CountersignedEntry::sign(device.entry().renamed("pocket")?, self.list.account(), &self.device_key)?;
        Ok(self.list.next().with(entry).sign(&self.account_key, SystemClock.now())?.encode())
    }
}

/// The services that are measured, over a store.
struct Services {
    lookups: Lookups,
    lists: Lists,
}

impl Services {
    fn over(store: DirectoryStore, folder: &Path) -> Result<Self> {
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
        let secrets = ServerSecrets::generate(&mut RandomRng(&SystemRandom));
        let cache = Arc::new(DirectoryCache::new(store.lists.clone(), secrets.session.clone()));
        // Askers of the bench are faster than people.
        let limits = Limits { lookups_per_day: u32::MAX, lookups_burst: u32::MAX, ..Limits::default() };
        let meter = Arc::new(Meter::new(limits, secrets.limit_key(), store.limits.clone(), clock.clone()));
        let log = QueryLog::new(store.lookups.clone(), meter, &secrets, clock.clone());
        let lookups = Lookups::new(store.lists.clone(), cache.clone(), log, &secrets, clock.clone());
        let ports = Ports {
            mailboxes: Arc::new(MailboxStore::open(folder, MailboxOptions::default())?),
            holds: store.holds.clone(),
            recipients: cache.clone(),
            clock: clock.clone(),
            random: random.clone(),
        };
        let courier = Courier::start(ports, Settings::new("localhost"));
        let alerts = Alerts::new(store.lists.clone(), store.aftermath, Arc::new(courier), clock, random);
        Ok(Self { lookups, lists: Lists::new(store.lists, Arc::new(alerts), cache) })
    }

    async fn look_up(&self, asker: &Person, handles: &[Handle]) -> Result<()> {
        let request = LookupRequest::new(handles.to_vec())?;
        let answer = self.lookups.answer(asker.member(), request.encode()).await?;
        ensure!(answer.len() > handles.len() * LIST_BYTES_MIN, "somebody was not found");
        Ok(())
    }

    async fn update(&self, person: &Person, list: Bytes) -> Result<()> {
        self.lists.replace(person.member(), list).await?;
        Ok(())
    }
}

fn open(folder: &Path, last: LastShutdown) -> Result<DirectoryStore> {
    Ok(DirectoryDb::open(folder, last)?.ports())
}

/// Runs operations, some at a time, and returns how many a second that is.
async fn rate<F: Future<Output = Result<()>>>(count: f64, operations: impl StreamExt<Item = F>) -> Result<f64> {
    let begun = Instant::now();
    operations.buffer_unordered(AT_A_TIME).try_collect::<()>().await?;
    Ok(count / begun.elapsed().as_secs_f64())
}

/// Returns bytes that no other number gives.
fn wide<const N: usize>(number: u32) -> [u8; N] {
    let mut bytes = [7; N];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// Requests that the server has at the same time.
const AT_A_TIME: usize = 64;
/// Handles in one large lookup: as many as one may have.
const GROUP: usize = halcyon_directory::lookup::HANDLES_MAX;
/// About what OPAQUE's record takes; the server stores it as it is.
const PASSWORD_RECORD_BYTES: usize = 192;
/// No list with one device is shorter.
const LIST_BYTES_MIN: usize = 200;
