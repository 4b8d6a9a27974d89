//! A peer's processes: started with a configuration of ours over a folder of their own, and gone with it.
//!
//! - Whatever happens to the bench, short of its being killed, no process and no file of a peer stays: both go when a
//!   [`Server`] is dropped.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::wire::{self, Door};

/// A folder for one peer, and the processes that run over it.
pub(crate) struct Server {
    children: Vec<Child>,
    // After the children: fields are dropped in order, and the folder goes when nobody writes into it.
    folder: TempDir,
}

impl Server {
    /// Makes the folder, with `data` in it and a certificate.
    pub(crate) fn new(home: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("peer-").tempdir_in(home).context("no folder for the data")?;
        std::fs::create_dir(folder.path().join("data"))?;
        wire::write_identity(folder.path())?;
        Ok(Self { children: Vec::new(), folder })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of the configuration, filled in, and returns its path.
    pub(crate) fn write_config(&self, name: &str, template: &str, values: &[(&str, &str)]) -> Result<PathBuf> {
        let folder = self.folder.path().to_str().context("a folder whose name is not Unicode")?;
        let text = fill(template, &[values, &[("folder", folder)]].concat())?;
        let path = self.folder.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// Starts a process in a group of its own, so that what it starts itself ends with it.
    pub(crate) fn spawn(&mut self, mut command: Command) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.log())?;
        command.current_dir(self.folder.path()).process_group(0);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let program = command.get_program().to_string_lossy().into_owned();
        self.children.push(command.spawn().with_context(|| format!("{program} did not start"))?);
        Ok(())
    }

    /// Waits until something listens on a port.
    pub(crate) async fn listens(&mut self, port: u16) -> Result<()> {
        self.begins(async || Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?)).await.map(drop)
    }

    /// Waits until a peer's door opens, and returns the version of TLS that it has. Some listen before they have read their
    /// certificate.
    pub(crate) async fn opens(&mut self, door: &Door) -> Result<String> {
        self.begins(async || door.tls_version().await).await
    }

    /// Tries something until the processes have come so far that it works.
    async fn begins<T>(&mut self, mut attempt: impl AsyncFnMut() -> Result<T>) -> Result<T> {
        let begun = Instant::now();
        loop {
            let error = match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            for child in &mut self.children {
                if let Some(status) = child.try_wait()? {
                    bail!("it ended at once ({status}): {}", self.last_words());
                }
            }
            ensure!(begun.elapsed() < START, "not ready in {} s ({error:#}): {}", START.as_secs(), self.last_words());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns the end of what the processes said.
    pub(crate) fn last_words(&self) -> String {
        let log = std::fs::read(self.log()).unwrap_or_default();
        let end = String::from_utf8_lossy(&log[log.len().saturating_sub(LAST_WORDS_BYTES)..]).into_owned();
        if end.is_empty() { "it said nothing".to_owned() } else { end }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            // Nothing has to be kept, so nobody is asked to end well. A group that is gone already is as it should be.
            let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
            let _ = child.wait();
        }
    }
}

/// Returns a port of this machine that nobody listens on.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Returns the first of some files that is there; patterns may have `*` for a part of a name.
pub(crate) fn find(patterns: &[&str]) -> Result<PathBuf> {
    let found = patterns.iter().flat_map(|pattern| matching(Path::new("/"), pattern.trim_start_matches('/'))).next();
    found.context(NOT_INSTALLED)
}

fn matching(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let (name, rest) = pattern.split_once('/').map_or((pattern, None), |(name, rest)| (name, Some(rest)));
    let names = match name.split_once('*') {
        None => vec![folder.join(name)],
        Some((start, end)) => {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
            let fits = |path: &PathBuf| {
                path.file_name().and_then(|name| name.to_str()).is_some_and(|name| {
                    name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
                })
            };
            entries.filter(fits).collect()
        }
    };
    let there = names.into_iter().filter(|path| path.exists());
    match rest {
        None => there.collect(),
        Some(rest) => there.flat_map(|path| matching(&path, rest)).collect(),
    }
}

