//! What a person chooses for themselves, on two devices, by the command line alone.

use serde_json::{Value, json};

use crate::linking::linked;
use crate::world::{World, text};

/// OWN-7 to OWN-21, CON-20 to CON-23: names, marks, what was read and deleted, settings; in words, too.
#[test]
fn a_person_chooses_on_one_device_for_both() {
    let world = World::new();
    let phone = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    let laptop = linked(&world, &phone, "alice");
    let card = "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Bob B\r\n uilder\r\nEMAIL:bob@example.org\r\nEND:VCARD\r\n";
    let book = world.file("people.vcf", card);
    let imported = phone.json(&["contacts", "import", book.to_str().unwrap()]);
    assert_eq!(imported, [json!({"type": "imported", "contacts": 1, "passed_over": 0})]);
    let (code, said) = phone.fails(&["contacts", "import", phone.profile().join("profile.key").to_str().unwrap()]);
    assert!(code == 1 && said.contains("vCard"), "{said}");
    bob.json(&["send", &phone.handle, "--text", "first"]);
    bob.json(&["send", &phone.handle, "--text", "second"]);
    phone.json(&["listen", "--count", "2", "--for", "60"]);
    phone.json(&["mute", &bob.handle]);
    let listed = phone.json(&["pin", &bob.handle]);
    assert_eq!(
        (&listed[0]["unread"], &listed[0]["muted"], &listed[0]["pinned"]),
        (&2.into(), &true.into(), &true.into())
    );
    phone.json(&["settings", "set", "read-receipts", "on"]);
    let set = phone.json(&["settings", "set", "from", &phone.handle, "--with", &bob.handle]);
    assert_eq!(set[0]["value"], "mailto:alice@example.org");
    let messages = phone.json(&["history", &bob.handle]);
    assert_eq!((&messages[0]["sender_name"], &messages[0]["muted"]), (&"Bob Builder".into(), &true.into()));
    let second = messages[1]["id"].as_str().unwrap();
    phone.json(&["delete", second]);
    assert_eq!(phone.json(&["read", &bob.handle]), [json!({"type": "read", "messages": 1})]);
    assert_eq!(phone.json(&["search", "second"]), [] as [Value; 0]);

    // Bob is told, and the laptop is as the phone is.
    let heard = bob.json(&["listen", "--for", "5"]);
    let receipt = heard.iter().find(|line| line["type"] == "receipt").unwrap();
    assert_eq!((&receipt["by"], &receipt["receipt"]), (&"mailto:alice@example.org".into(), &"read".into()));
    let sent = bob.json(&["history", &phone.handle]);
    assert_eq!(sent[0]["receipts"][0]["at_ms"], receipt["at_ms"]);
    assert_eq!(sent[1]["receipts"], json!([]));
    let heard = laptop.json(&["listen", "--for", "8"]);
    assert!(heard.iter().any(|line| line["type"] == "chosen"), "{heard:?}");
    let listed = laptop.json(&["conversations"]);
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0]["names"], json!(["Bob Builder"]));
    assert_eq!(
        (&listed[0]["unread"], &listed[0]["muted"], &listed[0]["pinned"]),
        (&0.into(), &true.into(), &true.into())
    );
    assert_eq!(listed[0]["last"]["text"], "first");
    let words = text(&laptop.run(&["conversations"]).stdout);
    assert!(words.starts_with("Bob Builder <bob@example.org>  (pinned, muted)\n    ["), "{words}");
    assert!(words.contains("] Bob Builder <bob@example.org> (phone, pq3): first"), "{words}");
    assert_eq!(laptop.json(&["settings", "get", "read-receipts"])[0]["value"], "on");
    assert_eq!(
        laptop.json(&["settings", "get", "from", "--with", &bob.handle])[0]["value"],
        "mailto:alice@example.org"
    );
    let deleted = laptop.json(&["history", "--deleted"]);
    assert_eq!((deleted.len(), &deleted[0]["text"]), (1, &"second".into()));
    laptop.json(&["restore", second]);
    assert_eq!(laptop.json(&["search", "second"]).len(), 1);
    assert_eq!(laptop.json(&["contacts", "remove", &bob.handle])[0]["type"], "contact-removed");

    // Deleting a whole conversation is asked about.
    let (code, said) = laptop.fails(&["delete", &bob.handle]);
    assert!(code == 1 && said.contains("yes or no"), "{said}");
    assert_eq!(laptop.json(&["delete", &bob.handle, "--yes"]), [json!({"type": "deleted", "messages": 2})]);
    assert_eq!(laptop.json(&["conversations"]).len() + laptop.json(&["history"]).len(), 1, "it is pinned");
    laptop.json(&["pin", &bob.handle, "--undo"]);
    assert_eq!(laptop.json(&["conversations"]), [] as [Value; 0]);
    laptop.json(&["block", &bob.handle]);
    phone.json(&["listen", "--for", "5"]);
    assert_eq!(phone.json(&["block"]), [json!({"type": "blocked", "handle": "mailto:bob@example.org"})]);
    assert_eq!(phone.json(&["history", "--deleted"]).len(), 2);
    assert_eq!(phone.json(&["contacts"]), [] as [Value; 0]);

    // OWN-23: all of it is listed, and comes back, by the other device.
    let deleted = phone.json(&["conversations", "--deleted"]);
    let [one] = deleted.as_slice() else { panic!("{deleted:?}") };
    assert_eq!((&one["type"], &one["messages"]), (&"deleted-conversation".into(), &2.into()));
    assert_eq!((&one["members"], &one["whole"]), (&json!(["mailto:bob@example.org"]), &true.into()));
    assert_eq!(one["last"]["text"], "second");
    let first = phone.json(&["history", "--deleted"])[0]["deleted_ms"].as_u64().unwrap();
    assert_eq!(one["until_ms"].as_u64().unwrap(), first + 30 * 24 * 3_600_000);
    let words = text(&phone.run(&["conversations", "--deleted"]).stdout);
    assert!(words.starts_with("bob@example.org  (all of it, 2 messages, can be restored until "), "{words}");
    assert_eq!(phone.json(&["restore", &bob.handle]), [json!({"type": "restored", "messages": 2})]);
    assert_eq!(phone.json(&["conversations", "--deleted"]), [] as [Value; 0]);
    laptop.json(&["listen", "--for", "5"]);
    assert_eq!(laptop.json(&["conversations"])[0]["last"]["text"], "second");
    let (code, said) = phone.fails(&["conversations", "--deleted", "--unknown"]);
    assert!(code == 1 && said.contains("--unknown"), "{said}");
}

