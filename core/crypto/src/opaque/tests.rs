use rand::{SeedableRng, rngs::StdRng};

use super::*;

const CHEAP: PasswordParams = PasswordParams::dangerous_cheap();

fn rng() -> StdRng {
    StdRng::seed_from_u64(5)
}

fn register(setup: &ServerSetup, password: &[u8], id: &[u8]) -> (PasswordRecord, Secret<64>) {
    let (client, request) = ClientRegistration::start(&mut rng(), password).unwrap();
    let response = setup.registration_response(&request, id).unwrap();
    let registered = client.finish(&mut rng(), &response, CHEAP).unwrap();
    (PasswordRecord::from_upload(&registered.upload).unwrap(), registered.export_key)
}

/// ACC-30: Alice registers, signs in, and both ends hold one key that the server never saw a password for.
#[test]
fn alice_signs_in_with_her_password() {
    let setup = ServerSetup::generate(&mut rng());
    let (record, export_key) = register(&setup, b"correct horse", b"alice");
    let (client, ke1) = ClientLogin::start(&mut rng(), b"correct horse").unwrap();
    let (server, ke2) = ServerLogin::start(&mut rng(), &setup, Some(&record), &ke1, b"alice").unwrap();
    let logged_in = client.finish(&mut rng(), &ke2, CHEAP).unwrap();
    let server = ServerLogin::from_secret_bytes(server.to_secret_bytes().expose()).unwrap();
    let session_key = server.finish(&logged_in.finalization).unwrap();
    assert!(session_key.ct_eq(&logged_in.session_key));
    assert!(export_key.ct_eq(&logged_in.export_key));
}

/// ACC-40: a wrong password and an unknown user look the same, to the byte count, at every step.
#[test]
fn unknown_users_look_like_wrong_passwords() {
    let setup = ServerSetup::generate(&mut rng());
    let (record, _) = register(&setup, b"correct horse", b"alice");
    let (client, ke1) = ClientLogin::start(&mut rng(), b"wrong").unwrap();
    let (_, known) = ServerLogin::start(&mut rng(), &setup, Some(&record), &ke1, b"alice").unwrap();
    assert_eq!(client.finish(&mut rng(), &known, CHEAP).unwrap_err(), OpaqueError::NotAccepted);

    let (client, ke1) = ClientLogin::start(&mut rng(), b"wrong").unwrap();
    let (server, unknown) = ServerLogin::start(&mut rng(), &setup, None, &ke1, b"nobody").unwrap();
    assert_eq!(unknown.len(), known.len());
    assert_eq!(client.finish(&mut rng(), &unknown, CHEAP).unwrap_err(), OpaqueError::NotAccepted);
    assert_eq!(server.finish(&[0; 64]).unwrap_err(), OpaqueError::NotAccepted);
}

/// The cost of guessing is part of the password's meaning: other parameters are another password.
#[test]
fn parameters_are_part_of_the_password() {
    let setup = ServerSetup::generate(&mut rng());
    let (record, _) = register(&setup, b"correct horse", b"alice");
    let (client, ke1) = ClientLogin::start(&mut rng(), b"correct horse").unwrap();
    let (_, ke2) = ServerLogin::start(&mut rng(), &setup, Some(&record), &ke1, b"alice").unwrap();
    let other = PasswordParams::from_bytes([0, 0, 0, 16, 0, 0, 0, 1]).unwrap();
    assert_eq!(client.finish(&mut rng(), &ke2, other).unwrap_err(), OpaqueError::NotAccepted);
}

#[test]
fn a_server_with_another_secret_is_not_accepted() {
    let (setup, other) = (ServerSetup::generate(&mut rng()), ServerSetup::generate(&mut StdRng::seed_from_u64(6)));
    let (record, _) = register(&setup, b"correct horse", b"alice");
    let (client, ke1) = ClientLogin::start(&mut rng(), b"correct horse").unwrap();
    let (_, ke2) = ServerLogin::start(&mut rng(), &other, Some(&record), &ke1, b"alice").unwrap();
    assert_eq!(client.finish(&mut rng(), &ke2, CHEAP).unwrap_err(), OpaqueError::NotAccepted);
}

