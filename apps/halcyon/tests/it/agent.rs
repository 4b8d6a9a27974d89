//! The agent, through the commands that people use: unlocking, locking, sharing, ending.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

#[cfg(target_os = "linux")]
use halcyon_client::ports::Store as _;
#[cfg(target_os = "linux")]
use halcyon_client_store::{Profile, SqliteStore};
#[cfg(target_os = "linux")]
use halcyon_crypto::{Label, Secret, SecretBytes, aead, kdf, password::PasswordParams};
#[cfg(target_os = "linux")]
use halcyon_keychain::{Class, KEYBAG_BYTES, Keybag};
#[cfg(target_os = "linux")]
use halcyon_suites::DeviceKeys;

use crate::world::{Person, Running, World, run, text};

/// An agent that was not told the passphrase.
pub(crate) fn locked_agent(person: &Person) -> Running {
    let agent = Running::start(person.halcyon_without_passphrase(&["agent", "--output", "json"]));
    let line = agent.json("agent");
    assert_eq!(line["state"], "locked");
    assert!(Path::new(line["socket"].as_str().unwrap()).exists());
    agent
}

/// An agent that has the profile open.
pub(crate) fn open_agent(person: &Person) -> Running {
    let agent = person.start(&["agent", "--output", "json"]);
    assert_eq!(agent.json("agent")["state"], "open");
    agent
}

fn without_passphrase(person: &Person, arguments: &[&str]) -> (i32, String, String) {
    let output = run(person.halcyon_without_passphrase(arguments));
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// After one unlock, commands need no passphrase, and several run at once.
#[test]
fn commands_share_the_agent() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    let agent = locked_agent(&bob);
    assert_eq!(bob.json(&["agent", "status"])[0]["state"], "locked");
    let unlocked = bob.json(&["unlock"]);
    assert_eq!(unlocked[0]["state"], "open");

    let listening =
        Running::start(bob.halcyon_without_passphrase(&["listen", "--output", "json", "--count", "1", "--for", "60"]));
    assert_eq!(listening.json("connection")["type"], "connection");
    let sent = alice.json(&["send", &bob.handle, "--text", "to the agent", "--wait"]);
    assert_eq!(sent[0]["deliveries"][0]["state"], "delivered");
    // The listener still runs while this one is sent.
    let (code, words, errors) = without_passphrase(&bob, &["send", &alice.handle, "--text", "from the agent"]);
    assert_eq!(code, 0, "{errors}");
    assert!(words.contains("accepted for phone"), "{words}");
    assert_eq!(listening.json("message")["text"], "to the agent");
    listening.end_well();

    let (_, history, _) = without_passphrase(&bob, &["history", &alice.handle]);
    assert!(history.contains("to the agent") && history.contains("from the agent"), "{history}");
    let (code, words, _) = without_passphrase(&bob, &["agent", "stop"]);
    assert_eq!((code, words.trim()), (0, "The agent ended."));
    agent.end_well();
    // From now on the command opens the profile itself.
    assert_eq!(bob.json(&["history", &alice.handle]).len(), 2);
    assert_eq!(without_passphrase(&bob, &["agent", "status"]).0, 1);
}

/// What came while nobody listened is in the profile, received and confirmed by the agent alone.
#[test]
fn the_agent_receives_by_itself() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    let agent = open_agent(&bob);
    let sent = alice.json(&["send", &bob.handle, "--text", "anybody there?", "--wait", "--timeout", "60"]);
    assert_eq!(sent[0]["deliveries"][0]["state"], "delivered");
    assert_eq!(bob.json(&["listen", "--count", "1", "--for", "60"]).last().unwrap()["text"], "anybody there?");
    agent.stop();
}

