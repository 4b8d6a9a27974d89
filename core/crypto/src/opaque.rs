//! Passwords that never reach the server: OPAQUE (RFC 9807) with ristretto255, SHA-512, 3DH and Argon2id.
//!
//! Owns the choice of the cipher suite and the bytes of its messages. Both halves are here, side by side:
//! registration ([`ClientRegistration`] and [`ServerSetup::registration_response`]) and sign-in ([`ClientLogin`] and
//! [`ServerLogin`]). Does not know accounts, handles, or where a password record is stored.
//!
//! - Messages are bytes; a malformed one is an error, never a panic.
//! - An unknown user's answer has the form, the size and the work of a known one's (RFC 9807 section 10.9).
//! - The client decides how hard its password is to guess: [`PasswordParams`] is an argument, and both registration
//!   and sign-in must be given the same.

use std::fmt;

use opaque_ke::{
    ClientLoginFinishParameters, ClientRegistrationFinishParameters, CredentialFinalization, CredentialRequest,
    CredentialResponse, Identifiers, RegistrationRequest, RegistrationResponse, RegistrationUpload, Ristretto255,
    ServerLoginParameters, ServerRegistration, TripleDh, generic_array::GenericArray,
};

use crate::{
    labels::fixed::OPAQUE_CONTEXT,
    password::PasswordParams,
    rng::Rng,
    secret::{Secret, SecretBytes},
};

/// Longest password in bytes. RFC 9807's hash to the group takes less than 64 KiB; nobody types more than this.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// ACC-30: the one configuration that we speak.
struct Suite;

/// Its group.
pub(crate) type Oprf = Ristretto255;
/// Its key exchange.
pub(crate) type Exchange = TripleDh<Ristretto255, sha2::Sha512>;

impl opaque_ke::CipherSuite for Suite {
    type OprfCs = Oprf;
    type KeyExchange = Exchange;
    type Ksf = argon2::Argon2<'static>;
}

/// Why a step of the password protocol did not succeed. Nothing was stored or learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpaqueError {
    /// The peer sent bytes that are not the message expected now.
    #[error("malformed password message")]
    Malformed,
    /// The password is wrong or the user is unknown; neither side can tell which.
    #[error("password not accepted")]
    NotAccepted,
    /// The caller's password is empty or longer than [`PASSWORD_BYTES_MAX`].
    #[error("password is empty or too long")]
    PasswordLength,
}

/// The server's long-term secret. Losing it loses every password; it is stored like a private key.
pub struct ServerSetup(opaque_ke::ServerSetup<Suite>);

impl ServerSetup {
    /// Makes the secret of a new server.
    pub fn generate(mut rng: &mut dyn Rng) -> Self {
        Self(opaque_ke::ServerSetup::new(&mut rng))
    }

    /// Reads what [`to_secret_bytes`](Self::to_secret_bytes) wrote.
    ///
    /// # Errors
    /// [`OpaqueError::Malformed`].
    pub fn from_secret_bytes(bytes: &[u8]) -> Result<Self, OpaqueError> {
        opaque_ke::ServerSetup::deserialize(bytes).map(Self).map_err(|_| OpaqueError::Malformed)
    }

    /// Returns the secret, to be stored under protection.
    #[must_use]
    pub fn to_secret_bytes(&self) -> SecretBytes {
        secret_bytes(self.0.serialize())
    }

    /// Registration, second message: answers a RegistrationRequest with a RegistrationResponse. No state is kept.
    ///
    /// `credential_id` names the user in the server's records, now and at every sign-in.
    ///
    /// # Errors
    /// [`OpaqueError::Malformed`].
    pub fn registration_response(&self, request: &[u8], credential_id: &[u8]) -> Result<Vec<u8>, OpaqueError> {
        let request = RegistrationRequest::deserialize(request).map_err(|_| OpaqueError::Malformed)?;
        let start =
            ServerRegistration::<Suite>::start(&self.0, request, credential_id).map_err(|_| OpaqueError::Malformed)?;
        Ok(start.message.serialize().to_vec())
    }
}

impl fmt::Debug for ServerSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("opaque::ServerSetup(secret)")
    }
}

/// What the server stores for a user: enough to check a password, at a stretching's cost per guess for a thief.
pub struct PasswordRecord(ServerRegistration<Suite>);

impl PasswordRecord {
    /// Registration, last step at the server: takes a RegistrationUpload.
    ///
    /// # Errors
    /// [`OpaqueError::Malformed`].
    pub fn from_upload(upload: &[u8]) -> Result<Self, OpaqueError> {
        let upload = RegistrationUpload::deserialize(upload).map_err(|_| OpaqueError::Malformed)?;
        Ok(Self(ServerRegistration::finish(upload)))
    }

