use proptest::{collection::vec, prelude::*};
use rand::{SeedableRng, rngs::StdRng};

use halcyon_crypto::CompactKey;

use super::*;

const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn bob() -> (StdRng, SigningKey) {
    let mut rng = StdRng::seed_from_u64(31);
    let device = SigningKey::generate_compact(&mut rng);
    (rng, device)
}

fn days(days: u64) -> Timestamp {
    START.plus(Duration::from_days(days))
}

/// PQ3-7: Bob's bundle rolls after a week, and its private halves are gone 31 days after that.
#[test]
fn bundles_roll_weekly_and_are_wiped_a_month_later() {
    let (mut rng, bob) = bob();
    let ring = PrekeyRing::generate(&mut rng, &bob, START);
    let first = *PrekeyBundle::verify(ring.record(), bob.verifying_key()).unwrap().hash();
    assert!(!ring.is_due(days(7).minus(Duration::from_millis(1))) && ring.is_due(days(7)));
    let ring = ring.rolled(&mut rng, &bob, days(7));
    assert!(!ring.is_due(days(8)) && ring.contains(&first));
    let a_day_ahead = days(6);
    assert!(ring.is_due(a_day_ahead.minus(Duration::from_millis(1))), "a bundle from the future is replaced");
    assert!(!ring.is_due(a_day_ahead), "a day is within what clocks differ by");
    let last_moment = days(38).minus(Duration::from_millis(1));
    assert!(!ring.has_expired(last_moment) && ring.clone().without_expired(last_moment).contains(&first));
    assert!(ring.has_expired(days(38)) && !ring.without_expired(days(38)).contains(&first));
}

/// PQ3-7: a year of weekly rolling keeps a handful, in a kibibyte, and it comes back from disk.
#[test]
fn a_year_of_rolling_stays_small() {
    let (mut rng, bob) = bob();
    let mut ring = PrekeyRing::generate(&mut rng, &bob, START);
    for week in 1..=52 {
        ring = ring.rolled(&mut rng, &bob, days(7 * week));
        assert!(ring.kept() <= 6, "week {week}");
    }
    let stored = ring.to_secret_bytes();
    assert!(stored.len() < 1200, "{}", stored.len());
    let again = PrekeyRing::from_secret_bytes(stored.expose()).unwrap();
    assert!(again.to_secret_bytes().ct_eq(&stored));
    assert_eq!(again.record(), ring.record());
}

/// PQ3-6: a bundle is named by its keys and its signature.
#[test]
fn the_hash_covers_keys_and_signature() {
    let (mut rng, bob) = bob();
    let ring = PrekeyRing::generate(&mut rng, &bob, START);
    let record = ring.record();
    let bundle = Bundle::decode(record).unwrap();
    let named = hash::sha384(&[bundle.prekey.as_bytes(), &bundle.kem_key, bundle.signature.as_bytes()]);
    assert_eq!(*PrekeyBundle::verify(record, bob.verifying_key()).unwrap().hash(), named);
    assert!(ring.contains(&named) && !ring.contains(&[0; 48]));
}

/// PQ3-8: too old is refused, and so is dated ahead; the bounds themselves pass.
#[test]
fn stale_and_post_dated_bundles_are_refused() {
    let (mut rng, bob) = bob();
    let ring = PrekeyRing::generate(&mut rng, &bob, START);
    let bundle = PrekeyBundle::verify(ring.record(), bob.verifying_key()).unwrap();
    let millisecond = Duration::from_millis(1);
    assert!(bundle.is_fresh(days(31)) && !bundle.is_fresh(days(31).plus(millisecond)));
    let a_day_before = START.minus(Duration::from_days(1));
    assert!(bundle.is_fresh(a_day_before) && !bundle.is_fresh(a_day_before.minus(millisecond)));
}

