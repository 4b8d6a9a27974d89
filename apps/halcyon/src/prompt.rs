//! What a person types, or a script gives: secrets, codes, choices.
//!
//! Owns the order in which sources are tried, and the one reader of standard input. Does not know what an answer means.
//!
//! - A secret comes from a descriptor, a file, the terminal without echo, or a line of standard input.
//! - Prompts go to standard error, so that they never mix with results.
//! - Standard input is read a line at a time and only when asked, so that the terminal is free for a secret before.
//! - For a call to the agent whoever called is asked instead, as a [`Question`]; nothing of the agent's own process is read.

mod caller;

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use halcyon_crypto::SecretBytes;
use tokio::sync::{mpsc, oneshot};

pub use caller::{Question, Wanted};

use self::caller::Caller;
use crate::failure::Failure;

/// A passphrase longer than this is a mistaken file.
const SECRET_BYTES_MAX: usize = 1024;
/// A line of input longer than this is not an answer. Texts of messages are read by [`Input::rest`].
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// A text that cannot be a message any more (CON-3 allows 12,000 bytes).
const TEXT_BYTES_MAX: u64 = 64 * 1024;

/// Where a secret was said to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SecretSource {
    /// Nobody said: ask.
    #[default]
    Ask,
    /// A line of this descriptor.
    Descriptor(u32),
    /// The first line of this file.
    File(PathBuf),
}

impl SecretSource {
    /// Returns the source that a pair of options names.
    #[must_use]
    pub fn from_options(descriptor: Option<u32>, file: Option<&Path>) -> Self {
        match (descriptor, file) {
            (Some(descriptor), _) => Self::Descriptor(descriptor),
            (None, Some(file)) => Self::File(file.to_owned()),
            (None, None) => Self::Ask,
        }
    }
}

/// Whether a new secret is made, which is asked for twice on a terminal, or an old one is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretUse {
    /// It is chosen now.
    New,
    /// It was chosen before.
    Known,
}

/// Where answers come from.
pub struct Input {
    source: Source,
    /// Whether standard input is the text of a message, so that a secret must not be taken from it.
    reserved: bool,
}

enum Source {
    /// Standard input and the terminal of this process.
    Process(Option<Reader>),
    /// Whoever called.
    Caller(Caller),
}

struct Reader {
    wanted: std::sync::mpsc::Sender<()>,
    /// Whether the thread reads a line that nobody took yet.
    asked: bool,
    lines: mpsc::Receiver<io::Result<String>>,
}

impl Input {
    /// Returns the process's input. Nothing is read yet.
    #[must_use]
    pub fn new() -> Self {
        Self { source: Source::Process(None), reserved: false }
    }

    /// Returns the input of somebody elsewhere, and whether that is a person at a terminal.
    #[must_use]
    pub fn of(questions: mpsc::UnboundedSender<Question>, is_terminal: bool) -> Self {
        Self { source: Source::Caller(Caller::new(questions, is_terminal)), reserved: false }
    }

    /// Says that standard input is the text of a message: secrets are then asked for on the terminal only.
    pub fn reserve_for_text(&mut self) {
        self.reserved = true;
    }

