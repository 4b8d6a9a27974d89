//! Sessions against a reference machine: two people with three devices each, and everything that may happen to letters, disks and
//! devices, in any order.
//!
//! The reference machine knows no keys. It keeps what every letter has come to, and what was lost between which two devices; from
//! that it says what an opening may end in. Whoever asks and sends again is the ten lines of [`Town::brought`], after
//! spec/61-repair.md.

mod reference;

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use halcyon_suites::{DeviceKeys, OpenError, PeerDevice, Session, Suite};
use halcyon_types::{AccountId, Duration, Timestamp};
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use rand::{SeedableRng, rngs::StdRng};

use self::reference::{Expected, Name, RefLetter, Reference, between};
use super::{phones::restarted, repair::key_name};
use crate::people::{Device, NOW};

/// Slots 0 to 2 are Alice's, 3 to 5 Bob's.
const SLOTS: usize = 6;
/// Steps of one story.
const STEPS: usize = 125;

/// One step. Numbers are taken modulo what there is, so that a shorter story is a story too.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A device writes to all others, as a message goes to every device of both people.
    Send(usize),
    /// A device seals for all others and ends before it commits; nothing leaves.
    CrashWhileSealing(usize),
    /// A letter that is under way arrives.
    Deliver(usize),
    /// It arrives, and its receiver ends before it commits: it will come again.
    CrashWhileOpening(usize),
    /// It arrives, and comes once more.
    Twice(usize),
    /// It is lost.
    Drop(usize),
    /// It arrives with one bit changed.
    Tamper(usize, usize),
    /// A device's disk is copied.
    Copy(usize),
    /// A device's disk is replaced by the copy; the device finds out before it says anything (REP-21).
    Restore(usize),
    /// A device's sessions are lost.
    Lose(usize),
    /// A person begins all sessions of a device anew.
    Reset(usize),
    /// A device is removed, or one is added in its place.
    AddOrRemove(usize),
    /// All that is under way arrives, and whoever misses something asks.
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    let slot = 0..SLOTS;
    let letter = 0..1000_usize;
    prop_oneof![
        16 => slot.clone().prop_map(Step::Send),
        2 => slot.clone().prop_map(Step::CrashWhileSealing),
        48 => letter.clone().prop_map(Step::Deliver),
        3 => letter.clone().prop_map(Step::CrashWhileOpening),
        6 => letter.clone().prop_map(Step::Twice),
        8 => letter.clone().prop_map(Step::Drop),
        3 => (letter, any::<usize>()).prop_map(|(letter, bit)| Step::Tamper(letter, bit)),
        3 => slot.clone().prop_map(Step::Copy),
        2 => slot.clone().prop_map(Step::Restore),
        2 => slot.clone().prop_map(Step::Lose),
        2 => slot.clone().prop_map(Step::Reset),
        3 => slot.prop_map(Step::AddOrRemove),
        2 => Just(Step::Settle),
    ]
}

/// A device with its disk.
struct Unit {
    name: Name,
    device: Device,
    /// Goes on with every message that is sealed.
    clock: Timestamp,
    sessions: BTreeMap<Name, Session>,
    copy: Option<BTreeMap<Name, Session>>,
}

impl Unit {
    fn new(slot: usize, generation: u64) -> Self {
        let seed = 100 * generation + slot as u64;
        let mut rng = StdRng::seed_from_u64(seed);
        let keys = DeviceKeys::generate(&mut rng, &[Suite::Pq3], NOW);
        let account = AccountId::from_bytes([1 + (slot / 3) as u8; 16]);
        let device = Device { keys, rng, account };
        Self { name: (slot, generation), device, clock: NOW, sessions: BTreeMap::new(), copy: None }
    }

    fn public(&self) -> PeerDevice {
        let bundle = self.device.keys.pq3.as_ref().map(|ring| ring.record());
        PeerDevice::new(self.device.keys.device.verifying_key().clone(), None).with_pq3(self.device.account, bundle)
    }

