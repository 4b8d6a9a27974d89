//! `cargo xtask fuzz`: runs the fuzz targets with libFuzzer, and keeps their corpora. How: fuzz/README.md.
//!
//! Owns the build with a nightly toolchain, the order of the runs and what is printed of them. What a target looks at, and
//! what must hold, is `halcyon_fuzz`, whose ordinary tests replay everything that is kept here.
//!
//! - A run grows a working corpus below the build's folder; what is committed changes with `--minimize` and `--seeds` only.
//! - A find ends its target's run, is kept as a file, and makes the task fail after the others ran.

mod run;
mod rustc;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};

use crate::Outcome;

pub(crate) use rustc::as_wrapper;

/// How long a target runs when nobody says.
const MINUTES: u64 = 1;
/// Files that a corpus may have, as `halcyon_fuzz`'s tests demand.
const CORPUS_FILES_MAX: usize = 150;
/// Bytes that one corpus may have, so that all of them stay below what those tests demand.
const CORPUS_BYTES_MAX: u64 = 150_000;

/// What is asked for.
struct Asked {
    minutes: u64,
    targets: Vec<String>,
    seeds: bool,
    minimize: bool,
}

/// Where everything is.
struct Places {
    root: PathBuf,
    /// Below the target folder: nightly's build, working corpora, finds, logs.
    work: PathBuf,
}

/// Runs the targets, each for the minutes given, or does what else is asked for.
pub(crate) fn run(root: &Path, args: &[String]) -> anyhow::Result<Outcome> {
    let all = targets(root)?;
    let asked = parse(args, &all)?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let places = Places { root: root.to_path_buf(), work: target.join("fuzz") };
    if asked.seeds {
        return seeds(&places);
    }
    tools()?;
    build(&places)?;
    if asked.minimize {
        for name in &asked.targets {
            minimize(&places, name)?;
        }
        return Ok(Outcome::Clean);
    }
    let mut outcome = Outcome::Clean;
    println!("{:<10} {:>12} {:>8} {:>8} {:>8}", "target", "executions", "a second", "edges", "inputs");
    for name in &asked.targets {
        let report = run::run(&places, name, asked.minutes)?;
        println!("{report}");
        if report.found {
            outcome = Outcome::Found;
        }
    }
    Ok(outcome)
}

fn parse(args: &[String], all: &[String]) -> anyhow::Result<Asked> {
    let mut asked = Asked { minutes: MINUTES, targets: Vec::new(), seeds: false, minimize: false };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--minutes" => {
                let minutes = args.next().and_then(|minutes| minutes.parse().ok()).filter(|minutes| *minutes > 0);
                asked.minutes = minutes.context("--minutes takes a number of minutes, 1 or more")?;
            }
            "--seeds" => asked.seeds = true,
            "--minimize" => asked.minimize = true,
            name if all.iter().any(|target| target == name) => asked.targets.push(name.to_owned()),
            other => bail!("there is no target {other}; there are {}", all.join(", ")),
        }
    }
    if asked.targets.is_empty() {
        asked.targets = all.to_vec();
    }
    Ok(asked)
}

/// Returns the names of the targets, which are those of their binaries.
fn targets(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root.join("fuzz/fuzz_targets")).context("cannot list fuzz/fuzz_targets")? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
    }
    names.sort();
    Ok(names)
}

/// Says what to install when it is missing.
fn tools() -> anyhow::Result<()> {
    let works = |args: &[&str]| {
        let output = Command::new("rustup").args(["run", "nightly"]).args(args).output();
        output.is_ok_and(|output| output.status.success())
    };
    ensure!(works(&["rustc", "--version"]), "fuzzing takes a nightly toolchain: rustup toolchain install nightly");
    ensure!(works(&["cargo", "fuzz", "--version"]), "fuzzing takes cargo-fuzz: cargo install --locked cargo-fuzz");
    Ok(())
}

