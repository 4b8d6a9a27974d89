//! Devices with keys, and what one knows of another.

use std::{
    collections::BTreeMap,
    sync::{LazyLock, Mutex},
};

use halcyon_crypto::SecretBytes;
use halcyon_suites::{ChosenSuite, DeviceKeys, OpenError, Opened, PeerDevice, Session, Suite, choice};
use halcyon_types::{Duration, SuiteId, Timestamp};
use rand::{SeedableRng, rngs::StdRng};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A device, its keys, and its randomness.
pub(crate) struct Device {
    pub(crate) keys: DeviceKeys,
    pub(crate) rng: StdRng,
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
        Self { keys: DeviceKeys::from_secret_bytes(stored.expose()).unwrap(), rng }
    }

    /// What others know of this device: its entry's keys and newest prekey.
    pub(crate) fn public(&self) -> PeerDevice {
        let pair = self.keys.pair.as_ref().map(|keys| keys.identity().clone());
        PeerDevice::new(self.keys.device.verifying_key().clone(), pair).with_prekey(self.keys.prekeys.record()).unwrap()
    }

    pub(crate) fn seal(&mut self, session: Session, suite: Suite, to: &PeerDevice, text: &[u8]) -> (Vec<u8>, Session) {
        let (sealed, next) = session.seal(forced(suite), &self.keys, to, &mut self.rng, NOW, text).unwrap();
        assert_eq!(sealed.suite, suite.id());
        (sealed.bytes, next)
    }

    pub(crate) fn open(
        &self,
        session: &Session,
        suite: Suite,
        from: &PeerDevice,
        sealed: &[u8],
    ) -> Result<Opened, OpenError> {
        session.open(suite.id(), &self.keys, from, sealed)
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
