//! What waits for a sync, and what a power cut leaves of it.
//!
//! Owns a single change of a file or of the names. Does not know when it was made, nor which disk it is for.

use std::collections::BTreeMap;

use rand::{Rng, rngs::StdRng};

/// Unit in which a write is torn. Disks keep sectors whole, but SQLite does not count on it, and neither do we.
const TORN_BYTES: usize = 16;

/// A change of a file.
pub(super) enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Resize(usize),
}

/// A change of the names.
#[derive(Clone)]
pub(super) enum NameChange {
    Create(String, usize),
    Remove(String),
    Rename(String, String),
}

impl Change {
    /// How long a file is after it, at least.
    pub(super) fn end(&self) -> usize {
        match self {
            Self::Write { offset, bytes } => offset + bytes.len(),
            Self::Resize(size) => *size,
        }
    }

    pub(super) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => write(content, *offset, bytes),
            Self::Resize(size) => content.resize(*size, 0),
        }
    }

    /// Applies some of it. The first change of those that a power cut met is always damaged at its beginning.
    pub(super) fn tear(&self, content: &mut Vec<u8>, first: bool, rng: &mut StdRng) {
        match self {
            Self::Write { offset, bytes } => {
                let mut at = *offset;
                let mut begins = true;
                while at < offset + bytes.len() {
                    let end = ((at / TORN_BYTES + 1) * TORN_BYTES).min(offset + bytes.len());
                    if rng.r#gen() && !(first && begins) {
                        write(content, at, &bytes[at - offset..end - offset]);
                    }
                    (at, begins) = (end, false);
                }
            }
            Self::Resize(_) if first => {}
            Self::Resize(size) => {
                if rng.r#gen() {
                    content.resize(*size, 0);
                }
            }
        }
    }
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Create(name, id) => drop(names.insert(name.clone(), *id)),
            Self::Remove(name) => drop(names.remove(name)),
            Self::Rename(from, to) => {
                if let Some(id) = names.remove(from) {
                    names.insert(to.clone(), id);
                }
            }
        }
    }
}

fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if content.len() < offset + bytes.len() {
        content.resize(offset + bytes.len(), 0);
    }
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}
