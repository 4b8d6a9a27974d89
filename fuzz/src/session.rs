//! Two devices and a network that does what it likes: real sessions, driven by a string of steps.
//!
//! The steps seal, deliver, drop, duplicate, reorder, damage and misdirect messages, roll and publish prekeys, let days
//! pass, store and read states, lose what was not stored, and restart sessions.
//!
//! - What opens is what was sealed, by whom it was sealed (PAIR-12, PEC-14).
//! - Where a suite promises it, a message opens once (PEC-16, PQ3-25), and it does open while its key is kept (PEC-4, PQ3-30).
//! - What does not open and is damaged or nobody's is one error; only what is honest has no key in `pq3` (PQ3-25).
//! - What does not open leaves the session as it was (PAIR-14, PEC-18, PQ3-24).
//! - A state that was stored and read is the state (PEC-19, PQ3-32).
//!
//! A suite joins by one row in [`SUITES`].

use halcyon_crypto::CompactKey;
use halcyon_suites::{
    DeviceKeys, OpenError, Opened, PeerDevice, SealError, Sealed, Session, Suite, choice,
    pair_ec::{PREKEY_KEEP, SignedPrekey},
};
use halcyon_types::{AccountId, Duration, SuiteId, Timestamp};
use rand::rngs::StdRng;

use crate::{
    input::Input,
    people::{ALICE, BOB, Device, NOW, incoming, outgoing, rng},
};

/// What a suite promises about delivery.
struct Promises {
    suite: Suite,
    /// It tells a message that was opened before from a new one.
    once: bool,
    /// When an honest message that was not opened yet opens.
    opens: Opens,
}

/// When an honest message opens for the first time.
enum Opens {
    Always,
    /// While the receiver keeps what was its prekey when the message was sealed.
    WhilePrekeyIsKept,
    /// While the world is younger than anything that is forgotten, and nobody restarted. Later it may.
    WhileYoung,
}

/// Whether an honest message opens now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Yes,
    No,
    Either,
}

/// The suites that are driven.
const SUITES: &[Promises] = &[
    Promises { suite: Suite::Pair, once: false, opens: Opens::Always },
    Promises { suite: Suite::PairEc, once: true, opens: Opens::WhilePrekeyIsKept },
    Promises { suite: Suite::Pq3, once: true, opens: Opens::WhileYoung },
];

/// Steps of one run: enough for a talk, and few enough for thousands of runs a second.
const STEPS_MAX: usize = 40;
/// Messages on their way at most.
const UNDER_WAY_MAX: usize = 16;
/// How long nothing of a `pq3` session is forgotten: kept keys go first, after a month (PQ3-31).
const YOUNG: Duration = Duration::from_days(7);
/// Prekeys that a device keeps at most, whatever it does (PEC-4).
const PREKEYS_MAX: usize = 32;

/// Drives two devices with the steps that the bytes name.
pub fn target(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World::new(input.choice(2) == 0);
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
    }
    world.deliver_all();
}

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Alice,
    Bob,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Alice => Self::Bob,
            Self::Bob => Self::Alice,
        }
    }
}

/// A device, and what is stored of its dealings with the other.
struct Party {
    keys: DeviceKeys,
    session: Session,
    /// Its account, and the other's.
    accounts: [AccountId; 2],
    /// What it published, oldest first.
    published: Vec<Published>,
    /// What it knows of the other.
    peer: PeerDevice,
    /// Which of the other's records it was told last, and the newest that it sealed to.
    told: usize,
    sealed_to: usize,
    rng: StdRng,
}

/// A prekey of each suite, made at one time.
struct Published {
    record: Vec<u8>,
    prekey: CompactKey,
    bundle: Vec<u8>,
    replaced: Option<Timestamp>,
}

/// A message on its way.
#[derive(Clone)]
struct Letter {
    from: Side,
    suite: usize,
    sealed: Vec<u8>,
    plaintext: Vec<u8>,
    prekey: CompactKey,
    opened: bool,
    /// Its sender restarted after it was sealed: a later one may have moved the window beyond it (PEC-20).
    overtaken: bool,
}

