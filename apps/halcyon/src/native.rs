//! The client's parts on an ordinary machine: encrypted SQLite, TLS, the system's clock and randomness.
//!
//! Owns which adapter goes where. Does not know who uses the client: the command line and the quickstart both do.
//!
//! - Every profile is made with the full cost of a guess at its passphrase, as this machine can bear it (KEY-2).

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use halcyon_client::ports::{Clock as _, Inbox};
use halcyon_client::{Client, LockedConnection, Parts, Receiver, ReceiverParts, ServerAddress};
use halcyon_client_net::{Binding, Network, PageFetcher, SystemClock, SystemRandom, TrustError};
use halcyon_client_store::{Profile, ProfileKeys, SqliteStore, UNLOCK_ITEM_FILE, WrappingKey};
use halcyon_crypto::SecretBytes;
use halcyon_crypto::password::{self, PasswordParams};

use crate::blame;
use crate::failure::{Failure, Kind};

pub use halcyon_client_net::Trust;
pub use halcyon_client_store::{DEVICE_SECRET_FILE, DeviceSecretChoice, DeviceSecretPlace};

/// How long opening a profile takes on the machine that made it.
const GUESS_TIME: Duration = Duration::from_millis(250);

/// Returns whether a folder has a profile in it.
///
/// # Errors
/// [`Failure`] if the folder cannot be read.
pub fn has_profile(folder: &Path) -> Result<bool, Failure> {
    // Looking must not make the folder.
    if !folder.exists() {
        return Ok(false);
    }
    Ok(profile(folder)?.exists()?)
}

/// Makes an empty profile and opens it. `choice` says where its device secret is kept, for good.
///
/// Takes the time of a guess at a passphrase, and with a keyring that of a person who unlocks it: call it where a thread may
/// block.
///
/// # Errors
/// [`Failure`]
pub fn create_store(
    folder: &Path,
    passphrase: &SecretBytes,
    choice: DeviceSecretChoice,
) -> Result<SqliteStore, Failure> {
    let profile = Profile::choosing(folder, choice, PasswordParams::PRODUCTION)?.with_new_work(guess());
    store(profile.create(passphrase, Box::new(rand::rngs::OsRng))?)
}

/// Says where the device secret of a profile is; `None` if nothing says that there is one.
///
/// # Errors
/// [`Failure`] if the folder cannot be read.
pub fn device_secret_place(folder: &Path) -> Result<Option<DeviceSecretPlace>, Failure> {
    Ok(profile(folder)?.device_secret_place()?)
}

/// Removes a profile: first the device secret, without which the rest opens for nobody, then the folder.
///
/// # Errors
/// [`Failure`]; what is left is not a profile that opens.
pub fn remove_profile(folder: &Path) -> Result<(), Failure> {
    profile(folder)?.destroy_device_secret()?;
    std::fs::remove_dir_all(folder).map_err(|error| {
        Failure::network(format!("the profile folder {} cannot be removed: {error}", folder.display()))
            .next("remove it by hand; nobody can open it any more")
    })
}

/// Opens a profile. Takes as long as [`create_store`].
///
/// # Errors
/// [`Failure`], also for a wrong passphrase.
pub fn open_store(folder: &Path, passphrase: &SecretBytes) -> Result<SqliteStore, Failure> {
    store(profile(folder)?.open(passphrase, Box::new(rand::rngs::OsRng))?)
}

/// By what a profile is opened.
pub(crate) enum Opener {
    /// What a person knows.
    Passphrase(SecretBytes),
    /// What the system's keyring has, since a person chose that (KEY-9).
    Keyring(WrappingKey),
}

/// Opens a profile by either. Takes as long as [`create_store`] with a passphrase.
///
/// # Errors
/// [`Failure`], also if the passphrase is wrong, or another one by now.
pub(crate) fn open_store_by(folder: &Path, opener: &Opener) -> Result<SqliteStore, Failure> {
    match opener {
        Opener::Passphrase(passphrase) => open_store(folder, passphrase),
        Opener::Keyring(key) => store(profile(folder)?.open_with(key, Box::new(rand::rngs::OsRng))?),
    }
}

