//! The program `halcyond` on a folder of its own: started with settings, weighed, limited, ended.
//!
//! Owns the process. Does not know who talks to it.
//!
//! - A process that is dropped is killed.
//! - What it may take of the address space is limited once it listens, so that a leak ends it and fails the test.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// A server that does not listen by then never will.
const START_MAX: Duration = Duration::from_secs(60);
/// Lines of the log that are kept to be shown.
const LOG_LINES: usize = 50;

/// A server that listens.
pub struct Server {
    child: Child,
    folder: Arc<TempDir>,
    log: Arc<Mutex<VecDeque<String>>>,
    addresses: Addresses,
}

/// Where it listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Courier over TLS.
    pub courier: SocketAddr,
    /// HTTPS.
    pub https: SocketAddr,
}

/// What the process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    /// Resident memory in bytes.
    pub resident: u64,
    /// The most that was ever resident.
    pub resident_max: u64,
    /// Address space in bytes.
    pub virtual_bytes: u64,
    /// Open files.
    pub files: usize,
}

/// How to start one.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Flags of `halcyond serve` besides folders and addresses, in pairs.
    pub flags: Vec<(String, String)>,
    /// Open files that the process may have.
    pub files_max: Option<u64>,
    /// Bytes of address space that it may take beyond what it has when it listens.
    pub growth_max: Option<u64>,
    /// The only core that it may use, if it may not use all.
    pub core: Option<usize>,
}

impl Setup {
    /// Adds a setting, such as `limits-handshakes-max`.
    #[must_use]
    pub fn with(mut self, flag: &str, value: impl ToString) -> Self {
        self.flags.push((flag.to_owned(), value.to_string()));
        self
    }

    /// Limits what the process may grow by, once it listens.
    #[must_use]
    pub fn growing_at_most(mut self, bytes: u64) -> Self {
        self.growth_max = Some(bytes);
        self
    }

    /// Limits the open files.
    #[must_use]
    pub fn with_files(mut self, files: u64) -> Self {
        self.files_max = Some(files);
        self
    }

    /// Leaves it one core.
    #[must_use]
    pub fn on_core(mut self, core: usize) -> Self {
        self.core = Some(core);
        self
    }

    /// Starts the program on a new folder.
    ///
    /// # Errors
    /// It does not listen.
    pub async fn start(&self, program: &Path) -> anyhow::Result<Server> {
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        self.start_on(program, Arc::new(tempfile::tempdir()?), Addresses { courier: any, https: any }).await
    }

    async fn start_on(&self, program: &Path, folder: Arc<TempDir>, at: Addresses) -> anyhow::Result<Server> {
        let files = self.files_max.map_or_else(String::new, |files| format!("ulimit -n {files}; "));
        let taskset = self.core.map_or_else(String::new, |core| format!("taskset -c {core} "));
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{files}exec {taskset}\"$0\" \"$@\"")]).arg(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HALCYON") {
                command.env_remove(name);
            }
        }
        command.args(["serve", "--public-host", "localhost", "--tls-development", "true", "--log-format", "json"]);
        command.args(["--listen-courier", &at.courier.to_string(), "--listen-https", &at.https.to_string()]);
        command.args(["--listen-private", "none"]);
        command.arg("--data-folder").arg(folder.path().join("data"));
        command.arg("--mail-folder").arg(folder.path().join("mail"));
        for (flag, value) in &self.flags {
            command.arg(format!("--{flag}")).arg(value);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
        let mut lines = BufReader::new(child.stderr.take().context("the log is piped")?).lines();
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let listens = async {
            while let Some(line) = lines.next_line().await? {
                let entry: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                keep(&log, line);
                if entry["message"] == "listening" {
                    let port = |name: &str| -> anyhow::Result<SocketAddr> {
                        let bound: SocketAddr = entry[name].as_str().context("an address")?.parse()?;
                        Ok(SocketAddr::from(([127, 0, 0, 1], bound.port())))
                    };
                    return Ok(Addresses { courier: port("courier")?, https: port("https")? });
                }
            }
            bail!("the server ended: {:?}", log.lock().unwrap_or_else(PoisonError::into_inner));
        };
        let addresses = tokio::time::timeout(START_MAX, listens).await.context("the server does not listen")??;
        let kept = log.clone();
        // A server whose log nobody reads would block.
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                keep(&kept, line);
            }
        });
        let server = Server { child, folder, log, addresses };
        if let Some(growth) = self.growth_max {
            let limit = Some(server.weigh()?.virtual_bytes + growth);
            let limit = Rlimit { current: limit, maximum: limit };
            prlimit(Some(server.pid()?), Resource::As, limit).context("limiting the server's memory")?;
        }
        Ok(server)
    }

    /// Kills a server and starts it again, where it was.
    ///
    /// # Errors
    /// It does not listen again.
    pub async fn restart(&self, program: &Path, mut server: Server) -> anyhow::Result<Server> {
        server.child.kill().await?;
        let on_all = |address: SocketAddr| SocketAddr::from(([0, 0, 0, 0], address.port()));
        let at = Addresses { courier: on_all(server.addresses.courier), https: on_all(server.addresses.https) };
        self.start_on(program, server.folder.clone(), at).await
    }
}

impl Server {
    /// Returns where it listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Returns the file of the authority to trust.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("data").join("authority").join("authority.pem")
    }

    /// Returns where mails are put.
    #[must_use]
    pub fn mails(&self) -> PathBuf {
        self.folder.path().join("mail")
    }

    /// Returns what it logged last.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Returns what the process holds now.
    ///
    /// # Errors
    /// It ended.
    pub fn weigh(&self) -> anyhow::Result<Weight> {
        let process = PathBuf::from(format!("/proc/{}", self.pid()?.as_raw_nonzero()));
        let status = std::fs::read_to_string(process.join("status")).context("the server ended")?;
        let bytes = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let line = line.with_context(|| format!("the server ended: {:?}", self.log()))?;
            Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
        };
        Ok(Weight {
            resident: bytes("VmRSS:")?,
            resident_max: bytes("VmHWM:")?,
            virtual_bytes: bytes("VmSize:")?,
            files: std::fs::read_dir(process.join("fd"))?.count(),
        })
    }

    /// Returns the number of the process.
    ///
    /// # Errors
    /// It ended.
    pub fn id(&self) -> anyhow::Result<u32> {
        self.child.id().with_context(|| format!("the server ended: {:?}", self.log()))
    }

    fn pid(&self) -> anyhow::Result<Pid> {
        Pid::from_raw(i32::try_from(self.id()?)?).context("a process id")
    }
}

/// Returns the program as cargo builds it beside the running one, after building it if it is not the newest.
///
/// # Errors
/// It does not build, or this was not built by cargo.
pub fn program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    // A test lies one folder deeper than a program.
    let folder = own.parent().context("a program lies in a folder")?;
    let folder = if folder.ends_with("deps") { folder.parent().context("deps lies in a folder")? } else { folder };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = std::process::Command::new(cargo);
    build.args(["build", "--quiet", "--package", "halcyond"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    build.env("CARGO_TARGET_DIR", folder.parent().context("a profile lies in a folder")?);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    anyhow::ensure!(build.status().context("starting cargo")?.success(), "halcyond does not build");
    Ok(folder.join("halcyond"))
}

fn keep(log: &Mutex<VecDeque<String>>, line: String) {
    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
    if log.len() == LOG_LINES {
        log.pop_front();
    }
    log.push_back(line);
}
