//! What messages carry besides text, by the command line: places, cards, links. Spec: 50-content.md (CON-40 to CON-50).

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::world::{World, text};

const CARD: &str = "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Jane Doe\r\nORG:Boats\r\nEMAIL;TYPE=HOME:jane@example.org\r\nTEL:030 1\r\nNOTE:not shown\r\nEND:VCARD\r\n";

/// CON-15, CON-40 to CON-44: shown, found, written to a file, exported and answered, on both sides.
#[test]
fn places_and_cards_are_sent_and_kept() {
    let world = World::new();
    let (alice, bob) = (world.registered("alice", "phone"), world.registered("bob", "phone"));
    let card = world.file("jane.vcf", CARD);
    alice.json(&["send", &bob.handle, "--location", "52.5163,13.3777,Brandenburg Gate"]);
    alice.json(&["send", &bob.handle, "--text", "call her", "--contact", card.to_str().unwrap()]);
    let received: Vec<Value> =
        bob.json(&["listen", "--count", "2"]).into_iter().filter(|line| line["type"] == "message").collect();
    let [place, contact] = &received[..] else { panic!("{received:?}") };
    let expected = json!([{"part": 0, "latitude_e7": 525_163_000, "longitude_e7": 133_777_000, "accuracy_m": null, "name": "Brandenburg Gate", "geo": "geo:52.5163,13.3777"}]);
    assert_eq!((&place["text"], &place["locations"], &place["contacts"]), (&Value::Null, &expected, &json!([])));
    assert_eq!((&contact["text"], &contact["contacts"][0]["part"]), (&json!("call her"), &json!(1)));
    assert_eq!(contact["contacts"][0]["handles"], json!(["mailto:jane@example.org"]));
    assert_eq!(contact["contacts"][0]["vcard"], json!(CARD));

    let answer = ["--reply-to", contact["id"].as_str().unwrap(), "--part", "1", "--text", "I did"];
    let sent = bob.json(&[&["send", &alice.handle], &answer[..]].concat());
    let answered = &sent[0]["message"]["reply_to"];
    assert_eq!((&answered["message"], &answered["part"]), (&contact["id"], &json!(1)));
    alice.json(&["listen", "--count", "1", "--for", "60"]);

    for person in [&alice, &bob] {
        let other = if person.handle == alice.handle { &bob } else { &alice };
        let words = text(&person.run(&["history", &other.handle]).stdout);
        assert!(words.contains("location: Brandenburg Gate, geo:52.5163,13.3777"), "{words}");
        assert!(words.contains("call her\n    contact: Jane Doe (Boats), jane@example.org (home), 030 1"), "{words}");
        assert_eq!(person.json(&["search", "brandenburg"]).len(), 1);
        let found = person.json(&["search", "jane boats"]);
        let number = found[0]["number"].to_string();
        let written = text(&person.run(&["show", &number, "--card"]).stdout);
        assert_eq!(written.trim_end(), CARD.trim_end());
        assert_eq!(person.json(&["show", &number, "--card"]), [json!({"type": "card", "vcard": CARD})]);
        let page = text(&person.run(&["export", "--format", "html"]).stdout);
        assert!(page.contains("<footer>location: Brandenburg Gate, geo:52.5163,13.3777</footer>"), "{page}");
        assert!(page.contains("contact: Jane Doe") && !page.contains("cannot show"), "{page}");
    }
    for (line, reason) in [
        (&["send", &bob.handle, "--location", "91,0"][..], "degrees north and east"),
        (&["send", &bob.handle, "--contact", "/nowhere.vcf"], "cannot be read"),
        (
            &["send", &bob.handle, "--contact", world.file("not.vcf", "hello").to_str().unwrap()],
            "begins with BEGIN:VCARD",
        ),
        (&["show", "1", "--card"], "carries no card"),
    ] {
        let (code, errors) = alice.fails(line);
        assert!(code == 1 && errors.contains(reason), "{errors}");
    }
}

