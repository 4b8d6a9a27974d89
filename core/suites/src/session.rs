//! One device's dealings with one other device: the state that sealing and opening need, whatever the suite.
//!
//! Owns the dispatch to the suites and the stored form of their states. There is one session for each pair of devices,
//! whatever the conversation. Does not know whose devices they are.
//!
//! - [`Session::seal`] consumes the session: the one it returns is stored before the sealed bytes leave (SND-1).
//! - [`Session::open`] borrows it: the one in [`Opened`] is stored together with the message (RCV-1).

use halcyon_crypto::{Rng, SecretBytes, VerifyingKey};
use halcyon_types::{AccountId, EnvelopeId, Handle, PushToken, SuiteId, Timestamp};

use crate::{
    choice::ChosenSuite,
    device_keys::DeviceKeys,
    error::{OpenError, SealError},
    identity::PairIdentity,
    pair_ec::{self, ReceiveState, SendState, SignedPrekey},
    pq3::{self, AuthData, Opening, Party, Sealing, SealingPlace, Security, Sessions},
    state::{Reader, StateError, Writer},
    suite::Suite,
};

/// 1 had no `pq3`, 2 no memory of what opened (PQ3-26), 3 no restart (PQ3-34, PEC-20), 4 no times (PQ3-11, REP-16); all are still
/// read.
const STATE_VERSION: u8 = 5;
const STATE_VERSION_WITHOUT_TIMES: u8 = 4;
const STATE_VERSION_WITHOUT_RESTART: u8 = 3;
const STATE_VERSION_WITHOUT_OPENED: u8 = 2;
const STATE_VERSION_WITHOUT_PQ3: u8 = 1;

/// What is known of another device: keys from its verified list entry, and its newest prekey. Parsed once; keep it.
#[derive(Clone, Debug)]
pub struct PeerDevice {
    device: VerifyingKey,
    pair: Option<PairIdentity>,
    prekey: Option<SignedPrekey>,
    party: Option<Party>,
    bundle: Option<Vec<u8>>,
}

impl PeerDevice {
    /// Takes a verified entry's device key and `pair` identity.
    #[must_use]
    pub fn new(device: VerifyingKey, pair: Option<PairIdentity>) -> Self {
        Self { device, pair, prekey: None, party: None, bundle: None }
    }

    /// Adds the device's newest prekey, after verifying that the device signed it (PEC-3).
    ///
    /// # Errors
    /// [`pair_ec::PrekeyError`].
    pub fn with_prekey(self, record: &[u8]) -> Result<Self, pair_ec::PrekeyError> {
        let prekey = SignedPrekey::verify(record, &self.device)?;
        Ok(Self { prekey: Some(prekey), ..self })
    }

    /// Adds what `pq3` needs: the account in whose list the device stands, and the device's newest bundle, which is looked
    /// into only when a session has to be started (PQ3-5).
    #[must_use]
    pub fn with_pq3(self, account: AccountId, bundle: Option<&[u8]>) -> Self {
        let party = Some(Party::new(account, self.device.compact()));
        Self { party, bundle: bundle.map(<[u8]>::to_vec), ..self }
    }

    /// Returns the device key.
    #[must_use]
    pub fn device(&self) -> &VerifyingKey {
        &self.device
    }
}

/// What a message that is sealed is bound to, beside the two devices.
#[derive(Clone, Debug)]
pub struct Outgoing<'a> {
    /// The account in whose list this device stands.
    pub account: AccountId,
    /// Envelope, handles and push tokens (PQ3-22).
    pub auth_data: &'a AuthData,
    /// This device's clock.
    pub now: Timestamp,
}

/// What a message that is opened has to be bound to, beside the two devices.
#[derive(Clone, Debug)]
pub struct Incoming<'a> {
    /// The account in whose list this device stands.
    pub account: AccountId,
    /// The envelope's id.
    pub envelope: EnvelopeId,
    /// The sender's handle, as the envelope has it.
    pub sender: &'a Handle,
    /// This device's push token, if it knows it.
    pub push_token: Option<PushToken>,
    /// This device's clock.
    pub now: Timestamp,
}

/// A sealed message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The suite, for the envelope.
    pub suite: SuiteId,
    /// What goes into the envelope.
    pub bytes: Vec<u8>,
}

