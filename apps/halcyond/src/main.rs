//! `halcyond`: the server as an operator runs it.
//!
//! Owns the order of things in this process: arguments, configuration, log, server, signals, exit code. What a server does is
//! `halcyon_server`; how it is reached is `halcyon_server_net`.
//!
//! Exit codes: 0 asked to end and ended, 1 the configuration or the arguments, 2 unexpected, 3 the machine (a port, a folder).

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line program talks to its terminal")]

mod cli;
mod config;
mod failure;
mod log;
mod notify;
mod reports;
mod serve;
mod settings;

use std::process::ExitCode;

use crate::failure::Failure;

fn main() -> ExitCode {
    let matches = match cli::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            // Nothing can be done about a terminal that is gone.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(failure::USER) } else { ExitCode::SUCCESS };
        }
    };
    match run(&matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(matches: &clap::ArgMatches) -> Result<(), Failure> {
    match matches.subcommand() {
        Some(("serve", matches)) => serve::serve(&cli::said(matches)),
        Some(("config", matches)) => match matches.subcommand() {
            Some(("check", matches)) => check(&cli::said(matches)),
            _ => {
                print!("{}", config::example::example());
                Ok(())
            }
        },
        Some(("reports", matches)) => reports::run(matches),
        Some(("completions", matches)) => {
            cli::print_completions(matches);
            Ok(())
        }
        Some(("man", matches)) => cli::write_man_pages(matches).map_err(Failure::Machine),
        _ => unreachable!("clap demands one of the subcommands above"),
    }
}

/// Shows what holds, or everything that is wrong with it.
fn check(said: &config::Said) -> Result<(), Failure> {
    let config = config::read(said).map_err(Failure::Configuration)?;
    print!("{config}");
    for warning in config.warnings() {
        eprintln!("warning: {warning}");
    }
    settings::settings(&config).map_err(Failure::Configuration)?;
    println!("\nThe configuration is good.");
    Ok(())
}
