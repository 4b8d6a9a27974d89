//! Who has which devices, from memory. Port: [`Recipients`]. Spec: 30-courier.md (COU-12, COU-40, COU-42, COU-55).
//!
//! Owns a bounded cache of accounts. Does not know connections or mailboxes.
//!
//! - Never stale: whoever changes an account calls [`DirectoryCache::forget`] before it answers, and what was read before
//!   that is not put in after it.
//! - What does not exist is not remembered, so asking for it at random fills nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use halcyon_crypto::{CompactKey, VerifyingKey};
use halcyon_directory::session::SessionKey;
use halcyon_types::{AccountId, DeviceId, Handle, PushToken, Timestamp};

use crate::ports::{AccountSnapshot, KnownDevice, ListStore, Recipient, Recipients, RecipientsError, SnapshotOf};

/// Accounts in memory. About 1 KiB each with two devices; past it the oldest is read from the store again.
const ACCOUNTS_MAX: usize = 50_000;

/// The cache. Implements [`Recipients`].
pub struct DirectoryCache {
    store: Arc<dyn ListStore>,
    session: SessionKey,
    state: Mutex<State>,
}

/// One account as the courier needs it.
struct CachedAccount {
    list_version: u64,
    devices: Vec<(DeviceId, KnownDevice)>,
    handles: Vec<Handle>,
}

#[derive(Default)]
struct State {
    accounts: HashMap<AccountId, Arc<CachedAccount>>,
    by_device: HashMap<DeviceId, AccountId>,
    by_token: HashMap<PushToken, AccountId>,
    order: VecDeque<AccountId>,
    // Rises with each `forget`; a read that began before is not put in.
    generation: u64,
}

impl DirectoryCache {
    /// Makes an empty cache over a store.
    #[must_use]
    pub fn new(store: Arc<dyn ListStore>, session: SessionKey) -> Self {
        Self { store, session, state: Mutex::default() }
    }

    /// Forgets an account that has changed in the store.
    pub fn forget(&self, account: AccountId) {
        let mut state = self.lock();
        state.generation += 1;
        state.remove(account);
    }

    async fn account(&self, of: SnapshotOf) -> Result<Option<(AccountId, Arc<CachedAccount>)>, RecipientsError> {
        let generation = {
            let state = self.lock();
            if let Some(found) = state.find(of) {
                return Ok(Some(found));
            }
            state.generation
        };
        let snapshot = self.store.snapshot(of).await.map_err(|error| RecipientsError(error.to_string()))?;
        let Some(snapshot) = snapshot else { return Ok(None) };
        let id = snapshot.account;
        let account = Arc::new(cached(snapshot)?);
        let mut state = self.lock();
        if state.generation == generation {
            state.insert(id, Arc::clone(&account));
        }
        Ok(Some((id, account)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait::async_trait]
impl Recipients for DirectoryCache {
    async fn device(&self, device: DeviceId) -> Result<Option<KnownDevice>, RecipientsError> {
        let found = self.account(SnapshotOf::Device(device)).await?;
        Ok(found.and_then(|(_, account)| account.known(device).cloned()))
    }

    async fn recipient(&self, token: &PushToken) -> Result<Option<Recipient>, RecipientsError> {
        let Some((id, account)) = self.account(SnapshotOf::PushToken(*token)).await? else { return Ok(None) };
        let device = account.devices.iter().find(|(_, known)| known.push_token == *token);
        Ok(device.map(|(device, _)| Recipient { device: *device, account: id, list_version: account.list_version }))
    }

    async fn owns_handle(&self, account: AccountId, handle: &Handle) -> Result<bool, RecipientsError> {
        let found = self.account(SnapshotOf::Account(account)).await?;
        Ok(found.is_some_and(|(_, account)| account.handles.contains(handle)))
    }

    fn session_is_valid(&self, token: &[u8], asker: AccountId, recipient: AccountId, now: Timestamp) -> bool {
        self.session.check(token, asker, recipient, now).is_ok()
    }
}

impl CachedAccount {
    fn known(&self, device: DeviceId) -> Option<&KnownDevice> {
        self.devices.iter().find(|(id, _)| *id == device).map(|(_, known)| known)
    }
}

impl State {
    fn find(&self, of: SnapshotOf) -> Option<(AccountId, Arc<CachedAccount>)> {
        let id = match of {
            SnapshotOf::Account(id) => id,
            SnapshotOf::Device(device) => *self.by_device.get(&device)?,
            SnapshotOf::PushToken(token) => *self.by_token.get(&token)?,
        };
        self.accounts.get(&id).map(|account| (id, Arc::clone(account)))
    }

    fn insert(&mut self, id: AccountId, account: Arc<CachedAccount>) {
        self.remove(id);
        while self.accounts.len() >= ACCOUNTS_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            self.remove(oldest);
        }
        for (device, known) in &account.devices {
            self.by_device.insert(*device, id);
            self.by_token.insert(known.push_token, id);
        }
        self.accounts.insert(id, account);
        self.order.push_back(id);
        // An account that was forgotten and read again stands in the order twice; without this the order would grow with
        // every change of a list.
        if self.order.len() > 2 * ACCOUNTS_MAX {
            let Self { order, accounts, .. } = self;
            let mut seen = std::collections::HashSet::with_capacity(accounts.len());
            order.retain(|id| accounts.contains_key(id) && seen.insert(*id));
        }
    }

    fn remove(&mut self, id: AccountId) {
        let Some(account) = self.accounts.remove(&id) else { return };
        for (device, known) in &account.devices {
            self.by_device.remove(device);
            self.by_token.remove(&known.push_token);
        }
    }
}

fn cached(snapshot: AccountSnapshot) -> Result<CachedAccount, RecipientsError> {
    let account = snapshot.account;
    let devices = snapshot.devices.into_iter().map(|row| {
        let key = VerifyingKey::from_compact(&CompactKey::from_bytes(row.key))
            .map_err(|error| RecipientsError(format!("a stored device key is damaged: {error}")))?;
        Ok((row.device, KnownDevice { account, key, push_token: row.push_token }))
    });
    Ok(CachedAccount {
        list_version: snapshot.list.version,
        devices: devices.collect::<Result<_, _>>()?,
        handles: snapshot.handles,
    })
}