#[test]
fn malformed_messages_are_errors() {
    let setup = ServerSetup::generate(&mut rng());
    for bytes in [&[][..], &[0; 31], &[0xff; 32], &[0xff; 96], &[0xff; 192], &[0xff; 320]] {
        assert_eq!(setup.registration_response(bytes, b"x").unwrap_err(), OpaqueError::Malformed);
        assert_eq!(PasswordRecord::from_upload(bytes).unwrap_err(), OpaqueError::Malformed);
        assert_eq!(PasswordRecord::from_secret_bytes(bytes).unwrap_err(), OpaqueError::Malformed);
        assert_eq!(ServerSetup::from_secret_bytes(bytes).map(|_| ()).unwrap_err(), OpaqueError::Malformed);
        assert_eq!(
            ServerLogin::start(&mut rng(), &setup, None, bytes, b"x").map(|_| ()).unwrap_err(),
            OpaqueError::Malformed
        );
        let (client, _) = ClientRegistration::start(&mut rng(), b"p").unwrap();
        assert_eq!(client.finish(&mut rng(), bytes, CHEAP).unwrap_err(), OpaqueError::Malformed);
        let (client, _) = ClientLogin::start(&mut rng(), b"p").unwrap();
        assert_eq!(client.finish(&mut rng(), bytes, CHEAP).unwrap_err(), OpaqueError::Malformed);
    }
    for password in [&[][..], &[0; PASSWORD_BYTES_MAX + 1]] {
        assert_eq!(ClientLogin::start(&mut rng(), password).map(|_| ()).unwrap_err(), OpaqueError::PasswordLength);
    }
    assert!(ClientLogin::start(&mut rng(), &[0; PASSWORD_BYTES_MAX]).is_ok(), "exactly so many");
}

#[test]
fn the_servers_secret_survives_storing() {
    let setup = ServerSetup::generate(&mut rng());
    let (record, _) = register(&setup, b"correct horse", b"alice");
    let setup = ServerSetup::from_secret_bytes(setup.to_secret_bytes().expose()).unwrap();
    let record = PasswordRecord::from_secret_bytes(record.to_secret_bytes().expose()).unwrap();
    let (client, ke1) = ClientLogin::start(&mut rng(), b"correct horse").unwrap();
    let (_, ke2) = ServerLogin::start(&mut rng(), &setup, Some(&record), &ke1, b"alice").unwrap();
    client.finish(&mut rng(), &ke2, CHEAP).unwrap();
}

#[test]
fn debug_shows_no_secret() {
    let setup = ServerSetup::generate(&mut rng());
    let (record, _) = register(&setup, b"p", b"alice");
    let (registration, _) = ClientRegistration::start(&mut rng(), b"p").unwrap();
    let (login, ke1) = ClientLogin::start(&mut rng(), b"p").unwrap();
    let (server, ke2) = ServerLogin::start(&mut rng(), &setup, Some(&record), &ke1, b"alice").unwrap();
    insta::assert_snapshot!(
        format!("{setup:?} {record:?} {registration:?} {login:?} {server:?}"),
        @"opaque::ServerSetup(secret) opaque::PasswordRecord(secret) opaque::ClientRegistration(secret) opaque::ClientLogin(secret) opaque::ServerLogin(secret)"
    );
    let mut logged_in = login.finish(&mut rng(), &ke2, CHEAP).unwrap();
    logged_in.finalization.clear();
    insta::assert_snapshot!(format!("{logged_in:?}"), @"ClientLoggedIn { finalization: [], session_key: Secret(64 bytes), export_key: Secret(64 bytes) }");
}
