//! One ratchet between two devices. Spec: 43-pq3.md §3 to §5 (PQ3-10 to PQ3-15, PQ3-30).
//!
//! Owns the root, the chain that we seal with and those that we open with. Does not know other sessions with the same
//! device, signatures or plaintexts.
//!
//! - Whoever spoke last has a sending chain; the other has none, and begins one with its next message (PQ3-12).
//! - Everything returns a new session: one that did not lead to an opened message is dropped.

use halcyon_crypto::{AgreementKey, AgreementPublic, CompactKey, KemPublic, MlKem768, Rng};
use halcyon_types::{Duration, Timestamp};

use super::{
    chain::{NoKey, Offer, ReceivingChain, SendingChain, optional},
    kdf::{MessageKey, RootKey},
    party::Party,
    prekey::{PrekeyBundle, PrekeyRing},
    rekey::RekeyClock,
    root::{self, TurnInfo},
    start::{self, SessionId},
    wire::{Head, Message},
};
use crate::state::{Reader, StateError, Writer};

/// Receiving chains that are kept: the newest, and fifteen before it for messages that are late (PQ3-30). Receipts change the
/// direction with every message, so a queue that is tried again after a broken connection crosses several chains.
pub const RECEIVING_MAX: usize = 16;
/// Age from which an unanswered chain is not gone on with (PQ3-17): what is stored for the peer is gone by then, so it may
/// have lost more of the chain than it may skip, or the prekey of the start.
pub const CHAIN_AGE_MAX: Duration = Duration::from_days(30);

/// Marks who started, in a stored state.
const STARTER: u32 = 0;
const ANSWERER: u32 = 1;

/// Who started a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// This device.
    Starter,
    /// The peer.
    Answerer,
}

/// How well a conversation with a device is protected at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Security {
    /// When an ECDH secret was last mixed in: at a change of direction, or at the start.
    pub ratcheted: Timestamp,
    /// When an ML-KEM-768 secret was last mixed in; `None` before the first reply to a start, which has ML-KEM-1024's.
    pub rekeyed: Option<Timestamp>,
    /// Whether the peer's device has answered in this session.
    pub answered: bool,
}

/// One ratchet.
#[derive(Clone, Debug)]
pub struct Session {
    id: SessionId,
    role: Role,
    root: RootKey,
    sending: Option<SendingChain>,
    /// Newest first.
    receiving: Vec<ReceivingChain>,
    /// The peer's fresh KEM key, until our next change of direction.
    peer_offer: Option<Vec<u8>>,
    rekey: RekeyClock,
    ratcheted: Timestamp,
    active: Timestamp,
    /// PQ3-34: only for opening. Stored beside the sessions.
    retired: bool,
    times: Times,
}

/// Stored beside the sessions. 0 is never.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// When this device made the start, if it is its own: what its messages repeat (PQ3-11).
    pub(super) started: Timestamp,
    /// When a message opened last that was ahead of all before.
    pub(super) heard: Timestamp,
}

impl Times {
    pub(super) const NEVER: Self = Self { started: Timestamp::from_millis(0), heard: Timestamp::from_millis(0) };
    pub(super) const ENCODED_BYTES: usize = 8 + 8;
}

/// Where a message stands in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Ahead of all that was opened.
    Newest,
    /// Behind another one.
    Late,
}

/// A message's key, and the session in which it is used up.
pub(super) struct Found {
    pub(super) key: MessageKey,
    pub(super) place: Place,
    pub(super) next: Session,
}

/// What the next message to be sealed has.
pub(super) struct Step {
    pub(super) index: u32,
    pub(super) key: MessageKey,
    pub(super) ephemeral: CompactKey,
    pub(super) head: Head,
    /// In a start: when it was made.
    pub(super) started: Option<Timestamp>,
    pub(super) next: Session,
}