/// PQ3-4, PQ3-5: altered, cut, signed by somebody else: refused, every bit and every length.
#[test]
fn only_what_the_device_signed_is_taken() {
    let (mut rng, bob) = bob();
    let eve = SigningKey::generate_compact(&mut rng);
    let good = PrekeyRing::generate(&mut rng, &bob, START).record().to_vec();
    assert_eq!(good.len(), 1680);
    assert!(PrekeyBundle::verify(&good, bob.verifying_key()).is_ok());
    assert_eq!(PrekeyBundle::verify(&good, eve.verifying_key()).unwrap_err(), BundleError::Unsigned);
    // Every bit of what is around the KEM key, every byte inside.
    for bit in (0..8 * good.len()).filter(|bit| bit % 8 == 0 || bit / 8 < 8 || bit / 8 > 1568) {
        let mut bent = good.clone();
        bent[bit / 8] ^= 1 << (bit % 8);
        assert!(PrekeyBundle::verify(&bent, bob.verifying_key()).is_err(), "bit {bit}");
    }
    for cut in (0..good.len()).step_by(7) {
        assert!(PrekeyBundle::verify(&good[..cut], bob.verifying_key()).is_err(), "cut to {cut}");
    }
}

/// PQ3-1, PQ3-2, PQ3-5: signed as it should be, and still refused: off the curve, all zero, past the modulus, another version.
#[test]
fn signed_nonsense_is_refused() {
    let (mut rng, bob) = bob();
    let ring = PrekeyRing::generate(&mut rng, &bob, START);
    let good = Bundle::decode(ring.record()).unwrap();
    let signed = |mut bundle: Bundle| {
        bundle.signature = with_preimage(&bundle, |message| bob.sign_raw(message));
        PrekeyBundle::verify(&bundle.encode(), bob.verifying_key()).map(|_| ())
    };
    assert_eq!(signed(good.clone()), Ok(()));
    let mut off_curve = [0; 32];
    while AgreementPublic::from_compact(&CompactKey::from_bytes(off_curve)).is_ok() {
        off_curve[31] += 1;
    }
    for (what, bundle) in [
        ("off the curve", Bundle { prekey: CompactKey::from_bytes(off_curve), ..good.clone() }),
        ("above p", Bundle { prekey: CompactKey::from_bytes([0xff; 32]), ..good.clone() }),
        ("past the modulus", Bundle { kem_key: vec![0xff; 1568], ..good.clone() }),
        ("another set's key", Bundle { kem_key: vec![0; 1184], ..good.clone() }),
    ] {
        assert_eq!(signed(bundle), Err(BundleError::Malformed), "{what}");
    }
    assert_eq!(signed(Bundle { version: 2, ..good }), Err(BundleError::Version(2)));
}

/// PQ3-32: damage and newer versions are errors; Debug shows no private half.
#[test]
fn damaged_rings_are_refused() {
    let (mut rng, bob) = bob();
    let ring = PrekeyRing::generate(&mut rng, &bob, START);
    let stored = ring.to_secret_bytes();
    let read = |bytes: &[u8]| PrekeyRing::from_secret_bytes(bytes).map(|_| ()).unwrap_err();
    let mut newer = stored.expose().to_vec();
    newer[0] = 2;
    assert_eq!(read(&newer), StateError::Version(2));
    for cut in 0..stored.len() {
        assert_eq!(read(&stored.expose()[..cut]), StateError::Damaged, "cut to {cut}");
    }
    assert_eq!(read(&[1, 0xff, 0xff, 0xff, 0xff]), StateError::Damaged);
    assert_eq!(read(&[1, 0, 0, 0, 0]), StateError::Damaged);
    let shown = format!("{ring:?}");
    assert!(shown.contains("key: AgreementKey(of ") && shown.contains("kem: KemPrivate(ML-KEM-1024)"));
}

proptest! {
    #[test]
    fn bytes_never_panic(mut bytes in vec(any::<u8>(), 0..300)) {
        let _ = PrekeyBundle::verify(&bytes, bob().1.verifying_key());
        if let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        let _ = PrekeyRing::from_secret_bytes(&bytes);
    }
}
