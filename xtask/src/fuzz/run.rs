//! One run of one target, and what is said of it.
//!
//! Owns libFuzzer's options and the reading of its output. Does not know what a target does.

use std::{fmt, fs, path::PathBuf};

use anyhow::Context as _;

use super::Places;

/// Longest input that is tried: what is longer than a page of anything repeats itself.
const INPUT_BYTES_MAX: u32 = 4096;
/// A target that takes longer for one input has found something.
const SECONDS_MAX: u32 = 20;
/// Memory of a whole run, with the sanitizer's and that of the tables that it keeps.
const MEMORY_MB_MAX: u32 = 2048;
/// Memory that one allocation may ask for: nothing that a peer sends is worth more.
const ALLOCATION_MB_MAX: u32 = 64;

/// What a run gave.
pub(super) struct Report {
    name: String,
    executions: u64,
    a_second: u64,
    edges: u64,
    inputs: usize,
    /// A promise was broken, or a bound.
    pub(super) found: bool,
    log: PathBuf,
    finds: PathBuf,
}

/// Runs a target for so many minutes, or until it finds something.
pub(super) fn run(places: &Places, name: &str, minutes: u64) -> anyhow::Result<Report> {
    let (working, finds) = (places.working(name), places.work.join("finds").join(name));
    let logs = places.work.join("logs");
    for folder in [&working, &finds, &logs] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let log = logs.join(format!("{name}.log"));
    let output = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let status = places
        .binary(name)?
        .args(
            [&working, &places.committed(name), &places.root.join("fuzz/regressions").join(name)]
                .iter()
                .filter(|folder| folder.exists()),
        )
        .arg(format!("-max_total_time={}", minutes * 60))
        .arg(format!("-max_len={INPUT_BYTES_MAX}"))
        .arg(format!("-timeout={SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MB_MAX}"))
        .arg(format!("-malloc_limit_mb={ALLOCATION_MB_MAX}"))
        .arg(format!("-artifact_prefix={}/", finds.display()))
        .arg("-print_final_stats=1")
        .stdout(output.try_clone()?)
        .stderr(output)
        .status()
        .with_context(|| format!("cannot start the binary of {name}"))?;
    let text = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    Ok(Report {
        name: name.to_owned(),
        executions: statistic(&text, "number_of_executed_units"),
        a_second: statistic(&text, "average_exec_per_sec"),
        edges: last_after(&text, " cov: "),
        inputs: fs::read_dir(&working)?.count(),
        found: !status.success(),
        log,
        finds,
    })
}

fn statistic(text: &str, name: &str) -> u64 {
    last_after(text, &format!("stat::{name}:"))
}

/// Returns the number that follows the last `mark`, or 0.
fn last_after(text: &str, mark: &str) -> u64 {
    let rest = text.rfind(mark).map_or("", |at| &text[at + mark.len()..]);
    rest.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, executions, a_second, edges, inputs, found, log, finds } = self;
        write!(f, "{name:<10} {executions:>12} {a_second:>8} {edges:>8} {inputs:>8}")?;
        if *found {
            write!(
                f,
                "\n{name} found something: read {}, mend it at its root, and put the input from {} into fuzz/regressions/{name}",
                log.display(),
                finds.display()
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figures are those that libFuzzer prints last.
    #[test]
    fn figures_are_read_from_the_output() {
        let text = "#2 INITED cov: 10 ft: 11\n#9 NEW    cov: 120 ft: 200 corp: 3/30b\nDone 9 runs in 1 second(s)\n\
                    stat::number_of_executed_units: 9\nstat::average_exec_per_sec:     4\n";
        assert_eq!(statistic(text, "number_of_executed_units"), 9);
        assert_eq!(statistic(text, "average_exec_per_sec"), 4);
        assert_eq!(last_after(text, " cov: "), 120);
        assert_eq!(last_after("", " cov: "), 0);
    }
}
