//! Devices with keys, and what one knows of another.

use std::{
    collections::BTreeMap,
    sync::{LazyLock, Mutex},
};

use halcyon_crypto::SecretBytes;
use halcyon_suites::{
    ChosenSuite, DeviceKeys, Incoming, OpenError, Opened, Outgoing, PeerDevice, SealError, Sealed, Session, Suite,
    choice, pq3::AuthData,
};
use halcyon_types::{AccountId, Duration, EnvelopeId, Handle, PushToken, SuiteId, Timestamp};
use rand::{SeedableRng, rngs::StdRng};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A device, its keys, and its randomness.
pub(crate) struct Device {
    pub(crate) keys: DeviceKeys,
    pub(crate) rng: StdRng,
    pub(crate) account: AccountId,
}

impl Device {
    /// Makes the device of that number. Its keys are made once a run: an RSA key takes its time.
    pub(crate) fn new(seed: u64) -> Self {
        static MADE: LazyLock<Mutex<BTreeMap<u64, SecretBytes>>> = LazyLock::new(Mutex::default);
        let mut made = MADE.lock().unwrap();
        let stored = made.entry(seed).or_insert_with(|| {
            let mut rng = StdRng::seed_from_u64(seed);
            DeviceKeys::generate(&mut rng, &Suite::SPOKEN, NOW).to_secret_bytes()
        });
        // Its later randomness is another stream, or it would draw its keys again.
        let rng = StdRng::seed_from_u64(seed + 1000);
        let account = AccountId::from_bytes([seed as u8; 16]);
        Self { keys: DeviceKeys::from_secret_bytes(stored.expose()).unwrap(), rng, account }
    }

    /// What others know of this device: its entry's keys and newest prekey.
    pub(crate) fn public(&self) -> PeerDevice {
        let pair = self.keys.pair.as_ref().map(|keys| keys.identity().clone());
        PeerDevice::new(self.keys.device.verifying_key().clone(), pair)
            .with_prekey(self.keys.prekeys.record())
            .unwrap()
            .with_pq3(self.account, self.keys.pq3.as_ref().map(|ring| ring.record()))
    }

    pub(crate) fn seal(&mut self, session: Session, suite: Suite, to: &PeerDevice, text: &[u8]) -> (Vec<u8>, Session) {
        let (sealed, next) = self.seal_at(session, suite, to, NOW, text).unwrap();
        assert_eq!(sealed.suite, suite.id());
        (sealed.bytes, next)
    }

    /// Seals at a time, with whatever comes of it.
    pub(crate) fn seal_at(
        &mut self,
        session: Session,
        suite: Suite,
        to: &PeerDevice,
        now: Timestamp,
        text: &[u8],
    ) -> Result<(Sealed, Session), SealError> {
        let outgoing = Outgoing { account: self.account, auth_data: &auth_data(), now };
        session.seal(forced(suite), &self.keys, to, &outgoing, &mut self.rng, text)
    }

    pub(crate) fn open(
        &self,
        session: &Session,
        suite: Suite,
        from: &PeerDevice,
        sealed: &[u8],
    ) -> Result<Opened, OpenError> {
        self.open_at(session, suite.id(), from, NOW, sealed)
    }

    /// Opens at a time, what came with a suite's number.
    pub(crate) fn open_at(
        &self,
        session: &Session,
        suite: SuiteId,
        from: &PeerDevice,
        now: Timestamp,
        sealed: &[u8],
    ) -> Result<Opened, OpenError> {
        let bound = auth_data();
        let incoming = Incoming {
            account: self.account,
            envelope: bound.envelope,
            sender: &bound.sender,
            push_token: Some(bound.recipient_push_token),
            now,
        };
        session.open(suite, &self.keys, from, &incoming, sealed)
    }
}

/// What every message here is bound to: one envelope, one handle each, one token.
pub(crate) fn auth_data() -> AuthData {
    let handle = |uri: &str| Handle::parse(uri).unwrap();
    AuthData {
        envelope: EnvelopeId::from_bytes([9; 16]),
        sender: handle("mailto:sender@example.org"),
        recipient: handle("mailto:recipient@example.org"),
        sender_push_token: None,
        recipient_push_token: PushToken::from_bytes([1; 32]),
    }
}

/// Alice's phone, Bob's phone, Eve's laptop.
pub(crate) fn alice_bob_eve() -> (Device, Device, Device) {
    (Device::new(1), Device::new(2), Device::new(3))
}

/// The given suite, as a person would force it.
pub(crate) fn forced(suite: Suite) -> ChosenSuite {
    let all: Vec<SuiteId> = Suite::SPOKEN.iter().map(|suite| suite.id()).collect();
    choice::dangerous_force(suite, &Suite::SPOKEN, &all, None).unwrap()
}

pub(crate) fn days(days: u64) -> Timestamp {
    NOW.plus(Duration::from_days(days))
}