/// KEY-6: a lock ends what people do, and the next command that has the passphrase unlocks.
#[test]
fn a_lock_is_for_people() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let agent = open_agent(&alice);
    let listening = alice.start(&["listen", "--output", "json"]);
    assert_eq!(listening.json("connection")["type"], "connection");
    let locked = alice.json(&["lock"]).remove(0);
    assert_eq!((&locked["state"], &locked["was_unlocked"]), (&"locked".into(), &true.into()));
    // It was told to end, and did so in order.
    listening.end_well();
    let (code, _, errors) = without_passphrase(&alice, &["devices"]);
    assert_eq!(code, 1, "{errors}");
    assert!(errors.contains("input ended where passphrase of the profile was expected"), "{errors}");
    assert_eq!(alice.json(&["devices"])[0]["name"], "phone");
    assert_eq!(alice.json(&["agent", "status"])[0]["state"], "open");

    assert_eq!(alice.json(&["lock"])[0]["state"], "locked");
    alice.set_passphrase("something else\n");
    let (code, errors) = alice.fails(&["unlock"]);
    assert_eq!(code, 1);
    assert!(errors.contains("passphrase"), "{errors}");
    assert_eq!(alice.json(&["agent", "status"])[0]["state"], "locked");
    agent.stop();
}

#[test]
fn one_agent_a_profile() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let agent = locked_agent(&alice);
    let (code, errors) = alice.fails(&["agent"]);
    assert_eq!(code, 1);
    assert!(errors.contains("an agent of this profile runs already"), "{errors}");
    // Another profile has its own.
    let bob = world.registered("bob", "phone");
    locked_agent(&bob).stop();
    agent.stop();
    let (code, errors) = world.person("nobody", "phone").fails(&["agent"]);
    assert_eq!(code, 1);
    assert!(errors.contains("halcyon register"), "{errors}");
}

/// An agent that was killed leaves nothing that is in the way.
#[test]
fn a_killed_agent_is_replaced() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let sockets = || fs::read_dir(world.runtime_folder().join("halcyon")).unwrap().count();
    open_agent(&alice).kill();
    assert_eq!(sockets(), 1);
    assert_eq!(alice.json(&["devices"])[0]["name"], "phone", "without an agent, a command does it");
    let agent = open_agent(&alice);
    assert_eq!(sockets(), 1);
    assert_eq!(alice.json(&["devices"])[0]["name"], "phone");
    agent.stop();
    assert_eq!(sockets(), 0);
}

/// Nobody else may put a socket where commands look for it.
#[test]
fn a_runtime_folder_that_others_may_enter_is_refused() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let folder = world.runtime_folder().join("halcyon");
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let (code, errors) = alice.fails(&["agent"]);
    assert_eq!(code, 1);
    assert!(errors.contains("belongs to somebody else, or is open to others"), "{errors}");
    fs::remove_dir(&folder).unwrap();
    let agent = locked_agent(&alice);
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    for socket in fs::read_dir(&folder).unwrap() {
        assert_eq!(socket.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    agent.stop();
}

/// Questions of a command in the agent reach the terminal of the one that was typed.
#[test]
fn questions_reach_whoever_typed() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    let agent = open_agent(&alice);
    // A text from standard input.
    let mut sending = alice.start(&["send", &bob.handle, "--output", "json"]);
    sending.type_line("two\nlines");
    let (code, errors) = sending.end();
    assert_eq!(code, 0, "{errors}");
    assert_eq!(bob.json(&["listen", "--count", "1", "--for", "60"]).last().unwrap()["text"], "two\nlines");
    // A consent, and a code.
    let mut resetting = alice.start(&["sessions", "reset"]);
    resetting.says("begin 1 session anew? yes or no");
    resetting.type_line("no");
    let (code, errors) = resetting.end();
    assert!(code == 1 && errors.contains("nothing was done"), "{errors}");
    let mut adding = alice.start(&["handles", "add", "alice@example.com"]);
    adding.says("code:");
    adding.type_line("000000");
    adding.says("code");
    adding.type_line(&world.code("alice@example.com"));
    adding.end_well();
    assert_eq!(alice.json(&["handles"]).len(), 2);
    // Lines, while others arrive.
    let mut talking = alice.start(&["talk", &bob.handle]);
    talking.type_line("a line");
    bob.json(&["send", &alice.handle, "--text", "an answer"]);
    talking.line("the answer", |line| line.contains("an answer"));
    talking.end_well();
    agent.stop();
}

