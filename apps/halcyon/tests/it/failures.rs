//! What goes wrong, and what a script sees of it.

use crate::world::{World, run};

#[test]
fn an_unknown_person_is_a_user_error() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    for command in [vec!["send", "nobody@example.org", "--text", "hi"], vec!["lookup", "nobody@example.org"]] {
        let (code, said) = alice.fails(&command);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("nobody@example.org"), "{said}");
    }
}

#[test]
fn a_wrong_passphrase_is_a_user_error() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    alice.set_passphrase("not it");
    let (code, said) = alice.fails(&["devices"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("wrong passphrase"), "{said}");
}

#[test]
fn no_profile_says_how_to_get_one() {
    let world = World::new();
    let (code, said) = world.person("carol", "phone").fails(&["listen"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("halcyon register"), "{said}");
}

#[test]
fn a_server_that_is_away_is_a_network_error() {
    let mut world = World::new();
    let alice = world.registered("alice", "phone");
    world.stop_server();
    let (code, said) = alice.fails(&["lookup", "bob@example.org", "--timeout", "5"]);
    assert_eq!(code, 3, "{said}");
    let (code, said) = alice.fails(&["doctor", "--timeout", "5"]);
    assert_eq!(code, 3, "{said}");
    // An attempt that came to nothing leaves nothing.
    let bob = world.person("bob", "phone");
    let (code, said) = world.register(&bob, "phone").end();
    assert_eq!(code, 3, "{said}");
    assert!(!bob.profile().exists());
}

/// The authority of the server was not given, so nobody vouches for it.
#[test]
fn an_untrusted_server_has_a_code_of_its_own() {
    let world = World::new();
    let alice = world.person("alice", "phone");
    let password = world.file("password", "secret");
    let mut command = alice.halcyon(&["register", &alice.handle, "--server", &world.url()]);
    command.arg("--password-file").arg(password);
    let output = run(command);
    assert_eq!(output.status.code(), Some(4), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!alice.profile().exists());
}

/// ACC-4: too many mails to one address.
#[test]
fn asking_too_often_has_a_code_of_its_own() {
    let world = World::with(|settings| settings.limits.verifications_per_handle_hour = 1);
    world.registered("alice", "phone");
    let eve = world.person("alice", "elsewhere");
    let (code, said) = world.register(&eve, "elsewhere").end();
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("wait"), "{said}");
}

/// ACC-21: a wrong code can be typed again, the end of input ends it.
#[test]
fn a_wrong_code_can_be_typed_again() {
    let world = World::new();
    let alice = world.person("alice", "phone");
    let mut registering = world.register(&alice, "phone");
    let code = world.code(&alice.handle);
    let wrong = if code == "000000" { "000001" } else { "000000" };
    registering.type_line(wrong);
    registering.says("tries are left");
    registering.type_line(&code);
    registering.end_well();

    let bob = world.person("bob", "phone");
    let (code, said) = world.register(&bob, "phone").end();
    assert_eq!(code, 1, "{said}");
    assert!(!bob.profile().exists());
}

/// One process a profile: the second one says so.
#[test]
fn a_profile_in_use_is_a_user_error() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let listening = alice.start(&["listen", "--output", "json", "--for", "60"]);
    listening.json("connection");
    let (code, said) = alice.fails(&["devices"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("in use"), "{said}");
}

/// Errors are lines of JSON where results are.
#[test]
fn scripts_get_errors_as_json() {
    let world = World::new();
    let (code, said) = world.person("carol", "phone").fails(&["devices", "--output", "json"]);
    assert_eq!(code, 1);
    let error: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(error["type"], "error");
    assert_eq!(error["fault"], "user");
    assert_eq!(error["exit_code"], 1);
}

/// DIR-7: an address that suddenly stands for somebody else is not sent to until alice says so.
#[test]
fn an_address_that_changed_hands_is_untrusted() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    let begun = bob.json(&["handles", "add", "support@example.org", "--no-wait"]);
    let code = world.code("support@example.org");
    bob.json(&["handles", "verify", "support@example.org", "--id", begun[0]["id"].as_str().unwrap(), "--code", &code]);
    alice.json(&["lookup", "support@example.org"]);

    bob.json(&["handles", "remove", "support@example.org"]);
    world.forget_mails();
    let carol = world.registered("support", "phone");
    for command in [vec!["lookup", &carol.handle], vec!["send", &carol.handle, "--text", "is that you, bob?"]] {
        let (code, said) = alice.fails(&command);
        assert_eq!(code, 4, "{said}");
    }
    alice.json(&["lookup", "--accept", &carol.handle]);
    alice.json(&["send", &carol.handle, "--text", "hello, carol"]);
    let heard = carol.json(&["listen", "--count", "1", "--for", "60"]);
    let message = heard.iter().find(|line| line["type"] == "message").unwrap();
    assert_eq!(message["text"], "hello, carol");
}

/// A profile that somebody changed is not opened, and says so.
#[test]
fn a_tampered_profile_is_an_io_error() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let path = alice.profile().join("store.db");
    let mut bytes = std::fs::read(&path).unwrap();
    // A bit in every page.
    bytes.iter_mut().skip(500).step_by(1000).for_each(|byte| *byte ^= 1);
    std::fs::write(&path, &bytes).unwrap();
    for command in ["devices", "history", "alerts", "handles"] {
        let (code, said) = alice.fails(&[command]);
        assert_eq!(code, 3, "{said}");
        assert!(said.contains("damaged"), "{said}");
    }
}

/// A disk or folder that cannot be written is named.
#[test]
fn an_unwritable_folder_is_an_io_error() {
    let world = World::new();
    let file = world.file("not-a-folder", "");
    let mut command = crate::world::halcyon(&["register", "alice@example.org", "--server", &world.url()]);
    command
        .arg("--profile-folder")
        .arg(file.join("below"))
        .arg("--passphrase-file")
        .arg(world.file("secret", "secret"));
    let output = run(command);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("not-a-folder"), "{said}");
}
