//! Tests of the suite `pair-ec`: opening, a round trip, and prekey records.

use halcyon_crypto::{AgreementKey, CompactKey, Rng, SigningKey, VerifyingKey};
use halcyon_suites::pair_ec::{self, PrekeyRing, ReceiveState, SendState, SignedPrekey};
use halcyon_types::Timestamp;
use rand::{SeedableRng, rngs::StdRng};

use super::{Expected, Node, Report, VectorsError, same};

/// A time for round trips; the vectors' own prekeys are older than any clock.
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

pub(super) fn run(file: &Node<'_>) -> Result<Report, VectorsError> {
    let mut report = Report::default();
    let mut rng = StdRng::seed_from_u64(1);
    for test in file.list("tests")? {
        let (id, comment, expected) = test.test()?;
        let vector = Vector::read(&test, expected)?;
        report.record(id, comment, vector.check(expected, &mut rng));
    }
    for test in file.list("prekeys")? {
        let (id, comment, expected) = test.test()?;
        let device = CompactKey::from_bytes(test.array("device_key")?);
        let record = test.bytes("record")?;
        report.record(format!("prekey {id}"), comment, check_prekey(&record, &device, expected));
    }
    Ok(report)
}

fn check_prekey(record: &[u8], device: &CompactKey, expected: Expected) -> Result<(), String> {
    let device = VerifyingKey::from_compact(device).map_err(|error| format!("device key refused: {error}"))?;
    match (SignedPrekey::verify(record, &device), expected) {
        (Ok(_), Expected::Valid) | (Err(_), Expected::Invalid) => Ok(()),
        (Ok(_), Expected::Invalid) => Err("verified, expected an error".to_owned()),
        (Err(error), Expected::Valid) => Err(format!("did not verify: {error}")),
    }
}

struct Vector {
    prekey_pkcs8: Vec<u8>,
    recipient: CompactKey,
    sender: CompactKey,
    payload: Vec<u8>,
    plaintext: Vec<u8>,
    counter: u64,
}

impl Vector {
    fn read(test: &Node<'_>, expected: Expected) -> Result<Self, VectorsError> {
        let valid = expected == Expected::Valid;
        Ok(Self {
            prekey_pkcs8: test.bytes("recipient_prekey_pkcs8")?,
            recipient: CompactKey::from_bytes(test.array("recipient_device_key")?),
            sender: CompactKey::from_bytes(test.array("sender_device_key")?),
            payload: test.bytes("payload")?,
            plaintext: if valid { test.bytes("plaintext")? } else { Vec::new() },
            counter: if valid { test.number("counter")? } else { 0 },
        })
    }

    fn check(&self, expected: Expected, rng: &mut dyn Rng) -> Result<(), String> {
        let sender = VerifyingKey::from_compact(&self.sender).map_err(|error| format!("sender refused: {error}"))?;
        let prekey = AgreementKey::from_pkcs8(&self.prekey_pkcs8).map_err(|error| format!("prekey: {error}"))?;
        let ring = PrekeyRing::of_vector(prekey);
        let nothing_seen = ReceiveState::default();

        match (pair_ec::open(&nothing_seen, &ring, &self.recipient, &sender, &self.payload), expected) {
            (Ok(opened), Expected::Valid) => {
                same("plaintext", opened.plaintext.expose(), &self.plaintext)?;
                if u64::from(opened.counter) != self.counter {
                    return Err(format!("counter is {}, expected {}", opened.counter, self.counter));
                }
                let again = pair_ec::open(&opened.next, &ring, &self.recipient, &sender, &self.payload);
                if again.is_ok() {
                    return Err("opened twice".to_owned());
                }
            }
            (Ok(_), Expected::Invalid) => return Err("opened, expected an error".to_owned()),
            (Err(error), Expected::Valid) => return Err(format!("did not open: {error}")),
            (Err(_), Expected::Invalid) => return Ok(()),
        }
        self.round_trip(rng)
    }

    /// Our own Alice seals the plaintext for our own Bob: the vector's recipient has no private device key to sign a
    /// prekey with.
    fn round_trip(&self, rng: &mut dyn Rng) -> Result<(), String> {
        let (alice, bob) = (SigningKey::generate_compact(rng), SigningKey::generate_compact(rng));
        let ring = PrekeyRing::generate(rng, &bob, NOW);
        let prekey = SignedPrekey::verify(ring.record(), bob.verifying_key()).map_err(|error| error.to_string())?;
        let (sealed, _) = pair_ec::seal(SendState::default(), rng, &alice, &prekey, NOW, &self.plaintext)
            .map_err(|error| format!("seal: {error}"))?;
        let own = bob.verifying_key().compact();
        let opened = pair_ec::open(&ReceiveState::default(), &ring, own, alice.verifying_key(), &sealed)
            .map_err(|error| format!("what we sealed did not open: {error}"))?;
        same("plaintext after a round trip", opened.plaintext.expose(), &self.plaintext)
    }
}