/// An agent that lost its server tries ever more seldom, but not while somebody waits for it.
#[test]
fn a_command_does_not_wait_for_the_next_try() {
    let mut world = World::new();
    let alice = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    let agent = open_agent(&alice);
    world.stop_server();
    let begun = Instant::now();
    let next_try_ms = loop {
        let connection = alice.json(&["agent", "status"])[0]["connection"].clone();
        let until_ms = connection["until_ms"].as_u64().unwrap_or_default();
        if connection["state"] == "waiting" && until_ms > now_ms() + 6_000 {
            break until_ms;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{connection}");
        std::thread::sleep(Duration::from_millis(200));
    };
    world.start_server();
    assert_eq!(alice.json(&["send", &bob.handle, "--text", "now"])[0]["done"], true);
    assert!(now_ms() < next_try_ms, "it waited for the next try");
    agent.stop();
}

fn now_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since_1970.as_millis()).unwrap()
}

/// KEY-6, RCV-1: locked, the agent goes on receiving, opening and confirming; nobody gets anything from it.
#[test]
fn a_locked_agent_goes_on_receiving() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    let agent = open_agent(&bob);
    bob.json(&["lock"]);
    let sent = alice.json(&["send", &bob.handle, "--text", "while you were out", "--wait", "--timeout", "60"]);
    assert_eq!(sent[0]["deliveries"][0]["state"], "delivered");
    let status = bob.json(&["agent", "status"]).remove(0);
    assert_eq!((&status["state"], &status["connection"]["state"]), (&"locked".into(), &"online".into()), "{status}");
    assert_eq!(without_passphrase(&bob, &["history", &alice.handle]).0, 1);
    assert_eq!(bob.json(&["history", &alice.handle])[0]["text"], "while you were out");
    agent.stop();
}

/// KEY-10 to KEY-12: an agent that was restarted and not unlocked takes what comes off the server, for later; after the unlock all of it is
/// there once, in its order, and confirmed. A kill in between loses nothing, nor does a command without an agent.
#[test]
fn before_the_first_unlock_messages_are_kept_sealed() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let bob = world.registered("bob", "phone");
    // Bob's agent had the profile open once; they know each other.
    let agent = open_agent(&bob);
    alice.json(&["send", &bob.handle, "--text", "0", "--wait", "--timeout", "60"]);
    agent.stop();

    for round in [1, 4] {
        let agent = locked_agent(&bob);
        for n in round..round + 2 {
            alice.json(&["send", &bob.handle, "--text", &n.to_string()]);
        }
        let status = until_waiting(&bob, 2);
        assert_eq!((&status["state"], &status["was_unlocked"]), (&"locked".into(), &false.into()));
        assert_eq!(status["connection"]["state"], "online");
        let words = text(&bob.run(&["agent", "status"]).stdout);
        assert!(words.contains("connection: online; 2 sealed messages wait"), "{words}");
        agent.kill();
        // The next one has it, and more.
        let agent = locked_agent(&bob);
        alice.json(&["send", &bob.handle, "--text", &(round + 2).to_string()]);
        until_waiting(&bob, 3);
        if round == 1 {
            assert_eq!(bob.json(&["unlock"])[0]["waiting"], 0);
            agent.stop();
        } else {
            agent.kill();
        }
        let history = bob.json(&["history", &alice.handle]);
        let texts: Vec<&str> = history.iter().map(|line| line["text"].as_str().unwrap()).collect();
        let expected: Vec<String> = (0..round + 3).map(|n| n.to_string()).collect();
        assert_eq!(texts, expected, "round {round}");
    }
    // The confirmations of what was received sealed leave when bob is online.
    let listening = bob.start(&["listen", "--output", "json"]);
    let begun = Instant::now();
    let delivered = |number: u64| {
        let shown = alice.json(&["show", &number.to_string()]);
        shown[0]["deliveries"][0]["state"] == "delivered"
    };
    while !(1..=7).all(delivered) {
        assert!(begun.elapsed() < Duration::from_secs(60), "not all are confirmed");
        alice.json(&["listen", "--for", "1"]);
    }
    listening.stop();
}

