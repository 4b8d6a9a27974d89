//! The server's process as seen from outside: started, asked, weighed, stopped.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

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
    /// Starts it over a data folder, new or not, with so many people who may connect.
    pub(crate) async fn start(folder: &Path, people: u32, echo_bytes: usize) -> Result<Self> {
        clients::write_identity(folder)?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("courier-server")
            .arg("--folder")
            .arg(folder)
            .args(["--people", &people.to_string(), "--echo-bytes", &echo_bytes.to_string()])
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
    let allowed = connections_allowed()?;
    ensure!(
        connections <= allowed,
        "{connections} connections are needed and {allowed} allowed: raise the limit with `ulimit -n {}`, or connect fewer devices with --idle",
        connections + OTHER_FILES
    );
    Ok(())
}

/// Returns how many connections this process, and the server that it starts, may hold.
pub(crate) fn connections_allowed() -> Result<u64> {
    let limits =
        std::fs::read_to_string("/proc/self/limits").context("limits cannot be read; this bench runs on Linux")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).context("no limit of open files")?;
    match line.split_whitespace().next() {
        Some("unlimited") => Ok(u64::MAX),
        Some(limit) => Ok(limit.parse::<u64>()?.saturating_sub(OTHER_FILES)),
        None => bail!("no limit of open files"),
    }
}

/// Returns the processor time that this process used so far.
pub(crate) fn own_cpu_ms() -> Result<u64> {
    process_cpu_ms(std::process::id())
}

/// Returns the processor time that a process used so far.
pub(crate) fn process_cpu_ms(id: u32) -> Result<u64> {
    let (user, system) = cpu_ms(&std::fs::read_to_string(format!("/proc/{id}/stat"))?)?;
    Ok(user + system)
}

/// Returns the processor time, in user code and in the kernel, that the threads of this process with one name used so far.
pub(crate) fn own_thread_cpu_ms(name: &str) -> Result<(u64, u64)> {
    let (mut user, mut system) = (0, 0);
    for thread in std::fs::read_dir("/proc/self/task")? {
        let folder = thread?.path();
        // A thread that ended meanwhile is not of interest: the ones that are live as long as the process.
        let Ok(comm) = std::fs::read_to_string(folder.join("comm")) else { continue };
        if comm.trim() == name {
            let (more_user, more_system) = cpu_ms(&std::fs::read_to_string(folder.join("stat"))?)?;
            (user, system) = (user + more_user, system + more_system);
        }
    }
    Ok((user, system))
}

/// Returns the bytes that this process had written to its disk so far, as the kernel accounts them.
pub(crate) fn own_written_bytes() -> Result<u64> {
    let io = std::fs::read_to_string("/proc/self/io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes:")).context("no bytes written")?;
    Ok(line.trim().parse()?)
}

/// Reads user and system time of a `stat` file.
fn cpu_ms(stat: &str) -> Result<(u64, u64)> {
    // The name, in parentheses, may hold anything; the fields after it are numbers.
    let (_, fields) = stat.rsplit_once(')').context("an unknown form of stat")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || -> Result<u64> { Ok(fields.next().context("no processor time")?.parse()?) };
    // 100 a second on every Linux that this runs on.
    Ok((ticks()? * 10, ticks()? * 10))
}

/// Files that are open beside connections: the store, the runtime, the standard streams.
const OTHER_FILES: u64 = 100;
