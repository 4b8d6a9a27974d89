//! A server on loopback, and people who run `halcyon`.
//!
//! Owns processes and folders. Does not know what a test is about.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use halcyon_server_net::serve::{self, RunningServer};
use halcyon_server_net::settings::Settings;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Longer than anything takes on a busy machine in a debug build; what goes well needs none of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A server and the folders of everybody who talks to it.
pub(crate) struct World {
    folder: TempDir,
    runtime: Runtime,
    server: Option<RunningServer>,
    settings: Settings,
}

/// One device of a person: a profile folder, and a passphrase.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) handle: String,
    pub(crate) profile: PathBuf,
    passphrase: PathBuf,
    /// What the environment of this person's commands says besides; the last one counts.
    pub(crate) environment: Vec<(&'static str, OsString)>,
}

/// A program that runs, whose lines are read as they come.
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
    errors: mpsc::Receiver<String>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// With other settings than the usual ones.
    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::loopback(folder.path().join("server"));
        change(&mut settings);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let mut world = Self { folder, runtime, server: None, settings };
        world.start_server();
        // From now on it keeps its ports, as a real one does over a restart.
        let addresses = world.server.as_ref().unwrap().addresses();
        world.settings.https_listen = addresses.https;
        world.settings.courier_listen = addresses.courier;
        world
    }

    pub(crate) fn start_server(&mut self) {
        let server = self.runtime.block_on(serve::start(self.settings.clone())).unwrap();
        self.server = Some(server);
    }

    pub(crate) fn stop_server(&mut self) {
        if let Some(server) = self.server.take() {
            self.runtime.block_on(server.shutdown());
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.settings.https_listen.port())
    }

    /// The server's folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.settings.data.clone()
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.settings.data.join("authority").join("authority.pem")
    }

    /// A person's device that has no profile yet.
    pub(crate) fn person(&self, name: &str, device: &str) -> Person {
        let passphrase = self.folder.path().join(format!("{name}-{device}.passphrase"));
        fs::write(&passphrase, format!("passphrase of {name} {device}\n")).unwrap();
        Person {
            handle: format!("{name}@example.org"),
            profile: self.folder.path().join(format!("{name}-{device}")),
            passphrase,
            environment: vec![("XDG_RUNTIME_DIR", self.runtime_folder().into())],
        }
    }

    /// Where agents have their sockets.
    pub(crate) fn runtime_folder(&self) -> PathBuf {
        let folder = self.folder.path().join("run");
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// A file with some secret, for `--password-file`.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// A person with an account, whose password is `password of NAME`.
    pub(crate) fn registered(&self, name: &str, device: &str) -> Person {
        let person = self.person(name, device);
        let mut registering = self.register(&person, device);
        registering.says("code:");
        registering.type_line(&self.code(&person.handle));
        registering.end_well();
        person
    }

    /// Starts `halcyon register`, which will ask for the code.
    pub(crate) fn register(&self, person: &Person, device: &str) -> Running {
        let password = self.file(&format!("{}.password", person.handle), &format!("password of {}", person.handle));
        let mut command =
            person.halcyon(&["register", &person.handle, "--device-name", device, "--server", &self.url()]);
        command.arg("--ca").arg(self.authority()).arg("--password-file").arg(password);
        Running::start(command)
    }

    /// Throws away the mails so far.
    pub(crate) fn forget_mails(&self) {
        for mail in fs::read_dir(self.settings.data.join("mail")).unwrap() {
            fs::remove_file(mail.unwrap().path()).unwrap();
        }
    }

    /// The code of the newest mail to an address.
    pub(crate) fn code(&self, address: &str) -> String {
        self.mail_line(address, "Code: ")
    }

    /// The rest of the line that begins so, of the newest mail to an address.
    pub(crate) fn mail_line(&self, address: &str, start: &str) -> String {
        let folder = self.settings.data.join("mail");
        let begun = Instant::now();
        loop {
            let mut mails: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
            mails.sort();
            for mail in mails.iter().rev().filter(|path| path.extension().is_some_and(|extension| extension == "eml")) {
                let text = fs::read_to_string(mail).unwrap();
                if text.contains(&format!("To: {address}\r\n"))
                    && let Some(rest) = text.lines().find_map(|line| line.strip_prefix(start))
                {
                    return rest.trim().to_owned();
                }
            }
            assert!(begun.elapsed() < PATIENCE, "no mail to {address}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop_server();
    }
}

impl Person {
    /// A command of this person's device.
    pub(crate) fn halcyon(&self, arguments: &[&str]) -> Command {
        let mut command = self.halcyon_without_passphrase(arguments);
        command.arg("--passphrase-file").arg(&self.passphrase);
        command
    }

    /// A command of this person's device that is not told the passphrase.
    pub(crate) fn halcyon_without_passphrase(&self, arguments: &[&str]) -> Command {
        let mut command = halcyon(arguments);
        command.arg("--profile-folder").arg(&self.profile);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The passphrase.
    pub(crate) fn passphrase(&self) -> String {
        fs::read_to_string(&self.passphrase).unwrap().trim_end().to_owned()
    }

    /// Runs a command to its end, with nothing on standard input.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        run(self.halcyon(arguments))
    }

    /// Runs a command that succeeds and returns its JSON lines.
    pub(crate) fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let output = self.run(&[arguments, &["--output", "json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Runs a command that fails; returns its exit code and what it said.
    pub(crate) fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.run(arguments);
        (output.status.code().unwrap(), text(&output.stderr))
    }

    /// Starts a command.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.halcyon(arguments))
    }

    pub(crate) fn profile(&self) -> &Path {
        &self.profile
    }

    /// Copies the profile, as a backup does.
    pub(crate) fn back_up(&self) -> TempDir {
        let backup = tempfile::tempdir().unwrap();
        copy(&self.profile, backup.path());
        backup
    }

    /// Brings a copy of the profile back to where it was: its device secret belongs to that folder (STO-5).
    pub(crate) fn bring_back(&self, backup: &TempDir) {
        fs::remove_dir_all(&self.profile).unwrap();
        fs::create_dir(&self.profile).unwrap();
        copy(backup.path(), &self.profile);
    }

    pub(crate) fn set_passphrase(&self, passphrase: &str) {
        fs::write(&self.passphrase, passphrase).unwrap();
    }
}

/// Profiles have no folders in them.
fn copy(from: &Path, to: &Path) {
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// The program with arguments, without what the environment of the test says.
pub(crate) fn halcyon(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_halcyon"));
    command.args(arguments).env_remove("HALCYON_PASSPHRASE_FILE").env_remove("HALCYON_LOG");
    // An agent outlives the command that begins it; tests that want one say so.
    command.env("HALCYON_AGENT", "never");
    // The keyring of whoever runs the tests is not for the people in them.
    command.env("HALCYON_DEVICE_SECRET", "file").env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus");
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    command
}

/// Whether a program of the system is there. If not, says aloud that the test was not run; where `CI` is set, that is a failure.
pub(crate) fn is_there(program: &str, flag: &str) -> bool {
    let there = Command::new(program).arg(flag).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !there {
        assert!(std::env::var_os("CI").is_none(), "{program} is not installed: run .ci/packages");
        // Not by a macro, whose words the harness keeps to itself while the test passes.
        let words = format!("NOT RUN: {program} is not installed; .ci/packages installs it\n");
        std::io::stderr().write_all(words.as_bytes()).unwrap();
    }
    there
}

/// Runs a command to its end, with nothing on standard input.
pub(crate) fn run(mut command: Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdin, lines, errors) =
            (child.stdin.take(), read(child.stdout.take().unwrap()), read(child.stderr.take().unwrap()));
        Self { child, stdin, lines, errors }
    }

    pub(crate) fn type_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
    }

    /// The next line of its results for which something is true.
    pub(crate) fn line(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        while let Some(left) = PATIENCE.checked_sub(begun.elapsed()) {
            match self.lines.recv_timeout(left) {
                Ok(line) if is_it(&line) => return line,
                Ok(_) => {}
                Err(_) => break,
            }
        }
        panic!("no {what}; it said: {:?}", self.errors.try_iter().collect::<Vec<_>>());
    }

    /// The next JSON line of a type.
    pub(crate) fn json(&self, kind: &str) -> Value {
        let is_kind = |line: &str| serde_json::from_str::<Value>(line).unwrap()["type"] == kind;
        serde_json::from_str(&self.line(kind, is_kind)).unwrap()
    }

    /// The next line on standard error that contains something.
    pub(crate) fn says(&self, words: &str) {
        let begun = Instant::now();
        let mut said = Vec::new();
        while let Some(left) = PATIENCE.checked_sub(begun.elapsed()) {
            match self.errors.recv_timeout(left) {
                Ok(line) if line.contains(words) => return,
                Ok(line) => said.push(line),
                Err(_) => break,
            }
        }
        panic!("it did not say `{words}` but {said:?}");
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it, as a lack of memory does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, as a service manager does.
    pub(crate) fn stop(self) {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        self.end_well();
    }

    pub(crate) fn end_well(self) {
        let (code, errors) = self.end();
        assert_eq!(code, 0, "{errors}");
    }

    /// Its exit code and what it said.
    pub(crate) fn end(mut self) -> (i32, String) {
        drop(self.stdin.take());
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end: {:?}", self.errors.try_iter().collect::<Vec<_>>());
            std::thread::sleep(Duration::from_millis(20));
        };
        (status.code().unwrap(), self.errors.iter().collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has usually ended; a failed test must not leave it behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(stream: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}
