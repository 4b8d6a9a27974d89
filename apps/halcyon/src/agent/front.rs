//! A command's half: has the agent do what was typed, and stands between it and the terminal.
//!
//! Owns printing and asking on the agent's behalf. Does not know what a command does.
//!
//! - Where no agent runs, a command begins one, or opens the profile itself and does the same.
//! - What the agent sends is read whether or not the terminal takes it, so a slow pager does not end a listener.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use halcyon_crypto::SecretBytes;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::mpsc;

use super::call::{Front, Said};
use super::connection::{InputParams, WantedName};
use super::endpoint;
use super::methods::Call;
use super::wire::{self, Id, Incoming, Request, Response, RpcError, VERSION, code};
use crate::args::{Format, UseAgent};
use crate::commands::Context;
use crate::failure::Failure;
use crate::native;
use crate::output::{Progress, spinner};
use crate::prompt::{SecretSource, SecretUse, show_prompt};
use crate::session;
use crate::stop::Stop;

/// After how many minutes without a command an agent locks that a command began.
const LOCK_AFTER_MINUTES: &str = "15";

/// A connection to the agent of the profile.
pub(crate) struct Agent {
    writer: OwnedWriteHalf,
    lines: mpsc::UnboundedReceiver<Incoming>,
    calls: i64,
}

impl Agent {
    /// Returns the agent of the profile that the options name; nothing if none runs.
    ///
    /// # Errors
    /// [`Failure`] if one runs and does not answer.
    pub(crate) async fn find(context: &Context) -> Result<Option<Self>, Failure> {
        let folder = session::folder(context)?;
        Ok(endpoint::connect(&folder).await?.map(Self::on))
    }

    /// As [`find`](Self::find), but begins one in the background where none runs and the options allow it. Nothing if there is no profile,
    /// or none can be begun: the command then does its work by itself.
    ///
    /// # Errors
    /// [`Failure`] if one runs and does not answer.
    pub(crate) async fn find_or_begin(context: &Context) -> Result<Option<Self>, Failure> {
        if let Some(agent) = Self::find(context).await? {
            return Ok(Some(agent));
        }
        let folder = session::folder(context)?;
        if context.global.agent == UseAgent::Never || !native::has_profile(&folder)? {
            return Ok(None);
        }
        match begin(&folder) {
            Ok(begun) => Ok(endpoint::connect_begun(&folder, begun).await?.map(Self::on)),
            Err(error) => {
                tracing::warn!(%error, "no agent could be begun");
                Ok(None)
            }
        }
    }

    fn on(stream: UnixStream) -> Self {
        let (reader, writer) = stream.into_split();
        let (said, lines) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut reader = BufReader::new(reader).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                let Ok(incoming) = serde_json::from_str(&line) else { break };
                if said.send(incoming).is_err() {
                    break;
                }
            }
        });
        Self { writer, lines, calls: 0 }
    }

    /// Runs a command. If the profile is locked, it is unlocked first, with the passphrase that the options or a person give.
    ///
    /// # Errors
    /// [`Failure`], the agent's or this side's.
    pub(crate) async fn run(&mut self, context: &mut Context, call: &Call) -> Result<(), Failure> {
        // Asked before anything else: once signals are waited for, Ctrl-C would not end the prompt for a passphrase.
        if self.ask("agent.status", json!({})).await?["state"] == "locked" {
            self.unlock(context).await?;
        }
        self.call(context, call).await.map_err(RpcError::into_failure)
    }

    /// Gives the agent the passphrase.
    ///
    /// # Errors
    /// [`Failure`], also if it is wrong.
    pub(crate) async fn unlock(&mut self, context: &mut Context) -> Result<Value, Failure> {
        let passphrase = session::passphrase(context, SecretUse::Known).await?;
        self.unlock_with(context, &passphrase).await
    }

    /// Gives the agent a passphrase.
    ///
    /// # Errors
    /// [`Failure`], also if it is wrong.
    pub(crate) async fn unlock_with(&mut self, context: &Context, passphrase: &SecretBytes) -> Result<Value, Failure> {
        let text = std::str::from_utf8(passphrase.expose())
            .map_err(|_| Failure::user("the passphrase is not UTF-8, and cannot be given to an agent"))?;
        let _progress = context.output.progress("opening the profile");
        self.ask("agent.unlock", json!({ "passphrase": text })).await
    }

    /// Asks something that has one result.
    ///
    /// # Errors
    /// [`Failure`]
    pub(crate) async fn ask(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        let id = self.request(method, params).await?;
        while let Some(line) = self.lines.recv().await {
            if line.method.is_none() && line.id.as_ref() == Some(&id) {
                let Incoming { result, error, .. } = line;
                let mut results = outcome(result, error).map_err(RpcError::into_failure)?;
                return Ok(if results.is_empty() { Value::Null } else { results.swap_remove(0) });
            }
        }
        Err(agent_left())
    }

    async fn request(&mut self, method: &str, params: Value) -> Result<Id, Failure> {
        self.calls += 1;
        let id = Id::Number(self.calls);
        self.send(&Request { jsonrpc: VERSION, id: Some(id.clone()), method, params }).await?;
        Ok(id)
    }

    async fn send(&mut self, message: &impl Serialize) -> Result<(), Failure> {
        // It may hold a passphrase.
        let line = halcyon_crypto::SecretBytes::from_vec(wire::line(message)?);
        self.writer.write_all(line.expose()).await.map_err(|_| agent_left())
    }

    async fn call(&mut self, context: &mut Context, call: &Call) -> Result<(), RpcError> {
        let mut params = call.params.clone();
        let front = Front {
            words: context.output.format() == Format::Text,
            color: context.output.has_color(),
            terminal: context.input.is_terminal(),
        };
        params.insert("stream".to_owned(), Value::Bool(true));
        params.insert("ask".to_owned(), Value::Bool(true));
        params.insert("front".to_owned(), json!(front));
        let id = self.request(&call.method, Value::Object(params)).await?;
        let stop = Stop::Signals;
        let mut stop = std::pin::pin!(stop.asked(None));
        let mut is_stopped = false;
        let mut progress = None;
        // A line that was asked for while others were said.
        let mut asked: Option<(Id, InputParams)> = None;
        loop {
            tokio::select! {
                line = self.lines.recv() => {
                    let line = line.ok_or_else(agent_left)?;
                    match (line.method.as_deref(), line.id) {
                        (Some("input"), Some(question)) => {
                            progress = None;
                            asked = Some((question, prompted(params_of(line.params)?)));
                        }
                        (Some(method), _) => {
                            let shown = show(context, method, params_of(line.params)?, &mut progress);
                            if let Err(failure) = shown {
                                self.cancel(&id).await?;
                                return Err(failure.into());
                            }
                        }
                        (None, Some(answered)) if answered == id => {
                            return match outcome(line.result, line.error) {
                                Err(error) if is_stopped && error.code == code::CANCELLED => Ok(()),
                                ended => ended.map(drop),
                            };
                        }
                        (None, _) => {}
                    }
                }
                answer = typed(context, &asked), if asked.is_some() => {
                    if let Some((question, _)) = asked.take() {
                        self.send(&Response::new(Some(question), answer.map_err(RpcError::from))).await?;
                    }
                }
                () = &mut stop, if !is_stopped => {
                    is_stopped = true;
                    self.cancel(&id).await?;
                }
            }
        }
    }

    async fn cancel(&mut self, id: &Id) -> Result<(), Failure> {
        self.request("cancel", json!({ "id": id })).await.map(drop)
    }
}

