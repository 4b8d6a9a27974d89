//! A play of three people with five devices, and of a stranger: they say everything that can be said, by the command line alone, and in the
//! end nobody's devices differ.
//!
//! Every device has an agent, so all of them receive at all times, as they do in pockets and on desks. A message has the same id on every
//! device, so whoever acts on one names it by its id, once it is there.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agent::open_agent;
use crate::linking::linked;
use crate::world::{PATIENCE, Person, Running, World};

const CARD: &str = "BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Jane Doe\r\nEMAIL:jane@example.org\r\nEND:VCARD\r\n";
const GROUP: &str = "group:dinner club";

/// Who plays.
struct Cast {
    world: World,
    alice: Device,
    alice_laptop: Device,
    bob: Device,
    bob_laptop: Device,
    carol: Device,
    /// Nobody knows him.
    dave: Device,
}

/// A device, and its agent.
struct Device {
    person: Person,
    _agent: Running,
}

/// CON-10 to CON-53, OWN-1 to OWN-30, SCD-1 to SCD-7, GRP-1 to GRP-16: whatever is said and done, all devices end with equal transcripts.
#[test]
fn all_devices_end_with_equal_transcripts() {
    let cast = Cast::enter();
    cast.they_say_what_they_are_called();
    let said = cast.they_plan_a_dinner();
    cast.they_say_how_they_feel(&said);
    cast.they_change_their_minds(&said);
    cast.they_hear_that_it_was_read(&said);
    cast.they_tidy_up(&said);
    cast.they_say_something_later();
    cast.a_stranger_comes();
    cast.they_begin_a_club();
    cast.nobodys_devices_differ(&said);
}

/// What was said of the dinner, by id.
struct Said {
    plan: String,
    place: String,
    card: String,
    link: String,
}

impl Cast {
    fn enter() -> Self {
        let world = World::new();
        let [alice, bob, carol, dave] = ["alice", "bob", "carol", "dave"].map(|name| world.registered(name, "phone"));
        let alice_laptop = Device::on(linked(&world, &alice, "alice"));
        let bob_laptop = Device::on(linked(&world, &bob, "bob"));
        let [alice, bob, carol, dave] = [alice, bob, carol, dave].map(Device::on);
        Self { world, alice, alice_laptop, bob, bob_laptop, carol, dave }
    }

    fn five(&self) -> [&Device; 5] {
        [&self.alice, &self.alice_laptop, &self.bob, &self.bob_laptop, &self.carol]
    }

    /// Says something to the two others, and waits until it is on all five devices: what comes next comes later for everybody.
    fn all_hear(&self, device: &Device, what: &[&str]) -> String {
        let [alice, bob, carol] = [&self.alice, &self.bob, &self.carol].map(Device::handle);
        let to: Vec<&str> = [alice, bob, carol].into_iter().filter(|handle| *handle != device.handle()).collect();
        self.all_have(device.sends(&to, what))
    }

    fn all_hear_in_the_group(&self, device: &Device, text: &str) -> String {
        self.all_have(device.sends(&[GROUP], &["--text", text]))
    }

    fn all_have(&self, id: String) -> String {
        self.five().iter().for_each(|device| until("a message", || device.has(&id)));
        id
    }

    /// CON-51 to CON-53, OWN-7
    fn they_say_what_they_are_called(&self) {
        let photo = self.world.file("alice.webp", "RIFF\u{4}\0\0\0WEBP");
        let (bob, carol) = (self.bob.handle(), self.carol.handle());
        self.alice.does(&["share-name", "Al", "--photo", photo.to_str().unwrap(), "--to", bob, carol]);
        self.bob.does(&["contacts", "add", "Carol C", carol]);
        until("both of Bob's devices to know Carol", || self.bob_laptop.does(&["contacts"]).len() == 1);
    }

