//! All sessions between two devices: which one is sealed with, and which one opens. Spec: 43-pq3.md §6 (PQ3-15 to PQ3-17),
//! §7 (PQ3-24).
//!
//! Owns the order of checks around a message, and the choice among sessions. There is more than one only if both sides
//! started at once, or one has lost its state.
//!
//! - [`Sessions::seal`] consumes the value: the one that it returns is stored before the sealed bytes leave (SND-1).
//! - [`Sessions::open`] borrows it: a message that does not open leaves no trace.

use halcyon_crypto::{Rng, Secret, SecretBytes, SigningKey, VerifyingKey, ctr};
use halcyon_types::{Duration, EnvelopeId, Handle, PushToken, Timestamp};

use super::{
    chain::{NoKey, optional},
    forks::{Entry, Remembered},
    kdf::MessageKey,
    party::Party,
    prekey::{PrekeyBundle, PrekeyRing, is_fresh},
    session::{Found, Place, Security, Session, Step, Times},
    skipped::SESSION_MAX,
    start::{NewestBundle, SeenStarts, SessionId},
    wire::{self, AuthData, Message},
};
use crate::{
    PLAINTEXT_BYTES_MAX,
    error::{OpenError, SealError},
    state::{Reader, StateError, Writer},
};

/// Sessions kept between two devices: one each if both start at once, and one more while a device that lost its state
/// comes back (PQ3-15). Each has a few kilobytes at rest (PQ3-33).
pub const SESSIONS_MAX: usize = 3;

/// How long a session beside the first is kept unused: the peer goes on in a chain for 30 days (PQ3-17), and what it sealed last
/// is on its way for 30 more (COU-40); a day for clocks that differ (PQ3-31).
pub const SESSION_KEEP: Duration = Duration::from_days(61);

/// All sessions with one device. The first is the one that is sealed with.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    sessions: Vec<Session>,
    starts: SeenStarts,
    newest_bundle: NewestBundle,
    opened: Remembered,
    /// When the newest start from here was made, or 0 (PQ3-11).
    newest_start: Timestamp,
}

/// Who seals for whom, and what the message is bound to.
#[derive(Clone, Copy, Debug)]
pub struct Sealing<'a> {
    /// The sender's device key.
    pub key: &'a SigningKey,
    /// The sender's device.
    pub from: &'a Party,
    /// The recipient's device.
    pub to: &'a Party,
    /// The recipient's device key.
    pub recipient: &'a VerifyingKey,
    /// The recipient's newest bundle as the directory gave it; looked into only if a session is to be started.
    pub bundle: Option<&'a [u8]>,
    /// What the message is bound to (PQ3-22).
    pub auth_data: &'a AuthData,
}

/// Who opens what from whom, and what the message has to be bound to.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The own private prekeys.
    pub ring: &'a PrekeyRing,
    /// The sender's device.
    pub from: &'a Party,
    /// This device.
    pub to: &'a Party,
    /// The sender's device key, from its verified list entry.
    pub sender: &'a VerifyingKey,
    /// The id of the envelope.
    pub envelope: EnvelopeId,
    /// The sender's handle, as the envelope has it.
    pub sender_handle: &'a Handle,
    /// This device's push token, if it knows it.
    pub push_token: Option<PushToken>,
}

/// A message that opened.
#[derive(Debug)]
pub struct Opened {
    /// What the sender sealed.
    pub plaintext: SecretBytes,
    /// What it is bound to; the recipient's handle is for the caller to check (PQ3-22).
    pub auth_data: AuthData,
    /// The sessions in which this message counts as opened.
    pub next: Sessions,
}

/// Names the session and chain in which a device seals, by the first bytes of their public keys; zeros where there is none yet. For
/// whoever keeps something sealed for a while: a receiver keeps the keys of sixteen chains (PQ3-30).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SealingPlace {
    /// Of the start.
    pub session: [u8; 8],
    /// Of the chain; zeros while the peer has spoken last.
    pub chain: [u8; 8],
}

impl Sessions {
    /// Seals `plaintext`. Starts a session if there is none to go on with.
    ///
    /// # Errors
    /// [`SealError`]; nothing was used up.
    pub fn seal(
        mut self,
        sealing: &Sealing<'_>,
        rng: &mut dyn Rng,
        now: Timestamp,
        plaintext: &[u8],
    ) -> Result<(Vec<u8>, Self), SealError> {
        if plaintext.len() > PLAINTEXT_BYTES_MAX {
            return Err(SealError::TooLong { bytes: plaintext.len() });
        }
        self.forget_old(now);
        let step = match self.go_on(sealing, rng, now) {
            Some(step) => step,
            None => self.start(sealing, rng, now)?,
        };
        let mut ciphertext = wire::pad(plaintext);
        apply(&step.key, &mut ciphertext);
        let mut message = Message {
            ciphertext,
            auth_data: sealing.auth_data.encode(step.started),
            signature: halcyon_crypto::Signature::from_bytes([0; 64]),
            ephemeral: step.ephemeral,
            index: step.index,
            indicator: *step.key.indicator().expose(),
            head: step.head,
        };
        message.signature = message.signed(sealing.from, sealing.to, |parts| sealing.key.sign_raw(parts)); // PQ3-21
        self.sessions.insert(0, step.next);
        self.sessions.truncate(SESSIONS_MAX);
        Ok((message.encode(), self))
    }

