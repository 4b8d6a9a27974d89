//! Passphrases to keys: Argon2id (RFC 9106) with parameters that are always an argument.
//!
//! Owns the floor below which production does not go. Tests that open hundreds of stores ask for less by a name that
//! nobody types by accident; no feature or `cfg` changes the cost.

use crate::secret::Secret;

/// Memory floor in KiB: 64 MiB, about 130 ms at three passes on one 2020s core.
pub const MEMORY_KIB_FLOOR: u32 = 64 * 1024;
/// Passes over the memory, floor.
pub const PASSES_FLOOR: u32 = 3;
/// Memory ceiling in KiB: parameters are read back from files, and a damaged one must not take the machine.
pub const MEMORY_KIB_MAX: u32 = 1024 * 1024;
/// Passes, ceiling, for the same reason.
pub const PASSES_MAX: u32 = 64;
/// Bytes of a salt.
pub const SALT_BYTES: usize = 16;

/// How much work one guess at a passphrase costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordParams {
    memory_kib: u32,
    passes: u32,
}

impl PasswordParams {
    /// The parameters of production: 64 MiB, three passes, one lane.
    pub const PRODUCTION: Self = Self { memory_kib: MEMORY_KIB_FLOOR, passes: PASSES_FLOOR };

    /// Makes parameters at or above the floor.
    ///
    /// # Errors
    /// [`ParamsError`] if either lies outside its bounds.
    pub fn new(memory_kib: u32, passes: u32) -> Result<Self, ParamsError> {
        let bounded =
            (MEMORY_KIB_FLOOR..=MEMORY_KIB_MAX).contains(&memory_kib) && (PASSES_FLOOR..=PASSES_MAX).contains(&passes);
        if !bounded {
            return Err(ParamsError { memory_kib, passes });
        }
        Ok(Self { memory_kib, passes })
    }

    /// Returns parameters by which a guess takes about `target` on a machine where the floor takes `floor_took`, and never less than the
    /// floor. Passes cost time in proportion.
    #[must_use]
    pub fn for_time(floor_took: std::time::Duration, target: std::time::Duration) -> Self {
        let floor_passes = u128::from(PASSES_FLOOR);
        let passes = target.as_nanos() * floor_passes / floor_took.as_nanos().max(1);
        let passes = u32::try_from(passes).unwrap_or(PASSES_MAX).clamp(PASSES_FLOOR, PASSES_MAX);
        Self { memory_kib: MEMORY_KIB_FLOOR, passes }
    }

    /// The cheapest parameters that Argon2id accepts. For tests: a passphrase stretched so is guessed at leisure.
    #[must_use]
    pub const fn dangerous_cheap() -> Self {
        Self { memory_kib: 8, passes: 1 }
    }

    /// Reads back parameters that [`to_bytes`](Self::to_bytes) wrote, below the floor too: what a store was made with
    /// opens it.
    ///
    /// # Errors
    /// [`ParamsError`] if they lie outside what this code would ever have written.
    pub fn from_bytes(bytes: [u8; 8]) -> Result<Self, ParamsError> {
        let [m0, m1, m2, m3, p0, p1, p2, p3] = bytes;
        let memory_kib = u32::from_be_bytes([m0, m1, m2, m3]);
        let passes = u32::from_be_bytes([p0, p1, p2, p3]);
        if !(8..=MEMORY_KIB_MAX).contains(&memory_kib) || !(1..=PASSES_MAX).contains(&passes) {
            return Err(ParamsError { memory_kib, passes });
        }
        Ok(Self { memory_kib, passes })
    }

    /// Returns memory in KiB and passes, each u32 big-endian, to be stored beside the salt.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        let [m0, m1, m2, m3] = self.memory_kib.to_be_bytes();
        let [p0, p1, p2, p3] = self.passes.to_be_bytes();
        [m0, m1, m2, m3, p0, p1, p2, p3]
    }

    pub(crate) fn argon2(self) -> argon2::Argon2<'static> {
        let params = argon2::Params::new(self.memory_kib, self.passes, 1, None)
            .expect("both constructors keep within Argon2's own bounds");
        argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
    }
}

