//! One call: a command that runs in the agent, with its results and questions going to whoever called.
//!
//! Owns how a command is run for somebody elsewhere. Does not know how calls are received.
//!
//! - A call that is cancelled gets [`GRACE`] to end by itself, as a listener does, which notes how far it came; then it is dropped. What
//!   was accepted for sending stays in the outbox either way (SND-1).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, watch};

use super::connection::Connection;
use super::methods::{self, Call, CallError};
use super::wire::{Id, Request, RpcError, VERSION, code};
use crate::args::{Arguments, Format};
use crate::commands::{self, Context};
use crate::failure::Failure;
use crate::keeper::Keeper;
use crate::output::{Output, Reader};
use crate::prompt::{Input, Question};
use crate::stop::Stop;

/// How long a call may take to end when it is told to.
const GRACE: Duration = Duration::from_secs(1);
/// Results that are kept for one answer. Whoever wants more takes them as they come.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How a caller wants its results.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Manner {
    /// Each when it is there, instead of all in the answer.
    pub(super) stream: bool,
    /// Questions of the command as requests to the caller; without it, a command that asks fails.
    pub(super) ask: bool,
    /// What only `halcyon` itself asks for.
    pub(super) front: Option<Front>,
}

/// The terminal or the script behind a command that calls.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Front {
    /// Whether results are wanted in words, too, with what is said beside them.
    pub(super) words: bool,
    /// Whether words may have colors.
    pub(super) color: bool,
    /// Whether a person sits at its input.
    pub(super) terminal: bool,
}

/// A call that may be run.
pub(super) struct Prepared {
    arguments: Arguments,
    pub(super) manner: Manner,
}

impl Manner {
    /// Whether the call is of no use once the caller is gone.
    pub(super) fn needs_caller(self) -> bool {
        self.stream || self.ask
    }
}

/// Reads a call.
///
/// # Errors
/// [`RpcError`] if there is no such method, or it takes no such parameters.
pub(super) fn prepare(method: String, mut params: Map<String, Value>) -> Result<Prepared, RpcError> {
    let manner: Map<String, Value> =
        ["stream", "ask", "front"].into_iter().filter_map(|name| params.remove_entry(name)).collect();
    let manner = serde_json::from_value(Value::Object(manner)).map_err(|error| {
        RpcError::new(code::INVALID_PARAMS, format!("`stream` and `ask` take true or false: {error}"))
    })?;
    let arguments = methods::arguments(&Call { method, params }).map_err(|error| {
        let number = match error {
            CallError::Method => code::METHOD_NOT_FOUND,
            CallError::Params(_) => code::INVALID_PARAMS,
        };
        let failure = Failure::from(error);
        RpcError { code: number, ..failure.into() }
    })?;
    Ok(Prepared { arguments, manner })
}

/// Runs a call to its end, and returns the results that were not sent before.
///
/// # Errors
/// [`RpcError`]
pub(super) async fn run(
    keeper: Arc<Keeper>,
    connection: Arc<Connection>,
    id: Option<Id>,
    prepared: Prepared,
    stop: watch::Receiver<bool>,
) -> Result<Vec<Value>, RpcError> {
    if keeper.open_session().is_none() {
        return Err(RpcError { code: code::LOCKED, ..Failure::locked().into() });
    }
    let Prepared { mut arguments, manner } = prepared;
    arguments.global.profile_folder = Some(keeper.folder().to_owned());
    let reader =
        Arc::new(CallReader { connection: Arc::clone(&connection), id: id.clone(), manner, kept: Mutex::default() });
    let front = manner.front.unwrap_or(Front { words: false, color: false, terminal: false });
    let format = if front.words { Format::Text } else { Format::Json };
    let output = Output::to(Arc::clone(&reader) as Arc<dyn Reader>, format, front.color);
    let (questions, mut asked) = mpsc::unbounded_channel();
    let input = Input::of(questions, front.terminal);
    let mut cancelled = stop.clone();
    let mut context =
        Context { global: arguments.global, output, input, keeper: Some(keeper), stop: Stop::Caller(stop) };
    let mut command = std::pin::pin!(commands::dispatch(&mut context, arguments.command));
    let mut over = std::pin::pin!(async {
        let _ = cancelled.wait_for(|is_said| *is_said).await;
        tokio::time::sleep(GRACE).await;
    });
    let ended = loop {
        tokio::select! {
            biased;
            Some(question) = asked.recv() => {
                if manner.ask {
                    connection.ask(id.as_ref(), question);
                } else {
                    nobody_answers(question);
                }
            }
            ended = &mut command => break ended,
            () = &mut over => return Err(RpcError::new(code::CANCELLED, "the call was cancelled")),
        }
    };
    ended.map_err(RpcError::from)?;
    Ok(std::mem::take(&mut reader.kept.lock().unwrap_or_else(PoisonError::into_inner).results))
}

/// The caller said that it says everything in its parameters.
fn nobody_answers(question: Question) {
    let failure = Failure::user("the command asks for more than its parameters say").next(
        "give a text as `text`, a code as `code`, and consent as `yes`; or answer questions, with `\"ask\": true`",
    );
    // The command was dropped.
    let _ = question.answer.send(Err(failure));
}

/// Where a call's results go.
struct CallReader {
    connection: Arc<Connection>,
    id: Option<Id>,
    manner: Manner,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    results: Vec<Value>,
    bytes: usize,
}

/// The parameters of `result`, `note` and `progress`.
#[derive(Serialize, Deserialize)]
pub(super) struct Said {
    pub(super) call: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) words: Option<String>,
}

impl CallReader {
    fn say(&self, method: &str, value: Option<Value>, words: Option<String>) -> Result<(), Failure> {
        let params = Said { call: self.id.clone(), value, words };
        self.connection.send(&Request { jsonrpc: VERSION, id: None, method, params })
    }

    fn has_front(&self) -> bool {
        self.manner.front.is_some()
    }
}

impl Reader for CallReader {
    fn result(&self, value: Value, words: Option<String>) -> Result<(), Failure> {
        if self.manner.stream {
            return self.say("result", Some(value), words);
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += value.to_string().len();
        if kept.bytes > ANSWER_BYTES_MAX {
            return Err(Failure::user("there are too many results for one answer")
                .next("ask for fewer, or for a stream of them with `\"stream\": true`"));
        }
        kept.results.push(value);
        Ok(())
    }

    fn note(&self, note: String) {
        if self.has_front() {
            let _ = self.say("note", None, Some(note));
        }
    }

    fn doing(&self, doing: Option<&'static str>) {
        if self.has_front() {
            let _ = self.say("progress", None, doing.map(str::to_owned));
        }
    }
}
