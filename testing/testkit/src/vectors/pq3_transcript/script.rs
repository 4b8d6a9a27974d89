//! What is done, in which order: the events of a transcript, and the conversation of our own file.

use halcyon_types::{Duration, EnvelopeId, Timestamp};

use super::super::{Node, VectorsError};

/// When our conversation begins.
pub(super) const BEGIN: Timestamp = Timestamp::from_millis(1_800_000_000_000);
pub(super) const ALICE: usize = 0;
pub(super) const BOB: usize = 1;

/// One thing that a device does.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Seal {
        /// Number of the device.
        by: usize,
        now: Timestamp,
        envelope: EnvelopeId,
        plaintext: Vec<u8>,
        /// What the device draws; none: it is drawn, and told.
        random: Option<Vec<u8>>,
    },
    Open {
        by: usize,
        now: Timestamp,
        /// Number of the message, counting those that were sealed.
        message: usize,
        /// A bit that is flipped on the way.
        flip_bit: Option<usize>,
    },
}

impl Event {
    pub(super) fn read(node: &Node<'_>) -> Result<Self, VectorsError> {
        let size = |field| usize::try_from(node.number(field)?).map_err(|_| node.error(field, "is out of range"));
        let by = size("by")?;
        let now = Timestamp::from_millis(node.number("now_ms")?);
        match node.text("event")? {
            "seal" => Ok(Self::Seal {
                by,
                now,
                envelope: EnvelopeId::from_bytes(node.array("envelope")?),
                plaintext: node.bytes("plaintext")?,
                random: Some(node.bytes("random")?),
            }),
            "open" => {
                let flip_bit = if node.value.get("flip_bit").is_some() { Some(size("flip_bit")?) } else { None };
                Ok(Self::Open { by, now, message: size("message")?, flip_bit })
            }
            _ => Err(node.error("event", "expected \"seal\" or \"open\"")),
        }
    }
}

/// Writes the conversation down.
struct Writer {
    events: Vec<Event>,
    sealed: usize,
    now: Timestamp,
}

impl Writer {
    fn seal(&mut self, by: usize, text: &str) -> usize {
        let number = self.sealed;
        self.sealed += 1;
        let envelope = EnvelopeId::from_bytes((number as u128).to_be_bytes());
        let plaintext = text.as_bytes().to_vec();
        self.events.push(Event::Seal { by, now: self.now, envelope, plaintext, random: None });
        number
    }

    fn open(&mut self, by: usize, message: usize) {
        self.events.push(Event::Open { by, now: self.now, message, flip_bit: None });
    }

    fn say(&mut self, from: usize, text: &str) -> usize {
        let message = self.seal(from, text);
        self.open(1 - from, message);
        message
    }
}

/// Both start at once; order is lost, messages too; three rekeys, at the first chance, by count and by age; an old chain, a
/// replay, a replayed start, flipped bits.
pub(super) fn conversation() -> Vec<Event> {
    let mut talk = Writer { events: Vec::new(), sealed: 0, now: BEGIN };
    // Simultaneous start, two messages each.
    let a = [talk.seal(ALICE, "alice starts"), talk.seal(ALICE, "and goes on")];
    let b = [talk.seal(BOB, "bob starts"), talk.seal(BOB, "and goes on, too")];
    // The second of each arrives first, and carries the start.
    talk.open(BOB, a[1]);
    talk.open(ALICE, b[1]);
    talk.open(BOB, a[0]);
    talk.open(ALICE, b[0]);
    // Turns; the first answer takes the KEM offer of the start.
    talk.say(ALICE, "first turn");
    talk.say(BOB, "second turn");
    // Reordered, one lost, one twice.
    let chain: Vec<usize> = (0..5).map(|number| talk.seal(ALICE, &format!("number {number}"))).collect();
    for at in [3, 0, 4, 3] {
        talk.open(BOB, chain[at]);
    }
    // A bit flipped in ciphertext, signature, or key; then the good one.
    let message = talk.seal(ALICE, "whole");
    for bit in [100, 2_500, 3_000] {
        talk.events.push(Event::Open { by: BOB, now: talk.now, message, flip_bit: Some(bit) });
    }
    talk.open(BOB, message);
    // Talk until a rekey came by count.
    for turn in 0..60 {
        talk.now = talk.now.plus(Duration::from_secs(7));
        talk.say(if turn % 2 == 0 { BOB } else { ALICE }, &format!("turn {turn}"));
    }
    // Number 1 of the old chain is too late now, and the start cannot be replayed.
    talk.open(BOB, chain[1]);
    talk.open(BOB, a[0]);
    // A text that is longer than the smallest size, and an empty one.
    talk.say(BOB, &"long ".repeat(100));
    talk.say(ALICE, "");
    // A week later the next turn offers a KEM key, and loses the first message that carries it.
    talk.now = talk.now.plus(Duration::from_days(7));
    talk.seal(BOB, "lost, with the offer");
    talk.say(BOB, "not lost");
    talk.seal(ALICE, "lost, with the encapsulation");
    talk.say(ALICE, "rekeyed by age");
    // One chain back is kept still.
    talk.say(BOB, "after that");
    talk.events
}