/// Builds all binaries at once, apart from every other build.
fn build(places: &Places) -> anyhow::Result<()> {
    let wrapper = env::current_exe().context("cannot find this program")?;
    let status = Command::new("rustup")
        .args(["run", "nightly", "cargo", "fuzz", "build", "--fuzz-dir", "fuzz", "--features", "libfuzzer"])
        .current_dir(&places.root)
        .env("CARGO_TARGET_DIR", &places.work)
        // Link-time optimization takes minutes here and shows a fuzzer nothing.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("RUSTC_WRAPPER", wrapper)
        .env(rustc::MARK, "1")
        .status()
        .context("cannot start rustup")?;
    ensure!(status.success(), "the targets do not build");
    Ok(())
}

/// Writes what our own encoders make into the corpora, beside what is there.
fn seeds(places: &Places) -> anyhow::Result<Outcome> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["run", "--quiet", "--package", "halcyon-fuzz", "--example", "seeds", "--", "fuzz/corpus"])
        .current_dir(&places.root)
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "the seeds could not be made");
    Ok(Outcome::Clean)
}

/// Puts the fewest inputs that reach every edge known into the committed corpus, the small ones first.
fn minimize(places: &Places, name: &str) -> anyhow::Result<()> {
    let (committed, merged) = (places.committed(name), places.work.join("merged").join(name));
    if merged.exists() {
        fs::remove_dir_all(&merged)?;
    }
    fs::create_dir_all(&merged)?;
    fs::create_dir_all(places.working(name))?;
    let output = places
        .binary(name)?
        .args(["-merge=1", "-set_cover_merge=1", "-use_counters=0", "-rss_limit_mb=2048"])
        .args([&merged, &committed, &places.working(name)])
        .output()
        .with_context(|| format!("cannot start the binary of {name}"))?;
    ensure!(output.status.success(), "merging {name} failed: {}", String::from_utf8_lossy(&output.stderr));
    let mut files: Vec<(u64, PathBuf)> = Vec::new();
    for entry in fs::read_dir(&merged)? {
        let entry = entry?;
        files.push((entry.metadata()?.len(), entry.path()));
    }
    files.sort();
    ensure!(!files.is_empty(), "merging {name} left nothing");
    fs::remove_dir_all(&committed)?;
    fs::create_dir_all(&committed)?;
    let (mut count, mut bytes) = (0, 0);
    for (size, path) in files.iter().take(CORPUS_FILES_MAX) {
        if bytes + size > CORPUS_BYTES_MAX {
            break;
        }
        fs::copy(path, committed.join(path.file_name().context("a file has a name")?))?;
        (count, bytes) = (count + 1, bytes + size);
    }
    println!("{name:<10} {count} inputs of {}, {bytes} bytes", files.len());
    Ok(())
}

impl Places {
    fn committed(&self, name: &str) -> PathBuf {
        self.root.join("fuzz/corpus").join(name)
    }

    fn working(&self, name: &str) -> PathBuf {
        self.work.join("corpus").join(name)
    }

    /// Returns a command that starts a target's binary.
    fn binary(&self, name: &str) -> anyhow::Result<Command> {
        let output = Command::new("rustup").args(["run", "nightly", "rustc", "-vV"]).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let host = text.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
        let mut command = Command::new(self.work.join(host).join("release").join(name));
        // SQLite registers its file systems for good.
        command.env("ASAN_OPTIONS", "detect_odr_violation=0:detect_leaks=0");
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<String> {
        targets(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()).unwrap()
    }

    fn ask(args: &[&str]) -> anyhow::Result<Asked> {
        parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>(), &all())
    }

    /// Without a name all targets run, each as long as was said.
    #[test]
    fn all_targets_run_in_turn() {
        assert!(all().len() >= 8, "{:?}", all());
        let asked = ask(&["--minutes", "10"]).unwrap();
        assert_eq!((asked.minutes, asked.targets), (10, all()));
        assert_eq!(ask(&["session"]).unwrap().targets, ["session"]);
    }

    /// A wrong word is an error that names the right ones.
    #[test]
    fn a_wrong_word_is_an_error() {
        for args in [&["sessions"][..], &["--minutes"], &["--minutes", "0"], &["--minutes", "soon"]] {
            assert!(ask(args).is_err(), "{args:?}");
        }
        let error = ask(&["sessions"]).err().unwrap().to_string();
        assert!(error.contains("session, "), "{error}");
    }
}
