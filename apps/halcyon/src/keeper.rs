//! The profile of an agent: not unlocked yet, open for every call, or locked again. Spec: 70-keychain.md (KEY-6, KEY-7, KEY-10 to KEY-12).
//!
//! Owns the one session, what receives while there is none, and the order in which one follows the other. Does not know who calls.
//!
//! - Before the first unlock no key is in this process that takes a passphrase: neither client nor store exist. What comes is kept sealed.
//! - Locked, the client goes on receiving, and no call gets the session. Whoever locks ends the calls first.
//! - What receives without keys and what opens are never there at the same time.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use halcyon_client::{ConnectionState, LockedConnection};

use crate::failure::Failure;
use crate::kept;
use crate::native::{self, Opener};
use crate::session::{self, Session};

/// A profile's folder, and what there is of it in memory.
pub(crate) struct Keeper {
    folder: PathBuf,
    holding: Mutex<Holding>,
    /// Held while it is unlocked or locked, so that two at once do it one after the other.
    turning: tokio::sync::Mutex<()>,
}

/// What is held of the profile.
enum Holding {
    /// Nothing that takes a passphrase.
    Sealed(Option<Receiving>),
    /// All of it, for every call.
    Open(Session),
    /// What goes on by itself.
    Locked(Session),
}

/// What receives without keys.
struct Receiving {
    connection: LockedConnection,
    /// What was kept before it began.
    before: u64,
}

/// How much of the profile is there, and what of it can be told without a passphrase.
pub(crate) struct Held {
    /// Whether calls get the session.
    pub(crate) is_open: bool,
    /// Whether the passphrase was given since the process began.
    pub(crate) was_unlocked: bool,
    /// How it stands with the server; nothing if there is nothing to connect by.
    pub(crate) connection: Option<ConnectionState>,
    /// Sealed messages that wait to be opened.
    pub(crate) waiting: u64,
    /// What waits to leave, if the profile is open.
    pub(crate) outbox: Option<usize>,
}

