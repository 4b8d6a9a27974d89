//! How long to wait before something is tried again. Spec: 60-client.md §1 (SND-3).

use halcyon_types::Duration;

use crate::state::PortRng;

/// SND-3: the first pause, and the longest.
pub(super) const RETRY_FIRST: Duration = Duration::from_secs(1);
pub(super) const RETRY_LONGEST: Duration = Duration::from_mins(5);
/// SND-3: the longest before a full mailbox, which stays so until its device comes.
pub(super) const ROOM_RETRY_LONGEST: Duration = Duration::from_mins(60);

/// SND-3: 1 second doubling to 5 minutes, the half of it at random, so that clients that failed together do not come back together.
pub(crate) fn backoff(attempts: u32, rng: &mut PortRng<'_>) -> Duration {
    pause(attempts, RETRY_LONGEST, rng)
}

pub(super) fn pause(attempts: u32, longest: Duration, rng: &mut PortRng<'_>) -> Duration {
    let doubled = RETRY_FIRST.as_millis().saturating_mul(1 << attempts.min(16)).min(longest.as_millis());
    half_random(Duration::from_millis(doubled), rng)
}

/// A pause of at most so long, the half of it at random.
pub(super) fn half_random(longest: Duration, rng: &mut PortRng<'_>) -> Duration {
    let ([random], half) = (rng.array::<1>(), longest.as_millis() / 2);
    Duration::from_millis(half + half * u64::from(random) / 255)
}
