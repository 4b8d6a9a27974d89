//! Things break and are repaired while people look on. Spec: 61-repair.md.

use serde_json::Value;

use crate::world::{Person, World, text};

impl Person {
    /// What its history says, gaps included.
    fn said(&self, with: &Person) -> Vec<String> {
        let line = |line: &Value| match line["type"].as_str().unwrap() {
            "gap" => format!("({} missing, {} lost)", line["missing"], line["lost"]),
            _ => line["text"].as_str().unwrap().to_owned(),
        };
        self.json(&["history", &with.handle]).iter().map(line).collect()
    }

    fn counted(&self, name: &str) -> u64 {
        let counters = self.json(&["counters"]);
        counters.iter().find(|line| line["name"] == name).map_or(0, |line| line["count"].as_u64().unwrap())
    }

    /// What the doctor finds of something.
    fn finding(&self, check: &str) -> (String, String) {
        let checks = self.json(&["doctor"]);
        let found = checks.iter().find(|line| line["check"] == check).unwrap();
        (found["finding"].as_str().unwrap().to_owned(), found["detail"].as_str().unwrap().to_owned())
    }
}

/// Alice and Bob, who have exchanged a message and its receipt: from now on neither seals a start.
fn acquainted(world: &World) -> (Person, Person) {
    let (alice, bob) = (world.registered("alice", "phone"), world.registered("bob", "phone"));
    let listening = bob.start(&["listen"]);
    assert_eq!(alice.json(&["send", &bob.handle, "--text", "one", "--wait"])[0]["done"], true);
    listening.stop();
    (alice, bob)
}

/// REP-16, REP-30, REP-31: Bob's sessions are lost. His phone says that it repairs, then that it is done; what was said is shown once and
/// in its order, and his counters tell how often it happened.
#[test]
fn lost_sessions_are_repaired_before_bobs_eyes() {
    let world = World::new();
    let (alice, bob) = acquainted(&world);
    assert_eq!(bob.fails(&["sessions", "lose"]).0, 1, "nobody said yes");
    assert_eq!(bob.json(&["sessions", "lose", "--yes"])[0]["sessions"], 1);
    assert!(bob.json(&["sessions"]).is_empty());
    for said in ["two", "three"] {
        alice.json(&["send", &bob.handle, "--text", said]);
    }

    let alice_listens = alice.start(&["listen"]);
    let listening = bob.start(&["listen", "--output", "json"]);
    assert_eq!(listening.json("unopened")["cause"], "no-key");
    let asked = listening.json("repair");
    assert_eq!((asked["step"].as_str(), asked["unopened"].as_u64()), (Some("asked"), Some(2)), "{asked}");
    assert_eq!((&asked["handle"], &asked["device_name"]), (&"mailto:alice@example.org".into(), &"phone".into()));
    for said in ["two", "three"] {
        assert_eq!(listening.json("message")["text"], said);
    }
    assert_eq!(listening.json("repair")["step"], "done");
    listening.stop();

    assert_eq!(bob.said(&alice), ["one", "two", "three"]);
    assert_eq!(bob.counted("decrypt_failures_total{cause=\"no-key\"}"), 2);
    assert_eq!(bob.counted("repairs_total{cause=\"no-key\",outcome=\"repaired\"}"), 2);
    let words = text(&bob.run(&["counters"]).stdout);
    assert!(words.contains("never sent") && words.contains("decrypt_failures_total{cause=\"no-key\"} 2"), "{words}");
    for check in ["sessions", "gaps", "unopened"] {
        let (finding, detail) = bob.finding(check);
        assert_eq!(finding, "good", "{check}: {detail}");
    }
    let sessions = bob.json(&["sessions", &alice.handle]);
    assert_eq!((&sessions[0]["state"], &sessions[0]["device_name"]), (&"good".into(), &"phone".into()), "{sessions:?}");
    assert!(sessions[0]["last_used_ms"].is_u64() && sessions[0]["advice"].is_null(), "{sessions:?}");
    alice_listens.stop();
}

/// REP-31: in words it is one line when it begins and one when it is over, and nothing that frightens; what is unread stays a result.
#[test]
fn a_repair_is_said_in_two_lines() {
    let world = World::new();
    let (alice, bob) = acquainted(&world);
    bob.json(&["sessions", "lose", "--yes"]);
    alice.json(&["send", &bob.handle, "--text", "two"]);
    // As long as nobody answers, the doctor and the sessions tell of it.
    let waiting = bob.start(&["listen"]);
    waiting.says("does not open yet; it is asked for again");
    waiting.says("repairing 1 message from alice@example.org (phone) ...");
    waiting.stop();
    let (finding, detail) = bob.finding("unopened");
    assert!(finding == "notable" && detail.contains("1 no-key") && detail.contains("stay online"), "{detail}");
    let (finding, detail) = bob.finding("sessions");
    assert!(finding == "notable" && detail.contains("1 of 1 being repaired"), "{detail}");
    let words = text(&bob.run(&["sessions"]).stdout);
    assert!(words.starts_with("repairing") && words.contains("1 not opened, 0 missing, asked 1 times"), "{words}");

    let alice_listens = alice.start(&["listen"]);
    let listening = bob.start(&["listen"]);
    listening.says("repairing 1 message from alice@example.org (phone) ...");
    assert!(listening.line("message", |line| line.ends_with(": two")).contains("alice@example.org (phone, pq3)"));
    listening.says("repaired: nothing from alice@example.org (phone) is missing");
    listening.stop();
    alice_listens.stop();
}

