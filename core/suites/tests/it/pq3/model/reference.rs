//! The reference machine: what every letter has come to, and what was lost between which two devices. Knows no keys.

use std::collections::{BTreeMap, BTreeSet};

/// PQ3-30: chains that a receiver keeps. A letter that waited for more turns than that may be without a key.
const TURNS_KEPT: usize = 15;

/// A device in its slot, and which one of those that were there.
pub(super) type Name = (usize, u64);

/// Two devices, the lesser first.
pub(super) fn between(one: Name, other: Name) -> (Name, Name) {
    (one.min(other), one.max(other))
}

/// What an opening may end in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// It opens.
    Opens,
    /// It opens, or its key is not here.
    MayLackItsKey,
    /// It opened in this life of the receiver's disk: it does not again.
    OpenedBefore,
}

/// The reference machine.
#[derive(Default)]
pub(super) struct Reference {
    /// How often each device's disk was replaced or lost.
    pub(super) lives: BTreeMap<Name, usize>,
    /// What was lost, restored or restarted between two devices.
    pub(super) mishaps: BTreeMap<(Name, Name), usize>,
    /// Letters that two devices sealed for each other.
    sealed: BTreeMap<(Name, Name), usize>,
    pub(super) letters: Vec<RefLetter>,
}

pub(super) struct RefLetter {
    pub(super) from: Name,
    pub(super) to: Name,
    /// How many were sealed between the two before.
    before: usize,
    /// Mishaps between the two before.
    mishaps: usize,
    pub(super) opened_in: BTreeSet<usize>,
}

impl Reference {
    pub(super) fn life(&self, device: Name) -> usize {
        self.lives.get(&device).copied().unwrap_or(0)
    }

    pub(super) fn send(&mut self, from: Name, to: Name) {
        let pair = between(from, to);
        let mishaps = self.mishaps.get(&pair).copied().unwrap_or(0);
        let count = self.sealed.entry(pair).or_default();
        self.letters.push(RefLetter { from, to, before: *count, mishaps, opened_in: BTreeSet::new() });
        *count += 1;
    }

    /// Says what opening a letter may end in.
    pub(super) fn expects(&self, letter: usize) -> Expected {
        let letter = &self.letters[letter];
        if letter.opened_in.contains(&self.life(letter.to)) {
            return Expected::OpenedBefore;
        }
        let pair = between(letter.from, letter.to);
        let mishaps = self.mishaps.get(&pair).copied().unwrap_or(0);
        let turns = self.sealed[&pair] - letter.before;
        // A letter sealed after a mishap may stand on a start that is lost, or was sealed before it.
        if mishaps == 0 && letter.mishaps == 0 && turns <= TURNS_KEPT {
            Expected::Opens
        } else {
            Expected::MayLackItsKey
        }
    }

    pub(super) fn opened(&mut self, letter: usize) {
        let life = self.life(self.letters[letter].to);
        assert!(self.letters[letter].opened_in.insert(life), "opened twice in one life of a disk");
    }

    /// Letters that their receiver's disk does not have, though both devices are there.
    pub(super) fn missing(&self, is_there: impl Fn(Name) -> bool) -> Vec<usize> {
        let missing = |letter: &RefLetter| is_there(letter.from) && is_there(letter.to) && letter.opened_in.is_empty();
        (0..self.letters.len()).filter(|number| missing(&self.letters[*number])).collect()
    }
}
