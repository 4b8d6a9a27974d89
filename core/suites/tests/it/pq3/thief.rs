//! The thief: has what was on Alice's disk, hears every message, and is told private keys as the story wants it. Derives by
//! the spec (SUI-10 to SUI-12, PQ3-12, PQ3-13), with none of the session's code.

use std::collections::BTreeMap;

use halcyon_crypto::{AgreementKey, AgreementPublic, CompactKey, KemPrivate, MlKem768, Secret, ctr, labels::fixed};
use halcyon_suites::pq3::{
    kdf::{ChainKey, MessageKey, RootKey},
    wire::Message,
};

use super::{
    phones::{Phone, parsed},
    stored::{self, secret},
};

/// Reads along in one ratchet, as far as its keys go.
pub(crate) struct Thief {
    root: RootKey,
    /// By x(E).
    chains: BTreeMap<[u8; 32], Chain>,
    /// x(E) of the newest chain that it can follow, with the KEM key offered there.
    newest: [u8; 32],
    offered: Option<Vec<u8>>,
    /// Private halves by x(E).
    ec: BTreeMap<[u8; 32], AgreementKey>,
    /// Private halves by public key.
    kem: BTreeMap<Vec<u8>, KemPrivate<MlKem768>>,
}

struct Chain {
    key: ChainKey,
    next: u32,
    skipped: BTreeMap<u32, MessageKey>,
}

impl Chain {
    fn new(key: ChainKey, next: u32) -> Self {
        Self { key, next, skipped: BTreeMap::new() }
    }

    fn take(&mut self, index: u32) -> Option<MessageKey> {
        while self.next <= index {
            let (message, key) = self.key.step();
            self.key = key;
            self.skipped.insert(self.next, message);
            self.next += 1;
        }
        self.skipped.remove(&index)
    }
}

impl Thief {
    /// Copies what is on the phone's disk.
    pub(crate) fn of(phone: &Phone) -> Self {
        let copied = stored::preferred(&phone.session);
        let chain = |key, next| Chain::new(ChainKey::from_secret(secret(key)), next);
        let mut chains: BTreeMap<_, _> =
            copied.receiving.iter().map(|read| (read.ephemeral, chain(read.chain, read.next))).collect();
        for read in &copied.receiving {
            let kept = read.skipped.iter().map(|(index, key)| (*index, MessageKey::from_secret(secret(*key))));
            chains.get_mut(&read.ephemeral).unwrap().skipped.extend(kept);
        }
        let (mut newest, mut offered) = (copied.receiving.first().map(|read| read.ephemeral), copied.peer_offer);
        if let Some(sending) = &copied.sending {
            chains.insert(sending.ephemeral, chain(sending.chain, sending.next));
            (newest, offered) = (Some(sending.ephemeral), sending.kem_key.clone());
        }
        let root = RootKey::from_secret(secret(copied.root));
        let newest = newest.unwrap();
        let mut thief = Self { root, chains, newest, offered, ec: BTreeMap::new(), kem: BTreeMap::new() };
        thief.learn_ec(phone);
        thief.learn_kem(phone);
        thief
    }

    /// Is told the phone's present P-256 private key, if it has one.
    pub(crate) fn learn_ec(&mut self, phone: &Phone) {
        if let Some(sending) = stored::preferred(&phone.session).sending {
            self.ec.insert(sending.ephemeral, AgreementKey::from_secret(secret(sending.secret)).unwrap());
        }
    }

    /// Is told the phone's present KEM private key, if it has one.
    pub(crate) fn learn_kem(&mut self, phone: &Phone) {
        let sending = stored::preferred(&phone.session).sending;
        if let Some((seed, key)) = sending.and_then(|sending| sending.kem_seed.zip(sending.kem_key)) {
            self.kem.insert(key, KemPrivate::from_seed(secret(seed)));
        }
    }

    /// Hears a message, and reads it if its keys reach so far.
    pub(crate) fn read(&mut self, from: &Phone, to: &Phone, sealed: &[u8]) -> Option<String> {
        let message = parsed(sealed);
        let ephemeral = *message.ephemeral.as_bytes();
        if !self.chains.contains_key(&ephemeral) {
            self.turn(from, to, &message);
        }
        let key = self.chains.get_mut(&ephemeral)?.take(message.index)?;
        assert_eq!(*key.indicator().expose(), message.indicator, "a chain that was entered is the right one");
        let keys = key.content_keys();
        let mut content = message.ciphertext;
        ctr::apply_aes256(&keys.key, keys.counter.expose(), &mut content);
        let pad = content.split_off(content.len() - 4);
        content.truncate(content.len() - u32::from_le_bytes(pad.try_into().unwrap()) as usize);
        Some(String::from_utf8(content).unwrap())
    }

    /// Tries to follow a change of direction, and stays where it is if the message does not fit.
    fn turn(&mut self, from: &Phone, to: &Phone, message: &Message) -> Option<()> {
        let (last, new) = (self.newest, *message.ephemeral.as_bytes());
        let agree = |own: &[u8; 32], other: &[u8; 32]| {
            let other = AgreementPublic::from_compact(&CompactKey::from_bytes(*other)).unwrap();
            Some(self.ec.get(own)?.agree(&other))
        };
        let ecdh = agree(&last, &new).or_else(|| agree(&new, &last))?;
        let encap = message.head.encap.as_deref();
        let empty: &[u8] = &[];
        let (kem, encap, key): (Option<Secret<32>>, _, _) = match (encap, &self.offered) {
            (Some(encap), Some(key)) => {
                // Without the private half it tries what it can: no secret at all.
                let kem = self.kem.get(key).map(|private| private.decapsulate(encap).unwrap());
                (kem, encap, key.as_slice())
            }
            _ => (None, empty, empty),
        };
        let (from, to) = (from.party(), to.party());
        let info = [from.as_bytes(), to.as_bytes(), fixed::PQ3_RATCHET, &last, &new, encap, key];
        let (root, chain) = self.root.step(&ecdh, kem.as_ref(), &info);
        let mut chain = Chain::new(chain, 0);
        let first = chain.take(message.index)?;
        if *first.indicator().expose() != message.indicator {
            return None;
        }
        chain.skipped.insert(message.index, first);
        self.chains.insert(new, chain);
        (self.root, self.newest, self.offered) = (root, new, message.head.kem_key.clone());
        Some(())
    }
}
