//! Safety codes: what two people compare to know that nobody stands between them. Spec: 11-directory.md §7 (DIR-60).
//!
//! Owns the code of two accounts. Does not know who compared it, or what came of that.
//!
//! - Both see the same digits. For others to see them too, an account would need the id of one of the two, which is a hash of its key.

use std::fmt;

use halcyon_crypto::{Label, kdf::labelled_hash};
use halcyon_types::AccountId;

/// The code of two accounts, 40 digits: as many bits as an account's id has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SafetyCode([u8; 32]);

impl SafetyCode {
    /// Returns the code of two accounts, whoever of them asks (DIR-60).
    #[must_use]
    pub fn of(one: AccountId, other: AccountId) -> Self {
        let (first, second) = if one <= other { (one, other) } else { (other, one) };
        Self(labelled_hash(Label::SafetyCode, &[first.as_bytes(), second.as_bytes()]))
    }

    /// Compares with what somebody else sees, as it was typed: spaces, line feeds and hyphens are nothing.
    #[must_use]
    pub fn matches(&self, typed: &str) -> bool {
        let is_digit = |c: &char| !c.is_whitespace() && *c != '-';
        let own = self.to_string();
        own.chars().filter(is_digit).eq(typed.chars().filter(is_digit))
    }
}

/// Eight groups of five digits.
impl fmt::Display for SafetyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, group) in self.0.chunks_exact(4).enumerate() {
            let number = group.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
            let space = if place == 0 { "" } else { " " };
            write!(f, "{space}{:05}", number % 100_000)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: AccountId = AccountId::from_bytes([1; 16]);
    const BOB: AccountId = AccountId::from_bytes([2; 16]);

    /// DIR-60: the same for both, another one for everybody else; as the specification has it.
    #[test]
    fn two_people_see_one_code() {
        let code = SafetyCode::of(ALICE, BOB);
        assert_eq!(code, SafetyCode::of(BOB, ALICE));
        assert_ne!(code, SafetyCode::of(ALICE, AccountId::from_bytes([3; 16])));
        assert_eq!(code.to_string(), "53773 30609 59245 09411 79182 46653 51397 09961");
        let hash = labelled_hash(Label::SafetyCode, &[&[1; 16], &[2; 16]]);
        let last = u32::from_be_bytes(hash[28..].try_into().unwrap()) % 100_000;
        assert!(code.to_string().ends_with(&format!("{last:05}")));
    }

    #[test]
    fn what_is_typed_is_compared_by_its_digits() {
        let code = SafetyCode::of(ALICE, BOB);
        let typed = code.to_string();
        assert!(
            code.matches(&typed) && code.matches(&typed.replace(' ', "")) && code.matches(&typed.replace(' ', "-\n"))
        );
        assert!(!code.matches("") && !code.matches(&typed[..typed.len() - 1]) && !code.matches(&format!("{typed}0")));
        for at in 0..typed.len() {
            let mut other = typed.clone().into_bytes();
            if other[at] != b' ' {
                other[at] = if other[at] == b'9' { b'0' } else { other[at] + 1 };
                assert!(!code.matches(std::str::from_utf8(&other).unwrap()), "digit at {at}");
            }
        }
    }
}
