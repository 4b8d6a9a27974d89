//! Looks for what must not be there: contents, passwords and keys in what leaves a client or lies on the server, and those, handles and
//! tokens in log lines (I4, I9).
//!
//! Owns the words looked for. Whatever a person of a simulated world writes, types or is called carries a mark that nothing else has;
//! keys and tokens are given by those who see them being stored.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
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
    secrets: Mutex<Secrets>,
}

#[derive(Default)]
struct Secrets {
    /// The first bytes of keys.
    keys: Vec<memmem::Finder<'static>>,
    /// How keys and tokens begin and end when they are written as text, whichever way.
    written: HashSet<[u8; WRITTEN_BYTES]>,
}

/// Bytes of a key that are enough to know it by.
const KEY_BYTES: usize = 12;
/// Keys that are looked for in every frame; more would only be more of the same kind.
const KEYS_MAX: usize = 64;
/// Characters of a written secret that are enough to know it by: four bytes of it as a list of numbers, and more in the other ways.
const WRITTEN_BYTES: usize = 16;

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

    /// Remembers a key, which must never be seen outside.
    pub fn remember_key(&self, key: &[u8]) {
        let Some(head) = key.get(..KEY_BYTES) else { return };
        self.remember_token(key);
        let mut secrets = self.secrets();
        if secrets.keys.len() < KEYS_MAX && secrets.keys.iter().all(|known| known.needle() != head) {
            secrets.keys.push(memmem::Finder::new(head).into_owned());
        }
    }

    /// Remembers a token, which must be in no log line, though the server has it.
    pub fn remember_token(&self, token: &[u8]) {
        let written = ways_to_write(token);
        self.secrets().written.extend(written);
    }

    fn secrets(&self) -> MutexGuard<'_, Secrets> {
        self.shared.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at what is written to the server's disk (I4).
    pub fn written(&self, bytes: &[u8]) {
        self.look(bytes, "on the server's disk");
    }

    /// Looks at what leaves a client (I4).
    pub fn left(&self, bytes: &[u8]) {
        self.look(bytes, "on its way to the server");
        if self.secrets().keys.iter().any(|key| key.find(bytes).is_some()) {
            self.shared.ledger.violated("I4", "a key is on its way to the server");
        }
    }

    /// Notes that a log line asks for a restart.
    pub fn alarm(&self) {
        self.shared.ledger.state().alarms += 1;
    }

    /// Looks at a log line (I9).
    pub fn logged(&self, line: &str) {
        let shared = &*self.shared;
        let bytes = line.as_bytes();
        for (finder, what) in [(&shared.text, "a text"), (&shared.password, "a password"), (&shared.handle, "a handle")]
        {
            if finder.find(bytes).is_some() {
                shared.ledger.violated("I9", &format!("{what} is in a log line: {line}"));
            }
        }
        let secrets = self.secrets();
        if bytes.windows(WRITTEN_BYTES).any(|window| secrets.written.contains(window)) {
            drop(secrets);
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

/// Returns how a secret begins and ends as text: in hex of both cases, in base64 of both alphabets, and as the list of numbers that
/// `Debug` makes.
fn ways_to_write(secret: &[u8]) -> Vec<[u8; WRITTEN_BYTES]> {
    let numbers: Vec<String> = secret.iter().map(u8::to_string).collect();
    let texts = [
        hex::encode(secret),
        hex::encode_upper(secret),
        URL_SAFE_NO_PAD.encode(secret),
        STANDARD_NO_PAD.encode(secret),
        numbers.join(", "),
    ];
    let ends = |text: &String| [text.as_bytes().first_chunk().copied(), text.as_bytes().last_chunk().copied()];
    texts.iter().flat_map(ends).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// I9: however a token is written into a line, it is seen there; another line is not.
    #[test]
    fn a_token_is_seen_in_a_log_line_however_it_is_written() {
        let token: Vec<u8> = (0..40).map(|byte: u8| byte.wrapping_mul(7).wrapping_add(201)).collect();
        let lines = [
            format!(" token={}", hex::encode(&token)),
            format!(" token={}", hex::encode_upper(&token)),
            format!(" token={}", URL_SAFE_NO_PAD.encode(&token)),
            format!(" token={}", STANDARD_NO_PAD.encode(&token)),
            format!(" token={token:?}"),
        ];
        for line in lines {
            let ledger = Ledger::new();
            let watcher = Watcher::new(ledger.clone());
            watcher.logged(&line);
            assert!(!ledger.has_violations(), "nobody knows yet that {line} has a token");
            watcher.remember_token(&token);
            watcher.logged(" PushToken(redacted)");
            assert!(!ledger.has_violations());
            watcher.logged(&line);
            assert!(ledger.state().violations.iter().any(|violation| violation.contains("I9")), "{line}");
        }
    }

    /// I4: a key on its way to the server is seen, a token belongs there.
    #[test]
    fn a_key_that_leaves_is_seen() {
        let (key, token) = ([3; 32], [5; 32]);
        let ledger = Ledger::new();
        let watcher = Watcher::new(ledger.clone());
        watcher.remember_key(&key);
        watcher.remember_token(&token);
        watcher.left(&token);
        assert!(!ledger.has_violations());
        watcher.left(&key);
        assert!(ledger.has_violations());
    }
}
