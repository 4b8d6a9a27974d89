//! `cargo xtask instructions`: how many instructions the hot functions take, under callgrind, beside what was recorded.
//!
//! Owns the record in `bench/instructions.json` and the tolerance. Does not time anything: a count is the same on a busy
//! machine. What is counted is `halcyon-bench instructions`' to say.
//!
//! - More than the tolerance is a failure; less is a reason to record anew (`--write`).
//! - Counts of another kind of processor are not compared: the libraries below choose their code by it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::Outcome;

const RECORD: &str = "bench/instructions.json";
/// The frame that is counted.
const FRAME: &str = "halcyon_bench::instructions::measured*";
/// Part of the recorded count by which a new one may differ: signatures draw random numbers, and compilers change.
const TOLERANCE: f64 = 0.05;

pub(crate) fn run(root: &Path, args: &[String]) -> anyhow::Result<Outcome> {
    let write = match args {
        [] => false,
        [flag] if flag == "--write" => true,
        _ => bail!("usage: cargo xtask instructions [--write]"),
    };
    let bench = build(root)?;
    let counted = Record { processor: processor(&bench)?, counts: count_all(&bench)? };
    let path = root.join(RECORD);
    if write {
        std::fs::write(&path, serde_json::to_string_pretty(&counted)? + "\n")?;
        return Ok(Outcome::Clean);
    }
    let recorded = std::fs::read_to_string(&path).with_context(|| format!("{RECORD} cannot be read"))?;
    let recorded: Record = serde_json::from_str(&recorded).with_context(|| format!("{RECORD} is damaged"))?;
    if recorded.processor != counted.processor {
        let (there, here) = (&recorded.processor, &counted.processor);
        println!("NOT COMPARED: recorded on a processor with {there}, and this one has {here}");
        return Ok(Outcome::Clean);
    }
    Ok(compare(&recorded.counts, &counted.counts))
}

/// What was counted, and on what.
#[derive(Serialize, Deserialize)]
struct Record {
    /// The features that callgrind shows a program.
    processor: String,
    /// Instructions of one call, by operation.
    counts: BTreeMap<String, u64>,
}

/// Builds the bench as it is measured, and returns where it is.
fn build(root: &Path) -> anyhow::Result<std::path::PathBuf> {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--workspace", "--bin", "halcyon-bench"])
        .current_dir(root)
        .status()?;
    ensure!(built.success(), "halcyon-bench does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    Ok(target.join("release/halcyon-bench"))
}

fn count_all(bench: &Path) -> anyhow::Result<BTreeMap<String, u64>> {
    let names = Command::new(bench).arg("instructions").output()?;
    ensure!(names.status.success(), "halcyon-bench does not say what there is to count");
    let names = String::from_utf8(names.stdout)?;
    let operation = |line: &str| {
        let (name, rounds) = line.split_once(' ').with_context(|| format!("not an operation: {line}"))?;
        Ok((name.to_owned(), count(bench, name)? / rounds.parse::<u64>()?))
    };
    names.lines().map(operation).collect()
}

/// Returns the instructions of all rounds of one operation.
fn count(bench: &Path, name: &str) -> anyhow::Result<u64> {
    let said = under_callgrind(bench, name)?.stderr;
    let said = String::from_utf8_lossy(&said);
    collected(&said).with_context(|| format!("callgrind did not say what it collected of {name}:\n{said}"))
}

fn processor(bench: &Path) -> anyhow::Result<String> {
    Ok(String::from_utf8(under_callgrind(bench, "features")?.stdout)?.trim().to_owned())
}

fn under_callgrind(bench: &Path, name: &str) -> anyhow::Result<Output> {
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={FRAME}"))
        .arg(bench)
        .args(["instructions", name])
        .output()
        .context("valgrind cannot be started; `.ci/packages` installs it")?;
    ensure!(ran.status.success(), "{name} failed under callgrind:\n{}", String::from_utf8_lossy(&ran.stderr));
    Ok(ran)
}

/// Finds `Collected : N` in what callgrind says. Nothing collected means that the frame was not found.
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().find_map(|line| line.split_once("Collected :"))?;
    line.1.trim().parse().ok().filter(|count| *count > 0)
}

fn compare(recorded: &BTreeMap<String, u64>, counted: &BTreeMap<String, u64>) -> Outcome {
    let mut outcome = Outcome::Clean;
    for (name, now) in counted {
        let Some(before) = recorded.get(name) else {
            println!("{name}: {now} instructions, and none recorded; --write records them");
            outcome = Outcome::Found;
            continue;
        };
        let change = *now as f64 / *before as f64 - 1.0;
        let verdict = if change > TOLERANCE {
            outcome = Outcome::Found;
            "SLOWER than recorded; find out why, or record it with --write and say why in the commit"
        } else if change < -TOLERANCE {
            "faster than recorded; --write keeps it so"
        } else {
            "as recorded"
        };
        println!("{name:<24} {now:>10} instructions, {:+.1} % ({verdict})", change * 100.0);
    }
    for name in recorded.keys().filter(|name| !counted.contains_key(*name)) {
        println!("{name}: recorded, but not counted any more; --write forgets it");
        outcome = Outcome::Found;
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(seal: u64) -> BTreeMap<String, u64> {
        BTreeMap::from([("seal".to_owned(), seal)])
    }

    #[test]
    fn only_a_slower_count_is_found() {
        assert_eq!(compare(&counts(1000), &counts(1049)), Outcome::Clean);
        assert_eq!(compare(&counts(1000), &counts(1051)), Outcome::Found);
        assert_eq!(compare(&counts(1000), &counts(500)), Outcome::Clean);
        assert_eq!(compare(&BTreeMap::new(), &counts(1)), Outcome::Found);
        assert_eq!(compare(&counts(1), &BTreeMap::new()), Outcome::Found);
    }

    #[test]
    fn a_frame_that_was_not_found_is_no_count() {
        assert_eq!(collected("==1== Events    : Ir\n==1== Collected : 2500\n"), Some(2500));
        assert_eq!(collected("==1== Collected : 0\n"), None);
        assert_eq!(collected("==1== nothing\n"), None);
    }
}