    /// CON-15 to CON-19, CON-40 to CON-50
    fn they_plan_a_dinner(&self) -> Said {
        let looks = ["--markup", "--mention", self.bob.handle(), "--subject", "tonight", "--effect", "confetti"];
        let plan =
            self.all_hear(&self.alice, &[&["--text", "**Dinner** at {shake}eight{/}, @bob?"], &looks[..]].concat());
        let line = self.bob_laptop.line(&plan);
        assert_eq!((&line["text"], &line["mentions_me"]), (&json!("Dinner at eight, @bob?"), &json!(true)));
        assert_eq!((&line["subject"], &line["effect"]), (&json!("tonight"), &json!("confetti")));
        assert_eq!((line["styles"].as_array().unwrap().len(), &line["sender_maybe"]), (2, &json!("Al")));

        let where_ = ["--reply-to", &plan, "--text", "here?", "--location", "52.5163,13.3777,Brandenburg Gate"];
        let place = self.all_hear(&self.bob_laptop, &where_);
        let jane = self.world.file("jane.vcf", CARD);
        let cook =
            ["--reply-to", &place, "--part", "1", "--text", "Jane cooks there", "--contact", jane.to_str().unwrap()];
        let card = self.all_hear(&self.carol, &cook);
        let line = self.alice.line(&card);
        assert_eq!((&line["reply_to"]["message"], &line["reply_to"]["part"]), (&json!(place), &json!(1)));
        assert_eq!(line["contacts"][0]["name"], "Jane Doe");
        // Into the own network nobody looks for a preview: the link is only a link.
        let link = self.all_hear(&self.alice_laptop, &["--text", "the menu: https://127.0.0.1:9/menu"]);
        self.all_hear(&self.bob, &["--text", "my mother had a preview of it", "--no-preview"]);
        Said { plan, place, card, link }
    }

    /// CON-12: the six, an emoji, one for a part of its own, another one instead, and one taken back.
    fn they_say_how_they_feel(&self, said: &Said) {
        for (device, message, tapback) in [
            (&self.bob, &said.plan, "love"),
            (&self.carol, &said.plan, "like"),
            (&self.alice_laptop, &said.place, "dislike"),
            (&self.carol, &said.place, "laugh"),
            (&self.bob_laptop, &said.card, "emphasise"),
            (&self.alice, &said.card, "question"),
            (&self.carol, &said.link, "🦊"),
            (&self.alice, &said.place, "like"),
        ] {
            device.does(&["react", message, tapback]);
        }
        self.alice_laptop.does(&["react", &said.place, "love", "--part", "1"]);
        self.bob_laptop.does(&["react", &said.plan, "love", "--remove"]);
        self.all_see(&said.plan, |line| line["tapbacks"] == json!([tapback(0, "carol", "like")]));
        let two = json!([tapback(0, "alice", "like"), tapback(0, "carol", "laugh"), tapback(1, "alice", "love")]);
        self.all_see(&said.place, |line| sorted(&line["tapbacks"]) == two);
        let two = json!([tapback(0, "alice", "question"), tapback(0, "bob", "emphasise")]);
        self.all_see(&said.card, |line| sorted(&line["tapbacks"]) == two);
        self.all_see(&said.link, |line| line["tapbacks"] == json!([tapback(0, "carol", "🦊")]));
    }

    /// CON-13, CON-14: from whichever device.
    fn they_change_their_minds(&self, said: &Said) {
        self.alice.does(&["edit", &said.plan, "--markup", "--text", "*Dinner* at nine, @bob?"]);
        self.all_see(&said.plan, |line| line["text"] == "Dinner at nine, @bob?");
        self.alice_laptop.does(&["edit", &said.plan, "--text", "Dinner at ten, @bob?"]);
        self.all_see(&said.plan, |line| line["earlier"].as_array().unwrap().len() == 2);
        let oops = self.all_hear(&self.carol, &["--text", "oops"]);
        self.carol.does(&["unsend", &oops]);
        self.all_see(&oops, |line| line["unsent"] == true && line["text"] == Value::Null);
    }