/// CON-49, CON-50: a link into the own network is sent without a preview, and its server is never asked; nor where a person wants none.
#[test]
fn links_lead_nobody_inside() {
    let world = World::new();
    let (alice, bob) = (world.registered("alice", "phone"), world.registered("bob", "phone"));
    let inside = TcpListener::bind("127.0.0.1:0").unwrap();
    inside.set_nonblocking(true).unwrap();
    let link = format!("look: http://127.0.0.1:{}/secret", inside.local_addr().unwrap().port());
    let sent = alice.json(&["send", &bob.handle, "--text", &link]);
    assert_eq!(sent[0]["preview"], json!({"state": "failed", "reason": "it leads into a private network"}));
    assert_eq!(
        (&sent[0]["done"], &sent[0]["message"]["text"], &sent[0]["message"]["links"]),
        (&json!(true), &json!(link), &json!([]))
    );
    let sent = alice.json(&["send", &bob.handle, "--text", &link, "--no-preview"]);
    assert_eq!(sent[0]["preview"], json!({"state": "off", "reason": null}));
    let sent = alice.json(&["send", &bob.handle, "--text", "no link"]);
    assert_eq!(sent[0]["preview"], Value::Null);
    assert!(inside.accept().is_err(), "nobody asked");
    let words = alice.run(&["send", &bob.handle, "--text", &link]);
    assert!(
        text(&words.stderr).contains("without a preview: it leads into a private network"),
        "{}",
        text(&words.stderr)
    );
    bob.json(&["listen", "--count", "4"]);
    assert!(inside.accept().is_err(), "CON-47: a receiver asks nobody either");
}

/// CON-51 to CON-53: a name and a photo for bob, and for nobody else; he sees them beside the address, and they can be taken back.
#[test]
fn names_are_shared_with_chosen_people() {
    let world = World::new();
    let (alice, bob) = (world.registered("alice", "phone"), world.registered("bob", "phone"));
    let carol = world.registered("carol", "phone");
    let photo = world.file("me.webp", "RIFF\u{4}\0\0\0WEBP");
    let line = ["share-name", "Al", "--photo", photo.to_str().unwrap(), "--to", &bob.handle];
    let shared = json!({"type": "name-shared", "to": ["mailto:bob@example.org"], "name": "Al", "photo": true});
    assert_eq!(alice.json(&line), [shared]);
    for other in [&bob, &carol] {
        alice.json(&["send", &other.handle, "--text", "hello"]);
    }
    let heard = bob.json(&["listen", "--count", "1"]);
    let named = heard.iter().find(|line| line["type"] == "named").unwrap();
    assert_eq!((&named["handle"], &named["name"]), (&json!("mailto:alice@example.org"), &json!("Al")));
    assert_eq!(named["photo"]["media_type"], "image/webp");
    let words = text(&bob.run(&["history", &alice.handle]).stdout);
    assert!(words.contains("alice@example.org (maybe: Al) (phone, pq3): hello"), "{words}");
    carol.json(&["listen", "--count", "1"]);
    assert_eq!(carol.json(&["history", &alice.handle])[0]["sender_maybe"], Value::Null);

    let words = text(&alice.run(&["share-name", "--remove", "--to", &bob.handle]).stdout);
    assert_eq!(words.trim_end(), "took back what bob@example.org was told to call you");
    bob.json(&["listen", "--for", "3"]);
    assert_eq!(bob.json(&["history", &alice.handle])[0]["sender_maybe"], Value::Null);
    let not = world.file("not.png", "hello");
    for (line, reason) in [
        (&["share-name", "two\nlines", "--to", &bob.handle][..], "one line of 1 to 128 bytes"),
        (&["share-name", "Al", "--photo", not.to_str().unwrap(), "--to", &bob.handle], "no PNG, JPEG or WebP"),
        (&["share-name", "Al", "--to", "nobody@example.org"], "knows nobody as nobody@example.org"),
    ] {
        let (code, errors) = alice.fails(line);
        assert!(code == 1 && errors.contains(reason), "{errors}");
    }
}
