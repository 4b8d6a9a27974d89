//! The command line: subcommands, and one flag for every key of the table.
//!
//! Owns the names and the help. Does not decide which of flag, environment and file wins: [`config`](crate::config) does.

use std::io;
use std::path::{Path, PathBuf};

use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, Command, value_parser};
use halcyon_types::ReportId;

use crate::config::Said;
use crate::config::keys::{Default, KEYS, Key};

/// Returns the whole command line.
pub(crate) fn command() -> Command {
    Command::new("halcyond")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The Halcyon server: accounts, directory and courier in one process with one folder of data")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings(Command::new("serve").about(
            "Runs the server until SIGTERM or SIGINT, then answers what it has stored and ends within 10 seconds",
        )))
        .subcommand(
            Command::new("config")
                .about("Checks a configuration, or shows an example")
                .subcommand_required(true)
                .arg_required_else_help(true)
                .subcommand(with_settings(
                    Command::new("check")
                        .about("Prints what holds and who said so, or everything that is wrong with it"),
                ))
                .subcommand(Command::new("example").about("Prints a documented configuration file")),
        )
        .subcommand(reports())
        .subcommand(
            Command::new("completions")
                .about("Prints the completions for a shell")
                .arg(Arg::new("shell").required(true).value_parser(value_parser!(clap_complete::Shell))),
        )
        .subcommand(
            Command::new("man")
                .about("Writes the man pages into a folder")
                .arg(Arg::new("folder").required(true).value_name("FOLDER").value_parser(value_parser!(PathBuf))),
        )
}

/// Returns what the operator said, from flags and environment.
pub(crate) fn said(matches: &ArgMatches) -> Said {
    // A subcommand has the flags of some keys, or of all.
    let flag = |key: &Key| {
        let given = matches.try_get_one::<String>(key.name).ok().flatten()?;
        Some((key.name.to_owned(), given.clone()))
    };
    Said {
        file: matches.get_one::<PathBuf>("config").cloned(),
        variables: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        flags: KEYS.iter().filter_map(flag).collect(),
    }
}

/// Prints the completions for the shell that was named.
pub(crate) fn print_completions(matches: &ArgMatches) {
    if let Some(shell) = matches.get_one::<clap_complete::Shell>("shell") {
        clap_complete::generate(*shell, &mut command(), "halcyond", &mut io::stdout());
    }
}

/// Writes a man page for each subcommand into the folder that was named.
///
/// # Errors
/// What the operating system says when the folder cannot be made or written.
pub(crate) fn write_man_pages(matches: &ArgMatches) -> io::Result<()> {
    let folder = matches.get_one::<PathBuf>("folder").map_or(Path::new("."), PathBuf::as_path);
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(command(), folder)
}

/// ACC-63
fn reports() -> Command {
    let with_place = |command: Command| {
        let folder = KEYS.iter().filter(|key| key.name == "data_folder").map(argument);
        let output = Arg::new("output")
            .long("output")
            .value_name("FORMAT")
            .default_value("text")
            .value_parser(["text", "json"])
            .help("For people, or JSON, one object a line");
        command.arg(config_file()).args(folder).arg(output)
    };
    let ids = || {
        let parsed = |text: &str| text.parse::<ReportId>().map_err(|error| error.to_string());
        Arg::new("report").value_name("REPORT").required(true).num_args(1..).value_parser(parsed).help("Their ids")
    };
    Command::new("reports")
        .about("Shows what people reported to you, and drops it; a server may run meanwhile")
        .long_about(
            "Shows what people reported to you, and drops it; a server may run meanwhile. A report is what a device says of a message: \
             it proves that the device said so, and nothing about whoever is said to have sent the message. Nobody else was told.",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_place(Command::new("list").about("Lists the reports, oldest first")))
        .subcommand(with_place(Command::new("show").about("Prints everything that reports say").arg(ids())))
        .subcommand(with_place(
            Command::new("drop").about("Forgets reports, on disk too; after 90 days that happens by itself").arg(ids()),
        ))
}

fn with_settings(command: Command) -> Command {
    command.arg(config_file()).args(KEYS.iter().map(argument))
}

fn config_file() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("FILE")
        .env("HALCYOND_CONFIG")
        .hide_env_values(true)
        .value_parser(value_parser!(PathBuf))
        .help("Configuration file, in TOML")
}

fn argument(key: &Key) -> Arg {
    let default = match key.default {
        Default::Is(value) => format!(" [default: {value}]"),
        Default::Absent => String::new(),
        Default::Required => " [required]".to_owned(),
    };
    Arg::new(key.name)
        .long(key.flag())
        .value_name(key.placeholder())
        // Forms are checked with those of file and environment, so that all problems come at once.
        .value_parser(ValueParser::string())
        .help(format!("{} [env: {}]{default}", key.summary(), key.variable()))
        .help_heading("Settings")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn flags_arrive_under_the_name_of_their_key() {
        let matches =
            command().get_matches_from(["halcyond", "serve", "--listen-courier", "127.0.0.1:0", "--config", "a.toml"]);
        let said = said(matches.subcommand().unwrap().1);
        assert_eq!(said.flags.get("listen.courier").map(String::as_str), Some("127.0.0.1:0"));
        assert_eq!(said.file.as_deref(), Some(Path::new("a.toml")));
    }
}
