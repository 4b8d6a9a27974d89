//! The agent's half: takes callers, and runs what they ask.
//!
//! Owns who is served, and the end of everything. Does not know what a command does.
//!
//! - Each connection has a thread that reads it, and each call one that runs it, so a caller that does not read holds up itself alone.
//! - Locking and ending wait for the calls: none holds a key longer than that.

use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use halcyon_crypto::SecretBytes;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::call::{self, Prepared};
use super::connection::{BeginError, Connection, Lines};
use super::endpoint::Endpoint;
use super::schema;
use super::wire::{Id, Incoming, LINE_BYTES_MAX, RpcError, VERSION, code};
use crate::failure::Failure;
use crate::keeper::Keeper;
use crate::line::ConnectionLine;
use crate::native::Opener;

/// Connections at once. Each is a program or a terminal of one person.
const CONNECTIONS_MAX: usize = 64;
/// How long is waited for calls that were told to end; a call takes at most its grace, or the patience of one write.
const CALLS_PATIENCE: Duration = Duration::from_secs(7);
/// How often it is seen whether what receives without keys is to be made anew (KEY-10).
const RENEW_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// When the system has no descriptor left, it is tried again after this long.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The agent of one profile.
pub(crate) struct Service {
    keeper: Arc<Keeper>,
    runtime: Handle,
    connections: AtomicUsize,
    calls: Mutex<HashMap<u64, watch::Sender<bool>>>,
    numbers: AtomicU64,
    /// How many calls run.
    running: watch::Sender<usize>,
    /// Whether the agent is to end.
    end: watch::Sender<bool>,
    manner: Manner,
}

/// How an agent is run.
#[derive(Clone, Copy, Default)]
pub(crate) struct Manner {
    /// After how long without a call it locks.
    pub(crate) lock_after: Option<Duration>,
    /// Whether its memory is kept off swap disks.
    pub(crate) memory_locked: bool,
}

/// How the agent is: the result of `agent.status`, `agent.unlock` and `agent.lock`.
#[derive(Serialize)]
struct Status {
    #[serde(rename = "type")]
    kind: &'static str,
    /// `locked` or `open`.
    state: &'static str,
    /// Whether the passphrase was given since the agent began.
    was_unlocked: bool,
    /// Sealed messages that were received, and wait for the first unlock.
    waiting: u64,
    /// Whether no key can end on a swap disk.
    memory_locked: bool,
    version: &'static str,
    api_version: &'static str,
    pid: u32,
    profile: String,
    /// How it stands with the server, if there is something to connect by.
    connection: Option<ConnectionLine>,
    /// Messages and receipts that wait to leave, once the profile was unlocked.
    outbox: Option<usize>,
}

impl Service {
    pub(crate) fn new(keeper: Arc<Keeper>, runtime: Handle, manner: Manner) -> Arc<Self> {
        Arc::new(Self {
            keeper,
            runtime,
            connections: AtomicUsize::new(0),
            calls: Mutex::default(),
            numbers: AtomicU64::new(0),
            running: watch::channel(0).0,
            end: watch::channel(false).0,
            manner,
        })
    }

