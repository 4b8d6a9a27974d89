//! What of the profile is in memory, and the one lock around it.
//!
//! Owns the store, the keys of this device and what was decoded of accepted accounts. Does not know the network.
//!
//! - Memory follows the store: a value changes here only after the commit that changed it there.

use std::collections::{HashMap, HashSet};

use halcyon_crypto::{CryptoRng, Rng, RngCore, Secret, SigningKey, rng::RngError};
use halcyon_directory::{KnownAccount, KnownHandle, lookup::Addresses};
use halcyon_suites::{DeviceKeys, Session, Suite};
use halcyon_types::{AccountId, DeviceId, Handle, PushToken, SessionToken, SuiteId, Timestamp};

use crate::{
    error::ProfileError,
    groups::known::Groups,
    outbox::{full::FullMailboxes, unsealable::Unsealable},
    ports::{
        Change, Commit, Random, Store, StoreError,
        store::{AddressesRecord, KnownAccountRecord, KnownHandleRecord, Profile, Stage},
    },
    repair::Resent,
    scheduled::Holds,
    typing::Typists,
};

/// The profile, in memory and on disk.
pub(crate) struct State {
    store: Box<dyn Store>,
    own: Option<Own>,
    accounts: HashMap<AccountId, KnownAccount>,
    /// Suites that the person switched off (SUI-9).
    suites_off: Vec<Suite>,
    /// Answers in a row by which the courier contradicted the directory, for accounts with any (SND-3). Not on disk: after a
    /// restart it takes as many again.
    pub(crate) stale_in_a_row: HashMap<AccountId, u32>,
    /// How many lists were accepted in this process, so that an answer can be told from one that was overtaken (DIR-6).
    pub(crate) lists_accepted: u64,
    /// Whether the courier said, on the connection that there is, that it remembers no newer copy of this profile (REP-21).
    pub(crate) is_newest_copy: bool,
    /// Devices that could not be sealed for, and may be later.
    pub(crate) unsealable: Unsealable,
    /// Devices whose mailbox had no room.
    pub(crate) full_mailboxes: FullMailboxes,
    /// What was sent again lately, and to whom (REP-18). Not on disk, for the same reason.
    pub(crate) resent: Resent,
    /// What is decoded of groups.
    pub(crate) groups: Groups,
    /// Devices of which a watcher was told that something is being repaired.
    pub(crate) shown_repairs: HashSet<DeviceId>,
    /// What the server is to be asked about messages that wait for their time.
    pub(crate) holds: Holds,
    /// Who types.
    pub(crate) typists: Typists,
}

/// Who this device is, decoded.
pub(crate) struct Own {
    pub(crate) stage: Stage,
    pub(crate) server: String,
    pub(crate) account: AccountId,
    pub(crate) device: DeviceId,
    pub(crate) keys: DeviceKeys,
    pub(crate) account_key: SigningKey,
    pub(crate) push_token: Option<PushToken>,
    pub(crate) prekeys_uploaded: bool,
}

/// What is known of an account and where its devices are, if that is to be trusted still.
pub(crate) struct KeptAccount {
    pub(crate) known: KnownAccount,
    /// None when it was found out of date.
    pub(crate) addresses: Option<(Addresses, Timestamp)>,
}

