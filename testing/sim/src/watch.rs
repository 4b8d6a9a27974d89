//! Looks for what must not be there: contents, passwords and keys in what leaves a client or lies on the server, and those and handles
//! in log lines (I4, I9).
//!
//! Owns the words looked for. Whatever a person of a simulated world writes, types or is called carries a mark that nothing else has;
//! keys are given by those who see them being stored.

use std::sync::{Arc, Mutex, PoisonError};

use memchr::memmem;

use crate::ledger::Ledger;

/// In every text that somebody writes.
pub const TEXT_MARK: &str = "pearl~";
/// In every password.
pub const PASSWORD_MARK: &str = "clam~";
/// In every handle.
pub const HANDLE_MARK: &str = "shore.example";

/// Sees bytes and lines, and reports to the ledger. Cloning shares it.
#[derive(Clone)]
pub struct Watcher {
    shared: Arc<Shared>,
}

struct Shared {
    ledger: Ledger,
    text: memmem::Finder<'static>,
    password: memmem::Finder<'static>,
    handle: memmem::Finder<'static>,
    secrets: Mutex<Vec<Secret>>,
}

struct Secret {
    raw: memmem::Finder<'static>,
    hex: memmem::Finder<'static>,
}

/// Bytes of a secret that are enough to know it by.
const SECRET_BYTES: usize = 12;
/// Secrets that are remembered; more would only be more of the same kind.
const SECRETS_MAX: usize = 64;

impl Watcher {
    /// Reports to `ledger`.
    #[must_use]
    pub fn new(ledger: Ledger) -> Self {
        let finder = |word: &str| memmem::Finder::new(word).into_owned();
        Self {
            shared: Arc::new(Shared {
                ledger,
                text: finder(TEXT_MARK),
                password: finder(PASSWORD_MARK),
                handle: finder(HANDLE_MARK),
                secrets: Mutex::default(),
            }),
        }
    }

    /// Remembers a key or token that must never be seen outside.
    pub fn remember(&self, secret: &[u8]) {
        let Some(head) = secret.get(..SECRET_BYTES) else { return };
        let mut secrets = self.shared.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        if secrets.len() < SECRETS_MAX && secrets.iter().all(|known| known.raw.needle() != head) {
            let finder = |word: &[u8]| memmem::Finder::new(word).into_owned();
            secrets.push(Secret { raw: finder(head), hex: finder(hex::encode(head).as_bytes()) });
        }
    }

    /// Looks at what is written to the server's disk (I4).
    pub fn written(&self, bytes: &[u8]) {
        self.look(bytes, "on the server's disk");
    }

    /// Looks at what leaves a client (I4).
    pub fn left(&self, bytes: &[u8]) {
        self.look(bytes, "on its way to the server");
        let secrets = self.shared.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        if secrets.iter().any(|secret| secret.raw.find(bytes).is_some()) {
            self.shared.ledger.violated("I4", "a key is on its way to the server");
        }
    }

    /// Looks at a log line (I9). Push tokens and other words are given, too.
    pub fn logged(&self, line: &str) {
        let shared = &*self.shared;
        let bytes = line.as_bytes();
        for (finder, what) in [(&shared.text, "a text"), (&shared.password, "a password"), (&shared.handle, "a handle")]
        {
            if finder.find(bytes).is_some() {
                shared.ledger.violated("I9", &format!("{what} is in a log line: {line}"));
            }
        }
        let secrets = shared.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        if secrets.iter().any(|secret| secret.raw.find(bytes).is_some() || secret.hex.find(bytes).is_some()) {
            shared.ledger.violated("I9", &format!("a key or token is in a log line: {line}"));
        }
    }

    fn look(&self, bytes: &[u8], whereabouts: &str) {
        for (finder, what) in [(&self.shared.text, "a text"), (&self.shared.password, "a password")] {
            if finder.find(bytes).is_some() {
                self.shared.ledger.violated("I4", &format!("{what} is {whereabouts}"));
            }
        }
    }
}