/// Parameters outside the allowed range: the caller's configuration or a damaged file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("password parameters out of range: {memory_kib} KiB, {passes} passes")]
pub struct ParamsError {
    /// Memory asked for, in KiB.
    pub memory_kib: u32,
    /// Passes asked for.
    pub passes: u32,
}

/// Stretches `passphrase` with `salt` (random, stored beside the result's use) to 32 bytes. Takes as long as
/// `params` say; call it off the async threads.
#[must_use]
pub fn stretch(passphrase: &[u8], salt: &[u8; SALT_BYTES], params: PasswordParams) -> Secret<32> {
    Secret::fill_with(|out| {
        params
            .argon2()
            .hash_password_into(passphrase, salt, out)
            .expect("lengths are within Argon2's bounds and the memory was granted");
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_refuses_less_than_the_floor() {
        assert!(PasswordParams::new(MEMORY_KIB_FLOOR - 1, PASSES_FLOOR).is_err());
        assert!(PasswordParams::new(MEMORY_KIB_FLOOR, PASSES_FLOOR - 1).is_err());
        assert!(PasswordParams::new(MEMORY_KIB_MAX + 1, PASSES_FLOOR).is_err());
        assert!(PasswordParams::new(MEMORY_KIB_FLOOR, PASSES_MAX + 1).is_err());
        assert_eq!(PasswordParams::new(MEMORY_KIB_FLOOR, PASSES_FLOOR), Ok(PasswordParams::PRODUCTION));
    }

    #[test]
    fn parameters_survive_storing_and_damage_is_noticed() {
        for params in [PasswordParams::PRODUCTION, PasswordParams::dangerous_cheap()] {
            assert_eq!(PasswordParams::from_bytes(params.to_bytes()), Ok(params));
        }
        assert!(PasswordParams::from_bytes([0xff; 8]).is_err());
        assert!(PasswordParams::from_bytes([0; 8]).is_err());
        // Each bound by itself, to the last value.
        let read =
            |memory_kib: u32, passes: u32| PasswordParams::from_bytes(PasswordParams { memory_kib, passes }.to_bytes());
        for (memory_kib, passes) in [(8, 1), (MEMORY_KIB_MAX, PASSES_MAX)] {
            assert_eq!(read(memory_kib, passes), Ok(PasswordParams { memory_kib, passes }));
        }
        for (memory_kib, passes) in [(7, 1), (MEMORY_KIB_MAX + 1, 1), (8, 0), (8, PASSES_MAX + 1)] {
            assert_eq!(read(memory_kib, passes), Err(ParamsError { memory_kib, passes }));
        }
    }

    /// KEY-2: a faster machine does more, a slower one no less than the floor.
    #[test]
    fn the_work_follows_the_machine() {
        let for_ms = |took| {
            PasswordParams::for_time(std::time::Duration::from_millis(took), std::time::Duration::from_millis(250))
        };
        assert_eq!(for_ms(125), PasswordParams { memory_kib: MEMORY_KIB_FLOOR, passes: 6 });
        assert_eq!(for_ms(50), PasswordParams { memory_kib: MEMORY_KIB_FLOOR, passes: 15 });
        assert_eq!((for_ms(250), for_ms(5_000)), (PasswordParams::PRODUCTION, PasswordParams::PRODUCTION));
        assert_eq!(for_ms(0), PasswordParams { memory_kib: MEMORY_KIB_FLOOR, passes: PASSES_MAX });
    }

    /// The reference implementation's answer for Argon2id, 8 KiB, one pass, one lane is pinned so that a change of
    /// library or of parameters cannot lock people out of their stores unseen.
    #[test]
    fn passphrase_and_salt_decide_the_key() {
        let cheap = PasswordParams::dangerous_cheap();
        let key = stretch(b"correct horse", &[1; 16], cheap);
        assert!(key.ct_eq(&stretch(b"correct horse", &[1; 16], cheap)));
        assert!(!key.ct_eq(&stretch(b"correct horse", &[2; 16], cheap)));
        assert!(!key.ct_eq(&stretch(b"correct horsf", &[1; 16], cheap)));
    }
}
