//! Telling the operator of a message, by the command line, with the real server and what its operator then finds.

use halcyon_crypto::{CompactKey, VerifyingKey};
use halcyon_directory::report::{Report, SignedReport};
use halcyon_server_store::directory::ReportsFile;
use halcyon_types::Timestamp;
use serde_json::{Value, json};

use crate::world::{World, text};

impl World {
    /// What the operator finds: names, and what verifies by the key of the device that said it.
    fn reports(&self) -> Vec<(String, Report)> {
        let mut found = Vec::new();
        let each = |kept: halcyon_server_store::directory::KeptReport| {
            let key = VerifyingKey::from_compact(&CompactKey::from_bytes(kept.device_key)).unwrap();
            let signed = SignedReport::verify(kept.signed, &key).unwrap();
            found.push((kept.id.to_hex(), signed.report().clone()));
        };
        ReportsFile::open(&self.data()).unwrap().each(Timestamp::from_millis(1), each).unwrap();
        found
    }
}

/// What is shown is what is told.
fn same(draft: &Value, report: &Report) {
    let parts: Vec<Value> = report
        .parts
        .iter()
        .map(|part| json!({ "kind": part.kind, "text": part.text, "earlier": part.earlier }))
        .collect();
    let told = json!({
        "type": "report-draft", "server": "localhost", "account": report.account.to_hex(), "device": report.device.to_hex(),
        "reported_ms": report.reported.as_millis(), "note": report.note, "message": report.message.to_hex(),
        "sender": report.sender.as_uri(), "sender_account": report.sender_account.to_hex(),
        "sender_device": report.sender_device.to_hex(), "recipient": report.recipient.as_ref().map(|one| one.as_uri()),
        "suite": report.suite.map(|suite| suite.as_u32()), "sent_ms": report.sent.as_millis(),
        "received_ms": report.received.as_millis(), "subject": report.subject, "parts": parts,
    });
    assert_eq!(draft, &told);
}

/// ACC-60 to ACC-64: alice sees what she would tell, says yes, and the operator has exactly that, and nobody else anything; without a
/// yes nothing leaves.
#[test]
fn alice_tells_the_operator_of_a_message() {
    let world = World::with(|settings| settings.limits.reports_per_day = 4);
    let alice = world.registered("alice", "phone");
    let mallory = world.registered("mallory", "phone");
    let carol = world.registered("carol", "phone");
    let sent =
        mallory.json(&["send", &alice.handle, &carol.handle, "--text", "you are \u{202e}bad", "--subject", "you"]);
    let id = sent[0]["message"]["id"].as_str().unwrap();
    mallory.json(&["edit", id, "--text", "you are worse\nthan that"]);
    mallory.json(&["send", &alice.handle, "--location", "52.5163,13.3777,here"]);
    alice.json(&["listen", "--count", "2", "--for", "60"]);
    alice.json(&["listen", "--for", "5"]);

    // Without a yes, nothing.
    let (code, said) = alice.fails(&["report", id, "--note", "again"]);
    assert!(code == 1 && said.contains("tell the operator of localhost all of this, unencrypted?"), "{said}");
    assert!(world.reports().is_empty());

    let lines = alice.json(&["report", id, "--note", "again", "--yes"]);
    let [(name, report)] = <[_; 1]>::try_from(world.reports()).unwrap();
    same(&lines[0], &report);
    assert_eq!((&lines[1]["type"], &lines[1]["report"]), (&"reported".into(), &name.as_str().into()));
    let day = 24 * 3_600_000;
    let kept = lines[1]["kept_until_ms"].as_u64().unwrap() - report.reported.as_millis();
    assert!((90 * day - 60_000..=90 * day + 60_000).contains(&kept), "{kept}");
    assert_eq!(report.sender.address(), mallory.handle);
    assert_eq!(report.recipient.as_ref().map(|handle| handle.address()), Some(alice.handle.as_str()));
    assert_eq!((report.subject.as_str(), report.note.as_str()), ("you", "again"));
    assert_eq!((report.parts[0].kind.as_str(), report.parts[0].text.as_str()), ("text", "you are worse\nthan that"));
    assert_eq!(report.parts[0].earlier, ["you are \u{fffd}bad"]);
    let everything = lines[0].to_string();
    assert!(!everything.contains("carol"), "who else got it reported nothing: {everything}");

    // Somebody who reads the words says yes by hand; a place is a place.
    let place = alice.json(&["history", &mallory.handle]).pop().unwrap();
    let mut command = alice.start(&["report", &place["number"].to_string()]);
    command.line("the place", |line| line == "    location    here");
    command.says("all of this, unencrypted? yes or no");
    command.type_line("yes");
    command.end_well();
    let (_, second) = world.reports().pop().unwrap();
    assert_eq!(
        (second.parts[0].kind.as_str(), second.parts[0].text.as_str()),
        ("location", "here\ngeo:52.5163,13.3777")
    );

    // Said again, it is the same report.
    let again = alice.json(&["report", id, "--yes"]);
    assert_eq!(again[1]["report"], name.as_str());
    assert_eq!(world.reports().len(), 2);

    // Nobody but the operator learns of it.
    let heard = mallory.json(&["listen", "--for", "3"]);
    assert!(
        !heard.iter().any(|line| ["message", "alert", "act"].contains(&line["type"].as_str().unwrap())),
        "{heard:?}"
    );

    // What cannot be reported.
    let (code, said) = mallory.fails(&["report", id, "--yes"]);
    assert!(code == 1 && said.contains("your own account's"), "{said}");
    let (code, said) = alice.fails(&["report", id, "--yes", "--note", &"n".repeat(2_001)]);
    assert!(code == 1 && said.contains("2000 bytes"), "{said}");
    let (code, said) = alice.fails(&["report", "99", "--yes"]);
    assert!(code == 1 && said.contains("no message"), "{said}");
    alice.json(&["report", id, "--yes"]);
    let (code, said) = alice.fails(&["report", id, "--yes"]);
    assert!(code == 5, "{said}");
    alice.json(&["delete", id]);
    let (code, _) = alice.fails(&["report", id, "--yes"]);
    assert_eq!(code, 1);
    let words = text(&alice.run(&["report", "--help"]).stdout);
    assert!(words.contains("operator"), "{words}");
}
