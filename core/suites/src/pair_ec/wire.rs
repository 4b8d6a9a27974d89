//! The bytes of `pair-ec`: protobuf records, and the padding around a plaintext. Spec: 41-pair-ec.md.
//!
//! Owns lengths and encodings. A value that leaves this file has fields of the right length; nothing is authentic yet.

use halcyon_crypto::{CompactKey, SecretBytes, Signature, padding};
use prost::{
    Message,
    encoding::{encode_varint, encoded_len_varint},
};

use super::SEALED_BYTES_MAX;

mod schema {
    #![allow(missing_docs, unreachable_pub, clippy::pedantic, reason = "generated from proto/halcyon/pair_ec.proto")]
    include!(concat!(env!("OUT_DIR"), "/halcyon.pair_ec.v1.rs"));
}

/// Largest prekey record that is read (PEC-3). Ours have 109 bytes.
pub(super) const RECORD_BYTES_MAX: usize = 4096;
/// Bytes of the pad length at the end.
const PAD_LEN_BYTES: usize = 4;
/// Keys of the two fields of `Inner`: field 1 length-delimited, field 2 varint.
const INNER_MESSAGE_KEY: u8 = 0x0a;
const INNER_COUNTER_KEY: u8 = 0x10;

/// A prekey record whose signature is not yet checked (PEC-3).
pub(super) struct PrekeyRecord {
    pub(super) prekey: CompactKey,
    pub(super) signature: Signature,
    pub(super) time_s: f64,
}

impl PrekeyRecord {
    pub(super) fn encode(&self) -> Vec<u8> {
        let record = schema::PrekeyRecord {
            prekey: self.prekey.as_bytes().to_vec(),
            signature: self.signature.as_bytes().to_vec(),
            time_s: self.time_s,
        };
        record.encode_to_vec()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > RECORD_BYTES_MAX {
            return None;
        }
        let record = schema::PrekeyRecord::decode(bytes).ok()?;
        Some(Self {
            prekey: CompactKey::try_from(record.prekey.as_slice()).ok()?,
            signature: Signature::try_from(record.signature.as_slice()).ok()?,
            time_s: record.time_s,
        })
    }
}

/// A sealed message's fields (PEC-12).
pub(super) struct Outer {
    pub(super) ciphertext: Vec<u8>,
    pub(super) ephemeral: CompactKey,
    pub(super) signature: Signature,
    pub(super) validator: [u8; 7],
}

impl Outer {
    pub(super) fn encode(self) -> Vec<u8> {
        let outer = schema::Outer {
            ciphertext: self.ciphertext,
            ephemeral: self.ephemeral.as_bytes().to_vec(),
            signature: self.signature.as_bytes().to_vec(),
            validator: self.validator.to_vec(),
        };
        outer.encode_to_vec()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        // PEC-13: the bound comes before the parser.
        if bytes.len() > SEALED_BYTES_MAX {
            return None;
        }
        let outer = schema::Outer::decode(bytes).ok()?;
        Some(Self {
            ciphertext: outer.ciphertext,
            ephemeral: CompactKey::try_from(outer.ephemeral.as_slice()).ok()?,
            signature: Signature::try_from(outer.signature.as_slice()).ok()?,
            validator: outer.validator.try_into().ok()?,
        })
    }
}

/// Returns the inner message with its padding (PEC-6, PEC-7), written once into a buffer of its final size.
pub(super) fn pad(plaintext: &[u8], counter: u32) -> Vec<u8> {
    let inner_len =
        1 + encoded_len_varint(plaintext.len() as u64) + plaintext.len() + 1 + encoded_len_varint(u64::from(counter));
    let padded_len = padding::padded_len(inner_len + PAD_LEN_BYTES); // PAD-1
    let pad_len = padded_len - inner_len - PAD_LEN_BYTES;

    let mut padded = Vec::with_capacity(padded_len);
    padded.push(INNER_MESSAGE_KEY);
    encode_varint(plaintext.len() as u64, &mut padded);
    padded.extend_from_slice(plaintext);
    padded.push(INNER_COUNTER_KEY);
    encode_varint(u64::from(counter), &mut padded);
    padded.resize(padded_len - PAD_LEN_BYTES, 0);
    let pad_len = u32::try_from(pad_len).expect("padding is shorter than the plaintext's bound");
    padded.extend_from_slice(&pad_len.to_le_bytes());
    padded
}

