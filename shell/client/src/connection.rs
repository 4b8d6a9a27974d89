//! Being online: the task that connects, receives, empties the outbox and comes back after a loss. Spec: 30-courier.md §2 (COU-10 to
//! COU-15), 60-client.md.
//!
//! Owns when to connect and how long to wait. Does not know what happens on one connection: that is [`session`].
//!
//! - The state that it tells is honest: online only after the server said so, and a refusal that waiting does not cure is told as one.

pub(crate) mod locked;
mod session;
mod writer;

use std::sync::{Arc, Mutex, PoisonError};

use halcyon_courier::{CloseCode, frame::Close, link::KeepAliveInterval};
use halcyon_types::{Duration, Timestamp};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    alerts,
    client::Inner,
    error::ProfileError,
    event::{ConnectionState, Event, Notice},
    outbox::backoff,
    ports::{Commit, courier::ConnectionError, store::Stage},
    state::Own,
};

/// A server is not asked more often than this, however often somebody wants to be online.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The task, and how to end it or to hurry it.
pub(crate) struct Connection {
    inner: Arc<Inner>,
    task: Mutex<Option<Task>>,
}

struct Task {
    stop: watch::Sender<bool>,
    /// Somebody wants to be online now.
    wanted: watch::Sender<()>,
    handle: JoinHandle<()>,
}

/// How one connection ended.
pub(crate) enum Ended {
    /// Somebody asked to go offline.
    Stopped,
    /// It could not be made, or broke.
    Lost(String),
    /// The server ended it.
    Closed(Close),
    /// The profile cannot be written: nothing can be acknowledged or sent.
    Profile(ProfileError),
}

/// What is to be done after a connection ended.
enum Next {
    Stop,
    /// Connect again at once: something was put right.
    AtOnce,
    /// Connect again after the usual pause, or after what the server asked for if that is longer.
    Later {
        cause: String,
        at_least: Duration,
    },
    /// Waiting does not help.
    Refused(String),
}

impl Connection {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Self { inner, task: Mutex::new(None) }
    }

    /// Starts the task, or if it runs, ends its pause between two tries. One that ended because the server refused this device is
    /// started anew.
    pub(crate) fn start(&self) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task.as_ref().filter(|task| !task.handle.is_finished()) {
            task.wanted.send_replace(());
            return;
        }
        let (stop, stopped) = watch::channel(false);
        let (wanted, is_wanted) = watch::channel(());
        self.inner.set_connection(ConnectionState::Connecting);
        let handle = tokio::spawn(run(self.inner.clone(), stopped, is_wanted));
        *task = Some(Task { stop, wanted, handle });
    }

    /// Ends the task, and returns when it ended.
    pub(crate) async fn stop(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Task { stop, handle, .. }) = task else { return };
        let _ = stop.send(true);
        // A task that panicked has ended, too.
        let _ = handle.await;
        self.inner.set_connection(ConnectionState::Offline);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            task.handle.abort();
        }
    }
}

async fn run(inner: Arc<Inner>, mut stopped: watch::Receiver<bool>, mut wanted: watch::Receiver<()>) {
    let mut keep_alive = KeepAliveInterval::default();
    let mut attempts = 0;
    let mut clock_was_set = false;
    loop {
        inner.set_connection(ConnectionState::Connecting);
        let (ended, was_online) = session::run(&inner, &mut keep_alive, &mut stopped).await;
        if was_online {
            attempts = 0;
            clock_was_set = false;
        }
        match inner.after(ended, &mut clock_was_set) {
            Next::Stop => return,
            Next::AtOnce => {}
            Next::Refused(cause) => {
                inner.set_connection(ConnectionState::Refused { cause });
                return;
            }
            Next::Later { cause, at_least } => {
                let pause = backoff(attempts, &mut inner.rng()).max(at_least);
                attempts = attempts.saturating_add(1);
                inner.set_connection(ConnectionState::Waiting { cause, until: inner.now().plus(pause) });
                tokio::select! {
                    biased;
                    () = until_stopped(&mut stopped) => return,
                    () = tokio::time::sleep(pause.to_std()) => {}
                    () = until_wanted(&mut wanted, at_least) => {}
                }
            }
        }
    }
}

