//! Two people on two machines.

use std::io::Write;
use std::process::Stdio;

use crate::world::{World, text};

/// SND-1, RCV-1, RCV-5: what alice sends is at bob's, and alice knows.
#[test]
fn alice_sends_and_bob_listens() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    let listening = bob.start(&["listen", "--output", "json", "--count", "1", "--for", "60"]);
    assert_eq!(listening.json("connection")["type"], "connection");

    let sent = alice.json(&["send", &bob.handle, "--text", "hello, bob", "--wait"]);
    assert_eq!(sent[0]["done"], true);
    assert_eq!(sent[0]["deliveries"][0]["state"], "delivered");
    assert_eq!(sent[0]["deliveries"][0]["device_name"], "phone");

    let message = listening.json("message");
    assert_eq!(message["text"], "hello, bob");
    assert_eq!(message["sender"], "mailto:alice@example.org");
    assert_eq!(message["sender_device_name"], "phone");
    assert_eq!(message["suite"], "pq3");
    assert_eq!(message["origin"], "peer");
    assert_eq!(message["id"], sent[0]["message"]["id"]);
    listening.end_well();

    let history = bob.json(&["history", &alice.handle]);
    assert_eq!(history[0]["text"], "hello, bob");
    let words = text(&alice.run(&["history"]).stdout);
    assert!(words.contains("hello, bob"), "{words}");
}