/// What becomes of the state after a message opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Store,
    /// The device stops before it has stored anything: the message comes again.
    Lose,
}

struct World {
    alice: Party,
    bob: Party,
    now: Timestamp,
    under_way: Vec<Letter>,
    /// Suites that both speak.
    spoken: Vec<usize>,
    sealed: u32,
    /// Somebody restarted: old sessions may have made room for new ones (PQ3-15).
    restarted: bool,
}

impl World {
    fn new(with_pair: bool) -> Self {
        let (alice, bob) = if with_pair { (&ALICE.phone, &BOB.phone) } else { (&ALICE.laptop, &BOB.laptop) };
        let accounts = [ALICE.account(), BOB.account()];
        let speaks = |promises: &Promises| alice.keys.suites().contains(&promises.suite);
        Self {
            alice: Party::new(alice, bob, accounts, 1),
            bob: Party::new(bob, alice, [accounts[1], accounts[0]], 2),
            now: NOW,
            under_way: Vec::new(),
            spoken: (0..SUITES.len()).filter(|index| speaks(&SUITES[*index])).collect(),
            sealed: 0,
            restarted: false,
        }
    }

    fn party(&mut self, side: Side) -> &mut Party {
        match side {
            Side::Alice => &mut self.alice,
            Side::Bob => &mut self.bob,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let choice = input.byte();
        let side = if choice & 0x80 == 0 { Side::Alice } else { Side::Bob };
        match choice & 0x0f {
            0 | 1 => self.seal(side, Then::Store, input),
            2 => self.seal(side, Then::Lose, input),
            3 => self.deliver(Then::Store, input),
            4 => self.deliver(Then::Lose, input),
            5 => drop(self.take(input)),
            6 => self.flip(input),
            7 => self.cut(input),
            8 => self.splice(input),
            9 => self.misdirect(input),
            10 => self.forge(side, input),
            11 => self.roll(side),
            12 => self.publish(side, input),
            13 => self.party(side).store_and_read(),
            15 => self.restart(side),
            _ => self.now = self.now.plus(Duration::from_mins(60 * u64::from(input.byte()))),
        }
    }

    fn seal(&mut self, side: Side, then: Then, input: &mut Input<'_>) {
        let suite = self.spoken[input.choice(self.spoken.len())];
        // Each message says something else, so that no two can be taken for each other.
        self.sealed += 1;
        let mut plaintext = self.sealed.to_be_bytes().to_vec();
        plaintext.resize(4 + usize::from(input.byte()) * 3, b'x');
        let now = self.now;
        let party = self.party(side);
        let Some((sealed, next)) = party.seal(SUITES[suite].suite, now, &plaintext) else { return };
        if then == Then::Lose {
            return; // SND-1: what was not stored never leaves.
        }
        party.session = next;
        party.sealed_to = party.sealed_to.max(party.told);
        let told = party.told;
        let prekey = self.party(side.other()).published[told].prekey;
        if self.under_way.len() < UNDER_WAY_MAX {
            let sealed = sealed.bytes;
            self.under_way.push(Letter {
                from: side,
                suite,
                sealed,
                plaintext,
                prekey,
                opened: false,
                overtaken: false,
            });
        }
    }

    /// A message arrives, and stays on its way: it may come again.
    fn deliver(&mut self, then: Then, input: &mut Input<'_>) {
        if !self.under_way.is_empty() {
            self.deliver_one(input.choice(self.under_way.len()), then);
        }
    }

    /// In the end everything that is left arrives, twice.
    fn deliver_all(&mut self) {
        for index in (0..self.under_way.len()).chain(0..self.under_way.len()) {
            self.deliver_one(index, Then::Store);
        }
    }

    fn deliver_one(&mut self, index: usize, then: Then) {
        let letter = self.under_way[index].clone();
        let promises = &SUITES[letter.suite];
        let (now, restarted) = (self.now, self.restarted);
        let receiver = self.party(letter.from.other());
        let expected = match promises.opens {
            Opens::Always => Expected::Yes,
            Opens::WhilePrekeyIsKept if letter.overtaken && receiver.keys.prekeys.contains(&letter.prekey) => {
                Expected::Either
            }
            Opens::WhilePrekeyIsKept if receiver.keys.prekeys.contains(&letter.prekey) => Expected::Yes,
            Opens::WhilePrekeyIsKept => Expected::No,
            Opens::WhileYoung if now.since(NOW) < YOUNG && !restarted => Expected::Yes,
            Opens::WhileYoung => Expected::Either,
        };
        match receiver.open(promises.suite.id(), now, &letter.sealed) {
            Ok(opened) => {
                assert_eq!(opened.plaintext.expose(), letter.plaintext, "what opens is what was sealed");
                assert_eq!(opened.suite, promises.suite);
                assert!(expected != Expected::No, "a message opened although its key is gone");
                assert!(!(promises.once && letter.opened), "a message opened twice");
                if then == Then::Store {
                    receiver.session = opened.next;
                    self.under_way[index].opened = true;
                }
            }
            Err(OpenError::Replayed) => {
                // What was kept for a message that never came is forgotten some day, and then looks used (PQ3-31).
                let is_replay =
                    promises.once && (letter.opened || expected == Expected::Either) && expected != Expected::No;
                assert!(is_replay, "a new message is no replay");
            }
            Err(error) => {
                let gone = if promises.suite == Suite::Pq3 { OpenError::NoKey } else { OpenError::Unauthentic };
                assert_eq!(error, gone, "an honest message has no key, and is no forgery where that can be told");
                assert!(expected != Expected::Yes, "an honest message does not open");
            }
        }
    }

    fn take(&mut self, input: &mut Input<'_>) -> Option<Letter> {
        (!self.under_way.is_empty()).then(|| self.under_way.swap_remove(input.choice(self.under_way.len())))
    }

    /// One bit is another: nothing opens, and nobody is told why.
    fn flip(&mut self, input: &mut Input<'_>) {
        let Some(letter) = self.take(input) else { return };
        let mut sealed = letter.sealed.clone();
        let bit = usize::from(input.u16()) % (sealed.len() * 8);
        sealed[bit / 8] ^= 1 << (bit % 8);
        self.refused(&letter, &sealed);
        self.under_way.push(letter);
    }

    fn cut(&mut self, input: &mut Input<'_>) {
        let Some(letter) = self.take(input) else { return };
        let length = usize::from(input.u16()) % letter.sealed.len();
        self.refused(&letter, &letter.sealed[..length]);
        self.under_way.push(letter);
    }

    /// A piece of the message is replaced by other bytes, perhaps by more or fewer. Encodings that say the same may open
    /// (41-pair-ec.md: unknown fields are ignored), but then it is the message, and it opens once.
    fn splice(&mut self, input: &mut Input<'_>) {
        let Some(mut letter) = self.take(input) else { return };
        let at = usize::from(input.u16()) % (letter.sealed.len() + 1);
        let end = (at + usize::from(input.byte())).min(letter.sealed.len());
        let with: Vec<u8> = (0..input.byte() % 32).map(|_| input.byte()).collect();
        let honest = letter.sealed.clone();
        letter.sealed.splice(at..end, with);
        if letter.sealed != honest {
            let promises = &SUITES[letter.suite];
            let now = self.now;
            let receiver = self.party(letter.from.other());
            if let Ok(opened) = receiver.open(promises.suite.id(), now, &letter.sealed) {
                assert_eq!(opened.plaintext.expose(), letter.plaintext, "a damaged message says something else");
                assert!(!(promises.once && letter.opened), "a message opened twice");
                receiver.session = opened.next;
                letter.opened = true;
            }
        }
        letter.sealed = honest;
        self.under_way.push(letter);
    }

    /// A message reaches its own sender, or says that it is of another suite.
    fn misdirect(&mut self, input: &mut Input<'_>) {
        let Some(letter) = self.take(input) else { return };
        let suite = SUITES[letter.suite].suite.id();
        let now = self.now;
        let reflected = self.party(letter.from).open(suite, now, &letter.sealed);
        assert_eq!(reflected.map(|_| ()), Err(OpenError::Unauthentic), "a device took its own message for the other's");
        let other = SuiteId::from_u32(u32::from(input.byte()) % 6);
        if other != suite {
            let opened = self.party(letter.from.other()).open(other, now, &letter.sealed);
            assert!(opened.is_err(), "a message opened in another suite");
        }
        self.under_way.push(letter);
    }

    fn forge(&mut self, side: Side, input: &mut Input<'_>) {
        let suite = SUITES[self.spoken[input.choice(self.spoken.len())]].suite.id();
        let bytes = input.piece();
        let now = self.now;
        let opened = self.party(side).open(suite, now, bytes);
        assert_eq!(opened.map(|_| ()), Err(OpenError::Unauthentic), "nobody sealed this");
    }

    fn refused(&mut self, letter: &Letter, sealed: &[u8]) {
        let (suite, now) = (SUITES[letter.suite].suite.id(), self.now);
        let opened = self.party(letter.from.other()).open(suite, now, sealed);
        assert_eq!(opened.map(|_| ()), Err(OpenError::Unauthentic), "a damaged message is refused like any forgery");
    }

    /// PEC-2, PEC-4
    fn restart(&mut self, side: Side) {
        let now = self.now;
        self.party(side).session.restart(now);
        assert!(self.party(side).session.summary().restarts_next, "PQ3-34: nothing is left to seal in");
        self.restarted = true;
        self.under_way.iter_mut().filter(|letter| letter.from == side).for_each(|letter| letter.overtaken = true);
    }

    fn roll(&mut self, side: Side) {
        let now = self.now;
        self.party(side).roll(now);
    }

    /// The directory tells the other side of one of this side's prekeys: the newest, or an old one.
    fn publish(&mut self, side: Side, input: &mut Input<'_>) {
        let newest = self.party(side).published.len() - 1;
        let told = newest.saturating_sub(input.choice(4));
        let of = &self.party(side).published[told];
        let (record, bundle) = (of.record.clone(), of.bundle.clone());
        let other = self.party(side.other());
        let account = other.accounts[1];
        other.peer = other.peer.clone().with_prekey(&record).unwrap().with_pq3(account, Some(&bundle));
        other.told = told;
    }
}

impl Party {
    fn new(own: &Device, other: &Device, accounts: [AccountId; 2], seed: u64) -> Self {
        let keys = DeviceKeys::from_secret_bytes(own.keys.to_secret_bytes().expose()).unwrap();
        let pair = other.keys.pair.as_ref().map(|pair| pair.identity().clone());
        let peer = PeerDevice::new(other.keys.device.verifying_key().clone(), pair)
            .with_pq3(accounts[1], other.keys.pq3.as_ref().map(|ring| ring.record()));
        let mut party = Self {
            keys,
            accounts,
            session: Session::default(),
            published: Vec::new(),
            peer: peer.with_prekey(other.keys.prekeys.record()).unwrap(),
            told: 0,
            sealed_to: 0,
            rng: rng(seed),
        };
        party.note_published();
        party
    }

