//! Tests of the suite `pair`: identity hashes, opening, and a round trip.

use halcyon_crypto::{Rng, rsa::RsaPrivateKey};
use halcyon_suites::{
    PairIdentity,
    pair::{self, PairKeys},
};
use rand::{SeedableRng, rngs::StdRng};

use super::{Expected, Node, Report, VectorsError, same};

pub(super) fn run(file: &Node<'_>) -> Result<Report, VectorsError> {
    let mut report = Report::default();
    let mut rng = StdRng::seed_from_u64(1);
    let sender = PairKeys::generate(&mut rng);
    for test in file.list("tests")? {
        let (id, comment, expected) = test.test()?;
        let vector = Vector::read(&test, expected)?;
        report.record(id, comment, vector.check(expected, &sender, &mut rng));
    }
    Ok(report)
}

struct Vector {
    rsa_pkcs8: Vec<u8>,
    sender: Vec<u8>,
    recipient: Vec<u8>,
    sender_hash: [u8; 32],
    recipient_hash: [u8; 32],
    payload: Vec<u8>,
    plaintext: Vec<u8>,
}

impl Vector {
    fn read(test: &Node<'_>, expected: Expected) -> Result<Self, VectorsError> {
        Ok(Self {
            rsa_pkcs8: test.bytes("recipient_rsa_pkcs8")?,
            sender: test.bytes("sender_identity")?,
            recipient: test.bytes("recipient_identity")?,
            sender_hash: test.array("sender_identity_hash")?,
            recipient_hash: test.array("recipient_identity_hash")?,
            payload: test.bytes("payload")?,
            plaintext: if expected == Expected::Valid { test.bytes("plaintext")? } else { Vec::new() },
        })
    }

    fn check(&self, expected: Expected, own_sender: &PairKeys, rng: &mut dyn Rng) -> Result<(), String> {
        let identity = |blob| PairIdentity::from_bytes(blob).map_err(|error| format!("identity refused: {error}"));
        let (sender, recipient) = (identity(&self.sender)?, identity(&self.recipient)?);
        same("sender identity", sender.as_bytes(), &self.sender)?;
        same("sender identity hash", sender.hash(), &self.sender_hash)?;
        same("recipient identity hash", recipient.hash(), &self.recipient_hash)?;
        let rsa = RsaPrivateKey::from_pkcs8(&self.rsa_pkcs8).map_err(|error| format!("RSA key refused: {error}"))?;

        match (pair::open(&rsa, &recipient, &sender, &self.payload), expected) {
            (Ok(opened), Expected::Valid) => same("plaintext", opened.expose(), &self.plaintext)?,
            (Ok(opened), Expected::Invalid) => {
                return Err(format!("opened to {} bytes, expected an error", opened.len()));
            }
            (Err(error), Expected::Valid) => return Err(format!("did not open: {error}")),
            (Err(_), Expected::Invalid) => return Ok(()),
        }
        let sealed = own_sender.seal(rng, &recipient, &self.plaintext).map_err(|error| format!("seal: {error}"))?;
        let opened = pair::open(&rsa, &recipient, own_sender.identity(), &sealed)
            .map_err(|error| format!("what we sealed did not open: {error}"))?;
        same("plaintext after a round trip", opened.expose(), &self.plaintext)
    }
}
