//! The bytes of `pq3`: prekey bundle, message, authData, and the padding around a plaintext. Spec: 43-pq3.md.
//!
//! Owns lengths, encodings and preimages. A value that leaves this file has fields of the right length; nothing is
//! authentic yet.

use halcyon_crypto::{
    CompactKey, SecretBytes, Signature,
    kem::{ML_KEM_768_ENCAP_BYTES, ML_KEM_768_PUBLIC_BYTES, ML_KEM_1024_ENCAP_BYTES, ML_KEM_1024_PUBLIC_BYTES},
    labels::fixed,
    padding,
};
use halcyon_types::{EnvelopeId, Handle, PushToken, Timestamp};
use prost::Message as _;

use super::party::Party;

mod schema {
    #![allow(missing_docs, unreachable_pub, clippy::pedantic, reason = "generated from proto/halcyon/pq3.proto")]
    include!(concat!(env!("OUT_DIR"), "/halcyon.pq3.v1.rs"));
}

/// Longest sealed message in bytes that is read at all (PQ3-23): the longest plaintext, padded, two KEM values, and the
/// fields around.
pub const SEALED_BYTES_MAX: usize = 71_680;
/// Largest bundle that is read (PQ3-5). Ours have 1,680 bytes.
pub const BUNDLE_BYTES_MAX: usize = 4096;
/// Largest authData: two handles of at most 261 bytes, an id and two tokens (PQ3-22).
pub const AUTH_DATA_BYTES_MAX: usize = 1024;
/// Bytes of the pad length at the end of a padded plaintext (PQ3-18).
const PAD_LEN_BYTES: usize = 4;

/// A bundle whose signature is not yet checked (PQ3-4).
#[derive(Clone, Debug)]
pub(super) struct Bundle {
    pub(super) kem_key: Vec<u8>,
    pub(super) prekey: CompactKey,
    pub(super) time_ms: u64,
    pub(super) version: u32,
    pub(super) signature: Signature,
}

impl Bundle {
    pub(super) fn encode(&self) -> Vec<u8> {
        let bundle = schema::PrekeyBundle {
            kem_key: self.kem_key.clone(),
            prekey: self.prekey.as_bytes().to_vec(),
            time_ms: self.time_ms,
            version: self.version,
            signature: self.signature.as_bytes().to_vec(),
        };
        bundle.encode_to_vec()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > BUNDLE_BYTES_MAX {
            return None;
        }
        let bundle = schema::PrekeyBundle::decode(bytes).ok()?;
        if bundle.kem_key.len() != ML_KEM_1024_PUBLIC_BYTES {
            return None;
        }
        Some(Self {
            prekey: CompactKey::try_from(bundle.prekey.as_slice()).ok()?,
            time_ms: bundle.time_ms,
            version: bundle.version,
            signature: Signature::try_from(bundle.signature.as_slice()).ok()?,
            kem_key: bundle.kem_key,
        })
    }
}

/// A sealed message's fields (PQ3-20). KEM values have the lengths that their place asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The padded plaintext, encrypted.
    pub ciphertext: Vec<u8>,
    /// An encoded [`AuthData`].
    pub auth_data: Vec<u8>,
    /// By the sender's device key, over [`Message::signed`].
    pub signature: Signature,
    /// x(E) of the chain.
    pub ephemeral: CompactKey,
    /// Place in the chain.
    pub index: u32,
    /// By which the receiver recognizes the message key (SUI-12).
    pub indicator: [u8; 32],
    /// What every message of the chain repeats.
    pub head: Head,
}

/// The KEM values of a chain, repeated in each of its messages so that none of them has to arrive first (PQ3-13).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The sender's fresh ML-KEM-768 key, if it offers one.
    pub kem_key: Option<Vec<u8>>,
    /// To the peer's offered key, or in a start to its prekey.
    pub encap: Option<Vec<u8>>,
    /// In a start: which bundle it is for.
    pub prekey_hash: Option<[u8; 48]>,
}