/// COU-53: what was sent while nobody listened waits, and comes in order.
#[test]
fn messages_wait_for_bob() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    for number in 1..=3 {
        assert_eq!(alice.json(&["send", &bob.handle, "--text", &format!("number {number}")])[0]["done"], true);
    }
    let heard = bob.json(&["listen", "--count", "3", "--for", "60"]);
    let texts: Vec<&str> =
        heard.iter().filter(|line| line["type"] == "message").map(|line| line["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["number 1", "number 2", "number 3"]);
}

/// What arrived while another command was connected is printed by the next listener, once.
#[test]
fn a_listener_passes_nothing_over() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    alice.json(&["send", &bob.handle, "--text", "first"]);
    // Bob's own send connects, and receives what waits.
    bob.json(&["send", &alice.handle, "--text", "are you there?", "--timeout", "60"]);
    alice.json(&["send", &bob.handle, "--text", "second"]);
    let heard = bob.json(&["listen", "--count", "2", "--for", "60"]);
    let texts: Vec<&str> =
        heard.iter().filter(|line| line["type"] == "message").map(|line| line["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["first", "second"]);
}

/// CON-11 to CON-15: by the command line alone, both see the same in the end, and a listener hears of each act.
#[test]
fn messages_are_answered_and_changed() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    let listening = bob.start(&["listen", "--output", "json", "--count", "2", "--for", "60"]);
    let sent = alice.json(&["send", &bob.handle, "--text", "helo", "--wait"]);
    let id = sent[0]["message"]["id"].as_str().unwrap();
    assert_eq!(listening.json("message")["text"], "helo");
    let edited = alice.json(&["edit", id, "--text", "hello"]);
    assert_eq!((&edited[0]["message"]["act"], &edited[0]["message"]["text"]), (&"edit".into(), &"hello".into()));
    let act = listening.json("act");
    assert_eq!(
        (&act["act"], &act["on"]["message"], &act["sender"]),
        (&"edit".into(), &id.into(), &"mailto:alice@example.org".into())
    );
    alice.json(&["send", &bob.handle, "--text", "the end", "--wait"]);
    listening.end_well();

    let number = bob.json(&["history", &alice.handle])[0]["number"].to_string();
    bob.json(&["react", &number, "love"]);
    bob.json(&["react", &number, "🦊"]);
    bob.json(&["send", &alice.handle, "--reply-to", &number, "--text", "hello yourself"]);
    let oops = bob.json(&["send", &alice.handle, "--text", "oops"]);
    bob.json(&["unsend", oops[0]["message"]["id"].as_str().unwrap()]);
    let told = |person: &crate::world::Person, with: &str| -> Vec<serde_json::Value> {
        let fields = ["text", "unsent", "earlier", "tapbacks", "reply_to", "edited_ms"];
        let line = |line: &serde_json::Value| fields.iter().map(|field| line[field].clone()).collect();
        person.json(&["history", with]).iter().map(line).collect()
    };
    let expected = told(&bob, &alice.handle);
    let mut history = Vec::new();
    for _ in 0..20 {
        if history != expected {
            alice.json(&["listen", "--for", "1"]);
            history = told(&alice, &bob.handle);
        }
    }
    assert_eq!(history, expected, "equal transcripts");
    assert_eq!((history.len(), &history[0][0], &history[3][1]), (4, &"hello".into(), &true.into()));
    assert_eq!(history[0][2][0]["text"], "helo");
    assert_eq!(
        (&history[0][3][0]["tapback"], &history[0][3][0]["by"]),
        (&"🦊".into(), &"mailto:bob@example.org".into())
    );
    assert_eq!(history[2][4]["message"], id);
    let words = text(&alice.run(&["history", &bob.handle]).stdout);
    assert!(words.contains("hello (edited)\n    (🦊 bob@example.org)") && words.contains("(unsent)"), "{words}");

    let (code, words) = bob.fails(&["edit", id, "--text", "I owe you"]);
    assert!(code == 1 && words.contains("only who wrote a message"), "{code} {words}");
    let (code, words) = bob.fails(&["react", &number, "hooray"]);
    assert!(code == 1 && words.contains("one emoji"), "{code} {words}");
    let (code, words) = bob.fails(&["unsend", "999"]);
    assert!(code == 1 && words.contains("no message with this number"), "{code} {words}");
}

/// A pipe is a message.
#[test]
fn standard_input_is_the_text() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    let mut child = alice.halcyon(&["send", &bob.handle]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all("two\nlines\n".as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let heard = bob.json(&["listen", "--count", "1", "--for", "60"]);
    let message = heard.iter().find(|line| line["type"] == "message").unwrap();
    assert_eq!(message["text"], "two\nlines");
}

/// SND-2: a message that finds no server stays in the outbox, and leaves with the next command that reaches it.
#[test]
fn a_message_outlives_a_server_that_is_away() {
    let mut world = World::new();
    let alice = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    alice.json(&["lookup", &bob.handle]);
    world.stop_server();
    let (code, said) = alice.fails(&["send", &bob.handle, "--text", "patience", "--timeout", "2"]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("stays in the outbox"), "{said}");
    world.start_server();
    assert_eq!(alice.json(&["send", &bob.handle, "--text", "now"])[0]["done"], true);
    let listening = bob.start(&["listen", "--output", "json", "--count", "2", "--for", "60"]);
    assert_eq!(listening.json("message")["text"], "patience");
    assert_eq!(listening.json("message")["text"], "now");
    listening.end_well();
}

/// ACC-51, ACC-52: a second address, verified by the link, can be sent from.
#[test]
fn alice_gets_a_second_address() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    let begun = alice.json(&["handles", "add", "alice@example.com", "--no-wait"]);
    let code = world.code("alice@example.com");
    let id = begun[0]["id"].as_str().unwrap();
    let handles = alice.json(&["handles", "verify", "alice@example.com", "--id", id, "--code", &code]);
    assert_eq!(handles.len(), 2);
    alice.json(&["handles", "default", "alice@example.com"]);
    alice.json(&["send", &bob.handle, "--text", "from my other address"]);
    let heard = bob.json(&["listen", "--count", "1", "--for", "60"]);
    let message = heard.iter().find(|line| line["type"] == "message").unwrap();
    assert_eq!(message["sender"], "mailto:alice@example.com");
    assert_eq!(alice.json(&["handles", "remove", "alice@example.com"]).len(), 1);
    let (code, said) = alice.fails(&["handles", "remove", "alice@example.org"]);
    assert_eq!(code, 1, "{said}");
}

/// From one terminal each: lines go out, what comes in is shown, the end of input waits until the server has everything.
#[test]
fn two_people_talk() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    let mut alice_talks = alice.start(&["talk", &bob.handle]);
    let mut bob_talks = bob.start(&["talk", &alice.handle]);
    alice_talks.type_line("hello, bob");
    bob_talks.line("greeting", |line| line.contains("alice@example.org") && line.ends_with("hello, bob"));
    bob_talks.type_line("hello, alice");
    alice_talks.line("answer", |line| line.contains("bob@example.org") && line.ends_with("hello, alice"));
    alice_talks.end_well();
    bob_talks.end_well();
}

