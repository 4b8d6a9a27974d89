//! `pair-ec` beside one ECDH, one signature or verification, and the symmetric part.

use halcyon_crypto::SigningKey;
use halcyon_suites::pair_ec::{PrekeyRing, ReceiveState, SendState, SignedPrekey, open, seal};
use rand::{SeedableRng, rngs::StdRng};

use super::device::NOW;
use super::primitives::Primitives;
use super::{Row, compare, timed};

const TEXT_BYTES: usize = 256;

fn names() -> [(&'static str, &'static str); 2] {
    [("pair-ec seal", "ECDH, sign, symmetric part"), ("pair-ec open", "ECDH, verify, symmetric part")]
}

pub(super) fn compare_suite(rounds: u32) -> anyhow::Result<Vec<Row>> {
    let mut rng = StdRng::seed_from_u64(1);
    let (alice, bob) = (SigningKey::generate_compact(&mut rng), SigningKey::generate_compact(&mut rng));
    let ring = PrekeyRing::generate(&mut rng, &bob, NOW);
    let prekey = SignedPrekey::verify(ring.record(), bob.verifying_key())?;
    let own = *bob.verifying_key().compact();
    let text = vec![b'x'; TEXT_BYTES];
    let mut primitives = Primitives::new(&mut rng, TEXT_BYTES)?;
    let [seal_row, open_row] = names();

    let mut state = SendState::default();
    let mut sealed = Vec::new();
    let seals = compare(seal_row.0, seal_row.1, Some(1.5), rounds, || {
        let (result, ours) = timed(|| seal(std::mem::take(&mut state), &mut rng, &alice, &prekey, NOW, &text));
        let (message, next) = result?;
        state = next;
        sealed.push(message);
        let ((), bare) = timed(|| {
            primitives.agree();
            primitives.sign();
            primitives.symmetric_pair_ec();
        });
        Ok((ours, bare))
    })?;
    let mut receiving = ReceiveState::default();
    let mut messages = sealed.iter();
    let opens = compare(open_row.0, open_row.1, Some(1.5), rounds, || {
        let message = messages.next().ok_or_else(|| anyhow::anyhow!("one message a round"))?;
        let (result, ours) = timed(|| open(&receiving, &ring, &own, alice.verifying_key(), message));
        receiving = result?.next;
        let ((), bare) = timed(|| {
            primitives.agree();
            primitives.verify();
            primitives.symmetric_pair_ec();
        });
        Ok((ours, bare))
    })?;
    Ok(vec![seals, opens])
}
