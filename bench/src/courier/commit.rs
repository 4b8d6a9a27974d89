//! A bare group commit: what the disk could do if there were nothing else.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Appends records of one envelope each, `batch` to a sync, and returns how many a second.
pub(crate) fn measure(folder: &Path, batch: u64, payload: usize, length: Duration) -> Result<f64> {
    let path = folder.join("commit.log");
    let mut file = File::create(&path).context("no room for a bare commit")?;
    let records = vec![7; usize::try_from(batch)? * (payload + ENVELOPE_BYTES)];
    let begun = Instant::now();
    let mut syncs = 0;
    while begun.elapsed() < length {
        file.write_all(&records)?;
        file.sync_data()?;
        syncs += 1;
    }
    let per_s = (syncs * batch) as f64 / begun.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(per_s)
}

/// What an envelope of the bench has beside its payload.
const ENVELOPE_BYTES: usize = 120;
