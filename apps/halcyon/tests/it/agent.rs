//! The agent, through the commands that people use: unlocking, locking, sharing, ending.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

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

/// A lock forgets all keys, and the next command that has the passphrase unlocks.
#[test]
fn a_lock_closes_the_profile() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let agent = open_agent(&alice);
    let listening = alice.start(&["listen", "--output", "json"]);
    assert_eq!(listening.json("connection")["type"], "connection");
    assert_eq!(alice.json(&["lock"])[0]["state"], "locked");
    // It was told to end, and did so in order.
    listening.end_well();
    // Nobody holds the store any more, so it can be opened by another.
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

/// The secrets that open a profile are in no memory of an agent that is locked, nor in that of one which was.
#[cfg(target_os = "linux")]
#[test]
fn a_locked_agent_has_no_secrets() {
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let passphrase = alice.passphrase().into_bytes();
    let device_secret = fs::read(alice.profile().join("device-secret")).unwrap();
    let agent = locked_agent(&alice);
    let socket = fs::read_to_string(alice.profile().join("agent.lock")).unwrap();
    let memory = |state: &str| match memory_of(agent.pid()) {
        Ok(memory) => memory,
        // Not even this user may look, unless it is root; then there is nothing to search.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Vec::new(),
        Err(error) => panic!("{state}: {error}"),
    };
    let mut found = Vec::new();
    for state in ["before", "open", "locked", "open again", "locked again"] {
        match state {
            "open" | "open again" => assert_eq!(alice.json(&["unlock"])[0]["state"], "open"),
            "locked" | "locked again" => assert_eq!(alice.json(&["lock"])[0]["state"], "locked"),
            _ => {}
        }
        let memory = memory(state);
        // What must be there, so that the search is known to find.
        assert!(memory.is_empty() || contains(&memory, socket.as_bytes()), "{state}");
        for (name, secret) in [("passphrase", &passphrase), ("device secret", &device_secret)] {
            if contains(&memory, secret) {
                found.push(format!("{state}: {name}"));
            }
        }
    }
    assert_eq!(found, Vec::<String>::new());
    agent.stop();
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