/// CON-28 to CON-30, OWN-13: who is there sees that somebody types; who is unknown is listed apart, until accepted.
#[test]
fn alice_types_and_a_stranger_waits() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    alice.json(&["settings", "set", "unknown-senders", "apart"]);
    let (code, said) = alice.fails(&["settings", "set", "unknown-senders", "loud"]);
    assert!(code == 1 && said.contains("open or apart"), "{said}");
    bob.json(&["send", &alice.handle, "--text", "you do not know me"]);
    let heard = alice.json(&["listen", "--for", "3"]);
    assert!(!heard.iter().any(|line| line["type"] == "message"), "{heard:?}");
    assert_eq!(alice.json(&["conversations"]), [] as [Value; 0]);
    assert_eq!(alice.json(&["conversations", "--unknown"])[0]["unknown"], true);
    alice.json(&["accept", &bob.handle]);
    assert_eq!(alice.json(&["conversations"]).len(), 1);

    let listening = bob.start(&["listen", "--output", "json", "--for", "60"]);
    listening.json("connection");
    alice.json(&["send", &bob.handle, "--text", "now I do", "--wait"]);
    assert_eq!(listening.json("message")["text"], "now I do");
    assert_eq!(alice.json(&["typing", &bob.handle]), [json!({"type": "typing-told", "told": true})]);
    let typing = listening.json("typing");
    assert_eq!((&typing["by"], &typing["typing"]), (&"mailto:alice@example.org".into(), &true.into()));
    assert_eq!(alice.json(&["typing", &bob.handle, "--stop"])[0]["told"], true);
    assert_eq!(listening.json("typing")["typing"], false);
}

/// DIR-60, OWN-31: two people compare their digits, and a mistyped one is found.
#[test]
fn alice_and_bob_compare_their_code() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    alice.json(&["contacts", "add", "Bob", &bob.handle]);
    let shown = alice.json(&["contacts", "verify", &bob.handle]).remove(0);
    let seen = bob.json(&["contacts", "verify", &alice.handle]).remove(0);
    assert_eq!((&shown["type"], &shown["code"], &shown["safety"]), (&"safety".into(), &seen["code"], &"none".into()));
    let code = seen["code"].as_str().unwrap();
    assert_eq!(alice.json(&["contacts"])[0]["safety"], json!(["none"]));
    let mistyped = format!("{}{}", &code[..code.len() - 1], if code.ends_with('0') { '1' } else { '0' });
    let (exit, said) = alice.fails(&["contacts", "verify", &bob.handle, "--code", &mistyped]);
    assert!(exit == 1 && said.contains("nothing was marked"), "{said}");
    assert_eq!(alice.json(&["contacts", "verify", &bob.handle, "--code", code])[0]["safety"], "compared");
    assert_eq!(alice.json(&["contacts"])[0]["safety"], json!(["compared"]));
    let words = text(&alice.run(&["contacts"]).stdout);
    assert!(words.contains("bob@example.org (compared)"), "{words}");
    assert_eq!(alice.json(&["contacts", "verify", &bob.handle, "--undo"])[0]["safety"], "none");
    assert_eq!(alice.json(&["contacts", "verify", &bob.handle, "--same"])[0]["safety"], "compared");
}
