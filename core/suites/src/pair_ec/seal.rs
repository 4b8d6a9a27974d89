//! Sealing one message, and the counter that goes with it. Spec: 41-pair-ec.md §2.
//!
//! Owns the counters of one peer's device. A [`SendState`] goes in by value and the next comes out, so that a counter
//! is used once; the caller stores the next before what was sealed leaves (PEC-8).

use std::collections::BTreeMap;

use halcyon_crypto::{AgreementKey, CompactKey, Rng, SigningKey};
use halcyon_types::Timestamp;

use super::{
    MessageKeys,
    prekey::{SignedPrekey, is_fresh},
    signed_parts, validator,
    wire::{self, Outer},
};
use crate::{
    PLAINTEXT_BYTES_MAX,
    error::SealError,
    state::{Reader, StateError, Writer},
};

/// Prekeys of one device whose counters are kept. A device has one current prekey a week and a sender uses none older
/// than 31 days, so five are in use; the rest allows for clocks.
const PREKEYS_MAX: usize = 16;

/// How far the counters jump when a state may be an old copy (PEC-20): further than what was sealed to one prekey since the copy was
/// made, and little enough for four thousand jumps.
pub const RESTART_JUMP: u64 = 1 << 20;
/// One more than the last counter (PEC-8).
const COUNTERS_END: u64 = 1 << 32;

/// The counters for one peer's device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SendState {
    /// By the peer's prekey.
    prekeys: BTreeMap<CompactKey, Counter>,
    /// PEC-20: prekeys that are not in the list may have been sealed to all the same.
    restarted: bool,
}

/// What is known of one prekey that was sealed to.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Counter {
    /// The time in the prekey's record.
    time_s: f64,
    /// Next counter; 2^32 when there is none left.
    next: u64,
}

/// Seals `plaintext` from `sender` for the device that signed `prekey`. Returns the sealed bytes and the next state.
///
/// # Errors
/// [`SealError::TooLong`], [`SealError::StalePrekey`], [`SealError::PrekeyRolledBack`],
/// [`SealError::CounterExhausted`]. The stored state is unchanged and stays valid.
pub fn seal(
    state: SendState,
    rng: &mut dyn Rng,
    sender: &SigningKey,
    prekey: &SignedPrekey,
    now: Timestamp,
    plaintext: &[u8],
) -> Result<(Vec<u8>, SendState), SealError> {
    if plaintext.len() > PLAINTEXT_BYTES_MAX {
        return Err(SealError::TooLong { bytes: plaintext.len() });
    }
    let (counter, state) = state.take(prekey, now)?;

    let (recipient, prekey_x) = (prekey.device(), prekey.key().compact());
    let ephemeral = AgreementKey::generate(rng);
    let z = ephemeral.agree(prekey.key()); // PEC-9
    let mut ciphertext = wire::pad(plaintext, counter);
    MessageKeys::derive(&z).apply(&mut ciphertext);
    let signature = sender.sign_raw(&signed_parts(&z, prekey_x, ephemeral.compact(), recipient, &ciphertext));
    let validator = validator(sender.verifying_key().compact(), recipient, prekey_x);
    Ok((Outer { ciphertext, ephemeral: *ephemeral.compact(), signature, validator }.encode(), state))
}

impl SendState {
    /// Returns the counter to use for `prekey`, and the state in which it is used up (PEC-8).
    fn take(mut self, prekey: &SignedPrekey, now: Timestamp) -> Result<(u32, Self), SealError> {
        if !prekey.is_fresh(now) {
            return Err(SealError::StalePrekey); // PEC-5
        }
        // PEC-5: while a newer prekey is still good, an older one is a directory going back in time.
        if self.prekeys.values().any(|known| known.time_s > prekey.time_s() && is_fresh(known.time_s, now)) {
            return Err(SealError::PrekeyRolledBack);
        }
        let mut entry = Counter { time_s: prekey.time_s(), next: 0 };
        if self.restarted {
            entry.jump(now); // PEC-20
        }
        let used = self.prekeys.entry(*prekey.key().compact()).or_insert(entry);
        let counter = u32::try_from(used.next).map_err(|_| SealError::CounterExhausted)?;
        used.next += 1;
        self.forget_oldest();
        Ok((counter, self))
    }

    /// Jumps ahead with every counter, as this state may be an old copy, or have taken the place of one that was lost (PEC-20).
    pub(crate) fn restart(&mut self, now: Timestamp) {
        self.restarted = true;
        self.prekeys.values_mut().for_each(|counter| counter.jump(now));
    }

    /// Keeps the newest prekeys' counters. One that is forgotten is older than 31 days, or the peer's clock ran wild.
    fn forget_oldest(&mut self) {
        while self.prekeys.len() > PREKEYS_MAX {
            let oldest = self.prekeys.iter().min_by(|a, b| a.1.time_s.total_cmp(&b.1.time_s)).map(|(key, _)| *key);
            oldest.map(|key| self.prekeys.remove(&key));
        }
    }