impl Message {
    /// Returns the encoding.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let message = schema::Message {
            ciphertext: self.ciphertext,
            auth_data: self.auth_data,
            signature: self.signature.as_bytes().to_vec(),
            ephemeral: self.ephemeral.as_bytes().to_vec(),
            index: self.index,
            indicator: self.indicator.to_vec(),
            kem_key: self.head.kem_key.unwrap_or_default(),
            kem_encap: self.head.encap.unwrap_or_default(),
            prekey_hash: self.head.prekey_hash.map(|hash| hash.to_vec()).unwrap_or_default(),
        };
        message.encode_to_vec()
    }

    /// Reads a message; `None` for anything that PQ3-23 refuses.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        // PQ3-23: the bound comes before the parser.
        if bytes.len() > SEALED_BYTES_MAX {
            return None;
        }
        let message = schema::Message::decode(bytes).ok()?;
        let prekey_hash =
            optional(message.prekey_hash).map(|hash| <[u8; 48]>::try_from(hash.as_slice())).transpose().ok()?;
        let encap_bytes = if prekey_hash.is_some() { ML_KEM_1024_ENCAP_BYTES } else { ML_KEM_768_ENCAP_BYTES };
        let head = Head { kem_key: optional(message.kem_key), encap: optional(message.kem_encap), prekey_hash };
        let fits = |value: &Option<Vec<u8>>, len| value.as_ref().is_none_or(|value| value.len() == len);
        let start_is_whole = head.prekey_hash.is_none() || head.encap.is_some();
        if !fits(&head.kem_key, ML_KEM_768_PUBLIC_BYTES) || !fits(&head.encap, encap_bytes) || !start_is_whole {
            return None;
        }
        if message.auth_data.len() > AUTH_DATA_BYTES_MAX {
            return None;
        }
        Some(Self {
            ciphertext: message.ciphertext,
            auth_data: message.auth_data,
            signature: Signature::try_from(message.signature.as_slice()).ok()?,
            ephemeral: CompactKey::try_from(message.ephemeral.as_slice()).ok()?,
            index: message.index,
            indicator: message.indicator.try_into().ok()?,
            head,
        })
    }

    /// Calls `consume` with what the signature of a message from `from` to `to` is over (PQ3-21).
    pub(super) fn signed<R>(&self, from: &Party, to: &Party, consume: impl FnOnce(&[&[u8]]) -> R) -> R {
        let empty: &[u8] = &[];
        let kem_key = self.head.kem_key.as_deref().unwrap_or(empty);
        let encap = self.head.encap.as_deref().unwrap_or(empty);
        let prekey_hash = self.head.prekey_hash.as_ref().map_or(empty, |hash| hash);
        consume(&[
            fixed::PQ3_MESSAGE,
            &length(&self.ciphertext),
            &self.ciphertext,
            &length(&self.auth_data),
            &self.auth_data,
            &self.indicator,
            self.ephemeral.as_bytes(),
            &self.index.to_be_bytes(),
            from.as_bytes(),
            to.as_bytes(),
            &length(kem_key),
            kem_key,
            &length(encap),
            encap,
            prekey_hash,
        ])
    }
}

/// What a message is bound to beside its two devices (PQ3-22): the envelope, the handles, the push tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthData {
    /// The id of the envelope that carries it.
    pub envelope: EnvelopeId,
    /// The handle that it is sent from.
    pub sender: Handle,
    /// The handle that it is sent to.
    pub recipient: Handle,
    /// The sending device's push token, if that device knows it.
    pub sender_push_token: Option<PushToken>,
    /// The receiving device's push token.
    pub recipient_push_token: PushToken,
}

/// Returns the handle that a sealed message says it is for (PQ3-22). To be believed only if the message was found authentic: it opened,
/// or lacks nothing but its key ([`OpenError::NoKey`](crate::OpenError::NoKey), [`Forked`](crate::OpenError::Forked)).
#[must_use]
pub fn recipient(sealed: &[u8]) -> Option<Handle> {
    AuthData::decode(&Message::decode(sealed)?.auth_data).map(|(auth_data, _)| auth_data.recipient)
}

impl AuthData {
    /// Returns the encoding, in a start with the time at which it was made (PQ3-11).
    #[must_use]
    pub fn encode(&self, started: Option<Timestamp>) -> Vec<u8> {
        let auth_data = schema::AuthData {
            envelope_id: self.envelope.as_bytes().to_vec(),
            sender_handle: self.sender.as_uri().to_owned(),
            recipient_handle: self.recipient.as_uri().to_owned(),
            sender_push_token: self.sender_push_token.map(|token| token.as_bytes().to_vec()).unwrap_or_default(),
            recipient_push_token: self.recipient_push_token.as_bytes().to_vec(),
            started_ms: started.map_or(0, Timestamp::as_millis),
        };
        auth_data.encode_to_vec()
    }

    /// Reads authData, and when a start was made, which is 0 where there is none (PQ3-11). `None` for other lengths, and for handles
    /// that are not in normal form (IDN-1).
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<(Self, Timestamp)> {
        let auth_data = schema::AuthData::decode(bytes).ok()?;
        let normal = |uri: &str| Handle::parse(uri).ok().filter(|handle| handle.as_uri() == uri);
        let sender_push_token = optional(auth_data.sender_push_token)
            .map(|token| PushToken::try_from(token.as_slice()))
            .transpose()
            .ok()?;
        let read = Self {
            envelope: EnvelopeId::try_from(auth_data.envelope_id.as_slice()).ok()?,
            sender: normal(&auth_data.sender_handle)?,
            recipient: normal(&auth_data.recipient_handle)?,
            sender_push_token,
            recipient_push_token: PushToken::try_from(auth_data.recipient_push_token.as_slice()).ok()?,
        };
        Some((read, Timestamp::from_millis(auth_data.started_ms)))
    }
}