/// Begins an agent that has nothing to do with this process, nor with its terminal, input and output.
fn begin(folder: &Path) -> io::Result<Child> {
    let mut agent = Command::new(std::env::current_exe()?);
    agent.arg("--profile-folder").arg(folder).args(["agent", "--detached", "--lock-after", LOCK_AFTER_MINUTES]);
    // It asks for nothing, and is unlocked like any other.
    agent.env_remove(session::PASSPHRASE_FILE_VARIABLE);
    agent.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

fn agent_left() -> Failure {
    Failure::network("the agent ended, or waited too long for this command to read")
        .next("try again; what was accepted for sending is kept, and so is what arrived")
}

fn params_of<T: serde::de::DeserializeOwned>(params: Option<serde_json::Map<String, Value>>) -> Result<T, Failure> {
    serde_json::from_value(Value::Object(params.unwrap_or_default())).map_err(|error| {
        Failure::unexpected(format!("the agent said something that this program does not know: {error}"))
    })
}

fn outcome(result: Option<Value>, error: Option<RpcError>) -> Result<Vec<Value>, RpcError> {
    match (result, error) {
        (_, Some(error)) => Err(error),
        (Some(Value::Array(results)), None) => Ok(results),
        (Some(one), None) => Ok(vec![one]),
        (None, None) => Ok(Vec::new()),
    }
}

/// Prints what the agent says.
fn show(context: &Context, method: &str, said: Said, progress: &mut Option<Progress>) -> Result<(), Failure> {
    match (method, said) {
        ("result", Said { words: Some(words), .. }) => context.output.line(&words),
        ("result", Said { value: Some(value), .. }) => context.output.result(&value, |_| value.to_string()),
        ("note", Said { words: Some(words), .. }) => {
            context.output.note(words);
            Ok(())
        }
        ("progress", Said { words, .. }) => {
            *progress = words.map(|doing| Progress::Here(spinner(doing)));
            Ok(())
        }
        // What a later agent may say besides.
        _ => Ok(()),
    }
}

/// Shows the prompt of a line, once, however often its reading is interrupted by what is to be printed.
fn prompted(mut input: InputParams) -> InputParams {
    if let WantedName::Line = input.wanted
        && let Some(prompt) = input.prompt.take()
    {
        show_prompt(&prompt);
    }
    input
}

/// Returns what a person or a script says to a question; nothing at the end of input. Safe to drop while it waits for a line.
async fn typed(context: &mut Context, asked: &Option<(Id, InputParams)>) -> Result<Option<String>, Failure> {
    let Some((_, InputParams { wanted, prompt, is_new, .. })) = asked else { return Ok(None) };
    match wanted {
        WantedName::Line => context.input.next_line(prompt.as_deref()).await,
        WantedName::Rest => context.input.rest().await.map(Some),
        WantedName::Secret => {
            let usage = if *is_new { SecretUse::New } else { SecretUse::Known };
            let name = prompt.as_deref().unwrap_or("secret");
            let secret = context.input.secret(&SecretSource::Ask, name, usage).await?;
            Ok(Some(String::from_utf8_lossy(secret.expose()).into_owned()))
        }
    }
}
