//! Looking for what was said, at one message, and taking all of it elsewhere.

use serde_json::Value;

use crate::world::{World, text};

fn texts(lines: &[Value]) -> Vec<&str> {
    lines.iter().filter_map(|line| line["text"].as_str()).collect()
}

/// What was said is found by its words, also after it was edited, and not after it was unsent.
#[test]
fn words_are_found() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    assert_eq!(alice.json(&["search", "anything"]), [] as [Value; 0]);
    let say = |text: &str| {
        let sent = alice.json(&["send", &bob.handle, "--text", text]);
        sent[0]["message"]["id"].as_str().unwrap().to_owned()
    };
    say("The Café opens at nine");
    let wrong = say("we meet at the museum");
    let secret = say("museum of secrets");
    alice.json(&["send", &bob.handle, "--text", "hello", "--subject", "about the museum"]);
    assert_eq!(texts(&alice.json(&["search", "cafe", "NINE"])), ["The Café opens at nine"]);
    assert_eq!(texts(&alice.json(&["search", "muse"])), ["we meet at the museum", "museum of secrets", "hello"]);
    assert_eq!(texts(&alice.json(&["search", "muse", "--limit", "1"])), ["hello"], "the newest");
    assert_eq!(alice.json(&["search", "museum nine"]), [] as [Value; 0]);

    alice.json(&["edit", &wrong, "--text", "we meet at the library"]);
    alice.json(&["unsend", &secret]);
    for person in [&alice, &bob] {
        person.json(&["listen", "--for", "3"]);
        assert_eq!(texts(&person.json(&["search", "library"])), ["we meet at the library"]);
        assert_eq!(texts(&person.json(&["search", "museum"])), ["we meet at the library", "hello"]);
    }
    let words = text(&alice.run(&["search", "wolf"]).stdout);
    assert_eq!(words, "");
    let (code, _) = alice.fails(&["search"]);
    assert_eq!(code, 1);
}

#[test]
fn one_message_is_shown_whole() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    let sent = alice.json(&["send", &bob.handle, "--text", "first"]);
    let id = sent[0]["message"]["id"].as_str().unwrap();
    alice.json(&["edit", id, "--text", "second"]);
    let shown = alice.json(&["show", id]);
    assert_eq!(shown[0]["type"], "shown");
    assert_eq!(
        (&shown[0]["message"]["text"], &shown[0]["message"]["earlier"][0]["text"]),
        (&"second".into(), &"first".into())
    );
    assert_eq!(shown[0]["deliveries"][0]["state"], "accepted");
    let words = text(&alice.run(&["show", "1"]).stdout);
    for part in ["second", "it said: first", id, "accepted for phone"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let (code, errors) = alice.fails(&["show", "99"]);
    assert!(code == 1 && errors.contains("no message with this number"), "{errors}");
}

/// Everything comes out, in its order, and what peers wrote is not taken for HTML.
#[test]
fn everything_is_exported() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    let carol = world.registered("carol", "phone");
    alice.json(&["send", &bob.handle, "--text", "to bob <script>alert(1)</script>"]);
    alice.json(&["send", &carol.handle, "--text", "to carol"]);
    alice.json(&["send", &bob.handle, "--text", "**to** bob again", "--markup"]);
    let all = alice.json(&["export"]);
    assert_eq!(texts(&all), ["to bob <script>alert(1)</script>", "to bob again", "to carol"]);
    assert_eq!(texts(&alice.json(&["export", &carol.handle])), ["to carol"]);
    // The same lines, whatever the format of results is.
    let lines = text(&alice.run(&["export", &carol.handle]).stdout);
    assert_eq!(serde_json::from_str::<Value>(lines.trim()).unwrap()["text"], "to carol");
    let page = text(&alice.run(&["export", "--format", "html"]).stdout);
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"), "{page}");
    assert!(page.contains("&lt;script&gt;alert(1)") && !page.contains("<script"), "{page}");
    assert!(page.contains("<b>to</b> bob again") && page.contains("carol@example.org"), "{page}");
    let (code, errors) = alice.fails(&["export", "dave@example.org"]);
    assert!(code == 1 && errors.contains("no conversation with these people"), "{errors}");
}
