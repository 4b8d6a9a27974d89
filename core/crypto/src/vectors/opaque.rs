//! OPAQUE: RFC 9807's vectors for our group, hash and key exchange, with its identity stretching in place of Argon2id.
//!
//! Our functions fix Argon2id, our context and no identities (ACC-30), so they give the published bytes up to where those
//! enter: both requests, the registration response, and the answer to a sign-in but for its MAC. The rest goes through
//! opaque-ke with the parameters of the vectors and our [`Oprf`] and [`Exchange`].

use opaque_ke::{
    ClientLogin, ClientLoginFinishParameters, ClientRegistration, ClientRegistrationFinishParameters,
    CredentialFinalization, CredentialRequest, CredentialResponse, Identifiers, RegistrationRequest,
    RegistrationResponse, RegistrationUpload, ServerLogin, ServerLoginParameters, ServerRegistration, ServerSetup,
    ksf::Identity,
};

use super::{
    rfc9807::{FAKE_1, REAL_1, REAL_2, Vector},
    unhex,
};
use crate::{
    opaque::{self, Exchange, Oprf, PasswordRecord},
    rng::{CryptoRng, RngCore, RngError},
};

/// The configuration of the vectors.
struct Rfc;

impl opaque_ke::CipherSuite for Rfc {
    type OprfCs = Oprf;
    type KeyExchange = Exchange;
    type Ksf = Identity;
}

const CONTEXT: &[u8] = b"OPAQUE-POC";
/// Bytes of the MAC at the end of KE2, into which the context enters.
const MAC_BYTES: usize = 64;

/// A generator that says what the vector says, in the order of the draws, and nothing more.
struct Script(Vec<u8>);

impl Script {
    fn new(draws: &[&str]) -> Self {
        Self(draws.iter().flat_map(|draw| unhex(draw)).collect())
    }

    /// A scalar is drawn as 64 bytes, little-endian, and reduced.
    fn blind(blind: &str, then: &[&str]) -> Self {
        let zeros = "00".repeat(32);
        Self::new(&[&[blind, &zeros], then].concat())
    }
}

impl RngCore for Script {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        assert!(out.len() <= self.0.len(), "the vector has no more randomness");
        out.copy_from_slice(&self.0.drain(..out.len()).collect::<Vec<u8>>());
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), RngError> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for Script {}

impl Vector {
    /// Seed, private key, and the public key that stands in for an unknown user's: the stored form of a server's secret.
    fn setup(&self) -> Vec<u8> {
        let stand_in = if self.client_public_key.is_empty() { self.server_public_key } else { self.client_public_key };
        unhex(&[self.oprf_seed, self.server_private_key, stand_in].concat())
    }

    /// What the server draws at a sign-in: a masking key for an unknown user, drawn for known ones too, and its own part.
    fn server_draws(&self) -> Script {
        let drawn_anyway = "00".repeat(64);
        let masking_key = if self.masking_key.is_empty() { &drawn_anyway } else { self.masking_key };
        Script::new(&[masking_key, self.masking_nonce, self.server_keyshare_seed, self.server_nonce])
    }

    fn client_draws(&self) -> Script {
        Script::blind(self.blind_login, &[self.client_keyshare_seed, self.client_nonce])
    }
}

/// ACC-30: what our own functions say, byte for byte.
#[test]
fn rfc_9807_through_our_functions() {
    let v = REAL_1;
    let (id, password) = (unhex(v.credential_identifier), unhex(v.password));
    let setup = opaque::ServerSetup::from_secret_bytes(&v.setup()).unwrap();

    let (_, request) =
        opaque::ClientRegistration::start(&mut Script::blind(v.blind_registration, &[]), &password).unwrap();
    assert_eq!(request, unhex(v.registration_request));
    assert_eq!(setup.registration_response(&request, &id).unwrap(), unhex(v.registration_response));
    let record = PasswordRecord::from_upload(&unhex(v.registration_upload)).unwrap();

    let (_, ke1) = opaque::ClientLogin::start(&mut v.client_draws(), &password).unwrap();
    assert_eq!(ke1, unhex(v.ke1));
    let (_, ke2) = opaque::ServerLogin::start(&mut v.server_draws(), &setup, Some(&record), &ke1, &id).unwrap();
    let published = unhex(v.ke2);
    assert_eq!(ke2.len(), published.len());
    let without_mac = ke2.len() - MAC_BYTES;
    assert_eq!(ke2[..without_mac], published[..without_mac]);
    assert_ne!(ke2[without_mac..], published[without_mac..], "our context is another");
}

