//! Servers and clients that are killed at random moments.

use crate::programs::{PERSON, halcyond};

/// I10, I3, COU-41: whenever the server is killed, what it accepted is delivered, and nothing is shown twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let report = halcyon_crash::kills::run(&halcyond(), folder.path(), 5, &[]).await.unwrap();
    assert!(report.is_clean(), "{report}");
}

/// I1, I2, SND-2, RCV-4: whenever a client is killed, what its person typed is sent once, and what came is shown once.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_killed_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let report = halcyon_crash::client_kills::run(&halcyond(), PERSON.as_ref(), folder.path(), 6, &[]).await.unwrap();
    assert!(report.is_clean(), "{report}");
}
