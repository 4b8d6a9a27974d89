//! The real store of a client, watched: what it says is committed is compared with what its disk would keep (I1, I2, I8).
//!
//! Owns nothing but the watching, and the ways in which a test makes a store betray its client, or fate a disk.

use std::collections::BTreeSet;

use halcyon_client::ports::store::{
    AddressesRecord, AlertRecord, Change, Commit, Conversation, Delivery, DeliveryState, GroupQueries,
    KnownAccountRecord, KnownHandleRecord, LinkRecord, MessageKind, MessageRecord, Origin, OutboxEnvelope, OutboxJob,
    OutboxQueries, OwnQueries, PendingReceipt, Profile, RepairQueries, SeenMark, Store, StoreError, UnopenedRecord,
    WordIndex,
};
use halcyon_crypto::SecretBytes;
use halcyon_directory::lookup::Addresses;
use halcyon_types::{AccountId, ConversationId, DeviceId, EnvelopeId, Handle, MessageId, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng, RngCore};

use crate::disk::SimDisk;
use crate::ledger::{Found, Ledger, Outcome};
use crate::sabotage::Sabotage;
use crate::trouble::Kept;
use crate::watch::Watcher;

/// A watched store.
pub struct WatchedStore {
    /// The store.
    pub inner: Box<dyn Store>,
    /// Whose: its number in the world.
    pub client: usize,
    /// Below it.
    pub disk: SimDisk,
    /// What is true.
    pub ledger: Ledger,
    /// Learns the keys that must not be seen.
    pub watcher: Watcher,
    /// What is wrong with it on purpose.
    pub sabotage: Sabotage,
}

impl WatchedStore {
    /// Tells the ledger what is found on the disk at the start of a process. Returns the messages in it.
    ///
    /// # Errors
    /// The store's.
    pub fn reopened(&self) -> Result<BTreeSet<MessageId>, StoreError> {
        let mut all = Found::default();
        let found = &mut all.truth;
        let records = self.inner.repairs().stored_since(Timestamp::default(), 0, usize::MAX)?;
        for record in records.into_iter().filter(|record| record.message.kind != MessageKind::Own) {
            found.messages.insert(record.message.id);
            if record.message.origin == Origin::Here {
                all.own.push(record.message.id);
                all.deliveries.extend(self.inner.deliveries(record.message.id)?);
            }
        }
        found.unopened = self.inner.unopened()?.iter().map(|unopened| (unopened.id, Kept::of(unopened))).collect();
        found.alerts = self.inner.alerts()?.into_iter().map(|alert| alert.id).collect();
        for account in self.ledger.accounts() {
            if let Some(known) = self.known_account(account)? {
                found.lists.insert(account, known.version);
            }
        }
        for job in self.inner.outbox_jobs()? {
            all.outbox.extend(self.inner.outbox_envelopes(job.message)?);
        }
        self.ledger.reopened(self.client, &all);
        Ok(all.truth.messages)
    }

    /// Writes nonsense over one session, if there is one.
    ///
    /// # Errors
    /// The store's.
    pub fn damage_session(&mut self, rng: &mut StdRng) -> Result<bool, StoreError> {
        let devices = self.inner.repairs().session_devices()?;
        let Some(device) = devices.get(rng.gen_range(0..devices.len().max(1))).copied() else { return Ok(false) };
        let mut session = vec![0; rng.gen_range(0..200)];
        rng.fill_bytes(&mut session);
        let session = SecretBytes::copy_of(&session);
        self.inner.commit(&Commit::new().with(Change::PutSession { device, session }))?;
        Ok(true)
    }
}

impl WatchedStore {
    /// RCV-3: what a device keeps unopened is bounded.
    fn watch_bounds(&self, commit: &Commit) -> Result<(), StoreError> {
        for change in commit.changes() {
            if let Change::BoundUnopened { device, of_device, in_all, .. } = change
                && self.ledger.state().keeps_more(self.client, *device, *of_device, *in_all)
            {
                let kept = self.inner.unopened()?.iter().map(|unopened| unopened.id).collect();
                self.ledger.state().keeps(self.client, &kept);
            }
        }
        Ok(())
    }

