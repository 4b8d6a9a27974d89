//! The one definition of the command line: help, man pages and completions come from it.
//!
//! Owns names, defaults and what fits together. Does not do anything.
//!
//! - No argument or environment variable has a secret as its value: secrets come from a file, a descriptor, or a prompt.

mod group;
mod message;
mod own;

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use halcyon_types::Handle;

pub use self::group::{Addressee, Group, GroupAction, GroupCalled};
pub use self::message::{
    Edit, Export, ExportFormat, History, Listen, Look, MessageName, React, Scheduled, ScheduledAction, Search, Send,
    ShareName, Show, Talk, Unsend,
};
pub use self::own::{
    Accept, Block, Contacts, ContactsAction, Conversations, Delete, MarkPeople, Read, ReportMessage, Restore, Settings,
    SettingsAction, Typing, What,
};
use crate::profile::ProfileName;

/// What `--help` says last of every command that can fail in a way that a script wants to know.
const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  user error: what was asked cannot be done as asked
  2  unexpected: a defect of Halcyon
  3  input, output or network: disk, connection, server
  4  untrusted key: keys changed, or do not prove what they should
  5  rate limit: asked too often; try later

Secrets are read from --passphrase-fd, --passphrase-file (or the file that HALCYON_PASSPHRASE_FILE names),
a prompt on the terminal, or else a line of standard input; never from an argument.

HALCYON_LOG=debug shows what the parts below do, on standard error. NO_COLOR=1 leaves colors out.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "halcyon", version, about = "End-to-end encrypted messages between devices", after_help = EXIT_CODES, max_term_width = 110)]
pub struct Arguments {
    /// What goes for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options for every command")]
pub struct Global {
    /// Which profile: one is one device of one account.
    #[arg(long, global = true, value_name = "NAME", default_value = "default")]
    pub profile: ProfileName,
    /// The profile's folder, instead of $XDG_DATA_HOME/halcyon/profiles/NAME.
    #[arg(long, global = true, value_name = "PATH")]
    pub profile_folder: Option<PathBuf>,
    /// How results are printed: for people, or JSON, one object a line.
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    pub output: Format,
    /// Read the profile's passphrase from a line of this file descriptor.
    #[arg(long, global = true, value_name = "FD", conflicts_with = "passphrase_file")]
    pub passphrase_fd: Option<u32>,
    /// Read the profile's passphrase from the first line of this file; by default, of the one that HALCYON_PASSPHRASE_FILE names.
    #[arg(long, global = true, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
    /// Whether the profile's agent does this, begun in the background if none runs, or this process by itself unless one runs.
    #[arg(long, global = true, value_enum, value_name = "WHEN", env = "HALCYON_AGENT", hide_env_values = true, default_value_t = UseAgent::Auto)]
    pub agent: UseAgent,
    /// How long to wait for server and peers, in seconds.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
}

/// Whether a command begins an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UseAgent {
    /// If none runs. It locks after 15 minutes without a command, and goes on receiving.
    Auto,
    /// Never: what nobody began before is done without.
    Never,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an account for an email address; this machine becomes its first device
    Register(Register),
    /// Add this machine to an account that exists, with its password and the approval of one of its devices
    Link(Link),
    /// Let a new device into this account, by the six digits that it shows
    Approve(Approve),
    /// Send a message
    Send(Send),
    /// Say how you feel about a message
    React(React),
    /// Change the text of a message of yours, for 15 minutes and at most 5 times
    Edit(Edit),
    /// Take a message of yours back, for 2 minutes
    Unsend(Unsend),
    /// Print messages, receipts and alerts as they arrive
    Listen(Listen),
    /// Listen, and send each line that is typed
    Talk(Talk),
    /// List the conversations: pinned ones, then the newest, with what was not read
    Conversations(Conversations),
    /// Print what was said
    History(History),
    /// Note that messages were read, on all devices of this account
    Read(Read),
    /// Tell whoever is there that something is being typed
    Typing(Typing),
    /// Have a conversation make no noise
    Mute(MarkPeople),
    /// Have a conversation come first
    Pin(MarkPeople),
    /// Show nothing more of somebody
    Block(Block),
    /// Let somebody in who was kept apart as unknown
    Accept(Accept),
    /// Show what you would tell the operator of your server of a message, and tell it
    Report(ReportMessage),
    /// List messages that wait for their time, and take them back
    Scheduled(Scheduled),
    /// Delete messages for yourself; for 30 days they can be restored
    Delete(Delete),
    /// Restore messages that were deleted
    Restore(Restore),
    /// List, add and remove names for people, or take them from an address book
    Contacts(Contacts),
    /// Show and choose what goes for all devices of this account
    Settings(Settings),
    /// Look for words in what was said
    Search(Search),
    /// Show everything that is known of one message
    Show(Show),
    /// Tell chosen people what you want to be called, with a photo if you like, or take that back
    ShareName(ShareName),
    /// Write what was said to standard output, as JSON lines or as a page to read
    Export(Export),
    /// Begin groups, list them, and change who is in them and what they are called
    Group(Group),
    /// List, rename and remove the devices of this account
    Devices(Devices),
    /// List, add and remove the addresses of this account, and choose which one to send from
    Handles(Handles),
    /// Ask the directory who is behind an address
    Lookup(Lookup),
    /// Show how well messages to somebody are protected, device by device
    Security(Security),
    /// List the suites of this device, and switch them on and off
    Suites(Suites),
    /// Show new devices, new addresses, requests to link, and alarms
    Alerts(Alerts),
    /// Show the session with every device, and begin sessions anew
    Sessions(Sessions),
    /// Show what this device counted; it tells nobody else
    Counters,
    /// Check profile, server, connection and sessions, and say what is wrong
    Doctor,
    /// Keep a profile open in the background: receive at all times, and serve commands and programs
    Agent(Agent),
    /// Give the agent the profile's passphrase: it connects, and serves commands without asking again
    Unlock(Unlock),
    /// Have the agent do nothing more for anybody, and only receive, until it is unlocked again
    Lock(Lock),
    /// Print a completion script for a shell
    Completions(Completions),
    /// Print the manual as a man page, or write one page a command into a folder
    Man(Man),
}

