//! A profile that is open, and its client.
//!
//! Owns the order of opening: folder, passphrase, store, server, client. Does not know what is done with it.
//!
//! - One process at a time has a profile open. In an agent all calls share one session, which outlives each of them.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use halcyon_client::error::ProfileError;
use halcyon_client::ports::Store;
use halcyon_client::ports::store::{Change, Commit};
use halcyon_client::{Account, Client, ConnectionState, Receiver, ServerAddress};
use halcyon_client_store::{ProfileKeys, SqliteStore};
use halcyon_crypto::SecretBytes;
use rand::rngs::OsRng;

use crate::args::{DeviceSecret, Server};
use crate::blame;
use crate::commands::Context;
use crate::failure::{Failure, Kind};
use crate::kept::Draining;
use crate::native::{self, DeviceSecretChoice, DeviceSecretPlace, Opener, Trust};
use crate::profile;
use crate::prompt::{SecretSource, SecretUse};

/// A certificate authority's file is at most this long; a longer one is a mistaken file.
const CA_BYTES_MAX: u64 = 256 * 1024;
/// Under which name the store keeps the authority that the person chose: a setting of the program's own.
const CA_SETTING: &str = "app.server-authority";
/// Names the file with the passphrase where no option does.
pub(crate) const PASSPHRASE_FILE_VARIABLE: &str = "HALCYON_PASSPHRASE_FILE";
/// What was received is answered with receipts; they get this long to leave before a command ends.
const OWED_PATIENCE: Duration = Duration::from_secs(3);
const OWED_POLL: Duration = Duration::from_millis(20);

/// A profile that is open.
#[derive(Clone)]
pub(crate) struct Session {
    client: Client,
    keys: ProfileKeys,
    /// The authority that the person chose, as PEM; empty for those of the web.
    authority: Arc<[u8]>,
    /// What was received before the profile was unlocked, on its way into it.
    draining: Arc<tokio::sync::Mutex<Draining>>,
    /// Whether it is the agent's, and goes on when a command is done with it.
    is_shared: bool,
}

/// A profile that was just opened. Nothing was done with it.
pub(crate) struct Unlocked {
    client: Client,
    keys: ProfileKeys,
    authority: Arc<[u8]>,
}

/// A profile that is to become a device of an account.
pub(crate) struct NewProfile {
    session: Session,
    /// The folder, if this attempt made the profile in it.
    made: Option<PathBuf>,
}

impl Session {
    /// Opens the profile that the options name; it has an account. In an agent, returns the session that is open.
    ///
    /// # Errors
    /// [`Failure`]
    pub(crate) async fn open(context: &mut Context) -> Result<Self, Failure> {
        if let Some(keeper) = &context.keeper {
            return keeper.session();
        }
        let folder = folder(context)?;
        if !native::has_profile(&folder)? {
            return Err(halcyon_client_store::ProfileError::Missing.into());
        }
        let passphrase = passphrase(context, SecretUse::Known).await?;
        let _progress = context.output.progress("opening the profile");
        Self::unlock(folder, passphrase).await
    }

    /// Opens the profile in a folder; it has an account.
    ///
    /// # Errors
    /// [`Failure`], also for a wrong passphrase.
    async fn unlock(folder: PathBuf, passphrase: SecretBytes) -> Result<Self, Failure> {
        Ok(Unlocked::open(folder, Opener::Passphrase(passphrase)).await?.session().await)
    }

    /// Returns the same session for one more command, which does not end it.
    pub(crate) fn shared(&self) -> Self {
        Self { is_shared: true, ..self.clone() }
    }

    /// Returns the client.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Returns who this is.
    ///
    /// # Errors
    /// [`Failure`]
    pub(crate) fn account(&self) -> Result<Account, Failure> {
        Ok(self.client.account()?.ok_or(ProfileError::NoAccount)?)
    }

    /// Returns what of the profile's keys is unlocked.
    pub(crate) fn keys(&self) -> &ProfileKeys {
        &self.keys
    }

    /// Returns how many deliveries that came before the profile was unlocked wait for an answer of the server.
    pub(crate) fn waiting(&self) -> u64 {
        self.draining.try_lock().map_or(0, |draining| draining.left())
    }

    /// Makes anew by what the device receives before the next unlock, if that is due (KEY-10).
    pub(crate) fn renew_receiver(&self) {
        let renewed = (|| {
            let now = native::now();
            let kept = self.keys.receiver()?.and_then(|kept| Receiver::from_bytes(&kept));
            if kept.is_some_and(|kept| !kept.is_due(now)) {
                return Ok(());
            }
            let receiver = self.client.grant_receiver(&self.authority)?;
            Ok(self.keys.keep_receiver(&receiver.to_bytes(), &mut OsRng)?)
        })();
        if let Err::<(), Failure>(failure) = renewed {
            // The profile is open; before the next unlock what comes waits at the server.
            tracing::warn!(%failure, "nothing will be received before the next unlock");
        }
    }

