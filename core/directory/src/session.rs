//! The right to send to an account after having looked it up. Spec: 11-directory.md §4 (DIR-30, DIR-31).
//!
//! Owns the token's two halves: the server mints and checks, the client only carries.
//! Does not know list versions: the server compares those where it accepts a send.

use std::fmt;

use halcyon_crypto::{Label, Rng, Secret, kdf::labelled_mac};
use halcyon_types::{AccountId, Duration, SessionToken, Timestamp};

/// A token outlives the longest usual pause in a talk, and a right that was lost dies within a day (DIR-30).
pub const SESSION_LIFETIME: Duration = Duration::from_mins(24 * 60);
/// Half the lifetime, so that a device that is online daily never sends with an expired one (DIR-30).
pub const SESSION_REFRESH: Duration = Duration::from_mins(12 * 60);

/// A token and its times, as a lookup gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// To be sent along, opaque.
    pub token: SessionToken,
    /// When to look up again.
    pub refresh: Timestamp,
    /// When the server will refuse the token.
    pub expires: Timestamp,
}

impl Session {
    /// Says whether a lookup is due (DIR-24).
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        now >= self.refresh
    }
}

/// The server's key for session tokens.
#[derive(Clone)]
pub struct SessionKey(Secret<32>);

/// Why a token gives no right. All of them are answered `STALE_SESSION`; the sender looks up again.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionError {
    /// Not 40 bytes.
    #[error("the session token is malformed")]
    Malformed,
    /// Past its time.
    #[error("the session token has expired")]
    Expired,
    /// Altered, or issued to another asker, for another recipient, or by another server.
    #[error("the session token is not for this sender and recipient")]
    Foreign,
}

impl SessionKey {
    /// Draws a fresh key. Tokens made under another key are foreign from then on.
    #[must_use]
    pub fn generate(rng: &mut dyn Rng) -> Self {
        Self(Secret::random(rng))
    }

    /// Takes a key that was stored.
    #[must_use]
    pub fn from_secret(secret: Secret<32>) -> Self {
        Self(secret)
    }

    /// Returns the key, to be stored under protection.
    #[must_use]
    pub fn secret(&self) -> &Secret<32> {
        &self.0
    }

    /// Issues a token with which `asker` may send to `recipient` from now on (DIR-30).
    #[must_use]
    pub fn mint(&self, asker: AccountId, recipient: AccountId, now: Timestamp) -> Session {
        let expires = now.plus(SESSION_LIFETIME);
        let head = expires.as_millis().to_be_bytes();
        let mac = labelled_mac(Label::SessionToken, &self.0, &parts(&asker, &recipient, &head)).into_public();
        let mut token = [0; SessionToken::LEN];
        token[..8].copy_from_slice(&head);
        token[8..].copy_from_slice(&mac);
        Session { token: SessionToken::from_bytes(token), refresh: now.plus(SESSION_REFRESH), expires }
    }

    /// Checks a token that came with a send (DIR-31).
    ///
    /// # Errors
    /// [`SessionError`]; the MAC is compared in constant time, and before the time.
    pub fn check(
        &self,
        token: &[u8],
        asker: AccountId,
        recipient: AccountId,
        now: Timestamp,
    ) -> Result<(), SessionError> {
        let (head, mac) = token.split_first_chunk::<8>().ok_or(SessionError::Malformed)?;
        if token.len() != SessionToken::LEN {
            return Err(SessionError::Malformed);
        }
        if !labelled_mac(Label::SessionToken, &self.0, &parts(&asker, &recipient, head)).ct_eq(mac) {
            return Err(SessionError::Foreign);
        }
        if now >= Timestamp::from_millis(u64::from_be_bytes(*head)) {
            return Err(SessionError::Expired);
        }
        Ok(())
    }
}

/// A key prints nothing of itself.
impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(32 bytes)")
    }
}

fn parts<'a>(asker: &'a AccountId, recipient: &'a AccountId, expires: &'a [u8; 8]) -> [&'a [u8]; 3] {
    [asker.as_bytes(), recipient.as_bytes(), expires]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: AccountId = AccountId::from_bytes([0xa1; 16]);
    const BOB: AccountId = AccountId::from_bytes([0xb0; 16]);
    const NOON: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn key(byte: u8) -> SessionKey {
        SessionKey::from_secret(Secret::fill_with(|bytes| *bytes = [byte; 32]))
    }

    /// DIR-30: Alice looked Bob up, and may send to him for a day.
    #[test]
    fn a_token_lives_a_day() {
        let session = key(1).mint(ALICE, BOB, NOON);
        let check = |at| key(1).check(session.token.as_bytes(), ALICE, BOB, at);
        assert_eq!(check(NOON), Ok(()));
        assert_eq!(check(session.expires.minus(Duration::from_millis(1))), Ok(()));
        assert_eq!(check(session.expires), Err(SessionError::Expired));
        assert_eq!(session.expires.since(NOON), Duration::from_days(1));
        let midnight = NOON.plus(Duration::from_mins(720));
        assert!(!session.is_stale(midnight.minus(Duration::from_millis(1))) && session.is_stale(midnight));
    }

    /// DIR-31: a token that is foreign, altered or cut gives nothing, whichever bit it is.
    #[test]
    fn a_foreign_or_altered_token_is_refused() {
        let token = *key(1).mint(ALICE, BOB, NOON).token.as_bytes();
        assert_eq!(key(2).check(&token, ALICE, BOB, NOON), Err(SessionError::Foreign));
        assert_eq!(key(1).check(&token, BOB, ALICE, NOON), Err(SessionError::Foreign));
        for bit in 0..token.len() * 8 {
            let mut altered = token;
            altered[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key(1).check(&altered, ALICE, BOB, NOON), Err(SessionError::Foreign), "bit {bit}");
        }
        assert_eq!(key(1).check(&token[..39], ALICE, BOB, NOON), Err(SessionError::Malformed));
        assert_eq!(key(1).check(&[], ALICE, BOB, NOON), Err(SessionError::Malformed));
    }

    /// DIR-30, IDN-12: the bytes of a token, pinned.
    #[test]
    fn the_bytes_are_pinned() {
        let token = key(1).mint(ALICE, BOB, NOON).token;
        assert_eq!(token.to_hex(), "0000018bd50bc40090b17158c77b316531b69a65878479154ab417fec9392b8010d3c3d8099605f0");
    }
}
