//! The commands, one file each.
//!
//! Owns which file runs which command, and what they share. Does not know how a client does its work.
//!
//! - A command talks to the profile through a [`Session`](crate::session::Session) only.

mod account;
mod act;
#[cfg(unix)]
mod agent;
mod alerts;
mod approve;
mod contacts;
mod conversations;
mod counters;
mod devices;
mod doctor;
mod export;
mod group;
mod handles;
mod history;
mod listen;
mod lookup;
mod manual;
mod people;
mod read;
mod report;
mod scheduled;
mod search;
mod security;
mod send;
mod sessions;
mod settings;
mod share_name;
mod show;
mod suites;
mod talk;
mod trash;
mod typing;
mod verification;

use std::ffi::OsString;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::args::{Arguments, Command, Global};
use crate::failure::Failure;
use crate::keeper::Keeper;
use crate::output::Output;
use crate::prompt::Input;
use crate::stop::Stop;

/// What every command needs.
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) output: Output,
    pub(crate) input: Input,
    /// In an agent, the profile for all calls.
    pub(crate) keeper: Option<Arc<Keeper>>,
    /// When a command that goes on by itself is to end.
    pub(crate) stop: Stop,
}

impl Context {
    /// How long to wait for server and peers.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.global.timeout)
    }

    /// Waits for something that the server or a peer must do.
    ///
    /// # Errors
    /// [`Failure`] that says what was waited for when `--timeout` is over.
    pub(crate) async fn in_time<T>(&self, waited_for: &str, future: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::time::timeout(self.timeout(), future).await.map_err(|_| {
            Failure::network(format!("{waited_for}: not within {} seconds", self.global.timeout))
                .next("wait longer with --timeout SECONDS")
        })
    }
}

/// What was typed, ready to be run.
pub struct Invocation {
    arguments: Arguments,
    /// What an agent of the profile is asked, if one runs.
    #[cfg(unix)]
    call: Option<crate::agent::methods::Call>,
}

impl Invocation {
    /// Reads a command line.
    ///
    /// # Errors
    /// The mistake in it, or what was asked for instead of a command: help, or the version.
    pub fn typed(line: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        #[cfg(unix)]
        return crate::agent::methods::typed(line).map(|(arguments, call)| Self { arguments, call });
        #[cfg(not(unix))]
        return <Arguments as clap::Parser>::try_parse_from(line).map(|arguments| Self { arguments });
    }

    /// Returns how results are to be printed.
    #[must_use]
    pub fn format(&self) -> crate::args::Format {
        self.arguments.global.output
    }
}

/// Runs a command to its end: by the agent of the profile if one runs, else in this process.
///
/// # Errors
/// [`Failure`], whose kind is the exit code.
pub async fn run(invocation: Invocation) -> Result<(), Failure> {
    let Arguments { global, command } = invocation.arguments;
    let output = Output::new(global.output);
    let mut context = Context { global, output, input: Input::new(), keeper: None, stop: Stop::Signals };
    #[cfg(unix)]
    if let Some(call) = invocation.call
        && let Some(mut agent) = crate::agent::front::Agent::find_or_begin(&context).await?
    {
        return agent.run(&mut context, &call).await;
    }
    dispatch(&mut context, command).await
}

/// Runs a command to its end, here.
///
/// # Errors
/// [`Failure`]
pub(crate) async fn dispatch(context: &mut Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Register(options) => account::register(context, options).await,
        Command::Link(options) => account::link(context, options).await,
        Command::Approve(options) => approve::run(context, options).await,
        Command::Send(options) => send::run(context, options).await,
        Command::Scheduled(options) => scheduled::run(context, options).await,
        Command::React(options) => act::react(context, options).await,
        Command::Edit(options) => act::edit(context, options).await,
        Command::Unsend(options) => act::unsend(context, options).await,
        Command::Listen(options) => listen::run(context, &options).await,
        Command::Talk(options) => talk::run(context, &options).await,
        Command::Conversations(options) => conversations::run(context, &options).await,
        Command::Read(options) => read::run(context, &options).await,
        Command::Typing(options) => typing::run(context, &options).await,
        Command::Mute(options) => people::mark(context, &options, halcyon_client::Mark::Muted).await,
        Command::Pin(options) => people::mark(context, &options, halcyon_client::Mark::Pinned).await,
        Command::Block(options) => people::block(context, &options).await,
        Command::Accept(options) => people::accept(context, &options).await,
        Command::Report(options) => report::run(context, &options).await,
        Command::Delete(options) => trash::delete(context, &options).await,
        Command::Restore(options) => trash::restore(context, &options).await,
        Command::Contacts(options) => contacts::run(context, options).await,
        Command::Settings(options) => settings::run(context, options).await,
        Command::History(options) => history::run(context, &options).await,
        Command::Search(options) => search::run(context, &options).await,
        Command::ShareName(options) => share_name::run(context, &options).await,
        Command::Show(options) => show::run(context, &options).await,
        Command::Export(options) => export::run(context, &options).await,
        Command::Group(options) => group::run(context, options).await,
        Command::Devices(options) => devices::run(context, options).await,
        Command::Handles(options) => handles::run(context, options).await,
        Command::Lookup(options) => lookup::run(context, &options).await,
        Command::Security(options) => security::run(context, &options).await,
        Command::Suites(options) => suites::run(context, options).await,
        Command::Alerts(options) => alerts::run(context, &options).await,
        Command::Sessions(options) => sessions::run(context, options).await,
        Command::Counters => counters::run(context).await,
        Command::Doctor => doctor::run(context).await,
        #[cfg(unix)]
        Command::Agent(options) => agent::run(context, &options).await,
        #[cfg(unix)]
        Command::Unlock(options) => agent::unlock(context, &options).await,
        #[cfg(unix)]
        Command::Lock(options) => agent::lock(context, &options).await,
        #[cfg(not(unix))]
        Command::Agent(_) | Command::Unlock(_) | Command::Lock(_) => {
            Err(Failure::user("there is no agent on this system").next("use the commands without one"))
        }
        Command::Completions(options) => manual::completions(&options),
        Command::Man(options) => manual::pages(&options),
    }
}
