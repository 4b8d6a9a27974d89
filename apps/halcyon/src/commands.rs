//! The commands, one file each.
//!
//! Owns which file runs which command, and what they share. Does not know how a client does its work.
//!
//! - A command talks to the profile through a [`Session`](crate::session::Session) only.

mod account;
mod act;
mod alerts;
mod approve;
mod counters;
mod devices;
mod doctor;
mod handles;
mod history;
mod listen;
mod lookup;
mod manual;
mod security;
mod send;
mod sessions;
mod suites;
mod talk;
mod verification;

use std::future::Future;
use std::time::Duration;

use crate::args::{Arguments, Command, Global};
use crate::failure::Failure;
use crate::output::Output;
use crate::prompt::Input;

/// What every command needs.
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) output: Output,
    pub(crate) input: Input,
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

/// Runs a command to its end.
///
/// # Errors
/// [`Failure`], whose kind is the exit code.
pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let output = Output::new(arguments.global.output);
    let mut context = Context { global: arguments.global, output, input: Input::new() };
    match arguments.command {
        Command::Register(options) => account::register(&mut context, options).await,
        Command::Link(options) => account::link(&mut context, options).await,
        Command::Approve(options) => approve::run(&mut context, options).await,
        Command::Send(options) => send::run(&mut context, options).await,
        Command::React(options) => act::react(&mut context, options).await,
        Command::Edit(options) => act::edit(&mut context, options).await,
        Command::Unsend(options) => act::unsend(&mut context, options).await,
        Command::Listen(options) => listen::run(&mut context, &options).await,
        Command::Talk(options) => talk::run(&mut context, &options).await,
        Command::History(options) => history::run(&mut context, &options).await,
        Command::Devices(options) => devices::run(&mut context, options).await,
        Command::Handles(options) => handles::run(&mut context, options).await,
        Command::Lookup(options) => lookup::run(&mut context, &options).await,
        Command::Security(options) => security::run(&mut context, &options).await,
        Command::Suites(options) => suites::run(&mut context, options).await,
        Command::Alerts(options) => alerts::run(&mut context, &options).await,
        Command::Sessions(options) => sessions::run(&mut context, options).await,
        Command::Counters => counters::run(&mut context).await,
        Command::Doctor => doctor::run(&mut context).await,
        Command::Completions(options) => manual::completions(&options),
        Command::Man(options) => manual::pages(&options),
    }
}
