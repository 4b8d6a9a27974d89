//! The shape of a suite-1 identity blob. Spec: 40-pair.md, 11-directory.md (DIR-1).
//!
//! Owns the check that 249 bytes are such a blob: DER `SEQUENCE { [1] point, [2] RSA key }` with fixed lengths, an RSA
//! modulus of exactly 1280 bits with exponent 65537, and a signing key on the curve.
//! Does not know how the keys are used: only the suite does, and servers cannot link it.

use halcyon_crypto::AgreementPublic;

/// Bytes of a blob.
pub(crate) const PAIR_IDENTITY_BYTES: usize = 249;

/// `SEQUENCE` of 246 bytes, `[1]` of 67, inner length 65.
const HEAD: [u8; 7] = [0x30, 0x81, 0xf6, 0x81, 0x43, 0x00, 0x41];
/// `[2]` of 174 bytes, inner length 172, then PKCS#1 `RSAPublicKey`: `SEQUENCE` of 169, `INTEGER` of 161 with its zero byte.
const MIDDLE: [u8; 12] = [0x82, 0x81, 0xae, 0x00, 0xac, 0x30, 0x81, 0xa9, 0x02, 0x81, 0xa1, 0x00];
/// `INTEGER` 65537.
const TAIL: [u8; 5] = [0x02, 0x03, 0x01, 0x00, 0x01];
const POINT_BYTES: usize = 65;
const MODULUS_BYTES: usize = 160;

/// Says whether the bytes are a suite-1 identity blob.
pub(crate) fn is_valid(blob: &[u8]) -> bool {
    blob.len() == PAIR_IDENTITY_BYTES && parts(blob).is_some()
}

fn parts(blob: &[u8]) -> Option<()> {
    let rest = blob.strip_prefix(&HEAD)?;
    let (point, rest) = rest.split_first_chunk::<POINT_BYTES>()?;
    let rest = rest.strip_prefix(&MIDDLE)?;
    let (modulus, rest) = rest.split_first_chunk::<MODULUS_BYTES>()?;
    let full_size = modulus[0] & 0x80 != 0 && modulus[MODULUS_BYTES - 1] & 1 == 1;
    let on_curve = point[0] == 4 && AgreementPublic::from_uncompressed(point).is_ok();
    (full_size && on_curve && rest == TAIL).then_some(())
}

#[cfg(test)]
pub(crate) mod tests {
    use halcyon_crypto::{AgreementKey, Rng};
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    /// A blob of the right shape. Its modulus is no product of primes, which nobody can see from outside.
    pub(crate) fn blob(rng: &mut dyn Rng) -> Vec<u8> {
        let key = AgreementKey::generate(rng);
        let point = AgreementPublic::from_compact(key.compact()).unwrap().to_uncompressed().unwrap();
        let mut modulus = [0; MODULUS_BYTES];
        rng.fill_bytes(&mut modulus);
        modulus[0] |= 0x80;
        modulus[MODULUS_BYTES - 1] |= 1;
        [&HEAD[..], &point, &MIDDLE, &modulus, &TAIL].concat()
    }

    /// DIR-1: any other length, frame or key is not an identity.
    #[test]
    fn only_the_exact_shape_passes() {
        let good = blob(&mut StdRng::seed_from_u64(1));
        assert_eq!(good.len(), PAIR_IDENTITY_BYTES);
        assert!(is_valid(&good));
        let longer = [&good[..], &[0]].concat();
        assert!(!is_valid(&good[1..]) && !is_valid(&longer) && !is_valid(&[]));
        // Frame bytes, the point (x and y), the modulus' first and last byte, the exponent.
        for at in (0..8).chain([8, 40, 71]).chain(72..85).chain([243]).chain(244..249) {
            let mut bad = good.clone();
            bad[at] ^= if at == 84 { 0x80 } else { 1 };
            assert!(!is_valid(&bad), "byte {at}");
        }
    }
}
