//! One device's dealings with one other device: the state that sealing and opening need, whatever the suite.
//!
//! Owns the dispatch to the suites and the stored form of their states. There is one session for each pair of devices,
//! whatever the conversation. Does not know whose devices they are.
//!
//! - [`Session::seal`] consumes the session: the one it returns is stored before the sealed bytes leave (SND-1).
//! - [`Session::open`] borrows it: the one in [`Opened`] is stored together with the message (RCV-1).

use halcyon_crypto::{Rng, SecretBytes, VerifyingKey};
use halcyon_types::{SuiteId, Timestamp};

use crate::{
    choice::ChosenSuite,
    device_keys::DeviceKeys,
    error::{OpenError, SealError},
    identity::PairIdentity,
    pair_ec::{self, ReceiveState, SendState, SignedPrekey},
    state::{Reader, StateError, Writer},
    suite::Suite,
};

const STATE_VERSION: u8 = 1;

/// What is known of another device: keys from its verified list entry, and its newest prekey. Parsed once; keep it.
#[derive(Clone, Debug)]
pub struct PeerDevice {
    device: VerifyingKey,
    pair: Option<PairIdentity>,
    prekey: Option<SignedPrekey>,
}

impl PeerDevice {
    /// Takes a verified entry's device key and `pair` identity.
    #[must_use]
    pub fn new(device: VerifyingKey, pair: Option<PairIdentity>) -> Self {
        Self { device, pair, prekey: None }
    }

    /// Adds the device's newest prekey, after verifying that the device signed it (PEC-3).
    ///
    /// # Errors
    /// [`pair_ec::PrekeyError`].
    pub fn with_prekey(self, record: &[u8]) -> Result<Self, pair_ec::PrekeyError> {
        let prekey = SignedPrekey::verify(record, &self.device)?;
        Ok(Self { prekey: Some(prekey), ..self })
    }

    /// Returns the device key.
    #[must_use]
    pub fn device(&self) -> &VerifyingKey {
        &self.device
    }
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
    /// The session in which this message counts as opened.
    pub next: Session,
}

/// The state between this device and one other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Session {
    pair_ec_send: SendState,
    pair_ec_receive: ReceiveState,
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
        rng: &mut dyn Rng,
        now: Timestamp,
        plaintext: &[u8],
    ) -> Result<(Sealed, Session), SealError> {
        let suite = suite.suite();
        let (bytes, next) = match suite {
            Suite::Pair => {
                let (Some(keys), Some(recipient)) = (&own.pair, &peer.pair) else {
                    return Err(SealError::NotSpoken(suite));
                };
                (keys.seal(rng, recipient, plaintext)?, self)
            }
            Suite::PairEc => {
                // SUI-8: no prekey, no message; never another suite instead.
                let prekey = peer.prekey.as_ref().ok_or(SealError::NoPrekey)?;
                let (bytes, send) = pair_ec::seal(self.pair_ec_send, rng, &own.device, prekey, now, plaintext)?;
                (bytes, Session { pair_ec_send: send, ..self })
            }
            Suite::Pq3 => return Err(SealError::NotSpoken(suite)),
        };
        Ok((Sealed { suite: suite.id(), bytes }, next))
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
        sealed: &[u8],
    ) -> Result<Opened, OpenError> {
        // SUI-7: before anything looks into the message.
        let suite = Suite::try_from(suite).map_err(|_| OpenError::NotSpoken)?;
        let (plaintext, next) = match suite {
            Suite::Pair => {
                let (Some(keys), Some(sender)) = (&own.pair, &peer.pair) else { return Err(OpenError::NotSpoken) };
                (keys.open(sender, sealed)?, self.clone())
            }
            Suite::PairEc => {
                let own_key = own.device.verifying_key().compact();
                let opened = pair_ec::open(&self.pair_ec_receive, &own.prekeys, own_key, &peer.device, sealed)?;
                let next = Session { pair_ec_send: self.pair_ec_send.clone(), pair_ec_receive: opened.next };
                (opened.plaintext, next)
            }
            Suite::Pq3 => return Err(OpenError::NotSpoken),
        };
        Ok(Opened { plaintext, suite, next })
    }

    /// Returns the session, to be stored under protection (PEC-19).
    #[must_use]
    pub fn to_secret_bytes(&self) -> SecretBytes {
        let size = self.pair_ec_send.encoded_len() + self.pair_ec_receive.encoded_len();
        let mut writer = Writer::new(STATE_VERSION, size);
        self.pair_ec_send.write(&mut writer);
        self.pair_ec_receive.write(&mut writer);
        writer.finish()
    }

    /// Reads what [`to_secret_bytes`](Self::to_secret_bytes) wrote.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn from_secret_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::new(bytes, STATE_VERSION)?;
        let pair_ec_send = SendState::read(&mut reader)?;
        let pair_ec_receive = ReceiveState::read(&mut reader)?;
        reader.end()?;
        Ok(Self { pair_ec_send, pair_ec_receive })
    }
}
