//! Questions to somebody elsewhere: to whoever called the agent.
//!
//! Owns what is asked, and the answer that is still on its way. Does not know how a question travels.

use halcyon_crypto::SecretBytes;
use tokio::sync::{mpsc, oneshot};

use super::SecretUse;
use crate::failure::Failure;

/// What is asked of somebody elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The next line, after showing a prompt.
    Line {
        /// The prompt.
        prompt: Option<String>,
    },
    /// All the rest of the input, as the text of a message.
    Rest,
    /// A secret.
    Secret {
        /// What it is called.
        name: String,
        /// Whether it is chosen now.
        usage: SecretUse,
    },
}

/// A question, and where the answer goes: what was typed; nothing at the end of input; or why nobody answers.
#[derive(Debug)]
pub struct Question {
    /// What is asked.
    pub wanted: Wanted,
    /// Takes the answer.
    pub answer: oneshot::Sender<Result<Option<SecretBytes>, Failure>>,
}

/// Somebody elsewhere who answers.
pub(super) struct Caller {
    questions: mpsc::UnboundedSender<Question>,
    is_terminal: bool,
    /// The answer to a line that was asked for and that nobody took yet.
    asked: Option<oneshot::Receiver<Result<Option<SecretBytes>, Failure>>>,
}

impl Caller {
    pub(super) fn new(questions: mpsc::UnboundedSender<Question>, is_terminal: bool) -> Self {
        Self { questions, is_terminal, asked: None }
    }

    /// Whether it is a person at a terminal.
    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    pub(super) async fn ask(&mut self, wanted: Wanted) -> Result<Option<SecretBytes>, Failure> {
        self.asked(wanted).await.unwrap_or_else(|_| Err(caller_left()))
    }

    fn asked(&self, wanted: Wanted) -> oneshot::Receiver<Result<Option<SecretBytes>, Failure>> {
        let (answer, answered) = oneshot::channel();
        // If nobody takes it, the answer's end is dropped, which says so.
        let _ = self.questions.send(Question { wanted, answer });
        answered
    }

    /// Returns the next line. Safe to drop while it waits: the answer is then that to the next call.
    pub(super) async fn next_line(&mut self, prompt: Option<&str>) -> Result<Option<String>, Failure> {
        let asked = match &mut self.asked {
            Some(asked) => asked,
            None => {
                let asked = self.asked(Wanted::Line { prompt: prompt.map(str::to_owned) });
                self.asked.insert(asked)
            }
        };
        let answer = asked.await.unwrap_or_else(|_| Err(caller_left()));
        self.asked = None;
        answer?.map(|line| as_text(&line)).transpose()
    }
}

/// Returns an answer that is no secret.
///
/// # Errors
/// [`Failure`] if it is not UTF-8.
pub(super) fn as_text(answer: &SecretBytes) -> Result<String, Failure> {
    String::from_utf8(answer.expose().to_vec()).map_err(|_| Failure::user("the answer is not UTF-8"))
}

fn caller_left() -> Failure {
    Failure::user("whoever called left without an answer")
}
