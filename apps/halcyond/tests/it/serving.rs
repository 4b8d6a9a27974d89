//! `halcyond serve`: start, health, end, and every way in which a start fails.

use std::net::TcpListener;

use crate::process::{END_MAX, Server, development, fails, halcyond};

/// COU-56: an operator starts a server, looks at its health, and ends it in time.
#[test]
fn a_server_answers_for_its_health_and_ends_in_time() {
    let folder = tempfile::tempdir().unwrap();
    for signal in ["TERM", "INT"] {
        let mut server = Server::start(development(folder.path()));
        assert_eq!(server.get("/livez").0, 200);
        assert_eq!(server.get("/readyz").0, 200);
        let (status, metrics) = server.get("/metrics");
        assert_eq!(status, 200);
        assert!(metrics.contains("halcyon_build_info{version="), "{metrics}");
        let (status, took, log) = server.end_by(signal);
        assert!(status.success(), "{status}: {log}");
        assert!(took < END_MAX, "{took:?}");
    }
}

#[test]
fn a_second_server_on_the_same_folder_is_refused_and_the_first_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let first = Server::start(development(folder.path()));
    let (code, words) = fails(development(folder.path()));
    assert_eq!(code, 3, "{words}");
    assert!(words.contains(folder.path().join("data").to_str().unwrap()), "names the folder: {words}");
    assert_eq!(first.get("/readyz").0, 200);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let mut command = without(development(folder.path()), "--data-folder");
    command.env("HALCYOND_DATA_FOLDER", file.join("below"));
    let (code, words) = fails(command);
    assert_eq!(code, 3, "{words}");
    assert!(words.contains("a-file"), "{words}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = without(development(folder.path()), "--listen-courier");
    command.args(["--listen-courier", &address]);
    let (code, words) = fails(command);
    assert_eq!(code, 3, "{words}");
    assert!(words.contains(&address), "{words}");
}

#[test]
fn a_bad_configuration_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("halcyond.toml");
    std::fs::write(&file, "data_folder = \"data\"\npublic_hots = \"localhost\"\n[log]\nlevel = \"loud\"\n").unwrap();
    let mut command = halcyond();
    command.args(["serve", "--config"]).arg(&file);
    let (code, words) = fails(command);
    assert_eq!(code, 1, "{words}");
    for expected in [
        "public_hots: there is no such setting",
        "Did you mean public_host?",
        "public_host is not set",
        "\"loud\" is not usable",
    ] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
    assert!(!folder.path().join("data").exists());
}

#[test]
fn a_certificate_that_is_none_is_the_operators_to_mend() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("not-a-certificate.pem");
    std::fs::write(&file, "hello").unwrap();
    let mut command = without(development(folder.path()), "--tls-development");
    command.arg("--tls-certificate-file").arg(&file).arg("--tls-private-key-file").arg(&file);
    let (code, words) = fails(command);
    assert_eq!(code, 1, "{words}");
    assert!(words.contains("not-a-certificate.pem"), "{words}");
}

/// Returns the command without a flag and its value.
fn without(command: std::process::Command, flag: &str) -> std::process::Command {
    let arguments: Vec<_> = command.get_args().map(std::ffi::OsStr::to_owned).collect();
    let mut other = halcyond();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        if argument == flag {
            arguments.next();
        } else {
            other.arg(argument);
        }
    }
    other
}