/// Where the server is and how to trust it.
#[derive(Debug, Args)]
pub struct Server {
    /// The server, for example https://halcyon.example.org or https://localhost:8443.
    #[arg(long, value_name = "URL")]
    pub server: String,
    /// Trust this certificate authority (PEM), and no other, for this server. It is kept in the profile.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Where a profile that is made keeps its device secret; a profile that is there keeps it where it is.
    #[arg(long, value_enum, value_name = "WHERE", env = "HALCYON_DEVICE_SECRET", hide_env_values = true, default_value_t = DeviceSecret::Auto)]
    pub device_secret: DeviceSecret,
    /// What the people of this account call this device; by default the name of the machine.
    #[arg(long, value_name = "NAME")]
    pub device_name: Option<String>,
}

/// Where the device secret is kept, without which a copied profile cannot be guessed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeviceSecret {
    /// In the system's keyring if it answers and is open, else in a file.
    Auto,
    /// In the system's keyring, or the profile is not made.
    Keyring,
    /// In a file of the profile, for its owner only.
    File,
}

/// Where the account's password comes from.
#[derive(Debug, Args)]
pub struct Password {
    /// Read the account's password from a line of this file descriptor.
    #[arg(long, value_name = "FD", conflicts_with = "password_file")]
    pub password_fd: Option<u32>,
    /// Read the account's password from the first line of this file.
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// `halcyon register`
#[derive(Debug, Args)]
pub struct Register {
    /// The email address that others will find you by.
    pub handle: Handle,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub server: Server,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub password: Password,
    /// Do not wait for the code or the link: have the mail sent, print the verification's id, and end.
    #[arg(long, conflicts_with_all = ["verification", "password_fd", "password_file"])]
    pub no_wait: bool,
    /// Go on with the verification that --no-wait printed.
    #[arg(long, value_name = "ID")]
    pub verification: Option<String>,
    /// The six digits of the mail; asked for when not given.
    #[arg(long, value_name = "DIGITS", requires = "verification")]
    pub code: Option<String>,
}

/// `halcyon link`
#[derive(Debug, Args)]
pub struct Link {
    /// An address of the account.
    pub handle: Handle,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub server: Server,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub password: Password,
}

/// `halcyon approve`
#[derive(Debug, Args)]
pub struct Approve {
    /// The device that waits, by its name or the start of its id; asked for when more than one waits.
    pub device: Option<String>,
    /// Turn it away instead.
    #[arg(long)]
    pub reject: bool,
    /// Wait for a device to ask, for as long as --timeout says.
    #[arg(long)]
    pub wait: bool,
}

/// `halcyon devices`
#[derive(Debug, Args)]
pub struct Devices {
    /// What to do; by default, list.
    #[command(subcommand)]
    pub action: Option<DevicesAction>,
}

/// What to do with devices.
#[derive(Debug, Subcommand)]
pub enum DevicesAction {
    /// List them (the default)
    List,
    /// Give this device another name
    Rename {
        /// The new name.
        name: String,
    },
    /// Remove a device: it gets nothing from now on, and what waits for it is deleted
    Remove {
        /// Its name, or the start of its id.
        device: String,
    },
}

/// `halcyon handles`
#[derive(Debug, Args)]
pub struct Handles {
    /// What to do; by default, list.
    #[command(subcommand)]
    pub action: Option<HandlesAction>,
}

/// What to do with handles.
#[derive(Debug, Subcommand)]
pub enum HandlesAction {
    /// List them (the default)
    List,
    /// Add one: a mail with a code and a link goes there
    Add {
        /// The address.
        handle: Handle,
        /// Do not wait for the code or the link: print the verification's id, for `handles verify`.
        #[arg(long)]
        no_wait: bool,
    },
    /// Give the code from the mail for an address that was added with --no-wait
    Verify {
        /// The address.
        handle: Handle,
        /// The verification's id.
        #[arg(long, value_name = "ID")]
        id: String,
        /// The six digits; asked for when not given.
        #[arg(long, value_name = "DIGITS")]
        code: Option<String>,
    },
    /// Remove one; the last one stays
    Remove {
        /// The address.
        handle: Handle,
    },
    /// Choose which one to send from, or show it
    Default {
        /// The address.
        handle: Option<Handle>,
    },
}

/// `halcyon lookup`
#[derive(Debug, Args)]
pub struct Lookup {
    /// Whom to ask about.
    #[arg(required = true, value_name = "HANDLE")]
    pub handles: Vec<Handle>,
    /// Accept that an address stands for another account than before.
    #[arg(long)]
    pub accept: bool,
}

/// `halcyon security`
#[derive(Debug, Args)]
pub struct Security {
    /// Whom messages are for.
    #[arg(required = true, value_name = "HANDLE")]
    pub handles: Vec<Handle>,
}

/// `halcyon suites`
#[derive(Debug, Args)]
pub struct Suites {
    /// What to do; by default, list.
    #[command(subcommand)]
    pub action: Option<SuitesAction>,
}

/// What to do with suites.
#[derive(Debug, Subcommand)]
pub enum SuitesAction {
    /// List them, weakest first (the default)
    List,
    /// Use a suite again, and say so in the device list that others see
    On {
        /// Which.
        suite: LegacySuite,
    },
    /// Use a suite no more: devices that speak nothing else cannot be written to, and cannot write here
    Off {
        /// Which.
        suite: LegacySuite,
    },
}

/// A suite that can be switched. `pq3` cannot: whoever saw a device speak it refuses everything weaker (SUI-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LegacySuite {
    /// RSA-1280.
    Pair,
    /// Elliptic curves with a weekly prekey.
    PairEc,
}

