//! One caller's connection: lines in, lines out, and the calls and questions that are open on it.
//!
//! Owns the socket, and what is waited for. Does not know what a call does.
//!
//! - Lines go out whole, one after the other. A caller that does not read for [`WRITE_PATIENCE`] is cut off, with its calls, so that
//!   nobody else waits for it.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use halcyon_crypto::SecretBytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use super::wire::{self, Id, LINE_BYTES_MAX, Request, Response, RpcError, VERSION};
use crate::failure::Failure;
use crate::prompt::{Question, SecretUse, Wanted};

/// How long a line may take to be taken. A socket's buffer holds thousands of results.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);
/// Read at once.
const READ_BYTES: usize = 16 * 1024;
/// Calls of one connection at once.
const CALLS_MAX: usize = 64;

/// A caller.
pub(super) struct Connection {
    writer: Mutex<UnixStream>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    calls: HashMap<Id, Running>,
    questions: HashMap<String, Question>,
    asked: u64,
    /// Whether the caller sends nothing any more.
    has_ended: bool,
}

struct Running {
    stop: watch::Sender<bool>,
    /// Whether it is of no use without somebody at the other end.
    needs_caller: bool,
}

/// Why a call does not begin.
pub(super) enum BeginError {
    /// Its id belongs to a call that still runs.
    Taken,
    /// Too many calls run.
    TooMany,
}

/// What the other side is asked, as parameters of `input`.
#[derive(Serialize, Deserialize)]
pub(super) struct InputParams {
    /// The call.
    pub(super) call: Option<Id>,
    pub(super) wanted: WantedName,
    /// What is shown to a person; of a secret, its name.
    pub(super) prompt: Option<String>,
    /// Whether a secret is chosen now.
    #[serde(default)]
    pub(super) is_new: bool,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum WantedName {
    Line,
    Rest,
    Secret,
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> std::io::Result<Self> {
        stream.set_write_timeout(Some(WRITE_PATIENCE))?;
        Ok(Self { writer: Mutex::new(stream), open: Mutex::default() })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a line.
    ///
    /// # Errors
    /// [`Failure`] if the caller is gone or does not read; the connection is then over.
    pub(super) fn send(&self, message: &impl Serialize) -> Result<(), Failure> {
        let line = wire::line(message)?;
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write_all(&line).map_err(|error| {
            // Half a line may be out: nothing that follows would be understood.
            let _ = writer.shutdown(Shutdown::Both);
            Failure::network(format!("whoever called does not read the results: {error}"))
        })
    }

    /// Answers a request. Who sent a notification hears nothing.
    pub(super) fn answer<R: Serialize>(&self, id: Option<Id>, outcome: Result<R, RpcError>) {
        if id.is_some() {
            // Whoever left does not want it.
            let _ = self.send(&Response::new(id, outcome));
        }
    }

    /// Says that a line was no request.
    pub(super) fn refuse(&self, error: RpcError) {
        let _ = self.send(&Response::<Value>::new(None, Err(error)));
    }

    /// Notes that a call runs.
    ///
    /// # Errors
    /// [`BeginError`]
    pub(super) fn begin(&self, id: &Id, stop: watch::Sender<bool>, needs_caller: bool) -> Result<(), BeginError> {
        let mut open = self.open();
        if open.calls.contains_key(id) {
            return Err(BeginError::Taken);
        }
        if open.calls.len() >= CALLS_MAX {
            return Err(BeginError::TooMany);
        }
        if open.has_ended && needs_caller {
            let _ = stop.send(true);
        }
        open.calls.insert(id.clone(), Running { stop, needs_caller });
        Ok(())
    }

    /// Notes that a call is over.
    pub(super) fn finish(&self, id: &Id) {
        self.open().calls.remove(id);
    }

    /// Asks a call to end; returns whether it runs.
    pub(super) fn cancel(&self, id: &Id) -> bool {
        // A call that ended between here and there is over, as was wanted.
        self.open().calls.get(id).is_some_and(|call| call.stop.send(true).is_ok())
    }

    /// Asks the caller something on behalf of a call.
    pub(super) fn ask(&self, call: Option<&Id>, question: Question) {
        let (wanted, prompt, is_new) = match &question.wanted {
            Wanted::Line { prompt } => (WantedName::Line, prompt.clone(), false),
            Wanted::Rest => (WantedName::Rest, None, false),
            Wanted::Secret { name, usage } => (WantedName::Secret, Some(name.clone()), *usage == SecretUse::New),
        };
        let id = {
            let mut open = self.open();
            if open.has_ended {
                return;
            }
            open.asked += 1;
            let id = format!("q{}", open.asked);
            open.questions.insert(id.clone(), question);
            id
        };
        let params = InputParams { call: call.cloned(), wanted, prompt, is_new };
        let request = Request { jsonrpc: VERSION, id: Some(Id::Text(id.clone())), method: "input", params };
        if self.send(&request).is_err() {
            self.open().questions.remove(&id);
        }
    }

    /// Takes the answer to a question; answers to nothing are passed over.
    pub(super) fn answered(&self, id: &Id, result: Option<Value>, error: Option<RpcError>) {
        let Id::Text(id) = id else { return };
        let Some(question) = self.open().questions.remove(id) else { return };
        let answer = match (result, error) {
            (_, Some(error)) => Err(error.into_failure()),
            (Some(Value::String(text)), None) => Ok(Some(SecretBytes::from_vec(text.into_bytes()))),
            _ => Ok(None),
        };
        let _ = question.answer.send(answer);
    }

    /// The caller sends nothing any more: what needs it ends.
    pub(super) fn ended(&self) {
        let mut open = self.open();
        open.has_ended = true;
        open.questions.clear();
        for call in open.calls.values().filter(|call| call.needs_caller) {
            let _ = call.stop.send(true);
        }
    }
}

/// Lines of a caller. They may hold a passphrase, so that no buffer is left behind unwiped.
pub(super) struct Lines {
    stream: UnixStream,
    /// What was read and is not returned yet.
    read: SecretBytes,
}

impl Lines {
    pub(super) fn of(stream: UnixStream) -> Self {
        Self { stream, read: SecretBytes::from_vec(Vec::new()) }
    }

    /// Returns the next line, with its end if it has one; of one that is too long the start, which is longer than allowed; nothing at
    /// the end.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn next(&mut self) -> std::io::Result<Option<SecretBytes>> {
        let mut searched = 0;
        loop {
            let end = self.read.expose().iter().skip(searched).position(|byte| *byte == b'\n');
            if let Some(end) = end {
                return Ok(Some(self.take(searched + end + 1)));
            }
            searched = self.read.len();
            if searched > LINE_BYTES_MAX {
                return Ok(Some(self.take(searched)));
            }
            if self.read_on()? == 0 {
                return Ok((searched > 0).then(|| self.take(searched)));
            }
        }
    }

    fn take(&mut self, count: usize) -> SecretBytes {
        let (line, rest) = self.read.expose().split_at(count);
        let (line, rest) = (SecretBytes::copy_of(line), SecretBytes::copy_of(rest));
        self.read = rest;
        line
    }

    fn read_on(&mut self) -> std::io::Result<usize> {
        let mut more = vec![0; self.read.len() + READ_BYTES];
        let (known, new) = more.split_at_mut(self.read.len());
        known.copy_from_slice(self.read.expose());
        let count = self.stream.read(new);
        let length = self.read.len() + *count.as_ref().unwrap_or(&0);
        more.truncate(length);
        self.read = SecretBytes::from_vec(more);
        count
    }
}
