//! The keys that only this server has.
//!
//! Owns their encoding in one file. Does not know where the file is.
//!
//! - Each key serves one purpose; what the purposes have in common is derived under different labels.

use halcyon_crypto::opaque::{OpaqueError, ServerSetup};
use halcyon_crypto::{Label, Rng, Secret, SecretBytes, kdf};
use halcyon_directory::query::QueryKey;
use halcyon_directory::session::SessionKey;

/// First bytes of the encoding, with its version.
const MAGIC: &[u8] = b"halcyon server secrets v1\n";
const KEY_BYTES: usize = 32;

/// All of them.
pub struct ServerSecrets {
    /// Checks passwords without learning them (ACC-30).
    pub opaque: ServerSetup,
    /// Makes session tokens (DIR-30).
    pub session: SessionKey,
    /// Makes records of the query log (DIR-50).
    pub query_log: QueryKey,
    /// Makes what is stored of verification codes (ACC-24), and by derivation the subjects of rate limits (ACC-4) and the
    /// credential ids of handles that nobody has (ACC-40).
    pub verification: Secret<32>,
}

/// The bytes are not secrets that this program can read.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("server.secrets is damaged or of a newer program; restore it from a backup, no password works without it")]
pub struct SecretsError;

impl ServerSecrets {
    /// Draws the secrets of a new server.
    pub fn generate(rng: &mut dyn Rng) -> Self {
        Self {
            opaque: ServerSetup::generate(rng),
            session: SessionKey::generate(rng),
            query_log: QueryKey::generate(rng),
            verification: Secret::random(rng),
        }
    }

    /// Returns the encoding, to be stored under protection.
    #[must_use]
    pub fn to_secret_bytes(&self) -> SecretBytes {
        let opaque = self.opaque.to_secret_bytes();
        let mut bytes = Vec::with_capacity(MAGIC.len() + 3 * KEY_BYTES + opaque.len());
        bytes.extend_from_slice(MAGIC);
        for key in [self.session.secret(), self.query_log.secret(), &self.verification] {
            bytes.extend_from_slice(key.expose());
        }
        bytes.extend_from_slice(opaque.expose());
        SecretBytes::from_vec(bytes)
    }

    /// Reads what [`to_secret_bytes`](Self::to_secret_bytes) wrote.
    ///
    /// # Errors
    /// [`SecretsError`]
    pub fn from_secret_bytes(bytes: &SecretBytes) -> Result<Self, SecretsError> {
        let rest = bytes.expose().strip_prefix(MAGIC).ok_or(SecretsError)?;
        let (session, rest) = take_key(rest)?;
        let (query_log, rest) = take_key(rest)?;
        let (verification, rest) = take_key(rest)?;
        let opaque = ServerSetup::from_secret_bytes(rest).map_err(|_: OpaqueError| SecretsError)?;
        Ok(Self {
            opaque,
            session: SessionKey::from_secret(session),
            query_log: QueryKey::from_secret(query_log),
            verification,
        })
    }

    /// Returns the key that names subjects of rate limits.
    #[must_use]
    pub fn limit_key(&self) -> Secret<32> {
        kdf::labelled_key(Label::RateLimit, &self.verification, &[])
    }

    /// Returns the key that makes credential ids for handles that nobody has.
    #[must_use]
    pub fn unknown_handle_key(&self) -> Secret<32> {
        kdf::labelled_key(Label::UnknownHandle, &self.verification, &[])
    }
}

impl std::fmt::Debug for ServerSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerSecrets(secret)")
    }
}

fn take_key(bytes: &[u8]) -> Result<(Secret<32>, &[u8]), SecretsError> {
    let (key, rest) = bytes.split_at_checked(KEY_BYTES).ok_or(SecretsError)?;
    Ok((Secret::try_from(key).map_err(|_| SecretsError)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::{Random, RandomRng};

    struct Counting;
    impl Random for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            for (index, byte) in bytes.iter_mut().enumerate() {
                *byte = index as u8 | 1;
            }
        }
    }

    #[test]
    fn secrets_survive_storing_and_damage_is_noticed() {
        let secrets = ServerSecrets::generate(&mut RandomRng(&Counting));
        let bytes = secrets.to_secret_bytes();
        let read = ServerSecrets::from_secret_bytes(&bytes).unwrap();
        assert!(read.to_secret_bytes().ct_eq(&bytes));
        for cut in [0, 10, MAGIC.len() + 40, bytes.len() - 1] {
            let damaged = SecretBytes::copy_of(&bytes.expose()[..cut]);
            assert!(ServerSecrets::from_secret_bytes(&damaged).is_err(), "{cut}");
        }
        assert_eq!(format!("{read:?}"), "ServerSecrets(secret)");
    }
}
