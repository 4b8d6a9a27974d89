//! What came out, as a table or as one JSON object.
//!
//! Owns what is said of the rounds. Two equal rows of rounds differ, too, by whatever else the machine and its disk did meanwhile: so
//! beside the difference of two p99 stands in which range it would lie if the rounds were drawn again.

use std::io::Write;

use anyhow::{Result, ensure};
use halcyon_rude::server::Weight;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::Serialize;

use super::Arguments;
use super::honest::Taken;
use super::usage::Usage;

/// Everything that was measured.
#[derive(Serialize)]
pub(crate) struct Report {
    bench: &'static str,
    rounds: u32,
    round_ms: u64,
    messages_per_s: u32,
    /// The server's open files and memory include everything that it does for the honest ones.
    rudenesses: Vec<Figures>,
}

/// The rounds of one rudeness.
pub(super) struct Row {
    name: String,
    elsewhere: Vec<Round>,
    here: Vec<Round>,
    resident_kib: u64,
    open_files: usize,
}

/// One round.
pub(super) struct Round {
    pub(super) number: u32,
    pub(super) usage: Usage,
}

/// What is said of one rudeness.
#[derive(Serialize)]
struct Figures {
    name: String,
    elsewhere: Side,
    here: Side,
    /// How much longer the slowest hundredth took than while the rude ones were busy elsewhere, in percent.
    p99_more_percent: f64,
    /// Between these it lies in 95 of 100 draws of the rounds.
    p99_more_percent_from: f64,
    p99_more_percent_to: f64,
    resident_kib: u64,
    open_files: usize,
}

/// Rounds of one kind, all together. Shares are in percent of one core.
#[derive(Serialize)]
struct Side {
    messages: usize,
    p50_us: u64,
    p99_us: u64,
    /// The p99 of the round in the middle, which one pause of a disk does not move.
    p99_of_a_round_us: u64,
    server_percent: f64,
    rude_percent: f64,
    elsewhere_percent: f64,
    honest_percent: f64,
    others_percent: f64,
}

impl Row {
    pub(super) fn new(name: String) -> Self {
        Self { name, elsewhere: Vec::new(), here: Vec::new(), resident_kib: 0, open_files: 0 }
    }

    pub(super) fn elsewhere(&mut self, round: Round) {
        self.elsewhere.push(round);
    }

    pub(super) fn here(&mut self, round: Round, weight: Weight) {
        self.here.push(round);
        self.resident_kib = self.resident_kib.max(weight.resident / 1024);
        self.open_files = self.open_files.max(weight.files);
    }

    fn figures(self, round_ms: u64, taken: &Taken) -> Result<Figures> {
        let taken_of = |rounds: &[Round]| -> Vec<&[u64]> {
            rounds.iter().map(|round| taken.get(&round.number).map_or(&[][..], Vec::as_slice)).collect()
        };
        let (elsewhere, here) = (taken_of(&self.elsewhere), taken_of(&self.here));
        ensure!(!elsewhere.concat().is_empty() && !here.concat().is_empty(), "{}: no message arrived", self.name);
        let (from, to) = range(&elsewhere, &here);
        Ok(Figures {
            p99_more_percent: more_percent(&elsewhere, &here),
            p99_more_percent_from: from,
            p99_more_percent_to: to,
            elsewhere: Side::new(&self.elsewhere, &elsewhere, round_ms),
            here: Side::new(&self.here, &here, round_ms),
            name: self.name,
            resident_kib: self.resident_kib,
            open_files: self.open_files,
        })
    }
}

impl Side {
    fn new(rounds: &[Round], taken: &[&[u64]], round_ms: u64) -> Self {
        let percent = |used: fn(&Usage) -> u64| {
            let used: u64 = rounds.iter().map(|round| used(&round.usage)).sum();
            rounded(used as f64 * 100.0 / (round_ms * rounds.len() as u64) as f64)
        };
        let of_each = taken.iter().map(|round| quantile(round.to_vec(), 99)).collect();
        Self {
            messages: taken.iter().map(|round| round.len()).sum(),
            p50_us: quantile(taken.concat(), 50),
            p99_us: quantile(taken.concat(), 99),
            p99_of_a_round_us: quantile(of_each, 50),
            server_percent: percent(|usage| usage.server),
            rude_percent: percent(|usage| usage.rude),
            elsewhere_percent: percent(|usage| usage.elsewhere),
            honest_percent: percent(|usage| usage.honest),
            others_percent: percent(Usage::others),
        }
    }
}