    pub(crate) fn encoded_len(&self) -> usize {
        4 + self.prekeys.len() * 48 + 4
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        writer.u32(u32::try_from(self.prekeys.len()).expect("at most PREKEYS_MAX"));
        for (prekey, counter) in &self.prekeys {
            writer.raw(prekey.as_bytes());
            writer.u64(counter.time_s.to_bits());
            writer.u64(counter.next);
        }
        writer.u32(u32::from(self.restarted));
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let before = Self::read_without_restart(reader)?;
        Ok(Self { restarted: reader.count(1)? == 1, ..before })
    }

    /// Reads what a version wrote that knew no restart (PEC-20).
    pub(crate) fn read_without_restart(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let mut prekeys = BTreeMap::new();
        for _ in 0..reader.count(PREKEYS_MAX)? {
            let prekey = reader.key()?;
            let counter = Counter { time_s: f64::from_bits(reader.u64()?), next: reader.u64()? };
            if !counter.time_s.is_finite() || counter.next > COUNTERS_END || prekeys.insert(prekey, counter).is_some() {
                return Err(StateError::Damaged);
            }
        }
        Ok(Self { prekeys, restarted: false })
    }
}

impl Counter {
    /// PEC-20: beyond what a state sealed that went on beside or after this one. The milliseconds since the prekey was made keep apart
    /// what is restored from one copy, or begun anew, several times; a month of them fits into the 32 bits.
    fn jump(&mut self, now: Timestamp) {
        let made = Timestamp::from_millis((self.time_s * 1000.0).max(0.0) as u64);
        let age_ms = now.since(made).as_millis();
        self.next = self.next.max(age_ms).saturating_add(RESTART_JUMP).min(COUNTERS_END);
    }
}

#[cfg(test)]
mod tests {
    use halcyon_types::Duration;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;
    use crate::pair_ec::PrekeyRing;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn prekey_at(rng: &mut StdRng, device: &SigningKey, time: Timestamp) -> SignedPrekey {
        SignedPrekey::verify(PrekeyRing::generate(rng, device, time).record(), device.verifying_key()).unwrap()
    }

    /// PEC-8: the counter ends at 2^32 - 1 and does not begin again.
    #[test]
    fn an_exhausted_counter_is_an_error() {
        let mut rng = StdRng::seed_from_u64(1);
        let bob = SigningKey::generate_compact(&mut rng);
        let prekey = prekey_at(&mut rng, &bob, NOW);
        let last = Counter { time_s: prekey.time_s(), next: u64::from(u32::MAX) };
        let prekeys = BTreeMap::from([(*prekey.key().compact(), last)]);
        let state = SendState { prekeys, restarted: false };
        let (counter, state) = state.take(&prekey, NOW).unwrap();
        assert_eq!(counter, u32::MAX);
        assert_eq!(state.take(&prekey, NOW).unwrap_err(), SealError::CounterExhausted);
    }

