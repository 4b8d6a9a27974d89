//! Opening one message, and the replay windows that go with it. Spec: 41-pair-ec.md §3.
//!
//! Owns the order of checks (PEC-14) and the windows of one peer's device. [`open`] borrows the state and returns the
//! next; a message that does not open returns none.

use std::collections::BTreeMap;

use halcyon_crypto::{AgreementPublic, CompactKey, SecretBytes, VerifyingKey};

use super::{
    MessageKeys, VALIDATOR_VERSION, decrypted,
    prekey::PrekeyRing,
    replay::ReplayWindow,
    signed_parts, validator,
    wire::{self, Outer},
};
use crate::{
    error::OpenError,
    state::{Reader, StateError, Writer},
};

/// Windows that a stored state may hold: as many as a ring holds prekeys.
const WINDOWS_MAX: usize = 32;

/// The replay windows for one peer's device, by own prekey.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceiveState {
    windows: BTreeMap<CompactKey, ReplayWindow>,
}

/// A message that opened. Commit `next` together with what the plaintext causes, then acknowledge.
#[derive(Debug)]
pub struct Opened {
    /// What the sender sealed.
    pub plaintext: SecretBytes,
    /// The sender's counter.
    pub counter: u32,
    /// The state in which this message counts as opened.
    pub next: ReceiveState,
}

/// Opens a message that the device `own`, which holds `ring`, has received from the device `sender`.
///
/// # Errors
/// [`OpenError::Replayed`] if its counter was opened before; [`OpenError::Unauthentic`] for everything else (PEC-18).
pub fn open(
    state: &ReceiveState,
    ring: &PrekeyRing,
    own: &CompactKey,
    sender: &VerifyingKey,
    sealed: &[u8],
) -> Result<Opened, OpenError> {
    let (prekey, plaintext, counter) = authentic(ring, own, sender, sealed).ok_or(OpenError::Unauthentic)?;
    let next = state.accepted(ring, prekey, counter).ok_or(OpenError::Replayed)?; // PEC-16
    Ok(Opened { plaintext, counter, next })
}

/// PEC-14 up to the inner message: returns the prekey used, plaintext and counter.
fn authentic(
    ring: &PrekeyRing,
    own: &CompactKey,
    sender: &VerifyingKey,
    sealed: &[u8],
) -> Option<(CompactKey, SecretBytes, u32)> {
    let outer = Outer::decode(sealed)?;
    if outer.validator[6] != VALIDATOR_VERSION {
        return None;
    }
    let mut fitting =
        ring.keys().filter(|key| validator(sender.compact(), own, key.compact()) == outer.validator).peekable();
    fitting.peek()?;
    let ephemeral = AgreementPublic::from_compact(&outer.ephemeral).ok()?;
    let (prekey, z) = fitting.find_map(|key| {
        let z = key.agree(&ephemeral);
        let signed = signed_parts(&z, key.compact(), &outer.ephemeral, own, &outer.ciphertext);
        sender.verify_raw(&signed, &outer.signature).ok()?;
        Some((*key.compact(), z))
    })?;
    let padded = decrypted(&MessageKeys::derive(&z), outer.ciphertext);
    let (plaintext, counter) = wire::unpad(&padded)?;
    Some((prekey, plaintext, counter))
}

impl ReceiveState {
    /// Returns the state with `counter` accepted, or `None` for a replay. Windows of prekeys that are gone are dropped
    /// (PEC-17).
    fn accepted(&self, ring: &PrekeyRing, prekey: CompactKey, counter: u32) -> Option<Self> {
        let window = match self.windows.get(&prekey) {
            Some(window) => window.accepted(counter)?,
            None => ReplayWindow::default().accepted(counter)?,
        };
        let others = self.windows.iter().filter(|(key, _)| **key != prekey && ring.contains(key));
        let mut windows: BTreeMap<_, _> = others.map(|(key, window)| (*key, window.clone())).collect();
        windows.insert(prekey, window);
        Some(Self { windows })
    }

    pub(crate) fn encoded_len(&self) -> usize {
        4 + self.windows.values().map(|window| 32 + window.encoded_len()).sum::<usize>()
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u32(u32::try_from(self.windows.len()).expect("one window a prekey"));
        for (prekey, window) in &self.windows {
            writer.raw(prekey.as_bytes());
            window.write(writer);
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut windows = BTreeMap::new();
        for _ in 0..reader.count(WINDOWS_MAX)? {
            let prekey = reader.key()?;
            if windows.insert(prekey, ReplayWindow::read(reader)?).is_some() {
                return Err(StateError::Damaged);
            }
        }
        Ok(Self { windows })
    }
}