    /// Reads what [`to_secret_bytes`](Self::to_secret_bytes) wrote.
    ///
    /// # Errors
    /// [`OpaqueError::Malformed`].
    pub fn from_secret_bytes(bytes: &[u8]) -> Result<Self, OpaqueError> {
        ServerRegistration::deserialize(bytes).map(Self).map_err(|_| OpaqueError::Malformed)
    }

    /// Returns the record, to be stored under protection.
    #[must_use]
    pub fn to_secret_bytes(&self) -> SecretBytes {
        secret_bytes(self.0.serialize())
    }
}

impl fmt::Debug for PasswordRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("opaque::PasswordRecord(secret)")
    }
}

/// A client between the first and the third message of a registration.
pub struct ClientRegistration {
    state: opaque_ke::ClientRegistration<Suite>,
    password: SecretBytes,
}

/// What a client has when its registration is done.
#[derive(Debug)]
pub struct ClientRegistered {
    /// The RegistrationUpload to send.
    pub upload: Vec<u8>,
    /// A key that only the password's owner can have, the same at each sign-in. The server never learns it.
    pub export_key: Secret<64>,
}

impl ClientRegistration {
    /// Registration, first message: returns the state to keep and the RegistrationRequest to send.
    ///
    /// # Errors
    /// [`OpaqueError::PasswordLength`].
    pub fn start(mut rng: &mut dyn Rng, password: &[u8]) -> Result<(Self, Vec<u8>), OpaqueError> {
        let password = checked(password)?;
        let start = opaque_ke::ClientRegistration::<Suite>::start(&mut rng, password.expose())
            .map_err(|_| OpaqueError::PasswordLength)?;
        let request = start.message.serialize().to_vec();
        Ok((Self { state: start.state, password }, request))
    }

    /// Registration, third message: takes the server's RegistrationResponse. Stretches the password, which takes as
    /// long as `params` say.
    ///
    /// # Errors
    /// [`OpaqueError::Malformed`], also if the server reflected the request.
    pub fn finish(
        self,
        mut rng: &mut dyn Rng,
        response: &[u8],
        params: PasswordParams,
    ) -> Result<ClientRegistered, OpaqueError> {
        let response = RegistrationResponse::deserialize(response).map_err(|_| OpaqueError::Malformed)?;
        let ksf = params.argon2();
        let finish_params = ClientRegistrationFinishParameters::new(Identifiers::default(), Some(&ksf));
        let mut finish = self
            .state
            .finish(&mut rng, self.password.expose(), response, finish_params)
            .map_err(|_| OpaqueError::Malformed)?;
        let upload = finish.message.serialize().to_vec();
        Ok(ClientRegistered { upload, export_key: take_64(&mut finish.export_key) })
    }
}

impl fmt::Debug for ClientRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("opaque::ClientRegistration(secret)")
    }
}

/// A client between the first and the third message of a sign-in.
pub struct ClientLogin {
    state: opaque_ke::ClientLogin<Suite>,
    password: SecretBytes,
}

/// What a client has when its password was right and the server is the one it registered with.
#[derive(Debug)]
pub struct ClientLoggedIn {
    /// The CredentialFinalization (KE3) to send.
    pub finalization: Vec<u8>,
    /// The key that client and server now share.
    pub session_key: Secret<64>,
    /// The key of [`ClientRegistered::export_key`].
    pub export_key: Secret<64>,
}

impl ClientLogin {
    /// Sign-in, first message: returns the state to keep and the CredentialRequest (KE1) to send.
    ///
    /// # Errors
    /// [`OpaqueError::PasswordLength`].
    pub fn start(mut rng: &mut dyn Rng, password: &[u8]) -> Result<(Self, Vec<u8>), OpaqueError> {
        let password = checked(password)?;
        let start = opaque_ke::ClientLogin::<Suite>::start(&mut rng, password.expose())
            .map_err(|_| OpaqueError::PasswordLength)?;
        let request = start.message.serialize().to_vec();
        Ok((Self { state: start.state, password }, request))
    }

