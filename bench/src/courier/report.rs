//! What the bench prints.

use std::io::Write;

use anyhow::Result;
use serde::Serialize;

use super::Arguments;
use super::course::Measured;
use super::server::Stats;

/// Everything measured in one run.
#[derive(Serialize)]
pub(crate) struct Report {
    seconds: u64,
    senders: u32,
    receivers: u32,
    in_flight: usize,
    payload_bytes: usize,
    idle: u32,
    accepted_per_s: u64,
    delivered_per_s: u64,
    p50_ms: f64,
    p99_ms: f64,
    bytes_per_idle_connection: u64,
    echo_per_s: u64,
    echo_p50_ms: f64,
    commit_per_s: u64,
    ratio_to_echo: f64,
    ratio_to_commit: f64,
    envelopes_per_commit: u64,
    mailbox_reads: u64,
    server_cpu_us_per_message: f64,
}

impl Report {
    pub(crate) fn new(
        arguments: &Arguments,
        courier: &Measured,
        echo: &Measured,
        commit_per_s: f64,
        stats: &Stats,
        bytes_per_idle_connection: u64,
    ) -> Self {
        let quantile = |measured: &Measured, quantile| measured.latency.value_at_quantile(quantile) as f64 / 1_000.0;
        Self {
            seconds: arguments.seconds,
            senders: arguments.senders,
            receivers: arguments.receivers,
            in_flight: arguments.in_flight,
            payload_bytes: arguments.payload,
            idle: arguments.idle,
            accepted_per_s: courier.accepted_per_s as u64,
            delivered_per_s: courier.delivered_per_s as u64,
            p50_ms: quantile(courier, 0.5),
            p99_ms: quantile(courier, 0.99),
            bytes_per_idle_connection,
            echo_per_s: echo.accepted_per_s as u64,
            echo_p50_ms: quantile(echo, 0.5),
            commit_per_s: commit_per_s as u64,
            ratio_to_echo: rounded(courier.accepted_per_s / echo.accepted_per_s),
            ratio_to_commit: rounded(courier.accepted_per_s / commit_per_s),
            envelopes_per_commit: stats.envelopes_per_commit(),
            mailbox_reads: stats.reads,
            server_cpu_us_per_message: rounded(stats.cpu_ms as f64 * 1_000.0 / stats.envelopes.max(1) as f64),
        }
    }

    pub(crate) fn print(&self, json: bool) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if json {
            writeln!(out, "{}", serde_json::to_string(self)?)?;
        } else if let serde_json::Value::Object(fields) = serde_json::to_value(self)? {
            for (name, value) in fields {
                writeln!(out, "{name:>28}  {value}")?;
            }
        }
        Ok(())
    }
}

fn rounded(ratio: f64) -> f64 {
    (ratio * 1_000.0).round() / 1_000.0
}