/// Waits until the agent of a person has so many sealed messages.
fn until_waiting(person: &Person, count: u64) -> serde_json::Value {
    let begun = Instant::now();
    loop {
        let status = person.json(&["agent", "status"]).remove(0);
        if status["waiting"] == count {
            return status;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{status}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A command begins an agent where none runs; the next one needs no passphrase, and a pipe that it was in ends with the command.
#[test]
fn a_command_begins_an_agent() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let auto = |mut command: std::process::Command| {
        run({
            command.env("HALCYON_AGENT", "auto");
            command
        })
    };
    let listed = auto(alice.halcyon(&["devices", "--output", "json"]));
    assert!(listed.status.success(), "{}", text(&listed.stderr));
    let agent = alice.json(&["agent", "status"]).remove(0);
    assert_eq!(agent["state"], "open");
    let (code, words, errors) = without_passphrase(&alice, &["devices"]);
    assert!(code == 0 && words.contains("phone"), "{errors}");
    // Not a second one, and none against the person's will.
    assert!(auto(alice.halcyon(&["devices"])).status.success());
    assert_eq!(alice.json(&["agent", "status"])[0]["pid"], agent["pid"]);
    alice.json(&["agent", "stop"]);
    assert!(alice.run(&["devices"]).status.success());
    assert_eq!(without_passphrase(&alice, &["agent", "status"]).0, 1);
    // Without a profile there is nothing to begin one for.
    let nobody = auto(world.person("nobody", "phone").halcyon(&["devices"]));
    assert!(text(&nobody.stderr).contains("halcyon register"), "{}", text(&nobody.stderr));
}

/// KEY-2 to KEY-7: which keys are in the memory of an agent, in each of its states.
#[cfg(target_os = "linux")]
#[test]
fn each_state_has_its_keys() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let passphrase = SecretBytes::copy_of(alice.passphrase().as_bytes());
    let device_secret = fs::read(alice.profile().join("device-secret")).unwrap();
    let classes = class_keys(alice.profile(), &passphrase, &device_secret);
    let (account_key, device_key) = {
        let profile = Profile::at(alice.profile(), PasswordParams::PRODUCTION).unwrap();
        let store = SqliteStore::new(profile.open(&passphrase, Box::new(rand::rngs::OsRng)).unwrap()).unwrap();
        let record = store.profile().unwrap().unwrap();
        (record.account_key, DeviceKeys::from_secret_bytes(record.device_keys.expose()).unwrap().device.to_secret())
    };
    let agent = locked_agent(&alice);
    let socket = fs::read_to_string(alice.profile().join("agent.lock")).unwrap();
    // Nothing of it can be swapped, if the system allows that.
    let memory = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let is_locked = memory.lines().any(|line| line.starts_with("VmLck:") && !line.ends_with(" 0 kB"));
    assert_eq!(alice.json(&["agent", "status"])[0]["memory_locked"], is_locked);
    let mut table = Vec::new();
    for state in ["before", "open", "locked", "open again", "forgotten"] {
        match state {
            "open" | "open again" => assert_eq!(alice.json(&["unlock"])[0]["state"], "open"),
            "locked" => assert_eq!(alice.json(&["lock"])[0]["state"], "locked"),
            "forgotten" => assert_eq!(alice.json(&["lock", "--forget"])[0]["was_unlocked"], false),
            _ => {}
        }
        let memory = match memory_of(agent.pid()) {
            Ok(memory) => memory,
            // Not even this user may look, unless it is root; then there is nothing to search.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return agent.stop(),
            Err(error) => panic!("{state}: {error}"),
        };
        // What must be there, so that the search is known to find.
        assert!(contains(&memory, socket.as_bytes()), "{state}");
        for (name, secret) in [("passphrase", passphrase.expose()), ("device secret", &device_secret)] {
            assert!(!contains(&memory, secret), "{state}: {name}");
        }
        let has = |secret: &[u8]| contains(&memory, secret);
        // A class is readable by its key, and by what is derived of that.
        let class_keys: Vec<u8> = classes
            .iter()
            .filter(|(_, keys)| keys.iter().any(|key| has(key.expose())))
            .map(|(class, _)| class.number())
            .collect();
        table.push((state, class_keys, has(account_key.expose()), has(device_key.expose())));
    }
    let all = vec![1, 2, 3, 4, 5];
    let expected = [
        ("before", vec![5], false, false),
        ("open", all.clone(), true, true),
        ("locked", vec![2, 4, 5], true, true),
        ("open again", all, true, true),
        ("forgotten", vec![5], false, false),
    ];
    assert_eq!(table, expected);
    agent.stop();
    // On the disk, they are nowhere in any state.
    for file in fs::read_dir(alice.profile()).unwrap() {
        let path = file.unwrap().path();
        let content = fs::read(&path).unwrap();
        let found = classes.iter().flat_map(|(_, keys)| keys).any(|key| contains(&content, key.expose()))
            || contains(&content, account_key.expose())
            || contains(&content, passphrase.expose());
        assert!(!found, "{}", path.display());
    }
}

/// The key of each class of a profile, and those of its items: KEY-2 to KEY-4 once more, from the file that the profile has.
#[cfg(target_os = "linux")]
fn class_keys(profile: &Path, passphrase: &SecretBytes, device_secret: &[u8]) -> Vec<(Class, Vec<Secret<32>>)> {
    const HEADER: usize = 8 + 16 + 16;
    let file = fs::read(profile.join("profile.key")).unwrap();
    let keybag = &file[9..9 + KEYBAG_BYTES];
    let device_secret = Secret::try_from(device_secret).unwrap();
    let by_passphrase = Keybag::from_bytes(keybag).unwrap();
    let by_passphrase = by_passphrase.wrapping_key(passphrase, &device_secret, PasswordParams::PRODUCTION).unwrap();
    let by_device = kdf::labelled_key(Label::Keybag, &device_secret, &[b"device", &keybag[8..24]]);
    let keys = |class: Class| {
        let entry = &keybag[HEADER + 60 * usize::from(class.number() - 1)..][..60];
        let under = if class == Class::AlwaysThisDeviceOnly { &by_device } else { by_passphrase.as_secret() };
        let bound = [&keybag[..HEADER], &[class.number()]].concat();
        let key = aead::open(under, entry[..12].try_into().unwrap(), &bound, &entry[12..]).unwrap();
        let key = Secret::<32>::try_from(key.expose()).unwrap();
        let derived = |what: &[u8]| kdf::labelled_key(Label::KeychainItem, &key, &[&[class.number()], what]);
        vec![derived(b"values"), derived(b"names"), key.clone()]
    };
    Class::ALL.map(|class| (class, keys(class))).to_vec()
}

/// Everything that a process can write to.
#[cfg(target_os = "linux")]
fn memory_of(pid: u32) -> std::io::Result<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let mut file = fs::File::open(format!("/proc/{pid}/mem"))?;
    let mut memory = Vec::new();
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw"))) {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let (start, end) = (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
        file.seek(SeekFrom::Start(start))?;
        // A mapping that went away meanwhile holds nothing.
        let _ = Read::by_ref(&mut file).take(end - start).read_to_end(&mut memory);
    }
    assert!(memory.len() > 100_000, "a process has more memory than {} bytes", memory.len());
    Ok(memory)
}

#[cfg(target_os = "linux")]
fn contains(memory: &[u8], secret: &[u8]) -> bool {
    assert!(secret.len() >= 16);
    memchr::memmem::find(memory, secret).is_some()
}