    /// I9: whoever has a right to send, by push token or session token, has it from here on, and the server had it before.
    fn watch_tokens(&self, change: &Change) {
        match change {
            Change::PutProfile(profile) => {
                let Some(token) = &profile.push_token else { return };
                self.watcher.remember_token(token.as_bytes());
                if self.sabotage == Sabotage::PushTokenIsLogged {
                    tracing::info!(token = token.to_hex(), "has an account");
                }
            }
            Change::PutAddresses(record) => {
                let Some(addresses) = Addresses::decode(&record.addresses) else { return };
                let token = addresses.session().token;
                self.watcher.remember_token(token.as_bytes());
                if self.sabotage == Sabotage::SessionTokenIsLogged {
                    tracing::info!(token = ?token.as_bytes(), "may send");
                }
            }
            _ => {}
        }
    }
}

impl Store for WatchedStore {
    fn commit(&mut self, commit: &Commit) -> Result<(), StoreError> {
        self.ledger.before_commit(self.client, commit);
        for change in commit.changes() {
            if let (Sabotage::HandleIsLogged, Change::AddOwnHandle(handle)) = (self.sabotage, change) {
                tracing::info!(%handle, "added");
            }
            if let (Sabotage::ListGoesBack, Change::PutKnownAccount(known)) = (self.sabotage, change) {
                let mut state = self.ledger.state();
                state.first_lists.entry((self.client, known.account)).or_insert_with(|| known.clone());
            }
            if let Change::PutProfile(profile) = change {
                self.watcher.remember_key(profile.account_key.expose());
                // The first bytes say how it is encoded.
                self.watcher.remember_key(profile.device_keys.expose().get(1..).unwrap_or_default());
            }
            self.watch_tokens(change);
        }
        let betrayed = betrayed(commit, self.sabotage);
        let commit = betrayed.as_ref().unwrap_or(commit);
        let done = match self.sabotage {
            Sabotage::MessageShownTwice => self.inner.commit(&doubled(commit)),
            _ => self.inner.commit(commit),
        };
        let outcome = match &done {
            Ok(()) => Outcome::Committed,
            Err(_) => Outcome::Failed,
        };
        if done.is_ok() && self.disk.unsynced() > 0 {
            self.ledger.violated("I1, I2", "a store says that a commit is durable, but a power cut would lose it");
        }
        self.ledger.after_commit(self.client, commit, &outcome);
        done?;
        self.watch_bounds(commit)
    }

    fn known_account(&self, account: AccountId) -> Result<Option<KnownAccountRecord>, StoreError> {
        if self.sabotage == Sabotage::ListGoesBack {
            return Ok(self.ledger.state().first_lists.get(&(self.client, account)).cloned());
        }
        self.inner.known_account(account)
    }

    fn messages_with(&self, id: MessageId) -> Result<Vec<MessageRecord>, StoreError> {
        self.inner.messages_with(id)
    }

    fn acts_on(&self, id: MessageId) -> Result<Vec<MessageRecord>, StoreError> {
        self.inner.acts_on(id)
    }

    fn profile(&self) -> Result<Option<Profile>, StoreError> {
        self.inner.profile()
    }

    fn link(&self) -> Result<Option<LinkRecord>, StoreError> {
        self.inner.link()
    }

    fn own_handles(&self) -> Result<Vec<Handle>, StoreError> {
        self.inner.own_handles()
    }

    fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.inner.setting(name)
    }

    fn known_handle(&self, handle: &Handle) -> Result<Option<KnownHandleRecord>, StoreError> {
        self.inner.known_handle(handle)
    }

    fn addresses(&self, account: AccountId) -> Result<Option<AddressesRecord>, StoreError> {
        self.inner.addresses(account)
    }

    fn conversations(&self) -> Result<Vec<Conversation>, StoreError> {
        self.inner.conversations()
    }

    fn conversation(&self, id: ConversationId) -> Result<Option<Conversation>, StoreError> {
        self.inner.conversation(id)
    }

    fn history(
        &self,
        conversation: ConversationId,
        before: u64,
        limit: usize,
    ) -> Result<Vec<MessageRecord>, StoreError> {
        self.inner.history(conversation, before, limit)
    }

    fn own_message(&self, id: MessageId) -> Result<Option<MessageRecord>, StoreError> {
        self.inner.own_message(id)
    }

    fn has_message(&self, sender_device: DeviceId, id: MessageId) -> Result<bool, StoreError> {
        self.inner.has_message(sender_device, id)
    }

    fn newest_number(&self) -> Result<u64, StoreError> {
        self.inner.newest_number()
    }

    fn deliveries(&self, message: MessageId) -> Result<Vec<Delivery>, StoreError> {
        self.inner.deliveries(message)
    }

    fn outbox(&self) -> &dyn OutboxQueries {
        self.inner.outbox()
    }

    fn outbox_jobs(&self) -> Result<Vec<OutboxJob>, StoreError> {
        self.inner.outbox_jobs()
    }

    fn outbox_job(&self, message: MessageId) -> Result<Option<OutboxJob>, StoreError> {
        self.inner.outbox_job(message)
    }

    fn outbox_envelopes(&self, message: MessageId) -> Result<Vec<OutboxEnvelope>, StoreError> {
        self.inner.outbox_envelopes(message)
    }

    fn outbox_envelope(&self, id: EnvelopeId) -> Result<Option<OutboxEnvelope>, StoreError> {
        self.inner.outbox_envelope(id)
    }

    fn pending_receipts(&self) -> Result<Vec<PendingReceipt>, StoreError> {
        self.inner.pending_receipts()
    }

    fn repairs(&self) -> &dyn RepairQueries {
        self.inner.repairs()
    }

    fn groups(&self) -> &dyn GroupQueries {
        self.inner.groups()
    }

    fn own(&self) -> &dyn OwnQueries {
        self.inner.own()
    }

    fn words(&self) -> &dyn WordIndex {
        self.inner.words()
    }

    fn session(&self, device: DeviceId) -> Result<Option<SecretBytes>, StoreError> {
        self.inner.session(device)
    }

    fn has_seen(&self, mark: &SeenMark) -> Result<bool, StoreError> {
        self.inner.has_seen(mark)
    }

    fn unopened(&self) -> Result<Vec<UnopenedRecord>, StoreError> {
        self.inner.unopened()
    }

    fn alerts(&self) -> Result<Vec<AlertRecord>, StoreError> {
        self.inner.alerts()
    }

    fn seen_before(&self, time: Timestamp) -> Result<u64, StoreError> {
        self.inner.seen_before(time)
    }
}

/// A commit by which a sender is told what is not so, or a receiver forgets to ask.
fn betrayed(commit: &Commit, sabotage: Sabotage) -> Option<Commit> {
    let betray = |change: &Change| match (sabotage, change) {
        (Sabotage::NobodyAsks, Change::PutRepair(record)) => Change::RemoveRepair(record.device),
        (Sabotage::DeliveredTooEarly, Change::PutDelivery(delivery)) => {
            let mut delivery = delivery.clone();
            if let DeliveryState::Accepted(at) = delivery.state {
                delivery.state = DeliveryState::Delivered(at);
            }
            Change::PutDelivery(delivery)
        }
        _ => change.clone(),
    };
    matches!(sabotage, Sabotage::DeliveredTooEarly | Sabotage::NobodyAsks)
        .then(|| commit.changes().iter().map(betray).fold(Commit::new(), Commit::with))
}

/// A commit whose messages are there twice.
fn doubled(commit: &Commit) -> Commit {
    let mut doubled = Commit::new();
    for change in commit.changes() {
        doubled.push(change.clone());
        if let Change::AddMessage(message) = change
            && message.origin == Origin::Peer
        {
            let mut again = message.clone();
            let mut id = *again.id.as_bytes();
            id[0] ^= 1;
            again.id = MessageId::from_bytes(id);
            doubled.push(Change::AddMessage(again));
        }
    }
    doubled
}