/// ACC-40: an unknown user's answer has the published bytes as well.
#[test]
fn rfc_9807_for_an_unknown_user() {
    let v = FAKE_1;
    let (id, ke1) = (unhex(v.credential_identifier), unhex(v.ke1));
    let setup = opaque::ServerSetup::from_secret_bytes(&v.setup()).unwrap();
    let (_, ke2) = opaque::ServerLogin::start(&mut v.server_draws(), &setup, None, &ke1, &id).unwrap();
    let without_mac = ke2.len() - MAC_BYTES;
    assert_eq!(ke2[..without_mac], unhex(v.ke2)[..without_mac]);

    let setup = ServerSetup::<Rfc>::deserialize(&v.setup()).unwrap();
    let (client, server) = (unhex(v.client_identity), unhex(v.server_identity));
    let identifiers = Identifiers { client: Some(&client), server: Some(&server) };
    let parameters = ServerLoginParameters { context: Some(CONTEXT), identifiers };
    let request = CredentialRequest::deserialize(&ke1).unwrap();
    let start = ServerLogin::<Rfc>::start(&mut v.server_draws(), &setup, None, request, &id, parameters).unwrap();
    assert_eq!(start.message.serialize().to_vec(), unhex(v.ke2));
}

/// Registration and sign-in to the end, without identities and with them.
#[test]
fn rfc_9807_to_the_end() {
    for v in [REAL_1, REAL_2] {
        let (id, password) = (unhex(v.credential_identifier), unhex(v.password));
        let names = (unhex(v.client_identity), unhex(v.server_identity));
        let named = |name: &'static [u8]| (!name.is_empty()).then_some(name);
        let (client, server): (&'static [u8], &'static [u8]) = (names.0.leak(), names.1.leak());
        let identifiers = || Identifiers { client: named(client), server: named(server) };
        let setup = ServerSetup::<Rfc>::deserialize(&v.setup()).unwrap();

        let draws = &mut Script::blind(v.blind_registration, &[]);
        let registration = ClientRegistration::<Rfc>::start(draws, &password).unwrap();
        assert_eq!(registration.message.serialize().to_vec(), unhex(v.registration_request));
        let request = RegistrationRequest::deserialize(&unhex(v.registration_request)).unwrap();
        let answer = ServerRegistration::<Rfc>::start(&setup, request, &id).unwrap().message;
        assert_eq!(answer.serialize().to_vec(), unhex(v.registration_response));
        let answer = RegistrationResponse::deserialize(&unhex(v.registration_response)).unwrap();
        let parameters = ClientRegistrationFinishParameters::new(identifiers(), None);
        let draws = &mut Script::new(&[v.envelope_nonce]);
        let registered = registration.state.finish(draws, &password, answer, parameters).unwrap();
        assert_eq!(registered.message.serialize().to_vec(), unhex(v.registration_upload));
        assert_eq!(registered.export_key.to_vec(), unhex(v.export_key));
        let record =
            ServerRegistration::finish(RegistrationUpload::<Rfc>::deserialize(&unhex(v.registration_upload)).unwrap());

        let login = ClientLogin::<Rfc>::start(&mut v.client_draws(), &password).unwrap();
        assert_eq!(login.message.serialize().to_vec(), unhex(v.ke1));
        let request = CredentialRequest::deserialize(&unhex(v.ke1)).unwrap();
        let parameters = || ServerLoginParameters { context: Some(CONTEXT), identifiers: identifiers() };
        let mut draws = v.server_draws();
        let start = ServerLogin::start(&mut draws, &setup, Some(record), request, &id, parameters()).unwrap();
        assert_eq!(start.message.serialize().to_vec(), unhex(v.ke2));
        let answer = CredentialResponse::deserialize(&unhex(v.ke2)).unwrap();
        let finish_parameters = ClientLoginFinishParameters::new(Some(CONTEXT), identifiers(), None);
        let finish = login.state.finish(&mut Script::new(&[]), &password, answer, finish_parameters).unwrap();
        assert_eq!(finish.message.serialize().to_vec(), unhex(v.ke3));
        assert_eq!(finish.session_key.to_vec(), unhex(v.session_key));
        assert_eq!(finish.export_key.to_vec(), unhex(v.export_key));
        let ke3 = CredentialFinalization::deserialize(&unhex(v.ke3)).unwrap();
        let finished = start.state.finish(ke3, parameters()).unwrap();
        assert_eq!(finished.session_key.to_vec(), unhex(v.session_key));
    }
}