    /// CON-20 to CON-31: delivered, read and played; and typing.
    fn they_hear_that_it_was_read(&self, said: &Said) {
        let (alice, bob, carol) = (self.alice.handle(), self.bob.handle(), self.carol.handle());
        self.bob_laptop.does(&["settings", "set", "read-receipts", "on"]);
        let on = || self.bob.does(&["settings", "get", "read-receipts"])[0]["value"] == "on";
        until("both of Bob's devices to know", on);
        self.bob.does(&["read", alice, carol]);
        self.carol.does(&["settings", "set", "read-receipts", "on", "--with", alice, "--with", bob]);
        self.carol.does(&["read", &said.link, "--played"]);
        for device in [&self.alice, &self.alice_laptop] {
            until("Bob to have read it, and Carol to have played it", || {
                let line = device.line(&said.link);
                let receipts = line["receipts"].as_array().unwrap();
                let has = |by: &str, kind: &str| {
                    receipts.iter().any(|one| one["by"] == format!("mailto:{by}") && one["receipt"] == kind)
                };
                has(bob, "read") && has(carol, "played")
            });
        }
        until("all three devices of the others to have it", || {
            let shown = self.alice.does(&["show", &said.plan]).remove(0);
            // Own devices confirm nothing.
            let others = shown["deliveries"].as_array().unwrap().iter().filter(|one| one["own"] == false);
            let states: Vec<&Value> = others.map(|one| &one["state"]).collect();
            states == ["delivered"; 3]
        });
        let listening = self.carol.person.start(&["listen", "--output", "json", "--for", "60"]);
        listening.json("connection");
        self.alice.does(&["typing", bob, carol]);
        let typing = listening.json("typing");
        assert_eq!((&typing["by"], &typing["typing"]), (&format!("mailto:{alice}").into(), &true.into()));
        self.alice.does(&["typing", bob, carol, "--stop"]);
        assert_eq!(listening.json("typing")["typing"], false);
    }

    /// OWN-9, OWN-20 to OWN-21: each for themselves, on all of their devices.
    fn they_tidy_up(&self, said: &Said) {
        let (alice, bob, carol) = (self.alice.handle(), self.bob.handle(), self.carol.handle());
        self.alice.does(&["mute", bob, carol]);
        self.bob_laptop.does(&["pin", alice, carol]);
        until("Alice's laptop to be still", || self.alice_laptop.dinner()["muted"] == true);
        until("Bob's phone to have it first", || self.bob.dinner()["pinned"] == true);
        self.carol.does(&["delete", &said.link]);
        self.bob.does(&["delete", &said.card, &said.link]);
        until("Bob's laptop to have deleted it", || {
            !self.bob_laptop.lists(&said.card) && !self.bob_laptop.lists(&said.link)
        });
        self.bob_laptop.does(&["restore", &said.link]);
        self.carol.does(&["restore", &said.link]);
        until("Bob's phone to have it again", || self.bob.lists(&said.link));
        assert!(self.carol.lists(&said.link) && self.alice.lists(&said.card), "what one deletes, the others keep");
    }

    /// SCD-1 to SCD-7, OWN-30: one message comes when it is time, and one is taken back on another device.
    fn they_say_something_later(&self) {
        let (bob, carol) = (self.bob.handle(), self.carol.handle());
        let later = |text: &str, at: &str| {
            let line = self.alice.does(&["send", bob, carol, "--text", text, "--at", at]).remove(0);
            line["id"].as_str().unwrap().to_owned()
        };
        let never = later("I cannot come", "+1d");
        later("bring wine", "+5s");
        let waits = |device: &Device| device.does(&["scheduled"]).iter().any(|line| line["id"] == never[..]);
        until("Alice's laptop to know what waits", || waits(&self.alice_laptop));
        self.alice_laptop.does(&["scheduled", "cancel", &never]);
        let has = |device: &Device, text: &str| device.does(&["export"]).iter().any(|line| line["text"] == text);
        for device in self.five() {
            until("what was to come later", || has(device, "bring wine"));
            assert!(!has(device, "I cannot come"));
        }
        until("Alice's phone to wait for nothing", || self.alice.does(&["scheduled"]).is_empty());
    }

