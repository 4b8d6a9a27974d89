//! Figures, their goals, the machine they are of, and how they are printed.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

/// One run.
#[derive(Serialize)]
pub(super) struct Report {
    machine: Machine,
    quick: bool,
    pub(super) parts: Vec<Part>,
}

/// What the figures are of.
#[derive(Serialize)]
pub(super) struct Machine {
    processor: String,
    processors: usize,
    memory_mib: u64,
    kernel: String,
    /// The mount that the data is on: device and file system.
    disk: String,
    /// Programs that ran or waited for the processor in the last minute, before the run.
    load: String,
}

/// One part of the run.
#[derive(Serialize)]
pub(super) struct Part {
    pub(super) name: &'static str,
    seconds: u64,
    /// What it is of, where the name does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<String>,
    figures: Vec<Figure>,
    /// Why it did not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    could_not_run: Option<String>,
}

/// One measured number.
#[derive(Serialize)]
pub(super) struct Figure {
    what: String,
    value: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    goal: Option<Goal>,
}

/// What a number should be.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Figure {
    pub(super) fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { what: what.into(), value: rounded(value), unit, goal: None }
    }

    pub(super) fn at_least(self, goal: f64) -> Self {
        Self { goal: Some(Goal::AtLeast(goal)), ..self }
    }

    pub(super) fn at_most(self, goal: f64) -> Self {
        Self { goal: Some(Goal::AtMost(goal)), ..self }
    }

    fn line(&self) -> String {
        let Self { what, value, unit, goal } = self;
        let goal = match goal {
            None => String::new(),
            Some(Goal::AtLeast(goal)) => format!("goal: at least {goal}, {}", verdict(value >= goal)),
            Some(Goal::AtMost(goal)) => format!("goal: at most {goal}, {}", verdict(value <= goal)),
        };
        format!("  {what:<66} {:>14} {unit:<10} {goal}", grouped(*value)).trim_end().to_owned()
    }
}

fn verdict(holds: bool) -> &'static str {
    if holds { "holds" } else { "MISSED" }
}

impl Part {
    pub(super) fn new(name: &'static str, took: Duration, done: Result<Vec<Figure>>) -> Self {
        let (figures, could_not_run) = match done {
            Ok(figures) => (figures, None),
            Err(error) => (Vec::new(), Some(format!("{error:#}"))),
        };
        Self { name, seconds: took.as_secs(), about: None, figures, could_not_run }
    }

    pub(super) fn about(self, about: Option<String>) -> Self {
        Self { about, ..self }
    }

    pub(super) fn failed(&self) -> bool {
        self.could_not_run.is_some()
    }
}

impl Report {
    pub(super) fn new(machine: Machine, quick: bool) -> Self {
        Self { machine, quick, parts: Vec::new() }
    }

    pub(super) fn table(&self) -> String {
        let Machine { processor, processors, memory_mib, kernel, disk, load } = &self.machine;
        let mut lines = vec![format!(
            "{processors} x {processor}, {memory_mib} MiB, Linux {kernel}, data on {disk}, load before {load}"
        )];
        if self.quick {
            lines.push("QUICK: small numbers and short loads; the figures say nothing".to_owned());
        }
        for part in &self.parts {
            lines.push(format!("\n{} ({} s)", part.name, part.seconds));
            lines.extend(part.about.iter().map(|about| format!("  {about}")));
            lines.extend(part.figures.iter().map(Figure::line));
            lines.extend(part.could_not_run.iter().map(|why| format!("  NOT MEASURED: {why}")));
        }
        lines.join("\n")
    }
}

impl Machine {
    /// Looks at this machine; what it does not say is "unknown".
    pub(super) fn look(data: &Path) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let unknown = || "unknown".to_owned();
        let memory = field(&read("/proc/meminfo"), "MemTotal").and_then(|text| text.split(' ').next()?.parse().ok());
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(unknown),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: memory.unwrap_or(0) / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            disk: mount_of(data, &read("/proc/self/mounts")).unwrap_or_else(unknown),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

/// Returns device and file system of the mount that a folder is on.
fn mount_of(folder: &Path, mounts: &str) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?, words.next()?, words.next()?))
    });
    let around = mounts.filter(|(_, place, _)| folder.starts_with(place));
    around.max_by_key(|(_, place, _)| place.len()).map(|(device, _, system)| format!("{device} ({system})"))
}

/// Returns three digits after the point for small numbers, none for large ones.
fn rounded(value: f64) -> f64 {
    let places = if value.abs() < 10.0 {
        1_000.0
    } else if value.abs() < 1_000.0 {
        10.0
    } else {
        1.0
    };
    (value * places).round() / places
}

/// Returns a number with its thousands apart.
fn grouped(value: f64) -> String {
    let text = value.to_string();
    let (whole, fraction) =
        text.split_once('.').map_or((text.as_str(), None), |(whole, fraction)| (whole, Some(fraction)));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    fraction.map_or(grouped.clone(), |fraction| format!("{grouped}.{fraction}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A missed goal is told from one that holds, and a part that failed says why.
    #[test]
    fn the_table_says_what_is_missed_and_what_did_not_run() {
        let mut report = Report::new(Machine::look(Path::new("/")), false);
        let figures =
            vec![Figure::new("sends", 1_234_567.4, "/s").at_least(2e6), Figure::new("p99", 1.5, "ms").at_most(20.0)];
        report.parts.push(Part::new("courier", Duration::from_secs(3), Ok(figures)));
        report.parts.push(Part::new("idle", Duration::ZERO, Err(anyhow::anyhow!("too few open files"))));
        let table = report.table();
        assert!(table.contains("1,234,567 /s"), "{table}");
        assert!(table.contains("at least 2000000, MISSED") && table.contains("at most 20, holds"), "{table}");
        assert!(table.contains("NOT MEASURED: too few open files"), "{table}");
    }
}
