//! Where the agent of a profile listens, and how it is found.
//!
//! Owns `agent.lock` in the profile's folder and the socket in the runtime folder. Does not know what is said over it.
//!
//! - The lock is held while the agent lives and names its socket, so a command finds it whatever its environment says, and what a killed
//!   agent left behind is not taken for one.
//! - The socket is in a folder that only its owner may enter.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use rand::RngCore;
use rustix::process::getuid;
use tokio::net::{UnixListener, UnixStream};

use crate::failure::Failure;

/// The lock file, in the profile's folder.
const LOCK_FILE: &str = "agent.lock";
/// Commands that look for an agent hold the lock for a moment, too.
const CLAIM_PATIENCE: Duration = Duration::from_secs(1);
/// An agent that has just begun does not listen yet.
const FIND_PATIENCE: Duration = Duration::from_secs(5);
/// How long one may take to end that said that it does: it closes its store, and its calls have ended.
const END_PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
/// Nothing longer is the path of a socket.
const PATH_BYTES_MAX: u64 = 4096;

/// The one place where the agent of a profile listens.
pub(crate) struct Endpoint {
    listener: UnixListener,
    socket: PathBuf,
    /// Locked while it lives.
    _lock: File,
}

impl Endpoint {
    /// Becomes the agent of the profile in a folder.
    ///
    /// # Errors
    /// [`Failure`] if another one is, or the runtime folder is not for this user alone.
    pub(crate) fn claim(profile: &Path) -> Result<Self, Failure> {
        let path = profile.join(LOCK_FILE);
        let failed = |error| Failure::network(format!("the agent's file {} cannot be used: {error}", path.display()));
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).clone();
        let mut lock = options.open(&path).map_err(failed)?;
        claim_lock(&lock).map_err(|error| error.unwrap_or_else(failed))?;
        let folder = runtime_folder()?;
        remove_stale(&lock, &folder);
        let socket = folder.join(format!("{:016x}.sock", rand::rngs::OsRng.next_u64()));
        let listener = UnixListener::bind(&socket).map_err(|error| {
            Failure::network(format!("the agent cannot listen at {}: {error}", socket.display()))
                .next("set XDG_RUNTIME_DIR to a folder of your own with a short path")
        })?;
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        lock.set_len(0).map_err(failed)?;
        io::Seek::rewind(&mut lock).map_err(failed)?;
        lock.write_all(socket.as_os_str().as_bytes()).map_err(failed)?;
        Ok(Self { listener, socket, _lock: lock })
    }

    /// Returns where it listens.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Waits for a caller of this user. Others are turned away.
    ///
    /// # Errors
    /// An [`io::Error`] of the system; a later try may succeed.
    pub(crate) async fn accept(&self) -> io::Result<std::os::unix::net::UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            // Root may read this process's memory anyway.
            let caller = stream.peer_cred()?.uid();
            if caller == getuid().as_raw() || caller == 0 {
                let stream = stream.into_std()?;
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            tracing::warn!("a process of another user was turned away");
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // What stays is removed by the next agent.
        let _ = fs::remove_file(&self.socket);
    }
}

