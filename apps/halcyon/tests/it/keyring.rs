//! The device secret in a real keyring: a bus and a GNOME Keyring of the test's own, and the built program.
//!
//! They need the packages of `.ci/packages`. Where `CI` is set, their absence is a failure; elsewhere the test says that it did
//! not run. Neither the session of whoever runs the tests nor their keyring is touched.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::world::{Person, Running, World, is_there, run, text};

const POINTER: &str = "device-secret.keyring";
const FILE: &str = "device-secret";
/// What the keyring says, in the desktop's folder.
const KEYRING_LOG: &str = "keyring.log";

/// A bus, a keyring on it that is open, and the folders of both.
struct Desktop {
    folder: TempDir,
    bus: Child,
    address: String,
    keyring: Option<Child>,
}

impl Desktop {
    /// Nothing, said aloud, where the programs are missing; a failure of the test where `CI` is set.
    fn new() -> Option<Self> {
        for (program, flag) in
            [("dbus-daemon", "--version"), ("gnome-keyring-daemon", "--version"), ("secret-tool", "")]
        {
            if !is_there(program, flag) {
                return None;
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("bus.conf");
        // Without services that start on demand, nothing answers but what the test started.
        fs::write(
            &config,
            format!(
                r#"<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>
                <policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
                </busconfig>"#,
                folder.path().join("bus").display()
            ),
        )
        .unwrap();
        let mut bus = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--nopidfile", "--print-address"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(bus.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let mut desktop = Self { folder, bus, address: address.trim().to_owned(), keyring: None };
        desktop.start_keyring();
        Some(desktop)
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        let path = |name| self.folder.path().join(name).into_os_string();
        vec![
            ("DBUS_SESSION_BUS_ADDRESS", self.address.clone().into()),
            ("XDG_DATA_HOME", path("data")),
            ("XDG_RUNTIME_DIR", path("run")),
            ("HOME", path("home")),
        ]
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).envs(self.environment()).env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
        command
    }

    /// Starts the keyring and unlocks it; the first time, that makes it.
    fn start_keyring(&mut self) {
        for name in ["data", "run", "home"] {
            fs::create_dir_all(self.folder.path().join(name)).unwrap();
        }
        let log = fs::File::create(self.folder.path().join(KEYRING_LOG)).unwrap();
        let mut keyring = self
            .command("gnome-keyring-daemon", &["--foreground", "--components=secrets", "--unlock"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        keyring.stdin.take().unwrap().write_all(b"password of alice's session").unwrap();
        self.keyring = Some(keyring);
        let begun = Instant::now();
        while !self.answers() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the keyring does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn answers(&self) -> bool {
        let read =
            self.bus_call(&["/org/freedesktop/secrets", "org.freedesktop.Secret.Service.ReadAlias", "string:default"]);
        read.is_some_and(|answer| answer.contains("/collection/"))
    }

    fn bus_call(&self, call: &[&str]) -> Option<String> {
        let to = ["--session", "--print-reply", "--reply-timeout=2000", "--dest=org.freedesktop.secrets"];
        let output = run(self.command("dbus-send", &[&to[..], call].concat()));
        output.status.success().then(|| text(&output.stdout))
    }

    fn lock(&self) {
        let collection = "array:objpath:/org/freedesktop/secrets/collection/login";
        self.bus_call(&["/org/freedesktop/secrets", "org.freedesktop.Secret.Service.Lock", collection]).unwrap();
    }

    fn stop_keyring(&mut self) {
        let mut keyring = self.keyring.take().unwrap();
        keyring.kill().unwrap();
        keyring.wait().unwrap();
    }

    /// Sends the keyring a signal, so that it hangs (`STOP`) or goes on (`CONT`).
    fn signal(&self, name: &str) {
        let id = self.keyring.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }

    /// The ids of the items that are ours.
    fn ids(&self) -> Vec<String> {
        let output = run(self.command("secret-tool", &["search", "--all", "--unlock", "application", "halcyon"]));
        // Attributes are on standard error, the rest, with values that are no text, on standard output.
        let all = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&all)
            .lines()
            .filter_map(|line| line.strip_prefix("attribute.id = ").map(str::to_owned))
            .collect()
    }

    fn label(&self, id: &str) -> String {
        let output = run(self.command("secret-tool", &["search", "application", "halcyon", "id", id]));
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .find_map(|line| line.strip_prefix("label = "))
            .unwrap()
            .to_owned()
    }

    fn value(&self, id: &str) -> Vec<u8> {
        run(self.command("secret-tool", &["lookup", "application", "halcyon", "id", id])).stdout
    }

    fn replace(&self, id: &str, value: &str) {
        let mut tool = self
            .command("secret-tool", &["store", "--label=x", "application", "halcyon", "id", id])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        tool.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
        assert!(tool.wait().unwrap().success());
    }
}

impl Drop for Desktop {
    #[allow(clippy::print_stderr, reason = "a test that fails says what it knows of the others' programs")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Whether it was the keyring that failed.
            let ended = self.keyring.as_mut().map(Child::try_wait);
            let log = fs::read_to_string(self.folder.path().join(KEYRING_LOG));
            eprintln!("the keyring ended: {ended:?}; it said: {}", log.unwrap_or_default());
            eprintln!("the bus ended: {:?}", self.bus.try_wait());
        }
        for process in self.keyring.iter_mut().chain([&mut self.bus]) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A device of a person who sits before this desktop, and whom no variable of the test's helps to choose.
fn at(desktop: &Desktop, mut person: Person) -> Person {
    person.environment = desktop.environment();
    person.environment.push(("HALCYON_DEVICE_SECRET", "auto".into()));
    person
}

fn register(world: &World, person: &Person, device: &str) {
    let mut registering = world.register(person, device);
    registering.says("code:");
    registering.type_line(&world.code(&person.handle));
    registering.end_well();
}

fn files(folder: &Path) -> Vec<(OsString, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap())
        .map(|file| (file.file_name(), fs::read(file.path()).unwrap()))
        .collect();
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for (name, content) in files(from) {
        fs::write(to.join(name), content).unwrap();
    }
}

/// STO-2, STO-3, STO-5: two profiles of alice are made, each secret is in the keyring and not in its folder, and later processes
/// open both; a copy opens nowhere else.
#[test]
fn secrets_are_in_the_keyring_and_not_in_the_folder() {
    let Some(desktop) = Desktop::new() else { return };
    let world = World::new();
    let desk = at(&desktop, world.person("alice", "desk"));
    let work = at(&desktop, world.person("bob", "work"));
    register(&world, &desk, "desk");
    register(&world, &work, "work");

    let ids = desktop.ids();
    assert_eq!(ids.len(), 2, "{ids:?}");
    for person in [&desk, &work] {
        let folder = person.profile();
        let pointer = fs::read_to_string(folder.join(POINTER)).unwrap();
        let id = ids.iter().find(|id| pointer.contains(*id)).unwrap();
        let value = desktop.value(id);
        let path = folder.canonicalize().unwrap();
        assert!(value.ends_with(path.to_str().unwrap().as_bytes()), "the item names its folder");
        assert!(!folder.join(FILE).exists());
        for (name, content) in files(folder) {
            assert!(!content.windows(32).any(|window| window == &value[..32]), "the secret is in {}", name.display());
        }
        let label = desktop.label(id);
        assert!(label.contains(path.to_str().unwrap()), "{label}");

        let mut verbose = person.halcyon(&["doctor"]);
        verbose.env("HALCYON_LOG", "trace");
        let doctor = run(verbose);
        assert!(doctor.status.success(), "{}", text(&doctor.stderr));
        let said = text(&doctor.stdout) + &text(&doctor.stderr);
        assert!(said.contains(&format!("device secret: in the keyring, as \"{label}\"")), "{said}");
        let hex: String = value[..32].iter().map(|byte| format!("{byte:02x}")).collect();
        let list = format!("{:?}", &value[..32]);
        assert!(!said.contains(&hex) && !said.contains(list.trim_matches(['[', ']'])), "the secret was logged");
    }

    let mut copied = desk.clone();
    copied.profile = desk.profile().with_file_name("copy");
    copy(desk.profile(), copied.profile());
    let before = files(copied.profile());
    let (code, said) = copied.fails(&["history"]);
    assert_eq!(code, 3);
    assert!(said.contains("was made in") && said.contains(desk.profile().to_str().unwrap()), "{said}");
    assert_eq!(files(copied.profile()), before, "nothing was changed");
    desk.json(&["history"]);
}

/// STO-4: a keyring that is locked, stopped, elsewhere or hangs is an error that says which; nothing is lost, and the profile
/// opens when it is back.
#[test]
fn a_keyring_in_trouble_is_told_and_nothing_is_lost() {
    let Some(mut desktop) = Desktop::new() else { return };
    let world = World::new();
    let alice = at(&desktop, world.person("alice", "desk"));
    register(&world, &alice, "desk");
    let before = files(alice.profile());
    let refused = |person: &Person, words: &str| {
        let (code, said) = person.fails(&["history"]);
        assert_eq!(code, 3, "{said}");
        assert!(said.contains("the keyring cannot be used") && said.contains(words), "{said}");
        assert!(said.contains("try again"), "{said}");
    };

    desktop.lock();
    refused(&alice, "it is locked");
    // With a screen the person is asked; here nothing can show a window, which is an answer, too.
    let mut with_screen = alice.clone();
    with_screen.environment.push(("DISPLAY", ":987".into()));
    let begun = Instant::now();
    refused(&with_screen, "it is locked");
    assert!(begun.elapsed() < Duration::from_secs(90), "it waited for {:?}", begun.elapsed());

    desktop.stop_keyring();
    refused(&alice, "the session has no secret service");
    let (_, doctor) = (alice.fails(&["doctor"]), text(&alice.run(&["doctor"]).stdout));
    assert!(doctor.contains("device secret: in the keyring"), "{doctor}");

    let mut elsewhere = alice.clone();
    elsewhere.environment.push(("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus".into()));
    refused(&elsewhere, "no session bus");

    desktop.start_keyring();
    desktop.signal("STOP");
    let begun = Instant::now();
    refused(&alice, "did not answer within 15 seconds");
    assert!(begun.elapsed() < Duration::from_secs(40), "it waited for {:?}", begun.elapsed());
    desktop.signal("CONT");

    assert_eq!(files(alice.profile()), before, "nothing was changed");
    alice.json(&["history"]);
}

/// STO-4: an item that is gone, damaged or another's does not open the profile, and no other secret is made.
#[test]
fn an_item_that_is_gone_or_wrong_is_told() {
    let Some(desktop) = Desktop::new() else { return };
    let world = World::new();
    let alice = at(&desktop, world.person("alice", "desk"));
    register(&world, &alice, "desk");
    let before = files(alice.profile());
    let [id] = &desktop.ids()[..] else { panic!("one item") };
    let path = alice.profile().canonicalize().unwrap();
    let refused = |words: &str| {
        let (code, said) = alice.fails(&["history"]);
        assert_eq!(code, 3, "{said}");
        assert!(said.contains(words), "{said}");
    };

    desktop.replace(id, &format!("{}{}", "y".repeat(32), path.display()));
    refused("the device secret is not this profile's");
    desktop.replace(id, "short");
    refused("is damaged");
    assert!(run(desktop.command("secret-tool", &["clear", "application", "halcyon", "id", id])).status.success());
    refused("the keyring does not have this profile's device secret");
    assert_eq!(desktop.ids(), Vec::<String>::new(), "no other was made");
    assert_eq!(files(alice.profile()), before, "nothing was changed");
}

/// STO-2, STO-3: without a keyring, or with one that hangs or is locked, the secret is a file, and stays one; who asks for a
/// keyring gets it or nothing.
#[test]
fn without_a_keyring_the_secret_is_a_file() {
    let Some(desktop) = Desktop::new() else { return };
    let world = World::new();
    let asks = |person: &Person, place: &str| {
        let mut command = person.halcyon(&["register", &person.handle, "--no-wait", "--server", &world.url()]);
        command.arg("--ca").arg(world.authority()).args(["--device-secret", place]);
        run(command)
    };

    let mut alice = at(&desktop, world.person("alice", "server"));
    alice.environment.push(("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus".into()));
    let refused = asks(&alice, "keyring");
    assert_eq!(refused.status.code(), Some(3));
    assert!(text(&refused.stderr).contains("no session bus"), "{}", text(&refused.stderr));
    assert!(!alice.profile().exists(), "nothing was made");
    let made = asks(&alice, "auto");
    assert!(made.status.success() && text(&made.stderr).contains("it is a file"), "{}", text(&made.stderr));
    assert_eq!(fs::read(alice.profile().join(FILE)).unwrap().len(), 32);

    // The keyring comes; the profile stays with its file, and says so to who wants it elsewhere.
    let alice = at(&desktop, alice);
    let other = asks(&alice, "keyring");
    assert_eq!(other.status.code(), Some(1));
    assert!(text(&other.stderr).contains("chosen once"), "{}", text(&other.stderr));
    assert!(asks(&alice, "auto").status.success());

    let bob = at(&desktop, world.person("bob", "desk"));
    assert!(asks(&bob, "file").status.success());
    assert!(bob.profile().join(FILE).exists() && desktop.ids().is_empty());

    desktop.signal("STOP");
    let carol = at(&desktop, world.person("carol", "desk"));
    let begun = Instant::now();
    assert!(asks(&carol, "auto").status.success());
    assert!(begun.elapsed() < Duration::from_secs(20), "it waited for {:?}", begun.elapsed());
    assert!(carol.profile().join(FILE).exists());
    desktop.signal("CONT");

    desktop.lock();
    let dave = at(&desktop, world.person("dave", "desk"));
    assert!(asks(&dave, "auto").status.success());
    assert!(dave.profile().join(FILE).exists());
}

/// STO-6, LNK-10: an attempt that comes to nothing leaves nothing, in the keyring either.
#[test]
fn a_removed_profile_leaves_nothing_in_the_keyring() {
    let Some(desktop) = Desktop::new() else { return };
    let world = World::new();
    let alice = world.registered("alice", "phone");
    let laptop = at(&desktop, world.person("alice", "laptop"));
    let wrong = world.file("wrong", "not the password\n");
    let mut link = laptop.halcyon(&["link", &alice.handle, "--device-secret", "keyring", "--server", &world.url()]);
    link.arg("--ca").arg(world.authority()).arg("--password-file").arg(wrong);
    let linked = run(link);
    assert_eq!(linked.status.code(), Some(1), "{}", text(&linked.stderr));
    assert!(!laptop.profile().exists());
    assert_eq!(desktop.ids(), Vec::<String>::new());
}

/// KEY-9: a person who chose so is asked no more, by an agent that begins neither; a locked keyring asks again, and so does a person who
/// changed their mind.
#[test]
fn the_keyring_unlocks_by_choice() {
    let Some(mut desktop) = Desktop::new() else { return };
    let world = World::new();
    let desk = at(&desktop, world.person("alice", "desk"));
    register(&world, &desk, "desk");
    let agent = || Running::start(desk.halcyon_without_passphrase(&["agent", "--output", "json"]));
    let state = |agent: &Running| agent.json("agent")["state"].clone();
    let first = agent();
    assert_eq!(state(&first), "locked");
    assert_eq!(desk.json(&["unlock", "--remember"])[0]["state"], "open");
    desk.json(&["lock"]);
    let unlocked = run(desk.halcyon_without_passphrase(&["unlock", "--output", "json"]));
    assert!(unlocked.status.success(), "{}", text(&unlocked.stderr));
    first.stop();
    let second = agent();
    assert_eq!(state(&second), "open");
    second.stop();
    // Nothing in the folder opens it without the keyring.
    desktop.stop_keyring();
    let third = agent();
    assert_eq!(state(&third), "locked");
    third.stop();
    desktop.start_keyring();
    let fourth = agent();
    assert_eq!(state(&fourth), "open");
    desk.json(&["unlock", "--ask-again"]);
    fourth.stop();
    let fifth = agent();
    assert_eq!(state(&fifth), "locked");
    fifth.stop();
    assert!(desk.run(&["devices"]).status.success());
}
