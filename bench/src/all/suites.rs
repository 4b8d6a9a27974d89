//! The suites and fan-out, as the command `suites` measures them.

use anyhow::Result;

use super::Scale;
use super::table::Figure;
use crate::suites;

pub(super) fn measure(scale: &Scale) -> Result<Vec<Figure>> {
    let report = suites::measure(scale.rounds)?;
    let mut figures = Vec::new();
    for row in &report.comparisons {
        figures.push(Figure::new(row.what, row.us, "us"));
        let ratio = Figure::new(format!("{}: beside its primitives", row.what), row.ratio, "x");
        figures.push(match row.goal {
            Some(goal) => ratio.at_most(goal),
            None => ratio,
        });
    }
    let fan_out = &report.fan_out;
    let what = format!("fan-out of 256 B to {} devices, live sessions", fan_out.devices);
    figures.push(Figure::new(what, fan_out.live_ms, "ms").at_most(5.0));
    let what = format!("fan-out of 256 B to {} devices, each started", fan_out.devices);
    figures.push(Figure::new(what, fan_out.start_ms, "ms"));
    Ok(figures)
}
