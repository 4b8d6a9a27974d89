//! Where the programs are, and whether this machine can play a bad disk.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The client as a process of its own.
pub(crate) const PERSON: &str = env!("CARGO_BIN_EXE_halcyon-crash-person");

/// The server, which `cargo test --workspace` put beside the client; built if only this crate is tested.
pub(crate) fn halcyond() -> PathBuf {
    let program = Path::new(PERSON).with_file_name("halcyond");
    if !program.exists() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let build = Command::new(env!("CARGO")).current_dir(root).args(["build", "-p", "halcyond"]).status().unwrap();
        assert!(build.success(), "halcyond does not build");
    }
    program
}

/// Whether there is FUSE. CI must have it.
pub(crate) fn has_fuse() -> bool {
    let device = std::fs::File::options().read(true).write(true).open("/dev/fuse");
    let helper = Command::new("fusermount3").arg("--version").output();
    let there = device.is_ok() && helper.is_ok();
    assert!(there || std::env::var_os("CI").is_none(), "CI needs /dev/fuse and the package fuse3 (.ci/packages)");
    if !there {
        eprintln!("NOT TESTED: there is no /dev/fuse, or the package fuse3 is missing");
    }
    there
}