    fn note_published(&mut self) {
        let record = self.keys.prekeys.record().to_vec();
        let prekey = SignedPrekey::verify(&record, self.keys.device.verifying_key()).unwrap();
        let bundle = self.keys.pq3.as_ref().map(|ring| ring.record().to_vec()).unwrap();
        self.published.push(Published { record, prekey: *prekey.key().compact(), bundle, replaced: None });
    }

    fn seal(&mut self, suite: Suite, now: Timestamp, plaintext: &[u8]) -> Option<(Sealed, Session)> {
        let offered: Vec<SuiteId> = SUITES.iter().map(|promises| promises.suite.id()).collect();
        let chosen = choice::dangerous_force(suite, &self.keys.suites(), &offered, None).unwrap();
        match self.session.clone().seal(
            chosen,
            &self.keys,
            &self.peer,
            &outgoing(self.accounts[0], now),
            &mut self.rng,
            plaintext,
        ) {
            Ok((sealed, next)) => {
                assert_eq!(sealed.suite, suite.id());
                Some((sealed, next))
            }
            Err(SealError::StalePrekey) => {
                assert!(now.since(NOW) > PREKEY_KEEP, "a fresh prekey is sealed to");
                None
            }
            Err(SealError::PrekeyRolledBack) => {
                assert!(self.told < self.sealed_to, "the newest prekey is sealed to");
                None
            }
            Err(error) => panic!("an honest message cannot be sealed: {error}"),
        }
    }

