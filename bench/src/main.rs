//! Benches that run end to end: real processes, real TLS, a real disk.
//!
//! `cargo run -p halcyon-bench --release -- courier --json`

mod courier;
mod suites;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures Halcyon end to end.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Sends, deliveries and idle connections, over TLS against a server process, beside a bare echo and a bare commit.
    Courier(courier::Arguments),
    /// Each suite beside its own primitives, fan-out, bytes on the wire.
    Suites(suites::Arguments),
    /// The server process that `courier` starts for itself.
    #[command(hide = true)]
    CourierServer(courier::server::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().bench {
        Bench::Courier(arguments) => courier::run(&arguments),
        Bench::Suites(arguments) => suites::run(&arguments),
        Bench::CourierServer(arguments) => courier::server::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write;
            // Nothing better is left to do if this fails, too.
            let _ = writeln!(std::io::stderr(), "halcyon-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
