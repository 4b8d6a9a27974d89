//! A running `halcyond`, and what one can do to it from outside.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// COU-56
pub(crate) const END_MAX: Duration = Duration::from_secs(10);
const START_MAX: Duration = Duration::from_secs(30);

/// A server for development on free ports, with its data below `folder`.
pub(crate) fn development(folder: &Path) -> Command {
    let mut command = halcyond();
    command.arg("serve").args(["--public-host", "localhost", "--tls-development", "true", "--log-format", "json"]);
    command.args([
        "--listen-courier",
        "127.0.0.1:0",
        "--listen-https",
        "127.0.0.1:0",
        "--listen-private",
        "127.0.0.1:0",
    ]);
    command.arg("--data-folder").arg(folder.join("data")).arg("--mail-folder").arg(folder.join("mail"));
    command
}

/// The program, without anything of the tester's own environment that would configure it.
pub(crate) fn halcyond() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_halcyond"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HALCYOND_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command that is expected to end by itself, and returns exit code and standard error.
pub(crate) fn fails(mut command: Command) -> (i32, String) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > START_MAX {
            child.kill().unwrap();
            panic!("it runs, although it should have refused to");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut words = String::new();
    child.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    (status.code().unwrap(), words)
}

/// A server that listens.
pub(crate) struct Server {
    child: Child,
    /// Kept open: a server whose log nobody reads must not die of it before the test ends.
    log: BufReader<ChildStderr>,
    pub(crate) private: SocketAddr,
}

impl Server {
    /// Starts a server and waits until it says that it listens.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        // Whole before it listens, so that it is killed when it never does.
        let mut server = Self { child, log, private: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let started = Instant::now();
        let mut lines = String::new();
        loop {
            let mut line = String::new();
            let count = server.log.read_line(&mut line).unwrap();
            assert!(count > 0 && started.elapsed() < START_MAX, "the server did not start:\n{lines}");
            lines.push_str(&line);
            let entry: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if entry["message"] == "listening" {
                server.private = entry["private"].as_str().unwrap().parse().unwrap();
                return server;
            }
        }
    }

    /// Asks the private listener, and returns status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.private).unwrap();
        stream.set_read_timeout(Some(END_MAX)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Sends a signal, waits for the end, and returns how it ended and what was logged since the start.
    pub(crate) fn end_by(&mut self, signal: &str) -> (ExitStatus, Duration, String) {
        let sent = Instant::now();
        let kill = Command::new("kill").args([format!("-{signal}"), self.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let mut log = String::new();
        self.log.read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap(), sent.elapsed(), log)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone after `end_by`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