/// Returns the plaintext with its padding (PQ3-18), written once into a buffer of its final size.
pub(super) fn pad(plaintext: &[u8]) -> Vec<u8> {
    let padded_len = padding::padded_len(plaintext.len() + PAD_LEN_BYTES); // PAD-1
    let pad_len = padded_len - plaintext.len() - PAD_LEN_BYTES;
    let mut padded = Vec::with_capacity(padded_len);
    padded.extend_from_slice(plaintext);
    padded.resize(padded_len - PAD_LEN_BYTES, 0);
    let pad_len = u32::try_from(pad_len).expect("padding is shorter than the plaintext's bound");
    padded.extend_from_slice(&pad_len.to_le_bytes());
    padded
}

/// Strips the padding (PQ3-18): any pad that fits is taken.
pub(super) fn unpad(padded: &SecretBytes) -> Option<SecretBytes> {
    let (rest, pad_len) = padded.expose().split_last_chunk::<PAD_LEN_BYTES>()?;
    let pad_len = usize::try_from(u32::from_le_bytes(*pad_len)).ok()?;
    rest.get(..rest.len().checked_sub(pad_len)?).map(SecretBytes::copy_of)
}

/// An absent bytes field is an empty one.
fn optional(bytes: Vec<u8>) -> Option<Vec<u8>> {
    (!bytes.is_empty()).then_some(bytes)
}