/// Returns where the install script keeps what is in no package of this distribution's version.
pub(crate) fn cache(name: &str) -> Result<String> {
    let folder = std::env::var("HALCYON_PEERS").or_else(|_| {
        let cache = std::env::var("XDG_CACHE_HOME").or_else(|_| std::env::var("HOME").map(|home| home + "/.cache"));
        cache.map(|cache| cache + "/halcyon-peers")
    });
    Ok(format!("{}/{name}", folder.context("neither HOME nor HALCYON_PEERS is set")?))
}

/// Returns the version of an installed package of the distribution.
pub(crate) fn package_version(package: &str) -> String {
    let asked = Command::new("dpkg-query").args(["--show", "--showformat=${Version}", package]).output();
    match asked {
        Ok(said) if said.status.success() => String::from_utf8_lossy(&said.stdout).into_owned(),
        _ => "of an unknown version".to_owned(),
    }
}

/// Puts values for `@names@`; one that has no value is a mistake in the template. Another @ stays.
fn fill(template: &str, values: &[(&str, &str)]) -> Result<String> {
    let (mut text, mut rest) = (String::new(), template);
    while let Some((before, after)) = rest.split_once('@') {
        text.push_str(before);
        let name = after.split_once('@').filter(|(name, _)| is_name(name));
        let Some((name, after_name)) = name else {
            text.push('@');
            rest = after;
            continue;
        };
        let value = values.iter().find(|(known, _)| *known == name);
        text.push_str(value.with_context(|| format!("nothing to put for @{name}@"))?.1);
        rest = after_name;
    }
    Ok(text + rest)
}

fn is_name(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

/// What to do about a peer that is not there.
pub(crate) const NOT_INSTALLED: &str = "not installed: run bench/peers/install";

/// Synapse makes its tables in half a minute on a busy machine.
const START: Duration = Duration::from_secs(90);
const LAST_WORDS_BYTES: usize = 1_500;

#[cfg(test)]
mod tests {
    use super::*;

    /// A configuration is not half filled in.
    #[test]
    fn every_name_gets_its_value() {
        let values = [("port", "1883"), ("folder", "/data")];
        assert_eq!(fill("listen @port@\nin @folder@/x, @ALL @", &values).unwrap(), "listen 1883\nin /data/x, @ALL @");
        let missing = fill("listen @port@ as @name@", &values).unwrap_err();
        assert_eq!(missing.to_string(), "nothing to put for @name@");
    }

    /// Versions are in the names of folders.
    #[test]
    fn a_file_is_found_by_a_pattern() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("server-3.10.8/sbin")).unwrap();
        std::fs::write(folder.path().join("server-3.10.8/sbin/start"), "").unwrap();
        let pattern = format!("{}/server-*/sbin/start", folder.path().display());
        assert_eq!(find(&[&pattern]).unwrap(), folder.path().join("server-3.10.8/sbin/start"));
        let other = format!("{}/server-*/sbin/stop", folder.path().display());
        assert_eq!(find(&[&other]).unwrap_err().to_string(), NOT_INSTALLED);
    }

    /// What a peer starts itself ends with it, and its folder goes.
    #[test]
    fn nothing_stays() {
        let home = tempfile::tempdir().unwrap();
        let mut server = Server::new(home.path()).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & echo $!; wait"]);
        server.spawn(command).unwrap();
        let begun = Instant::now();
        let grandchild = loop {
            let said = server.last_words();
            if let Ok(id) = said.trim().parse::<u32>() {
                break id;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "{said}");
            std::thread::sleep(Duration::from_millis(10));
        };
        drop(server);
        let runs = || {
            let state = std::fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
            !state.is_empty() && !state.contains(") Z ")
        };
        while runs() && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(!runs(), "the grandchild still runs");
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    }
}