    /// Serves callers until one of them, or `stop`, ends it; then closes the profile.
    pub(crate) async fn serve(self: &Arc<Self>, endpoint: &Endpoint, stop: impl Future<Output = ()>) {
        let mut end = self.end.subscribe();
        let mut end = std::pin::pin!(async {
            let _ = end.wait_for(|is_said| *is_said).await;
        });
        let mut stop = std::pin::pin!(stop);
        let mut idle = std::pin::pin!(self.lock_when_idle());
        let mut renewing = tokio::time::interval(RENEW_EVERY);
        loop {
            tokio::select! {
                accepted = endpoint.accept() => match accepted {
                    Ok(stream) => self.admit(stream),
                    Err(error) => {
                        tracing::warn!(%error, "a caller could not be taken");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                () = &mut idle => {}
                _ = renewing.tick() => self.keeper.renew_receiver(),
                () = &mut end => break,
                () = &mut stop => break,
            }
        }
        self.keeper.forget(self.end_calls(), true).await;
    }

    /// Locks after a time in which nothing was asked, each time; for ever.
    async fn lock_when_idle(&self) {
        let Some(lock_after) = self.manner.lock_after else { return std::future::pending().await };
        let mut running = self.running.subscribe();
        loop {
            // What is open and idle.
            let _ = running.wait_for(|calls| *calls == 0).await;
            let another = tokio::time::timeout(lock_after, running.changed());
            if another.await.is_err() && self.keeper.open_session().is_some() {
                self.keeper.lock(self.end_calls()).await;
            }
        }
    }

    async fn end_calls(&self) {
        for stop in self.calls.lock().unwrap_or_else(PoisonError::into_inner).values() {
            let _ = stop.send(true);
        }
        let mut running = self.running.subscribe();
        // A thread that hangs all the same loses its session's connection, and its store is closed with the process.
        let _ = tokio::time::timeout(CALLS_PATIENCE, running.wait_for(|calls| *calls == 0)).await;
    }

    /// Takes a caller, unless there are too many.
    pub(super) fn admit(self: &Arc<Self>, stream: UnixStream) {
        if self.connections.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            tracing::warn!(CONNECTIONS_MAX, "too many callers at once");
            return;
        }
        let service = Arc::clone(self);
        let begun = on_a_thread(move || {
            if let Err(error) = service.attend(stream) {
                tracing::debug!(%error, "a caller's connection failed");
            }
            service.connections.fetch_sub(1, Ordering::Relaxed);
        });
        if let Err(failure) = begun {
            self.connections.fetch_sub(1, Ordering::Relaxed);
            tracing::warn!(%failure, "a caller could not be taken");
        }
    }

    /// Reads what a caller sends, to its end.
    fn attend(self: &Arc<Self>, stream: UnixStream) -> std::io::Result<()> {
        let mut lines = Lines::of(stream.try_clone()?);
        let connection = Arc::new(Connection::new(stream)?);
        let ended = loop {
            match lines.next() {
                Ok(Some(line)) if line.len() > LINE_BYTES_MAX => {
                    let what = format!("a line has at most {LINE_BYTES_MAX} bytes; the connection ends");
                    connection.refuse(RpcError::new(code::INVALID_REQUEST, what));
                    break Ok(());
                }
                Ok(Some(line)) => self.take(&connection, &line),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        connection.ended();
        ended
    }

    fn take(self: &Arc<Self>, connection: &Arc<Connection>, line: &SecretBytes) {
        if line.expose().trim_ascii().is_empty() {
            return;
        }
        let value: Value = match serde_json::from_slice(line.expose()) {
            Ok(value) => value,
            Err(error) => return connection.refuse(RpcError::new(code::PARSE, format!("this is no JSON: {error}"))),
        };
        let incoming = match serde_json::from_value::<Incoming>(value) {
            Ok(incoming) if incoming.jsonrpc.as_deref() == Some(VERSION) => incoming,
            _ => {
                let what = "a line is one JSON-RPC 2.0 object, with \"jsonrpc\": \"2.0\", parameters by name, and an id that is a number or a text";
                return connection.refuse(RpcError::new(code::INVALID_REQUEST, what));
            }
        };
        match incoming {
            Incoming { method: Some(method), id, params, .. } => {
                self.asked(connection, id, method, params.unwrap_or_default());
            }
            Incoming { id: Some(id), result, error, .. } => connection.answered(&id, result, error),
            _ => connection.refuse(RpcError::new(code::INVALID_REQUEST, "a request has a method")),
        }
    }

    fn asked(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        id: Option<Id>,
        method: String,
        params: Map<String, Value>,
    ) {
        match method.as_str() {
            "cancel" => connection.answer(id, cancel(connection, &params)),
            "rpc.discover" => connection.answer(id, Ok(schema::document())),
            "agent.status" => connection.answer(id, self.status().map(|status| [status]).map_err(RpcError::from)),
            "agent.unlock" | "agent.lock" | "agent.stop" => self.turn(connection, id, method, params),
            _ => match call::prepare(method, params) {
                Ok(prepared) => self.begin(connection, id, prepared),
                Err(error) => connection.answer(id, Err::<Value, _>(error)),
            },
        }
    }

    /// Unlocks, locks or ends, on a thread of its own, since the first takes seconds and the others wait for calls.
    fn turn(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        id: Option<Id>,
        method: String,
        params: Map<String, Value>,
    ) {
        let (service, caller, asked) = (Arc::clone(self), Arc::clone(connection), id.clone());
        let begun = on_a_thread(move || {
            let outcome = service.runtime.block_on(async {
                match method.as_str() {
                    "agent.unlock" => service.unlock(params).await?,
                    // KEY-7
                    "agent.lock" if params.get("forget") == Some(&Value::Bool(true)) => {
                        service.keeper.forget(service.end_calls(), false).await;
                    }
                    "agent.lock" => service.keeper.lock(service.end_calls()).await, // KEY-6
                    _ => service.keeper.forget(service.end_calls(), true).await,
                }
                Ok([service.status()?])
            });
            caller.answer(asked, outcome);
            if method == "agent.stop" {
                service.end.send_replace(true);
            }
        });
        if let Err(failure) = begun {
            connection.answer(id, Err::<Value, _>(failure.into()));
        }
    }

    /// With the passphrase, or by the keyring (KEY-9).
    async fn unlock(&self, params: Map<String, Value>) -> Result<(), RpcError> {
        if params.get("keyring") == Some(&Value::Bool(true)) {
            let is_open = self.keeper.unlock_by_keyring().await?;
            let none =
                || Failure::user("the keyring does not open this profile").next("`halcyon unlock --remember` lets it");
            return if is_open { Ok(()) } else { Err(none().into()) };
        }
        Ok(self.keeper.unlock(Opener::Passphrase(passphrase(params)?)).await?)
    }

    fn begin(self: &Arc<Self>, connection: &Arc<Connection>, id: Option<Id>, prepared: Prepared) {
        let (stop, stopped) = watch::channel(false);
        // A notification cannot be cancelled by name, and nobody hears how it ended.
        let begun = id.as_ref().map_or(Ok(()), |id| connection.begin(id, stop.clone(), prepared.manner.needs_caller()));
        if let Err(error) = begun {
            let what = match error {
                BeginError::Taken => "a call with this id runs already",
                BeginError::TooMany => "too many calls run on this connection",
            };
            return connection.answer(id, Err::<Value, _>(RpcError::new(code::INVALID_REQUEST, what)));
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).insert(number, stop);
        self.running.send_modify(|calls| *calls += 1);
        let (service, caller, asked) = (Arc::clone(self), Arc::clone(connection), id.clone());
        let begun = on_a_thread(move || {
            let running = call::run(Arc::clone(&service.keeper), Arc::clone(&caller), asked.clone(), prepared, stopped);
            let ended = std::panic::catch_unwind(AssertUnwindSafe(|| service.runtime.block_on(running)));
            service.over(&caller, asked, number, ended.unwrap_or_else(|_| Err(broke().into())));
        });
        if let Err(failure) = begun {
            self.over(connection, id, number, Err(failure.into()));
        }
    }

    /// Notes that a call is over, and answers it.
    fn over(&self, connection: &Connection, id: Option<Id>, number: u64, ended: Result<Vec<Value>, RpcError>) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        self.running.send_modify(|calls| *calls -= 1);
        if let Some(id) = &id {
            connection.finish(id);
        }
        connection.answer(id, ended);
    }

    fn status(&self) -> Result<Status, Failure> {
        let held = self.keeper.held()?;
        Ok(Status {
            kind: "agent",
            state: if held.is_open { "open" } else { "locked" },
            was_unlocked: held.was_unlocked,
            waiting: held.waiting,
            memory_locked: self.manner.memory_locked,
            version: env!("CARGO_PKG_VERSION"),
            api_version: schema::API_VERSION,
            pid: std::process::id(),
            profile: self.keeper.folder().display().to_string(),
            connection: held.connection.as_ref().map(ConnectionLine::from),
            outbox: held.outbox,
        })
    }
}

/// Begins a thread. A system that has none left says so, and the agent goes on.
fn on_a_thread(work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let begun = std::thread::Builder::new().spawn(work);
    begun.map(drop).map_err(|error| Failure::network(format!("the system gives the agent no thread: {error}")))
}

fn broke() -> Failure {
    Failure::unexpected("the command broke off by a defect; the agent goes on")
}

fn passphrase(mut params: Map<String, Value>) -> Result<SecretBytes, RpcError> {
    match params.remove("passphrase") {
        Some(Value::String(text)) if !text.is_empty() => Ok(SecretBytes::from_vec(text.into_bytes())),
        _ => Err(RpcError::new(code::INVALID_PARAMS, "`passphrase` takes the passphrase of the profile")),
    }
}

fn cancel(connection: &Connection, params: &Map<String, Value>) -> Result<Value, RpcError> {
    let id = params.get("id").and_then(|id| serde_json::from_value::<Id>(id.clone()).ok());
    let id = id.ok_or_else(|| RpcError::new(code::INVALID_PARAMS, "`id` takes the id of a call of this connection"))?;
    Ok(json!([{"type": "cancelled", "was_running": connection.cancel(&id)}]))
}