/// REP-16: sessions can be begun anew by hand, after a question, and nobody misses anything.
#[test]
fn alice_begins_anew() {
    let world = World::new();
    let (alice, bob) = acquainted(&world);
    bob.json(&["send", &alice.handle, "--text", "two"]);
    alice.json(&["listen", "--count", "1", "--for", "60"]);
    let begins_anew = || alice.json(&["sessions", &bob.handle])[0]["begins_anew"].as_bool();
    assert_eq!(begins_anew(), Some(false));

    let mut asked = alice.start(&["sessions", "reset"]);
    asked.type_line("no");
    assert_eq!(asked.end().0, 1);
    assert_eq!(begins_anew(), Some(false));
    assert_eq!(alice.json(&["sessions", "reset", "carol@example.org", "--yes"])[0]["sessions"], 0);
    let mut asked = alice.start(&["sessions", "reset", &bob.handle]);
    asked.type_line("yes");
    asked.end_well();
    assert_eq!(begins_anew(), Some(true));
    let words = text(&alice.run(&["sessions"]).stdout);
    assert!(words.starts_with("good") && words.contains("begins anew with the next message"), "{words}");

    let listening = bob.start(&["listen"]);
    assert_eq!(alice.json(&["send", &bob.handle, "--text", "three", "--wait"])[0]["done"], true);
    listening.stop();
    assert_eq!(bob.said(&alice), ["one", "two", "three"]);
}

/// REP-14, REP-21, REP-23, REP-31: Alice's phone is brought back from a copy, is told what it missed, and shows the gap in its place.
/// Bob's is brought back, too, from before he wrote it: then nobody has it any more, and that is said.
#[test]
fn gaps_are_shown_in_their_place() {
    let world = World::new();
    let (alice, bob) = (world.registered("alice", "phone"), world.registered("bob", "phone"));
    bob.json(&["send", &alice.handle, "--text", "one"]);
    alice.json(&["listen", "--count", "1", "--for", "60"]);
    let (alices_copy, bobs_copy) = (alice.back_up(), bob.back_up());
    for said in ["two", "three"] {
        bob.json(&["send", &alice.handle, "--text", said]);
    }
    alice.json(&["listen", "--count", "2", "--for", "60"]);
    alice.bring_back(&alices_copy);
    assert_eq!(alice.said(&bob), ["one"]);

    let bob_talks = bob.start(&["listen"]);
    let listening = alice.start(&["listen"]);
    listening.line("alert", |line| line.contains("older copy of itself"));
    listening.says("asking bob@example.org (phone) what this device missed ...");
    listening.stop();
    // Bob's answer may take a moment. What is missing is asked for only ten seconds after it is found out.
    for _ in 0..20 {
        alice.json(&["listen", "--for", "1"]);
        if alice.said(&bob).len() > 1 {
            break;
        }
    }
    assert_eq!(alice.said(&bob), ["one", "(2 missing, 0 lost)"], "at the end");
    let (finding, detail) = alice.finding("gaps");
    assert!(finding == "notable" && detail.contains("missing and asked for: 2"), "{detail}");
    bob_talks.stop();
    bob.json(&["send", &alice.handle, "--text", "four"]);
    let heard = alice.json(&["listen", "--count", "1", "--for", "60"]);
    let four = heard.iter().find(|line| line["type"] == "message").unwrap();
    assert_eq!((&four["missing_before"], &four["lost_before"]), (&2.into(), &0.into()), "{four}");
    assert_eq!(alice.said(&bob), ["one", "(2 missing, 0 lost)", "four"], "in its place");
    let words = text(&alice.run(&["history", &bob.handle]).stdout);
    assert!(words.contains("2 messages from bob@example.org (phone) are missing here; they were asked for"), "{words}");

    bob.bring_back(&bobs_copy);
    let bob_listens = bob.start(&["listen"]);
    bob_listens.line("alert", |line| line.contains("older copy of itself"));
    let listening = alice.start(&["listen"]);
    listening.says("repaired, except for 2 messages from bob@example.org (phone) that cannot be recovered");
    listening.stop();
    bob_listens.stop();
    assert_eq!(alice.said(&bob), ["one", "(0 missing, 2 lost)", "four"]);
    let words = text(&alice.run(&["history", &bob.handle]).stdout);
    assert!(words.contains("cannot be recovered: the sender's device no longer has them"), "{words}");
    let (finding, detail) = alice.finding("gaps");
    assert!(finding == "notable" && detail.contains("cannot be recovered: 2"), "{detail}");
}
