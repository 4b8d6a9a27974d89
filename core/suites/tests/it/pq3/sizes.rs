//! What a conversation takes on the disk.

use rand::{Rng as _, SeedableRng, rngs::StdRng};

use super::phones::{Phone, alice_and_bob, parsed};

/// What an ordinary conversation may take (PQ3-33).
const AT_REST_MAX: usize = 8192;

/// PQ3-32, PQ3-33: both start at once, then talk for five hundred messages, in runs of one to five, with a rekey every fifty. With
/// nothing lost, the session stays below 8 KiB at both ends and every stage; with one of twenty lost, each key that is kept for one
/// that may still come adds 40 bytes.
#[test]
fn a_conversation_stays_below_8_kib() {
    for lost in [0, 5] {
        let mut dice = StdRng::seed_from_u64(7);
        let (mut alice, mut bob) = alice_and_bob();
        let (from_alice, from_bob) = (alice.seal(&bob, "a"), bob.seal(&alice, "b"));
        alice.open(&bob, &from_bob).unwrap();
        bob.open(&alice, &from_alice).unwrap();
        let (mut largest, mut rekeys, mut sent) = (0, 0, 0);
        while sent < 500 {
            let (from, to) = if dice.r#gen() { (&mut alice, &mut bob) } else { (&mut bob, &mut alice) };
            for _ in 0..dice.gen_range(1..=5) {
                let sealed = from.seal(to, "x");
                sent += 1;
                rekeys += usize::from(parsed(&sealed).head.encap.is_some_and(|encap| encap.len() == 1088));
                if !dice.gen_ratio(lost, 100) {
                    to.open(from, &sealed).unwrap();
                }
                largest = largest.max(size(from)).max(size(to));
            }
        }
        assert!(rekeys >= 8, "{rekeys}");
        assert!(largest <= AT_REST_MAX, "{largest} bytes at rest, {lost} of a hundred lost");
    }
}

/// Bytes on the disk without the keys of messages that have not come.
fn size(phone: &Phone) -> usize {
    phone.stored().len() - 40 * phone.session.pq3().skipped()
}