    /// Takes the first session's next key, if it can be gone on with (PQ3-17).
    fn go_on(&mut self, sealing: &Sealing<'_>, rng: &mut dyn Rng, now: Timestamp) -> Option<Step> {
        self.sessions.first().filter(|session| session.may_go_on(now))?;
        self.sessions.remove(0).speaking(rng, sealing.from, sealing.to, now)?.step(now)
    }

    /// PQ3-8, PQ3-10
    fn start(&mut self, sealing: &Sealing<'_>, rng: &mut dyn Rng, now: Timestamp) -> Result<Step, SealError> {
        let record = sealing.bundle.ok_or(SealError::NoPrekey)?; // SUI-8
        let bundle = PrekeyBundle::verify(record, sealing.recipient).map_err(SealError::BadBundle)?;
        if !bundle.is_fresh(now) {
            return Err(SealError::StalePrekey);
        }
        // While a newer bundle is still good, an older one is a directory going back in time.
        if self.newest_bundle.is_some_and(|newest| newest > bundle.time() && is_fresh(newest, now)) {
            return Err(SealError::PrekeyRolledBack);
        }
        self.newest_bundle = Some(bundle.time());
        // PQ3-11: later than all before, whatever happened to the clock.
        self.newest_start = now.max(self.newest_start.plus(Duration::from_millis(1)));
        let session = Session::start(rng, sealing.from, sealing.to, &bundle, self.newest_start, now);
        session.step(now).ok_or(SealError::CounterExhausted)
    }

    /// Seals nothing more in any of these sessions: the next message starts one with the peer's bundle, unless the peer starts one
    /// before (PQ3-34). All are kept to open what is still under way.
    pub fn restart(&mut self) {
        self.sessions.iter_mut().for_each(Session::retire);
    }

    /// Takes in that the peer could not open what was sealed here: an own start that was never answered is given up (PQ3-35). The
    /// next in the order of preference takes its place: the peer's start, if ours had won against it (PQ3-16).
    pub fn rejected(&mut self) {
        if self.sessions.first().is_some_and(|first| !first.is_retired() && first.is_unanswered()) {
            let mut given_up = self.sessions.remove(0);
            given_up.retire();
            self.sessions.insert(self.live(), given_up);
        }
    }

    /// Returns how many sessions may be sealed in. They come before the others.
    fn live(&self) -> usize {
        self.sessions.iter().filter(|session| !session.is_retired()).count()
    }

    /// Says whether nothing is left to seal in, so that the next message starts a session (PQ3-34).
    #[must_use]
    pub fn restarts_next(&self) -> bool {
        self.live() == 0
    }

    /// Opens a message.
    ///
    /// # Errors
    /// [`OpenError::Replayed`] if its key was used, [`OpenError::Forked`] if for another message; [`OpenError::NoKey`] if the
    /// sender's device sealed it with a key that is not here; [`OpenError::Unauthentic`] for everything else (PQ3-25, PQ3-26).
    pub fn open(&self, opening: &Opening<'_>, now: Timestamp, sealed: &[u8]) -> Result<Opened, OpenError> {
        // PQ3-24: the signature first, so that whoever has not the sender's key learns nothing of our state.
        let message = Message::decode(sealed).ok_or(OpenError::Unauthentic)?;
        message
            .signed(opening.from, opening.to, |parts| opening.sender.verify_raw(parts, &message.signature))
            .map_err(|_| OpenError::Unauthentic)?;
        let (auth_data, started) = opening.bound(&message.auth_data).ok_or(OpenError::Unauthentic)?;
        let entry =
            message.signed(opening.from, opening.to, |parts| Entry::new(&message.ephemeral, message.index, parts));
        let (found, from) = self.find(opening, &message, &entry, started, now)?;
        let mut content = message.ciphertext;
        apply(&found.key, &mut content);
        // PQ3-25: not `NoKey`, and from here on nothing is: what can be observed does not depend on the plaintext.
        let plaintext = wire::unpad(&SecretBytes::from_vec(content)).ok_or(OpenError::Unauthentic)?;
        let mut next = self.with(found, from, now);
        next.opened.push(entry);
        Ok(Opened { plaintext, auth_data, next })
    }