/// A message that opened.
#[derive(Debug)]
pub struct Opened {
    /// What the sender sealed, without padding. It has no meaning yet.
    pub plaintext: SecretBytes,
    /// The suite that carried it, to be shown.
    pub suite: Suite,
    /// The handle that the sender sealed it for, where the suite says so (PQ3-22). It has to be this account's.
    pub recipient: Option<Handle>,
    /// The session in which this message counts as opened.
    pub next: Session,
}

/// What a person may want to know of a [`Session`]: numbers and times, no keys and no names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionSummary {
    /// `pq3` sessions that are kept, at most three (PQ3-15).
    pub pq3_sessions: usize,
    /// When a message was last sealed or opened in the preferred one; `None` if there is none.
    pub last_used: Option<Timestamp>,
    /// When the preferred one last changed direction, or was started (PQ3-12); `None` if there is none.
    pub ratcheted: Option<Timestamp>,
    /// Whether the preferred one is this device's start and nothing of the peer's was opened in it.
    pub unanswered: bool,
    /// Whether the preferred one is the peer's start, and nothing was sealed in it yet.
    pub new_from_peer: bool,
    /// Whether the next `pq3` message starts a session and so needs the peer's bundle: there is none yet, or none that may be sealed
    /// in (PQ3-34).
    pub restarts_next: bool,
    /// Keys that are kept for messages that have not arrived, at most 2,000 (PQ3-30).
    pub skipped_keys: usize,
    /// When a message opened last in the preferred one that was ahead of all before; `None` before the first.
    pub heard: Option<Timestamp>,
    /// Starts of the peer's that are remembered, at most [`STARTS_MAX`](crate::pq3::start::STARTS_MAX) (PQ3-11).
    pub starts_remembered: usize,
}

/// The state between this device and one other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Session {
    pair_ec_send: SendState,
    pair_ec_receive: ReceiveState,
    pq3: Sessions,
}

impl Session {
    /// Seals `plaintext` for `peer` with the suite chosen for it. Returns the message and the next session.
    ///
    /// # Errors
    /// [`SealError`]. This session is gone, the stored one unchanged; nothing was used up.
    pub fn seal(
        self,
        suite: ChosenSuite,
        own: &DeviceKeys,
        peer: &PeerDevice,
        outgoing: &Outgoing<'_>,
        rng: &mut dyn Rng,
        plaintext: &[u8],
    ) -> Result<(Sealed, Session), SealError> {
        let suite = suite.suite();
        let (bytes, next) = match suite {
            Suite::Pair => self.seal_pair(own, peer, rng, plaintext)?,
            Suite::PairEc => self.seal_pair_ec(own, peer, outgoing.now, rng, plaintext)?,
            Suite::Pq3 => self.seal_pq3(own, peer, outgoing, rng, plaintext)?,
        };
        Ok((Sealed { suite: suite.id(), bytes }, next))
    }

    #[cfg(feature = "pair")]
    fn seal_pair(
        self,
        own: &DeviceKeys,
        peer: &PeerDevice,
        rng: &mut dyn Rng,
        plaintext: &[u8],
    ) -> Result<(Vec<u8>, Session), SealError> {
        let (Some(keys), Some(recipient)) = (&own.pair, &peer.pair) else {
            return Err(SealError::NotSpoken(Suite::Pair));
        };
        Ok((keys.seal(rng, recipient, plaintext)?, self))
    }

    #[cfg(not(feature = "pair"))]
    fn seal_pair(
        self,
        _: &DeviceKeys,
        _: &PeerDevice,
        _: &mut dyn Rng,
        _: &[u8],
    ) -> Result<(Vec<u8>, Session), SealError> {
        Err(SealError::NotSpoken(Suite::Pair))
    }

    fn seal_pair_ec(
        self,
        own: &DeviceKeys,
        peer: &PeerDevice,
        now: Timestamp,
        rng: &mut dyn Rng,
        plaintext: &[u8],
    ) -> Result<(Vec<u8>, Session), SealError> {
        if !cfg!(feature = "pair-ec") {
            return Err(SealError::NotSpoken(Suite::PairEc));
        }
        // SUI-8: no prekey, no message; never another suite instead.
        let prekey = peer.prekey.as_ref().ok_or(SealError::NoPrekey)?;
        let (bytes, send) = pair_ec::seal(self.pair_ec_send, rng, &own.device, prekey, now, plaintext)?;
        Ok((bytes, Session { pair_ec_send: send, ..self }))
    }

