//! `cargo xtask crash`: builds programs that die at named points, and runs `halcyon-crash` with them.
//!
//! Owns the build and where it goes: the programs are copied beside the usual ones, which the next build puts back, so that nobody
//! ships what can be told to die. Does not know what is proven: testing/crash does.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::Outcome;

/// What is built, and by which name `halcyon-crash` asks for it.
const PROGRAMS: &[(&str, &str)] = &[("halcyond", "--halcyond"), ("halcyon-crash-person", "--person")];
const JUDGE: &str = "halcyon-crash";
/// Exit code of `halcyon-crash` when something was lost.
const FOUND: i32 = 1;

pub(crate) fn run(root: &Path, args: &[String]) -> anyhow::Result<Outcome> {
    anyhow::ensure!(
        !args.is_empty(),
        "nothing asked for: --kills N, --client-kills N, --lost-syncs N, --eio, --full-disk, and --release"
    );
    let release = args.iter().any(|arg| arg == "--release");
    let armed = build(root, release)?;
    let mut judge = Command::new(armed.join(JUDGE));
    for (program, option) in PROGRAMS {
        judge.arg(option).arg(armed.join(program));
    }
    let status =
        judge.args(args.iter().filter(|arg| *arg != "--release")).status().context("starting halcyon-crash")?;
    match status.code() {
        Some(0) => Ok(Outcome::Clean),
        Some(FOUND) => Ok(Outcome::Found),
        _ => anyhow::bail!("halcyon-crash could not carry it out: {status}"),
    }
}

/// Builds the programs, and returns the folder that they are copied to.
fn build(root: &Path, release: bool) -> anyhow::Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // With the features of the whole workspace, so that what the tests compiled is used again.
    cargo.current_dir(root).args([
        "build",
        "--workspace",
        "--features",
        "halcyond/failpoints,halcyon-crash/failpoints",
    ]);
    if release {
        cargo.arg("--release");
    }
    let names = || PROGRAMS.iter().map(|(program, _)| *program).chain([JUDGE]);
    for name in names() {
        cargo.args(["--bin", name]);
    }
    anyhow::ensure!(cargo.status().context("starting cargo")?.success(), "the programs do not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |target| root.join(target));
    let built = target.join(if release { "release" } else { "debug" });
    let armed = target.join("crash");
    std::fs::create_dir_all(&armed)?;
    for name in names() {
        std::fs::copy(built.join(name), armed.join(name)).with_context(|| format!("copying {name}"))?;
    }
    Ok(armed)
}