impl State {
    pub(crate) fn open(store: Box<dyn Store>) -> Result<Self, ProfileError> {
        let own = store.profile()?.map(|profile| Own::decode(&profile)).transpose()?;
        let suites_off = store.setting(SUITES_OFF)?.map(|names| read_suites(&names)).unwrap_or_default();
        Ok(Self {
            store,
            own,
            accounts: HashMap::new(),
            suites_off,
            stale_in_a_row: HashMap::new(),
            lists_accepted: 0,
            is_newest_copy: false,
            unsealable: Unsealable::default(),
            full_mailboxes: FullMailboxes::default(),
            resent: Resent::default(),
            groups: Groups::default(),
            shown_repairs: HashSet::new(),
            holds: Holds::default(),
            typists: Typists::default(),
        })
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Commits. What is kept in memory beside the store must be given to the `put_` functions instead.
    pub(crate) fn commit(&mut self, commit: &Commit) -> Result<(), StoreError> {
        if commit.is_empty() {
            return Ok(());
        }
        self.store.commit(commit)?;
        for change in commit.changes() {
            if let Change::PutGroup(record) = change {
                self.groups.changed(record.group);
            }
        }
        Ok(())
    }

    /// Returns the suites that may be used: those of this build without those that were switched off (SUI-9).
    pub(crate) fn suites(&self) -> Vec<Suite> {
        Suite::SPOKEN.into_iter().filter(|suite| !self.suites_off.contains(suite)).collect()
    }

    /// Commits which suites are switched off.
    pub(crate) fn commit_suites_off(&mut self, off: Vec<Suite>) -> Result<(), StoreError> {
        let numbers: Vec<String> = off.iter().map(|suite| suite.id().as_u32().to_string()).collect();
        let change = Change::PutSetting { name: SUITES_OFF.to_owned(), value: numbers.join(",") };
        self.store.commit(&Commit::new().with(change))?;
        self.suites_off = off;
        Ok(())
    }

    /// Returns who this device is, also if it was removed or is still registering.
    pub(crate) fn any_own(&self) -> Option<&Own> {
        self.own.as_ref()
    }

    /// Returns who this device is.
    ///
    /// # Errors
    /// [`ProfileError::NoAccount`] and [`ProfileError::Removed`].
    pub(crate) fn own(&self) -> Result<&Own, ProfileError> {
        match &self.own {
            Some(own) if own.stage == Stage::Ready => Ok(own),
            Some(own) if own.stage == Stage::Removed => Err(ProfileError::Removed),
            Some(_) | None => Err(ProfileError::NoAccount),
        }
    }

    /// Commits a new identity together with other changes.
    pub(crate) fn commit_own(&mut self, own: Own, mut commit: Commit) -> Result<(), StoreError> {
        commit.push(Change::PutProfile(own.encode()));
        self.store.commit(&commit)?;
        self.own = Some(own);
        Ok(())
    }

    /// Commits what the resolver accepted together with other changes.
    pub(crate) fn commit_known(&mut self, known: KnownAccount, mut commit: Commit) -> Result<(), StoreError> {
        commit.push(known_account_change(&known));
        self.store.commit(&commit)?;
        self.remember(known);
        Ok(())
    }

    /// Takes over what was just committed.
    pub(crate) fn remember(&mut self, known: KnownAccount) {
        self.accounts.insert(known.account(), known);
        self.lists_accepted += 1;
    }

    /// Returns the version of the newest accepted list of an account, 0 if there is none.
    pub(crate) fn known_version(&mut self, account: AccountId) -> Result<u64, ProfileError> {
        if let Some(known) = self.accounts.get(&account) {
            return Ok(known.version());
        }
        Ok(self.known(account)?.map_or(0, |known| known.version()))
    }

    /// Returns what was accepted of an account.
    pub(crate) fn known(&mut self, account: AccountId) -> Result<Option<KnownAccount>, ProfileError> {
        if let Some(known) = self.accounts.get(&account) {
            return Ok(Some(known.clone()));
        }
        let Some(record) = self.store.known_account(account)? else { return Ok(None) };
        let known =
            KnownAccount::decode(&record.known).map_err(|_| ProfileError::Damaged("what is known of an account"))?;
        self.accounts.insert(account, known.clone());
        Ok(Some(known))
    }

    /// Returns which account a handle stands for.
    pub(crate) fn known_handle(&self, handle: &Handle) -> Result<Option<KnownHandle>, ProfileError> {
        let record = self.store.known_handle(handle)?;
        let decode = |record: KnownHandleRecord| KnownHandle::decode(&record.known);
        record.map(decode).transpose().map_err(|_| ProfileError::Damaged("what a handle stands for"))
    }

    /// Returns what is kept of the account of a handle.
    pub(crate) fn kept(&mut self, handle: &Handle) -> Result<Option<KeptAccount>, ProfileError> {
        let Some(pin) = self.known_handle(handle)? else { return Ok(None) };
        let Some(known) = self.known(pin.account())? else { return Ok(None) };
        let addresses = self
            .store
            .addresses(pin.account())?
            .and_then(|record| Addresses::decode(&record.addresses).map(|addresses| (addresses, record.refresh)));
        Ok(Some(KeptAccount { known, addresses }))
    }

    /// Returns the right to send to an account (DIR-30); none when it has to be looked up again.
    pub(crate) fn session_token(&self, account: AccountId) -> Result<Option<SessionToken>, ProfileError> {
        let record = self.store.addresses(account)?;
        let addresses = record.and_then(|record| Addresses::decode(&record.addresses));
        Ok(addresses.map(|addresses| addresses.session().token))
    }

    /// Returns the session with a device, a fresh one if there was none. One that cannot be read is as good as lost: what is sealed
    /// begins anew, and what does not open is asked for again (REP-16).
    pub(crate) fn session(&self, device: DeviceId, now: Timestamp) -> Result<Session, ProfileError> {
        let Some(bytes) = self.store.session(device)? else { return Ok(Session::default()) };
        Ok(Session::from_secret_bytes(bytes.expose()).unwrap_or_else(|error| {
            tracing::warn!(%device, %error, "a session cannot be read; it begins anew");
            let mut fresh = Session::default();
            fresh.restart(now);
            fresh
        }))
    }

    /// Returns what a device is called, if its account's list is known.
    pub(crate) fn device_name(&mut self, account: AccountId, device: DeviceId) -> Option<String> {
        let known = self.known(account).ok()??;
        known.list().device(device).map(|listed| listed.entry().name().to_owned())
    }
}

/// The setting that holds the numbers of suites that were switched off, separated by commas.
const SUITES_OFF: &str = "suites.off";

/// Numbers that this version does not know are of a newer one's making, and do not concern it.
fn read_suites(numbers: &str) -> Vec<Suite> {
    let suite = |number: &str| number.parse().ok().and_then(|id| Suite::try_from(SuiteId::from_u32(id)).ok());
    numbers.split(',').filter_map(suite).collect()
}

/// The change that keeps what was accepted of an account.
pub(crate) fn known_account_change(known: &KnownAccount) -> Change {
    Change::PutKnownAccount(KnownAccountRecord {
        account: known.account(),
        version: known.version(),
        known: known.encode().into(),
    })
}

/// The record of accepted addresses.
pub(crate) fn addresses_record(account: AccountId, addresses: &Addresses) -> AddressesRecord {
    AddressesRecord { account, addresses: addresses.encode().into(), refresh: addresses.session().refresh }
}

impl Own {
    fn decode(profile: &Profile) -> Result<Self, ProfileError> {
        let secret =
            Secret::try_from(profile.account_key.expose()).map_err(|_| ProfileError::Damaged("the account key"))?;
        Ok(Self {
            stage: profile.stage,
            server: profile.server.clone(),
            account: profile.account,
            device: profile.device,
            keys: DeviceKeys::from_secret_bytes(profile.device_keys.expose())?,
            account_key: SigningKey::from_secret(&secret).map_err(|_| ProfileError::Damaged("the account key"))?,
            push_token: profile.push_token,
            prekeys_uploaded: profile.prekeys_uploaded,
        })
    }

    fn encode(&self) -> Profile {
        let account_key = halcyon_crypto::SecretBytes::copy_of(self.account_key.to_secret().expose());
        Profile {
            stage: self.stage,
            server: self.server.clone(),
            account: self.account,
            device: self.device,
            device_keys: self.keys.to_secret_bytes(),
            account_key,
            push_token: self.push_token,
            prekeys_uploaded: self.prekeys_uploaded,
        }
    }

    /// Returns a second value of the same identity, to be changed and committed.
    pub(crate) fn duplicate(&self) -> Result<Self, ProfileError> {
        Self::decode(&self.encode())
    }
}

/// A port's randomness as the crates below ask for it.
pub(crate) struct PortRng<'a>(pub(crate) &'a dyn Random);

impl PortRng<'_> {
    /// Returns fresh random bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes);
        bytes
    }

    pub(crate) fn as_rng(&mut self) -> &mut dyn Rng {
        self
    }
}

impl RngCore for PortRng<'_> {
    fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        self.0.fill(dest);
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), RngError> {
        self.0.fill(dest);
        Ok(())
    }
}

/// The port promises randomness that is fit for keys.
impl CryptoRng for PortRng<'_> {}