    /// PEC-19: a stored counter is within its 32 bits, of a time that is a number, and of one prekey.
    #[test]
    fn damaged_counters_are_refused() {
        let [one, other] = [1, 2].map(|seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            let device = SigningKey::generate_compact(&mut rng);
            *prekey_at(&mut rng, &device, NOW).key().compact()
        });
        let read = |counters: &[(CompactKey, f64, u64)]| {
            let mut writer = Writer::new(1, 200);
            writer.u32(u32::try_from(counters.len()).unwrap());
            for (prekey, time_s, next) in counters {
                writer.raw(prekey.as_bytes());
                writer.u64(time_s.to_bits());
                writer.u64(*next);
            }
            let bytes = writer.finish();
            SendState::read_without_restart(&mut Reader::new(bytes.expose(), 1).unwrap()).map(|_| ())
        };
        assert_eq!(read(&[(one, 1.0, COUNTERS_END), (other, 1.0, 0)]), Ok(()));
        assert_eq!(read(&[(one, 1.0, COUNTERS_END + 1)]), Err(StateError::Damaged));
        assert_eq!(read(&[(one, f64::NAN, 0)]), Err(StateError::Damaged));
        assert_eq!(read(&[(one, f64::INFINITY, 0)]), Err(StateError::Damaged));
        assert_eq!(read(&[(one, 1.0, 0), (one, 2.0, 0)]), Err(StateError::Damaged));
    }

    /// PEC-8: each prekey counts from 0, and going back to one goes on where it was.
    #[test]
    fn counters_are_kept_for_each_prekey() {
        let mut rng = StdRng::seed_from_u64(1);
        let bob = SigningKey::generate_compact(&mut rng);
        let (first, second) = (prekey_at(&mut rng, &bob, NOW), prekey_at(&mut rng, &bob, NOW));
        let mut state = SendState::default();
        for (prekey, expected) in [(&first, 0), (&first, 1), (&second, 0), (&first, 2), (&second, 1)] {
            let (counter, next) = state.take(prekey, NOW).unwrap();
            assert_eq!(counter, expected);
            state = next;
        }
    }

    /// PEC-5: a directory that goes back to last week's prekey is refused, until the newer one is out of bounds.
    #[test]
    fn an_older_prekey_is_refused_while_the_newer_is_good() {
        let mut rng = StdRng::seed_from_u64(1);
        let bob = SigningKey::generate_compact(&mut rng);
        let older = prekey_at(&mut rng, &bob, NOW.minus(Duration::from_days(7)));
        let newer = prekey_at(&mut rng, &bob, NOW);
        let (_, state) = SendState::default().take(&newer, NOW).unwrap();
        assert_eq!(state.clone().take(&older, NOW).unwrap_err(), SealError::PrekeyRolledBack);
        let clock_set_back = NOW.minus(Duration::from_days(3));
        assert!(state.take(&older, clock_set_back).is_ok());
    }

    /// PEC-5: stale and post-dated prekeys are not sealed to.
    #[test]
    fn stale_prekeys_are_not_sealed_to() {
        let mut rng = StdRng::seed_from_u64(1);
        let bob = SigningKey::generate_compact(&mut rng);
        let prekey = prekey_at(&mut rng, &bob, NOW);
        for now in [NOW.plus(Duration::from_days(32)), NOW.minus(Duration::from_days(2))] {
            assert_eq!(SendState::default().take(&prekey, now).unwrap_err(), SealError::StalePrekey);
        }
    }

    fn counters(state: &SendState, prekey: &SignedPrekey, now: Timestamp, count: usize) -> Vec<u32> {
        let mut state = state.clone();
        let mut counters = Vec::new();
        for _ in 0..count {
            let (counter, next) = state.take(prekey, now).unwrap();
            counters.push(counter);
            state = next;
        }
        counters
    }

    /// PEC-20: an old copy is restarted, another time a day later, and once more the state is lost: no two share a counter, to a prekey
    /// that the copy knows and to one that came after it; and later ones are higher, so that the window passes over none.
    #[test]
    fn no_two_restarts_share_a_counter() {
        let mut rng = StdRng::seed_from_u64(1);
        let bob = SigningKey::generate_compact(&mut rng);
        let known = prekey_at(&mut rng, &bob, NOW);
        let (_, copy) = SendState::default().take(&known, NOW).unwrap();
        let hour = NOW.plus(Duration::from_mins(60));
        let later = prekey_at(&mut rng, &bob, hour);
        for prekey in [&known, &later] {
            let original = counters(&copy, prekey, hour, 5000);
            let mut seen = original;
            for (day, state) in [(1, copy.clone()), (2, copy.clone()), (3, SendState::default())] {
                let now = NOW.plus(Duration::from_days(day));
                let mut restored = state;
                restored.restart(now);
                seen.extend(counters(&restored, prekey, now, 5000));
            }
            assert!(seen.is_sorted_by(|a, b| a < b), "day by day, and no two alike");
        }
    }

    /// PEC-8, PEC-20: a jump that does not fit is the end, and no counter comes round again; a month of age and a thousand restarts fit.
    #[test]
    fn a_jump_beyond_the_end_is_the_end() {
        let mut rng = StdRng::seed_from_u64(1);
        let bob = SigningKey::generate_compact(&mut rng);
        let prekey = prekey_at(&mut rng, &bob, NOW);
        let month = NOW.plus(Duration::from_days(31));
        let mut state = SendState::default().take(&prekey, NOW).unwrap().1;
        for _ in 0..1000 {
            state.restart(month);
        }
        let (counter, _) = state.clone().take(&prekey, month).unwrap();
        assert_eq!(u64::from(counter), Duration::from_days(31).as_millis() + 1000 * RESTART_JUMP);
        for _ in 0..4096 {
            state.restart(month);
        }
        assert_eq!(state.take(&prekey, month).unwrap_err(), SealError::CounterExhausted);
    }

    /// A device that publishes a prekey a minute does not make its peers' states grow.
    #[test]
    fn the_state_stays_small() {
        let mut rng = StdRng::seed_from_u64(1);
        let bob = SigningKey::generate_compact(&mut rng);
        let mut state = SendState::default();
        for minute in 0..40 {
            let time = NOW.plus(Duration::from_mins(minute));
            state = state.take(&prekey_at(&mut rng, &bob, time), time).unwrap().1;
        }
        assert_eq!(state.prekeys.len(), PREKEYS_MAX);
    }
}