    /// Returns whether a person sits at standard input.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        match &self.source {
            Source::Process(_) => io::stdin().is_terminal(),
            Source::Caller(caller) => caller.is_terminal(),
        }
    }

    /// Returns a secret.
    ///
    /// # Errors
    /// [`Failure`] if the source cannot be read, is empty, or nobody can be asked.
    pub async fn secret(
        &mut self,
        source: &SecretSource,
        name: &str,
        usage: SecretUse,
    ) -> Result<SecretBytes, Failure> {
        let secret = match source {
            SecretSource::Descriptor(0) => SecretBytes::from_vec(self.line(None).await?.into_bytes()),
            SecretSource::Descriptor(number) => from_descriptor(*number, name)?,
            SecretSource::File(path) => from_file(path, name)?,
            SecretSource::Ask => self.asked_secret(name, usage).await?,
        };
        if secret.is_empty() {
            return Err(
                Failure::user(format!("the {name} is empty")).next(format!("give a {name} of at least one character"))
            );
        }
        Ok(secret)
    }

    async fn asked_secret(&mut self, name: &str, usage: SecretUse) -> Result<SecretBytes, Failure> {
        if let Source::Caller(caller) = &mut self.source {
            let answer = caller.ask(Wanted::Secret { name: name.to_owned(), usage }).await?;
            return answer.ok_or_else(|| ended(name));
        }
        let nobody = || {
            Failure::user(format!("nobody can be asked for the {name}: standard input is the text of the message, and there is no terminal"))
                .next("give the text with --text, or the passphrase with --passphrase-file or --passphrase-fd")
        };
        if self.is_terminal() || self.reserved {
            let first = typed(name).map_err(|_| nobody())?;
            if usage == SecretUse::New && !typed(&format!("{name} again")).map_err(|_| nobody())?.ct_eq(&first) {
                return Err(Failure::user(format!("the {name} was not typed the same twice")).next("try again"));
            }
            return Ok(first);
        }
        let line = self.line(Some(name)).await?;
        Ok(SecretBytes::from_vec(line.into_bytes()))
    }

    /// Returns the next line of standard input without its end, after showing a prompt.
    ///
    /// Safe to drop while it waits: the line then answers the next call.
    ///
    /// # Errors
    /// [`Failure`] at the end of input.
    pub async fn line(&mut self, prompt: Option<&str>) -> Result<String, Failure> {
        let line = self.next_line(prompt).await?;
        line.ok_or_else(|| ended(prompt.unwrap_or("an answer")))
    }

    /// As [`Self::line`], but nothing at the end of input.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be read.
    pub async fn next_line(&mut self, prompt: Option<&str>) -> Result<Option<String>, Failure> {
        let reader = match &mut self.source {
            Source::Caller(caller) => return caller.next_line(prompt).await,
            Source::Process(reader) => reader.get_or_insert_with(Reader::start),
        };
        if let Some(prompt) = prompt {
            show_prompt(prompt);
        }
        if !reader.asked {
            // The thread has ended if this fails, and so has the input.
            let _ = reader.wanted.send(());
            reader.asked = true;
        }
        let answer = reader.lines.recv().await;
        reader.asked = false;
        answer.transpose().map_err(|error| Failure::network(format!("standard input cannot be read: {error}")))
    }

    /// Returns all of standard input as text, without the newline at its end.
    ///
    /// # Errors
    /// [`Failure`] if it is not UTF-8, or too long for a message.
    pub async fn rest(&mut self) -> Result<String, Failure> {
        if let Source::Caller(caller) = &mut self.source {
            let text = caller.ask(Wanted::Rest).await?.ok_or_else(|| ended("the text"))?;
            return caller::as_text(&text);
        }
        let (done, text) = oneshot::channel();
        // A thread, so that the command can be told to end meanwhile.
        std::thread::spawn(move || done.send(read_text()));
        text.await.unwrap_or_else(|_| Err(Failure::unexpected("standard input could not be read")))
    }
}

impl Default for Input {
    fn default() -> Self {
        Self::new()
    }
}

fn ended(expected: &str) -> Failure {
    Failure::user(format!("input ended where {expected} was expected"))
        .next("see `halcyon help COMMAND` for what it reads")
}

impl Reader {
    /// A thread and not a blocking task: the process may end while it waits for a line.
    fn start() -> Self {
        let (wanted, requests) = std::sync::mpsc::channel();
        let (answers, lines) = mpsc::channel(1);
        std::thread::spawn(move || {
            while requests.recv().is_ok() {
                let answer = match read_line(&mut io::stdin().lock()) {
                    Ok(Some(line)) => Ok(line),
                    Ok(None) => break,
                    Err(error) => Err(error),
                };
                if answers.blocking_send(answer).is_err() {
                    break;
                }
            }
        });
        Self { wanted, asked: false, lines }
    }
}