/// A script without a terminal or a pipe: the mail is asked for, and the code given later.
#[test]
fn carol_registers_in_two_steps() {
    let world = World::new();
    let carol = world.person("carol", "phone");
    let (url, authority) = (world.url(), world.authority());
    let server = ["--server", &url, "--ca", authority.to_str().unwrap()];
    let begun = carol.json(&[&["register", &carol.handle, "--no-wait"][..], &server[..]].concat());
    let password = world.file("carol.password", "password");
    let later = ["--verification", begun[0]["id"].as_str().unwrap(), "--password-file", password.to_str().unwrap()];
    let code = world.code(&carol.handle);
    let account = carol.json(&[&["register", &carol.handle, "--code", &code][..], &server[..], &later[..]].concat());
    assert_eq!(account[0]["handles"][0], "mailto:carol@example.org");
    assert_eq!(carol.json(&["devices"]).len(), 1);
}

/// SUI-9: what protects a conversation is shown, and a legacy suite that is switched off is used no more.
#[test]
fn alice_looks_at_what_protects_her_and_switches_suites_off() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    let (code, said) = alice.fails(&["security", &bob.handle]);
    assert!(code == 1 && said.contains("halcyon lookup bob@example.org"), "{code} {said}");
    alice.json(&["send", &bob.handle, "--text", "how safe is this?"]);
    let shown = alice.json(&["security", &bob.handle]);
    let device = &shown[0]["devices"][0];
    assert_eq!((device["suite"].as_str(), device["legacy"].as_bool()), (Some("pq3"), Some(false)), "{shown:?}");
    assert!(device["ratcheted_ms"].is_u64() && device["rekeyed_ms"].is_null(), "nobody answered yet: {shown:?}");
    assert!(text(&alice.run(&["security", &bob.handle]).stdout).contains("last ML-KEM rekey never"));

    let on = |lines: &[serde_json::Value]| lines.iter().map(|line| line["on"].as_bool().unwrap()).collect::<Vec<_>>();
    assert_eq!(on(&alice.json(&["suites"])), [true, true, true]);
    assert_eq!(on(&alice.json(&["suites", "off", "pair"])), [false, true, true]);
    let devices = alice.json(&["devices"]);
    assert_eq!(devices[0]["suites"], serde_json::json!(["pair-ec", "pq3"]), "the list that others see says so");
    assert_eq!(on(&alice.json(&["suites", "off", "pair-ec"])), [false, false, true]);
    assert_eq!(alice.fails(&["suites", "off", "pq3"]).0, 1, "the default stays");
    assert_eq!(on(&alice.json(&["suites", "on", "pair"])), [true, false, true]);
}

