//! The client's handle, and what all of its verbs share.
//!
//! Owns the lock around the profile, the tasks, and what watchers are told. The verbs are in the files that are named after them.
//!
//! - Cloning shares the profile. Every change of it happens under one lock that is never held across an await, so there is one
//!   writer of suite state, and what was read is still true when it is committed.
//! - An event is told only after what it tells was committed.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use halcyon_crypto::{Rng, SigningKey, password::PasswordParams};
use halcyon_suites::{DeviceKeys, Suite};
use halcyon_types::{AccountId, DeviceId, Handle, Timestamp};
use tokio::sync::{Notify, broadcast, watch};

use crate::{
    api::{Api, Request, Signer},
    connection::Connection,
    error::{ApiError, ProfileError},
    event::{ConnectionState, Event},
    ports::{Clock, CourierConnector, Http, Random, Store, store::Stage},
    server_address::ServerAddress,
    state::{PortRng, State},
};

/// What a client is made of. The store is its own; the rest may be shared with other clients.
pub struct Parts {
    /// The profile.
    pub store: Box<dyn Store>,
    /// Requests to the server.
    pub http: Arc<dyn Http>,
    /// Connections to the courier.
    pub courier: Arc<dyn CourierConnector>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where randomness comes from.
    pub random: Arc<dyn Random>,
    /// The server that both of the above reach.
    pub server: ServerAddress,
}

/// What takes long, on purpose or for want of a faster way. Only a simulation chooses.
#[derive(Clone)]
pub struct Costs {
    /// What a guess at a password of this client's account costs (ACC-30, ACC-41): the same for registering and signing in.
    pub password: PasswordParams,
    /// Makes the keys of a new device, which speaks these suites from this time on.
    pub device_keys: fn(&mut dyn Rng, &[Suite], Timestamp) -> DeviceKeys,
}

impl Default for Costs {
    fn default() -> Self {
        Self { password: PasswordParams::PRODUCTION, device_keys: DeviceKeys::generate }
    }
}

/// A profile that is open. Needs a tokio runtime with time; its tasks end after [`shutdown`](Self::shutdown), or when the last
/// clone is dropped.
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
    connection: Arc<Connection>,
}

/// Who this profile is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The account.
    pub account: AccountId,
    /// This device.
    pub device: DeviceId,
    /// What it is called.
    pub device_name: String,
    /// The own handles as known here, the default one to send from first.
    pub handles: Vec<Handle>,
    /// The server.
    pub server: String,
    /// Whether another device removed this one.
    pub removed: bool,
}

/// Events of one client, in their order.
pub struct Events {
    events: broadcast::Receiver<Event>,
}

/// What the verbs share.
pub(crate) struct Inner {
    state: Mutex<State>,
    pub(crate) api: Api,
    pub(crate) courier: Arc<dyn CourierConnector>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) server: ServerAddress,
    pub(crate) costs: Costs,
    /// What the server's clock is ahead of ours, in milliseconds, as far as it complained.
    server_ahead_ms: AtomicI64,
    events: broadcast::Sender<Event>,
    /// Something is in the outbox that was not there before.
    pub(crate) outbox: Notify,
    /// Something waits for its time that did not before.
    pub(crate) scheduled: Notify,
    /// Rises with each change of what waits for its time.
    pub(crate) scheduled_changes: watch::Sender<u64>,
    pub(crate) connection_state: watch::Sender<ConnectionState>,
}

/// Events that a slow watcher may be behind: some 200 messages with all their deliveries.
const EVENTS_BEHIND_MAX: usize = 1024;
/// A server's code for a clock that is too far off (ACC-2).
const CLOCK_SKEW: &str = "clock_skew";

impl Client {
    /// Opens a profile. Nothing is sent; call [`go_online`](Self::go_online) for that.
    ///
    /// # Errors
    /// [`ProfileError`] when it is damaged.
    pub fn open(parts: Parts) -> Result<Self, ProfileError> {
        Self::dangerous_open_with(parts, Costs::default())
    }

    /// Opens a profile, with other costs than people's safety asks for: for worlds that are simulated by the thousand.
    ///
    /// # Errors
    /// [`ProfileError`] when it is damaged.
    pub fn dangerous_open_with(parts: Parts, costs: Costs) -> Result<Self, ProfileError> {
        let inner = Arc::new(Inner {
            state: Mutex::new(State::open(parts.store)?),
            api: Api::new(parts.http),
            courier: parts.courier,
            clock: parts.clock,
            random: parts.random,
            server: parts.server,
            costs,
            server_ahead_ms: AtomicI64::new(0),
            events: broadcast::Sender::new(EVENTS_BEHIND_MAX),
            outbox: Notify::new(),
            scheduled: Notify::new(),
            scheduled_changes: watch::Sender::new(0),
            connection_state: watch::Sender::new(ConnectionState::Offline),
        });
        let connection = Arc::new(Connection::new(inner.clone()));
        Ok(Self { inner, connection })
    }

    /// Returns who this profile is; none before registration or linking.
    ///
    /// # Errors
    /// [`ProfileError`]
    pub fn account(&self) -> Result<Option<Account>, ProfileError> {
        self.inner.account()
    }

    /// Watches events from now on. Whoever falls 1,024 events behind is told how many were missed.
    #[must_use]
    pub fn subscribe(&self) -> Events {
        Events { events: self.inner.events.subscribe() }
    }

    /// Connects, and stays connected until [`go_offline`](Self::go_offline): receives, empties the outbox, rolls prekeys.
    /// Returns at once.
    pub fn go_online(&self) {
        self.connection.start();
    }

