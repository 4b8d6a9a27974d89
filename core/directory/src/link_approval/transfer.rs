//! The encoding of an `AccountTransfer`. Spec: 21-linking.md (LNK-9), `proto/halcyon/directory.proto`.
//!
//! Written by hand, since a protobuf library leaves copies of what it reads and writes: here the account key goes from
//! one wiped place to another.

use halcyon_crypto::{Secret, SecretBytes, SigningKey};

/// Field 1, length-delimited, 32 bytes.
const HEAD: [u8; 2] = [0x0a, 0x20];

/// Encodes the account key.
pub(super) fn encode(account_key: &SigningKey) -> SecretBytes {
    let secret = account_key.to_secret();
    let mut bytes = Vec::with_capacity(HEAD.len() + 32);
    bytes.extend_from_slice(&HEAD);
    bytes.extend_from_slice(secret.expose());
    SecretBytes::from_vec(bytes)
}

/// Reads an account key; nothing if it is not one. Fields that may follow in later versions are ignored.
pub(super) fn decode(bytes: &SecretBytes) -> Option<SigningKey> {
    let key = bytes.expose().strip_prefix(&HEAD)?.get(..32)?;
    SigningKey::from_secret(&Secret::try_from(key).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use prost::Message;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::wire;

    /// LNK-9: what is written by hand is what the schema says.
    #[test]
    fn the_encoding_is_the_schemas() {
        let key = SigningKey::generate_compact(&mut StdRng::seed_from_u64(1));
        let by_schema =
            wire::AccountTransfer { account_key: Bytes::copy_from_slice(key.to_secret().expose()) }.encode_to_vec();
        assert_eq!(encode(&key).expose(), by_schema);
        let read = decode(&SecretBytes::from_vec(by_schema.clone())).unwrap();
        assert_eq!(read.verifying_key(), key.verifying_key());
        assert!(decode(&SecretBytes::copy_of(&by_schema[..33])).is_none());
        assert!(decode(&SecretBytes::copy_of(&[])).is_none());
    }
}
