//! What `cargo run` starts: a complete server on loopback, two people with two devices each, and a place to type.
//!
//! Owns the order: folder, stage, talk. Everything that happens is real: TLS, durable stores, keys, mails in a folder.

mod cast;
mod command;
mod folder;
mod lines;
mod mails;
mod screen;
mod stage;
mod talk;
mod tracker;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use directories::ProjectDirs;
use halcyon::failure::{Failure, Kind};
use tracing_subscriber::EnvFilter;

use crate::folder::{DataFolder, Earlier, FolderError, Found};
use crate::screen::Screen;
use crate::stage::Stage;
use crate::talk::Talk;

const AFTER_HELP: &str = "\
Type a line to send it, /help for more. In a pipe, each line is sent and everything that happens is a line of output.
Exit codes: 0 everything arrived, 1 not as asked, 2 unexpected, 3 something did not arrive or did not start.";

/// A server, alice (phone, laptop) and bob (phone, tablet) on this machine, and a place to type
#[derive(Debug, Parser)]
#[command(name = "halcyon-quickstart", version, after_help = AFTER_HELP, max_term_width = 110)]
struct Arguments {
    /// Where server and profiles are kept [default: $XDG_DATA_HOME/halcyon-quickstart]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Delete what an earlier start left there, and begin anew
    #[arg(long)]
    fresh: bool,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nobody can be told that it cannot be printed.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(Kind::User.exit_code()) } else { ExitCode::SUCCESS };
        }
    };
    // What server and clients say about their work goes to standard error if it is asked for, as in HALCYON_LOG=debug.
    if let Ok(filter) = EnvFilter::try_from_env("HALCYON_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(arguments)),
        Err(error) => Err(Failure::network(format!("the system gives no threads or no event queue: {error}"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if failure.kind != Kind::ReaderLeft {
                // A closed standard error leaves the exit code to tell it.
                let _ = writeln!(std::io::stderr().lock(), "{failure}");
            }
            ExitCode::from(failure.kind.exit_code())
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let begun = Instant::now();
    let path = match arguments.data {
        Some(path) => path,
        None => default_folder()?,
    };
    let screen = Screen::new();
    let shown = |note: String| {
        screen.note(&note).map_err(|error| Failure::network(format!("output cannot be written: {error}")))
    };
    shown(format!("data folder: {}", path.display()))?;
    let earlier = if arguments.fresh { Earlier::Delete } else { Earlier::Keep };
    let (mut folder, found) = DataFolder::open(&path, earlier).map_err(folder_failure)?;
    if found == Found::New {
        shown("making a server, accounts for alice and bob, and four devices".to_owned())?;
    }
    let stage = Stage::open(&mut folder, found).await?;
    let addresses = stage.server().addresses();
    shown(format!(
        "server: https://localhost:{}, courier on port {}",
        addresses.https.port(),
        addresses.courier.port()
    ))?;
    let who = match found {
        Found::New => "are new",
        Found::Complete => "are back with their history",
    };
    shown(format!(
        "alice (phone, laptop) and bob (phone, tablet) {who}, all online after {:.1} s. Type a line, or /help.",
        begun.elapsed().as_secs_f64()
    ))?;
    shown(format!(
        "from another terminal: halcyon --profile-folder {} devices (or listen, send, history …)",
        path.join("alice-phone").display()
    ))?;
    Talk::new(stage, screen).run(lines::stdin()).await
}

fn default_folder() -> Result<PathBuf, Failure> {
    let dirs = ProjectDirs::from("", "", "halcyon-quickstart").ok_or_else(|| {
        Failure::user("neither $XDG_DATA_HOME nor $HOME says where data belongs")
            .next("set one of them, or give --data FOLDER")
    })?;
    Ok(dirs.data_dir().to_owned())
}

fn folder_failure(error: FolderError) -> Failure {
    let kind = match error {
        FolderError::Foreign(_) | FolderError::InUse(_) => Kind::User,
        FolderError::Io { .. } => Kind::Network,
    };
    Failure::new(kind, error.to_string())
}