    fn session(&self, with: Name) -> Session {
        self.sessions.get(&with).map(restarted).unwrap_or_default()
    }

    /// Returns what is sealed, and what is to be committed before it leaves.
    fn seal(&mut self, to: Name, public: &PeerDevice, text: &str) -> (Vec<u8>, Session) {
        let session = self.session(to);
        self.clock = self.clock.plus(Duration::from_millis(1));
        let sealed = self.device.seal_at(session, Suite::Pq3, public, self.clock, text.as_bytes());
        sealed.map(|(sealed, next)| (sealed.bytes, next)).unwrap()
    }

    fn open(&self, from: Name, public: &PeerDevice, sealed: &[u8]) -> Result<(String, Session), OpenError> {
        let opened = self.device.open(&self.session(from), Suite::Pq3, public, sealed)?;
        Ok((String::from_utf8(opened.plaintext.expose().to_vec()).unwrap(), opened.next))
    }
}

/// The real devices, beside the reference machine.
struct Town {
    units: [Option<Unit>; SLOTS],
    generations: u64,
    sealed: Vec<(String, Vec<u8>)>,
    under_way: Vec<usize>,
    keys: BTreeSet<([u8; 32], u32)>,
    reference: Reference,
    mended: usize,
}

impl Town {
    fn new() -> Self {
        Self {
            units: std::array::from_fn(|slot| Some(Unit::new(slot, 0))),
            generations: 0,
            sealed: Vec::new(),
            under_way: Vec::new(),
            keys: BTreeSet::new(),
            reference: Reference::default(),
            mended: 0,
        }
    }

    fn is_there(&self, name: Name) -> bool {
        self.units[name.0].as_ref().is_some_and(|unit| unit.name == name)
    }

    fn unit(&mut self, name: Name) -> &mut Unit {
        self.units[name.0].as_mut().expect("somebody looked that it is there")
    }

    fn name(&self, slot: usize) -> Option<Name> {
        self.units[slot].as_ref().map(|unit| unit.name)
    }

    fn others(&self, of: Name) -> Vec<(Name, PeerDevice)> {
        let others = self.units.iter().flatten().filter(|unit| unit.name != of);
        others.map(|unit| (unit.name, unit.public())).collect()
    }

    /// Commits, and only then lets it leave.
    fn leaves(&mut self, from: Name, to: Name, sealed: &[u8], next: &Session) {
        assert!(self.keys.insert(key_name(sealed)), "a message key is used twice");
        self.unit(from).sessions.insert(to, restarted(next));
    }

    fn send(&mut self, from: Name) {
        for (to, public) in self.others(from) {
            let text = format!("letter {}", self.sealed.len());
            let (sealed, next) = self.unit(from).seal(to, &public, &text);
            self.leaves(from, to, &sealed, &next);
            self.under_way.push(self.sealed.len());
            self.sealed.push((text, sealed));
            self.reference.send(from, to);
        }
    }

    fn crash_while_sealing(&mut self, from: Name) {
        for (to, public) in self.others(from) {
            let _ = self.unit(from).seal(to, &public, "never leaves");
        }
    }

    fn deliver(&mut self, letter: usize, commits: bool) {
        let RefLetter { from, to, .. } = self.reference.letters[letter];
        if !self.is_there(from) || !self.is_there(to) {
            return; // SND-3, RCV-3: nobody is there to open it, or to be believed
        }
        let expected = self.reference.expects(letter);
        let public = self.unit(from).public();
        let (text, sealed) = self.sealed[letter].clone();
        let opened = self.unit(to).open(from, &public, &sealed);
        match (&opened, &expected) {
            (Ok((said, next)), Expected::Opens | Expected::MayLackItsKey) => {
                assert_eq!(*said, text, "what was sealed is what opens");
                if commits {
                    self.unit(to).sessions.insert(from, restarted(next));
                    self.reference.opened(letter);
                }
            }
            (Err(OpenError::NoKey), Expected::MayLackItsKey | Expected::OpenedBefore)
            | (Err(OpenError::Replayed), Expected::OpenedBefore) => {}
            // What opened in a life that was lost with its disk is known to the copy's keys, or is not.
            (Err(OpenError::Replayed), Expected::MayLackItsKey) => {
                assert!(!self.reference.letters[letter].opened_in.is_empty(), "a new letter is no replay");
            }
            _ => panic!("{:?}, where {expected:?}", opened.map(|(said, _)| said)),
        }
    }