/// Strips the padding and reads the inner message: plaintext and counter (PEC-15, PEC-6).
pub(super) fn unpad(padded: &SecretBytes) -> Option<(SecretBytes, u32)> {
    let (rest, pad_len) = padded.expose().split_last_chunk::<PAD_LEN_BYTES>()?;
    let pad_len = usize::try_from(u32::from_le_bytes(*pad_len)).ok()?;
    let inner = rest.get(..rest.len().checked_sub(pad_len)?)?;
    let inner = schema::Inner::decode(inner).ok()?;
    Some((SecretBytes::from_vec(inner.message.unwrap_or_default()), inner.counter.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// PEC-3: exactly so many bytes, most of them in a field of a later version.
    #[test]
    fn a_record_is_bounded() {
        let record = PrekeyRecord {
            prekey: CompactKey::try_from(&[1; 32][..]).unwrap(),
            signature: Signature::try_from(&[2; 64][..]).unwrap(),
            time_s: 1.0,
        }
        .encode();
        let padded = |bytes: usize| {
            // Field 15 with a length of two bytes.
            let rest = bytes - record.len() - 3;
            let length = [(rest & 0x7f) as u8 | 0x80, (rest >> 7) as u8];
            PrekeyRecord::decode(&[&record[..], &[0x7a], &length, &vec![0; rest]].concat()).is_some()
        };
        assert!(padded(RECORD_BYTES_MAX - 1) && padded(RECORD_BYTES_MAX));
        assert!(!padded(RECORD_BYTES_MAX + 1));
    }

    /// PEC-13: exactly so many bytes, most of them ciphertext.
    #[test]
    fn a_sealed_message_is_bounded() {
        let sealed = |ciphertext: usize| {
            let ephemeral = CompactKey::try_from(&[1; 32][..]).unwrap();
            let signature = Signature::try_from(&[2; 64][..]).unwrap();
            Outer { ciphertext: vec![3; ciphertext], ephemeral, signature, validator: [4; 7] }.encode()
        };
        let around = SEALED_BYTES_MAX - (sealed(SEALED_BYTES_MAX - 200).len() - (SEALED_BYTES_MAX - 200));
        assert_eq!(sealed(around).len(), SEALED_BYTES_MAX);
        assert!(Outer::decode(&sealed(around)).is_some());
        for more in [1, 100, SEALED_BYTES_MAX] {
            assert!(Outer::decode(&sealed(around + more)).is_none(), "{more}");
        }
    }

    /// PEC-6, PEC-7: the bytes, spelled out: empty fields are written, pad is zeros, its length little-endian.
    #[test]
    fn the_padded_form_is_as_written_in_the_spec() {
        let padded = pad(b"", 0);
        assert_eq!(padded.len(), 256);
        assert_eq!(padded[..4], [0x0a, 0, 0x10, 0]);
        assert!(padded[4..252].iter().all(|byte| *byte == 0));
        assert_eq!(padded[252..], [248, 0, 0, 0]);
        assert_eq!(pad(b"hi", 300)[..7], [0x0a, 2, b'h', b'i', 0x10, 0xac, 0x02]);
    }

    /// PAD-1, PAD-3: a text, a receipt, a reaction: one size. The longest message still fits what a reader takes.
    #[test]
    fn sizes_do_not_tell_short_messages_apart() {
        for len in [0, 1, 40, 160, 240] {
            assert_eq!(pad(&vec![b'x'; len], 7).len(), 256, "{len}");
        }
        assert!(pad(&vec![0; crate::PLAINTEXT_BYTES_MAX], u32::MAX).len() + 200 < SEALED_BYTES_MAX);
    }

    /// PEC-15: any pad that fits is taken, one that does not is refused.
    #[test]
    fn pad_lengths_are_checked() {
        let inner = [0x0a, 1, b'x', 0x10, 5];
        let with_pad = |pad: &[u8], len: u32| SecretBytes::from_vec([&inner[..], pad, &len.to_le_bytes()].concat());
        for pad in [&[][..], &[1, 2, 3], &[0xff; 300]] {
            let (message, counter) = unpad(&with_pad(pad, pad.len() as u32)).unwrap();
            assert_eq!((message.expose(), counter), (&b"x"[..], 5));
        }
        let (message, counter) = unpad(&with_pad(&[], 5)).unwrap();
        assert_eq!((message.expose(), counter), (&[][..], 0), "a pad that covers everything leaves an empty inner");
        for len in [6, 7, 100, u32::MAX] {
            assert!(unpad(&with_pad(&[], len)).is_none(), "{len}");
        }
        for short in 0..4 {
            assert!(unpad(&SecretBytes::from_vec(vec![0; short])).is_none());
        }
    }

    proptest! {
        /// PEC-7, PEC-15: what is padded is unpadded, whatever it is.
        #[test]
        fn padding_comes_off_again(plaintext in vec(any::<u8>(), 0..2000), counter: u32) {
            let (message, read) = unpad(&SecretBytes::from_vec(pad(&plaintext, counter))).unwrap();
            prop_assert_eq!(message.expose(), &plaintext[..]);
            prop_assert_eq!(read, counter);
        }

        /// No bytes make a decoder panic.
        #[test]
        fn decoders_survive_anything(bytes in vec(any::<u8>(), 0..400)) {
            let _ = Outer::decode(&bytes);
            let _ = PrekeyRecord::decode(&bytes);
            let _ = unpad(&SecretBytes::from_vec(bytes));
        }
    }
}