/// Connects to the agent of the profile in a folder; nothing if none runs.
///
/// # Errors
/// [`Failure`] if one runs and does not answer.
pub(crate) async fn connect(profile: &Path) -> Result<Option<UnixStream>, Failure> {
    let begun = Instant::now();
    loop {
        let Some(socket) = find(&profile.join(LOCK_FILE))? else { return Ok(None) };
        let error = match UnixStream::connect(&socket).await {
            Ok(stream) => return Ok(Some(stream)),
            Err(error) => error,
        };
        if begun.elapsed() > FIND_PATIENCE {
            return Err(Failure::network(format!("the agent does not answer at {}: {error}", socket.display()))
                .next("end it with `halcyon agent stop`, or kill it; nothing is lost by that"));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until no agent has the profile in a folder any more: whoever asks for something then is not sent to one that ends.
///
/// # Errors
/// [`Failure`] if it goes on.
pub(crate) async fn ended(profile: &Path) -> Result<(), Failure> {
    let since = Instant::now();
    while find(&profile.join(LOCK_FILE))?.is_some() {
        if since.elapsed() > END_PATIENCE {
            return Err(Failure::network("the agent said that it would end, and still runs")
                .next("`halcyon agent status` shows its process; kill it, nothing is lost by that"));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Connects to the agent that was just begun for the profile in a folder, or to one that another command began; nothing if it ended at once.
///
/// # Errors
/// [`Failure`] if it does not answer.
pub(crate) async fn connect_begun(profile: &Path, mut begun: Child) -> Result<Option<UnixStream>, Failure> {
    let since = Instant::now();
    loop {
        // Asked before it is looked for: it may listen, be found by nobody, and be gone.
        let has_ended = begun.try_wait().is_ok_and(|ended| ended.is_some());
        if let Some(stream) = connect(profile).await? {
            return Ok(Some(stream));
        }
        if has_ended || since.elapsed() > FIND_PATIENCE {
            return Ok(None);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Returns where the agent listens that holds the lock; an empty path if it does not listen yet.
fn find(path: &Path) -> Result<Option<PathBuf>, Failure> {
    let failed = |error| Failure::network(format!("the agent's file {} cannot be read: {error}", path.display()));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    match file.try_lock_shared() {
        // Nobody holds it; closing the file lets go.
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => named(&file).map(Some).map_err(failed),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn named(mut file: &File) -> io::Result<PathBuf> {
    let mut path = Vec::new();
    Read::by_ref(&mut file).take(PATH_BYTES_MAX).read_to_end(&mut path)?;
    Ok(PathBuf::from(std::ffi::OsString::from_vec(path)))
}

/// Either that another agent has it, or what the operating system said.
enum ClaimError {
    Taken,
    Io(io::Error),
}

impl ClaimError {
    fn unwrap_or_else(self, other: impl FnOnce(io::Error) -> Failure) -> Failure {
        match self {
            Self::Taken => Failure::user("an agent of this profile runs already")
                .next("`halcyon agent status` shows it, `halcyon agent stop` ends it"),
            Self::Io(error) => other(error),
        }
    }
}

fn claim_lock(lock: &File) -> Result<(), ClaimError> {
    let begun = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if begun.elapsed() < CLAIM_PATIENCE => std::thread::sleep(POLL),
            Err(TryLockError::WouldBlock) => return Err(ClaimError::Taken),
            Err(TryLockError::Error(error)) => return Err(ClaimError::Io(error)),
        }
    }
}

/// Removes the socket of an agent that was killed.
fn remove_stale(lock: &File, folder: &Path) {
    if let Ok(socket) = named(lock)
        && socket.parent() == Some(folder)
    {
        // It may be gone.
        let _ = fs::remove_file(socket);
    }
}

/// Returns the folder for sockets, which only this user may enter: below `$XDG_RUNTIME_DIR`, else below the system's temporary folder.
fn runtime_folder() -> Result<PathBuf, Failure> {
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let folder = match given {
        Some(given) => given.join("halcyon"),
        None => std::env::temp_dir().join(format!("halcyon-{}", getuid().as_raw())),
    };
    let failed = |error| {
        Failure::network(format!("the runtime folder {} cannot be used: {error}", folder.display()))
            .next("set XDG_RUNTIME_DIR to a folder of your own")
    };
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    // Somebody else may have made it first, to listen in our place.
    let found = fs::symlink_metadata(&folder).map_err(failed)?;
    let is_ours = found.is_dir() && found.uid() == getuid().as_raw() && found.mode() & 0o077 == 0;
    if !is_ours {
        return Err(Failure::user(format!(
            "the runtime folder {} belongs to somebody else, or is open to others",
            folder.display()
        ))
        .next("remove it, or set XDG_RUNTIME_DIR to a folder of your own"));
    }
    Ok(folder)
}
