//! Benches that run end to end: real processes, real TLS, a real disk.
//!
//! `cargo run -p halcyon-bench --release -- courier --json`

mod all;
mod courier;
mod dudect;
mod instructions;
mod rude;
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
    /// Everything in one run: courier, idle devices, mailboxes, directory, suites; other servers, if they are asked for.
    All(all::Arguments),
    /// Sends, deliveries and idle connections, over TLS against a server process, beside a bare echo and a bare commit.
    Courier(courier::Arguments),
    /// What each rudeness does to the p99 of honest messages, against the program `halcyond`.
    Rude(rude::Arguments),
    /// The rude clients' process that `rude` starts for itself.
    #[command(hide = true)]
    RudeClient(rude::client::Arguments),
    /// Runs one hot function, for `cargo xtask instructions` to count.
    #[command(hide = true)]
    Instructions(instructions::Arguments),
    /// Whether the time to open a `pair` message tells what was wrong with it.
    Dudect(dudect::Arguments),
    /// Each suite beside its own primitives, fan-out, bytes on the wire.
    Suites(suites::Arguments),
    /// The server process that `courier` starts for itself.
    #[command(hide = true)]
    CourierServer(courier::server::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().bench {
        Bench::All(arguments) => all::run(&arguments),
        Bench::Courier(arguments) => courier::run(&arguments),
        Bench::Rude(arguments) => rude::run(&arguments),
        Bench::RudeClient(arguments) => rude::client::run(&arguments),
        Bench::Instructions(arguments) => instructions::run(&arguments),
        Bench::Dudect(arguments) => dudect::run(&arguments),
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
