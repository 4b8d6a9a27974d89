//! The client's parts on an ordinary machine: encrypted SQLite, TLS, the system's clock and randomness.
//!
//! Owns which adapter goes where. Does not know who uses the client: the command line and the quickstart both do.
//!
//! - Every profile is made with the full cost of a guess at its passphrase.

use std::path::Path;
use std::sync::Arc;

use halcyon_client::{Client, Parts, ServerAddress};
use halcyon_client_net::{Binding, Network, SystemClock, SystemRandom, TrustError};
use halcyon_client_store::{Profile, SqliteStore};
use halcyon_crypto::SecretBytes;
use halcyon_crypto::password::PasswordParams;

use crate::blame;
use crate::failure::{Failure, Kind};

pub use halcyon_client_net::Trust;

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

/// Makes an empty profile and opens it.
///
/// # Errors
/// [`Failure`]
pub fn create_store(folder: &Path, passphrase: &SecretBytes) -> Result<SqliteStore, Failure> {
    store(profile(folder)?.create(passphrase, Box::new(rand::rngs::OsRng))?)
}

/// Opens a profile.
///
/// # Errors
/// [`Failure`], also for a wrong passphrase.
pub fn open_store(folder: &Path, passphrase: &SecretBytes) -> Result<SqliteStore, Failure> {
    store(profile(folder)?.open(passphrase, Box::new(rand::rngs::OsRng))?)
}

/// Puts a client together. Nothing is sent.
///
/// # Errors
/// [`Failure`] if the authority is not PEM, or the profile is damaged.
pub fn client(store: SqliteStore, server: ServerAddress, trust: &Trust) -> Result<Client, Failure> {
    let network = Network::new(server.clone(), trust, Binding::Auto).map_err(|error| {
        let kind = if matches!(error, TrustError::Tls(_)) { Kind::Unexpected } else { Kind::User };
        blame::failure(&error, kind)
    })?;
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

fn profile(folder: &Path) -> Result<Profile, Failure> {
    Ok(Profile::at(folder, PasswordParams::PRODUCTION)?)
}

fn store(database: halcyon_client_store::EncryptedDb) -> Result<SqliteStore, Failure> {
    SqliteStore::new(database).map_err(|error| blame::failure(&error, Kind::Network))
}