    /// Returns why there is no connection, if there is a reason to tell.
    pub(crate) fn trouble(&self) -> Option<String> {
        match self.client.connection() {
            ConnectionState::Waiting { cause, .. } | ConnectionState::Refused { cause } => Some(cause),
            _ => None,
        }
    }

    /// Goes online so that what was chosen gets to the own devices, and receipts to those who wait for them. Without a network that
    /// happens with the next command that has one.
    pub(crate) async fn settle(&self, context: &Context) {
        if self.client.outbox_len().is_ok_and(|waiting| waiting > 0) {
            self.client.go_online();
            // Everything is in the profile already; nobody needs to wait long, nor to be told.
            let patience = context.timeout().min(OWED_PATIENCE);
            let _ = tokio::time::timeout(patience, self.client.wait_online()).await;
        }
    }

    /// Ends the client's work in good order: what is owed to others leaves first, if there is a connection. A shared session goes on.
    pub(crate) async fn close(&self) {
        if self.is_shared {
            return;
        }
        let online = || matches!(self.client.connection(), ConnectionState::Online { .. });
        let owed = async {
            while online() && self.client.outbox_len().is_ok_and(|waiting| waiting > 0) {
                tokio::time::sleep(OWED_POLL).await;
            }
        };
        // What does not leave in time stays in the outbox.
        let _ = tokio::time::timeout(OWED_PATIENCE, owed).await;
        self.draining.lock().await.end().await;
        self.client.shutdown().await;
    }
}

impl Unlocked {
    /// Opens the profile in a folder; it has an account.
    ///
    /// # Errors
    /// [`Failure`], also for a wrong passphrase.
    pub(crate) async fn open(folder: PathBuf, opener: Opener) -> Result<Self, Failure> {
        let store = on_a_thread(move || native::open_store_by(&folder, &opener)).await?;
        let profile = store.profile().map_err(store_failure)?.ok_or(ProfileError::NoAccount)?;
        let authority = store.setting(CA_SETTING).map_err(store_failure)?.unwrap_or_default();
        let unlocked = Self::of(store, address(&profile.server)?, authority)?;
        unlocked.client.account()?.ok_or(ProfileError::NoAccount)?;
        Ok(unlocked)
    }

    /// Takes a profile that was opened, for a server whose certificate an authority (PEM) signed; empty, those of the web.
    ///
    /// # Errors
    /// [`Failure`] if the authority is not PEM, or the profile is damaged.
    pub(crate) fn of(store: SqliteStore, server: ServerAddress, authority: String) -> Result<Self, Failure> {
        let keys = store.database().keys().clone();
        let authority: Arc<[u8]> = authority.into_bytes().into();
        let trust = if authority.is_empty() { Trust::Web } else { Trust::Pem(authority.to_vec()) };
        Ok(Self { client: native::client(store, server, &trust)?, keys, authority })
    }

    /// Takes what was received before it was unlocked, and begins a session.
    pub(crate) async fn session(self) -> Session {
        let Self { client, keys, authority } = self;
        let draining = Draining::begin(&keys, &client).await; // KEY-12
        let draining = Arc::new(tokio::sync::Mutex::new(draining));
        Session { client, keys, authority, draining, is_shared: false }
    }
}

impl NewProfile {
    /// Makes the profile that the options name, or opens one that never got an account.
    ///
    /// # Errors
    /// [`Failure`] if it has an account, or the address or authority is not usable.
    pub(crate) async fn at(context: &mut Context, options: &Server) -> Result<Self, Failure> {
        let server = address(&options.server)?;
        let authority = options.ca.as_deref().map(read_authority).transpose()?;
        let folder = folder(context)?;
        let exists = native::has_profile(&folder)?;
        let mut store = if exists {
            agree_on_place(&folder, options.device_secret)?;
            open_store(context, &folder).await?
        } else {
            make_store(context, &folder, options.device_secret).await?
        };
        let kept = match &authority {
            Some(authority) => Change::PutSetting { name: CA_SETTING.to_owned(), value: authority.clone() },
            None => Change::RemoveSetting(CA_SETTING.to_owned()),
        };
        store.commit(&Commit::new().with(kept)).map_err(store_failure)?;
        let unlocked = Unlocked::of(store, server, authority.unwrap_or_default())?;
        if unlocked.client.account()?.is_some() {
            return Err(Failure::from(ProfileError::HasAccount).next("`--profile NAME` makes another one"));
        }
        Ok(Self { session: unlocked.session().await, made: (!exists).then_some(folder) })
    }

    /// Returns the session.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Ends an attempt that came to nothing: a profile that it made is removed, so that the next attempt starts from nothing.
    pub(crate) async fn abandon(self) {
        self.session.close().await;
        if let Some(folder) = self.made {
            // What cannot be removed is in nobody's way: the next attempt opens it.
            let _ = on_a_thread(move || native::remove_profile(&folder)).await;
        }
    }
}

