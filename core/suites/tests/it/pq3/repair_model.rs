//! Repair against a model: two phones, and everything that may go wrong between them, in any order.
//!
//! The model is what every letter has come to: on its way, dropped, or opened, and in which life of its receiver's store.

use std::collections::BTreeSet;

use halcyon_suites::{OpenError, Session};
use halcyon_types::Duration;
use rand::{Rng as _, SeedableRng, rngs::StdRng};

use super::{
    phones::{Phone, acquainted, restarted},
    repair::{brought, key_name},
};

/// Seeds, and steps of each.
const SEEDS: u64 = 30;
const STEPS: usize = 80;

struct Letter {
    to: usize,
    text: String,
    sealed: Vec<u8>,
    /// Lives of the receiver's store in which it opened.
    opened: BTreeSet<usize>,
}

struct World {
    phones: [Phone; 2],
    copies: [Option<Session>; 2],
    lives: [usize; 2],
    letters: Vec<Letter>,
    /// Letters on their way, by number; a doubled one is there twice.
    under_way: Vec<usize>,
    keys: BTreeSet<([u8; 32], u32)>,
    mishaps: usize,
}

impl World {
    fn new() -> Self {
        let (alice, bob) = acquainted();
        let (letters, under_way, keys) = (Vec::new(), Vec::new(), BTreeSet::new());
        Self { phones: [alice, bob], copies: [None, None], lives: [0, 0], letters, under_way, keys, mishaps: 0 }
    }

    /// The phones of sender and receiver.
    fn pair(&mut self, to: usize) -> (&mut Phone, &mut Phone) {
        let [alice, bob] = &mut self.phones;
        if to == 1 { (alice, bob) } else { (bob, alice) }
    }

    fn send(&mut self, to: usize) {
        let text = format!("letter {}", self.letters.len());
        let (from, receiver) = self.pair(to);
        from.now = from.now.plus(Duration::from_millis(1));
        let sealed = from.seal(receiver, &text);
        assert!(self.keys.insert(key_name(&sealed)), "a message key is used twice");
        self.under_way.push(self.letters.len());
        self.letters.push(Letter { to, text, sealed, opened: BTreeSet::new() });
    }

    fn deliver(&mut self, number: usize) {
        let (to, sealed) = (self.letters[number].to, self.letters[number].sealed.clone());
        let (from, receiver) = self.pair(to);
        let opened = receiver.open(from, &sealed);
        let life = self.lives[to];
        let letter = &mut self.letters[number];
        match opened {
            Ok(text) => {
                assert_eq!(text, letter.text);
                assert!(letter.opened.insert(life), "opened twice in one life of a store");
            }
            Err(OpenError::Replayed) => assert!(!letter.opened.is_empty(), "a new letter is no replay"),
            Err(error) => assert_eq!(error, OpenError::NoKey),
        }
    }

    fn step(&mut self, dice: &mut StdRng) {
        let who = dice.gen_range(0..2);
        match dice.gen_range(0..100) {
            0..40 => self.send(who),
            40..90 if !self.under_way.is_empty() => {
                let at = dice.gen_range(0..self.under_way.len());
                match dice.gen_range(0..10) {
                    0..6 => {
                        let number = self.under_way.swap_remove(at);
                        self.deliver(number);
                    }
                    6..8 => self.deliver(self.under_way[at]),
                    _ => drop(self.under_way.swap_remove(at)),
                }
            }
            90..94 => self.copies[who] = Some(restarted(&self.phones[who].session)),
            94.. => self.mishap(who, dice),
            _ => {}
        }
    }

    fn mishap(&mut self, who: usize, dice: &mut StdRng) {
        self.mishaps += 1;
        match dice.gen_range(0..3) {
            0 => {
                self.phones[who].loses_its_sessions();
                self.lives[who] += 1;
            }
            1 => {
                if let Some(copy) = &self.copies[who] {
                    self.phones[who].session = restarted(copy);
                    self.lives[who] += 1;
                }
                self.phones[who].restarts();
            }
            _ => self.phones[who].restarts(),
        }
    }

    /// All that is left arrives, and then each side asks once for what never opened.
    fn settle(&mut self) -> usize {
        for number in std::mem::take(&mut self.under_way) {
            self.deliver(number);
        }
        let missing: Vec<_> = self
            .letters
            .iter()
            .filter(|letter| letter.opened.is_empty())
            .map(|letter| (letter.to, letter.text.clone()))
            .collect();
        let mut asked = [0, 0];
        for (to, text) in &missing {
            let (from, receiver) = self.pair(*to);
            asked[*to] += usize::from(brought(from, receiver, text));
        }
        assert!(asked.iter().all(|asked| *asked <= 1), "one request brings everything: {asked:?}");
        missing.len()
    }
}

/// PQ3-11, PQ3-24, PQ3-34, PQ3-35: letters are sent, delivered in any order, doubled and dropped; stores are lost, brought back from
/// old copies and restarted. No key is used twice, nothing opens twice in one life of a store, nothing new passes for a replay or a
/// fork; and after one request each, everything was opened.
#[test]
fn whatever_happens_one_request_repairs_it() {
    let (mut missing, mut mishaps, mut letters) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut world = World::new();
        for _ in 0..STEPS {
            world.step(&mut dice);
        }
        missing += world.settle();
        mishaps += world.mishaps;
        letters += world.letters.len();
    }
    // Control: there was something to repair.
    assert!(missing > 100 && mishaps > 50 && letters > 500, "{missing} missing, {mishaps} mishaps, {letters} letters");
}
