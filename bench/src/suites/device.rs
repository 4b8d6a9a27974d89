//! A device that seals and opens with `pq3`, for measuring.

use halcyon_crypto::SigningKey;
use halcyon_suites::pq3::{AuthData, Opened, Opening, Party, PrekeyRing, Sealing, Sessions};
use halcyon_types::{AccountId, EnvelopeId, Handle, PushToken, Timestamp};
use rand::rngs::StdRng;

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A device with its keys and its state towards the other one.
pub(crate) struct Device {
    pub(crate) key: SigningKey,
    pub(crate) party: Party,
    pub(crate) ring: PrekeyRing,
    pub(crate) sessions: Sessions,
    pub(crate) push_token: PushToken,
}

impl Device {
    /// Makes a device; `byte` tells it from others.
    pub(crate) fn new(rng: &mut StdRng, byte: u8) -> Self {
        let key = SigningKey::generate_compact(rng);
        let party = Party::new(AccountId::from_bytes([byte; 16]), key.verifying_key().compact());
        let ring = PrekeyRing::generate(rng, &key, NOW);
        Self { key, party, ring, sessions: Sessions::default(), push_token: PushToken::from_bytes([byte; 32]) }
    }

    /// Seals in the state that it has, and keeps the next one.
    pub(crate) fn seal(&mut self, rng: &mut StdRng, to: &Self, text: &[u8]) -> anyhow::Result<Vec<u8>> {
        let sessions = std::mem::take(&mut self.sessions);
        let (sealed, next) = self.seal_with(sessions, rng, to, text)?;
        self.sessions = next;
        Ok(sealed)
    }

    /// Seals in a given state, and returns the next one.
    pub(crate) fn seal_with(
        &self,
        sessions: Sessions,
        rng: &mut StdRng,
        to: &Self,
        text: &[u8],
    ) -> anyhow::Result<(Vec<u8>, Sessions)> {
        let auth_data = AuthData {
            envelope: EnvelopeId::from_bytes([1; 16]),
            sender: handle()?,
            recipient: handle()?,
            sender_push_token: Some(self.push_token),
            recipient_push_token: to.push_token,
        };
        let sealing = Sealing {
            key: &self.key,
            from: &self.party,
            to: &to.party,
            recipient: to.key.verifying_key(),
            bundle: Some(to.ring.record()),
            auth_data: &auth_data,
        };
        Ok(sessions.seal(&sealing, rng, NOW, text)?)
    }

    /// Opens, and leaves the state as it was.
    pub(crate) fn open(&self, from: &Self, sealed: &[u8]) -> anyhow::Result<Opened> {
        let opening = Opening {
            ring: &self.ring,
            from: &from.party,
            to: &self.party,
            sender: from.key.verifying_key(),
            envelope: EnvelopeId::from_bytes([1; 16]),
            sender_handle: &handle()?,
            push_token: Some(self.push_token),
        };
        Ok(self.sessions.open(&opening, NOW, sealed)?)
    }

    /// Opens, and keeps the next state.
    pub(crate) fn receive(&mut self, from: &Self, sealed: &[u8]) -> anyhow::Result<()> {
        self.sessions = self.open(from, sealed)?.next;
        Ok(())
    }
}

fn handle() -> anyhow::Result<Handle> {
    Ok(Handle::parse("mailto:alice@example.org")?)
}

/// Two devices that have talked both ways, so that nothing of the start rides on messages any more, and no rekey is under
/// way.
pub(crate) fn acquainted(rng: &mut StdRng) -> anyhow::Result<(Device, Device)> {
    let (mut alice, mut bob) = (Device::new(rng, 1), Device::new(rng, 2));
    for _ in 0..2 {
        let message = alice.seal(rng, &bob, b"hello")?;
        bob.receive(&alice, &message)?;
        let message = bob.seal(rng, &alice, b"hello")?;
        alice.receive(&bob, &message)?;
    }
    Ok((alice, bob))
}