    fn seal_pq3(
        self,
        own: &DeviceKeys,
        peer: &PeerDevice,
        outgoing: &Outgoing<'_>,
        rng: &mut dyn Rng,
        plaintext: &[u8],
    ) -> Result<(Vec<u8>, Session), SealError> {
        let to = peer.party.as_ref().ok_or(SealError::NotSpoken(Suite::Pq3))?;
        let sealing = Sealing {
            key: &own.device,
            from: &Party::new(outgoing.account, own.device.verifying_key().compact()),
            to,
            recipient: &peer.device,
            bundle: peer.bundle.as_deref(),
            auth_data: outgoing.auth_data,
        };
        let (bytes, pq3) = self.pq3.seal(&sealing, rng, outgoing.now, plaintext)?;
        Ok((bytes, Session { pq3, ..self }))
    }

    /// Opens a message from `peer` that came with `suite` in its envelope.
    ///
    /// # Errors
    /// [`OpenError`]. Nothing has changed.
    pub fn open(
        &self,
        suite: SuiteId,
        own: &DeviceKeys,
        peer: &PeerDevice,
        incoming: &Incoming<'_>,
        sealed: &[u8],
    ) -> Result<Opened, OpenError> {
        // SUI-7: before anything looks into the message.
        let suite = Suite::try_from(suite).map_err(|_| OpenError::NotSpoken)?;
        if !Suite::SPOKEN.contains(&suite) {
            return Err(OpenError::NotSpoken);
        }
        match suite {
            Suite::Pair => self.open_pair(own, peer, sealed),
            Suite::PairEc => self.open_pair_ec(own, peer, sealed),
            Suite::Pq3 => self.open_pq3(own, peer, incoming, sealed),
        }
    }

    #[cfg(feature = "pair")]
    fn open_pair(&self, own: &DeviceKeys, peer: &PeerDevice, sealed: &[u8]) -> Result<Opened, OpenError> {
        let (Some(keys), Some(sender)) = (&own.pair, &peer.pair) else { return Err(OpenError::NotSpoken) };
        let plaintext = keys.open(sender, sealed)?;
        Ok(Opened { plaintext, suite: Suite::Pair, recipient: None, next: self.clone() })
    }

    #[cfg(not(feature = "pair"))]
    fn open_pair(&self, _: &DeviceKeys, _: &PeerDevice, _: &[u8]) -> Result<Opened, OpenError> {
        Err(OpenError::NotSpoken)
    }

    fn open_pair_ec(&self, own: &DeviceKeys, peer: &PeerDevice, sealed: &[u8]) -> Result<Opened, OpenError> {
        let own_key = own.device.verifying_key().compact();
        let opened = pair_ec::open(&self.pair_ec_receive, &own.prekeys, own_key, &peer.device, sealed)?;
        let next = Session { pair_ec_receive: opened.next, ..self.clone() };
        Ok(Opened { plaintext: opened.plaintext, suite: Suite::PairEc, recipient: None, next })
    }

    fn open_pq3(
        &self,
        own: &DeviceKeys,
        peer: &PeerDevice,
        incoming: &Incoming<'_>,
        sealed: &[u8],
    ) -> Result<Opened, OpenError> {
        let (Some(ring), Some(from)) = (&own.pq3, &peer.party) else { return Err(OpenError::NotSpoken) };
        let opening = Opening {
            ring,
            from,
            to: &Party::new(incoming.account, own.device.verifying_key().compact()),
            sender: &peer.device,
            envelope: incoming.envelope,
            sender_handle: incoming.sender,
            push_token: incoming.push_token,
        };
        let pq3::Opened { plaintext, auth_data, next } = self.pq3.open(&opening, incoming.now, sealed)?;
        let next = Session {
            pair_ec_send: self.pair_ec_send.clone(),
            pair_ec_receive: self.pair_ec_receive.clone(),
            pq3: next,
        };
        Ok(Opened { plaintext, suite: Suite::Pq3, recipient: Some(auth_data.recipient), next })
    }

