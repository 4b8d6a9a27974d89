//! The server's process as seen from outside: started, asked, weighed, stopped.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::Arguments;
use super::clients;
use super::server::{ListeningPorts, Stats};

/// A running server process. It ends when this is dropped.
pub(crate) struct ServerProcess {
    child: Child,
    ports: ListeningPorts,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl ServerProcess {
    pub(crate) async fn start(folder: &Path, arguments: &Arguments) -> Result<Self> {
        clients::write_identity(folder)?;
        let people = arguments.idle + arguments.senders + arguments.receivers;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("courier-server")
            .arg("--folder")
            .arg(folder)
            .args(["--people", &people.to_string(), "--echo-bytes", &arguments.payload.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the server's process did not start")?;
        let input = child.stdin.take().context("the server has no input")?;
        let mut output = BufReader::new(child.stdout.take().context("the server has no output")?).lines();
        let ports = next(&mut output).await?;
        Ok(Self { child, ports, input, output })
    }

    pub(crate) fn ports(&self) -> ListeningPorts {
        self.ports
    }

    pub(crate) async fn stats(&mut self) -> Result<Stats> {
        self.input.write_all(b"stats\n").await?;
        self.input.flush().await?;
        next(&mut self.output).await
    }

    /// Returns the resident memory of the process.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let id = self.child.id().context("the server ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no resident size")?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes * 1024)
    }

    /// Returns the resident memory once it does not move any more.
    pub(crate) async fn settled_resident_bytes(&self) -> Result<u64> {
        let mut last = self.resident_bytes()?;
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let bytes = self.resident_bytes()?;
            if bytes.abs_diff(last) < 64 * 1024 {
                return Ok(bytes);
            }
            last = bytes;
        }
    }

    /// Ends the process as an operator would, and checks that it did so in time (COU-56).
    pub(crate) async fn stop(self) -> Result<()> {
        let Self { mut child, input, .. } = self;
        drop(input);
        let ended = tokio::time::timeout(Duration::from_secs(10), child.wait()).await;
        ensure!(ended.context("the server did not end within 10 seconds")??.success(), "the server ended badly");
        Ok(())
    }
}

async fn next<T: DeserializeOwned>(output: &mut Lines<BufReader<ChildStdout>>) -> Result<T> {
    let line = output.next_line().await?.context("the server ended; its own words are above")?;
    Ok(serde_json::from_str(&line)?)
}

/// Checks that this process, and the server that it starts, may hold so many connections.
pub(crate) fn check_open_files(connections: u64) -> Result<()> {
    let needed = connections + OTHER_FILES;
    let limits =
        std::fs::read_to_string("/proc/self/limits").context("limits cannot be read; this bench runs on Linux")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).context("no limit of open files")?;
    match line.split_whitespace().next() {
        Some("unlimited") => Ok(()),
        Some(limit) if limit.parse::<u64>()? >= needed => Ok(()),
        Some(limit) => bail!(
            "{needed} open files are needed and {limit} allowed: raise it with `ulimit -n {needed}`, or connect fewer devices with --idle"
        ),
        None => bail!("no limit of open files"),
    }
}

/// Returns the processor time that this process used so far.
pub(crate) fn own_cpu_ms() -> Result<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name, in parentheses, may hold anything; the fields after it are numbers.
    let (_, fields) = stat.rsplit_once(')').context("an unknown form of /proc/self/stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks: u64 = fields.get(11).context("no user time")?.parse::<u64>()?
        + fields.get(12).context("no system time")?.parse::<u64>()?;
    // 100 a second on every Linux that this runs on.
    Ok(ticks * 10)
}

/// Files that are open beside connections: the store, the runtime, the standard streams.
const OTHER_FILES: u64 = 100;
