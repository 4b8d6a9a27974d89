//! Messages that are sent at a time, by the command line alone.

use serde_json::{Value, json};

use crate::linking::linked;
use crate::world::{World, text};

/// SCD-1 to SCD-7, OWN-30: scheduled on one device, listed and taken back on the other; one that is not taken back comes.
#[test]
fn a_message_is_scheduled_listed_and_taken_back() {
    let world = World::new();
    let phone = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    let laptop = linked(&world, &phone, "alice");
    let scheduled = phone.json(&["send", &bob.handle, "--text", "never", "--at", "+2d"]).remove(0);
    assert_eq!(
        (&scheduled["type"], &scheduled["state"], &scheduled["this_device"], &scheduled["recipients"]),
        (&"scheduled".into(), &"held".into(), &true.into(), &json!(["mailto:bob@example.org"]))
    );
    assert_eq!(phone.json(&["scheduled"]), std::slice::from_ref(&scheduled));
    let words = text(&phone.run(&["scheduled"]).stdout);
    assert!(words.contains("to bob@example.org\n    never  (the server has it)"), "{words}");
    assert_eq!(phone.json(&["conversations"]), [] as [Value; 0], "it is in no history yet");

    laptop.json(&["listen", "--for", "5"]);
    let listed = laptop.json(&["scheduled"]).remove(0);
    assert_eq!((&listed["id"], &listed["due_ms"]), (&scheduled["id"], &scheduled["due_ms"]));
    assert_eq!((&listed["text"], &listed["this_device"]), (&"never".into(), &false.into()));
    let id = scheduled["id"].as_str().unwrap();
    assert_eq!(laptop.json(&["scheduled", "cancel", id]), [json!({"type": "scheduled-cancelled", "id": id})]);
    assert_eq!(laptop.json(&["scheduled"]), [] as [Value; 0]);
    phone.json(&["listen", "--for", "5"]);
    assert_eq!(phone.json(&["scheduled"]), [] as [Value; 0]);

    let soon = phone.json(&["send", &bob.handle, "--text", "soon", "--at", "+3s"]).remove(0);
    let heard = bob.json(&["listen", "--count", "1", "--for", "60"]);
    let came = heard.iter().find(|line| line["type"] == "message").unwrap();
    assert_eq!((&came["text"], &came["sent_ms"]), (&"soon".into(), &soon["due_ms"]));
    phone.json(&["listen", "--for", "5"]);
    assert_eq!(phone.json(&["history", &bob.handle])[0]["text"], "soon");
    let (code, said) = phone.fails(&["scheduled", "cancel", soon["id"].as_str().unwrap()]);
    assert!(code == 1 && said.contains("sent already"), "{said}");
    let (code, said) = phone.fails(&["scheduled", "cancel", &"05".repeat(16)]);
    assert!(code == 1 && said.contains("nothing waits by this id"), "{said}");
    let (code, said) = phone.fails(&["send", &bob.handle, "--text", "x", "--at", "+15d"]);
    assert!(code == 1 && said.contains("14 days"), "{said}");
    let (code, said) = phone.fails(&["send", &bob.handle, "--text", "x", "--at", "2026-01-01T09:00"]);
    assert!(code == 1 && said.contains("is over"), "{said}");
}