    /// Finds the session of a message and its key, which the indicator confirms (PQ3-15). Whoever comes here has the sender's device
    /// key, or a message of that device's.
    fn find(
        &self,
        opening: &Opening<'_>,
        message: &Message,
        entry: &Entry,
        started: Timestamp,
        now: Timestamp,
    ) -> Result<(Found, Source), OpenError> {
        if let Some(at) = self.sessions.iter().position(|session| session.has_chain(&message.ephemeral)) {
            let found = self.sessions[at].in_chain(message, now).map_err(|none| match none {
                // PQ3-26: one key, two messages: two devices have this device's state.
                NoKey::Used if self.opened.contradicts(entry) => OpenError::Forked,
                NoKey::Used => OpenError::Replayed,
                NoKey::TooFar => OpenError::NoKey,
            })?;
            return confirmed(found, message).map(|found| (found, Source::Session(at))).ok_or(OpenError::NoKey);
        }
        let found = match message.head.prekey_hash {
            Some(hash) => self.find_start(opening, message, &SessionId::new(hash, message.ephemeral), started, now),
            None => self.sessions.iter().enumerate().find_map(|(at, session)| {
                let found = session.in_next_chain(message, opening.from, opening.to, now)?;
                Some((confirmed(found, message)?, Source::Session(at)))
            }),
        };
        found.ok_or(OpenError::NoKey)
    }

    fn find_start(
        &self,
        opening: &Opening<'_>,
        message: &Message,
        id: &SessionId,
        started: Timestamp,
        now: Timestamp,
    ) -> Option<(Found, Source)> {
        // PQ3-11: a start that was taken up before, whatever became of its session, or may have been. Before decryption, so that the
        // answer does not depend on what would come out.
        let starts = self.starts.with(id, started, opening.ring)?;
        let session = Session::answer(opening.ring, opening.from, opening.to, message, now)?;
        let found = confirmed(session.in_chain(message, now).ok()?, message)?;
        Some((found, Source::Start(starts)))
    }

    /// Returns the sessions after a message, in the order of PQ3-16.
    fn with(&self, found: Found, from: Source, now: Timestamp) -> Self {
        let mut next = self.clone();
        match from {
            Source::Session(at) => {
                next.sessions[at] = found.next;
                if found.place == Place::Newest {
                    next.prefer(at);
                }
            }
            Source::Start(starts) => {
                next.starts = starts;
                next.sessions.push(found.next);
                next.prefer(next.sessions.len() - 1);
                next.sessions.truncate(SESSIONS_MAX);
            }
        }
        next.forget_old(now);
        next
    }

    /// PQ3-16: the session that the peer used last is sealed with. While our own start waits for its answer, the larger id
    /// wins, so that both sides choose the same.
    fn prefer(&mut self, at: usize) {
        // PQ3-34: what was given up stays behind what is sealed in.
        if self.sessions[at].is_retired() {
            return;
        }
        let session = self.sessions.remove(at);
        let rivals = self.sessions.first().is_some_and(|first| {
            !first.is_retired()
                && first.is_unanswered()
                && session.role() == super::session::Role::Answerer
                && first.id() > session.id()
        });
        self.sessions.insert(usize::from(rivals), session);
    }

    /// Wipes what is too old or too much: sessions that nobody used for 61 days beside the first, and keys (PQ3-31).
    fn forget_old(&mut self, now: Timestamp) {
        let mut first = true;
        self.sessions.retain(|session| std::mem::take(&mut first) || now.since(session.active()) < SESSION_KEEP);
        for chain in self.sessions.iter_mut().flat_map(Session::receiving_mut) {
            chain.skipped_mut().expire(now);
        }
        // PQ3-30: beyond the bound of all chains, the oldest chains' keys go first.
        let mut excess = self.skipped().saturating_sub(SESSION_MAX);
        for chain in self.sessions.iter_mut().rev().flat_map(|session| session.receiving_mut().iter_mut().rev()) {
            let kept = chain.skipped().len();
            let wiped = excess.min(kept);
            chain.skipped_mut().keep_newest(kept - wiped);
            excess -= wiped;
        }
    }

