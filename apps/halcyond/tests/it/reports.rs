//! `halcyond reports`: what an operator reads and drops, beside a server that runs and without one.

use std::path::Path;
use std::process::Command;

use halcyon_crypto::{Secret, SigningKey};
use halcyon_directory::device_id;
use halcyon_directory::report::{Report, ReportedPart, SignedReport};
use halcyon_server::ports::{NewReport, ReportKept, ReportRoom};
use halcyon_server_store::directory::{DirectoryDb, LastShutdown};
use halcyon_types::{AccountId, DeviceId, Duration, Handle, MessageId, ReportId, SuiteId, Timestamp};
use serde_json::Value;

use crate::process::{Server, development, fails, halcyond};

/// A day in 2036: what is kept does not expire while the test runs, and prints the same on any day.
const STORED: Timestamp = Timestamp::from_millis(2_085_978_896_000);

fn key() -> SigningKey {
    let key = |byte| SigningKey::from_secret(&Secret::fill_with(|bytes| *bytes = [byte; 32]));
    (7..).find_map(|byte| key(byte).ok()).unwrap()
}

fn signed(message: u8, text: &str) -> (SigningKey, SignedReport) {
    let key = key();
    let part = |text: &str, earlier: &[&str]| ReportedPart {
        kind: "text".to_owned(),
        text: text.to_owned(),
        earlier: earlier.iter().map(|said| (*said).to_owned()).collect(),
    };
    let report = Report {
        account: AccountId::from_bytes([1; 16]),
        device: device_id(key.verifying_key().compact()),
        reported: STORED,
        note: "the third time".to_owned(),
        message: MessageId::from_bytes([message; 16]),
        sender: Handle::parse("mallory@example.org").unwrap(),
        sender_account: AccountId::from_bytes([2; 16]),
        sender_device: DeviceId::from_bytes([3; 16]),
        recipient: Some(Handle::parse("alice@example.org").unwrap()),
        suite: Some(SuiteId::PQ3),
        sent: STORED,
        received: STORED,
        subject: String::new(),
        parts: vec![part(text, &["bad"])],
    };
    let signed = SignedReport::sign(report, &key).unwrap();
    (key, signed)
}

/// Puts a report where the server has it.
fn keep(data: &Path, message: u8, text: &str, tamper: impl FnOnce(&mut NewReport)) {
    let (key, signed) = signed(message, text);
    let report = signed.report();
    let mut new = NewReport {
        id: ReportId::from_bytes([message; 16]),
        account: report.account,
        device: report.device,
        device_key: *key.verifying_key().compact().as_bytes(),
        message: report.message,
        sender_device: report.sender_device,
        signed: signed.encode(),
        stored: STORED,
        expires: STORED.plus(Duration::from_days(90)),
    };
    tamper(&mut new);
    let db = DirectoryDb::open(data, LastShutdown::Clean).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let kept = runtime.block_on(db.ports().reports.keep(new, ReportRoom { per_account: 9, in_all: 9 })).unwrap();
    assert!(matches!(kept, ReportKept::Kept(_)));
}

fn reports(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = halcyond();
    command.arg("reports").args(arguments).arg("--data-folder").arg(folder.join("data"));
    command
}

fn prints(folder: &Path, arguments: &[&str]) -> String {
    let output = reports(folder, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// ACC-63: an operator lists, shows and drops reports while the server runs; one that somebody changed in the file says nothing.
#[test]
fn an_operator_reads_and_drops_reports() {
    let folder = tempfile::tempdir().unwrap();
    let (code, words) = fails(reports(folder.path(), &["list"]));
    assert!(code == 1 && words.contains("directory.db"), "{words}");
    drop(Server::start(development(folder.path())));
    let data = folder.path().join("data");
    keep(&data, 1, "worse\nand worse", |_| {});
    keep(&data, 2, &"so long ".repeat(20), |_| {});
    // Changed by somebody who has not the device's key; and claimed to be another account's.
    keep(&data, 3, "what Mallory never said", |new| {
        let mut bytes = new.signed.to_vec();
        let at = bytes.windows(5).position(|window| window == b"never").unwrap();
        bytes[at..at + 5].copy_from_slice(b"often");
        new.signed = bytes.into();
    });
    keep(&data, 4, "somebody else's", |new| new.account = AccountId::from_bytes([9; 16]));

    let mut server = Server::start(development(folder.path()));
    insta::assert_snapshot!("reports_list", prints(folder.path(), &["list"]));
    let first = "01".repeat(16);
    insta::assert_snapshot!("reports_show", prints(folder.path(), &["show", &first]));
    let mut json: Value = serde_json::from_str(&prints(folder.path(), &["show", "--output", "json", &first])).unwrap();
    // What was signed is there for whoever wants to check it; a signature is another one each time.
    let bytes = hex::decode(json["signed"].take().as_str().unwrap()).unwrap();
    assert!(SignedReport::verify(bytes.into(), key().verifying_key()).is_ok());
    insta::assert_snapshot!("reports_json", serde_json::to_string_pretty(&json).unwrap());
    let changed = prints(folder.path(), &["show", &"03".repeat(16), &"04".repeat(16)]);
    assert!(changed.matches("the file was changed").count() == 2 && !changed.contains("Mallory"), "{changed}");

    assert_eq!(
        prints(folder.path(), &["drop", &first, &"03".repeat(16)]),
        format!("{first} dropped\n{} dropped\n", "03".repeat(16))
    );
    for arguments in [&["drop", first.as_str()][..], &["show", first.as_str()]] {
        let (code, words) = fails(reports(folder.path(), arguments));
        assert!(code == 1 && words.contains("there is no report"), "{words}");
    }
    let (code, words) = fails(reports(folder.path(), &["show", "nonsense"]));
    assert!(code == 1 && words.contains("hexadecimal"), "{words}");
    assert!(server.end_by("TERM").0.success());
    let left = prints(folder.path(), &["list", "--output", "json"]);
    assert_eq!(left.lines().count(), 2, "{left}");
    let dropped = prints(folder.path(), &["drop", "--output", "json", &"02".repeat(16)]);
    assert_eq!(dropped, format!("{{\"report\":\"{}\",\"type\":\"report-dropped\"}}\n", "02".repeat(16)));
    // The server goes on with what was left to it.
    assert_eq!(Server::start(development(folder.path())).get("/readyz").0, 200);
}