impl Session {
    /// Starts a session: the first chain is ours (PQ3-10). A KEM key is offered with it (PQ3-14). Its messages say `started`.
    pub(super) fn start(
        rng: &mut dyn Rng,
        own: &Party,
        peer: &Party,
        bundle: &PrekeyBundle,
        started: Timestamp,
        now: Timestamp,
    ) -> Self {
        let begun = start::start(rng, own, peer, bundle);
        let offer = Offer::generate(rng);
        let id = SessionId::new(*bundle.hash(), *begun.own.compact());
        let (encap, hash) = (Some(begun.encap), Some(*bundle.hash()));
        let sending = SendingChain::begin(&begun.own, Some(offer), encap, hash, begun.chain, now);
        Self {
            id,
            role: Role::Starter,
            root: begun.root,
            sending: Some(sending),
            receiving: Vec::new(),
            peer_offer: None,
            rekey: RekeyClock::new(),
            ratcheted: now,
            active: now,
            retired: false,
            times: Times { started, ..Times::NEVER },
        }
    }

    /// Takes up a session that the peer started, with the message that carries the start (PQ3-10).
    pub(super) fn answer(
        ring: &PrekeyRing,
        peer: &Party,
        own: &Party,
        message: &Message,
        now: Timestamp,
    ) -> Option<Self> {
        let (root, chain) = start::answer(ring, peer, own, &message.ephemeral, &message.head)?;
        Some(Self {
            id: SessionId::new(message.head.prekey_hash?, message.ephemeral),
            role: Role::Answerer,
            root,
            sending: None,
            receiving: vec![ReceivingChain::begin(message.ephemeral, chain)],
            peer_offer: offer(message).ok()?,
            rekey: RekeyClock::new(),
            ratcheted: now,
            active: now,
            retired: false,
            times: Times::NEVER,
        })
    }

