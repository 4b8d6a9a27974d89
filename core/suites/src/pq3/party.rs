//! One end of a session, in the form that every derivation and signature names it. Spec: 43-pq3.md §1 (PQ3-3).
//!
//! Owns the encoding. Does not know who the peer is to the user: handles are bound message by message (PQ3-22).

use halcyon_crypto::{CompactKey, Label, kdf::labelled_hash};
use halcyon_types::{AccountId, DeviceId};

/// `account:` and the account id in hexadecimal: a name that stays when handles come and go.
const URI_BYTES: usize = 40;
/// Length prefixes, uri, device id, device key.
const PARTY_BYTES: usize = 2 + URI_BYTES + 2 + DeviceId::LEN + 32;

/// A device of an account: half of a direction (PQ3-3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party([u8; PARTY_BYTES]);

impl Party {
    /// Names the device that has `device` as its key and stands in the list of `account`.
    #[must_use]
    pub fn new(account: AccountId, device: &CompactKey) -> Self {
        let uri = format!("account:{}", account.to_hex());
        let hash = labelled_hash(Label::DeviceId, &[device.as_bytes()]); // IDN-6
        let mut bytes = [0; PARTY_BYTES];
        let mut at = 0;
        let id = &hash[..DeviceId::LEN];
        for part in [&length(uri.as_bytes())[..], uri.as_bytes(), &length(id), id, device.as_bytes()] {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        Self(bytes)
    }

    /// Returns the encoding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// u16 big-endian.
fn length(part: &[u8]) -> [u8; 2] {
    [0, part.len() as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PQ3-3: the bytes, spelled out.
    #[test]
    fn a_party_is_account_device_and_key() {
        let party = Party::new(AccountId::from_bytes([0xab; 16]), &CompactKey::from_bytes([7; 32]));
        let shown = String::from_utf8_lossy(&party.as_bytes()[..42]).into_owned();
        assert_eq!(shown, format!("\0\u{28}account:{}", "ab".repeat(16)));
        assert_eq!(party.as_bytes()[42..44], [0, 16]);
        // The id that IDN-6 gives this key, as core/directory has it.
        assert_eq!(hex::encode(&party.as_bytes()[44..60]), "2651d8bde1d8a7a2b2660c2875071005");
        assert_eq!(party.as_bytes()[60..], [7; 32]);
    }
}
