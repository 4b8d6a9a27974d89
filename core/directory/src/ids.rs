//! How ids follow from keys. Spec: 10-identity.md §1 (IDN-5, IDN-6).
//!
//! Owns the two derivations. Does not know whether a key is held by whoever names it: a signature shows that.

use halcyon_crypto::{CompactKey, Label, kdf::labelled_hash};
use halcyon_types::{AccountId, DeviceId};

/// Returns the id of the account whose first account key this is (IDN-5).
#[must_use]
pub fn account_id(account_key: &CompactKey) -> AccountId {
    AccountId::from_bytes(first_16(labelled_hash(Label::AccountId, &[account_key.as_bytes()])))
}

/// Returns the id of the device whose device key this is (IDN-6).
#[must_use]
pub fn device_id(device_key: &CompactKey) -> DeviceId {
    DeviceId::from_bytes(first_16(labelled_hash(Label::DeviceId, &[device_key.as_bytes()])))
}

fn first_16(hash: [u8; 32]) -> [u8; 16] {
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    /// IDN-5, IDN-6, IDN-12: one key gives two ids that have nothing in common, and they are the same for ever.
    #[test]
    fn ids_follow_from_the_key() {
        let key = CompactKey::from_bytes([7; 32]);
        assert_eq!(account_id(&key).to_hex(), "e7d60a7d8a9102f9702a1f6c069ecb7f");
        assert_eq!(device_id(&key).to_hex(), "2651d8bde1d8a7a2b2660c2875071005");
    }
}