/// CON-16 to CON-19, by the command line.
#[test]
fn a_text_has_styles_and_names() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    let typed = "**Sunday** at *your* place, @bob?";
    let looks = ["--markup", "--mention", &bob.handle, "--subject", "plans", "--effect", "happy-birthday"];
    alice.json(&[&["send", &bob.handle, "--text", typed], &looks[..]].concat());
    let heard = bob.json(&["listen", "--count", "1", "--for", "60"]);
    let message = heard.last().unwrap();
    assert_eq!(message["text"], "Sunday at your place, @bob?");
    let bold = serde_json::json!({"start": 0, "length": 6, "styles": ["bold"], "animation": null});
    let italic = serde_json::json!({"start": 10, "length": 4, "styles": ["italic"], "animation": null});
    assert_eq!(message["styles"], serde_json::json!([bold, italic]));
    assert_eq!(message["mentions"][0]["handle"], "mailto:bob@example.org");
    assert_eq!((&message["mentions_me"], &message["subject"]), (&true.into(), &"plans".into()));
    assert_eq!(message["effect"], "happy-birthday");
    let words = text(&bob.run(&["history"]).stdout);
    assert!(words.contains(", with happy birthday): plans\n    Sunday at your place, @bob?"), "{words}");

    alice.json(&["edit", message["id"].as_str().unwrap(), "--markup", "--text", "~~Sunday~~ Monday"]);
    let heard = bob.json(&["listen", "--for", "5"]);
    assert_eq!(heard.iter().find(|line| line["type"] == "act").unwrap()["text"], "Sunday Monday");
    assert_eq!(bob.json(&["history", &alice.handle])[0]["styles"][0]["styles"], serde_json::json!(["strikethrough"]));
    let (code, errors) = alice.fails(&["send", &bob.handle, "--text", "**oh", "--markup"]);
    assert!(code == 1 && errors.contains("bold begins in the text and does not end"), "{errors}");
    let (code, errors) = alice.fails(&["send", &bob.handle, "--text", "hi", "--mention", &bob.handle]);
    assert!(code == 1 && errors.contains("write @bob in it"), "{errors}");
}

/// GRP-1, GRP-10: a group by the command line alone: begun, talked in, changed; all see the same, and it is named by its name or its id.
#[test]
fn a_group_talks() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let (bob, carol) = (world.registered("bob", "phone"), world.registered("carol", "phone"));
    let dave = world.registered("dave", "phone");
    let created = alice.json(&["group", "create", "friends", &bob.handle, &carol.handle]);
    let id = created[0]["id"].as_str().unwrap().to_owned();
    assert_eq!((&created[0]["type"], &created[0]["members"].as_array().unwrap().len()), (&"group".into(), &3));
    assert_eq!((&created[1]["message"]["change"], &created[1]["done"]), (&"created".into(), &true.into()));
    assert_eq!(alice.json(&["send", "group:friends", "--text", "hello, all"])[0]["done"], true);

    let heard = bob.json(&["listen", "--count", "2", "--for", "60"]);
    let change = heard.iter().find(|line| line["type"] == "group-change").unwrap();
    assert_eq!(
        (&change["change"], &change["group"]["id"], &change["name"]),
        (&"created".into(), &id[..].into(), &"friends".into())
    );
    let message = heard.iter().find(|line| line["type"] == "message").unwrap();
    assert_eq!((&message["text"], &message["group"]["name"]), (&"hello, all".into(), &"friends".into()));
    let number = message["number"].to_string();
    bob.json(&["react", &number, "love"]);
    bob.json(&["send", "group:friends", "--reply-to", &number, "--text", "hello yourself"]);
    bob.json(&["group", "rename", "friends", "best friends"]);
    bob.json(&["group", "add", &id[..8], &dave.handle]);
    dave.json(&["listen", "--count", "1", "--for", "60"]);
    dave.json(&["send", "group:best friends", "--text", "thank you"]);

    // Each listens until nothing is missing.
    let told = |person: &crate::world::Person, named: &str| -> Vec<serde_json::Value> {
        let fields = ["type", "text", "change", "name", "members", "sender", "counts"];
        let line = |line: &serde_json::Value| fields.iter().map(|field| line[field].clone()).collect();
        person.json(&["history", named]).iter().map(line).collect()
    };
    let named = "group:best friends";
    let mut expected = told(&bob, named);
    for person in [&bob, &alice, &carol, &dave, &bob] {
        for _ in 0..20 {
            let list = person.json(&["group", "list"]);
            let is_called_so = list.iter().any(|group| group["name"] == "best friends");
            if is_called_so && told(person, named).last().is_some_and(|line| line[1] == "thank you") {
                break;
            }
            person.json(&["listen", "--for", "1"]);
        }
        let history = told(person, named);
        if person.handle == bob.handle {
            expected = history;
        } else if person.handle == dave.handle {
            assert_eq!(history, expected[expected.len() - 2..], "from then on");
        } else {
            assert_eq!(history.len(), 6, "{history:?}");
        }
    }
    for person in [&alice, &carol] {
        assert_eq!(told(person, &format!("group:{id}")), expected);
    }
    let words = text(&carol.run(&["history", named]).stdout);
    for part in [
        "began friends with bob@example.org, carol@example.org",
        "alice@example.org in best friends (phone, pq3): hello, all",
        "called the group best friends",
        "added dave@example.org to best friends",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let words = text(&carol.run(&["group", "show", named]).stdout);
    assert!(
        words.starts_with("best friends\n    alice@example.org, bob@example.org, carol@example.org (you), dave"),
        "{words}"
    );
    let words = text(&carol.run(&["history"]).stdout);
    assert!(words.contains("best friends: alice@example.org, bob@example.org"), "{words}");
    let words = text(&carol.run(&["export", "--format", "html"]).stdout);
    assert!(words.contains("<h2>best friends</h2>") && words.contains("called the group best friends"), "{words}");
    assert_eq!(carol.json(&["search", "yourself"])[0]["group"]["id"], id[..]);
    choosing_for_a_group(&carol, named, &id);

    alice.json(&["group", "remove", named, &dave.handle]);
    let (code, words) = alice.fails(&["group", "remove", named, &dave.handle]);
    assert!(code == 1 && words.contains("dave@example.org is not in the group"), "{code} {words}");
    let (code, words) = alice.fails(&["group", "leave", named]);
    assert!(code == 1 && words.contains("at least 3 stay"), "{code} {words}");
    let (code, words) = alice.fails(&["send", "group:nobody", "--text", "hi"]);
    assert!(code == 1 && words.contains("no such group"), "{code} {words}");
    let (code, words) = alice.fails(&["send", named, &bob.handle, "--text", "hi"]);
    assert!(code == 1 && words.contains("named alone"), "{code} {words}");
    for _ in 0..20 {
        if dave.json(&["group", "show", named])[0]["is_member"] == false {
            break;
        }
        dave.json(&["listen", "--for", "1"]);
    }
    let (code, words) = dave.fails(&["send", named, "--text", "let me in"]);
    assert!(code == 1 && words.contains("not a member of the group"), "{code} {words}");
}

