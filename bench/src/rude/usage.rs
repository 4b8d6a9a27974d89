//! Who had the processor in a round.

use std::ops::Sub;

use anyhow::{Context, Result};

use crate::courier::process::{own_cpu_ms, process_cpu_ms};

/// The processes of a round beside this one, in which the honest clients are.
pub(super) struct Processes {
    pub(super) server: u32,
    pub(super) rude: u32,
    pub(super) elsewhere: u32,
}

/// Processor time in milliseconds.
#[derive(Clone, Copy)]
pub(super) struct Usage {
    pub(super) server: u64,
    pub(super) rude: u64,
    pub(super) elsewhere: u64,
    pub(super) honest: u64,
    /// Of the whole machine.
    pub(super) all: u64,
}

impl Processes {
    /// Returns what was used so far.
    pub(super) fn used(&self) -> Result<Usage> {
        Ok(Usage {
            server: process_cpu_ms(self.server)?,
            rude: process_cpu_ms(self.rude)?,
            elsewhere: process_cpu_ms(self.elsewhere)?,
            honest: own_cpu_ms()?,
            all: all_cpu_ms()?,
        })
    }
}

impl Usage {
    /// Returns what programs used that have nothing to do with this: in a quiet place next to nothing. Interrupts of the kernel are in it.
    pub(super) fn others(&self) -> u64 {
        self.all.saturating_sub(self.server + self.rude + self.elsewhere + self.honest)
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            server: self.server - before.server,
            rude: self.rude - before.rude,
            elsewhere: self.elsewhere - before.elsewhere,
            honest: self.honest - before.honest,
            all: self.all - before.all,
        }
    }
}

/// Returns the time for which processors were not idle, nor waited for a disk.
fn all_cpu_ms() -> Result<u64> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let fields =
        stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).context("an unknown form of /proc/stat")?;
    let fields = fields.split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>()?;
    // User, nice, system, idle, wait, interrupts of both kinds; then what a host took for others, and guests, who are users.
    let busy = [0, 1, 2, 5, 6].into_iter().filter_map(|field| fields.get(field)).sum::<u64>();
    // 100 a second on every Linux that this runs on.
    Ok(busy * 10)
}