    fn tamper(&mut self, letter: usize, bit: usize) {
        let RefLetter { from, to, .. } = self.reference.letters[letter];
        if !self.is_there(from) || !self.is_there(to) {
            return;
        }
        let public = self.unit(from).public();
        let mut sealed = self.sealed[letter].1.clone();
        let at = bit % (sealed.len() * 8);
        sealed[at / 8] ^= 1 << (at % 8);
        match self.unit(to).open(from, &public, &sealed) {
            // A field that nobody signed and nobody reads, as a tag that protobuf ignores: it is the same letter.
            Ok((said, _)) => assert_eq!(said, self.sealed[letter].0),
            Err(error) => assert_ne!(error, OpenError::Forked, "only the sender's device makes forks"),
        }
    }

    /// What happened to one may be why a letter between it and another does not open.
    fn mishap(&mut self, of: Name) {
        for (other, _) in self.others(of) {
            *self.reference.mishaps.entry(between(of, other)).or_default() += 1;
        }
    }

    fn restart_all(&mut self, of: Name) {
        self.unit(of).sessions.values_mut().for_each(|session| session.restart(NOW));
    }

    fn new_life(&mut self, of: Name) {
        *self.reference.lives.entry(of).or_default() += 1;
    }

    fn add_or_remove(&mut self, slot: usize) {
        if self.units[slot].take().is_some() {
            return;
        }
        self.generations += 1;
        self.units[slot] = Some(Unit::new(slot, self.generations));
    }

    /// REP-12, REP-16: asks and sends again, as often as it takes; three times at most.
    fn brought(&mut self, letter: usize) {
        let RefLetter { from, to, .. } = self.reference.letters[letter];
        let (sender, receiver) = (self.unit(from).public(), self.unit(to).public());
        let text = self.sealed[letter].0.clone();
        for round in 0..3 {
            let (sealed, next) = self.unit(from).seal(to, &receiver, &text);
            self.leaves(from, to, &sealed, &next);
            match self.unit(to).open(from, &sender, &sealed) {
                Ok((said, next)) => {
                    assert_eq!(said, text);
                    self.unit(to).sessions.insert(from, restarted(&next));
                    self.reference.opened(letter);
                    self.mended += 1;
                    return;
                }
                Err(error) => assert_eq!(error, OpenError::NoKey),
            }
            let mut session = self.unit(to).session(from);
            if round > 0 || (!session.summary().unanswered && !session.summary().restarts_next) {
                session.restart(NOW);
            }
            self.unit(to).sessions.insert(from, session);
            let (question, next) = self.unit(to).seal(from, &sender, "say it again");
            self.leaves(to, from, &question, &next);
            if let Ok((said, mut next)) = self.unit(from).open(to, &receiver, &question) {
                assert_eq!(said, "say it again");
                next.rejected();
                self.unit(from).sessions.insert(to, restarted(&next));
            } else {
                // The sender cannot open the question either: it asks in its turn, and the next round finds both new.
                let mut session = self.unit(from).session(to);
                session.restart(NOW);
                self.unit(from).sessions.insert(to, session);
            }
        }
        let (sending, receiving) = (self.unit(from).session(to).summary(), self.unit(to).session(from).summary());
        panic!("a letter from {from:?} to {to:?} cannot be brought: {sending:?}, {receiving:?}");
    }