fn read_text() -> Result<String, Failure> {
    let mut text = Vec::new();
    let read = io::stdin().lock().take(TEXT_BYTES_MAX + 1).read_to_end(&mut text);
    read.map_err(|error| Failure::network(format!("standard input cannot be read: {error}")))?;
    if text.len() as u64 > TEXT_BYTES_MAX {
        return Err(Failure::user("the text is too long for a message").next("send at most 12,000 bytes"));
    }
    let mut text =
        String::from_utf8(text).map_err(|_| Failure::user("the text is not UTF-8").next("send text, not a file"))?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

fn read_line(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::with_capacity(SECRET_BYTES_MAX);
    if input.take(LINE_BYTES_MAX).read_line(&mut line)? == 0 {
        return Ok(None);
    }
    line.truncate(line.trim_end_matches(['\n', '\r']).len());
    Ok(Some(line))
}

/// A prompt that cannot be shown is no reason not to read the answer.
pub(crate) fn show_prompt(prompt: &str) {
    let mut stderr = io::stderr().lock();
    let _ = write!(stderr, "{prompt}: ");
    let _ = if io::stdin().is_terminal() { stderr.flush() } else { writeln!(stderr) };
}

fn typed(name: &str) -> io::Result<SecretBytes> {
    rpassword::prompt_password(format!("{name}: ")).map(|typed| SecretBytes::from_vec(typed.into_bytes()))
}

fn from_file(path: &Path, name: &str) -> Result<SecretBytes, Failure> {
    let unreadable =
        |error| Failure::user(format!("the file {} with the {name} cannot be read: {error}", path.display()));
    let file = File::open(path).map_err(unreadable)?;
    first_line(file, name).map_err(|error| error.unwrap_or_else(unreadable))
}

/// Both `/dev/fd` of Linux and that of other Unix systems open what the process holds under a number.
fn from_descriptor(number: u32, name: &str) -> Result<SecretBytes, Failure> {
    let unreadable = |error| {
        Failure::user(format!("descriptor {number} with the {name} cannot be read: {error}"))
            .next("open it for the command, as in `3< FILE`, or use a file")
    };
    let file = File::open(format!("/dev/fd/{number}")).map_err(unreadable)?;
    first_line(file, name).map_err(|error| error.unwrap_or_else(unreadable))
}

/// Either what is wrong with the secret, or what the operating system said.
enum SecretError {
    Failure(Failure),
    Io(io::Error),
}

impl SecretError {
    fn unwrap_or_else(self, other: impl FnOnce(io::Error) -> Failure) -> Failure {
        match self {
            Self::Failure(failure) => failure,
            Self::Io(error) => other(error),
        }
    }
}

/// Reads byte by byte, so that a pipe that holds several secrets, one a line, gives one to each who asks.
fn first_line(mut file: impl Read, name: &str) -> Result<SecretBytes, SecretError> {
    let mut line = Vec::with_capacity(SECRET_BYTES_MAX);
    let mut byte = [0];
    while file.read(&mut byte).map_err(SecretError::Io)? == 1 && byte[0] != b'\n' {
        if line.len() == SECRET_BYTES_MAX {
            return Err(SecretError::Failure(Failure::user(format!(
                "the {name} has more than {SECRET_BYTES_MAX} bytes; is this the right file?"
            ))));
        }
        line.push(byte[0]);
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(SecretBytes::from_vec(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_secret_is_the_first_line_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        std::fs::write(&path, "correct horse\r\nsecond line\n").unwrap();
        let source = SecretSource::File(path.clone());
        let secret = Input::new().secret(&source, "passphrase", SecretUse::Known).await.unwrap();
        assert_eq!(secret.expose(), b"correct horse");

        std::fs::write(&path, "x".repeat(SECRET_BYTES_MAX + 1)).unwrap();
        let failure = Input::new().secret(&source, "passphrase", SecretUse::Known).await.unwrap_err();
        assert!(failure.what.contains("right file"), "{failure}");
        std::fs::write(&path, "\n").unwrap();
        let failure = Input::new().secret(&source, "passphrase", SecretUse::Known).await.unwrap_err();
        assert!(failure.what.contains("empty"), "{failure}");
    }

    #[tokio::test]
    async fn a_missing_file_or_descriptor_is_named() {
        let missing = SecretSource::File("/nowhere/passphrase".into());
        let failure = Input::new().secret(&missing, "passphrase", SecretUse::Known).await.unwrap_err();
        assert!(failure.what.contains("/nowhere/passphrase"), "{failure}");
        let closed = SecretSource::Descriptor(4095);
        let failure = Input::new().secret(&closed, "passphrase", SecretUse::Known).await.unwrap_err();
        assert!(failure.what.contains("descriptor 4095"), "{failure}");
        assert_eq!(failure.kind.exit_code(), 1);
    }

    /// One pipe may hold two secrets.
    #[test]
    fn a_stream_gives_one_line_to_each_who_asks() {
        let mut stream: &[u8] = b"first\nsecond\n";
        for expected in [b"first".as_slice(), b"second"] {
            let Ok(line) = first_line(&mut stream, "passphrase") else { panic!("a line") };
            assert_eq!(line.expose(), expected);
        }
    }

    #[test]
    fn lines_lose_their_end_and_input_ends() {
        let mut input: &[u8] = b"123456\r\nlast";
        assert_eq!(read_line(&mut input).unwrap().as_deref(), Some("123456"));
        assert_eq!(read_line(&mut input).unwrap().as_deref(), Some("last"));
        assert_eq!(read_line(&mut input).unwrap(), None);
    }
}
