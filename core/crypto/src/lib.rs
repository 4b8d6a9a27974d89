//! The one crate that names primitive crates: everything above it speaks of keys, labels and secrets.
//!
//! Owns the types that hold secrets, the choice of an implementation for each primitive, and the table of every
//! domain-separation string of the product ([`Label`]).
//! Does not know what a message, a device or an account is, and does no I/O. Randomness is an argument ([`Rng`]).
//!
//! - A secret is wiped when dropped, prints only its length, and is compared in constant time ([`Secret`]).
//! - A signature or keyed hash is over `label ‖ 0x00 ‖ length-prefixed parts`, so nothing made for one purpose
//!   verifies for another. The exceptions are the formats that we inherit; they sit in [`labels`] too.
//! - Two backends, one interface: `backend/native.rs` (aws-lc) and `backend/portable.rs` (RustCrypto, for wasm32).
//!   Tests run both on the same inputs and compare. ML-KEM is libcrux on every target, compared with aws-lc in tests.
//!
//! Next: [`p256`] signs and agrees, [`kdf`] derives, [`rsa`] is the legacy suite's, [`opaque`] signs people in.

pub mod aead;
mod backend;
pub mod commit;
pub mod ctr;
pub mod hash;
pub mod kdf;
pub mod kem;
pub mod labels;
pub mod opaque;
pub mod p256;
pub mod padding;
pub mod password;
pub mod rng;
pub mod rsa;
pub mod sas;
mod secret;
#[cfg(test)]
mod vectors;

pub use kem::{KemError, KemPrivate, KemPublic, MlKem, MlKem768, MlKem1024};
pub use labels::Label;
pub use p256::{
    AgreementKey, AgreementPublic, CompactKey, KeyError, Signature, SignatureError, SigningKey, VerifyingKey,
};
pub use rng::{CryptoRng, Rng, RngCore};
pub use secret::{LengthError, Secret, SecretBytes};