/// Returns when somebody asked to go offline, or the client is gone.
async fn until_stopped(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Returns when somebody wants to be online, but neither sooner than a server is asked again at all, nor than this one said.
async fn until_wanted(wanted: &mut watch::Receiver<()>, at_least: Duration) {
    // What was wanted before the connection broke was had.
    wanted.mark_unchanged();
    tokio::time::sleep(at_least.max(PAUSE_MIN).to_std()).await;
    if wanted.changed().await.is_err() {
        std::future::pending().await
    }
}

impl Inner {
    fn set_connection(&self, state: ConnectionState) {
        let changed = self.connection_state.send_if_modified(|kept| {
            let changed = *kept != state;
            *kept = state.clone();
            changed
        });
        if changed {
            self.tell(Event::Connection(state));
        }
    }

    fn after(&self, ended: Ended, clock_was_set: &mut bool) -> Next {
        let later = |cause: String| Next::Later { cause, at_least: Duration::default() };
        match ended {
            Ended::Stopped => Next::Stop,
            Ended::Lost(cause) => later(cause),
            Ended::Profile(error) => match error {
                ProfileError::NoAccount => Next::Refused(error.to_string()),
                error => later(error.to_string()),
            },
            Ended::Closed(close) => self.after_close(&close, clock_was_set),
        }
    }

    fn after_close(&self, close: &Close, clock_was_set: &mut bool) -> Next {
        match verdict(close) {
            Verdict::Revoked(cause) => {
                // The server's word, which it takes back by letting this device connect (see `connected`).
                let _ = self.set_stage(Stage::Removed);
                let _ = alerts::raise(self, Notice::Removed);
                Next::Refused(cause.to_owned())
            }
            Verdict::Replaced(cause) | Verdict::Refused(cause) => Next::Refused(cause.to_owned()),
            Verdict::ClockSkew(server_time) => {
                // COU-12: the server says its time; once is enough unless the clock jumps.
                if let Some(server_time) = server_time.filter(|_| !*clock_was_set) {
                    *clock_was_set = true;
                    self.set_server_time(server_time);
                    return Next::AtOnce;
                }
                Next::Later { cause: "this device's clock is wrong".into(), at_least: Duration::default() }
            }
            Verdict::Other => Next::Later {
                cause: format!("the server ended the connection: {}", close.detail),
                at_least: close.retry_after.unwrap_or_default(),
            },
        }
    }

    /// Notes that the server let this device in.
    fn connected(&self, now: Timestamp) -> Result<(), ProfileError> {
        self.set_stage(Stage::Ready)?;
        self.set_connection(ConnectionState::Online { since: now });
        Ok(())
    }

    fn set_stage(&self, stage: Stage) -> Result<(), ProfileError> {
        let mut state = self.state();
        let own = state.any_own().ok_or(ProfileError::NoAccount)?;
        if own.stage == stage || own.stage == Stage::Registering {
            return Ok(());
        }
        let own = Own { stage, ..own.duplicate()? };
        Ok(state.commit_own(own, Commit::new())?)
    }
}

/// What a server's goodbye means for whoever wants to come back.
enum Verdict {
    /// Another device removed this one.
    Revoked(&'static str),
    /// Another process of this profile connected.
    Replaced(&'static str),
    /// Waiting does not help.
    Refused(&'static str),
    /// The clock is wrong; the server says its own.
    ClockSkew(Option<Timestamp>),
    /// Later.
    Other,
}

fn verdict(close: &Close) -> Verdict {
    match close.code {
        CloseCode::Revoked => {
            Verdict::Revoked("another device removed this one from the account; link it again with a new profile")
        }
        CloseCode::Replaced => {
            Verdict::Replaced("this profile is online in another process; a profile can be open only once")
        }
        CloseCode::Unauthenticated => {
            Verdict::Refused("the server does not know this device: it was removed, or the server lost its data")
        }
        CloseCode::WrongAudience => Verdict::Refused("the server has another name than the one in this profile"),
        CloseCode::UnsupportedVersion => {
            Verdict::Refused("the server speaks another version of the courier protocol; update this program")
        }
        CloseCode::ClockSkew => Verdict::ClockSkew(close.server_time),
        _ => Verdict::Other,
    }
}

impl From<ConnectionError> for Ended {
    fn from(error: ConnectionError) -> Self {
        Self::Lost(error.to_string())
    }
}

impl From<ProfileError> for Ended {
    fn from(error: ProfileError) -> Self {
        Self::Profile(error)
    }
}