    /// OWN-12, OWN-13: kept apart until accepted; and not heard by whom he is blocked.
    fn a_stranger_comes(&self) {
        let (alice, carol, dave) = (self.alice.handle(), self.carol.handle(), self.dave.handle());
        self.alice.does(&["settings", "set", "unknown-senders", "apart"]);
        let apart = || self.alice_laptop.does(&["settings", "get", "unknown-senders"])[0]["value"] == "apart";
        until("both of Alice's devices to know", apart);
        let hello = self.dave.sends(&[alice], &["--text", "you do not know me"]);
        for device in [&self.alice, &self.alice_laptop] {
            until("the stranger's message", || device.has(&hello));
            assert_eq!(device.does(&["conversations", "--unknown"]).len(), 1, "it waits apart");
            assert!(!device.knows(dave));
        }
        self.alice_laptop.does(&["accept", dave]);
        until("both of Alice's devices to list it", || self.alice.knows(dave));

        self.carol.does(&["block", dave]);
        self.dave.sends(&[carol], &["--text", "nor do you"]);
        let after = self.alice.sends(&[carol], &["--text", "did you hear that?"]);
        until("what was said after it", || self.carol.has(&after));
        assert!(!self.carol.knows(dave), "she heard nothing");
        self.carol.does(&["block", dave, "--undo"]);
    }

    /// GRP-1 to GRP-16
    fn they_begin_a_club(&self) {
        let (bob, carol, dave) = (self.bob.handle(), self.carol.handle(), self.dave.handle());
        self.alice.does(&["group", "create", "eaters", bob, carol]);
        let club = |device: &Device| device.does(&["group"]).pop();
        let all_know = |what: &str, is_so: &dyn Fn(&Value) -> bool| {
            for device in self.five() {
                until(what, || club(device).is_some_and(|group| is_so(&group)));
            }
        };
        let members = |group: &Value| group["members"].as_array().unwrap().len();
        all_know("the group", &|group| group["name"] == "eaters" && members(group) == 3);
        self.bob_laptop.does(&["group", "rename", "eaters", "dinner club"]);
        all_know("its name", &|group| group["name"] == "dinner club");
        self.carol.does(&["group", "photo", "dinner club", "https://example.org/club.png"]);
        all_know("its photo", &|group| group["photo"] == "https://example.org/club.png");
        let first = self.all_hear_in_the_group(&self.alice_laptop, "who cooks on Friday?");
        self.carol.does(&["react", &first, "like"]);

        self.alice.does(&["group", "add", "dinner club", dave]);
        all_know("a fourth member", &|group| members(group) == 4);
        until("him to know", || club(&self.dave).is_some_and(|group| group["is_member"] == true));
        self.all_hear_in_the_group(&self.dave, "I do, then I have to go");
        self.dave.does(&["group", "leave", "dinner club"]);
        all_know("that he left", &|group| members(group) == 3);
        self.bob.does(&["group", "add", "dinner club", dave]);
        all_know("that he came back", &|group| members(group) == 4);
        self.carol.does(&["group", "remove", "dinner club", dave]);
        all_know("that he was removed", &|group| members(group) == 3);
        until("him to know that, too", || club(&self.dave).is_some_and(|group| group["is_member"] == false));
        let (code, words) = self.dave.person.fails(&["send", GROUP, "--text", "let me in"]);
        assert!(code == 1 && words.contains("not a member"), "{words}");
        let last = self.all_hear_in_the_group(&self.bob, "so who cooks?");
        assert!(!self.dave.has(&last));
        self.all_see(&first, |line| line["tapbacks"] == json!([tapback(0, "carol", "like")]));
    }

    /// All that a person's devices show is equal, but for what is each device's own; and what people share is, but for what each
    /// of them chose or deleted.
    fn nobodys_devices_differ(&self, said: &Said) {
        for (one, other) in [(&self.alice, &self.alice_laptop), (&self.bob, &self.bob_laptop)] {
            until_equal(|| one.transcript(&OF_A_DEVICE), || other.transcript(&OF_A_DEVICE));
        }
        let of_a_person = [&OF_A_DEVICE[..], &OF_A_PERSON[..]].concat();
        let shared = |device: &Device| {
            let mut transcript = device.transcript(&of_a_person);
            // With the stranger, and with one of the others alone.
            transcript.retain(|_, lines| lines.iter().any(|line| line["group"] != Value::Null) || is_dinner(&lines[0]));
            let deleted_by_bob = |line: &Value| line["id"] == said.card[..];
            transcript.values_mut().for_each(|lines| lines.retain(|line| !deleted_by_bob(line)));
            transcript
        };
        for other in [&self.bob, &self.carol] {
            until_equal(|| shared(&self.alice), || shared(other));
        }
        let lines: Vec<usize> = shared(&self.alice).values().map(Vec::len).collect();
        assert_eq!(lines.iter().sum::<usize>(), 6 + 10, "{lines:?}");
    }

