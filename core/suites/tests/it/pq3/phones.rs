//! Phones: a device, and its session with the one peer of the story. Every session goes through its disk.

use halcyon_crypto::SecretBytes;
use halcyon_suites::{
    DeviceKeys, OpenError, Opened, PeerDevice, SealError, Session, Suite,
    pq3::{Party, wire::Message},
};
use halcyon_types::{AccountId, Timestamp};
use rand::{SeedableRng, rngs::StdRng};

use crate::people::{Device, NOW};

/// A device that speaks `pq3`, what it stored, and its clock.
pub(crate) struct Phone {
    pub(crate) device: Device,
    pub(crate) session: Session,
    pub(crate) now: Timestamp,
}

impl Phone {
    /// Makes the phone of that number.
    pub(crate) fn new(number: u8) -> Self {
        let mut rng = StdRng::seed_from_u64(u64::from(number));
        let keys = DeviceKeys::generate(&mut rng, &[Suite::Pq3], NOW);
        let device = Device { keys, rng, account: AccountId::from_bytes([number; 16]) };
        Self { device, session: Session::default(), now: NOW }
    }

    /// All that is on the disk, on another disk: session, device key, prekeys. Its randomness is its own.
    pub(crate) fn copied(&self) -> Self {
        let keys = DeviceKeys::from_secret_bytes(self.device.keys.to_secret_bytes().expose()).unwrap();
        let device = Device { keys, rng: StdRng::seed_from_u64(666), account: self.device.account };
        Self { device, session: restarted(&self.session), now: self.now }
    }

    /// What others know of it.
    pub(crate) fn public(&self) -> PeerDevice {
        let bundle = self.device.keys.pq3.as_ref().map(|ring| ring.record());
        PeerDevice::new(self.device.keys.device.verifying_key().clone(), None).with_pq3(self.device.account, bundle)
    }

    pub(crate) fn party(&self) -> Party {
        Party::new(self.device.account, self.device.keys.device.verifying_key().compact())
    }

    pub(crate) fn seal(&mut self, to: &Phone, text: &str) -> Vec<u8> {
        self.try_seal(&to.public(), text).unwrap()
    }

    /// Seals, and commits if that succeeded.
    pub(crate) fn try_seal(&mut self, to: &PeerDevice, text: &str) -> Result<Vec<u8>, SealError> {
        let before = self.session.clone();
        let (sealed, next) = self.device.seal_at(before, Suite::Pq3, to, self.now, text.as_bytes())?;
        self.session = restarted(&next);
        Ok(sealed.bytes)
    }

    /// Opens, and commits if that succeeded.
    pub(crate) fn open(&mut self, from: &Phone, sealed: &[u8]) -> Result<String, OpenError> {
        let opened = self.try_open(&from.public(), sealed)?;
        self.session = restarted(&opened.next);
        Ok(String::from_utf8(opened.plaintext.expose().to_vec()).unwrap())
    }

    /// Opens without a commit. What is stored stays byte for byte as it is (PQ3-24).
    pub(crate) fn try_open(&self, from: &PeerDevice, sealed: &[u8]) -> Result<Opened, OpenError> {
        let before = self.stored();
        let opened = self.device.open_at(&self.session, Suite::Pq3.id(), from, self.now, sealed);
        assert!(self.stored().ct_eq(&before), "opening changes nothing by itself");
        opened
    }

    /// Requires the one error (PQ3-25).
    pub(crate) fn refuses(&self, from: &PeerDevice, sealed: &[u8], what: &str) {
        let opened = self.try_open(from, sealed).map(|opened| opened.plaintext.len());
        assert_eq!(opened, Err(OpenError::Unauthentic), "{what}");
    }

    /// Requires what only the sender's device can cause: authentic, and sealed with a key that is not here (PQ3-25).
    pub(crate) fn has_no_key(&self, from: &PeerDevice, sealed: &[u8], what: &str) {
        let opened = self.try_open(from, sealed).map(|opened| opened.plaintext.len());
        assert_eq!(opened, Err(OpenError::NoKey), "{what}");
    }

    /// The session as it lies on the disk.
    pub(crate) fn stored(&self) -> SecretBytes {
        self.session.to_secret_bytes()
    }
}

/// Through the disk.
pub(crate) fn restarted(session: &Session) -> Session {
    Session::from_secret_bytes(session.to_secret_bytes().expose()).unwrap()
}

/// Says one thing, which is heard at once.
pub(crate) fn turn(from: &mut Phone, to: &mut Phone) -> Vec<u8> {
    let sealed = from.seal(to, "a turn");
    assert_eq!(to.open(from, &sealed).unwrap(), "a turn");
    sealed
}

/// Alice's phone and Bob's, before a word.
pub(crate) fn alice_and_bob() -> (Phone, Phone) {
    (Phone::new(1), Phone::new(2))
}

/// Alice and Bob after the first round trip and one more, so that the KEM key of the start was answered (PQ3-14) and no
/// chain of the start is the newest.
pub(crate) fn acquainted() -> (Phone, Phone) {
    let (mut alice, mut bob) = alice_and_bob();
    for _ in 0..2 {
        turn(&mut alice, &mut bob);
        turn(&mut bob, &mut alice);
    }
    (alice, bob)
}

pub(crate) fn parsed(sealed: &[u8]) -> Message {
    Message::decode(sealed).unwrap()
}