fn length(part: &[u8]) -> [u8; 4] {
    u32::try_from(part.len()).expect("parts are bounded far below 4 GiB").to_be_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn message(head: Head) -> Message {
        Message {
            ciphertext: vec![1; 256],
            auth_data: vec![2; 30],
            signature: Signature::from_bytes([3; 64]),
            ephemeral: CompactKey::from_bytes([4; 32]),
            index: 5,
            indicator: [6; 32],
            head,
        }
    }

    fn start() -> Head {
        Head { kem_key: Some(vec![7; 1184]), encap: Some(vec![8; 1568]), prekey_hash: Some([9; 48]) }
    }

    /// PQ3-20, PQ3-23: what is written is read; KEM values of another length, and half a start, are refused.
    #[test]
    fn lengths_are_checked() {
        for head in [Head::default(), start(), Head { encap: Some(vec![8; 1088]), ..Head::default() }] {
            assert_eq!(Message::decode(&message(head.clone()).encode()), Some(message(head)));
        }
        for head in [
            Head { kem_key: Some(vec![7; 1183]), ..Head::default() },
            Head { encap: Some(vec![8; 1568]), ..Head::default() },
            Head { encap: Some(vec![8; 1088]), ..start() },
            Head { encap: None, ..start() },
        ] {
            assert_eq!(Message::decode(&message(head.clone()).encode()), None, "{head:?}");
        }
        let long = Message { auth_data: vec![0; AUTH_DATA_BYTES_MAX + 1], ..message(Head::default()) };
        assert_eq!(Message::decode(&long.encode()), None);
        assert_eq!(Message::decode(&vec![0; SEALED_BYTES_MAX + 1]), None);
    }

    /// PQ3-23: exactly so many bytes of a message, most of them ciphertext, and so many of its authData.
    #[test]
    fn a_message_is_bounded() {
        let sealed = |ciphertext: usize| Message { ciphertext: vec![1; ciphertext], ..message(start()) }.encode();
        let around = SEALED_BYTES_MAX - (sealed(SEALED_BYTES_MAX - 4_000).len() - (SEALED_BYTES_MAX - 4_000));
        assert_eq!(sealed(around).len(), SEALED_BYTES_MAX);
        assert!(Message::decode(&sealed(around - 1)).is_some() && Message::decode(&sealed(around)).is_some());
        for more in [1, 100, SEALED_BYTES_MAX] {
            assert!(Message::decode(&sealed(around + more)).is_none(), "{more}");
        }
        let bound = |bytes: usize| Message { auth_data: vec![0; bytes], ..message(start()) }.encode();
        assert!(Message::decode(&bound(AUTH_DATA_BYTES_MAX)).is_some());
        for more in [1, 100, AUTH_DATA_BYTES_MAX] {
            assert!(Message::decode(&bound(AUTH_DATA_BYTES_MAX + more)).is_none(), "{more}");
        }
    }

    /// PQ3-5: exactly so many bytes of a bundle, most of them in a field of a later version.
    #[test]
    fn a_bundle_is_bounded() {
        let bundle = Bundle {
            kem_key: vec![1; ML_KEM_1024_PUBLIC_BYTES],
            prekey: CompactKey::from_bytes([2; 32]),
            time_ms: 3,
            version: 1,
            signature: Signature::from_bytes([4; 64]),
        };
        let bundle = bundle.encode();
        let padded = |bytes: usize| {
            // Field 15 with a length of two bytes.
            let rest = bytes - bundle.len() - 3;
            let length = [(rest & 0x7f) as u8 | 0x80, (rest >> 7) as u8];
            Bundle::decode(&[&bundle[..], &[0x7a], &length, &vec![0; rest]].concat()).is_some()
        };
        assert!(padded(BUNDLE_BYTES_MAX - 1) && padded(BUNDLE_BYTES_MAX));
        for more in [1, 100, BUNDLE_BYTES_MAX] {
            assert!(!padded(BUNDLE_BYTES_MAX + more), "{more}");
        }
    }

    /// PQ3-21: every part is in the preimage, with its length, so that none can slide into the next.
    #[test]
    fn the_preimage_holds_every_field() {
        let (alice, bob) = (party(1), party(2));
        let preimage = |message: &Message| message.signed(&alice, &bob, |parts| parts.concat());
        let base = preimage(&message(start()));
        assert!(base.starts_with(b"messageSignaturev1\0\0\x01\0"));
        assert!(base.ends_with(&[9; 48]));
        assert_eq!(base.len(), 16 + 2 + 4 + 256 + 4 + 30 + 32 + 32 + 4 + 184 + 4 + 1184 + 4 + 1568 + 48);
        let slid = Message { ciphertext: vec![1; 255], auth_data: [vec![1], vec![2; 30]].concat(), ..message(start()) };
        assert_ne!(preimage(&slid), base);
        assert_ne!(message(start()).signed(&bob, &alice, |parts| parts.concat()), base);
    }

    fn party(byte: u8) -> Party {
        Party::new(halcyon_types::AccountId::from_bytes([byte; 16]), &CompactKey::from_bytes([byte; 32]))
    }

    /// PQ3-22: authData comes back; a handle that is not in normal form does not.
    #[test]
    fn auth_data_is_read_strictly() {
        let handle = |uri: &str| Handle::parse(uri).unwrap();
        let auth_data = AuthData {
            envelope: EnvelopeId::from_bytes([1; 16]),
            sender: handle("mailto:alice@example.org"),
            recipient: handle("mailto:bob@example.org"),
            sender_push_token: None,
            recipient_push_token: PushToken::from_bytes([3; 32]),
        };
        for (started, read) in [(None, 0), (Some(7), 7), (Some(u64::MAX), u64::MAX)] {
            let encoded = auth_data.encode(started.map(Timestamp::from_millis));
            assert_eq!(AuthData::decode(&encoded), Some((auth_data.clone(), Timestamp::from_millis(read))));
            assert!(encoded.len() < AUTH_DATA_BYTES_MAX);
        }
        let upper = String::from_utf8_lossy(&auth_data.encode(None)).replace("alice", "ALICE").into_bytes();
        assert_eq!(AuthData::decode(&upper), None);
    }

    /// PQ3-18, PAD-1, PAD-3: short messages have one size, the longest fits what a reader takes, and any pad comes off.
    #[test]
    fn padding_hides_short_lengths() {
        for len in [0, 1, 160, 252] {
            let padded = pad(&vec![b'x'; len]);
            assert_eq!(padded.len(), 256, "{len}");
            assert_eq!(unpad(&SecretBytes::from_vec(padded)).unwrap().len(), len);
        }
        assert_eq!(pad(&[b'x'; 253]).len(), 272);
        let overhead = 1184 + 1568 + AUTH_DATA_BYTES_MAX + 300;
        assert!(pad(&vec![0; crate::PLAINTEXT_BYTES_MAX]).len() + overhead <= SEALED_BYTES_MAX);
        let odd_pad = [&b"hi"[..], &[0xff; 3], &3u32.to_le_bytes()].concat();
        assert_eq!(unpad(&SecretBytes::from_vec(odd_pad)).unwrap().expose(), b"hi");
        for bad in [&[0, 0, 0][..], &[1, 0, 0, 0], &[b'x', 2, 0, 0, 0], &[0xff; 8]] {
            assert!(unpad(&SecretBytes::copy_of(bad)).is_none(), "{bad:?}");
        }
    }

    proptest! {
        /// No bytes make a decoder panic, and padding comes off whatever it is around.
        #[test]
        fn decoders_survive_anything(bytes in vec(any::<u8>(), 0..600)) {
            let _ = Message::decode(&bytes);
            let _ = Bundle::decode(&bytes);
            let _ = AuthData::decode(&bytes);
            let _ = unpad(&SecretBytes::copy_of(&bytes));
            let padded = SecretBytes::from_vec(pad(&bytes));
            let plain = unpad(&padded).unwrap();
            prop_assert_eq!(plain.expose(), &bytes[..]);
        }
    }
}
