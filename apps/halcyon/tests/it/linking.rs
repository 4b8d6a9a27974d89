//! A person gets a second device, and loses one.

use crate::world::{Person, Running, World};

fn link(world: &World, person: &crate::world::Person) -> Running {
    let password = world.file("linking.password", &format!("password of {}\n", person.handle));
    let mut command = person.halcyon(&[
        "link",
        &person.handle,
        "--device-name",
        "laptop",
        "--output",
        "json",
        "--server",
        &world.url(),
    ]);
    command.arg("--ca").arg(world.authority()).arg("--password-file").arg(password);
    Running::start(command)
}

/// A second device of a person, called laptop.
pub(crate) fn linked(world: &World, phone: &Person, name: &str) -> Person {
    let laptop = world.person(name, "laptop");
    let linking = link(world, &laptop);
    let mut approving = phone.start(&["approve", "--wait", "--timeout", "60"]);
    approving.type_line(linking.json("digits")["digits"].as_str().unwrap());
    approving.end_well();
    linking.end_well();
    laptop
}

/// LNK-1 to LNK-10: password, approval, six digits; a typing mistake is forgiven. Then both devices get everything, until one is
/// removed (DIR-5).
#[test]
fn a_laptop_joins_and_leaves() {
    let world = World::new();
    let phone = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    let laptop = world.person("alice", "laptop");

    let linking = link(&world, &laptop);
    let mut approving = phone.start(&["approve", "--wait", "--timeout", "60"]);
    let digits = linking.json("digits")["digits"].as_str().unwrap().to_owned();
    assert_eq!(digits.len(), 6);
    let wrong = if digits == "000000" { "000001" } else { "000000" };
    approving.type_line(wrong);
    approving.says("tries are left");
    approving.type_line(&digits);
    approving.end_well();
    assert_eq!(linking.json("account")["device_name"], "laptop");
    linking.end_well();

    let devices = phone.json(&["devices"]);
    let mut names: Vec<&str> = devices.iter().map(|device| device["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["laptop", "phone"]);

    bob.json(&["send", &phone.handle, "--text", "for both of you"]);
    phone.json(&["send", &bob.handle, "--text", "from the phone"]);
    let heard = laptop.json(&["listen", "--count", "2", "--for", "60"]);
    let heard: Vec<(&str, &str)> = heard
        .iter()
        .filter(|line| line["type"] == "message")
        .map(|line| (line["origin"].as_str().unwrap(), line["text"].as_str().unwrap()))
        .collect();
    assert_eq!(heard, [("peer", "for both of you"), ("own-device", "from the phone")]);

    laptop.json(&["devices", "rename", "desk"]);
    assert_eq!(phone.json(&["devices", "remove", "desk"])[0]["type"], "removed");
    // No patience would help, so none is spent.
    let begun = std::time::Instant::now();
    let (code, said) = laptop.fails(&["send", &bob.handle, "--text", "still me", "--timeout", "600"]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("refuses this device") && said.contains("halcyon link"), "{said}");
    assert!(begun.elapsed().as_secs() < 300, "it waited for what cannot come");
    // DIR-40: the phone was told of everything.
    phone.json(&["listen", "--for", "3"]);
    let notices: Vec<String> =
        phone.json(&["alerts", "--all"]).iter().map(|alert| alert["notice"].as_str().unwrap().to_owned()).collect();
    for notice in ["link-requested", "device-added", "device-removed"] {
        assert!(notices.iter().any(|seen| seen == notice), "{notice} is not in {notices:?}");
    }
    assert_eq!(phone.json(&["alerts"]).len(), 0);
}

/// LNK-7: three wrong tries end it, and the new device is as empty as before.
#[test]
fn three_wrong_tries_end_a_link() {
    let world = World::new();
    let phone = world.registered("alice", "phone");
    let laptop = world.person("alice", "laptop");
    let linking = link(&world, &laptop);
    let mut approving = phone.start(&["approve", "--wait", "--timeout", "60"]);
    let digits = linking.json("digits")["digits"].as_str().unwrap().to_owned();
    let wrong = if digits == "123456" { "654321" } else { "123456" };
    for _ in 0..3 {
        approving.type_line(wrong);
    }
    let (code, said) = approving.end();
    assert_eq!(code, 1, "{said}");
    let (code, said) = linking.end();
    assert_eq!(code, 1, "{said}");
    assert!(!laptop.profile().exists());
}