/// Returns the folder of the profile that the options name.
///
/// # Errors
/// [`Failure`]
pub(crate) fn folder(context: &Context) -> Result<PathBuf, Failure> {
    profile::folder(context.global.profile_folder.as_deref(), &context.global.profile)
}

async fn open_store(context: &mut Context, folder: &Path) -> Result<SqliteStore, Failure> {
    let passphrase = passphrase(context, SecretUse::Known).await?;
    let _progress = context.output.progress("opening the profile");
    let folder = folder.to_owned();
    on_a_thread(move || native::open_store(&folder, &passphrase)).await
}

async fn make_store(context: &mut Context, folder: &Path, place: DeviceSecret) -> Result<SqliteStore, Failure> {
    if folder.exists() && fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some()) {
        return Err(Failure::user(format!("the folder {} has files in it that are no profile", folder.display()))
            .next("choose an empty folder, or one that does not exist"));
    }
    context.output.note("This profile gets a passphrase of its own: it protects the keys on this machine, and is asked for by every command.");
    let passphrase = passphrase(context, SecretUse::New).await?;
    profile::make_folder(folder)?;
    let progress = context.output.progress("making the profile");
    let path = folder.to_owned();
    let made = on_a_thread(move || native::create_store(&path, &passphrase, choice(place))).await;
    drop(progress);
    match made {
        Ok(store) => {
            if place == DeviceSecret::Auto && native::device_secret_place(folder)? == Some(DeviceSecretPlace::File) {
                context.output.note("No keyring could keep the device secret, so it is a file of the profile (`halcyon doctor` says where, and --device-secret keyring says why).");
            }
            Ok(store)
        }
        Err(failure) => {
            // It was empty before. Otherwise the next attempt would find files in it that are no profile.
            if !native::has_profile(folder).unwrap_or(true) {
                let folder = folder.to_owned();
                let _ = on_a_thread(move || native::remove_profile(&folder)).await;
            }
            Err(failure)
        }
    }
}

/// A profile's device secret stays where it was put, whatever is asked for later.
fn agree_on_place(folder: &Path, asked: DeviceSecret) -> Result<(), Failure> {
    let is = match (asked, native::device_secret_place(folder)?) {
        (DeviceSecret::Keyring, Some(DeviceSecretPlace::File)) => "a file",
        (DeviceSecret::File, Some(DeviceSecretPlace::Keyring { .. })) => "the keyring",
        _ => return Ok(()),
    };
    Err(Failure::user(format!(
        "the profile in {} has its device secret in {is}, which is chosen once",
        folder.display()
    ))
    .next("leave --device-secret (and HALCYON_DEVICE_SECRET) out, or take another profile with --profile NAME"))
}

fn choice(place: DeviceSecret) -> DeviceSecretChoice {
    match place {
        DeviceSecret::Auto => DeviceSecretChoice::Auto,
        DeviceSecret::Keyring => DeviceSecretChoice::Keyring,
        DeviceSecret::File => DeviceSecretChoice::File,
    }
}

/// Stretching a passphrase takes a processor, and a keyring that asks a person for a password takes minutes: neither holds up
/// what else runs.
pub(crate) async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Failure::unexpected(format!("the profile could not be worked on: {error}"))))
}

/// Returns where the profile's passphrase was said to be.
pub(crate) fn passphrase_source(context: &Context) -> SecretSource {
    let (descriptor, file) = (context.global.passphrase_fd, context.global.passphrase_file.clone());
    // The name of a file in the environment is no secret, and what is said on the command line comes first.
    let file = file.or_else(|| std::env::var_os(PASSPHRASE_FILE_VARIABLE).map(PathBuf::from));
    SecretSource::from_options(descriptor, file.as_deref())
}

/// Returns the profile's passphrase.
///
/// # Errors
/// [`Failure`] if it is nowhere, and nobody can be asked.
pub(crate) async fn passphrase(context: &mut Context, usage: SecretUse) -> Result<SecretBytes, Failure> {
    let source = passphrase_source(context);
    context.input.secret(&source, "passphrase of the profile", usage).await
}

fn address(server: &str) -> Result<ServerAddress, Failure> {
    server.parse().map_err(|error: halcyon_client::ServerAddressError| Failure::user(error.to_string()))
}

fn read_authority(path: &Path) -> Result<String, Failure> {
    let unreadable =
        |error| Failure::user(format!("the certificate authority {} cannot be read: {error}", path.display()));
    let mut text = String::new();
    File::open(path).map_err(unreadable)?.take(CA_BYTES_MAX).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

fn store_failure(error: halcyon_client::ports::StoreError) -> Failure {
    blame::failure(&error, Kind::Network)
}