    /// Returns how many keys are kept for messages that have not arrived, in all sessions.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.sessions.iter().map(Session::skipped).sum()
    }

    /// Returns how well what is sealed next is protected; `None` if a session would have to be started.
    #[must_use]
    pub fn security(&self) -> Option<Security> {
        self.sessions.first().map(Session::security)
    }

    /// Returns where the next message would be sealed, as far as that is known before.
    #[must_use]
    pub fn sealing_place(&self) -> SealingPlace {
        let head = |key: &[u8]| key.first_chunk().copied().unwrap_or_default();
        let preferred = self.sessions.first().filter(|session| !session.is_retired());
        SealingPlace {
            session: preferred.map_or_else(Default::default, |session| head(&session.id().to_bytes()[48..])),
            chain: preferred.and_then(Session::sending_key).map_or_else(Default::default, |key| head(key.as_bytes())),
        }
    }

    /// Says whether sealing now needs the peer's bundle.
    #[must_use]
    pub fn needs_bundle(&self, now: Timestamp) -> bool {
        !self.sessions.first().is_some_and(|session| session.may_go_on(now))
    }

    /// Returns how many starts of the peer's are remembered (PQ3-11).
    #[must_use]
    pub fn starts_remembered(&self) -> usize {
        self.starts.len()
    }

    /// Returns the sessions, the one that is sealed with first.
    #[must_use]
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// Returns how many bytes the stored form has (PQ3-32).
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        4 + self.sessions.iter().map(Session::encoded_len).sum::<usize>()
            + self.starts.encoded_len()
            + 12
            + self.opened.encoded_len()
            + 4
            + Times::ENCODED_BYTES * self.sessions.len()
            + 8
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u32(u32::try_from(self.sessions.len()).expect("at most SESSIONS_MAX"));
        self.sessions.iter().for_each(|session| session.write(writer));
        self.starts.write(writer);
        match self.newest_bundle {
            None => writer.u32(super::chain::ABSENT),
            Some(time) => {
                writer.u32(super::chain::PRESENT);
                writer.u64(time.as_millis());
            }
        }
        self.opened.write(writer);
        writer.u32(u32::try_from(self.live()).expect("at most SESSIONS_MAX"));
        for times in self.sessions.iter().map(Session::times) {
            writer.u64(times.started.as_millis());
            writer.u64(times.heard.as_millis());
        }
        writer.u64(self.newest_start.as_millis());
        self.starts.write_times(writer);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut read = Self::read_without_times(reader)?;
        let time = |reader: &mut Reader<'_>| reader.u64().map(Timestamp::from_millis);
        for session in &mut read.sessions {
            session.set_times(Times { started: time(reader)?, heard: time(reader)? });
        }
        read.newest_start = time(reader)?;
        read.starts.read_times(reader)?;
        Ok(read)
    }

    /// Reads what a version wrote whose starts had no times (PQ3-11).
    pub(crate) fn read_without_times(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut read = Self::read_without_retired(reader)?;
        let live = reader.count(read.sessions.len())?;
        read.sessions[live..].iter_mut().for_each(Session::retire);
        Ok(read)
    }

    /// Reads what a version wrote that gave no session up (PQ3-34).
    pub(crate) fn read_without_retired(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let before = Self::read_without_opened(reader)?;
        Ok(Self { opened: Remembered::read(reader)?, ..before })
    }

    /// Reads what a version wrote that did not look for forks.
    pub(crate) fn read_without_opened(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let count = reader.count(SESSIONS_MAX)?;
        let sessions = (0..count).map(|_| Session::read(reader)).collect::<Result<_, _>>()?;
        let starts = SeenStarts::read(reader)?;
        let newest_bundle = optional(reader, |reader| reader.u64().map(Timestamp::from_millis))?;
        Ok(Self { sessions, starts, newest_bundle, ..Self::default() })
    }
}

impl PartialEq for Sessions {
    /// Compares what would be stored.
    fn eq(&self, other: &Self) -> bool {
        let stored = |sessions: &Self| {
            let mut writer = Writer::new(0, sessions.encoded_len());
            sessions.write(&mut writer);
            writer.finish()
        };
        stored(self).ct_eq(&stored(other))
    }
}

impl Opening<'_> {
    /// PQ3-22: reads authData and compares it with what this device knows. Returns when a start was made, too (PQ3-11).
    fn bound(&self, auth_data: &[u8]) -> Option<(AuthData, Timestamp)> {
        let (auth_data, started) = AuthData::decode(auth_data)?;
        let fits = auth_data.envelope == self.envelope
            && auth_data.sender == *self.sender_handle
            && self.push_token.is_none_or(|token| auth_data.recipient_push_token == token);
        fits.then_some((auth_data, started))
    }
}

/// Where a message's session came from.
enum Source {
    /// From those that there are.
    Session(usize),
    /// Out of the message: the starts that are then remembered.
    Start(SeenStarts),
}

/// SUI-12: the indicator, in constant time, before anything is decrypted.
fn confirmed(found: Found, message: &Message) -> Option<Found> {
    let received = Secret::fill_with(|bytes: &mut [u8; 32]| *bytes = message.indicator);
    found.key.indicator().ct_eq(&received).then_some(found)
}

/// PQ3-19: encrypts and decrypts in place.
fn apply(key: &MessageKey, content: &mut [u8]) {
    let keys = key.content_keys();
    ctr::apply_aes256(&keys.key, keys.counter.expose(), content);
}

#[cfg(test)]
mod tests;
