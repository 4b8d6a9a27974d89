//! The project's own checks, started as `cargo xtask <task>`.
//!
//! Owns the list of tasks and their exit codes: 0 all is well, 1 something was found, 2 the check itself could not run.
//! Knows nothing about what a task looks at.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to its terminal")]

mod crash;
mod fuzz;
mod instructions;
mod limits;
mod sim;
mod source;
mod spec;
mod tidy;
mod tree;
mod vectors;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What a task found. A task that could not look at all is an error instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Nothing is wrong.
    Clean,
    /// Something is wrong and was printed.
    Found,
}

struct Task {
    name: &'static str,
    usage: &'static str,
    run: fn(root: &Path, args: &[String]) -> anyhow::Result<Outcome>,
}

/// One line a task: name, arguments and meaning, function.
const TASKS: &[Task] = &[
    Task { name: "tidy", usage: "           crate boundaries and source rules, each with its reason", run: tidy::run },
    Task {
        name: "spec",
        usage: "[--missing] requirement -> code -> test; fails on one without either",
        run: spec::run,
    },
    Task {
        name: "limits",
        usage: "[--write]  the table of limits in docs/, made from the constants",
        run: limits::run,
    },
    Task {
        name: "crash",
        usage: "--kills N  kills servers and clients, cuts power, fills disks, and counts what was lost",
        run: crash::run,
    },
    Task {
        name: "instructions",
        usage: "[--write]  instructions of the hot functions under callgrind, beside those recorded",
        run: instructions::run,
    },
    Task {
        name: "sim",
        usage: "--seeds N [--seed S] [--play]  plays whole worlds on a simulated network, disk and clock",
        run: sim::run,
    },
    Task {
        name: "fuzz",
        usage: "[--minutes M] [--minimize | --seeds] [TARGET...]  runs the fuzz targets, or keeps their corpora",
        run: fuzz::run,
    },
    Task { name: "vectors", usage: "FILE...    runs files of test vectors against the suites", run: vectors::run },
    Task {
        name: "transcript",
        usage: "[--write]  the conversation in spec/vectors/pq3-transcript.json, sealed anew",
        run: vectors::transcript,
    },
];

fn main() -> ExitCode {
    if let Some(code) = fuzz::as_wrapper() {
        return ExitCode::from(code);
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(task) = args.first().and_then(|name| TASKS.iter().find(|task| task.name == name)) else {
        eprintln!("usage: cargo xtask TASK\n");
        for task in TASKS {
            eprintln!("  {:8} {}", task.name, task.usage);
        }
        return ExitCode::from(2);
    };
    match (task.run)(&root(), &args[1..]) {
        Ok(Outcome::Clean) => ExitCode::SUCCESS,
        Ok(Outcome::Found) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask {}: {error:#}", task.name);
            ExitCode::from(2)
        }
    }
}

/// Returns the root of the repository: the folder above this crate.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}