    /// Disconnects, and returns when there is no connection any more.
    pub async fn go_offline(&self) {
        self.connection.stop().await;
    }

    /// Returns how it stands with the courier now.
    #[must_use]
    pub fn connection(&self) -> ConnectionState {
        self.inner.connection_state.borrow().clone()
    }

    /// Waits until this client is online, or cannot come online by waiting ([`ConnectionState::Refused`]).
    pub async fn wait_online(&self) -> ConnectionState {
        let settled =
            |state: &ConnectionState| matches!(state, ConnectionState::Online { .. } | ConnectionState::Refused { .. });
        let mut states = self.inner.connection_state.subscribe();
        let state = states.wait_for(settled).await;
        state.map_or(ConnectionState::Offline, |state| state.clone())
    }

    /// Waits until this client cannot come online by waiting, and returns why. May wait for ever.
    pub async fn wait_refused(&self) -> String {
        let mut states = self.inner.connection_state.subscribe();
        loop {
            if let ConnectionState::Refused { cause } = &*states.borrow_and_update() {
                return cause.clone();
            }
            if states.changed().await.is_err() {
                // The client is gone, and with it everybody who could be refused.
                return std::future::pending().await;
            }
        }
    }

    /// Ends all tasks; what waits in the outbox stays there.
    pub async fn shutdown(&self) {
        self.connection.stop().await;
    }
}

impl Events {
    /// Waits for the next event; nothing when the client is gone.
    pub async fn next(&mut self) -> Option<Event> {
        match self.events.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Event::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl Inner {
    /// The one lock. A panic while it was held leaves what was committed, which is all that counts.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn rng(&self) -> PortRng<'_> {
        PortRng(&*self.random)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the time as the server has it, as far as known: what is signed for the server carries it. Nothing else uses it,
    /// since a server must not decide which prekeys are fresh.
    pub(crate) fn server_now(&self) -> Timestamp {
        let now = self.now().as_millis();
        Timestamp::from_millis(now.saturating_add_signed(self.server_ahead_ms.load(Ordering::Relaxed)))
    }

    /// Notes what the server said of its clock.
    pub(crate) fn set_server_time(&self, server_time: Timestamp) {
        let ahead = i128::from(server_time.as_millis()) - i128::from(self.now().as_millis());
        let ahead = i64::try_from(ahead).unwrap_or(0);
        self.server_ahead_ms.store(ahead, Ordering::Relaxed);
    }

    /// Returns how far the server's clock is ahead, in milliseconds, as far as it complained.
    pub(crate) fn server_ahead_ms(&self) -> i64 {
        self.server_ahead_ms.load(Ordering::Relaxed)
    }

    pub(crate) fn tell(&self, event: Event) {
        // Nobody watching is no error.
        let _ = self.events.send(event);
    }

    pub(crate) fn tell_all(&self, events: impl IntoIterator<Item = Event>) {
        events.into_iter().for_each(|event| self.tell(event));
    }

    /// Returns who this profile is.
    pub(crate) fn account(&self) -> Result<Option<Account>, ProfileError> {
        let mut state = self.state();
        let Some(own) = state.any_own().filter(|own| own.stage != Stage::Registering) else { return Ok(None) };
        let (account, device, server) = (own.account, own.device, own.server.clone());
        let removed = own.stage == Stage::Removed;
        let device_name = state.device_name(account, device).unwrap_or_default();
        let handles = crate::handles::own_handles(state.store())?;
        Ok(Some(Account { account, device, device_name, handles, server, removed }))
    }

    /// Signs a request as this device (ACC-1).
    pub(crate) fn signed(&self, request: Request) -> Result<Request, ProfileError> {
        let state = self.state();
        let own = state.any_own().ok_or(ProfileError::NoAccount)?;
        Ok(self.signed_by(request, own.device, &own.keys.device))
    }

    /// Signs a request as a device whose keys are not the profile's yet.
    pub(crate) fn signed_by(&self, request: Request, device: DeviceId, key: &SigningKey) -> Request {
        let signer = Signer { device, key, audience: self.server.host(), now: self.server_now() };
        request.signed(&signer, self.rng().as_rng())
    }

    /// Calls the server as this device. A clock that the server finds wrong is corrected for what is signed, once.
    pub(crate) async fn call_signed<T, F>(
        &self,
        request: Request,
        call: impl Fn(Request) -> F,
    ) -> Result<Result<T, ApiError>, ProfileError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        let first = call(self.signed(request.clone())?).await;
        match self.corrected_clock(&first) {
            true => Ok(call(self.signed(request)?).await),
            false => Ok(first),
        }
    }

    /// Like [`call_signed`](Self::call_signed), as a device whose keys are not the profile's yet.
    pub(crate) async fn call_signed_by<T, F>(
        &self,
        request: Request,
        device: DeviceId,
        key: &SigningKey,
        call: impl Fn(Request) -> F,
    ) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        let first = call(self.signed_by(request.clone(), device, key)).await;
        match self.corrected_clock(&first) {
            true => call(self.signed_by(request, device, key)).await,
            false => first,
        }
    }

    /// ACC-2: the answer to a wrong clock says the server's time.
    fn corrected_clock<T>(&self, answer: &Result<T, ApiError>) -> bool {
        let Err(ApiError::Problem(problem)) = answer else { return false };
        let Some(server_time) = problem.server_time_ms.filter(|_| problem.code == CLOCK_SKEW) else { return false };
        self.set_server_time(Timestamp::from_millis(server_time));
        true
    }
}
