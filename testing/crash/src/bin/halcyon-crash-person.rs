//! `halcyon-crash-person`: one device as a process of its own, to be killed. See [`halcyon_crash::person`] for what it says and hears.

#![allow(clippy::print_stderr, reason = "what goes wrong is told to whoever started it")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// One device: hears what to do on standard input, and tells on standard output what it shows.
#[derive(Parser)]
struct Arguments {
    /// The profile.
    #[arg(long)]
    folder: PathBuf,
    /// The server's address.
    #[arg(long)]
    server: String,
    /// The authority to trust.
    #[arg(long)]
    authority: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    halcyon_crash::person::exit_on_panic();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::from(2);
        }
    };
    let lived = halcyon_crash::person::live(&arguments.folder, &arguments.server, &arguments.authority);
    match runtime.block_on(lived) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}