/// Returns what opens the profile in a folder without its passphrase; nothing if nobody chose that (KEY-9).
///
/// # Errors
/// [`Failure`] if the keyring has it, and does not give it.
pub(crate) fn unlock_key(folder: &Path) -> Result<Option<WrappingKey>, Failure> {
    Ok(profile(folder)?.unlock_key()?)
}

/// Says whether the keyring is to open the profile in a folder (KEY-9). Looks into the folder only.
pub(crate) fn is_remembered(folder: &Path) -> bool {
    folder.join(UNLOCK_ITEM_FILE).exists()
}

/// Keeps in the system's keyring what opens the profile in a folder, or removes it from there (KEY-9).
///
/// # Errors
/// [`Failure`], also for a wrong passphrase.
pub(crate) fn remember(folder: &Path, passphrase: Option<&SecretBytes>) -> Result<(), Failure> {
    let profile = profile(folder)?;
    match passphrase {
        Some(passphrase) => profile.keep_unlock_key(passphrase, &mut rand::rngs::OsRng)?,
        None => profile.forget_unlock_key()?,
    }
    Ok(())
}

/// Puts a client together. Nothing is sent.
///
/// # Errors
/// [`Failure`] if the authority is not PEM, or the profile is damaged.
pub fn client(store: SqliteStore, server: ServerAddress, trust: &Trust) -> Result<Client, Failure> {
    let network = network(&server, trust)?;
    let parts = Parts {
        store: Box::new(store),
        http: network.http(),
        courier: network.courier(),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        server,
    };
    Ok(Client::open(parts)?)
}

/// Returns the keys of a profile that need no passphrase; nothing if an older version of this program made it, and no other opened it.
///
/// # Errors
/// [`Failure`] if the folder cannot be read.
pub(crate) fn locked_keys(folder: &Path) -> Result<Option<ProfileKeys>, Failure> {
    Ok(profile(folder)?.locked_keys()?)
}

/// Receives for a profile that is locked.
///
/// # Errors
/// [`Failure`] if the authority that was kept is not PEM.
pub(crate) fn receive(receiver: Receiver, inbox: Box<dyn Inbox>) -> Result<LockedConnection, Failure> {
    let trust = match receiver.trust() {
        [] => Trust::Web,
        authority => Trust::Pem(authority.to_vec()),
    };
    let network = network(receiver.server(), &trust)?;
    let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
    let parts = ReceiverParts { courier: network.courier(), clock, random, inbox };
    Ok(LockedConnection::start(receiver, parts))
}

/// Returns the present time.
pub(crate) fn now() -> halcyon_types::Timestamp {
    SystemClock.now()
}

fn network(server: &ServerAddress, trust: &Trust) -> Result<Network, Failure> {
    Network::new(server.clone(), trust, Binding::Auto).map_err(|error| {
        let kind = if matches!(error, TrustError::Tls(_)) { Kind::Unexpected } else { Kind::User };
        blame::failure(&error, kind)
    })
}

/// What a guess at a new passphrase costs: as long as a person does not mind on this machine, and never less than the floor (KEY-2).
fn guess() -> PasswordParams {
    let begun = Instant::now();
    let _ = password::stretch(b"calibration", &[0; password::SALT_BYTES], PasswordParams::PRODUCTION);
    PasswordParams::for_time(begun.elapsed(), GUESS_TIME)
}

/// Returns what asks other servers for pages, to make previews of links.
///
/// # Errors
/// [`Failure`] if TLS cannot be set up.
pub fn pages() -> Result<PageFetcher, Failure> {
    PageFetcher::new().map_err(|error| blame::failure(&error, Kind::Unexpected))
}

fn profile(folder: &Path) -> Result<Profile, Failure> {
    Ok(Profile::at(folder, PasswordParams::PRODUCTION)?)
}

fn store(database: halcyon_client_store::EncryptedDb) -> Result<SqliteStore, Failure> {
    SqliteStore::new(database).map_err(|error| blame::failure(&error, Kind::Network))
}