impl Keeper {
    /// Keeps the profile in a folder, not unlocked.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, holding: Mutex::new(Holding::Sealed(None)), turning: tokio::sync::Mutex::new(()) }
    }

    /// Keeps the profile in a folder that somebody opened.
    pub(crate) fn open(folder: PathBuf, session: Session) -> Self {
        Self { folder, holding: Mutex::new(Holding::Open(session)), turning: tokio::sync::Mutex::new(()) }
    }

    /// Returns the folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn holding(&self) -> MutexGuard<'_, Holding> {
        self.holding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the session, if the profile is open.
    pub(crate) fn open_session(&self) -> Option<Session> {
        match &*self.holding() {
            Holding::Open(session) => Some(session.shared()),
            Holding::Sealed(_) | Holding::Locked(_) => None,
        }
    }

    /// Returns the session.
    ///
    /// # Errors
    /// [`Failure`] if the profile is locked.
    pub(crate) fn session(&self) -> Result<Session, Failure> {
        self.open_session().ok_or_else(Failure::locked)
    }

    /// Says how it is.
    ///
    /// # Errors
    /// [`Failure`] if the profile cannot be read.
    pub(crate) fn held(&self) -> Result<Held, Failure> {
        Ok(match &*self.holding() {
            Holding::Sealed(receiving) => Held {
                is_open: false,
                was_unlocked: false,
                connection: receiving.as_ref().map(|receiving| receiving.connection.connection()),
                waiting: receiving.as_ref().map_or(0, |receiving| receiving.before + receiving.connection.kept()),
                outbox: None,
            },
            Holding::Open(session) => held(session, true)?,
            Holding::Locked(session) => held(session, false)?,
        })
    }

    /// Begins to receive without keys, if the profile was ever unlocked by an agent (KEY-11). Otherwise what comes waits at the server.
    pub(crate) async fn begin(&self) {
        let _turn = self.turning.lock().await;
        self.receive_sealed();
    }

    fn receive_sealed(&self) {
        match kept::receive(&self.folder) {
            Ok(begun) => {
                let receiving = begun.map(|(connection, before)| Receiving { connection, before });
                *self.holding() = Holding::Sealed(receiving);
            }
            // Unlocking says what is wrong with the profile, and nothing is lost meanwhile.
            Err(failure) => tracing::warn!(%failure, "nothing is received before the profile is unlocked"),
        }
    }

    /// Opens the profile and connects, or lets calls in again. If it is open, nothing happens, whatever the passphrase.
    ///
    /// # Errors
    /// [`Failure`], also for a wrong passphrase; the profile is as it was.
    pub(crate) async fn unlock(&self, opener: Opener) -> Result<(), Failure> {
        let _turn = self.turning.lock().await;
        let locked = match &*self.holding() {
            Holding::Open(_) => return Ok(()),
            Holding::Locked(session) => Some(session.shared()),
            Holding::Sealed(_) => None,
        };
        if let Some(session) = locked {
            let keys = session.keys().clone();
            let unlocking = move || match opener {
                Opener::Passphrase(passphrase) => Ok(keys.unlock(&passphrase, &mut rand::rngs::OsRng)?),
                Opener::Keyring(key) => Ok(keys.unlock_with(&key)?),
            };
            session::on_a_thread(unlocking).await?;
            self.turn(|holding| match holding {
                Holding::Locked(session) => Holding::Open(session),
                other => other,
            });
            return Ok(());
        }
        let unlocked = session::Unlocked::open(self.folder.clone(), opener).await?;
        // The passphrase is right: from here on one receives in place of the other.
        let sealed = std::mem::replace(&mut *self.holding(), Holding::Sealed(None));
        if let Holding::Sealed(Some(receiving)) = sealed {
            receiving.connection.stop().await;
        }
        let session = unlocked.session().await;
        session.renew_receiver();
        session.client().go_online();
        *self.holding() = Holding::Open(session);
        Ok(())
    }

    /// Unlocks by the system's keyring, if the person chose that (KEY-9). Says whether it is open.
    ///
    /// # Errors
    /// [`Failure`] if the keyring does not give the key, or the passphrase is another one by now.
    pub(crate) async fn unlock_by_keyring(&self) -> Result<bool, Failure> {
        let folder = self.folder.clone();
        match session::on_a_thread(move || native::unlock_key(&folder)).await? {
            Some(key) => self.unlock(Opener::Keyring(key)).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Lets no call in any more, and wipes what may be in memory only while it is unlocked, once the calls are over (KEY-6). What
    /// receives goes on.
    pub(crate) async fn lock(&self, calls_over: impl Future<Output = ()>) {
        let _turn = self.turning.lock().await;
        self.turn(|holding| match holding {
            Holding::Open(session) => Holding::Locked(session),
            other => other,
        });
        calls_over.await;
        if let Holding::Locked(session) = &*self.holding() {
            session.keys().lock();
        }
    }

    /// Closes the profile: from now on no call gets the session; once those that have it are over, what is owed to others leaves, if
    /// there is a connection, and keys and store go (KEY-7). Then it receives as before the first unlock, unless it ends.
    pub(crate) async fn forget(&self, calls_over: impl Future<Output = ()>, ends: bool) {
        let _turn = self.turning.lock().await;
        let held = std::mem::replace(&mut *self.holding(), Holding::Sealed(None));
        calls_over.await;
        match held {
            Holding::Open(session) | Holding::Locked(session) => {
                let keys = session.keys().clone();
                session.close().await;
                drop(session);
                keys.forget();
            }
            Holding::Sealed(Some(receiving)) => receiving.connection.stop().await,
            Holding::Sealed(None) => {}
        }
        if !ends {
            self.receive_sealed();
        }
    }

    /// Makes what receives without keys anew, if it is due (KEY-10).
    pub(crate) fn renew_receiver(&self) {
        if let Holding::Open(session) | Holding::Locked(session) = &*self.holding() {
            session.renew_receiver();
        }
    }

    fn turn(&self, turned: impl FnOnce(Holding) -> Holding) {
        let mut holding = self.holding();
        let was = std::mem::replace(&mut *holding, Holding::Sealed(None));
        *holding = turned(was);
    }
}

fn held(session: &Session, is_open: bool) -> Result<Held, Failure> {
    let client = session.client();
    Ok(Held {
        is_open,
        was_unlocked: true,
        connection: Some(client.connection()),
        waiting: session.waiting(),
        outbox: Some(client.outbox_len()?),
    })
}
