//! `cargo xtask sim`: builds `halcyon-sim` and plays worlds with it.
//!
//! Owns the build. Does not know what a world is: testing/sim does.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::Outcome;

/// Exit code of `halcyon-sim` when an invariant was violated.
const VIOLATED: i32 = 1;

/// A world takes a few hundred milliseconds optimized, and ten times that otherwise, so it is always optimized.
pub(crate) fn run(root: &Path, args: &[String]) -> anyhow::Result<Outcome> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // With the features of the whole workspace, so that the dependencies of the benches are used again.
    cargo.current_dir(root).args(["build", "--release", "--workspace", "--bin", "halcyon-sim"]);
    anyhow::ensure!(cargo.status().context("starting cargo")?.success(), "halcyon-sim does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |target| root.join(target));
    let status = Command::new(target.join("release/halcyon-sim")).args(args).status();
    match status.context("starting halcyon-sim")?.code() {
        Some(0) => Ok(Outcome::Clean),
        Some(VIOLATED) => Ok(Outcome::Found),
        _ => anyhow::bail!("halcyon-sim could not play"),
    }
}
