//! How a new device joins an account: the server's part. Spec: 21-linking.md (LNK-1 to LNK-5, LNK-7, LNK-8, LNK-10).
//!
//! Owns the order of the steps and who may take each. It relays and is not trusted: commitment, digits and the sealed
//! account key mean nothing to it.
//!
//! - A device enters a list through [`Links::complete`] alone, with the entry that it asked with (LNK-8).
//! - Whoever waits for a link is woken by each step; what it then reads is what the store has.

use std::sync::Arc;
use std::time::Duration as StdDuration;

use bytes::Bytes;
use halcyon_crypto::{AgreementPublic, CompactKey, VerifyingKey, hash::sha256};
use halcyon_directory::alert::AlertEvent;
use halcyon_directory::authority::{self, UpdateError};
use halcyon_directory::prekeys::{self, Prekey, PrekeyError};
use halcyon_directory::request::{RequestTarget, SignedRequest};
use halcyon_directory::{CountersignedEntry, EntryError, ListError, SignedList};
use halcyon_types::{AccountId, Duration, LinkId, PushToken};
use tokio::sync::broadcast;

use crate::accounts::registration::stored;
use crate::accounts::request::{AuthError, Effect, Member, RequestAuth};
use crate::alerts::Alerts;
use crate::directory::list::{ReplaceError, change_of, read, refused};
use crate::directory::recipients::DirectoryCache;
use crate::ports::{
    Advanced, Clock, Completed, DirectoryStoreError, Link, LinkOpened, LinkState, LinkStore, ListStore, NewLink,
    Random, SnapshotOf,
};

/// How long a link lives (LNK-1).
pub const LINK_LIFETIME: Duration = Duration::from_mins(15);
/// How long an approved link can be read (LNK-11): as long as mail for the new device is kept.
pub const APPROVED_KEPT: Duration = Duration::from_days(30);
/// Longest wait of one poll: under the 30 seconds after which many proxies cut an idle request (LNK-3).
pub const WAIT_MAX: StdDuration = StdDuration::from_secs(25);
/// A sealed account key has 50 bytes; the rest is room for what a later version sends along (LNK-9).
const SEALED_BYTES_MAX: usize = 1024;
/// Steps that a slow waiter may miss before it just reads again.
const WAKES_MAX: usize = 256;

/// What a new device sends to begin (LNK-1).
pub struct Open {
    /// From the sign-in (ACC-41).
    pub ticket: [u8; 32],
    /// The encoded `DeviceEntry`.
    pub entry: Bytes,
    /// Its counter-signature.
    pub entry_signature: Vec<u8>,
    /// Its prekeys; none for a device that speaks only suites without.
    pub prekeys: Vec<Prekey>,
    /// x(eN).
    pub ephemeral: [u8; 32],
    /// The commitment to rN and the rest.
    pub commitment: [u8; 32],
}

/// Who looks at a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// The device that wants to join.
    NewDevice,
    /// A device of the account.
    Member,
}