/// GRP-13, GRP-16: what is chosen for a conversation is chosen for a group by its name.
fn choosing_for_a_group(carol: &crate::world::Person, named: &str, id: &str) {
    let listed = carol.json(&["mute", named]);
    assert_eq!(
        (&listed[0]["group"]["id"], &listed[0]["muted"], &listed[0]["unread"]),
        (&id.into(), &true.into(), &3.into())
    );
    assert_eq!(listed[0]["last"]["type"], "message");
    let words = text(&carol.run(&["conversations"]).stdout);
    assert!(
        words.starts_with("best friends: alice@example.org, bob@example.org, dave@example.org  (3 new, muted)"),
        "{words}"
    );
    assert_eq!(carol.json(&["read", named]), [serde_json::json!({"type": "read", "messages": 3})]);
    let set = carol.json(&["settings", "set", "read-receipts", "on", "--with", named]);
    assert_eq!((&set[0]["value"], &set[0]["with"][0]), (&"on".into(), &named.into()));
    let (code, words) = carol.fails(&["settings", "set", "from", &carol.handle, "--with", named]);
    assert!(code == 1 && words.contains("the address that is in it"), "{code} {words}");
    let told = carol.json(&["typing", named]);
    assert_eq!(told[0]["type"], "typing-told", "{told:?}");
    let lines = carol.json(&["history", named]).len() as u64;
    assert_eq!(carol.json(&["delete", named, "--yes"])[0]["messages"], lines);
    let deleted = carol.json(&["history", "--deleted", named]);
    assert_eq!((deleted.len() as u64, &deleted[0]["type"]), (lines, &"group-change".into()));
    for line in deleted {
        carol.json(&["restore", line["id"].as_str().unwrap()]);
    }
    assert_eq!(carol.json(&["history", named]).len() as u64, lines);
}