    /// Seals nothing more with what this value holds (PQ3-34, PEC-20). For a device that was restored from an old copy, whose peer
    /// cannot open its messages, or that begins anew with [`Session::default`] where it had lost its state.
    ///
    /// The next `pq3` message starts a session with the peer's bundle (and fails with [`SealError::NoPrekey`] without one), unless the
    /// peer starts one before. The sessions that are here open what is still under way. `pair-ec` counters jump ahead: what was sealed
    /// before and arrives after a message sealed now is taken for a replay. A session that is started ends it: nothing is to be undone.
    pub fn restart(&mut self, now: Timestamp) {
        self.pair_ec_send.restart(now);
        self.pq3.restart();
    }

    /// Takes in that the peer could not open a message from here ([`OpenError::NoKey`]). Call it after its request opened, and before
    /// anything is sealed again.
    ///
    /// A `pq3` start that was never answered is given up (PQ3-35). Otherwise nothing changes: the peer's request came in a session
    /// that it has, and which is preferred for that (PQ3-16).
    pub fn rejected(&mut self) {
        self.pq3.rejected();
    }

    /// Returns what a person may want to know of this session.
    #[must_use]
    pub fn summary(&self) -> SessionSummary {
        let preferred = self.pq3.sessions().first();
        SessionSummary {
            pq3_sessions: self.pq3.sessions().len(),
            last_used: preferred.map(pq3::session::Session::active),
            ratcheted: preferred.map(|session| session.security().ratcheted),
            unanswered: preferred.is_some_and(|session| !session.is_retired() && session.is_unanswered()),
            new_from_peer: preferred.is_some_and(|session| !session.is_retired() && session.is_new_from_peer()),
            restarts_next: self.pq3.restarts_next(),
            heard: preferred.and_then(pq3::session::Session::heard),
            skipped_keys: self.pq3.skipped(),
            starts_remembered: self.pq3.starts_remembered(),
        }
    }

    /// Returns where this device seals in `pq3` now: which of its starts, and which chain of it. Both are public in every message.
    #[must_use]
    pub fn sealing_place(&self) -> SealingPlace {
        self.pq3.sealing_place()
    }

    /// Returns how well messages in `pq3` to this device are protected; `None` before the first.
    #[must_use]
    pub fn security(&self) -> Option<Security> {
        self.pq3.security()
    }

    /// Returns the sessions of `pq3`.
    #[must_use]
    pub fn pq3(&self) -> &Sessions {
        &self.pq3
    }

    /// Returns the session, to be stored under protection (PEC-19, PQ3-32).
    #[must_use]
    pub fn to_secret_bytes(&self) -> SecretBytes {
        let size = self.pair_ec_send.encoded_len() + self.pair_ec_receive.encoded_len() + self.pq3.encoded_len();
        let mut writer = Writer::new(STATE_VERSION, size);
        self.pair_ec_send.write(&mut writer);
        self.pair_ec_receive.write(&mut writer);
        self.pq3.write(&mut writer);
        writer.finish()
    }

    /// Reads what [`to_secret_bytes`](Self::to_secret_bytes) wrote.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn from_secret_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let version = match bytes.first() {
            Some(older @ STATE_VERSION_WITHOUT_PQ3..=STATE_VERSION_WITHOUT_TIMES) => *older,
            _ => STATE_VERSION,
        };
        let mut reader = Reader::new(bytes, version)?;
        let pair_ec_send = match version {
            STATE_VERSION_WITHOUT_TIMES.. => SendState::read(&mut reader)?,
            _ => SendState::read_without_restart(&mut reader)?,
        };
        let pair_ec_receive = ReceiveState::read(&mut reader)?;
        let pq3 = match version {
            STATE_VERSION_WITHOUT_PQ3 => Sessions::default(),
            STATE_VERSION_WITHOUT_OPENED => Sessions::read_without_opened(&mut reader)?,
            STATE_VERSION_WITHOUT_RESTART => Sessions::read_without_retired(&mut reader)?,
            STATE_VERSION_WITHOUT_TIMES => Sessions::read_without_times(&mut reader)?,
            _ => Sessions::read(&mut reader)?,
        };
        reader.end()?;
        Ok(Self { pair_ec_send, pair_ec_receive, pq3 })
    }
}
