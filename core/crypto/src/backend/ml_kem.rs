//! ML-KEM by libcrux, on every target: formally verified, as fast as aws-lc, and it takes its randomness as an argument.
//! Tests compare it with aws-lc (`tests.rs`). Why not aws-lc itself: docs/decisions/0007-ml-kem-by-libcrux.md.

macro_rules! parameter_set {
    ($module:ident, $library:ident, $public_bytes:literal, $private_bytes:literal, $encap_bytes:literal) => {
        pub(crate) mod $module {
            use libcrux_ml_kem::$library;
            use zeroize::Zeroize;

            use crate::secret::Secret;

            /// Returns the expanded private key of a seed.
            pub(crate) fn expand(seed: &[u8; 64]) -> Secret<$private_bytes> {
                let (private, _) = $library::generate_key_pair(*seed).into_parts();
                let mut bytes: [u8; $private_bytes] = private.into();
                let expanded = Secret::fill_with(|out| *out = bytes);
                bytes.zeroize();
                expanded
            }

            pub(crate) fn is_valid_public(public: &[u8; $public_bytes]) -> bool {
                $library::validate_public_key(&public.into())
            }

            pub(crate) fn encapsulate(public: &[u8; $public_bytes], m: &[u8; 32]) -> ([u8; $encap_bytes], Secret<32>) {
                let (encap, mut secret) = $library::encapsulate(&public.into(), *m);
                (encap.into(), take(&mut secret))
            }

            pub(crate) fn decapsulate(expanded: &[u8; $private_bytes], encap: &[u8; $encap_bytes]) -> Secret<32> {
                let private = expanded.into();
                let mut secret = $library::decapsulate(&private, &encap.into());
                wipe(private);
                take(&mut secret)
            }

            /// `None` if the private key fails the hash check.
            pub(crate) fn decapsulate_checked(
                expanded: &[u8; $private_bytes],
                encap: &[u8; $encap_bytes],
            ) -> Option<Secret<32>> {
                let private = expanded.into();
                let holds = $library::validate_private_key(&private, &encap.into());
                wipe(private);
                holds.then(|| decapsulate(expanded, encap))
            }

            fn wipe(private: libcrux_ml_kem::MlKemPrivateKey<$private_bytes>) {
                let mut bytes: [u8; $private_bytes] = private.into();
                bytes.zeroize();
            }

            fn take(secret: &mut [u8; 32]) -> Secret<32> {
                let taken = Secret::fill_with(|out| *out = *secret);
                secret.zeroize();
                taken
            }
        }
    };
}

parameter_set!(ml_kem_768, mlkem768, 1184, 2400, 1088);
parameter_set!(ml_kem_1024, mlkem1024, 1568, 3168, 1568);
