//! What came out, as a table or as one JSON object.

use std::io::Write;

use anyhow::Result;
use halcyon_rude::server::Weight;
use serde::Serialize;

use super::Arguments;
use super::honest::Taken;

/// Everything that was measured.
#[derive(Serialize)]
pub(crate) struct Report {
    bench: &'static str,
    rounds: u32,
    round_ms: u64,
    messages_per_s: u32,
    /// The server's open files and memory include everything that it does for the honest ones.
    rudenesses: Vec<Row>,
}

/// One rudeness.
#[derive(Serialize)]
pub(crate) struct Row {
    name: String,
    messages_elsewhere: u64,
    messages_here: u64,
    p50_elsewhere_us: u64,
    p50_here_us: u64,
    p99_elsewhere_us: u64,
    p99_here_us: u64,
    /// How much longer the slowest hundredth took than while the rude ones were busy elsewhere, in percent.
    p99_more_percent: f64,
    resident_kib: u64,
    open_files: usize,
}

impl Row {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            messages_elsewhere: 0,
            messages_here: 0,
            p50_elsewhere_us: 0,
            p50_here_us: 0,
            p99_elsewhere_us: 0,
            p99_here_us: 0,
            p99_more_percent: 0.0,
            resident_kib: 0,
            open_files: 0,
        }
    }

    pub(crate) fn weigh(&mut self, weight: Weight) {
        self.resident_kib = self.resident_kib.max(weight.resident / 1024);
        self.open_files = self.open_files.max(weight.files);
    }

    pub(crate) fn measured(&mut self, taken: Taken) -> Result<()> {
        let Taken { elsewhere, here } = taken;
        anyhow::ensure!(!elsewhere.is_empty() && !here.is_empty(), "{}: no message arrived", self.name);
        (self.messages_elsewhere, self.messages_here) = (elsewhere.len(), here.len());
        (self.p50_elsewhere_us, self.p50_here_us) = (elsewhere.value_at_quantile(0.5), here.value_at_quantile(0.5));
        (self.p99_elsewhere_us, self.p99_here_us) = (elsewhere.value_at_quantile(0.99), here.value_at_quantile(0.99));
        let ratio = self.p99_here_us as f64 / self.p99_elsewhere_us.max(1) as f64;
        self.p99_more_percent = ((ratio - 1.0) * 1_000.0).round() / 10.0;
        Ok(())
    }
}

impl Report {
    pub(crate) fn new(arguments: &Arguments, rudenesses: Vec<Row>) -> Self {
        let Arguments { rounds, round_ms, pairs, .. } = *arguments;
        Self { bench: "rude", rounds, round_ms, messages_per_s: pairs * 40, rudenesses }
    }

    pub(crate) fn print(&self, json: bool) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if json {
            writeln!(out, "{}", serde_json::to_string(self)?)?;
            return Ok(());
        }
        writeln!(out, "{:<28}{:>10}{:>10}{:>10}{:>10}", "rudeness", "elsewhere", "here", "more", "resident")?;
        for row in &self.rudenesses {
            let (elsewhere, here) = (row.p99_elsewhere_us as f64 / 1000.0, row.p99_here_us as f64 / 1000.0);
            let (more, resident) = (row.p99_more_percent, row.resident_kib / 1024);
            writeln!(out, "{:<28}{elsewhere:>7.1} ms{here:>7.1} ms{more:>8.1} %{resident:>6} MiB", row.name)?;
        }
        Ok(())
    }
}
