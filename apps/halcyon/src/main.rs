//! `halcyon`, the command-line client. Everything is in the library.

use std::io::Write;
use std::process::ExitCode;

use halcyon::Invocation;
use halcyon::args::Format;
use halcyon::failure::{Failure, Kind};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let invocation = match Invocation::typed(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(error) => return usage(&error),
    };
    log();
    let format = invocation.format();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(halcyon::run(invocation)),
        Err(error) => Err(Failure::network(format!("the system gives no threads or no event queue: {error}"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            show(&failure, format);
            ExitCode::from(failure.kind.exit_code())
        }
    }
}

/// One for the network, one for the store, whose commits wait for the disk.
const WORKERS: usize = 2;

/// Help and version are no failures; anything else is the person's move, which clap would call 2.
fn usage(error: &clap::Error) -> ExitCode {
    // Nobody can be told that it cannot be printed.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(Kind::User.exit_code()) } else { ExitCode::SUCCESS }
}

/// What the parts below say about their work goes to standard error, if `HALCYON_LOG` asks for it, as in `HALCYON_LOG=debug`.
fn log() {
    if let Ok(filter) = EnvFilter::try_from_env("HALCYON_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
}

fn show(failure: &Failure, format: Format) {
    if failure.kind == Kind::ReaderLeft {
        return;
    }
    let mut stderr = std::io::stderr().lock();
    // A closed standard error leaves the exit code to tell it.
    let _ = match format {
        Format::Text => writeln!(stderr, "{failure}"),
        Format::Json => writeln!(stderr, "{}", failure.to_json()),
    };
}