    fn settle(&mut self) {
        for letter in std::mem::take(&mut self.under_way) {
            self.deliver(letter, true);
        }
        for letter in self.reference.missing(|name| self.is_there(name)) {
            self.brought(letter);
        }
        assert_eq!(self.reference.missing(|name| self.is_there(name)), []);
    }

    fn step(&mut self, step: Step) {
        let letter = |town: &Self, number: usize| match town.under_way.len() {
            0 => None,
            count => Some(number % count),
        };
        match step {
            Step::Send(slot) => {
                if let Some(name) = self.name(slot) {
                    self.send(name);
                }
            }
            Step::CrashWhileSealing(slot) => {
                if let Some(name) = self.name(slot) {
                    self.crash_while_sealing(name);
                }
            }
            Step::Deliver(number) => {
                if let Some(at) = letter(self, number) {
                    let letter = self.under_way.swap_remove(at);
                    self.deliver(letter, true);
                }
            }
            Step::CrashWhileOpening(number) => {
                if let Some(at) = letter(self, number) {
                    self.deliver(self.under_way[at], false);
                }
            }
            Step::Twice(number) => {
                if let Some(at) = letter(self, number) {
                    self.deliver(self.under_way[at], true);
                }
            }
            Step::Drop(number) => {
                if let Some(at) = letter(self, number) {
                    self.under_way.swap_remove(at);
                }
            }
            Step::Tamper(number, bit) => {
                if let Some(at) = letter(self, number) {
                    self.tamper(self.under_way[at], bit);
                }
            }
            Step::Copy(slot) => {
                if let Some(unit) = &mut self.units[slot] {
                    unit.copy = Some(unit.sessions.iter().map(|(with, session)| (*with, restarted(session))).collect());
                }
            }
            Step::Restore(slot) => self.restore(slot),
            Step::Lose(slot) => {
                if let Some(name) = self.name(slot) {
                    self.mishap(name);
                    self.unit(name).sessions.clear();
                    self.new_life(name);
                }
            }
            Step::Reset(slot) => {
                if let Some(name) = self.name(slot) {
                    self.mishap(name);
                    self.restart_all(name);
                }
            }
            Step::AddOrRemove(slot) => self.add_or_remove(slot),
            Step::Settle => self.settle(),
        }
    }

    fn restore(&mut self, slot: usize) {
        let Some(name) = self.name(slot) else { return };
        let Some(copy) = self.unit(name).copy.as_ref() else { return };
        let sessions = copy.iter().map(|(with, session)| (*with, restarted(session))).collect();
        self.mishap(name);
        self.unit(name).sessions = sessions;
        self.restart_all(name);
        self.new_life(name);
    }
}

/// Plays stories of so many steps in all, always the same.
fn play(steps: usize) {
    let stories = steps.div_ceil(STEPS);
    let cases = u32::try_from(stories).unwrap();
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let (mended, letters) = (Cell::new(0), Cell::new(0));
    let told = TestRunner::new_with_rng(config, rng).run(&proptest::collection::vec(step(), STEPS), |steps| {
        let mut town = Town::new();
        for step in steps {
            town.step(step);
        }
        town.settle();
        mended.set(mended.get() + town.mended);
        letters.set(letters.get() + town.sealed.len());
        Ok(())
    });
    told.unwrap();
    let (mended, letters) = (mended.get(), letters.get());
    assert!(mended > stories && letters > 20 * stories, "little to mend: {mended} of {letters}, in {stories} stories");
}

/// PQ3-11, PQ3-16, PQ3-24, PQ3-26, PQ3-34, PQ3-35, REP-16: what opens is what was sealed, once in a life of a disk; a letter between
/// devices to which nothing happened opens; no key is used twice; and in the end every letter is brought to every device that is there.
#[test]
fn six_devices_do_as_the_reference_machine() {
    // `HALCYON_MODEL_STEPS=1000000 cargo test -p halcyon-suites six_devices` plays for a quarter of an hour.
    let steps = option_env!("HALCYON_MODEL_STEPS").map_or(10_000, |steps| steps.parse().expect("a number of steps"));
    play(steps);
}