/// `halcyon sessions`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Sessions {
    /// Only those with the devices of this person.
    pub handle: Option<Handle>,
    /// What to do; by default, list.
    #[command(subcommand)]
    pub action: Option<SessionsAction>,
}

/// What to do with sessions.
#[derive(Debug, Subcommand)]
pub enum SessionsAction {
    /// Begin sessions anew: the next message to each device uses new keys. Nothing is lost, and nobody has to do anything
    Reset {
        /// Only those with the devices of this person.
        handle: Option<Handle>,
        /// Do not ask whether it is meant.
        #[arg(long)]
        yes: bool,
    },
    /// Delete every session, as a damaged disk would: for those who want to see it mend
    #[command(hide = true)]
    Lose {
        /// Do not ask whether it is meant.
        #[arg(long)]
        yes: bool,
    },
}

/// `halcyon alerts`
#[derive(Debug, Args)]
pub struct Alerts {
    /// Show those that were seen, too.
    #[arg(long)]
    pub all: bool,
}

/// `halcyon unlock`
#[derive(Debug, Args)]
pub struct Unlock {
    /// Have the system's keyring open this profile from now on, for agents that begin and for `halcyon unlock`.
    #[arg(long, conflicts_with = "ask_again")]
    pub remember: bool,
    /// Undo --remember: remove the key from the keyring.
    #[arg(long)]
    pub ask_again: bool,
}

/// `halcyon lock`
#[derive(Debug, Args)]
pub struct Lock {
    /// Forget all keys, those that open messages too: what comes is kept sealed until the next unlock, as after a restart.
    #[arg(long)]
    pub forget: bool,
}

/// `halcyon agent`
#[derive(Debug, Args)]
pub struct Agent {
    /// What to do; by default, run.
    #[command(subcommand)]
    pub action: Option<AgentAction>,
    /// Serve programs over HTTP, too, on this port of the loopback (0: any); the token is in the file agent.token of the profile's folder.
    #[arg(long, value_name = "PORT")]
    pub http: Option<u16>,
    /// Lock after so many minutes in which nothing is asked of it.
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..=LOCK_AFTER_MINUTES_MAX))]
    pub lock_after: Option<u32>,
    /// Begin in the background, apart from this terminal. Commands start it so.
    #[arg(long, hide = true)]
    pub detached: bool,
}

/// A year: for longer, nobody needs a number.
const LOCK_AFTER_MINUTES_MAX: i64 = 365 * 24 * 60;

/// What to do with the agent.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum AgentAction {
    /// Run it, until it is stopped (the default); it is locked at first if no option says where the passphrase is
    Run,
    /// Show whether one runs, and how it is
    Status,
    /// End it
    Stop,
    /// Write a service file for systemd, so that it starts with the session
    Install,
    /// Print the description of what programs can ask of it (OpenRPC)
    Schema,
}

/// `halcyon completions`
#[derive(Debug, Args)]
pub struct Completions {
    /// For which shell.
    pub shell: clap_complete::Shell,
}

/// `halcyon man`
#[derive(Debug, Args)]
pub struct Man {
    /// Write halcyon.1, halcyon-send.1 and so on into this folder.
    #[arg(long, value_name = "PATH")]
    pub folder: Option<PathBuf>,
}

/// Returns the definition, for help, man pages and completions.
#[must_use]
pub fn definition() -> clap::Command {
    Arguments::command()
}

#[cfg(test)]
mod tests;