    /// Sign-in, third message: takes the server's CredentialResponse (KE2). Stretches the password, which takes as
    /// long as `params` say.
    ///
    /// # Errors
    /// [`OpaqueError::Malformed`]; [`OpaqueError::NotAccepted`] for a wrong password, an unknown user and another
    /// server alike.
    pub fn finish(
        self,
        mut rng: &mut dyn Rng,
        response: &[u8],
        params: PasswordParams,
    ) -> Result<ClientLoggedIn, OpaqueError> {
        let response = CredentialResponse::deserialize(response).map_err(|_| OpaqueError::Malformed)?;
        let ksf = params.argon2();
        let finish_params = ClientLoginFinishParameters::new(Some(OPAQUE_CONTEXT), Identifiers::default(), Some(&ksf));
        let mut finish = self
            .state
            .finish(&mut rng, self.password.expose(), response, finish_params)
            .map_err(|_| OpaqueError::NotAccepted)?;
        Ok(ClientLoggedIn {
            finalization: finish.message.serialize().to_vec(),
            session_key: take_64(&mut finish.session_key),
            export_key: take_64(&mut finish.export_key),
        })
    }
}

impl fmt::Debug for ClientLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("opaque::ClientLogin(secret)")
    }
}

/// The server between the second and the third message of a sign-in.
pub struct ServerLogin(opaque_ke::ServerLogin<Suite>);

impl ServerLogin {
    /// Sign-in, second message: takes KE1 and returns the state to keep and the CredentialResponse (KE2) to send.
    ///
    /// `record` is `None` for an unknown user, who gets an answer that nobody can tell from a known one's; for it to
    /// stay the same over time, `credential_id` must be a function of the name that was asked for (ACC-40).
    ///
    /// # Errors
    /// [`OpaqueError::Malformed`].
    pub fn start(
        mut rng: &mut dyn Rng,
        setup: &ServerSetup,
        record: Option<&PasswordRecord>,
        request: &[u8],
        credential_id: &[u8],
    ) -> Result<(Self, Vec<u8>), OpaqueError> {
        let request = CredentialRequest::deserialize(request).map_err(|_| OpaqueError::Malformed)?;
        let record = record.map(|record| record.0.clone());
        let start =
            opaque_ke::ServerLogin::start(&mut rng, &setup.0, record, request, credential_id, server_parameters())
                .map_err(|_| OpaqueError::Malformed)?;
        Ok((Self(start.state), start.message.serialize().to_vec()))
    }

    /// Sign-in, last step: takes KE3. Success is the proof that the client knew the password.
    ///
    /// # Errors
    /// [`OpaqueError::Malformed`]; [`OpaqueError::NotAccepted`].
    pub fn finish(self, finalization: &[u8]) -> Result<Secret<64>, OpaqueError> {
        let finalization = CredentialFinalization::deserialize(finalization).map_err(|_| OpaqueError::Malformed)?;
        let mut finish = self.0.finish(finalization, server_parameters()).map_err(|_| OpaqueError::NotAccepted)?;
        Ok(take_64(&mut finish.session_key))
    }

    /// Reads what [`to_secret_bytes`](Self::to_secret_bytes) wrote.
    ///
    /// # Errors
    /// [`OpaqueError::Malformed`].
    pub fn from_secret_bytes(bytes: &[u8]) -> Result<Self, OpaqueError> {
        opaque_ke::ServerLogin::deserialize(bytes).map(Self).map_err(|_| OpaqueError::Malformed)
    }

    /// Returns the state, to be kept for the two minutes that a sign-in lives.
    #[must_use]
    pub fn to_secret_bytes(&self) -> SecretBytes {
        secret_bytes(self.0.serialize())
    }
}

impl fmt::Debug for ServerLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("opaque::ServerLogin(secret)")
    }
}

/// ACC-30: our context, and no identities beyond the credential identifier.
fn server_parameters() -> ServerLoginParameters<'static, 'static> {
    ServerLoginParameters { context: Some(OPAQUE_CONTEXT), identifiers: Identifiers::default() }
}

fn checked(password: &[u8]) -> Result<SecretBytes, OpaqueError> {
    if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
        return Err(OpaqueError::PasswordLength);
    }
    Ok(SecretBytes::copy_of(password))
}

/// Moves a serialized state into memory that is wiped, and wipes the array it came in.
fn secret_bytes<L: opaque_ke::generic_array::ArrayLength<u8>>(mut bytes: GenericArray<u8, L>) -> SecretBytes {
    let secret = SecretBytes::copy_of(&bytes);
    zeroize::Zeroize::zeroize(bytes.as_mut_slice());
    secret
}

fn take_64(bytes: &mut [u8]) -> Secret<64> {
    let secret = Secret::fill_with(|out| out.copy_from_slice(bytes));
    zeroize::Zeroize::zeroize(bytes);
    secret
}

#[cfg(test)]
mod tests;