    fn all_see(&self, message: &str, is_so: impl Fn(&Value) -> bool) {
        for device in self.five() {
            until(message, || is_so(&device.line(message)));
        }
    }
}

/// What each device has of its own: its numbers, and how and when it got something.
const OF_A_DEVICE: [&str; 5] = ["number", "origin", "suite", "stored_ms", "sender_device_name"];
/// What each person has of their own: whom they know by what name, what they heard of it, what they read.
const OF_A_PERSON: [&str; 8] =
    ["sender_maybe", "sender_name", "mentions_me", "receipts", "read_ms", "muted", "unknown", "missing_before"];

impl Device {
    fn on(person: Person) -> Self {
        let _agent = open_agent(&person);
        Self { person, _agent }
    }

    fn handle(&self) -> &str {
        &self.person.handle
    }

    fn does(&self, what: &[&str]) -> Vec<Value> {
        self.person.json(what)
    }

    /// Returns the id of what it sent.
    fn sends(&self, to: &[&str], what: &[&str]) -> String {
        let sent = self.does(&[&["send"], to, what].concat());
        sent[0]["message"]["id"].as_str().unwrap().to_owned()
    }

    fn has(&self, message: &str) -> bool {
        self.person.run(&["show", message]).status.success()
    }

    /// A message as it is here now.
    fn line(&self, message: &str) -> Value {
        self.does(&["show", message]).remove(0)["message"].take()
    }

    /// Whether a message is in the history, and not among what was deleted.
    fn lists(&self, message: &str) -> bool {
        self.does(&["export"]).iter().any(|line| line["id"] == message)
    }

    fn knows(&self, handle: &str) -> bool {
        self.does(&["conversations"]).iter().any(|one| one["members"] == json!([format!("mailto:{handle}")]))
    }

    /// The conversation of all three.
    fn dinner(&self) -> Value {
        let is_it = |one: &Value| one["group"] == Value::Null && one["members"].as_array().unwrap().len() == 2;
        self.does(&["conversations"]).into_iter().find(is_it).unwrap()
    }

    /// All that it would print of everything, by conversation, without some fields.
    fn transcript(&self, without: &[&str]) -> BTreeMap<String, Vec<Value>> {
        let mut transcript: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for mut line in self.does(&["export"]) {
            let conversation = line["conversation"].as_str().unwrap().to_owned();
            let fields = line.as_object_mut().unwrap();
            without.iter().for_each(|field| drop(fields.remove(*field)));
            if let Some(Value::Object(answered)) = fields.get_mut("reply_to") {
                answered.remove("number");
            }
            transcript.entry(conversation).or_default().push(line);
        }
        transcript
    }
}

fn is_dinner(line: &Value) -> bool {
    line["recipients"].as_array().is_some_and(|others| others.len() == 2)
}

fn tapback(part: u32, by: &str, tapback: &str) -> Value {
    json!({"part": part, "by": format!("mailto:{by}@example.org"), "tapback": tapback})
}

/// Tapbacks by part and person.
fn sorted(tapbacks: &Value) -> Value {
    let mut tapbacks = tapbacks.as_array().unwrap().clone();
    tapbacks.sort_by_key(|one| (one["part"].as_u64(), one["by"].as_str().map(str::to_owned)));
    Value::Array(tapbacks)
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn until_equal<T: PartialEq + std::fmt::Debug>(one: impl Fn() -> T, other: impl Fn() -> T) {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE && one() != other() {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(one(), other());
}
