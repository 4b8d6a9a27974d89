//! The program `halcyond` on one folder: started, watched and killed from outside.
//!
//! Owns the process. Does not know who talks to it.
//!
//! - The addresses are the same at every start, as people's clients expect.
//! - A process that is dropped is killed.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use halcyon_failpoint::{Dial, Point};
use rand::Rng as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

/// A server that does not listen by then never will.
const START_MAX: Duration = Duration::from_secs(30);
const LOG_POLL: Duration = Duration::from_millis(50);
/// Lines of the log that are kept to be shown when something goes wrong.
const LOG_LINES: usize = 200;
/// Below where the system takes ports for outgoing connections: a client that dials a dead server from the very port that it dials
/// would meet itself.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// Where a process is to die by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doom {
    /// At which point.
    pub point: Point,
    /// At which passage of it, from 1.
    pub passage: u64,
}

impl Doom {
    /// Returns the variable's value.
    #[must_use]
    pub fn value(self) -> String {
        format!("{}:{}", self.point.name(), self.passage)
    }
}

/// What a server is started from.
#[derive(Clone, Debug)]
pub struct Setup {
    program: PathBuf,
    data: PathBuf,
    mails: PathBuf,
    courier: SocketAddr,
    https: SocketAddr,
    private: SocketAddr,
}

/// A server that listens.
pub struct Server {
    child: Child,
    log: Arc<Mutex<VecDeque<String>>>,
    private: SocketAddr,
    started_in: Duration,
}

/// How a start ended.
pub enum Started {
    /// It listens.
    Listening(Box<Server>),
    /// It ended before; with what it said.
    Ended(String),
}

impl Setup {
    /// Takes a program, a folder for its data and one for its mails, and free ports.
    ///
    /// # Errors
    /// There are no free ports.
    pub fn new(program: &Path, data: &Path, mails: &Path) -> anyhow::Result<Self> {
        let (courier, https, private) = (free_port()?, free_port()?, free_port()?);
        Ok(Self {
            program: program.to_owned(),
            data: data.to_owned(),
            mails: mails.to_owned(),
            courier,
            https,
            private,
        })
    }

    /// Returns the address that people type.
    #[must_use]
    pub fn address(&self) -> String {
        format!("https://localhost:{}", self.https.port())
    }

    /// Returns the file of the authority to trust; it is there after the first start.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.data.join("authority").join("authority.pem")
    }

    /// Returns where mails are put.
    #[must_use]
    pub fn mails(&self) -> &Path {
        &self.mails
    }

    /// Starts the server and waits until it listens or ends.
    ///
    /// # Errors
    /// The program cannot be started, or does neither in 30 seconds.
    pub async fn start(&self, doom: Option<Doom>) -> anyhow::Result<Started> {
        let begun = Instant::now();
        let mut child = self.command(doom).spawn().with_context(|| format!("starting {}", self.program.display()))?;
        let stderr = child.stderr.take().context("the log is piped")?;
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let mut lines = BufReader::new(stderr).lines();
        let listens = async {
            while let Ok(Some(line)) = lines.next_line().await {
                let listens = line.contains("\"listening\"");
                keep(&log, line);
                if listens {
                    return true;
                }
            }
            false
        };
        let listens = tokio::time::timeout(START_MAX, listens).await.context("the server neither listens nor ends")?;
        if !listens {
            let status = child.wait().await?;
            return Ok(Started::Ended(format!("{status}\n{}", text(&log))));
        }
        let started_in = begun.elapsed();
        let kept = log.clone();
        // A server whose log nobody reads would block.
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                keep(&kept, line);
            }
        });
        Ok(Started::Listening(Box::new(Server { child, log, private: self.private, started_in })))
    }

    /// Starts the server without a doom.
    ///
    /// # Errors
    /// It does not listen.
    pub async fn start_well(&self) -> anyhow::Result<Server> {
        match self.start(None).await? {
            Started::Listening(server) => Ok(*server),
            Started::Ended(said) => anyhow::bail!("the server does not start: {said}"),
        }
    }

    fn command(&self, doom: Option<Doom>) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HALCYON") {
                command.env_remove(name);
            }
        }
        if let Some(doom) = doom {
            command.env(halcyon_failpoint::VARIABLE, doom.value());
        }
        // What happens every ten minutes, or every 16 MiB, happens while somebody looks.
        command.env(Dial::ExpireEveryMs.variable(), "200").env(Dial::WriteBackBytes.variable(), "30000");
        command.env(Dial::FoldBytes.variable(), "10000");
        command.args(["serve", "--public-host", "localhost", "--tls-development", "true", "--log-format", "json"]);
        command.args(["--listen-courier", &self.courier.to_string(), "--listen-https", &self.https.to_string()]);
        command.args(["--listen-private", &self.private.to_string()]);
        command.arg("--data-folder").arg(&self.data).arg("--mail-folder").arg(&self.mails);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }
}

impl Server {
    /// Returns how long the start took, until it listened.
    #[must_use]
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// Returns what it logged last.
    #[must_use]
    pub fn log(&self) -> String {
        text(&self.log)
    }

    /// Kills it now, and returns when it is gone.
    ///
    /// # Errors
    /// The system does not let go of it.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        // It may have died by itself a moment ago.
        let _ = self.child.start_kill();
        self.child.wait().await?;
        Ok(())
    }

    /// Waits until a line of its log contains this; says whether one did.
    pub async fn says_within(&self, words: &str, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if self.log().contains(words) {
                return true;
            }
            tokio::time::sleep(LOG_POLL).await;
        }
        false
    }

    /// Forgets what it logged so far.
    pub fn clear_log(&self) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Waits until it dies by itself, at most this long; returns whether it did.
    pub async fn dies_within(&mut self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.child.wait()).await.is_ok()
    }

    /// Asks the operator's listener, and returns status and body.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn ask(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let mut stream = tokio::net::TcpStream::connect(self.private).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an answer with a body")?;
        let status = head.split(' ').nth(1).context("a status")?.parse()?;
        Ok((status, body.to_owned()))
    }
}

fn keep(log: &Mutex<VecDeque<String>>, line: String) {
    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
    if log.len() == LOG_LINES {
        log.pop_front();
    }
    log.push_back(line);
}

fn text(log: &Mutex<VecDeque<String>>) -> String {
    let log = log.lock().unwrap_or_else(PoisonError::into_inner);
    log.iter().map(|line| format!("    {line}\n")).collect()
}

fn free_port() -> anyhow::Result<SocketAddr> {
    for _ in 0..100 {
        let address = SocketAddr::from(([127, 0, 0, 1], rand::thread_rng().gen_range(PORTS)));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    anyhow::bail!("no port is free between {} and {}", PORTS.start, PORTS.end)
}