/// Why a step was not taken. Nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// There is none of this id, or it is another account's: one answer.
    #[error("there is no such link; it may have ended more than 15 minutes ago")]
    NotFound,
    /// LNK-1
    #[error("the ticket is used or expired; sign in again")]
    TicketInvalid,
    /// LNK-1
    #[error("too many devices ask to join this account; wait for one of them to end")]
    TooMany,
    /// LNK-1
    #[error("this device is in an account already; make new keys")]
    DeviceExists,
    /// DIR-1, DIR-2
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// DIR-10
    #[error(transparent)]
    Prekeys(#[from] PrekeyError),
    /// A key or nonce has the wrong size, or is no point of the curve.
    #[error("the ephemeral key is not valid")]
    Ephemeral,
    /// LNK-9
    #[error("the sealed account key is empty or larger than {SEALED_BYTES_MAX} bytes")]
    Sealed,
    /// LNK-2 to LNK-8
    #[error("the link is not in the state for this step; read it again")]
    WrongState,
    /// LNK-1, LNK-7: approved, rejected, or over its 15 minutes.
    #[error("this link has ended; sign in again for a new one")]
    Ended,
    /// LNK-8: another device challenged it.
    #[error("another device approves this link")]
    OtherApprover,
    /// LNK-8, DIR-4
    #[error(transparent)]
    List(#[from] ReplaceError),
    /// ACC-2
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The store failed; the operator's move.
    #[error(transparent)]
    Store(#[from] DirectoryStoreError),
}

/// Relays links.
pub struct Links {
    store: Arc<dyn LinkStore>,
    lists: Arc<dyn ListStore>,
    auth: Arc<RequestAuth>,
    alerts: Arc<Alerts>,
    cache: Arc<DirectoryCache>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    open_max: u32,
    changed: broadcast::Sender<LinkId>,
}

/// What [`Links`] is made of.
#[allow(missing_docs)]
pub struct LinkParts {
    pub store: Arc<dyn LinkStore>,
    pub lists: Arc<dyn ListStore>,
    pub auth: Arc<RequestAuth>,
    pub alerts: Arc<Alerts>,
    pub cache: Arc<DirectoryCache>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub open_max: u32,
}

impl Links {
    /// Puts the service together.
    #[must_use]
    pub fn new(parts: LinkParts) -> Self {
        let LinkParts { store, lists, auth, alerts, cache, clock, random, open_max } = parts;
        let (changed, _) = broadcast::channel(WAKES_MAX);
        Self { store, lists, auth, alerts, cache, clock, random, open_max, changed }
    }

    /// Opens a link and alerts all devices (LNK-1).
    ///
    /// # Errors
    /// [`LinkError`]
    pub async fn open(
        &self,
        open: Open,
        request: &SignedRequest,
        target: RequestTarget<'_>,
    ) -> Result<LinkId, LinkError> {
        let ticket_hash = sha256(&[&open.ticket]);
        let now = self.clock.now();
        let account = self.store.ticket(ticket_hash, now).await?.ok_or(LinkError::TicketInvalid)?;
        let entry = CountersignedEntry::verify(account, open.entry, &open.entry_signature)?;
        let device = entry.entry();
        self.auth.holder(request, device.id(), device.key(), target, Effect::Changes).await?;
        if !open.prekeys.is_empty() {
            prekeys::check_all(device.key(), &open.prekeys)?;
        }
        is_point(open.ephemeral)?;
        let id = LinkId::from_bytes(self.draw());
        let name = device.name().to_owned();
        let new = NewLink {
            id,
            account,
            device: device.id(),
            device_key: *device.key().compact().as_bytes(),
            entry: entry.bytes().clone(),
            entry_signature: *entry.signature().as_bytes(),
            prekeys: open.prekeys.into_iter().map(stored).collect(),
            ephemeral: open.ephemeral,
            commitment: open.commitment,
            created: now,
            expires: now.plus(LINK_LIFETIME),
        };
        let wake = vec![self.alerts.alert(account, AlertEvent::LinkRequested { link: id, name })];
        match self.store.open(new, ticket_hash, self.open_max, wake.clone()).await? {
            LinkOpened::Opened => {}
            LinkOpened::TicketInvalid => return Err(LinkError::TicketInvalid),
            LinkOpened::TooMany => return Err(LinkError::TooMany),
            LinkOpened::DeviceExists => return Err(LinkError::DeviceExists),
        }
        metrics::counter!("halcyon_links_total", "step" => "opened").increment(1);
        self.alerts.follow(wake).await; // DIR-40
        Ok(id)
    }

    /// Returns the open links of the member's account, oldest first (LNK-2).
    ///
    /// # Errors
    /// [`DirectoryStoreError`]
    pub async fn list(&self, member: Member) -> Result<Vec<Link>, DirectoryStoreError> {
        self.store.open_links(member.account, self.clock.now()).await
    }

    /// Returns a link to the device that asked for it or to a device of the account (LNK-3, LNK-5).
    ///
    /// # Errors
    /// [`LinkError`]
    pub async fn view(
        &self,
        id: LinkId,
        request: &SignedRequest,
        target: RequestTarget<'_>,
    ) -> Result<(Link, Viewer), LinkError> {
        let (link, viewer, _) = self.authorized(id, request, target, Effect::Reads).await?;
        Ok((link, viewer))
    }

    /// Waits until it is the viewer's turn again, or the link ends, or the time is up, and returns the link then (LNK-3).
    ///
    /// # Errors
    /// [`LinkError`]
    pub async fn wait(&self, link: Link, viewer: Viewer, wait: StdDuration) -> Result<Link, LinkError> {
        let id = link.new.id;
        let until = tokio::time::Instant::now() + wait.min(WAIT_MAX);
        // Subscribed before the read, so that a step in between is not missed.
        let mut changed = self.changed.subscribe();
        let mut link = self.store.find(id).await?.ok_or(LinkError::NotFound)?;
        while !is_turn_of(viewer, &link) && link.new.expires > self.clock.now() {
            let heard = tokio::time::timeout_at(until, changed.recv()).await;
            match heard {
                Err(_) | Ok(Err(broadcast::error::RecvError::Closed)) => break,
                Ok(Ok(other)) if other != id => continue,
                // A waiter that fell behind reads as if it was called.
                Ok(Ok(_) | Err(broadcast::error::RecvError::Lagged(_))) => {}
            }
            link = self.store.find(id).await?.ok_or(LinkError::NotFound)?;
        }
        Ok(link)
    }

    /// Takes the challenge of a trusted device (LNK-2).
    ///
    /// # Errors
    /// [`LinkError`]
    pub async fn challenge(
        &self,
        id: LinkId,
        member: Member,
        ephemeral: [u8; 32],
        nonce: [u8; 32],
    ) -> Result<(), LinkError> {
        self.of_account(id, member.account).await?;
        is_point(ephemeral)?;
        self.advance(id, self.store.challenge(id, member.device, ephemeral, nonce, self.clock.now()).await?).await
    }

    /// Takes the new device's nonce (LNK-4).
    ///
    /// # Errors
    /// [`LinkError`]
    pub async fn reveal(
        &self,
        id: LinkId,
        nonce: [u8; 32],
        request: &SignedRequest,
        target: RequestTarget<'_>,
    ) -> Result<(), LinkError> {
        let (_, viewer, _) = self.authorized(id, request, target, Effect::Changes).await?;
        if viewer != Viewer::NewDevice {
            return Err(LinkError::WrongState);
        }
        self.advance(id, self.store.reveal(id, nonce, self.clock.now()).await?).await
    }

    /// Ends a link, for a device of the account or for the new one (LNK-5, LNK-7).
    ///
    /// # Errors
    /// [`LinkError`]
    pub async fn reject(
        &self,
        id: LinkId,
        request: &SignedRequest,
        target: RequestTarget<'_>,
    ) -> Result<(), LinkError> {
        self.authorized(id, request, target, Effect::Changes).await?;
        metrics::counter!("halcyon_links_total", "step" => "rejected").increment(1);
        self.advance(id, self.store.reject(id, self.clock.now()).await?).await
    }

    /// Takes the list with the new device in it, and the sealed account key (LNK-8).
    ///
    /// # Errors
    /// [`LinkError`]
    pub async fn complete(&self, id: LinkId, member: Member, list: Bytes, sealed: Bytes) -> Result<(), LinkError> {
        if sealed.is_empty() || sealed.len() > SEALED_BYTES_MAX {
            return Err(LinkError::Sealed);
        }
        let link = self.of_account(id, member.account).await?;
        match &link.challenge {
            Some((approver, ..)) if *approver == member.device => {}
            Some(_) => return Err(LinkError::OtherApprover),
            None => return Err(self.why_not(id).await?),
        }
        let offered = SignedList::decode(list).map_err(|error: ListError| ReplaceError::Invalid(error))?;
        let entry = CountersignedEntry::verify(member.account, link.new.entry.clone(), &link.new.entry_signature)?;
        let current = self.lists.snapshot(SnapshotOf::Account(member.account)).await?.ok_or(LinkError::NotFound)?.list;
        let update = authority::complete_link(&read(&current)?, offered, member.device, &entry)
            .map_err(|error: UpdateError| refused(error, &current))?;
        let change = change_of(&self.alerts, &update);
        let wake = change.aftermath.clone();
        let token = PushToken::from_bytes(self.draw());
        let now = self.clock.now();
        match self.store.complete(id, change, sealed, token, now, now.plus(APPROVED_KEPT)).await? {
            Completed::Completed => {}
            Completed::WrongState => return Err(self.why_not(id).await?),
            Completed::Conflict => {
                let current = self.lists.snapshot(SnapshotOf::Account(member.account)).await?;
                let current = current.ok_or(LinkError::NotFound)?.list.signed;
                return Err(ReplaceError::Conflict { current }.into());
            }
        }
        self.cache.forget(member.account);
        let _ = self.changed.send(id);
        metrics::counter!("halcyon_links_total", "step" => "approved").increment(1);
        self.alerts.follow(wake).await;
        Ok(())
    }

    async fn authorized(
        &self,
        id: LinkId,
        request: &SignedRequest,
        target: RequestTarget<'_>,
        effect: Effect,
    ) -> Result<(Link, Viewer, AccountId), LinkError> {
        let found = self.store.find(id).await?;
        if let Some(link) = &found
            && link.new.device == request.claimed_device()
        {
            // LNK-3: the new device signs with the key of its entry, though it is in no list yet.
            let key = CompactKey::from_bytes(link.new.device_key);
            let key = VerifyingKey::from_compact(&key).map_err(|_| LinkError::NotFound)?;
            self.auth.holder(request, link.new.device, &key, target, effect).await?;
            return Ok((link.clone(), Viewer::NewDevice, link.new.account));
        }
        let member = self.auth.member(request, target, effect).await?;
        let link = found.filter(|link| link.new.account == member.account).ok_or(LinkError::NotFound)?;
        Ok((link, Viewer::Member, member.account))
    }

    async fn of_account(&self, id: LinkId, account: AccountId) -> Result<Link, LinkError> {
        let found = self.store.find(id).await?;
        found.filter(|link| link.new.account == account).ok_or(LinkError::NotFound)
    }

    async fn advance(&self, id: LinkId, advanced: Advanced) -> Result<(), LinkError> {
        match advanced {
            Advanced::Advanced => {
                // Nobody may be waiting; then nobody hears it.
                let _ = self.changed.send(id);
                Ok(())
            }
            Advanced::WrongState => Err(self.why_not(id).await?),
        }
    }

    /// Tells a step that came at the wrong time from one that came too late.
    async fn why_not(&self, id: LinkId) -> Result<LinkError, DirectoryStoreError> {
        let open = |link: &Link| {
            let ended = matches!(link.state, LinkState::Approved { .. } | LinkState::Rejected);
            !ended && link.new.expires > self.clock.now()
        };
        let found = self.store.find(id).await?;
        Ok(if found.is_some_and(|link| open(&link)) { LinkError::WrongState } else { LinkError::Ended })
    }

    fn draw<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.fill(&mut bytes);
        bytes
    }
}

/// LNK-3: a viewer waits while the next step is the other side's. A link that ended is everybody's turn.
fn is_turn_of(viewer: Viewer, link: &Link) -> bool {
    let others = match viewer {
        Viewer::NewDevice => matches!(link.state, LinkState::Waiting | LinkState::Revealed { .. }),
        Viewer::Member => matches!(link.state, LinkState::Challenged),
    };
    !others
}

fn is_point(compact: [u8; 32]) -> Result<(), LinkError> {
    AgreementPublic::from_compact(&CompactKey::from_bytes(compact)).map(|_| ()).map_err(|_| LinkError::Ephemeral)
}