impl Report {
    pub(super) fn new(arguments: &Arguments, rows: Vec<Row>, taken: &Taken) -> Result<Self> {
        let Arguments { rounds, round_ms, pairs, .. } = *arguments;
        let rudenesses = rows.into_iter().map(|row| row.figures(round_ms, taken)).collect::<Result<_>>()?;
        Ok(Self { bench: "rude", rounds, round_ms, messages_per_s: pairs * 40, rudenesses })
    }

    pub(super) fn print(&self, json: bool) -> Result<()> {
        let mut out = std::io::stdout().lock();
        if json {
            writeln!(out, "{}", serde_json::to_string(self)?)?;
            return Ok(());
        }
        writeln!(
            out,
            "{:<26}{:>11}{:>11}{:>9}{:>18}{:>19}{:>14}{:>7}{:>8}",
            "p99 beside", "elsewhere", "here", "more", "in 95 of 100", "a round's", "server", "rude", "others"
        )?;
        for row in &self.rudenesses {
            let Figures { name, elsewhere, here, .. } = row;
            let ms = |us: u64| us as f64 / 1000.0;
            writeln!(
                out,
                "{name:<26}{:>8.1} ms{:>8.1} ms{:>7.0} %{:>7.0} to {:>5.0} %{:>7.1}, {:>6.1} ms{:>5.0}, {:>3.0} %{:>5.0} %{:>6.0} %",
                ms(elsewhere.p99_us),
                ms(here.p99_us),
                row.p99_more_percent,
                row.p99_more_percent_from,
                row.p99_more_percent_to,
                ms(elsewhere.p99_of_a_round_us),
                ms(here.p99_of_a_round_us),
                elsewhere.server_percent,
                here.server_percent,
                here.rude_percent,
                elsewhere.others_percent.max(here.others_percent),
            )?;
        }
        Ok(())
    }
}

/// Returns in what range the difference lies in 95 of 100 draws of as many rounds.
fn range(elsewhere: &[&[u64]], here: &[&[u64]]) -> (f64, f64) {
    let mut rng = StdRng::seed_from_u64(1);
    let mut draws: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let mut draw = |rounds: &[&'_ [u64]]| -> Vec<usize> {
                (0..rounds.len()).map(|_| rng.gen_range(0..rounds.len())).collect()
            };
            let (there, near) = (draw(elsewhere), draw(here));
            let elsewhere: Vec<&[u64]> = there.into_iter().map(|round| elsewhere[round]).collect();
            let here: Vec<&[u64]> = near.into_iter().map(|round| here[round]).collect();
            more_percent(&elsewhere, &here)
        })
        .collect();
    draws.sort_by(f64::total_cmp);
    (draws[DRAWS / 40], draws[DRAWS - 1 - DRAWS / 40])
}

fn more_percent(elsewhere: &[&[u64]], here: &[&[u64]]) -> f64 {
    let (elsewhere, here) = (quantile(elsewhere.concat(), 99), quantile(here.concat(), 99));
    rounded((here as f64 / elsewhere.max(1) as f64 - 1.0) * 100.0)
}

/// Returns the value that so many of a hundred do not exceed, 0 of none.
fn quantile(mut values: Vec<u64>, percent: usize) -> u64 {
    if values.is_empty() {
        return 0;
    }
    let index = (values.len() * percent).div_ceil(100).saturating_sub(1);
    *values.select_nth_unstable(index).1
}

fn rounded(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// Draws of the rounds.
const DRAWS: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// A p99 is what one message of a hundred exceeds.
    #[test]
    fn a_quantile_is_one_of_the_values() {
        assert_eq!(quantile((1..=200).rev().collect(), 99), 198);
        assert_eq!(quantile((1..=200).collect(), 50), 100);
        assert_eq!((quantile(vec![7], 99), quantile(Vec::new(), 99)), (7, 0));
    }

    /// One round of ten in which a disk paused makes the range wide, and a difference that all rounds have does not.
    #[test]
    fn the_range_tells_noise_from_a_difference() {
        let (quiet, slow, paused) = (vec![10; 200], vec![20; 200], vec![500; 200]);
        let (from, to) = range(&[&quiet[..]; 10], &[&slow[..]; 10]);
        assert_eq!((from, to), (100.0, 100.0));
        let mut here = vec![&quiet[..]; 9];
        here.push(&paused);
        let (from, to) = range(&[&quiet[..]; 10], &here);
        assert!(from == 0.0 && to > 1_000.0, "{from} to {to}");
    }
}