    fn open(&self, suite: SuiteId, now: Timestamp, sealed: &[u8]) -> Result<Opened, OpenError> {
        let before = self.session.to_secret_bytes();
        let opened = self.session.open(suite, &self.keys, &self.peer, &incoming(self.accounts[0], now), sealed);
        assert!(self.session.to_secret_bytes().ct_eq(&before), "opening does not touch the session");
        opened
    }

    fn roll(&mut self, now: Timestamp) {
        let start = DeviceKeys { pair: None, ..DeviceKeys::generate(&mut rng(0), &[Suite::PairEc], now) };
        let keys = std::mem::replace(&mut self.keys, start);
        self.keys = keys.with_rolled_prekey(&mut self.rng, now);
        if let Some(last) = self.published.last_mut() {
            last.replaced = Some(now);
        }
        self.note_published();
        let recent = self.published.len().saturating_sub(PREKEYS_MAX);
        for (index, published) in self.published.iter().enumerate() {
            let kept = published.replaced.is_none_or(|replaced| now.since(replaced) < PREKEY_KEEP) && index >= recent;
            assert_eq!(
                self.keys.prekeys.contains(&published.prekey),
                kept,
                "PEC-4: a prekey is kept for its 31 days, and no longer"
            );
        }
    }

    /// PEC-19
    fn store_and_read(&mut self) {
        let session = self.session.to_secret_bytes();
        let read = Session::from_secret_bytes(session.expose()).unwrap();
        assert_eq!(read, self.session, "a session reads as it was stored");
        self.session = read;
        let keys = self.keys.to_secret_bytes();
        self.keys = DeviceKeys::from_secret_bytes(keys.expose()).unwrap();
        assert!(self.keys.to_secret_bytes().ct_eq(&keys), "keys read as they were stored");
    }
}

/// Talks that go well, and one of each thing that does not.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let talk: &[u8] = &[0x00, 0, 1, 0x80, 1, 2, 0x03, 0, 0x03, 1, 0x00, 1, 3, 0x03, 2, 0x0d, 0x8d, 0x03, 2];
    let attacks: &[u8] =
        &[0x00, 0, 60, 0x00, 1, 0, 0x06, 0, 1, 7, 0x07, 0, 0, 9, 0x08, 0, 0, 3, 2, 2, 1, 2, 0x09, 0, 1];
    let forgery: &[u8] = &[0x0a, 0, 0, 4, 2, 0, 1, 7, 0x8a, 1, 0, 3, 0x0a, 1, 5];
    let crash: &[u8] = &[0x02, 0, 9, 0x00, 1, 9, 0x04, 0, 0x04, 0, 0x03, 0, 0x04, 0, 0x05, 0];
    let week: [u8; 2] = [0x0e, 168];
    let roll: &[u8] = &[0x8b, 0x8c, 0, 0x00, 1, 1];
    let weeks: Vec<u8> = (0..6).flat_map(|_| [&week[..], roll, &[0x03, 0]].concat()).collect();
    let back: &[u8] = &[0x8b, 0x8c, 0, 0x00, 0, 1, 0x8c, 1, 0x00, 0, 1, 0x0e, 255, 0x8b, 0x8c, 1, 0x00, 0, 1];
    let restarts: &[u8] =
        &[0x00, 2, 1, 0x03, 0, 0x80, 2, 1, 0x0f, 0x00, 2, 1, 0x03, 1, 0x8f, 0x80, 2, 1, 0x0d, 0x00, 1, 1, 0x0f];
    let steps = [talk, attacks, forgery, crash, &weeks, back, restarts];
    (0..2).flat_map(|world| steps.map(|steps| [&[world], steps].concat())).collect()
}