    /// Returns the session's name.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// Returns who started it.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Says whether this is our start and nothing of the peer's was opened in it.
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        self.role == Role::Starter && self.receiving.is_empty()
    }

    /// Says whether this is the peer's start, and nothing was sealed in it yet.
    #[must_use]
    pub fn is_new_from_peer(&self) -> bool {
        self.role == Role::Answerer && self.sending.is_none() && self.receiving.len() == 1
    }

    /// Returns what is shown of it.
    #[must_use]
    pub fn security(&self) -> Security {
        let answered = self.role == Role::Answerer || !self.receiving.is_empty();
        Security { ratcheted: self.ratcheted, rekeyed: self.rekey.last(), answered }
    }

    /// Returns when a message was last sealed or opened.
    #[must_use]
    pub fn active(&self) -> Timestamp {
        self.active
    }

    /// Returns when a message opened last that was ahead of all before; `None` before the first.
    #[must_use]
    pub fn heard(&self) -> Option<Timestamp> {
        Some(self.times.heard).filter(|heard| *heard > Times::NEVER.heard)
    }

    pub(super) fn times(&self) -> Times {
        self.times
    }

    pub(super) fn set_times(&mut self, times: Times) {
        self.times = times;
    }

    /// Says whether this session only opens what is still under way (PQ3-34).
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.retired
    }

    /// Never seals here again, and wipes what it would be sealed with (PQ3-34).
    pub(super) fn retire(&mut self) {
        self.retired = true;
        if let Some(sending) = &mut self.sending {
            sending.close();
        }
    }

    /// Returns the key of the chain that this side speaks in, if it spoke last.
    pub(super) fn sending_key(&self) -> Option<&CompactKey> {
        self.sending.as_ref().map(SendingChain::ephemeral)
    }

    /// Says whether the next message may be sealed here (PQ3-17, PQ3-34).
    pub(super) fn may_go_on(&self, now: Timestamp) -> bool {
        let is_young = |chain: &SendingChain| now.since(chain.begun()) < CHAIN_AGE_MAX && chain.next() < u32::MAX;
        !self.retired && self.sending.as_ref().is_none_or(is_young)
    }

    /// Returns the session with a sending chain: the one that is there, or a new one (PQ3-12). `None` if what was stored
    /// of the peer is no key.
    pub(super) fn speaking(self, rng: &mut dyn Rng, own: &Party, peer: &Party, now: Timestamp) -> Option<Self> {
        if self.sending.is_some() { Some(self) } else { self.turn(rng, own, peer, now) }
    }

    fn turn(mut self, rng: &mut dyn Rng, own: &Party, peer: &Party, now: Timestamp) -> Option<Self> {
        let last = self.receiving.first()?.ephemeral();
        let public = AgreementPublic::from_compact(last).ok()?;
        let key = AgreementKey::generate(rng);
        let ecdh = key.agree(&public);
        // PQ3-13: the peer's offer is used once, now.
        let offered = self.peer_offer.take();
        let kem = match &offered {
            None => None,
            Some(offered) => Some(KemPublic::<MlKem768>::from_bytes(offered).ok()?.encapsulate(rng)),
        };
        let (encap, secret) = kem.unzip();
        let info =
            TurnInfo { from: own, to: peer, last, new: key.compact(), kem: encap.as_deref().zip(offered.as_deref()) };
        let (root, chain) = root::turn(&self.root, &ecdh, secret.as_ref(), &info);
        if secret.is_some() {
            self.rekey.rekeyed(now);
        }
        let offer = self.rekey.is_due(now).then(|| Offer::generate(rng)); // PQ3-14
        let sending = SendingChain::begin(&key, offer, encap, None, chain, now);
        Some(Self { root, sending: Some(sending), ratcheted: now, ..self })
    }

    /// Returns the next message's key and the session in which it is used up. `None` if it is the peer's turn to be
    /// answered first ([`speaking`](Self::speaking)), or after 2^32 - 1 messages.
    pub(super) fn step(mut self, now: Timestamp) -> Option<Step> {
        let (index, key, sending) = self.sending.take()?.step()?;
        let (ephemeral, head) = (*sending.ephemeral(), sending.head().clone());
        let started = head.prekey_hash.map(|_| self.times.started);
        self.rekey.count();
        let next = Self { sending: Some(sending), active: now, ..self };
        Some(Step { index, key, ephemeral, head, started, next })
    }

    /// Says whether a message belongs to a chain that is known here.
    pub(super) fn has_chain(&self, ephemeral: &CompactKey) -> bool {
        self.receiving.iter().any(|chain| chain.ephemeral() == ephemeral)
    }

    /// Returns the key of a message in a chain that is known (PQ3-30).
    pub(super) fn in_chain(&self, message: &Message, now: Timestamp) -> Result<Found, NoKey> {
        let at =
            self.receiving.iter().position(|chain| *chain.ephemeral() == message.ephemeral).ok_or(NoKey::TooFar)?;
        let chain = &self.receiving[at];
        let place = if at == 0 && message.index >= chain.next() { Place::Newest } else { Place::Late };
        let (key, chain) = chain.take(message.index, now)?;
        let mut next = self.clone();
        next.receiving[at] = chain;
        next.rekey.count();
        next.active = now;
        if place == Place::Newest {
            next.times.heard = now;
        }
        Ok(Found { key, place, next })
    }

    /// Returns the key of a message that would begin the peer's next chain (PQ3-12). `None` if no chain can begin, or not
    /// with these KEM values. Whether it does begin, the indicator shows.
    pub(super) fn in_next_chain(&self, message: &Message, peer: &Party, own: &Party, now: Timestamp) -> Option<Found> {
        // The peer's turn comes after ours.
        let sending = self.sending.as_ref()?;
        let ecdh = sending.own_key()?.agree(&AgreementPublic::from_compact(&message.ephemeral).ok()?);
        let (secret, kem) = match (sending.offered(), message.head.encap.as_deref()) {
            (Some((private, public)), Some(encap)) => (Some(private.decapsulate(encap).ok()?), Some((encap, public))),
            (None, None) => (None, None),
            // PQ3-13: an offer that is not taken up, and an encapsulation to nothing, are errors.
            (Some(_), None) | (None, Some(_)) => return None,
        };
        let info = TurnInfo { from: peer, to: own, last: sending.ephemeral(), new: &message.ephemeral, kem };
        let (root, chain) = root::turn(&self.root, &ecdh, secret.as_ref(), &info);
        let mut next = self.clone();
        if secret.is_some() {
            next.rekey.rekeyed(now);
        }
        next.root = root;
        // What we sealed with is of no more use to us; the peer has it.
        next.sending = None;
        next.peer_offer = offer(message).ok()?;
        next.ratcheted = now;
        next.receiving.insert(0, ReceivingChain::begin(message.ephemeral, chain));
        next.receiving.truncate(RECEIVING_MAX);
        next.in_chain(message, now).ok()
    }

    /// Returns the chains that we open with, newest first.
    pub(super) fn receiving_mut(&mut self) -> &mut [ReceivingChain] {
        &mut self.receiving
    }

    /// Returns how many keys are kept for messages that have not arrived.
    pub(super) fn skipped(&self) -> usize {
        self.receiving.iter().map(|chain| chain.skipped().len()).sum()
    }

    pub(super) fn encoded_len(&self) -> usize {
        let sending = self.sending.as_ref().map_or(0, SendingChain::encoded_len);
        let receiving: usize = self.receiving.iter().map(ReceivingChain::encoded_len).sum();
        let offer = self.peer_offer.as_ref().map_or(0, |offer| 4 + offer.len());
        let fixed = SessionId::ENCODED_BYTES + 4 + 32 + 4 + 4 + 4 + RekeyClock::ENCODED_BYTES_MAX + 8 + 8;
        fixed + sending + receiving + offer
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        self.id.write(writer);
        writer.u32(if self.role == Role::Starter { STARTER } else { ANSWERER });
        writer.raw(self.root.expose());
        match &self.sending {
            None => writer.u32(super::chain::ABSENT),
            Some(chain) => {
                writer.u32(super::chain::PRESENT);
                chain.write(writer);
            }
        }
        writer.u32(u32::try_from(self.receiving.len()).expect("at most RECEIVING_MAX"));
        self.receiving.iter().for_each(|chain| chain.write(writer));
        match &self.peer_offer {
            None => writer.u32(super::chain::ABSENT),
            Some(offer) => {
                writer.u32(super::chain::PRESENT);
                writer.sized(offer);
            }
        }
        self.rekey.write(writer);
        writer.u64(self.ratcheted.as_millis());
        writer.u64(self.active.as_millis());
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let id = SessionId::read(reader)?;
        let role = match reader.u32()? {
            STARTER => Role::Starter,
            ANSWERER => Role::Answerer,
            _ => return Err(StateError::Damaged),
        };
        let root = RootKey::from_secret(reader.secret()?);
        let sending = optional(reader, SendingChain::read)?;
        let count = reader.count(RECEIVING_MAX)?;
        let receiving: Vec<_> = (0..count).map(|_| ReceivingChain::read(reader)).collect::<Result<_, _>>()?;
        let peer_offer = optional(reader, |reader| reader.sized().map(<[u8]>::to_vec))?;
        let rekey = RekeyClock::read(reader)?;
        let (ratcheted, active) = (Timestamp::from_millis(reader.u64()?), Timestamp::from_millis(reader.u64()?));
        if sending.is_none() && receiving.is_empty() {
            return Err(StateError::Damaged);
        }
        Ok(Self {
            id,
            role,
            root,
            sending,
            receiving,
            peer_offer,
            rekey,
            ratcheted,
            active,
            retired: false,
            times: Times::NEVER,
        })
    }
}

/// The KEM key that a message offers, after the modulus check (PQ3-2).
fn offer(message: &Message) -> Result<Option<Vec<u8>>, halcyon_crypto::KemError> {
    let Some(key) = &message.head.kem_key else { return Ok(None) };
    KemPublic::<MlKem768>::from_bytes(key).map(|key| Some(key.as_bytes().to_vec()))
}
